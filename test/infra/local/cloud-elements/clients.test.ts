import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { startCloudElements, type CloudElements } from '../../../../infra/local/cloud-elements/simulator.ts';
import { callPlatform, instanceSchema } from './call-platform.ts';

const secrets = { userSecret: 'user-secret-for-tests', organizationSecret: 'organization-secret-for-tests' };
const { userSecret, organizationSecret } = secrets;
const otherUserSecret = 'other-user-secret-for-tests';
const authorization = `User ${userSecret}, Organization ${organizationSecret}`;
const withElement = (token: string) => `${authorization}, Element ${token}`;
const basic = { username: 'account', password: 'key-for-tests' };
const configurations = {
  taxify: { 'api.key': 'key-for-tests' },
  twiliov2: basic,
  chargify: { ...basic, site: 'shop' },
};

const atMs = Date.parse('2026-11-23T10:20:30Z');
let server: CloudElements;

beforeEach(async () => {
  server = await startCloudElements({ ...secrets, otherUserSecret, now: () => atMs });
});
afterEach(() => server.stop());

describe('GET /organizations/me', () => {
  test('GET /organizations/me distinguishes good secrets from bad ones, and reveals none', async () => {
    const response = await call('/organizations/me');
    expect(response).toMatchObject({
      status: 200,
      json: { id: expect.any(Number), name: expect.any(String) },
    });
    expect(response.text).not.toContain('secret');
    const refused = await call('/organizations/me', `User wrong, Organization ${organizationSecret}`);
    expect(refused.status).toBe(401);
  });
});

describe.each(['/ping', '/hubs/messaging/ping', '/hubs/any/ping'])('GET %s', (path) => {
  test('a ping is about the instance that the element token names', async () => {
    const { id, token } = await create('chargify');
    await create('taxify');
    const { status, json, headers } = await call(path, withElement(token));
    expect(status).toBe(200);
    expect(json).toEqual({ dateTime: '2026-11-23T10:20:30.000Z', endpoint: 'chargify' });
    expect(headers).toMatchObject({ 'elements-element-instance-id': `${id}` });
  });

  test('a ping of some elements shows whether the instance is valid', async () => {
    const { token } = await create('twiliov2');
    expect(await call(path, withElement(token))).toMatchObject({
      status: 200,
      json: { endpoint: 'twiliov2', valid: true },
    });
    const [instance] = server.instances;
    if (instance) instance.valid = false;
    expect(await call(path, withElement(token))).toMatchObject({ status: 200, json: { valid: false } });
  });

  test('a ping is a 404 for an element without one, such as Taxify', async () => {
    const { token } = await create('taxify');
    const response = await call(path, withElement(token));
    expect(response.status).toBe(404);
    expect(response.error()).not.toHaveProperty('providerMessage');
  });

  test('a ping with a key that the vendor refuses is a 401 in the words of the vendor', async () => {
    const { id, token } = await create('chargify');
    for (const instance of server.instances) {
      if (instance.id === id) instance.configuration = { password: 'refused' };
    }
    const response = await call(path, withElement(token));
    expect(response.status).toBe(401);
    expect(response.error()).toHaveProperty('providerMessage');
  });

  test('a ping is a 403 while the instance is disabled, and works again afterwards', async () => {
    const { id, token } = await create('chargify');
    expect(await call(`/instances/${id}/enabled`, authorization, 'DELETE')).toMatchObject({ status: 200 });
    const response = await call(path, withElement(token));
    expect(response.status).toBe(403);
    expect(response.error().message).toContain('disabled');
    expect(await call(`/instances/${id}/enabled`, authorization, 'PUT')).toMatchObject({ status: 200 });
    expect(await call(path, withElement(token))).toMatchObject({ status: 200 });
  });

  test('a ping is a 401 without an element token, with a wrong one, or with that of a deleted instance', async () => {
    const { id, token } = await create('chargify');
    expect(await call(path)).toMatchObject({ status: 401 });
    expect(await call(path, withElement('wrong='))).toMatchObject({ status: 401 });
    await call(`/instances/${id}`, authorization, 'DELETE');
    expect(await call(path, withElement(token))).toMatchObject({ status: 401 });
  });

  test('a ping with the token of another user is a 401', async () => {
    const { token } = await create('chargify');
    const stranger = `User ${otherUserSecret}, Organization ${organizationSecret}, Element ${token}`;
    expect(await call(path, stranger)).toMatchObject({ status: 401 });
  });

  test('a ping needs no Organization part, but refuses a wrong one', async () => {
    const { token } = await create('chargify');
    expect(await call(path, `User ${userSecret}, Element ${token}`)).toMatchObject({ status: 200 });
    const wrong = `User ${userSecret}, Organization wrong, Element ${token}`;
    expect(await call(path, wrong)).toMatchObject({ status: 401 });
    expect(await call(path, `Element ${token}`)).toMatchObject({ status: 401 });
    const platformCall = await call('/instances', `User ${userSecret}, Element ${token}`);
    expect(platformCall.status).toBe(401);
  });

  test('a ping accepts injected faults like every operation', async () => {
    const { token } = await create('chargify');
    const outcome = { kind: 'status', status: 502 } as const;
    server.fail({ on: path === '/ping' ? 'GET /ping' : 'GET /hubs/{hub}/ping', effect: 'none', outcome });
    expect(await call(path, withElement(token))).toMatchObject({ status: 502 });
    expect(await call(path, withElement(token))).toMatchObject({ status: 200 });
  });
});

/** The assertions of the vendor's own suite, which leaves the newest token in its default headers. */
const vendorSchema = z.looseObject({
  id: z.number(),
  name: z.string(),
  token: z.string(),
  valid: z.boolean(),
  tags: z.array(z.string()),
  configuration: z.record(z.string(), z.nullable(z.string())),
  user: z.looseObject({
    id: z.number(),
    emailAddress: z.string(),
    firstName: z.string(),
    lastName: z.string(),
  }),
});

describe('the vendor suite', () => {
  test.each(['/instances', '/elements/chargify/instances', '/elements/498/instances'])(
    'the vendor suite creates, reads, lists, replaces and deletes below %s with the token in its headers',
    async (base) => {
      const { token } = await create('chargify');
      const headers = withElement(token);
      const body = { name: 'suite', element: { key: 'chargify' }, configuration: configurations.chargify };
      const created = await call(base, headers, 'POST', body);
      expect(created.status).toBe(200);
      const { id } = vendorSchema.parse(created.json);
      const read = await call(`${base}/${id}`, headers);
      expect(vendorSchema.parse(read.json).configuration).toMatchObject({
        username: 'account',
        password: '********',
      });
      const list = await call(base, headers);
      expect(z.array(vendorSchema).parse(list.json)).toHaveLength(2);
      const replaced = await call(`${base}/${id}`, headers, 'PUT', { ...body, name: 'updated' });
      expect(vendorSchema.parse(replaced.json).name).toBe('updated');
      expect(await call(`${base}/${id}`, headers, 'DELETE')).toMatchObject({ status: 200 });
      expect(server.instances).toHaveLength(1);
    },
  );
});

function call(path: string, header = authorization, method = 'GET', body?: object) {
  return callPlatform({ url: server.url, method, path, body, headers: { authorization: header } });
}

async function create(key: keyof typeof configurations) {
  const body = { element: { key }, name: 'Acme', configuration: configurations[key] };
  const { json } = await call('/instances', authorization, 'POST', body);
  return instanceSchema.parse(json);
}
