import { measureAudit } from './runtime/metrics.ts';
import { openAuditing } from './runtime/use-cases.ts';
import { scheduleHandler } from './runtime/schedule.ts';

/** Counts where the table and Cloud Elements differ. */
export const handler = scheduleHandler({
  open: openAuditing,
  run: (deadlineAt, audit) => audit({ deadlineAt }),
  measure: measureAudit,
});
