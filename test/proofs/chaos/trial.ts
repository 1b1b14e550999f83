import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { KMSClient } from '@aws-sdk/client-kms';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import * as z from 'zod/mini';
import { createTokenCipher } from '../../../functions/adapters/token-cipher.ts';
import { startLocalStack, type LocalStack } from '../../../infra/local/stack.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { audit, isUnsettled, readRows } from './audit.ts';
import { bundleWithShortTiming } from './bundles.ts';
import { createClient } from './client.ts';
import { lateCreate } from './faults.ts';
import { drawPlan, live, type Life, type Plan } from './tenant.ts';
import { functionTimeoutMs } from './timing.ts';
import { makeTrouble } from './trouble.ts';

/** A trial's equivalent of a minute, in milliseconds. */
const reconcileEveryMs = 400;

/** Deployed it is six times the function's timeout. */
const visibilityTimeoutMs = 800;

/** Concurrent tenants. */
const concurrency = 40;

export type Progress = { tenantsDone: number; calls: number; faults: number; killed: number };

export type Trial = Awaited<ReturnType<typeof runTrial>>;

/**
 * Has tenants arrive, change and leave on a local stack whose Cloud Elements fails a third of all calls and whose
 * functions are killed at random; then waits until the stack is at rest and audits it.
 *
 * The functions are the bundles that are deployed, in processes of their own, behind the gateway, the bus and the
 * queues; only the periods of `functions/model/timing.ts` are shorter, because a lease or the wait for a slow create
 * would take minutes. The seed determines the random choices, not the interleaving of processes.
 */
export async function runTrial({
  tenants,
  seed,
  limitMs = 60_000 + tenants * 500,
  onProgress = () => {},
}: {
  tenants: number;
  seed: number;
  /** Tenants that have no outcome by then count as stuck. */
  limitMs?: number;
  onProgress?: (progress: Progress) => void;
}) {
  const startedAt = Date.now();
  const deadlineAt = startedAt + limitMs;
  const pauses = monitorEventLoopDelay({ resolution: 10 });
  pauses.enable();
  using bundles = await bundleWithShortTiming();
  await using stack = await startLocalStack({
    bundle: bundles.bundle,
    functionTimeoutMs,
    queue: { visibilityTimeoutMs },
    stream: { retryDelayMs: 50 },
  });
  const { simulator } = stack;
  const connection = {
    region: stack.environment.AWS_REGION,
    credentials: { accessKeyId: 'chaos', secretAccessKey: 'chaos' },
  };
  // Senders retry until the bus has accepted the event.
  const eventBridge = new EventBridgeClient({ ...connection, endpoint: stack.awsUrl, maxAttempts: 10 });
  const dynamoDb = new DynamoDBClient({ ...connection, endpoint: stack.dynamodbUrl });
  // The key's policy lets no other principal decrypt.
  const reader = { accessKeyId: 'read-token', secretAccessKey: 'chaos' };
  const kms = new KMSClient({ ...connection, credentials: reader, endpoint: stack.awsUrl });

  const trouble = makeTrouble(stack, seed);
  const tally = { requests: 0, repeats: 0, events: 0, redriven: 0, runs: 0, tenantsDone: 0 };

  async function putEvent(DetailType: string, detail: object): Promise<void> {
    tally.events += 1;
    const entry = {
      Source: 'crm.example',
      DetailType,
      Detail: JSON.stringify(detail),
      EventBusName: stack.busName,
    };
    await eventBridge.send(new PutEventsCommand({ Entries: [entry] }));
  }

  const planning = seededRandom(seed + 3);
  const plans = Array.from({ length: tenants }, (_, index) => drawPlan(index, planning));
  const lives: Life[] = [];
  async function liveThrough(plan: Plan, index: number): Promise<void> {
    if (!plan.bringsKey) {
      stack.putSecret(stack.tenantSecretName(plan.tenantId, 'taxify'), { 'api.key': 'stored-key' });
    }
    const random = seededRandom(seed + 1_000 + index);
    const client = createClient({
      apiUrl: stack.apiUrl,
      random,
      deadlineAt,
      count: (name) => {
        tally[name] += 1;
      },
    });
    lives.push(await live(plan, { client, putEvent, random }));
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
    // It fails when it is killed, and its log says so.
    await stack.runSchedule('reconcile-instances').catch(() => {});
    runsUnderWay -= 1;
  }

  /** Puts dead letters back, as an operator does once their cause is gone. */
  function redrive(): void {
    for (const queue of stack.queues.values()) {
      for (const { body } of queue.deadLetters.splice(0)) {
        tally.redriven += 1;
        queue.send(body);
      }
    }
  }

  try {
    await inTurn(plans, concurrency, liveThrough);
  } finally {
    calm.abort();
    await Promise.all(background);
    trouble.stop();
  }
  const trialMs = Date.now() - startedAt;

  let rows = await readRows(dynamoDb, stack.tableName);
  while (Date.now() < deadlineAt) {
    redrive();
    await Promise.race([stack.idle(), setTimeout(500, undefined, { ref: false })]);
    await reconcile();
    rows = await readRows(dynamoDb, stack.tableName);
    const areDelivered = [...stack.queues.values()].every(({ deadLetters }) => deadLetters.length === 0);
    if (areDelivered && !rows.some(isUnsettled)) break;
    await setTimeout(100);
  }
  await Promise.race([stack.idle(), setTimeout(5_000, undefined, { ref: false })]);

  const cipher = createTokenCipher({ client: kms, keyId: stack.tokenKeyId });
  const observed = observedIn(stack);
  const found = {
    doubled: observed.duplicates.slice(trouble.faults.get(lateCreate) ?? 0),
    ...(await audit({ lives, rows, instances: simulator.instances, events: stack.events, cipher })),
  };
  for (const client of [eventBridge, dynamoDb, kms]) client.destroy();
  pauses.disable();
  return {
    found,
    isRight: Object.values(found).every((names) => names.length === 0),
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

async function inTurn<T>(
  values: readonly T[],
  atOnce: number,
  work: (value: T, index: number) => Promise<void>,
): Promise<void> {
  const waiting = values.entries();
  async function workOff(): Promise<void> {
    for (const [index, value] of waiting) await work(value, index);
  }
  await Promise.all(Array.from({ length: atOnce }, workOff));
}

const sumOf = (numbers: Iterable<number>): number => [...numbers].reduce((sum, each) => sum + each, 0);

async function repeat(signal: AbortSignal, delayMs: number, act: () => void): Promise<void> {
  while (!signal.aborted) {
    // Rejects when the trial ends, which the loop checks.
    await setTimeout(delayMs, undefined, { signal }).catch(() => {});
    if (!signal.aborted) act();
  }
}
