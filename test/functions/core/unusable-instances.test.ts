import { describe, expect, test } from 'vitest';
import { settingsOf } from '../../../functions/model/instance.ts';
import { errorOf, keyOf, newTenant, openServers, taxify } from '../../support/real-servers.ts';
import { notApplied } from '../../support/faults.ts';

/** An instance whose id no row can hold, or whose token no header or ciphertext. */

const servers = await openServers();

const longToken = 'a'.repeat(4_097);
const makeUnusable = () => {
  servers.simulator.newToken = () => longToken;
};
const requests = (operation: string) =>
  servers.simulator.requests.filter((request) => request.operation === operation).map(({ path }) => path);

describe('a create that makes an unusable instance', () => {
  test('a create that makes an unusable instance removes it, records why, and a later request makes a good one', async () => {
    const tenantId = newTenant();
    makeUnusable();
    const error = await errorOf(servers.provision(taxify(tenantId)));
    expect(error).toMatchObject({ code: 'instance-unusable', status: 502, retryable: false });
    expect(error.message).toContain('with a token of more than 4,096 bytes');
    expect(error.message).toContain('It was deleted.');
    expect(servers.instancesOf(tenantId)).toEqual([]);
    expect(await servers.rowOf(tenantId)).toMatchObject({
      status: 'failed',
      inDoubt: false,
      leaseExpiresAt: 0,
      lastError: { code: 'instance-unusable' },
    });

    servers.reset();
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    await servers.expectOneActiveInstance(tenantId);
  });

  test('an event whose create makes an unusable instance is recorded and not retried', async () => {
    const tenantId = newTenant();
    servers.putTenantSecret(tenantId, JSON.stringify({ 'api.key': 'k' }));
    makeUnusable();
    const onboarded = servers.onboard(settingsOf(keyOf(tenantId), {}));
    expect(await errorOf(onboarded)).toMatchObject({ code: 'instance-unusable', retryable: false });
    expect(await servers.rowOf(tenantId)).toMatchObject({ status: 'failed' });
  });

  test('an unusable instance that cannot be removed is recorded with its tag, and removed by the reconciler later', async () => {
    const tenantId = newTenant();
    makeUnusable();
    servers.simulator.fail({ on: 'DELETE /instances/{id}', ...notApplied(500) });
    const error = await errorOf(servers.provision(taxify(tenantId)));
    const row = await servers.rowOf(tenantId);
    expect(row).toMatchObject({ status: 'failed', inDoubt: true });
    expect(error.message).toContain(`Delete it at Cloud Elements (tag provision:${row?.provisionId})`);
    expect(servers.instancesOf(tenantId)).toHaveLength(1);

    servers.clock.aheadMs = 61_000;
    expect(await servers.reconcile()).toHaveProperty('checked');
    expect(servers.instancesOf(tenantId)).toEqual([]);
    expect((await servers.rowOf(tenantId))?.checkAt).toBeUndefined();
  });

  test.each(['123456789012345678901', '"in-7"'])(
    'an unusable instance with the id %s is removed by that id',
    async (id) => {
      const tenantId = newTenant();
      const body = `{"id":${id},"token":"t"}`;
      servers.simulator.fail({ on: 'POST /instances', ...notApplied(200, { body }) });
      servers.simulator.faultFor = ({ method }) =>
        method === 'DELETE'
          ? { effect: 'none', outcome: { kind: 'status', status: 200, body: {} } }
          : undefined;
      const error = await errorOf(servers.provision(taxify(tenantId)));
      expect(error.code).toBe('instance-unusable');
      const path = `/elements/api-v2/instances/${id.replaceAll('"', '')}`;
      expect(servers.simulator.requests.map((request) => request.path)).toContain(path);
      const row = await servers.rowOf(tenantId);
      expect(row).toMatchObject({ status: 'failed', lastError: { code: 'instance-unusable' } });
      expect(row?.instanceId).toBeUndefined();
      expect(`${error.message} ${JSON.stringify(servers.observations)}`).not.toContain('in-7');
    },
  );

  test('a token that repeats the tenant’s key is neither stored nor shown', async () => {
    const tenantId = newTenant();
    const apiKey = 'key-that-is-repeated-as-a-token';
    servers.simulator.newToken = () => apiKey;
    const settings = taxify(tenantId, { configuration: { 'api.key': apiKey } });
    const error = await errorOf(servers.provision(settings));
    expect(error.code).toBe('instance-unusable');
    const row = await servers.rowOf(tenantId);
    expect(row).toMatchObject({ status: 'failed' });
    expect(row?.token).toBeUndefined();
    expect(JSON.stringify([error, error.message, row, servers.observed])).not.toContain(apiKey);
    expect(servers.instancesOf(tenantId)).toEqual([]);
  });
});

describe('a create of unknown outcome that has made an unusable instance', () => {
  test('an unusable instance of unknown outcome is removed by its own look-up', async () => {
    const tenantId = newTenant();
    makeUnusable();
    servers.simulator.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'reset' } });
    expect((await errorOf(servers.provision(taxify(tenantId)))).code).toBe('instance-unusable');
    expect(servers.instancesOf(tenantId)).toEqual([]);
    expect(await servers.rowOf(tenantId)).toMatchObject({ status: 'failed', inDoubt: true });
    expect(servers.posts()).toBe(1);
  });

  test('an unusable instance of unknown outcome is removed by the next request', async () => {
    const tenantId = newTenant();
    makeUnusable();
    await servers.killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 1_001;
    expect((await errorOf(servers.provision(taxify(tenantId)))).code).toBe('instance-unusable');
    expect(servers.instancesOf(tenantId)).toEqual([]);
    expect(servers.posts()).toBe(0);
  });

  test('an unusable instance of unknown outcome is removed by the reconciler, and the row settles', async () => {
    const tenantId = newTenant();
    makeUnusable();
    await servers.killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 1_001;
    expect(await servers.reconcile()).toEqual({ failed: 1 });
    expect(servers.instancesOf(tenantId)).toEqual([]);
    expect(await servers.rowOf(tenantId)).toMatchObject({
      status: 'failed',
      lastError: { code: 'instance-unusable' },
    });
    servers.clock.aheadMs = 63_000;
    expect(await servers.reconcile()).toHaveProperty('checked');
    expect((await servers.rowOf(tenantId))?.checkAt).toBeUndefined();
  });

  test('an unusable instance of unknown outcome is removed by a removal', async () => {
    const tenantId = newTenant();
    makeUnusable();
    const row = await servers.killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = row.sendDeadline + 10_001 - Date.now();
    expect((await servers.remove(keyOf(tenantId))).outcome).toBe('removed');
    expect(servers.instancesOf(tenantId)).toEqual([]);
    expect(requests('DELETE /instances/{id}')).toHaveLength(1);
  });

  test('an unusable instance of a create with unknown outcome is removed beside a good one', async () => {
    const tenantId = newTenant();
    makeUnusable();
    const row = await servers.killedWhileCreating(tenantId, 'applied');
    servers.duplicate(row);
    servers.clock.aheadMs = 1_001;
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    await servers.expectOneActiveInstance(tenantId);
  });
});

test('an audit reports an instance whose id no row can hold as an orphan', async () => {
  const instance = `{"id":9007199254740993,"token":"t","element":{"key":"taxify"},"tags":["owner:tests","tenant:acme"]}`;
  servers.simulator.fail({
    on: 'GET /instances',
    ...notApplied(200, { body: `[${instance}]` }),
  });
  expect(await servers.audit()).toMatchObject({ orphaned: 1, theirs: 1 });
  expect(servers.observations).toContainEqual({ kind: 'orphan', instanceId: '9007199254740993' });
});

test('an audit reads a list whose pages are too large in smaller ones', async () => {
  const tenants = Array.from({ length: 60 }, newTenant);
  await servers.seedProvisioned(tenants);
  servers.reset();
  const message = 'Response size is more than 8 MB';
  servers.simulator.faultFor = ({ operation, query }) =>
    operation === 'GET /instances' && Number(query.get('pageSize') ?? 200) > (query.has('nextPage') ? 10 : 50)
      ? {
          ...notApplied(429, { body: { requestId: '58b46b1be4b0e5a9b7d19c49', message } }),
        }
      : undefined;
  const audited = await servers.audit();
  expect(audited).toMatchObject({ complete: true, notListed: 0, lost: 0 });
  expect(audited.theirs).toBeGreaterThanOrEqual(60);
  const pages = servers.simulator.requests
    .filter(({ operation }) => operation === 'GET /instances')
    .map(({ query }) => [query.get('pageSize'), query.has('nextPage')]);
  // Page tokens may count pages, so with smaller pages the list begins again.
  expect(pages.slice(0, 5)).toEqual([
    [null, false],
    ['50', false],
    ['50', true],
    ['10', false],
    ['10', true],
  ]);
});
