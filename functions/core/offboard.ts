import { withDefaults } from './defaults.ts';
import type { Ports } from './ports.ts';
import type { Offboarding } from '../model/events.ts';
import { wholeTenant, type InstanceRow } from '../model/instance.ts';
import {
  beginRemoval,
  markRemoved,
  release,
  rememberRemoval,
  tenantTombstone,
  withError,
} from './lifecycle.ts';
import { removedByOf, removedTimesOf } from '../model/row-history.ts';
import type { Removal } from '../model/events.ts';
import { createRemoving, isCarriedOut, type Removed } from './remove.ts';
import { createCleaning } from './cleaning.ts';
import { tenantBusy, tenantDeletionPending } from './refusals.ts';

export type Offboard = (
  offboarding: Offboarding,
  options: { deadlineAt: number },
) => Promise<Removed['outcome']>;

/** Tries of a read and a conditional write, when others write in between. */
const maxTries = 5;

/**
 * Carries out offboarding events: removes one element's instance, or all that the tenant has.
 *
 * A whole tenant has a tombstone of its own, beside those of its instances. It is written before the instances are
 * listed, and an onboarding event reads it after it has claimed its row: each side writes before it reads, so one of
 * the two sees the other. The tombstone is `deleting` until every instance that was requested before it is gone, and
 * `removed` from then on, which answers the event. Nothing clears it; it is compared by time and ends by TTL.
 */
export function createOffboarding(
  ports: Pick<Ports, 'store' | 'cloudElements' | 'origin' | 'stage' | 'observe' | 'timing' | 'now' | 'newId'>,
): {
  offboard: Offboard;
  finishTenant: (row: InstanceRow, deadlineAt: number) => Promise<Removed['outcome']>;
} {
  const { store, origin, observe, timing, now, newId } = withDefaults(ports);
  const { remove } = createRemoving(ports);
  const { endClaim } = createCleaning(ports);

  return { offboard, finishTenant };

  /** @returns `in-progress` while an instance is not gone yet; the event has no answer then, and must come again */
  async function offboard(
    { tenantId, elementKey, removal }: Offboarding,
    { deadlineAt }: { deadlineAt: number },
  ): Promise<Removed['outcome']> {
    if (elementKey !== undefined) {
      const { outcome } = await remove({ tenantId, elementKey }, removal, { deadlineAt });
      return outcome;
    }
    const row = await remember(tenantId, removal);
    if (row.status === 'removed') return 'already-gone';
    const outcome = await finishTenant(row, deadlineAt);
    if (outcome === 'outdated') {
      observe({ kind: 'event-ignored', reason: 'all instances were requested after this removal' }, row);
    }
    return outcome;
  }

  /** The tenant's tombstone as this removal has written it: `removed`, and its event answered, or `deleting`. */
  async function remember(tenantId: string, removal: Removal): Promise<InstanceRow> {
    const key = { tenantId, elementKey: wholeTenant };
    for (let tries = 0; tries < maxTries; tries++) {
      const claimId = newId();
      const row = await store.get(key);
      const nowMs = now();
      if (!row) {
        const ids = { provisionId: newId(), claimId };
        const fresh = tenantTombstone({ key, removal, ids, origin, nowMs, timing });
        if ((await store.claim(fresh)).won) return fresh;
        continue;
      }
      const isSameEvent = removal.by?.eventId === removedByOf(row)?.eventId;
      if (row.status === 'removed' && isSameEvent) return row;
      const next =
        row.status === 'removed' && isCarriedOut(row, removal)
          ? rememberRemoval(row, removal, { claimId, nowMs }, timing)
          : beginRemoval(row, removal, { claimId, nowMs }, timing);
      if ((await store.claim(next, row)).won) return next;
    }
    throw tenantBusy(tenantId);
  }

  /** Removes the instances that were requested before. `row` is `deleting` and leased by the caller. */
  async function finishTenant(row: InstanceRow, deadlineAt: number): Promise<Removed['outcome']> {
    const { tenantId } = row;
    const times = row.removingTimes ?? removedTimesOf(row);
    const removal: Removal = { times, by: row.removedBy, isOfTenant: true };
    const { instances, unreadable } = await store.list(tenantId);
    // All come to an end before the error of one is thrown: no work goes on after the function has returned.
    const settled = await Promise.allSettled(
      instances.map(({ elementKey }) => remove({ tenantId, elementKey }, removal, { deadlineAt })),
    );
    const failure = settled.find((each) => each.status === 'rejected');
    if (unreadable.length > 0) {
      const keys = unreadable.map((each) => each.elementKey).join(', ');
      observe({ kind: 'left-open', reason: `rows that cannot be read: ${keys}` }, row);
    }
    // An unreadable row may still have an instance.
    const isOpen =
      unreadable.length > 0 ||
      settled.some((each) => each.status === 'fulfilled' && each.value.outcome === 'in-progress');
    if (failure || isOpen) {
      const pending = withError(
        release(row, now() + timing.reconcileAgainMs),
        tenantDeletionPending(row),
        now(),
      );
      await endClaim(row, pending);
      if (failure) throw failure.reason;
      return 'in-progress';
    }
    const tombstoned = markRemoved(row, now(), timing);
    if (!(await store.write(tombstoned, row)).won) return 'in-progress';
    const outcomes = new Set(settled.map((each) => each.status === 'fulfilled' && each.value.outcome));
    return (['removed', 'outdated'] as const).find((outcome) => outcomes.has(outcome)) ?? 'already-gone';
  }
}
