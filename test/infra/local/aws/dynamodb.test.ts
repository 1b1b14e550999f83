import {
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startDynamoDb } from '../../../../infra/local/aws/dynamodb.ts';
import { createFaults } from '../../../../infra/local/faults.ts';

const TableName = 'instances';
const faults = createFaults();

let dynamoDb: Awaited<ReturnType<typeof startDynamoDb>>;
let client: DynamoDBClient;
beforeAll(async () => {
  dynamoDb = await startDynamoDb({ tableName: TableName, guard: faults.guard });
  client = new DynamoDBClient({
    endpoint: dynamoDb.url,
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  });
});
afterAll(() => dynamoDb.stop());

function item(tenantId: string, elementKey: string) {
  return { tenantId: { S: tenantId }, elementKey: { S: elementKey } };
}

test('the embedded DynamoDB keeps items by tenant and element, and lists those of a tenant', async () => {
  await client.send(new PutItemCommand({ TableName, Item: item('t-1', 'taxify') }));
  await client.send(new PutItemCommand({ TableName, Item: item('t-1', 'shopify') }));
  await client.send(new PutItemCommand({ TableName, Item: item('t-2', 'taxify') }));
  const { Items } = await client.send(
    new QueryCommand({
      TableName,
      KeyConditionExpression: 'tenantId = :tenantId',
      ExpressionAttributeValues: { ':tenantId': { S: 't-1' } },
    }),
  );
  expect(Items?.map(({ elementKey }) => elementKey?.S)).toEqual(['shopify', 'taxify']);
});

test('the embedded DynamoDB lets one of many conditional writes win', async () => {
  const put = new PutItemCommand({
    TableName,
    Item: item('t-race', 'taxify'),
    ConditionExpression: 'attribute_not_exists(tenantId)',
  });
  const results = await Promise.allSettled(Array.from({ length: 10 }, () => client.send(put)));
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
});

test('the embedded DynamoDB returns no outdated item with a refused write', async () => {
  const key = item('t-refused', 'taxify');
  const put = (more: object) =>
    client.send(
      new PutItemCommand({
        TableName,
        Item: { ...key, ...more },
        ConditionExpression: 'attribute_not_exists(tenantId)',
        ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
      }),
    );
  await put({ status: { S: 'first' } });
  await expect(put({})).rejects.toMatchObject({ Item: { status: { S: 'first' } } });
  const remove = { TableName, Key: key, UpdateExpression: 'REMOVE #s' };
  await client.send(new UpdateItemCommand({ ...remove, ExpressionAttributeNames: { '#s': 'status' } }));
  // The stub does not follow such an update, so it does not know the item any more.
  await expect(put({})).rejects.toMatchObject({ name: 'ConditionalCheckFailedException', Item: undefined });
});

test('the embedded DynamoDB has carried out a write whose response is lost', async () => {
  faults.requests.length = 0;
  faults.fail({ target: 'DynamoDB_20120810.PutItem', loseResponse: true });
  await client.send(new PutItemCommand({ TableName, Item: item('t-lost', 'taxify') }), {});
  // The SDK retried it, as it does with every service.
  expect(faults.requests).toEqual(['DynamoDB_20120810.PutItem', 'DynamoDB_20120810.PutItem']);
  const { Item } = await client.send(new GetItemCommand({ TableName, Key: item('t-lost', 'taxify') }));
  expect(Item).toEqual(item('t-lost', 'taxify'));
});

test('the embedded DynamoDB survives a client that aborts its request', async () => {
  const { port } = new URL(dynamoDb.url);
  const socket = connect(Number(port), '127.0.0.1', () => {
    socket.write('POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: DynamoDB_20120810.GetItem\r\n');
    socket.write('content-length: 1000\r\n\r\n{');
    setTimeout(() => socket.resetAndDestroy(), 20);
  });
  await new Promise((resolve) => socket.once('close', resolve));
  const { Item } = await client.send(new GetItemCommand({ TableName, Key: item('t-none', 'taxify') }));
  expect(Item).toBeUndefined();
});
