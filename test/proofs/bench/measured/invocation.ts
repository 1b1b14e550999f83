import type { Handler } from 'aws-lambda';
import { readFileSync } from 'node:fs';

/** Runs in the measured processes: imports nothing that the bundle would have to load itself. */

export async function loadHandler(bundleUrl: string): Promise<Handler> {
  const { handler }: { handler: Handler } = await import(bundleUrl);
  return handler;
}

let invocations = 0;

export async function invoke(handler: Handler, event: unknown): Promise<unknown> {
  const deadlineAt = Date.now() + Number(process.env['BENCH_TIMEOUT_MS']);
  const functionName = process.env['AWS_LAMBDA_FUNCTION_NAME'] ?? '';
  invocations += 1;
  const response: unknown = await handler(
    event,
    {
      awsRequestId: `00000000-0000-4000-8000-${String(invocations).padStart(12, '0')}`,
      functionName,
      functionVersion: '$LATEST',
      invokedFunctionArn: `arn:aws:lambda:us-east-1:000000000000:function:${functionName}`,
      memoryLimitInMB: '512',
      logGroupName: `/aws/lambda/${functionName}`,
      logStreamName: 'bench',
      callbackWaitsForEmptyEventLoop: true,
      getRemainingTimeInMillis: () => deadlineAt - Date.now(),
      done: () => {},
      fail: () => {},
      succeed: () => {},
    },
    () => {},
  );
  return response;
}

export function cpuMs(since?: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1_000;
}

/**
 * The peak memory of the process. On Linux `maxRSS` starts with the peak of the parent process, here the benchmark with
 * all its servers, so there it is read from the process's own status.
 */
export function peakBytes(): number {
  try {
    const [, kib] = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    if (kib !== undefined) return Number(kib) * 1_024;
  } catch {
    // Not on Linux.
  }
  return process.resourceUsage().maxRSS * 1_024;
}
