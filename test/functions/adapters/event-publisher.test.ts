import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { createEventPublisher } from '../../../functions/adapters/event-publisher.ts';
import type { OutgoingEvent } from '../../../functions/model/result-events.ts';
import { startAwsEndpoint } from '../../../infra/local/aws/aws-endpoint.ts';
import { AwsError } from '../../../infra/local/aws/aws-protocol.ts';

const calls: unknown[] = [];
/** The response to each call. */
let respond: () => object;
const endpoint = await startAwsEndpoint({
  operations: {
    'AWSEvents.PutEvents': (body) => {
      calls.push(body);
      return respond();
    },
  },
});
const client = new EventBridgeClient({
  endpoint: endpoint.url,
  region: 'us-east-1',
  credentials: { accessKeyId: 'tests', secretAccessKey: 'tests' },
});
afterAll(async () => {
  client.destroy();
  await endpoint.stop();
});

const delaysMs: number[] = [];
beforeEach(() => {
  calls.length = 0;
  delaysMs.length = 0;
  respond = accepting(10);
});
const accepting = (count: number) => () => ({
  FailedEntryCount: 0,
  Entries: Array.from({ length: count }, (_, index) => ({ EventId: `event-${index}` })),
});

const sleep = async (delayMs: number) => delaysMs.push(delayMs);
const publisher = (options: Partial<Parameters<typeof createEventPublisher>[0]> = {}) =>
  createEventPublisher({ client, busName: 'a-bus', sleep, ...options });
const eventOf = (text: string, over: Partial<OutgoingEvent> = {}): OutgoingEvent => ({
  source: 'element-onboarding',
  detailType: 'InstanceProvisioned',
  detail: { text },
  timeMs: Date.parse('2026-11-26T12:00:00Z'),
  ...over,
});
const resultsOf = (...events: OutgoingEvent[]) =>
  events.map((event, index) => ({ tenantId: `tenant-${index}`, events: [event] }));

test('an event has its bus, source, type, detail and time', async () => {
  const entry = {
    EventBusName: 'a-bus',
    Source: 'element-onboarding',
    DetailType: 'InstanceProvisioned',
    Detail: '{"text":"a"}',
    Time: Date.parse('2026-11-26T12:00:00Z') / 1_000,
  };
  await publisher()(resultsOf(eventOf('a')));
  await publisher({ sourceOf: ({ source }) => `${source}.of-another-stage` })(resultsOf(eventOf('a')));
  expect(calls).toEqual([
    { Entries: [entry] },
    { Entries: [{ ...entry, Source: 'element-onboarding.of-another-stage' }] },
  ]);
});

test('events of exactly 256 KB are sent in one call, of one byte more in two', async () => {
  const half = eventOf('', { detailType: 'é', detail: {} });
  const bytes = 128 * 1_024 - Buffer.byteLength('element-onboardingé{"text":""}');
  const full = { ...half, detail: { text: 'x'.repeat(bytes) } };
  const larger = { ...half, detail: { text: 'x'.repeat(bytes + 1) } };
  await publisher()(resultsOf(full, full));
  expect(calls).toHaveLength(1);
  await publisher()(resultsOf(full, larger));
  expect(calls).toHaveLength(3);
  await publisher()(resultsOf(full, full, eventOf('a'), eventOf('b')));
  expect(calls.slice(3).map((call) => Object(call).Entries.length)).toEqual([2, 2]);
});

test('ten events are sent in one call, the eleventh in another', async () => {
  const events = Array.from({ length: 21 }, () => eventOf('a'));
  await publisher()(resultsOf(...events.slice(0, 10)));
  await publisher()(resultsOf(...events));
  expect(calls.map((call) => Object(call).Entries.length)).toEqual([10, 10, 10, 1]);
});

const write = (tenantId: string, text: string) => ({ tenantId, events: [eventOf(text)] });

test('events of two writes of a tenant are sent in two calls, in order', async () => {
  await publisher()([write('acme', 'a'), write('globex', 'b'), write('globex', 'c'), write('acme', 'd')]);
  const texts = calls.map((call) =>
    Object(call).Entries.map(({ Detail }: { Detail: string }) => JSON.parse(Detail).text),
  );
  expect(texts).toEqual([
    ['a', 'b'],
    ['c', 'd'],
  ]);
  await publisher()([write('acme', 'a'), write('acme', 'b'), write('acme', 'c')]);
  expect(calls).toHaveLength(5);
});

test('all events of one write of a tenant are sent in one call', async () => {
  await publisher()([{ tenantId: 'acme', events: [eventOf('a'), eventOf('b')] }]);
  expect(calls).toHaveLength(1);
});

test('an event that a response does not mention is sent again', async () => {
  const responses = [{}, accepting(0)(), accepting(1)()];
  respond = () => responses.shift() ?? accepting(1)();
  await publisher()(resultsOf(eventOf('a'), eventOf('b')));
  expect(calls.map((call) => Object(call).Entries.length)).toEqual([2, 2, 2, 1]);
  expect(delaysMs).toEqual([100, 300, 900]);
});

test('events that are not accepted are reported with each reason once', async () => {
  respond = () => ({
    FailedEntryCount: 3,
    Entries: ['InternalFailure', 'ThrottlingException', 'InternalFailure'].map((ErrorCode) => ({
      ErrorCode,
    })),
  });
  const results = resultsOf(eventOf('a'), eventOf('b'), eventOf('c'), eventOf('d'));
  await expect(publisher()(results)).rejects.toMatchObject({
    code: 'aws-unavailable',
    message: 'EventBridge did not take 4 of 4 events: InternalFailure, ThrottlingException, no answer.',
  });
});

test('a failed call is reported with the number of its events', async () => {
  respond = () => {
    throw new AwsError('AccessDeniedException', 'not authorized');
  };
  await expect(publisher()(resultsOf(eventOf('a'), eventOf('b')))).rejects.toMatchObject({
    code: 'aws-unavailable',
    message: 'PutEvents for 2 events failed; whether it took effect is not known.',
  });
  expect(calls).toHaveLength(1);
});

test('a publisher waits before it sends an event again', async () => {
  const { promise, resolve } = Promise.withResolvers<number>();
  const responses = [accepting(0)()];
  respond = () => {
    if (responses.length > 0) setTimeout(() => resolve(calls.length), 50);
    return responses.shift() ?? accepting(1)();
  };
  await createEventPublisher({ client, busName: 'a-bus' })(resultsOf(eventOf('a')));
  expect(await promise).toBe(1);
  expect(calls).toHaveLength(2);
});
