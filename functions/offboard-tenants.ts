import { offboardingFromEvent } from './core/events.ts';
import { offboard } from './core/offboard.ts';
import { openStore } from './runtime/dependencies.ts';
import { openRemoving } from './runtime/provisioning.ts';
import { queueHandler } from './runtime/queue.ts';

/** Off-boarding events, by queue. A removal that is not finished yet is asked for again. */
export const handler = queueHandler({
  open: (environment) => ({ store: openStore(environment), ...openRemoving(environment) }),
  parse: offboardingFromEvent,
  handle: async (offboarding, deadlineAt, { store, remove }) => {
    const outcome = await offboard(offboarding, { store, remove, deadlineAt });
    return { outcome, retry: outcome === 'in-progress' };
  },
});
