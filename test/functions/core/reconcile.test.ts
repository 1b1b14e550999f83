import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import type { CloudElements } from '../../../functions/core/ports.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { judged, settingsOf, type InstanceRow } from '../../../functions/model/instance.ts';
import { claim } from '../../../functions/core/lifecycle.ts';
import { createReconciling, reconcileBatchSize } from '../../../functions/core/reconcile.ts';
import { defaultTiming, functionTimeoutMs } from '../../../functions/model/timing.ts';
import { createInMemoryStore } from '../../proofs/explorer/in-memory-store.ts';
import { keyOf, newTenant, startServers, taxify } from '../../support/real-servers.ts';
import { notApplied } from '../../support/faults.ts';

let servers: Awaited<ReturnType<typeof startServers>>;
beforeAll(async () => {
  servers = await startServers();
});
afterAll(() => servers[Symbol.asyncDispose]());
beforeEach(async () => {
  // Rows that a test leaves open must not reach the next one.
  servers.reset();
  servers.clock.aheadMs = 1_000_000;
  await servers.reconcile();
  await servers.reconcile();
  servers.reset();
});

const kinds = () => servers.observations.map(({ kind }) => kind);

describe('the reconciler', () => {
  test('the reconciler has nothing to do when no row is open', async () => {
    await servers.provision(taxify(newTenant()));
    servers.reset();
    expect(await servers.reconcile()).toEqual({});
    // One per partition of the index.
    expect(servers.awsRequests).toEqual(Array.from({ length: 3 }, () => 'DynamoDB_20120810.Query'));
  });

  test('the reconciler leaves a live claim alone', async () => {
    const tenantId = newTenant();
    const killed = await servers.killedWhileCreating(tenantId, 'applied');
    expect(await servers.reconcile()).toEqual({});
    expect(await servers.rowOf(tenantId)).toEqual(killed);
  });

  test('the reconciler adopts the instance of a dead claim', async () => {
    const tenantId = newTenant();
    await servers.killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 1_001;
    expect(await servers.reconcile()).toEqual({ adopted: 1 });
    expect(await servers.expectOneActiveInstance(tenantId)).toMatchObject({ inDoubt: true });
  });

  test('the reconciler keeps Cloud Elements’ reason for a create that failed', async () => {
    const tenantId = newTenant();
    const requestId = '0123456789abcdef01234567';
    servers.simulator.fail({
      on: 'POST /instances',
      ...notApplied(409, { body: { requestId, message: 'A resource being created already exists' } }),
    });
    const { row } = await servers.provision(taxify(tenantId));
    const said = 'Cloud Elements said: A resource being created already exists';
    expect(row.lastError).toMatchObject({
      code: 'outcome-unknown',
      detail: `Outcome unknown: the instance may or may not exist. ${said}`,
      requestId,
    });
    servers.clock.aheadMs = row.sendDeadline + 10_001 - Date.now();
    expect(await servers.reconcile()).toEqual({ failed: 1 });
    expect((await servers.rowOf(tenantId))?.lastError).toMatchObject({
      code: 'not-created',
      detail: `Cloud Elements did not create the instance. ${said}`,
      requestId,
    });
  });

  test('the reconciler never creates: a dead claim without an instance fails once that is certain', async () => {
    const tenantId = newTenant();
    const killed = await servers.killedWhileCreating(tenantId, 'none');
    servers.clock.aheadMs = 1_001;
    expect(await servers.reconcile()).toEqual({ 'still-open': 1 });
    expect(await servers.rowOf(tenantId)).toMatchObject({ status: 'provisioning', leaseExpiresAt: 0 });
    expect(await servers.reconcile()).toEqual({});

    servers.clock.aheadMs = killed.sendDeadline + 10_001 - Date.now();
    expect(await servers.reconcile()).toEqual({ failed: 1 });
    expect(await servers.rowOf(tenantId)).toMatchObject({
      status: 'failed',
      lastError: { code: 'not-created' },
    });
    expect(servers.posts()).toBe(0);
  });

  test('the reconciler finishes a removal', async () => {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId));
    servers.simulator.fail({ on: 'DELETE /instances/{id}', effect: 'none', outcome: { kind: 'stall' } });
    await servers.remove(keyOf(tenantId));
    servers.clock.aheadMs = 5_500;
    expect(await servers.reconcile()).toEqual({ removed: 1 });
    expect(servers.instancesOf(tenantId)).toEqual([]);
    expect(await servers.rowOf(tenantId)).toMatchObject({ status: 'removed' });
  });

  test('the reconciler does not settle a removal that begins after its look-up', async () => {
    const tenantId = newTenant();
    await servers.killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 1_001;
    expect(await servers.reconcile()).toEqual({ adopted: 1 });
    expect((await servers.rowOf(tenantId))?.lookedAt).toBeDefined();
    servers.simulator.fail({ on: 'DELETE /instances/{id}', effect: 'none', outcome: { kind: 'reset' } });
    await servers.remove(keyOf(tenantId));
    expect(await servers.rowOf(tenantId)).toMatchObject({ status: 'deleting' });
    expect((await servers.rowOf(tenantId))?.lookedAt).toBeUndefined();
  });

  test.each([
    ['active', async (tenantId: string) => void (await servers.provision(taxify(tenantId))), 1],
    ['removed', async (tenantId: string) => void (await servers.remove(keyOf(tenantId))), 0],
  ])(
    'the reconciler rechecks a row that was in doubt, and removes late instances (%s)',
    async (status, settle, kept) => {
      const tenantId = newTenant();
      const killed = await servers.killedWhileCreating(tenantId, 'applied');
      servers.clock.aheadMs = killed.sendDeadline + 10_001 - Date.now();
      await settle(tenantId);
      expect(await servers.rowOf(tenantId)).toMatchObject({ status, inDoubt: true });
      const keptId = servers.instancesOf(tenantId)[0]?.id;

      servers.duplicate(killed);
      servers.clock.aheadMs += 60_001;
      expect(await servers.reconcile()).toEqual({ checked: 1 });
      expect(servers.instancesOf(tenantId).map(({ id }) => id)).toEqual(kept ? [keptId] : []);
      expect((await servers.rowOf(tenantId))?.checkAt).toBeUndefined();
      expect(await servers.reconcile()).toEqual({});
    },
  );

  test('the reconciler removes nothing beside an active instance that it does not see', async () => {
    const tenantId = newTenant();
    const killed = await servers.killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 1_001;
    await servers.provision(taxify(tenantId));
    servers.duplicate(killed);
    const [lost] = servers.instancesOf(tenantId);
    await servers.removeAtCloudElements(lost?.id);
    servers.clock.aheadMs = 70_000;
    expect(await servers.reconcile()).toEqual({ checked: 1 });
    // Only the audit reports lost instances, because it sees whether others are visible.
    expect(kinds()).not.toContain('instance-lost');
    expect(servers.instancesOf(tenantId)).toHaveLength(1);
    expect((await servers.rowOf(tenantId))?.checkAt).toBeGreaterThan(Date.now() + 70_000);
  });

  test('the reconciler removes duplicates beside an active instance whose tags were edited', async () => {
    const tenantId = newTenant();
    const killed = await servers.killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 1_001;
    await servers.provision(taxify(tenantId));
    const [kept] = servers.instancesOf(tenantId);
    servers.duplicate(killed);
    if (kept) kept.tags = ['edited'];
    servers.clock.aheadMs = 70_000;
    expect(await servers.reconcile()).toEqual({ checked: 1 });
    expect(servers.instancesOf(tenantId)).toEqual([]);
    expect(servers.simulator.instances).toContain(kept);
  });

  test('the reconciler removes nothing for a row that records another tenant’s instance, and logs that', async () => {
    const tenantId = newTenant();
    const killed = await servers.killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 1_001;
    const { row } = await servers.provision(taxify(tenantId));
    servers.duplicate(killed);
    const { row: other } = await servers.provision(taxify(newTenant()));
    await servers.store.write({ ...row, instanceId: other.instanceId }, row);
    servers.clock.aheadMs = 70_000;
    expect(await servers.reconcile()).toEqual({ checked: 1 });
    expect(kinds()).toContain('not-ours');
    expect(servers.instancesOf(tenantId)).toHaveLength(2);
    expect(servers.instancesOf(other.tenantId)).toHaveLength(1);
  });

  test('the reconciler retries an inconclusive look-up', async () => {
    const tenantId = newTenant();
    await servers.provision(taxify(newTenant()));
    const killed = await servers.killedWhileCreating(tenantId, 'none');
    servers.clock.aheadMs = killed.sendDeadline + 10_001 - Date.now();
    servers.simulator.ignoreTagFilter = true;
    expect(await servers.reconcile()).toEqual({ failed: 1 });
    for (let looks = 0; looks < 2; looks++) {
      servers.clock.aheadMs += 60_001;
      expect(await servers.reconcile()).toEqual({ checked: 1 });
    }
    servers.simulator.ignoreTagFilter = false;
    servers.clock.aheadMs += 60_001;
    expect(await servers.reconcile()).toEqual({ checked: 1 });
    expect((await servers.rowOf(tenantId))?.checkAt).toBeUndefined();
  });

  test('the reconciler does not adopt another tenant’s instance for a row with its generation and id', async () => {
    const { row: other } = await servers.provision(taxify(newTenant()));
    const tenantId = newTenant();
    const killed = await servers.killedWhileCreating(tenantId, 'none');
    const { provisionId, instanceId } = other;
    await servers.store.write({ ...killed, provisionId, instanceId }, killed);
    servers.clock.aheadMs = killed.sendDeadline + 10_001 - Date.now();
    expect(await servers.reconcile()).toEqual({ failed: 1 });
    expect((await servers.rowOf(tenantId))?.token).toBeUndefined();
    expect(servers.instancesOf(other.tenantId)).toHaveLength(1);
  });

  test('the reconciler adopts the live instance for a row restored from backup as an open claim', async () => {
    const tenantId = newTenant();
    const { row } = await servers.provision(taxify(tenantId));
    const { instanceId: _id, token: _token, ...left } = row;
    // As the README says, for a row of any status at the time of the backup.
    const open = { inDoubt: true, leaseExpiresAt: 0, sendDeadline: 0, checkAt: 0 };
    await servers.store.write({ ...left, ...open, status: 'provisioning' }, row);
    expect(await servers.reconcile()).toEqual({ adopted: 1 });
    expect(await servers.expectOneActiveInstance(tenantId)).toMatchObject({ instanceId: row.instanceId });
  });

  test('the reconciler postpones an unreadable row, and settles the others', async () => {
    const odd = await servers.killedWhileCreating(newTenant(), 'applied');
    await servers.putOdd({ ...odd, checkAt: 1 }, 'first');
    const tenantId = newTenant();
    await servers.killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 1_001;
    expect(await servers.reconcile()).toEqual({ unreadable: 1, adopted: 1 });
    expect(kinds()).toContain('left-open');
    expect(await servers.reconcile()).toEqual({});
    servers.clock.aheadMs = 70_000;
    expect(await servers.reconcile()).toMatchObject({ unreadable: 1 });
    await servers.store.remove(odd);
  });

  test('the reconciler reports the age of the oldest due row, however often it was retried', async () => {
    expect(await servers.oldestUnsettledMs()).toBe(0);
    const tenantId = newTenant();
    const killed = await servers.killedWhileCreating(tenantId, 'applied');
    servers.simulator.faultFor = () => ({ effect: 'none', outcome: { kind: 'status', status: 500 } });
    // An open row is due again after at most 5 s.
    for (const aheadMs of [100_000, 106_000, 112_000]) {
      servers.clock.aheadMs = aheadMs;
      const waitedMs = Date.now() + aheadMs - killed.sendDeadline;
      const toldMs = await servers.oldestUnsettledMs();
      expect(toldMs).toBeGreaterThanOrEqual(waitedMs);
      expect(toldMs).toBeLessThan(waitedMs + 1_000);
      expect(await servers.oldestUnsettledMs()).toBe(0);
    }
    expect(await servers.rowOf(tenantId)).toMatchObject({ status: 'provisioning' });
  });

  test('two concurrent runs of the reconciler settle each row once', async () => {
    const tenantIds = Array.from({ length: 25 }, () => newTenant());
    for (const tenantId of tenantIds) await servers.killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 2_000;
    let adopted = 0;
    // On a busy machine a look-up may time out, and its row is retried later.
    for (let rounds = 0; adopted < 25 && rounds < 5; rounds++) {
      for (const tally of await Promise.all([servers.reconcile(), servers.reconcile()])) {
        adopted += tally.adopted ?? 0;
      }
      servers.clock.aheadMs += 5_500;
    }
    expect(adopted).toBe(25);
    for (const tenantId of tenantIds) await servers.expectOneActiveInstance(tenantId);
  }, 40_000);

  test('the reconciler postpones a row whose look-up fails', async () => {
    const tenantId = newTenant();
    await servers.killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 1_001;
    servers.simulator.fail({ on: 'GET /instances', ...notApplied(500) });
    expect(await servers.reconcile()).toEqual({ 'still-open': 1 });
    expect(await servers.reconcile()).toEqual({});
    servers.clock.aheadMs = 6_100;
    expect(await servers.reconcile()).toEqual({ adopted: 1 });
  });
});

describe('the order of the reconciler’s work', () => {
  const hourMs = 60 * 60_000;
  let nowMs = Date.parse('2026-11-23T12:00:00Z');

  /** The store in memory, where rows of tenants such as "odd-1" are unreadable, and look-ups of "stuck-1" fail. */
  function openReconciling({ batchMs }: { batchMs: number }) {
    const { store, importedIds, rows } = createInMemoryStore();
    const looked: string[] = [];
    let batches = 0;
    const { reconcile } = createReconciling({
      importedIds,
      store: {
        ...store,
        due: (at, limit) => {
          batches += 1;
          nowMs += batchMs;
          return store.due(at, limit);
        },
        get: async (key) => {
          looked.push(key.tenantId);
          if (key.tenantId.startsWith('stuck')) throw new OnboardingError('aws-unavailable', 'No answer.');
          if (key.tenantId.startsWith('odd')) throw new OnboardingError('internal', 'It cannot be read.');
          return store.get(key);
        },
      },
      cloudElements: cloudElementsDown,
      cipher: { encrypt: () => Promise.reject(new Error('not needed')), decrypt: () => Promise.resolve('') },
      origin: 'https://cloud-elements.test',
      stage: 'tests',
      observe: () => {},
      now: () => nowMs,
    });
    return {
      store,
      rows,
      looked,
      batches: () => batches,
      run: () => reconcile({ deadlineAt: nowMs + functionTimeoutMs }),
    };
  }

  function unfinished(tenantId: string, over: Partial<InstanceRow> = {}): InstanceRow {
    const requested = settingsOf({ tenantId, elementKey: 'taxify' }, { configuration: { 'api.key': 'k' } });
    const claimant = {
      settings: judged(builtInCatalog, requested),
      origin: 'https://cloud-elements.test',
      claimId: 'a',
      nowMs: nowMs - hourMs,
      sendDeadline: nowMs,
    };
    return { ...claim(claimant, `generation-of-${tenantId}`, defaultTiming), leaseExpiresAt: 0, ...over };
  }

  test('ten thousand rows left by six hours without Cloud Elements do not delay a new claim', async () => {
    const { store, looked, run } = openReconciling({ batchMs: 5_000 });
    for (let i = 0; i < 10_000; i++) {
      const checkAt = nowMs - 6 * hourMs + i;
      await store.claim(unfinished(`old-${i}`, { checkAt, lookedAt: checkAt }));
    }
    await store.claim(unfinished('new', { checkAt: nowMs }));
    await run();
    expect(looked.slice(0, reconcileBatchSize)).toContain('new');
    expect(looked.length).toBeGreaterThan(reconcileBatchSize);
  }, 30_000);

  test('ten thousand claims do not delay the recheck of a removal', async () => {
    const { store, looked, run } = openReconciling({ batchMs: 5_000 });
    for (let i = 0; i < 10_000; i++) {
      await store.claim(unfinished(`claim-${i}`, { checkAt: nowMs - 6 * hourMs + i }));
    }
    await store.claim(unfinished('leaving', { checkAt: nowMs, status: 'deleting', lookedAt: 1 }));
    await run();
    expect(looked.slice(0, reconcileBatchSize)).toContain('leaving');
  }, 30_000);

  test('rows that stay open do not block those behind them', async () => {
    const { store, looked, run } = openReconciling({ batchMs: 20 });
    for (let i = 0; i < 3 * reconcileBatchSize; i++) {
      await store.claim(unfinished(`stuck-${i}`, { checkAt: nowMs - hourMs + i }));
    }
    await store.claim(unfinished('behind', { checkAt: nowMs }));
    const { tally } = await run();
    expect(looked).toContain('behind');
    expect(tally).toEqual({ 'still-open': 3 * reconcileBatchSize + 1 });
  });

  test('the reconciler checks new claims immediately during an outage of Cloud Elements', async () => {
    // A little longer than a look-up may take: a run begins three batches.
    const { store, looked, run, batches } = openReconciling({ batchMs: 5_100 });
    let lookedBefore = 0;
    for (let minute = 0; minute < 60; minute++) {
      const beganAt = nowMs;
      lookedBefore = looked.length;
      for (let i = 0; i < 28; i++) await store.claim(unfinished(`claim-${minute}-${i}`, { checkAt: nowMs }));
      await run();
      nowMs = beganAt + 60_000;
    }
    // The arrival rate of 10,000 in six hours.
    expect(batches()).toBeLessThanOrEqual(3 * 60);
    const inLastRun = looked.slice(lookedBefore);
    expect(inLastRun.filter((tenantId) => tenantId.startsWith('claim-59-'))).toHaveLength(28);
    expect(inLastRun).toHaveLength(3 * reconcileBatchSize);
  }, 30_000);

  test.each(['first', 'later'])(
    'six thousand unreadable rows at the head, looked at %s, do not starve those behind them',
    async (when) => {
      const { store, looked, run } = openReconciling({ batchMs: 20 });
      const lookedAt = when === 'later' ? { lookedAt: 1 } : {};
      for (let i = 0; i < 6_000; i++) {
        await store.claim(unfinished(`odd-${i}`, { checkAt: nowMs - hourMs + i, ...lookedAt }));
      }
      const behind = Array.from({ length: 50 }, (_, i) => `behind-${i}`);
      for (const [i, tenantId] of behind.entries()) {
        await store.claim(unfinished(tenantId, { checkAt: nowMs, ...(i % 2 === 0 && { lookedAt: 1 }) }));
      }
      const { tally } = await run();
      expect(new Set(looked.filter((tenantId) => tenantId.startsWith('behind'))).size).toBe(50);
      expect(tally).toEqual({ unreadable: 6_000, 'still-open': 50 });
      // Each had one turn.
      expect(looked).toHaveLength(6_050);
      expect((await run()).tally).toEqual({});
    },
    30_000,
  );

  test('a bug at one row fails the run, after the others had their turn', async () => {
    const { store, looked, run, rows } = openReconciling({ batchMs: 20 });
    await store.claim(unfinished('mistaken', { checkAt: nowMs - 1, status: 'active', instanceId: 1 }));
    await store.claim(unfinished('other', { checkAt: nowMs }));
    await expect(run()).rejects.toThrow('a mistake');
    expect(looked.toSorted()).toEqual(['mistaken', 'other']);
    expect(rows().find(({ tenantId }) => tenantId === 'mistaken')?.checkAt).toBeGreaterThan(nowMs);
  });
});

const unreachable = { kind: 'unknown' as const, reason: 'no answer' };
const cloudElementsDown: CloudElements = {
  create: () => Promise.resolve(unreachable),
  update: () => Promise.resolve(unreachable),
  read: () => Promise.reject(new TypeError('a mistake')),
  lookUp: () => Promise.resolve(unreachable),
  list: () => Promise.resolve(unreachable),
  remove: () => Promise.resolve(unreachable),
};
