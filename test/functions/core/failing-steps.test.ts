import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { activate, beginRemoval, markRemoved, rememberRemoval } from '../../../functions/core/lifecycle.ts';
import type { CloudElements, InstanceStore, LookUp, ReadOutcome } from '../../../functions/core/ports.ts';
import { createApplying } from '../../../functions/core/apply-secret.ts';
import { createAuditing } from '../../../functions/core/audit.ts';
import { createOffboarding } from '../../../functions/core/offboard.ts';
import { createReconciling } from '../../../functions/core/reconcile.ts';
import { createRemoving } from '../../../functions/core/remove.ts';
import { createUpdating } from '../../../functions/core/update.ts';
import { tenantSecretName } from '../../../functions/model/configuration.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { wholeTenant, type InstanceRow } from '../../../functions/model/instance.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';
import { fakePorts, shownInstance } from '../../support/fake-ports.ts';

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
async function recheck(
  calls: Partial<CloudElements>,
  former: { origin?: string } = {},
  over: Partial<InstanceRow> = {},
) {
  const fake = fakePorts(calls);
  const formers = [{ provisionId: 'earlier', name: 'Earlier', createdAt: 1, ...former }];
  const row = await fake.put({
    ...activate({ ...fake.claimed(), inDoubt: true, formers }, instance, fake.clock.nowMs, timing),
    ...over,
  });
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

  test('a recheck looks for an earlier generation by the name that it was created with', async () => {
    const names: Record<string, string> = {};
    const { row } = await recheck(
      {
        lookUp: async ({ provisionId, name }) => {
          names[provisionId] = name;
          return found([]);
        },
      },
      {},
      { name: 'Now', createdName: 'Then' },
    );
    expect(names).toEqual({ earlier: 'Earlier', [row?.provisionId ?? '']: 'Then' });
  });

  test.each(['failed', 'removed'] as const)(
    'a recheck of a %s row deletes the instance that it only remembers',
    async (status) => {
      const deleted: unknown[] = [];
      const { tally } = await recheck(
        {
          lookUp: async ({ provisionId }) => found(provisionId === 'earlier' ? [] : [7]),
          remove: async ({ instanceId }) => {
            deleted.push(instanceId);
            return { kind: 'removed' };
          },
        },
        {},
        { status },
      );
      expect(tally).toEqual({ checked: 1 });
      expect(deleted).toEqual([7]);
    },
  );

  test.each(['current', 'earlier'])(
    'a recheck never deletes the active instance, although a look-up of the %s generation shows it',
    async (whose) => {
      const deleted: unknown[] = [];
      const { row } = await recheck({
        lookUp: async ({ provisionId }) =>
          found((provisionId === 'earlier') === (whose === 'earlier') ? [7, 8] : []),
        remove: async ({ instanceId }) => {
          deleted.push(instanceId);
          return { kind: 'removed' };
        },
      });
      expect(deleted).toEqual([8]);
      expect(row).toMatchObject({ status: 'active', instanceId: 7 });
    },
  );

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
    [
      'whose look-up of an earlier generation is not certain',
      {
        lookUp: async ({ provisionId }) => ({
          kind: 'found',
          instances: [],
          isCertain: provisionId !== 'earlier',
        }),
      },
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

/** Audits rows of instances 1, 2, …; the list shows the first `listed` of them. */
async function auditRows(
  count: number,
  listed: number,
  read: (instanceId: unknown, fake: ReturnType<typeof fakePorts>) => Promise<ReadOutcome>,
) {
  const puts: unknown[] = [];
  const fake = fakePorts({
    read: async ({ instanceId }) => read(instanceId, fake),
    list: async () => ({
      kind: 'listed',
      nextPage: undefined,
      instances: Array.from({ length: listed }, (_, i) => ({
        id: i + 1,
        elementKey: 'taxify',
        tags: [`tenant:t${i + 1}`, 'owner:tests'],
        token: 'any',
        valid: true,
        disabled: false,
      })),
    }),
  });
  for (let i = 1; i <= count; i++) await fake.put(activeRow(fake, { tenantId: `t${i}`, instanceId: i }));
  const progress = {
    get: async () => undefined,
    put: async (after: unknown) => void puts.push(after),
    finish: async () => {},
  };
  const result = await createAuditing({ ...fake.ports, progress })({
    deadlineAt: fake.clock.nowMs + 600_000,
  });
  return { result, puts };
}

describe('the reads of an audit by id', () => {
  test('instances that are read without an answer are no sign that none is visible', async () => {
    const { result } = await auditRows(2, 0, async () => ({ kind: 'unknown', reason: 'no response' }));
    expect(result).toMatchObject({ readById: 2, lost: 0, notVisible: false, complete: false });
  });

  test('a row that changes meanwhile does not count among those that are not visible', async () => {
    const { result } = await auditRows(3, 1, async (instanceId, fake) => {
      if (instanceId === 2) await fake.put(activeRow(fake, { tenantId: 't2', instanceId: 9 }));
      return { kind: 'absent' };
    });
    expect(result).toMatchObject({ notListed: 2, lost: 1, notVisible: false });
  });

  test('an instance that is read by its id is reported as invalid and disabled', async () => {
    const { result, puts } = await auditRows(1, 0, async () =>
      shownInstance(1, { valid: false, disabled: true }),
    );
    expect(result).toMatchObject({ readById: 1, invalid: 1, disabled: 1, complete: true });
    // All were read, so the next audit begins at the first row.
    expect(puts).toEqual([]);
  });
});

/** Reconciles one row that the index shows as due; Cloud Elements has `lookedUp`. */
async function reconcile(over: Partial<InstanceRow>, lookedUp: LookUp, rival?: Partial<InstanceRow>) {
  const fake = fakePorts({
    lookUp: async () => {
      calls.push('lookUp');
      const row = fake.rowOf();
      if (row && rival) await fake.put({ ...row, ...rival });
      return lookedUp;
    },
    read: async () => {
      calls.push('read');
      return { kind: 'absent' };
    },
  });
  const calls: string[] = [];
  const row = await fake.put({
    ...fake.claimed(),
    leaseExpiresAt: 0,
    sendDeadline: 1,
    checkAt: 1,
    ...over,
  });
  const first = [{ ...fake.key, checkAt: 1, shown: '1' }];
  const store = { ...fake.store, due: async () => ({ first, later: [] }), postpone: async () => {} };
  const { tally } = await createReconciling({ ...fake.ports, store }).reconcile({
    deadlineAt: fake.clock.nowMs + 60_000,
  });
  return { tally, calls, row, after: fake.rowOf() };
}

describe('a row that the reconciler finds due', () => {
  test.each<[string, Partial<InstanceRow>]>([
    [
      'an update works on',
      { status: 'active', instanceId: 7, leaseExpiresAt: Date.parse('2026-11-26T12:00:30Z') },
    ],
    ['was moved to a later time', { checkAt: Date.parse('2026-11-26T12:00:30Z') }],
    ['was settled', { status: 'active', instanceId: 7, checkAt: undefined }],
  ])('a row that %s is left as it is, although the index shows it as due', async (_what, over) => {
    const { tally, calls, row, after } = await reconcile(over, found([]));
    expect(tally).toEqual({ skipped: 1 });
    expect(calls).toEqual([]);
    expect(after).toEqual(expect.objectContaining({ claimId: row.claimId, status: row.status }));
  });

  test.each<[string, LookUp]>([
    ['nothing was created', found([])],
    [
      'its instance cannot be kept',
      { kind: 'found', instances: [], unusable: [{ id: 8, reason: 'any' }], isCertain: true },
    ],
  ])('a row that another claims meanwhile does not count as failed when %s', async (_what, lookedUp) => {
    const { tally, after } = await reconcile({}, lookedUp, { claimId: 'rival' });
    expect(tally).toEqual({ skipped: 1 });
    expect(after).toMatchObject({ status: 'provisioning', claimId: 'rival' });
  });
});

const fails = (code: 'internal' | 'aws-unavailable') => Promise.reject(new OnboardingError(code, 'No.'));

test('an unreadable row that cannot be moved does not end the run of the reconciler', async () => {
  const fake = fakePorts();
  await fake.put({ ...fake.claimed(), leaseExpiresAt: 0, sendDeadline: 1, checkAt: 1 });
  const first = ['odd', 'acme'].map((tenantId) => ({ ...fake.key, tenantId, checkAt: 1, shown: '1' }));
  const store: InstanceStore = {
    ...fake.store,
    due: async () => ({ first, later: [] }),
    get: (key) => (key.tenantId === 'odd' ? fails('internal') : fake.store.get(key)),
    postpone: () => fails('aws-unavailable'),
  };
  const { tally } = await createReconciling({ ...fake.ports, store }).reconcile({
    deadlineAt: fake.clock.nowMs + 60_000,
  });
  expect(tally).toEqual({ unreadable: 1, failed: 1 });
});

describe('a changed secret', () => {
  const arrivedAt = Date.parse('2026-11-26T12:00:00Z');

  const prefix = 'tests/tenants';

  async function apply(over: Partial<InstanceRow>) {
    const calls: string[] = [];
    const fake = fakePorts();
    const row = await fake.put({ ...activeRow(fake), source: 'secret', ...over });
    const applied = await createApplying({
      ...fake.ports,
      tenantSecretsPrefix: prefix,
      update: async () => {
        calls.push('update');
        return { ...row, secretReadAt: fake.clock.nowMs };
      },
      provision: async () => {
        calls.push('provision');
        return { outcome: 'created', row };
      },
    })(
      { ...fake.key, secretName: tenantSecretName(prefix, fake.key), arrivedAt },
      { deadlineAt: fake.clock.nowMs + 29_000, deliveries: 1 },
    );
    return { applied, calls };
  }

  test('a secret that an update has read well after its message came is not sent again', async () => {
    const { applied, calls } = await apply({ secretReadAt: arrivedAt + 5_001 });
    expect(applied).toMatchObject({ outcome: 'up-to-date', retry: false });
    expect(calls).toEqual([]);
  });

  test.each<[string, Partial<InstanceRow>]>([
    ['was read within the skew of two clocks', { secretReadAt: arrivedAt + 5_000 }],
    [
      'an earlier update may still overwrite',
      { secretReadAt: arrivedAt + 60_000, secretInDoubtUntil: arrivedAt + 60_000 },
    ],
  ])('a secret that %s is sent again', async (_what, over) => {
    const { applied, calls } = await apply(over);
    expect(applied).toMatchObject({ outcome: 'updated' });
    expect(calls).toEqual(['update']);
  });

  test('a failed row that another claim works on is left for any reason of its failure, and the message comes again', async () => {
    const { applied, calls } = await apply({
      status: 'failed',
      leaseExpiresAt: arrivedAt + 30_000,
      lastError: { code: 'instance-unusable', detail: 'any', at: 1 },
    });
    expect(applied).toMatchObject({ outcome: 'in-progress', retry: true });
    expect(calls).toEqual([]);
  });
});

describe('an offboarding of a whole tenant', () => {
  const sentAt = Date.parse('2026-11-26T12:00:00Z');
  const by = { dialect: 'native', eventId: 'leaving', sentAt } as const;
  const ofTenant = { times: { event: sentAt }, by };

  async function offboard(over: (fake: ReturnType<typeof fakePorts>) => Partial<InstanceStore>) {
    const fake = fakePorts();
    await fake.put(activeRow(fake));
    const { offboard: offboardIn } = createOffboarding({
      ...fake.ports,
      store: { ...fake.store, ...over(fake) },
    });
    const again = () =>
      offboardIn(
        { tenantId: 'acme', elementKey: undefined, removal: ofTenant },
        { deadlineAt: fake.clock.nowMs + 29_000 },
      );
    const outcome = again();
    const tombstone = () => fake.store.get({ tenantId: 'acme', elementKey: wholeTenant });
    return { fake, outcome, again, tombstone };
  }

  test('an offboarding ends with the removal of every instance', async () => {
    const { outcome, tombstone, fake } = await offboard(() => ({}));
    expect(await outcome).toBe('removed');
    expect(await tombstone()).toMatchObject({ status: 'removed' });
    expect(fake.rowOf()).toMatchObject({ status: 'removed' });
  });

  test('an offboarding stays open while a row of the tenant cannot be read', async () => {
    const { outcome, tombstone } = await offboard((fake) => ({
      list: async (tenantId) => ({
        ...(await fake.store.list(tenantId)),
        unreadable: [{ tenantId, elementKey: 'odd' }],
      }),
    }));
    expect(await outcome).toBe('in-progress');
    expect(await tombstone()).toMatchObject({ status: 'deleting', leaseExpiresAt: 0 });
  });

  test('an offboarding that cannot remove an instance fails, stays open, and is due soon', async () => {
    const { outcome, tombstone, fake } = await offboard((ports) => ({
      get: (key) =>
        key.elementKey === wholeTenant
          ? ports.store.get(key)
          : Promise.reject(new OnboardingError('aws-unavailable', 'No answer.')),
    }));
    await expect(outcome).rejects.toMatchObject({ code: 'aws-unavailable' });
    expect(await tombstone()).toMatchObject({
      status: 'deleting',
      checkAt: fake.clock.nowMs + timing.reconcileAgainMs,
    });
  });

  test.each([false, true])(
    'an offboarding lists instances only after its own tombstone is written (over one: %s)',
    async (isOverOne) => {
      const listed: (string | undefined)[] = [];
      const { outcome, tombstone } = await offboard((fake) => {
        let claims = 0;
        return {
          get: async (key) => {
            if (isOverOne && key.elementKey === wholeTenant && claims === 0) {
              const before = { ...fake.claimed(), elementKey: wholeTenant, status: 'removed' as const };
              await fake.put({ ...before, removedTimes: { own: 1 } });
            }
            return fake.store.get(key);
          },
          claim: async (next, asRead) => {
            claims += next.elementKey === wholeTenant ? 1 : 0;
            if (claims === 1 && next.elementKey === wholeTenant) {
              return { won: false, current: asRead };
            }
            return fake.store.claim(next, asRead);
          },
          list: async (tenantId) => {
            listed.push((await fake.store.get({ tenantId, elementKey: wholeTenant }))?.status);
            return fake.store.list(tenantId);
          },
        };
      });
      expect(await outcome).toBe('removed');
      expect(listed).toEqual(['deleting']);
      expect(await tombstone()).toMatchObject({ status: 'removed' });
    },
  );

  test('a redelivered offboarding is carried out again while an instance is left', async () => {
    const { fake, outcome, again, tombstone } = await offboard(({ store }) => ({
      list: async (tenantId) => ({
        ...(await store.list(tenantId)),
        unreadable: [{ tenantId, elementKey: 'odd' }],
      }),
    }));
    expect(await outcome).toBe('in-progress');
    fake.clock.nowMs += 60_000;
    expect(await again()).toBe('in-progress');
    expect(await tombstone()).toMatchObject({ status: 'deleting' });
  });

  test('a redelivered offboarding that is done leaves its tombstone as it is', async () => {
    const { outcome, again, tombstone } = await offboard(() => ({}));
    expect(await outcome).toBe('removed');
    const before = await tombstone();
    expect(await again()).toBe('already-gone');
    expect(await tombstone()).toEqual(before);
  });

  test('an offboarding whose tombstone another removal has written meanwhile is not reported as done', async () => {
    const { outcome, tombstone } = await offboard((fake) => ({
      list: async (tenantId) => {
        const row = await fake.store.get({ tenantId, elementKey: wholeTenant });
        if (row) await fake.put({ ...row, claimId: 'rival' });
        return fake.store.list(tenantId);
      },
    }));
    expect(await outcome).toBe('in-progress');
    expect(await tombstone()).toMatchObject({ status: 'deleting', claimId: 'rival' });
  });

  test('an offboarding that fails waits for the removals of the other instances', async () => {
    const { fake, outcome } = await offboard(({ store }) => ({
      list: async () => {
        const { instances, unreadable } = await store.list('acme');
        return { instances: instances.flatMap((each) => [{ ...each, elementKey: 'odd' }, each]), unreadable };
      },
      get: async (key) => {
        if (key.elementKey === 'odd') throw new OnboardingError('aws-unavailable', 'No answer.');
        // The other removal takes longer.
        await setImmediate();
        return store.get(key);
      },
    }));
    await expect(outcome).rejects.toMatchObject({ code: 'aws-unavailable' });
    expect(fake.rowOf()).toMatchObject({ status: 'removed' });
  });
});
