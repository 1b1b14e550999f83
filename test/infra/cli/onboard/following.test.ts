import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { marshall } from '@aws-sdk/util-dynamodb';
import { expect, test } from 'vitest';
import { builtInCatalog } from '../../../../functions/model/built-in-catalog.ts';
import { judged, settingsOf, type Configuration } from '../../../../functions/model/instance.ts';
import { endOf, endWithoutSending, readStates } from '../../../../infra/cli/onboard/following.ts';
import { startDynamoDb } from '../../../../infra/local/aws/dynamodb.ts';
import { toStored } from '../../../../functions/model/table.ts';

const key = { tenantId: 'acme', elementKey: 'taxify' };
const settings = (configuration: Configuration) => judged(builtInCatalog, settingsOf(key, { configuration }));
const { fingerprint } = settings({ 'pagination.max': 5 });
const request = { ...key, detail: '{}', fingerprint };

const sent = { request, eventId: 'event-1', failedBefore: undefined };

const own = settings({ 'pagination.max': 5, 'api.key': 'own', 'base.url': 'https://elsewhere.example' });
const named = judged(
  builtInCatalog,
  settingsOf(key, { name: 'Other', configuration: { 'pagination.max': 5 } }),
);

test.each([
  ['from the tenant’s secret fulfills the row', { source: 'secret', fingerprint }, 'active'],
  ['of an earlier version fulfills the row', { fingerprint }, 'active'],
  [
    'with a caller’s own key conflicts with the row',
    { source: 'request', fingerprint: own.fingerprint },
    'failed',
  ],
  [
    'with another name conflicts with the row',
    { source: 'secret', fingerprint: named.fingerprint },
    'failed',
  ],
] as const)('an active instance %s', (_what, row, outcome) => {
  const state = { ...key, status: 'active' as const, ...row };
  expect(endWithoutSending(request, state)).toMatchObject({ outcome, isSent: false });
  expect(endOf(sent, state)).toMatchObject({ outcome, isSent: true });
});

const lastError = { code: 'missing-configuration', detail: 'api.key is missing', at: 7 };
const failed = { ...key, status: 'failed', source: 'secret', fingerprint, lastError } as const;
const requestedBy = { dialect: 'native', eventId: 'event-1', sentAt: 1 } as const;

test.each([
  ['of the row’s event is the row’s outcome', { requestedBy }, 7],
  ['of another event with the same request is the row’s outcome, if it is new', {}, 3],
])('a failure %s', (_what, row, failedBefore) => {
  const end = { outcome: 'failed', isSent: true, code: 'missing-configuration', why: 'api.key is missing' };
  expect(endOf({ ...sent, failedBefore }, { ...failed, ...row })).toEqual(end);
});

test.each([
  ['from before the event', failed],
  ['of another request', { ...failed, lastError: { ...lastError, at: 9 }, fingerprint: named.fingerprint }],
  [
    'that the queue delivers again',
    { ...failed, requestedBy, lastError: { ...lastError, code: 'aws-unavailable' } },
  ],
])('a failure %s is no outcome', (_what, row) => {
  expect(endOf({ ...sent, failedBefore: 7 }, row)).toBeUndefined();
});

test('an event that was refused because of the settings of an active instance has failed', () => {
  const notices = [
    { outcome: 'refused', eventId: 'event-1', code: 'settings-conflict', detail: 'other', at: 1 } as const,
  ];
  const state = { ...key, status: 'active', source: 'secret', fingerprint, notices } as const;
  expect(endOf(sent, state)).toMatchObject({ outcome: 'failed', code: 'settings-conflict', why: 'other' });
  expect(endOf({ ...sent, eventId: 'event-2' }, state)).toMatchObject({ outcome: 'active' });
});

test('an unreadable row ends as failed, alone, and the others of its call are read', async () => {
  const tableName = 'instances';
  const server = await startDynamoDb({ tableName });
  const credentials = { accessKeyId: 'tests', secretAccessKey: 'tests' };
  const dynamoDb = new DynamoDBClient({ endpoint: server.url, region: 'us-east-1', credentials });
  try {
    const odd = { ...request, tenantId: 'odd' };
    const strange = { ...request, tenantId: 'strange' };
    const number = { N: '12345678901234567890.5' };
    const active = { status: 'active', source: 'secret', fingerprint };
    for (const Item of [
      marshall(toStored({ ...key, ...active })),
      marshall({ ...key, ...active, tenantId: 'odd', status: 'of a later version' }),
      // An attribute that is not read may have any value.
      { ...marshall({ ...key, ...active, tenantId: 'strange' }), sendDeadline: number },
    ]) {
      await dynamoDb.send(new PutItemCommand({ TableName: tableName, Item }));
    }
    const states = await readStates({ dynamoDb, tableName }, [request, odd, strange]);
    expect([...states.values()].map((state) => state?.status)).toEqual(['active', 'unreadable', 'active']);
    expect(endWithoutSending(odd, states.get(odd))).toMatchObject({
      outcome: 'failed',
      code: 'row-unreadable',
    });
    expect(endOf({ ...sent, request: odd }, states.get(odd))).toMatchObject({
      outcome: 'failed',
      isSent: true,
    });
  } finally {
    dynamoDb.destroy();
    await server.stop();
  }
});
