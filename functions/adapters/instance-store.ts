import {
  DeleteItemCommand,
  GetItemCommand,
  PutItemCommand,
  type PutItemCommandInput,
  QueryCommand,
  ScanCommand,
  type ScanCommandOutput,
  UpdateItemCommand,
  type QueryCommandOutput,
  type AttributeValue,
  type DynamoDBClient,
} from '@aws-sdk/client-dynamodb';
import { marshall, unmarshall } from '@aws-sdk/util-dynamodb';
import * as z from 'zod/mini';
import type {
  CheckStore,
  DueInstance,
  DueInstances,
  InstanceStore,
  OverviewStore,
  Stored,
  Write,
} from '../core/ports.ts';
import {
  auditPartition,
  exactNumber,
  instanceRowSchema,
  instanceSummarySchema,
  wholeTenant,
  type InstanceKey,
  type InstanceRow,
  type InstanceSummary,
} from '../model/instance.ts';
import { OnboardingError } from '../model/errors.ts';
import { fromStored, healthPartition, storedName, tableShape, toStored } from '../model/table.ts';
import { problemsOf, sentenceOf } from '../model/validation.ts';
import { awaitsFirstLook } from '../model/row-history.ts';
import { callAws } from './aws.ts';
import { conditionally } from './conditional-write.ts';

/** Rows in DynamoDB; every write is conditional. Table key: `tenantId` (S), `elementKey` (S). */
export function createInstanceStore({
  client,
  tableName,
}: {
  client: DynamoDBClient;
  tableName: string;
}): InstanceStore & OverviewStore & CheckStore {
  return { claim, write, remove, get, getSummary, list, due, dueChecks, postpone, page: listPage, all };

  function claim(next: InstanceRow, asRead?: InstanceRow): Promise<Write> {
    return put(
      next,
      asRead ? onlyIf({ ...fenceOf(asRead), leaseExpiresAt: asRead.leaseExpiresAt }) : ifAbsent,
    );
  }

  function write(next: InstanceRow, held: InstanceRow): Promise<Write> {
    return put(next, onlyIf(fenceOf(held)));
  }

  function put(row: InstanceRow, condition: Partial<PutItemCommandInput>): Promise<Write> {
    return writeIf(`PutItem for ${nameOf(row)}`, row, () =>
      client.send(
        new PutItemCommand({
          TableName: tableName,
          Item: marshall(toStored({ ...row, ...inIndex(row) }), { removeUndefinedValues: true }),
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
          ...condition,
        }),
      ),
    );
  }

  function remove(held: InstanceRow): Promise<Write> {
    return writeIf(`DeleteItem for ${nameOf(held)}`, held, () =>
      client.send(
        new DeleteItemCommand({
          TableName: tableName,
          Key: keyOf(held),
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
          ...onlyIf(fenceOf(held)),
        }),
      ),
    );
  }

  async function writeIf(what: string, by: InstanceRow, send: () => Promise<unknown>): Promise<Write> {
    const refused = await conditionally(what, send);
    if (!refused) return { won: true };
    // Not every DynamoDB-compatible store sends the item along; there may also be none.
    const current = refused.item ? rowOf(refused.item) : await get(by);
    return current?.claimId === by.claimId ? { won: true } : { won: false, current };
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
    const summary = Item && parse(instanceSummarySchema, Item);
    return summary?.status === 'removed' ? undefined : summary;
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
    const instances: InstanceSummary[] = [];
    const unreadable: InstanceKey[] = [];
    for (const item of items) {
      const key = keySchema.parse(item);
      if (key.elementKey === wholeTenant) continue;
      const summary = ifReadable(() => parse(instanceSummarySchema, item));
      if (!summary) unreadable.push(key);
      else if (summary.status !== 'removed') instances.push(summary);
    }
    return { instances, unreadable };
  }

  async function due(nowMs: number, limit: number): Promise<DueInstances> {
    const [first, later, ofEarlierVersions] = await Promise.all(
      [partitions.first, partitions.later, partitions.ofEarlierVersions].map((partition) =>
        dueIn(partition, { until: nowMs, limit }),
      ),
    );
    const others = [...(later ?? []), ...(ofEarlierVersions ?? [])];
    return { first: first ?? [], later: others.toSorted((a, b) => a.checkAt - b.checkAt).slice(0, limit) };
  }

  async function dueChecks({ first, ...query }: Parameters<CheckStore['dueChecks']>[0]) {
    return dueIn(partitions.health, { ...query, latestFirst: first === 'latest' });
  }

  async function dueIn(
    partition: string,
    { until, limit, latestFirst = false }: { until: number; limit: number; latestFirst?: boolean },
  ): Promise<DueInstance[]> {
    const { Items = [] } = await callAws('Query for unsettled instances', () =>
      client.send(
        new QueryCommand({
          TableName: tableName,
          IndexName: tableShape.index.name,
          KeyConditionExpression: 'unsettled = :unsettled AND checkAt <= :now',
          ExpressionAttributeValues: { ':unsettled': { S: partition }, ':now': { N: String(until) } },
          Limit: limit,
          ScanIndexForward: !latestFirst,
        }),
      ),
    );
    return Items.map((item) => dueSchema.parse(item));
  }

  async function postpone({ tenantId, elementKey, shown }: DueInstance, checkAt: number): Promise<void> {
    await conditionally(`UpdateItem for ${nameOf({ tenantId, elementKey })}`, () =>
      client.send(
        new UpdateItemCommand({
          TableName: tableName,
          Key: keyOf({ tenantId, elementKey }),
          UpdateExpression: 'SET checkAt = :checkAt, unsettled = :unsettled',
          ConditionExpression: 'checkAt = :shown',
          ExpressionAttributeValues: {
            ':checkAt': { N: String(checkAt) },
            ':unsettled': { S: partitions.later },
            ':shown': { N: shown },
          },
        }),
      ),
    );
  }

  async function listPage({ limit, after }: { limit: number; after: InstanceKey | undefined }) {
    const { Items = [], LastEvaluatedKey } = await callAws('Scan of a page of instances', () =>
      client.send(
        new ScanCommand({
          TableName: tableName,
          Limit: limit,
          ExclusiveStartKey: after && keyOf(after),
          ...summaryOnly,
        }),
      ),
    );
    const rows = Items.flatMap((item) => {
      const key = keySchema.parse(item);
      if (key.elementKey === wholeTenant || key.tenantId === auditPartition) return [];
      const summary = ifReadable(() => parse(instanceSummarySchema, item));
      return summary?.status === 'removed' ? [] : [{ key, summary }];
    });
    return { rows, last: LastEvaluatedKey && keySchema.parse(LastEvaluatedKey) };
  }

  async function* all(): AsyncGenerator<Stored> {
    let next: Record<string, AttributeValue> | undefined;
    do {
      const page: ScanCommandOutput = await callAws('Scan of all instances', () =>
        client.send(new ScanCommand({ TableName: tableName, ExclusiveStartKey: next, Limit: rowsPerScan })),
      );
      for (const item of page.Items ?? []) {
        yield { ...keySchema.parse(item), row: ifReadable(() => rowOf(item)) };
      }
      next = page.LastEvaluatedKey;
    } while (next);
  }
}

/**
 * Partitions of the index. Rows that earlier versions have written are in a third one until they are written again. In
 * the last one `checkAt` is the time of the next check of health.
 */
const partitions = {
  first: 'first',
  later: 'later',
  ofEarlierVersions: 'yes',
  health: healthPartition,
} as const;

function inIndex(row: InstanceRow) {
  if (row.checkAt === undefined) {
    const isChecked = row.status === 'active' && row.healthCheckAt !== undefined;
    return isChecked ? { unsettled: partitions.health, checkAt: row.healthCheckAt } : {};
  }
  return { unsettled: awaitsFirstLook(row) ? partitions.first : partitions.later };
}

/** A page of 1 MB, the most that DynamoDB sends, takes many times its size in memory while it is parsed. */
const rowsPerScan = 200;

/** Keys are always text, even in an item with odd attributes. */
const textSchema = z.pipe(
  z.object({ S: z.string() }),
  z.transform(({ S }) => S),
);
const keySchema = z.object({ tenantId: textSchema, elementKey: textSchema });

/** An entry of the index, as it is, because it may belong to a row that cannot be read. */
const dueSchema = z.pipe(
  z.extend(keySchema, { checkAt: z.object({ N: z.string() }) }),
  z.transform(({ checkAt: { N: shown }, ...key }) => ({ ...key, checkAt: Number(shown), shown })),
);

/** Leaves the token, even encrypted, in the table. Names are aliased because some are DynamoDB's reserved words. */
const summaryAttributes = Object.keys(instanceSummarySchema.shape).map(storedName);
const summaryOnly = {
  ProjectionExpression: summaryAttributes.map((name) => `#${name}`).join(', '),
  ExpressionAttributeNames: Object.fromEntries(summaryAttributes.map((name) => [`#${name}`, name])),
};

function ifReadable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof OnboardingError) return undefined;
    throw error;
  }
}

const rowOf = (item: Record<string, AttributeValue>): InstanceRow => parse(instanceRowSchema, item);

/** @throws OnboardingError `internal`: the row was written by a later version, or by another hand */
function parse<T>(schema: z.ZodMiniType<T>, item: Record<string, AttributeValue>): T {
  const input = fromStored(unmarshall(item, { wrapNumbers: exactNumber }));
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const faults = sentenceOf(problemsOf(parsed.error, input), ([field = '', ...rest]) =>
    [storedName(String(field)), ...rest].join('.'),
  );
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

const ifAbsent = { ConditionExpression: 'attribute_not_exists(tenantId)' };

/** The state in which a row stays as long as its claim is held. */
const fenceOf = ({ status, provisionId, claimId }: InstanceRow) => ({ status, provisionId, claimId });

function onlyIf(expected: Partial<InstanceRow>) {
  const values = Object.entries(marshall(toStored(expected)));
  return {
    ConditionExpression: values.map(([name]) => `#${name} = :${name}`).join(' AND '),
    ExpressionAttributeNames: Object.fromEntries(values.map(([name]) => [`#${name}`, name])),
    ExpressionAttributeValues: Object.fromEntries(values.map(([name, value]) => [`:${name}`, value])),
  };
}
