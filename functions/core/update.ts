import { withDefaults } from './defaults.ts';
import type { UpdateOutcome, Ports, ReadOutcome } from './ports.ts';
import type { Catalog } from '../model/catalog.ts';
import {
  updatedConfiguration,
  digestInDoubt,
  outsideAllowList,
  updatedDigest,
  withRequestEntries,
  withValuesInDoubt,
  withoutValuesInDoubt,
} from '../model/configuration.ts';
import { OnboardingError } from '../model/errors.ts';
import {
  fingerprintOf,
  allowListedOf,
  optionsOf,
  type Configuration,
  type InstanceKey,
  type InstanceOptions,
  type InstanceRow,
} from '../model/instance.ts';
import { unconfirmed } from '../model/health.ts';
import { healthIn, isLeased, isSameButHealth, lease, release, nextRevision } from './lifecycle.ts';
import { markerTags } from '../model/markers.ts';
import { invalidRequest } from '../model/validation.ts';
import { createCleaning } from './cleaning.ts';
import { createRetrying, isUnreadable, type FailedCall } from './retrying.ts';
import * as refusals from './refusals.ts';

/**
 * A field that is absent stays unchanged. An empty `configuration` sends the tenant's secret again. `id` and `element`
 * change nothing, and must match the instance.
 */
export type Changes = Pick<InstanceOptions, 'eventsEnabled' | 'cachingEnabled'> & {
  id?: number | undefined;
  element?: { key: string } | undefined;
  name?: string | undefined;
  tags?: string[] | undefined;
  configuration?: Configuration | undefined;
};

export type Update = (
  key: InstanceKey,
  changes: Changes,
  options: { deadlineAt: number },
) => Promise<InstanceRow>;

/** Tries to take the lease, when checks of health are written in between. */
const maxClaimTries = 5;

/**
 * Changes name, tags or configuration of an active instance, at Cloud Elements first. Its id and token stay the same,
 * and the token can be read all the while. Updates are idempotent, so one of unknown outcome is sent again.
 */
export function createUpdating(ports: Omit<Ports, 'cipher'>): Update {
  const { store, cloudElements, readTenantSecret, catalog, origin, stage, observe, timing, now, newId } =
    withDefaults(ports);
  const withRetries = createRetrying(ports);
  const { endClaim } = createCleaning(ports);

  return async function update(key, changes, { deadlineAt }) {
    const row = await store.get(key);
    // Taken before the secret is read: a later value may be missed.
    const readAt = now();
    if (!row || row.status === 'removed') throw refusals.notFound(key);
    if (row.status !== 'active' || row.instanceId === undefined) throw refusals.notActive(row);
    const nowMs = now();
    if (isLeased(row, nowMs)) throw refusals.busy(row, nowMs);
    if (row.origin !== origin) throw refusals.otherOrigin(row, origin);
    assertIdentityMatches(row, changes);
    const configuration =
      changes.configuration &&
      (await updatedConfiguration(catalog, row, changes.configuration, () => readTenantSecret(key)));
    const untilMs = deadlineAt - timing.commitReserveMs;
    await assertOurs(row, row.instanceId, changes, untilMs);

    const leasedAt = now();
    let leased = {
      ...lease(row, { claimId: newId(), nowMs: leasedAt }, timing),
      ...doubtOf(row, changes.configuration, untilMs),
    };
    let taken = await store.claim(leased, row);
    for (let tries = 1; tries < maxClaimTries; tries++) {
      if (taken.won || !taken.current || !isSameButHealth(row, taken.current)) break;
      leased = { ...leased, ...healthIn(taken.current), claimId: newId() };
      taken = await store.claim(leased, taken.current);
    }
    if (!taken.won) throw refusals.busy(taken.current ?? leased, now());

    const outcome = await send(leased, row.instanceId, { ...changes, configuration }, untilMs);
    // An earlier update's doubt stays, if this one is certain to be over.
    const { updateInDoubtUntil, secretInDoubtUntil, requestDigest, valuesInDoubt } = outcome.isCertain
      ? row
      : leased;
    const ended = { ...leased, updateInDoubtUntil, secretInDoubtUntil, requestDigest, valuesInDoubt };
    if (outcome.error) {
      // A key may take effect after all, and then a failure before it says nothing.
      const isKeyInDoubt = changes.configuration !== undefined && !outcome.isCertain;
      const mayTakeEffect = isKeyInDoubt && {
        health: ended.health && unconfirmed(ended.health),
        healthCheckAt: now() + timing.quiescenceMs,
      };
      await endClaim(ended, { ...release(ended, ended.checkAt), ...mayTakeEffect });
      throw outcome.error;
    }
    // While an earlier update may still take effect, it may overwrite the secret's value.
    const isSure = meansTenantSecret(changes.configuration) && !isSecretInDoubt(row, leasedAt);
    // Only while no earlier update may overwrite them, and this one, sent twice, not a later one.
    const isAlone = (row.updateInDoubtUntil ?? 0) <= leasedAt && outcome.isCertain;
    const known = {
      ...ended,
      ...(isSure && { secretReadAt: readAt }),
      ...(isAlone && { valuesInDoubt: withoutValuesInDoubt(row, changes.configuration ?? {}) }),
    };
    const updated = withUpdate(catalog, known, changes, now());
    const written = await store.write(updated, leased);
    if (!written.won) throw refusals.busy(written.current ?? leased, now());
    return updated;
  };

  /**
   * An instance that shows to be another's is left alone. One without marker tags may be another's, so its tags are not
   * set: they would mark it as the row's.
   */
  async function assertOurs(
    row: InstanceRow,
    instanceId: number,
    { tags }: Changes,
    untilMs: number,
  ): Promise<void> {
    const { tenantId, elementKey } = row;
    const { outcome, error } = await withRetries(
      (timeoutMs) => cloudElements.read({ tenantId, elementKey, instanceId, owner: stage }, { timeoutMs }),
      (shown) => (shown.kind === 'unknown' ? unreadable(row, shown) : undefined),
      { callMs: timing.lookUpTimeoutMs, untilMs, outOfTime: () => refusals.updateOutOfTime(row) },
    );
    if (error) throw error;
    if (outcome.kind === 'absent') throw errorOf(row, outcome);
    if (outcome.kind !== 'read' || outcome.owned === 'ours') return;
    if (outcome.owned === 'not-ours') {
      observe({ kind: 'not-ours', instanceId }, row);
      throw refusals.notOurs(row, instanceId);
    }
    if (tags) throw refusals.markersNotShown(row);
  }

  /**
   * The in-doubt fields to write before an update is sent: it may take effect until quiescence has passed, despite its
   * response.
   */
  function doubtOf(row: InstanceRow, configuration: Configuration | undefined, untilMs: number) {
    if (!configuration) return {};
    const endsAt = untilMs + timing.quiescenceMs;
    if (meansTenantSecret(configuration)) {
      return { secretInDoubtUntil: Math.max(row.secretInDoubtUntil ?? 0, endsAt) };
    }
    const isOutside = outsideAllowList(catalog, row.elementKey, Object.keys(configuration)).length > 0;
    return {
      requestEntries: withRequestEntries(row, configuration),
      valuesInDoubt: withValuesInDoubt(row, allowListedOf(catalog, row.elementKey, configuration)),
      ...(isOutside && { requestDigest: digestInDoubt }),
      updateInDoubtUntil: Math.max(row.updateInDoubtUntil ?? 0, endsAt),
    };
  }

  /** @returns `isCertain`: nothing that was sent may still take effect */
  async function send(
    row: InstanceRow,
    instanceId: number,
    { name, tags, configuration, ...others }: Changes,
    untilMs: number,
  ) {
    const wanted = {
      ...(name !== undefined && { name }),
      // Cloud Elements replaces tags, so the marker tags are sent, too.
      ...(tags && { tags: [...new Set(tags), ...markerTags(row, stage)] }),
      ...(configuration && { configuration }),
      ...optionsOf(others),
    };
    const who = { tenantId: row.tenantId, elementKey: row.elementKey, instanceId };
    let isCertain = true;
    const { error } = await withRetries(
      (timeoutMs) => cloudElements.update(who, wanted, { timeoutMs }),
      (outcome) => {
        if (outcome.kind === 'updated') return undefined;
        const isInconclusive = outcome.kind === 'unknown' || isUnreadable(outcome);
        if (isInconclusive) isCertain = false;
        const isRetryable =
          isInconclusive || (outcome.kind === 'not-done' && outcome.retryAfterMs !== undefined);
        return { error: errorOf(row, outcome), isRetryable };
      },
      { callMs: timing.createTimeoutMs, untilMs, outOfTime: () => refusals.updateOutOfTime(row) },
    );
    return { error, isCertain };
  }
}

const meansTenantSecret = (configuration: Configuration | undefined): boolean =>
  configuration !== undefined && Object.keys(configuration).length === 0;

/** Whether an earlier update from the secret may still take effect, and overwrite a later one. */
export const isSecretInDoubt = ({ secretInDoubtUntil = 0 }: InstanceRow, nowMs: number): boolean =>
  secretInDoubtUntil > nowMs;

/** @throws OnboardingError `invalid-request`: the body names another instance than the path */
function assertIdentityMatches({ instanceId, elementKey }: InstanceRow, { id, element }: Changes): void {
  const problems = [
    ...(id === undefined || id === instanceId
      ? []
      : [{ pointer: '#/id', detail: 'expected the id of this instance' }]),
    ...(element === undefined || element.key === elementKey
      ? []
      : [{ pointer: '#/element/key', detail: 'expected the element of this instance' }]),
  ];
  if (problems.length > 0) throw invalidRequest('the request', problems);
}

function withUpdate(
  catalog: Catalog,
  row: InstanceRow,
  { name, tags, configuration, ...others }: Changes,
  nowMs: number,
): InstanceRow {
  const updated = {
    ...release(row, row.checkAt),
    name: name ?? row.name,
    createdName: row.createdName ?? (name === undefined || name === row.name ? undefined : row.name),
    tags: tags ? [...new Set(tags)] : row.tags,
    ...(configuration && {
      allowListed: { ...row.allowListed, ...allowListedOf(catalog, row.elementKey, configuration) },
      requestDigest: updatedDigest(catalog, row, configuration),
    }),
    options: optionsOf({ ...row.options, ...optionsOf(others) }),
    health: row.health && unconfirmed(row.health),
    healthCheckAt: nowMs,
    changedAt: Math.max((row.changedAt ?? 0) + 1, nowMs),
    revision: nextRevision(row, nowMs),
    updatedAt: nowMs,
  };
  return { ...updated, fingerprint: fingerprintOf(updated) };
}

function errorOf(row: InstanceRow, outcome: Exclude<UpdateOutcome, { kind: 'updated' }>): OnboardingError {
  switch (outcome.kind) {
    case 'absent':
      return refusals.goneAtCloudElements(row);
    case 'unknown':
      return refusals.updateOutcomeUnknown(row, outcome);
    case 'refused':
    case 'not-done':
      return outcome.error;
  }
}

/** The read before the update failed, so nothing was sent. */
function unreadable(
  row: InstanceRow,
  { reason, error }: Extract<ReadOutcome, { kind: 'unknown' }>,
): FailedCall {
  if (!error) return { error: refusals.notShown(row, reason), isRetryable: true };
  const isRetryable = isUnreadable({ error }) || error.facts.retryAfterMs !== undefined;
  return { error, isRetryable };
}
