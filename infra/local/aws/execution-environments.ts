import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import * as z from 'zod/mini';
import { functionTimeoutMs } from '../../../functions/model/timing.ts';
import { accountId, region } from './aws-protocol.ts';

const environmentFile = fileURLToPath(new URL('execution-environment.js', import.meta.url));

export type Invocation = {
  requestId: string;
  functionName: string;
  arn: string;
  event: unknown;
  deadlineMs: number;
};

const environmentMessageSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ready') }),
  z.object({ kind: z.literal('answer'), requestId: z.string(), response: z.optional(z.unknown()) }),
  z.object({
    kind: z.literal('failure'),
    requestId: z.string(),
    errorType: z.string(),
    errorMessage: z.string(),
  }),
]);
export type EnvironmentMessage = z.infer<typeof environmentMessageSchema>;

type ExecutionEnvironment = ReturnType<typeof startEnvironment>;

/**
 * Written to both streams at the end of an invocation, as in Lambda's log. The response is passed on after both lines,
 * so that all earlier log lines have been read.
 */
const endOfInvocation = /^(.*)END RequestId: ([\da-f-]{36})$/;

type PendingInvocation = {
  resolve: (response: unknown) => void;
  reject: (error: Error) => void;
  /** Resolves when both streams have been read to the end of this invocation. */
  logged: Promise<void>;
  countEndedStream: () => void;
};

/**
 * Lambda on this machine: each function is bundled once and runs in a process of its own, started by its first
 * invocation and kept warm, with no other input than its environment. Unlike in Lambda, concurrent invocations share the
 * process, so a timeout of one ends all of them.
 */
export function createExecutionEnvironments<Name extends string>({
  bundle,
  environmentOf,
  timeoutMsOf = () => functionTimeoutMs,
  onLog = () => {},
}: {
  /** Writes `index.mjs`, which exports `handler`, into the directory. */
  bundle: (name: Name, directory: string) => void | Promise<void>;
  environmentOf: (name: Name) => Record<string, string>;
  timeoutMsOf?: (name: Name) => number;
  /** Every line that a function writes, to either stream, as CloudWatch would keep it. */
  onLog?: (name: Name, line: string) => void;
}) {
  const warm = new Map<Name, ExecutionEnvironment>();
  const alive = new Set<ExecutionEnvironment>();
  const bundleFiles = new Map<Name, Promise<string>>();
  let temporaryDirectory: string | undefined;
  let stopped = false;

  function bundleFileOf(name: Name): Promise<string> {
    const bundleFile = bundleFiles.get(name) ?? bundleOnce(name);
    bundleFiles.set(name, bundleFile);
    return bundleFile;
  }

  /**
   * Returns the function's execution environment, once it is ready. Failures are not cached: a module may be missing, or a directory
   * not writable, only while `npm ci` runs. Unlike a handler's error, such a failure is in no log of the function.
   */
  async function startedEnvironment(name: Name): Promise<ExecutionEnvironment> {
    const bundleFile = bundleFileOf(name);
    try {
      const file = await bundleFile;
      throwIfStopped();
      const environment = warmEnvironment(name, file);
      await environment.ready;
      return environment;
    } catch (error) {
      if (bundleFiles.get(name) === bundleFile) bundleFiles.delete(name);
      if (!stopped) onLog(name, `${name} cannot be started: ${onOneLine(error)}`);
      throw error;
    }
  }

  async function bundleOnce(name: Name): Promise<string> {
    temporaryDirectory ??= mkdtempSync(join(tmpdir(), 'element-onboarding-'));
    const directory = join(temporaryDirectory, name);
    mkdirSync(directory, { recursive: true });
    await bundle(name, directory);
    // Stacks whose bundles are links to the same files share the compile cache beside these.
    return realpathSync(join(directory, 'index.mjs'));
  }

  function warmEnvironment(name: Name, bundleFile: string): ExecutionEnvironment {
    const known = warm.get(name);
    if (known) return known;
    const environment = startEnvironment({
      name,
      bundleFile,
      environment: environmentOf(name),
      onLine: (line) => onLog(name, line),
      onEnd: () => {
        alive.delete(environment);
        forget(name, environment);
      },
    });
    alive.add(environment);
    warm.set(name, environment);
    return environment;
  }

  function forget(name: Name, environment: ExecutionEnvironment): void {
    if (warm.get(name) === environment) warm.delete(name);
  }

  function throwIfStopped(): void {
    if (stopped) throw new Error('The local stack was stopped.');
  }

  /** Returns the function's response; rejects when it throws, crashes or runs out of time. */
  async function invoke(name: Name, event: unknown): Promise<unknown> {
    throwIfStopped();
    // As in Lambda, the time for loading the bundle does not count.
    const environment = await startedEnvironment(name);
    const requestId = randomUUID();
    const timeoutMs = timeoutMsOf(name);
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        const message = `Task timed out after ${(timeoutMs / 1_000).toFixed(2)} seconds`;
        onLog(name, `${requestId} ${message}`);
        reject(new Error(`${name}: ${message}`));
        environment.kill();
        forget(name, environment);
      }, timeoutMs);
    });
    try {
      const arn = `arn:aws:lambda:${region}:${accountId}:function:${name}`;
      const deadlineMs = Date.now() + timeoutMs;
      return await Promise.race([
        environment.invoke({ requestId, functionName: name, arn, event, deadlineMs }),
        timeout,
      ]);
    } catch (error) {
      const exit = environment.exit();
      // The message of Lambda's log.
      if (exit !== undefined && !stopped) {
        onLog(name, `RequestId: ${requestId} Error: Runtime exited with error: ${exit}`);
      }
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Kills the function's process at once; the next invocation starts another.
   * @returns whether the process existed
   */
  function kill(name: Name): boolean {
    const environment = warm.get(name);
    environment?.kill();
    if (environment) forget(name, environment);
    return environment !== undefined;
  }

  /** Ends every process started here and removes the bundles. */
  async function stop(): Promise<void> {
    stopped = true;
    for (const environment of alive) environment.kill();
    await Promise.all([...alive].map(({ ended }) => ended));
    // A bundling that is still running would create the directory again.
    await Promise.allSettled(bundleFiles.values());
    if (temporaryDirectory) rmSync(temporaryDirectory, { recursive: true, force: true });
  }

  return { invoke, kill, stop };
}

function startEnvironment({
  name,
  bundleFile,
  environment,
  onLine,
  onEnd,
}: {
  name: string;
  bundleFile: string;
  environment: Record<string, string>;
  onLine: (line: string) => void;
  onEnd: () => void;
}) {
  const pending = new Map<string, PendingInvocation>();
  const { promise: ready, resolve: markReady, reject: markBroken } = Promise.withResolvers<void>();

  const child = fork(environmentFile, [bundleFile], {
    env: {
      PATH: process.env['PATH'] ?? '',
      TZ: 'UTC',
      AWS_LAMBDA_FUNCTION_NAME: name,
      // A compile cache beside the bundles: processes after the first start in half the time.
      NODE_COMPILE_CACHE: join(dirname(bundleFile), '..', 'compiled'),
      ...environment,
    },
    // Not those of this process.
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  for (const input of [child.stdout, child.stderr]) {
    if (input) createInterface({ input }).on('line', readLine);
  }
  child.on('message', (message) => {
    const parsed = environmentMessageSchema.parse(message);
    if (parsed.kind === 'ready') markReady();
    else void settle(parsed);
  });
  let exit: string | undefined;
  let startError: Error | undefined;
  child.once('error', (error) => {
    startError = error;
  });
  // Emitted once the output has been read to the end, unlike 'exit', and also for a process that did not start.
  const { promise: ended, resolve: markEnded } = Promise.withResolvers<void>();
  child.once('close', () => {
    onEnd();
    exit = startError?.message ?? child.signalCode ?? `exit status ${child.exitCode}`;
    const ending = new Error(`${name} ended: ${exit}`);
    markBroken(ending);
    for (const { reject } of pending.values()) reject(ending);
    markEnded();
  });

  function readLine(line: string): void {
    const [, before = line, endedId] = endOfInvocation.exec(line) ?? [];
    if (before || endedId === undefined) onLine(before);
    if (endedId !== undefined) pending.get(endedId)?.countEndedStream();
  }

  async function settle(message: Exclude<EnvironmentMessage, { kind: 'ready' }>): Promise<void> {
    const invocation = pending.get(message.requestId);
    await invocation?.logged;
    if (message.kind === 'answer') invocation?.resolve(message.response ?? null);
    else invocation?.reject(new Error(`${message.errorType}: ${message.errorMessage}`));
  }

  return {
    /** Rejects when the process ends before it has loaded the bundle. */
    ready,
    ended,
    /** The exit code or signal of the process, once it has ended. */
    exit: () => exit,

    async invoke(invocation: Invocation): Promise<unknown> {
      const { promise: logged, resolve: markLogged } = Promise.withResolvers<void>();
      let streamsToEnd = 2;
      const countEndedStream = () => {
        streamsToEnd -= 1;
        if (streamsToEnd === 0) markLogged();
      };
      const { promise: response, resolve, reject } = Promise.withResolvers<unknown>();
      pending.set(invocation.requestId, { resolve, reject, logged, countEndedStream });
      // Sending fails only when the process is ending, and its end rejects all pending invocations.
      child.send(invocation, () => {});
      try {
        return await response;
      } finally {
        pending.delete(invocation.requestId);
      }
    },

    kill(): void {
      child.kill('SIGKILL');
    },
  };
}

function onOneLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/\s*\n\s*/g, ' ');
}
