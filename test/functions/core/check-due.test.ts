import { describe, expect, test } from 'vitest';
import { checksAtOnce, checksPerRun, createChecking } from '../../../functions/core/check.ts';
import { activate } from '../../../functions/core/lifecycle.ts';
import type {
  CheckStore,
  DueInstance,
  InstanceStore,
  Ping,
  ReadOutcome,
} from '../../../functions/core/ports.ts';
import { catalogWith } from '../../../functions/model/built-in-catalog.ts';
import { OnboardingError, type ErrorCode } from '../../../functions/model/errors.ts';
import type { Finding, Health } from '../../../functions/model/health.ts';
import type { InstanceRow } from '../../../functions/model/instance.ts';
import { defaultCheckTiming as timing, defaultTiming } from '../../../functions/model/timing.ts';
import { fakePorts, shownInstance } from '../../support/fake-ports.ts';

/** Runs of checks, in memory: which rows they take, what they call, and what they write. */

type Fake = ReturnType<typeof fakePorts>;
type Store = InstanceStore & CheckStore;

const noon = Date.parse('2026-11-26T12:00:00Z');

const absent: ReadOutcome = { kind: 'absent' };
const unanswered: ReadOutcome = { kind: 'unknown', reason: 'no response' };

/** An active row, due since noon unless `over` says otherwise. */
const rowOf = (fake: Fake, tenantId: string, over: Partial<InstanceRow> = {}): InstanceRow => ({
  ...activate(
    { ...fake.claimed(), tenantId },
    { instanceId: Number(/\d+$/.exec(tenantId)?.[0] ?? 7), token: new Uint8Array([1]) },
    noon,
    defaultTiming,
  ),
  ...over,
});

function checking({
  read = (instanceId) => shownInstance(instanceId),
  ping = async () => ({ status: 'healthy' }),
  storeOf = () => ({}),
}: {
  read?: (instanceId: number) => ReadOutcome;
  ping?: Ping;
  storeOf?: (store: Store, fake: Fake) => Partial<Store>;
} = {}) {
  const reads: object[] = [];
  const pings: Parameters<Ping>[] = [];
  const fake = fakePorts({
    read: async (of, options) => {
      reads.push({ ...of, ...options });
      return read(of.instanceId);
    },
  });
  const { timing: _, ...ports } = fake.ports;
  const about: object[] = [];
  const { check, checkDue } = createChecking({
    ...ports,
    observe: (observation, of) => {
      about.push(of);
      ports.observe(observation, of);
    },
    timing,
    catalog: catalogWith({ silent: { ping: false } }),
    store: { ...fake.store, ...storeOf(fake.store, fake) },
    ping: async (...call) => {
      pings.push(call);
      return ping(...call);
    },
  });
  return {
    fake,
    reads,
    pings,
    about,
    check: (leftMs = 29_000) => check(fake.key, { deadlineAt: fake.clock.nowMs + leftMs }),
    checkDue: (leftMs = 60_000) => checkDue({ deadlineAt: fake.clock.nowMs + leftMs }),
  };
}

const nothing = { healthy: 0, unhealthy: 0, unknown: 0, skipped: 0, brokenOff: false };
const fails = (code: ErrorCode) => Promise.reject(new OnboardingError(code, 'Said why.'));
const tenants = (count: number, name = 'tenant') =>
  Array.from({ length: count }, (_, index) => `${name}-${index}`);

describe('a requested check', () => {
  test.each<[string, string, Partial<InstanceRow>, object]>([
    ['a removed instance', 'not-found', { status: 'removed' }, {}],
    ['a failed instance', 'not-active', { status: 'failed' }, {}],
    ['an active row without an id', 'not-active', { instanceId: undefined }, {}],
    ['a row that a request works on', 'busy', { leaseExpiresAt: noon + 1 }, { retryAfterMs: 1 }],
  ])('a check of %s is refused: %s', async (_what, code, over, facts) => {
    const { fake, reads, check } = checking();
    await fake.put(rowOf(fake, 'acme', over));
    await expect(check()).rejects.toMatchObject({ code, facts });
    expect(reads).toEqual([]);
  });

  test('a tenant without an instance has nothing to check', async () => {
    await expect(checking().check()).rejects.toMatchObject({ code: 'not-found' });
  });

  test('a check that another one was faster than returns the row of that one', async () => {
    const { fake, check } = checking({
      ping: async () => {
        const current = fake.rowOf();
        if (current)
          await fake.put({ ...current, claimId: 'other', health: { status: 'healthy', since: 1 } });
        return { status: 'unhealthy', reason: 'refused-by-vendor' };
      },
    });
    await fake.put(rowOf(fake, 'acme'));
    expect(await check()).toMatchObject({
      row: { claimId: 'other' },
      finding: { status: 'unhealthy' },
    });
    expect(fake.observed).toEqual([]);
  });

  test.each<[string, number, Partial<InstanceRow> | undefined]>([
    ['another request has claimed', 60_000, { claimId: 'rival', leaseExpiresAt: noon + 60_000 }],
    ['is gone', -noon, undefined],
  ])('a check whose row %s meanwhile is refused as busy', async (_what, retryAfterMs, over) => {
    const { fake, check } = checking({
      ping: async () => {
        const row = fake.rowOf();
        if (row) await (over ? fake.put({ ...row, ...over }) : fake.store.remove(row));
        return { status: 'healthy' };
      },
    });
    await fake.put(rowOf(fake, 'acme'));
    await expect(check()).rejects.toMatchObject({ code: 'busy', facts: { retryAfterMs } });
  });
});

const unhealthy = (reason: 'gone' | 'disabled' | 'invalid') => ({ status: 'unhealthy', reason });

describe('the calls of a check', () => {
  test.each([
    { leftMs: 29_000, readMs: timing.lookUpTimeoutMs, pingMs: timing.pingTimeoutMs },
    { leftMs: timing.commitReserveMs + 1_000, readMs: 1_000, pingMs: 1_000 },
  ])('a check with $leftMs ms left reads for $readMs ms and pings for $pingMs ms', async (limit) => {
    const { fake, reads, pings, check } = checking();
    await fake.put(rowOf(fake, 'acme'));
    await check(limit.leftMs);
    expect(reads).toEqual([{ ...fake.key, owner: 'tests', instanceId: 7, timeoutMs: limit.readMs }]);
    expect(pings).toEqual([
      [{ ...fake.key, instanceId: 7, token: 'token-of-7' }, { timeoutMs: limit.pingMs }],
    ]);
  });

  test.each<[string, ReadOutcome, object, number]>([
    ['that gives no response', unanswered, { status: 'unknown', reason: 'unreachable' }, 0],
    ['that is denied, of the only instance', absent, unhealthy('gone'), 0],
    [
      "that shows another's tags",
      shownInstance(7, { owned: 'not-ours' }),
      { status: 'unknown', reason: 'not-ours' },
      0,
    ],
    ['of a disabled instance', shownInstance(7, { disabled: true, valid: false }), unhealthy('disabled'), 0],
    ['of an invalid instance', shownInstance(7, { valid: false }), unhealthy('invalid'), 0],
    [
      'without a token',
      shownInstance(7, { token: undefined }),
      { status: 'unknown', reason: 'no-token', isShown: true },
      0,
    ],
    ['without markers', shownInstance(7, { owned: 'unmarked' }), { status: 'healthy' }, 1],
    ['that shows the instance', shownInstance(7), { status: 'healthy' }, 1],
  ])('a check after a read %s', async (_what, read, finding, count) => {
    const { fake, pings, check } = checking({ read: () => read });
    await fake.put(rowOf(fake, 'acme'));
    expect((await check()).finding).toEqual(finding);
    expect(pings).toHaveLength(count);
  });

  test('an element without a ping is not pinged', async () => {
    const { fake, pings, checkDue } = checking();
    const health: Health = { status: 'unhealthy', since: 1, reason: 'disabled' };
    const row = await fake.put(rowOf(fake, 'acme', { elementKey: 'silent', health }));
    expect(await checkDue()).toEqual({ ...nothing, unknown: 1 });
    expect(pings).toEqual([]);
    // Cloud Elements shows it enabled, which is all that can be known of it.
    expect((await fake.store.get(row))?.health).toMatchObject({ status: 'unknown', reason: 'no-ping' });
  });

  test.each<[Finding, object]>([
    [
      { status: 'unknown', reason: 'unreachable' },
      { status: 'unknown', reason: 'unreachable', isShown: true },
    ],
    [
      { status: 'unhealthy', reason: 'refused-by-vendor' },
      { status: 'unhealthy', reason: 'refused-by-vendor' },
    ],
  ])('a check whose ping finds %o', async (pinged, finding) => {
    const { fake, check } = checking({ ping: async () => pinged });
    await fake.put(rowOf(fake, 'acme'));
    expect((await check()).finding).toEqual(finding);
  });
});

describe('what a check writes', () => {
  const refused: Finding = { status: 'unhealthy', reason: 'refused-by-vendor' };
  const unreachable: Finding = { status: 'unknown', reason: 'unreachable' };
  const failedOnce: Health = { status: 'healthy', since: 1, failedAt: 2 };
  const sick: Health = { status: 'unhealthy', since: 1, reason: 'refused-by-vendor' };

  test.each<[string, Health | undefined, Finding, number, object[]]>([
    ['a first success', undefined, { status: 'healthy' }, timing.healthEveryMs, []],
    ['a first failure', undefined, refused, timing.healthConfirmMs, []],
    [
      'a second failure',
      failedOnce,
      refused,
      timing.unhealthyEveryMs,
      [{ kind: 'instance-unhealthy', instanceId: 7, reason: 'refused-by-vendor' }],
    ],
    ['another failure', sick, refused, timing.unhealthyEveryMs, []],
    [
      'a success after failures',
      sick,
      { status: 'healthy' },
      timing.healthEveryMs,
      [{ kind: 'instance-recovered', instanceId: 7 }],
    ],
    ['no response', undefined, unreachable, timing.recheckMs, []],
    ['no response after failures', sick, unreachable, timing.recheckMs, []],
    ['no response after a failure', failedOnce, unreachable, timing.healthConfirmMs, []],
  ])('%s is followed by the next check in time', async (_what, health, finding, afterMs, observed) => {
    const { fake, check } = checking({ ping: async () => finding });
    const before = await fake.put(rowOf(fake, 'acme', { health }));
    fake.clock.nowMs += 1_000;
    const { row } = await check();
    expect(row.healthCheckAt).toBe(noon + 1_000 + afterMs);
    expect(row.claimId).not.toBe(before.claimId);
    expect(fake.rowOf()).toMatchObject({ claimId: row.claimId, healthCheckAt: row.healthCheckAt });
    expect(row.revision).toBe(observed.length > 0 ? noon + 1_000 : before.revision);
    expect(fake.observed).toEqual(observed);
  });
});

const dueRows = (count: number): DueInstance[] =>
  tenants(count, 'deleted').map((tenantId) => ({ tenantId, elementKey: 'taxify', checkAt: 1, shown: '1' }));

describe('an instance that Cloud Elements denies', () => {
  const gone = { status: 'unhealthy', reason: 'gone' };
  const notVisible = { status: 'unknown', reason: 'not-visible' };

  test.each<[string, object, Partial<InstanceRow>[], number[], number]>([
    ['beside one that is shown', gone, [{ instanceId: 8 }], [8], 2],
    ['beside one that is denied, too', notVisible, [{ instanceId: 9 }], [8], 2],
    ['beside one without an answer', notVisible, [{ instanceId: -1 }], [8], 2],
    [
      'beside three that are denied, and a fourth',
      notVisible,
      [{ instanceId: 91 }, { instanceId: 92 }, { instanceId: 93 }, { instanceId: 8 }],
      [8],
      4,
    ],
    [
      'beside two that are denied, and one that is shown',
      gone,
      [{ instanceId: 91 }, { instanceId: 92 }, { instanceId: 8 }],
      [8],
      4,
    ],
    ['beside one at another base URL', gone, [{ instanceId: 8, origin: 'https://two.example' }], [8], 1],
    ['beside one without an id', gone, [{ instanceId: undefined }], [8], 1],
    ['beside one that is no longer active', gone, [{ instanceId: 9, status: 'deleting' }], [8], 1],
  ])('an instance that is denied %s', async (_what, finding, others, visible, count) => {
    const { fake, reads, check } = checking({
      read: (id) => (id === -1 ? unanswered : visible.includes(id) ? shownInstance(id) : absent),
      storeOf: (store) => ({
        dueChecks: async ({ until, limit, first }) => {
          expect({ until, limit, first }).toEqual({
            until: Number.MAX_SAFE_INTEGER,
            limit: 11,
            first: 'latest',
          });
          const due: DueInstance[] = [];
          for await (const { tenantId, elementKey } of store.all())
            due.push({ tenantId, elementKey, checkAt: 1, shown: '1' });
          return due;
        },
      }),
    });
    await fake.put(rowOf(fake, 'acme', { instanceId: 90 }));
    for (const [index, over] of others.entries()) await fake.put(rowOf(fake, `other-${index}`, over));
    expect((await check()).finding).toEqual(finding);
    expect(reads).toHaveLength(count);
    expect(reads[1] ?? { owner: 'tests', timeoutMs: timing.lookUpTimeoutMs }).toMatchObject({
      owner: 'tests',
      timeoutMs: timing.lookUpTimeoutMs,
    });
  });

  test.each([
    [10, gone],
    [11, notVisible],
  ])('an instance that is denied beside %d rows that are gone', async (count, finding) => {
    const { fake, check } = checking({
      read: () => absent,
      storeOf: () => ({ dueChecks: async () => dueRows(count) }),
    });
    await fake.put(rowOf(fake, 'acme'));
    expect((await check()).finding).toEqual(finding);
  });

  test('ten of eleven other rows are read', async () => {
    const gets: string[] = [];
    const { fake, check } = checking({
      read: () => absent,
      storeOf: (store) => ({
        dueChecks: async () => dueRows(11),
        get: async (key) => {
          gets.push(key.tenantId);
          return store.get(key);
        },
      }),
    });
    await fake.put(rowOf(fake, 'acme'));
    await check();
    expect(gets).toHaveLength(11);
  });

  test('an instance that is denied beside a row that cannot be read is not called gone', async () => {
    const { fake, check } = checking({
      read: () => absent,
      storeOf: (store) => ({
        dueChecks: async () => dueRows(1),
        get: (key) => (key.tenantId === 'acme' ? store.get(key) : fails('internal')),
      }),
    });
    await fake.put(rowOf(fake, 'acme'));
    expect((await check()).finding).toEqual(notVisible);
  });
});

describe('a run of checks', () => {
  test('a run checks at most a hundred instances, ten at once, each of them once', async () => {
    let [atOnce, most] = [0, 0];
    const { fake, pings, checkDue } = checking({
      ping: async () => {
        atOnce += 1;
        most = Math.max(most, atOnce);
        await Promise.resolve();
        atOnce -= 1;
        return { status: 'healthy' };
      },
    });
    for (const tenantId of tenants(checksPerRun + 5)) await fake.put(rowOf(fake, tenantId));
    expect(await checkDue()).toEqual({ ...nothing, healthy: checksPerRun });
    expect(new Set(pings.map(([{ tenantId }]) => tenantId)).size).toBe(checksPerRun);
    expect(most).toBeLessThanOrEqual(checksAtOnce);
    expect(await checkDue()).toEqual({ ...nothing, healthy: 5 });
  });

  test('a run ends when nothing is due', async () => {
    const { fake, checkDue } = checking();
    for (const tenantId of tenants(12)) await fake.put(rowOf(fake, tenantId));
    await fake.put(rowOf(fake, 'later', { healthCheckAt: noon + 1 }));
    expect(await checkDue()).toEqual({ ...nothing, healthy: 12 });
    expect(await checkDue()).toEqual(nothing);
  });

  test('half of a batch are the longest due, and half the latest', async () => {
    const queries: object[] = [];
    const { fake, pings, checkDue } = checking({
      storeOf: (store) => ({
        dueChecks: async (query) => {
          queries.push(query);
          return store.dueChecks(query);
        },
      }),
      ping: async () => ({ status: 'unknown', reason: 'unreachable' }),
    });
    for (const [index, tenantId] of tenants(30).entries())
      await fake.put(rowOf(fake, tenantId, { healthCheckAt: noon - 30 + index }));
    // No check of the first batch gets a response.
    expect(await checkDue()).toEqual({ ...nothing, unknown: 10, brokenOff: true });
    const order = pings.map(([{ instanceId }]) => instanceId);
    expect(order).toEqual([0, 1, 2, 3, 4, 29, 28, 27, 26, 25]);
    expect(queries).toEqual([
      { until: noon, limit: checksAtOnce, first: 'longest' },
      { until: noon, limit: checksAtOnce, first: 'latest' },
    ]);
  });

  test('the index may still show rows of earlier batches, which are not checked again', async () => {
    const limits: number[] = [];
    const all: DueInstance[] = tenants(15).map((tenantId) => ({
      tenantId,
      elementKey: 'taxify',
      checkAt: 1,
      shown: '1',
    }));
    const { fake, pings, checkDue } = checking({
      storeOf: () => ({
        dueChecks: async ({ limit, first }) => {
          limits.push(limit);
          return (first === 'latest' ? all.toReversed() : all).slice(0, limit);
        },
      }),
    });
    for (const tenantId of tenants(15)) await fake.put(rowOf(fake, tenantId));
    expect(await checkDue()).toEqual({ ...nothing, healthy: 15 });
    expect(pings).toHaveLength(15);
    expect(limits).toEqual([10, 10, 20, 20, 25, 25]);
  });

  test.each<[string, number, boolean[], boolean]>([
    ['a full batch without a response', 20, Array.from({ length: 10 }, () => false), true],
    ['a batch of nine without a response', 9, Array.from({ length: 9 }, () => false), false],
    ['a full batch with one response', 10, [true, ...Array.from({ length: 9 }, () => false)], false],
  ])('%s ends the run early: %s', async (_what, count, answers, brokenOff) => {
    const { fake, reads, checkDue } = checking({
      read: (id) => (answers[id] ? shownInstance(id) : unanswered),
    });
    for (const tenantId of tenants(count)) await fake.put(rowOf(fake, tenantId));
    expect(await checkDue()).toMatchObject({ brokenOff });
    expect(reads).toHaveLength(Math.min(count, 10));
  });

  test.each<[string, Partial<InstanceRow>]>([
    ['is not due yet', { healthCheckAt: noon + 1 }],
    ['has no check ahead', { healthCheckAt: undefined }],
    ['is being deleted', { status: 'deleting' }],
    ['is leased', { leaseExpiresAt: noon + 1 }],
  ])('a row that %s when it is read is skipped', async (_what, over) => {
    const { fake, reads, checkDue } = checking({
      storeOf: () => ({
        dueChecks: async () => [{ ...fakePorts().key, checkAt: 1, shown: '1' }],
      }),
    });
    const row = await fake.put(rowOf(fake, 'acme', over));
    expect(await checkDue()).toEqual({ ...nothing, skipped: 1 });
    expect(reads).toEqual([]);
    expect(fake.rowOf()).toMatchObject({ claimId: row.claimId });
  });

  test('a row that is gone when it is read is skipped', async () => {
    const { checkDue } = checking({
      storeOf: () => ({ dueChecks: async () => [{ ...fakePorts().key, checkAt: 1, shown: '1' }] }),
    });
    expect(await checkDue()).toEqual({ ...nothing, skipped: 1 });
  });
});

const aBug = () => Promise.reject(new TypeError('a bug'));

describe('a row whose check fails', () => {
  const next = noon + timing.recheckMs;

  test.each<[string, () => Promise<never>, string, number, string | undefined]>([
    ['cannot be read', () => fails('internal'), 'Said why.', next, undefined],
    ['is not given by DynamoDB', () => fails('aws-unavailable'), 'Said why.', noon, undefined],
    ['meets a bug', aBug, 'a bug in this service', next, 'a bug'],
  ])('a row that %s is left, and the others are checked', async (_what, get, reason, moved, thrown) => {
    const postponed: [string, number][] = [];
    const { fake, pings, checkDue } = checking({
      storeOf: (store) => ({
        get: (key) => (key.tenantId === 'odd-1' ? get() : store.get(key)),
        postpone: async ({ tenantId }, checkAt) => void postponed.push([tenantId, checkAt]),
      }),
    });
    for (const tenantId of ['odd-1', 'even-2']) await fake.put(rowOf(fake, tenantId));
    const outcome = await checkDue().catch((error: unknown) => error);
    expect(outcome).toMatchObject(
      thrown === undefined ? { ...nothing, healthy: 1, skipped: 1 } : { message: thrown },
    );
    expect(pings).toHaveLength(1);
    expect(fake.observed).toEqual([{ kind: 'left-open', reason }]);
    expect(postponed).toEqual(moved === noon ? [] : [['odd-1', moved]]);
  });

  test('a row that cannot be read and not be moved does not end the run', async () => {
    const { fake, pings, about, checkDue } = checking({
      storeOf: (store) => ({
        get: (key) => (key.tenantId === 'odd-1' ? fails('internal') : store.get(key)),
        postpone: () => fails('aws-unavailable'),
      }),
    });
    for (const tenantId of ['odd-1', 'even-2']) await fake.put(rowOf(fake, tenantId));
    expect(await checkDue()).toEqual({ ...nothing, healthy: 1, skipped: 1 });
    expect(pings).toHaveLength(1);
    expect(fake.observed).toEqual([
      { kind: 'left-open', reason: 'Said why.' },
      { kind: 'claim-left', reason: 'Said why.' },
    ]);
    const odd = { tenantId: 'odd-1', elementKey: 'taxify', provisionId: 'not known' };
    expect(about).toMatchObject([odd, odd]);
  });

  test('a bug in moving a row is thrown', async () => {
    const { fake, checkDue } = checking({
      storeOf: () => ({ get: () => fails('internal'), postpone: () => aBug() }),
    });
    await fake.put(rowOf(fake, 'odd-1'));
    await expect(checkDue()).rejects.toThrow('a bug');
  });
});

describe('rows that are not settled', () => {
  const former = { provisionId: 'earlier', name: 'Earlier', createdAt: 1 };
  const ahead = { checkAt: noon + timing.recheckMs };

  test.each<[string, Partial<InstanceRow>, number]>([
    ['in doubt', { ...ahead, inDoubt: true }, 1],
    ['with an earlier generation', { ...ahead, formers: [former] }, 1],
    ['without one', { ...ahead, formers: [] }, 0],
    ['that was moved for a fault', ahead, 0],
    ['in doubt, and not due for a check', { ...ahead, inDoubt: true, healthCheckAt: noon + 1 }, 0],
    ['in doubt, which the reconciler looks at later', { checkAt: ahead.checkAt + 1, inDoubt: true }, 0],
    ['in doubt, and leased', { ...ahead, inDoubt: true, leaseExpiresAt: noon + 1 }, 0],
  ])('a run of checks and a row %s', async (_what, over, healthy) => {
    const { fake, checkDue } = checking();
    await fake.put(rowOf(fake, 'acme', over));
    expect(await checkDue()).toMatchObject({ healthy });
  });

  test('unsettled rows are checked before the others, in batches of their own', async () => {
    const limits: number[] = [];
    const { fake, pings, checkDue } = checking({
      storeOf: (store) => ({
        due: async (nowMs, limit) => {
          limits.push(limit);
          return store.due(nowMs, limit);
        },
      }),
    });
    for (const tenantId of tenants(3, 'settled')) await fake.put(rowOf(fake, tenantId));
    for (const tenantId of tenants(12, 'open'))
      await fake.put(rowOf(fake, tenantId, { ...ahead, inDoubt: true }));
    expect(await checkDue()).toEqual({ ...nothing, healthy: 15 });
    const order = pings.map(([{ tenantId }]) => tenantId.split('-')[0]);
    expect(order).toEqual([...tenants(12).map(() => 'open'), ...tenants(3).map(() => 'settled')]);
    expect(limits).toEqual([50]);
  });

  test('an unsettled row that cannot be read is left to the reconciler', async () => {
    const postponed: unknown[] = [];
    let gets = 0;
    const { fake, checkDue } = checking({
      storeOf: (store) => ({
        get: (key) => {
          gets += 1;
          // Readable at first, and then no longer.
          return key.tenantId === 'odd-1' && gets > 2 ? fails('internal') : store.get(key);
        },
        postpone: async (due) => void postponed.push(due),
      }),
    });
    for (const tenantId of ['odd-1', 'even-2'])
      await fake.put(rowOf(fake, tenantId, { ...ahead, inDoubt: true }));
    expect(await checkDue()).toEqual({ ...nothing, healthy: 1, skipped: 1 });
    expect(postponed).toEqual([]);
  });

  test('an unsettled row that is unreadable from the start is no part of the run', async () => {
    const { fake, checkDue } = checking({
      storeOf: (store) => ({ get: (key) => (key.tenantId === 'odd-1' ? fails('internal') : store.get(key)) }),
    });
    for (const tenantId of ['odd-1', 'even-2'])
      await fake.put(rowOf(fake, tenantId, { ...ahead, inDoubt: true }));
    expect(await checkDue()).toEqual({ ...nothing, healthy: 1 });
    expect(fake.observed).toEqual([]);
  });
});
