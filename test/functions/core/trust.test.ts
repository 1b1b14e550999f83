import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import type { Configuration, InstanceRow } from '../../../functions/model/instance.ts';
import { readToken } from '../../../functions/core/read.ts';
import { createTrusting, type Trust } from '../../../functions/core/trust.ts';
import { errorOf, keyOf, newTenant, startServers, taxify } from '../../support/real-servers.ts';
import { notApplied } from '../../support/faults.ts';

let servers: Awaited<ReturnType<typeof startServers>>;
let trust: Trust;
beforeAll(async () => {
  servers = await startServers();
  trust = createTrusting({
    catalog: builtInCatalog,
    store: servers.store,
    now: () => Date.now() + servers.clock.aheadMs,
  });
});
afterAll(() => servers[Symbol.asyncDispose]());
beforeEach(() => servers.reset());

const address = 'https://one.example';
const own: Configuration = { 'api.key': 'own', 'base.url': address, 'pagination.max': 5 };

async function withOwnKey(): Promise<string> {
  const tenantId = newTenant();
  await servers.provision(taxify(tenantId, { configuration: own }));
  servers.putTenantSecret(tenantId, '{"api.key": "stored"}');
  servers.reset();
  return tenantId;
}

async function rewrite(tenantId: string, attributes: Partial<InstanceRow>): Promise<void> {
  const row = await servers.rowOf(tenantId);
  if (!row) throw new Error('no row');
  await servers.store.write({ ...row, ...attributes }, row);
}

const configurationOf = (tenantId: string) => servers.instancesOf(tenantId)[0]?.configuration;
const rotate = (tenantId: string) => servers.update(keyOf(tenantId), { configuration: {} });
const doIt = { lookedAtMs: Infinity };

describe('an operator vouches for the configuration at Cloud Elements', () => {
  test.each([
    ['a request', {}, 'request', ['api.key', 'base.url']],
    [
      'an earlier version',
      { source: undefined, requestEntries: undefined, requestDigest: undefined },
      'unknown',
      [],
    ],
  ] as const)(
    'trust lets the stored key reach an instance of %s, with the same id and token',
    async (_what, attributes, was, entries) => {
      const tenantId = await withOwnKey();
      await rewrite(tenantId, attributes);
      const before = await readToken(servers, keyOf(tenantId));
      expect((await errorOf(rotate(tenantId))).status).toBe(409);

      expect(await trust(keyOf(tenantId), doIt)).toMatchObject({ kind: 'trusted', was, entries });
      expect(servers.simulator.requests).toEqual([]);
      expect(await servers.rowOf(tenantId)).toMatchObject({ status: 'active', source: 'secret' });

      await rotate(tenantId);
      expect(configurationOf(tenantId)).toEqual({ ...own, 'api.key': 'stored' });
      servers.putTenantSecret(tenantId, '{"api.key": "new"}');
      await rotate(tenantId);
      expect(configurationOf(tenantId)).toEqual({ ...own, 'api.key': 'new' });
      expect(await readToken(servers, keyOf(tenantId))).toEqual(before);
      // A repeat by the control plane matches this instance, a repeat by the caller does not.
      const secrets = taxify(tenantId, { configuration: { 'pagination.max': 5 } });
      expect((await servers.provision(secrets)).outcome).toBe('replayed');
      const callers = servers.provision(taxify(tenantId, { configuration: own }));
      expect((await errorOf(callers)).code).toBe('settings-conflict');
    },
  );

  test('trust forgets values and updates that were in doubt before the operator looked', async () => {
    const tenantId = await withOwnKey();
    await rewrite(tenantId, {
      updateInDoubtUntil: Date.now() - 1,
      valuesInDoubt: { 'base.url': ['https://elsewhere.example'] },
    });
    expect(await trust(keyOf(tenantId), doIt)).toMatchObject({ kind: 'trusted' });
    const row = await servers.rowOf(tenantId);
    expect(row).not.toHaveProperty('valuesInDoubt');
    expect(row).not.toHaveProperty('updateInDoubtUntil');
  });

  test('a dry run of trust changes nothing and reports the same', async () => {
    const tenantId = await withOwnKey();
    const before = await servers.rowOf(tenantId);
    expect(await trust(keyOf(tenantId), { lookedAtMs: undefined })).toMatchObject({
      kind: 'would-be-trusted',
      was: 'request',
      entries: ['api.key', 'base.url'],
    });
    expect(await servers.rowOf(tenantId)).toEqual(before);
  });

  test('an instance of the secret stays as it is, unless requests have set entries that are no longer allowed', async () => {
    const tenantId = newTenant();
    servers.putTenantSecret(tenantId, '{"api.key": "stored"}');
    await servers.provision(taxify(tenantId, {}));
    const before = await servers.rowOf(tenantId);
    expect(await trust(keyOf(tenantId), doIt)).toEqual({ kind: 'unchanged', was: 'secret' });
    expect(await servers.rowOf(tenantId)).toEqual(before);

    await rewrite(tenantId, { requestEntries: ['pagination.max', 'site.path'] });
    expect((await errorOf(rotate(tenantId))).code).toBe('configuration-from-request');
    expect(await trust(keyOf(tenantId), doIt)).toMatchObject({ kind: 'trusted', entries: ['site.path'] });
    expect(await servers.rowOf(tenantId)).toMatchObject({ requestEntries: ['pagination.max'] });
    await rotate(tenantId);
  });
});

describe('trust is refused', () => {
  test('an instance that a request has updated since the operator looked cannot be trusted', async () => {
    const tenantId = await withOwnKey();
    const lookedAtMs = Date.now();
    servers.clock.aheadMs = 1_000;
    const elsewhere = { 'api.key': 'own', 'base.url': 'https://elsewhere.example' };
    await servers.update(keyOf(tenantId), { configuration: elsewhere });
    const refused = { kind: 'refused', reason: expect.stringContaining('since you looked') };
    expect(await trust(keyOf(tenantId), { lookedAtMs })).toMatchObject(refused);
    expect(await trust(keyOf(tenantId), { lookedAtMs: lookedAtMs + 60_000 })).toMatchObject({
      kind: 'trusted',
    });
  });

  test('an instance whose update could take effect after the operator looked cannot be trusted', async () => {
    const tenantId = await withOwnKey();
    const lookedAtMs = Date.now() + 1_000;
    await rewrite(tenantId, { updateInDoubtUntil: lookedAtMs + 1 });
    servers.clock.aheadMs = 5_000;
    expect(await trust(keyOf(tenantId), { lookedAtMs })).toMatchObject({ kind: 'refused' });
  });

  test('an instance of an earlier version is trusted with the entries that the allow-list named then', async () => {
    const tenantId = await withOwnKey();
    const earlier = { source: undefined, requestEntries: undefined, allowListed: { 'site.path': 'any' } };
    await rewrite(tenantId, earlier);
    expect(await trust(keyOf(tenantId), doIt)).toMatchObject({ kind: 'trusted', entries: ['site.path'] });
  });

  test('an instance that does not exist cannot be trusted', async () => {
    const tenantId = newTenant();
    const refused = { kind: 'refused', reason: 'there is no such instance' };
    expect(await trust(keyOf(tenantId), doIt)).toEqual(refused);
    await servers.remove(keyOf(tenantId));
    expect(await trust(keyOf(tenantId), doIt)).toEqual(refused);
  });

  test.each([
    ['is not active', { status: 'failed' }, 'it is failed'],
    ['is leased', { leaseExpiresAt: Date.now() + 60_000 }, 'a request is at work on it'],
    ['has an update in doubt', { updateInDoubtUntil: Date.now() + 60_000 }, 'update of unknown outcome'],
  ] as const)('an instance that %s cannot be trusted', async (_what, attributes, reason) => {
    const tenantId = await withOwnKey();
    await rewrite(tenantId, attributes);
    const before = await servers.rowOf(tenantId);
    expect(await trust(keyOf(tenantId), doIt)).toMatchObject({
      kind: 'refused',
      was: 'request',
      reason: expect.stringContaining(reason),
    });
    expect(await servers.rowOf(tenantId)).toEqual(before);
  });

  test('an update of unknown outcome keeps an instance from being trusted until it has taken effect or never will', async () => {
    const tenantId = await withOwnKey();
    const late = { 'api.key': 'own', 'base.url': 'https://elsewhere.example' };
    servers.simulator.fail({ on: 'PATCH /instances/{id}', times: 10, ...notApplied({ kind: 'reset' }) });
    const update = servers.update(keyOf(tenantId), { configuration: late });
    expect((await errorOf(update)).code).toBe('update-outcome-unknown');
    servers.reset();
    expect(await trust(keyOf(tenantId), doIt)).toMatchObject({ kind: 'refused' });
    const until = (await servers.rowOf(tenantId))?.updateInDoubtUntil ?? 0;
    servers.clock.aheadMs = until - Date.now() - 1_000;
    expect(await trust(keyOf(tenantId), doIt)).toMatchObject({ kind: 'refused' });
    servers.clock.aheadMs = until - Date.now() + 1;
    expect(await trust(keyOf(tenantId), doIt)).toMatchObject({ kind: 'trusted' });
  });

  test('a change that has read the row before trust sends nothing', async () => {
    const tenantId = await withOwnKey();
    servers.simulator.latencyMs = 150;
    const update = servers.update(keyOf(tenantId), { configuration: own });
    await expect.poll(() => servers.simulator.requests.length).toBe(1);
    expect(await trust(keyOf(tenantId), doIt)).toMatchObject({ kind: 'trusted' });
    expect((await errorOf(update)).code).toBe('busy');
    expect(servers.simulator.requests.map(({ operation }) => operation)).toEqual(['GET /instances/{id}']);
    expect(await servers.rowOf(tenantId)).toMatchObject({ source: 'secret' });
  });

  test('trust does not write a row that has changed since it was read', async () => {
    const tenantId = await withOwnKey();
    const overtaken = createTrusting({
      catalog: builtInCatalog,
      store: {
        ...servers.store,
        async get(key) {
          const row = await servers.store.get(key);
          await servers.update(keyOf(tenantId), { name: 'Store' });
          return row;
        },
      },
    });
    expect(await overtaken(keyOf(tenantId), doIt)).toMatchObject({
      kind: 'refused',
      reason: 'it has just been changed; run the command again',
    });
    expect(await servers.rowOf(tenantId)).toMatchObject({ name: 'Store', source: 'request' });
  });
});
