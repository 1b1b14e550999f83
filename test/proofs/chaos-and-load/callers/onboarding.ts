import pMap from 'p-map';
import * as z from 'zod/mini';
import { tenantOnboarded, type Event } from '../../../support/running-service.ts';
import { seededRandom, type Random } from '../../../support/seeded-random.ts';
import { disturb } from '../disturbances/disturbances.ts';
import type { Target } from '../target.ts';
import { hostileTexts } from './hostile-inputs.ts';
import type { Phase } from './phase.ts';

/** Per thousand tenants, the number of repeated events, and of malformed ones. */
const twicePerMille = 50;
const malformedPerMille = 10;

/** EventBridge accepts ten at once. */
const batchSize = 10;

/** The distance between an event and its repeat, in events. */
const repeatAfter = 100;

/** Tokens that are read and compared. */
const tokenSample = 200;

const mostRedrives = 3;

/** A few tenants are late because their claim was killed; the time of the others shows the throughput. */
export const mostShare = 0.95;

export type OnboardingReport = Awaited<ReturnType<typeof onboard>>;

/** Announces tenants on the bus, disturbs the service meanwhile, and counts the outcomes. */
export async function onboard(target: Target, { count: tenants, seed, runId, show }: Phase) {
  const startedAt = Date.now();
  const { service, oracle, periods } = target;
  const { simulator } = service;
  const { plant } = oracle;
  const { entries, tenantIds, malformed } = planEvents({ tenants, runId, random: seededRandom(seed), plant });
  const ours = new Set(tenantIds);
  const disturbance = disturb(target, { tenants, seed: seed + 1 });

  let sent = 0;
  async function announce(batch: typeof entries): Promise<void> {
    for (const { newTenantId } of batch) {
      if (newTenantId !== undefined) await service.putTenantSecret(newTenantId, { 'api.key': plant() });
    }
    await service.putEvents(...batch.map(({ event }) => event));
    sent += batch.length;
  }
  const batches = Array.from({ length: Math.ceil(entries.length / batchSize) }, (_, index) =>
    entries.slice(index * batchSize, (index + 1) * batchSize),
  );
  const progress = (what: string) =>
    show(`${sent}/${entries.length} events  ${simulator.instances.length} instances  ${what}`);
  const ticker = setInterval(() => progress('sending'), 500);
  try {
    await pMap(batches, announce, { concurrency: 4 });
  } finally {
    clearInterval(ticker);
  }
  const sentMs = Date.now() - startedAt;

  const dead: string[] = [];
  const redriven = new Map<string, number>();
  /** Acts as an operator: sends dead letters again that may succeed, a limited number of times. */
  async function redrive(): Promise<number> {
    let count = 0;
    for (const { body } of (await service.deadLetters()).splice(0)) {
      const times = redriven.get(body) ?? 0;
      if (!ours.has(tenantIdIn(body)) || times === mostRedrives) {
        dead.push(body);
        continue;
      }
      redriven.set(body, times + 1);
      await service.sendToQueue(body);
      count += 1;
    }
    return count;
  }
  await oracle.waitForRest({
    limitMs: periods.restLimitMs,
    pauseMs: periods.pauseMs,
    show: progress,
    async isQuiet() {
      await target.reconcile();
      // In this order, because the last message may become a dead letter in between.
      return (await target.areQueuesEmpty()) && (await redrive()) === 0;
    },
  });
  await disturbance.stop();
  const totalMs = Date.now() - startedAt;

  const { instanceOf, served, sampledTokens, found } = await oracle.compare({
    isOurs: (tenantId) => ours.has(tenantId),
    tokenSample,
  });
  const createdAt = [...instanceOf.values()].map(({ createdAtMs }) => createdAtMs).toSorted((x, y) => x - y);
  const servedIds = new Set(served.map(({ tenantId }) => tenantId));
  const unexpectedDead = dead.map(tenantIdIn).filter((tenantId) => ours.has(tenantId));
  const missing = malformed - (dead.length - unexpectedDead.length);
  const { kills, killsDue } = disturbance.counts;
  return {
    tenants,
    events: entries.length,
    repeated: entries.length - tenants - malformed,
    malformed,
    sentMs,
    mostMadeMs: (createdAt[Math.ceil(mostShare * createdAt.length) - 1] ?? startedAt) - startedAt,
    allMadeMs: (createdAt.at(-1) ?? startedAt) - startedAt,
    totalMs,
    creates: simulator.requests.filter(({ operation }) => operation === 'POST /instances').length,
    calls: simulator.requests.length,
    instances: instanceOf.size,
    sampledTokens,
    redriven: [...redriven.values()].reduce((sum, times) => sum + times, 0),
    deadLetters: dead.length,
    faults: disturbance.faults,
    kills: disturbance.counts,
    refusedWhileRotated: disturbance.refusedWhile('rotated'),
    refusedWhileRevoked: disturbance.refusedWhile('revoked'),
    found: {
      ...found,
      lost: [...found.lost, ...tenantIds.filter((tenantId) => !servedIds.has(tenantId))],
      unexpectedDead,
      missingDead: missing === 0 ? [] : [`${missing} of ${malformed}`],
      killsNotDone:
        kills === killsDue ? [] : [`${kills} of ${killsDue}: no process of the function on this machine`],
    },
  };
}

type Planned = { tenants: number; runId: string; random: Random; plant: () => string };

function planEvents({ tenants, runId, random, plant }: Planned) {
  const tenantIds = Array.from({ length: tenants }, (_, index) => `load-${runId}-${index}`);
  const entries: { event: Event; newTenantId?: string }[] = [];
  let malformed = 0;
  const repeats = new Map<number, Event>();
  for (const [index, tenantId] of tenantIds.entries()) {
    const event = tenantOnboarded(tenantId);
    entries.push({ event, newTenantId: tenantId });
    if ((index * twicePerMille) % 1_000 < twicePerMille) repeats.set(index + repeatAfter, event);
    if ((index * malformedPerMille) % 1_000 < malformedPerMille) {
      entries.push({ event: malformedEvent({ runId, random, plant }) });
      malformed += 1;
    }
    const repeat = repeats.get(index);
    if (repeat && repeats.delete(index)) entries.push({ event: repeat });
  }
  for (const event of repeats.values()) entries.push({ event });
  return { entries, tenantIds, malformed };
}

function malformedEvent({ runId, random, plant }: Omit<Planned, 'tenants'>): Event {
  const text = random.oneOf(hostileTexts);
  const apiKey = plant();
  return tenantOnboarded(
    `malformed-${runId}`,
    random.oneOf<object>([
      { apiKey },
      { tenantId: ` ${text}` },
      { tenantId: [apiKey] },
      { tenantId: null, name: apiKey },
      { element: { key: `${apiKey}!` } },
      { element: apiKey },
      { tags: apiKey },
      { tags: [{ apiKey }] },
      { configuration: [apiKey] },
      { name: { text, apiKey } },
    ]),
  );
}

const envelopeSchema = z.object({ detail: z.object({ tenantId: z.string() }) });

function tenantIdIn(body: string): string {
  return envelopeSchema.safeParse(JSON.parse(body)).data?.detail.tenantId ?? '';
}
