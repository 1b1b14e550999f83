import { measureChecks } from './runtime/metrics.ts';
import { openChecking } from './runtime/use-cases.ts';
import { scheduleHandler } from './runtime/schedule.ts';

/** Checks the health of instances: after each create and update, and daily. */
export const handler = scheduleHandler({
  open: openChecking,
  run: (deadlineAt, { checkDue }) => checkDue({ deadlineAt }),
  measure: measureChecks,
});
