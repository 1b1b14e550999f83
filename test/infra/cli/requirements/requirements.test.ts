import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { environmentOfElements } from '../../../../infra/elements.ts';
import { requirementsIn } from '../../../../infra/cli/requirements/entry.ts';
import { parseOptions } from '../../../../infra/cli/requirements/options.ts';
import { elements as simulated } from '../../../../infra/local/cloud-elements/catalog.ts';
import { showElementEntries } from '../../../../infra/local/cloud-elements/shown.ts';
import { startLocalStack, type LocalStack } from '../../../../infra/local/stack.ts';
import { compileCache, sharedBundle } from '../../../support/shared-bundle.ts';

const entry = (key: string, more: object = {}) => ({
  key,
  name: key,
  type: 'TEXTFIELD_128',
  required: true,
  ...more,
});

describe('the entry for cdk.json', () => {
  test.each(simulated.map((element) => ({ key: element.key, element })))(
    'the entry of $key is valid as it is printed, and requires what its guide does',
    ({ key, element }) => {
      const found = requirementsIn(showElementEntries(element));
      if (!found) throw new Error('no requirements');
      expect(() => environmentOfElements({ [key]: found.element })).not.toThrow();
      const documented = element.entries.filter((each) => each.required).map((each) => each.key);
      expect(found.element.required?.toSorted()).toEqual(documented.toSorted());
      expect(found.element).not.toHaveProperty('addresses');
      expect(found.element).not.toHaveProperty('defaults');
    },
  );

  test('an address is left out of the lists, and the advice has the line to add', () => {
    const found = requirementsIn([
      entry('subdomain'),
      entry('base.url'),
      entry('api.key', { type: 'PASSWORD' }),
    ]);
    expect(found?.element).toEqual({ required: ['subdomain', 'base.url', 'api.key'] });
    expect(found?.advice).toEqual([
      expect.stringContaining('add "addresses": {"subdomain": "dns-label"}.'),
      expect.stringContaining('add "addresses": {"base.url": {"origins": ["https://…"]}}.'),
      expect.stringContaining('ping'),
    ]);
  });

  test('flags and counts may be set by requests, but none that steers, is a credential or is about events', () => {
    const found = requirementsIn([
      entry('document.tagging', { type: 'BOOLEAN_YESNO', required: false }),
      entry('pagination.max', { defaultValue: '100', required: false }),
      entry('site.beta', { type: 'BOOLEAN', required: false }),
      entry('event.notification.enabled', { type: 'BOOLEAN', required: false }),
      entry('oauth.basic', { type: 'BOOLEAN', required: false }),
      entry('login.pin', { type: 'PASSWORD', defaultValue: '1234', required: false }),
      entry('signing.token', { defaultValue: '123456', required: false }),
      entry('hidden.limit', { defaultValue: '5', hideFromConsole: true }),
      entry('language', { defaultValue: 'en', required: false }),
    ]);
    expect(found?.element).toEqual({ allowed: { 'document.tagging': 'flag', 'pagination.max': 'count' } });
  });

  test('no default value is repeated, and an entry that has one is not required', () => {
    const found = requirementsIn([
      entry('partner.key', { type: 'PASSWORD', defaultValue: 'partner-key-for-tests' }),
      entry('base.url', { defaultValue: 'https://host-for-tests.example' }),
    ]);
    expect(found?.element).toEqual({});
    expect(JSON.stringify(found)).not.toContain('for-tests');
  });

  test.each([
    ['the older form', { configuration: [{ key: 'api.key', mandatory: true }], providerData: [] }],
    ['the current form', [{ key: 'api.key', required: true }]],
    ['both names', [{ key: 'api.key', required: true, mandatory: false }]],
    [
      'null in optional fields',
      [{ key: 'api.key', required: true, defaultValue: null, hideFromConsole: null }],
    ],
  ])('%s is read', (_what, json) => {
    expect(requirementsIn(json)?.element).toEqual({ required: ['api.key'] });
  });

  test('entries that cannot be read are counted, and not repeated', () => {
    const found = requirementsIn([
      entry('api.key'),
      entry('a key with <markup>'),
      { name: 'no key' },
      'text',
      null,
    ]);
    expect(found?.element).toEqual({ required: ['api.key'] });
    expect(found?.advice).toContain("4 of Cloud Elements' entries could not be read and are left out.");
    expect(JSON.stringify(found)).not.toContain('markup');
  });

  test('a key that may be a credential is counted among these, and not repeated', () => {
    const found = requirementsIn([entry('api.key'), entry('qzX7wvKj4hgFdp2mntB')]);
    expect(found?.element).toEqual({ required: ['api.key'] });
    expect(found?.advice).toContain("1 of Cloud Elements' entries could not be read and are left out.");
    expect(JSON.stringify(found)).not.toContain('qzX7');
  });

  test('an entry that is shown twice is in the entry once', () => {
    const twice = [entry('api.key'), entry('api.key'), entry('language'), entry('language')];
    const found = requirementsIn(twice);
    expect(found?.element).toEqual({ required: ['api.key', 'language'] });
    expect(found?.advice).toHaveLength(2);
  });

  test.each([[{ toString: 1, valueOf: 1 }], [[5]], [{}]])(
    'the default value %j is no count',
    (defaultValue) => {
      expect(requirementsIn([entry('page.limit', { required: false, defaultValue })])?.element).toEqual({});
    },
  );

  test.each([null, 'text', {}, { configuration: 'text' }, 7])('%j is no list of requirements', (json) => {
    expect(requirementsIn(json)).toBeUndefined();
  });

  test('a required OAuth callback is pointed out', () => {
    const found = requirementsIn([entry('oauth.callback.url'), entry('oauth.api.key')]);
    expect(found?.advice.join('\n')).toContain('OAuth consent in a browser');
  });
});

test.each([
  [[], 'Expected the key of one element, got 0.'],
  [['a', 'b', '--local'], 'Expected the key of one element, got 2.'],
  [
    ['../instances', '--local'],
    'Expected the key of an element as Cloud Elements writes it, such as freshdeskv2.',
  ],
  [['stripe'], 'Expected one of --stage <stage> and --local.'],
  [['stripe', '--stage', 'prod', '--local'], 'Expected one of --stage <stage> and --local.'],
  [['stripe', '--stage', 'prod', '--base-url', 'https://api.example'], "Unknown option '--base-url'"],
])('the command line %j is refused', (args, message) => {
  expect(() => parseOptions(args, {})).toThrow(message);
});

// Each command is a process of its own, which takes a second to start on a busy machine.
describe('the command', { timeout: 30_000 }, () => {
  const program = fileURLToPath(
    new URL('../../../../infra/cli/requirements/requirements.ts', import.meta.url),
  );
  let stack: LocalStack;
  let port: number;
  beforeAll(async () => {
    ({ stack, port } = await startOnPorts());
  });
  afterAll(() => stack.stop());

  async function run(...args: string[]) {
    const child = promisify(execFile)(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', program, ...args, '--local'],
      { env: { PATH: process.env['PATH'], PORT: String(port), ...compileCache() } },
    );
    return child.then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: { code: number; stdout: string; stderr: string }) => error,
    );
  }

  test('an element’s entry is printed as JSON alone, and the advice beside it', async () => {
    stack.simulator.requests.length = 0;
    const { code, stdout, stderr } = await run('servicenow');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      servicenow: {
        required: ['username', 'password', 'servicenow.subdomain'],
        allowed: { 'pagination.max': 'count', 'filter.response.nulls': 'flag' },
      },
    });
    expect(stderr).toContain('add "addresses": {"servicenow.subdomain": "dns-label"}.');
    expect(stack.simulator.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'GET /elements/api-v2/elements/servicenow/configuration',
    ]);
    expect(stdout + stderr).not.toMatch(/local-(user|organization)-secret|service-now\.com/);
  });

  test('an element that Cloud Elements does not have is said to be missing', async () => {
    expect(await run('unheard')).toMatchObject({
      code: 1,
      stdout: '',
      stderr: `Cloud Elements at http://127.0.0.1:${port + 3} has no element unheard.\n`,
    });
  });

  test('a response that is not the platform’s is an error, without its words', async () => {
    stack.simulator.fail({
      on: 'GET /elements/{keyOrId}/configuration',
      effect: 'none',
      outcome: { kind: 'status', status: 200, body: { message: 'local-user-secret' } },
    });
    const failed = await run('stripe');
    expect(failed).toMatchObject({ code: 3, stdout: '' });
    expect(failed.stderr).toContain('shows no requirements');
    expect(failed.stderr).not.toContain('local-user-secret');
  });
});

/** Five ports in a row, as `npm start` has them. */
async function startOnPorts(): Promise<{ stack: LocalStack; port: number }> {
  for (let tries = 0; ; tries++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const ports = { api: port, aws: port + 1, dynamodb: port + 2, cloudElements: port + 3 };
    try {
      return { stack: await startLocalStack({ ports, bundle: sharedBundle }), port };
    } catch (error) {
      if (tries === 5) throw error;
    }
  }
}
