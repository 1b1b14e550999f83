import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { pathToFileURL } from 'node:url';
import * as z from 'zod/mini';

/** A bundle to be measured and the whole of its environment. */
export type Subject = { file: string; environment: Record<string, string> };

const coldSchema = z.object({
  ms: z.number(),
  cpuMs: z.number(),
  peakBytes: z.number(),
  response: z.optional(z.unknown()),
});
export type ColdRun = Omit<z.infer<typeof coldSchema>, 'answer'>;

const warmSchema = z.object({
  latenciesMs: z.array(z.number()),
  cpuMs: z.number(),
  responses: z.array(z.unknown()),
  peakBytes: z.number(),
  rssBytes: z.number(),
  heapBytes: z.number(),
});
export type WarmRun = z.infer<typeof warmSchema>;

export type ExecutionEnvironment = Awaited<ReturnType<typeof startEnvironment>>;

/**
 * Flags with the shares of the function's memory that the start script of Lambda's Node runtime sets, a tenth for the
 * young generation: otherwise the collector would use the limits of the whole machine.
 */
function flagsFor({ AWS_LAMBDA_FUNCTION_MEMORY_SIZE: memoryMb }: Subject['environment']): string[] {
  const youngMb = Math.floor(Number(memoryMb) / 10);
  return [
    '--expose-gc',
    `--max-semi-space-size=${Math.floor(youngMb / 2)}`,
    `--max-old-space-size=${Number(memoryMb) - youngMb}`,
  ];
}

/** Starts processes that measure themselves. `coldFile` and `warmFile` are the programs of `measured/`, bundled. */
export function createProcesses({ coldFile, warmFile }: { coldFile: string; warmFile: string }) {
  return {
    /** Starts a process, has it import the bundle and answer the event, and reads the cost. */
    async startCold({ file, environment }: Subject, event: unknown): Promise<ColdRun> {
      const child = spawn(
        process.execPath,
        [...flagsFor(environment), coldFile, pathToFileURL(file).href, JSON.stringify(event)],
        { env: environment, stdio: ['ignore', 'ignore', 'pipe', 'pipe'] },
      );
      const [report, complaint] = [child.stdio[3], child.stderr].map((stream) => {
        const chunks: Buffer[] = [];
        stream?.on('data', (chunk: Buffer) => chunks.push(chunk));
        return chunks;
      });
      await once(child, 'close');
      if (child.exitCode !== 0 || !report) {
        throw new Error(`${file} did not answer: ${Buffer.concat(complaint ?? []).toString()}`);
      }
      const { response, ...run } = coldSchema.parse(JSON.parse(Buffer.concat(report).toString()));
      assertGood(response, file);
      return run;
    },

    startWarm: (subject: Subject) => startEnvironment(warmFile, subject),
  };
}

async function startEnvironment(warmFile: string, { file, environment }: Subject) {
  const child = fork(warmFile, [pathToFileURL(file).href], {
    env: environment,
    execArgv: flagsFor(environment),
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const closed = once(child, 'close');
  const message = async (): Promise<unknown> => {
    const { promise: ended, reject } = Promise.withResolvers<never>();
    const onClose = () => reject(new Error(`${file} ended.`));
    child.once('close', onClose);
    try {
      const [first]: unknown[] = await Promise.race([once(child, 'message'), ended]);
      return first;
    } finally {
      child.off('close', onClose);
    }
  };
  await message();

  return {
    /**
     * Runs the events one after the other.
     * @param aheadMs how far the clock of the process is ahead of real time
     */
    async run(events: readonly unknown[], aheadMs = 0): Promise<WarmRun> {
      const answered = message();
      child.send({ events, aheadMs });
      const run = warmSchema.parse(await answered);
      for (const response of run.responses) assertGood(response, file);
      return run;
    },

    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await closed;
    },
  };
}

/** Figures of failed HTTP responses and of batches with failed messages are meaningless. */
const badResponses = z.union([
  z.object({ statusCode: z.number().check(z.gte(202)), body: z.optional(z.string()) }),
  z.object({ batchItemFailures: z.array(z.unknown()).check(z.minLength(1)) }),
]);

function assertGood(response: unknown, file: string): void {
  if (!badResponses.safeParse(response).success) return;
  const statusOnly = z.object({ statusCode: z.literal(204) }).safeParse(response).success;
  if (!statusOnly) throw new Error(`${file} answered ${JSON.stringify(response)}`);
}
