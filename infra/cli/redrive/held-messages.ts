import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
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

/** Long enough for any run, so that each message is received once. A killed run hides its messages for this long. */
const holdS = 15 * 60;

/** A long poll asks all of SQS's servers; a short one may find nothing where there is something. */
const waitS = 1;

/** A receive may return nothing, or only messages that are held already, although the queue has more. */
const fruitlessAtMost = 5;

const countsSchema = z.object({
  ApproximateNumberOfMessages: z.coerce.number(),
  ApproximateNumberOfMessagesNotVisible: z.coerce.number(),
});

/** Holds messages of a queue, hidden from all other receivers. */
export function holdMessages(sqs: SQSClient, queueUrl: string) {
  const held = new Map<string, Message>();

  /**
   * Counts the messages that are not held here. SQS counts approximately, and may still count messages as visible that
   * were just received. `hidden`: held by others, another run for example.
   */
  async function countOthers(): Promise<{ visible: number; hidden: number }> {
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({
        QueueUrl: queueUrl,
        AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
      }),
    );
    const { ApproximateNumberOfMessages: visible, ApproximateNumberOfMessagesNotVisible: notVisible } =
      countsSchema.parse(Attributes);
    const others = Math.max(0, visible + notVisible - held.size);
    const hidden = Math.max(0, notVisible - held.size);
    return { visible: others - hidden, hidden };
  }

  return {
    messages: () => [...held.values()],
    countOthers,

    /**
     * Receives until the queue is empty, or `limit` messages are held, or several receives in a row have returned no new
     * message. `countOthers` counts the rest.
     */
    async receive(limit: number, signal: AbortSignal): Promise<void> {
      let fruitless = 0;
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
        // Only the last receipt of a message is valid.
        for (const message of z.array(messageSchema).parse(Messages)) held.set(message.MessageId, message);
        fruitless = held.size === before ? fruitless + 1 : 0;
        if (fruitless >= fruitlessAtMost) return;
        if (fruitless > 0 && (await countOthers()).visible === 0) return;
      }
    },

    /**
     * Sends `body`, then deletes the message. In this order an interruption leaves the message in both queues, and never
     * in none.
     */
    async move(
      { MessageId, ReceiptHandle }: Message,
      { toUrl, body }: { toUrl: string; body: string },
    ): Promise<void> {
      await sqs.send(new SendMessageCommand({ QueueUrl: toUrl, MessageBody: body }));
      await sqs.send(new DeleteMessageCommand({ QueueUrl: queueUrl, ReceiptHandle }));
      held.delete(MessageId);
    },

    /** Makes the remaining messages visible again at once. */
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
