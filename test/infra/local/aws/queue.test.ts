import type { SQSEvent } from 'aws-lambda';
import { createHash } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { createQueue } from '../../../../infra/local/aws/queue.ts';
import type { Queue } from '../../../../infra/local/aws/queue.ts';

const visibilityTimeoutMs = 40;
const started: Queue[] = [];
afterEach(() => {
  for (const queue of started.splice(0)) queue.stop();
});

/** A queue before a function that answers `answer(bodies, attempt)`; `batches` holds its inputs. */
function startQueue(
  response: (event: SQSEvent, attempt: number) => unknown,
  options: { batchSize?: number; maxConcurrency?: number; maxReceiveCount?: number } = {},
) {
  const batches: string[][] = [];
  const queue = createQueue({
    name: 'a-queue',
    batchSize: 10,
    maxConcurrency: 5,
    maxReceiveCount: 3,
    visibilityTimeoutMs,
    ...options,
    deliver: async (event) => {
      batches.push(event.Records.map(({ body }) => body));
      return await response(event, batches.length);
    },
  });
  started.push(queue);
  return { queue, batches };
}

function failing(event: SQSEvent, ...bodies: string[]) {
  const failed = event.Records.filter(({ body }) => bodies.includes(body));
  return { batchItemFailures: failed.map(({ messageId }) => ({ itemIdentifier: messageId })) };
}

test('the queue delivers messages in the shape of an SQS event', async () => {
  const events: SQSEvent[] = [];
  const { queue } = startQueue((event) => void events.push(event));
  const sentAtMs = Date.now();
  const messageId = queue.send('{"a":1}');
  await queue.idle();
  const [record] = events[0]?.Records ?? [];
  expect(record).toMatchObject({
    messageId,
    body: '{"a":1}',
    md5OfBody: createHash('md5').update('{"a":1}').digest('hex'),
    attributes: { ApproximateReceiveCount: '1' },
    eventSource: 'aws:sqs',
    eventSourceARN: 'arn:aws:sqs:us-east-1:000000000000:a-queue',
    awsRegion: 'us-east-1',
  });
  expect(Number(record?.attributes.SentTimestamp) - sentAtMs).toBeLessThan(1_000);
});

test('the queue delivers only the failed messages of a batch again, after the visibility timeout', async () => {
  const receivedAtMs: number[] = [];
  const { queue, batches } = startQueue((event, attempt) => {
    receivedAtMs.push(performance.now());
    return attempt === 1 ? failing(event, 'bad') : undefined;
  });
  queue.send('good');
  queue.send('bad');
  queue.send('better');
  await queue.idle();
  expect(batches).toEqual([['good', 'bad', 'better'], ['bad']]);
  const [first = 0, second = 0] = receivedAtMs;
  expect(second - first).toBeGreaterThanOrEqual(visibilityTimeoutMs - 2);
  expect(queue.deadLetters).toEqual([]);
});

describe('responses that count as full success', () => {
  test.each([
    ['nothing', undefined],
    ['null', null],
    ['an empty answer', {}],
    ['an empty list', { batchItemFailures: [] }],
    ['a list that is null', { batchItemFailures: null }],
    ['a misspelled key', { batchItemsFailures: [{ itemIdentifier: 'x' }] }],
  ])('the response %s counts as full success', async (_, response) => {
    const { queue, batches } = startQueue(() => response);
    queue.send('a');
    queue.send('b');
    await queue.idle();
    expect(batches).toEqual([['a', 'b']]);
    expect(queue.deadLetters).toEqual([]);
  });
});

describe('responses that count as failure of the whole batch', () => {
  test.each([
    ['an identifier that is not in the batch', () => ({ batchItemFailures: [{ itemIdentifier: 'x' }] })],
    ['an empty identifier', () => ({ batchItemFailures: [{ itemIdentifier: '' }] })],
    ['an identifier that is null', () => ({ batchItemFailures: [{ itemIdentifier: null }] })],
    ['a misspelled identifier', () => ({ batchItemFailures: [{ messageId: 'x' }] })],
    ['a list that is none', () => ({ batchItemFailures: 'x' })],
    ['an exception', () => Promise.reject(new Error('thrown'))],
    [
      'one bad identifier among good ones',
      (event: SQSEvent) => {
        const { batchItemFailures } = failing(event, 'a');
        return { batchItemFailures: [...batchItemFailures, { itemIdentifier: 'x' }] };
      },
    ],
  ])('the response %s counts as failure of the whole batch', async (_, response) => {
    const { queue, batches } = startQueue((event, attempt) => (attempt === 1 ? response(event) : undefined));
    queue.send('a');
    queue.send('b');
    await queue.idle();
    expect(batches).toEqual([
      ['a', 'b'],
      ['a', 'b'],
    ]);
  });
});

test('a message becomes a dead letter after its last receive, and not before', async () => {
  const counts: string[] = [];
  const { queue, batches } = startQueue((event) => {
    counts.push(...event.Records.map(({ attributes }) => attributes.ApproximateReceiveCount));
    return failing(event, 'poison');
  });
  const messageId = queue.send('poison');
  queue.send('fine');
  await queue.idle();
  expect(batches).toEqual([['poison', 'fine'], ['poison'], ['poison']]);
  expect(counts).toEqual(['1', '1', '2', '3']);
  expect(queue.deadLetters).toMatchObject([{ messageId, body: 'poison', receiveCount: 3 }]);
});

test('a message keeps the time of its first arrival through every delivery and as a dead letter', async () => {
  const sentAt: string[] = [];
  const { queue } = startQueue((event) => {
    sentAt.push(...event.Records.map(({ attributes }) => attributes.SentTimestamp));
    return failing(event, 'poison');
  });
  const beforeMs = Date.now();
  queue.send('poison');
  const afterMs = Date.now();
  await queue.idle();
  const [first = ''] = sentAt;
  expect(sentAt).toEqual([first, first, first]);
  expect(first).toMatch(/^\d{13}$/);
  expect(Number(first)).toBeGreaterThanOrEqual(beforeMs);
  expect(Number(first)).toBeLessThanOrEqual(afterMs);
  expect(queue.deadLetters).toMatchObject([{ body: 'poison', sentAtMs: Number(first) }]);
});

test('the queue never exceeds its limit of batches in flight', async () => {
  let inFlight = 0;
  let most = 0;
  const { queue, batches } = startQueue(
    async () => {
      inFlight += 1;
      most = Math.max(most, inFlight);
      await new Promise((resolve) => setTimeout(resolve, 5));
      inFlight -= 1;
    },
    { batchSize: 2, maxConcurrency: 3 },
  );
  for (let index = 0; index < 20; index += 1) queue.send(String(index));
  await queue.idle();
  expect(most).toBe(3);
  expect(batches.every((batch) => batch.length <= 2)).toBe(true);
  expect(batches.flat()).toHaveLength(20);
});

test('the queue does not deliver a message again while its invocation still runs', async () => {
  let inFlight = 0;
  const { queue, batches } = startQueue(async (event, attempt) => {
    inFlight += 1;
    expect(inFlight).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 2 * visibilityTimeoutMs));
    inFlight -= 1;
    return attempt === 1 ? failing(event, 'slow') : undefined;
  });
  queue.send('slow');
  await queue.idle();
  expect(batches).toEqual([['slow'], ['slow']]);
  expect(queue.deadLetters).toEqual([]);
});

test('the queue delivers nothing after a stop, and waiting ends', async () => {
  const { queue, batches } = startQueue(() => Promise.reject(new Error('always')));
  queue.send('a');
  const idle = queue.idle();
  await new Promise((resolve) => setTimeout(resolve, visibilityTimeoutMs / 4));
  queue.stop();
  await idle;
  queue.send('b');
  await new Promise((resolve) => setTimeout(resolve, 2 * visibilityTimeoutMs));
  expect(batches).toEqual([['a']]);
});
