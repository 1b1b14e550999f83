import { withDefaults } from './defaults.ts';
import type { Ports } from './ports.ts';
import type { OnboardingError } from '../model/errors.ts';
import type { EventOrigin, InstanceKey, InstanceRow } from '../model/instance.ts';
import {
  beginRemoval,
  markRemoved,
  isLeased,
  release,
  rememberRemoval,
  tombstone,
  withError,
  withNotice,
} from './lifecycle.ts';
import { requestedTimesOf, removalIdsOf, removedByOf, removedTimesOf } from '../model/row-history.ts';
import type { Removal } from '../model/events.ts';
import { areRemovalsCarriedOut, areRemovalsOutdated, isLater } from '../model/moments.ts';
import { createCleaning, idsOf, reasonOf } from './cleaning.ts';
import { createUnmarking } from './unmark.ts';
import { busy, changesTooOften, deletionPending, notOurs, otherOrigin } from './refusals.ts';

export type Removed =
  | { outcome: 'removed' | 'already-gone' }
  /** This event's removal was carried out earlier; the current instance is newer. */
  | { outcome: 'carried-out' }
  /** A removal by event that is older than the request for the instance: nothing was done. */
  | { outcome: 'outdated' }
  /** Accepted; the reconciler completes it if no retry comes. */
  | { outcome: 'in-progress'; retryAfterMs: number };

/** `by`: the event whose result the tombstone publishes. */
type Finished =
  | { outcome: 'removed'; by: string | undefined }
  | { outcome: 'in-progress'; retryAfterMs: number };

/** What became of the instance that a row records; `left` says why, in words for the row's `lastError`. */
type RecordedRemoval = { kind: 'removed' } | { kind: 'left'; error: OnboardingError };

export type Remove = (
  key: InstanceKey,
  removal: Removal,
  options: { deadlineAt: number },
) => Promise<Removed>;

/**
 * Removes a tenant's instance: at Cloud Elements first, then here. A tombstone stays, even if no instance existed, so
 * that an event from before the removal does not bring the instance back.
 */
export function createRemoving(
  ports: Pick<Ports, 'store' | 'cloudElements' | 'origin' | 'stage' | 'observe' | 'timing' | 'now' | 'newId'>,
): {
  remove: Remove;
  finish: (row: InstanceRow, deadlineAt: number) => Promise<Finished>;
} {
  const { store, origin, observe, timing, now, newId } = withDefaults(ports);
  const cleaning = createCleaning(ports);
  const { lookUp, read, removeInstance, endClaim, timeoutBefore } = cleaning;
  const unmark = createUnmarking({ ...ports, ...cleaning });

  return { remove, finish };

  async function remove(
    key: InstanceKey,
    removal: Removal,
    { deadlineAt }: { deadlineAt: number },
  ): Promise<Removed> {
    for (let tries = 0; tries < maxTries; tries++) {
      // One for each write: if two shared it, a row read after the first would look unchanged after the second.
      const claimId = newId();
      const row = await store.get(key);
      const nowMs = now();
      if (!row) {
        const ids = { provisionId: newId(), claimId };
        const tombstoned = tombstone({ key, removal, ids, origin, nowMs, timing });
        if ((await store.claim(tombstoned)).won) return { outcome: 'already-gone' };
        continue;
      }
      if (row.status === 'removed') {
        if (await recordRemoval(row, removal, claimId)) return { outcome: 'already-gone' };
        continue;
      }
      if (removal.by && row.status !== 'deleting') {
        if (isCarriedOut(row, removal)) {
          const isDone = removal.isOfTenant || (await recordAnswer(row, removal.by, claimId));
          if (isDone) return { outcome: 'carried-out' };
          continue;
        }
        if (areRemovalsOutdated(removal.times, requestedTimesOf(row))) {
          // A tenant's removal covers only instances requested before it.
          if (!removal.isOfTenant)
            observe({ kind: 'event-ignored', reason: 'the instance was requested after this removal' }, row);
          return { outcome: 'outdated' };
        }
      }
      // Removals need not wait for each other: they are the same operation, and the later time must be recorded.
      if (isLeased(row, nowMs) && row.status !== 'deleting') throw busy(row, nowMs);
      if (row.origin !== origin) throw otherOrigin(row, origin);
      const deleting = beginRemoval(row, removal, { claimId, nowMs }, timing);
      const begun = await store.claim(deleting, row);
      if (!begun.won) continue;
      const finished = await finish(deleting, deadlineAt);
      // Another removal may have completed it and recorded only its own event: loop to record this one.
      if (finished.outcome === 'in-progress') return finished;
      if (!removal.by || removal.isOfTenant || removal.by.eventId === finished.by)
        return { outcome: 'removed' };
    }
    throw changesTooOften(key);
  }

  /** Records the removal in a tombstone, so that its event's result is published; false if the row has changed. */
  async function recordRemoval(row: InstanceRow, removal: Removal, claimId: string): Promise<boolean> {
    const isKnown =
      !isLater(removal.times, removedTimesOf(row)) &&
      (!removal.by || removal.by.eventId === removedByOf(row)?.eventId);
    if (isKnown) return true;
    const later = rememberRemoval(row, removal, { claimId, nowMs: now() }, timing);
    return (await store.claim(later, row)).won;
  }

  /**
   * Records the event of a removal that needs nothing done, because the instance was removed and requested again since.
   */
  async function recordAnswer(row: InstanceRow, by: EventOrigin, claimId: string): Promise<boolean> {
    const { eventId } = by;
    const isKnown =
      removedByOf(row)?.eventId === eventId || row.notices?.some((each) => each.eventId === eventId);
    if (isKnown) return true;
    const nowMs = now();
    // The stream publishes no result for an unfinished claim.
    if (isLeased(row, nowMs) || row.status === 'provisioning') throw busy(row, nowMs);
    const answered = withNotice(row, { outcome: 'removed', eventId, at: nowMs }, claimId);
    return (await store.claim(answered, row)).won;
  }

  /** Brings a removal to its end, or as far as it goes now. `row` is `deleting` and leased by the caller. */
  async function finish(row: InstanceRow, deadlineAt: number): Promise<Finished> {
    if (row.importing) return finishImport(row, deadlineAt);
    // Taken before the call: a create that takes effect meanwhile may be missing from the response.
    const lookedAt = now();
    const recordFailure = await removeRecorded(row, deadlineAt);
    if (recordFailure.kind === 'left') return pause(row, timing.reconcileAgainMs, recordFailure.error);
    if (row.inDoubt) {
      // The recorded instance is deleted by now; the list may still show it for a while.
      const timeoutMs = Math.min(timing.lookUpTimeoutMs, deadlineAt - timing.commitReserveMs - now());
      const found = await lookUp({ ...row, instanceId: undefined }, { timeoutMs, besides: row.instanceId });
      if (!found) return pause(row, timing.reconcileAgainMs);
      const removed = await Promise.all(idsOf(found).map((id) => removeInstance(row, id, deadlineAt)));
      if (!removed.every(Boolean)) return pause(row, timing.reconcileAgainMs);
    }
    const quietMs = row.inDoubt ? row.sendDeadline + timing.quiescenceMs - lookedAt : 0;
    if (quietMs > 0) return pause(row, quietMs);
    return bury(row);
  }

  /** The instance of an unfinished import stays as it was before: without the markers of this service. */
  async function finishImport(row: InstanceRow, deadlineAt: number): Promise<Finished> {
    const unmarked = await unmark(row, deadlineAt);
    if (unmarked.kind === 'clean') return bury(row);
    return pause(unmarked.row, unmarked.delayMs);
  }

  async function bury(row: InstanceRow): Promise<Finished> {
    const write = await store.write(markRemoved(row, now(), timing), row);
    if (write.won) return { outcome: 'removed', by: row.removedBy?.eventId };
    const current = write.current;
    if (current?.status === 'deleting') return { outcome: 'in-progress', retryAfterMs: timing.leaseMs };
    return { outcome: 'removed', by: current && removedByOf(current)?.eventId };
  }

  /** Removes the instance that a row records, if any, unless that shows to be another's. */
  async function removeRecorded(row: InstanceRow, deadlineAt: number): Promise<RecordedRemoval> {
    const { instanceId } = row;
    if (instanceId === undefined) return { kind: 'removed' };
    const found = await read({ ...row, instanceId }, { timeoutMs: timeoutBefore(deadlineAt) });
    if (found.kind === 'absent') return { kind: 'removed' };
    if (found.kind === 'unknown') {
      observe({ kind: 'instance-left', instanceId, reason: found.reason }, row);
      return { kind: 'left', error: deletionPending(row) };
    }
    if (found.owned === 'not-ours') {
      observe({ kind: 'not-ours', instanceId }, row);
      return { kind: 'left', error: notOurs(row, instanceId) };
    }
    const outcome = await cleaning.remove(row, instanceId, deadlineAt);
    if (outcome.kind === 'removed') {
      observe({ kind: 'instance-removed', instanceId }, row);
      return { kind: 'removed' };
    }
    const error = outcome.kind === 'unknown' ? deletionPending(row) : outcome.error;
    observe({ kind: 'instance-left', instanceId, reason: reasonOf(outcome) }, row);
    return { kind: 'left', error };
  }

  async function pause(row: InstanceRow, delayMs: number, error = deletionPending(row)): Promise<Finished> {
    const paused = withError(release(row, now() + delayMs), error, now());
    await endClaim(row, paused);
    return { outcome: 'in-progress', retryAfterMs: Math.min(delayMs, timing.reconcileAgainMs) };
  }
}

/** Tries of a read and a conditional write, when others write in between. */
const maxTries = 5;

/**
 * Is it a removal that the row remembers, or one before the latest? Another event may have given a tenant-wide removal
 * later times.
 */
export function isCarriedOut(row: InstanceRow, { times, by }: Removal): boolean {
  const remembered = removedTimesOf(row);
  const isKnown = by !== undefined && removalIdsOf(row).includes(by.eventId);
  return (isKnown && !isLater(times, remembered)) || areRemovalsCarriedOut(times, remembered);
}
