import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import * as z from 'zod/mini';

const messageSchema = z.object({
  MessageId: z.string(),
  ReceiptHandle: z.string(),
  Body: z.string(),
  /** Ms since the epoch: the first arrival, also when SQS has moved the message here. */
  Attributes: z.object({ SentTimestamp: z.string() }),
});
type Message = z.infer<typeof messageSchema>;

/** SQS's limit for one call. */
const perCall = 10;

/** Long enough for any run, so that each message is received once. When a run is killed they are seen after it. */
const holdS = 15 * 60;

/** A long poll asks all of SQS's servers; a short one may find nothing where there is something. */
const waitS = 1;

/** Messages of a queue that nobody else sees for as long as they are held. */
export function holdMessages(sqs: SQSClient, queueUrl: string) {
  const held = new Map<string, Message>();

  return {
    messages: () => [...held.values()],

    /** Receives until there is nothing new, or `limit` are held. @returns whether there may be more */
    async receive(limit: number, signal: AbortSignal): Promise<boolean> {
      while (held.size < limit && !signal.aborted) {
        const { Messages = [] } = await sqs.send(
          new ReceiveMessageCommand({
            QueueUrl: queueUrl,
            MaxNumberOfMessages: Math.min(perCall, limit - held.size),
            VisibilityTimeout: holdS,
            WaitTimeSeconds: waitS,
            MessageSystemAttributeNames: ['SentTimestamp'],
          }),
        );
        const before = held.size;
        // Of a message that comes again only the last receipt counts.
        for (const message of z.array(messageSchema).parse(Messages)) held.set(message.MessageId, message);
        if (held.size === before) return false;
      }
      return true;
    },

    /**
     * Sends `body` in the message's place. In this order: what ends in between leaves the message in both queues, and
     * never in none.
     */
    async move(
      { MessageId, ReceiptHandle }: Message,
      { toUrl, body }: { toUrl: string; body: string },
    ): Promise<void> {
      await sqs.send(new SendMessageCommand({ QueueUrl: toUrl, MessageBody: body }));
      await sqs.send(new DeleteMessageCommand({ QueueUrl: queueUrl, ReceiptHandle }));
      held.delete(MessageId);
    },

    /** The rest is seen again at once. */
    async release(): Promise<void> {
      const handles = [...held.values()].map(({ ReceiptHandle }) => ReceiptHandle);
      for (let start = 0; start < handles.length; start += perCall) {
        const Entries = handles
          .slice(start, start + perCall)
          .map((ReceiptHandle, index) => ({ Id: String(index), ReceiptHandle, VisibilityTimeout: 0 }));
        await sqs.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl: queueUrl, Entries }));
      }
      held.clear();
    },
  };
}
