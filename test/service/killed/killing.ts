import { ConditionalCheckFailedException, GetItemCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { marshall, unmarshall } from '@aws-sdk/util-dynamodb';
import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { leaseMs, quiescenceMs, reconcileAgainMs, recheckMs } from '../../../functions/model/timing.ts';
import type { FunctionName } from '../../../functions/triggers.ts';
import { newTenant } from '../../support/real-servers.ts';
import { startService, type Service } from '../../support/running-service.ts';
import { fromStored, storedName } from '../../../functions/model/table.ts';
import { notApplied } from '../../support/faults.ts';

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

/** Each of the functions in its scenarios, as tests of the file that calls this. */
export function describeKills(isVictim: (name: FunctionName) => boolean): void {
  beforeAll(async () => {
    service = await startService({ queue: { visibilityTimeoutMs: 200 } });
  });
  afterAll(() => service[Symbol.asyncDispose]());
  describe.each(scenarios.filter(({ victim }) => isVictim(victim)))('a function that $what', (scenario) => {
    test.each(moments)(
      'a function killed at any of its requests, %s, loses and duplicates nothing',
      async (moment) => {
        // More than the requests of any function: a run of the reconciler alone has six queries.
        const tenantIds = Array.from({ length: 20 }, newTenant);
        await scenario.prepare?.(tenantIds);
        const struck: string[] = [];
        let survivor: string | undefined;
        for (const tenantId of tenantIds) {
          await makeOlder(tenantId, scenario.waitMs ?? 0);
          // A warm execution environment has the platform secret, so it makes one request fewer. In the first round each one is
          // new until that read has been struck; a new one each time would cost a further process each time.
          const isFirstRound = moment === 'before it takes effect';
          const isNew = isFirstRound && !struck.some(isToCloudElements);
          if (isNew) service.stack.kill(scenario.victim);
          const remembered = isFirstRound && !isNew ? 1 : 0;
          const strike = strikeAt({
            victim: scenario.victim,
            ordinal: struck.length + 1 - remembered,
            moment,
          });
          const requested = scenario.request(tenantId);
          await Promise.race([requested, strike.happened]);
          const request = strike.callOff();
          if (request === undefined) {
            survivor = tenantId;
            break;
          }
          struck.push(request);

          await makeOlder(tenantId, leaseMs);
          await until(scenario.retry, tenantId, quiescenceMs);
          await until(isSettled, tenantId, recheckMs);
          await requested;
          await scenario.leaves(tenantId);
          const isCreateLost = request === 'POST /instances' && moment === 'before it takes effect';
          expect(service.postsFor(tenantId)).toBe((scenario.creates ?? 1) + (isCreateLost ? 1 : 0));
        }
        expect(survivor, 'one that is not killed').toBeDefined();
        expect(struck).toContain(scenario.strikes);

        // Rows of unused tenants must not become due in later tests.
        await Promise.all(tenantIds.map((tenantId) => makeOlder(tenantId, leaseMs)));
        await reconcile();
      },
      120_000,
    );
  });
}

/** A request to Cloud Elements: a new execution environment reads the platform secret right before its first one. */
const isToCloudElements = (request: string): boolean => / \/instances/.test(request);

/** Kills the function's process at its request of this ordinal, counted from now, starting with 1. */
function strikeAt({ victim, ordinal, moment }: { victim: FunctionName; ordinal: number; moment: Moment }) {
  const { stack, simulator } = service;
  const { promise: happened, resolve } = Promise.withResolvers<void>();
  const isBefore = moment === 'before it takes effect';
  let requests = 0;
  let struck: string | undefined;

  function isStruck(request: string | undefined): boolean {
    requests += 1;
    if (requests === ordinal) struck = request;
    return requests === ordinal;
  }
  function kill(): void {
    stack.kill(victim);
    resolve();
  }

  stack.failEach(({ target, signer }) => {
    if (signer !== victim || !isStruck(target)) return undefined;
    if (!isBefore) return { loseResponse: kill };
    kill();
    return { reset: true };
  });
  simulator.faultFor = ({ operation }) => {
    if (!isStruck(operation)) return undefined;
    // The whole request is here, so it takes effect although its sender is gone.
    kill();
    return { effect: isBefore ? 'none' : 'applied', outcome: { kind: 'reset' } };
  };

  return {
    happened,
    /** The request at which the process was killed; undefined when there were fewer. */
    callOff(): string | undefined {
      stack.failEach(() => undefined);
      simulator.faultFor = () => undefined;
      return struck;
    },
  };
}

/** Polls until the condition holds, with this much time between two polls. */
async function until(
  isSo: (tenantId: string) => Promise<boolean>,
  tenantId: string,
  waitMs: number,
): Promise<void> {
  for (let tries = 0; tries < 6; tries++) {
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

async function reconcileAgain(): Promise<boolean> {
  await reconcile();
  return true;
}

/** True when the row has no lease, and is settled. */
async function isSettled(tenantId: string): Promise<boolean> {
  if (await isAtRest(tenantId)) return true;
  await reconcile();
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
  await expect.poll(posts, { interval: 5, timeout: 5_000 }).toBe(tenantIds.length);
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
  await expect.poll(patches, { interval: 5, timeout: 5_000 }).toBe(tenantIds.length);
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
