import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { marshall } from '@aws-sdk/util-dynamodb';
import { expect, test } from 'vitest';
import { settingsOf, type Configuration } from '../../functions/core/instance.ts';
import { endAfterAsking, endBeforeAsking, readStates } from '../../infra/onboard/following.ts';
import { startDynamoDb } from '../../infra/local/dynamodb.ts';

const key = { tenantId: 'acme', elementKey: 'taxify' };
const settings = (configuration: Configuration) => settingsOf(key, { configuration });
const { fingerprint } = settings({ 'pagination.max': 5 });
const ask = { ...key, id: 'acme/taxify', detail: '{}', fingerprint };

const own = settings({ 'pagination.max': 5, 'api.key': 'own', 'base.url': 'https://elsewhere.example' });
const named = settingsOf(key, { name: 'Other', configuration: { 'pagination.max': 5 } });

test.each([
  ['from the tenant’s secret is as the row asks for', { source: 'secret', fingerprint }, 'active'],
  ['of an earlier version is as the row asks for', { fingerprint }, 'active'],
  ['of a caller’s own key is another one', { source: 'request', fingerprint: own.fingerprint }, 'failed'],
  ['with another name is another one', { source: 'secret', fingerprint: named.fingerprint }, 'failed'],
] as const)('an active instance %s', (_what, row, outcome) => {
  const state = { ...key, status: 'active' as const, ...row };
  expect(endBeforeAsking(ask, state)).toMatchObject({ outcome, asked: false });
  expect(endAfterAsking(ask, 'event-1', state)).toMatchObject({ outcome, asked: true });
});

test('a row that cannot be read ends as failed, by itself, and the others of its call are read', async () => {
  const tableName = 'instances';
  const server = await startDynamoDb({ tableName });
  const credentials = { accessKeyId: 'tests', secretAccessKey: 'tests' };
  const dynamoDb = new DynamoDBClient({ endpoint: server.url, region: 'us-east-1', credentials });
  try {
    const odd = { ...ask, tenantId: 'odd' };
    const strange = { ...ask, tenantId: 'strange' };
    const number = { N: '12345678901234567890.5' };
    const active = { status: 'active', source: 'secret', fingerprint };
    for (const Item of [
      marshall({ ...key, ...active }),
      marshall({ ...key, ...active, tenantId: 'odd', status: 'of a later version' }),
      // An attribute that is not looked at may be as it is.
      { ...marshall({ ...key, ...active, tenantId: 'strange' }), sendDeadline: number },
    ]) {
      await dynamoDb.send(new PutItemCommand({ TableName: tableName, Item }));
    }
    const states = await readStates({ dynamoDb, tableName }, [ask, odd, strange]);
    expect([...states.values()].map((state) => state?.status)).toEqual(['active', 'unreadable', 'active']);
    expect(endBeforeAsking(odd, states.get(odd))).toMatchObject({
      outcome: 'failed',
      code: 'row-unreadable',
    });
    expect(endAfterAsking(odd, 'e', states.get(odd))).toMatchObject({ outcome: 'failed', asked: true });
  } finally {
    dynamoDb.destroy();
    await server.stop();
  }
});
