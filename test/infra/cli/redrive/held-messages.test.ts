import { SQSClient } from '@aws-sdk/client-sqs';
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { startAwsEndpoint } from '../../../../infra/local/aws/aws-endpoint.ts';
import { holdMessages } from '../../../../infra/cli/redrive/held-messages.ts';

/** A queue like SQS: a receive may miss messages, and messages that another run holds are hidden. */
let visible: string[];
let hidden: number;
/** Whether the receive of this number, from 1, returns messages. */
let finds: (receive: number) => boolean;
let receives: number;
let endpoint: Awaited<ReturnType<typeof startAwsEndpoint>>;
let sqs: SQSClient;

const receiveSchema = z.object({ MaxNumberOfMessages: z.number() });
const md5 = (body: string) => createHash('md5').update(body).digest('hex');

beforeAll(async () => {
  endpoint = await startAwsEndpoint({
    operations: {
      'AmazonSQS.ReceiveMessage': (body) => {
        receives += 1;
        if (!finds(receives)) return {};
        const found = visible.splice(0, receiveSchema.parse(body).MaxNumberOfMessages);
        hidden += found.length;
        return {
          Messages: found.map((id) => ({
            MessageId: id,
            ReceiptHandle: id,
            Body: id,
            MD5OfBody: md5(id),
            Attributes: { SentTimestamp: '1' },
          })),
        };
      },
      'AmazonSQS.GetQueueAttributes': () => ({
        Attributes: {
          ApproximateNumberOfMessages: String(visible.length),
          ApproximateNumberOfMessagesNotVisible: String(hidden),
        },
      }),
    },
  });
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
  sqs = new SQSClient({ endpoint: endpoint.url, region: 'us-east-1', credentials });
});
afterAll(async () => {
  sqs.destroy();
  await endpoint.stop();
});
beforeEach(() => {
  visible = Array.from({ length: 25 }, (_, index) => `m-${index}`);
  hidden = 0;
  receives = 0;
  finds = () => true;
});

async function hold(limit = 100) {
  const held = holdMessages(sqs, `${endpoint.url}/000000000000/dead-letters`);
  await held.receive(limit, new AbortController().signal);
  return { count: held.messages().length, others: await held.countOthers() };
}

test('a receive continues after an empty response while the queue has more', async () => {
  finds = (receive) => receive % 3 === 0;
  expect(await hold()).toEqual({ count: 25, others: { visible: 0, hidden: 0 } });
});

test('a receive ends when the queue is empty', async () => {
  expect(await hold()).toMatchObject({ count: 25 });
  // Ten, ten, five, none.
  expect(receives).toBe(4);
});

test('a receive gives up on a queue that never returns its messages, and counts them', async () => {
  finds = (receive) => receive === 1;
  expect(await hold()).toEqual({ count: 10, others: { visible: 15, hidden: 0 } });
});

test('messages that another run holds are counted as hidden', async () => {
  hidden = 7;
  expect(await hold()).toEqual({ count: 25, others: { visible: 0, hidden: 7 } });
});

test('a receive stops at the limit, and the rest is counted', async () => {
  expect(await hold(10)).toEqual({ count: 10, others: { visible: 15, hidden: 0 } });
});
