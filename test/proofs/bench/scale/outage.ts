import { defaultTiming } from '../../../../functions/model/timing.ts';
import { triggers } from '../../../../functions/triggers.ts';
import { indexWritesOf } from '../../../support/index-writes.ts';
import { scheduledEvent } from '../events.ts';
import { countEach } from '../statistics.ts';
import type { OpenSite, Workshop } from '../workshop.ts';
import type { Clock } from './clock.ts';
import type { Seeding } from './seeding.ts';

/** The end of an outage of Cloud Elements: the reconciler among claims that are overdue. */
export type Outage = {
  due: number;
  runs: number;
  /** From the first run until none is overdue, by the clock of the functions. */
  secondsUntilNone: number;
  /** From a claim whose create was sent, and whose invocation ended then, until its row is settled: the longest. */
  secondsUntilFresh: number;
  freshClaims: number;
  peakBytes: number;
  /** Seconds of a run, the longest. */
  secondsPerRun: number;
  calls: Record<string, number>;
  /** Writes to the index in the fullest second, by its partition. */
  indexWritesPerSecond: Record<string, number>;
};

const minuteMs = 60_000;
const everyMs = triggers['reconcile-instances'].schedule.everyMinutes * minuteMs;
/** Fresh claims between two runs, at equal distances. */
const freshPerRun = 6;
/** More than the longest backlog takes. */
const mostRuns = 60;

/**
 * `due` claims, of which Cloud Elements has made every other, were looked up in vain every five minutes for `outageMs`;
 * now it answers again. Meanwhile new claims are left by invocations that end after their create.
 */
export async function measureOutage(
  workshop: Workshop,
  { site, clock }: { site: OpenSite; clock: Clock },
  {
    seeding,
    due,
    latencyMs,
    outageMs,
  }: { seeding: Seeding; due: number; latencyMs: number; outageMs: number },
): Promise<Outage> {
  const beganAt = clock.now() - outageMs;
  const rows = Array.from({ length: due }, (_, index) => {
    const row = seeding.inDoubt(`doubt-${index}`, {
      nowMs: beganAt + (index / due) * (outageMs - defaultTiming.recheckMs),
      checkAt: Math.floor(clock.now() - (1 - index / due) * defaultTiming.reconcileAgainMs),
    });
    if (index % 2 === 0) seeding.made(row);
    return row;
  });
  await site.putRows(rows);

  await using environment = await workshop.startWarm(site.ours('reconcile-instances'));
  site.forgetRequests();
  site.simulator.latencyMs = latencyMs;
  const overdue = new Set(rows.map(({ tenantId }) => tenantId));
  const openSince = new Map<string, number>();
  const startedAt = clock.now();
  let noneAt = Infinity;
  const waitsMs: number[] = [];
  const writes: string[] = [];
  site.watcher.onChange = (record) => {
    const second = Math.floor(clock.now() / 1_000);
    writes.push(...indexWritesOf(record).map((partition) => `${partition} ${second}`));
    const { tenantId, status } = record.dynamodb?.NewImage ?? {};
    if (status?.S === 'provisioning' || tenantId?.S === undefined) return;
    if (overdue.delete(tenantId.S) && overdue.size === 0) noneAt = clock.now();
    const since = openSince.get(tenantId.S);
    if (since === undefined) return;
    openSince.delete(tenantId.S);
    waitsMs.push(clock.now() - since);
  };

  const runSeconds: number[] = [];
  let freshClaims = 0;
  let peakBytes = 0;
  // Fresh claims may wait for the run after the last overdue row.
  for (let run = 0; run < mostRuns; run += 1) {
    const isOver = overdue.size === 0;
    if (isOver && openSince.size === 0) break;
    const runAt = clock.now();
    const fresh = Array.from({ length: isOver ? 0 : freshPerRun }, (_, index) => {
      const claimedAt = Math.floor(runAt - everyMs + (index * everyMs) / freshPerRun);
      const row = seeding.unfinished(`fresh-${freshClaims + index}`, claimedAt);
      seeding.made(row);
      openSince.set(row.tenantId, claimedAt);
      return row;
    });
    freshClaims += fresh.length;
    await site.putRows(fresh);
    const { latenciesMs, ...cost } = await environment.run([scheduledEvent()], clock.aheadMs());
    ({ peakBytes } = cost);
    runSeconds.push((latenciesMs[0] ?? 0) / 1_000);
    clock.advanceTo(runAt + everyMs);
  }
  delete site.watcher.onChange;
  const left = overdue.size + openSince.size;
  if (left > 0) throw new Error(`${left} claims were not settled.`);
  return {
    due,
    runs: runSeconds.length,
    secondsUntilNone: (noneAt - startedAt) / 1_000,
    secondsUntilFresh: Math.max(...waitsMs) / 1_000,
    freshClaims,
    peakBytes,
    secondsPerRun: Math.max(...runSeconds),
    calls: site.callsSoFar(),
    indexWritesPerSecond: fullestSecondOf(writes),
  };
}

function fullestSecondOf(writes: readonly string[]): Record<string, number> {
  const most: Record<string, number> = {};
  for (const [second, count] of Object.entries(countEach(writes))) {
    const [partition = ''] = second.split(' ');
    most[partition] = Math.max(most[partition] ?? 0, count);
  }
  return most;
}
