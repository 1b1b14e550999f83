import { concernsNoTenantSecret, secretChangeFromEvent } from './model/secret-events.ts';
import { openApplying } from './runtime/use-cases.ts';
import { queueHandler } from './runtime/queue.ts';

/** New values of tenants' secrets, by queue. A message comes again until Cloud Elements surely has the value. */
export const handler = queueHandler({
  open: openApplying,
  isNotOurs: concernsNoTenantSecret,
  parse: secretChangeFromEvent,
  handle: (secretChange, delivery, apply) => apply(secretChange, delivery),
});
