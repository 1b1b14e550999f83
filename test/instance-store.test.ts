import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { afterAll, describe, expect, test } from 'vitest';
import { createInstanceStore } from '../functions/adapters/instance-store.ts';
import type { InstanceRow } from '../functions/core/instance.ts';
import { startDynamoDb } from '../infra/local/dynamodb.ts';
import { createInMemoryStore } from './explorer/in-memory-store.ts';
import { newTenant } from './real-servers.ts';

const tableName = 'instances';
const dynamoDb = await startDynamoDb({ tableName });
const client = new DynamoDBClient({
  endpoint: dynamoDb.url,
  region: 'us-east-1',
  credentials: { accessKeyId: 'tests', secretAccessKey: 'tests' },
});
afterAll(async () => {
  client.destroy();
  await dynamoDb.stop();
});

/** Everything that a row can hold. */
const fullRow = (over: Partial<InstanceRow> = {}): InstanceRow => ({
  v: 1,
  tenantId: newTenant(),
  elementKey: 'taxify',
  status: 'active',
  provisionId: 'provision-1',
  attemptId: 'attempt-1',
  leaseExpiresAt: 1_000,
  sendDeadline: 2_000,
  contested: true,
  origin: 'http://127.0.0.1:1',
  instanceId: 7,
  name: 'Shop',
  tags: ['eu', 'vip'],
  fingerprint: 'fingerprint',
  harmless: { 'pagination.max': '50' },
  askedAt: 500,
  askedBy: { dialect: 'sbt-0.9', eventId: 'event-1', registrationId: 'registration-1', sentAt: 500 },
  token: new Uint8Array([0, 255, 128, 10, 13]),
  createdAt: 600,
  updatedAt: 700,
  lastError: { code: 'not-saved', detail: 'why', requestId: 'request-1', at: 650 },
  ...over,
});

/** Nothing but what it must hold; what it lacks is there as `undefined`, as the use cases leave it. */
const bareRow = (over: Partial<InstanceRow> = {}): InstanceRow => {
  // oxlint-disable-next-line no-unused-vars -- named to be left out
  const { token, checkAt, removedAt, expiresAt, instanceId, askedBy, lastError, ...bare } = fullRow();
  return { ...bare, tags: [], harmless: {}, ...over };
};

const asUndefined = {
  token: undefined,
  checkAt: undefined,
  removedAt: undefined,
  expiresAt: undefined,
  instanceId: undefined,
  askedBy: undefined,
  lastError: undefined,
};

describe.each([
  ['DynamoDB', createInstanceStore({ client, tableName })],
  ['memory', createInMemoryStore().store],
])('instances in %s', (_where, store) => {
  test.each([
    ['all attributes', fullRow()],
    ['the necessary attributes', bareRow()],
  ])('come back as they were written, with %s', async (_what, row) => {
    expect(await store.get(row)).toBeUndefined();
    expect(await store.insert(row)).toEqual({ won: true });
    expect(await store.get(row)).toStrictEqual(row);
  });

  test('are rows of their own per tenant and element', async () => {
    const row = fullRow();
    const sibling = { ...row, elementKey: 'shopify' };
    const neighbour = { ...row, tenantId: newTenant() };
    for (const each of [row, sibling, neighbour]) expect(await store.insert(each)).toEqual({ won: true });
    await store.remove(sibling, sibling);
    expect(await store.get(row)).toStrictEqual(row);
    expect(await store.get(sibling)).toBeUndefined();
    expect(await store.get(neighbour)).toStrictEqual(neighbour);
  });

  test('are copies: what is done to one afterwards changes nothing', async () => {
    const row = fullRow();
    const written = structuredClone(row);
    await store.insert(written);
    written.tags.push('changed');
    written.token?.fill(1);
    const read = await store.get(row);
    read?.tags.push('changed');
    read?.token?.fill(2);
    expect(await store.get(row)).toStrictEqual(row);
  });

  test('have no attribute for what is undefined, also inside of others', async () => {
    const row = bareRow({
      askedBy: { dialect: 'native', eventId: 'event-1', sentAt: 1 },
      lastError: { code: 'x', detail: 'y', at: 1 },
    });
    await store.insert({
      ...row,
      ...asUndefined,
      askedBy: { dialect: 'native', eventId: 'event-1', sentAt: 1, registrationId: undefined },
      lastError: { code: 'x', detail: 'y', at: 1, requestId: undefined },
    });
    expect(await store.get(row)).toStrictEqual(row);
  });

  describe('insert', () => {
    test('is refused where there is a row, whatever its state, and returns it', async () => {
      for (const status of ['provisioning', 'active', 'failed', 'deleting', 'removed'] as const) {
        const row = fullRow({ status });
        await store.insert(row);
        expect(await store.insert({ ...row, attemptId: 'rival' })).toStrictEqual({
          won: false,
          current: row,
        });
        expect(await store.get(row)).toStrictEqual(row);
      }
    });
  });

  describe('replace', () => {
    test('writes the whole row: what is not mentioned is gone', async () => {
      const row = fullRow({ checkAt: 5, removedAt: 6, expiresAt: 7 });
      await store.insert(row);
      const next = bareRow({ tenantId: row.tenantId, status: 'failed', attemptId: 'attempt-2' });
      expect(await store.replace({ ...next, ...asUndefined }, row)).toEqual({ won: true });
      expect(await store.get(row)).toStrictEqual(next);
      const due = await store.due(Number.MAX_SAFE_INTEGER, 1_000);
      expect(due.map(({ tenantId }) => tenantId)).not.toContain(row.tenantId);
    });

    test.each([
      ['status', { status: 'failed' }],
      ['generation', { provisionId: 'provision-2' }],
      ['attempt', { attemptId: 'attempt-2' }],
      ['lease', { leaseExpiresAt: 1_001 }],
    ] as const)('is refused on another %s and returns the row', async (_what, difference) => {
      const row = fullRow();
      await store.insert(row);
      const write = await store.replace({ ...row, name: 'Rival' }, { ...row, ...difference });
      expect(write).toStrictEqual({ won: false, current: row });
      expect(await store.get(row)).toStrictEqual(row);
    });

    test('disregards the lease when none is expected', async () => {
      const row = fullRow();
      await store.insert(row);
      const { status, provisionId, attemptId } = row;
      const next = { ...row, leaseExpiresAt: 0 };
      expect(await store.replace(next, { status, provisionId, attemptId })).toEqual({ won: true });
      expect(await store.get(row)).toStrictEqual(next);
    });

    test('is refused where there is no row, and makes none', async () => {
      const row = fullRow();
      expect(await store.replace(row, row)).toEqual({ won: false, current: undefined });
      expect(await store.get(row)).toBeUndefined();
    });
  });

  describe('remove', () => {
    test('removes the row that is expected, and no other', async () => {
      const row = fullRow();
      await store.insert(row);
      expect(await store.remove(row, { ...row, attemptId: 'rival' })).toStrictEqual({
        won: false,
        current: row,
      });
      expect(await store.get(row)).toStrictEqual(row);
      expect(await store.remove(row, row)).toEqual({ won: true });
      expect(await store.get(row)).toBeUndefined();
      expect(await store.remove(row, row)).toEqual({ won: false, current: undefined });
    });
  });

  describe('summaries', () => {
    test('hold what answers may show, and never the token', async () => {
      const row = fullRow();
      await store.insert(row);
      const { tenantId, elementKey, status, instanceId, name, tags, createdAt, updatedAt, lastError } = row;
      const summary = {
        tenantId,
        elementKey,
        status,
        instanceId,
        name,
        tags,
        createdAt,
        updatedAt,
        lastError,
      };
      expect(await store.getSummary(row)).toStrictEqual(summary);
      expect(await store.list(tenantId)).toStrictEqual([summary]);
    });

    test('leave tombstones out', async () => {
      const row = fullRow({ status: 'removed' });
      await store.insert(row);
      expect(await store.getSummary(row)).toBeUndefined();
      expect(await store.list(row.tenantId)).toEqual([]);
      expect(await store.get(row)).toStrictEqual(row);
    });

    test('of what is not there are undefined and an empty list', async () => {
      const row = fullRow();
      expect(await store.getSummary(row)).toBeUndefined();
      expect(await store.list(row.tenantId)).toEqual([]);
    });
  });

  describe('list', () => {
    test('is of one tenant, in the order of the element keys', async () => {
      const tenantId = newTenant();
      for (const elementKey of ['b', 'a_', 'a-', 'a1', 'a'])
        await store.insert(bareRow({ tenantId, elementKey }));
      await store.insert(bareRow());
      const keys = (await store.list(tenantId)).map(({ elementKey }) => elementKey);
      expect(keys).toEqual(['a', 'a-', 'a1', 'a_', 'b']);
    });

    test('is complete beyond a page of DynamoDB, which ends at 1 MiB', async () => {
      const tenantId = newTenant();
      const name = 'x'.repeat(300_000);
      const keys = ['a', 'b', 'c', 'd', 'e', 'f'];
      await Promise.all(keys.map((elementKey) => store.insert(bareRow({ tenantId, elementKey, name }))));
      expect((await store.list(tenantId)).map(({ elementKey }) => elementKey)).toEqual(keys);
    });
  });

  describe('due', () => {
    test('are rows of any state whose time has come, the longest due first, up to a limit', async () => {
      // Long before whatever other tests have left to be checked.
      const times = [-30, -10, -40, -20];
      const rows = times.map((checkAt, index) =>
        bareRow({ checkAt, status: index % 2 === 0 ? 'removed' : 'active' }),
      );
      for (const row of rows) await store.insert(row);
      await store.insert(bareRow());
      const [second, fourth, first, third] = rows.map(({ tenantId, elementKey, checkAt }) => ({
        tenantId,
        elementKey,
        checkAt,
      }));

      expect(await store.due(-41, 10)).toEqual([]);
      expect(await store.due(-40, 10)).toStrictEqual([first]);
      expect(await store.due(-11, 10)).toStrictEqual([first, second, third]);
      expect(await store.due(0, 2)).toStrictEqual([first, second]);
      expect(await store.due(0, 10)).toStrictEqual([first, second, third, fourth]);
      for (const row of rows) await store.remove(row, row);
      expect(await store.due(0, 10)).toEqual([]);
    });
  });
});
