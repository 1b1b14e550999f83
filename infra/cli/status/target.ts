import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { GetQueueAttributesCommand, SQSClient } from '@aws-sdk/client-sqs';
import * as z from 'zod/mini';
import { type Trigger, triggers } from '../../../functions/triggers.ts';
import { deadLetterOutput, localDeadLetterQueue } from '../../outputs.ts';
import { onThisMachine, outputsOf, requestHandler } from '../onboard/target.ts';
import type { Where } from './options.ts';

const rows: [string, Trigger][] = Object.entries(triggers);
/** Functions with a dead-letter queue. */
const functionNames = rows.flatMap(([name, { queue, stream }]) => (queue || stream ? [name] : []));

export type Target = {
  tableName: string;
  dynamoDb: DynamoDBClient;
  /** By function. SQS counts approximately. */
  countDeadLetters: () => Promise<Record<string, number>>;
  close: () => void;
};

/** @throws TargetError when the stack cannot be looked at */
export async function findTarget(where: Where): Promise<Target> {
  const isLocal = 'localPort' in where;
  const at = (service: number) => (isLocal ? onThisMachine(where.localPort + service) : {});
  const output = isLocal ? undefined : await outputsOf(where.stage);
  const dynamoDb = new DynamoDBClient({ ...at(2), requestHandler, maxAttempts: 8 });
  const sqs = new SQSClient({ ...at(1), requestHandler });
  const countOf = async (name: string): Promise<number> => {
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({
        QueueUrl: output?.(deadLetterOutput(name)) ?? `${sqsUrl(at(1))}/${localDeadLetterQueue(name)}`,
        AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
      }),
    );
    const counts = attributesSchema.parse(Attributes);
    return counts.ApproximateNumberOfMessages + counts.ApproximateNumberOfMessagesNotVisible;
  };
  return {
    tableName: output?.('TableName') ?? 'element-onboarding',
    dynamoDb,
    countDeadLetters: async () =>
      Object.fromEntries(
        await Promise.all(functionNames.map(async (name) => [name, await countOf(name)] as const)),
      ),
    close() {
      dynamoDb.destroy();
      sqs.destroy();
    },
  };
}

const sqsUrl = ({ endpoint = '' }: { endpoint?: string }): string => `${endpoint}/000000000000`;

const attributesSchema = z.object({
  ApproximateNumberOfMessages: z.coerce.number(),
  ApproximateNumberOfMessagesNotVisible: z.coerce.number(),
});
