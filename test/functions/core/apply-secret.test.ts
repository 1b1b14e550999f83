import { describe, expect, test } from 'vitest';
import {
  settingsOf,
  wholeTenant,
  type Configuration,
  type EventOrigin,
  type InstanceRow,
} from '../../../functions/model/instance.ts';
import { resultOf } from '../../../functions/model/result-events.ts';
import { readToken } from '../../../functions/core/read.ts';
import { errorOf, keyOf, newTenant, openServers, taxify } from '../../support/real-servers.ts';
import { notApplied } from '../../support/faults.ts';

const servers = await openServers();

const putKey = (tenantId: string, key: string) =>
  servers.putTenantSecret(tenantId, JSON.stringify({ 'api.key': key }));
const keyAt = (tenantId: string) => servers.instancesOf(tenantId)[0]?.configuration['api.key'];
const patches = () => servers.simulator.requests.filter(({ method }) => method === 'PATCH').length;
const isFinished = { retry: false };
const comesAgain = { retry: true };

async function active(configuration: Configuration = {}): Promise<string> {
  const tenantId = newTenant();
  putKey(tenantId, 'old');
  await servers.provision(settingsOf(keyOf(tenantId), { configuration }));
  servers.reset();
  return tenantId;
}

const eventOf = (tenantId: string, agoMs = 60_000): EventOrigin => ({
  dialect: 'sbt-0.9',
  eventId: `event-of-${tenantId}`,
  registrationId: `registration-of-${tenantId}`,
  sentAt: Math.floor((Date.now() - agoMs) / 1_000) * 1_000,
});

/** An event asked for it, and no secret was there at its last delivery. */
async function failedForKey(configuration: Configuration = {}): Promise<string> {
  const tenantId = newTenant();
  const settings = settingsOf(keyOf(tenantId), { name: 'Shop', configuration }, eventOf(tenantId));
  await servers.onboard(settings, { deliveries: 10 });
  expect(await servers.rowOf(tenantId)).toMatchObject({
    status: 'failed',
    lastError: { code: 'missing-configuration' },
  });
  servers.reset();
  return tenantId;
}

async function rewrite(tenantId: string, attributes: Partial<InstanceRow>): Promise<InstanceRow> {
  const row = await servers.rowOf(tenantId);
  if (!row) throw new Error('no row');
  expect(await servers.store.write({ ...row, ...attributes }, row)).toEqual({ won: true });
  return { ...row, ...attributes };
}

const requestedBefore = ({ requestedAt, requestedTimes, requestedBy, createdAt }: InstanceRow) => ({
  requestedAt,
  requestedTimes,
  requestedBy,
  createdAt,
});

describe('an active instance', () => {
  test('a new secret value updates an active instance with one PATCH; id and token stay', async () => {
    const tenantId = await active();
    const before = await readToken(servers, keyOf(tenantId));
    putKey(tenantId, 'new');
    expect(await servers.applySecret(tenantId)).toMatchObject({ outcome: 'updated', ...isFinished });
    expect(keyAt(tenantId)).toBe('new');
    expect([patches(), servers.posts()]).toEqual([1, 0]);
    expect(await readToken(servers, keyOf(tenantId))).toEqual(before);
    await servers.expectOneActiveInstance(tenantId);
  });

  test('entries that requests have set stay when the secret changes', async () => {
    const tenantId = await active({ 'pagination.max': 20 });
    servers.putTenantSecret(tenantId, '{"api.key": "new", "pagination.max": "50"}');
    await servers.applySecret(tenantId);
    expect(servers.instancesOf(tenantId)[0]?.configuration).toMatchObject({
      'api.key': 'new',
      'pagination.max': 20,
    });
  });

  test('a message that came well before the update that sent its value is done without a call', async () => {
    const tenantId = await active();
    const arrivedAt = Date.now() - 6_000;
    await servers.applySecret(tenantId, { arrivedAt });
    servers.reset();
    expect(await servers.applySecret(tenantId, { arrivedAt })).toMatchObject({ outcome: 'up-to-date' });
    expect(servers.simulator.requests).toEqual([]);
    // The queue's clock may be behind by five seconds.
    expect(await servers.applySecret(tenantId)).toMatchObject({ outcome: 'updated' });
  });

  test('several messages about one secret in one invocation cause one update', async () => {
    const tenantId = await active();
    putKey(tenantId, 'new');
    const deadlineAt = Date.now() + 3_000;
    const results = await Promise.all([1, 2, 3].map(() => servers.applyTogether(tenantId, deadlineAt)));
    expect(results).toMatchObject([{ outcome: 'updated' }, { outcome: 'updated' }, { outcome: 'updated' }]);
    expect(patches()).toBe(1);
  });

  test.each([
    ['before', [-20_000, 0]],
    ['after', [0, -20_000]],
  ] as const)(
    'a new value is sent although an older message of the batch %s it needs nothing',
    async (_order, ages) => {
      const tenantId = await active();
      putKey(tenantId, 'first');
      expect(await servers.applySecret(tenantId)).toMatchObject({ outcome: 'updated' });
      putKey(tenantId, 'second');
      const nowMs = Date.now();
      await Promise.all(ages.map((ageMs) => servers.applyTogether(tenantId, nowMs + 3_000, nowMs + ageMs)));
      expect(servers.instancesOf(tenantId)[0]?.configuration).toMatchObject({ 'api.key': 'second' });
      expect(patches()).toBe(2);
    },
  );

  test('a secret’s message is redelivered until an update of unknown outcome can no longer overwrite a later one', async () => {
    const tenantId = await active();
    putKey(tenantId, 'second');
    servers.simulator.faultFor = ({ method }) =>
      method === 'PATCH' ? { effect: 'none', outcome: { kind: 'reset' } } : undefined;
    expect((await errorOf(servers.applySecret(tenantId))).code).toBe('update-outcome-unknown');
    servers.simulator.reset();
    putKey(tenantId, 'third');
    expect(await servers.applySecret(tenantId)).toMatchObject({ outcome: 'in-doubt', ...comesAgain });
    // It lands after all, over the newer value.
    const instance = servers.instancesOf(tenantId)[0];
    if (!instance) throw new Error('no instance');
    instance.configuration = { 'api.key': 'second' };
    servers.clock.aheadMs = 14_000;
    expect(await servers.applySecret(tenantId)).toMatchObject({ outcome: 'updated', ...isFinished });
    expect(keyAt(tenantId)).toBe('third');
  });

  test("a caller's update of unknown outcome causes the secret's message to be redelivered", async () => {
    const tenantId = await active();
    servers.simulator.faultFor = ({ method }) =>
      method === 'PATCH' ? { effect: 'none', outcome: { kind: 'reset' } } : undefined;
    await errorOf(servers.update(keyOf(tenantId), { configuration: {} }));
    servers.simulator.reset();
    putKey(tenantId, 'new');
    expect(await servers.applySecret(tenantId)).toMatchObject({ outcome: 'in-doubt', ...comesAgain });
  });

  test('a secret’s message is redelivered while Cloud Elements fails', async () => {
    const tenantId = await active();
    putKey(tenantId, 'new');
    servers.simulator.faultFor = () => ({ effect: 'none', outcome: { kind: 'status', status: 503 } });
    expect(await errorOf(servers.applySecret(tenantId))).toMatchObject({ retryable: true });
    servers.simulator.reset();
    await servers.applySecret(tenantId);
    expect(keyAt(tenantId)).toBe('new');
  });

  test.each(['{}', '', '{"api.key": "***"}', '{"partner.key": "p"}'])(
    'a secret that holds %s is waited for, until the last delivery',
    async (value) => {
      const tenantId = await active();
      servers.putTenantSecret(tenantId, value);
      expect(await servers.applySecret(tenantId)).toMatchObject({
        outcome: 'waiting-for-secret',
        ...comesAgain,
      });
      expect(await servers.applySecret(tenantId, { deliveries: 10 })).toMatchObject({
        outcome: 'unusable',
        ...isFinished,
      });
      expect(servers.simulator.requests).toEqual([]);
      expect(keyAt(tenantId)).toBe('old');
    },
  );

  test('an instance that is being worked on is left, and the message comes again', async () => {
    const tenantId = await active();
    await rewrite(tenantId, { leaseExpiresAt: Date.now() + 5_000 });
    expect(await servers.applySecret(tenantId)).toMatchObject({ outcome: 'in-progress', ...comesAgain });
    expect(servers.simulator.requests).toEqual([]);
  });

  test.each([
    ['from a request', { source: 'request' }],
    ['from an unknown source', { source: undefined, requestEntries: undefined }],
  ] as const)('an instance configured %s gets no secret', async (_what, attributes) => {
    const tenantId = await active();
    const before = await rewrite(tenantId, attributes);
    expect(await servers.applySecret(tenantId)).toMatchObject({ outcome: 'not-from-secret', ...isFinished });
    expect(servers.simulator.requests).toEqual([]);
    expect(await servers.rowOf(tenantId)).toEqual(JSON.parse(JSON.stringify(before), reviveToken(before)));
  });

  test('a tenant’s secret is not sent to an instance with request entries that the allow-list no longer names', async () => {
    const tenantId = await active();
    await rewrite(tenantId, { requestEntries: ['site.path'] });
    expect((await errorOf(servers.applySecret(tenantId))).code).toBe('configuration-from-request');
    expect(servers.simulator.requests).toEqual([]);
  });
});

/** JSON has no bytes. */
const reviveToken = (row: InstanceRow) => (name: string, value: unknown) =>
  name === 'token' ? row.token : value;

describe('an instance that failed for its key', () => {
  test('a new secret value provisions a failed instance again, for its original request', async () => {
    const tenantId = await failedForKey({ 'pagination.max': 20 });
    const before = await servers.rowOf(tenantId);
    if (!before) throw new Error('no row');
    putKey(tenantId, 'late');
    servers.clock.aheadMs = 3_600_000;
    expect(await servers.applySecret(tenantId)).toMatchObject({ outcome: 'provisioned', ...isFinished });
    const row = await servers.expectOneActiveInstance(tenantId);
    expect(requestedBefore(row)).toEqual(requestedBefore(before));
    expect(row).toMatchObject({
      name: 'Shop',
      fingerprint: before.fingerprint,
      source: 'secret',
      requestEntries: ['pagination.max'],
    });
    expect(servers.instancesOf(tenantId)[0]?.configuration).toMatchObject({
      'api.key': 'late',
      'pagination.max': '20',
    });
    // The toolkit's request is answered in its own dialect.
    expect(resultOf({ before, after: row }).events.map(({ detailType }) => detailType)).toEqual([
      'InstanceProvisioned',
      'sbt_aws_provisionSuccess',
    ]);
  });

  test.each(['tenant-credentials-unusable', 'refused-by-cloud-elements', 'not-created'])(
    'a failure "%s" is retried',
    async (code) => {
      const tenantId = await failedForKey();
      await rewrite(tenantId, { lastError: { code, detail: '', at: 1 } });
      putKey(tenantId, 'late');
      expect(await servers.applySecret(tenantId)).toMatchObject({ outcome: 'provisioned' });
    },
  );

  test.each([
    ['it failed for another reason', { lastError: { code: 'instance-unusable', detail: '', at: 1 } }],
    ['a request has configured it', { source: 'request' }],
    ['its source is not known', { source: undefined }],
    ['the allow-list no longer names its entries', { allowListed: { 'site.path': 'x' } }],
  ] as const)('nothing is created when %s', async (_what, attributes) => {
    const tenantId = await failedForKey();
    await rewrite(tenantId, attributes);
    putKey(tenantId, 'late');
    const before = await servers.rowOf(tenantId);
    expect(await servers.applySecret(tenantId)).toMatchObject(isFinished);
    expect(servers.simulator.requests).toEqual([]);
    expect(await servers.rowOf(tenantId)).toEqual(before);
  });

  test('an offboarding sent before a secret repaired an instance still removes it', async () => {
    const tenantId = await failedForKey();
    const removedAt = Math.floor((Date.now() - 30_000) / 1_000) * 1_000;
    putKey(tenantId, 'late');
    await servers.applySecret(tenantId);
    await servers.offboard({
      tenantId,
      elementKey: undefined,
      removal: { times: { event: removedAt }, by: undefined },
    });
    expect(servers.instancesOf(tenantId)).toEqual([]);
  });

  test('nothing is created for a tenant that has left as a whole', async () => {
    const tenantId = await failedForKey();
    const before = await servers.rowOf(tenantId);
    const other = newTenant();
    await servers.offboard({
      tenantId: other,
      elementKey: undefined,
      removal: { times: { event: Date.now() - 30_000 }, by: undefined },
    });
    const tombstone = await servers.store.get({ tenantId: other, elementKey: wholeTenant });
    if (!tombstone) throw new Error('no tombstone');
    // Written after the removal has listed the tenant's rows, and before this one was among them.
    await servers.store.claim({ ...tombstone, tenantId });
    putKey(tenantId, 'late');
    expect(await servers.applySecret(tenantId)).toMatchObject({
      outcome: 'nothing-to-update',
      ...isFinished,
    });
    expect(servers.posts()).toBe(0);
    expect(await servers.rowOf(tenantId)).toEqual({ ...before, claimId: expect.any(String) });
  });

  test('a retry with a secret that is still empty leaves the failed row unchanged', async () => {
    const tenantId = await failedForKey();
    const before = await servers.rowOf(tenantId);
    servers.putTenantSecret(tenantId, '{}');
    for (const deliveries of [1, 10]) await servers.applySecret(tenantId, { deliveries });
    expect(await servers.rowOf(tenantId)).toEqual({ ...before, claimId: expect.any(String) });
    putKey(tenantId, 'later');
    expect(await servers.applySecret(tenantId)).toMatchObject({ outcome: 'provisioned' });
  });

  test('a retry that Cloud Elements refuses is recorded, and the next value retries it', async () => {
    const tenantId = await failedForKey();
    putKey(tenantId, 'wrong');
    servers.simulator.fail({ on: 'POST /instances', ...notApplied(400) });
    expect((await errorOf(servers.applySecret(tenantId))).code).toBe('refused-by-cloud-elements');
    expect(await servers.rowOf(tenantId)).toMatchObject({ lastError: { code: 'refused-by-cloud-elements' } });
    putKey(tenantId, 'right');
    expect(await servers.applySecret(tenantId)).toMatchObject({ outcome: 'provisioned' });
  });

  test('a retry during an outage keeps the row’s retryable reason', async () => {
    const tenantId = await failedForKey();
    putKey(tenantId, 'late');
    servers.simulator.fail({ on: 'POST /instances', ...notApplied(429), times: 10 });
    expect((await errorOf(servers.applySecret(tenantId))).retryable).toBe(true);
    servers.simulator.reset();
    expect(await servers.applySecret(tenantId)).toMatchObject({ outcome: 'provisioned' });
  });

  test('two concurrent secret changes of a failed row create one instance', async () => {
    const tenantId = await failedForKey();
    putKey(tenantId, 'late');
    servers.simulator.latencyMs = 50;
    const results = await Promise.all([
      servers.applySecret(tenantId, { invocationMs: 3_000 }),
      servers.applySecret(tenantId, { invocationMs: 3_100 }),
    ]);
    expect(results.map(({ outcome }) => outcome).toSorted()).toEqual(['in-progress', 'provisioned']);
    expect(servers.posts()).toBe(1);
    await servers.expectOneActiveInstance(tenantId);
  });
});

describe('without an instance', () => {
  test.each([
    ['none', async () => newTenant()],
    [
      'a removed one',
      async () => {
        const tenantId = await active();
        await servers.remove(keyOf(tenantId));
        return tenantId;
      },
    ],
    [
      'one that is being removed',
      async () => {
        const tenantId = await active();
        servers.simulator.fail({ on: 'DELETE /instances/{id}', effect: 'none', outcome: { kind: 'reset' } });
        await servers.remove(keyOf(tenantId));
        return tenantId;
      },
    ],
  ])('%s: the message is done without a call', async (_what, prepare) => {
    const tenantId = await prepare();
    servers.reset();
    putKey(tenantId, 'new');
    expect(await servers.applySecret(tenantId)).toMatchObject({
      outcome: 'nothing-to-update',
      ...isFinished,
    });
    expect(servers.simulator.requests).toEqual([]);
  });

  test("a change of another stage's secret is ignored without a table read", async () => {
    const tenantId = await active();
    const secretName = `other/tenants/${tenantId}/taxify`;
    const awsBefore = servers.awsRequests.length;
    expect(await servers.applySecret(tenantId, { secretName })).toMatchObject({
      outcome: 'not-ours',
      ...isFinished,
    });
    expect(servers.awsRequests.length).toBe(awsBefore);
  });

  test.each(['request', 'secret', undefined] as const)(
    'a claim at work on an instance of source %s: the message comes again unless a request configures it',
    async (source) => {
      const tenantId = newTenant();
      servers.simulator.latencyMs = 100;
      const requested = source === 'request' ? taxify(tenantId) : settingsOf(keyOf(tenantId), {});
      putKey(tenantId, 'key');
      const provisioned = servers.provision(requested);
      await expect.poll(() => servers.rowOf(tenantId)).toBeDefined();
      if (source === undefined) await rewrite(tenantId, { source });
      expect(await servers.applySecret(tenantId)).toMatchObject({ retry: source !== 'request' });
      await provisioned;
    },
  );
});
