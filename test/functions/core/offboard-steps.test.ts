import { describe, expect, test } from 'vitest';
import { activate } from '../../../functions/core/lifecycle.ts';
import { createOffboarding } from '../../../functions/core/offboard.ts';
import type { CloudElements, InstanceStore } from '../../../functions/core/ports.ts';
import type { Removal } from '../../../functions/model/events.ts';
import { wholeTenant, type InstanceRow } from '../../../functions/model/instance.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';
import { fakePorts } from '../../support/fake-ports.ts';

/** Steps of offboardings, in memory: tombstones of tenants, and what becomes of each of their instances. */

type Fake = ReturnType<typeof fakePorts>;

const noon = Date.parse('2026-11-26T12:00:00Z');
const minuteMs = 60_000;
const eventOf = (eventId: string, sentAt = noon) => ({ dialect: 'native', eventId, sentAt }) as const;
const byEvent = (eventId: string, sentAt = noon): Removal => ({
  times: { event: sentAt },
  by: eventOf(eventId, sentAt),
});

function offboarding(
  calls: Partial<CloudElements> = {},
  storeOf: (fake: Fake) => Partial<InstanceStore> = () => ({}),
) {
  const deleted: unknown[] = [];
  const fake: Fake = fakePorts({
    remove: async ({ instanceId }) => {
      deleted.push(instanceId);
      return { kind: 'removed' };
    },
    ...calls,
  });
  const { offboard, finishTenant } = createOffboarding({
    ...fake.ports,
    store: { ...fake.store, ...storeOf(fake) },
  });
  const leave = (removal: Removal, elementKey?: string) =>
    offboard({ tenantId: 'acme', elementKey, removal }, { deadlineAt: fake.clock.nowMs + 29_000 });
  const tombstone = () => fake.store.get({ tenantId: 'acme', elementKey: wholeTenant });
  return { fake, deleted, leave, finishTenant, tombstone };
}

/** An instance of the tenant, requested a minute before noon. */
function instanceOf(fake: Fake, elementKey: string, over: Partial<InstanceRow> = {}): InstanceRow {
  const requested = { elementKey, requestedTimes: { event: noon - minuteMs }, leaseExpiresAt: 0 };
  const claimed = { ...fake.claimed(), ...requested };
  const instance = { instanceId: 7, token: new Uint8Array([1]) };
  return { ...activate(claimed, instance, noon - minuteMs, timing), ...over };
}

const tombstoneOf = (fake: Fake, over: Partial<InstanceRow> = {}): InstanceRow => ({
  ...fake.claimed(),
  elementKey: wholeTenant,
  status: 'removed',
  claimId: 'before',
  leaseExpiresAt: 0,
  removedTimes: { event: noon },
  removedBy: eventOf('leaving'),
  ...over,
});

describe('an offboarding of one element', () => {
  test('an offboarding of one element removes that instance alone, and writes no tombstone of the tenant', async () => {
    const { fake, deleted, leave, tombstone } = offboarding();
    await fake.put(instanceOf(fake, 'taxify'));
    await fake.put(instanceOf(fake, 'stripe', { instanceId: 8 }));
    expect(await leave(byEvent('leaving'), 'stripe')).toBe('removed');
    expect(deleted).toEqual([8]);
    expect(await tombstone()).toBeUndefined();
  });
});

describe('the tombstone of a tenant', () => {
  test('a repeat of the event that it answers changes nothing, and lists no instance', async () => {
    let lists = 0;
    const { fake, leave, tombstone } = offboarding({}, ({ store }) => ({
      list: (tenantId) => {
        lists += 1;
        return store.list(tenantId);
      },
    }));
    const row = await fake.put(tombstoneOf(fake));
    await fake.put(instanceOf(fake, 'taxify'));
    expect(await leave(byEvent('leaving'))).toBe('already-gone');
    expect(await tombstone()).toEqual(row);
    expect(lists).toBe(0);
  });

  test('another event that was carried out with it is answered, and no instance is removed', async () => {
    const { fake, deleted, leave, tombstone } = offboarding();
    await fake.put(tombstoneOf(fake));
    await fake.put(instanceOf(fake, 'taxify'));
    expect(await leave(byEvent('earlier', noon - 1))).toBe('already-gone');
    expect(await tombstone()).toMatchObject({
      status: 'removed',
      removedBy: { eventId: 'earlier' },
      removedTimes: { event: noon },
    });
    expect((await tombstone())?.claimId).not.toBe('before');
    expect(deleted).toEqual([]);
  });

  test.each([
    ['a later event', byEvent('later', noon + 1_000), {}],
    ['the same event while an instance is left', byEvent('leaving'), { status: 'deleting' }],
    ['an earlier event while an instance is left', byEvent('earlier', noon - 1), { status: 'deleting' }],
  ] as const)('%s removes what is left', async (_what, removal, over) => {
    const { fake, deleted, leave, tombstone } = offboarding();
    await fake.put(tombstoneOf(fake, over));
    await fake.put(instanceOf(fake, 'taxify'));
    expect(await leave(removal)).toBe('removed');
    expect(await tombstone()).toMatchObject({
      status: 'removed',
      removedBy: { eventId: removal.by?.eventId },
    });
    expect((await tombstone())?.claimId).not.toBe('before');
    expect(deleted).toEqual([7]);
  });

  test.each([undefined, 'removed', 'deleting'] as const)(
    'an offboarding gives up after five tries to write it (before: %s)',
    async (status) => {
      let reads = 0;
      const { fake, deleted, leave } = offboarding({}, ({ store }) => ({
        get: (key) => {
          reads += 1;
          return store.get(key);
        },
        claim: async (_next, current) => ({ won: false, current }),
      }));
      if (status) await fake.put(tombstoneOf(fake, { status }));
      await fake.put(instanceOf(fake, 'taxify'));
      await expect(leave(byEvent('later', noon + 1_000))).rejects.toMatchObject({ code: 'busy' });
      expect(reads).toBe(5);
      expect(deleted).toEqual([]);
    },
  );
});

describe('the instances of a tenant that leaves', () => {
  const hourLater = { requestedTimes: { event: noon + 60 * minuteMs } };

  test.each<[string, Partial<InstanceRow>[], string, number]>([
    ['no instance', [], 'already-gone', 0],
    ['one that is removed', [{}], 'removed', 1],
    ['one that was requested later', [hourLater], 'outdated', 0],
    ['one that was requested later, and one that is removed', [hourLater, {}], 'removed', 1],
    ['one that is removed, and one that was requested later', [{}, hourLater], 'removed', 1],
    [
      'one that was removed before',
      [{ ...hourLater, removedTimes: { event: noon + minuteMs } }],
      'already-gone',
      0,
    ],
    [
      'one that was removed before, and one that was requested later',
      [{ ...hourLater, removedTimes: { event: noon + minuteMs } }, hourLater],
      'outdated',
      0,
    ],
  ])('a tenant leaves with %s', async (_what, rows, outcome, deletions) => {
    const { fake, deleted, leave, tombstone } = offboarding();
    for (const [index, over] of rows.entries()) {
      await fake.put(instanceOf(fake, `element-${index}`, { instanceId: index, ...over }));
    }
    expect(await leave(byEvent('leaving'))).toBe(outcome);
    expect(deleted).toHaveLength(deletions);
    expect(await tombstone()).toMatchObject({ status: 'removed', removedBy: { eventId: 'leaving' } });
    const ignored = { kind: 'event-ignored', reason: 'all instances were requested after this removal' };
    expect(fake.observed.filter(({ kind }) => kind !== 'instance-removed')).toEqual(
      outcome === 'outdated' ? [ignored] : [],
    );
  });

  test('an offboarding is due again soon while an instance is left', async () => {
    const { fake, leave, tombstone } = offboarding({
      remove: async () => ({ kind: 'unknown', reason: 'no response' }),
    });
    await fake.put(instanceOf(fake, 'taxify'));
    expect(await leave(byEvent('leaving'))).toBe('in-progress');
    expect(await tombstone()).toMatchObject({
      status: 'deleting',
      leaseExpiresAt: 0,
      checkAt: noon + timing.reconcileAgainMs,
      updatedAt: noon,
      lastError: { code: 'deletion-pending', at: noon },
    });
  });

  test('rows that cannot be read are named', async () => {
    const { fake, leave } = offboarding({}, () => ({
      list: async (tenantId) => ({
        instances: [],
        unreadable: ['one', 'two'].map((elementKey) => ({ tenantId, elementKey })),
      }),
    }));
    expect(await leave(byEvent('leaving'))).toBe('in-progress');
    expect(fake.observed).toEqual([{ kind: 'left-open', reason: 'rows that cannot be read: one, two' }]);
  });

  test.each<[string, Partial<InstanceRow>, string[]]>([
    ['since the removal that is under way', { removingTimes: { event: noon - 90_000 } }, ['taxify']],
    ['since the latest removal, in a row of an earlier version', { removingTimes: undefined }, []],
  ])('the reconciler leaves instances that were requested %s', async (_what, over, left) => {
    const { fake, finishTenant, tombstone } = offboarding();
    const row = await fake.put(tombstoneOf(fake, { status: 'deleting', ...over }));
    await fake.put(instanceOf(fake, 'taxify'));
    expect(await finishTenant(row, noon + 29_000)).toBe(left.length > 0 ? 'outdated' : 'removed');
    expect((await fake.store.list('acme')).instances.map(({ elementKey }) => elementKey)).toEqual(left);
    expect(await tombstone()).toMatchObject({ status: 'removed' });
    // The tenant's own tombstone answers the event.
    expect(fake.observed.filter(({ kind }) => kind === 'event-ignored')).toEqual([]);
  });

  test('an instance remembers the event by which its tenant has left', async () => {
    const { fake, leave } = offboarding();
    await fake.put(instanceOf(fake, 'taxify'));
    await leave(byEvent('leaving'));
    expect(fake.rowOf()).toMatchObject({ status: 'removed', removedBy: { eventId: 'leaving' } });
  });
});
