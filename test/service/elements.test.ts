import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { newTenant } from '../support/real-servers.ts';
import { startService, tenantOnboarded, type Service } from '../support/running-service.ts';
import { isDeployed } from './deployed/endpoint.ts';

/** Elements that a deployer has described, from `elements` of its settings to Cloud Elements. */
describe.skipIf(isDeployed)('an element whose address requests may choose', () => {
  const element = { key: 'freshdeskv2' };
  const stored = { username: 'stored-key-for-tests' };
  const away = 'elsewhere.example/#';

  let service: Service;
  beforeAll(async () => {
    service = await startService({
      queue: { visibilityTimeoutMs: 50, maxReceiveCount: 10 },
      elements: {
        [element.key]: {
          addresses: { subdomain: 'dns-label' },
          defaults: { 'filter.response.nulls': false },
        },
        // Outside of those that come with the service.
        woocommerce: {
          required: ['base.url', 'store.url', 'oauth.api.key', 'oauth.api.secret'],
          addresses: {
            'base.url': { origins: ['https://one.example', 'https://two.example'] },
            'store.url': { origins: ['https://one.example', 'https://two.example'] },
          },
        },
      },
    });
  });
  afterAll(() => service[Symbol.asyncDispose]());
  beforeEach(() => service.simulator.reset());

  const pathOf = (tenantId: string) => `/tenants/${tenantId}/instances/${element.key}`;
  const configurationOf = (tenantId: string) => service.instancesOf(tenantId)[0]?.configuration;
  const onboarded = (tenantId: string, subdomain: string) =>
    tenantOnboarded(tenantId, { element, configuration: { subdomain } });
  const bodyOf = (subdomain: unknown) => ({ element, configuration: { subdomain } });

  async function tenantWithKey(): Promise<string> {
    const tenantId = newTenant();
    await service.putTenantSecret(tenantId, stored, element.key);
    return tenantId;
  }

  test('an event brings the address, the secret the key, and the deployer’s default goes with them', async () => {
    const tenantId = await tenantWithKey();
    await service.deliverEvents(onboarded(tenantId, 'acme'));
    expect((await service.get(pathOf(tenantId))).json).toMatchObject({ status: 'active' });
    expect(configurationOf(tenantId)).toEqual({
      ...stored,
      subdomain: 'acme',
      'filter.response.nulls': false,
    });
    const row = await service.rowOf(tenantId, element.key);
    expect(row).toMatchObject({ source: 'secret', requestEntries: ['subdomain'] });
    await service.deliverEvents(onboarded(tenantId, 'acme'));
    expect(service.postsFor(tenantId)).toBe(1);
  });

  test('POST brings the address; the same POST is a repeat, and one with another address a conflict', async () => {
    const tenantId = await tenantWithKey();
    expect((await service.post(tenantId, bodyOf('acme'))).status).toBe(201);
    expect((await service.post(tenantId, bodyOf('acme'))).status).toBe(200);
    expect(await service.post(tenantId, bodyOf('other'))).toMatchObject({
      status: 409,
      json: { code: 'settings-conflict' },
    });
    expect(configurationOf(tenantId)).toMatchObject({ ...stored, subdomain: 'acme' });
    expect(service.postsFor(tenantId)).toBe(1);
  });

  test('PATCH moves the instance to another address, and a new key follows it there', async () => {
    const tenantId = await tenantWithKey();
    await service.post(tenantId, bodyOf('acme'));
    const token = (await service.get(`${pathOf(tenantId)}/token`)).json;
    expect((await service.patch(pathOf(tenantId), { configuration: { subdomain: 'acme-2' } })).status).toBe(
      200,
    );
    expect((await service.post(tenantId, bodyOf('acme-2'))).status).toBe(200);
    expect((await service.post(tenantId, bodyOf('acme'))).status).toBe(409);
    await service.putTenantSecret(
      tenantId,
      { username: 'second-key-for-tests', subdomain: 'of-the-secret' },
      element.key,
    );
    const patch = async () => (await service.patch(pathOf(tenantId), { configuration: {} })).status;
    await expect.poll(patch, { timeout: 10_000 }).toBe(200);
    expect(configurationOf(tenantId)).toMatchObject({
      username: 'second-key-for-tests',
      subdomain: 'acme-2',
    });
    expect((await service.get(`${pathOf(tenantId)}/token`)).json).toEqual(token);
  });

  test.each([away, 'elsewhere.example', 'acme\n', '-acme', '', ['acme'], { host: 'acme' }])(
    'the address %j is refused in POST, PATCH and event, and never meets the stored key',
    async (subdomain) => {
      const tenantId = await tenantWithKey();
      const refused = { status: 400, json: { code: 'invalid-request' } };
      expect(await service.post(tenantId, bodyOf(subdomain))).toMatchObject(refused);
      await service.deliverEvents(tenantOnboarded(tenantId, { element, configuration: { subdomain } }));
      expect(service.postsFor(tenantId)).toBe(0);
      expect((await service.post(tenantId, bodyOf('acme'))).status).toBe(201);
      const patch = (configuration: object) => service.patch(pathOf(tenantId), { configuration });
      expect(await patch({ subdomain })).toMatchObject(refused);
      expect(await patch({ subdomain, username: 'x' })).toMatchObject(refused);
      expect(configurationOf(tenantId)).toMatchObject({ ...stored, subdomain: 'acme' });
      const everything = [...(await service.logs()), JSON.stringify(await service.events())].join('\n');
      expect(everything).not.toContain(stored.username);
    },
  );

  test('the refusal says what the address has to be, without the value', async () => {
    const response = await service.post(await tenantWithKey(), bodyOf(away));
    expect(response.json).toMatchObject({
      errors: [
        {
          pointer: '#/configuration/subdomain',
          detail: 'expected one DNS label: at most 63 letters, digits and hyphens, no hyphen at either end',
        },
      ],
    });
    expect(response.text).not.toContain('elsewhere');
  });

  test('a missing address is named before anything is created', async () => {
    const tenantId = await tenantWithKey();
    expect(await service.post(tenantId, { element })).toMatchObject({
      status: 400,
      json: { code: 'missing-configuration', missing: ['configuration.subdomain'] },
    });
    expect(service.postsFor(tenantId)).toBe(0);
  });

  test('a URL is accepted at a listed origin, and nowhere else', async () => {
    const tenantId = newTenant();
    await service.putTenantSecret(
      tenantId,
      { 'oauth.api.key': 'stored-key-for-tests', 'oauth.api.secret': 'stored-word-for-tests' },
      'woocommerce',
    );
    const post = (url: string, origin: string) =>
      service.post(tenantId, {
        element: { key: 'woocommerce' },
        configuration: { 'base.url': url, 'store.url': origin },
      });
    expect((await post('https://one.example@elsewhere.example/', 'https://one.example')).status).toBe(400);
    expect((await post('https://one.example/wc-api/v2', 'https://three.example')).status).toBe(400);
    expect(service.postsFor(tenantId)).toBe(0);
    expect((await post('https://one.example/wc-api/v2', 'https://two.example')).status).toBe(201);
    expect((await post('https://one.example/wc-api/v2', 'https://two.example')).status).toBe(200);
  });

  test('a caller with a key of its own may choose the address, and never gets the stored key', async () => {
    const tenantId = await tenantWithKey();
    const configuration = { subdomain: 'acme', username: 'own-key-for-tests' };
    expect((await service.post(tenantId, { element, configuration })).status).toBe(201);
    expect((await service.patch(pathOf(tenantId), { configuration: { subdomain: 'acme-2' } })).status).toBe(
      200,
    );
    expect(await service.patch(pathOf(tenantId), { configuration: {} })).toMatchObject({
      status: 409,
      json: { code: 'configuration-from-request' },
    });
    expect(configurationOf(tenantId)).toMatchObject({ subdomain: 'acme-2', username: 'own-key-for-tests' });
  });
});
