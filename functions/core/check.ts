import { withDefaults } from './defaults.ts';
import { OnboardingError } from '../model/errors.ts';
import { hasNoPing } from '../model/catalog.ts';
import { healthAfter, type Finding, type Health } from '../model/health.ts';
import type { InstanceKey, InstanceRow } from '../model/instance.ts';
import { defaultCheckTiming, type CheckTiming } from '../model/timing.ts';
import { isLeased, isSameButHealth, nextRevision } from './lifecycle.ts';
import type { CheckStore, DueInstance, InstanceStore, Ping, Ports } from './ports.ts';
import * as refusals from './refusals.ts';

/** Checks at the same time; each has at most one call to Cloud Elements in flight. */
export const checksAtOnce = 10;

/** Checks of one run, once a minute: 144,000 a day, with two calls to Cloud Elements each, so 3.3 calls a second. */
export const checksPerRun = 100;

/** A run reads at most this many unsettled rows to see whether they are due for a check. */
const mostUnsettled = 50;

/** Other instances that are read to see whether the platform's user sees any. */
const witnesses = 3;

/** Rows among which these are looked for: some are at another origin, or cannot be read. */
const witnessCandidates = 10;

export type CheckTally = {
  healthy: number;
  unhealthy: number;
  unknown: number;
  /** Held by another claim, or changed meanwhile. */
  skipped: number;
  /** The run ended early, because no check of a batch got a response; due rows are left to the next run. */
  brokenOff: boolean;
};

type Checked = { row: InstanceRow; finding: Finding };

/**
 * Checks whether instances work: each is read by its id, and then pinged with the token that Cloud Elements shows, so
 * that no stored token is decrypted. A check takes no lease and holds up no request. Its result is written over the row
 * exactly as it was read, and otherwise dropped: two checks at once count as one.
 */
export function createChecking({
  timing = defaultCheckTiming,
  ...ports
}: Pick<Ports, 'cloudElements' | 'catalog' | 'origin' | 'stage' | 'observe' | 'now' | 'newId'> & {
  store: Pick<InstanceStore, 'get' | 'claim' | 'due' | 'postpone'> & CheckStore;
  ping: Ping;
  timing?: CheckTiming;
}) {
  const { store, cloudElements, catalog, ping, origin, stage, observe, now, newId } = withDefaults(ports);
  return { check, checkDue };

  /** @throws OnboardingError `not-found`, `not-active`, `busy` or `origin-changed` */
  async function check(key: InstanceKey, { deadlineAt }: { deadlineAt: number }): Promise<Checked> {
    const row = await store.get(key);
    if (!row || row.status === 'removed') throw refusals.notFound(key);
    if (row.status !== 'active' || row.instanceId === undefined) throw refusals.notActive(row);
    if (isLeased(row, now())) throw refusals.busy(row, now());
    if (row.origin !== origin) throw refusals.otherOrigin(row, origin);
    const finding = await find(row, deadlineAt);
    const written = await record(row, finding);
    if (written.won) return { row: written.row, finding };
    const { current } = written;
    if (current && isSameButHealth(row, current)) return { row: current, finding };
    throw refusals.busy(current ?? row, now());
  }

  /** Checks instances that are due, until none is left, or `checksPerRun` are done, or time runs out. */
  async function checkDue({ deadlineAt }: { deadlineAt: number }): Promise<CheckTally> {
    const tally: CheckTally = { healthy: 0, unhealthy: 0, unknown: 0, skipped: 0, brokenOff: false };
    const faults: unknown[] = [];
    const unsettled = await dueUnsettled();
    const seen = new Set(unsettled.map(nameOf));
    const checkMs = timing.lookUpTimeoutMs + timing.pingTimeoutMs + timing.commitReserveMs;
    while (seen.size < checksPerRun && now() + checkMs <= deadlineAt) {
      const isOfUnsettled = unsettled.length > 0;
      const batch = isOfUnsettled ? unsettled.splice(0, checksAtOnce) : await nextBatch(seen);
      if (batch.length === 0) break;
      const findings = await Promise.all(
        batch.map((due) => checkOrLeave(due, { deadlineAt, faults, isMovable: !isOfUnsettled })),
      );
      for (const finding of findings) tally[finding?.status ?? 'skipped'] += 1;
      // Fewer may be of one vendor.
      tally.brokenOff =
        batch.length === checksAtOnce && findings.every((finding) => finding?.reason === 'unreachable');
      if (tally.brokenOff) break;
    }
    // A bug fails the run, but only after the other instances were checked.
    if (faults.length > 0) throw faults[0];
    return tally;
  }

  /**
   * Instances that are due for a check while their rows are not settled, which may last: the index has these rows at the
   * time of the reconciler's next look, at most `recheckMs` ahead.
   */
  async function dueUnsettled(): Promise<DueInstance[]> {
    const { later } = await store.due(now() + timing.recheckMs, mostUnsettled);
    const rows = await Promise.all(later.map((key) => readable(key)));
    return later.filter((_, index) => {
      const row = rows[index];
      return isDue(row, now()) && isUnsettled(row);
    });
  }

  /**
   * Half of the batch is the latest due, so that a new instance does not wait behind a backlog.
   * @param seen rows of earlier batches, which the index may still show; this batch is added
   */
  async function nextBatch(seen: Set<string>): Promise<DueInstance[]> {
    const query = { until: now(), limit: checksAtOnce + seen.size };
    const [longest, latest] = await Promise.all([
      store.dueChecks({ ...query, first: 'longest' }),
      store.dueChecks({ ...query, first: 'latest' }),
    ]);
    const takeNew = (from: readonly DueInstance[], count: number) => {
      const taken = from.filter((due) => !seen.has(nameOf(due))).slice(0, count);
      for (const due of taken) seen.add(nameOf(due));
      return taken;
    };
    const ofLongest = takeNew(longest, checksAtOnce / 2);
    return [...ofLongest, ...takeNew(latest, checksAtOnce - ofLongest.length)];
  }

  async function checkOrLeave(
    due: DueInstance,
    { deadlineAt, faults, isMovable }: { deadlineAt: number; faults: unknown[]; isMovable: boolean },
  ): Promise<Finding | undefined> {
    try {
      return await checkOne(due, deadlineAt);
    } catch (error) {
      const isExpected = error instanceof OnboardingError;
      if (!isExpected) faults.push(error);
      const reason = isExpected ? error.message : 'a bug in this service';
      observe({ kind: 'left-open', reason }, { ...due, provisionId: 'not known' });
      // Otherwise it would head the queue in every run; the reconciler reports one that cannot be read.
      if (isMovable && (!isExpected || error.code === 'internal')) await postpone(due);
      return undefined;
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

  async function checkOne(due: DueInstance, deadlineAt: number): Promise<Finding | undefined> {
    const row = await store.get(due);
    const nowMs = now();
    if (!isDue(row, nowMs) || isLeased(row, nowMs)) return undefined;
    const finding = await find(row, deadlineAt);
    return (await record(row, finding)).won ? finding : undefined;
  }

  async function find(row: InstanceRow, deadlineAt: number): Promise<Finding> {
    const { tenantId, elementKey, instanceId } = row;
    if (row.origin !== origin || instanceId === undefined) return unknown('origin-changed');
    const within = (timeoutMs: number) => ({
      timeoutMs: Math.min(timeoutMs, deadlineAt - timing.commitReserveMs - now()),
    });
    const owned = { tenantId, elementKey, owner: stage };
    const shown = await cloudElements.read({ ...owned, instanceId }, within(timing.lookUpTimeoutMs));
    if (shown.kind === 'unknown') return unknown('unreachable');
    if (shown.kind === 'absent') {
      return (await isVisible(row, () => within(timing.lookUpTimeoutMs)))
        ? { status: 'unhealthy', reason: 'gone' }
        : unknown('not-visible');
    }
    if (shown.owned === 'not-ours') return unknown('not-ours');
    if (shown.disabled) return { status: 'unhealthy', reason: 'disabled' };
    if (!shown.valid) return { status: 'unhealthy', reason: 'invalid' };
    const { token } = shown;
    // Known beforehand, so that no call is spent on it.
    if (hasNoPing(catalog, elementKey)) return { ...unknown('no-ping'), isShown: true };
    if (token === undefined) return { ...unknown('no-token'), isShown: true };
    const finding = await ping({ tenantId, elementKey, instanceId, token }, within(timing.pingTimeoutMs));
    return finding.status === 'unknown' ? { ...finding, isShown: true } : finding;
  }

  /**
   * Whether the platform's user sees another instance of this stage, or there is none. The secrets of another user see
   * no instance, and would make every tenant's instance gone.
   */
  async function isVisible(row: InstanceRow, options: () => { timeoutMs: number }): Promise<boolean> {
    const query = { until: Number.MAX_SAFE_INTEGER, limit: witnessCandidates + 1 };
    const due = await store.dueChecks({ ...query, first: 'latest' });
    const others = due.filter((other) => nameOf(other) !== nameOf(row)).slice(0, witnessCandidates);
    let isAlone = due.length <= witnessCandidates;
    let reads = 0;
    for (const key of others) {
      const other = await readable(key);
      if (other === 'unreadable') isAlone = false;
      if (!other || other === 'unreadable') continue;
      const { tenantId, elementKey, instanceId, status } = other;
      if (status !== 'active' || instanceId === undefined || other.origin !== origin) continue;
      const owned = { tenantId, elementKey, owner: stage };
      if ((await cloudElements.read({ ...owned, instanceId }, options())).kind === 'read') return true;
      isAlone = false;
      reads += 1;
      if (reads === witnesses) break;
    }
    return isAlone;
  }

  /** The row of another instance, whose fault must not be taken for one of the instance that is checked. */
  async function readable(key: InstanceKey): Promise<InstanceRow | 'unreadable' | undefined> {
    try {
      return await store.get(key);
    } catch (error) {
      if (error instanceof OnboardingError && error.code === 'internal') return 'unreadable';
      throw error;
    }
  }

  async function record(row: InstanceRow, finding: Finding) {
    const nowMs = now();
    const health = healthAfter(row.health, finding, nowMs);
    const turn = turnOf(row.health, health);
    const next: InstanceRow = {
      ...row,
      claimId: newId(),
      health,
      healthCheckAt: nowMs + untilNext(health, finding, timing),
      ...(turn && { revision: nextRevision(row, nowMs) }),
    };
    const written = await store.claim(next, row);
    if (!written.won) return { won: false as const, current: written.current };
    const { instanceId } = row;
    if (turn && instanceId !== undefined) {
      observe(
        turn === 'unhealthy'
          ? { kind: 'instance-unhealthy', instanceId, reason: health.reason ?? 'unconfirmed' }
          : { kind: 'instance-recovered', instanceId },
        row,
      );
    }
    return { won: true as const, row: next };
  }
}

/** Unlike a row that only has a place among these, because its check has met a fault. */
const isUnsettled = ({ inDoubt, formers = [] }: InstanceRow): boolean => inDoubt || formers.length > 0;

const isDue = (row: InstanceRow | 'unreadable' | undefined, nowMs: number): row is InstanceRow =>
  row !== undefined &&
  row !== 'unreadable' &&
  row.status === 'active' &&
  (row.healthCheckAt ?? nowMs + 1) <= nowMs;

type Unknown = Extract<Finding, { status: 'unknown' }>;

const unknown = (reason: Unknown['reason']): Unknown => ({ status: 'unknown', reason });

function turnOf(before: Health | undefined, after: Health): 'unhealthy' | 'recovered' | undefined {
  if (before?.status !== 'unhealthy' && after.status === 'unhealthy') return 'unhealthy';
  return before?.status === 'unhealthy' && after.status !== 'unhealthy' ? 'recovered' : undefined;
}

function untilNext(health: Health, finding: Finding, timing: CheckTiming): number {
  if (health.failedAt !== undefined) return timing.healthConfirmMs;
  if (finding.reason === 'unreachable') return timing.recheckMs;
  return health.status === 'unhealthy' ? timing.unhealthyEveryMs : timing.healthEveryMs;
}

const nameOf = ({ tenantId, elementKey }: InstanceKey): string => `${tenantId}/${elementKey}`;
