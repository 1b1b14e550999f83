import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readToken } from '../functions/core/read.ts';
import { errorOf, keyOf, newTenant, startServers, taxify } from './real-servers.ts';

let servers: Awaited<ReturnType<typeof startServers>>;
beforeAll(async () => {
  servers = await startServers();
});
afterAll(() => servers[Symbol.asyncDispose]());
beforeEach(() => servers.reset());

async function provisioned(): Promise<string> {
  const tenantId = newTenant();
  await servers.provision(
    taxify(tenantId, { name: 'Shop', tags: ['eu'], configuration: { 'api.key': 'old' } }),
  );
  servers.reset();
  return tenantId;
}
const instanceOf = (tenantId: string) => servers.instancesOf(tenantId)[0];

describe('a change', () => {
  test('of name and tags keeps id, token and marker tags', async () => {
    const tenantId = await provisioned();
    const before = await readToken(servers, keyOf(tenantId));
    const row = await servers.change(keyOf(tenantId), { name: 'Store', tags: ['us', 'us'] });
    expect(row).toMatchObject({ name: 'Store', tags: ['us'], status: 'active' });
    expect(instanceOf(tenantId)).toMatchObject({
      name: 'Store',
      tags: ['us', `tenant:${tenantId}`, `provision:${row.provisionId}`, 'owner:tests'],
      configuration: { 'api.key': 'old' },
    });
    await servers.expectOneActiveInstance(tenantId);
    expect(await readToken(servers, keyOf(tenantId))).toEqual(before);
  });

  test('makes the request with the new settings the one that is repeated', async () => {
    const tenantId = await provisioned();
    await servers.change(keyOf(tenantId), { name: 'Store', configuration: { 'pagination.max': 7 } });
    const asked = { tags: ['eu'], configuration: { 'api.key': 'k', 'pagination.max': '7' } };
    expect((await servers.provision(taxify(tenantId, { ...asked, name: 'Store' }))).outcome).toBe('replayed');
    const old = servers.provision(taxify(tenantId, { ...asked, name: 'Shop' }));
    expect((await errorOf(old)).code).toBe('settings-conflict');
  });

  test('of the API key is sent, and stored nowhere', async () => {
    const tenantId = await provisioned();
    await servers.change(keyOf(tenantId), { configuration: { 'api.key': 'brand-new' } });
    expect(instanceOf(tenantId)?.configuration).toMatchObject({ 'api.key': 'brand-new' });
    expect(JSON.stringify(await servers.rowOf(tenantId))).not.toContain('brand-new');
  });

  test("with an empty configuration sends the tenant's secret anew", async () => {
    const tenantId = await provisioned();
    servers.putTenantSecret(tenantId, '{"api.key": "rotated"}');
    await servers.change(keyOf(tenantId), { configuration: {} });
    expect(instanceOf(tenantId)?.configuration).toMatchObject({ 'api.key': 'rotated' });
  });

  test('may not send the stored credentials elsewhere', async () => {
    const tenantId = await provisioned();
    const error = await errorOf(
      servers.change(keyOf(tenantId), { configuration: { 'base.url': 'http://evil' } }),
    );
    expect(error).toMatchObject({
      code: 'invalid-request',
      facts: { problems: [{ pointer: '#/configuration/base.url' }] },
    });
    expect(servers.simulator.requests).toEqual([]);
  });

  test.each([
    ['nothing', async () => newTenant(), 'not-found'],
    [
      'what is being deleted',
      async () => {
        const tenantId = await provisioned();
        servers.simulator.fail({ on: 'DELETE /instances/{id}', effect: 'none', outcome: { kind: 'reset' } });
        await servers.remove(keyOf(tenantId));
        return tenantId;
      },
      'not-active',
    ],
    [
      'what was removed',
      async () => {
        const tenantId = await provisioned();
        await servers.remove(keyOf(tenantId));
        return tenantId;
      },
      'not-found',
    ],
  ])('of %s is refused', async (_what, prepare, code) => {
    const tenantId = await prepare();
    expect((await errorOf(servers.change(keyOf(tenantId), { name: 'x' }))).code).toBe(code);
  });

  test('beside another one is told to wait, and so is a removal', async () => {
    const tenantId = await provisioned();
    servers.simulator.latencyMs = 150;
    const first = servers.change(keyOf(tenantId), { name: 'First' });
    await expect.poll(() => servers.simulator.requests.length).toBe(1);
    expect((await errorOf(servers.change(keyOf(tenantId), { name: 'Second' }))).code).toBe('busy');
    expect((await errorOf(servers.remove(keyOf(tenantId)))).code).toBe('busy');
    expect(await first).toMatchObject({ name: 'First' });
    await servers.expectOneActiveInstance(tenantId);
  });

  test.each(['applied', 'none'] as const)(
    'whose answer is lost is sent again (effect: %s)',
    async (effect) => {
      const tenantId = await provisioned();
      servers.simulator.fail({ on: 'PATCH /instances/{id}', effect, outcome: { kind: 'reset' } });
      await servers.change(keyOf(tenantId), { name: 'Store' });
      expect(instanceOf(tenantId)?.name).toBe('Store');
      expect(servers.simulator.requests).toHaveLength(2);
    },
  );

  test.each([
    ['that stays unknown', 500, 'outcome-unknown'],
    ['that is refused', 400, 'refused-by-cloud-elements'],
    ['of an instance that Cloud Elements has lost', 404, 'gone-at-cloud-elements'],
    ['with secrets that are refused', 401, 'platform-credentials-refused'],
    ['that meets 429 for long', 429, 'cloud-elements-busy'],
  ])('%s leaves the row as it was', async (_what, status, code) => {
    const tenantId = await provisioned();
    const before = await servers.rowOf(tenantId);
    servers.simulator.faultFor = () => ({ effect: 'none', outcome: { kind: 'status', status } });
    expect((await errorOf(servers.change(keyOf(tenantId), { name: 'Store' }))).code).toBe(code);
    expect(await servers.rowOf(tenantId)).toEqual({ ...before, attemptId: expect.any(String) });
  });
});
