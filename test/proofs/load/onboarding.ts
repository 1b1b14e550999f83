import { PutEventsCommand } from '@aws-sdk/client-eventbridge';
import * as z from 'zod/mini';
import type { DeployedStack } from '../../service/deployed/deployed-stack.ts';
import { tenantOnboarded, type Event, type Service } from '../../support/running-service.ts';
import { seededRandom, type Random } from '../../support/seeded-random.ts';
import { compare, waitForRest } from './audit.ts';
import { disturb } from './disturbances.ts';
import { hostileTexts } from './hostile-inputs.ts';
import { inParallel } from './in-parallel.ts';

/** Per thousand tenants, the number of repeated events, and of malformed ones. */
const twicePerMille = 50;
const malformedPerMille = 10;

/** EventBridge accepts ten at once. */
const batchSize = 10;

/** The distance between an event and its repeat, in events. */
const repeatAfter = 100;

/** Tokens that are read and compared. */
const tokenSample = 200;

const atOnce = 4;

/** A failed message becomes visible again after this time, when its invocation is over. Deployed it is 174 s. */
export const visibilityTimeoutMs = 35_000;

/**
 * Fewer than deployed, so that malformed events are dead letters within five minutes, but enough for a claim that was
 * killed before its create was sent: 29 + 125 s.
 */
export const maxReceiveCount = 8;

const mostRedrives = 3;

/** A few tenants are late because their claim was killed; the time of the others shows the throughput. */
export const mostShare = 0.95;

export type OnboardingReport = Awaited<ReturnType<typeof onboard>>;

/** Announces tenants on the bus, disturbs the service meanwhile, and counts the outcomes. */
export async function onboard(
  { stack, service }: { stack: DeployedStack; service: Service },
  {
    events: tenants,
    seed,
    runId,
    plant,
    plantPlatformSecret,
    restLimitMs,
    show,
  }: {
    events: number;
    seed: number;
    runId: string;
    plant: () => string;
    plantPlatformSecret: (what: string, secret: string) => void;
    restLimitMs: number;
    show: (progress: string) => void;
  },
) {
  const startedAt = Date.now();
  const random = seededRandom(seed);
  const { entries, tenantIds, malformed } = planEvents({ tenants, runId, random, plant });
  const ours = new Set(tenantIds);
  const disturbance = disturb(stack, { tenants, seed: seed + 1, plant: plantPlatformSecret });
  const { simulator } = stack;

  async function announce(batch: typeof entries): Promise<void> {
    for (const { newTenantId } of batch) {
      if (newTenantId !== undefined) await service.putTenantSecret(newTenantId, { 'api.key': plant() });
    }
    const Entries = batch.map(({ event }) => ({ ...event, EventBusName: stack.busName }));
    const { FailedEntryCount } = await stack.eventBridge.send(new PutEventsCommand({ Entries }));
    if (FailedEntryCount !== 0) throw new Error(`The bus took all but ${FailedEntryCount} of ten events.`);
    sent += batch.length;
  }

  let sent = 0;
  const batches = Array.from({ length: Math.ceil(entries.length / batchSize) }, (_, index) =>
    entries.slice(index * batchSize, (index + 1) * batchSize),
  );
  const progress = (what: string) =>
    show(`${sent}/${entries.length} events  ${simulator.instances.length} instances  ${what}`);
  const ticker = setInterval(() => progress('sending'), 500);
  try {
    await inParallel(batches, atOnce, announce);
  } finally {
    clearInterval(ticker);
  }
  const sentMs = Date.now() - startedAt;

  const restUntil = Date.now() + restLimitMs;
  const dead: string[] = [];
  const redriven = new Map<string, number>();
  /** Acts as an operator: sends dead letters again that may succeed, a limited number of times. */
  async function redrive(): Promise<number> {
    const bodies = (await stack.deadLetters()).splice(0).map(({ body }) => body);
    let count = 0;
    for (const body of bodies) {
      const times = redriven.get(body) ?? 0;
      if (!ours.has(tenantIdIn(body)) || times === mostRedrives) {
        dead.push(body);
        continue;
      }
      redriven.set(body, times + 1);
      await stack.sendToQueue(body);
      count += 1;
    }
    return count;
  }
  await waitForRest(stack, { limitMs: restUntil - Date.now(), show: progress, redrive });
  await disturbance.stop();
  const totalMs = Date.now() - startedAt;

  const { instances, active, duplicates, orphans, lost, stuck } = await compare(stack, (id) => ours.has(id));
  const createdAt = instances.map(({ createdAtMs }) => createdAtMs).toSorted((x, y) => x - y);
  const activeIds = new Set(active.map(({ tenantId }) => tenantId));
  const tokenOf = new Map(instances.map(({ id, token }) => [id, token]));
  const step = Math.max(1, Math.floor(active.length / tokenSample));
  const sample = active.filter((_row, index) => index % step === 0).slice(0, tokenSample);
  const wrongTokens: string[] = [];
  await inParallel(sample, 8, async ({ tenantId, instanceId = 0 }) => {
    const { json } = await service.get(`/tenants/${tenantId}/instances/taxify/token`);
    const { token } = tokenSchema.safeParse(json).data ?? {};
    if (token === undefined || token !== tokenOf.get(instanceId)) wrongTokens.push(tenantId);
  });

  const unexpectedDead = dead.filter((body) => ours.has(tenantIdIn(body)));
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
    instances: instances.length,
    sampledTokens: sample.length,
    redriven: [...redriven.values()].reduce((sum, times) => sum + times, 0),
    deadLetters: dead.length,
    faults: disturbance.faults,
    kills: disturbance.counts,
    refusedWhileRotated: disturbance.refusedWhile('rotated'),
    refusedWhileRevoked: disturbance.refusedWhile('revoked'),
    found: {
      duplicates,
      lost: [...new Set([...lost, ...tenantIds.filter((tenantId) => !activeIds.has(tenantId))])],
      wrongTokens,
      orphans,
      stuck,
      unexpectedDead: unexpectedDead.map(tenantIdIn),
      missingDead:
        dead.length - unexpectedDead.length === malformed
          ? []
          : [`${dead.length - unexpectedDead.length} of ${malformed}`],
      killsNotDone:
        disturbance.counts.kills < disturbance.counts.killsDue
          ? [
              `${disturbance.counts.kills} of ${disturbance.counts.killsDue}: no process of the function on this machine`,
            ]
          : [],
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

const tokenSchema = z.object({ token: z.string() });
const envelopeSchema = z.object({ detail: z.object({ tenantId: z.string() }) });

function tenantIdIn(body: string): string {
  return envelopeSchema.safeParse(JSON.parse(body)).data?.detail.tenantId ?? '';
}
