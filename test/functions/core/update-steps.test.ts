import { describe, expect, test } from 'vitest';
import { activate, claim, leaveInDoubt } from '../../../functions/core/lifecycle.ts';
import type {
  CloudElements,
  InstanceStore,
  ReadOutcome,
  UpdateOutcome,
} from '../../../functions/core/ports.ts';
import { createUpdating, isSecretInDoubt, type Changes } from '../../../functions/core/update.ts';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import { digestInDoubt } from '../../../functions/model/configuration.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { fingerprintOf, judged, settingsOf, type InstanceRow } from '../../../functions/model/instance.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';
import { fakePorts, shownInstance, type ShownInstance } from '../../support/fake-ports.ts';

/** Steps of updates, in memory: what is refused, sent, written before and after, and what rivals change meanwhile. */

type Fake = ReturnType<typeof fakePorts>;

const noon = Date.parse('2026-11-26T12:00:00Z');
const minuteMs = 60_000;
/** Until when an update may be sent. */
const untilMs = noon + 25_000;
const doubtEndsAt = untilMs + timing.quiescenceMs;
const key = { tenantId: 'acme', elementKey: 'taxify' };
const updated: UpdateOutcome = { kind: 'updated' };
const unknown = { kind: 'unknown', reason: 'no response' } as const;

const refusedWith = (code: 'refused-by-cloud-elements' | 'cloud-elements-unreadable') =>
  ({ kind: 'refused', error: new OnboardingError(code, 'Refused.') }) as const;
const notDone = (retryAfterMs?: number): UpdateOutcome => ({
  kind: 'not-done',
  error: new OnboardingError('cloud-elements-busy', 'Busy.', { retryAfterMs }),
  ...(retryAfterMs !== undefined && { retryAfterMs }),
});
const shown = (owned: ShownInstance['owned']): ReadOutcome => shownInstance(7, { owned });

/** An active row, an hour old. `configuration`: of its request; empty: it is from the tenant's secret. */
function activeRow(fake: Fake, over: Partial<InstanceRow> = {}, configuration = {}): InstanceRow {
  const settings = judged(builtInCatalog, settingsOf(key, { name: 'Shop', tags: ['eu'], configuration }));
  const createdAt = noon - 60 * minuteMs;
  const by = { ...fake.claimant(), settings, nowMs: createdAt, sendDeadline: createdAt };
  const instance = { instanceId: 7, token: new Uint8Array([1]) };
  return { ...activate(claim(by, 'generation', timing), instance, createdAt, timing), ...over };
}

/** An update in memory; `outcomes` are those of its calls, the last one of all that follow. */
function updating({
  reads = [shown('ours')],
  outcomes = [updated],
  storeOf = ({ store }) => store,
  meanwhile = () => undefined,
}: {
  reads?: ReadOutcome[];
  outcomes?: UpdateOutcome[];
  storeOf?: (fake: Fake) => InstanceStore;
  meanwhile?: (fake: Fake) => unknown;
} = {}) {
  const sent: Parameters<CloudElements['update']>[] = [];
  const timeouts: number[] = [];
  const under: (InstanceRow | undefined)[] = [];
  const fake: Fake = fakePorts({
    read: async (_which, { timeoutMs }) => {
      timeouts.push(timeoutMs);
      return reads[Math.min(timeouts.length, reads.length) - 1] ?? unknown;
    },
    update: async (...call) => {
      sent.push(call);
      under.push(fake.rowOf());
      await meanwhile(fake);
      return outcomes[Math.min(sent.length, outcomes.length) - 1] ?? unknown;
    },
  });
  const update = (changes: Changes, leftMs = 29_000) =>
    createUpdating({
      ...fake.ports,
      store: storeOf(fake),
      readTenantSecret: async () => {
        fake.clock.nowMs += 10;
        return { name: 'tests/tenants/acme/taxify', configuration: { 'api.key': 'stored' } };
      },
    })(fake.key, changes, { deadlineAt: fake.clock.nowMs + leftMs });
  return { fake, update, sent, timeouts, under };
}

/** A store in which this comes before each claim. */
const beforeClaims = (act: (fake: Fake, claims: number) => Promise<unknown>) => {
  const claims: InstanceRow[] = [];
  const storeOf = (fake: Fake): InstanceStore => ({
    ...fake.store,
    claim: async (next, asRead) => {
      claims.push(next);
      await act(fake, claims.length);
      return fake.store.claim(next, asRead);
    },
  });
  return { claims, storeOf };
};

const doubts = ({ updateInDoubtUntil, secretInDoubtUntil, valuesInDoubt, requestDigest }: InstanceRow) => ({
  updateInDoubtUntil,
  secretInDoubtUntil,
  valuesInDoubt,
  requestDigest,
});

describe('an update that is refused before anything is called', () => {
  test.each<[string, string, Partial<InstanceRow>, object]>([
    ['a removed instance', 'not-found', { status: 'removed' }, {}],
    ['a failed instance', 'not-active', { status: 'failed' }, {}],
    ['an active row without an id', 'not-active', { instanceId: undefined }, {}],
    ['a row that a request works on', 'busy', { leaseExpiresAt: noon + 1 }, { retryAfterMs: 1 }],
    ['a row of another base URL', 'origin-changed', { origin: 'https://another.example' }, {}],
  ])('an update of %s is refused: %s', async (_what, code, over, facts) => {
    const { fake, update, sent, timeouts } = updating();
    await fake.put(activeRow(fake, over));
    await expect(update({ name: 'Store' })).rejects.toMatchObject({ code, facts });
    expect([sent, timeouts]).toEqual([[], []]);
  });

  test('a tenant without an instance has nothing to update', async () => {
    await expect(updating().update({ name: 'Store' })).rejects.toMatchObject({ code: 'not-found' });
  });

  const id = { pointer: '#/id', detail: 'expected the id of this instance' };
  const element = { pointer: '#/element/key', detail: 'expected the element of this instance' };
  test.each([
    [{ id: 8 }, [id]],
    [{ element: { key: 'stripe' } }, [element]],
    [{ id: 8, element: { key: 'stripe' } }, [id, element]],
  ])('an update whose body names another instance is refused: %o', async (named, problems) => {
    const { fake, update, sent, timeouts } = updating();
    await fake.put(activeRow(fake));
    await expect(update({ name: 'Store', ...named })).rejects.toMatchObject({
      code: 'invalid-request',
      message: expect.stringContaining(' wrong with the request; '),
      facts: { problems },
    });
    expect([sent, timeouts]).toEqual([[], []]);
  });

  test('a body may name the instance itself, also in the moment in which its lease ends', async () => {
    const { fake, update, sent } = updating();
    await fake.put(activeRow(fake, { leaseExpiresAt: noon }));
    await update({ id: 7, element: { key: 'taxify' } });
    expect(sent).toHaveLength(1);
  });
});

describe('the instance that an update reads first', () => {
  test.each<[string, ReadOutcome, string | undefined, Changes]>([
    ['that is gone', { kind: 'absent' }, 'gone-at-cloud-elements', { name: 'Store' }],
    ["that shows another's markers", shown('not-ours'), 'not-ours', { name: 'Store' }],
    ['without markers, whose tags change', shown('unmarked'), 'markers-not-shown', { tags: [] }],
    ['without markers, whose name changes', shown('unmarked'), undefined, { name: 'Store' }],
    ['with its markers', shown('ours'), undefined, { tags: ['us'] }],
  ])('an update of an instance %s', async (_what, read, code, changes) => {
    const { fake, update, sent } = updating({ reads: [read] });
    const row = await fake.put(activeRow(fake));
    const outcome = await update(changes).catch((error: unknown) => error);
    expect(outcome).toMatchObject(code === undefined ? { status: 'active' } : { code });
    expect(sent).toHaveLength(code === undefined ? 1 : 0);
    expect(fake.rowOf()?.claimId === row.claimId).toBe(code !== undefined);
    expect(fake.observed).toEqual(code === 'not-ours' ? [{ kind: 'not-ours', instanceId: 7 }] : []);
  });

  const unreadable = new OnboardingError('cloud-elements-unreadable', 'Not JSON.');
  const busy = new OnboardingError('cloud-elements-busy', 'Busy.', { retryAfterMs: 3_000 });
  const refused = new OnboardingError('platform-credentials-refused', 'Refused.');
  test.each<[string, OnboardingError | undefined, string, number, number]>([
    ['without a response', undefined, 'cloud-elements-unreachable', 5, 3_000],
    ["with a proxy's response", unreadable, 'cloud-elements-unreadable', 5, 3_000],
    ['with a rate limit', busy, 'cloud-elements-busy', 5, 12_000],
    ['that is refused', refused, 'platform-credentials-refused', 1, 0],
  ])('a read before an update %s', async (_what, error, code, tries, waitedMs) => {
    const { fake, update, sent, timeouts } = updating({ reads: [{ ...unknown, ...(error && { error }) }] });
    await fake.put(activeRow(fake));
    await expect(update({ name: 'Store' })).rejects.toMatchObject({ code });
    expect(timeouts).toHaveLength(tries);
    expect(fake.clock.nowMs - noon).toBe(waitedMs);
    expect(sent).toEqual([]);
  });

  test.each([
    [29_000, [timing.lookUpTimeoutMs], timing.createTimeoutMs],
    [8_000, [4_000], 4_000],
  ])(
    'an update with %d ms left reads for at most %o ms and updates for %d ms',
    async (leftMs, read, write) => {
      const { fake, update, sent, timeouts } = updating();
      await fake.put(activeRow(fake));
      await update({ name: 'Store' }, leftMs);
      expect(timeouts).toEqual(read);
      expect(sent.map(([, , options]) => options.timeoutMs)).toEqual([write]);
    },
  );

  test('nothing is read or sent when only the time of the last write is left', async () => {
    const { fake, update, sent, timeouts } = updating();
    await fake.put(activeRow(fake));
    await expect(update({ name: 'Store' }, timing.commitReserveMs)).rejects.toMatchObject({
      code: 'out-of-time',
    });
    expect([sent, timeouts]).toEqual([[], []]);
  });

  test('an update whose read has taken all the time is not sent, and its lease ends', async () => {
    const { fake, update, sent } = updating({
      storeOf: ({ store, clock }) => ({
        ...store,
        claim: async (...write) => {
          clock.nowMs = untilMs;
          return store.claim(...write);
        },
      }),
    });
    await fake.put(activeRow(fake));
    await expect(update({ name: 'Store' })).rejects.toMatchObject({ code: 'out-of-time' });
    expect(sent).toEqual([]);
    expect(fake.rowOf()).toMatchObject({ status: 'active', leaseExpiresAt: 0, name: 'Shop' });
  });
});

describe('the lease of an update', () => {
  const checked = (fake: Fake, claims: number) =>
    fake.put({
      ...activeRow(fake),
      claimId: `check-${claims}`,
      health: { status: 'healthy', since: claims },
      healthCheckAt: claims,
      revision: noon + 60 * minuteMs,
    });

  test('an update goes on over four checks of health, and keeps what they have found', async () => {
    const { claims, storeOf } = beforeClaims(async (fake, tries) => tries < 5 && checked(fake, tries));
    const { fake, update, under } = updating({ storeOf });
    await fake.put(activeRow(fake));
    await update({ name: 'Store' });
    expect(claims).toHaveLength(5);
    expect(new Set(claims.map(({ claimId }) => claimId)).size).toBe(5);
    expect(under).toMatchObject([
      { claimId: claims[4]?.claimId, health: { since: 4 }, healthCheckAt: 4, revision: noon + 60 * minuteMs },
    ]);
    expect(fake.rowOf()).toMatchObject({ name: 'Store', health: { status: 'healthy', since: 4 } });
  });

  test('an update gives up after the fifth check of health', async () => {
    const { claims, storeOf } = beforeClaims(checked);
    const { fake, update, sent } = updating({ storeOf });
    await fake.put(activeRow(fake));
    await expect(update({ name: 'Store' })).rejects.toMatchObject({ code: 'busy' });
    expect(claims).toHaveLength(5);
    expect(sent).toEqual([]);
  });

  test.each<[string, number, (fake: Fake) => Promise<unknown>]>([
    [
      'another request claims',
      minuteMs,
      (fake) => fake.put(activeRow(fake, { claimId: 'rival', leaseExpiresAt: noon + minuteMs })),
    ],
    ['is gone meanwhile', timing.leaseMs, async ({ store, rowOf }) => store.remove(known(rowOf()))],
  ])('an update of a row that %s sends nothing', async (_what, retryAfterMs, act) => {
    const { claims, storeOf } = beforeClaims(act);
    const { fake, update, sent } = updating({ storeOf });
    await fake.put(activeRow(fake));
    await expect(update({ name: 'Store' })).rejects.toMatchObject({ code: 'busy', facts: { retryAfterMs } });
    expect(claims).toHaveLength(1);
    expect(sent).toEqual([]);
  });

  test.each<[string, number, Partial<InstanceRow> | undefined]>([
    ['another request has claimed', minuteMs, { claimId: 'rival', leaseExpiresAt: noon + minuteMs }],
    ['is gone', timing.leaseMs, undefined],
  ])('an update whose row %s at its end is not reported as done', async (_what, retryAfterMs, over) => {
    const { fake, update } = updating({
      meanwhile: async ({ store, put, rowOf }) => {
        const row = rowOf();
        if (!row) return;
        await (over ? put({ ...row, ...over }) : store.remove(row));
      },
    });
    await fake.put(activeRow(fake));
    await expect(update({ name: 'Store' })).rejects.toMatchObject({ code: 'busy', facts: { retryAfterMs } });
    expect(fake.rowOf()?.name).not.toBe('Store');
  });
});

describe('the body of an update', () => {
  const markers = ['tenant:acme', 'provision:generation', 'owner:tests'];
  test.each<[Changes, object]>([
    [{}, {}],
    [{ name: 'Store' }, { name: 'Store' }],
    [{ name: '' }, { name: '' }],
    [{ tags: ['us', 'us'] }, { tags: ['us', ...markers] }],
    [{ tags: [] }, { tags: markers }],
    [{ configuration: { 'pagination.max': 7 } }, { configuration: { 'pagination.max': 7 } }],
    [{ configuration: {} }, { configuration: { 'api.key': 'stored' } }],
    [
      { eventsEnabled: false, cachingEnabled: true },
      { eventsEnabled: false, cachingEnabled: true },
    ],
  ])('an update with %o sends %o', async (changes, body) => {
    const { fake, update, sent } = updating();
    await fake.put(activeRow(fake));
    await update(changes);
    expect(sent).toEqual([[{ ...key, instanceId: 7 }, body, { timeoutMs: timing.createTimeoutMs }]]);
    expect(sent[0] && Object.keys(sent[0][1])).toEqual(Object.keys(body));
  });
});

describe('the row under an update', () => {
  const earlier = {
    updateInDoubtUntil: noon + 1,
    secretInDoubtUntil: noon + 2,
    valuesInDoubt: { 'pagination.max': ['5'] },
  };
  const later = { updateInDoubtUntil: doubtEndsAt + minuteMs, secretInDoubtUntil: doubtEndsAt + minuteMs };
  const withKey = { 'api.key': 'k' };

  test.each<[string, Changes, object, Partial<InstanceRow>, object]>([
    ['a name', { name: 'Store' }, {}, earlier, earlier],
    [
      "the tenant's secret",
      { configuration: {} },
      {},
      earlier,
      // The secret was read 10 ms later, which changes nothing about the end.
      { ...earlier, secretInDoubtUntil: doubtEndsAt },
    ],
    ["the tenant's secret, with a later doubt", { configuration: {} }, {}, later, later],
    [
      "the tenant's secret, without a doubt",
      { configuration: {} },
      {},
      {},
      { secretInDoubtUntil: doubtEndsAt },
    ],
    [
      'an allowed entry',
      { configuration: { 'pagination.max': 7 } },
      {},
      { ...earlier, requestDigest: 'digest' },
      {
        ...earlier,
        updateInDoubtUntil: doubtEndsAt,
        requestEntries: ['pagination.max'],
        valuesInDoubt: { 'pagination.max': ['5', '7'] },
        requestDigest: 'digest',
      },
    ],
    [
      'a key',
      { configuration: { 'api.key': 'new' } },
      withKey,
      later,
      { ...later, requestEntries: ['api.key'], valuesInDoubt: {}, requestDigest: digestInDoubt },
    ],
  ])(
    'before %s is sent, the row says that it may take effect',
    async (_what, changes, configuration, over, said) => {
      const { fake, update, under } = updating();
      const row = await fake.put(activeRow(fake, over, configuration));
      await update(changes);
      const leasedAt =
        noon + (changes.configuration && Object.keys(changes.configuration).length === 0 ? 10 : 0);
      expect(under).toEqual([
        {
          ...withoutUndefined({ ...row, ...said }),
          claimId: expect.any(String),
          leaseExpiresAt: leasedAt + timing.leaseMs,
        },
      ]);
      expect(under[0]?.claimId).not.toBe(row.claimId);
    },
  );

  const absent: UpdateOutcome = { kind: 'absent' };
  const unreadable = refusedWith('cloud-elements-unreadable');
  test.each<[string, UpdateOutcome[], string | undefined, number, boolean]>([
    ['done', [updated], undefined, 1, true],
    ['done at the second try after a rate limit', [notDone(1), updated], undefined, 2, true],
    ['done at the second try', [unknown, updated], undefined, 2, false],
    ["done after a proxy's response", [unreadable, updated], undefined, 2, false],
    ['refused', [refusedWith('refused-by-cloud-elements')], 'refused-by-cloud-elements', 1, true],
    ['refused for good', [notDone()], 'cloud-elements-busy', 1, true],
    ['of an instance that is gone', [absent], 'gone-at-cloud-elements', 1, true],
    ['rate limited five times', [notDone(1)], 'cloud-elements-busy', 5, true],
    ['without a response', [unknown], 'update-outcome-unknown', 5, false],
    ['answered by a proxy', [unreadable], 'cloud-elements-unreadable', 5, false],
    ['without a response, then refused', [unknown, notDone()], 'cloud-elements-busy', 2, false],
  ])('the doubts after an update that is %s', async (_what, outcomes, code, tries, isOver) => {
    const { fake, update, sent, under } = updating({ outcomes });
    const row = await fake.put(activeRow(fake, { requestEntries: [] }, withKey));
    const ended = await update({ configuration: { 'api.key': 'new', 'pagination.max': 7 } }).catch(
      (error: unknown) => error,
    );
    expect(ended).toMatchObject(code === undefined ? { status: 'active' } : { code });
    expect(sent).toHaveLength(tries);
    const after = known(fake.rowOf());
    expect(after).toMatchObject({
      status: 'active',
      leaseExpiresAt: 0,
      requestEntries: ['api.key', 'pagination.max'],
    });
    const left = doubts(isOver ? row : known(under[0]));
    // A digest of the new entries, where they were set.
    const requestDigest = code === undefined ? after.requestDigest : left.requestDigest;
    expect(doubts(after)).toEqual({ ...left, requestDigest });
    expect(after.requestDigest === digestInDoubt).toBe(code !== undefined && !isOver);
  });

  test.each<[string, Changes, UpdateOutcome, boolean]>([
    ['of a key of unknown outcome', { configuration: { 'api.key': 'new' } }, unknown, true],
    ['of a key that is refused', { configuration: { 'api.key': 'new' } }, notDone(), false],
    ['of a name of unknown outcome', { name: 'Store' }, unknown, false],
  ])('a failed check before an update %s', async (_what, changes, outcome, isForgotten) => {
    const { fake, update } = updating({ outcomes: [outcome] });
    const health = { status: 'healthy', since: 1, failedAt: 2 } as const;
    const checks = { health, healthCheckAt: 3, checkAt: 4 };
    await fake.put(activeRow(fake, checks, withKey));
    await expect(update(changes)).rejects.toThrow(OnboardingError);
    const { nowMs } = fake.clock;
    expect(fake.rowOf()).toMatchObject(
      isForgotten ? { healthCheckAt: nowMs + timing.quiescenceMs, checkAt: 4 } : checks,
    );
    expect(fake.rowOf()?.health).toEqual(isForgotten ? { ...health, failedAt: undefined } : health);
  });

  test('an update of unknown outcome leaves a row without checks without a result of one', async () => {
    const { fake, update } = updating({ outcomes: [unknown] });
    await fake.put(activeRow(fake, {}, withKey));
    await expect(update({ configuration: { 'api.key': 'new' } })).rejects.toThrow(OnboardingError);
    expect(fake.rowOf()?.health).toBeUndefined();
  });
});

describe('the row after an update', () => {
  test.each<[string, Changes, Partial<InstanceRow>, number | undefined]>([
    ["the tenant's secret", { configuration: {} }, {}, noon],
    [
      "the tenant's secret, when an earlier doubt ends",
      { configuration: {} },
      { secretInDoubtUntil: noon + 10 },
      noon,
    ],
    [
      "the tenant's secret, while an earlier doubt lasts",
      { configuration: {} },
      { secretInDoubtUntil: noon + 11 },
      1,
    ],
    ['an allowed entry', { configuration: { 'pagination.max': 7 } }, {}, 1],
    ['a name', { name: 'Store' }, {}, 1],
  ])(
    'the time from which the secret is known to be set, after %s',
    async (_what, changes, over, secretReadAt) => {
      const { fake, update } = updating();
      await fake.put(activeRow(fake, { secretReadAt: 1, ...over }));
      expect(await update(changes)).toMatchObject({ secretReadAt });
    },
  );

  const valuesInDoubt = { 'pagination.max': ['5'], 'filter.response.nulls': ['true'] };
  test.each<[string, Changes, number | undefined, UpdateOutcome[], object | undefined]>([
    [
      'nothing else is under way',
      { configuration: { 'pagination.max': 7 } },
      undefined,
      [updated],
      { 'filter.response.nulls': ['true'] },
    ],
    [
      'an earlier update is over',
      { configuration: { 'pagination.max': 7 } },
      noon,
      [updated],
      { 'filter.response.nulls': ['true'] },
    ],
    [
      'all of them are set',
      { configuration: { 'pagination.max': 7, 'filter.response.nulls': true } },
      undefined,
      [updated],
      undefined,
    ],
    [
      'an earlier update is under way',
      { configuration: { 'pagination.max': 7 } },
      noon + 1,
      [updated],
      valuesInDoubt,
    ],
    [
      'it was sent twice',
      { configuration: { 'pagination.max': 7 } },
      undefined,
      [unknown, updated],
      { ...valuesInDoubt, 'pagination.max': ['5', '7'] },
    ],
    ['a name alone is sent', { name: 'Store' }, undefined, [updated], valuesInDoubt],
  ])('values in doubt when %s', async (_what, changes, updateInDoubtUntil, outcomes, left) => {
    const { fake, update } = updating({ outcomes });
    await fake.put(activeRow(fake, { valuesInDoubt, updateInDoubtUntil }));
    expect((await update(changes)).valuesInDoubt).toEqual(left);
  });

  test.each<[string, Changes, Partial<InstanceRow>, Partial<InstanceRow>]>([
    ['a first name', { name: 'Store' }, {}, { name: 'Store', createdName: 'Shop' }],
    ['a second name', { name: 'Store' }, { createdName: 'First' }, { name: 'Store', createdName: 'First' }],
    ['the same name', { name: 'Shop' }, {}, { name: 'Shop', createdName: undefined }],
    ['tags', { tags: ['us', 'us'] }, {}, { name: 'Shop', createdName: undefined, tags: ['us'] }],
    [
      'an allowed entry',
      { configuration: { 'pagination.max': 7 } },
      { allowListed: { 'filter.response.nulls': 'true', 'pagination.max': '5' }, requestDigest: 'digest' },
      {
        allowListed: { 'filter.response.nulls': 'true', 'pagination.max': '7' },
        requestDigest: 'digest',
        tags: ['eu'],
      },
    ],
    ["the tenant's secret", { configuration: {} }, {}, { allowListed: {}, requestDigest: undefined }],
    [
      'an option',
      { cachingEnabled: true },
      { options: { eventsEnabled: true } },
      { options: { eventsEnabled: true, cachingEnabled: true } },
    ],
    [
      'no option',
      { name: 'Shop' },
      { options: { eventsEnabled: true } },
      { options: { eventsEnabled: true } },
    ],
    ['no option, where there was none', { name: 'Shop' }, {}, { options: undefined }],
    [
      'a name, where a check has failed',
      { name: 'Shop' },
      { health: { status: 'healthy', since: 1, failedAt: 2 } },
      { health: { status: 'healthy', since: 1, failedAt: undefined } },
    ],
    ['a name, where no check was', { name: 'Shop' }, {}, { health: undefined }],
    ['a change within the same moment', { name: 'Shop' }, { changedAt: noon }, { changedAt: noon + 1 }],
    [
      'a change after a clock that was ahead',
      { name: 'Shop' },
      { changedAt: noon + 5, revision: noon + 6 },
      { changedAt: noon + 6, revision: noon + 7 },
    ],
    [
      'a row in doubt',
      { name: 'Shop' },
      { checkAt: 4 },
      {
        checkAt: 4,
        changedAt: noon,
        revision: noon,
        updatedAt: noon,
        healthCheckAt: noon,
        leaseExpiresAt: 0,
      },
    ],
  ])('the row after an update with %s', async (_what, changes, over, expected) => {
    const { fake, update } = updating();
    await fake.put(activeRow(fake, over));
    const row = await update(changes);
    for (const [name, value] of Object.entries(expected)) expect(row).toHaveProperty(name, value);
    expect(row.fingerprint).toBe(fingerprintOf(row));
    expect(fake.rowOf()).toEqual(withoutUndefined(row));
  });

  test('an active row that is left in doubt by an earlier claim stays so', async () => {
    const { fake, update } = updating();
    const error = new OnboardingError('outcome-unknown', 'Unknown.');
    const { inDoubt } = leaveInDoubt(activeRow(fake), error, noon, timing);
    await fake.put(activeRow(fake, { inDoubt }));
    expect(await update({ name: 'Store' })).toMatchObject({ inDoubt: true, status: 'active' });
  });
});

test.each([
  [undefined, false],
  [noon, false],
  [noon + 1, true],
])(
  'an update from the secret that may take effect until %s may do so at noon: %s',
  (secretInDoubtUntil, isInDoubt) => {
    const row = { ...fakePorts().claimed(), secretInDoubtUntil };
    expect(isSecretInDoubt(row, noon)).toBe(isInDoubt);
  },
);

function known(row: InstanceRow | undefined): InstanceRow {
  if (!row) throw new Error('no row');
  return row;
}

/** As the store keeps it. */
const withoutUndefined = (row: object) =>
  Object.fromEntries(Object.entries(row).filter(([, value]) => value !== undefined));
