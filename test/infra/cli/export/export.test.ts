import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { csvRowsOf } from '../../../../infra/cli/onboard/csv-rows.ts';
import { parseOptions } from '../../../../infra/cli/export/options.ts';
import { startWithOperator } from '../../../support/operator.ts';
import { createLeakSearch } from '../../../support/leak-search.ts';

const columns = ['tenantId', 'elementKey', 'instanceId', 'name', 'tags', 'status'];
const rowsIn = (csv: string) => csvRowsOf(csv).map(({ cells }) => cells);

const body = (more: object) => ({
  element: { key: 'taxify' },
  configuration: { 'api.key': 'any-key' },
  ...more,
});

const parse = (args: string[], isTerminal = false) => parseOptions(args, {}, { isTerminal });

// Each command is a process of its own, which takes a second to start on a busy machine.
describe('the command', { timeout: 60_000 }, () => {
  let site: Awaited<ReturnType<typeof startWithOperator>>;
  beforeAll(async () => {
    site = await startWithOperator(({ stack }) => ({ ApiUrl: stack.apiUrl, TableName: stack.tableName }));
    const { service } = site;
    await service.post('acme', body({ name: '+Acme, "Inc"', tags: ['eu', '=gold'] }));
    await service.post('globex', body({}));
    await service.post('initech', body({ configuration: { 'api.key': 'refused-key-for-tests' } }));
    await service.post('removed', body({}));
    await service.delete('/tenants/removed/instances/taxify');
    await service.putEvents({
      Source: 'crm',
      DetailType: 'TenantOffboarded',
      Detail: JSON.stringify({ tenantId: 'hooli' }),
    });
    await service.idle();
  }, 60_000);
  afterAll(() => site.stop());

  const run = (...args: string[]) => site.run('export', ...args);
  const idOf = (tenantId: string) => site.service.instancesOf(tenantId)[0]?.id;
  const tokenOf = (tenantId: string) => site.service.instancesOf(tenantId)[0]?.token ?? '';

  test('every instance is written as CSV, by tenant, without tokens, markers and tombstones', async () => {
    const { status, stdout, stderr } = await run('--stage', 'prod');
    expect(rowsIn(stdout)).toEqual([
      columns,
      ['acme', 'taxify', String(idOf('acme')), `'+Acme, "Inc"`, `eu;'=gold`, 'active'],
      ['globex', 'taxify', String(idOf('globex')), 'taxify-globex', '', 'active'],
      ['initech', 'taxify', '', 'taxify-initech', '', 'failed'],
    ]);
    expect(stderr).toContain("1 cell got a ' that keeps spreadsheets from running it; --json has none.");
    expect(stderr).toContain('3 instances. To leave this service, see --help.');
    expect(status).toBe(0);
    const search = createLeakSearch();
    for (const { id, token } of site.service.simulator.instances) search.plant(`the token of ${id}`, token);
    expect(search.leaksIn([stdout, stderr])).toEqual([]);
  });

  test('--json writes each value unchanged', async () => {
    const { status, stdout } = await run('--local', '--json');
    expect(status).toBe(0);
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([
      {
        tenantId: 'acme',
        element: { key: 'taxify' },
        instanceId: idOf('acme'),
        name: '+Acme, "Inc"',
        tags: ['eu', '=gold'],
        status: 'active',
      },
      expect.objectContaining({ tenantId: 'globex', tags: [] }),
      { tenantId: 'initech', element: { key: 'taxify' }, name: 'taxify-initech', tags: [], status: 'failed' },
    ]);
  });

  test('--with-tokens reads each token by the token route, which logs it, and warns', async () => {
    const logsBefore = site.service.stack.logs.length;
    const { status, stdout, stderr } = await run('--stage', 'prod', '--json', '--with-tokens');
    expect(status).toBe(0);
    const tokens = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).token);
    expect(tokens).toEqual([tokenOf('acme'), tokenOf('globex'), undefined]);
    expect(stderr).toContain('The output holds 2 element tokens in clear text.');
    for (const token of tokens.filter(Boolean)) expect(stderr).not.toContain(token);
    const reads = site.service.stack.logs.slice(logsBefore).filter((line) => line.includes('/token"'));
    for (const tenantId of ['acme', 'globex']) expect(reads.join('\n')).toContain(`"tenantId":"${tenantId}"`);

    const csv = await run('--local', '--with-tokens');
    expect(rowsIn(csv.stdout).map((cells) => cells?.at(-1)?.replace(/^'/, ''))).toEqual([
      'token',
      tokenOf('acme'),
      tokenOf('globex'),
      '',
    ]);
  });
});

describe('options', () => {
  test('tokens are not written to a terminal', () => {
    expect(() => parse(['--local', '--with-tokens'], true)).toThrow('does not write tokens to a terminal');
    expect(parse(['--local'], true).withTokens).toBe(false);
    expect(parse(['--local', '--with-tokens'])).toMatchObject({
      withTokens: true,
      where: { localPort: 8_080 },
    });
  });

  test.each([[[]], [['--stage', 'prod', '--local']]])('the target %j is refused', (args) => {
    expect(() => parse(args)).toThrow('Expected one of --stage <stage> and --local.');
  });
});
