import { concernsNoTenant, offboardingFromEvent } from './model/events.ts';
import { openOffboarding } from './runtime/use-cases.ts';
import { queueHandler } from './runtime/queue.ts';

/** Offboarding events, by queue. The message of a removal that is not complete yet comes again. */
export const handler = queueHandler({
  open: (environment) => openOffboarding(environment).offboard,
  isNotOurs: concernsNoTenant,
  parse: offboardingFromEvent,
  handle: async (offboarding, delivery, offboard) => {
    const outcome = await offboard(offboarding, delivery);
    return { outcome, retry: outcome === 'in-progress' };
  },
});
