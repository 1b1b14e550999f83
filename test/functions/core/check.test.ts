import { marshall } from '@aws-sdk/util-dynamodb';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checksPerRun, createChecking } from '../../../functions/core/check.ts';
import { createUpdating } from '../../../functions/core/update.ts';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import type { Ping } from '../../../functions/core/ports.ts';
import { getInstance, readToken } from '../../../functions/core/read.ts';
import { instanceView, settingsOf, type InstanceRow } from '../../../functions/model/instance.ts';
import { toStored } from '../../../functions/model/table.ts';
import { resultOf, type ResultName } from '../../../functions/model/result-events.ts';
import { healthConfirmMs, healthEveryMs, unhealthyEveryMs } from '../../../functions/model/timing.ts';
import { refusedKey } from '../../../infra/local/cloud-elements/instances.ts';
import { errorOf, newTenant, startServers } from '../../support/real-servers.ts';

let servers: Awaited<ReturnType<typeof startServers>>;
beforeEach(async () => {
  servers = await startServers();
});
afterEach(() => servers[Symbol.asyncDispose]());

const minuteMs = 60_000;

/** Of an element with a ping. */
async function provisioned(key = 'any', elementKey = 'freshservice') {
  const tenantId = newTenant();
  const configuration = { username: key, password: 'any', subdomain: 'any', 'api.key': key };
  await servers.provision(settingsOf({ tenantId, elementKey }, { configuration }));
  const of = { tenantId, elementKey };
  const instance = servers.instancesOf(tenantId)[0];
  if (!instance) throw new Error('no instance');
  return {
    ...of,
    instance,
    row: async (): Promise<InstanceRow> => {
      const row = await servers.store.get(of);
      if (!row) throw new Error('no row');
      return row;
    },
    /** Checks it once; returns what the check found, what it adds up to, and the event that it brings. */
    async check() {
      const before = await servers.store.get(of);
      const { finding, row } = await servers.check(of);
      return { found: finding.reason ?? finding.status, health: row.health, event: eventOf(before, row) };
    },
  };
}

const eventOf = (before: InstanceRow | undefined, after: InstanceRow): ResultName | 'nothing-due' =>
  resultOf({ before, after }).outcome;

const pings = () => servers.simulator.requests.filter(({ operation }) => operation === 'GET /ping').length;

describe('a check of an instance', () => {
  test('an instance that works is healthy after one check, without an event', async () => {
    const tenant = await provisioned();
    expect(await tenant.check()).toMatchObject({
      found: 'healthy',
      health: { status: 'healthy' },
      event: 'nothing-due',
    });
    const { health } = await tenant.row();
    servers.clock.aheadMs = minuteMs;
    await tenant.check();
    expect((await tenant.row()).health).toEqual(health);
  });

  test('a ping names user, organization and the token of the instance, and decrypts no token', async () => {
    const tenant = await provisioned();
    const before = servers.awsRequests.length;
    await tenant.check();
    const { headers } = servers.simulator.requests.find(({ operation }) => operation === 'GET /ping') ?? {};
    expect(headers?.authorization).toBe(
      `User user-secret-for-tests, Organization organization-secret-for-tests, Element ${tenant.instance.token}`,
    );
    expect(servers.awsRequests.slice(before).join()).not.toMatch(/Decrypt/);
  });

  test('a refused key makes an instance unhealthy at the second failed check, with one event', async () => {
    const tenant = await provisioned(refusedKey);
    expect(await tenant.check()).toMatchObject({
      found: 'refused-by-vendor',
      health: { status: 'unknown', reason: 'unconfirmed' },
      event: 'nothing-due',
    });
    const first = (await tenant.row()).health;
    servers.clock.aheadMs = minuteMs;
    expect(await tenant.check()).toMatchObject({
      health: { status: 'unhealthy', reason: 'refused-by-vendor', since: first?.failedAt },
      event: 'InstanceUnhealthy',
    });
    expect(await tenant.check()).toMatchObject({
      health: { status: 'unhealthy', since: first?.failedAt },
      event: 'nothing-due',
    });
    expect(servers.observations).toContainEqual({
      kind: 'instance-unhealthy',
      instanceId: tenant.instance.id,
      reason: 'refused-by-vendor',
    });
  });

  test('one success makes an unhealthy instance healthy, with one event', async () => {
    const tenant = await provisioned(refusedKey);
    await tenant.check();
    await tenant.check();
    tenant.instance.configuration = {};
    const { revision = 0 } = await tenant.row();
    expect(await tenant.check()).toMatchObject({ health: { status: 'healthy' }, event: 'InstanceRecovered' });
    expect((await tenant.row()).revision).toBeGreaterThan(revision);
    expect(await tenant.check()).toMatchObject({ event: 'nothing-due' });
  });

  test('a success between two failures leaves the instance healthy', async () => {
    const tenant = await provisioned();
    const { configuration } = tenant.instance;
    for (const key of [refusedKey, 'good', refusedKey]) {
      tenant.instance.configuration = { ...configuration, key };
      expect(await tenant.check()).toMatchObject({ event: 'nothing-due' });
    }
    expect((await tenant.row()).health).toMatchObject({ status: 'healthy' });
  });

  test.each([
    ['disabled', (tenant: { instance: { disabled: boolean } }) => (tenant.instance.disabled = true)],
    ['invalid', (tenant: { instance: { valid: boolean } }) => (tenant.instance.valid = false)],
  ])('an instance that Cloud Elements shows as %s is not pinged, and unhealthy', async (reason, spoil) => {
    const tenant = await provisioned();
    spoil(tenant);
    await tenant.check();
    expect(await tenant.check()).toMatchObject({
      health: { status: 'unhealthy', reason },
      event: 'InstanceUnhealthy',
    });
    expect(pings()).toBe(0);
  });

  test('an element without a ping is unknown, without an event', async () => {
    const tenant = await provisioned('any', 'taxify');
    for (let times = 0; times < 3; times++) {
      expect(await tenant.check()).toMatchObject({
        found: 'no-ping',
        health: { status: 'unknown', reason: 'no-ping' },
        event: 'nothing-due',
      });
    }
  });

  test('an instance without a ping recovers when it is enabled again', async () => {
    const tenant = await provisioned('any', 'taxify');
    tenant.instance.disabled = true;
    await tenant.check();
    await tenant.check();
    tenant.instance.disabled = false;
    expect(await tenant.check()).toMatchObject({
      health: { status: 'unknown', reason: 'no-ping' },
      event: 'InstanceRecovered',
    });
  });

  test.each<[string, Parameters<typeof servers.simulator.fail>[0]]>([
    ['405', { on: 'GET /ping', effect: 'none', outcome: { kind: 'status', status: 405 } }],
    ['500', { on: 'GET /ping', effect: 'none', outcome: { kind: 'status', status: 500 } }],
    ['502 of the vendor', vendors(502)],
    ['429 of the vendor', vendors(429)],
    ['403 of the platform', { on: 'GET /ping', effect: 'none', outcome: { kind: 'status', status: 403 } }],
    ['401 of the platform', { on: 'GET /ping', effect: 'none', outcome: { kind: 'status', status: 401 } }],
    ['reset', { on: 'GET /ping', effect: 'none', outcome: { kind: 'reset' } }],
    ['page of a proxy', page(200)],
    [
      'JSON of a proxy',
      { on: 'GET /ping', effect: 'none', outcome: { kind: 'status', status: 200, body: {} } },
    ],
    ['403 of a proxy', page(403)],
    ['404 of a proxy', page(404)],
    [
      'response of 2 MB',
      {
        on: 'GET /ping',
        effect: 'none',
        outcome: { kind: 'status', status: 200, body: { endpoint: 'x'.repeat(2 * 1024 * 1024) } },
      },
    ],
    ['cut-off response', { on: 'GET /ping', effect: 'applied', outcome: { kind: 'unreadable' } }],
    [
      '500 to the read',
      { on: 'GET /instances/{id}', effect: 'none', outcome: { kind: 'status', status: 500 } },
    ],
    [
      '404 of a proxy to the read',
      { on: 'GET /instances/{id}', effect: 'none', outcome: { kind: 'status', status: 404, body: '<html>' } },
    ],
  ])('a response that concludes nothing turns nothing: %s', async (_name, fault) => {
    const healthy = await provisioned();
    const unhealthy = await provisioned(refusedKey);
    await healthy.check();
    await unhealthy.check();
    await unhealthy.check();
    const before = await Promise.all([healthy.row(), unhealthy.row()]);
    servers.simulator.fail({ ...fault, times: 100 });
    for (const tenant of [healthy, unhealthy, healthy, unhealthy]) {
      expect(await tenant.check()).toMatchObject({ event: 'nothing-due' });
    }
    const after = await Promise.all([healthy.row(), unhealthy.row()]);
    expect(after.map(({ health }) => health)).toEqual(before.map(({ health }) => health));
  });

  test('an unknown result between two failures is none of them', async () => {
    const tenant = await provisioned(refusedKey);
    await tenant.check();
    servers.simulator.fail({ on: 'GET /ping', effect: 'none', outcome: { kind: 'status', status: 500 } });
    expect(await tenant.check()).toMatchObject({ found: 'unreachable', event: 'nothing-due' });
    expect(await tenant.check()).toMatchObject({ event: 'InstanceUnhealthy' });
  });

  test('health holds no words of the vendor', async () => {
    const tenant = await provisioned(refusedKey);
    await tenant.check();
    await tenant.check();
    const row = await tenant.row();
    expect(JSON.stringify([row, servers.observations])).not.toMatch(/not valid|Request failed/);
  });
});

function vendors(status: number) {
  const body = { requestId: '58b46b1b58b46b1b58b46b1b', message: 'Request failed', providerMessage: 'x' };
  return {
    on: 'GET /ping',
    effect: 'none',
    outcome: { kind: 'status', status, body },
  } as const;
}

function page(status: number) {
  return { on: 'GET /ping', effect: 'none', outcome: { kind: 'status', status, body: '<html>' } } as const;
}

/** A row that holds nothing but its key and its place in the index. */
async function putUnreadable(checkAt: number): Promise<void> {
  await servers.putItem({
    tenantId: { S: newTenant() },
    elementKey: { S: 'freshservice' },
    unsettled: { S: 'health' },
    checkAt: { N: String(checkAt) },
  });
}

describe('an instance that is gone', () => {
  test('an instance that is gone is unhealthy, and its token is no longer handed out', async () => {
    const tenant = await provisioned();
    await provisioned();
    await servers.removeAtCloudElements(tenant.instance.id);
    await tenant.check();
    expect((await readToken(servers, tenant)).token).toBe(tenant.instance.token);
    expect(await tenant.check()).toMatchObject({
      health: { status: 'unhealthy', reason: 'gone' },
      event: 'InstanceUnhealthy',
    });
    expect(await errorOf(readToken(servers, tenant))).toMatchObject({ code: 'gone-at-cloud-elements' });
  });

  test('the only instance of a stage may be gone', async () => {
    const tenant = await provisioned();
    await servers.removeAtCloudElements(tenant.instance.id);
    expect(await tenant.check()).toMatchObject({ found: 'gone' });
  });

  test('an unreadable row of another tenant does not hide that an instance is gone', async () => {
    const tenant = await provisioned();
    await provisioned();
    await putUnreadable(Date.now() + healthEveryMs);
    await servers.removeAtCloudElements(tenant.instance.id);
    expect(await tenant.check()).toMatchObject({ found: 'gone' });
  });

  test('instances at another origin do not hide that an instance is gone', async () => {
    const tenant = await provisioned();
    await (await provisioned()).check();
    for (let count = 0; count < 3; count++) {
      const other = await provisioned();
      const row = await other.row();
      await servers.removeAtCloudElements(other.instance.id);
      const healthCheckAt = Date.now() + 2 * healthEveryMs;
      await servers.store.write({ ...row, origin: 'https://other.example', healthCheckAt }, row);
    }
    await servers.removeAtCloudElements(tenant.instance.id);
    expect(await tenant.check()).toMatchObject({ found: 'gone' });
  });

  test('an instance is not called gone beside rows that cannot be read alone', async () => {
    const tenant = await provisioned();
    await putUnreadable(Date.now() + healthEveryMs);
    await servers.removeAtCloudElements(tenant.instance.id);
    expect(await tenant.check()).toMatchObject({ found: 'not-visible' });
  });

  test('a denied id costs one more read where another instance is visible', async () => {
    const tenant = await provisioned();
    for (let count = 0; count < 3; count++) await provisioned();
    await servers.removeAtCloudElements(tenant.instance.id);
    const before = servers.simulator.requests.length;
    expect(await tenant.check()).toMatchObject({ found: 'gone' });
    expect(servers.simulator.requests).toHaveLength(before + 2);
  });

  test('the token of an instance that is unhealthy otherwise is handed out', async () => {
    const tenant = await provisioned(refusedKey);
    await tenant.check();
    await tenant.check();
    expect((await readToken(servers, tenant)).token).toBe(tenant.instance.token);
  });

  test('no instance turns while the platform secret is that of a user who sees none', async () => {
    const tenants = [await provisioned(), await provisioned()];
    servers.simulator.fail({
      on: 'GET /instances/{id}',
      effect: 'none',
      outcome: { kind: 'status', status: 404 },
      times: 100,
    });
    for (const tenant of [...tenants, ...tenants]) {
      expect(await tenant.check()).toMatchObject({ found: 'not-visible', event: 'nothing-due' });
    }
  });
});

const slowPing: typeof servers.simulator.faultFor = ({ operation }) =>
  operation === 'GET /ping' ? { effect: 'applied', outcome: { kind: 'delay', ms: 200 } } : undefined;

describe('the result of a check', () => {
  test('a check under a lease is refused, and no run writes to the row', async () => {
    const tenant = await provisioned();
    const row = await tenant.row();
    const leased = { ...row, claimId: 'another', leaseExpiresAt: Date.now() + minuteMs };
    await servers.store.claim(leased, row);
    expect(await errorOf(servers.check(tenant))).toMatchObject({ code: 'busy' });
    expect(await servers.checkDue()).toMatchObject({ skipped: 1 });
    expect(await tenant.row()).toEqual(leased);
  });

  test('several checks at once count as one', async () => {
    const tenant = await provisioned(refusedKey);
    servers.simulator.faultFor = slowPing;
    const checks = await Promise.all([1, 2, 3].map(() => servers.check(tenant)));
    expect(checks.map(({ finding }) => finding.status)).toEqual(['unhealthy', 'unhealthy', 'unhealthy']);
    expect((await tenant.row()).health).toMatchObject({ reason: 'unconfirmed' });
  });

  test('the result of a check is dropped when the instance has been updated meanwhile', async () => {
    const tenant = await provisioned(refusedKey);
    servers.simulator.faultFor = slowPing;
    const checking = errorOf(servers.check(tenant));
    await servers.update(tenant, { name: 'New' });
    expect(await checking).toMatchObject({ code: 'busy' });
    expect((await tenant.row()).health).toBeUndefined();
  });

  test('an update is not refused because several checks were written after its read', async () => {
    const tenant = await provisioned(refusedKey);
    let checks = 0;
    const update = createUpdating({
      catalog: builtInCatalog,
      ...servers,
      readTenantSecret: () => Promise.reject(new Error('not read')),
      stage: 'tests',
      origin: (await tenant.row()).origin,
      observe: () => {},
      store: {
        ...servers.store,
        claim: async (next, asRead) => {
          if (checks++ < 3) await tenant.check();
          return servers.store.claim(next, asRead);
        },
      },
    });
    expect(await update(tenant, { name: 'New' }, { deadlineAt: Date.now() + 29_000 })).toMatchObject({
      name: 'New',
    });
    expect(await tenant.row()).toMatchObject({ name: 'New', health: { status: 'unhealthy' } });
  });

  test('an update is refused when another one was written after its read', async () => {
    const tenant = await provisioned();
    servers.simulator.fail({
      on: 'GET /instances/{id}',
      effect: 'applied',
      outcome: { kind: 'delay', ms: 200 },
    });
    const updating = errorOf(servers.update(tenant, { name: 'New' }));
    await setTimeout(50);
    await servers.update(tenant, { name: 'Newer' });
    expect(await updating).toMatchObject({ code: 'busy' });
  });

  test('a write of the row as it was before the check is refused', async () => {
    const tenant = await provisioned();
    const before = await tenant.row();
    await tenant.check();
    expect(await servers.store.claim({ ...before, claimId: 'late' }, before)).toMatchObject({ won: false });
  });

  test.each(['provisioning', 'failed', 'deleting'] as const)(
    'a row that is %s is not checked',
    async (status) => {
      const tenant = await provisioned();
      const row = await tenant.row();
      await servers.store.write({ ...row, status }, row);
      expect(await errorOf(servers.check(tenant))).toMatchObject({ code: 'not-active' });
    },
  );

  test('an update keeps the health until the next check, and a failure before it does not count', async () => {
    const tenant = await provisioned(refusedKey);
    await tenant.check();
    await servers.update(tenant, { name: 'New' });
    expect((await tenant.row()).health).toMatchObject({ status: 'unknown', reason: 'unconfirmed' });
    expect(await tenant.check()).toMatchObject({ event: 'nothing-due' });
    expect(await tenant.check()).toMatchObject({ event: 'InstanceUnhealthy' });
    await servers.update(tenant, { name: 'Newer' });
    expect((await tenant.row()).health).toMatchObject({ status: 'unhealthy' });
  });

  test('a failure before an update of unknown outcome does not count', async () => {
    const tenant = await provisioned(refusedKey);
    await tenant.check();
    servers.simulator.fail({
      on: 'PATCH /instances/{id}',
      effect: 'applied',
      outcome: { kind: 'reset' },
      times: 10,
    });
    const configuration = { username: refusedKey, password: 'b', subdomain: 'c', 'api.key': 'd' };
    expect(await errorOf(servers.update(tenant, { configuration }))).toMatchObject({
      code: 'update-outcome-unknown',
    });
    expect(await tenant.check()).toMatchObject({ found: 'refused-by-vendor', event: 'nothing-due' });
    expect(await tenant.check()).toMatchObject({ event: 'InstanceUnhealthy' });
  });

  test('a new instance starts without the health of the former one', async () => {
    const tenant = await provisioned(refusedKey);
    await tenant.check();
    await tenant.check();
    await servers.remove(tenant);
    const { tenantId, elementKey } = tenant;
    const configuration = { username: 'any', password: 'any', subdomain: 'any', 'api.key': 'any' };
    const { row } = await servers.provision(settingsOf({ tenantId, elementKey }, { configuration }));
    expect(row).toMatchObject({ status: 'active' });
    expect(row.health).toBeUndefined();
  });

  test('health that a later version has written is ignored, and the row is readable', async () => {
    const tenant = await provisioned();
    const row = await tenant.row();
    const later = { ...row, health: { status: 'unhealthy', since: 1, reason: 'of a later version' } };
    await servers.putItem(marshall(toStored(later), { removeUndefinedValues: true }));
    expect((await readToken(servers, tenant)).token).toBe(tenant.instance.token);
    expect((await tenant.row()).health).toBeUndefined();
    expect(resultOf({ before: row, after: later })).toMatchObject({ outcome: 'nothing-due' });
  });

  test('health is shown with status, since and reason alone', async () => {
    const tenant = await provisioned(refusedKey);
    expect(instanceView(await getInstance(servers.store, tenant)).health).toBeUndefined();
    await tenant.check();
    expect(instanceView(await getInstance(servers.store, tenant)).health).toEqual({
      status: 'unknown',
      since: expect.stringMatching(/^\d{4}-.*Z$/),
      reason: 'unconfirmed',
    });
  });
});

/** Runs of checks with a ping of their own. */
function checksWith(pinged: (instance: Parameters<Ping>[0]) => Awaited<ReturnType<Ping>>) {
  const { checkDue } = createChecking({
    ...servers,
    catalog: builtInCatalog,
    stage: 'tests',
    origin: servers.simulator.url,
    observe: () => {},
    ping: async (instance) => pinged(instance),
  });
  return () => checkDue({ deadlineAt: Date.now() + 29_000 });
}

const checksWithBug = (of: { tenantId: string }) =>
  checksWith(({ tenantId }) => {
    if (tenantId === of.tenantId) throw new TypeError('a bug');
    return { status: 'healthy' };
  });

describe('due checks', () => {
  test('a new instance is checked at the next run, and then once a day', async () => {
    const tenant = await provisioned();
    expect(await servers.checkDue()).toMatchObject({ healthy: 1 });
    servers.clock.aheadMs = healthEveryMs - minuteMs;
    expect(await servers.checkDue()).toMatchObject({ healthy: 0, skipped: 0 });
    servers.clock.aheadMs = healthEveryMs + minuteMs;
    expect(await servers.checkDue()).toMatchObject({ healthy: 1 });
    expect((await tenant.row()).checkAt).toBeUndefined();
  });

  test('a failed check is repeated soon, and an unhealthy instance is checked more often', async () => {
    await provisioned(refusedKey);
    expect(await servers.checkDue()).toMatchObject({ unhealthy: 1 });
    expect(await servers.checkDue()).toMatchObject({ unhealthy: 0 });
    servers.clock.aheadMs = healthConfirmMs + 1_000;
    expect(await servers.checkDue()).toMatchObject({ unhealthy: 1 });
    servers.clock.aheadMs += unhealthyEveryMs - minuteMs;
    expect(await servers.checkDue()).toMatchObject({ unhealthy: 0 });
    servers.clock.aheadMs += 2 * minuteMs;
    expect(await servers.checkDue()).toMatchObject({ unhealthy: 1 });
  });

  test('an update is checked at the next run', async () => {
    const tenant = await provisioned();
    await servers.checkDue();
    await servers.update(tenant, { name: 'New' });
    expect(await servers.checkDue()).toMatchObject({ healthy: 1 });
  });

  test('a new key whose update is of unknown outcome is checked after it may have taken effect', async () => {
    const tenant = await provisioned();
    await servers.checkDue();
    servers.simulator.fail({
      on: 'PATCH /instances/{id}',
      effect: 'applied',
      outcome: { kind: 'reset' },
      times: 10,
    });
    await errorOf(
      servers.update(tenant, {
        configuration: { username: 'a', password: 'b', subdomain: 'c', 'api.key': 'd' },
      }),
    );
    servers.clock.aheadMs = 10 * minuteMs;
    expect(await servers.checkDue()).toMatchObject({ healthy: 1 });
  });

  test('no tenant turns while Cloud Elements answers 500 to everything, and the run breaks off', async () => {
    for (let count = 0; count < 15; count++) await provisioned();
    servers.simulator.faultFor = () => ({ effect: 'none', outcome: { kind: 'status', status: 500 } });
    const before = servers.simulator.requests.length;
    expect(await servers.checkDue()).toMatchObject({ unknown: 10, brokenOff: true });
    expect(servers.simulator.requests).toHaveLength(before + 10);
    for (let hours = 1; hours < 30; hours += 3) {
      servers.clock.aheadMs = hours * 60 * minuteMs;
      await servers.checkDue();
    }
    expect(servers.observations.filter(({ kind }) => kind === 'instance-unhealthy')).toEqual([]);
  });

  test('a row that cannot be read is moved, and the others are checked', async () => {
    const tenant = await provisioned();
    await putUnreadable(1);
    expect(await servers.checkDue()).toMatchObject({ healthy: 1, skipped: 1 });
    expect((await tenant.row()).health).toMatchObject({ status: 'healthy' });
    expect(await servers.checkDue()).toMatchObject({ healthy: 0, skipped: 0 });
  });

  test('a row whose check meets a bug is moved, and due again after the reconciler has looked', async () => {
    const odd = await provisioned();
    const tenant = await provisioned();
    const run = checksWithBug(odd);
    await expect(run()).rejects.toThrow('a bug');
    expect((await tenant.row()).health).toMatchObject({ status: 'healthy' });
    expect(await run()).toMatchObject({ healthy: 0, skipped: 0 });
    servers.clock.aheadMs = healthEveryMs / 2;
    expect(await servers.reconcile()).toEqual({ checked: 1 });
    expect(await servers.checkDue()).toMatchObject({ healthy: 1 });
  });

  test('an instance is checked while its row is not settled, which the reconciler does in its own time', async () => {
    const tenant = await provisioned(refusedKey);
    const row = await tenant.row();
    const checkAt = Date.now() + healthConfirmMs;
    await servers.store.write({ ...row, inDoubt: true, checkAt }, row);
    expect(await servers.checkDue()).toMatchObject({ unhealthy: 1, skipped: 0 });
    expect(await servers.checkDue()).toMatchObject({ unhealthy: 0, skipped: 0 });
    expect(await tenant.row()).toMatchObject({ checkAt, health: { reason: 'unconfirmed' } });
    servers.clock.aheadMs = healthConfirmMs + 1_000;
    expect(await servers.checkDue()).toMatchObject({ unhealthy: 1 });
    expect(await tenant.row()).toMatchObject({ checkAt, health: { status: 'unhealthy' } });
    expect(await servers.reconcile()).toEqual({ checked: 1 });
    expect(await tenant.row()).toMatchObject({ health: { status: 'unhealthy' } });
  });

  test('one row without a response does not end the run for the others', async () => {
    const tenant = await provisioned();
    const broken = await provisioned();
    const row = await broken.row();
    await servers.store.write({ ...row, inDoubt: true, checkAt: Date.now() + healthConfirmMs }, row);
    const run = checksWith(({ tenantId }) =>
      tenantId === broken.tenantId ? { status: 'unknown', reason: 'unreachable' } : { status: 'healthy' },
    );
    expect(await run()).toMatchObject({ healthy: 1, unknown: 1, brokenOff: false });
    expect((await tenant.row()).health).toMatchObject({ status: 'healthy' });
  });

  test('a bug in the check of a row that is not settled leaves it to the reconciler at its time', async () => {
    const tenant = await provisioned();
    const row = await tenant.row();
    const checkAt = Date.now() + healthConfirmMs;
    await servers.store.write({ ...row, inDoubt: true, checkAt }, row);
    await expect(checksWithBug(tenant)()).rejects.toThrow('a bug');
    expect((await tenant.row()).checkAt).toBe(checkAt);
  });

  test('the audit schedules a check for rows of earlier versions, within a day', async () => {
    const tenant = await provisioned();
    const row = await tenant.row();
    await servers.store.write({ ...row, healthCheckAt: undefined }, row);
    expect(await servers.checkDue()).toMatchObject({ healthy: 0 });
    expect(await servers.audit()).toMatchObject({ ours: 1, lost: 0, complete: true });
    const { healthCheckAt } = await tenant.row();
    expect(healthCheckAt).toBeGreaterThan(Date.now() - minuteMs);
    expect(healthCheckAt).toBeLessThan(Date.now() + healthEveryMs);
    servers.clock.aheadMs = healthEveryMs;
    expect(await servers.checkDue()).toMatchObject({ healthy: 1 });
  });
});

test('10,000 tenants are checked once each within a day, at a bounded rate and a bounded number at once', async () => {
  const tenant = await provisioned();
  const template = await tenant.row();
  const rows = new Map<string, InstanceRow>();
  for (let count = 0; count < 10_000; count++) {
    const tenantId = `tenant-${count}`;
    rows.set(tenantId, { ...template, tenantId, instanceId: count + 1, healthCheckAt: 0 });
  }
  let nowMs = 1;
  let open = 0;
  let mostOpen = 0;
  const pinged = new Map<number, number>();
  async function called<T>(result: T): Promise<T> {
    mostOpen = Math.max(mostOpen, ++open);
    await Promise.resolve();
    open -= 1;
    return result;
  }
  const { checkDue } = createChecking({
    catalog: builtInCatalog,
    store: {
      get: async ({ tenantId }) => rows.get(tenantId),
      claim: async (next) => {
        rows.set(next.tenantId, next);
        return { won: true };
      },
      postpone: async () => {},
      due: async () => ({ first: [], later: [] }),
      dueChecks: async ({ until, limit, first }) => {
        const due = [...rows.values()].filter(({ healthCheckAt = 0 }) => healthCheckAt <= until);
        return (first === 'latest' ? due.slice(-limit) : due.slice(0, limit)).map(
          ({ tenantId, elementKey, healthCheckAt = 0 }) => ({
            tenantId,
            elementKey,
            checkAt: healthCheckAt,
            shown: String(healthCheckAt),
          }),
        );
      },
    },
    cloudElements: {
      ...servers.cloudElements,
      read: ({ instanceId, elementKey }) =>
        called({
          kind: 'read',
          owned: 'ours',
          instanceId,
          elementKey,
          token: 'token',
          createdDate: undefined,
          valid: true,
          disabled: false,
        }),
    },
    ping: ({ instanceId }) => {
      pinged.set(instanceId, (pinged.get(instanceId) ?? 0) + 1);
      return called({ status: 'healthy' });
    },
    origin: template.origin,
    stage: 'tests',
    observe: () => {},
    now: () => nowMs,
  });
  let runs = 0;
  for (; pinged.size < rows.size && runs < 24 * 60; runs++) {
    const before = pinged.size;
    await checkDue({ deadlineAt: nowMs + 29_000 });
    expect(pinged.size - before).toBeLessThanOrEqual(checksPerRun);
    nowMs += minuteMs;
  }
  expect(pinged.size).toBe(10_000);
  expect(Math.max(...pinged.values())).toBe(1);
  expect(runs).toBe(100);
  expect(mostOpen).toBeLessThanOrEqual(10);
}, 20_000);
