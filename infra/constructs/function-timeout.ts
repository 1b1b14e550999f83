import { functionTimeoutMs } from '../../functions/model/timing.ts';
import type { Trigger } from '../../functions/triggers.ts';

/** How long an invocation of a function may last, in AWS and on this machine. */
export function timeoutMsOf({ schedule }: Trigger): number {
  const { timeoutMinutes } = schedule ?? {};
  return timeoutMinutes === undefined ? functionTimeoutMs : timeoutMinutes * 60_000;
}
