import { isSecretInDoubt, type Update } from './update.ts';
import { isLeased } from './lifecycle.ts';
import type { Observe, Ports } from './ports.ts';
import type { Provision } from './provision.ts';
import { notAllowedNow, tenantSecretName } from '../model/configuration.ts';
import { OnboardingError, type ErrorCode } from '../model/errors.ts';
import type { InstanceKey, InstanceRow, RequestedSettings } from '../model/instance.ts';
import type { SecretChange } from '../model/secret-events.ts';
import { clockSkewMs, queueMaxReceiveCount } from '../model/timing.ts';

export type AppliedSecret = {
  outcome:
    /** Cloud Elements has the value. `provisioned`: the instance had failed. */
    | 'updated'
    | 'provisioned'
    /** Cloud Elements has it, and an earlier update may still take effect over it. */
    | 'in-doubt'
    /** An update that began after the message had come has sent it. */
    | 'up-to-date'
    /** Another claim is at work, or the outcome of one is unknown. */
    | 'in-progress'
    /** The secret holds no configuration that can be sent. `unusable`: still not at the last delivery. */
    | 'waiting-for-secret'
    | 'unusable'
    /** No instance, one that is being removed, or one that failed for another reason than its configuration. */
    | 'nothing-to-update'
    /** Requests have configured it, or its source is not known. */
    | 'not-from-secret'
    /** The secret of another stage. */
    | 'not-ours';
  /** The message must come again. */
  retry: boolean;
  provisionId?: string | undefined;
};

export type ApplySecret = (
  secretChange: SecretChange,
  options: {
    deadlineAt: number;
    /** How often the message has been delivered, this time included. */
    deliveries: number;
  },
) => Promise<AppliedSecret>;

type Outcome = Omit<AppliedSecret, 'provisionId'>;
type Run = { deadlineAt: number; arrivedAt: number; result: Promise<AppliedSecret> };

const done = (outcome: AppliedSecret['outcome']): Outcome => ({ outcome, retry: false });
const again = (outcome: AppliedSecret['outcome']): Outcome => ({ outcome, retry: true });

/** Failures that another value of the secret may mend. */
const mendedBySecret = new Set<string | undefined>([
  'missing-configuration',
  'tenant-credentials-unusable',
  'refused-by-cloud-elements',
  // The reason after a retry whose create had no effect.
  'not-created',
] satisfies ErrorCode[]);

const lacksSecret = ({ code }: OnboardingError): boolean =>
  code === 'missing-configuration' || code === 'tenant-credentials-unusable';

/**
 * Brings a changed secret to Cloud Elements: updates the active instance whose source the secret is, and retries one
 * that failed for want of a usable secret. The event carries no value and the current one is read, so events that come
 * late, twice or out of order converge. Never provisions an instance that was not requested, or that was removed.
 */
export function createApplying({
  store,
  catalog,
  update,
  provision,
  tenantSecretsPrefix,
  observe,
  maxDeliveries = queueMaxReceiveCount,
  now = Date.now,
}: Pick<Ports, 'store' | 'catalog' | 'now'> & {
  update: Update;
  provision: Provision;
  tenantSecretsPrefix: string;
  observe: Observe;
  maxDeliveries?: number;
}): ApplySecret {
  const runs = new Map<string, Run>();

  return async (secretChange, { deadlineAt, deliveries }) => {
    const { tenantId, elementKey, secretName } = secretChange;
    const key = { tenantId, elementKey };
    if (secretName !== tenantSecretName(tenantSecretsPrefix, key)) return done('not-ours');
    const applied = await applyOnce(secretChange, deadlineAt);
    const isLast = deliveries >= maxDeliveries;
    return applied.outcome === 'waiting-for-secret' && isLast ? { ...applied, ...done('unusable') } : applied;
  };

  /**
   * Messages of one invocation about one secret are one run: all of them came before it, so it reads a value that is at
   * least as new as any of theirs. An invocation's deadline distinguishes it from others.
   */
  async function applyOnce(secretChange: SecretChange, deadlineAt: number): Promise<AppliedSecret> {
    const { secretName, arrivedAt } = secretChange;
    const running = runs.get(secretName);
    if (running?.deadlineAt === deadlineAt) {
      const applied = await running.result;
      // Nothing was read for a message that came before an update; a later one may bring a value from after it.
      const isOwn = applied.outcome !== 'up-to-date' || arrivedAt <= running.arrivedAt;
      return isOwn ? applied : applyOnce(secretChange, deadlineAt);
    }
    const result = apply(secretChange, deadlineAt).finally(() => {
      if (runs.get(secretName)?.result === result) runs.delete(secretName);
    });
    runs.set(secretName, { deadlineAt, arrivedAt, result });
    return result;
  }

  async function apply(
    { tenantId, elementKey, arrivedAt }: SecretChange,
    deadlineAt: number,
  ): Promise<AppliedSecret> {
    const key = { tenantId, elementKey };
    const row = await store.get(key);
    if (!row) return done('nothing-to-update');
    const { provisionId } = row;
    try {
      return { ...(await applyTo(row, key, { arrivedAt, deadlineAt })), provisionId };
    } catch (error) {
      if (!(error instanceof OnboardingError)) throw error;
      if (error.code === 'not-found') return { ...done('nothing-to-update'), provisionId };
      if (!lacksSecret(error)) throw error;
      observe({ kind: 'secret-missing', reason: error.message }, row);
      return { ...again('waiting-for-secret'), provisionId };
    }
  }

  async function applyTo(
    row: InstanceRow,
    key: InstanceKey,
    { arrivedAt, deadlineAt }: { arrivedAt: number; deadlineAt: number },
  ): Promise<Outcome> {
    switch (row.status) {
      case 'removed':
      case 'deleting':
        return done('nothing-to-update');
      case 'provisioning':
        // The claim may have read the value before. One of unknown source may get the secret's yet.
        return row.source === 'request' ? done('not-from-secret') : again('in-progress');
      case 'failed':
        if (row.source !== 'secret') return done('not-from-secret');
        return retry(row, deadlineAt);
      case 'active':
        if (row.source !== 'secret') return done('not-from-secret');
        if (isLeased(row, now())) return again('in-progress');
        if (hasSent(row, arrivedAt)) return done('up-to-date');
        return sendSecret(key, deadlineAt);
    }
  }

  /** The message's arrival is a time of another clock. */
  function hasSent(row: InstanceRow, arrivedAt: number): boolean {
    const { secretReadAt } = row;
    return (
      secretReadAt !== undefined && secretReadAt > arrivedAt + clockSkewMs && !isSecretInDoubt(row, now())
    );
  }

  async function sendSecret(key: InstanceKey, deadlineAt: number): Promise<Outcome> {
    const beganAt = now();
    const { secretReadAt = 0 } = await update(key, { configuration: {} }, { deadlineAt });
    return secretReadAt >= beganAt ? done('updated') : again('in-doubt');
  }

  /** Provisions with the row's settings, for its requester. The stored entries are judged by today's allow-list. */
  async function retry(row: InstanceRow, deadlineAt: number): Promise<Outcome> {
    if (isLeased(row, now())) return again('in-progress');
    if (!mendedBySecret.has(row.lastError?.code)) return done('nothing-to-update');
    if (notAllowedNow(catalog, row).length > 0) return done('not-from-secret');
    const { outcome } = await provision(settingsOfRow(row), {
      deadlineAt,
      retryOf: row,
      // A temporary error must not replace a reason that the next value of the secret mends.
      recordRefusal: ({ code }) => code === 'refused-by-cloud-elements',
    });
    switch (outcome) {
      case 'created':
        return done('provisioned');
      case 'outdated':
        return done('nothing-to-update');
      case 'replayed':
      case 'in-progress':
        return again('in-progress');
    }
  }
}

/** The settings as they were requested, options included. */
function settingsOfRow({
  tenantId,
  elementKey,
  name,
  tags,
  options,
  allowListed,
}: InstanceRow): RequestedSettings {
  return { tenantId, elementKey, name, tags, options, configuration: allowListed };
}
