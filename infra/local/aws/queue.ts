import { createHash, randomUUID } from 'node:crypto';
import type { SQSEvent, SQSRecord } from 'aws-lambda';
import * as z from 'zod/mini';
import { accountId, region } from './aws-protocol.ts';

/** `sentAtMs`: a message keeps its first arrival when SQS itself moves it to a standard dead-letter queue. */
export type DeadLetter = { messageId: string; body: string; sentAtMs: number; receiveCount: number };

type Message = {
  id: string;
  body: string;
  sentAtMs: number;
  firstReceivedAtMs: number | undefined;
  receiveCount: number;
};

/**
 * How Lambda reads a function's response. Absent, null or empty, at either level, and so a misspelled key, too, is full
 * success; any other value that is not of this shape, or names a message that is not in the batch, is full failure.
 * https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
 */
const batchResponseSchema = z.nullish(
  z.object({
    batchItemFailures: z.nullish(z.array(z.object({ itemIdentifier: z.string() }))),
  }),
);

/**
 * An SQS queue with a dead-letter queue and the poller that Lambda puts before a function (an event source mapping
 * with `ReportBatchItemFailures`).
 *
 * A message that failed becomes visible again `visibilityTimeoutMs` after it was received, but never while its
 * invocation still runs: AWS recommends a visibility timeout of six function timeouts, and the shorter one of tests and
 * `npm start` must not deliver a message twice at once.
 */
export function createQueue({
  name,
  batchSize,
  maxConcurrency,
  visibilityTimeoutMs,
  maxReceiveCount,
  deliver,
  now = Date.now,
}: {
  name: string;
  /** Messages of one invocation, at most. */
  batchSize: number;
  /** Invocations at once, at most. */
  maxConcurrency: number;
  visibilityTimeoutMs: number;
  /** After this many failed deliveries a message is a dead letter. */
  maxReceiveCount: number;
  /** Invokes the function: its response, or a rejection if it threw, crashed or ran out of time. */
  deliver: (event: SQSEvent) => Promise<unknown>;
  now?: () => number;
}) {
  const visible: Message[] = [];
  const reappearances = new Set<NodeJS.Timeout>();
  const deadLetters: DeadLetter[] = [];
  let batchesInFlight = 0;
  let stopped = false;
  let whenIdle: (() => void)[] = [];

  function isIdle(): boolean {
    return stopped || (visible.length === 0 && batchesInFlight === 0 && reappearances.size === 0);
  }

  function poll(): void {
    if (!stopped) deliverVisible();
    if (!isIdle()) return;
    for (const resolve of whenIdle) resolve();
    whenIdle = [];
  }

  function deliverVisible(): void {
    while (visible.length > 0 && batchesInFlight < maxConcurrency) {
      batchesInFlight += 1;
      void work(visible.splice(0, batchSize));
    }
  }

  async function work(batch: Message[]): Promise<void> {
    const receivedAtMs = now();
    for (const message of batch) {
      message.receiveCount += 1;
      message.firstReceivedAtMs ??= receivedAtMs;
    }
    const failed = await failuresOf(batch);
    batchesInFlight -= 1;
    if (!stopped && failed.length > 0) hide(failed, receivedAtMs + visibilityTimeoutMs);
    poll();
  }

  async function failuresOf(batch: Message[]): Promise<Message[]> {
    try {
      const response = batchResponseSchema.parse(await deliver({ Records: batch.map(recordOf) }));
      const failedIds = new Set(response?.batchItemFailures?.map((failure) => failure.itemIdentifier));
      const failed = batch.filter((message) => failedIds.has(message.id));
      return failed.length === failedIds.size ? failed : batch;
    } catch {
      return batch;
    }
  }

  /** Messages that are received together become visible again together, and share the next batch. */
  function hide(messages: Message[], untilMs: number): void {
    const timer = setTimeout(
      () => {
        reappearances.delete(timer);
        for (const message of messages) {
          const { id: messageId, body, sentAtMs, receiveCount } = message;
          if (receiveCount < maxReceiveCount) visible.push(message);
          else deadLetters.push({ messageId, body, sentAtMs, receiveCount });
        }
        poll();
      },
      Math.max(0, untilMs - now()),
    );
    reappearances.add(timer);
  }

  function recordOf(message: Message): SQSRecord {
    return {
      messageId: message.id,
      receiptHandle: randomUUID(),
      body: message.body,
      attributes: {
        ApproximateReceiveCount: String(message.receiveCount),
        SentTimestamp: String(message.sentAtMs),
        SenderId: accountId,
        ApproximateFirstReceiveTimestamp: String(message.firstReceivedAtMs),
      },
      messageAttributes: {},
      md5OfBody: createHash('md5').update(message.body).digest('hex'),
      eventSource: 'aws:sqs',
      eventSourceARN: `arn:aws:sqs:${region}:${accountId}:${name}`,
      awsRegion: region,
    };
  }

  return {
    deadLetters,

    /** Returns the message's id. Messages sent in the same tick share batches. */
    send(body: string): string {
      const id = randomUUID();
      visible.push({ id, body, sentAtMs: now(), firstReceivedAtMs: undefined, receiveCount: 0 });
      queueMicrotask(poll);
      return id;
    },

    /** Resolves when no message is waiting, in flight or hidden any more, or the queue was stopped. */
    async idle(): Promise<void> {
      if (!isIdle()) await new Promise<void>((resolve) => whenIdle.push(resolve));
    },

    /** Stops deliveries; a running invocation ends by itself. */
    stop(): void {
      stopped = true;
      for (const timer of reappearances) clearTimeout(timer);
      reappearances.clear();
      poll();
    },
  };
}

export type Queue = ReturnType<typeof createQueue>;
