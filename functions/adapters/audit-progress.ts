import {
  ConditionalCheckFailedException,
  GetItemCommand,
  PutItemCommand,
  type DynamoDBClient,
} from '@aws-sdk/client-dynamodb';
import { marshall, unmarshall } from '@aws-sdk/util-dynamodb';
import * as z from 'zod/mini';
import type { AuditProgressStore } from '../core/ports.ts';
import { auditPartition, exactNumber } from '../model/instance.ts';
import { callAws } from './aws.ts';

const key = { tenantId: auditPartition, elementKey: 'progress' };

const progressSchema = z.object({
  version: z.int(),
  after: z.object({ tenantId: z.string(), elementKey: z.string() }),
});

/** One item of the table, beside the rows: how far the audit has come. */
export function createAuditProgress({
  client,
  tableName,
}: {
  client: DynamoDBClient;
  tableName: string;
}): AuditProgressStore {
  return {
    async get() {
      const { Item } = await callAws("GetItem for the audit's progress", () =>
        client.send(new GetItemCommand({ TableName: tableName, Key: marshall(key), ConsistentRead: true })),
      );
      return Item && progressSchema.safeParse(unmarshall(Item, { wrapNumbers: exactNumber })).data;
    },

    async put(after, read) {
      const item = { ...key, version: (read?.version ?? 0) + 1, after };
      await callAws("PutItem for the audit's progress", async () => {
        try {
          await client.send(
            new PutItemCommand({
              TableName: tableName,
              Item: marshall(item),
              ...(read
                ? {
                    ConditionExpression: '#version = :version',
                    ExpressionAttributeNames: { '#version': 'version' },
                    ExpressionAttributeValues: marshall({ ':version': read.version }),
                  }
                : {
                    ConditionExpression: 'attribute_not_exists(#version)',
                    ExpressionAttributeNames: { '#version': 'version' },
                  }),
            }),
          );
        } catch (error) {
          if (!(error instanceof ConditionalCheckFailedException)) throw error;
        }
      });
    },
  };
}
