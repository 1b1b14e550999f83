import { beforeEach, describe, expect, test } from 'vitest';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { log } from '../../../functions/runtime/log.ts';
import { queueHandler, type Delivery, type MessageOutcome } from '../../../functions/runtime/queue.ts';
import { captureLines, context, logIn, metricsIn } from '../../support/written-lines.ts';

const lines = captureLines();
const handled: { message: object; delivery: Delivery; arrivedAt: number; ports: number }[] = [];
let opened = 0;
let next: (tenantId: string) => Promise<MessageOutcome>;
beforeEach(() => {
  handled.length = 0;
  next = async () => ({ outcome: 'done', retry: false });
});

/** A body is the tenant as JSON. */
const handler = queueHandler({
  open: () => (opened += 1),
  isNotOurs: (body) => body === 'not-ours',
  parse: (body, arrivedAt) => {
    if (typeof body === 'string') return { tenantId: body, elementKey: 'taxify', arrivedAt };
    const problems = [{ pointer: '#', detail: 'expected text' }];
    throw body === 7
      ? new TypeError('a bug')
      : new OnboardingError('invalid-request', 'No text.', { problems });
  },
  handle: (message, delivery, ports) => {
    const { arrivedAt, ...key } = message;
    handled.push({ message: key, delivery, arrivedAt, ports });
    return next(message.tenantId);
  },
});
const record = (body: unknown, messageId = 'm-1') => ({
  messageId,
  body: typeof body === 'string' && body.startsWith('{') ? body : JSON.stringify(body),
  attributes: { SentTimestamp: '1700000000000', ApproximateReceiveCount: '13' },
});
const deliver = (...bodies: unknown[]) =>
  handler({ Records: bodies.map((body, index) => record(body, `m-${index + 1}`)) }, context);
const failed = (...ids: string[]) => ({
  batchItemFailures: ids.map((itemIdentifier) => ({ itemIdentifier })),
});
const key = { tenantId: 'acme', elementKey: 'taxify' };

const rejecting = (error: unknown) => async () => {
  throw error;
};

describe('a message', () => {
  test('a message is handled with the times of its arrival and of the invocation’s end', async () => {
    const before = Date.now();
    expect(await deliver('acme')).toEqual(failed());
    expect(handled).toEqual([
      {
        message: key,
        arrivedAt: 1_700_000_000_000,
        delivery: { deadlineAt: expect.any(Number), deliveries: 13 },
        ports: opened,
      },
    ]);
    const deadlineAt = handled[0]?.delivery.deadlineAt ?? 0;
    expect(deadlineAt).toBeGreaterThanOrEqual(before + 10_000);
    expect(deadlineAt).toBeLessThanOrEqual(Date.now() + 10_000);
    await deliver('globex');
    expect(handled[1]?.ports).toBe(handled[0]?.ports);
  });

  const line = { message: 'message', awsRequestId: 'request-1', messageId: 'm-1' };
  const done = { ...line, level: 'INFO', retry: false };
  const again = { ...line, level: 'WARN', retry: true };
  const invalid = new OnboardingError('invalid-request', 'No.');
  const busy = new OnboardingError('busy', 'Later.');

  test.each<[string, unknown, typeof next, object, object, object]>([
    [
      'done',
      'acme',
      async () => ({ outcome: 'done', retry: false, provisionId: 'g-1' }),
      failed(),
      { ...done, ...key, outcome: 'done', provisionId: 'g-1' },
      { Succeeded: [1] },
    ],
    [
      'to be delivered again',
      'acme',
      async () => ({ outcome: 'waiting', retry: true }),
      failed('m-1'),
      { ...again, ...key, outcome: 'waiting' },
      { Pending: [1] },
    ],
    [
      'not ours',
      'not-ours',
      rejecting(invalid),
      failed(),
      { ...done, outcome: 'not-ours' },
      { Succeeded: [1] },
    ],
    [
      'malformed',
      { a: 1 },
      rejecting(invalid),
      failed('m-1'),
      {
        ...again,
        outcome: 'malformed',
        error: {
          code: 'invalid-request',
          message: 'No text.',
          problems: [{ pointer: '#', detail: 'expected text' }],
        },
      },
      { Refused: [1] },
    ],
    [
      'no JSON',
      '{',
      rejecting(invalid),
      failed('m-1'),
      { ...again, outcome: 'malformed', error: { message: 'No text.' } },
      { Refused: [1] },
    ],
    [
      'read by code with a bug',
      7,
      rejecting(invalid),
      failed('m-1'),
      { ...again, outcome: 'malformed', error: { code: 'internal', message: 'a bug' } },
      { Failed: [1] },
    ],
    [
      'refused',
      'acme',
      rejecting(invalid),
      failed(),
      { ...done, ...key, outcome: 'refused', error: { code: 'invalid-request', message: 'No.' } },
      { Refused: [1] },
    ],
    [
      'refused for now',
      'acme',
      rejecting(busy),
      failed('m-1'),
      { ...again, ...key, outcome: 'failed', error: { code: 'busy', message: 'Later.' } },
      { Pending: [1] },
    ],
    [
      'handled by code with a bug',
      'acme',
      rejecting(new TypeError('a bug')),
      failed('m-1'),
      { ...again, ...key, outcome: 'failed', error: { code: 'internal', message: 'a bug' } },
      { Failed: [1] },
    ],
  ])(
    'a message that is %s has this response, log line and metric',
    async (_what, body, handle, response, logged, counted) => {
      next = handle;
      expect(await deliver(body)).toEqual(response);
      expect(logIn(lines)).toMatchObject([{ ...logged, durationMs: expect.any(Number) }]);
      expect(Number(logIn(lines)[0]?.['durationMs'])).toBeLessThan(5_000);
      expect(metricsIn(lines)).toEqual(counted);
    },
  );
});

test('every log line of a batch has the id of its invocation', async () => {
  next = async () => {
    log.info('inside', {});
    return { outcome: 'done', retry: false };
  };
  await handler({ Records: [record('acme')] }, { ...context, awsRequestId: 'request-2' });
  expect(logIn(lines)).toMatchObject([{ awsRequestId: 'request-2' }, { awsRequestId: 'request-2' }]);
});

test('messages of a batch are handled at once, and only those to be delivered again are named', async () => {
  const { promise, resolve } = Promise.withResolvers<MessageOutcome>();
  next = (tenantId) => {
    if (tenantId === 'last') resolve({ outcome: 'done', retry: false });
    return tenantId === 'waiting' ? Promise.resolve({ outcome: 'waiting', retry: true }) : promise;
  };
  expect(await deliver('first', 'waiting', {}, 'last')).toEqual(failed('m-2', 'm-3'));
  expect(logIn(lines)).toHaveLength(4);
});

test.each([
  [{ SentTimestamp: 'x1', ApproximateReceiveCount: '1' }, 'ms since the epoch'],
  [{ SentTimestamp: '1x', ApproximateReceiveCount: '1' }, 'ms since the epoch'],
  [{ SentTimestamp: '1', ApproximateReceiveCount: 'x1' }, 'a number'],
  [{ SentTimestamp: '1', ApproximateReceiveCount: '1x' }, 'a number'],
  [{ SentTimestamp: '1' }, 'ApproximateReceiveCount'],
])('a record with the attributes %j fails the batch', async (attributes, fault) => {
  await expect(handler({ Records: [{ ...record('acme'), attributes }] }, context)).rejects.toThrow(fault);
  expect(handled).toEqual([]);
});
