import { describe, expect, test } from 'vitest';
import { tenantTombstone } from '../../../functions/core/lifecycle.ts';
import type {
  CloudElements,
  DueInstance,
  InstanceStore,
  LookUp,
  Observation,
  ReadOutcome,
} from '../../../functions/core/ports.ts';
import { createReconciling } from '../../../functions/core/reconcile.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { wholeTenant, type InstanceRow } from '../../../functions/model/instance.ts';
import type { Moments } from '../../../functions/model/moments.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';
import { fakePorts } from '../../support/fake-ports.ts';

/** Single steps of the reconciler, in memory. */

const budgetMs = 60_000;
const minute = 60_000;
const hour = 60 * minute;
const instance = { instanceId: 7, token: new Uint8Array([1]) };
const event = { dialect: 'native', eventId: 'event-1', sentAt: Date.parse('2026-11-26T11:00:00Z') } as const;

const found = (ids: number[], isCertain = true): LookUp => ({
  kind: 'found',
  instances: ids.map((id) => ({ id, token: `token-of-${id}` })),
  isCertain,
});

async function noAnswer(): Promise<never> {
  throw new OnboardingError('aws-unavailable', 'No answer.');
}

async function unknown(): Promise<{ kind: 'unknown'; reason: string }> {
  return { kind: 'unknown', reason: 'no response' };
}

function shown(over: Partial<Extract<ReadOutcome, { kind: 'read' }>> = {}): ReadOutcome {
  return {
    kind: 'read',
    owned: 'ours',
    instanceId: 7,
    elementKey: 'taxify',
    token: 'token-of-7',
    createdDate: undefined,
    valid: true,
    disabled: false,
    ...over,
  };
}

type Given = {
  row: Partial<InstanceRow>;
  calls?: Partial<CloudElements>;
  store?: Partial<InstanceStore>;
  /** Another claim writes this while Cloud Elements is asked. */
  rival?: Partial<InstanceRow>;
  /** The whole tenant was removed then. */
  tenantRemoved?: Moments;
  leftMs?: number;
};

/** Settles one row whose claim died an hour ago. Records what Cloud Elements was asked. */
async function settle({ row: over, calls = {}, store = {}, rival, tenantRemoved, leftMs = budgetMs }: Given) {
  const asked: unknown[] = [];
  const beside = async () => {
    const current = fake.rowOf();
    if (current && rival) await fake.put({ ...current, ...rival });
  };
  const fake = fakePorts({
    remove: async ({ instanceId }) => {
      asked.push(['remove', instanceId]);
      return calls.remove ? unknown() : { kind: 'removed' };
    },
    lookUp: async (sought, options) => {
      asked.push(['lookUp', sought.provisionId, sought.instanceId, sought.exceptId, options.timeoutMs]);
      await beside();
      return calls.lookUp ? calls.lookUp(sought, options) : found([]);
    },
    read: async (sought, options) => {
      asked.push(['read', sought.instanceId, options.timeoutMs]);
      await beside();
      return calls.read ? calls.read(sought, options) : shown();
    },
  });
  const claimed = fake.claimed();
  if (tenantRemoved) {
    await fake.store.claim({ ...claimed, elementKey: wholeTenant, removedTimes: tenantRemoved });
  }
  fake.clock.nowMs += hour;
  const settled = { leaseExpiresAt: 0, sendDeadline: fake.clock.nowMs - timing.quiescenceMs };
  const row = await fake.put({
    ...claimed,
    provisionId: 'own',
    ...settled,
    checkAt: fake.clock.nowMs,
    ...over,
  });
  const reconciling = createReconciling({ ...fake.ports, store: { ...fake.store, ...store } });
  const result = await reconciling.settle(row, fake.clock.nowMs + leftMs);
  return { ...fake, result, asked, row, after: fake.rowOf() };
}

const active = { status: 'active', ...instance } as const;

describe('a row that is due', () => {
  test('a row that is gone is skipped', async () => {
    const { ports, key, clock } = fakePorts();
    const { settle: settleRow } = createReconciling(ports);
    expect(await settleRow(key, clock.nowMs + budgetMs)).toEqual({ outcome: 'skipped', waitedMs: 0 });
  });

  test('a row that is due in a moment is skipped', async () => {
    const { result, asked } = await settle({ row: { checkAt: Date.parse('2026-11-26T13:00:00.001Z') } });
    expect(result).toEqual({ outcome: 'skipped', waitedMs: 0 });
    expect(asked).toEqual([]);
  });

  test('a row that another claims first is skipped', async () => {
    const { result, asked } = await settle({
      row: {},
      store: { claim: async () => ({ won: false, current: undefined }) },
    });
    expect(result).toEqual({ outcome: 'skipped', waitedMs: 0 });
    expect(asked).toEqual([]);
  });

  test('a row of another base URL is left open, with the reason', async () => {
    const { result, observed, after, clock } = await settle({ row: { origin: 'https://two.example' } });
    expect(result).toMatchObject({ outcome: 'still-open' });
    expect(observed).toEqual([{ kind: 'left-open', reason: 'origin-changed' }]);
    expect(after).toMatchObject({
      leaseExpiresAt: 0,
      checkAt: clock.nowMs + timing.reconcileAgainMs,
      lookedAt: clock.nowMs,
    });
  });

  test.each([
    [60_000, timing.lookUpTimeoutMs],
    [timing.commitReserveMs + 1_000, 1_000],
  ])('a run with %i ms left gives a look-up and a read %i ms', async (leftMs, timeoutMs) => {
    const { asked } = await settle({ row: active, leftMs });
    expect(asked).toEqual([
      ['read', 7, timeoutMs],
      ['lookUp', 'own', undefined, 7, timeoutMs],
    ]);
  });

  test.each<[string, Partial<InstanceRow>, number]>([
    ['a dead claim since its send deadline', {}, timing.quiescenceMs],
    ['an import since it was requested', { v: 'import', importing: {}, importedId: 7, requestedAt: 5 }, 5],
    ['a removal since it began', { status: 'deleting', removingSince: 6, removedAt: 7, updatedAt: 8 }, 6],
    [
      'a removal by an earlier version since it was requested',
      { status: 'deleting', removedAt: 7, updatedAt: 8 },
      7,
    ],
    ['a removal by a still earlier version since its last write', { status: 'deleting', updatedAt: 8 }, 8],
    ['a recheck of an active row since an hour after it was settled', { ...active, updatedAt: 9 }, 9 + hour],
    [
      'a recheck of a failed row since an hour after it was settled',
      { status: 'failed', updatedAt: 9 },
      9 + hour,
    ],
    [
      'a recheck of a tombstone since an hour after it was written',
      { status: 'removed', updatedAt: 9 },
      9 + hour,
    ],
  ])('the reconciler counts how long a row waits: %s', async (_what, row, since) => {
    const { result, clock } = await settle({ row });
    const startedAt = row.status === undefined && !row.importing ? clock.nowMs - since : since;
    expect(result.waitedMs).toBe(clock.nowMs - startedAt);
  });
});

describe('the reconciler at a dead claim', () => {
  const takenOver = { kind: 'taken-over', from: 'provisioning' };

  test('a dead claim adopts its instance, which is rechecked', async () => {
    const { result, after, observed, clock, asked } = await settle({
      row: {},
      calls: { lookUp: async () => found([7]) },
    });
    expect(result.outcome).toBe('adopted');
    expect(after).toMatchObject({ status: 'active', instanceId: 7, inDoubt: true });
    expect(after?.checkAt).toBe(clock.nowMs + timing.recheckMs);
    expect(observed).toEqual([takenOver, { kind: 'adopted', instanceId: 7 }]);
    expect(asked).toHaveLength(1);
  });

  test('a dead claim whose look-up fails is left open, with the reason', async () => {
    const { result, after, observed, clock } = await settle({ row: {}, calls: { lookUp: unknown } });
    expect(result.outcome).toBe('still-open');
    expect(after).toMatchObject({ status: 'provisioning', checkAt: clock.nowMs + timing.reconcileAgainMs });
    expect(observed).toEqual([
      takenOver,
      { kind: 'look-up-failed', reason: 'no response' },
      { kind: 'left-open', reason: 'look-up failed' },
    ]);
  });

  test('a dead claim without an instance fails after the quiescence', async () => {
    const { result, after, row } = await settle({ row: {} });
    expect(result.outcome).toBe('failed');
    expect(after).toMatchObject({
      status: 'failed',
      inDoubt: true,
      sendDeadline: row.sendDeadline,
      lastError: { code: 'not-created' },
    });
  });

  test('a dead claim without an instance stays in doubt before the end of the quiescence', async () => {
    const sendDeadline = Date.parse('2026-11-26T13:00:00.001Z') - timing.quiescenceMs;
    const { result, after } = await settle({ row: { sendDeadline } });
    expect(result.outcome).toBe('still-open');
    expect(after).toMatchObject({
      status: 'provisioning',
      inDoubt: true,
      leaseExpiresAt: 0,
      checkAt: sendDeadline + timing.quiescenceMs,
      lastError: { code: 'outcome-unknown' },
    });
  });

  test('a look-up that begins before the end of the quiescence proves nothing, although it ends later', async () => {
    const sendDeadline = Date.parse('2026-11-26T13:00:01Z') - timing.quiescenceMs;
    const fake = fakePorts({
      lookUp: async () => {
        fake.clock.nowMs += 2_000;
        return found([]);
      },
    });
    const row = await fake.put({ ...fake.claimed(), leaseExpiresAt: 0, sendDeadline, checkAt: 1 });
    fake.clock.nowMs = Date.parse('2026-11-26T13:00:00Z');
    const { settle: settleRow } = createReconciling(fake.ports);
    expect(await settleRow(row, fake.clock.nowMs + budgetMs)).toMatchObject({ outcome: 'still-open' });
  });

  test.each<[string, Given, string]>([
    [
      'fails if its only instance cannot be kept',
      {
        row: {},
        calls: {
          lookUp: async () => ({
            ...found([]),
            kind: 'found',
            instances: [],
            unusable: [{ id: 8, reason: 'any' }],
            isCertain: true,
          }),
        },
      },
      'failed',
    ],
    [
      'stays open if another claim of its generation has the row',
      { row: {}, calls: { lookUp: async () => found([7]) }, rival: { claimId: 'rival' } },
      'still-open',
    ],
  ])('a dead claim %s', async (_what, given, outcome) => {
    const { result } = await settle(given);
    expect(result.outcome).toBe(outcome);
  });

  test.each<[string, Partial<InstanceRow>, Moments | undefined, string]>([
    [
      'an event from before the removal of the whole tenant is removed',
      { requestedBy: event, requestedTimes: { event: event.sentAt } },
      { own: event.sentAt },
      'removed',
    ],
    [
      'an event from after the removal of the whole tenant fails',
      { requestedBy: event, requestedTimes: { event: event.sentAt } },
      { own: event.sentAt - minute },
      'failed',
    ],
    ['an event of a tenant that was never removed fails', { requestedBy: event }, undefined, 'failed'],
    [
      'a request fails, because requests ignore the removal of the whole tenant',
      { requestedTimes: { own: event.sentAt } },
      { own: event.sentAt + minute },
      'failed',
    ],
  ])('a dead claim without an instance by %s', async (_whose, row, tenantRemoved, outcome) => {
    const { result, after } = await settle({ row, ...(tenantRemoved && { tenantRemoved }) });
    expect(result.outcome).toBe(outcome);
    expect(after?.status).toBe(outcome);
  });
});

describe('the reconciler at an unfinished import', () => {
  const importing = { v: 'import', importing: {}, importedId: 7 } as const;

  test.each<[string, Given, string]>([
    [
      'whose instance shows everything is adopted',
      { row: importing, calls: { read: async () => shown({ tags: [], name: 'By hand' }) } },
      'adopted',
    ],
    ['whose instance cannot be read stays open', { row: importing, calls: { read: unknown } }, 'still-open'],
    [
      'whose instance is gone fails',
      { row: importing, calls: { read: async () => ({ kind: 'absent' }) } },
      'failed',
    ],
    [
      'whose instance is gone stays open before the quiescence',
      {
        row: { ...importing, sendDeadline: Date.parse('2026-11-26T13:00:00Z') },
        calls: { read: async () => ({ kind: 'absent' }) },
      },
      'still-open',
    ],
    [
      'that another claims meanwhile is skipped',
      {
        row: importing,
        calls: { read: async () => shown({ tags: [], name: 'By hand' }) },
        rival: { claimId: 'rival' },
      },
      'skipped',
    ],
  ])('an import %s', async (_what, given, outcome) => {
    const { result, observed } = await settle(given);
    expect(result.outcome).toBe(outcome);
    expect(observed[0]).toEqual({ kind: 'taken-over', from: 'provisioning' });
  });
});

describe('the reconciler at a removal', () => {
  const deleting = { status: 'deleting', instanceId: 7 } as const;

  test('a removal that can be finished is finished', async () => {
    const { result, after, asked } = await settle({ row: deleting });
    expect(result.outcome).toBe('removed');
    expect(after).toMatchObject({ status: 'removed' });
    expect(asked).toEqual([
      ['read', 7, timing.lookUpTimeoutMs],
      ['remove', 7],
    ]);
  });

  test('a removal whose instance cannot be read stays open', async () => {
    const { result, after } = await settle({ row: deleting, calls: { read: unknown } });
    expect(result.outcome).toBe('still-open');
    expect(after).toMatchObject({ status: 'deleting', leaseExpiresAt: 0 });
  });

  test.each([
    [[], 'removed'],
    [[{ tenantId: 'acme', elementKey: 'odd' }], 'still-open'],
  ])('a removal of a whole tenant with the unreadable rows %j is %s', async (unreadable, outcome) => {
    const fake = fakePorts();
    const tombstone = tenantTombstone({
      key: { tenantId: 'acme', elementKey: wholeTenant },
      removal: { times: { own: 1 }, by: undefined },
      ids: { provisionId: 'own', claimId: 'first' },
      // It has no instance, so its base URL does not matter.
      origin: 'https://two.example',
      nowMs: fake.clock.nowMs - hour,
      timing,
    });
    await fake.put(tombstone);
    const list = async () => ({ instances: [], unreadable });
    const { settle: settleRow } = createReconciling({ ...fake.ports, store: { ...fake.store, list } });
    const result = await settleRow(tombstone, fake.clock.nowMs + budgetMs);
    expect(result).toEqual({ outcome, waitedMs: hour });
  });
});

describe('the recheck of a row', () => {
  const formers = [
    { provisionId: 'earlier', name: 'Earlier', createdAt: 1, origin: 'https://one.example' },
    { provisionId: 'earliest', name: 'Earliest', createdAt: 1 },
  ];

  test('a recheck of an active row looks beside its instance, in every generation', async () => {
    const { result, asked, after } = await settle({ row: { ...active, createdName: 'Then', formers } });
    expect(result.outcome).toBe('checked');
    expect(asked).toEqual([
      ['read', 7, timing.lookUpTimeoutMs],
      ['lookUp', 'own', undefined, 7, timing.lookUpTimeoutMs],
      ['lookUp', 'earlier', undefined, 7, timing.lookUpTimeoutMs],
      ['lookUp', 'earliest', undefined, 7, timing.lookUpTimeoutMs],
    ]);
    expect(after).toMatchObject({ status: 'active', leaseExpiresAt: 0 });
    expect(after).not.toHaveProperty('checkAt');
  });

  test('a recheck of a failed row seeks the instance that it remembers, in its own generation alone', async () => {
    const { asked } = await settle({ row: { status: 'failed', instanceId: 7, formers } });
    expect(asked).toMatchObject([
      ['lookUp', 'own', 7, undefined, timing.lookUpTimeoutMs],
      ['lookUp', 'earlier', undefined, undefined, timing.lookUpTimeoutMs],
      ['lookUp', 'earliest', undefined, undefined, timing.lookUpTimeoutMs],
    ]);
  });

  test('a recheck seeks an earlier generation by its own name and creation date', async () => {
    const sought: unknown[] = [];
    await settle({
      row: { ...active, createdName: 'Then', formers },
      calls: {
        lookUp: async ({ name, createdAt }) => {
          sought.push([name, createdAt]);
          return found([]);
        },
      },
    });
    expect(sought.slice(1)).toEqual([
      ['Earlier', 1],
      ['Earliest', 1],
    ]);
  });

  const leftAlone = { kind: 'left-open' };
  test.each<[string, Given, object[]]>([
    [
      'its instance cannot be read',
      { row: active, calls: { read: unknown } },
      [{ ...leftAlone, reason: 'look-up failed' }],
    ],
    [
      'its look-up fails',
      { row: active, calls: { lookUp: unknown } },
      [
        { kind: 'look-up-failed', reason: 'no response' },
        { ...leftAlone, reason: 'look-up failed' },
      ],
    ],
    [
      'a duplicate cannot be deleted',
      { row: active, calls: { lookUp: async () => found([7, 8]), remove: unknown } },
      [
        { kind: 'duplicate-left', instanceId: 8, reason: 'no response' },
        { ...leftAlone, reason: 'duplicates not removed' },
      ],
    ],
    [
      'an earlier generation cannot be looked up',
      {
        row: { ...active, formers },
        calls: { lookUp: async ({ provisionId }) => (provisionId === 'own' ? found([]) : unknown()) },
      },
      [
        { kind: 'look-up-failed', reason: 'no response' },
        { ...leftAlone, reason: 'an earlier generation may be left' },
      ],
    ],
  ])('a recheck stays open if %s, with the reason', async (_why, given, observations) => {
    const { result, observed, after, clock } = await settle(given);
    expect(result.outcome).toBe('still-open');
    expect(observed).toEqual(observations);
    expect(after?.checkAt).toBe(clock.nowMs + timing.reconcileAgainMs);
  });

  test.each<[string, ReadOutcome, object]>([
    ['shows that it is another’s', shown({ owned: 'not-ours' }), { kind: 'not-ours', instanceId: 7 }],
    [
      'is not visible',
      { kind: 'absent' },
      { kind: 'look-up-failed', reason: 'instance 7, which is active, is not visible' },
    ],
  ])(
    'a recheck deletes nothing if the active instance %s, and is repeated in an hour',
    async (_what, outcome, observation) => {
      const { result, observed, asked, after, clock } = await settle({
        row: active,
        calls: { read: async () => outcome, lookUp: async () => found([8]) },
      });
      expect(result.outcome).toBe('checked');
      expect(observed).toEqual([observation]);
      expect(asked).toHaveLength(2);
      expect(after).toMatchObject({ status: 'active', checkAt: clock.nowMs + timing.recheckMs });
    },
  );

  test('a recheck deletes duplicates beside an active instance that shows no markers', async () => {
    const { result, asked } = await settle({
      row: active,
      calls: { read: async () => shown({ owned: 'unmarked' }), lookUp: async () => found([8]) },
    });
    expect(result.outcome).toBe('checked');
    expect(asked.slice(2)).toEqual([['remove', 8]]);
  });
});

/** Runs the reconciler over an index that lags: it goes on showing rows as due. The rows are gone, unless given. */
async function run(
  index: { first?: string[]; later?: string[] },
  {
    batchSize = 4,
    leftMs = budgetMs,
    get,
    dueForMs = 0,
    store: over = {},
  }: {
    batchSize?: number;
    leftMs?: number;
    get?: (tenantId: string) => Promise<InstanceRow | undefined>;
    dueForMs?: number;
    store?: Partial<InstanceStore>;
  } = {},
) {
  const fake = fakePorts();
  const limits: number[] = [];
  const read: string[] = [];
  const postponed: unknown[] = [];
  const observed: [Observation, object][] = [];
  const checkAt = fake.clock.nowMs - dueForMs;
  const dueOf = (tenantId: string): DueInstance => ({
    tenantId,
    elementKey: 'taxify',
    checkAt,
    shown: String(checkAt),
  });
  const store: InstanceStore = {
    ...fake.store,
    due: async (_nowMs, limit) => {
      limits.push(limit);
      const shownOf = (tenantIds: string[] = []) => tenantIds.slice(0, limit).map(dueOf);
      return { first: shownOf(index.first), later: shownOf(index.later) };
    },
    get: async ({ tenantId }) => {
      read.push(tenantId);
      return get?.(tenantId);
    },
    postpone: async (due, at) => void postponed.push([due, at]),
    ...over,
  };
  const observe = (observation: Observation, of: object) => void observed.push([observation, of]);
  const ended = createReconciling({ ...fake.ports, store, observe }).reconcile({
    deadlineAt: fake.clock.nowMs + leftMs,
    batchSize,
  });
  return { ended, limits, read, postponed, observed, dueOf, nowMs: fake.clock.nowMs };
}

const numbered = (prefix: string, count: number) =>
  Array.from({ length: count }, (_each, index) => `${prefix}${index}`);

const failing = (error: Error) => async (tenantId: string) => {
  if (tenantId === 'a0') throw error;
  return undefined;
};

const anotherBug = async () => {
  throw new TypeError('another bug');
};

describe('a run of the reconciler', () => {
  test('a run without due rows ends at once', async () => {
    const { ended, limits } = await run({});
    expect(await ended).toEqual({ tally: {}, oldestUnsettledMs: 0 });
    expect(limits).toEqual([4]);
  });

  // A look-up, a removal and a commit: 5 s + 5 s + 4 s.
  test.each([
    [14_000, ['a0']],
    [13_999, []],
  ])('a run with %i ms left begins the rows %j', async (leftMs, expected) => {
    const { ended, read } = await run({ first: ['a0'] }, { leftMs });
    await ended;
    expect(read).toEqual(expected);
  });

  test.each<[first: number, later: number, size: number, batch: string]>([
    [6, 6, 4, 'a0 a1 b0 b1'],
    [1, 6, 4, 'a0 b0 b1 b2'],
    [6, 1, 4, 'a0 a1 a2 b0'],
    [6, 0, 4, 'a0 a1 a2 a3'],
    [0, 6, 4, 'b0 b1 b2 b3'],
    [5, 5, 3, 'a0 a1 b0'],
  ])(
    'a run with %i rows for their first check and %i others begins, %i at once, with %s',
    async (first, later, batchSize, batch) => {
      const index = { first: numbered('a', first), later: numbered('b', later) };
      const { ended, read } = await run(index, { batchSize });
      await ended;
      expect(read.slice(0, batchSize).join(' ')).toBe(batch);
      expect(read.toSorted()).toEqual([...index.first, ...index.later].toSorted());
    },
  );

  test('a run reads past the rows that the index still shows, until it shows no more', async () => {
    const { ended, limits, read } = await run({ first: numbered('a', 6), later: numbered('b', 6) });
    expect(await ended).toMatchObject({ tally: { skipped: 12 } });
    expect(read.join(' ')).toBe('a0 a1 b0 b1 a2 a3 b2 b3 a4 a5 b4 b5');
    expect(limits).toEqual([4, 4, 8, 12, 16]);
  });

  test('a run reads on when a whole batch hides the rows behind it', async () => {
    const { ended, limits, read } = await run({ first: numbered('a', 4) }, { batchSize: 2 });
    await ended;
    expect(read.join(' ')).toBe('a0 a1 a2 a3');
    expect(limits).toEqual([2, 2, 4, 4, 6]);
  });

  test('the age of the oldest row is how long it was due', async () => {
    const { ended } = await run({ first: ['a0', 'a1'] }, { dueForMs: 700 });
    expect(await ended).toEqual({ tally: { skipped: 2 }, oldestUnsettledMs: 700 });
  });

  test('the age of the oldest row is how long it was unsettled, if that is longer', async () => {
    const { claimed, clock } = fakePorts();
    const checkAt = clock.nowMs - 700;
    const row = { ...claimed(), leaseExpiresAt: 0, sendDeadline: clock.nowMs - hour, checkAt };
    const { ended } = await run(
      { first: ['a0'] },
      {
        dueForMs: 700,
        get: async () => row,
        store: { claim: async () => ({ won: true }) },
      },
    );
    expect(await ended).toMatchObject({ oldestUnsettledMs: hour });
  });

  test('a row that cannot be read is postponed by an hour, by its key alone', async () => {
    const error = new OnboardingError('internal', 'Unreadable.');
    const { ended, postponed, observed, dueOf, nowMs } = await run(
      { first: ['a0', 'a1'] },
      { get: failing(error) },
    );
    expect(await ended).toEqual({ tally: { unreadable: 1, skipped: 1 }, oldestUnsettledMs: 0 });
    expect(postponed).toEqual([[dueOf('a0'), nowMs + timing.recheckMs]]);
    expect(observed).toEqual([
      [
        { kind: 'left-open', reason: 'Unreadable.' },
        { ...dueOf('a0'), provisionId: 'not known' },
      ],
    ]);
  });

  test('a row whose read fails stays due', async () => {
    const error = new OnboardingError('aws-unavailable', 'No answer.');
    const { ended, postponed, observed } = await run({ first: ['a0', 'a1'] }, { get: failing(error) });
    expect(await ended).toEqual({ tally: { 'still-open': 1, skipped: 1 }, oldestUnsettledMs: 0 });
    expect(postponed).toEqual([]);
    expect(observed).toMatchObject([[{ kind: 'left-open', reason: 'No answer.' }, {}]]);
  });

  test('a bug at a row postpones it, and fails the run after the others had their turn', async () => {
    const { ended, read, postponed, observed, dueOf } = await run(
      { first: ['a0', 'a1', 'a2'] },
      { get: failing(new TypeError('a bug')), batchSize: 2 },
    );
    await expect(ended).rejects.toThrow('a bug');
    expect(read).toEqual(['a0', 'a1', 'a2']);
    expect(postponed).toMatchObject([[dueOf('a0'), expect.any(Number)]]);
    expect(observed).toMatchObject([[{ kind: 'left-open', reason: 'a bug in this service' }, {}]]);
  });

  test('a row that cannot be postponed is observed', async () => {
    const error = new OnboardingError('internal', 'Unreadable.');
    const { ended, observed, dueOf } = await run(
      { first: ['a0'] },
      { get: failing(error), store: { postpone: noAnswer } },
    );
    expect(await ended).toMatchObject({ tally: { unreadable: 1 } });
    expect(observed.at(-1)).toEqual([
      { kind: 'claim-left', reason: 'No answer.' },
      { ...dueOf('a0'), provisionId: 'not known' },
    ]);
  });

  test('a bug while a row is postponed fails the run', async () => {
    const { ended } = await run(
      { first: ['a0'] },
      { get: failing(new OnboardingError('internal', 'Unreadable.')), store: { postpone: anotherBug } },
    );
    await expect(ended).rejects.toThrow('another bug');
  });
});
