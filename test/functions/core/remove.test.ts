import { describe, expect, test } from 'vitest';
import { offboardingFromEvent, settingsFromEvent } from '../../../functions/model/events.ts';
import { wholeTenant } from '../../../functions/model/instance.ts';
import { readToken } from '../../../functions/core/read.ts';
import { errorOf, keyOf, newTenant, openServers, taxify } from '../../support/real-servers.ts';
import { notApplied } from '../../support/faults.ts';

const servers = await openServers();

const failDelete = (status: number) =>
  servers.simulator.fail({ on: 'DELETE /instances/{id}', ...notApplied(status) });

function event(type: 'TenantOnboarded' | 'TenantOffboarded', tenantId: string, time: string, id = time) {
  return { id, source: 'crm', 'detail-type': type, time, detail: { tenantId } };
}
const onboard = (tenantId: string, time: string, id?: string) =>
  servers.onboard(settingsFromEvent(event('TenantOnboarded', tenantId, time, id), Date.now()));
const offboardAt = (tenantId: string, time: string, id?: string) =>
  servers.offboard(offboardingFromEvent(event('TenantOffboarded', tenantId, time, id), Date.now()));

describe('a removal', () => {
  test('a removal deletes the instance at Cloud Elements first, then leaves an invisible tombstone', async () => {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId));
    expect(await servers.remove(keyOf(tenantId))).toEqual({ outcome: 'removed' });
    expect(servers.instancesOf(tenantId)).toEqual([]);
    const row = await servers.rowOf(tenantId);
    expect(row).toMatchObject({ status: 'removed' });
    expect(row?.token).toBeUndefined();
    // DynamoDB deletes it some time after this.
    expect(row?.expiresAt).toBeGreaterThan(Date.now() / 1_000 + 900);
    expect(await servers.store.getSummary(keyOf(tenantId))).toBeUndefined();
    expect((await servers.store.list(tenantId)).instances).toEqual([]);
    expect((await errorOf(readToken(servers, keyOf(tenantId)))).code).toBe('not-found');
  });

  test('a removal that is repeated, or without an instance, does nothing', async () => {
    const tenantId = newTenant();
    expect(await servers.remove(keyOf(tenantId))).toEqual({ outcome: 'already-gone' });
    expect(await servers.remove(keyOf(tenantId))).toEqual({ outcome: 'already-gone' });
    expect(servers.simulator.requests).toEqual([]);
  });

  test('a removal succeeds when Cloud Elements has lost the instance already', async () => {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId));
    failDelete(404);
    expect(await servers.remove(keyOf(tenantId))).toEqual({ outcome: 'removed' });
  });

  test('a removal that Cloud Elements refuses stays deleting and hides the token until the instance is deleted', async () => {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId));
    failDelete(409);
    expect((await servers.remove(keyOf(tenantId))).outcome).toBe('in-progress');
    expect(await servers.rowOf(tenantId)).toMatchObject({
      status: 'deleting',
      leaseExpiresAt: 0,
      lastError: { code: 'deletion-refused' },
    });
    expect((await errorOf(readToken(servers, keyOf(tenantId)))).code).toBe('not-active');
    expect((await errorOf(servers.provision(taxify(tenantId)))).code).toBe('being-deleted');

    expect(await servers.remove(keyOf(tenantId))).toEqual({ outcome: 'removed' });
    expect(servers.instancesOf(tenantId)).toEqual([]);
  });

  test('a removal during a live claim is refused as busy and changes nothing', async () => {
    const tenantId = newTenant();
    servers.simulator.latencyMs = 150;
    const provisioned = servers.provision(taxify(tenantId));
    await expect.poll(() => servers.posts()).toBe(1);
    const error = await errorOf(servers.remove(keyOf(tenantId)));
    expect(error).toMatchObject({ code: 'busy', status: 409, retryable: true });
    expect((await provisioned).outcome).toBe('created');
    await servers.expectOneActiveInstance(tenantId);
  });

  test('a removal of a dead claim waits until its create can no longer take effect', async () => {
    const tenantId = newTenant();
    const killed = await servers.killedWhileCreating(tenantId, 'none');
    servers.clock.aheadMs = 1_001;
    expect((await servers.remove(keyOf(tenantId))).outcome).toBe('in-progress');
    // The create takes effect after all.
    servers.duplicate(killed);
    servers.clock.aheadMs = killed.sendDeadline + 10_001 - Date.now();
    expect(await servers.remove(keyOf(tenantId))).toEqual({ outcome: 'removed' });
    expect(servers.instancesOf(tenantId)).toEqual([]);
  });

  test('a removed tenant can be provisioned again', async () => {
    const tenantId = newTenant();
    const first = await servers.provision(taxify(tenantId));
    await servers.remove(keyOf(tenantId));
    const again = await servers.provision(taxify(tenantId));
    expect(again.outcome).toBe('created');
    expect(again.row.provisionId).not.toBe(first.row.provisionId);
    const row = await servers.expectOneActiveInstance(tenantId);
    expect(row).not.toHaveProperty('expiresAt');
    expect(row.removedAt).toBeGreaterThan(0);
  });

  test('three concurrent removals have one result, and are remembered once', async () => {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId));
    servers.simulator.latencyMs = 50;
    await Promise.all([1, 2, 3].map(() => servers.remove(keyOf(tenantId))));
    expect(await servers.remove(keyOf(tenantId))).toEqual({ outcome: 'already-gone' });
    expect(servers.instancesOf(tenantId)).toEqual([]);
    expect(await servers.rowOf(tenantId)).toMatchObject({ status: 'removed', leaseExpiresAt: 0 });
  });

  test('a removal at another origin is refused', async () => {
    const tenantId = newTenant();
    const { row } = await servers.provision(taxify(tenantId));
    await servers.store.write({ ...row, origin: 'http://127.0.0.1:1' }, row);
    expect((await errorOf(servers.remove(keyOf(tenantId)))).code).toBe('origin-changed');
  });
});

function instanceOf(tenantId: string) {
  const [instance] = servers.instancesOf(tenantId);
  if (!instance) throw new Error(`no instance of ${tenantId}`);
  return instance;
}

describe('the instance that a row records', () => {
  test.each([
    ['shows no tags', []],
    ['shows only tags of its own', ['eu']],
    ['shows its tenant alone', ['tenant:<its own>']],
  ])('a recorded instance is removed when it %s', async (_what, shown) => {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId));
    const instance = instanceOf(tenantId);
    instance.tags = shown.map((tag) => tag.replace('<its own>', tenantId));
    expect(await servers.remove(keyOf(tenantId))).toEqual({ outcome: 'removed' });
    expect(servers.simulator.instances).not.toContain(instance);
  });

  test.each([
    ['tenant', ['tenant:another', 'owner:tests']],
    ['stage', ['owner:another']],
  ])('a recorded instance that shows another %s is left until that is settled', async (_what, tags) => {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId));
    const instance = instanceOf(tenantId);
    const own = instance.tags;
    instance.tags = tags;
    expect(await servers.remove(keyOf(tenantId))).toMatchObject({ outcome: 'in-progress' });
    expect(await servers.rowOf(tenantId)).toMatchObject({
      status: 'deleting',
      leaseExpiresAt: 0,
      lastError: { code: 'not-ours' },
    });
    expect(servers.observations).toContainEqual({ kind: 'not-ours', instanceId: instance.id });
    expect(servers.simulator.instances).toContain(instance);

    instance.tags = own;
    servers.clock.aheadMs = 6_000;
    expect(await servers.reconcile()).toEqual({ removed: 1 });
    expect(servers.simulator.instances).not.toContain(instance);
  });

  test('a recorded instance of another tenant is not deleted, and the removal ends once the row does not record it', async () => {
    const { row: other } = await servers.provision(taxify(newTenant()));
    const tenantId = newTenant();
    const { row } = await servers.provision(taxify(tenantId));
    await servers.removeAtCloudElements(row.instanceId);
    await servers.store.write({ ...row, instanceId: other.instanceId }, row);
    expect(await servers.remove(keyOf(tenantId))).toMatchObject({ outcome: 'in-progress' });
    expect(servers.instancesOf(other.tenantId)).toHaveLength(1);

    const left = await servers.rowOf(tenantId);
    if (!left) throw new Error('no row');
    await servers.store.write({ ...left, instanceId: undefined }, left);
    servers.clock.aheadMs = 6_000;
    expect(await servers.reconcile()).toEqual({ removed: 1 });
    expect(servers.instancesOf(other.tenantId)).toHaveLength(1);
  });

  test('a recorded instance that Cloud Elements keeps stays recorded, and the row has the reason', async () => {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId));
    const requestId = '0123456789abcdef01234567';
    servers.simulator.fail({
      on: 'DELETE /instances/{id}',
      ...notApplied(409, { body: { requestId, message: 'The instance is in use' } }),
    });
    expect(await servers.remove(keyOf(tenantId))).toMatchObject({ outcome: 'in-progress' });
    expect((await servers.rowOf(tenantId))?.lastError).toMatchObject({ code: 'deletion-refused', requestId });
  });
});

describe('events about a tenant that leaves', () => {
  test('an onboarding from before the offboarding is ignored when it arrives late', async () => {
    const tenantId = newTenant();
    servers.putTenantSecret(tenantId, '{"api.key": "k"}');
    expect(await offboardAt(tenantId, '2026-11-23T12:00:05Z')).toBe('already-gone');
    expect((await onboard(tenantId, '2026-11-23T12:00:04Z')).outcome).toBe('outdated');
    expect(servers.posts()).toBe(0);
    expect((await onboard(tenantId, '2026-11-23T12:00:06Z')).outcome).toBe('created');
    await servers.expectOneActiveInstance(tenantId);
  });

  test('an offboarding from before the onboarding is ignored when it arrives late', async () => {
    const tenantId = newTenant();
    servers.putTenantSecret(tenantId, '{"api.key": "k"}');
    await onboard(tenantId, '2026-11-23T12:00:06Z');
    expect(await offboardAt(tenantId, '2026-11-23T12:00:05Z')).toBe('outdated');
    await servers.expectOneActiveInstance(tenantId);
    expect(await offboardAt(tenantId, '2026-11-23T12:00:07Z')).toBe('removed');
    expect(servers.instancesOf(tenantId)).toEqual([]);
  });

  test('a repeated onboarding event moves the request time, so an offboarding before it is outdated', async () => {
    const tenantId = newTenant();
    servers.putTenantSecret(tenantId, '{"api.key": "k"}');
    await onboard(tenantId, '2026-11-23T12:00:01Z');
    expect((await onboard(tenantId, '2026-11-23T12:00:09Z')).outcome).toBe('replayed');
    expect(await servers.rowOf(tenantId)).toMatchObject({ requestedBy: { eventId: '2026-11-23T12:00:09Z' } });
    expect(await offboardAt(tenantId, '2026-11-23T12:00:05Z')).toBe('outdated');
  });

  test('a repeated offboarding is remembered, so that it is answered, too', async () => {
    const tenantId = newTenant();
    await offboardAt(tenantId, '2026-11-23T12:00:05Z', 'first');
    expect(await offboardAt(tenantId, '2026-11-23T12:00:04Z', 'second')).toBe('already-gone');
    expect(await servers.store.get({ tenantId, elementKey: wholeTenant })).toMatchObject({
      removedBy: { eventId: 'second' },
      removedAt: Date.parse('2026-11-23T12:00:05Z'),
    });
  });

  test('an offboarding without an element removes all instances of the tenant', async () => {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId));
    await servers.provision({
      ...taxify(tenantId, { configuration: { subdomain: 'shop', username: 'u' } }),
      elementKey: 'freshdeskv2',
    });
    expect(servers.instancesOf(tenantId)).toHaveLength(2);
    expect(await offboardAt(tenantId, '2099-01-01T00:00:00Z')).toBe('removed');
    expect(servers.instancesOf(tenantId)).toEqual([]);
  });
});
