import { describe, expect, test } from 'vitest';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import type { RecordRefusal } from '../../../functions/core/claim.ts';
import { claim } from '../../../functions/core/lifecycle.ts';
import type {
  CloudElements,
  CreateOutcome,
  InstanceStore,
  LookUp,
  Ports,
} from '../../../functions/core/ports.ts';
import { createProvisioning } from '../../../functions/core/provision.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { judged, settingsOf, type EventOrigin, type InstanceRow } from '../../../functions/model/instance.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';
import { fakePorts } from '../../support/fake-ports.ts';

/** Single steps of a provisioning, in memory. */

const budgetMs = 29_000;
const key = { tenantId: 'acme', elementKey: 'taxify' };
const name = 'The taxify instance of tenant acme';
const event: EventOrigin = {
  dialect: 'native',
  eventId: 'event-1',
  sentAt: Date.parse('2026-11-26T11:00:00Z'),
};
const refusal = new OnboardingError('refused-by-cloud-elements', 'Refused.');
const limited = new OnboardingError('cloud-elements-busy', 'Later.');

const found = (ids: number[]): LookUp => ({
  kind: 'found',
  instances: ids.map((id) => ({ id, token: `token-of-${id}` })),
  isCertain: true,
});

async function noAnswer(): Promise<never> {
  throw new OnboardingError('aws-unavailable', 'No answer.');
}

type Given = {
  /** Of a row whose claim died an hour ago; absent: there is no row. */
  row?: Partial<InstanceRow>;
  configuration?: Record<string, string>;
  by?: EventOrigin;
  recordRefusal?: RecordRefusal;
  isRetry?: boolean;
  created?: CreateOutcome;
  lookUp?: CloudElements['lookUp'];
  secret?: Ports['readTenantSecret'];
  store?: Partial<InstanceStore>;
  /** Written by another while the create is under way; null: the row is deleted. */
  rival?: Partial<InstanceRow> | null;
};

/** Provisions an instance for a request that brings its key, unless it is given otherwise. */
async function provision({
  row: over,
  configuration = { 'api.key': 'k' },
  by,
  recordRefusal = false,
  isRetry = false,
  created = { kind: 'created', instance: { id: 7, token: 'token-of-7' } },
  lookUp = async () => found([]),
  secret,
  store = {},
  rival,
}: Given) {
  const creates: { configuration: object; row: InstanceRow | undefined }[] = [];
  const lookUps: string[] = [];
  const fake = fakePorts({
    create: async (instance) => {
      const row = fake.rowOf();
      creates.push({ configuration: instance.configuration, row });
      if (row && rival) await fake.put({ ...row, ...rival });
      if (row && rival === null) await fake.store.remove(row);
      return created;
    },
    lookUp: async (sought, options) => {
      lookUps.push(sought.provisionId);
      return lookUp(sought, options);
    },
  });
  const claims: InstanceRow[] = [];
  const claiming: InstanceStore['claim'] = async (...call) => {
    claims.push(call[0]);
    return fake.store.claim(...call);
  };
  const startedAt = fake.clock.nowMs;
  const nowMs = startedAt - 60 * 60_000;
  const requested = settingsOf(key, { configuration }, by);
  const settings = judged(builtInCatalog, requested);
  const first = { settings, origin: fake.ports.origin, claimId: 'first', nowMs, sendDeadline: nowMs + 1 };
  const dead = { ...claim(first, 'own', timing), leaseExpiresAt: 0, ...over };
  if (over) await fake.put(dead);
  const before = fake.rowOf();
  const provisionIn = createProvisioning({
    ...fake.ports,
    ...(secret && { readTenantSecret: secret }),
    store: { ...fake.store, claim: claiming, ...store },
  });
  const deadlineAt = startedAt + budgetMs;
  const options = { deadlineAt, recordRefusal, retryOf: isRetry ? before : undefined };
  const [provisioned] = await Promise.allSettled([provisionIn(requested, options)]);
  return { ...fake, before, after: fake.rowOf(), creates, lookUps, claims, provisioned, settings };
}

const asResponse = (value: object) => ({ status: 'fulfilled', value: expect.objectContaining(value) });
const asError = (reason: object) => ({ status: 'rejected', reason: expect.objectContaining(reason) });
const inProgress = asResponse({ outcome: 'in-progress', retryAfterMs: 5_000 });

async function secretWithKey() {
  return { name: 'tests/tenants/acme/taxify', configuration: { 'api.key': 'of-secret' } };
}

test('a request creates its instance within the time that leaves room for the commit', async () => {
  const { provisioned, creates, lookUps, after, claims, clock } = await provision({});
  expect(provisioned).toEqual(asResponse({ outcome: 'created' }));
  expect(creates).toMatchObject([
    {
      configuration: { 'api.key': 'k' },
      row: { status: 'provisioning', sendDeadline: clock.nowMs + budgetMs - timing.commitReserveMs },
    },
  ]);
  expect(lookUps).toEqual([]);
  expect(claims).toHaveLength(1);
  expect(after).toMatchObject({ status: 'active', instanceId: 7, source: 'request', inDoubt: false });
});

test('an event creates its instance with the key of the tenant’s secret', async () => {
  const { creates, after } = await provision({ by: event, configuration: {}, secret: secretWithKey });
  expect(creates).toMatchObject([{ configuration: { 'api.key': 'of-secret' } }]);
  expect(after).toMatchObject({ status: 'active', source: 'secret', requestedBy: event });
});

describe('a request that is not allowed', () => {
  const notAllowed = { configuration: { 'partner.key': 'p' } };
  const missing = asError({ code: 'missing-configuration' });

  test('a request over HTTP that is not allowed is refused before any claim', async () => {
    const { provisioned, claims, after } = await provision(notAllowed);
    expect(provisioned).toEqual(missing);
    expect(claims).toEqual([]);
    expect(after).toBeUndefined();
  });

  test('a request with a wrong entry is refused before any claim, and what its secret lacks is named, too', async () => {
    const { provisioned, claims } = await provision({ configuration: { 'pagination.max': 'many' } });
    expect(provisioned).toEqual(
      asError({
        code: 'invalid-request',
        message: expect.stringMatching(/pagination\.max.*without api\.key/),
        facts: expect.objectContaining({ missing: ['configuration.api.key'] }),
      }),
    );
    expect(claims).toEqual([]);
  });

  test('an event that is not allowed is recorded in a row', async () => {
    const { provisioned, claims, after } = await provision({ ...notAllowed, by: event, recordRefusal: true });
    expect(provisioned).toEqual(asError({ code: 'invalid-request' }));
    expect(claims).toHaveLength(1);
    expect(after).toMatchObject({ status: 'failed', lastError: { code: 'invalid-request' } });
  });

  test.each<[boolean, string | undefined]>([
    [true, 'failed'],
    [false, undefined],
  ])(
    'a missing key is recorded if refusals are (%s), and else leaves no trace',
    async (recordRefusal, status) => {
      const { provisioned, after } = await provision({ configuration: {}, recordRefusal });
      expect(provisioned).toEqual(missing);
      expect(after?.status).toBe(status);
    },
  );

  test('a request whose secret cannot be read leaves no trace', async () => {
    const { provisioned, after } = await provision({ configuration: {}, secret: noAnswer });
    expect(provisioned).toEqual(asError({ code: 'aws-unavailable' }));
    expect(after).toBeUndefined();
  });
});

describe('a dead claim', () => {
  test('a dead claim with an instance adopts it, and creates nothing', async () => {
    const { provisioned, creates, lookUps, after } = await provision({
      row: {},
      lookUp: async () => found([9]),
    });
    expect(provisioned).toEqual(asResponse({ outcome: 'created' }));
    expect(creates).toEqual([]);
    expect(lookUps).toEqual(['own']);
    expect(after).toMatchObject({ status: 'active', instanceId: 9 });
  });

  test('a dead claim without an instance creates one after the quiescence', async () => {
    const { provisioned, creates, after } = await provision({ row: {} });
    expect(provisioned).toEqual(asResponse({ outcome: 'created' }));
    expect(creates).toHaveLength(1);
    expect(after).toMatchObject({ status: 'active', instanceId: 7 });
  });

  test.each<[string, Given]>([
    ['whose look-up fails', { row: {}, lookUp: async () => ({ kind: 'unknown', reason: 'no response' }) }],
    ['whose create may still take effect', { row: { sendDeadline: Date.parse('2026-11-26T11:59:00Z') } }],
  ])('a dead claim %s is left as it was, and nothing is created', async (_what, given) => {
    const { provisioned, creates, before, after } = await provision(given);
    expect(provisioned).toEqual(inProgress);
    expect(creates).toEqual([]);
    expect(after).toEqual({ ...before, claimId: expect.stringMatching(/^id-/) });
  });

  test('a dead claim of unknown source has the source of the create that it sends at last', async () => {
    const unknownSource = { source: undefined, requestDigest: undefined };
    const { after, settings } = await provision({ row: unknownSource });
    const { source, requestDigest, requestEntries } = settings;
    expect(after).toMatchObject({ status: 'active', source, requestDigest, requestEntries });
  });

  test('a failed row is taken over without a look-up', async () => {
    const { lookUps, creates } = await provision({ row: { status: 'failed' } });
    expect(lookUps).toEqual([]);
    expect(creates).toHaveLength(1);
  });
});

describe('the retry of a failed row', () => {
  const failed: Partial<InstanceRow> = {
    status: 'failed',
    source: 'secret',
    requestEntries: ['filter.response.nulls'],
    allowListed: { 'pagination.max': '5' },
    requestDigest: undefined,
    fingerprint: 'of then',
  };

  test('a retry keeps the request of the row: its time, fingerprint and entries', async () => {
    const retry = {
      row: failed,
      configuration: { 'pagination.max': '5' },
      secret: secretWithKey,
      isRetry: true,
    };
    const { provisioned, creates, before, after } = await provision(retry);
    expect(provisioned).toEqual(asResponse({ outcome: 'created' }));
    expect(creates).toMatchObject([{ configuration: { 'api.key': 'of-secret', 'pagination.max': '5' } }]);
    expect(after).toMatchObject({
      status: 'active',
      provisionId: 'own',
      source: 'secret',
      requestEntries: ['filter.response.nulls', 'pagination.max'],
      allowListed: { 'pagination.max': '5' },
      fingerprint: 'of then',
      requestedAt: before?.requestedAt,
      requestedTimes: before?.requestedTimes,
    });
  });

  test('a request is no retry: it takes the row over with its own time', async () => {
    const { after, clock } = await provision({ row: { status: 'failed' } });
    expect(after).toMatchObject({ status: 'active', requestedAt: clock.nowMs });
  });
});

describe('the outcome of a create', () => {
  test.each<[string, CreateOutcome, object, object]>([
    [
      'refused is recorded for a request, too',
      { kind: 'refused', error: refusal },
      asError(refusal),
      { status: 'failed', lastError: { code: refusal.code } },
    ],
    [
      'unknown leaves the row in doubt',
      { kind: 'unknown', reason: 'no response' },
      inProgress,
      { status: 'provisioning', inDoubt: true, lastError: { code: 'outcome-unknown' } },
    ],
    [
      'an instance that cannot be kept is recorded for a request, too',
      { kind: 'unusable', instance: { id: 7, reason: 'without a token' } },
      asError({ code: 'instance-unusable' }),
      { status: 'failed', inDoubt: false, lastError: { code: 'instance-unusable' } },
    ],
  ])('a create whose outcome is %s', async (_what, created, expected, row) => {
    const { provisioned, after } = await provision({ created });
    expect(provisioned).toEqual(expected);
    expect(after).toMatchObject(row);
  });

  test.each<[RecordRefusal, object | undefined]>([
    [false, undefined],
    [
      true,
      expect.objectContaining({
        status: 'failed',
        lastError: expect.objectContaining({ code: limited.code }),
      }),
    ],
    [({ code }) => code === limited.code, expect.objectContaining({ status: 'failed' })],
  ])(
    'a create without effect leaves no trace, unless its error is recorded: %s',
    async (recordRefusal, row) => {
      const { provisioned, after } = await provision({
        created: { kind: 'not-done', error: limited },
        recordRefusal,
      });
      expect(provisioned).toEqual(asError(limited));
      expect(after).toEqual(row);
    },
  );

  test.each<[RecordRefusal, string]>([
    [false, refusal.code],
    [true, 'aws-unavailable'],
    [() => false, 'aws-unavailable'],
  ])('a refusal that cannot be recorded brings an event again: %s', async (recordRefusal, code) => {
    const { provisioned } = await provision({
      created: { kind: 'refused', error: refusal },
      recordRefusal,
      store: { write: noAnswer },
    });
    expect(provisioned).toEqual(asError({ code }));
  });

  test('an instance that cannot be kept, and whose failure cannot be recorded, is requested again', async () => {
    const { provisioned } = await provision({
      created: { kind: 'unusable', instance: { id: 7, reason: 'without a token' } },
      store: { write: noAnswer },
    });
    expect(provisioned).toEqual(
      asError({
        code: 'aws-unavailable',
        message: `${name} was refused (instance-unusable), but the refusal could not be recorded. The event is delivered again.`,
      }),
    );
  });
});

describe('a create during which another has changed the row', () => {
  const deleted = asError({
    code: 'being-deleted',
    message: `${name} was removed while this request ran. Retry.`,
  });
  const active = { claimId: 'rival', status: 'active', instanceId: 8 } as const;

  test.each<[string, Partial<InstanceRow> | null, object]>([
    ['is in progress beside another claim of its generation', { claimId: 'rival' }, inProgress],
    [
      'is in progress for as long beside a claim whose lease ends in a second',
      { claimId: 'rival', leaseExpiresAt: Date.parse('2026-11-26T12:00:01Z') },
      inProgress,
    ],
    ['is answered with the instance of another claim', active, asResponse({ outcome: 'replayed' })],
    [
      'is refused beside an instance with other settings',
      { ...active, fingerprint: 'other', name: 'Other' },
      asError({ code: 'settings-conflict' }),
    ],
    ['is refused if its row is gone', null, deleted],
    ['is refused if its row is a tombstone', { claimId: 'rival', status: 'removed' }, deleted],
    [
      'is refused during a removal',
      { claimId: 'rival', status: 'deleting' },
      asError({ code: 'being-deleted', message: `${name} is being deleted. Retry when it is gone.` }),
    ],
  ])('a create %s', async (_what, rival, expected) => {
    const { provisioned } = await provision({ rival });
    expect(provisioned).toEqual(expected);
  });
});
