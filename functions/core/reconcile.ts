import { withDefaults } from './defaults.ts';
import type { DueInstance, ImportedIds, Ports } from './ports.ts';
import { OnboardingError } from '../model/errors.ts';
import { wholeTenant, type InstanceKey, type InstanceRow } from '../model/instance.ts';
import { markRemoved, fail, isLeased, lease, leaveInDoubt, release } from './lifecycle.ts';
import { requestedTimesOf } from '../model/row-history.ts';
import { createImporting } from './import.ts';
import { createOffboarding } from './offboard.ts';
import { createRemoving } from './remove.ts';
import { idsOf } from './cleaning.ts';
import { neverSeen, notCreated } from './refusals.ts';
import { createSettling } from './settle.ts';
import { isTenantRemovedSince } from './tenant-tombstone.ts';
import type { Timing } from '../model/timing.ts';

/** Outcome for a row that was due. `skipped`: another claim holds it. */
export type Reconciled =
  | 'adopted'
  | 'failed'
  | 'removed'
  | 'checked'
  | 'still-open'
  | 'skipped'
  /** Moved to a later time by its key alone. */
  | 'unreadable';

/** Rows processed at once, half of them for their first check. Each may have a call to Cloud Elements in flight. */
export const reconcileBatchSize = 30;

/** `waitedMs`: how long the row was unsettled. */
type RowResult = { outcome: Reconciled; waitedMs: number };
const skipped: RowResult = { outcome: 'skipped', waitedMs: 0 };

/**
 * Settles what requests have left open, one row at a time: unfinished claims are adopted or failed, removals
 * finished, and rows that were once in doubt are checked again for instances that appeared late. It never creates: it
 * has no configuration. Safe beside requests and beside itself, because it leases each row.
 */
export function createReconciling(
  ports: Omit<Ports, 'readTenantSecret' | 'catalog'> & { importedIds: ImportedIds },
) {
  const { store, origin, observe, timing, now, newId } = withDefaults(ports);
  const { lookUp, read, settleFound, removeDuplicate, endClaim } = createSettling(ports);
  const { finish } = createRemoving(ports);
  const { continueImport } = createImporting(ports);
  const { finishTenant } = createOffboarding(ports);

  return { reconcile, settle };

  /**
   * Works through the rows that are due until none is left or time runs out; the rest is due at the next run. Half of
   * each batch is reserved for rows that were not checked yet, so that no backlog delays them; the longest overdue come
   * first in either half.
   * @returns the number of rows by outcome, and the age of the oldest unsettled row: 0 when none was due
   */
  async function reconcile({
    deadlineAt,
    batchSize = reconcileBatchSize,
  }: {
    deadlineAt: number;
    batchSize?: number;
  }): Promise<{ tally: Partial<Record<Reconciled, number>>; oldestUnsettledMs: number }> {
    const tally: Partial<Record<Reconciled, number>> = {};
    let oldestUnsettledMs = 0;
    const seen = new Set<string>();
    const isUnseen = (due: DueInstance) => !seen.has(nameOf(due));
    const faults: unknown[] = [];
    let stale = 0;
    // A row may take a look-up, a removal and a commit.
    const rowMs = 2 * timing.lookUpTimeoutMs + timing.commitReserveMs;
    while (now() + rowMs <= deadlineAt) {
      const { first, later } = await store.due(now(), batchSize + stale);
      const [newFirst, newLater] = [first.filter(isUnseen), later.filter(isUnseen)];
      const batch = halves(newFirst, newLater, batchSize);
      // The index lags: rows already processed reappear and take the place of others.
      const hiding = first.length + later.length - newFirst.length - newLater.length;
      if (batch.length === 0 && hiding <= stale) break;
      stale = hiding;
      for (const due of batch) {
        seen.add(nameOf(due));
        oldestUnsettledMs = Math.max(oldestUnsettledMs, now() - due.checkAt);
      }
      const settled = await Promise.all(batch.map((due) => settleOrLeave(due, deadlineAt, faults)));
      for (const { outcome, waitedMs } of settled) {
        tally[outcome] = (tally[outcome] ?? 0) + 1;
        oldestUnsettledMs = Math.max(oldestUnsettledMs, waitedMs);
      }
    }
    // A bug fails the run, but only after the other rows were processed.
    if (faults.length > 0) throw faults[0];
    return { tally, oldestUnsettledMs };
  }

  /** A row that cannot be settled must not end the run: the others would continue in a frozen execution environment. */
  async function settleOrLeave(due: DueInstance, deadlineAt: number, faults: unknown[]): Promise<RowResult> {
    try {
      return await settle(due, deadlineAt);
    } catch (error) {
      const isExpected = error instanceof OnboardingError;
      if (!isExpected) faults.push(error);
      const reason = isExpected ? error.message : 'a bug in this service';
      observe({ kind: 'left-open', reason }, { ...due, provisionId: 'not known' });
      // Otherwise it would head every batch and starve the others.
      const isUnreadable = isExpected && error.code === 'internal';
      if (isUnreadable || !isExpected) await postpone(due);
      return { outcome: isUnreadable ? 'unreadable' : 'still-open', waitedMs: 0 };
    }
  }

  async function postpone(due: DueInstance): Promise<void> {
    try {
      await store.postpone(due, now() + timing.recheckMs);
    } catch (error) {
      if (!(error instanceof OnboardingError)) throw error;
      observe({ kind: 'claim-left', reason: error.message }, { ...due, provisionId: 'not known' });
    }
  }

  async function settle(key: InstanceKey, deadlineAt: number): Promise<RowResult> {
    const row = await store.get(key);
    const nowMs = now();
    if (row?.checkAt === undefined || row.checkAt > nowMs || isLeased(row, nowMs)) return skipped;
    const leased = {
      ...lease(row, { claimId: newId(), nowMs }, timing),
      checkAt: nowMs + timing.leaseMs,
      lookedAt: nowMs,
    };
    if (!(await store.claim(leased, row)).won) return skipped;
    return { outcome: await settleLeased(leased, deadlineAt), waitedMs: nowMs - unsettledSince(row, timing) };
  }

  async function settleLeased(leased: InstanceRow, deadlineAt: number): Promise<Reconciled> {
    if (leased.elementKey === wholeTenant) {
      return (await finishTenant(leased, deadlineAt)) === 'in-progress' ? 'still-open' : 'removed';
    }
    if (leased.origin !== origin) return leaveOpen(leased, 'origin-changed');
    switch (leased.status) {
      case 'provisioning':
        if (leased.importing) return settleImport(leased, deadlineAt);
        return settleClaim({ ...leased, inDoubt: true }, deadlineAt);
      case 'deleting':
        return (await finish(leased, deadlineAt)).outcome === 'removed' ? 'removed' : 'still-open';
      case 'active':
      case 'failed':
      case 'removed':
        return recheck(leased, deadlineAt);
    }
  }

  async function settleImport(row: InstanceRow, deadlineAt: number): Promise<Reconciled> {
    observe({ kind: 'taken-over', from: row.status }, row);
    const continued = await continueImport(row, deadlineAt);
    switch (continued.kind) {
      case 'committed':
        return 'adopted';
      case 'open':
        return 'still-open';
      case 'ended':
        return continued.isOver ? 'failed' : 'still-open';
      case 'superseded':
        return 'skipped';
    }
  }

  async function settleClaim(row: InstanceRow, deadlineAt: number): Promise<Reconciled> {
    observe({ kind: 'taken-over', from: row.status }, row);
    // Taken before the call: a create that takes effect meanwhile may be missing from the response.
    const lookedAt = now();
    const found = await lookUp(row, within(deadlineAt));
    if (!found) return leaveOpen(row, 'look-up failed');
    const settled = await settleFound(row, found, deadlineAt);
    if (settled?.kind === 'unusable') return settled.isRecorded ? 'failed' : 'skipped';
    if (settled) return settled.kind === 'committed' ? 'adopted' : 'still-open';
    if (lookedAt < row.sendDeadline + timing.quiescenceMs) {
      await endClaim(row, leaveInDoubt(row, neverSeen(row), now(), timing));
      return 'still-open';
    }
    const isUnwanted =
      row.requestedBy !== undefined &&
      (await isTenantRemovedSince(store, row.tenantId, requestedTimesOf(row)));
    const ended = isUnwanted
      ? markRemoved(row, now(), timing)
      : fail(row, row.sendDeadline, notCreated(row), now(), timing);
    if (!(await store.write(ended, row)).won) return 'skipped';
    return isUnwanted ? 'removed' : 'failed';
  }

  /** Looks for instances that no row records; for an active row only if its own instance is visible. */
  async function recheck(row: InstanceRow, deadlineAt: number): Promise<Reconciled> {
    const keptId = row.status === 'active' ? row.instanceId : undefined;
    const kept =
      keptId === undefined ? undefined : await read({ ...row, instanceId: keptId }, within(deadlineAt));
    if (kept?.kind === 'unknown') return leaveOpen(row, 'look-up failed');
    const found = await lookUp(row, { ...within(deadlineAt), besides: keptId });
    if (!found) return leaveOpen(row, 'look-up failed');
    if (keptId !== undefined && !(kept?.kind === 'read' && kept.owned !== 'not-ours')) {
      observe(
        kept?.kind === 'read'
          ? { kind: 'not-ours', instanceId: keptId }
          : { kind: 'look-up-failed', reason: `instance ${keptId}, which is active, is not visible` },
        row,
      );
      return check(row, now() + timing.recheckMs);
    }
    const duplicates = idsOf(found).filter((id) => id !== keptId);
    const removed = await Promise.all(duplicates.map((id) => removeDuplicate(row, id, deadlineAt)));
    if (!removed.every(Boolean)) return leaveOpen(row, 'duplicates not removed');
    const formers = await removeFormers(row, keptId, deadlineAt);
    if (!formers) return leaveOpen(row, 'an earlier generation may be left');
    // An uncertain look-up is repeated.
    if (!(found.isCertain && formers.areCertain)) return check(row, now() + timing.recheckMs);
    return check({ ...row, formers: undefined }, undefined);
  }

  /** `again`: when the row is rechecked, if anything is still in doubt. */
  async function check(row: InstanceRow, again: number | undefined): Promise<Reconciled> {
    await endClaim(row, release(row, again));
    return 'checked';
  }

  /**
   * Removes every instance of the row's earlier generations, which requests with other settings have replaced.
   * @returns undefined when one may be left
   */
  async function removeFormers(
    row: InstanceRow,
    keptId: number | undefined,
    deadlineAt: number,
  ): Promise<{ areCertain: boolean } | undefined> {
    let areCertain = true;
    for (const former of row.formers ?? []) {
      // This base URL knows nothing of an instance at another.
      if (former.origin !== undefined && former.origin !== origin) return undefined;
      const { provisionId, name, createdAt } = former;
      const sought = { ...row, provisionId, name, createdAt, createdName: undefined, instanceId: undefined };
      const found = await lookUp(sought, { ...within(deadlineAt), besides: keptId });
      if (!found) return undefined;
      const duplicates = idsOf(found).filter((id) => id !== keptId);
      const removed = await Promise.all(duplicates.map((id) => removeDuplicate(row, id, deadlineAt)));
      if (!removed.every(Boolean)) return undefined;
      areCertain &&= found.isCertain;
    }
    return { areCertain };
  }

  function within(deadlineAt: number): { timeoutMs: number } {
    return { timeoutMs: Math.min(timing.lookUpTimeoutMs, deadlineAt - timing.commitReserveMs - now()) };
  }

  async function leaveOpen(row: InstanceRow, reason: string): Promise<Reconciled> {
    observe({ kind: 'left-open', reason }, row);
    await endClaim(row, release(row, now() + timing.reconcileAgainMs));
    return 'still-open';
  }
}

/** Half of each; unused places of one go to the other. */
function halves(first: readonly DueInstance[], later: readonly DueInstance[], size: number): DueInstance[] {
  const ofLater = Math.max(Math.floor(size / 2), size - first.length);
  const chosen = later.slice(0, ofLater);
  return [...first.slice(0, size - chosen.length), ...chosen];
}

/** `checkAt` moves with every try, so it does not give the row's age. */
function unsettledSince(row: InstanceRow, { recheckMs }: Timing): number {
  switch (row.status) {
    case 'provisioning':
      // Each try to take the markers of an import off moves its send deadline.
      return row.importing ? row.requestedAt : row.sendDeadline;
    case 'deleting':
      return row.removingSince ?? row.removedAt ?? row.updatedAt;
    case 'active':
    case 'failed':
    case 'removed':
      return row.updatedAt + recheckMs;
  }
}

const nameOf = ({ tenantId, elementKey }: InstanceKey): string => `${tenantId}/${elementKey}`;
