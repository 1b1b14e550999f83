import { withDefaults } from './defaults.ts';
import { idsOf, type createCleaning } from './cleaning.ts';
import * as lifecycle from './lifecycle.ts';
import type { Ports } from './ports.ts';
import * as refusals from './refusals.ts';
import { isTenantRemovedSince } from './tenant-tombstone.ts';
import { OnboardingError } from '../model/errors.ts';
import { momentOf, type Former, type InstanceRow, type Notice } from '../model/instance.ts';
import { momentsOf, type Moments } from '../model/moments.ts';
import { registrationOf, requestedTimesOf } from '../model/row-history.ts';

export type Provisioned =
  /** `created`: this call made the instance active, by creating or adopting it. */
  | { outcome: 'created' | 'replayed'; row: InstanceRow }
  /** An event older than the removal of the instance, or of the whole tenant; ignored. */
  | { outcome: 'outdated'; row: InstanceRow }
  | { outcome: 'in-progress'; row: InstanceRow; retryAfterMs: number };

/**
 * Whether an error before the create is recorded as a `failed` row, or for which errors: events need that, HTTP
 * requests do not.
 */
export type RecordRefusal = boolean | ((error: OnboardingError) => boolean);

/** A request for an instance. Each write under it takes its own fencing token. */
export type Requester = Omit<lifecycle.Claimant, 'claimId'>;

/** A claim that is held: the row as written, and the row that it replaced. */
export type Held = {
  row: InstanceRow;
  before: InstanceRow | undefined;
  earlier: Extract<lifecycle.Decision, { kind: 'take-over' }>['earlier'];
  mayCreate: boolean;
};

/** Concurrent repeats of an event win one at a time; at most this many run at once. */
const maxRecordTries = 50;

/** Tries when rival claims keep ending before this one reads the row. */
const maxClaimTries = 5;

/** When to retry while an outcome is unknown: about the time that a slow create takes to be listed. */
const unknownRetryAfterMs = 5_000;

export function inProgress(row: InstanceRow): Provisioned {
  return { outcome: 'in-progress', row, retryAfterMs: unknownRetryAfterMs };
}

/** Claims the row for a request, or answers the request from the existing row. */
export function createClaiming(
  ports: Pick<Ports, 'store' | 'origin' | 'observe' | 'timing' | 'now' | 'newId'> &
    Pick<ReturnType<typeof createCleaning>, 'lookUp' | 'removeDuplicate' | 'endClaim'>,
) {
  const { store, lookUp, removeDuplicate, endClaim, origin, observe, timing, now, newId } =
    withDefaults(ports);
  return { claim, revert, abandon, recordFailure, respondWith };

  /**
   * If two writes shared a fencing token, a row read after the first would look unchanged after the second, although
   * others had written in between.
   */
  function withFreshToken(by: Requester): lifecycle.Claimant {
    return { ...by, claimId: newId() };
  }

  /** @param retryOf the failed row that is retried: only this row is claimed, as it was read */
  async function claim(
    by: Requester,
    deadlineAt: number,
    retryOf: InstanceRow | undefined,
  ): Promise<Held | Provisioned> {
    const { requestedBy } = by.settings;
    const claimed = retryOf
      ? ((await claimOver(retryOf, by, newId(), deadlineAt)) ?? inProgress(retryOf))
      : await claimRow(by, deadlineAt);
    if ('outcome' in claimed) return claimed;
    const requested = retryOf ? requestedTimesOf(retryOf) : requestedBy && momentsOf(momentOf(requestedBy));
    if (!requested || !(await isOutdatedByTenant(claimed, requested))) return claimed;
    await revert(claimed);
    observe({ kind: 'event-ignored', reason: 'the whole tenant was removed' }, claimed.row);
    return { outcome: 'outdated', row: claimed.row };
  }

  /** Read after the claim is written: either this read sees the tenant's removal, or the removal sees the claim. */
  async function isOutdatedByTenant(held: Held, requested: Moments): Promise<boolean> {
    try {
      return await isTenantRemovedSince(store, held.row.tenantId, requested);
    } catch (error) {
      await revert(held);
      throw error;
    }
  }

  /** Ends the claim and leaves the row as it was before. */
  async function revert({ row, before }: Held): Promise<void> {
    await endClaim(row, before && lifecycle.restore(row, before));
  }

  /** Ends a claim that has no create in flight, and throws its error. */
  async function abandon(held: Held, error: unknown, recordRefusal: RecordRefusal): Promise<never> {
    const isRecorded = typeof recordRefusal === 'boolean' ? () => recordRefusal : recordRefusal;
    if (error instanceof OnboardingError && isRecorded(error)) throw await recordFailure(held, error, true);
    await revert(held);
    throw error;
  }

  /**
   * Records why nothing was made. For an event the row is the only response, so its message must be delivered again if
   * this write fails.
   * @returns the error to throw
   */
  async function recordFailure({ row, before }: Held, error: OnboardingError, mustBeRecorded: boolean) {
    const failed = lifecycle.fail(row, before?.sendDeadline ?? 0, error, now(), timing);
    const isRecorded = await endClaim(row, failed);
    return isRecorded || !mustBeRecorded || error.retryable ? error : refusals.notRecorded(row, error);
  }

  async function claimRow(by: Requester, deadlineAt: number): Promise<Held | Provisioned> {
    for (let tries = 0; tries < maxClaimTries; tries++) {
      const fresh = lifecycle.claim(withFreshToken(by), newId(), timing);
      const { won, current } = await store.claim(fresh);
      if (won) return { row: fresh, before: undefined, earlier: 'nothing', mayCreate: true };
      const claimed = current && (await claimOver(current, by, fresh.provisionId, deadlineAt));
      if (claimed) return claimed;
    }
    throw refusals.claimedTooOften(by.settings);
  }

  /** @returns undefined if a rival claim won and has released or deleted the row since: try again */
  async function claimOver(
    before: InstanceRow,
    by: Requester,
    provisionId: string,
    deadlineAt: number,
  ): Promise<Held | Provisioned | undefined> {
    const decision = lifecycle.decide(before, by, timing);
    if (decision.kind !== 'take-over') return respond(decision, before, by);
    const claimant = withFreshToken(by);
    const { earlier, mayCreate, formers } = decision;
    const generation = formers && { provisionId, formers };
    if (earlier === 'to-remove') return removeThenTakeOver(before, claimant, generation, deadlineAt);

    const row = takenOverRow(before, claimant, generation, mayCreate);
    const { won, current: rival } = await store.claim(row, before);
    if (won) {
      observe({ kind: 'taken-over', from: before.status }, row);
      return { row, before, earlier, mayCreate };
    }
    const standing = rival && lifecycle.decide(rival, by, timing);
    // The rival has released it: free for the next claim.
    return standing && standing.kind !== 'take-over' ? respond(standing, rival, by) : undefined;
  }

  /**
   * Takes over a failed row that may still have an instance. The instance is removed first, while the row is still
   * `failed`: should this invocation die meanwhile, the next claim does not adopt it as an instance with its own
   * settings.
   */
  async function removeThenTakeOver(
    before: InstanceRow,
    claimant: lifecycle.Claimant,
    generation: { provisionId: string; formers: Former[] } | undefined,
    deadlineAt: number,
  ): Promise<Held | Provisioned> {
    const leased = lifecycle.lease(before, claimant, timing);
    const { won, current } = await store.claim(leased, before);
    if (!won) {
      if (current?.status === 'removed') throw refusals.wasDeleted(current);
      return inProgress(current ?? before);
    }

    const found = await lookUp(leased);
    const removed =
      found && (await Promise.all(idsOf(found).map((id) => removeDuplicate(leased, id, deadlineAt))));
    const isClean = removed?.every(Boolean) ?? false;
    const row = isClean
      ? takenOverRow(leased, claimant, generation, true)
      : lifecycle.restore(leased, before);
    const written = await store.write(row, leased);
    if (!isClean || !written.won) return inProgress(before);
    observe({ kind: 'taken-over', from: before.status }, row);
    return { row, before: leased, earlier: 'nothing', mayCreate: true };
  }

  function takenOverRow(
    row: InstanceRow,
    claimant: lifecycle.Claimant,
    generation: { provisionId: string; formers: Former[] } | undefined,
    mayCreate: boolean,
  ): InstanceRow {
    return generation
      ? lifecycle.beginGeneration(row, claimant, generation, timing)
      : lifecycle.takeOver(row, claimant, mayCreate, timing);
  }

  /** Responds to the request with a row that another claim has settled. */
  async function respondWith(row: InstanceRow, by: Requester): Promise<Provisioned> {
    return respond(lifecycle.decide(row, { ...by, nowMs: now() }, timing), row, by);
  }

  async function respond(
    decision: lifecycle.Decision,
    row: InstanceRow,
    by: Requester,
  ): Promise<Provisioned> {
    switch (decision.kind) {
      case 'replay':
        return (await outdatedByTenantRemoval(row, by)) ?? replay(row, by);
      case 'outdated':
        if (!decision.isRepeat) observe({ kind: 'event-ignored', reason: 'the instance was removed' }, row);
        return { outcome: 'outdated', row };
      case 'in-progress':
        // Most creates end long before their lease.
        return {
          outcome: 'in-progress',
          row,
          retryAfterMs: Math.min(decision.retryAfterMs, unknownRetryAfterMs),
        };
      case 'take-over':
        return inProgress(row);
      case 'settings-conflict': {
        const ignored = await outdatedByTenantRemoval(row, by);
        if (ignored) return ignored;
        throw await recordedConflict(row, by);
      }
      case 'busy-with-other-settings':
        throw refusals.busyWithOtherSettings(row);
      case 'being-deleted':
        throw refusals.beingDeleted(row);
      case 'origin-changed':
        throw refusals.begunElsewhere(row, origin);
    }
  }

  /**
   * The instance as it is. An event that requests it again is written to the row, so that the stream publishes its
   * result.
   */
  async function replay(row: InstanceRow, by: Requester): Promise<Provisioned> {
    const { requestedBy } = by.settings;
    let current: InstanceRow | undefined = row;
    for (let tries = 0; current && tries < maxRecordTries; tries++) {
      if (lifecycle.decide(current, by, timing).kind !== 'replay') break;
      if (!requestedBy || lifecycle.isEventAnswered(current, requestedBy)) {
        return { outcome: 'replayed', row: current };
      }
      // The holder of the lease would overwrite this write.
      if (lifecycle.isLeased(current, by.nowMs)) break;
      const requested = lifecycle.requestAgain(current, requestedBy, withFreshToken(by));
      const write = await store.claim(requested, current);
      if (write.won) return { outcome: 'replayed', row: requested };
      current = write.current;
    }
    return inProgress(row);
  }

  /** Ignores an event that precedes the tenant's removal, although a later request has made this instance. */
  async function outdatedByTenantRemoval(row: InstanceRow, by: Requester): Promise<Provisioned | undefined> {
    const { requestedBy } = by.settings;
    if (!requestedBy || lifecycle.isEventAnswered(row, requestedBy)) return undefined;
    const requested = momentsOf(momentOf(requestedBy));
    if (!(await isTenantRemovedSince(store, row.tenantId, requested))) return undefined;
    observe({ kind: 'event-ignored', reason: 'the whole tenant was removed' }, row);
    return { outcome: 'outdated', row };
  }

  /**
   * A conflict with the settings of an active row. For an event it is recorded in the row, from which the stream
   * publishes it.
   */
  async function recordedConflict(row: InstanceRow, by: Requester): Promise<OnboardingError> {
    const conflict = refusals.settingsConflict(row);
    const { requestedBy } = by.settings;
    if (!requestedBy) return conflict;
    const notice: Notice = {
      outcome: 'refused',
      eventId: requestedBy.eventId,
      registration: registrationOf({ requestedBy }),
      code: conflict.code,
      detail: conflict.publicDetail,
      at: now(),
    };
    let current: InstanceRow | undefined = row;
    for (let tries = 0; current && tries < maxRecordTries; tries++) {
      const { kind } = lifecycle.decide(current, by, timing);
      if (kind !== 'settings-conflict' || lifecycle.isLeased(current, now())) break;
      const write = await store.claim(lifecycle.withNotice(current, notice, newId()), current);
      if (write.won) return conflict;
      current = write.current;
    }
    return refusals.changesTooOften(row);
  }
}
