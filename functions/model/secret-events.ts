import * as z from 'zod/mini';
import { elementKeySchema, tenantIdSchema, type InstanceKey } from './instance.ts';
import { parseOrRefuse } from './validation.ts';

/** The label of a secret's version in use. */
const currentLabel = 'AWSCURRENT';

/**
 * `Secret Label Updated`, which Secrets Manager puts on the account's default bus. It names a secret and carries no
 * value. https://docs.aws.amazon.com/secretsmanager/latest/userguide/monitoring-eventbridge.html
 */
const secretEventSchema = z.object({
  id: z.string(),
  'detail-type': z.literal('Secret Label Updated'),
  detail: z.object({ name: z.string(), labelUpdated: z.string() }),
});

/** `arrivedAt`: when the message first arrived in the queue, ms since the epoch; the value is at least as old. */
export type SecretChange = InstanceKey & { secretName: string; arrivedAt: number };

/**
 * @param arrivedAt when the message first arrived in the queue, ms since the epoch
 * @throws OnboardingError `invalid-request`, naming everything that is wrong with the event
 */
export function secretChangeFromEvent(message: unknown, arrivedAt: number): SecretChange {
  const { detail } = parseOrRefuse(secretEventSchema, message, 'the event');
  const [, tenantId, elementKey] = /\/tenants\/([^/]+)\/([^/]+)$/.exec(detail.name) ?? [];
  const key = parseOrRefuse(
    z.object({ tenantId: tenantIdSchema, elementKey: elementKeySchema }),
    { tenantId, elementKey },
    "the secret's name",
  );
  return { ...key, secretName: detail.name, arrivedAt };
}

/**
 * Is the event about the platform secret, a secret of another purpose, or another label than that of the value in use?
 */
export function concernsNoTenantSecret(message: unknown): boolean {
  const { success, data } = secretEventSchema.safeParse(message);
  if (!success) return false;
  if (data.detail.labelUpdated !== currentLabel) return true;
  try {
    secretChangeFromEvent(message, 0);
    return false;
  } catch {
    return true;
  }
}
