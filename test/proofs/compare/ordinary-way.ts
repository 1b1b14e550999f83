import { IdempotencyConfig, makeIdempotent } from '@aws-lambda-powertools/idempotency';
import { DynamoDBPersistenceLayer } from '@aws-lambda-powertools/idempotency/dynamodb';
import {
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  ScanCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import { randomUUID } from 'node:crypto';
import type { Context } from 'aws-lambda';
import * as z from 'zod/mini';
import { createTable } from '../../support/table.ts';
import { clientOptions } from '../../../functions/adapters/aws.ts';
import { queueRetentionMs } from '../../../functions/model/timing.ts';
import { createTimeoutMs, elementKey, invocationMs, type Contender, type Site } from './site.ts';

const recordsTableName = 'idempotency';

/** Time reserved for saving the token after a slow create. */
const saveReserveMs = 4_000;

const createdSchema = z.object({ id: z.int(), token: z.string() });

/**
 * The ordinary way to write this function: a handler that calls Cloud Elements and stores the token, made idempotent by
 * Powertools' utility as its documentation says, with a careful team's additions: a key of tenant and element alone, the
 * Lambda context registered, so that a function that dies does not block the tenant, records that outlive every
 * delivery by the queue, time limits on every call, no swallowed errors, so that the queue delivers again, and no token
 * in the record.
 *
 * It does not look for a stored token before it calls, because handling repeats is the utility's task. Such a check
 * would fix the repeat after the record has expired and no other scenario.
 */
function createOrdinaryHandler({
  client,
  tableName,
  cloudElementsUrl,
  secrets: { userSecret, organizationSecret },
}: Pick<Site, 'tableName' | 'cloudElementsUrl' | 'secrets'> & { client: DynamoDBClient }) {
  return makeIdempotent(
    async (message: { tenantId: string; elementKey: string }, context: Context) => {
      const leftMs = context.getRemainingTimeInMillis() - saveReserveMs;
      const response = await fetch(`${cloudElementsUrl}/elements/api-v2/instances`, {
        method: 'POST',
        headers: {
          authorization: `User ${userSecret}, Organization ${organizationSecret}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify({
          element: { key: message.elementKey },
          name: `${message.elementKey}-${message.tenantId}`,
          tags: [`tenant:${message.tenantId}`],
          configuration: { 'api.key': 'any' },
        }),
        signal: AbortSignal.timeout(Math.max(1, Math.min(createTimeoutMs, leftMs))),
      });
      if (!response.ok) throw new Error(`Cloud Elements answered ${response.status}.`);
      const { id, token } = createdSchema.parse(await response.json());
      await client.send(
        new PutItemCommand({
          TableName: tableName,
          Item: {
            tenantId: { S: message.tenantId },
            elementKey: { S: message.elementKey },
            instanceId: { N: String(id) },
            token: { S: token },
          },
        }),
      );
      return { instanceId: id };
    },
    {
      persistenceStore: new DynamoDBPersistenceLayer({
        tableName: recordsTableName,
        awsSdkV3Client: client,
      }),
      config: new IdempotencyConfig({
        eventKeyJmesPath: '[tenantId, elementKey]',
        throwOnNoIdempotencyKey: true,
        expiresAfterSeconds: queueRetentionMs / 1_000,
      }),
      keyPrefix: 'onboard-tenant',
    },
  );
}

/**
 * The embedded DynamoDB is no disadvantage: unlike DynamoDB it does not return the old item with a refused write, but
 * the utility then reads the item, consistently.
 */
export const ordinaryWay: Contender = {
  async prepare(site) {
    const client = new DynamoDBClient({ ...clientOptions, ...site.dynamoDbSettings });
    await createTable(client, recordsTableName, ['id']);
    client.destroy();
  },

  open(site) {
    const client = new DynamoDBClient({ ...clientOptions, ...site.dynamoDbSettings });
    const handler = createOrdinaryHandler({ ...site, client });
    return {
      onboard: (tenantId) => handler({ tenantId, elementKey }, newContext()),
      async storedToken(tenantId) {
        const key = { tenantId: { S: tenantId }, elementKey: { S: elementKey } };
        const { Item } = await client.send(new GetItemCommand({ TableName: site.tableName, Key: key }));
        return Item?.['token']?.S;
      },
      [Symbol.dispose]: () => client.destroy(),
    };
  },

  /** The utility reads the system clock, so its records are moved into the past instead, with the same effect. */
  async passTime(site, ms) {
    const client = new DynamoDBClient({ ...clientOptions, ...site.dynamoDbSettings });
    const { Items = [] } = await client.send(new ScanCommand({ TableName: recordsTableName }));
    for (const { id = { S: '' } } of Items) {
      await client.send(
        new UpdateItemCommand({
          TableName: recordsTableName,
          Key: { id },
          UpdateExpression: 'ADD expiration :seconds, in_progress_expiration :ms',
          ExpressionAttributeValues: {
            ':seconds': { N: String(-Math.ceil(ms / 1_000)) },
            ':ms': { N: String(-ms) },
          },
        }),
      );
    }
    client.destroy();
  },
};

function newContext(): Context {
  const deadlineAt = Date.now() + invocationMs;
  const functionName = 'onboard-tenant';
  return {
    awsRequestId: randomUUID(),
    functionName,
    functionVersion: '$LATEST',
    invokedFunctionArn: `arn:aws:lambda:us-east-1:000000000000:function:${functionName}`,
    memoryLimitInMB: '512',
    logGroupName: `/aws/lambda/${functionName}`,
    logStreamName: 'local',
    callbackWaitsForEmptyEventLoop: true,
    getRemainingTimeInMillis: () => deadlineAt - Date.now(),
    done: () => {},
    fail: () => {},
    succeed: () => {},
  };
}
