import { measureReconciliation } from './runtime/metrics.ts';
import { openReconciling } from './runtime/use-cases.ts';
import { scheduleHandler } from './runtime/schedule.ts';

/** Settles the rows that requests have left open; a row that one run does not reach is due at the next. */
export const handler = scheduleHandler({
  open: openReconciling,
  run: async (deadlineAt, { reconcile }) => {
    const { tally, oldestUnsettledMs } = await reconcile({ deadlineAt });
    return { ...tally, oldestUnsettledMs };
  },
  measure: measureReconciliation,
});
