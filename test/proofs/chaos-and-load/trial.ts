import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import pMap from 'p-map';
import * as z from 'zod/mini';
import type { LocalStack } from '../../../infra/local/stack.ts';
import { eventOf } from '../../support/running-service.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { createClient } from './callers/client.ts';
import { drawPlan, isAsResponded, live, type Life, type Plan } from './callers/tenant.ts';
import { lateCreate } from './disturbances/faults.ts';
import { makeTrouble } from './disturbances/trouble.ts';
import { startLocalTarget } from './target.ts';

/** A trial's equivalent of a minute, in milliseconds. */
const reconcileEveryMs = 400;

/** Concurrent tenants. */
const concurrency = 40;

export type Progress = { tenantsDone: number; calls: number; faults: number; killed: number };

export type Trial = Awaited<ReturnType<typeof runTrial>>;

/**
 * Has tenants arrive, change and leave on a local stack whose Cloud Elements fails a third of all calls and whose
 * functions are killed at random; then waits until the stack is at rest and compares it with its promises. The seed
 * determines the random choices, not the interleaving of processes.
 */
export async function runTrial({
  tenants,
  seed,
  limitMs = 60_000 + tenants * 500,
  bundles,
  onProgress = () => {},
}: {
  tenants: number;
  seed: number;
  /** Tenants that have no outcome by then count as stuck. */
  limitMs?: number;
  /** As `startLocalTarget` takes them. */
  bundles?: string | undefined;
  onProgress?: (progress: Progress) => void;
}) {
  const startedAt = Date.now();
  const deadlineAt = startedAt + limitMs;
  const pauses = monitorEventLoopDelay({ resolution: 10 });
  pauses.enable();
  await using target = await startLocalTarget({ bundles });
  const { service, oracle } = target;
  const { simulator, stack } = service;
  const trouble = makeTrouble(stack, seed, oracle.rememberTokens);
  const tally = { requests: 0, repeats: 0, events: 0, redriven: 0, runs: 0, tenantsDone: 0 };

  async function putEvent(detailType: string, detail: object): Promise<void> {
    tally.events += 1;
    await service.putEvents(eventOf('crm.example', detailType, detail));
  }

  const planning = seededRandom(seed + 3);
  const plans = Array.from({ length: tenants }, (_, index) => drawPlan(index, planning));
  const lives: Life[] = [];
  async function liveThrough(plan: Plan, index: number): Promise<void> {
    const apiKey = oracle.plant();
    if (!plan.bringsKey) await service.putTenantSecret(plan.tenantId, { 'api.key': apiKey });
    const random = seededRandom(seed + 1_000 + index);
    const count = (name: 'requests' | 'repeats') => {
      tally[name] += 1;
    };
    const client = createClient({ target, random, deadlineAt, count });
    lives.push(await live(plan, { client, apiKey, putEvent, random }));
    tally.tenantsDone += 1;
  }

  // Schedules and the operator's redrives run until the tenants have finished.
  const calm = new AbortController();
  let runsUnderWay = 0;
  const background = [
    repeat(calm.signal, reconcileEveryMs, () => {
      // Not awaited, so that a long run overlaps the next one.
      if (runsUnderWay < 2) void reconcile();
    }),
    repeat(calm.signal, 1_000, redrive),
    repeat(calm.signal, 200, () => {
      const faults = sumOf(trouble.faults.values());
      onProgress({ ...tally, calls: simulator.requests.length, faults, killed: trouble.killed() });
    }),
  ];

  async function reconcile(): Promise<void> {
    tally.runs += 1;
    runsUnderWay += 1;
    await target.reconcile();
    runsUnderWay -= 1;
  }

  /** Puts dead letters back, as an operator does once their cause is gone. @returns their number */
  function redrive(): number {
    const before = tally.redriven;
    for (const queue of stack.queues.values()) {
      for (const { body } of queue.deadLetters.splice(0)) {
        tally.redriven += 1;
        queue.send(body);
      }
    }
    return tally.redriven - before;
  }

  try {
    await pMap(plans, liveThrough, { concurrency });
  } finally {
    calm.abort();
    await Promise.all(background);
    trouble.stop();
  }
  const trialMs = Date.now() - startedAt;

  await oracle.waitForRest({
    limitMs: deadlineAt - Date.now(),
    pauseMs: target.periods.pauseMs,
    show: () => {},
    async isQuiet() {
      redrive();
      await target.areQueuesEmpty();
      await reconcile();
      return [...stack.queues.values()].every(({ deadLetters }) => deadLetters.length === 0);
    },
  });
  const { rows, instanceOf, found } = await oracle.compare();
  const rowOf = new Map(rows.map((row) => [row.tenantId, row]));
  const observed = observedIn(stack);
  const { found: leaked } = await oracle.searchLeaks();
  const all = {
    ...found,
    doubled: observed.duplicates.slice(trouble.faults.get(lateCreate) ?? 0),
    broken: lives
      .filter((life) => !isAsResponded(life, rowOf.get(life.plan.tenantId), instanceOf))
      .map(({ plan, unserved }) => `${plan.tenantId} (${unserved ?? plan.course})`),
    undocumented: oracle.takeUndocumented(),
    ...leaked,
  };
  pauses.disable();
  return {
    found: all,
    isRight: Object.values(all).every((names) => names.length === 0),
    plans,
    instances: simulator.instances.length,
    tally,
    calls: simulator.requests.length,
    awsRequests: stack.requests.length,
    faults: trouble.faults,
    killed: trouble.killed(),
    observed,
    trialMs,
    totalMs: Date.now() - startedAt,
    /** A pause of the whole process longer than a create would invalidate the trial. */
    longestPauseMs: Math.round(pauses.max / 1e6),
  };
}

const lineSchema = z.object({
  message: z.string(),
  provisionId: z.optional(z.string()),
  instanceId: z.optional(z.number()),
});

/** Counts from the functions' logs. */
function observedIn({ logs, simulator }: LocalStack) {
  const times = new Map<string, number>();
  // The instances of each generation.
  const instances = new Map<string, Set<number>>();
  const seen = (provisionId: string, id: number) =>
    instances.set(provisionId, (instances.get(provisionId) ?? new Set()).add(id));
  for (const line of logs) {
    if (!line.startsWith('{')) continue;
    const { message, provisionId, instanceId } = lineSchema.parse(JSON.parse(line));
    times.set(message, (times.get(message) ?? 0) + 1);
    const isRemoved = message === 'duplicate-removed' || message === 'instance-removed';
    if (isRemoved && provisionId !== undefined && instanceId !== undefined) seen(provisionId, instanceId);
  }
  for (const { id, tags } of simulator.instances) {
    const tag = tags.find((each) => each.startsWith('provision:'));
    if (tag !== undefined) seen(tag.slice('provision:'.length), id);
  }
  return {
    unknownOutcomes: times.get('outcome-unknown') ?? 0,
    takeOvers: times.get('taken-over') ?? 0,
    adoptions: times.get('adopted') ?? 0,
    /** The generation of each duplicate instance. */
    duplicates: [...instances].flatMap(([provisionId, ids]) =>
      Array.from({ length: ids.size - 1 }, () => provisionId),
    ),
  };
}

export const sumOf = (numbers: Iterable<number>): number => [...numbers].reduce((sum, each) => sum + each, 0);

async function repeat(signal: AbortSignal, delayMs: number, act: () => void): Promise<void> {
  while (!signal.aborted) {
    // Rejects when the trial ends, which the loop checks.
    await setTimeout(delayMs, undefined, { signal }).catch(() => {});
    if (!signal.aborted) act();
  }
}
