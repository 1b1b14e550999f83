import { PutEventsCommand, type PutEventsRequestEntry } from '@aws-sdk/client-eventbridge';
import { CreateSecretCommand, PutSecretValueCommand } from '@aws-sdk/client-secrets-manager';
import { createHash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect } from 'vitest';
import * as z from 'zod/mini';
import { triggers } from '../../../../../functions/triggers.ts';
import { conforms, startTarget, type Received, type Rule, type Target, type TestQueue } from './target.ts';

const api = 'https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html';
const guide = 'https://docs.aws.amazon.com/eventbridge/latest/userguide/';
const queues = 'https://docs.aws.amazon.com/AWSSimpleQueueService/latest/';

let target: Target;
beforeAll(async () => {
  target = await startTarget();
});
afterAll(() => target.stop());

const put = (...Entries: PutEventsRequestEntry[]) =>
  target.eventBridge.send(
    new PutEventsCommand({ Entries: Entries.map((entry) => ({ EventBusName: target.busName, ...entry })) }),
  );
const eventOf = (Source: string, DetailType: string, detail: object = {}): PutEventsRequestEntry => ({
  Source,
  DetailType,
  Detail: JSON.stringify(detail),
});

/** Takes so many messages out of the queue. */
async function take(queue: TestQueue, count: number): Promise<Received[]> {
  const taken: Received[] = [];
  await queue.consume({
    handle: (batch) => {
      taken.push(...batch);
      return [];
    },
    isOver: () => taken.length >= count,
  });
  return taken;
}

const envelopeSchema = z.record(z.string(), z.unknown());
const envelopeIn = ({ body }: Received) => envelopeSchema.parse(JSON.parse(body));

/** The envelope of an event that has gone through the bus. */
async function delivered(entry: PutEventsRequestEntry) {
  const source = `crm.${randomUUID()}`;
  const queue = await target.openQueue({ pattern: { source: [source], 'detail-type': ['TenantOnboarded'] } });
  const { Entries } = await put({ ...entry, Source: source });
  const [message] = await take(queue, 1);
  return {
    id: Entries?.[0]?.EventId,
    source,
    envelope: envelopeSchema.parse(message && envelopeIn(message)),
  };
}

conforms(
  'an event reaches the queue in its envelope, with the id that its sender was given',
  { source: `${guide}aws-events.html` },
  async () => {
    const { id, source, envelope } = await delivered(
      eventOf('', 'TenantOnboarded', { tenantId: 'é', deep: [{ a: null }] }),
    );
    expect(envelope).toMatchObject({
      version: '0',
      id,
      'detail-type': 'TenantOnboarded',
      source,
      region: 'us-east-1',
      resources: [],
      detail: { tenantId: 'é', deep: [{ a: null }] },
    });
  },
);

conforms(
  'an event names the account',
  { source: `${guide}aws-events.html`, not: { moto: 'it leaves the account out' } },
  async () => {
    const { envelope } = await delivered(eventOf('', 'TenantOnboarded'));
    expect(envelope).toMatchObject({ account: expect.stringMatching(/^\d{12}$/) });
  },
);

conforms(
  'an event keeps the time that its sender gave, in whole seconds',
  {
    source: `${api}#eventbridge-PutEvents-request-Entries`,
    not: { MiniStack: 'it takes the time of arrival' },
  },
  async () => {
    const Time = new Date('2026-11-26T08:00:00.700Z');
    const { envelope } = await delivered({ ...eventOf('', 'TenantOnboarded'), Time });
    expect(envelope).toMatchObject({ time: '2026-11-26T08:00:00Z' });
  },
);

conforms('an entry without a time has that of its arrival', { source: api }, async () => {
  const source = `crm.${randomUUID()}`;
  const queue = await target.openQueue({ pattern: { source: [source], 'detail-type': ['x'] } });
  const before = Math.floor(Date.now() / 1_000) * 1_000;
  await put(eventOf(source, 'x'));
  const [message] = await take(queue, 1);
  const { time } = z.object({ time: z.string() }).parse(message && envelopeIn(message));
  expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  expect(Date.parse(time)).toBeGreaterThanOrEqual(before);
  expect(Date.parse(time)).toBeLessThanOrEqual(Date.now());
});

const takesIt = 'it takes the entry';
const MiniStack = takesIt;
const moto = takesIt;
const refusedEntries: [
  what: string,
  entry: PutEventsRequestEntry,
  code: string,
  not: Parameters<typeof conforms>[1]['not'],
][] = [
  [
    'whose detail is no JSON',
    { ...eventOf('crm.example', 'x'), Detail: '{"open":' },
    'MalformedDetail',
    { MiniStack },
  ],
  [
    'whose detail is no object',
    { ...eventOf('crm.example', 'x'), Detail: '"text"' },
    'MalformedDetail',
    { MiniStack, moto },
  ],
  ['without a source', { DetailType: 'x', Detail: '{}' }, 'InvalidArgument', { MiniStack }],
  ['without a detail type', { Source: 'crm.example', Detail: '{}' }, 'InvalidArgument', { MiniStack }],
  [
    'from a source of AWS',
    eventOf('aws.secretsmanager', 'Secret Label Updated'),
    'NotAuthorizedForSourceException',
    { moto },
  ],
];
for (const [what, entry, code, not = {}] of refusedEntries) {
  conforms(`an entry ${what} is refused alone, as ${code}`, { source: api, not }, async () => {
    const good = eventOf('crm.example', 'x');
    const { FailedEntryCount, Entries = [] } = await put(good, entry, good);
    expect(FailedEntryCount).toBe(1);
    expect(Entries.map(({ EventId, ErrorCode }) => ErrorCode ?? typeof EventId)).toEqual([
      'string',
      code,
      'string',
    ]);
  });
}

conforms('a call of more than ten entries is not valid', { source: api }, async () => {
  const many = Array.from({ length: 11 }, () => eventOf('crm.example', 'x'));
  await expect(put(...many)).rejects.toMatchObject({ name: 'ValidationException' });
});

const takesNothing = 'it takes a call without entries';
conforms(
  'a call without entries is not valid',
  { source: api, not: { MiniStack: takesNothing, moto: takesNothing } },
  async () => {
    await expect(put()).rejects.toMatchObject({ name: 'ValidationException' });
  },
);

/** Events that reach a queue of the service, and ones like them that do not. */
const samples = [
  'crm.example|TenantOnboarded',
  'another.source|TenantOffboarded',
  'crm.example|tenantonboarded',
  'crm.example|TenantOnboardedX',
  'controlPlaneEventSource|onboardingRequest',
  'controlPlaneEventSource|offboardingRequest',
  'controlPlaneEventSourceX|onboardingRequest',
  'crm.example|onboardingRequest',
  'sbt.control.plane|sbt_aws_onboardingRequest',
  'sbt.control.plane|sbt_aws_offboardingRequest',
  'sbt.application.plane|sbt_aws_onboardingRequest',
  'sbt.control.plane|onboardingRequest',
];

conforms(
  'the patterns of the triggers match the same events',
  { source: `${guide}eb-create-pattern.html` },
  async () => {
    const last = 'last.sample|last';
    const received: string[][] = [];
    const patterns = [
      ...triggers['onboard-tenants'].queue.events,
      ...triggers['offboard-tenants'].queue.events,
    ];
    const opened = await Promise.all(
      patterns.map(async (pattern) => ({ pattern, queue: await target.openQueue({ pattern }) })),
    );
    const sentinel = await target.openQueue({ pattern: { 'detail-type': ['last'] } });
    for (const sample of [...samples, last]) {
      const [source = '', detailType = ''] = sample.split('|');
      await put(eventOf(source, detailType, { sample }));
    }
    await take(sentinel, 1);
    for (const { pattern, queue } of opened) {
      const expected = samples.filter((sample) => {
        const [source, detailType] = sample.split('|');
        const { source: sources = [source] } = 'source' in pattern ? pattern : {};
        return (
          sources.some((each) => each === source) &&
          pattern['detail-type'].some((each) => each === detailType)
        );
      });
      const taken = await take(queue, expected.length);
      received.push(
        taken.map((message) => z.object({ sample: z.string() }).parse(envelopeIn(message)['detail']).sample),
      );
      expect(received.at(-1)?.toSorted()).toEqual(expected.toSorted());
    }
    expect(received.flat()).toHaveLength(6);
  },
);

conforms(
  "a tenant's changed secret is an event on the default bus; a new secret and another prefix's are none",
  {
    source: 'https://docs.aws.amazon.com/secretsmanager/latest/userguide/monitoring-eventbridge.html',
    not: { moto: 'its secrets send no events' },
  },
  async () => {
    const { secretEvents } = triggers['apply-secrets'].queue;
    const queue = await target.openQueue({ secretEvents } satisfies Rule);
    const { tenantSecretsPrefix, secretsManager } = target;
    const name = `${tenantSecretsPrefix}/tenants/acme/taxify`;
    for (const Name of [`other/tenants/${randomUUID()}/taxify`, name]) {
      await secretsManager.send(new CreateSecretCommand({ Name, SecretString: 'old' }));
      await secretsManager.send(new PutSecretValueCommand({ SecretId: Name, SecretString: 'new' }));
    }
    let received: Received[] = [];
    const endsAt = Date.now() + 3_000;
    await queue.consume({
      handle: (batch) => {
        received = [...received, ...batch];
        return [];
      },
      isOver: () => received.length > 0 || Date.now() > endsAt,
    });
    expect(received.map(envelopeIn)).toEqual([
      expect.objectContaining({
        source: 'aws.secretsmanager',
        'detail-type': 'Secret Label Updated',
        detail: { name, labelUpdated: 'AWSCURRENT', versionId: expect.any(String) },
      }),
    ]);
  },
);

conforms(
  'a message arrives with its id, the digest of its body, and when it was sent',
  { source: `${queues}APIReference/API_ReceiveMessage.html` },
  async () => {
    const queue = await target.openQueue();
    const before = Date.now();
    await queue.send('{"é": 1}');
    const [message] = await take(queue, 1);
    expect(message).toMatchObject({
      body: '{"é": 1}',
      md5OfBody: createHash('md5').update('{"é": 1}').digest('hex'),
      messageId: expect.stringMatching(/^[\da-f-]{36}$/),
      attributes: { ApproximateReceiveCount: '1' },
    });
    for (const name of ['SentTimestamp', 'ApproximateFirstReceiveTimestamp'] as const) {
      const moment = Number(message?.attributes[name]);
      expect(moment).toBeGreaterThanOrEqual(before - 1);
      expect(moment).toBeLessThanOrEqual(Date.now());
    }
  },
);

conforms(
  'a message that failed comes again, with its first times; one that succeeded does not',
  { source: `${queues}SQSDeveloperGuide/sqs-visibility-timeout.html` },
  async () => {
    const queue = await target.openQueue();
    const received: Received[] = [];
    await queue.send('bad');
    await queue.send('good');
    await queue.consume({
      handle: (batch) => {
        received.push(...batch);
        return batch
          .filter(({ body, attributes }) => body === 'bad' && attributes.ApproximateReceiveCount === '1')
          .map(({ messageId }) => messageId);
      },
      isOver: () => received.filter(({ body }) => body === 'bad').length === 2,
    });
    const [first, second, ...more] = received.filter(({ body }) => body === 'bad');
    expect(more).toEqual([]);
    expect(second).toMatchObject({
      messageId: first?.messageId,
      body: 'bad',
      attributes: { ...first?.attributes, ApproximateReceiveCount: '2' },
    });
    expect(received.filter(({ body }) => body === 'good')).toHaveLength(1);
    expect(await queue.deadLetters()).toEqual([]);
  },
);

conforms(
  'a message that has failed too often is a dead letter, which keeps the time when it was sent',
  {
    source: `${queues}SQSDeveloperGuide/sqs-dead-letter-queues.html#understanding-message-retention-periods`,
  },
  async () => {
    const queue = await target.openQueue();
    const received: Received[] = [];
    await queue.send('bad');
    await queue.consume({
      handle: (batch) => {
        received.push(...batch);
        return batch.map(({ messageId }) => messageId);
      },
      isOver: () => received.length === 2,
    });
    expect(await queue.deadLetters()).toEqual([
      { body: 'bad', sentAtMs: Number(received[0]?.attributes.SentTimestamp) },
    ]);
  },
);
