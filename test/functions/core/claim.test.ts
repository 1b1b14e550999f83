import { describe, expect, test } from 'vitest';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import { createClaiming, type RecordRefusal, type Requester } from '../../../functions/core/claim.ts';
import { createCleaning } from '../../../functions/core/cleaning.ts';
import type { InstanceStore, LookUp } from '../../../functions/core/ports.ts';
import { createProvisioning } from '../../../functions/core/provision.ts';
import { activate, beginGeneration, claim, continueImport, fail } from '../../../functions/core/lifecycle.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import {
  judged,
  settingsOf,
  wholeTenant,
  type EventOrigin,
  type InstanceRow,
} from '../../../functions/model/instance.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';
import { fakePorts } from '../../support/fake-ports.ts';

const refused = new OnboardingError('refused-by-cloud-elements', 'Refused.');
const settings = judged(
  builtInCatalog,
  settingsOf({ tenantId: 'acme', elementKey: 'taxify' }, { configuration: { 'api.key': 'k' } }),
);

test('a failed row in doubt whose look-up fails is not claimed, and no create is sent', async () => {
  const creates: string[] = [];
  const fake = fakePorts({
    lookUp: async () => ({ kind: 'unknown', reason: 'no response' }),
    create: async ({ name }) => {
      creates.push(name);
      return { kind: 'created', instance: { id: 8, token: 'token-of-8' } };
    },
  });
  const row = { ...fake.claimed(), inDoubt: true };
  const failed = await fake.put(fail(row, row.sendDeadline, refused, fake.clock.nowMs, timing));
  fake.clock.nowMs = failed.sendDeadline + timing.quiescenceMs + 1;
  const provision = createProvisioning(fake.ports);
  const deadlineAt = fake.clock.nowMs + 29_000;
  expect(await provision(settings, { deadlineAt, recordRefusal: false })).toMatchObject({
    outcome: 'in-progress',
  });
  expect(creates).toEqual([]);
  expect(fake.rowOf()).toMatchObject({ status: 'failed', inDoubt: true, leaseExpiresAt: 0 });
});

test('a claim that fails before its create keeps the send deadline of the claim before', async () => {
  const fake = fakePorts({ create: async () => ({ kind: 'refused', error: refused }) });
  const before = fake.claimed();
  const failed = await fake.put(fail(before, before.sendDeadline, refused, fake.clock.nowMs, timing));
  fake.clock.nowMs += 60_000;
  const provision = createProvisioning(fake.ports);
  const deadlineAt = fake.clock.nowMs + 29_000;
  await expect(provision(settings, { deadlineAt, recordRefusal: true })).rejects.toBe(refused);
  expect(fake.rowOf()).toMatchObject({ status: 'failed', sendDeadline: failed.sendDeadline });
});

test('the claim of a live row is refused for as long as its lease lasts', async () => {
  const fake = fakePorts();
  const row = await fake.put(fake.claimed());
  const provision = createProvisioning(fake.ports);
  for (const nowMs of [row.createdAt, row.leaseExpiresAt - 1]) {
    fake.clock.nowMs = nowMs;
    expect(await provision(settings, { deadlineAt: nowMs + 29_000, recordRefusal: false })).toMatchObject({
      outcome: 'in-progress',
    });
  }
  expect(fake.rowOf()).toEqual(row);
});

test('every claim is due when its lease ends, also that of a new generation and of an import that continues', () => {
  const fake = fakePorts();
  const first = fake.claimed();
  const failed = fail(first, 0, refused, fake.clock.nowMs, timing);
  const next = beginGeneration(failed, fake.claimant(), { provisionId: 'next', formers: [] }, timing);
  const again = claim(
    fake.claimant(),
    'again',
    timing,
    activate(first, { instanceId: 7, token: new Uint8Array() }, 1, timing),
  );
  const continued = continueImport(
    { ...first, v: 'import', importedId: 7, importing: {}, leaseExpiresAt: 0, checkAt: undefined },
    fake.claimant(),
    timing,
  );
  for (const { checkAt, leaseExpiresAt } of [first, next, again, continued]) {
    expect(leaseExpiresAt).toBe(fake.clock.nowMs + timing.leaseMs);
    expect(checkAt).toBe(leaseExpiresAt);
  }
});

test('a first insert that takes effect late does not let a later try create an instance that its row cannot find', async () => {
  const creates: (readonly string[])[] = [];
  const fake = fakePorts({
    create: async ({ tags }) => {
      creates.push(tags);
      return { kind: 'unknown', reason: 'no response' };
    },
  });
  const inserts: InstanceRow[] = [];
  const provision = createProvisioning({
    ...fake.ports,
    store: {
      ...fake.store,
      claim: async (next, asRead) => {
        const [late] = inserts;
        inserts.push(next);
        // A rival's row, which is gone when it is read.
        if (!late) return { won: false, current: undefined };
        if (inserts.length === 2) await fake.store.claim(late);
        return fake.store.claim(next, asRead);
      },
    },
  });
  const deadlineAt = fake.clock.nowMs + 29_000;
  expect(await provision(settings, { deadlineAt, recordRefusal: false })).toMatchObject({
    outcome: 'in-progress',
  });
  expect(fake.rowOf()).toEqual(inserts[0]);
  expect(creates).toEqual([]);
});

const name = 'The taxify instance of tenant acme';
const deadlineIn = (fake: ReturnType<typeof fakePorts>) => fake.clock.nowMs + 29_000;
const instance = { instanceId: 7, token: new Uint8Array([1]) };

/** An event sent a minute ago. */
function eventOf(
  fake: ReturnType<typeof fakePorts>,
  eventId = 'event-1',
  over: Partial<EventOrigin> = {},
): EventOrigin {
  return { dialect: 'native', eventId, sentAt: fake.clock.nowMs - 60_000, ...over };
}

type Wanted = { name?: string; by?: EventOrigin };

/** An event brings no credential; a request has its own. */
function settingsFor({ name: wanted, by }: Wanted) {
  const requested = by ? { name: wanted } : { name: wanted, configuration: { 'api.key': 'k' } };
  return judged(builtInCatalog, settingsOf({ tenantId: 'acme', elementKey: 'taxify' }, requested, by));
}

function requesterIn({ ports, clock }: ReturnType<typeof fakePorts>, wanted: Wanted = {}): Requester {
  const nowMs = clock.nowMs;
  return { settings: settingsFor(wanted), origin: ports.origin, nowMs, sendDeadline: nowMs + 25_000 };
}

/** `store`: calls that the test replaces. */
function claimingIn({ ports }: ReturnType<typeof fakePorts>, store: Partial<InstanceStore> = {}) {
  const replaced = { ...ports, store: { ...ports.store, ...store } };
  return createClaiming({ ...replaced, ...createCleaning(replaced) });
}

/** Claims the row for a request, or for an event. */
function claimIn(
  fake: ReturnType<typeof fakePorts>,
  { store, ...wanted }: Wanted & { store?: Partial<InstanceStore> } = {},
) {
  return claimingIn(fake, store).claim(requesterIn(fake, wanted), deadlineIn(fake), undefined);
}

/** Writes a row that was claimed an hour ago by a request, or by an event, and whose claim has ended; returns it as stored. */
async function put(fake: ReturnType<typeof fakePorts>, over: Partial<InstanceRow> = {}, by?: EventOrigin) {
  const createdAt = fake.clock.nowMs - 60 * 60_000;
  const claimant = { ...requesterIn(fake, by ? { by } : {}), claimId: 'first', nowMs: createdAt };
  const row = claim({ ...claimant, sendDeadline: createdAt + 25_000 }, 'generation', timing);
  await fake.put({ ...row, leaseExpiresAt: 0, ...over });
  return fake.rowOf() ?? row;
}

const active = { status: 'active', ...instance, checkAt: undefined } as const;

/** Says that the whole tenant was removed now. */
async function putTenantTombstone(fake: ReturnType<typeof fakePorts>) {
  const removed = { elementKey: wholeTenant, status: 'removed' } as const;
  await fake.store.claim({ ...fake.claimed(), ...removed, removedTimes: { own: fake.clock.nowMs } });
}

/** Refuses the writes of claims over a row: the rivals have come first, in turn, and then none has. */
function refusingClaims(fake: ReturnType<typeof fakePorts>, rivals: (InstanceRow | undefined)[]) {
  const tried: InstanceRow[] = [];
  const claimOver: InstanceStore['claim'] = async (next, asRead) => {
    if (!asRead) return fake.store.claim(next);
    tried.push(next);
    return tried.length <= rivals.length
      ? { won: false, current: rivals[tried.length - 1] }
      : fake.store.claim(next, asRead);
  };
  return { tried, store: { claim: claimOver } };
}

async function missing(): Promise<never> {
  throw new OnboardingError('aws-unavailable', 'No answer.');
}

describe('a claim', () => {
  test('a claim where no row exists may create at once', async () => {
    const fake = fakePorts();
    const held = await claimIn(fake);
    expect(held).toMatchObject({ before: undefined, earlier: 'nothing', mayCreate: true });
    expect(held).toMatchObject({ row: { ...fake.rowOf(), status: 'provisioning' } });
    expect(fake.observed).toEqual([]);
  });

  test.each<[string, Partial<InstanceRow>, Wanted, object]>([
    ['a dead claim', {}, {}, { earlier: 'to-adopt', provisionId: 'generation', mayCreate: true }],
    [
      'a failed row',
      { status: 'failed' },
      {},
      { earlier: 'nothing', provisionId: 'generation', mayCreate: true },
    ],
    [
      'a failed row with other settings',
      { status: 'failed' },
      { name: 'Other' },
      { earlier: 'nothing', provisionId: expect.stringMatching(/^id-/), mayCreate: true },
    ],
    [
      'a tombstone',
      { status: 'removed' },
      {},
      { earlier: 'removed', provisionId: expect.stringMatching(/^id-/), mayCreate: true },
    ],
  ])(
    'a claim takes over %s',
    async (_what, over, wanted, { provisionId, ...expected }: { provisionId?: unknown }) => {
      const fake = fakePorts();
      const before = await put(fake, over);
      const held = await claimIn(fake, wanted);
      expect(held).toMatchObject({ before, row: { status: 'provisioning', provisionId }, ...expected });
      expect(fake.rowOf()).toMatchObject({ status: 'provisioning', provisionId });
      expect(fake.observed).toEqual([{ kind: 'taken-over', from: before.status }]);
    },
  );

  test('a claim tries five times, each with a fencing token and a generation of its own, when rivals come and go', async () => {
    const tried: InstanceRow[] = [];
    const claimRow: InstanceStore['claim'] = async (next) => {
      tried.push(next);
      return { won: false, current: undefined };
    };
    await expect(claimIn(fakePorts(), { store: { claim: claimRow } })).rejects.toMatchObject({
      code: 'busy-with-other-settings',
      message: `${name} is being worked on by too many other requests. Retry later.`,
    });
    expect(tried).toHaveLength(5);
    expect(new Set(tried.map(({ claimId }) => claimId)).size).toBe(5);
    expect(new Set(tried.map(({ provisionId }) => provisionId)).size).toBe(5);
  });

  test('a claim that a rival has prevented is tried again if the rival has released the row', async () => {
    const fake = fakePorts();
    const row = await put(fake);
    const { tried, store } = refusingClaims(fake, [undefined, { ...row, claimId: 'rival' }]);
    expect(await claimIn(fake, { store })).toMatchObject({ earlier: 'to-adopt', before: row });
    expect(new Set(tried.map(({ claimId }) => claimId)).size).toBe(3);
  });

  test('a claim that a rival has prevented is answered from the row of the rival', async () => {
    const fake = fakePorts();
    const row = await put(fake);
    const leaseExpiresAt = fake.clock.nowMs + 1_000;
    const prevented = (rival: Partial<InstanceRow>) =>
      claimIn(fake, refusingClaims(fake, [{ ...row, ...rival }]));
    expect(await prevented({ leaseExpiresAt })).toEqual({
      outcome: 'in-progress',
      row: { ...row, leaseExpiresAt },
      retryAfterMs: 1_000,
    });
    expect(await prevented(active)).toEqual({ outcome: 'replayed', row: { ...row, ...active } });
    await expect(prevented({ fingerprint: 'other', name: 'Other' })).rejects.toMatchObject({
      code: 'busy-with-other-settings',
    });
  });
});

const found = (ids: number[]): LookUp => ({
  kind: 'found',
  instances: ids.map((id) => ({ id, token: `token-of-${id}` })),
  isCertain: true,
});

describe('a claim over a failed row in doubt', () => {
  const inDoubt = { status: 'failed', inDoubt: true } as const;

  /** Claims a failed row that may have these instances; those in `kept` cannot be deleted. */
  async function claimOver(
    ids: number[],
    {
      kept = [],
      meanwhile,
      store,
      ...wanted
    }: Wanted & {
      kept?: number[];
      meanwhile?: Partial<InstanceRow>;
      store?: (fake: ReturnType<typeof fakePorts>, row: InstanceRow) => Partial<InstanceStore>;
    } = {},
  ) {
    const deleted: unknown[] = [];
    const during: (InstanceRow | undefined)[] = [];
    const fake = fakePorts({
      lookUp: async () => {
        during.push(fake.rowOf());
        if (meanwhile) await fake.put({ ...row, ...meanwhile });
        return found(ids);
      },
      remove: async ({ instanceId }) => {
        if (typeof instanceId === 'number' && kept.includes(instanceId)) {
          return { kind: 'unknown', reason: 'no response' };
        }
        deleted.push(instanceId);
        return { kind: 'removed' };
      },
    });
    const row = await put(fake, inDoubt);
    const held = claimIn(fake, { ...wanted, ...(store && { store: store(fake, row) }) });
    return { ...fake, row, deleted, during, held };
  }

  test.each([
    ['the same settings', {}, 'generation'],
    ['other settings', { name: 'Other' }, expect.stringMatching(/^id-/)],
  ])(
    'a failed row in doubt is cleaned while it is still failed, and then claimed with %s',
    async (_which, wanted, provisionId) => {
      const { held, row, deleted, during, rowOf, clock, observed } = await claimOver([7, 8], wanted);
      expect(await held).toMatchObject({ earlier: 'nothing', mayCreate: true, row: { provisionId } });
      expect(during).toMatchObject([{ status: 'failed', leaseExpiresAt: clock.nowMs + timing.leaseMs }]);
      expect(deleted).toEqual([7, 8]);
      expect(await held).toMatchObject({ before: during[0] ?? row });
      expect(rowOf()).toMatchObject({
        status: 'provisioning',
        provisionId,
        sendDeadline: clock.nowMs + 25_000,
      });
      expect(observed.at(-1)).toEqual({ kind: 'taken-over', from: 'failed' });
    },
  );

  test('a failed row without an instance is claimed, too', async () => {
    const { held } = await claimOver([]);
    expect(await held).toMatchObject({ earlier: 'nothing', mayCreate: true });
  });

  test('a failed row whose instance cannot be deleted stays failed, and the request is in progress', async () => {
    const { held, row, rowOf } = await claimOver([7, 8], { kept: [7] });
    expect(await held).toEqual({ outcome: 'in-progress', row, retryAfterMs: 5_000 });
    expect(rowOf()).toMatchObject({ status: 'failed', inDoubt: true, leaseExpiresAt: 0 });
  });

  test('a failed row that another has claimed during the cleaning is in progress', async () => {
    const { held, row, rowOf, observed } = await claimOver([], { meanwhile: { claimId: 'rival' } });
    expect(await held).toEqual({ outcome: 'in-progress', row, retryAfterMs: 5_000 });
    expect(rowOf()).toMatchObject({ claimId: 'rival' });
    expect(observed).toEqual([]);
  });

  test.each<[string, (row: InstanceRow) => InstanceRow | undefined, object]>([
    ['a rival that is at work', (row) => ({ ...row, claimId: 'rival' }), { row: { claimId: 'rival' } }],
    ['a rival whose row is gone', () => undefined, { row: { claimId: 'first' } }],
  ])('a failed row is not cleaned beside %s', async (_who, rivalOf, expected) => {
    const { held, during } = await claimOver([7], {
      store: (fake, row) => refusingClaims(fake, [rivalOf(row)]).store,
    });
    expect(await held).toMatchObject({ outcome: 'in-progress', ...expected });
    expect(during).toEqual([]);
  });

  test('a failed row that was removed meanwhile is not returned', async () => {
    const { held } = await claimOver([7], {
      store: (fake, row) => refusingClaims(fake, [{ ...row, status: 'removed' }]).store,
    });
    await expect(held).rejects.toMatchObject({
      code: 'being-deleted',
      message: `${name} was removed while this request ran. Retry.`,
    });
  });
});

async function retry(
  fake: ReturnType<typeof fakePorts>,
  row: InstanceRow,
  store: Partial<InstanceStore> = {},
) {
  const by = { ...requesterIn(fake), isRetry: true };
  return claimingIn(fake, store).claim(by, deadlineIn(fake), row);
}

describe('the retry of a failed row', () => {
  test('a retry claims the row as it was read', async () => {
    const fake = fakePorts();
    const row = await put(fake, { status: 'failed' });
    expect(await retry(fake, row)).toMatchObject({ before: row, earlier: 'nothing' });
  });

  test('a retry of a row that has changed meanwhile is in progress, and is not tried again', async () => {
    const fake = fakePorts();
    const row = await put(fake, { status: 'failed' });
    const changed = await fake.put({ ...row, claimId: 'rival' });
    expect(await retry(fake, row)).toEqual({ outcome: 'in-progress', row, retryAfterMs: 5_000 });
    expect(fake.rowOf()).toEqual(changed);
  });

  test('a retry of a request from before the removal of the whole tenant is ignored', async () => {
    const fake = fakePorts();
    const row = await put(fake, { status: 'failed' });
    await putTenantTombstone(fake);
    expect(await retry(fake, row)).toMatchObject({ outcome: 'outdated' });
    expect(fake.rowOf()).toMatchObject({ status: 'failed', leaseExpiresAt: 0 });
  });
});

describe('a claim by an event', () => {
  const ignored = { kind: 'event-ignored', reason: 'the whole tenant was removed' };

  test('an event from before the removal of the whole tenant leaves no row where there was none', async () => {
    const fake = fakePorts();
    await putTenantTombstone(fake);
    const claimed = await claimIn(fake, { by: eventOf(fake) });
    expect(claimed).toMatchObject({ outcome: 'outdated', row: { status: 'provisioning' } });
    expect(fake.rowOf()).toBeUndefined();
    expect(fake.observed).toEqual([ignored]);
  });

  test('an event from before the removal of the whole tenant leaves the row that it has claimed as it was', async () => {
    const fake = fakePorts();
    const before = await put(fake, { status: 'failed' });
    await putTenantTombstone(fake);
    expect(await claimIn(fake, { by: eventOf(fake) })).toMatchObject({ outcome: 'outdated' });
    expect(fake.rowOf()).toEqual({ ...before, claimId: expect.stringMatching(/^id-/) });
    expect(fake.observed.at(-1)).toEqual(ignored);
  });

  test('an event from after the removal of the whole tenant, and a request, claim the row', async () => {
    for (const sentAt of [60_000, undefined]) {
      const fake = fakePorts();
      await putTenantTombstone(fake);
      const by = sentAt && eventOf(fake, 'new', { sentAt: fake.clock.nowMs + sentAt });
      expect(await claimIn(fake, by ? { by } : {})).toMatchObject({ earlier: 'nothing' });
    }
  });

  test('an event whose tenant cannot be read gives its claim back, and comes again', async () => {
    const fake = fakePorts();
    const claimed = claimIn(fake, { by: eventOf(fake), store: { get: missing } });
    await expect(claimed).rejects.toMatchObject({ code: 'aws-unavailable' });
    expect(fake.rowOf()).toBeUndefined();
  });

  test.each([
    [undefined, [{ kind: 'event-ignored', reason: 'the instance was removed' }]],
    ['event-1', []],
  ])(
    'an event from before the removal of the instance is ignored, and observed unless it is a repeat (%s)',
    async (known, observed) => {
      const fake = fakePorts();
      const by = eventOf(fake);
      const row = await put(fake, {
        status: 'removed',
        removedTimes: { own: fake.clock.nowMs },
        requestedBy: known === undefined ? undefined : by,
        revision: fake.clock.nowMs,
      });
      expect(await claimIn(fake, { by })).toEqual({ outcome: 'outdated', row });
      expect(fake.observed).toEqual(observed);
      expect(fake.rowOf()).toEqual(row);
    },
  );

  test.each<[string, Wanted]>([
    ['the same settings', {}],
    ['other settings', { name: 'Other' }],
  ])(
    'an event with %s from before the removal of the whole tenant is ignored beside a newer instance',
    async (_which, wanted) => {
      const fake = fakePorts();
      const row = await put(fake, active, eventOf(fake, 'another'));
      await putTenantTombstone(fake);
      expect(await claimIn(fake, { ...wanted, by: eventOf(fake) })).toEqual({ outcome: 'outdated', row });
      expect(fake.observed).toEqual([ignored]);
      expect(fake.rowOf()).toEqual(row);
    },
  );
});

/** Requests an active instance by an event while rivals write its row first. */
async function replayBeside(rivalsOf: (row: InstanceRow) => (InstanceRow | undefined)[]) {
  const fake = fakePorts();
  const row = await put(fake, active, eventOf(fake, 'another'));
  const { tried, store } = refusingClaims(fake, rivalsOf(row));
  const provisioned = await claimIn(fake, { by: eventOf(fake), store });
  return { row, provisioned, tries: tried.length };
}

describe('a repeat of a request for an active instance', () => {
  test('a request is answered from the row, which stays as it is', async () => {
    const fake = fakePorts();
    const row = await put(fake, active);
    await putTenantTombstone(fake);
    expect(await claimIn(fake)).toEqual({ outcome: 'replayed', row });
    expect(fake.rowOf()).toEqual(row);
  });

  test('an event that the row has answered is answered again, also after the removal of the whole tenant', async () => {
    const fake = fakePorts();
    const by = eventOf(fake);
    const row = await put(fake, active, by);
    await putTenantTombstone(fake);
    expect(await claimIn(fake, { by })).toEqual({ outcome: 'replayed', row });
    expect(fake.rowOf()).toEqual(row);
  });

  test('another event is written to the row, so that its result is published', async () => {
    const fake = fakePorts();
    const row = await put(fake, active, eventOf(fake, 'another'));
    const by = eventOf(fake);
    expect(await claimIn(fake, { by })).toMatchObject({ outcome: 'replayed', row: { requestedBy: by } });
    expect(fake.rowOf()).toMatchObject({ requestedBy: by, revision: fake.clock.nowMs });
    expect(fake.rowOf()?.claimId).not.toBe(row.claimId);
  });

  test('another event comes again while the row is leased, because the lease would overwrite it', async () => {
    const fake = fakePorts();
    const leaseExpiresAt = fake.clock.nowMs + 1;
    const row = await put(fake, { ...active, leaseExpiresAt }, eventOf(fake, 'another'));
    expect(await claimIn(fake, { by: eventOf(fake) })).toEqual({
      outcome: 'in-progress',
      row,
      retryAfterMs: 5_000,
    });
    expect(fake.rowOf()).toEqual(row);
  });

  test('another event is written after the write of a rival', async () => {
    const { provisioned, tries } = await replayBeside((row) => [{ ...row }]);
    expect(provisioned).toMatchObject({ outcome: 'replayed', row: { requestedBy: { eventId: 'event-1' } } });
    expect(tries).toBe(2);
  });

  test.each<[string, (row: InstanceRow) => (InstanceRow | undefined)[], number]>([
    ['a rival has begun to remove the instance', (row) => [{ ...row, status: 'deleting' }], 1],
    ['the row is gone', () => [undefined], 1],
    ['fifty rivals have written it first', (row) => Array.from({ length: 60 }, () => row), 50],
  ])('another event comes again if %s', async (_what, rivalsOf, expected) => {
    const { provisioned, tries, row } = await replayBeside(rivalsOf);
    expect(provisioned).toEqual({ outcome: 'in-progress', row, retryAfterMs: 5_000 });
    expect(tries).toBe(expected);
  });
});

/** An event with other settings, while rivals write the row first. */
async function conflictBeside(
  rivalsOf: (row: InstanceRow) => (InstanceRow | undefined)[],
  over: Partial<InstanceRow> = {},
) {
  const fake = fakePorts();
  const row = await put(fake, { ...active, ...over }, eventOf(fake, 'another'));
  const { tried, store } = refusingClaims(fake, rivalsOf(row));
  return { claimed: claimIn(fake, { name: 'Other', by: eventOf(fake), store }), tried };
}

describe('a request with other settings than the active instance', () => {
  const conflict = {
    code: 'settings-conflict',
    message:
      `${name} exists with another name, other tags or other configuration, or with configuration of another source. ` +
      'Request it with the same settings, or delete it first.',
  };

  test('a request is refused, and the row stays as it is', async () => {
    const fake = fakePorts();
    const row = await put(fake, active);
    await expect(claimIn(fake, { name: 'Other' })).rejects.toMatchObject(conflict);
    expect(fake.rowOf()).toEqual(row);
  });

  test('an event is refused, and its refusal is recorded with its registration', async () => {
    const fake = fakePorts();
    const row = await put(fake, { ...active, source: 'request' }, eventOf(fake, 'another'));
    const by = eventOf(fake, 'event-1', { dialect: 'sbt-0.9', registrationId: 'r' });
    await expect(claimIn(fake, { name: 'Other', by })).rejects.toMatchObject(conflict);
    expect(fake.rowOf()).toEqual({
      ...row,
      claimId: expect.stringMatching(/^id-/),
      revision: fake.clock.nowMs,
      notices: [
        {
          outcome: 'refused',
          eventId: 'event-1',
          registration: { dialect: 'sbt-0.9', registrationId: 'r' },
          code: conflict.code,
          detail: conflict.message,
          at: fake.clock.nowMs,
        },
      ],
    });
  });

  test('an event is recorded after the write of a rival', async () => {
    const { claimed, tried } = await conflictBeside((row) => [row]);
    await expect(claimed).rejects.toMatchObject({ code: 'settings-conflict' });
    expect(tried).toHaveLength(2);
  });

  test.each<[string, (row: InstanceRow) => (InstanceRow | undefined)[], number, Partial<InstanceRow>?]>([
    ['the row is leased', () => [], 0, { leaseExpiresAt: Date.parse('2026-11-26T12:00:01Z') }],
    ['a rival has begun to remove the instance', (row) => [{ ...row, status: 'deleting' }], 1],
    ['the row is gone', () => [undefined], 1],
    ['fifty rivals have written it first', (row) => Array.from({ length: 60 }, () => row), 50],
  ])('an event that cannot be recorded, because %s, comes again', async (_why, rivalsOf, tries, over) => {
    const { claimed, tried } = await conflictBeside(rivalsOf, over);
    await expect(claimed).rejects.toMatchObject({
      code: 'busy',
      message: `${name} changes too often at the moment. Retry later.`,
    });
    expect(tried).toHaveLength(tries);
  });
});

describe('a request that has to wait', () => {
  test.each<[string, Partial<InstanceRow>, Wanted, object]>([
    [
      'an instance that is being provisioned with other settings',
      {},
      { name: 'Other' },
      {
        code: 'busy-with-other-settings',
        message: `${name} is being provisioned with another name, other tags or other configuration. Retry later.`,
      },
    ],
    [
      'an instance that is being imported',
      { v: 'import', importing: {}, importedId: 7, fingerprint: 'of an import' },
      {},
      {
        code: 'busy-with-other-settings',
        message: `${name} is being imported: it will be instance 7. Retry later.`,
      },
    ],
    [
      'an instance that is being deleted',
      { status: 'deleting' },
      {},
      { code: 'being-deleted', message: `${name} is being deleted. Retry when it is gone.` },
    ],
    [
      'an instance in doubt at another base URL',
      { origin: 'https://two.example' },
      {},
      {
        code: 'origin-changed',
        message:
          `${name} was begun at https://two.example with an unknown outcome, and this stack calls https://one.example: ` +
          'point the stack back there until the instance has been settled.',
      },
    ],
  ])('a request for %s is refused, and the row stays as it is', async (_what, over, wanted, error) => {
    const fake = fakePorts();
    const row = await put(fake, over);
    await expect(claimIn(fake, wanted)).rejects.toMatchObject(error);
    expect(fake.rowOf()).toEqual(row);
  });

  test.each([
    [1_000, 1_000],
    [30_000, 5_000],
  ])('a request during a lease of %i ms may be repeated after %i ms', async (leftMs, retryAfterMs) => {
    const fake = fakePorts();
    const row = await put(fake, { leaseExpiresAt: fake.clock.nowMs + leftMs });
    expect(await claimIn(fake)).toEqual({ outcome: 'in-progress', row, retryAfterMs });
  });

  test('a row that another claim has settled is judged as of now', async () => {
    const fake = fakePorts();
    const by = requesterIn(fake);
    const row = await put(fake, { leaseExpiresAt: fake.clock.nowMs + 1_000 });
    const { respondWith } = claimingIn(fake);
    expect(await respondWith(row, by)).toMatchObject({ outcome: 'in-progress', retryAfterMs: 1_000 });
    fake.clock.nowMs += 400;
    expect(await respondWith(row, by)).toMatchObject({ outcome: 'in-progress', retryAfterMs: 600 });
    fake.clock.nowMs += 1_000;
    expect(await respondWith(row, by)).toEqual({ outcome: 'in-progress', row, retryAfterMs: 5_000 });
  });
});

const wrong = new OnboardingError('missing-configuration', 'api.key is missing.');

/** Ends the claim of a dead one, or of no row, with an error. */
async function abandon(
  error: Error,
  recordRefusal: RecordRefusal,
  { over, store }: { over?: Partial<InstanceRow>; store?: Partial<InstanceStore> } = {},
) {
  const fake = fakePorts();
  const before = over && (await put(fake, over));
  const held = await claimIn(fake);
  if ('outcome' in held) throw new Error('The row is not claimed.');
  return { ...fake, before, abandoned: claimingIn(fake, store).abandon(held, error, recordRefusal) };
}

describe('a claim that ends before its create', () => {
  test.each<[string, RecordRefusal]>([
    ['every refusal is', true],
    ['this one is', ({ code }) => code === 'missing-configuration'],
  ])('the error of a claim is recorded where %s', async (_which, recordRefusal) => {
    const { abandoned, rowOf } = await abandon(wrong, recordRefusal);
    await expect(abandoned).rejects.toBe(wrong);
    expect(rowOf()).toMatchObject({
      status: 'failed',
      sendDeadline: 0,
      lastError: { code: 'missing-configuration' },
    });
  });

  test.each<[string, RecordRefusal, Error]>([
    ['no refusal is recorded', false, wrong],
    ['others are recorded', ({ code }) => code !== 'missing-configuration', wrong],
    ['it is a bug', true, new TypeError('a bug')],
  ])('the claim of a new row leaves no trace where %s', async (_which, recordRefusal, error) => {
    const { abandoned, rowOf } = await abandon(error, recordRefusal);
    await expect(abandoned).rejects.toBe(error);
    expect(rowOf()).toBeUndefined();
  });

  test('the claim of a failed row leaves it as it was', async () => {
    const { abandoned, rowOf, before } = await abandon(wrong, false, { over: { status: 'failed' } });
    await expect(abandoned).rejects.toBe(wrong);
    expect(rowOf()).toEqual({ ...before, claimId: expect.stringMatching(/^id-/) });
  });

  test('an error that cannot be recorded for an event says so, and the event comes again', async () => {
    const { abandoned } = await abandon(wrong, true, { store: { write: missing } });
    await expect(abandoned).rejects.toMatchObject({
      code: 'aws-unavailable',
      message:
        `${name} was refused (missing-configuration), but the refusal could not be recorded. ` +
        'The event is delivered again.',
    });
  });

  test('an error that is retried anyway need not be recorded', async () => {
    const retryable = new OnboardingError('tenant-credentials-unusable', 'Not JSON.');
    const { abandoned } = await abandon(retryable, true, { store: { write: missing } });
    await expect(abandoned).rejects.toBe(retryable);
  });

  test('an error that only a request gets need not be recorded', async () => {
    const fake = fakePorts();
    const held = await claimIn(fake);
    if ('outcome' in held) throw new Error('The row is not claimed.');
    const { recordFailure } = claimingIn(fake, { write: missing });
    expect(await recordFailure(held, wrong, false)).toBe(wrong);
    expect(await recordFailure(held, wrong, true)).toMatchObject({ code: 'aws-unavailable' });
  });
});
