import {
  ConditionalCheckFailedException,
  DeleteItemCommand,
  DynamoDBServiceException,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  ResourceNotFoundException,
  ScanCommand,
  UpdateItemCommand,
  type AttributeValue,
  type PutItemCommandInput,
} from '@aws-sdk/client-dynamodb';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect } from 'vitest';
import { conforms, startTarget, type Target } from './target.ts';

const api = 'https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/';
const guide = 'https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/';

let target: Target;
beforeAll(async () => {
  target = await startTarget();
});
afterAll(() => target.stop());

type Item = Record<string, AttributeValue>;
const newTenant = () => `tenant-${randomUUID()}`;
const keyOf = (tenantId: string, elementKey = 'taxify'): Item => ({
  tenantId: { S: tenantId },
  elementKey: { S: elementKey },
});

async function put(Item: Item, options: Partial<PutItemCommandInput> = {}) {
  return target.dynamoDb.send(new PutItemCommand({ TableName: target.tableName, Item, ...options }));
}
async function get(Key: Item): Promise<Item | undefined> {
  const command = new GetItemCommand({ TableName: target.tableName, Key, ConsistentRead: true });
  return (await target.dynamoDb.send(command)).Item;
}
/** The condition that an item has these values. */
const given = (name: string, lease: string) => ({
  ConditionExpression: '#status = :status AND #name = :name AND #lease = :lease',
  ExpressionAttributeNames: { '#status': 'status', '#name': 'name', '#lease': 'lease' },
  ExpressionAttributeValues: { ':status': { S: 'active' }, ':name': { S: name }, ':lease': { N: lease } },
});

const errorOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => undefined,
    (error: unknown) => error,
  );

const ifAbsent = {
  ConditionExpression: 'attribute_not_exists(tenantId)',
  ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
} as const;

conforms(
  'a refused write returns the item as it is, and leaves it so',
  { source: `${api}API_PutItem.html#DDB-PutItem-request-ReturnValuesOnConditionCheckFailure` },
  async () => {
    const key = keyOf(newTenant());
    const item = { ...key, status: { S: 'active' } };
    await put(item, ifAbsent);
    const refused = await errorOf(put({ ...key, status: { S: 'failed' } }, ifAbsent));
    expect(refused).toBeInstanceOf(ConditionalCheckFailedException);
    expect(refused).toMatchObject({ name: 'ConditionalCheckFailedException', Item: item });
    expect(await get(key)).toEqual(item);
  },
);

conforms(
  'a write that is refused because there is no item returns none',
  { source: `${api}API_DeleteItem.html` },
  async () => {
    const Key = keyOf(newTenant());
    const refused = await errorOf(
      target.dynamoDb.send(
        new DeleteItemCommand({
          TableName: target.tableName,
          Key,
          ConditionExpression: '#s = :s',
          ExpressionAttributeNames: { '#s': 'status' },
          ExpressionAttributeValues: { ':s': { S: 'active' } },
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
        }),
      ),
    );
    expect(refused).toBeInstanceOf(ConditionalCheckFailedException);
    expect(refused).not.toHaveProperty('Item.tenantId');
  },
);

conforms(
  'one of ten conditional writes at once wins',
  { source: `${guide}Expressions.ConditionExpressions.html` },
  async () => {
    const key = keyOf(newTenant());
    const writes = Array.from({ length: 10 }, (_, index) =>
      put({ ...key, claimId: { S: String(index) } }, ifAbsent),
    );
    const results = await Promise.allSettled(writes);
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  },
);

conforms(
  'a condition of several attributes holds only if each does, reserved words and all',
  { source: `${guide}Expressions.OperatorsAndFunctions.html` },
  async () => {
    const key = keyOf(newTenant());
    const item = { ...key, status: { S: 'active' }, name: { S: 'Shop' }, lease: { N: '0' } };
    await put(item);
    for (const wrong of [given('Other', '0'), given('Shop', '1')]) {
      expect(await errorOf(put(key, wrong))).toBeInstanceOf(ConditionalCheckFailedException);
    }
    await put({ ...item, lease: { N: '5' } }, given('Shop', '0.0'));
    expect(await get(key)).toMatchObject({ lease: { N: '5' } });
  },
);

conforms(
  'numbers keep 38 digits, and binary values and empty text come back as they are',
  { source: `${guide}HowItWorks.NamingRulesDataTypes.html#HowItWorks.DataTypes` },
  async () => {
    const key = keyOf(newTenant());
    const item: Item = {
      ...key,
      large: { N: '12345678901234567890123456789012345678' },
      fraction: { N: '12345678901234567890.5' },
      token: { B: Uint8Array.from([0, 255, 128]) },
      empty: { S: '' },
      nothing: { NULL: true },
      list: { L: [{ S: 'é' }, { M: { deep: { BOOL: false } } }] },
      tags: { SS: ['a', 'b'] },
    };
    await put(item);
    expect(await get(key)).toEqual(item);
  },
);

conforms(
  'a key of empty text, and an item without its sort key, are not valid',
  { source: `${guide}HowItWorks.NamingRulesDataTypes.html` },
  async () => {
    for (const item of [keyOf(''), { tenantId: { S: newTenant() } }]) {
      const refused = await errorOf(put(item));
      expect(refused).toBeInstanceOf(DynamoDBServiceException);
      expect(refused).toMatchObject({ name: 'ValidationException' });
    }
  },
);

conforms(
  'an item of more than 400 KB is refused, and one below it is kept',
  {
    source: `${guide}ServiceQuotas.html#limits-items`,
    not: { moto: 'its limit is 405,000 bytes, not 400 KB' },
  },
  async () => {
    const key = keyOf(newTenant());
    await put({ ...key, text: { S: 'x'.repeat(399 * 1024) } });
    const refused = await errorOf(put({ ...key, text: { S: 'x'.repeat(401 * 1024) } }));
    expect(refused).toMatchObject({ name: 'ValidationException' });
  },
);

conforms(
  'a table that does not exist is not found',
  { source: `${api}API_GetItem.html#API_GetItem_Errors` },
  async () => {
    const missing = new GetItemCommand({ TableName: 'none-of-that-name', Key: keyOf('t') });
    expect(await errorOf(target.dynamoDb.send(missing))).toBeInstanceOf(ResourceNotFoundException);
  },
);

conforms(
  'an update sets attributes on a condition, and leaves the others',
  { source: `${guide}Expressions.UpdateExpressions.html` },
  async () => {
    const Key = keyOf(newTenant());
    await put({ ...Key, checkAt: { N: '10' }, unsettled: { S: 'first' }, name: { S: 'Shop' } });
    const update = (shown: string) =>
      target.dynamoDb.send(
        new UpdateItemCommand({
          TableName: target.tableName,
          Key,
          UpdateExpression: 'SET checkAt = :checkAt, unsettled = :unsettled',
          ConditionExpression: 'checkAt = :shown',
          ExpressionAttributeValues: {
            ':checkAt': { N: '20' },
            ':unsettled': { S: 'later' },
            ':shown': { N: shown },
          },
        }),
      );
    expect(await errorOf(update('11'))).toBeInstanceOf(ConditionalCheckFailedException);
    await update('10');
    expect(await get(Key)).toEqual({
      ...Key,
      checkAt: { N: '20' },
      unsettled: { S: 'later' },
      name: { S: 'Shop' },
    });
  },
);

conforms(
  'a query lists a tenant in order of the sort key, page by page, and shows the attributes that were requested',
  { source: `${guide}Query.Pagination.html` },
  async () => {
    const tenantId = newTenant();
    for (const elementKey of ['b', 'c', 'a', 'B']) {
      await put({ ...keyOf(tenantId, elementKey), name: { S: 'x' }, token: { S: 'y' } });
    }
    const pages: Item[][] = [];
    let ExclusiveStartKey: Item | undefined;
    do {
      const page = await target.dynamoDb.send(
        new QueryCommand({
          TableName: target.tableName,
          KeyConditionExpression: 'tenantId = :tenantId',
          ExpressionAttributeValues: { ':tenantId': { S: tenantId } },
          ProjectionExpression: '#elementKey, #name',
          ExpressionAttributeNames: { '#elementKey': 'elementKey', '#name': 'name' },
          ConsistentRead: true,
          Limit: 3,
          ExclusiveStartKey,
        }),
      );
      pages.push(page.Items ?? []);
      ExclusiveStartKey = page.LastEvaluatedKey;
    } while (ExclusiveStartKey);
    expect(pages.map((page) => page.length)).toEqual([3, 1]);
    // By the bytes of UTF-8: capitals come first.
    expect(pages.flat()).toEqual(
      ['B', 'a', 'b', 'c'].map((elementKey) => ({ elementKey: { S: elementKey }, name: { S: 'x' } })),
    );
  },
);

conforms(
  'the index holds only the items that have both of its keys, with keys alone, in the order of numbers',
  { source: `${guide}bp-indexes-general-sparse-indexes.html` },
  async () => {
    const unsettled = `partition-${randomUUID()}`;
    const tenants = [9, 100, 20].map((checkAt) => ({ tenantId: newTenant(), checkAt }));
    for (const { tenantId, checkAt } of tenants) {
      const item = { ...keyOf(tenantId), unsettled: { S: unsettled }, name: { S: 'x' } };
      await put({ ...item, checkAt: { N: String(checkAt) } });
    }
    await put({ ...keyOf(newTenant()), unsettled: { S: unsettled } });
    const query = async (until: string, ScanIndexForward: boolean, Limit?: number) => {
      const { Items = [] } = await target.dynamoDb.send(
        new QueryCommand({
          TableName: target.tableName,
          IndexName: 'unsettled',
          KeyConditionExpression: 'unsettled = :unsettled AND checkAt <= :now',
          ExpressionAttributeValues: { ':unsettled': { S: unsettled }, ':now': { N: until } },
          ScanIndexForward,
          Limit,
        }),
      );
      return Items;
    };
    expect((await query('50', true)).map(({ checkAt }) => checkAt?.N)).toEqual(['9', '20']);
    expect(await query('1000', false, 1)).toEqual([
      { ...keyOf(tenants[1]?.tenantId ?? ''), unsettled: { S: unsettled }, checkAt: { N: '100' } },
    ]);
  },
);

conforms('an item leaves the index with the attribute', { source: `${guide}GSI.html` }, async () => {
  const unsettled = { S: `partition-${randomUUID()}` };
  const key = keyOf(newTenant());
  const count = async () =>
    (
      await target.dynamoDb.send(
        new QueryCommand({
          TableName: target.tableName,
          IndexName: 'unsettled',
          KeyConditionExpression: 'unsettled = :unsettled',
          ExpressionAttributeValues: { ':unsettled': unsettled },
        }),
      )
    ).Items?.length;
  await put({ ...key, unsettled, checkAt: { N: '1' } });
  expect(await count()).toBe(1);
  await put(key);
  expect(await count()).toBe(0);
});

conforms(
  'a scan continues after any key, and its limit counts items before the filter',
  { source: `${guide}Scan.html#Scan.Limit` },
  async () => {
    const mark = randomUUID();
    for (const n of [1, 2, 3, 4, 5]) {
      await put({ ...keyOf(newTenant()), mark: { S: n === 3 ? mark : 'other' } });
    }
    const found: Item[] = [];
    let largest = 0;
    let ExclusiveStartKey: Item | undefined;
    do {
      const page = await target.dynamoDb.send(
        new ScanCommand({
          TableName: target.tableName,
          FilterExpression: 'mark = :mark',
          ExpressionAttributeValues: { ':mark': { S: mark } },
          Limit: 2,
          ExclusiveStartKey,
        }),
      );
      largest = Math.max(largest, page.ScannedCount ?? 0);
      found.push(...(page.Items ?? []));
      ExclusiveStartKey = page.LastEvaluatedKey;
    } while (ExclusiveStartKey);
    expect(found).toHaveLength(1);
    expect(largest).toBe(2);
  },
);
