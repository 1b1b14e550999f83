import {
  type AttributeValue,
  DeleteItemCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
} from '@aws-sdk/client-dynamodb';
import { afterAll, describe, expect, test } from 'vitest';
import { createInstanceStore } from '../../../functions/adapters/instance-store.ts';
import type { Stored } from '../../../functions/core/ports.ts';
import type { InstanceRow } from '../../../functions/model/instance.ts';
import { startDynamoDb } from '../../../infra/local/aws/dynamodb.ts';
import { createInMemoryStore } from '../../proofs/explorer/in-memory-store.ts';
import { newTenant } from '../../support/real-servers.ts';

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

/** A row with every attribute. */
const fullRow = (over: Partial<InstanceRow> = {}): InstanceRow => ({
  v: 1,
  tenantId: newTenant(),
  elementKey: 'taxify',
  status: 'active',
  provisionId: 'provision-1',
  claimId: 'attempt-1',
  leaseExpiresAt: 1_000,
  sendDeadline: 2_000,
  inDoubt: true,
  origin: 'http://127.0.0.1:1',
  instanceId: 7,
  name: 'Shop',
  tags: ['eu', 'vip'],
  fingerprint: 'fingerprint',
  allowListed: { 'pagination.max': '50' },
  requestedAt: 500,
  requestedBy: { dialect: 'sbt-0.9', eventId: 'event-1', registrationId: 'registration-1', sentAt: 500 },
  token: new Uint8Array([0, 255, 128, 10, 13]),
  createdAt: 600,
  updatedAt: 700,
  lastError: { code: 'not-saved', detail: 'why', requestId: 'request-1', at: 650 },
  ...over,
});

/** A row with only the required attributes; the others are `undefined`, as the use cases leave them. */
const bareRow = (over: Partial<InstanceRow> = {}): InstanceRow => {
  // oxlint-disable-next-line no-unused-vars -- named to be left out
  const { token, checkAt, removedAt, expiresAt, instanceId, requestedBy, lastError, ...bare } = fullRow();
  return { ...bare, tags: [], allowListed: {}, ...over };
};

/** The row's entry in the index. */
const placeOf = ({ tenantId, elementKey, checkAt }: InstanceRow) => ({
  tenantId,
  elementKey,
  checkAt,
  shown: String(checkAt),
});

const asUndefined = {
  token: undefined,
  checkAt: undefined,
  removedAt: undefined,
  expiresAt: undefined,
  instanceId: undefined,
  requestedBy: undefined,
  lastError: undefined,
};

describe.each([
  ['DynamoDB', createInstanceStore({ client, tableName })],
  ['memory', createInMemoryStore().store],
])('instances in %s', (_where, store) => {
  test.each([
    ['all attributes', fullRow()],
    ['the necessary attributes', bareRow()],
  ])('rows come back as they were written, with %s', async (_what, row) => {
    expect(await store.get(row)).toBeUndefined();
    expect(await store.claim(row)).toEqual({ won: true });
    expect(await store.get(row)).toStrictEqual(row);
  });

  test('each tenant and element has a row of its own', async () => {
    const row = fullRow();
    const sibling = { ...row, elementKey: 'shopify' };
    const neighbour = { ...row, tenantId: newTenant() };
    for (const each of [row, sibling, neighbour]) expect(await store.claim(each)).toEqual({ won: true });
    await store.remove(sibling);
    expect(await store.get(row)).toStrictEqual(row);
    expect(await store.get(sibling)).toBeUndefined();
    expect(await store.get(neighbour)).toStrictEqual(neighbour);
  });

  test('rows are copies: changing one changes nothing in the store', async () => {
    const row = fullRow();
    const written = structuredClone(row);
    await store.claim(written);
    written.tags.push('changed');
    written.token?.fill(1);
    const read = await store.get(row);
    read?.tags.push('changed');
    read?.token?.fill(2);
    expect(await store.get(row)).toStrictEqual(row);
  });

  test('undefined values have no attribute, also in nested objects', async () => {
    const row = bareRow({
      requestedBy: { dialect: 'native', eventId: 'event-1', sentAt: 1 },
      lastError: { code: 'x', detail: 'y', at: 1 },
    });
    await store.claim({
      ...row,
      ...asUndefined,
      requestedBy: { dialect: 'native', eventId: 'event-1', sentAt: 1, registrationId: undefined },
      lastError: { code: 'x', detail: 'y', at: 1, requestId: undefined },
    });
    expect(await store.get(row)).toStrictEqual(row);
  });

  describe('claim', () => {
    test('a claim without a row read is refused where a row exists in any state, and returns it', async () => {
      for (const status of ['provisioning', 'active', 'failed', 'deleting', 'removed'] as const) {
        const row = fullRow({ status });
        await store.claim(row);
        expect(await store.claim({ ...row, claimId: 'rival' })).toStrictEqual({
          won: false,
          current: row,
        });
        expect(await store.get(row)).toStrictEqual(row);
      }
    });

    test('a claim replaces the whole row: attributes left out are removed', async () => {
      const row = fullRow({ checkAt: 5, removedAt: 6, expiresAt: 7 });
      await store.claim(row);
      const next = bareRow({ tenantId: row.tenantId, status: 'failed', claimId: 'attempt-2' });
      expect(await store.claim({ ...next, ...asUndefined }, row)).toEqual({ won: true });
      expect(await store.get(row)).toStrictEqual(next);
      const due = await store.due(Number.MAX_SAFE_INTEGER, 1_000);
      const dueTenants = [...due.first, ...due.later].map(({ tenantId }) => tenantId);
      expect(dueTenants).not.toContain(row.tenantId);
    });

    test.each([
      ['status', { status: 'failed' }],
      ['generation', { provisionId: 'provision-2' }],
      ['fencing token', { claimId: 'attempt-2' }],
      ['lease', { leaseExpiresAt: 1_001 }],
    ] as const)(
      'a claim over a row with another %s is refused and returns the row',
      async (_what, difference) => {
        const row = fullRow();
        await store.claim(row);
        const claimed = await store.claim({ ...row, claimId: 'rival' }, { ...row, ...difference });
        expect(claimed).toStrictEqual({ won: false, current: row });
        expect(await store.get(row)).toStrictEqual(row);
      },
    );

    test('a claim over a row that is gone is refused, and creates none', async () => {
      const row = fullRow();
      expect(await store.claim({ ...row, claimId: 'rival' }, row)).toEqual({
        won: false,
        current: undefined,
      });
      expect(await store.get(row)).toBeUndefined();
    });

    test('a claim refused by its own row is won: the SDK has sent it twice', async () => {
      const row = fullRow();
      await store.claim(row);
      expect(await store.claim(row)).toEqual({ won: true });
      const next = { ...row, claimId: 'next', name: 'Next' };
      await store.claim(next, row);
      expect(await store.claim(next, row)).toEqual({ won: true });
      expect(await store.get(row)).toStrictEqual(next);
    });
  });

  describe('write', () => {
    test.each([
      ['status', { status: 'failed' }],
      ['generation', { provisionId: 'provision-2' }],
    ] as const)(
      'a write after the row took another %s in the same claim changes nothing',
      async (_what, difference) => {
        const row = fullRow();
        await store.claim(row);
        expect(await store.write({ ...row, name: 'Late' }, { ...row, ...difference })).toEqual({ won: true });
        expect(await store.get(row)).toStrictEqual(row);
      },
    );

    test('a write is refused once another claim has the row, and returns that row', async () => {
      const row = fullRow();
      const rival = { ...row, claimId: 'rival' };
      await store.claim(rival);
      expect(await store.write({ ...row, name: 'Late' }, row)).toStrictEqual({ won: false, current: rival });
      expect(await store.get(row)).toStrictEqual(rival);
    });

    test('a write succeeds after the lease has expired if no other claim was made', async () => {
      const row = fullRow();
      await store.claim(row);
      const next = { ...row, leaseExpiresAt: 0 };
      expect(await store.write(next, { ...row, leaseExpiresAt: 7 })).toEqual({ won: true });
      expect(await store.get(row)).toStrictEqual(next);
    });

    test('a write to a missing row is refused and creates none', async () => {
      const row = fullRow();
      expect(await store.write(row, row)).toEqual({ won: false, current: undefined });
      expect(await store.get(row)).toBeUndefined();
    });
  });

  describe('remove', () => {
    test('remove removes the row of its claim, and no other', async () => {
      const row = fullRow();
      await store.claim(row);
      expect(await store.remove({ ...row, claimId: 'rival' })).toStrictEqual({ won: false, current: row });
      expect(await store.get(row)).toStrictEqual(row);
      expect(await store.remove(row)).toEqual({ won: true });
      expect(await store.get(row)).toBeUndefined();
      expect(await store.remove(row)).toEqual({ won: false, current: undefined });
    });
  });

  describe('summaries', () => {
    test('summaries hold the public fields, and never the token', async () => {
      const row = fullRow();
      await store.claim(row);
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
      expect(await store.list(tenantId)).toStrictEqual({ instances: [summary], unreadable: [] });
    });

    test('summaries leave tombstones out', async () => {
      const row = fullRow({ status: 'removed' });
      await store.claim(row);
      expect(await store.getSummary(row)).toBeUndefined();
      expect(await store.list(row.tenantId)).toEqual({ instances: [], unreadable: [] });
      expect(await store.get(row)).toStrictEqual(row);
    });

    test('a missing row has no summary and an empty list', async () => {
      const row = fullRow();
      expect(await store.getSummary(row)).toBeUndefined();
      expect(await store.list(row.tenantId)).toEqual({ instances: [], unreadable: [] });
    });
  });

  describe('list', () => {
    test('list returns the rows of one tenant, in the order of the element keys', async () => {
      const tenantId = newTenant();
      for (const elementKey of ['b', 'a_', 'a-', 'a1', 'a'])
        await store.claim(bareRow({ tenantId, elementKey }));
      await store.claim(bareRow());
      const { instances } = await store.list(tenantId);
      const keys = instances.map(({ elementKey }) => elementKey);
      expect(keys).toEqual(['a', 'a-', 'a1', 'a_', 'b']);
    });

    test('list continues beyond a page of DynamoDB, which ends at 1 MiB', async () => {
      const tenantId = newTenant();
      const name = 'x'.repeat(300_000);
      const keys = ['a', 'b', 'c', 'd', 'e', 'f'];
      await Promise.all(keys.map((elementKey) => store.claim(bareRow({ tenantId, elementKey, name }))));
      const { instances } = await store.list(tenantId);
      expect(instances.map(({ elementKey }) => elementKey)).toEqual(keys);
    });
  });

  describe('due', () => {
    test('due rows come oldest first, up to a limit', async () => {
      // Long before the due times of rows that other tests have left.
      const times = [-30, -10, -40, -20];
      const rows = times.map((checkAt, index) =>
        bareRow({ checkAt, status: index % 2 === 0 ? 'removed' : 'active' }),
      );
      for (const row of rows) await store.claim(row);
      await store.claim(bareRow());
      const [second, fourth, first, third] = rows.map(placeOf);

      const later = async (nowMs: number, limit: number) => (await store.due(nowMs, limit)).later;
      expect(await later(-41, 10)).toEqual([]);
      expect(await later(-40, 10)).toStrictEqual([first]);
      expect(await later(-11, 10)).toStrictEqual([first, second, third]);
      expect(await later(0, 2)).toStrictEqual([first, second]);
      expect(await later(0, 10)).toStrictEqual([first, second, third, fourth]);
      for (const row of rows) await store.remove(row);
      expect(await store.due(0, 10)).toEqual({ first: [], later: [] });
    });

    test('due rows that were not checked yet are listed apart from rechecks', async () => {
      const rows = [
        bareRow({ checkAt: -60, status: 'provisioning' }),
        bareRow({ checkAt: -59, status: 'deleting' }),
        bareRow({ checkAt: -58, status: 'provisioning', lookedAt: 1 }),
        bareRow({ checkAt: -57, status: 'deleting', lookedAt: 1 }),
        bareRow({ checkAt: -56, status: 'active' }),
        bareRow({ checkAt: -55, status: 'failed' }),
        bareRow({ checkAt: -54, status: 'removed' }),
      ];
      for (const row of rows) await store.claim(row);
      const places = rows.map(placeOf);
      expect(await store.due(-54, 10)).toStrictEqual({ first: places.slice(0, 2), later: places.slice(2) });
      expect(await store.due(-54, 1)).toStrictEqual({ first: places.slice(0, 1), later: places.slice(2, 3) });
      for (const row of rows) await store.remove(row);
    });
  });
});

/** Attributes as a manual edit or a later version may leave them. */
const oddities: [string, Record<string, AttributeValue>][] = [
  ['a number that no double holds', { sendDeadline: { N: '12345678901234567890.5' } }],
  ['a number beyond 2^53', { leaseExpiresAt: { N: '9007199254740993' } }],
  ['another layout', { v: { N: '2' } }],
  ['an attribute of another type', { tags: { S: 'eu' } }],
];

describe.each(oddities)('a row with %s', (_what, oddity) => {
  const store = createInstanceStore({ client, tableName });

  async function putOdd(over: Record<string, AttributeValue> = {}) {
    const row = bareRow();
    await store.claim(row);
    const { Item } = await client.send(new GetItemCommand({ TableName: tableName, Key: keyOf(row) }));
    await client.send(new PutItemCommand({ TableName: tableName, Item: { ...Item, ...oddity, ...over } }));
    return row;
  }

  test('reading an odd row is refused by name, and reading others is not', async () => {
    const { tenantId, elementKey } = await putOdd();
    await expect(store.get({ tenantId, elementKey })).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringContaining(tenantId),
    });
    await expect(store.claim(bareRow({ tenantId }))).rejects.toMatchObject({ code: 'internal' });
  });

  test('an odd row does not keep the tenant’s other rows from being listed', async () => {
    const { tenantId } = await putOdd();
    const other = bareRow({ tenantId, elementKey: 'shopify' });
    await store.claim(other);
    const { instances, unreadable } = await store.list(tenantId);
    // A summary does not show each attribute.
    const elementKeys = [...instances, ...unreadable].map(({ elementKey }) => elementKey);
    expect(elementKeys.toSorted()).toEqual(['shopify', 'taxify']);
    expect(instances).toContainEqual(expect.objectContaining({ elementKey: 'shopify' }));
  });

  test('a walk through all rows skips an odd row and reports its key', async () => {
    const { tenantId, elementKey } = await putOdd();
    const other = bareRow();
    await store.claim(other);
    const all: Stored[] = [];
    for await (const each of store.all()) all.push(each);
    expect(all).toContainEqual({ tenantId, elementKey, row: undefined });
    expect(all.find((each) => each.tenantId === other.tenantId)?.row).toStrictEqual(other);
  });

  test('a row with a number that cannot be read is listed as due and can be postponed', async () => {
    const place = { unsettled: { S: 'first' }, checkAt: { N: '-12345678901234567890.5' } };
    const { tenantId, elementKey } = await putOdd(place);
    const others = bareRow({ checkAt: -100, status: 'provisioning' });
    await store.claim(others);
    const [due, next] = (await store.due(-100, 10)).first;
    expect(due).toMatchObject({ tenantId, elementKey, shown: place.checkAt.N });
    expect(next).toMatchObject({ tenantId: others.tenantId });
    if (!due) throw new Error('not due');

    await store.postpone({ ...due, shown: '-1' }, -70);
    expect((await store.due(-100, 10)).first).toContainEqual(due);
    await store.postpone(due, -70);
    expect((await store.due(-70, 10)).first.map((each) => each.tenantId)).not.toContain(tenantId);
    expect((await store.due(-70, 10)).later).toContainEqual({
      tenantId,
      elementKey,
      checkAt: -70,
      shown: '-70',
    });
    await client.send(new DeleteItemCommand({ TableName: tableName, Key: keyOf({ tenantId, elementKey }) }));
    await store.remove(others);
  });
});

test('rows that an earlier version has put into the index are due', async () => {
  const store = createInstanceStore({ client, tableName });
  const row = bareRow({ checkAt: -80, status: 'provisioning' });
  await store.claim(row);
  const { Item } = await client.send(new GetItemCommand({ TableName: tableName, Key: keyOf(row) }));
  await client.send(new PutItemCommand({ TableName: tableName, Item: { ...Item, unsettled: { S: 'yes' } } }));
  expect((await store.due(-80, 10)).later).toContainEqual(
    expect.objectContaining({ tenantId: row.tenantId }),
  );
  expect(await store.write({ ...row, checkAt: undefined }, row)).toEqual({ won: true });
  expect(await store.due(-80, 10)).toEqual({ first: [], later: [] });
});

function keyOf({ tenantId, elementKey }: Pick<InstanceRow, 'tenantId' | 'elementKey'>) {
  return { tenantId: { S: tenantId }, elementKey: { S: elementKey } };
}
