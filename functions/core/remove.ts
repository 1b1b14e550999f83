import { randomUUID } from 'node:crypto';
import type { Parts } from './collaborators.ts';
import { OnboardingError } from './errors.ts';
import type { InstanceKey, InstanceRow } from './instance.ts';
import {
  beginRemoval,
  bury,
  isBefore,
  isLeased,
  release,
  tombstone,
  withError,
  type Removal,
} from './lifecycle.ts';
import { asRead, createCleaning, currentOf, heldBy, wonBy } from './settle.ts';
import { defaultTiming } from './timing.ts';

export type Removed =
  | { outcome: 'removed' | 'already-gone' }
  /** A removal by event that is older than what it finds: nothing was done. */
  | { outcome: 'outdated' }
  /** It is on its way, cannot be stopped, and the reconciler finishes it if nobody asks again. */
  | { outcome: 'in-progress'; retryAfterMs: number };

export type Remove = (
  key: InstanceKey,
  removal: Removal,
  options: { deadlineAt: number },
) => Promise<Removed>;

/**
 * Removes a tenant's instance: at Cloud Elements first, then here. A tombstone stays, also for what never was, so that
 * an event from before the removal does not bring the instance back.
 */
export function createRemoving({
  store,
  cloudElements,
  origin,
  observe,
  timing = defaultTiming,
  now = Date.now,
  newId = randomUUID,
}: Pick<Parts, 'store' | 'cloudElements' | 'origin' | 'observe' | 'timing' | 'now' | 'newId'>): {
  remove: Remove;
  finish: (row: InstanceRow, deadlineAt: number) => Promise<Removed>;
} {
  const { lookUp, removeInstance, endClaim } = createCleaning({ cloudElements, observe, timing, now });

  return { remove, finish };

  async function remove(
    key: InstanceKey,
    removal: Removal,
    { deadlineAt }: { deadlineAt: number },
  ): Promise<Removed> {
    const attemptId = newId();
    for (let tries = 0; tries < 3; tries++) {
      const row = await store.get(key);
      const nowMs = now();
      if (!row) {
        const ids = { provisionId: newId(), attemptId };
        const buried = tombstone(key, removal, ids, { origin, nowMs, timing });
        if (wonBy(await store.insert(buried), buried)) return { outcome: 'already-gone' };
        continue;
      }
      if (row.status === 'removed') {
        if (await isRemembered(row, removal, attemptId)) return { outcome: 'already-gone' };
        continue;
      }
      if (removal.askedBy && isBefore(removal.askedAt, row.askedAt)) return { outcome: 'outdated' };
      // Removals need not wait for each other: whatever the two of them do comes to the same, and the later one has to
      // be remembered.
      if (isLeased(row, nowMs) && row.status !== 'deleting') throw busy(row, nowMs);
      if (row.origin !== origin) throw otherOrigin(row, origin);
      const deleting = beginRemoval(row, removal, { attemptId, nowMs }, timing);
      const begun = await store.replace(deleting, asRead(row));
      if (wonBy(begun, deleting)) return finish(deleting, deadlineAt);
    }
    throw new OnboardingError('busy', `${nameOf(key)} changes too often at the moment. Ask again.`);
  }

  /** A tombstone remembers the latest removal, and the event that is to be answered. */
  async function isRemembered(row: InstanceRow, removal: Removal, attemptId: string): Promise<boolean> {
    const isNews =
      removal.askedAt > (row.removedAt ?? 0) ||
      (removal.askedBy !== undefined && removal.askedBy.eventId !== row.askedBy?.eventId);
    if (!isNews) return true;
    const later = {
      ...bury(row, now(), timing),
      attemptId,
      askedBy: removal.askedBy ?? row.askedBy,
      removedAt: Math.max(removal.askedAt, row.removedAt ?? 0),
      checkAt: row.checkAt,
    };
    return wonBy(await store.replace(later, asRead(row)), later);
  }

  /** Brings a removal to its end, or as far as it goes now. `row` is `deleting` and leased by the caller. */
  async function finish(row: InstanceRow, deadlineAt: number): Promise<Removed> {
    // What takes effect while the answer is on its way is not in it.
    const lookedAt = now();
    const ids = await instancesOf(row);
    if (!ids) return pause(row, timing.reconcileAgainMs, notFinished(row, 'what exists cannot be told'));
    const removed = await Promise.all(ids.map((id) => removeInstance(row, id, deadlineAt)));
    if (!removed.every(Boolean)) {
      return pause(row, timing.reconcileAgainMs, notFinished(row, 'Cloud Elements did not remove it'));
    }
    const quietMs = row.contested ? row.sendDeadline + timing.quiescenceMs - lookedAt : 0;
    if (quietMs > 0) return pause(row, quietMs, notFinished(row, 'a create may still take effect'));

    const write = await store.replace(bury(row, now(), timing), heldBy(row));
    if (write.won || currentOf(write)?.status !== 'deleting') return { outcome: 'removed' };
    return { outcome: 'in-progress', retryAfterMs: timing.leaseMs };
  }

  async function instancesOf(row: InstanceRow): Promise<number[] | undefined> {
    if (row.contested) return (await lookUp(row))?.map(({ id }) => id);
    return row.instanceId === undefined ? [] : [row.instanceId];
  }

  async function pause(row: InstanceRow, delayMs: number, reason: OnboardingError): Promise<Removed> {
    const paused = withError(release(row, now() + delayMs), reason, now());
    await endClaim(row, () => store.replace(paused, heldBy(row)));
    return { outcome: 'in-progress', retryAfterMs: Math.min(delayMs, timing.reconcileAgainMs) };
  }
}

function nameOf({ tenantId, elementKey }: InstanceKey): string {
  return `The ${elementKey} instance of tenant ${tenantId}`;
}

export function busy(row: InstanceRow, nowMs: number): OnboardingError {
  return new OnboardingError('busy', `${nameOf(row)} is being worked on (${row.status}). Ask again.`, {
    retryAfterMs: row.leaseExpiresAt - nowMs,
  });
}

export function otherOrigin(row: InstanceRow, origin: string): OnboardingError {
  return new OnboardingError(
    'origin-changed',
    `${nameOf(row)} is at ${row.origin}, and this stack asks ${origin}: point the stack back there to change it.`,
  );
}

function notFinished(row: InstanceRow, reason: string): OnboardingError {
  return new OnboardingError(
    'outcome-unknown',
    `${nameOf(row)} is not removed yet: ${reason}. It is tried again.`,
  );
}
