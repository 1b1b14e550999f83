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
import { lastAuditKey } from '../model/last-audit.ts';
import { callAws } from './aws.ts';

const key = { tenantId: auditPartition, elementKey: 'progress' };

const progressSchema = z.object({
  version: z.int(),
  after: z.object({ tenantId: z.string(), elementKey: z.string() }),
});

/** Two items of the table, beside the rows: how far the audit has come, and the result of the last one. */
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

    put(after, read) {
      const item = { ...key, version: (read?.version ?? 0) + 1, after };
      return write(item, read ? '#version = :read' : 'attribute_not_exists(#version)', {
        names: { '#version': 'version' },
        ...(read && { values: { ':read': read.version } }),
      });
    },

    finish(audit) {
      return write({ ...lastAuditKey, ...audit }, 'attribute_not_exists(#at) OR #at < :at', {
        names: { '#at': 'startedAt' },
        values: { ':at': audit.startedAt },
      });
    },
  };

  /** Writes nothing when the condition does not hold. */
  function write(
    item: Record<string, unknown>,
    condition: string,
    { names, values }: { names: Record<string, string>; values?: Record<string, number> },
  ): Promise<void> {
    return callAws("PutItem for the audit's progress", async () => {
      try {
        await client.send(
          new PutItemCommand({
            TableName: tableName,
            Item: marshall(item),
            ConditionExpression: condition,
            ExpressionAttributeNames: names,
            ...(values && { ExpressionAttributeValues: marshall(values) }),
          }),
        );
      } catch (error) {
        if (!(error instanceof ConditionalCheckFailedException)) throw error;
      }
    });
  }
}
