import {
  ConditionalCheckFailedException,
  DeleteItemCommand,
  GetItemCommand,
  PutItemCommand,
  type PutItemCommandInput,
  QueryCommand,
  ScanCommand,
  type ScanCommandOutput,
  type QueryCommandOutput,
  type AttributeValue,
  type DynamoDBClient,
} from '@aws-sdk/client-dynamodb';
import { marshall, unmarshall } from '@aws-sdk/util-dynamodb';
import * as z from 'zod/mini';
import type { DueInstance, Expected, InstanceStore, Write } from '../core/collaborators.ts';
import {
  instanceRowSchema,
  wholeTenant,
  instanceSummarySchema,
  type InstanceKey,
  type InstanceRow,
  type InstanceSummary,
} from '../core/instance.ts';
import { OnboardingError } from '../core/errors.ts';
import { problemsOf, sentenceOf } from '../core/problems.ts';
import { callAws } from './aws.ts';

/** Rows in DynamoDB; every write is conditional. Table key: `tenantId` (S), `elementKey` (S). */
export function createInstanceStore({
  client,
  tableName,
}: {
  client: DynamoDBClient;
  tableName: string;
}): InstanceStore {
  return { insert, replace, remove, get, getSummary, list, due, all };

  function insert(row: InstanceRow): Promise<Write> {
    return put(row, { ConditionExpression: 'attribute_not_exists(tenantId)' });
  }

  function replace(row: InstanceRow, expected: Expected): Promise<Write> {
    return put(row, conditionOf(expected));
  }

  function put(row: InstanceRow, condition: Partial<PutItemCommandInput>): Promise<Write> {
    return conditionally(`PutItem for ${nameOf(row)}`, row, () =>
      client.send(
        new PutItemCommand({
          TableName: tableName,
          Item: marshall({ ...row, ...inIndex(row) }, { removeUndefinedValues: true }),
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
          ...condition,
        }),
      ),
    );
  }

  function remove(key: InstanceKey, expected: Expected): Promise<Write> {
    return conditionally(`DeleteItem for ${nameOf(key)}`, key, () =>
      client.send(
        new DeleteItemCommand({
          TableName: tableName,
          Key: keyOf(key),
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
          ...conditionOf(expected),
        }),
      ),
    );
  }

  async function conditionally(
    what: string,
    key: InstanceKey,
    write: () => Promise<unknown>,
  ): Promise<Write> {
    const refused = await callAws(what, async () => {
      try {
        await write();
        return undefined;
      } catch (error) {
        if (error instanceof ConditionalCheckFailedException) return { item: error.Item };
        throw error;
      }
    });
    if (!refused) return { won: true };
    // Not every DynamoDB-compatible store sends the item along; there may also be none.
    return { won: false, current: refused.item ? rowOf(refused.item) : await get(key) };
  }

  async function get(key: InstanceKey): Promise<InstanceRow | undefined> {
    const { Item } = await callAws(`GetItem for ${nameOf(key)}`, () =>
      client.send(new GetItemCommand({ TableName: tableName, Key: keyOf(key), ConsistentRead: true })),
    );
    return Item && rowOf(Item);
  }

  async function getSummary(key: InstanceKey) {
    const { Item } = await callAws(`GetItem for ${nameOf(key)}`, () =>
      client.send(
        new GetItemCommand({ TableName: tableName, Key: keyOf(key), ConsistentRead: true, ...summaryOnly }),
      ),
    );
    return Item && summaryOf(Item)[0];
  }

  async function list(tenantId: string) {
    const items: Record<string, AttributeValue>[] = [];
    let next: Record<string, AttributeValue> | undefined;
    do {
      const page: QueryCommandOutput = await callAws(`Query for tenant ${tenantId}`, () =>
        client.send(
          new QueryCommand({
            TableName: tableName,
            KeyConditionExpression: 'tenantId = :tenantId',
            ExpressionAttributeValues: { ':tenantId': { S: tenantId } },
            ConsistentRead: true,
            ExclusiveStartKey: next,
            ...summaryOnly,
          }),
        ),
      );
      items.push(...(page.Items ?? []));
      next = page.LastEvaluatedKey;
    } while (next);
    return items.flatMap(summaryOf).filter(({ elementKey }) => elementKey !== wholeTenant);
  }

  async function due(nowMs: number, limit: number): Promise<DueInstance[]> {
    const { Items = [] } = await callAws('Query for unsettled instances', () =>
      client.send(
        new QueryCommand({
          TableName: tableName,
          IndexName: unsettledIndex,
          KeyConditionExpression: 'unsettled = :unsettled AND checkAt <= :now',
          ExpressionAttributeValues: { ':unsettled': { S: unsettled }, ':now': { N: String(nowMs) } },
          Limit: limit,
        }),
      ),
    );
    return Items.map((item) => dueSchema.parse(unmarshall(item)));
  }

  async function* all(): AsyncGenerator<InstanceRow | undefined> {
    let next: Record<string, AttributeValue> | undefined;
    do {
      const page: ScanCommandOutput = await callAws('Scan of all instances', () =>
        client.send(new ScanCommand({ TableName: tableName, ExclusiveStartKey: next })),
      );
      for (const item of page.Items ?? []) yield readable(item);
      next = page.LastEvaluatedKey;
    } while (next);
  }
}

/** The sparse index: rows with a `checkAt` are in it, under one partition key, ordered by that time. */
const unsettledIndex = 'unsettled';
const unsettled = 'yes';
const inIndex = ({ checkAt }: InstanceRow) => (checkAt === undefined ? {} : { unsettled });

const dueSchema = z.object({ tenantId: z.string(), elementKey: z.string(), checkAt: z.number() });

/** None for a tombstone. */
function summaryOf(item: Record<string, AttributeValue>): InstanceSummary[] {
  const summary = instanceSummarySchema.parse(unmarshall(item));
  return summary.status === 'removed' ? [] : [summary];
}

/** Leaves the token, even encrypted, in the table. Names are aliased because some are DynamoDB's reserved words. */
const summaryAttributes = Object.keys(instanceSummarySchema.shape);
const summaryOnly = {
  ProjectionExpression: summaryAttributes.map((name) => `#${name}`).join(', '),
  ExpressionAttributeNames: Object.fromEntries(summaryAttributes.map((name) => [`#${name}`, name])),
};

function readable(item: Record<string, AttributeValue>): InstanceRow | undefined {
  try {
    return rowOf(item);
  } catch (error) {
    if (error instanceof OnboardingError) return undefined;
    throw error;
  }
}

/** @throws OnboardingError `internal`: the row was written by a later version, or by another hand */
function rowOf(item: Record<string, AttributeValue>): InstanceRow {
  const input = unmarshall(item);
  const parsed = instanceRowSchema.safeParse(input);
  if (parsed.success) return parsed.data;
  const faults = sentenceOf(problemsOf(parsed.error, input), (path) => path.join('.'));
  const { tenantId, elementKey } = item;
  throw new OnboardingError(
    'internal',
    `The row of tenant ${tenantId?.S} and element ${elementKey?.S} cannot be read: ${faults}.`,
  );
}

const keyOf = ({ tenantId, elementKey }: InstanceKey) => ({
  tenantId: { S: tenantId },
  elementKey: { S: elementKey },
});

const nameOf = ({ tenantId, elementKey }: InstanceKey): string =>
  `the ${elementKey} instance of tenant ${tenantId}`;

function conditionOf({ status, provisionId, attemptId, leaseExpiresAt }: Expected) {
  const expected = { status, provisionId, attemptId, leaseExpiresAt };
  const values = Object.entries(marshall(expected, { removeUndefinedValues: true }));
  return {
    ConditionExpression: values.map(([name]) => `#${name} = :${name}`).join(' AND '),
    ExpressionAttributeNames: Object.fromEntries(values.map(([name]) => [`#${name}`, name])),
    ExpressionAttributeValues: Object.fromEntries(values.map(([name, value]) => [`:${name}`, value])),
  };
}
