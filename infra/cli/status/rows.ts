import {
  GetItemCommand,
  QueryCommand,
  ScanCommand,
  type AttributeValue,
  type DynamoDBClient,
} from '@aws-sdk/client-dynamodb';
import { marshall, unmarshall } from '@aws-sdk/util-dynamodb';
import * as z from 'zod/mini';
import {
  auditPartition,
  exactNumber,
  instanceSummarySchema,
  type InstanceKey,
} from '../../../functions/model/instance.ts';
import { lastAuditKey, lastAuditSchema, type LastAudit } from '../../../functions/model/last-audit.ts';
import { fromStored, storedName, tableShape } from '../../../functions/model/table.ts';

const rowSchema = z.extend(instanceSummarySchema, {
  provisionId: z.string(),
  requestedAt: z.number(),
  checkAt: z.optional(z.number()),
  removingSince: z.optional(z.number()),
  /** Rows of a version without health checks, or that no check has seen yet, have none. */
  health: z.catch(
    z.optional(z.object({ status: z.string(), since: z.number(), reason: z.optional(z.string()) })),
    undefined,
  ),
});
type Row = z.infer<typeof rowSchema>;

/** `row`: undefined if this version cannot read it. */
export type Found = { key: InstanceKey; row: Row | undefined };

/** The partition of the index says whose time `checkAt` is. */
const attributes = [...Object.keys(rowSchema.shape).map(storedName), tableShape.index.partitionKey];
/** Leaves the token, even encrypted, in the table. */
const projection = {
  ProjectionExpression: attributes.map((name) => `#${name}`).join(', '),
  ExpressionAttributeNames: Object.fromEntries(attributes.map((name) => [`#${name}`, name])),
};

type Item = Record<string, AttributeValue>;
type Page = { Items?: Item[] | undefined; LastEvaluatedKey?: Item | undefined };

/** All rows but the tombstones, a page of at most 1 MB in memory at a time. `onPage`: rows read so far. */
export function readAll(
  client: DynamoDBClient,
  tableName: string,
  onPage: (rows: number) => void,
): AsyncGenerator<Found> {
  let read = 0;
  return rowsOf(async (ExclusiveStartKey) => {
    const page: Page = await client.send(
      new ScanCommand({ TableName: tableName, ExclusiveStartKey, ...projection }),
    );
    read += page.Items?.length ?? 0;
    onPage(read);
    return page;
  });
}

export async function readTenant(
  client: DynamoDBClient,
  tableName: string,
  tenantId: string,
): Promise<Found[]> {
  const pages = rowsOf((ExclusiveStartKey) =>
    client.send(
      new QueryCommand({
        TableName: tableName,
        KeyConditionExpression: 'tenantId = :tenantId',
        ExpressionAttributeValues: { ':tenantId': { S: tenantId } },
        ConsistentRead: true,
        ExclusiveStartKey,
        ...projection,
      }),
    ),
  );
  const found: Found[] = [];
  for await (const each of pages) found.push(each);
  return found;
}

async function* rowsOf(read: (after: Item | undefined) => Promise<Page>): AsyncGenerator<Found> {
  let after: Item | undefined;
  do {
    const { Items = [], LastEvaluatedKey } = await read(after);
    for (const item of Items) {
      const values = fromStored(unmarshall(item, { wrapNumbers: exactNumber }));
      const key = keySchema.parse(values);
      const row = rowSchema.safeParse(values).data;
      if (key.tenantId !== auditPartition && row?.status !== 'removed') yield { key, row };
    }
    after = LastEvaluatedKey;
  } while (after);
}

export async function readLastAudit(
  client: DynamoDBClient,
  tableName: string,
): Promise<LastAudit | undefined> {
  const { Item } = await client.send(
    new GetItemCommand({ TableName: tableName, Key: marshall(lastAuditKey) }),
  );
  return Item && lastAuditSchema.safeParse(unmarshall(Item)).data;
}

const keySchema = z.object({ tenantId: z.string(), elementKey: z.string() });
