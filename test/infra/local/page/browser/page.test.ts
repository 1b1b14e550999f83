import type { BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { routes } from '../../../../../infra/contract/operations.ts';
import { startLocalStackWithPage } from '../../../../../infra/local/page/page.ts';
import { startBrowser, type RunningBrowser } from '../../../../support/browser.ts';
import { sharedBundle } from '../../../../support/shared-bundle.ts';

let stack: Awaited<ReturnType<typeof startLocalStackWithPage>>;
let running: RunningBrowser;
beforeAll(async () => {
  [stack, running] = await Promise.all([startLocalStackWithPage({ bundle: sharedBundle }), startBrowser()]);
});
afterAll(async () => {
  await running.stop();
  await stack.stop();
});

/** Opens the page. `complaints`: what the browser reports, and requests to any other server. */
async function open(path = '/', options: BrowserContextOptions = {}) {
  const context = await running.browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => {
    if (!request.url().startsWith(stack.pageUrl) && !request.url().startsWith('data:')) {
      complaints.push(request.url());
    }
  });
  await page.goto(`${stack.pageUrl}${path}`);
  return { page, complaints, [Symbol.asyncDispose]: () => context.close() };
}

async function provision(page: Page, tenantId: string): Promise<void> {
  await page.getByLabel('Tenant', { exact: true }).fill(tenantId);
  await page.getByRole('button', { name: 'Provision' }).click();
}

const rowOf = (page: Page, tenantId: string) =>
  page.getByRole('row').filter({ has: page.getByRole('rowheader', { name: `${tenantId} taxify` }) });

const tenantsOf = (page: Page): Promise<(string | null)[]> =>
  page.locator('#tenants > tr').evaluateAll((rows) => rows.map((row) => row.getAttribute('data-key')));

test('a lost response shows as in doubt, and the repeat finds the one instance, without reloading', async () => {
  await using opened = await open();
  const { page, complaints } = opened;
  await page.getByText('live', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'List new instances late' }).click();
  const lose = page.getByRole('button', { name: 'Lose its response' });
  await lose.press('Enter');
  await page.getByText('The next create loses its response.').waitFor();
  expect(await lose.getAttribute('aria-pressed')).toBe('true');
  // The keyboard stays where it was, although the button is a new one.
  expect(await page.evaluate('document.activeElement.id')).toBe('switch-lose-response');

  await provision(page, 'initech');
  await rowOf(page, 'initech').getByText('In doubt').waitFor();
  await page.getByRole('cell', { name: 'connection cut: the instance was created' }).waitFor();
  expect(await lose.getAttribute('aria-pressed')).toBe('false');
  // A row in doubt stays above newer ones.
  await provision(page, 'globex');
  await rowOf(page, 'globex').getByText('One instance').waitFor();
  expect(await tenantsOf(page)).toEqual(['initech/taxify', 'globex/taxify']);

  await page.getByRole('button', { name: 'List new instances late' }).click();
  const repeat = page.getByRole('button', { name: 'Repeat: initech, taxify' });
  // Finds it unless the first request still looks for it, and then does.
  await repeat.click();
  await rowOf(page, 'initech').getByText('One instance').waitFor();
  await repeat.click();
  await page.getByText(/^200: active, instance \d+$/).waitFor();
  expect(await tenantsOf(page)).toEqual(['globex/taxify', 'initech/taxify']);
  expect(stack.simulator.instances).toHaveLength(2);
  expect(complaints).toEqual([]);
});

test('without a script the forms work, too', async () => {
  await using opened = await open('/', { javaScriptEnabled: false });
  const { page } = opened;
  await provision(page, 'scriptless');
  await expect
    .poll(async () => (await page.goto(stack.pageUrl))?.text(), { timeout: 10_000 })
    .toContain('201: active');
  expect(await rowOf(page, 'scriptless').textContent()).toContain('One instance');
  await page.getByRole('button', { name: 'Kill the function' }).click();
  await page.getByText('The function that sends the next create is killed.').waitFor();
  await page.getByRole('button', { name: 'Kill the function' }).click();
  await page.getByText('The next create succeeds.').waitFor();
});

test('markup in the texts of an instance is not run', async () => {
  await using opened = await open();
  const { page, complaints } = opened;
  const hostile = `<img src=x onerror="document.title='run'"><script>document.title='run'</script>`;
  const instance = stack.simulator.seed({
    element: { key: 'taxify' },
    name: 'n',
    tags: ['tenant:x'],
    configuration: { 'api.key': 'k' },
  });
  Object.assign(instance, { name: hostile, tags: [`tenant:${hostile}`] });
  await provision(page, 'another');
  await page.getByText(hostile).first().waitFor();
  expect(await page.title()).not.toBe('run');
  expect(complaints).toEqual([]);
});

test.each([
  ['light', '/', 320],
  ['dark', '/', 320],
  ['light', '/api', 390],
] as const)('in %s, %s fits a screen of %i pixels', async (colorScheme, path, width) => {
  await using opened = await open(path, { colorScheme, viewport: { width, height: 700 } });
  const { page } = opened;
  await page.getByRole('heading').nth(1).waitFor();
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
});

test('the API reference shows every operation and the schemas, and asks no other server', async () => {
  await using opened = await open('/api', { colorScheme: 'dark' });
  const { page, complaints } = opened;
  const operation = page.getByRole('button', { name: /^POST.*\/tenants\/.*Provision an instance/s }).first();
  await operation.click();
  await page.locator('.opblock.is-open .responses-table').first().waitFor();
  expect(await page.locator('.opblock').count()).toBe(routes.length);
  expect(await page.getByRole('button', { name: 'Try it out' }).count()).toBe(0);
  expect(await page.locator('html').getAttribute('class')).toBe('dark-mode');
  expect(complaints).toEqual([]);
});
