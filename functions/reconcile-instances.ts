import { openReconciling } from './runtime/provisioning.ts';
import { scheduleHandler } from './runtime/schedule.ts';

/** Settles what requests have left open; what is not reached in one run is due at the next. */
export const handler = scheduleHandler({
  open: openReconciling,
  run: (deadlineAt, { reconcile }) => reconcile({ deadlineAt }),
});
