import { ConditionalCheckFailedException, GetItemCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { marshall, unmarshall } from '@aws-sdk/util-dynamodb';
import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { leaseMs, quiescenceMs, reconcileAgainMs, recheckMs } from '../../functions/model/timing.ts';
import { triggers, type FunctionName, type Trigger } from '../../functions/triggers.ts';
import { newTenant } from '../support/real-servers.ts';
import { startService, type Service } from '../support/running-service.ts';
import { fromStored, storedName } from '../../functions/model/table.ts';
import { notApplied } from '../support/faults.ts';

/**
 * A function's process is killed with SIGKILL at each request that it makes to any server, one after the other: before
 * the request takes effect, or after that and before the response. Then the caller repeats the request.
 *
 * The tests do not wait for the periods until then (half a minute for a claim, two minutes for a create that may still
 * take effect, an hour until the recheck of doubts): they make the row that much older in the table.
 */
let service: Service;

type Moment = 'before it takes effect' | 'before its answer';
const moments: Moment[] = ['before it takes effect', 'before its answer'];

type Scenario = {
  what: string;
  victim: FunctionName;
  prepare?: (tenantIds: readonly string[]) => Promise<unknown>;
  /** The preparation ends the victim's process. */
  endsVictim?: boolean;
  /** Time between the preparation and the request. */
  waitMs?: number;
  /** The request whose function is killed. */
  request: (tenantId: string) => Promise<unknown>;
  /** Repeats the request; true once it has succeeded. */
  retry: (tenantId: string) => Promise<boolean>;
  /** A request at which the function must have been killed. */
  strikes: string;
  /** Creates sent for a tenant (default 1), and one more if the function was killed before it took effect. */
  creates?: number;
  /** Checks the final state. */
  leaves: (tenantId: string) => Promise<void>;
};

const provision = (tenantId: string) =>
  service.post(tenantId, { element: { key: 'taxify' }, configuration: { 'api.key': 'k' } });
const change = (tenantId: string) =>
  service.patch(pathOf(tenantId), { name: 'changed', configuration: { 'api.key': 'another' } });
const remove = (tenantId: string) => service.delete(pathOf(tenantId));
const pathOf = (tenantId: string) => `/tenants/${tenantId}/instances/taxify`;

/** By tenant: the instance that its team has made by hand. */
const handMade = new Map<string, number>();
const importIt = (tenantId: string) => service.importInstance(tenantId, handMade.get(tenantId));

const provisioning = {
  victim: 'provision-instance',
  request: provision,
  retry: isDone(provision),
  leaves: oneInstance,
} as const;
const reconciling = {
  victim: 'reconcile-instances',
  request: reconcile,
  retry: reconcileAgain,
  leaves: oneInstance,
} as const;

const importing = { creates: 0, strikes: 'PATCH /instances/{id}' } as const;

const scenarios: Scenario[] = [
  {
    what: 'provisions',
    ...provisioning,
    strikes: 'TrentService.Encrypt',
  },
  {
    what: 'provisions after a claim that died with its create under way',
    ...provisioning,
    prepare: (tenantIds) => dieWhileCreating(tenantIds, 'applied'),
    endsVictim: true,
    waitMs: leaseMs,
    strikes: 'GET /instances',
  },
  {
    what: 'onboards by event',
    victim: 'onboard-tenants',
    prepare: async (tenantIds) => {
      for (const tenantId of tenantIds) await service.putTenantSecret(tenantId, { 'api.key': 'k' });
    },
    request: (tenantId) => sendEvent('onboard-tenants', 'TenantOnboarded', tenantId),
    retry: isDelivered('onboard-tenants'),
    strikes: 'POST /instances',
    leaves: oneInstance,
  },
  {
    what: 'changes',
    victim: 'change-instance',
    prepare: provisionAll,
    request: change,
    retry: isDone(change),
    strikes: 'PATCH /instances/{id}',
    leaves: async (tenantId) => {
      await oneInstance(tenantId);
      expect(service.instancesOf(tenantId)).toMatchObject([{ name: 'changed' }]);
      expect(await rowOf(tenantId)).toMatchObject({ name: 'changed' });
    },
  },
  {
    what: 'imports',
    ...importing,
    victim: 'import-instance',
    prepare: makeByHand,
    request: importIt,
    retry: isDone(importIt),
    leaves: isImported,
  },
  {
    what: 'removes an import that died with its markers under way',
    ...importing,
    victim: 'remove-instance',
    prepare: (tenantIds) => dieWhileImporting(tenantIds, 'applied'),
    waitMs: leaseMs,
    request: remove,
    retry: isDone(remove),
    leaves: isAsItsTeamHasMadeIt,
  },
  {
    what: 'removes',
    victim: 'remove-instance',
    prepare: provisionAll,
    request: remove,
    retry: isDone(remove),
    strikes: 'DELETE /instances/{id}',
    leaves: nothing,
  },
  {
    what: 'offboards by event',
    victim: 'offboard-tenants',
    prepare: provisionAll,
    request: (tenantId) => sendEvent('offboard-tenants', 'TenantOffboarded', tenantId),
    retry: isDelivered('offboard-tenants'),
    strikes: 'DELETE /instances/{id}',
    leaves: nothing,
  },
  {
    what: 'reconciles a claim that died after its create took effect',
    ...reconciling,
    prepare: (tenantIds) => dieWhileCreating(tenantIds, 'applied'),
    waitMs: leaseMs,
    strikes: 'TrentService.Encrypt',
  },
  {
    what: 'reconciles a claim whose create never took effect',
    ...reconciling,
    prepare: (tenantIds) => dieWhileCreating(tenantIds, 'none'),
    waitMs: leaseMs + quiescenceMs,
    strikes: 'GET /instances',
    creates: 2,
    leaves: async (tenantId) => {
      expect(await rowOf(tenantId)).toMatchObject({ status: 'failed' });
      expect((await provision(tenantId)).status).toBe(201);
      await oneInstance(tenantId);
    },
  },
  {
    what: 'reconciles an import that died before its markers took effect',
    ...reconciling,
    ...importing,
    prepare: (tenantIds) => dieWhileImporting(tenantIds, 'none'),
    waitMs: leaseMs,
    leaves: isImported,
  },
  {
    what: 'reconciles a removal that was left unfinished',
    ...reconciling,
    prepare: async (tenantIds) => {
      await provisionAll(tenantIds);
      service.simulator.fail({ on: 'DELETE /instances/{id}', times: tenantIds.length, ...notApplied(500) });
      for (const { status } of await Promise.all(tenantIds.map(remove))) expect(status).toBe(202);
    },
    waitMs: reconcileAgainMs,
    strikes: 'DELETE /instances/{id}',
    leaves: nothing,
  },
  {
    what: 'reconciles a second instance that came to light late',
    ...reconciling,
    prepare: async (tenantIds) => {
      await dieWhileCreating(tenantIds, 'applied');
      await Promise.all(tenantIds.map((tenantId) => makeOlder(tenantId, leaseMs)));
      await provisionAll(tenantIds);
      await Promise.all(tenantIds.map(createAgain));
    },
    waitMs: recheckMs,
    strikes: 'DELETE /instances/{id}',
    creates: 2,
  },
];

beforeAll(async () => {
  service = await startService({ queue: { visibilityTimeoutMs: 200, maxReceiveCount: 100 } });
  // The first invocation bundles the functions, which on a busy machine takes longer than the gateway waits.
  await reconcile();
});
afterAll(() => service[Symbol.asyncDispose]());

for (const scenario of scenarios) {
  test(`a function that ${scenario.what} loses and duplicates nothing, killed at any of its requests`, async () => {
    const requests = await requestsOf(scenario);
    expect(requests).toContain(scenario.strikes);
    const isAtSecret = ({ place }: Kill) => place === secretAt(requests);
    // Last the one in a process of its own: while it waits for the platform secret, each other invocation would, too.
    const kills = killsOf(requests).toSorted((x, y) => Number(isAtSecret(x)) - Number(isAtSecret(y)));
    // The process of the undisturbed request has the secret.
    let isWarm = scenario.endsVictim !== true;
    const tenantIds = kills.map(({ tenantId }) => tenantId);
    await scenario.prepare?.(tenantIds);
    await Promise.all(tenantIds.map((tenantId) => makeOlder(tenantId, -asideMs(scenario))));
    const unsettled: Struck[] = [];
    while (kills.length > 0) {
      unsettled.push(...(await killAtSome(kills, scenario, { requests, isWarm })));
      isWarm = false;
      // A queue delivers again by itself. Others wait, so that one process settles what several have left.
      if (kills.length === 0 || queueFeeding(scenario.victim)) {
        await settleStruck(scenario, unsettled.splice(0), requests);
      }
    }
  }, 120_000);
}

/** The scenario's requests in order, from a new execution environment that is not killed. */
async function requestsOf(scenario: Scenario): Promise<string[]> {
  const { victim, prepare, waitMs = 0, request } = scenario;
  const tenantId = newTenant();
  await prepare?.([tenantId]);
  service.stack.kill(victim);
  await makeOlder(tenantId, waitMs);
  const requests: string[] = [];
  watch(victim, (each) => void requests.push(each));
  await request(tenantId);
  watch(victim, () => undefined);
  await settle(scenario, [tenantId]);
  return requests;
}

/** The function is killed at the request of this place, which it sends for this tenant. */
type Kill = { place: number; moment: Moment; tenantId: string };

/**
 * One for each request and moment, by place. "Before its answer" only those that change something: killed at any other
 * one, it leaves the same as before that takes effect.
 */
function killsOf(requests: readonly string[]): Kill[] {
  return [...requests.entries()].flatMap(([place, request]) =>
    moments
      .filter((moment) => moment === 'before it takes effect' || !changesNothing.test(request))
      .map((moment) => ({ place, moment, tenantId: newTenant() })),
  );
}

const changesNothing = /^GET |GetItem$|Query$|GetSecretValue$|Encrypt$/;

/** A new execution environment reads the platform secret right before its first request to Cloud Elements. */
const secretAt = (requests: readonly string[]): number =>
  requests.findIndex((request) => / \/instances/.test(request)) - 1;

/** The SDK gives up a request to AWS after three attempts of 1.5 s. */
const longestHoldMs = 2_000;

/** Rows that a run would find due are made so much younger until it is their turn, however slow the machine is. */
const asideMs = ({ waitMs }: Pick<Scenario, 'waitMs'>): number => (waitMs === undefined ? 0 : 600_000);

const queueFeeding = (victim: FunctionName) => {
  const { queue }: Trigger = triggers[victim];
  return queue;
};

/** A kill that has happened, and the request whose response was lost by it. */
type Struck = Kill & { requested: Promise<unknown> };

/**
 * Kills the function's process while it waits for a response in each of several invocations: one per tenant, each at
 * another of its requests, as many as one process can hold.
 * @param kills those that have happened are removed
 * @param process `isWarm`: one that has the platform secret is there; else another is started
 */
async function killAtSome(
  kills: Kill[],
  { victim, request, ...scenario }: Scenario,
  { requests, ...process }: { requests: readonly string[]; isWarm: boolean },
): Promise<readonly Struck[]> {
  const waitMs = (scenario.waitMs ?? 0) + asideMs(scenario);
  let { isWarm } = process;
  const isAtSecret = () => kills[0]?.place === secretAt(requests);
  if (isAtSecret()) isWarm = false;
  if (!isWarm) service.stack.kill(victim);
  const struck: Struck[] = [];
  const startedAt = Date.now();
  do {
    const [kill] = kills.splice(0, 1);
    if (!kill) break;
    const { place, moment, tenantId } = kill;
    await makeOlder(tenantId, waitMs);
    // A warm execution environment has the platform secret.
    const held = holdAt(victim, isWarm && place > secretAt(requests) ? place - 1 : place, moment);
    const requested = request(tenantId);
    const at = await Promise.race([held, requested.then(() => 'ended')]);
    // The number of queries with which a run of the reconciler ends depends on the time.
    const mayHaveEnded = requests.slice(place).every((each) => changesNothing.test(each));
    expect([requests[place], ...(mayHaveEnded ? ['ended'] : [])]).toContain(at);
    struck.push({ ...kill, requested });
    if (place > secretAt(requests)) isWarm = true;
    // Not due while the process works for the next tenant.
    await makeOlder(tenantId, -waitMs);
  } while (
    kills.length > 0 &&
    !isAtSecret() &&
    struck.length < (queueFeeding(victim)?.maxConcurrency ?? Infinity) &&
    Date.now() - startedAt < longestHoldMs
  );
  service.stack.kill(victim);
  watch(victim, () => undefined);
  return struck;
}

/** Ends the leases of the killed invocations, and repeats the callers' requests. */
async function settleStruck(
  scenario: Scenario,
  struck: readonly Struck[],
  requests: readonly string[],
): Promise<void> {
  const { creates = 1, waitMs = 0 } = scenario;
  const tenantIds = struck.map(({ tenantId }) => tenantId);
  const untilDueMs = waitMs + asideMs(scenario) + leaseMs;
  await Promise.all(tenantIds.map((tenantId) => makeOlder(tenantId, untilDueMs)));
  await settle(scenario, tenantIds);
  for (const { tenantId, place, moment, requested } of struck) {
    await requested;
    const isCreateLost = requests[place] === 'POST /instances' && moment === 'before it takes effect';
    expect(service.postsFor(tenantId)).toBe(creates + (isCreateLost ? 1 : 0));
  }
}

/** Holds the function's request of this place, counted from now; resolves with its name once it is held. */
function holdAt(victim: FunctionName, place: number, moment: Moment): Promise<string> {
  const { promise: held, resolve } = Promise.withResolvers<string>();
  let passed = 0;
  watch(victim, (request) =>
    passed++ === place
      ? { isApplied: moment === 'before its answer', held: () => resolve(request) }
      : undefined,
  );
  return held;
}

/** A request that gets no response; `held` is called once it has taken effect, if it does. */
type Hold = { isApplied: boolean; held: () => void };

const heldCalls = new Set<string>();

/** Calls `decide` with each request of the function to any server from now on. */
function watch(victim: FunctionName, decide: (request: string) => Hold | undefined): void {
  const { stack, simulator } = service;
  const calls = new Set<string>();
  stack.failEach(({ target, signer, callId }) => {
    if (signer !== victim) return undefined;
    // The SDK waits for a response for a while, and sends the request again.
    if (heldCalls.has(callId)) return { stallMs: 60_000 };
    const hold = calls.has(callId) ? undefined : decide(target);
    calls.add(callId);
    if (!hold) return undefined;
    heldCalls.add(callId);
    if (hold.isApplied) return { stallMidBody: hold.held };
    hold.held();
    return { stallMs: 60_000 };
  });
  simulator.faultFor = ({ operation = '' }) => {
    const hold = decide(operation);
    // The whole request is here, so it takes effect although its sender will be gone.
    hold?.held();
    return hold && { effect: hold.isApplied ? 'applied' : 'none', outcome: { kind: 'stall' } };
  };
}

/** Repeats the requests until each row is settled, and checks the final states. */
async function settle({ retry, leaves }: Scenario, tenantIds: readonly string[]): Promise<void> {
  await Promise.all(
    tenantIds.map(async (tenantId) => {
      await until(retry, tenantId, quiescenceMs);
      await until(isSettled, tenantId, recheckMs);
      await leaves(tenantId);
    }),
  );
}

/** Polls until the condition holds, with this much time between two polls. */
async function until(
  isSo: (tenantId: string) => Promise<boolean>,
  tenantId: string,
  waitMs: number,
): Promise<void> {
  for (let tries = 0; tries < 40; tries++) {
    if (await isSo(tenantId)) return;
    await makeOlder(tenantId, waitMs);
  }
  const { status, checkAt, lastError } = (await rowOf(tenantId)) ?? {};
  throw new Error(`${tenantId} is stuck: ${JSON.stringify({ status, checkAt, lastError })}`);
}

async function rowOf(tenantId: string): Promise<Record<string, unknown> | undefined> {
  const { Item } = await service.dynamoDb.send(
    new GetItemCommand({ TableName: service.stack.tableName, Key: keyOf(tenantId), ConsistentRead: true }),
  );
  return Item && fromStored(unmarshall(Item));
}

/** Makes a row older: its leases and deadlines come nearer and pass. */
async function makeOlder(tenantId: string, ms: number): Promise<void> {
  const row = await rowOf(tenantId);
  const times = [
    'leaseExpiresAt',
    'sendDeadline',
    'checkAt',
    'requestedAt',
    'removedAt',
    'createdAt',
    'updatedAt',
  ];
  const present = times.filter((name) => row?.[name] !== undefined);
  if (present.length === 0) return;
  const asRead = Object.fromEntries(present.map((name) => [`:${name}`, row?.[name]]));
  try {
    await service.dynamoDb.send(
      new UpdateItemCommand({
        TableName: service.stack.tableName,
        Key: keyOf(tenantId),
        UpdateExpression: `SET ${present.map((name) => `${storedName(name)} = ${storedName(name)} - :ms`).join(', ')}`,
        ConditionExpression: present.map((name) => `${storedName(name)} = :${name}`).join(' AND '),
        ExpressionAttributeValues: marshall({ ...asRead, ':ms': ms }),
      }),
    );
  } catch (error) {
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
    // Another writer has changed the row meanwhile.
    await makeOlder(tenantId, ms);
  }
}

/** 202: not yet. */
function isDone(request: (tenantId: string) => Promise<{ status: number }>) {
  return async (tenantId: string) => [200, 201, 204].includes((await request(tenantId)).status);
}

function queueOf(name: FunctionName) {
  const queue = service.stack.queues.get(name);
  if (!queue) throw new Error(`No queue feeds ${name}.`);
  return queue;
}

/** Resolves when the message is done, however often it had to be delivered. */
async function sendEvent(to: FunctionName, detailType: string, tenantId: string): Promise<void> {
  const event = { id: randomUUID(), source: 'crm.example', 'detail-type': detailType, detail: { tenantId } };
  queueOf(to).send(JSON.stringify({ ...event, time: new Date().toISOString() }));
  await queueOf(to).idle();
}

/** No caller repeats it: the queue delivers a failed message again. */
function isDelivered(from: FunctionName) {
  return async () => {
    const isIdle = await Promise.race([
      queueOf(from)
        .idle()
        .then(() => true),
      setTimeout(300, false),
    ]);
    if (isIdle) expect(queueOf(from).deadLetters).toEqual([]);
    return isIdle;
  };
}

async function reconcile(): Promise<void> {
  // It fails when it is killed, and its log says so.
  await service.stack.runSchedule('reconcile-instances').catch(() => {});
}

let running: Promise<void> | undefined;

/** One run for all who wait for one. */
async function reconcileAgain(): Promise<boolean> {
  running ??= reconcile().finally(() => {
    running = undefined;
  });
  await running;
  return true;
}

/** True when the row has no lease, and is settled. */
async function isSettled(tenantId: string): Promise<boolean> {
  if (await isAtRest(tenantId)) return true;
  await reconcileAgain();
  return isAtRest(tenantId);
}

async function isAtRest(tenantId: string): Promise<boolean> {
  const row = await rowOf(tenantId);
  return row !== undefined && row['checkAt'] === undefined && Number(row['leaseExpiresAt']) <= Date.now();
}

async function dieWhileCreating(tenantIds: readonly string[], effect: 'applied' | 'none'): Promise<void> {
  service.simulator.fail({
    on: 'POST /instances',
    times: tenantIds.length,
    effect,
    outcome: { kind: 'stall' },
  });
  const requested = tenantIds.map(provision);
  const posts = () => tenantIds.reduce((sum, tenantId) => sum + service.postsFor(tenantId), 0);
  await expect.poll(posts, { interval: 5, timeout: 30_000 }).toBe(tenantIds.length);
  service.stack.kill('provision-instance');
  for (const { status } of await Promise.all(requested)) expect(status).toBe(500);
}

async function makeByHand(tenantIds: readonly string[]): Promise<void> {
  for (const tenantId of tenantIds) {
    const { id } = service.simulator.seed({
      element: { key: 'taxify' },
      name: 'By hand',
      tags: ['by hand'],
      configuration: { 'api.key': 'k' },
    });
    handMade.set(tenantId, id);
  }
}

async function dieWhileImporting(tenantIds: readonly string[], effect: 'applied' | 'none'): Promise<void> {
  await makeByHand(tenantIds);
  const { simulator, stack } = service;
  const times = tenantIds.length;
  simulator.fail({ on: 'PATCH /instances/{id}', times, effect, outcome: { kind: 'stall' } });
  const before = simulator.requests.length;
  const requested = tenantIds.map(importIt);
  const patches = () =>
    simulator.requests.slice(before).filter(({ operation }) => operation === 'PATCH /instances/{id}').length;
  await expect.poll(patches, { interval: 5, timeout: 30_000 }).toBe(tenantIds.length);
  stack.kill('import-instance');
  for (const { status } of await Promise.all(requested)) expect(status).toBe(500);
}

const instanceOf = (tenantId: string) =>
  service.simulator.instances.find(({ id }) => id === handMade.get(tenantId));

async function isImported(tenantId: string): Promise<void> {
  await oneInstance(tenantId);
  const id = handMade.get(tenantId);
  expect(await rowOf(tenantId)).toMatchObject({ v: 1, instanceId: id, importedId: id, tags: ['by hand'] });
  expect(instanceOf(tenantId)).toMatchObject({ name: 'By hand' });
  expect(instanceOf(tenantId)?.tags).toHaveLength(4);
}

async function isAsItsTeamHasMadeIt(tenantId: string): Promise<void> {
  await nothing(tenantId);
  expect(instanceOf(tenantId)).toMatchObject({ name: 'By hand', tags: ['by hand'] });
}

async function provisionAll(tenantIds: readonly string[]): Promise<void> {
  for (const { status } of await Promise.all(tenantIds.map(provision))) expect(status).toBe(201);
}

/** Sends the tenant's create to Cloud Elements again. */
async function createAgain(tenantId: string): Promise<void> {
  const sent = service.simulator.requests.find(
    ({ operation, body }) =>
      operation === 'POST /instances' && JSON.stringify(body).includes(`"tenant:${tenantId}"`),
  );
  const { authorization = '' } = sent?.headers ?? {};
  const response = await fetch(`${service.simulator.url}${sent?.path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization },
    body: JSON.stringify(sent?.body),
  });
  expect(response.status).toBe(200);
  expect(service.instancesOf(tenantId)).toHaveLength(2);
}

function oneInstance(tenantId: string): Promise<void> {
  return service.expectOneActiveInstance(tenantId);
}

async function nothing(tenantId: string): Promise<void> {
  expect(service.instancesOf(tenantId)).toEqual([]);
  expect(await rowOf(tenantId)).toMatchObject({ status: 'removed' });
  expect((await service.get(pathOf(tenantId))).status).toBe(404);
}

const keyOf = (tenantId: string) => ({ tenantId: { S: tenantId }, elementKey: { S: 'taxify' } });
