import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import type { InjectedFault } from '../../../../infra/local/faults.ts';
import { startLocalStack, type LocalStack } from '../../../../infra/local/stack.ts';
import { closeServer, listenOnLoopback } from '../../../../infra/local/loopback.ts';
import { newTenant } from '../../../support/real-servers.ts';
import { commandPrograms, compileCache, sharedBundle } from '../../../support/shared-bundle.ts';

const putEvents = 'AWSEvents.PutEvents';

let stack: LocalStack;
let directory: string;
let program: string;
const children: ChildProcess[] = [];
/** Injected faults by access key: each command of these tests has its own. */
const injectedFaults = new Map<string, (target: string) => InjectedFault | undefined>();

beforeAll(async () => {
  stack = await startLocalStack({
    bundle: sharedBundle,
    queue: { visibilityTimeoutMs: 300, maxReceiveCount: 100 },
  });
  stack.failEach(({ target, signer = '' }) => injectedFaults.get(signer)?.(target));
  directory = mkdtempSync(join(tmpdir(), 'onboard-'));
  program = (await commandPrograms())('onboard');
  // The first invocation bundles and starts the function, which should not count as a test's time.
  await stack.invoke('onboard-tenants', { Records: [] });
});
afterAll(async () => {
  // Processes that a failed test has left behind.
  for (const child of children) child.kill('SIGKILL');
  await stack.stop();
  rmSync(directory, { recursive: true });
});

const secretNameOf = (tenantId: string) => stack.tenantSecretName(tenantId, 'taxify');

function putTenantSecret(tenantId: string, value: string | object): void {
  stack.putSecret(secretNameOf(tenantId), value);
}

const secretsManager = (operation: string, body: object) =>
  fetch(stack.awsUrl, {
    method: 'POST',
    headers: { 'x-amz-target': `secretsmanager.${operation}` },
    body: JSON.stringify(body),
  });

function newTenants(count: number, { withSecret = true } = {}): string[] {
  return Array.from({ length: count }, () => {
    const tenantId = newTenant();
    if (withSecret) putTenantSecret(tenantId, { 'api.key': 'stored-key-for-tests' });
    return tenantId;
  });
}

/** A manifest and the command for it, which may run more than once. */
function onboarding(content: string | readonly string[], ending = 'csv') {
  const id = newTenant();
  const file = join(directory, `${id}.${ending}`);
  writeFileSync(file, typeof content === 'string' ? content : `tenantId\n${content.join('\n')}\n`);
  const where = ['--bus', stack.busName, '--table', stack.tableName];

  function start(...args: string[]) {
    return startCommand([file, ...where, '--rate', '200', ...args]);
  }

  function startCommand(args: string[], environment: Record<string, string> = {}) {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, ...args], {
      env: {
        PATH: process.env['PATH'],
        ...compileCache(),
        ...stack.environment,
        AWS_ACCESS_KEY_ID: id,
        ...environment,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(child);
    const output = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
    const ended = output.then(([stdout, stderr]) => ({ status: child.exitCode, stdout, stderr }));
    return { child, ended };
  }

  return {
    file,
    failedFile: join(directory, `${id}.failed.${ending}`),
    start,
    startCommand,
    run: (...args: string[]) => start(...args).ended,
    /** Sets the function that decides about each later request of the command. */
    meet: (faultFor: (target: string) => InjectedFault | undefined) => injectedFaults.set(id, faultFor),
  };
}

const pathOf = (tenantId: string) => `${stack.apiUrl}/tenants/${tenantId}/instances`;

const instancesOf = (tenantId: string) =>
  stack.simulator.instances.filter(({ tags }) => tags.includes(`tenant:${tenantId}`));

async function expectOneActiveInstance(tenantId: string): Promise<void> {
  const response = await fetch(`${pathOf(tenantId)}/taxify`);
  expect(await response.json()).toMatchObject({ status: 'active', id: instancesOf(tenantId)[0]?.id });
  expect(instancesOf(tenantId)).toHaveLength(1);
}

const requestsFor = (tenantId: string) =>
  stack.events.filter(
    (event) => event['detail-type'] === 'TenantOnboarded' && event.detail['tenantId'] === tenantId,
  ).length;

/** Waits for an effect of a running command. */
async function until(isSo: () => boolean): Promise<void> {
  await expect.poll(isSo, { timeout: 10_000, interval: 5 }).toBe(true);
}

/** Each command starts a process and waits for others, on a machine that may be busy. */
const patience = { timeout: 60_000 };

describe.concurrent('onboarding by manifest', patience, () => {
  test('a manifest with bad rows sends nothing', async () => {
    const [tenantId = ''] = newTenants(1);
    const { run, file, failedFile } = onboarding(`tenantId,name\n${tenantId},\n-bad,\nx,<b>\n`);
    const { status, stdout, stderr } = await run();
    expect(status).toBe(2);
    expect(stderr).toContain(`${file}:3: tenantId expected letters`);
    expect(stderr).toContain(`${file}:4: name expected a value in place of the placeholder`);
    expect(stderr).toContain('Nothing was sent');
    expect(stdout).toContain('3 rows, 2 of them bad');
    expect(requestsFor(tenantId)).toBe(0);
    expect(existsSync(failedFile)).toBe(false);
  });

  test('each good row is sent once, and failed rows are written down with reasons', async () => {
    const good = newTenants(23);
    const [lacking = ''] = newTenants(1, { withSecret: false });
    const [refused = ''] = newTenants(1);
    putTenantSecret(refused, { 'api.key': 'refused-key-for-tests' });
    const rows = [...good, lacking, '-bad', refused].map((tenantId) => `${tenantId},"Shop, Inc",eu`);
    const { run, failedFile } = onboarding(`tenantId,name,tags\n${rows.join('\n')}\n`);

    const { status, stdout } = await run('--skip-bad');
    expect(status).toBe(1);
    // Plain lines without a terminal.
    expect(stdout).not.toContain('\u001b');
    expect(stdout).not.toContain('\r');
    expect(stdout).toMatch(/26 rows\n23 active\n 2 failed\n 1 bad row, not sent/);
    for (const tenantId of [...good, lacking, refused]) expect(requestsFor(tenantId)).toBe(1);
    for (const tenantId of good) await expectOneActiveInstance(tenantId);
    expect(readFileSync(failedFile, 'utf8').split('\n')).toEqual([
      'line,code,why,tenantId,name,tags',
      expect.stringMatching(
        `^25,missing-configuration,.*without api.key: put it into the secret .*,${lacking},"Shop, Inc",eu$`,
      ),
      expect.stringMatching(/^26,bad-row,"tenantId expected .*",'-bad,"Shop, Inc",eu$/),
      expect.stringMatching(`^27,refused-by-cloud-elements,.*request [^)]+.*,${refused},"Shop, Inc",eu$`),
      '',
    ]);

    // The next run sends only the failed rows, with the same result.
    const again = await run('--skip-bad');
    expect(again.stdout).toContain('Already active: 23; to send: 2');
    expect(again.stdout).toMatch(/23 active\n 2 failed/);

    // The cause is removed.
    for (const tenantId of [lacking, refused]) putTenantSecret(tenantId, { 'api.key': 'mended' });
    expect((await run('--skip-bad')).stdout).toMatch(/25 active\n 1 bad row,/);
    expect([lacking, refused, ...good].map(requestsFor)).toEqual([3, 3, ...good.map(() => 1)]);
  });

  test('the file of failed rows is a manifest once it is corrected', async () => {
    const [good = '', bad = ''] = newTenants(2);
    const rows = [{ tenantId: good }, { tenantId: bad, name: '<b>' }].map(
      (row) => `${JSON.stringify(row)}\n`,
    );
    const first = onboarding(rows.join(''), 'jsonl');
    expect(await first.run('--skip-bad')).toMatchObject({ status: 1 });
    const failed = readFileSync(first.failedFile, 'utf8');
    expect(JSON.parse(failed)).toMatchObject({ line: 2, code: 'bad-row', tenantId: bad, name: '<b>' });

    const second = onboarding(failed.replace('<b>', 'Shop'), 'jsonl');
    expect(await second.run()).toMatchObject({ status: 0 });
    await expectOneActiveInstance(bad);
    expect([good, bad].map(requestsFor)).toEqual([1, 1]);
  });

  test('active tenants are not sent, and those with other settings fail', async () => {
    const [same = '', other = ''] = newTenants(2);
    for (const [tenantId, name] of [[same, 'Shop'] as const, [other, 'Another'] as const]) {
      putTenantSecret(tenantId, { 'api.key': 'any' });
      const body = { element: { key: 'taxify' }, name };
      const headers = { 'content-type': 'application/json' };
      await fetch(pathOf(tenantId), { method: 'POST', headers, body: JSON.stringify(body) });
    }
    const { run, failedFile } = onboarding(`tenantId,name\n${same},Shop\n${other},Shop\n`);
    const { status, stdout } = await run();
    expect(status).toBe(1);
    expect(stdout).toContain('Already active: 1, 1 cannot be sent; to send: 0');
    expect(readFileSync(failedFile, 'utf8')).toContain('3,settings-conflict,');
    expect([same, other].map(requestsFor)).toEqual([0, 0]);
  });

  test('a row without an outcome in time is reported, and sent again by the next run', async () => {
    const [tenantId = ''] = newTenants(1);
    putTenantSecret(tenantId, 'not JSON');
    const { run, failedFile } = onboarding([tenantId]);
    expect((await run('--timeout', '1')).stdout).toMatch(/1 without an outcome in time/);
    expect(readFileSync(failedFile, 'utf8')).toMatch(/2,no-outcome,.*(its row says|no row yet)/);
    putTenantSecret(tenantId, { 'api.key': 'mended' });
    expect(await run()).toMatchObject({ status: 0 });
    await expectOneActiveInstance(tenantId);
    // No row fails any more.
    expect(existsSync(failedFile)).toBe(false);
  });
});

describe.concurrent('a run that was interrupted', patience, () => {
  test.for([
    'by Ctrl-C',
    'by SIGKILL before the events were sent',
    'by SIGKILL after they were sent',
    'by SIGKILL while it followed them',
  ])(
    'a run interrupted %s is continued by the same command, with the counts of an uninterrupted run',
    async (moment) => {
      // One of the rows in flight then is refused for good.
      const [lacking = ''] = newTenants(1, { withSecret: false });
      const good = newTenants(24);
      const tenants = good.toSpliced(14, 0, lacking);
      const { start, run, meet } = onboarding(tenants);
      const first = start('--rate', '50');
      let puts = 0;
      if (moment === 'by Ctrl-C' || moment === 'by SIGKILL while it followed them') {
        await until(() => tenants.some((tenantId) => requestsFor(tenantId) > 0));
        first.child.kill(moment === 'by Ctrl-C' ? 'SIGINT' : 'SIGKILL');
      } else {
        meet((target) => {
          if (target !== putEvents || ++puts !== 2) return undefined;
          if (moment === 'by SIGKILL after they were sent') {
            return { loseResponse: () => first.child.kill('SIGKILL') };
          }
          first.child.kill('SIGKILL');
          return { stallMs: 60_000 };
        });
      }
      const { status, stderr } = await first.ended;
      const end = { status, goesOn: stderr.includes('Run the same command to continue') };
      expect(end).toEqual(
        moment === 'by Ctrl-C' ? { status: 130, goesOn: true } : { status: null, goesOn: false },
      );
      meet(() => undefined);

      const second = await run();
      expect(second.status).toBe(1);
      expect(second.stdout).toMatch(/25 rows\n24 active\n 1 failed/);
      for (const tenantId of good) await expectOneActiveInstance(tenantId);
    },
  );
});

describe.concurrent('when AWS fails', patience, () => {
  test('a call whose response is lost is repeated, and makes no second instance', async () => {
    const tenants = newTenants(15);
    const { run, meet } = onboarding(tenants);
    let puts = 0;
    meet((target) => (target === putEvents && ++puts === 1 ? { loseResponse: true } : undefined));
    expect(await run()).toMatchObject({ status: 0 });
    expect(tenants.map(requestsFor)).toEqual(tenants.map((_, index) => (index < 10 ? 2 : 1)));
    for (const tenantId of tenants) await expectOneActiveInstance(tenantId);
  });

  test('a call whose responses are lost again and again ends the run, and the same command continues it', async () => {
    const tenants = newTenants(20);
    const { run, meet } = onboarding(tenants);
    meet((target) => (target === putEvents ? { loseResponse: true } : undefined));
    expect(await run()).toMatchObject({ status: 3, stderr: expect.stringContaining('accepts no events') });
    meet(() => undefined);
    expect(await run()).toMatchObject({ status: 0 });
    for (const tenantId of tenants) await expectOneActiveInstance(tenantId);
  });

  test('a throttled call is repeated, and a denied one ends the run', async () => {
    const tenants = newTenants(3);
    const { run, meet } = onboarding(tenants);
    meet((target) =>
      target === putEvents ? { status: 400, type: 'AccessDeniedException', message: 'not you' } : undefined,
    );
    const { status, stderr } = await run();
    expect(status).toBe(3);
    expect(stderr).toContain('AccessDeniedException: not you');
    expect(tenants.map(requestsFor)).toEqual([0, 0, 0]);

    let puts = 0;
    meet((target) =>
      target === putEvents && ++puts === 1 ? { status: 400, type: 'ThrottlingException' } : undefined,
    );
    expect(await run()).toMatchObject({ status: 0 });
    expect(tenants.map(requestsFor)).toEqual([1, 1, 1]);
  });

  test('only entries that EventBridge does not accept are sent again', async () => {
    const tenants = newTenants(10);
    const { startCommand, file, failedFile } = onboarding(tenants);
    const [never = ''] = tenants;
    let calls = 0;
    await using proxy = await startServer(async (request, response) => {
      const { Entries } = entriesSchema.parse(JSON.parse(await text(request)));
      calls += 1;
      const failing = (index: number, detail: string) =>
        detail.includes(`"${never}"`)
          ? 'MalformedDetail'
          : calls === 1 && index % 2 === 0
            ? 'InternalFailure'
            : '';
      const passed = Entries.filter(({ Detail }, index) => !failing(index, Detail));
      const received = await fetch(stack.awsUrl, {
        method: 'POST',
        headers: { 'x-amz-target': putEvents },
        body: JSON.stringify({ Entries: passed }),
      });
      const ids = responsesSchema.parse(await received.json()).Entries;
      const responses = Entries.map(({ Detail }, index) => {
        const ErrorCode = failing(index, Detail);
        return ErrorCode ? { ErrorCode, ErrorMessage: 'in this test' } : ids.shift();
      });
      response.setHeader('content-type', 'application/x-amz-json-1.1');
      response.end(JSON.stringify({ FailedEntryCount: Entries.length - passed.length, Entries: responses }));
    });
    const where = ['--bus', stack.busName, '--table', stack.tableName];
    const command = [file, ...where, '--rate', '100'];
    const run = startCommand(command, { AWS_ENDPOINT_URL_EVENTBRIDGE: proxy.url });
    expect(await run.ended).toMatchObject({ status: 1, stdout: expect.stringContaining(' 9 active') });
    expect(calls).toBe(2);
    expect(tenants.map(requestsFor)).toEqual(tenants.map((tenantId) => (tenantId === never ? 0 : 1)));
    expect(readFileSync(failedFile, 'utf8')).toContain(
      '2,not-sent,EventBridge did not accept the event: MalformedDetail',
    );

    // It was never requested, and so is now.
    expect(await startCommand(command).ended).toMatchObject({ status: 0 });
    expect(tenants.map(requestsFor)).toEqual(tenants.map(() => 1));
  });

  test('a missing table is reported before anything is sent', async () => {
    const tenants = newTenants(1);
    const { startCommand, file } = onboarding(tenants);
    const args = [file, '--bus', stack.busName, '--table', 'not-there'];
    expect(await startCommand(args).ended).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('not-there'),
    });
    expect(tenants.map(requestsFor)).toEqual([0]);
  });
});

describe.concurrent('the command', patience, () => {
  test('the command finds bus and table of a deployed stage by the outputs of its stack', async () => {
    const [tenantId = ''] = newTenants(1);
    const { startCommand, file } = onboarding([tenantId]);
    const requested: string[] = [];
    await using cloudFormation = await startServer(async (request, response) => {
      requested.push(new URLSearchParams(await text(request)).get('StackName') ?? '');
      response.setHeader('content-type', 'text/xml');
      response.end(stackWith(output('EventBusName', stack.busName) + output('TableName', stack.tableName)));
    });
    const environment = { AWS_ENDPOINT_URL_CLOUDFORMATION: cloudFormation.url };
    const { status } = await startCommand([file, '--stage', 'prod'], environment).ended;
    expect(status).toBe(0);
    expect(requested).toEqual(['element-onboarding-prod']);
    await expectOneActiveInstance(tenantId);
  });

  test('two runs with the same manifest at once make one instance of each tenant', async () => {
    const tenants = newTenants(12);
    const { start } = onboarding(tenants);
    const runs = await Promise.all([start().ended, start().ended]);
    expect(runs.map(({ status }) => status)).toEqual([0, 0]);
    for (const tenantId of tenants) await expectOneActiveInstance(tenantId);
  });

  test('a file with other separators is reported as such', async () => {
    const { run, file } = onboarding('tenantId;name\nacme;Acme\n');
    expect(await run()).toMatchObject({
      status: 2,
      stderr: expect.stringContaining(`${file}:1: the columns are separated by ";", expected ","`),
    });
  });

  test('one row is counted as "1 row", and no control sequence of a manifest or its name reaches the terminal', async () => {
    const odd = onboarding('', 'odd\u001b[2J.csv');
    writeFileSync(odd.file, 'tenantId,a\u001b[31m\nacme,b\n');
    const refused = await odd.run();
    expect(refused.status).toBe(2);
    expect(refused.stderr).toContain('odd�[2J.csv:1: the name of column 2 is not a column');
    writeFileSync(odd.file, `tenantId\n${newTenants(1).join()}\n`);
    const sent = await odd.run();
    expect(sent).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('odd�[2J.csv: 1 row, 0 of them bad'),
    });
    expect(sent.stdout).toMatch(/^1 row\n1 active$/m);
    expect((refused.stdout + refused.stderr + sent.stdout + sent.stderr).includes('\u001b')).toBe(false);
  });
});

describe.concurrent('--check', patience, () => {
  test('a check of a stage names missing and unusable secrets, reads no value and sends nothing', async () => {
    const [good = '', deleted = '', empty = ''] = newTenants(3);
    const [missing = ''] = newTenants(1, { withSecret: false });
    await secretsManager('DeleteSecret', { SecretId: secretNameOf(deleted) });
    await secretsManager('DeleteSecret', { SecretId: secretNameOf(empty), ForceDeleteWithoutRecovery: true });
    await secretsManager('CreateSecret', { Name: secretNameOf(empty) });
    const tenants = [good, deleted, missing, empty];
    const { startCommand, meet, file } = onboarding([...tenants, '-bad']);
    const calls = new Set<string>();
    meet((target) => {
      calls.add(target);
      return undefined;
    });
    await using cloudFormation = await startCloudFormation();
    const environment = { AWS_ENDPOINT_URL_CLOUDFORMATION: cloudFormation.url };
    const { status, stdout, stderr } = await startCommand([file, '--check', '--stage', 'prod'], environment)
      .ended;
    expect(status).toBe(2);
    expect(stderr.split('\n').slice(1)).toEqual([
      `${file}:3: the secret ${secretNameOf(deleted)} of tenant ${deleted} is scheduled for deletion`,
      `${file}:4: the secret ${secretNameOf(missing)} of tenant ${missing} does not exist`,
      `${file}:5: the secret ${secretNameOf(empty)} of tenant ${empty} has no value yet`,
      '',
    ]);
    expect(stdout).toContain('3 rows without a usable secret');
    expect(calls).toEqual(new Set(['secretsmanager.DescribeSecret']));
    expect(tenants.map(requestsFor)).toEqual([0, 0, 0, 0]);
  });

  test('a check of a stage ends with 0 when each secret exists', async () => {
    const { startCommand, file } = onboarding(newTenants(25));
    await using cloudFormation = await startCloudFormation();
    const environment = { AWS_ENDPOINT_URL_CLOUDFORMATION: cloudFormation.url };
    const { status, stdout } = await startCommand([file, '--check', '--stage', 'prod'], environment).ended;
    expect(stdout).toContain("Each tenant's secret exists");
    expect(status).toBe(0);
  });

  test('a check that may not describe the secrets ends with 3', async () => {
    const { startCommand, file, meet } = onboarding(newTenants(1));
    meet(() => ({ status: 400, type: 'AccessDeniedException', message: 'not you' }));
    await using cloudFormation = await startCloudFormation();
    const environment = { AWS_ENDPOINT_URL_CLOUDFORMATION: cloudFormation.url };
    expect(await startCommand([file, '--check', '--stage', 'prod'], environment).ended).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('cannot be looked at: AccessDeniedException: not you'),
    });
  });

  test('a check without a target needs no account', async () => {
    const { startCommand, file } = onboarding(newTenants(1, { withSecret: false }));
    expect(await startCommand([file, '--check']).ended).toMatchObject({ status: 0, stderr: '' });
  });
});

const startCloudFormation = () =>
  startServer(async (_request, response) => {
    response.setHeader('content-type', 'text/xml');
    response.end(stackWith(output('TenantSecretPrefix', 'element-onboarding/tenants')));
  });
const stackWith = (outputs: string): string =>
  `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><Outputs>${outputs}</Outputs></member></Stacks>` +
  '</DescribeStacksResult></DescribeStacksResponse>';
const output = (key: string, value: string): string =>
  `<member><OutputKey>${key}</OutputKey><OutputValue>${value}</OutputValue></member>`;

const entriesSchema = z.object({ Entries: z.array(z.looseObject({ Detail: z.string() })) });
const responsesSchema = z.object({ Entries: z.array(z.unknown()) });
type Handler = (...args: Parameters<RequestListener>) => Promise<void>;

async function startServer(handler: Handler) {
  const server = createServer((request, response) => {
    handler(request, response).catch(() => response.destroy());
  });
  const url = await listenOnLoopback(server, 0);
  return { url, [Symbol.asyncDispose]: () => closeServer(server) };
}
