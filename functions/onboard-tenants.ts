import { concernsNoTenant, settingsFromEvent } from './model/events.ts';
import { openOnboarding } from './runtime/use-cases.ts';
import { queueHandler } from './runtime/queue.ts';

/** Onboarding events, by queue. A message whose row another claim holds, or whose outcome is unknown, comes again. */
export const handler = queueHandler({
  open: openOnboarding,
  isNotOurs: concernsNoTenant,
  parse: settingsFromEvent,
  handle: (settings, delivery, onboard) => onboard(settings, delivery),
});
