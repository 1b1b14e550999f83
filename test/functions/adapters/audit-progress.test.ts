import { DeleteItemCommand, DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { createAuditProgress } from '../../../functions/adapters/audit-progress.ts';
import { auditPartition } from '../../../functions/model/instance.ts';
import { readLastAudit } from '../../../infra/cli/status/rows.ts';
import { startDynamoDb } from '../../../infra/local/aws/dynamodb.ts';
import { refuseAccess, startScriptedDynamoDb } from '../../support/scripted-dynamodb.ts';

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
const scripted = await startScriptedDynamoDb();
const progress = createAuditProgress({ client, tableName });
const scriptedProgress = createAuditProgress({ client: scripted.client, tableName });

const key = { tenantId: { S: auditPartition }, elementKey: { S: 'progress' } };
beforeEach(() => client.send(new DeleteItemCommand({ TableName: tableName, Key: key })));

const after = (tenantId: string) => ({ tenantId, elementKey: 'taxify' });

test('an audit’s progress is written only over the version that was read', async () => {
  expect(await progress.get()).toBeUndefined();
  await progress.put(after('first'), undefined);
  await progress.put(after('second'), undefined);
  const read = await progress.get();
  expect(read).toEqual({ version: 1, after: after('first') });
  await progress.put(after('second'), read);
  await progress.put(after('third'), read);
  expect(await progress.get()).toEqual({ version: 2, after: after('second') });
});

/** Writes the progress as another version, or a manual edit, might. */
const put = (attributes: PutItemCommand['input']['Item']) =>
  client.send(new PutItemCommand({ TableName: tableName, Item: { ...key, ...attributes } }));

test('progress in another form counts as none', async () => {
  const at = { M: { tenantId: { S: 'acme' }, elementKey: { S: 'taxify' } } };
  for (const attributes of [
    { version: { N: '1' } },
    { version: { N: '1' }, after: { M: { tenantId: { S: 'acme' } } } },
    { version: { N: '12345678901234567890.5' }, after: at },
    { after: at },
  ]) {
    await put(attributes);
    expect(await progress.get()).toBeUndefined();
  }
  await put({ version: { N: '1' }, after: at });
  expect(await progress.get()).toEqual({ version: 1, after: after('acme') });
});

const audit = (startedAt: number) => ({
  startedAt,
  endedAt: 100,
  result: { lost: startedAt, complete: true },
});

test('the result of an audit is kept unless an audit that started later has ended', async () => {
  for (const startedAt of [2, 1, 3, 3]) await progress.finish(audit(startedAt));
  expect(await readLastAudit(client, tableName)).toEqual(audit(3));
  await progress.finish(audit(2));
  expect(await readLastAudit(client, tableName)).toEqual(audit(3));
  await progress.finish(audit(4));
  expect(await readLastAudit(client, tableName)).toEqual(audit(4));
});

test('an audit’s progress is read consistently', async () => {
  await scriptedProgress.get();
  expect(scripted.requests).toEqual([
    { verb: 'GetItem', body: { TableName: tableName, Key: key, ConsistentRead: true } },
  ]);
});

const failed = (verb: string) => ({
  code: 'aws-unavailable',
  message: `${verb} for the audit's progress failed; whether it took effect is not known.`,
});

test('a failed call says that it is about the audit’s progress', async () => {
  scripted.respond = refuseAccess;
  await expect(scriptedProgress.get()).rejects.toMatchObject(failed('GetItem'));
  await expect(scriptedProgress.put(after('acme'), undefined)).rejects.toMatchObject(failed('PutItem'));
  await expect(scriptedProgress.finish(audit(1))).rejects.toMatchObject(failed('PutItem'));
});
