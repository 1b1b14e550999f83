import { describe, expect, test } from 'vitest';
import { createAuditing, type Audit } from '../../../functions/core/audit.ts';
import { activate } from '../../../functions/core/lifecycle.ts';
import type {
  AuditProgress,
  AuditProgressStore,
  CloudElements,
  InstanceStore,
  ListedInstance,
  ListWalk,
  Observation,
  ReadOutcome,
  Stored,
} from '../../../functions/core/ports.ts';
import { OnboardingError, type ErrorCode } from '../../../functions/model/errors.ts';
import { auditPartition, wholeTenant, type InstanceRow } from '../../../functions/model/instance.ts';
import { lastAuditKey } from '../../../functions/model/last-audit.ts';
import { defaultTiming as timing, healthEveryMs } from '../../../functions/model/timing.ts';
import { fakePorts, shownInstance } from '../../support/fake-ports.ts';

/** Steps of audits, in memory: the rows and pages that are read, the observations, and the end of a run. */

type Fake = ReturnType<typeof fakePorts>;
type List = Awaited<ReturnType<CloudElements['list']>>;

const noon = Date.parse('2026-11-26T12:00:00Z');
const hourMs = 60 * 60_000;
/** The audit's last call ends here. */
const endsAt = noon + hourMs - timing.commitReserveMs;
const nothing: Audit = {
  ours: 0,
  theirs: 0,
  notListed: 0,
  readById: 0,
  lost: 0,
  orphaned: 0,
  notOurs: 0,
  invalid: 0,
  disabled: 0,
  refilled: 0,
  unreadable: 0,
  notVisible: false,
  complete: true,
};

const fails = (code: ErrorCode) => Promise.reject(new OnboardingError(code, 'Said why.'));
const aBug = () => Promise.reject(new TypeError('a bug'));

/** The active row of tenant `t<id>`. */
const rowOf = (fake: Fake, id: number, over: Partial<InstanceRow> = {}): InstanceRow => ({
  ...activate(
    { ...fake.claimed(), tenantId: `t${id}` },
    { instanceId: id, token: new Uint8Array([1]) },
    noon,
    timing,
  ),
  ...over,
});

const listed = (id: ListedInstance['id'], over: Partial<ListedInstance> = {}): ListedInstance => ({
  id,
  elementKey: 'taxify',
  tags: [`tenant:t${id}`, 'owner:tests'],
  token: `token-of-${id}`,
  valid: true,
  disabled: false,
  ...over,
});
const page = (ids: (number | ListedInstance)[], nextPage?: string, walk?: ListWalk): List => ({
  ...(walk && { walk }),
  kind: 'listed',
  instances: ids.map((id) => (typeof id === 'number' ? listed(id) : id)),
  nextPage,
});
const unanswered = { kind: 'unknown', reason: 'no response' } as const;

/** An audit in memory. `pages`: of the list, in the order of the calls; the last one repeats. */
async function auditing({
  rows = () => [],
  pages = [page([])],
  readBy = (id) => shownInstance(id),
  storeOf = () => ({}),
  progress = {},
  leftMs = hourMs,
  onList = () => undefined,
}: {
  rows?: (fake: Fake) => InstanceRow[];
  pages?: List[];
  readBy?: (id: number, fake: Fake) => ReadOutcome | Promise<ReadOutcome>;
  storeOf?: (fake: Fake) => Partial<InstanceStore>;
  progress?: Partial<AuditProgressStore>;
  leftMs?: number;
  onList?: (fake: Fake) => unknown;
} = {}) {
  const lists: Parameters<CloudElements['list']>[] = [];
  const reads: [id: number, owner: string, timeoutMs: number][] = [];
  const observed: [Observation, object][] = [];
  const kept: object[] = [];
  const puts: object[] = [];
  const fake: Fake = fakePorts({
    list: async (...call) => {
      lists.push(call);
      await onList(fake);
      return pages[Math.min(lists.length, pages.length) - 1] ?? unanswered;
    },
    read: async ({ instanceId, owner }, { timeoutMs }) => {
      reads.push([instanceId, owner, timeoutMs]);
      return readBy(instanceId, fake);
    },
  });
  for (const row of rows(fake)) await fake.put(row);
  const audit = createAuditing({
    ...fake.ports,
    store: { ...fake.store, ...storeOf(fake) },
    observe: (observation, of) => void observed.push([observation, of]),
    progress: {
      get: async () => undefined,
      put: async (...call) => void puts.push(call),
      finish: async (result) => void kept.push(result),
      ...progress,
    },
  });
  const result = await audit({ deadlineAt: fake.clock.nowMs + leftMs }).catch((error: unknown) => error);
  return { fake, result, lists, reads, observed, kept, puts };
}

const named = (tenantId: string, provisionId = 'not known', elementKey = 'taxify') => ({
  tenantId,
  elementKey,
  provisionId,
});
const numbers = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

const refilled = (fake: Fake) => fake.store.get({ tenantId: 't1', elementKey: 'taxify' });
const rowsOf = (count: number) => (fake: Fake) => numbers(1, count).map((id) => rowOf(fake, id));

describe('the rows of an audit', () => {
  test('an audit compares the active rows of its own base URL alone', async () => {
    const { result, observed } = await auditing({
      rows: (fake) => [
        rowOf(fake, 1),
        rowOf(fake, 2, { status: 'failed' }),
        rowOf(fake, 3, { instanceId: undefined }),
        rowOf(fake, 4, { origin: 'https://two.example' }),
        rowOf(fake, 5, { tenantId: auditPartition }),
        rowOf(fake, 6, { elementKey: wholeTenant }),
      ],
      pages: [page([1])],
    });
    expect(result).toEqual({ ...nothing, ours: 1, theirs: 1 });
    expect(observed).toEqual([]);
  });

  test('rows that cannot be read are counted and named, and others are compared', async () => {
    const { result, observed } = await auditing({
      rows: (fake) => [rowOf(fake, 1)],
      pages: [page([1])],
      storeOf: ({ store }) => ({
        async *all() {
          const odd: Stored = { tenantId: 'odd', elementKey: 'taxify', row: undefined };
          yield odd;
          yield { ...odd, tenantId: auditPartition };
          yield* store.all();
        },
      }),
    });
    expect(result).toEqual({ ...nothing, ours: 1, theirs: 1, unreadable: 1 });
    expect(observed).toEqual([[{ kind: 'row-unreadable' }, named('odd')]]);
  });

  test.each([
    [0, 1],
    [1, 0],
  ])('an audit %d ms after its end reads on: %d', async (lateMs, ours) => {
    const { result, lists } = await auditing({
      rows: (fake) => [rowOf(fake, 1)],
      storeOf: ({ store, clock }) => ({
        async *all() {
          clock.nowMs = endsAt + lateMs;
          yield* store.all();
        },
      }),
    });
    expect(result).toEqual({ ...nothing, ours, complete: false });
    // No time is left for a page.
    expect(lists).toEqual([]);
  });

  test('every row without a check of health ahead gets one within a day, at a time of its own', async () => {
    let [writing, most] = [0, 0];
    const { fake, result } = await auditing({
      rows: (ports) => numbers(1, 45).map((id) => rowOf(ports, id, { healthCheckAt: undefined })),
      pages: [page(numbers(1, 45))],
      storeOf: ({ store }) => ({
        claim: async (...call) => {
          writing += 1;
          most = Math.max(most, writing);
          await Promise.resolve();
          writing -= 1;
          return store.claim(...call);
        },
      }),
    });
    expect(result).toEqual({ ...nothing, ours: 45, theirs: 45 });
    const times: number[] = [];
    for await (const { row } of fake.store.all()) times.push(row?.healthCheckAt ?? 0);
    expect(times).toHaveLength(45);
    expect(new Set(times).size).toBeGreaterThan(40);
    expect(Math.min(...times)).toBeGreaterThanOrEqual(noon);
    expect(Math.max(...times)).toBeLessThan(noon + healthEveryMs);
    expect(most).toBe(20);
  });

  test.each<[ErrorCode, boolean]>([
    ['aws-unavailable', false],
    ['internal', true],
  ])('a check that cannot be scheduled for %s leaves the audit complete: %s', async (code, complete) => {
    const { result, observed } = await auditing({
      rows: (fake) => [rowOf(fake, 1, { healthCheckAt: undefined })],
      pages: [page([1])],
      storeOf: () => ({ claim: () => fails(code) }),
    });
    expect(result).toEqual({ ...nothing, ours: 1, theirs: 1, complete });
    expect(observed).toEqual([[{ kind: 'left-open', reason: 'Said why.' }, named('t1')]]);
  });

  test('a bug ends the audit', async () => {
    const { result } = await auditing({
      rows: (fake) => [rowOf(fake, 1, { healthCheckAt: undefined })],
      storeOf: () => ({ claim: aBug }),
    });
    expect(result).toMatchObject({ message: 'a bug' });
  });
});

describe('the result of an audit', () => {
  test('the result is kept with the times of its run', async () => {
    const { result, kept } = await auditing({ onList: ({ clock }) => (clock.nowMs += 1_000) });
    expect(result).toEqual(nothing);
    expect(kept).toEqual([{ startedAt: noon, endedAt: noon + 1_000, result: nothing }]);
  });

  test('a result that cannot be kept is returned all the same', async () => {
    const { result, observed } = await auditing({ progress: { finish: () => fails('aws-unavailable') } });
    expect(result).toEqual(nothing);
    const { tenantId, elementKey } = lastAuditKey;
    expect(observed).toEqual([
      [
        { kind: 'left-open', reason: 'Said why.' },
        { tenantId, elementKey, provisionId: 'not known' },
      ],
    ]);
  });

  test('a bug in keeping the result is thrown', async () => {
    expect((await auditing({ progress: { finish: aBug } })).result).toMatchObject({ message: 'a bug' });
  });
});

describe('the list of an audit', () => {
  const walk = { seen: 200, total: undefined, isFull: true };

  test('each page is requested with the token and the walk of the one before', async () => {
    const { result, lists } = await auditing({
      rows: (fake) => [rowOf(fake, 1), rowOf(fake, 2)],
      pages: [page([1], 'second', walk), page([2])],
    });
    expect(result).toEqual({ ...nothing, ours: 2, theirs: 2 });
    const timeoutMs = timing.createTimeoutMs;
    expect(lists).toEqual([
      [{ owner: 'tests', page: undefined, walk: undefined }, { timeoutMs }],
      [{ owner: 'tests', page: 'second', walk }, { timeoutMs }],
    ]);
  });

  test('an instance that two pages show counts once, with and without a row', async () => {
    const { result, observed } = await auditing({
      rows: (fake) => [rowOf(fake, 1)],
      pages: [page([1, 8], 'second'), page([8, 1])],
    });
    expect(result).toEqual({ ...nothing, ours: 1, theirs: 2, orphaned: 1 });
    expect(observed).toHaveLength(1);
  });

  test('a page without a response is requested three times, with waits between', async () => {
    const { fake, result, lists } = await auditing({
      rows: (ports) => [rowOf(ports, 1)],
      pages: [unanswered],
    });
    expect(result).toEqual({ ...nothing, ours: 1, complete: false });
    expect(lists).toHaveLength(3);
    expect(fake.clock.nowMs).toBe(noon + 2_500);
  });

  test('a page that comes at the third request continues the list', async () => {
    const { result, lists } = await auditing({
      rows: (fake) => [rowOf(fake, 1)],
      pages: [unanswered, unanswered, page([1])],
    });
    expect(result).toEqual({ ...nothing, ours: 1, theirs: 1 });
    expect(lists).toHaveLength(3);
  });

  test('the last page takes no longer than the audit', async () => {
    const { lists, result } = await auditing({ leftMs: timing.commitReserveMs + 1_000 });
    expect(lists.map(([, { timeoutMs }]) => timeoutMs)).toEqual([1_000]);
    expect(result).toEqual(nothing);
    expect((await auditing({ leftMs: timing.commitReserveMs })).lists).toEqual([]);
  });

  test('a list whose page is refused is walked through again, as Cloud Elements says, and no instance counts twice', async () => {
    const { result, lists } = await auditing({
      rows: (fake) => [rowOf(fake, 1), rowOf(fake, 2)],
      pages: [page([1, 8], 'second'), { kind: 'refused', walk }, page([1, 8], 'second'), page([2])],
    });
    expect(result).toEqual({ ...nothing, ours: 2, theirs: 3, orphaned: 1 });
    expect(lists.map(([query]) => [query.page, query.walk])).toEqual([
      [undefined, undefined],
      ['second', undefined],
      [undefined, walk],
      ['second', undefined],
    ]);
  });

  test('a list whose pages are refused again and again is given up after the third walk', async () => {
    const { result, lists, reads } = await auditing({
      rows: (fake) => [rowOf(fake, 1)],
      pages: [{ kind: 'refused' }],
    });
    expect(result).toEqual({ ...nothing, ours: 1, complete: false });
    expect(lists).toHaveLength(3);
    expect(reads).toEqual([]);
  });

  test('a list that comes back to an earlier page is broken off', async () => {
    const { result, lists } = await auditing({
      rows: (fake) => [rowOf(fake, 1)],
      pages: [page([], 'a'), page([], 'b'), page([], 'a')],
    });
    expect(result).toEqual({ ...nothing, ours: 1, complete: false });
    expect(lists).toHaveLength(3);
  });
});

describe('a listed instance', () => {
  const ofStage = ['owner:tests'];
  const generation = '00000000-0000-4000-8000-000000000001';

  test.each<[string, ListedInstance, Partial<Audit>, object[]]>([
    ['of another stage', listed(8, { tags: ['tenant:t8', 'owner:other'] }), {}, []],
    [
      'without a row',
      listed(8),
      { theirs: 1, orphaned: 1 },
      [[{ kind: 'orphan', instanceId: 8 }, named('t8')]],
    ],
    [
      'without a row, of a known generation',
      listed(8, { tags: ['tenant:t8', 'owner:tests', `provision:${generation}`] }),
      { theirs: 1, orphaned: 1 },
      [[{ kind: 'orphan', instanceId: 8 }, named('t8', generation)]],
    ],
    [
      'without a tenant',
      listed(8, { tags: ofStage }),
      { theirs: 1, orphaned: 1 },
      [[{ kind: 'orphan', instanceId: 8 }, named('not known')]],
    ],
    [
      'whose element is no key',
      listed(8, { elementKey: 'No Key' }),
      { theirs: 1, orphaned: 1 },
      [[{ kind: 'orphan', instanceId: 8 }, named('t8', 'not known', 'not known')]],
    ],
    [
      'without a row, invalid and disabled',
      listed(8, { valid: false, disabled: true }),
      { theirs: 1, orphaned: 1, invalid: 1, disabled: 1 },
      [
        [{ kind: 'instance-invalid', instanceId: 8 }, named('t8')],
        [{ kind: 'instance-disabled', instanceId: 8 }, named('t8')],
        [{ kind: 'orphan', instanceId: 8 }, named('t8')],
      ],
    ],
  ])('an audit and an instance %s', async (_what, instance, figures, observations) => {
    const { result, observed } = await auditing({ pages: [page([instance])] });
    expect(result).toEqual({ ...nothing, ...figures });
    expect(observed).toEqual(observations);
  });

  test.each<[string, ListedInstance, Partial<Audit>, object[]]>([
    [
      'that is invalid',
      listed(1, { valid: false }),
      { invalid: 1 },
      [[{ kind: 'instance-invalid', instanceId: 1 }, named('t1')]],
    ],
    [
      'that is disabled',
      listed(1, { disabled: true }),
      { disabled: 1 },
      [[{ kind: 'instance-disabled', instanceId: 1 }, named('t1')]],
    ],
    [
      "that shows another tenant's tags, and a fault",
      listed(1, { tags: ['tenant:other', 'owner:tests'], valid: false }),
      { notOurs: 1, orphaned: 1, invalid: 1 },
      [
        [{ kind: 'not-ours', instanceId: 1 }, named('t1')],
        [{ kind: 'instance-invalid', instanceId: 1 }, named('t1')],
        [{ kind: 'orphan', instanceId: 1 }, named('other')],
      ],
    ],
    [
      'of another element',
      listed(1, { elementKey: 'stripe' }),
      { notOurs: 1, orphaned: 1 },
      [
        [{ kind: 'not-ours', instanceId: 1 }, named('t1')],
        [{ kind: 'orphan', instanceId: 1 }, named('t1', 'not known', 'stripe')],
      ],
    ],
    ['without tags', listed(1, { tags: [] }), {}, []],
  ])('an audit and the instance of a row %s', async (_what, instance, figures, observations) => {
    const { result, observed, reads } = await auditing({
      rows: (fake) => [rowOf(fake, 1)],
      pages: [page([instance])],
    });
    expect(result).toEqual({ ...nothing, ours: 1, theirs: 1, ...figures });
    expect(observed).toEqual(observations);
    expect(reads).toEqual([]);
  });

  test.each<[InstanceRow['status'], number]>([
    ['provisioning', 0],
    ['deleting', 0],
    ['failed', 1],
    ['removed', 1],
  ])('an instance that a %s row records is an orphan: %d', async (status, orphaned) => {
    const { result } = await auditing({
      rows: (fake) => [rowOf(fake, 8, { status, leaseExpiresAt: 0, checkAt: undefined })],
      pages: [page([8])],
    });
    expect(result).toMatchObject({ orphaned, theirs: 1, ours: 0 });
  });

  test('an instance that becomes active while it is listed is no orphan', async () => {
    const { result } = await auditing({
      pages: [page([8])],
      onList: (fake) => fake.put(rowOf(fake, 8)),
    });
    expect(result).toEqual({ ...nothing, theirs: 1 });
  });

  test('an orphan whose tags name no tenant is compared with no row', async () => {
    const gets: string[] = [];
    await auditing({
      pages: [page([listed(8, { tags: ofStage }), listed(9, { elementKey: 'No Key' }), 10])],
      storeOf: ({ store }) => ({
        get: async (key) => {
          gets.push(key.tenantId);
          return store.get(key);
        },
      }),
    });
    expect(gets).toEqual(['t10']);
  });
});

describe('a missing token', () => {
  const filled = new TextEncoder().encode('token-of-1');

  test.each<[string, Partial<ListedInstance>, ReadOutcome, number, boolean]>([
    ['that the list shows', {}, unanswered, 0, true],
    ['of an instance that the list shows without markers', { tags: ['eu'] }, shownInstance(1), 1, true],
    ['that the list does not show', { token: undefined }, shownInstance(1), 1, true],
    ['that is not shown at all', { token: undefined }, shownInstance(1, { token: undefined }), 1, false],
    ['of an instance without markers', { tags: [] }, shownInstance(1, { owned: 'unmarked' }), 1, false],
    ['that cannot be read', { token: undefined }, unanswered, 1, false],
  ])('an audit and a missing token %s', async (_what, over, found, count, isFilled) => {
    const { fake, result, reads, observed } = await auditing({
      rows: (ports) => [rowOf(ports, 1, { token: undefined })],
      pages: [page([listed(1, over)])],
      readBy: () => found,
    });
    expect(result).toEqual({ ...nothing, ours: 1, theirs: 1, refilled: Number(isFilled) });
    expect((await refilled(fake))?.token).toEqual(isFilled ? filled : undefined);
    expect(reads).toEqual(count ? [[1, 'tests', timing.lookUpTimeoutMs]] : []);
    expect(observed.map(([{ kind }, of]) => [kind, of])).toMatchObject(
      isFilled ? [['token-refilled', { tenantId: 't1' }]] : [],
    );
  });

  test('a missing token that an instance shows by its id is fetched', async () => {
    const { fake, result } = await auditing({ rows: (ports) => [rowOf(ports, 1, { token: undefined })] });
    expect(result).toEqual({ ...nothing, ours: 1, notListed: 1, readById: 1, refilled: 1 });
    expect((await refilled(fake))?.token).toEqual(filled);
  });

  test('a row that is gone meanwhile gets no token', async () => {
    const { result, observed } = await auditing({
      rows: (fake) => [rowOf(fake, 1, { token: undefined })],
      pages: [page([1])],
      storeOf: () => ({ get: async () => undefined }),
    });
    expect(result).toEqual({ ...nothing, ours: 1, theirs: 1 });
    expect(observed).toEqual([]);
  });

  test('a row whose token cannot be encrypted makes the audit incomplete', async () => {
    const { result, observed } = await auditing({
      rows: (fake) => [rowOf(fake, 1, { token: undefined })],
      pages: [page([1])],
      storeOf: () => ({ claim: () => fails('aws-unavailable') }),
    });
    expect(result).toEqual({ ...nothing, ours: 1, theirs: 1, complete: false });
    expect(observed).toEqual([[{ kind: 'left-open', reason: 'Said why.' }, named('t1')]]);
  });
});

describe('instances that the list does not show', () => {
  const absent: ReadOutcome = { kind: 'absent' };
  const lost = (id: number) => [{ kind: 'instance-lost', instanceId: id }, named(`t${id}`)];

  test.each<[string, number, number[], (id: number) => ReadOutcome, Partial<Audit>, object[]]>([
    ['none of them', 2, [1, 2], () => absent, {}, []],
    ['one of two that is denied', 2, [1], () => absent, { notListed: 1, readById: 1, lost: 1 }, [lost(2)]],
    [
      'the only one, which is denied',
      1,
      [],
      () => absent,
      { notListed: 1, readById: 1, notVisible: true },
      [],
    ],
    [
      'two of three that are denied',
      3,
      [1],
      () => absent,
      { notListed: 2, readById: 2, notVisible: true },
      [],
    ],
    [
      'all, and half are denied',
      2,
      [],
      (id) => (id === 1 ? shownInstance(1) : absent),
      { notListed: 2, readById: 2, lost: 1 },
      [lost(2)],
    ],
    ['one without an answer', 2, [1], () => unanswered, { notListed: 1, readById: 1, complete: false }, []],
    [
      'three: one is denied, one is not answered',
      4,
      [1],
      (id) => (id === 2 ? absent : id === 3 ? unanswered : shownInstance(id)),
      { notListed: 3, readById: 3, lost: 1, complete: false },
      [lost(2)],
    ],
    [
      'one that shows another tenant',
      2,
      [1],
      (id) => shownInstance(id, { owned: 'not-ours' }),
      { notListed: 1, readById: 1, notOurs: 1 },
      [[{ kind: 'not-ours', instanceId: 2 }, named('t2')]],
    ],
    [
      'one that is invalid',
      2,
      [1],
      (id) => shownInstance(id, { valid: false }),
      { notListed: 1, readById: 1, invalid: 1 },
      [[{ kind: 'instance-invalid', instanceId: 2 }, named('t2')]],
    ],
  ])('a list that does not show %s', async (_what, count, shown, readBy, figures, observations) => {
    const { result, observed, puts } = await auditing({ rows: rowsOf(count), pages: [page(shown)], readBy });
    expect(result).toEqual({ ...nothing, ours: count, theirs: shown.length, ...figures });
    expect(observed).toEqual(observations);
    expect(puts).toEqual([]);
  });

  test('an audit whose list shows all instances reads no progress of the one before', async () => {
    const { result } = await auditing({
      rows: rowsOf(2),
      pages: [page([1, 2])],
      progress: { get: () => fails('aws-unavailable') },
    });
    expect(result).toEqual({ ...nothing, ours: 2, theirs: 2 });
  });

  test.each<[string, Partial<InstanceRow> | undefined, number]>([
    ['is removed', { status: 'removed' }, 0],
    ['gets another instance', { instanceId: 9 }, 0],
    ['is claimed', { leaseExpiresAt: noon + 1 }, 0],
    ['is changed', { updatedAt: noon + 1 }, 0],
    ['has another generation', { provisionId: 'another' }, 0],
    ['is changed by PATCH', { changedAt: noon }, 0],
    ['is requested again', { requestedAt: noon + 1 }, 0],
    ['gets a check of its health', { claimId: 'check', healthCheckAt: 1 }, 1],
    ['is gone', undefined, 0],
  ])('an instance whose row %s while it is denied is lost: %d', async (_what, over, count) => {
    const { result } = await auditing({
      rows: rowsOf(2),
      pages: [page([1])],
      readBy: async (_id, { store, put }) => {
        const row = await store.get({ tenantId: 't2', elementKey: 'taxify' });
        if (row) await (over ? put({ ...row, ...over }) : store.remove(row));
        return absent;
      },
    });
    expect(result).toMatchObject({ lost: count, notListed: 1, readById: 1, complete: true });
  });

  test.each<ErrorCode>(['aws-unavailable', 'internal'])(
    'a denied instance whose row is not given (%s) is not lost, and the audit is incomplete',
    async (code) => {
      const { result, observed } = await auditing({
        rows: rowsOf(2),
        pages: [page([1])],
        readBy: () => absent,
        storeOf: () => ({ get: () => fails(code) }),
      });
      expect(result).toMatchObject({ lost: 0, readById: 1, complete: false });
      expect(observed).toEqual([[{ kind: 'left-open', reason: 'Said why.' }, named('t2')]]);
    },
  );

  test('ten at once are read, in the order of their keys, and all within the time', async () => {
    let [reading, most] = [0, 0];
    const { reads } = await auditing({
      rows: (fake) =>
        numbers(10, 34)
          .toReversed()
          .map((id) => rowOf(fake, id)),
      readBy: async (id) => {
        reading += 1;
        most = Math.max(most, reading);
        await Promise.resolve();
        reading -= 1;
        return shownInstance(id);
      },
    });
    expect(reads.map(([id]) => id)).toEqual(numbers(10, 34));
    expect(most).toBe(10);
  });

  test.each([
    [0, [10, 20], true],
    [1, [], false],
  ])('reads end with the audit: with %d ms too few for a read', async (lateMs, ids, complete) => {
    const { reads, result, puts } = await auditing({
      rows: (fake) => [10, 20].map((id) => rowOf(fake, id)),
      onList: ({ clock }) => (clock.nowMs = endsAt - timing.lookUpTimeoutMs + lateMs),
    });
    expect(reads.map(([id]) => id)).toEqual(ids);
    expect(result).toMatchObject({ complete, readById: ids.length, lost: 0 });
    expect(puts).toEqual([]);
  });

  test('reads that are left begin the next audit', async () => {
    const before: AuditProgress = { version: 3, after: { tenantId: 't12', elementKey: 'taxify' } };
    const { reads, result, puts } = await auditing({
      rows: (fake) => numbers(10, 34).map((id) => rowOf(fake, id)),
      progress: { get: async () => before },
      readBy: (id, { clock }) => {
        if (id === 22) clock.nowMs = endsAt;
        return shownInstance(id);
      },
    });
    expect(reads.map(([id]) => id)).toEqual(numbers(13, 22));
    expect(result).toMatchObject({ readById: 10, notListed: 25, complete: false });
    expect(puts).toEqual([[{ tenantId: 't22', elementKey: 'taxify' }, before]]);
  });

  test.each<[string, (id: number) => boolean, number, boolean, number]>([
    ['none of them is visible', () => false, 100, true, 1],
    ['fewer than half of the first hundred are visible', (id) => id % 100 < 49, 100, true, 1],
    ['half of the first hundred are visible', (id) => id % 100 < 50, 300, false, 0],
  ])('of 300 instances that no list shows, %s', async (_what, isVisible, readById, notVisible, puts) => {
    const outcome = await auditing({
      rows: (fake) => numbers(100, 399).map((id) => rowOf(fake, id)),
      readBy: (id) => (isVisible(id) ? shownInstance(id) : absent),
    });
    expect(outcome.result).toMatchObject({ readById, notVisible, complete: true });
    expect(outcome.puts).toHaveLength(puts);
  });

  test('a sample without an answer is read on, while most instances were seen', async () => {
    const { result } = await auditing({
      rows: (fake) => numbers(100, 399).map((id) => rowOf(fake, id)),
      pages: [page(numbers(100, 249))],
      readBy: () => absent,
    });
    expect(result).toMatchObject({ readById: 150, notListed: 150, lost: 150, notVisible: false });
  });
});
