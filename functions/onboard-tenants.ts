import { settingsFromEvent } from './core/events.ts';
import { openProvisioning } from './runtime/provisioning.ts';
import { queueHandler } from './runtime/queue.ts';

/** Onboarding events, by queue. A claim that another holds, or an outcome not yet known, is asked for again. */
export const handler = queueHandler({
  open: openProvisioning,
  parse: settingsFromEvent,
  handle: async (settings, deadlineAt, provision) => {
    const { outcome, row } = await provision(settings, { deadlineAt, recordRefusal: true });
    return { outcome, retry: outcome === 'in-progress', provisionId: row.provisionId };
  },
});
