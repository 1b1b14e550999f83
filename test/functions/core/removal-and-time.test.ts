import { beforeEach, describe, expect, test } from 'vitest';
import { offboardingFromEvent, settingsFromEvent } from '../../../functions/model/events.ts';
import { wholeTenant } from '../../../functions/model/instance.ts';
import { resultOf } from '../../../functions/model/result-events.ts';
import { errorOf, keyOf, newTenant, openServers, taxify } from '../../support/real-servers.ts';
import { sentEvent, type Sent } from '../../support/sent-events.ts';
import { notApplied } from '../../support/faults.ts';

const servers = await openServers();
/** The second in which the test begins, ms since the epoch. */
let beganAt: number;
beforeEach(() => {
  beganAt = Math.floor(Date.now() / 1_000) * 1_000;
});

const message = (type: string, tenantId: string, sent: Sent) => sentEvent(beganAt, type, tenantId, sent);

function onboard(tenantId: string, sent: Sent) {
  const { event, arrivedAt } = message('TenantOnboarded', tenantId, sent);
  return servers.onboard(settingsFromEvent(event, arrivedAt));
}

function offboard(tenantId: string, sent: Sent) {
  const { event, arrivedAt } = message('TenantOffboarded', tenantId, sent);
  return servers.offboard(offboardingFromEvent(event, arrivedAt));
}

const ofTaxify = { element: { key: 'taxify' } };

function newTenantWithSecret(): string {
  const tenantId = newTenant();
  servers.putTenantSecret(tenantId, '{"api.key": "k"}');
  servers.putTenantSecret(tenantId, '{"subdomain": "shop", "username": "u", "password": "p"}', 'freshdeskv2');
  return tenantId;
}

const refuseNextCreate = () =>
  servers.simulator.fail({ on: 'POST /instances', effect: 'none', outcome: { kind: 'status', status: 400 } });

const tombstoneOf = (tenantId: string) => servers.store.get({ tenantId, elementKey: wholeTenant });
const ignored = () => servers.observations.filter(({ kind }) => kind === 'event-ignored');

describe.each([
  ['the whole tenant', {}],
  ['one element', ofTaxify],
])('an offboarding of %s', (_what, detail) => {
  test('an offboarding removes an earlier onboarding whose sender’s clock is ahead', async () => {
    const tenantId = newTenantWithSecret();
    await onboard(tenantId, { sentAtS: -10, arrivedAtS: -100 });
    expect(await offboard(tenantId, { sentAtS: -50, detail })).toBe('removed');
    expect(servers.instancesOf(tenantId)).toEqual([]);
  });

  test('an offboarding stamped years ahead blocks no later onboarding', async () => {
    const tenantId = newTenantWithSecret();
    await offboard(tenantId, { sentAtS: 1e8, arrivedAtS: -60, detail });
    expect((await onboard(tenantId, { sentAtS: -30 })).outcome).toBe('created');
    await servers.expectOneActiveInstance(tenantId);
  });

  test('an offboarding whose sender’s clock is three seconds slow removes the instance of the request before it', async () => {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId));
    expect(await offboard(tenantId, { sentAtS: -3, arrivedAtS: 1, detail })).toBe('removed');
    expect(servers.instancesOf(tenantId)).toEqual([]);
  });

  test('an offboarding older than the request for the instance is ignored, with a warning', async () => {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId));
    expect(await offboard(tenantId, { sentAtS: -6, detail })).toBe('outdated');
    await servers.expectOneActiveInstance(tenantId);
    expect(ignored()).toHaveLength(1);
  });

  test('an offboarding between an older onboarding and the request that it adopts for leaves the instance', async () => {
    const tenantId = newTenantWithSecret();
    // A request of unknown outcome that an event sent before it finishes.
    servers.simulator.faultFor = ({ method }) => ({
      effect: method === 'POST' ? 'applied' : 'none',
      outcome: method === 'POST' ? { kind: 'reset' } : { kind: 'status', status: 500 },
    });
    const requested = taxify(tenantId, {});
    expect((await servers.provision(requested)).outcome).toBe('in-progress');
    servers.simulator.reset();
    const event = message('TenantOnboarded', tenantId, { sentAtS: -60, detail: { name: requested.name } });
    const adopted = await servers.onboard(settingsFromEvent(event.event, event.arrivedAt));
    expect(adopted.outcome).toBe('created');
    expect(await offboard(tenantId, { sentAtS: -30, detail })).toBe('outdated');
    await servers.expectOneActiveInstance(tenantId);
  });

  test('a redelivered offboarding is not carried out again after a new request', async () => {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId));
    const sent = { sentAtS: 0, detail };
    expect(await offboard(tenantId, sent)).toBe('removed');
    await servers.provision(taxify(tenantId));
    expect(await offboard(tenantId, sent)).not.toBe('removed');
    await servers.expectOneActiveInstance(tenantId);
    expect(ignored()).toEqual([]);
  });

  test('an offboarding is final for an earlier onboarding, also after a request that Cloud Elements refused', async () => {
    const tenantId = newTenantWithSecret();
    await onboard(tenantId, { sentAtS: -60 });
    await offboard(tenantId, { sentAtS: -50, detail });
    refuseNextCreate();
    await errorOf(servers.provision(taxify(tenantId)));
    expect((await onboard(tenantId, { sentAtS: -60 })).outcome).toBe('outdated');
    expect(servers.instancesOf(tenantId)).toEqual([]);
  });
});

describe('an onboarding', () => {
  test('an onboarding of any element is ignored when the whole tenant was removed after it', async () => {
    const tenantId = newTenantWithSecret();
    expect(await offboard(tenantId, { sentAtS: -10 })).toBe('already-gone');
    const freshdesk = { element: { key: 'freshdeskv2' } };
    expect((await onboard(tenantId, { sentAtS: -20, detail: freshdesk })).outcome).toBe('outdated');
    expect(await servers.store.get({ tenantId, elementKey: 'freshdeskv2' })).toBeUndefined();
    expect(servers.posts()).toBe(0);
    expect(ignored()).toHaveLength(1);
    expect((await onboard(tenantId, { sentAtS: -4, detail: freshdesk })).outcome).toBe('created');
  });

  test('an onboarding releases its claim and is retried when the tenant’s tombstone cannot be read', async () => {
    const tenantId = newTenantWithSecret();
    servers.failAws({
      target: 'DynamoDB_20120810.GetItem',
      times: 3,
      status: 500,
      type: 'InternalServerError',
    });
    expect(await errorOf(onboard(tenantId, { sentAtS: -20 }))).toMatchObject({ retryable: true });
    expect(await servers.rowOf(tenantId)).toBeUndefined();
    expect((await onboard(tenantId, { sentAtS: -20 })).outcome).toBe('created');
  });

  test('an onboarding in the same second as the removal is ignored', async () => {
    const tenantId = newTenantWithSecret();
    await offboard(tenantId, { sentAtS: -10, detail: ofTaxify });
    expect((await onboard(tenantId, { sentAtS: -10 })).outcome).toBe('outdated');
  });

  test('a repeated onboarding is ignored without a warning after a later removal', async () => {
    const tenantId = newTenantWithSecret();
    await onboard(tenantId, { sentAtS: -60 });
    await offboard(tenantId, { sentAtS: -50, detail: ofTaxify });
    expect((await onboard(tenantId, { sentAtS: -60 })).outcome).toBe('outdated');
    expect(ignored()).toEqual([]);
  });

  test('an onboarding with other settings than the active instance is recorded, once, and changes nothing else', async () => {
    const tenantId = newTenantWithSecret();
    await onboard(tenantId, { sentAtS: -60 });
    const before = await servers.rowOf(tenantId);
    const other = { sentAtS: -50, detail: { name: 'Other' } };
    expect((await errorOf(onboard(tenantId, other))).code).toBe('settings-conflict');
    const after = await servers.rowOf(tenantId);
    const { claimId: _a, revision: _r, notices, ...rest } = after ?? {};
    const { claimId: _b, revision: _s, ...restBefore } = before ?? {};
    expect(rest).toEqual(restBefore);
    expect(notices).toMatchObject([{ eventId: 'TenantOnboarded@-50', code: 'settings-conflict' }]);
    expect(resultOf({ before, after }).events).toMatchObject([
      {
        detailType: 'InstanceFailed',
        detail: { status: 'active', request: { eventId: 'TenantOnboarded@-50' } },
      },
    ]);
    await onboard(tenantId, other).catch(() => undefined);
    expect((await servers.rowOf(tenantId))?.notices).toHaveLength(1);
  });

  test('an onboarding with other settings is retried while the row is leased', async () => {
    const tenantId = newTenantWithSecret();
    await onboard(tenantId, { sentAtS: -60 });
    const row = await servers.rowOf(tenantId);
    if (!row) throw new Error('no row');
    await servers.store.write({ ...row, leaseExpiresAt: Date.now() + 5_000 }, row);
    const error = await errorOf(onboard(tenantId, { sentAtS: -50, detail: { name: 'Other' } }));
    expect(error).toMatchObject({ code: 'busy', retryable: true });
    expect(await servers.rowOf(tenantId)).not.toHaveProperty('notices');
  });

  test('a row keeps at most ten notices of refused events', async () => {
    const tenantId = newTenantWithSecret();
    await onboard(tenantId, { sentAtS: -60 });
    for (let index = 0; index < 12; index++) {
      const sent = { sentAtS: -50 + index, detail: { name: `Other ${index}` } };
      await errorOf(onboard(tenantId, sent));
    }
    const notices = (await servers.rowOf(tenantId))?.notices;
    expect(notices?.map(({ eventId }) => eventId)).toHaveLength(10);
    expect(notices?.at(-1)?.eventId).toBe('TenantOnboarded@-39');
  });
});

test('an offboarding earlier than the remembered one is answered and does not remove a newer instance', async () => {
  const tenantId = newTenant();
  await servers.provision(taxify(tenantId));
  await offboard(tenantId, { sentAtS: 0, detail: ofTaxify });
  await servers.provision(taxify(tenantId));
  const before = await servers.rowOf(tenantId);
  expect(await offboard(tenantId, { sentAtS: -20, detail: ofTaxify })).toBe('carried-out');
  await servers.expectOneActiveInstance(tenantId);
  expect(ignored()).toEqual([]);
  const after = await servers.rowOf(tenantId);
  expect(resultOf({ before, after }).events).toMatchObject([
    {
      detailType: 'InstanceRemoved',
      detail: { status: 'active', request: { eventId: 'TenantOffboarded@-20' } },
    },
  ]);
});

describe('the tombstone of a tenant', () => {
  test('a tenant’s tombstone is written only when every earlier instance is gone', async () => {
    const tenantId = newTenantWithSecret();
    await onboard(tenantId, { sentAtS: -60 });
    await onboard(tenantId, { sentAtS: -60, detail: { element: { key: 'freshdeskv2' } } });
    servers.simulator.fail({ on: 'DELETE /instances/{id}', ...notApplied(500) });
    expect(await offboard(tenantId, { sentAtS: -50 })).toBe('in-progress');
    expect(await tombstoneOf(tenantId)).toMatchObject({
      status: 'deleting',
      lastError: { code: 'deletion-pending' },
    });
    expect(await tombstoneOf(tenantId)).not.toHaveProperty('expiresAt');

    servers.clock.aheadMs = 5_001;
    await servers.reconcile();
    servers.clock.aheadMs = 20_002;
    await servers.reconcile();
    expect(servers.instancesOf(tenantId)).toEqual([]);
    const tombstone = await tombstoneOf(tenantId);
    expect(tombstone).toMatchObject({ status: 'removed', removedBy: { eventId: 'TenantOffboarded@-50' } });
    expect(tombstone?.expiresAt).toBeGreaterThan(0);
    expect(await offboard(tenantId, { sentAtS: -50 })).toBe('already-gone');
  });

  test('a tenant’s tombstone is in no list, and HTTP requests ignore it', async () => {
    const tenantId = newTenant();
    await offboard(tenantId, { sentAtS: 0 });
    expect(await servers.store.list(tenantId)).toEqual({ instances: [], unreadable: [] });
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    expect(await tombstoneOf(tenantId)).toMatchObject({ status: 'removed' });
    expect(await servers.audit()).toMatchObject({ unreadable: 0, lost: 0, orphaned: 0 });
  });

  test('a later removal replaces the tombstone of an earlier one', async () => {
    const tenantId = newTenantWithSecret();
    await offboard(tenantId, { sentAtS: -60 });
    await onboard(tenantId, { sentAtS: -50 });
    expect(await offboard(tenantId, { sentAtS: -40 })).toBe('removed');
    expect((await onboard(tenantId, { sentAtS: -45 })).outcome).toBe('outdated');
  });

  test('a tenant’s tombstone keeps the reconciler from failing the claim of an outdated event', async () => {
    const tenantId = newTenantWithSecret();
    servers.simulator.faultFor = () => ({ effect: 'none', outcome: { kind: 'status', status: 500 } });
    await onboard(tenantId, { sentAtS: -60 });
    servers.simulator.reset();
    const row = await servers.rowOf(tenantId);
    if (!row) throw new Error('no row');
    // The claim died before it read the tombstone, which was written after the tenant's instances had been listed.
    await servers.store.remove(row);
    await offboard(tenantId, { sentAtS: -50 });
    await servers.store.claim(row);
    servers.clock.aheadMs = row.sendDeadline + 10_001 - Date.now();
    expect(await servers.reconcile()).toEqual({ removed: 1 });
    expect(await servers.rowOf(tenantId)).toMatchObject({ status: 'removed' });
  });
});

test('the times of a removal outlive every later state, and no live row expires', async () => {
  const tenantId = newTenantWithSecret();
  await onboard(tenantId, { sentAtS: -60 });
  await offboard(tenantId, { sentAtS: -50, detail: ofTaxify });
  const removedTimes = { event: beganAt - 50_000 };
  refuseNextCreate();
  await errorOf(servers.provision(taxify(tenantId)));
  expect(await servers.rowOf(tenantId)).toMatchObject({ status: 'failed', removedTimes });
  await servers.provision(taxify(tenantId));
  await servers.update(keyOf(tenantId), { name: 'Renamed' });
  const row = await servers.rowOf(tenantId);
  expect(row).toMatchObject({ status: 'active', removedTimes });
  expect(row).not.toHaveProperty('expiresAt');
});

test('revisions of results only grow, also across a removal', async () => {
  const tenantId = newTenantWithSecret();
  const revisions: (number | undefined)[] = [];
  const note = async () => revisions.push((await servers.rowOf(tenantId))?.revision);
  await onboard(tenantId, { sentAtS: -60 });
  await note();
  await onboard(tenantId, { sentAtS: -59 });
  await note();
  servers.clock.aheadMs = -1_000;
  await offboard(tenantId, { sentAtS: -50, detail: ofTaxify });
  await note();
  await servers.provision(taxify(tenantId));
  await note();
  for (const [index, revision = 0] of revisions.entries()) {
    expect(revision).toBeGreaterThan(revisions[index - 1] ?? 0);
  }
});

test('a dozen requests after a deletion never get the tombstone as response', async () => {
  for (let round = 0; round < 5; round++) {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId));
    await servers.remove(keyOf(tenantId));
    const requests = Array.from({ length: 12 }, (_, index) => {
      // Half of them release the row, because they have no key.
      const settings = index % 2 ? taxify(tenantId) : taxify(tenantId, { configuration: {} });
      return servers.provision(settings).then(
        ({ row }) => row.status,
        () => 'refused',
      );
    });
    expect(await Promise.all(requests)).not.toContain('removed');
  }
});
