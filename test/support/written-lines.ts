import { afterEach, beforeEach, vi } from 'vitest';
import { publishMetrics } from '../../functions/runtime/metrics.ts';

/** The lines that a test's functions write, parsed: of the log, and of metrics, whose `_aws` CloudWatch reads. */
export function captureLines(): Record<string, unknown>[] {
  const lines: Record<string, unknown>[] = [];
  beforeEach(() => {
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      lines.push(JSON.parse(String(text)));
      return true;
    });
    // Tests of other files in this worker have measured, too.
    publishMetrics();
    lines.length = 0;
  });
  afterEach(() => void vi.restoreAllMocks());
  return lines;
}

/** The log lines among them. */
export const logIn = (lines: readonly Record<string, unknown>[]) => lines.filter((line) => !('_aws' in line));

/** Names and values of the metrics among them. */
export const metricsIn = (lines: readonly Record<string, unknown>[]): Record<string, unknown> =>
  Object.assign(
    {},
    ...lines
      .filter((line) => '_aws' in line)
      .map((line) => Object.fromEntries(Object.entries(line).filter(([, value]) => Array.isArray(value)))),
  );

/** A context of Lambda with ten seconds left. */
export const context = { awsRequestId: 'request-1', getRemainingTimeInMillis: () => 10_000 };
