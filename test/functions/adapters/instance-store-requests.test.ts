import { marshall } from '@aws-sdk/util-dynamodb';
import { beforeEach, describe, expect, test } from 'vitest';
import { createInstanceStore } from '../../../functions/adapters/instance-store.ts';
import type { InstanceRow } from '../../../functions/model/instance.ts';
import { tableShape, toStored } from '../../../functions/model/table.ts';
import { refuseAccess, refuseCondition, startScriptedDynamoDb } from '../../support/scripted-dynamodb.ts';

const scripted = await startScriptedDynamoDb();
const store = createInstanceStore({ client: scripted.client, tableName: 'instances' });
beforeEach(() => {
  scripted.requests.length = 0;
  scripted.respond = () => ({});
});

const key = { tenantId: 'acme', elementKey: 'taxify' };
const Key = marshall(key);
const row: InstanceRow = {
  ...key,
  v: 1,
  status: 'active',
  provisionId: 'generation-1',
  claimId: 'claim-1',
  leaseExpiresAt: 1_000,
  sendDeadline: 2_000,
  inDoubt: false,
  origin: 'http://127.0.0.1:1',
  name: 'Shop',
  tags: [],
  fingerprint: 'fingerprint',
  allowListed: {},
  requestedAt: 500,
  createdAt: 600,
  updatedAt: 700,
};
const stored = (over: object = {}) =>
  marshall(toStored({ ...row, ...over }), { removeUndefinedValues: true });
const otherClaim = { ...row, claimId: 'claim-2' };
const due = { ...key, checkAt: 5, shown: '5.0' };
const verbs = () => scripted.requests.map(({ verb }) => verb);
const bodies = () => scripted.requests.map(({ body }) => Object(body));

/** The response of each verb. */
const respondTo = (responses: Record<string, () => object>) => {
  scripted.respond = (verb) => responses[verb]?.() ?? {};
};
const everyRow = async () => {
  const keys: object[] = [];
  for await (const { tenantId, elementKey } of store.all()) keys.push({ tenantId, elementKey });
  return keys;
};

describe('reads', () => {
  test('reads of one tenant are strongly consistent', async () => {
    await store.get(key);
    await store.getSummary(key);
    await store.list('acme');
    expect(verbs()).toEqual(['GetItem', 'GetItem', 'Query']);
    for (const body of bodies()) expect(body).toMatchObject({ TableName: 'instances', ConsistentRead: true });
    expect(bodies().map((body) => body.Key)).toEqual([Key, Key, undefined]);
    expect(bodies()[2].ExpressionAttributeValues).toEqual({ ':tenantId': { S: 'acme' } });
  });

  test('a summary, a list and a page do not request the token', async () => {
    await store.getSummary(key);
    await store.list('acme');
    await store.page({ limit: 5, after: undefined });
    for (const { ProjectionExpression, ExpressionAttributeNames } of bodies()) {
      const names = Object.values(ExpressionAttributeNames);
      expect(names).toEqual(expect.arrayContaining(['tenantId', 'elementKey', 'status', 'name']));
      expect(names).not.toContain('token');
      expect(ProjectionExpression).toBe(Object.keys(ExpressionAttributeNames).join(', '));
    }
  });

  test('a list and a walk read every page', async () => {
    const pages = () => {
      const responses = [
        { Items: [stored({ elementKey: 'a' })], LastEvaluatedKey: marshall({ ...key, elementKey: 'a' }) },
        { LastEvaluatedKey: marshall({ ...key, elementKey: 'b' }) },
        { Items: [stored({ elementKey: 'c' })] },
      ];
      scripted.respond = () => responses.shift() ?? {};
    };
    pages();
    expect((await store.list('acme')).instances.map(({ elementKey }) => elementKey)).toEqual(['a', 'c']);
    pages();
    expect(await everyRow()).toEqual([
      { ...key, elementKey: 'a' },
      { ...key, elementKey: 'c' },
    ]);
    const starts = bodies().map(({ ExclusiveStartKey }) => ExclusiveStartKey?.elementKey.S);
    expect(starts).toEqual([undefined, 'a', 'b', undefined, 'a', 'b']);
  });

  test('a list leaves out tombstones and the row of the whole tenant, and names unreadable rows', async () => {
    respondTo({
      Query: () => ({
        Items: [
          stored({ elementKey: '*' }),
          stored({ elementKey: 'gone', status: 'removed' }),
          { ...stored({ elementKey: 'odd' }), name: { N: '7' } },
          stored(),
        ],
      }),
    });
    const { instances, unreadable } = await store.list('acme');
    expect(instances.map(({ elementKey }) => elementKey)).toEqual(['taxify']);
    expect(unreadable).toEqual([{ ...key, elementKey: 'odd' }]);
  });

  test('a page leaves out tombstones and items that are no instances', async () => {
    const last = { tenantId: 'initech', elementKey: 'taxify' };
    respondTo({
      Scan: () => ({
        Items: [
          stored(),
          stored({ elementKey: '*' }),
          marshall({ tenantId: '*audit', elementKey: 'progress' }),
          stored({ elementKey: 'gone', status: 'removed' }),
          { ...stored({ elementKey: 'odd' }), name: { N: '7' } },
        ],
        LastEvaluatedKey: marshall(last),
      }),
    });
    const page = await store.page({ limit: 5, after: key });
    expect(page.last).toEqual(last);
    expect(page.rows).toMatchObject([
      { key, summary: { ...key, status: 'active' } },
      { key: { ...key, elementKey: 'odd' }, summary: undefined },
    ]);
    expect(page.rows).toHaveLength(2);
    expect(bodies()[0]).toMatchObject({ TableName: 'instances', Limit: 5, ExclusiveStartKey: Key });
    scripted.respond = () => ({});
    expect(await store.page({ limit: 5, after: undefined })).toEqual({ rows: [], last: undefined });
  });

  test('an attribute of a type that DynamoDB does not have fails a list, where an unreadable row does not', async () => {
    respondTo({ Query: () => ({ Items: [{ ...stored(), name: { Unheard: 'of' } }] }) });
    await expect(store.list('acme')).rejects.toThrow('Unsupported type');
  });

  test('an item without a key is no row of this table', async () => {
    respondTo({ Query: () => ({ Items: [marshall({ tenantId: 'acme' })] }) });
    await expect(store.list('acme')).rejects.toThrow('elementKey');
  });

  test('an unreadable row is named with its tenant, element and the attributes that are wrong', async () => {
    respondTo({
      GetItem: () => ({ Item: { ...stored(), attemptId: { N: '7' }, tags: { L: [{ N: '1' }] } } }),
    });
    const error: unknown = await store.get(key).catch((thrown: unknown) => thrown);
    expect(String(error)).toBe(
      'OnboardingError: The row of tenant acme and element taxify cannot be read: tags.0 expected text; attemptId expected text.',
    );
    expect(error).toMatchObject({ code: 'internal' });
  });
});

describe('writes', () => {
  const fence = {
    ConditionExpression: '#status = :status AND #provisionId = :provisionId AND #attemptId = :attemptId',
    ExpressionAttributeValues: marshall({
      ':status': 'active',
      ':provisionId': 'generation-1',
      ':attemptId': 'claim-1',
    }),
  };

  test('a write and a removal are conditioned on the claim, and a claim over a row on its lease as well', async () => {
    await store.write(otherClaim, row);
    await store.remove(row);
    await store.claim(otherClaim, row);
    await store.claim(row);
    expect(verbs()).toEqual(['PutItem', 'DeleteItem', 'PutItem', 'PutItem']);
    const [write, removal, over, first] = bodies();
    expect(write).toMatchObject({ TableName: 'instances', Item: stored({ claimId: 'claim-2' }), ...fence });
    expect(removal).toMatchObject({ TableName: 'instances', Key, ...fence });
    expect(over.ConditionExpression).toBe(
      `${fence.ConditionExpression} AND #leaseExpiresAt = :leaseExpiresAt`,
    );
    expect(over.ExpressionAttributeValues[':leaseExpiresAt']).toEqual({ N: '1000' });
    expect(first.ConditionExpression).toBe('attribute_not_exists(tenantId)');
    for (const body of bodies()) expect(body.ReturnValuesOnConditionCheckFailure).toBe('ALL_OLD');
  });

  test.each<[string, () => object, object]>([
    [
      'another claim',
      () => ({ Item: stored({ claimId: 'claim-3' }) }),
      { won: false, current: { ...row, claimId: 'claim-3' } },
    ],
    ['none', () => ({}), { won: false, current: undefined }],
    ['the row of this very write', () => ({ Item: stored() }), { won: true }],
  ])('a store that sends no row along with a refusal is read again: %s', async (_what, read, outcome) => {
    respondTo({ PutItem: refuseCondition, DeleteItem: refuseCondition, GetItem: read });
    expect(await store.write(row, row)).toEqual(outcome);
    expect(await store.remove(row)).toEqual(outcome);
    expect(verbs()).toEqual(['PutItem', 'GetItem', 'DeleteItem', 'GetItem']);
    expect(bodies()[1]).toMatchObject({ Key, ConsistentRead: true });
  });
});

/** An entry of the index. */
const entry = (tenantId: string, checkAt: string) => ({
  ...marshall({ tenantId, elementKey: 'taxify' }),
  checkAt: { N: checkAt },
});

/** The partition and time in the index of a row with these attributes. */
const place = async (over: Partial<InstanceRow>) => {
  await store.claim({ ...row, ...over });
  const { unsettled, checkAt } = bodies().at(-1).Item;
  return [unsettled?.S, checkAt?.N];
};

describe('the index', () => {
  test.each<[string, Partial<InstanceRow>, (string | undefined)[]]>([
    ['a settled row', {}, [undefined, undefined]],
    ['an active row with a time of its next check of health', { healthCheckAt: 9 }, ['health', '9']],
    ['another row with such a time', { healthCheckAt: 9, status: 'failed' }, [undefined, undefined]],
    ['a claimed row', { checkAt: 5, status: 'provisioning' }, ['first', '5']],
    ['a row that was looked at', { checkAt: 5, status: 'provisioning', lookedAt: 1 }, ['later', '5']],
    ['an active row that is due', { checkAt: 5, healthCheckAt: 9 }, ['later', '5']],
  ])('%s has its place in the index', async (_what, over, expected) => {
    expect(await place(over)).toEqual(expected);
  });

  test('due rows are queried in each partition, the longest due first', async () => {
    await store.due(7, 3);
    const { index } = tableShape;
    for (const body of bodies()) {
      expect(body).toMatchObject({
        TableName: 'instances',
        IndexName: index.name,
        Limit: 3,
        ScanIndexForward: true,
        KeyConditionExpression: 'unsettled = :unsettled AND checkAt <= :now',
      });
      expect(body.ExpressionAttributeValues[':now']).toEqual({ N: '7' });
    }
    const partitions = bodies().map((body) => body.ExpressionAttributeValues[':unsettled'].S);
    expect(new Set(partitions)).toEqual(new Set(['first', 'later', 'yes']));
  });

  test('due rows of two versions come in the order of their times, up to the limit', async () => {
    const items: Record<string, object[]> = {
      first: [entry('a', '1')],
      later: [entry('b', '2'), entry('c', '6')],
      yes: [entry('d', '1.50'), entry('e', '3')],
    };
    scripted.respond = (_verb, body) => ({
      Items: items[Object(body).ExpressionAttributeValues[':unsettled'].S],
    });
    const { first, later } = await store.due(7, 3);
    expect(first).toEqual([{ tenantId: 'a', elementKey: 'taxify', checkAt: 1, shown: '1' }]);
    expect(later.map(({ tenantId, checkAt, shown }) => [tenantId, checkAt, shown])).toEqual([
      ['d', 1.5, '1.50'],
      ['b', 2, '2'],
      ['e', 3, '3'],
    ]);
  });

  test.each([
    ['longest', true],
    ['latest', false],
  ] as const)('checks of health that are due for the %s time come first', async (first, isForward) => {
    expect(await store.dueChecks({ until: 7, limit: 3, first })).toEqual([]);
    expect(bodies()).toMatchObject([
      {
        IndexName: tableShape.index.name,
        Limit: 3,
        ScanIndexForward: isForward,
        ExpressionAttributeValues: { ':unsettled': { S: 'health' }, ':now': { N: '7' } },
      },
    ]);
  });

  test('a row is moved by its key and the time that the index has shown, exactly', async () => {
    respondTo({ UpdateItem: refuseCondition });
    await store.postpone(due, 9);
    expect(scripted.requests).toEqual([
      {
        verb: 'UpdateItem',
        body: {
          TableName: 'instances',
          Key,
          UpdateExpression: 'SET checkAt = :checkAt, unsettled = :unsettled',
          ConditionExpression: 'checkAt = :shown',
          ExpressionAttributeValues: {
            ':checkAt': { N: '9' },
            ':unsettled': { S: 'later' },
            ':shown': { N: '5.0' },
          },
        },
      },
    ]);
  });
});

test.each<[string, () => Promise<unknown>]>([
  ['PutItem for the taxify instance of tenant acme', () => store.claim(row)],
  ['PutItem for the taxify instance of tenant acme', () => store.write(row, row)],
  ['DeleteItem for the taxify instance of tenant acme', () => store.remove(row)],
  ['GetItem for the taxify instance of tenant acme', () => store.get(key)],
  ['GetItem for the taxify instance of tenant acme', () => store.getSummary(key)],
  ['UpdateItem for the taxify instance of tenant acme', () => store.postpone(due, 9)],
  ['Query for tenant acme', () => store.list('acme')],
  ['Query for unsettled instances', () => store.due(7, 3)],
  ['Query for unsettled instances', () => store.dueChecks({ until: 7, limit: 3, first: 'latest' })],
  ['Scan of a page of instances', () => store.page({ limit: 3, after: undefined })],
  ['Scan of all instances', everyRow],
])('a failed call is named: %s', async (what, call) => {
  scripted.respond = refuseAccess;
  await expect(call()).rejects.toMatchObject({
    code: 'aws-unavailable',
    message: `${what} failed; whether it took effect is not known.`,
  });
});
