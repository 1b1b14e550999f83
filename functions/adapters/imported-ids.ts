import {
  DeleteItemCommand,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  type AttributeValue,
  type DynamoDBClient,
} from '@aws-sdk/client-dynamodb';
import { marshall, unmarshall } from '@aws-sdk/util-dynamodb';
import * as z from 'zod/mini';
import type { ImportedIds } from '../core/ports.ts';
import { auditPartition } from '../model/instance.ts';
import { tableShape } from '../model/table.ts';
import { callAws } from './aws.ts';
import { conditionally } from './conditional-write.ts';

const holderSchema = z.object({
  holderTenantId: z.string(),
  holderElementKey: z.string(),
  provisionId: z.string(),
});

const rowKeySchema = z.object({ tenantId: z.string(), elementKey: z.string() });

/** One item for each imported instance, beside the rows, and the index of the rows that record an instance. */
export function createImportedIds({
  client,
  tableName,
}: {
  client: DynamoDBClient;
  tableName: string;
}): ImportedIds {
  return {
    async hold(instanceId, { tenantId, elementKey, provisionId }, instead) {
      const refused = await conditionally(`PutItem for instance ${instanceId}`, () =>
        client.send(
          new PutItemCommand({
            TableName: tableName,
            Item: marshall({
              ...keyOf(instanceId),
              holderTenantId: tenantId,
              holderElementKey: elementKey,
              provisionId,
            }),
            ConditionExpression: instead
              ? 'provisionId IN (:own, :instead)'
              : 'attribute_not_exists(tenantId) OR provisionId = :own',
            ExpressionAttributeValues: marshall({
              ':own': provisionId,
              ...(instead && { ':instead': instead.provisionId }),
            }),
            ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
          }),
        ),
      );
      if (!refused) return { held: true };
      // Not every DynamoDB-compatible store sends the item along.
      return { held: false, by: holderIn(refused.item ?? (await read(instanceId))) };
    },

    async giveBack(instanceId, { provisionId }) {
      await conditionally(`DeleteItem for instance ${instanceId}`, () =>
        client.send(
          new DeleteItemCommand({
            TableName: tableName,
            Key: marshall(keyOf(instanceId)),
            ConditionExpression: 'provisionId = :own',
            ExpressionAttributeValues: marshall({ ':own': provisionId }),
          }),
        ),
      );
    },

    async recordedBy(instanceId) {
      const { name, partitionKey } = tableShape.instances;
      const { Items = [] } = await callAws(`Query for the rows of instance ${instanceId}`, () =>
        client.send(
          new QueryCommand({
            TableName: tableName,
            IndexName: name,
            KeyConditionExpression: '#instanceId = :instanceId',
            ExpressionAttributeNames: { '#instanceId': partitionKey },
            ExpressionAttributeValues: marshall({ ':instanceId': instanceId }),
          }),
        ),
      );
      return Items.map((item) => rowKeySchema.parse(unmarshall(item)));
    },
  };

  async function read(instanceId: number) {
    const { Item } = await callAws(`GetItem for instance ${instanceId}`, () =>
      client.send(
        new GetItemCommand({
          TableName: tableName,
          Key: marshall(keyOf(instanceId)),
          ConsistentRead: true,
        }),
      ),
    );
    return Item;
  }
}

const keyOf = (instanceId: number) => ({ tenantId: auditPartition, elementKey: `imported ${instanceId}` });

function holderIn(item: Record<string, AttributeValue> | undefined) {
  const holder = item && holderSchema.safeParse(unmarshall(item)).data;
  return (
    holder && {
      tenantId: holder.holderTenantId,
      elementKey: holder.holderElementKey,
      provisionId: holder.provisionId,
    }
  );
}
