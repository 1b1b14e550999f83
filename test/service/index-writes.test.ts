import { PutItemCommand, type AttributeValue } from '@aws-sdk/client-dynamodb';
import type { DynamoDBRecord } from 'aws-lambda';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { countEach } from '../proofs/bench/statistics.ts';
import { indexWritesOf } from '../support/index-writes.ts';
import { startService, tenantOnboarded, type Service } from '../support/running-service.ts';

/**
 * Each partition of the index takes 1,000 writes per second (DynamoDB's quota of a partition): how many does a request
 * cause? `infra/README.md` counts with these numbers.
 */

const records: DynamoDBRecord[] = [];
let service: Service;
beforeAll(async () => {
  service = await startService({
    watcher: {
      onWrite: (record) => records.push(record),
      onEvent: () => {},
      onApiRequest: () => () => {},
      onCloudElementsRequest: () => () => {},
    },
  });
});
afterAll(() => service[Symbol.asyncDispose]());

/** Changes the row, in a way that the local stack records. */
async function put(changes: Record<string, AttributeValue>): Promise<void> {
  const item = (await service.items()).find(({ tenantId }) => tenantId?.S === 'by-request');
  await service.dynamoDb.send(
    new PutItemCommand({ TableName: service.tableName, Item: { ...item, ...changes } }),
  );
}

/** Writes to the index, by its partition, since the last call. */
const writesSince = () => countEach(records.splice(0).flatMap((record) => indexWritesOf(record)));

test('an onboarding writes two entries of first looks, and one of checks of health', async () => {
  await service.putTenantSecret('by-event', { 'api.key': 'any-key' });
  await service.deliverEvents(tenantOnboarded('by-event'));
  expect(writesSince()).toEqual({ first: 2, health: 1 });

  await service.post('by-request', {
    element: { key: 'taxify' },
    configuration: { 'api.key': 'any-key' },
  });
  expect(writesSince()).toEqual({ first: 2, health: 1 });
});

test('a check of health moves one entry, which is two writes', async () => {
  await service.invoke('check-instances', {});
  const { health = 0, ...others } = writesSince();
  expect(others).toEqual({});
  expect(health).toBe(2 * service.simulator.instances.length);
});

test('a removal writes two entries of first looks, and takes one of checks of health out', async () => {
  const removal = { method: 'DELETE', path: '/tenants/by-event/instances/taxify' };
  expect((await service.request(removal)).status).toBe(204);
  expect(writesSince()).toEqual({ health: 1, first: 2 });
});

test('a claim that the reconciler settles writes one entry of first looks and three of later ones, its recheck three more', async () => {
  // As an invocation leaves it that ends after its create.
  await put({ status: { S: 'provisioning' }, unsettled: { S: 'first' }, checkAt: { N: '1' } });
  writesSince();
  await service.invoke('reconcile-instances', {});
  expect(writesSince()).toEqual({ first: 1, later: 3 });

  await put({ checkAt: { N: '1' } });
  writesSince();
  await service.invoke('reconcile-instances', {});
  expect(writesSince()).toEqual({ later: 3, health: 1 });
});
