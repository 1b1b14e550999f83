import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startService, type Service } from '../../../support/running-service.ts';
import { commandPrograms, compileCache } from '../../../support/shared-bundle.ts';
import { keyOf, newTenant } from '../../../support/real-servers.ts';
import { closeServer, listenOnLoopback } from '../../../../infra/local/loopback.ts';
import { followClock } from '../../../../infra/cli/trust/clock.ts';
import { linesOf } from '../../../../infra/cli/trust/output.ts';
import { parseOptions } from '../../../../infra/cli/trust/options.ts';
import { tenantsIn } from '../../../../infra/cli/trust/tenants.ts';

/** The operator has just checked the instances. */
const yes = ['--yes', '--looked-at', new Date(Date.now() + 60_000).toISOString()];

// Each command is a process of its own, which takes a second to start on a busy machine.
describe('the command', { timeout: 30_000 }, () => {
  const operator = 'trusting-operator';
  const targets = new Set<string>();
  let service: Service;
  let program: string;
  let directory: string;
  beforeAll(async () => {
    service = await startService();
    service.stack.failEach(({ target, signer }) => {
      if (signer === operator) targets.add(target);
      return undefined;
    });
    directory = mkdtempSync(join(tmpdir(), 'trust-'));
    program = (await commandPrograms())('trust');
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  async function run(content: string, ...args: string[]) {
    const file = join(directory, `${newTenant()}.csv`);
    writeFileSync(file, content);
    const where = ['--table', service.stack.tableName];
    const child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', program, file, ...where, ...args],
      {
        env: {
          PATH: process.env['PATH'],
          ...compileCache(),
          ...service.stack.environment,
          AWS_ACCESS_KEY_ID: operator,
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    const [stdout, stderr] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'close'),
    ]);
    return {
      status: child.exitCode,
      stdout: stdout.replaceAll(file, 'tenants.csv'),
      stderr: stderr.replaceAll(file, 'tenants.csv'),
    };
  }

  async function withOwnKey(): Promise<string> {
    const tenantId = newTenant();
    const configuration = { 'api.key': 'own-key-for-tests', 'base.url': 'https://one.example' };
    await service.post(tenantId, { element: { key: 'taxify' }, configuration });
    await service.putTenantSecret(tenantId, { 'api.key': 'stored-key-for-tests' });
    return tenantId;
  }

  test('the command shows the changes, makes them with --yes, and the stored key can be sent afterwards', async () => {
    const tenantId = await withOwnKey();
    const path = `/tenants/${tenantId}/instances/taxify`;
    const token = (await service.get(`${path}/token`)).json;
    const file = `tenantId\n${tenantId}\n`;
    const before = await service.rowOf(tenantId);

    const shown = await run(file);
    expect(shown).toMatchObject({ status: 0, stderr: '' });
    expect(shown.stdout).toContain(
      `${tenantId}  taxify   request     would be trusted, with api.key, base.url as requests have set them`,
    );
    expect(shown.stdout).toContain('1 would be trusted, 0 as before, 0 refused\nNothing was changed.');
    expect(await service.rowOf(tenantId)).toEqual(before);
    expect(await service.patch(path, { configuration: {} })).toMatchObject({ status: 409 });

    const done = await run(file, ...yes);
    expect(done.status).toBe(0);
    expect(done.stdout).toContain('1 trusted, 0 as before, 0 refused');
    expect((await service.patch(path, { configuration: {} })).status).toBe(200);
    expect(service.instancesOf(tenantId)[0]?.configuration).toEqual({
      'api.key': 'stored-key-for-tests',
      'base.url': 'https://one.example',
    });
    expect((await service.get(`${path}/token`)).json).toEqual(token);
    expect((await run(file, ...yes)).stdout).toContain('0 trusted, 1 as before, 0 refused');
    // The actions in the README's policy.
    expect([...targets].toSorted()).toEqual(['DynamoDB_20120810.GetItem', 'DynamoDB_20120810.PutItem']);
    expect(JSON.stringify([shown, done])).not.toMatch(/key-for-tests|one\.example/);
  });

  test('the command lists refused instances, continues with the rest, and writes one JSON object per tenant', async () => {
    const [missing, good] = [newTenant(), await withOwnKey()];
    const { status, stdout, stderr } = await run(
      `tenantId,elementKey\n${missing},\n${good},taxify\n`,
      ...yes,
      '--json',
    );
    expect({ status, stderr }).toEqual({ status: 1, stderr: '' });
    const lines = stdout.trim().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      {
        at: expect.stringMatching(/^20.*Z$/),
        tenantId: missing,
        elementKey: 'taxify',
        outcome: 'refused',
        reason: 'there is no such instance',
      },
      {
        at: expect.any(String),
        tenantId: good,
        elementKey: 'taxify',
        outcome: 'trusted',
        was: 'request',
        entries: ['api.key', 'base.url'],
        provisionId: expect.any(String),
        instanceId: service.instancesOf(good)[0]?.id,
      },
    ]);
  });

  test('the command changes nothing when a line of the file is wrong', async () => {
    const tenantId = await withOwnKey();
    const before = await service.rowOf(tenantId);
    const { status, stderr } = await run(`tenantId\n${tenantId}\nno tenant!\n`, ...yes);
    expect(status).toBe(2);
    expect(stderr).toContain('tenants.csv:3: tenantId expected letters');
    expect(await service.rowOf(tenantId)).toEqual(before);
  });

  test('the command ends with status 3 when a call to the table fails', async () => {
    const { status, stderr } = await run('tenantId\nacme\n', '--table', 'no-such-table');
    expect(status).toBe(3);
    expect(stderr).toContain('Run the command again');
  });
});

test('a file of tenants names instances, taxify by default', () => {
  expect(tenantsIn('t.csv', '\uFEFFelementKey, tenantId\r\n,acme\r\nfreshdeskv2,acme\r\n,\r\n\r\n')).toEqual([
    { tenantId: 'acme', elementKey: 'taxify' },
    { tenantId: 'acme', elementKey: 'freshdeskv2' },
  ]);
});

test.each([
  [
    'no header',
    'acme\n',
    't.csv:1: column 1 is not known: expected tenantId and elementKey\nt.csv:1: there is no',
  ],
  ['a misspelled column', 'tenantId,elementkey\na,b\n', 't.csv:1: column 2 is not known'],
  ['a column twice', 'tenantId,tenantId\na,b\n', 't.csv:1: the column tenantId is there twice'],
  ['no rows', 'tenantId\n', 't.csv has no rows'],
  ['nothing', '', 't.csv:1: there is no column tenantId'],
  ['a short line', 'tenantId,elementKey\nacme\n', 't.csv:2: expected 2 columns, got 1'],
  ['a tenant twice', 'tenantId,elementKey\nacme,\nacme,taxify\n', 't.csv:3: names the same instance'],
  ['a whole tenant', 'tenantId,elementKey\nacme,*\n', 't.csv:2: elementKey expected lower-case letters'],
  ['a quote out of place', 'tenantId\nac"me\n', 't.csv:2: a quote (") is not where CSV allows one'],
  ['semicolons', 'tenantId;elementKey\nacme;\n', 't.csv:1: the columns are separated by ";", expected ","'],
])('a file of tenants with %s is refused', (_what, content, message) => {
  expect(() => tenantsIn('t.csv', content)).toThrow(message);
});

test.each([
  [[], 'Expected the name of one file of tenants, got 0.'],
  [['a.csv', 'b.csv', '--stage', 's'], 'Expected the name of one file of tenants, got 2.'],
  [['a.csv'], 'Expected one of --stage <stage>, --local and --table <name>.'],
  [['a.csv', '--stage', 's', '--local'], '--stage and --local name different tables: give one of them.'],
  [['a.csv', '--stage', 's', '--force'], '--force'],
  [['a.csv', '--stage', 's', '--yes'], 'Expected --yes with --looked-at'],
  [['a.csv', '--stage', 's', '--yes', '--looked-at', 'noon'], 'Expected --yes with --looked-at'],
  [['a.csv', '--stage', 's', '--looked-at', '2026-11-25T12:00:00Z'], 'Expected --yes with --looked-at'],
])('the arguments %j are refused', (args, message) => {
  expect(() => parseOptions(args, {})).toThrow(message);
});

test('arguments decide the target and whether changes are made', () => {
  expect(parseOptions(['a.csv', '--stage', 'prod'], {})).toEqual({
    file: 'a.csv',
    where: { stage: 'prod' },
    lookedAtMs: undefined,
    json: false,
  });
  const options = parseOptions(['a.csv', '--local', ...yes, '--json'], { PORT: '9000' });
  expect(options).toMatchObject({
    where: { localPort: 9_000 },
    lookedAtMs: Date.parse(yes[2] ?? ''),
    json: true,
  });
  expect(() => parseOptions(['a.csv', '--local'], { PORT: 'x' })).toThrow('Expected PORT');
});

test('lines are aligned for names of any length', () => {
  expect(
    linesOf([
      { key: keyOf('a'), trusted: { kind: 'unchanged', was: 'secret' } },
      { key: keyOf('a-longer-one'), trusted: { kind: 'refused', was: 'request', reason: 'it is failed' } },
    ]),
  ).toEqual([
    'tenant        element  source was',
    'a             taxify   secret      as before',
    'a-longer-one  taxify   request     refused: it is failed',
  ]);
});

test('time comes from AWS, not from this machine', async () => {
  const aheadMs = 3_600_000;
  const server = createServer((_request, response) => {
    response.setHeader('date', new Date(Date.now() + aheadMs).toUTCString());
    response.end('{}');
  });
  const url = await listenOnLoopback(server, 0);
  const credentials = { accessKeyId: 'tests', secretAccessKey: 'tests' };
  const client = new DynamoDBClient({ endpoint: url, region: 'us-east-1', credentials });
  const clock = followClock(client);
  const before = Date.now();
  expect(clock.now()).toBeLessThan(before + 60_000);
  await client.send(new GetItemCommand({ TableName: 't', Key: { tenantId: { S: 'acme' } } }));
  // A date has no fractions of a second, so it is a little behind.
  expect(clock.now()).toBeGreaterThan(before + aheadMs - 1_001);
  expect(clock.now()).toBeLessThanOrEqual(Date.now() + aheadMs);
  client.destroy();
  await closeServer(server);
});
