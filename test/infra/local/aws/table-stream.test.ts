import {
  BatchWriteItemCommand,
  DeleteItemCommand,
  DynamoDBClient,
  PutItemCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import type { DynamoDBRecord } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startDynamoDb } from '../../../../infra/local/aws/dynamodb.ts';
import { createFaults } from '../../../../infra/local/faults.ts';
import { createTableStream, type TableStream } from '../../../../infra/local/aws/table-stream.ts';

const keyOf = (tenantId: string) => ({ tenantId: { S: tenantId }, elementKey: { S: 'taxify' } });

describe('the changes of the embedded DynamoDB', () => {
  const TableName = 'instances';
  const faults = createFaults();
  const records: DynamoDBRecord[] = [];
  let dynamoDb: Awaited<ReturnType<typeof startDynamoDb>>;
  let client: DynamoDBClient;
  beforeAll(async () => {
    dynamoDb = await startDynamoDb({
      tableName: TableName,
      guard: faults.guard,
      onChange: (record) => records.push(record),
    });
    const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
    client = new DynamoDBClient({ endpoint: dynamoDb.url, region: 'us-east-1', credentials });
  });
  afterAll(async () => {
    client.destroy();
    await dynamoDb.stop();
  });
  beforeEach(() => {
    records.length = 0;
  });

  const put = (tenantId: string, status: string, condition = {}) =>
    client.send(
      new PutItemCommand({ TableName, Item: { ...keyOf(tenantId), status: { S: status } }, ...condition }),
    );

  test('a change has the item before and after each write', async () => {
    await put('t-1', 'provisioning');
    await put('t-1', 'active');
    await client.send(new DeleteItemCommand({ TableName, Key: keyOf('t-1') }));
    const [provisioning, active] = ['provisioning', 'active'].map((S) => ({
      ...keyOf('t-1'),
      status: { S },
    }));
    expect(records.map(({ eventName, dynamodb }) => ({ eventName, ...dynamodb }))).toMatchObject([
      { eventName: 'INSERT', Keys: keyOf('t-1'), NewImage: provisioning },
      { eventName: 'MODIFY', Keys: keyOf('t-1'), OldImage: provisioning, NewImage: active },
      { eventName: 'REMOVE', Keys: keyOf('t-1'), OldImage: active },
    ]);
    expect(records[0]?.dynamodb).not.toHaveProperty('OldImage');
    expect(records[2]?.dynamodb).not.toHaveProperty('NewImage');
    const numbers = records.map(({ dynamodb }) => dynamodb?.SequenceNumber ?? '');
    expect(numbers).toEqual(numbers.toSorted());
    expect(new Set(numbers).size).toBe(3);
  });

  test('a change has the item before and after an update that sets attributes', async () => {
    await put('t-updated', 'active');
    await client.send(
      new UpdateItemCommand({
        TableName,
        Key: keyOf('t-updated'),
        UpdateExpression: 'SET checkAt = :checkAt, unsettled = :unsettled',
        ExpressionAttributeValues: { ':checkAt': { N: '1' }, ':unsettled': { S: 'later' } },
      }),
    );
    const before = { ...keyOf('t-updated'), status: { S: 'active' } };
    expect(records.at(-1)?.dynamodb).toMatchObject({
      OldImage: before,
      NewImage: { ...before, checkAt: { N: '1' }, unsettled: { S: 'later' } },
    });
  });

  test('a batch gives one change for each of its writes', async () => {
    await put('t-old', 'active');
    await client.send(
      new BatchWriteItemCommand({
        RequestItems: {
          [TableName]: [
            { PutRequest: { Item: { ...keyOf('t-new'), status: { S: 'active' } } } },
            { DeleteRequest: { Key: keyOf('t-old') } },
          ],
        },
      }),
    );
    expect(records.slice(1)).toMatchObject([
      { eventName: 'INSERT', dynamodb: { Keys: keyOf('t-new'), NewImage: { status: { S: 'active' } } } },
      { eventName: 'REMOVE', dynamodb: { Keys: keyOf('t-old'), OldImage: { status: { S: 'active' } } } },
    ]);
    await put('t-new', 'failed');
    expect(records.at(-1)?.dynamodb?.OldImage).toMatchObject({ status: { S: 'active' } });
  });

  test('a write that is refused, changes nothing or removes nothing gives no change', async () => {
    await put('t-2', 'active');
    records.length = 0;
    const ConditionExpression = 'attribute_not_exists(tenantId)';
    await expect(put('t-2', 'failed', { ConditionExpression })).rejects.toMatchObject({
      name: 'ConditionalCheckFailedException',
    });
    await put('t-2', 'active');
    await client.send(new DeleteItemCommand({ TableName, Key: keyOf('t-none') }));
    expect(records).toEqual([]);
  });

  test('a write whose response is lost gives one change', async () => {
    faults.fail({ target: 'DynamoDB_20120810.PutItem', loseResponse: true });
    await put('t-3', 'active');
    expect(faults.requests.slice(-2)).toEqual(['DynamoDB_20120810.PutItem', 'DynamoDB_20120810.PutItem']);
    expect(records).toMatchObject([{ eventName: 'INSERT' }]);
  });

  test('changes of one item have the order of its concurrent writes', async () => {
    await Promise.all(Array.from({ length: 20 }, (_, index) => put('t-4', `status-${index}`)));
    expect(records).toHaveLength(20);
    for (const [index, { dynamodb }] of records.entries()) {
      expect(dynamodb?.OldImage).toEqual(records[index - 1]?.dynamodb?.NewImage);
    }
  });
});

function recordOf(name: string, status = 'active'): DynamoDBRecord {
  return { dynamodb: { SequenceNumber: name, NewImage: { status: { S: status } } } };
}

/** Records that are pushed during the first delivery share batches. */
function push(stream: TableStream, ...names: string[]): Promise<void> {
  for (const name of names) stream.push(recordOf(name));
  return stream.idle();
}

const failing = (name: string) => ({ batchItemFailures: [{ itemIdentifier: name }] });

describe('a stream', () => {
  const started: TableStream[] = [];
  afterEach(() => {
    for (const stream of started.splice(0)) stream.stop();
  });

  /** A stream before a function that answers `answer(names, attempt)`; `batches` holds its inputs. */
  function startStream(
    response: (names: string[], attempt: number) => unknown,
    options: { batchSize?: number; retries?: number } = {},
  ) {
    const batches: string[][] = [];
    const stream = createTableStream({
      after: { status: ['active', 'failed'] },
      batchSize: 10,
      retries: 2,
      retryDelayMs: 5,
      ...options,
      deliver: async ({ Records }) => {
        const names = Records.map(({ dynamodb }) => dynamodb?.SequenceNumber ?? '');
        batches.push(names);
        return await response(names, batches.length);
      },
    });
    started.push(stream);
    return { stream, batches };
  }

  test('a stream delivers in order, in batches, one at a time', async () => {
    let inFlight = 0;
    const { stream, batches } = startStream(
      async () => {
        inFlight += 1;
        expect(inFlight).toBe(1);
        await new Promise((resolve) => setTimeout(resolve, 5));
        inFlight -= 1;
      },
      { batchSize: 2 },
    );
    await push(stream, '1', '2', '3', '4');
    expect(batches).toEqual([['1'], ['2', '3'], ['4']]);
    expect(stream.givenUp).toEqual([]);
  });

  test('a stream delivers only records that match its filter, and no removals', async () => {
    const { stream, batches } = startStream(() => undefined);
    stream.push(recordOf('1', 'provisioning'));
    stream.push({ dynamodb: { SequenceNumber: '2', OldImage: { status: { S: 'active' } } } });
    await push(stream, '3');
    expect(batches).toEqual([['3']]);
  });

  test('a stream delivers again from the first record that failed', async () => {
    const { stream, batches } = startStream((_names, attempt) =>
      attempt === 2
        ? { batchItemFailures: [...failing('4').batchItemFailures, ...failing('3').batchItemFailures] }
        : undefined,
    );
    await push(stream, '1', '2', '3', '4');
    expect(batches).toEqual([['1'], ['2', '3', '4'], ['3', '4']]);
  });

  test('a stream halves a batch that throws, until the failing record is alone and is given up', async () => {
    const { stream, batches } = startStream((names) =>
      names.includes('3') ? Promise.reject(new Error('thrown')) : undefined,
    );
    await push(stream, '1', '2', '3', '4', '5');
    expect(batches).toEqual([
      ['1'],
      ['2', '3', '4', '5'],
      ['2', '3'],
      ['2'],
      ['3'],
      ['3'],
      ['3'],
      ['4', '5'],
    ]);
    expect(stream.givenUp).toEqual([{ startSequenceNumber: '3', endSequenceNumber: '3', batchSize: 1 }]);
  });

  test.each([
    ['is named at its head', () => failing('2')],
    ['is not in it', () => failing('9')],
    ['has another shape', () => ({ batchItemFailures: 'all' })],
  ])(
    'a stream gives up a whole batch, good records included, when the failure %s',
    async (_what, response) => {
      const { stream, batches } = startStream((names) => (names.includes('2') ? response() : undefined));
      await push(stream, '1', '2', '3');
      expect(batches).toEqual([['1'], ['2', '3'], ['2', '3'], ['2', '3']]);
      expect(stream.givenUp).toEqual([{ startSequenceNumber: '2', endSequenceNumber: '3', batchSize: 2 }]);
    },
  );

  test('a stream delivers nothing after a stop, and waiting ends', async () => {
    const { stream, batches } = startStream(() => Promise.reject(new Error('always')), { retries: 1_000 });
    const idle = push(stream, '1');
    await new Promise((resolve) => setTimeout(resolve, 20));
    stream.stop();
    await idle;
    const delivered = batches.length;
    await push(stream, '2');
    expect(batches).toHaveLength(delivered);
  });
});
