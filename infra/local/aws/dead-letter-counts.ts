import * as z from 'zod/mini';
import { AwsError, operation } from './aws-protocol.ts';
import type { Operations } from './aws-protocol.ts';

/** The part of SQS that counts dead letters; a queue's URL ends with its name. */
export function createDeadLetterCounts(countOf: (queueName: string) => number | undefined): Operations {
  return {
    'AmazonSQS.GetQueueAttributes': operation(z.object({ QueueUrl: z.string() }), ({ QueueUrl }) => {
      const count = countOf(QueueUrl.slice(QueueUrl.lastIndexOf('/') + 1));
      if (count === undefined) throw new AwsError('QueueDoesNotExist', 'The queue does not exist.');
      return {
        Attributes: {
          ApproximateNumberOfMessages: String(count),
          ApproximateNumberOfMessagesNotVisible: '0',
        },
      };
    }),
  };
}
