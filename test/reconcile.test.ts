import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { keyOf, newTenant, startServers, taxify } from './real-servers.ts';

let servers: Awaited<ReturnType<typeof startServers>>;
beforeAll(async () => {
  servers = await startServers();
});
afterAll(() => servers[Symbol.asyncDispose]());
beforeEach(async () => {
  // What one test leaves open is not the next one's.
  servers.reset();
  servers.clock.aheadMs = 1_000_000;
  await servers.reconcile();
  await servers.reconcile();
  servers.reset();
});

const kinds = () => servers.observations.map(({ kind }) => kind);

describe('the reconciler', () => {
  test('has nothing to do when nothing is open', async () => {
    await servers.provision(taxify(newTenant()));
    servers.reset();
    expect(await servers.reconcile()).toEqual({});
    expect(servers.awsRequests).toEqual(['DynamoDB_20120810.Query']);
  });

  test('leaves a claim alone that is at work', async () => {
    const tenantId = newTenant();
    const killed = await servers.killedWhileCreating(tenantId, 'applied');
    expect(await servers.reconcile()).toEqual({});
    expect(await servers.rowOf(tenantId)).toEqual(killed);
  });

  test('adopts what a dead claim has made', async () => {
    const tenantId = newTenant();
    await servers.killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 1_001;
    expect(await servers.reconcile()).toEqual({ adopted: 1 });
    expect(await servers.expectOneActiveInstance(tenantId)).toMatchObject({ contested: true });
  });

  test('keeps what Cloud Elements said about a create that it did not make', async () => {
    const tenantId = newTenant();
    const requestId = '0123456789abcdef01234567';
    servers.simulator.fail({
      on: 'POST /instances',
      effect: 'none',
      outcome: {
        kind: 'status',
        status: 409,
        body: { requestId, message: 'A resource being created already exists' },
      },
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

  test('never creates: a dead claim that made nothing fails once that is certain', async () => {
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

  test('finishes a removal', async () => {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId));
    servers.simulator.fail({ on: 'DELETE /instances/{id}', effect: 'none', outcome: { kind: 'stall' } });
    await servers.remove(keyOf(tenantId));
    servers.clock.aheadMs = 5_500;
    expect(await servers.reconcile()).toEqual({ removed: 1 });
    expect(servers.instancesOf(tenantId)).toEqual([]);
    expect(await servers.rowOf(tenantId)).toMatchObject({ status: 'removed' });
  });

  test.each([
    ['active', async (tenantId: string) => void (await servers.provision(taxify(tenantId))), 1],
    ['removed', async (tenantId: string) => void (await servers.remove(keyOf(tenantId))), 0],
  ])(
    'looks once more at what was in doubt, and removes what came late (%s)',
    async (status, settle, kept) => {
      const tenantId = newTenant();
      const killed = await servers.killedWhileCreating(tenantId, 'applied');
      servers.clock.aheadMs = killed.sendDeadline + 10_001 - Date.now();
      await settle(tenantId);
      expect(await servers.rowOf(tenantId)).toMatchObject({ status, contested: true });
      const keptId = servers.instancesOf(tenantId)[0]?.id;

      await servers.duplicate(killed);
      servers.clock.aheadMs += 60_001;
      expect(await servers.reconcile()).toEqual({ checked: 1 });
      expect(servers.instancesOf(tenantId).map(({ id }) => id)).toEqual(kept ? [keptId] : []);
      expect((await servers.rowOf(tenantId))?.checkAt).toBeUndefined();
      expect(await servers.reconcile()).toEqual({});
    },
  );

  test('removes nothing beside an active instance that it does not see', async () => {
    const tenantId = newTenant();
    const killed = await servers.killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 1_001;
    await servers.provision(taxify(tenantId));
    await servers.duplicate(killed);
    const [lost] = servers.instancesOf(tenantId);
    await servers.removeAtCloudElements(lost?.id);
    servers.clock.aheadMs = 70_000;
    expect(await servers.reconcile()).toEqual({ checked: 1 });
    expect(kinds()).toContain('instance-lost');
    expect(servers.instancesOf(tenantId)).toHaveLength(1);
  });

  test('tells for how long the row had waited that had waited longest, however often it was tried', async () => {
    expect(await servers.oldestUnsettledMs()).toBe(0);
    const tenantId = newTenant();
    const killed = await servers.killedWhileCreating(tenantId, 'applied');
    servers.simulator.faultFor = () => ({ effect: 'none', outcome: { kind: 'status', status: 500 } });
    // Left open, a row is due again after 5 s, and never for longer than that.
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

  test('run twice at once settles each row once', async () => {
    const tenantIds = Array.from({ length: 25 }, () => newTenant());
    for (const tenantId of tenantIds) await servers.killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 2_000;
    const [one, other] = await Promise.all([servers.reconcile(), servers.reconcile()]);
    expect((one.adopted ?? 0) + (other.adopted ?? 0)).toBe(25);
    for (const tenantId of tenantIds) await servers.expectOneActiveInstance(tenantId);
  });

  test('comes back later to what it cannot look up', async () => {
    const tenantId = newTenant();
    await servers.killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 1_001;
    servers.simulator.fail({
      on: 'GET /instances',
      effect: 'none',
      outcome: { kind: 'status', status: 500 },
    });
    expect(await servers.reconcile()).toEqual({ 'still-open': 1 });
    expect(await servers.reconcile()).toEqual({});
    servers.clock.aheadMs = 6_100;
    expect(await servers.reconcile()).toEqual({ adopted: 1 });
  });
});
