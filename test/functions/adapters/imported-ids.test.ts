import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { marshall } from '@aws-sdk/util-dynamodb';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { createImportedIds } from '../../../functions/adapters/imported-ids.ts';
import { startDynamoDb } from '../../../infra/local/aws/dynamodb.ts';
import { createFaults } from '../../../infra/local/faults.ts';
import { refuseAccess, refuseCondition, startScriptedDynamoDb } from '../../support/scripted-dynamodb.ts';

const tableName = 'instances';
const faults = createFaults();
const dynamoDb = await startDynamoDb({ tableName, guard: faults.guard });
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
const importedIds = createImportedIds({ client, tableName });
const scriptedIds = createImportedIds({ client: scripted.client, tableName });

const acme = { tenantId: 'acme', elementKey: 'taxify', provisionId: 'generation-1' };
const globex = { tenantId: 'globex', elementKey: 'other', provisionId: 'generation-2' };
const initech = { ...globex, tenantId: 'initech', provisionId: 'generation-3' };

let instanceId = 1_000;
beforeEach(() => {
  instanceId += 1;
  scripted.requests.length = 0;
});
const hold = (...[holder, instead]: [typeof acme, typeof acme?]) =>
  importedIds.hold(instanceId, holder, instead);

describe('reservations of existing instances', () => {
  test('an instance is held by one generation until it gives it back', async () => {
    expect(await hold(acme)).toEqual({ held: true });
    expect(await hold(acme)).toEqual({ held: true });
    expect(await hold(globex)).toEqual({ held: false, by: acme });
    await importedIds.giveBack(instanceId, globex);
    expect(await hold(globex)).toEqual({ held: false, by: acme });
    await importedIds.giveBack(instanceId, acme);
    expect(await hold(globex)).toEqual({ held: true });
    await importedIds.giveBack(instanceId, globex);
    await importedIds.giveBack(instanceId, globex);
  });

  test('each instance has a reservation of its own', async () => {
    expect(await hold(acme)).toEqual({ held: true });
    expect(await importedIds.hold(instanceId + 1, globex)).toEqual({ held: true });
    instanceId += 1;
    expect(await hold(acme)).toEqual({ held: false, by: globex });
  });

  test('a holder that is gone is replaced, and no other', async () => {
    await hold(globex);
    expect(await hold(acme, initech)).toEqual({ held: false, by: globex });
    expect(await hold(acme, globex)).toEqual({ held: true });
    expect(await hold(acme, globex)).toEqual({ held: true });
    expect(await hold(globex)).toEqual({ held: false, by: acme });
  });

  test('a holder that has given the instance back is not replaced', async () => {
    expect(await hold(acme, globex)).toEqual({ held: false, by: undefined });
    expect(await hold(globex)).toEqual({ held: true });
  });
});

test('the rows that record an instance are found by its id', async () => {
  const rows = [
    { tenantId: 'acme', elementKey: 'taxify', instanceId },
    { tenantId: 'globex', elementKey: 'other', instanceId },
    { tenantId: 'initech', elementKey: 'taxify', instanceId: instanceId + 1 },
  ];
  for (const row of rows) {
    await client.send(
      new PutItemCommand({ TableName: tableName, Item: marshall({ ...row, status: 'any' }) }),
    );
  }
  const found = await importedIds.recordedBy(instanceId);
  expect(found.toSorted((a, b) => a.tenantId.localeCompare(b.tenantId))).toEqual([
    { tenantId: 'acme', elementKey: 'taxify' },
    { tenantId: 'globex', elementKey: 'other' },
  ]);
  expect(await importedIds.recordedBy(instanceId + 2)).toEqual([]);
});

const item = (attributes: object) => ({
  Item: marshall({ tenantId: 'any', elementKey: 'any', ...attributes }),
});

describe('a store that sends no item along with a refusal', () => {
  test.each([
    [
      'as it is',
      { holderTenantId: 'globex', holderElementKey: 'other', provisionId: 'generation-2' },
      globex,
    ],
    ['as unknown, if it is in another form', { holderTenantId: 'globex' }, undefined],
  ])('the holder is read with a consistent read: %s', async (_how, attributes, by) => {
    scripted.respond = (verb) => (verb === 'GetItem' ? item(attributes) : refuseCondition());
    expect(await scriptedIds.hold(7, acme)).toEqual({ held: false, by });
    expect(scripted.requests.map(({ verb }) => verb)).toEqual(['PutItem', 'GetItem']);
    expect(scripted.requests[1]?.body).toMatchObject({ TableName: tableName, ConsistentRead: true });
    const [{ body: put } = { body: {} }, { body: read } = { body: {} }] = scripted.requests;
    expect(Object(put).Item).toMatchObject(Object(read).Key);
  });

  test('a holder that is gone in the meantime is unknown', async () => {
    scripted.respond = (verb) => (verb === 'GetItem' ? {} : refuseCondition());
    expect(await scriptedIds.hold(7, acme)).toEqual({ held: false, by: undefined });
  });
});

test('a store that sends the item along is not read again', async () => {
  await hold(acme);
  const before = faults.requests.length;
  expect(await hold(globex)).toEqual({ held: false, by: acme });
  expect(faults.requests.slice(before)).toEqual(['DynamoDB_20120810.PutItem']);
  scripted.respond = () => ({});
  await scriptedIds.hold(7, acme);
  expect(scripted.requests[0]?.body).toMatchObject({ ReturnValuesOnConditionCheckFailure: 'ALL_OLD' });
});

const failed = (what: string) => ({
  code: 'aws-unavailable',
  message: `${what} instance 7 failed; whether it took effect is not known.`,
});

test('a failed call names its instance', async () => {
  scripted.respond = refuseAccess;
  await expect(scriptedIds.hold(7, acme)).rejects.toMatchObject(failed('PutItem for'));
  await expect(scriptedIds.giveBack(7, acme)).rejects.toMatchObject(failed('DeleteItem for'));
  await expect(scriptedIds.recordedBy(7)).rejects.toMatchObject(failed('Query for the rows of'));
  scripted.respond = (verb) => (verb === 'GetItem' ? refuseAccess() : refuseCondition());
  await expect(scriptedIds.hold(7, acme)).rejects.toMatchObject(failed('GetItem for'));
});

test('a response without items records nothing', async () => {
  scripted.respond = () => ({});
  expect(await scriptedIds.recordedBy(7)).toEqual([]);
});
