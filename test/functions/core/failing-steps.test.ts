import { describe, expect, test } from 'vitest';
import { activate, beginRemoval, markRemoved, rememberRemoval } from '../../../functions/core/lifecycle.ts';
import type { CloudElements, LookUp } from '../../../functions/core/ports.ts';
import { createAuditing } from '../../../functions/core/audit.ts';
import { createReconciling } from '../../../functions/core/reconcile.ts';
import { createRemoving } from '../../../functions/core/remove.ts';
import { createUpdating } from '../../../functions/core/update.ts';
import type { InstanceRow } from '../../../functions/model/instance.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';
import { fakePorts } from '../../support/fake-ports.ts';

/** Steps of the use cases when one of them fails, or another writer comes first: nothing is concluded from it. */

const removal = { times: { own: 0 }, by: undefined };
const instance = { instanceId: 7, token: new Uint8Array([1]) };

function activeRow(fake: ReturnType<typeof fakePorts>, over: Partial<InstanceRow> = {}): InstanceRow {
  return { ...activate(fake.claimed(), instance, fake.clock.nowMs, timing), ...over };
}

describe('an update', () => {
  test('a row of another base URL is not updated: its instance is not at this one', async () => {
    const updates: unknown[] = [];
    const fake = fakePorts({
      update: async (_instance, changes) => {
        updates.push(changes);
        return { kind: 'updated' };
      },
    });
    await fake.put(activeRow(fake, { origin: 'https://another.example' }));
    const update = createUpdating(fake.ports)(
      fake.key,
      { name: 'New' },
      { deadlineAt: fake.clock.nowMs + 29_000 },
    );
    await expect(update).rejects.toMatchObject({ code: 'origin-changed' });
    expect(updates).toEqual([]);
  });

  test('an update whose row was claimed by another meanwhile is not reported as done', async () => {
    const fake = fakePorts({
      update: async () => {
        const row = fake.rowOf();
        if (row) await fake.put({ ...row, claimId: 'rival', name: "The rival's" });
        return { kind: 'updated' };
      },
    });
    await fake.put(activeRow(fake));
    const update = createUpdating(fake.ports)(
      fake.key,
      { name: 'New' },
      { deadlineAt: fake.clock.nowMs + 29_000 },
    );
    await expect(update).rejects.toMatchObject({ code: 'busy' });
    expect(fake.rowOf()).toMatchObject({ name: "The rival's" });
  });
});

const found = (ids: number[]): LookUp => ({
  kind: 'found',
  instances: ids.map((id) => ({ id, token: `token-of-${id}` })),
  isCertain: true,
});

/** Reconciles an active row in doubt with an earlier generation, an hour after it became active. */
async function recheck(calls: Partial<CloudElements>, former: { origin?: string } = {}) {
  const fake = fakePorts(calls);
  const formers = [{ provisionId: 'earlier', name: 'Earlier', createdAt: 1, ...former }];
  const row = await fake.put(
    activate({ ...fake.claimed(), inDoubt: true, formers }, instance, fake.clock.nowMs, timing),
  );
  fake.clock.nowMs = row.checkAt ?? 0;
  const { tally } = await createReconciling(fake.ports).reconcile({
    deadlineAt: fake.clock.nowMs + 60_000,
  });
  return { tally, row: fake.rowOf(), nowMs: fake.clock.nowMs };
}

describe('a recheck', () => {
  test('a recheck without doubts left ends, and forgets the earlier generations', async () => {
    const { tally, row } = await recheck({});
    expect(tally).toEqual({ checked: 1 });
    expect(row).not.toHaveProperty('checkAt');
    expect(row).not.toHaveProperty('formers');
  });

  test.each<[string, Partial<CloudElements>]>([
    ['whose own instance cannot be read', { read: async () => ({ kind: 'unknown', reason: 'no response' }) }],
    ['whose look-up fails', { lookUp: async () => ({ kind: 'unknown', reason: 'no response' }) }],
    [
      'whose look-up of an earlier generation fails',
      {
        lookUp: async ({ provisionId }) =>
          provisionId === 'earlier' ? { kind: 'unknown', reason: 'no response' } : found([]),
      },
    ],
    [
      'whose duplicate cannot be deleted',
      {
        lookUp: async ({ provisionId }) => found(provisionId === 'earlier' ? [] : [8]),
        remove: async () => ({ kind: 'unknown', reason: 'no response' }),
      },
    ],
    [
      'whose instance of an earlier generation cannot be deleted',
      {
        lookUp: async ({ provisionId }) => found(provisionId === 'earlier' ? [8] : []),
        remove: async () => ({ kind: 'unknown', reason: 'no response' }),
      },
    ],
  ])('a recheck %s is repeated, and remembers the earlier generations', async (_what, calls) => {
    const { tally, row, nowMs } = await recheck(calls);
    expect(tally).toEqual({ 'still-open': 1 });
    expect(row).toMatchObject({ status: 'active', formers: [{ provisionId: 'earlier' }] });
    expect(row?.checkAt).toBe(nowMs + timing.reconcileAgainMs);
  });

  test('a recheck with an earlier generation of another base URL is repeated, and does not look for it here', async () => {
    const sought: string[] = [];
    const { tally, row, nowMs } = await recheck(
      {
        lookUp: async ({ provisionId }) => {
          sought.push(provisionId);
          return found([]);
        },
      },
      { origin: 'https://another.example' },
    );
    expect(tally).toEqual({ 'still-open': 1 });
    expect(row).toMatchObject({
      formers: [{ provisionId: 'earlier' }],
      checkAt: nowMs + timing.reconcileAgainMs,
    });
    expect(sought).toEqual([row?.provisionId]);
  });

  test.each<[string, Partial<CloudElements>]>([
    [
      'whose look-up is not certain',
      { lookUp: async () => ({ kind: 'found', instances: [], isCertain: false }) },
    ],
    ['whose own instance is gone', { read: async () => ({ kind: 'absent' }) }],
  ])('a recheck %s is repeated an hour later', async (_what, calls) => {
    const { tally, row, nowMs } = await recheck(calls);
    expect(tally).toEqual({ checked: 1 });
    expect(row).toMatchObject({ checkAt: nowMs + timing.recheckMs, formers: [{ provisionId: 'earlier' }] });
  });
});

describe('a row of another base URL', () => {
  test.each<[string, (fake: ReturnType<typeof fakePorts>) => InstanceRow]>([
    ['an unfinished claim', (fake) => fake.claimed()],
    ['a removal', (fake) => ({ ...activeRow(fake), status: 'deleting' })],
    ['an active instance in doubt', (fake) => activeRow(fake, { inDoubt: true })],
  ])('the reconciler calls nothing for %s of another base URL, and leaves it open', async (_what, rowIn) => {
    const called: string[] = [];
    const fake = fakePorts({
      lookUp: async () => {
        called.push('lookUp');
        return found([8]);
      },
      read: async () => {
        called.push('read');
        return { kind: 'absent' };
      },
      remove: async () => {
        called.push('remove');
        return { kind: 'removed' };
      },
    });
    const row = await fake.put({ ...rowIn(fake), origin: 'https://another.example', checkAt: 1 });
    fake.clock.nowMs = row.sendDeadline + 2 * timing.quiescenceMs;
    const { tally } = await createReconciling(fake.ports).reconcile({
      deadlineAt: fake.clock.nowMs + 60_000,
    });
    expect(tally).toEqual({ 'still-open': 1 });
    expect(called).toEqual([]);
    expect(fake.rowOf()).toMatchObject({
      status: row.status,
      leaseExpiresAt: 0,
      checkAt: fake.clock.nowMs + timing.reconcileAgainMs,
    });
  });
});

describe('the lease of the reconciler', () => {
  test('a leased row is due again when the lease ends, should the reconciler die', async () => {
    let leased: InstanceRow | undefined;
    const fake = fakePorts({
      lookUp: async () => {
        leased = fake.rowOf();
        return { kind: 'unknown', reason: 'no response' };
      },
    });
    const row = await fake.put(fake.claimed());
    fake.clock.nowMs = row.leaseExpiresAt + 1;
    await createReconciling(fake.ports).reconcile({ deadlineAt: fake.clock.nowMs + 60_000 });
    expect(leased).toMatchObject({
      status: 'provisioning',
      leaseExpiresAt: fake.clock.nowMs + timing.leaseMs,
    });
    expect(leased?.checkAt).toBe(leased?.leaseExpiresAt);
  });
});

describe('a removal', () => {
  test('a removal is due when its lease ends, should its invocation die', () => {
    const fake = fakePorts();
    const deleting = beginRemoval(
      activeRow(fake),
      removal,
      { claimId: 'c', nowMs: fake.clock.nowMs },
      timing,
    );
    expect(deleting.checkAt).toBe(deleting.leaseExpiresAt);
    expect(deleting.leaseExpiresAt).toBe(fake.clock.nowMs + timing.leaseMs);
  });

  test('a repeated removal keeps the recheck of its tombstone', () => {
    const fake = fakePorts();
    const row = { ...activeRow(fake), inDoubt: true };
    const deleting = beginRemoval(row, removal, { claimId: 'c', nowMs: fake.clock.nowMs }, timing);
    const tombstone = markRemoved(deleting, fake.clock.nowMs, timing);
    expect(tombstone.checkAt).toBe(fake.clock.nowMs + timing.recheckMs);
    const later = { claimId: 'd', nowMs: fake.clock.nowMs + 60_000 };
    expect(rememberRemoval(tombstone, removal, later, timing).checkAt).toBe(tombstone.checkAt);
    const rechecked = { ...tombstone, checkAt: undefined };
    expect(rememberRemoval(rechecked, removal, later, timing).checkAt).toBeUndefined();
  });

  test('a removal whose last write another removal has prevented is not reported as done', async () => {
    const fake = fakePorts({
      remove: async () => {
        const row = fake.rowOf();
        if (row) await fake.put({ ...row, claimId: 'rival' });
        return { kind: 'removed' };
      },
    });
    await fake.put(activeRow(fake));
    const { remove } = createRemoving(fake.ports);
    const removed = await remove(
      fake.key,
      { ...removal, times: { own: fake.clock.nowMs } },
      { deadlineAt: fake.clock.nowMs + 29_000 },
    );
    expect(removed).toEqual({ outcome: 'in-progress', retryAfterMs: timing.leaseMs });
    expect(fake.rowOf()).toMatchObject({ status: 'deleting', claimId: 'rival' });
  });
});

type Rivals = {
  listedId?: number;
  tags?: string[];
  /** Another tenant's row, before this one. */
  another?: Partial<InstanceRow>;
  nextPage?: string;
  /** Writes of others: after the rows were read, and while a token is encrypted. */
  whileListed?: Partial<InstanceRow>;
  whileEncrypted?: Partial<InstanceRow>;
};

/** Audits a Cloud Elements whose list shows instance 7 with the row's marker tags. */
async function audit(
  over: Partial<InstanceRow>,
  { listedId = 7, tags = ['tenant:acme', 'owner:tests'], another, nextPage, ...rivals }: Rivals = {},
) {
  const fake = fakePorts({
    list: async () => {
      if (whileListed) await fake.put({ ...row, ...whileListed });
      return {
        kind: 'listed',
        nextPage,
        instances: [
          {
            id: listedId,
            elementKey: 'taxify',
            tags,
            token: 'token-of-7',
            valid: true,
            disabled: false,
          },
        ],
      };
    },
  });
  const { whileListed, whileEncrypted } = rivals;
  if (another) await fake.put({ ...activeRow(fake), tenantId: 'another', ...another });
  const row = await fake.put({ ...activeRow(fake), ...over });
  const progress = { get: async () => undefined, put: async () => {}, finish: async () => {} };
  const encrypt = async (token: string) => {
    if (whileEncrypted) await fake.put({ ...row, ...whileEncrypted });
    return new TextEncoder().encode(token);
  };
  const result = await createAuditing({ ...fake.ports, progress, cipher: { ...fake.ports.cipher, encrypt } })(
    {
      deadlineAt: fake.clock.nowMs + 600_000,
    },
  );
  return { result, row, after: fake.rowOf() };
}

describe('an audit', () => {
  test('an instance beside a settled row is an orphan', async () => {
    const { result } = await audit({ checkAt: undefined, leaseExpiresAt: 0 }, { listedId: 8 });
    expect(result).toMatchObject({ orphaned: 1, complete: true });
  });

  test.each<[string, Partial<InstanceRow>]>([
    ['that the reconciler will check', { checkAt: Date.parse('2026-11-26T13:00:00Z'), leaseExpiresAt: 0 }],
    [
      'that a request is working on',
      { checkAt: undefined, leaseExpiresAt: Date.parse('2026-11-26T12:00:30Z') },
    ],
  ])('an instance beside a row %s is no orphan', async (_what, over) => {
    expect((await audit(over, { listedId: 8 })).result).toMatchObject({ orphaned: 0, complete: true });
  });

  test('a refilled token takes a new fencing token, so earlier readers must read the row again', async () => {
    const { result, row, after } = await audit({ token: undefined });
    expect(result).toMatchObject({ refilled: 1 });
    expect(after?.token).toEqual(new TextEncoder().encode('token-of-7'));
    expect(after?.claimId).not.toBe(row.claimId);
  });

  test('a row of another base URL is not counted as an instance of this one', async () => {
    const { result } = await audit({ origin: 'https://another.example', instanceId: 9 });
    expect(result).toMatchObject({ ours: 0, lost: 0 });
  });

  const leased = { leaseExpiresAt: Date.parse('2026-11-26T12:00:30Z') };

  test.each<[string, Partial<InstanceRow>, Rivals]>([
    ['is leased', leased, {}],
    ['is leased meanwhile', {}, { whileListed: leased }],
    ['records another instance meanwhile', {}, { whileListed: { instanceId: 8, provisionId: 'another' } }],
    ['is being deleted meanwhile', {}, { whileListed: { status: 'deleting' } }],
    ['is claimed by another meanwhile', {}, { whileEncrypted: { claimId: 'rival' } }],
  ])('a missing token is not refilled in a row that %s', async (_what, over, rivals) => {
    const { result, row, after } = await audit({ token: undefined, ...over }, rivals);
    expect(result).toMatchObject({ refilled: 0 });
    const { whileListed, whileEncrypted } = rivals;
    expect(after).toEqual(
      expect.objectContaining({ claimId: row.claimId, ...over, ...whileListed, ...whileEncrypted }),
    );
    expect(after).not.toHaveProperty('token');
  });

  test.each([
    ['a leased row gets no check of health, and keeps its fencing token', leased, false],
    ['a row without a check of health ahead gets one, and a new fencing token', { leaseExpiresAt: 0 }, true],
  ])('%s', async (_title, over, isScheduled) => {
    const { row, after } = await audit({ healthCheckAt: undefined, ...over });
    expect(after?.healthCheckAt !== undefined).toBe(isScheduled);
    expect(after?.claimId !== row.claimId).toBe(isScheduled);
  });

  test('an instance that shows another stage is no orphan of this one, although a row records it', async () => {
    const { result } = await audit({}, { tags: ['tenant:other', 'owner:other'] });
    expect(result).toMatchObject({ notOurs: 1, orphaned: 0 });
  });

  test('every row that records an instance is compared with it', async () => {
    const { result } = await audit({}, { another: {} });
    expect(result).toMatchObject({ ours: 2, theirs: 1, notOurs: 1, orphaned: 0, notListed: 0 });
  });

  test('a list that repeats a page says nothing about instances that it has not shown', async () => {
    const { result } = await audit({ instanceId: 9 }, { nextPage: 'the same again' });
    expect(result).toMatchObject({ complete: false, notListed: 0, readById: 0 });
  });
});
