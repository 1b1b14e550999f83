import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import * as z from 'zod/mini';
import { createExecutionEnvironments } from '../../../../infra/local/aws/execution-environments.ts';

/** A function controlled by its event. */
const fixture = `
  import { fileURLToPath } from 'node:url';
  let invocations = 0;
  export async function handler(event, context) {
    invocations += 1;
    if (event.log) process.stdout.write(event.log);
    if (event.waitMs) await new Promise((resolve) => setTimeout(resolve, event.waitMs));
    if (event.throws) throw Object.assign(new TypeError(event.throws), { detail: 'a property' });
    if (event.exits !== undefined) process.exit(event.exits);
    return {
      invocations,
      pid: process.pid,
      file: fileURLToPath(import.meta.url),
      environment: process.env,
      context: { ...context, remainingMs: context.getRemainingTimeInMillis() },
    };
  }
`;

const responseSchema = z.object({
  invocations: z.number(),
  pid: z.number(),
  file: z.string(),
  environment: z.record(z.string(), z.string()),
  context: z.looseObject({ remainingMs: z.number() }),
});

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

function start({
  timeoutMs,
  source = fixture,
  bundle = () => {},
}: { timeoutMs?: number; source?: string; bundle?: () => void } = {}) {
  const logs: string[] = [];
  const bundled: string[] = [];
  const environments = createExecutionEnvironments({
    bundle: (name, directory) => {
      bundled.push(name);
      bundle();
      writeFileSync(join(directory, 'index.mjs'), source);
    },
    environmentOf: (name) => ({ TABLE_NAME: `table of ${name}` }),
    ...(timeoutMs !== undefined && { timeoutMsOf: () => timeoutMs }),
    onLog: (name, line) => logs.push(`${name}: ${line}`),
  });
  ends.push(environments.stop);
  return {
    ...environments,
    logs,
    bundled,
    run: async (event: unknown) => responseSchema.parse(await environments.invoke('a-function', event)),
  };
}

test('a function gets its own environment and nothing of its parent’s', async () => {
  process.env['PARENT_ONLY'] = 'secret';
  const { run } = start();
  const { environment } = await run({});
  expect(environment).toEqual({
    PATH: process.env['PATH'],
    TZ: 'UTC',
    AWS_LAMBDA_FUNCTION_NAME: 'a-function',
    TABLE_NAME: 'table of a-function',
  });
});

test('a function gets its name and its remaining time', async () => {
  const { run } = start({ timeoutMs: 5_000 });
  const { context } = await run({ waitMs: 50 });
  expect(context).toMatchObject({
    functionName: 'a-function',
    functionVersion: '$LATEST',
    invokedFunctionArn: 'arn:aws:lambda:us-east-1:000000000000:function:a-function',
    memoryLimitInMB: '512',
    awsRequestId: expect.stringMatching(/^[\da-f-]{36}$/),
  });
  expect(context.remainingMs).toBeGreaterThan(3_000);
  expect(context.remainingMs).toBeLessThanOrEqual(4_951);
});

test('a function is bundled and started once for concurrent invocations', async () => {
  const { run, bundled } = start();
  const responses = await Promise.all([run({}), run({}), run({})]);
  expect(new Set(responses.map(({ pid }) => pid)).size).toBe(1);
  expect((await run({})).invocations).toBe(4);
  expect(bundled).toEqual(['a-function']);
});

test('every line that a function writes is passed on before its response', async () => {
  const { run, logs } = start();
  await run({ log: 'first\n\nsecond' });
  expect(logs).toEqual(['a-function: first', 'a-function: ', 'a-function: second']);
  await run({ log: `\n${'x'.repeat(100)}`.repeat(10_000) });
  expect(logs).toHaveLength(10_004);
});

test('an invocation rejects when a function throws, which logs as in Lambda and keeps the process', async () => {
  const { run, logs } = start();
  const { pid } = await run({});
  await expect(run({ throws: 'no such thing' })).rejects.toThrow('TypeError: no such thing');
  expect(logs.join('\n')).toMatch(/"errorType":"TypeError".*"detail":"a property"/);
  expect((await run({})).pid).toBe(pid);
});

test('an invocation rejects when a function crashes, and the next one starts another process', async () => {
  const { run } = start();
  const { pid } = await run({});
  await expect(run({ exits: 3 })).rejects.toThrow('a-function ended: exit status 3');
  const next = await run({});
  expect(next.pid).not.toBe(pid);
  expect(next.invocations).toBe(1);
});

test('a crash of a function is logged with Lambda’s message', async () => {
  const { run, logs } = start();
  await expect(run({ exits: 3 })).rejects.toThrow('exit status 3');
  expect(logs).toEqual([
    expect.stringMatching(
      /^a-function: RequestId: [\da-f-]{36} Error: Runtime exited with error: exit status 3$/,
    ),
  ]);
});

test('a failed bundle is logged and built again at the next invocation', async () => {
  let isInstalled = false;
  const { run, logs, bundled } = start({
    bundle: () => {
      if (!isInstalled) throw new Error('Build failed:\n  zod is missing');
    },
  });
  await expect(run({})).rejects.toThrow('zod is missing');
  expect(logs).toEqual(['a-function: a-function cannot be started: Build failed: zod is missing']);
  isInstalled = true;
  expect(await run({})).toMatchObject({ invocations: 1 });
  expect(bundled).toHaveLength(2);
});

test('a bundle that was deleted is built again', async () => {
  const { run, kill, bundled } = start();
  const { file } = await run({});
  kill('a-function');
  rmSync(dirname(dirname(file)), { recursive: true });
  await expect(run({})).rejects.toThrow('exit status 1');
  expect(await run({})).toMatchObject({ invocations: 1 });
  expect(bundled).toHaveLength(2);
});

test('a temporary directory that is not writable is named in the log, and used once it is writable', async () => {
  const { run, logs } = start();
  vi.stubEnv('TMPDIR', '/proc/nowhere');
  onTestFinished(() => void vi.unstubAllEnvs());
  await expect(run({})).rejects.toThrow('ENOENT');
  expect(logs).toEqual([expect.stringContaining('a-function cannot be started: ENOENT')]);
  expect(logs.join('')).toContain('/proc/nowhere/element-onboarding-');
  vi.unstubAllEnvs();
  expect(await run({})).toMatchObject({ invocations: 1 });
});

test('a process that cannot be started is an error in the log, and does not end its parent', async () => {
  const { run, logs } = start();
  const { execPath } = process;
  process.execPath = '/nowhere/node';
  onTestFinished(() => {
    process.execPath = execPath;
  });
  await expect(run({})).rejects.toThrow('spawn /nowhere/node ENOENT');
  expect(logs).toEqual([expect.stringContaining('a-function cannot be started: a-function ended: spawn')]);
  process.execPath = execPath;
  expect(await run({})).toMatchObject({ invocations: 1 });
});

test('a function that times out is killed, and the next invocation starts another process', async () => {
  const { run, logs } = start({ timeoutMs: 100 });
  const { pid } = await run({});
  await expect(run({ waitMs: 60_000 })).rejects.toThrow('Task timed out after 0.10 seconds');
  expect(logs.at(-1)).toMatch(/Task timed out after 0.10 seconds$/);
  expect((await run({})).pid).not.toBe(pid);
  await expect.poll(() => isAlive(pid)).toBe(false);
});

test('a function is killed on request, in the middle of its work', async () => {
  const { run, kill } = start();
  await run({});
  const working = run({ waitMs: 60_000 });
  setTimeout(() => kill('a-function'), 20);
  await expect(working).rejects.toThrow('a-function ended: SIGKILL');
});

test('an invocation rejects when a function cannot be loaded', async () => {
  const { run, logs } = start({ source: 'throw new Error("not loadable")' });
  await expect(run({})).rejects.toThrow('a-function ended: exit status 1');
  expect(logs.join('\n')).toContain('not loadable');
});

test('a stop leaves neither processes nor files', async () => {
  const { run, invoke, stop } = start();
  const { pid, file } = await run({});
  expect(existsSync(file)).toBe(true);
  const working = run({ waitMs: 60_000 }).catch((error: unknown) => error);
  await setImmediate();
  await stop();
  expect(await working).toMatchObject({ message: 'a-function ended: SIGKILL' });
  expect(isAlive(pid)).toBe(false);
  expect(existsSync(dirname(dirname(file)))).toBe(false);
  await expect(invoke('a-function', {})).rejects.toThrow('was stopped');
});

test('killing the parent leaves no process behind', async () => {
  // Checked by its port: a process id remains after its process until the parent has read its status.
  const listening = `
    import { createServer } from 'node:net';
    import { fileURLToPath } from 'node:url';
    export const handler = () =>
      new Promise((resolve) => {
        const server = createServer().listen(0, '127.0.0.1', () =>
          resolve({ port: server.address().port, file: fileURLToPath(import.meta.url) }),
        );
      });
  `;
  const script = `
    import { writeFileSync } from 'node:fs';
    import { createExecutionEnvironments } from '${new URL('../../../../infra/local/aws/execution-environments.ts', import.meta.url).href}';
    const environments = createExecutionEnvironments({
      bundle: (_, directory) => writeFileSync(directory + '/index.mjs', ${JSON.stringify(listening)}),
      environmentOf: () => ({}),
    });
    process.stdout.write(JSON.stringify(await environments.invoke('a-function', {})), () => process.kill(process.pid, 'SIGKILL'));
  `;
  const killed: unknown = await promisify(execFile)(process.execPath, [
    '--input-type=module',
    '--eval',
    script,
  ]).catch((error: unknown) => error);
  const { stdout } = z.object({ signal: z.literal('SIGKILL'), stdout: z.string() }).parse(killed);
  const { port, file } = z.object({ port: z.number(), file: z.string() }).parse(JSON.parse(stdout));
  await expect.poll(() => accepts(port)).toBe(false);
  rmSync(dirname(dirname(file)), { recursive: true });
});

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test('a bundle that is still being written during a stop is removed, too', async () => {
  const begun = Promise.withResolvers<string>();
  const { promise: goOn, resolve: letGoOn } = Promise.withResolvers<void>();
  const { invoke, stop } = createExecutionEnvironments({
    bundle: async (_, directory) => {
      begun.resolve(directory);
      await goOn;
      mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, 'index.mjs'), fixture);
    },
    environmentOf: () => ({}),
  });
  const invoked = invoke('slow', {});
  const directory = await begun.promise;
  const stopping = stop();
  await setImmediate();
  letGoOn();
  const [response] = await Promise.allSettled([invoked, stopping]);
  expect(response).toMatchObject({ status: 'rejected', reason: { message: 'The local stack was stopped.' } });
  expect(existsSync(dirname(directory))).toBe(false);
  await expect(invoke('another', {})).rejects.toThrow('The local stack was stopped.');
});
