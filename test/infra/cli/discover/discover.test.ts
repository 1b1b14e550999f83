import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { csvRowsOf } from '../../../../infra/cli/onboard/csv-rows.ts';
import { startWithOperator } from '../../../support/operator.ts';
import { createLeakSearch } from '../../../support/leak-search.ts';
import { notApplied } from '../../../support/faults.ts';

/** Of the local stack. */
const userSecret = 'local-user-secret';

let site: Awaited<ReturnType<typeof startWithOperator>>;
beforeAll(async () => {
  site = await startWithOperator(({ stack, simulator }) => ({
    CloudElementsUrl: simulator.url,
    PlatformSecretName: stack.platformSecretName,
  }));
});
afterAll(() => site.stop());
beforeEach(() => site.service.simulator.reset());

const discover = (...args: string[]) => site.run('discover', ...args);
const rowsIn = (csv: string) => csvRowsOf(csv).map(({ cells }) => cells);
const columns = ['tenantId', 'elementKey', 'instanceId', 'name', 'tags', 'createdDate'];

// Each command is a process of its own, which takes a second to start on a busy machine.
describe('the command', { timeout: 60_000 }, () => {
  test('a stage’s list is CSV without owned instances, without secrets and safe for spreadsheets', async () => {
    const { simulator, post } = site.service;
    const seed = (more: object) =>
      simulator.seed({
        element: { key: 'taxify' },
        configuration: { 'api.key': 'key-of-a-tenant' },
        ...more,
      });
    await post('owned', { element: { key: 'taxify' }, configuration: { 'api.key': 'own-key-for-tests' } });
    const plain = seed({ name: 'Shop, "Inc"', tags: ['eu', 'gold'] });
    const evil = seed({ name: '=HYPERLINK("x")', tags: ['+1', '@x', '-y', '\u001b[2Jz'] });
    const leaky = seed({ name: 'any', tags: [] });
    leaky.name = `was ${leaky.token}`;
    leaky.tags = [`by ${userSecret}`];

    const { status, stdout, stderr } = await discover('--stage', 'prod');
    expect(stderr).toBe(
      `4 instances at ${simulator.url}: 3 without an owner, in the output.\nThe list is complete.\n`,
    );
    expect(status).toBe(0);
    const row = ({ id, createdDate }: typeof plain, ...[name = '', tags = '']: string[]) => [
      '',
      'taxify',
      String(id),
      name,
      tags,
      createdDate,
    ];
    expect(rowsIn(stdout)).toEqual([
      columns,
      row(plain, 'Shop, "Inc"', 'eu;gold'),
      row(evil, `'=HYPERLINK("x")`, `'+1;'@x;'-y;\uFFFD[2Jz`),
      row(leaky, 'was …', 'by …'),
    ]);
    const search = createLeakSearch();
    for (const { id, token } of simulator.instances) search.plant(`the token of ${id}`, token);
    for (const secret of ['key-of-a-tenant', userSecret, 'local-organization-secret'])
      search.plant('a secret', secret);
    expect(search.leaksIn([stdout, stderr])).toEqual([]);
    expect(
      simulator.requests.filter(({ method }) => method !== 'GET').map(({ operation }) => operation),
    ).toEqual(['POST /instances']);
  });

  test('a list that is not complete ends with status 1 and the reason, after the instances that were read', async () => {
    const { simulator } = site.service;
    const before = simulator.instances.length;
    const body = [{ id: 7, element: { key: 'taxify' }, tags: ['eu'], name: 'Seven' }, {}];
    simulator.fail({ on: 'GET /instances', effect: 'none', outcome: { kind: 'status', status: 200, body } });
    const { status, stdout, stderr } = await discover('--local');
    expect(status).toBe(1);
    expect(rowsIn(stdout)).toEqual([columns, ['', 'taxify', '7', 'Seven', 'eu', '']]);
    expect(stderr).toContain('The list is not complete: 1 of its items cannot be read as instances.\n');
    expect(simulator.instances).toHaveLength(before);
  });

  test('an account without instances has a complete list with no rows', async () => {
    const requestId = '58b46b1b58b46b1b58b46b1b';
    site.service.simulator.fail({
      on: 'GET /instances',
      ...notApplied(404, { body: { requestId, message: 'No element instances found' } }),
    });
    const { status, stdout } = await discover('--local');
    expect({ status, stdout }).toEqual({ status: 0, stdout: `${columns.join(',')}\n` });
  });

  test('a platform secret that Cloud Elements refuses is named, without a list and without its value', async () => {
    const { simulator, stack } = site.service;
    simulator.fail({
      on: 'GET /instances',
      times: 9,
      ...notApplied(401, {
        body: { message: 'Invalid Organization or User secret, or invalid Element token provided.' },
      }),
    });
    const { status, stdout, stderr } = await discover('--local');
    expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
    expect(stderr).toContain(`correct the platform secret ${stack.platformSecretName}`);
    expect(stderr).not.toContain(userSecret);
    expect(simulator.requests.length).toBeLessThanOrEqual(2);
  });

  test.each([
    [['--stage', 'prod', '--local'], 2, 'Expected one of --stage <stage> and --local.'],
    [[], 2, 'Expected one of --stage <stage> and --local.'],
  ])('the options %j are refused', async (args, status, message) => {
    const ended = await discover(...args);
    expect(ended).toMatchObject({ status, stdout: '' });
    expect(ended.stderr).toContain(message);
  });
});
