import type { DynamoDBRecord, DynamoDBStreamEvent } from 'aws-lambda';
import { setTimeout } from 'node:timers/promises';
import * as z from 'zod/mini';

/** Positions of the records that were given up, as sent to the on-failure destination: without their content. */
export type GivenUp = { startSequenceNumber: string; endSequenceNumber: string; batchSize: number };

/**
 * How Lambda reads a function's response: absent, null or empty, at either level, is full success; any other value that is
 * not of this shape is full failure.
 * https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
 */
const batchResponseSchema = z.nullish(
  z.object({ batchItemFailures: z.nullish(z.array(z.object({ itemIdentifier: z.string() }))) }),
);

/**
 * A table's stream, of one shard, and the poller that Lambda puts before a function (an event source mapping with
 * `ReportBatchItemFailures` and `BisectBatchOnFunctionError`). Records are delivered in order, and wait behind one that
 * fails. From the first record that the function names, all are retried; a batch that throws is halved; a batch that
 * fails as a whole is retried until its retries are used up, and is then given up with all of its records.
 */
export function createTableStream({
  after,
  batchSize,
  retries,
  retryDelayMs,
  deliver,
}: {
  /** Filter on the new item: every attribute listed must have one of the values. */
  after: Readonly<Record<string, readonly string[]>>;
  batchSize: number;
  retries: number;
  retryDelayMs: number;
  /** Invokes the function: its response, or a rejection if it threw, crashed or ran out of time. */
  deliver: (event: DynamoDBStreamEvent) => Promise<unknown>;
}) {
  const waiting: DynamoDBRecord[] = [];
  const givenUp: GivenUp[] = [];
  const stopping = new AbortController();
  let draining: Promise<void> | undefined;

  async function drain(): Promise<void> {
    while (waiting.length > 0 && !stopping.signal.aborted) await work(waiting.splice(0, batchSize), retries);
    draining = undefined;
  }

  async function work(batch: DynamoDBRecord[], retriesLeft: number): Promise<void> {
    if (batch.length === 0 || stopping.signal.aborted) return;
    const handled = await handledOf(batch);
    if (handled === 'threw' && batch.length > 1) {
      const middle = Math.ceil(batch.length / 2);
      await work(batch.slice(0, middle), retries);
      await work(batch.slice(middle), retries);
    } else if (typeof handled === 'number' && handled > 0) {
      await work(batch.slice(handled), retries);
    } else if (retriesLeft > 0) {
      // Rejects when the stream is stopped, which the next round checks.
      await setTimeout(retryDelayMs, undefined, { signal: stopping.signal }).catch(() => {});
      await work(batch, retriesLeft - 1);
    } else {
      givenUp.push({
        startSequenceNumber: sequenceNumberOf(batch.at(0)),
        endSequenceNumber: sequenceNumberOf(batch.at(-1)),
        batchSize: batch.length,
      });
    }
  }

  /** The number of records, from the first, that need no retry. */
  async function handledOf(batch: DynamoDBRecord[]): Promise<number | 'threw'> {
    let response: unknown;
    try {
      response = await deliver({ Records: batch });
    } catch {
      return 'threw';
    }
    const parsed = batchResponseSchema.safeParse(response);
    if (!parsed.success) return 0;
    const failed = (parsed.data?.batchItemFailures ?? []).map(({ itemIdentifier }) =>
      batch.findIndex((record) => sequenceNumberOf(record) === itemIdentifier),
    );
    // A record that is not in the batch counts as if all had failed.
    return failed.length === 0 ? batch.length : Math.max(0, Math.min(...failed));
  }

  return {
    givenUp,

    /** Must be called in the order of the writes. */
    push(record: DynamoDBRecord): void {
      const image = record.dynamodb?.NewImage;
      const isWanted = Object.entries(after).every(([name, values]) =>
        values.includes(image?.[name]?.S ?? ''),
      );
      if (!isWanted || stopping.signal.aborted) return;
      waiting.push(record);
      draining ??= drain();
    },

    /** Resolves when no record is waiting or being processed, or the stream was stopped. */
    async idle(): Promise<void> {
      await draining;
    },

    /** Stops deliveries; a running invocation ends by itself. */
    stop(): void {
      stopping.abort();
    },
  };
}

export type TableStream = ReturnType<typeof createTableStream>;

const sequenceNumberOf = (record: DynamoDBRecord | undefined): string =>
  record?.dynamodb?.SequenceNumber ?? '';
