import { describe, expect, test } from 'vitest';
import { activate, fail } from '../../../functions/core/lifecycle.ts';
import type { CloudElements, InstanceStore, LookUp, Observation } from '../../../functions/core/ports.ts';
import { createRemoving, isCarriedOut } from '../../../functions/core/remove.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import type { Removal } from '../../../functions/model/events.ts';
import type { InstanceRow } from '../../../functions/model/instance.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';
import { fakePorts, shownInstance } from '../../support/fake-ports.ts';

/** Steps of removals, in memory: rows that rivals change meanwhile, and times of events. */

type Fake = ReturnType<typeof fakePorts>;

const instance = { instanceId: 7, token: new Uint8Array([1]) };
const minuteMs = 60_000;
const noon = Date.parse('2026-11-26T12:00:00Z');

const eventOf = (eventId: string, sentAt = noon) => ({ dialect: 'native', eventId, sentAt }) as const;
const byRequest: Removal = { times: { own: noon }, by: undefined };
const byEvent = (eventId: string, sentAt = noon): Removal => ({
  times: { event: sentAt },
  by: eventOf(eventId, sentAt),
});

const activeRow = (fake: Fake, over: Partial<InstanceRow> = {}): InstanceRow => ({
  ...activate(fake.claimed(), instance, fake.clock.nowMs, timing),
  ...over,
});

/** Lets a rival act before the first write of one kind. */
function before(call: 'claim' | 'write', store: InstanceStore, act: () => Promise<unknown>): InstanceStore {
  let isFirst = true;
  const first = async () => {
    if (isFirst) {
      isFirst = false;
      await act();
    }
  };
  return {
    ...store,
    ...(call === 'claim'
      ? {
          claim: async (next, asRead) => {
            await first();
            return store.claim(next, asRead);
          },
        }
      : {
          write: async (next, held) => {
            await first();
            return store.write(next, held);
          },
        }),
  };
}

/** A removal in memory, and everything that it sends to Cloud Elements, with the timeouts. */
function removing(
  calls: Partial<CloudElements> = {},
  storeOf: (fake: Fake) => InstanceStore = ({ store }) => store,
) {
  const sent: [call: string, id: unknown, timeoutMs: number][] = [];
  const fake: Fake = fakePorts({
    read: async (which, options) => {
      sent.push(['read', which.instanceId, options.timeoutMs]);
      return calls.read
        ? calls.read(which, options)
        : shownInstance(which.instanceId, { elementKey: which.elementKey });
    },
    lookUp: async (sought, options) => {
      sent.push(['lookUp', [sought.instanceId, sought.exceptId], options.timeoutMs]);
      return calls.lookUp ? calls.lookUp(sought, options) : { kind: 'found', instances: [], isCertain: true };
    },
    remove: async (which, options) => {
      sent.push(['remove', which.instanceId, options.timeoutMs]);
      return calls.remove ? calls.remove(which, options) : { kind: 'removed' };
    },
  });
  const remove = (removal: Removal = byRequest, leftMs = 29_000) =>
    createRemoving({ ...fake.ports, store: storeOf(fake) }).remove(fake.key, removal, {
      deadlineAt: fake.clock.nowMs + leftMs,
    });
  return { fake, sent, remove, ids: (call: string) => sent.filter(([c]) => c === call).map(([, id]) => id) };
}

const left = (instanceId: number, reason: string): Observation => ({
  kind: 'instance-left',
  instanceId,
  reason,
});

const found = (ids: number[]): LookUp => ({
  kind: 'found',
  isCertain: true,
  instances: ids.map((id) => ({ id, token: 'any' })),
});

describe('the calls of a removal', () => {
  test.each([
    { leftMs: 29_000, read: 5_000, lookUp: 5_000 },
    { leftMs: 5_000, read: 4_500, lookUp: 1_000 },
  ])('a removal with $leftMs ms left reads for $read ms and looks up for $lookUp ms', async (limit) => {
    const { fake, sent, remove } = removing();
    const row = await fake.put(activeRow(fake, { inDoubt: true }));
    fake.clock.nowMs = row.sendDeadline + timing.quiescenceMs;
    expect(await remove(byRequest, limit.leftMs)).toEqual({ outcome: 'removed' });
    expect(sent).toEqual([
      ['read', 7, limit.read],
      ['remove', 7, limit.read],
      ['lookUp', [undefined, 7], limit.lookUp],
    ]);
    expect(fake.observed).toEqual([{ kind: 'instance-removed', instanceId: 7 }]);
  });

  test('a removal of an instance without doubts makes no look-up', async () => {
    const { fake, sent, remove } = removing();
    await fake.put(activeRow(fake));
    expect(await remove()).toEqual({ outcome: 'removed' });
    expect(sent.map(([call]) => call)).toEqual(['read', 'remove']);
    expect(fake.rowOf()).toMatchObject({ status: 'removed', removedTimes: { own: noon } });
  });

  test('a removal of a row that records no instance calls nothing', async () => {
    const { fake, sent, remove } = removing();
    const refused = new OnboardingError('refused-by-cloud-elements', 'Refused.');
    await fake.put(fail(fake.claimed(), 0, refused, noon, timing));
    expect(await remove()).toEqual({ outcome: 'removed' });
    expect(sent).toEqual([]);
  });

  test('a removal sends no DELETE for an instance that is gone', async () => {
    const { fake, ids, remove } = removing({ read: async () => ({ kind: 'absent' }) });
    await fake.put(activeRow(fake));
    expect(await remove()).toEqual({ outcome: 'removed' });
    expect(ids('remove')).toEqual([]);
  });
});

describe('a removal that cannot be finished', () => {
  const unknown = { kind: 'unknown', reason: 'no response' } as const;

  test.each<[string, Partial<CloudElements>, string, Observation[]]>([
    ['is not shown', { read: async () => unknown }, 'deletion-pending', [left(7, 'no response')]],
    [
      'gets no response to its DELETE',
      { remove: async () => unknown },
      'deletion-pending',
      [left(7, 'no response')],
    ],
    [
      'is refused',
      {
        remove: async () => ({ kind: 'refused', error: new OnboardingError('deletion-refused', 'In use.') }),
      },
      'deletion-refused',
      [left(7, 'In use.')],
    ],
  ])('an instance that %s stays recorded, and is due again soon', async (_what, calls, code, observed) => {
    const { fake, remove } = removing(calls);
    await fake.put(activeRow(fake));
    expect(await remove()).toEqual({ outcome: 'in-progress', retryAfterMs: timing.reconcileAgainMs });
    expect(fake.observed).toEqual(observed);
    expect(fake.rowOf()).toMatchObject({
      status: 'deleting',
      instanceId: 7,
      leaseExpiresAt: 0,
      lastError: { code },
      checkAt: noon + timing.reconcileAgainMs,
    });
  });

  test.each<[string, Partial<CloudElements>, string[]]>([
    ['cannot be looked up', { lookUp: async () => unknown }, ['instance-removed', 'look-up-failed']],
    [
      'cannot all be deleted',
      {
        lookUp: async () => found([8, 9]),
        remove: async ({ instanceId }) => (instanceId === 9 ? unknown : { kind: 'removed' }),
      },
      ['instance-removed', 'instance-removed', 'instance-left'],
    ],
  ])('a row in doubt whose instances %s stays deleting', async (_what, calls, observed) => {
    const { fake, remove } = removing(calls);
    const row = await fake.put(activeRow(fake, { inDoubt: true }));
    fake.clock.nowMs = row.sendDeadline + timing.quiescenceMs;
    expect(await remove()).toEqual({ outcome: 'in-progress', retryAfterMs: timing.reconcileAgainMs });
    expect(fake.observed.map(({ kind }) => kind)).toEqual(observed);
    expect(fake.rowOf()).toMatchObject({
      status: 'deleting',
      lastError: { code: 'deletion-pending' },
      checkAt: fake.clock.nowMs + timing.reconcileAgainMs,
    });
  });

  test.each([
    ['the quiescence ends', 25_000, 25_000 + timing.quiescenceMs],
    ['the reconciler looks next', 10 * minuteMs, timing.reconcileAgainMs],
  ])('a removal waits for a create that may take effect until %s', async (_when, aheadMs, retryAfterMs) => {
    const { fake, remove } = removing({
      // The period counts from before the look-up.
      lookUp: async () => {
        fake.clock.nowMs += 1_000;
        return found([]);
      },
    });
    await fake.put(activeRow(fake, { inDoubt: true, sendDeadline: noon + aheadMs }));
    expect(await remove()).toEqual({ outcome: 'in-progress', retryAfterMs });
    expect(fake.rowOf()).toMatchObject({
      status: 'deleting',
      lastError: { code: 'deletion-pending' },
      checkAt: noon + 1_000 + aheadMs + timing.quiescenceMs,
    });
  });

  test('the removal of an unfinished import is due again when its markers may be off', async () => {
    const { fake, sent, remove } = removing();
    const claimed = {
      ...fake.claimed(),
      leaseExpiresAt: 0,
      importing: {},
      importedId: 7,
      sendDeadline: noon,
    };
    await fake.put({ ...claimed, v: 'import' });
    // The instance shows no tags, so nothing is known about its markers.
    expect(await remove()).toEqual({ outcome: 'in-progress', retryAfterMs: timing.reconcileAgainMs });
    expect(fake.rowOf()).toMatchObject({
      status: 'deleting',
      importing: {},
      lastError: { code: 'deletion-pending' },
      checkAt: noon + timing.reconcileAgainMs,
    });
    expect(sent).toEqual([['read', 7, 5_000]]);
  });

  test('the removal of an unfinished import without markers leaves the instance', async () => {
    const { fake, ids, remove } = removing({ read: async () => ({ kind: 'absent' }) });
    const claimed = { ...fake.claimed(), leaseExpiresAt: 0, importing: {}, importedId: 7, sendDeadline: 0 };
    await fake.put({ ...claimed, v: 'import', instanceId: 7 });
    expect(await remove()).toEqual({ outcome: 'removed' });
    expect(ids('remove')).toEqual([]);
    expect(fake.rowOf()).toMatchObject({ status: 'removed', v: 1 });
  });
});

describe('a removal that must not touch an instance', () => {
  test('a removal of a row of another base URL is refused, and calls nothing', async () => {
    const { fake, sent, remove } = removing();
    const row = await fake.put(activeRow(fake, { origin: 'https://two.example' }));
    await expect(remove()).rejects.toMatchObject({ code: 'origin-changed' });
    expect(fake.rowOf()).toMatchObject({ status: 'active', claimId: row.claimId });
    expect(sent).toEqual([]);
  });

  test("an instance that shows another's tags is left, and the row says so", async () => {
    const { fake, ids, remove } = removing({
      read: async ({ instanceId }) => shownInstance(instanceId, { owned: 'not-ours' }),
    });
    await fake.put(activeRow(fake));
    expect(await remove()).toMatchObject({ outcome: 'in-progress' });
    expect(ids('remove')).toEqual([]);
    expect(fake.observed).toEqual([{ kind: 'not-ours', instanceId: 7 }]);
    expect(fake.rowOf()).toMatchObject({ status: 'deleting', lastError: { code: 'not-ours' } });
  });
});

describe('a removal that another writer comes before', () => {
  test('an instance that is provisioned before the tombstone is written is removed', async () => {
    const { fake, ids, remove } = removing({}, ({ store }) =>
      before('claim', store, () => fake.put(activeRow(fake))),
    );
    expect(await remove()).toEqual({ outcome: 'removed' });
    expect(ids('remove')).toEqual([7]);
  });

  test('an instance that is provisioned before a tombstone is written again is removed', async () => {
    const { fake, ids, remove } = removing({}, ({ store }) =>
      before('claim', store, () => fake.put(activeRow(fake))),
    );
    await fake.put({ ...fake.claimed(), status: 'removed' });
    expect(await remove({ times: { own: noon + 1 }, by: undefined })).toEqual({ outcome: 'removed' });
    expect(ids('remove')).toEqual([7]);
  });

  test('a removal begins again when a check of health was written meanwhile', async () => {
    const { fake, ids, remove } = removing({}, ({ store }) =>
      before('claim', store, () => fake.put(activeRow(fake, { claimId: 'check' }))),
    );
    await fake.put(activeRow(fake));
    expect(await remove()).toEqual({ outcome: 'removed' });
    expect(ids('remove')).toEqual([7]);
  });

  test('a removal sends nothing when another request has taken the lease meanwhile', async () => {
    const { fake, sent, remove } = removing({}, ({ store }) =>
      before('claim', store, () =>
        fake.put(activeRow(fake, { claimId: 'rival', leaseExpiresAt: noon + minuteMs })),
      ),
    );
    await fake.put(activeRow(fake));
    await expect(remove()).rejects.toMatchObject({ code: 'busy', facts: { retryAfterMs: minuteMs } });
    expect(sent).toEqual([]);
  });

  test('a removal gives up after five tries', async () => {
    let reads = 0;
    const { fake, sent, remove } = removing({}, ({ store }) => ({
      ...store,
      get: (key) => {
        reads += 1;
        return store.get(key);
      },
      claim: async (_next, current) => ({ won: false, current }),
    }));
    await fake.put(activeRow(fake));
    await expect(remove()).rejects.toMatchObject({ code: 'busy' });
    expect(reads).toBe(5);
    expect(sent).toEqual([]);
  });

  const rivals = {
    'an event of its own': { status: 'removed', removedTimes: { event: noon }, removedBy: eventOf('rival') },
    'the same event': { status: 'removed', removedTimes: { event: noon }, removedBy: eventOf('leaving') },
    'a request': { status: 'removed', removedTimes: { own: noon }, removedBy: undefined },
  } as const;

  test.each<[keyof typeof rivals | 'no row', Removal, string, string | undefined]>([
    ['an event of its own', byEvent('leaving'), 'already-gone', 'leaving'],
    ['an event of its own', { ...byEvent('leaving'), isOfTenant: true }, 'removed', 'rival'],
    ['an event of its own', byRequest, 'removed', 'rival'],
    ['the same event', byEvent('leaving'), 'removed', 'leaving'],
    ['a request', byEvent('leaving'), 'already-gone', 'leaving'],
    ['a request', byRequest, 'removed', undefined],
    ['no row', byRequest, 'removed', undefined],
    ['no row', byEvent('leaving'), 'already-gone', 'leaving'],
  ])('a removal that %s has finished: %o', async (rival, removal, outcome, answered) => {
    const { fake, remove } = removing({}, ({ store }) =>
      before('write', store, async () => {
        const row = fake.rowOf();
        if (!row) return;
        await (rival === 'no row'
          ? store.remove(row)
          : fake.put({ ...row, claimId: 'rival', ...rivals[rival] }));
      }),
    );
    await fake.put(activeRow(fake));
    expect(await remove(removal)).toMatchObject({ outcome });
    expect(fake.rowOf()?.removedBy?.eventId).toBe(answered);
  });

  test('a removal that another one continues is not reported as done', async () => {
    const { fake, remove } = removing({}, ({ store }) =>
      before('write', store, async () => {
        const row = fake.rowOf();
        if (row) await fake.put({ ...row, claimId: 'rival' });
      }),
    );
    await fake.put(activeRow(fake));
    expect(await remove()).toEqual({ outcome: 'in-progress', retryAfterMs: timing.leaseMs });
  });
});

describe('a removal of a tombstone', () => {
  const tombstone = (fake: Fake, over: Partial<InstanceRow> = {}) =>
    fake.put({
      ...fake.claimed(),
      claimId: 'before',
      status: 'removed',
      leaseExpiresAt: 0,
      removedTimes: { own: noon, event: noon },
      ...over,
    });

  test.each<[string, Removal, Partial<InstanceRow>]>([
    ['a request that is not later', byRequest, {}],
    ['the event that it has answered', byEvent('leaving'), { removedBy: eventOf('leaving') }],
  ])('%s changes nothing', async (_what, removal, over) => {
    const { fake, remove } = removing();
    const row = await tombstone(fake, over);
    expect(await remove(removal)).toEqual({ outcome: 'already-gone' });
    expect(fake.rowOf()).toEqual(row);
  });

  test.each<[string, Removal, Partial<InstanceRow>, Partial<InstanceRow>]>([
    [
      'a later request',
      { times: { own: noon + 1 }, by: undefined },
      {},
      { removedTimes: { own: noon + 1, event: noon } },
    ],
    ['another event', byEvent('second'), { removedBy: eventOf('first') }, { removedBy: eventOf('second') }],
    ['an event after a request', byEvent('first'), {}, { removedBy: eventOf('first') }],
    [
      'the same event with a later time',
      { times: { event: noon + 1 }, by: eventOf('first') },
      { removedBy: eventOf('first') },
      { removedTimes: { own: noon, event: noon + 1 } },
    ],
  ])('%s is recorded', async (_what, removal, over, recorded) => {
    const { fake, remove } = removing();
    await tombstone(fake, over);
    expect(await remove(removal)).toEqual({ outcome: 'already-gone' });
    expect(fake.rowOf()).toMatchObject({ status: 'removed', ...recorded });
    expect(fake.rowOf()?.claimId).not.toBe('before');
  });
});

describe('a removal of an instance that was requested again', () => {
  /** Removed at noon by the event `leaving`, and active again an hour later. */
  const again = (fake: Fake, over: Partial<InstanceRow> = {}) => {
    fake.clock.nowMs = noon + 60 * minuteMs;
    return fake.put({
      ...activeRow(fake),
      claimId: 'before',
      removedTimes: { event: noon, own: noon },
      removedBy: eventOf('leaving'),
      requestedTimes: { event: noon + 30 * minuteMs },
      requestedBy: eventOf('joining', noon + 30 * minuteMs),
      ...over,
    });
  };

  test.each<[string, Removal, Partial<InstanceRow>]>([
    ['the removal that was carried out', byEvent('leaving'), {}],
    [
      'a removal with a notice',
      byEvent('earlier', noon - 1),
      {
        notices: ['earlier', 'another'].map((eventId) => ({
          outcome: 'removed' as const,
          eventId,
          at: noon,
        })),
      },
    ],
    ['a removal of the whole tenant', { ...byEvent('earlier', noon - 1), isOfTenant: true }, {}],
  ])('%s is repeated: the instance stays, and nothing is written', async (_what, removal, over) => {
    const { fake, sent, remove } = removing();
    const row = await again(fake, over);
    expect(await remove(removal)).toEqual({ outcome: 'carried-out' });
    expect(fake.rowOf()).toEqual(row);
    expect([sent, fake.observed]).toEqual([[], []]);
  });

  test.each<[string, Partial<InstanceRow>]>([
    ['beside another event', {}],
    ['beside a request alone', { removedBy: undefined }],
    ['beside other notices', { notices: [{ outcome: 'removed', eventId: 'another', at: noon }] }],
    ['of a failed row', { status: 'failed', instanceId: undefined }],
  ])('the event of an earlier removal %s gets a notice, and the instance stays', async (_what, over) => {
    const { fake, sent, remove } = removing();
    await again(fake, over);
    expect(await remove(byEvent('earlier', noon - 1))).toEqual({ outcome: 'carried-out' });
    const row = fake.rowOf();
    expect(row?.notices?.at(-1)).toEqual({ outcome: 'removed', eventId: 'earlier', at: fake.clock.nowMs });
    expect(row?.status).toBe(over.status ?? 'active');
    expect(row?.claimId).not.toBe('before');
    expect(sent).toEqual([]);
  });

  test('an earlier removal gets its notice also when another request writes first', async () => {
    const { fake, sent, remove } = removing({}, ({ store }) =>
      before('claim', store, () => again(fake, { claimId: 'rival' })),
    );
    await again(fake);
    expect(await remove(byEvent('earlier', noon - 1))).toEqual({ outcome: 'carried-out' });
    expect(fake.rowOf()?.notices).toMatchObject([{ eventId: 'earlier' }]);
    expect(sent).toEqual([]);
  });

  test.each<[string, Partial<InstanceRow>]>([
    ['a request works on it', { leaseExpiresAt: noon + 61 * minuteMs }],
    ['its claim has not ended', { status: 'provisioning' }],
  ])('an earlier removal gets no notice while %s', async (_what, over) => {
    const { fake, remove } = removing();
    const row = await again(fake, over);
    await expect(remove(byEvent('earlier', noon - 1))).rejects.toMatchObject({ code: 'busy' });
    expect(fake.rowOf()).toEqual(row);
  });

  test.each([
    [false, [{ kind: 'event-ignored', reason: 'the instance was requested after this removal' }]],
    [true, []],
  ])('a removal from before the request is outdated (of the tenant: %s)', async (isOfTenant, observed) => {
    const { fake, sent, remove } = removing();
    const row = await again(fake);
    const removal = { ...byEvent('late', noon + 10 * minuteMs), isOfTenant };
    expect(await remove(removal)).toEqual({ outcome: 'outdated' });
    expect(fake.observed).toEqual(observed);
    expect(fake.rowOf()).toEqual(row);
    expect(sent).toEqual([]);
  });

  test('a removal over HTTP removes it despite the times of events', async () => {
    const { fake, ids, remove } = removing();
    await again(fake, { removedTimes: { own: noon + 90 * minuteMs } });
    expect(await remove()).toEqual({ outcome: 'removed' });
    expect(ids('remove')).toEqual([7]);
  });

  test('a repeated event continues the removal that it has begun', async () => {
    const { fake, ids, remove } = removing();
    await again(fake, { status: 'deleting', leaseExpiresAt: noon + 61 * minuteMs });
    expect(await remove(byEvent('leaving'))).toEqual({ outcome: 'removed' });
    expect(ids('remove')).toEqual([7]);
  });
});

describe('a removal that was carried out', () => {
  const row = { ...fakePorts().claimed(), removedTimes: { event: noon }, removalIds: ['known'] };

  test.each<[string, boolean, Removal]>([
    ['a remembered event', true, byEvent('known')],
    ['a remembered event that a tenant-wide removal gives a later time', false, byEvent('known', noon + 1)],
    ['another event from before the latest removal', true, byEvent('other', noon - 1)],
    ['another event of the same time', false, byEvent('other')],
    ['a request of the same time', false, byRequest],
  ])('%s is carried out: %s', (_what, isOver, removal) => {
    expect(isCarriedOut(row, removal)).toBe(isOver);
  });
});
