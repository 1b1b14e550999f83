import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { isDeployed } from './deployed/endpoint.ts';
import { newTenant } from '../support/real-servers.ts';
import {
  eventOf,
  startService,
  tenantOnboarded,
  type Event,
  type Service,
} from '../support/running-service.ts';

const lastErrorSchema = z.object({ detail: z.string() });

/** A failed message is redelivered at once, and dead after a second and a half; deployed, at SQS's pace. */
const queue = isDeployed
  ? { visibilityTimeoutMs: 4_000, maxReceiveCount: 5 }
  : { visibilityTimeoutMs: 50, maxReceiveCount: 30 };

/** The second that is the default may be over before a function has been started on a busy machine. */
const patience = { timeout: 4_000 };

let service: Service;
/** From `startUnknownOutcome`: its look-ups take eight seconds, which pass during the other tests. */
let unknownOutcome: Awaited<ReturnType<typeof startUnknownOutcome>>;
beforeAll(async () => {
  service = await startService({ queue });
  // The first invocation bundles and starts the function, which should not count as a test's time.
  await service.invoke('onboard-tenants', { Records: [] });
  unknownOutcome = await startUnknownOutcome();
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await unknownOutcome.service[Symbol.asyncDispose]();
});
beforeEach(async () => {
  service.simulator.reset();
  await service.clearDeadLetters();
});

const tenantSecret = { 'api.key': 'stored-key-for-tests' };

/** Sends an event whose create breaks off, and whose instance Cloud Elements lists only on demand. */
async function startUnknownOutcome() {
  // Redelivered until the test ends, and never a dead letter.
  const own = await startService({ queue: { ...queue, maxReceiveCount: 1_000 } });
  own.simulator.listLagMs = 60_000;
  own.simulator.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'reset' } });
  const tenantId = newTenant();
  await own.putTenantSecret(tenantId, tenantSecret);
  await own.putEvents(tenantOnboarded(tenantId));
  return { service: own, tenantId };
}

async function newTenantWithSecret(): Promise<string> {
  const tenantId = newTenant();
  await service.putTenantSecret(tenantId, tenantSecret);
  return tenantId;
}

async function shownTo(tenantId: string): Promise<unknown> {
  const { json } = await service.get(`/tenants/${tenantId}/instances/taxify`);
  return json;
}

describe('an onboarding event', () => {
  const registrationId = randomUUID();
  const sbtDetail = { tenantRegistrationId: registrationId, tenantName: 'Shop', email: 'shop@example.com' };

  test.each([
    ['of our own', 'crm.example', 'TenantOnboarded', {}, { dialect: 'native' }],
    [
      'of the SaaS Builder Toolkit 0.5',
      'controlPlaneEventSource',
      'onboardingRequest',
      sbtDetail,
      { dialect: 'sbt-0.5', registrationId },
    ],
    [
      'of the SaaS Builder Toolkit 0.9',
      'sbt.control.plane',
      'sbt_aws_onboardingRequest',
      sbtDetail,
      { dialect: 'sbt-0.9', registrationId },
    ],
  ])(
    'the event %s provisions with the tenant’s secret',
    async (_what, source, detailType, detail, requestedBy) => {
      const tenantId = await newTenantWithSecret();
      await service.deliverEvents(eventOf(source, detailType, { ...detail, tenantId }));
      await service.expectOneActiveInstance(tenantId);
      expect(service.instancesOf(tenantId)[0]).toMatchObject({
        name: `taxify-${tenantId}`,
        configuration: tenantSecret,
      });
      expect(await service.outcomesOf(tenantId)).toEqual(['created']);
      expect(await service.rowOf(tenantId)).toMatchObject({ requestedBy });
    },
  );

  test.each([
    ['sbt_aws_onboardingRequest', 'onboard-tenants'],
    ['sbt_aws_offboardingRequest', 'offboard-tenants'],
  ] as const)(
    'the event %s of AWS Marketplace names no tenant, and is acknowledged as foreign',
    async (type, name) => {
      const body = JSON.stringify({
        id: randomUUID(),
        'detail-type': type,
        source: 'sbt.control.plane',
        time: new Date().toISOString(),
        detail: { customerIdentifier: 'customer-1', productCode: 'product-1' },
      });
      const Records = [
        {
          messageId: randomUUID(),
          body,
          attributes: { SentTimestamp: String(Date.now()), ApproximateReceiveCount: '1' },
        },
      ];
      expect(await service.invoke(name, { Records })).toEqual({ batchItemFailures: [] });
      expect((await service.logs()).findLast((line) => line.includes('not-ours'))).toContain(
        '"level":"INFO"',
      );
    },
  );

  test('a native event may name another element, a name, tags and allow-listed configuration', async () => {
    const tenantId = newTenant();
    await service.putTenantSecret(tenantId, tenantSecret);
    await service.putTenantSecret(
      tenantId,
      { subdomain: 'shop', username: 'stored-key-for-tests' },
      'freshdeskv2',
    );
    const settings = { name: 'Shop', tags: ['eu'] };
    await service.deliverEvents(
      tenantOnboarded(tenantId, { element: { key: 'freshdeskv2' }, ...settings }),
      tenantOnboarded(tenantId, { ...settings, configuration: { 'pagination.max': 20 } }),
    );
    const { json } = await service.get(`/tenants/${tenantId}/instances`);
    expect(json).toMatchObject([
      { element: { key: 'freshdeskv2' }, status: 'active', ...settings },
      { element: { key: 'taxify' }, status: 'active', ...settings },
    ]);
    const taxify = service.instancesOf(tenantId).find(({ element }) => element.key === 'taxify');
    expect(taxify?.configuration).toEqual({ ...tenantSecret, 'pagination.max': 20 });
  });

  test('a toolkit event is read for its two ids alone, with any other fields', async () => {
    const tenantId = await newTenantWithSecret();
    await service.deliverEvents(
      eventOf('sbt.control.plane', 'sbt_aws_onboardingRequest', {
        tenantId,
        tenantRegistrationId: registrationId,
        element: { key: 'freshdeskv2' },
        name: '<script>',
        tags: ['owner:them'],
        configuration: { 'base.url': 'http://127.0.0.1:9', 'api.key': 'not-this-key' },
        tier: { deep: [[[null]]] },
      }),
    );
    expect(service.instancesOf(tenantId)).toMatchObject([
      { element: { key: 'taxify' }, name: `taxify-${tenantId}`, configuration: tenantSecret },
    ]);
    expect(JSON.stringify(await service.rowOf(tenantId))).not.toMatch(/script|base\.url|not-this-key/);
  });

  test.each([
    ['TenantSuspended', 'crm.example'],
    ['tenantOnboarded', 'crm.example'],
    ['onboardingRequest', 'crm.example'],
    ['onboardingRequest', 'sbt.control.plane'],
    ['sbt_aws_onboardingRequest', 'controlPlaneEventSource'],
    ['sbt_aws_provisionSuccess', 'sbt.control.plane'],
  ])('an event is not matched in %s from %s', async (detailType, source) => {
    const tenantId = await newTenantWithSecret();
    await service.deliverEvents(
      eventOf(source, detailType, { tenantId, tenantRegistrationId: registrationId, element: {} }),
    );
    expect(await service.logsOf(tenantId)).toEqual([]);
    expect(await service.rowOf(tenantId)).toBeUndefined();
    expect(await service.deadLetters()).toEqual([]);
  });
});

/** As EventBridge puts an event into the queue, with a time of its sender's. Emulators give every event their own. */
const messageOf = ({ Source, DetailType, Detail }: Event, sentAt: number): string =>
  JSON.stringify({
    version: '0',
    id: randomUUID(),
    'detail-type': DetailType,
    source: Source,
    account: '000000000000',
    time: new Date(sentAt).toISOString().replace(/\.\d+Z$/, 'Z'),
    region: 'us-east-1',
    resources: [],
    detail: JSON.parse(Detail),
  });

describe('an event that comes more than once', () => {
  test('a repeated event makes one instance, also beside requests over HTTP', async () => {
    const tenantId = await newTenantWithSecret();
    service.simulator.latencyMs = 50;
    const [responses] = await Promise.all([
      Promise.all(Array.from({ length: 5 }, () => service.post(tenantId, { element: { key: 'taxify' } }))),
      service.putEvents(...Array.from({ length: 10 }, () => tenantOnboarded(tenantId))),
      service.putEvents(...Array.from({ length: 10 }, () => tenantOnboarded(tenantId))),
    ]);
    await service.idle();
    expect(responses.every(({ status }) => [200, 201, 202].includes(status))).toBe(true);
    expect(service.postsFor(tenantId)).toBe(1);
    await service.expectOneActiveInstance(tenantId);
    // An event that meets the claim of another is retried until it is a replay.
    expect(
      (await service.outcomesOf(tenantId)).filter((outcome) => outcome === 'replayed').length,
    ).toBeGreaterThanOrEqual(19);
    expect(await service.deadLetters()).toEqual([]);
  });

  test.skipIf(isDeployed)(
    'a repeated event makes no call to Cloud Elements, Secrets Manager or KMS',
    async () => {
      const tenantId = await newTenantWithSecret();
      await service.deliverEvents(tenantOnboarded(tenantId));
      const requestsBefore = service.stack.requests.length;
      await service.deliverEvents(tenantOnboarded(tenantId));
      expect(await service.outcomesOf(tenantId)).toEqual(['created', 'replayed']);
      const services = service.stack.requests.slice(requestsBefore).map((target) => target.split('.')[0]);
      expect(services).not.toContain('secretsmanager');
      expect(services).not.toContain('TrentService');
      expect(service.postsFor(tenantId)).toBe(1);
    },
  );

  test('a repeated event in the same message, as SQS may deliver it, makes one instance', async () => {
    const tenantId = await newTenantWithSecret();
    const Records = [
      {
        messageId: randomUUID(),
        body: messageOf(tenantOnboarded(tenantId), Date.now()),
        attributes: { SentTimestamp: String(Date.now()), ApproximateReceiveCount: '1' },
      },
    ];
    const deliveries = await Promise.all(
      Array.from({ length: 3 }, () => service.invoke('onboard-tenants', { Records })),
    );
    expect(deliveries).toContainEqual({ batchItemFailures: [] });
    expect(await service.invoke('onboard-tenants', { Records })).toEqual({ batchItemFailures: [] });
    expect(service.postsFor(tenantId)).toBe(1);
    await service.expectOneActiveInstance(tenantId);
  });

  test('an event stamped ahead of its arrival does not outdate a later offboarding', async () => {
    const tenantId = await newTenantWithSecret();
    await service.sendToQueue(messageOf(tenantOnboarded(tenantId), Date.now() + 90_000));
    await service.idle();
    await service.expectOneActiveInstance(tenantId);
    await service.deliverEvents(eventOf('crm.example', 'TenantOffboarded', { tenantId }));
    expect(service.instancesOf(tenantId)).toEqual([]);
  });

  test('a repeated event for another element is ignored after the whole tenant was removed', async () => {
    const tenantId = await newTenantWithSecret();
    await service.deliverEvents(eventOf('crm.example', 'TenantOffboarded', { tenantId }));
    const late = tenantOnboarded(tenantId, { element: { key: 'freshdeskv2' } });
    await service.sendToQueue(messageOf(late, Date.now() - 60_000));
    await service.idle();
    expect(service.postsFor(tenantId)).toBe(0);
    expect((await service.deliveriesOf(tenantId)).at(-1)).toMatchObject({
      outcome: 'outdated',
      retry: false,
    });
  });

  test('a repeated event with other settings changes nothing and is not retried', async () => {
    const tenantId = await newTenantWithSecret();
    await service.deliverEvents(tenantOnboarded(tenantId, { name: 'Shop' }));
    const before = await shownTo(tenantId);
    await service.deliverEvents(
      tenantOnboarded(tenantId, { name: 'Other' }),
      tenantOnboarded(tenantId, { name: 'Shop', configuration: { 'base.url': 'http://127.0.0.1:9' } }),
    );
    const [first, ...others] = await service.outcomesOf(tenantId);
    expect(first).toBe('created');
    expect(new Set(others)).toEqual(new Set(['refused', 'replayed']));
    expect(await shownTo(tenantId)).toEqual(before);
    await service.expectOneActiveInstance(tenantId);
    expect(await service.deadLetters()).toEqual([]);
  });
});

describe('an event that is refused', () => {
  test.each([
    ['a credential', { 'api.key': 'has-no-place-here' }, 'api.key'],
    ['an address for credentials', { 'base.url': 'http://has-no-place-here.invalid' }, 'base.url'],
  ])('an event with %s is recorded with the reason and not retried', async (_what, configuration, key) => {
    const tenantId = await newTenantWithSecret();
    await service.deliverEvents(tenantOnboarded(tenantId, { configuration }));
    expect(await service.outcomesOf(tenantId)).toEqual(['refused']);
    expect(await service.deadLetters()).toEqual([]);
    expect(await shownTo(tenantId)).toMatchObject({
      status: 'failed',
      lastError: { code: 'invalid-request', detail: expect.stringContaining(key) },
    });
    expect(service.postsFor(tenantId)).toBe(0);
    expect(JSON.stringify([await service.items(), await service.logs()])).not.toContain('has-no-place-here');

    await service.deliverEvents(tenantOnboarded(tenantId));
    await service.expectOneActiveInstance(tenantId);
  });

  test('an event without the tenant’s secret names that, and succeeds when it is repeated with the secret', async () => {
    const tenantId = newTenant();
    await service.deliverEvents(tenantOnboarded(tenantId));
    expect(await service.outcomesOf(tenantId)).toEqual(['refused']);
    expect(await shownTo(tenantId)).toMatchObject({
      status: 'failed',
      lastError: {
        code: 'missing-configuration',
        detail: expect.stringContaining(service.tenantSecretName(tenantId, 'taxify')),
      },
    });

    await service.putTenantSecret(tenantId, tenantSecret);
    await service.deliverEvents(tenantOnboarded(tenantId));
    await service.expectOneActiveInstance(tenantId);
    expect(await shownTo(tenantId)).not.toHaveProperty('lastError');
  });

  test('an event that the vendor refuses is recorded with its request id and not retried', async () => {
    const tenantId = newTenant();
    await service.putTenantSecret(tenantId, { 'api.key': 'refused-key-for-tests' });
    await service.deliverEvents(tenantOnboarded(tenantId));
    expect(await service.outcomesOf(tenantId)).toEqual(['refused']);
    expect(await shownTo(tenantId)).toMatchObject({
      status: 'failed',
      lastError: { code: 'refused-by-cloud-elements', requestId: expect.any(String) },
    });
  });
});

async function expectShortLines(...texts: string[]): Promise<void> {
  const lines = (await service.logs()).filter((line) => texts.some((text) => line.includes(text)));
  expect(lines).not.toEqual([]);
  expect(lines.filter((line) => Buffer.byteLength(line) > 16 * 1_024)).toEqual([]);
}

describe('an event with thousands of wrong fields', () => {
  const syllables = ['ba', 'be', 'bi', 'bo', 'da', 'de', 'di', 'do'];
  const names = Array.from(
    { length: 4_000 },
    (_, index) => `entry${index.toString(8).replaceAll(/\d/g, (digit) => syllables[Number(digit)] ?? '')}`,
  );
  const fields = Object.fromEntries(names.map((name) => [name, 'x'.repeat(40)]));

  // Parsed at each delivery; deployed, deliveries are four seconds apart.
  test(
    'an unreadable event with thousands of wrong fields leaves no long line',
    { timeout: 60_000 },
    async () => {
      await service.deliverEvents(tenantOnboarded('crowded', fields));
      expect(await service.deadLetters()).toHaveLength(1);
      await expectShortLines('4000 things are wrong', 'entryba');
    },
  );

  test('a refused event with thousands of wrong fields leaves no long line, row or result', async () => {
    const tenantId = newTenant();
    await service.deliverEvents(tenantOnboarded(tenantId, { configuration: fields }));
    const row = await service.rowOf(tenantId);
    const detail = expect.stringContaining('and 3980 more cannot be set where');
    expect(row).toMatchObject({ status: 'failed', lastError: { code: 'invalid-request', detail } });
    const { detail: recorded } = lastErrorSchema.parse(row?.['lastError']);
    expect(Buffer.byteLength(recorded)).toBeLessThanOrEqual(1_000);
    await expectShortLines(tenantId);
    const results = (await service.events()).map((event) => JSON.stringify(event));
    const failed = results.find((text) => text.includes('InstanceFailed') && text.includes(tenantId));
    expect(failed).toBeDefined();
    expect(failed?.length).toBeLessThan(3_000);
  });
});

describe('a batch', () => {
  test('a batch is processed message by message: good ones succeed, malformed ones become dead letters, failing ones are retried', async () => {
    const good = await Promise.all(Array.from({ length: 5 }, newTenantWithSecret));
    const failing = newTenant();
    await service.putTenantSecret(failing, 'not JSON');
    const malformed = [
      tenantOnboarded('no such id!'),
      tenantOnboarded('t', { apiKey: 'x' }),
      eventOf('sbt.control.plane', 'sbt_aws_onboardingRequest', { tenantId: randomUUID() }),
    ];
    const itemsBefore = await service.items();
    await service.putEvents(
      ...good.slice(0, 2).map((tenantId) => tenantOnboarded(tenantId)),
      ...malformed,
      tenantOnboarded(failing),
      ...good.slice(2).map((tenantId) => tenantOnboarded(tenantId)),
    );
    await expect.poll(() => service.outcomesOf(failing), patience).toContain('waiting-for-secret');
    await service.putTenantSecret(failing, tenantSecret);
    await service.idle();

    for (const tenantId of good) {
      await service.expectOneActiveInstance(tenantId);
      expect(await service.outcomesOf(tenantId)).toEqual(['created']);
    }
    const deliveries = await Promise.all(good.map(service.deliveriesOf));
    const invocations = deliveries.map(([delivery]) => delivery?.['awsRequestId']);
    // SQS delivers the messages that it has at the moment.
    expect(new Set(invocations).size).toBeLessThanOrEqual(isDeployed ? good.length : 1);

    await service.expectOneActiveInstance(failing);
    // Deployed, Secrets Manager's own event about the new value finds no row, or an active one.
    const outcomes = (await service.outcomesOf(failing)).filter((outcome) => outcome !== 'nothing-to-update');
    expect(outcomes.at(-1)).toBe('created');
    expect(new Set(outcomes.slice(0, -1))).toEqual(new Set(['waiting-for-secret']));

    const deadLetters = await service.deadLetters();
    const details = deadLetters.map(({ body }) => JSON.stringify(Object(JSON.parse(body)).detail));
    expect(details.toSorted()).toEqual(malformed.map(({ Detail }) => Detail).toSorted());
    for (const { receiveCount } of deadLetters) expect(receiveCount).toBe(queue.maxReceiveCount);
    expect(await service.items()).toHaveLength(itemsBefore.length + 6);
  });

  test('a batch may contain a message that is not an event: it becomes a dead letter and disturbs no other', async () => {
    const tenantId = await newTenantWithSecret();
    const noEvents = [' ', 'not JSON', 'null', '[]', '"x"', '{"detail":{}}', '['.repeat(10_000)];
    for (const body of noEvents) await service.sendToQueue(body);
    await service.deliverEvents(tenantOnboarded(tenantId));
    const bodies = (await service.deadLetters()).map(({ body }) => body);
    // A queue has no order.
    expect(bodies.toSorted()).toEqual(noEvents.toSorted());
    await service.expectOneActiveInstance(tenantId);
  });
});

describe('an event whose work fails', () => {
  test('an event that meets a lasting 429 is retried by the queue', async () => {
    const tenantId = await newTenantWithSecret();
    service.simulator.fail({
      on: 'POST /instances',
      effect: 'none',
      times: 3,
      outcome: { kind: 'status', status: 429, headers: { 'retry-after': '60' } },
    });
    await service.deliverEvents(tenantOnboarded(tenantId));
    expect(await service.outcomesOf(tenantId)).toEqual(['failed', 'failed', 'failed', 'created']);
    await service.expectOneActiveInstance(tenantId);
  });

  test.skipIf(isDeployed).each([
    ['the claim cannot be written', 'DynamoDB_20120810.PutItem'],
    ['the secret cannot be read', 'secretsmanager.GetSecretValue'],
    ['the token cannot be encrypted', 'TrentService.Encrypt'],
  ])('an event that fails because %s is retried', async (_what, target) => {
    const tenantId = await newTenantWithSecret();
    service.stack.fail({ target, times: 3, status: 500, type: 'InternalFailure' });
    await service.deliverEvents(tenantOnboarded(tenantId));
    expect(await service.outcomesOf(tenantId)).toEqual(['failed', 'created']);
    expect(service.postsFor(tenantId)).toBe(1);
    await service.expectOneActiveInstance(tenantId);
  });

  test.skipIf(isDeployed)(
    'an event whose function is killed in the middle of a create gets that instance',
    async () => {
      const tenantId = await newTenantWithSecret();
      service.simulator.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'stall' } });
      await service.putEvents(tenantOnboarded(tenantId));
      await expect.poll(() => service.postsFor(tenantId), patience).toBe(1);
      service.stack.kill('onboard-tenants');
      // The claim of the killed one still stands.
      await expect.poll(() => service.outcomesOf(tenantId), patience).toContain('in-progress');
      await service.endLease(tenantId);
      await service.idle();
      expect((await service.outcomesOf(tenantId)).at(-1)).toBe('created');
      expect(service.postsFor(tenantId)).toBe(1);
      await service.expectOneActiveInstance(tenantId);
    },
  );
});

test('a create of unknown outcome goes back to the queue, and is adopted once it shows', async () => {
  const { service: own, tenantId } = unknownOutcome;
  await expect.poll(() => own.outcomesOf(tenantId), { timeout: 9_000 }).toContain('in-progress');
  own.simulator.listLagMs = 0;
  await own.idle();
  expect((await own.outcomesOf(tenantId)).at(-1)).toBe('created');
  expect(own.postsFor(tenantId)).toBe(1);
  await own.expectOneActiveInstance(tenantId);
}, 10_000);
