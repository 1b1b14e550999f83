import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { request } from 'undici';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { startCloudElements, type CloudElements } from '../../../../infra/local/cloud-elements/simulator.ts';
import { callPlatform, instanceSchema } from './call-platform.ts';
import { notApplied } from '../../../support/faults.ts';

const secrets = {
  userSecret: 'user-secret-for-tests=',
  organizationSecret: 'organization-secret-for-tests',
};
const otherUserSecret = 'other-user-secret-for-tests';
const authorization = authorize(secrets.userSecret);
const invalidSecrets = 'Invalid Organization or User secret, or invalid Element token provided.';
const taxify = {
  element: { key: 'taxify' },
  name: 'Acme',
  tags: ['acme'],
  configuration: { 'api.key': 'taxify-key-for-tests' },
};

let server: CloudElements;
let clockMs = 0;

beforeEach(async () => {
  clockMs = Date.parse('2026-11-23T10:20:30.456Z');
  server = await startCloudElements({ ...secrets, otherUserSecret, now: () => clockMs });
});
afterEach(() => server.stop());

describe('authorization', () => {
  test.each([
    ['in the usual order', `User ${secrets.userSecret}, Organization ${secrets.organizationSecret}`],
    ['in the other order', `Organization ${secrets.organizationSecret}, User ${secrets.userSecret}`],
  ])('authorization accepts both secrets %s', async (_order, header) => {
    const { status } = await call('POST', '/instances', taxify, { AUTHORIZATION: header });
    expect(status).toBe(200);
  });

  test.each([
    ['nothing', ''],
    ['a wrong user secret', authorize('wrong')],
    ['a wrong organization secret', `User ${secrets.userSecret}, Organization wrong`],
    ['no organization', `User ${secrets.userSecret}`],
    ['no space after the comma', `User ${secrets.userSecret},Organization ${secrets.organizationSecret}`],
    ['two spaces', `User  ${secrets.userSecret}, Organization ${secrets.organizationSecret}`],
    ['a part twice', `User x, ${authorization}`],
    ['an unknown part', `${authorization}, Bearer x`],
  ])('authorization refuses %s', async (_what, header) => {
    const response = await call('POST', '/instances', taxify, { authorization: header });
    expect(response.status).toBe(401);
    expect(response.error().message).toBe(invalidSecrets);
    expect(server.instances).toEqual([]);
  });

  test('authorization uses rotated secrets at once, and the user keeps their instances', async () => {
    await create();
    server.rotateSecrets({ ...secrets, userSecret: 'rotated-for-tests' });
    expect(await call('GET', '/instances')).toMatchObject({ status: 401 });
    expect(
      await call('GET', '/instances', undefined, { authorization: authorize('rotated-for-tests') }),
    ).toMatchObject({ status: 200, json: [{ name: 'Acme' }] });
  });

  test('authorization keeps the instances of two users apart', async () => {
    const { id } = await create();
    const headers = { authorization: authorize(otherUserSecret) };
    expect(await call('GET', '/instances', undefined, headers)).toMatchObject({ status: 404 });
    expect(await call('GET', `/instances/${id}`, undefined, headers)).toMatchObject({ status: 404 });
    expect(await call('DELETE', `/instances/${id}`, undefined, headers)).toMatchObject({ status: 404 });
    expect(server.instances).toHaveLength(1);
  });

  test.each(['of an instance', 'of none'])(
    'an Element part %s is ignored where the path has an id or needs none',
    async (whose) => {
      const { id, token } = await create();
      const headers = {
        authorization: `${authorization}, Element ${whose === 'of none' ? 'stale=' : token}`,
      };
      const other = await call('POST', '/instances', taxify, headers);
      expect(other).toMatchObject({ status: 200 });
      expect(await call('GET', '/instances', undefined, headers)).toMatchObject({ json: [{ id }, {}] });
      const path = `/instances/${instanceSchema.parse(other.json).id}`;
      expect(await call('GET', path, undefined, headers)).toMatchObject({ status: 200 });
      expect(await call('PATCH', path, { name: 'Renamed' }, headers)).toMatchObject({ status: 200 });
      expect(await call('PUT', `${path}/enabled`, undefined, headers)).toMatchObject({ status: 200 });
      expect(await call('DELETE', path, undefined, headers)).toMatchObject({ status: 200 });
      expect(server.instances).toMatchObject([{ id, name: 'Acme' }]);
    },
  );

  test('an Element part names the instance where the path has no id', async () => {
    const kept = await create();
    const { token } = await create();
    const headers = { authorization: `${authorization}, Element ${token}` };
    await call('PATCH', '/instances', { name: 'Renamed' }, headers);
    await call('DELETE', '/instances/enabled', undefined, headers);
    expect(server.instances).toMatchObject([{ name: 'Acme' }, { name: 'Renamed', disabled: true }]);
    await call('PUT', '/instances', { ...taxify, name: 'Replaced' }, headers);
    await call('PUT', '/instances/enabled', undefined, headers);
    expect(server.instances).toMatchObject([{ name: 'Acme' }, { name: 'Replaced', disabled: false }]);

    expect(await call('DELETE', '/instances', undefined, headers)).toMatchObject({ status: 200 });
    expect(server.instances).toMatchObject([{ id: kept.id }]);
    expect(await call('DELETE', '/instances', undefined, headers)).toMatchObject({ status: 401 });
    expect(await call('DELETE', '/instances')).toMatchObject({ status: 401 });
  });
});

describe('requests that the platform does not know', () => {
  test('an unknown path is a platform error below the prefix and a page of the proxy elsewhere', async () => {
    expect((await call('GET', '/nothing')).error()).toMatchObject({ message: 'Not found' });
    const { statusCode, headers, body } = await request(`${server.url}/instances`, {
      headers: { authorization },
    });
    expect(statusCode).toBe(404);
    expect(headers['content-type']).toBe('text/html');
    expect(await body.text()).toContain('<html>');
  });

  test('a wrong method is a 405, an unsupported accept header a 406, an unsupported content type a 415', async () => {
    expect(await call('DELETE', '/instances/1/nothing')).toMatchObject({ status: 404 });
    expect(await call('POST', '/instances/1', taxify)).toMatchObject({ status: 405 });
    expect(await call('POST', '/instances', taxify, { accept: 'text/html' })).toMatchObject({ status: 406 });
    expect(await call('POST', '/instances', taxify, { 'content-type': 'text/plain' })).toMatchObject({
      status: 415,
    });
  });

  test.each([
    ['is not JSON', '{"element":', 'body'],
    ['is not an object', '[]', 'body'],
    ['is missing', undefined, 'body'],
    ['has no element', { ...taxify, element: undefined }, 'element'],
    ['has no name', { ...taxify, name: undefined }, 'name'],
    ['has tags that are no strings', { ...taxify, tags: [1] }, 'tags.0'],
  ])('a request is a 400 for a body that %s', async (_what, body, named) => {
    const response = await call('POST', '/instances', body);
    expect(response.status).toBe(400);
    expect(response.error().message).toContain(named);
  });

  test('a request of more than 8 MB is a 429', async () => {
    const response = await call('POST', '/instances', { ...taxify, name: 'x'.repeat(8 * 1024 * 1024) });
    expect(response).toMatchObject({ status: 429 });
  });

  test('a page of more than 8 MB is a 429, and a smaller one is returned', async () => {
    const large = { ...taxify, name: 'x'.repeat(1024 * 1024) };
    for (let count = 0; count < 8; count += 1) await create(large);
    expect(await call('GET', '/instances')).toMatchObject({ status: 429 });
    expect(await call('GET', '/instances?pageSize=4')).toMatchObject({ status: 200 });
  });
});

describe('POST /instances', () => {
  test('POST /instances answers 200 with the whole instance, the credential in clear, all values as strings', async () => {
    const configuration = {
      ...taxify.configuration,
      'pagination.max': 50,
      'event.notification.enabled': true,
    };
    const { status, json } = await call('POST', '/instances', { ...taxify, configuration });
    expect(status).toBe(200);
    expect(json).toMatchObject({
      id: expect.any(Number),
      name: 'Acme',
      createdDate: '2026-11-23T10:20:30Z',
      element: { id: 320, key: 'taxify', name: 'Taxify', hub: 'finance', resources: [] },
      tags: ['acme'],
      user: {
        id: 1,
        emailAddress: expect.stringContaining('@'),
        firstName: expect.any(String),
        lastName: expect.any(String),
      },
      provisionInteractions: [],
      valid: true,
      disabled: false,
      configuration: {
        'api.key': 'taxify-key-for-tests',
        'pagination.type': null,
        'pagination.max': '50',
        'event.notification.enabled': 'true',
      },
    });
    const { token } = instanceSchema.parse(json);
    expect(token).toHaveLength(44);
    expect(Buffer.from(token, 'base64')).toHaveLength(32);
    expect(server.instances).toMatchObject([{ token, element: { key: 'taxify' }, configuration }]);
  });

  test('POST /instances accepts objects and lists in the configuration, and shows them as JSON text', async () => {
    const poller = { contacts: { url: '/hubs/helpdesk/contacts', idField: 'id' } };
    const configuration = { ...taxify.configuration, 'event.poller.configuration': poller, list: ['a', 1] };
    const { status, json } = await call('POST', '/instances', { ...taxify, configuration });
    expect(status).toBe(200);
    const shown = { 'event.poller.configuration': JSON.stringify(poller), list: '["a",1]' };
    expect(json).toMatchObject({ configuration: shown });
    expect(await call('GET', '/instances')).toMatchObject({ json: [{ configuration: shown }] });
    expect(server.instances[0]?.configuration).toEqual(configuration);
  });

  test('POST /instances accepts empty text and null for optional entries', async () => {
    const configuration = { ...taxify.configuration, 'event.poller.urls': '', 'event.objects': null };
    const { json } = await call('POST', '/instances', { ...taxify, configuration });
    expect(json).toMatchObject({ configuration: { 'event.poller.urls': '', 'event.objects': null } });
  });

  test('POST /instances makes another instance of the same request each time', async () => {
    const first = await create();
    const second = await create();
    expect(second.id).not.toBe(first.id);
    expect(second.token).not.toBe(first.token);
    expect(server.instances).toMatchObject([{ id: first.id }, { id: second.id }]);
  });

  test('POST /instances strips markup from names and tags', async () => {
    await create({ ...taxify, name: '<a href="x">Acme</a> @ 1', tags: ['<b>acme</b>'] });
    expect(server.instances).toMatchObject([{ name: 'Acme @ 1', tags: ['acme'] }]);
  });

  test('POST /instances without tags makes the name the only tag', async () => {
    await create({ ...taxify, tags: undefined });
    expect(server.instances).toMatchObject([{ tags: ['Acme'] }]);
  });

  test('POST /instances names all missing required configuration', async () => {
    const response = await call('POST', '/instances', {
      ...taxify,
      element: { key: 'freshdeskv2' },
      configuration: { username: '' },
    });
    expect(response.status).toBe(400);
    expect(response.error().message).toContain('subdomain, username');
    expect(server.instances).toEqual([]);
  });

  test('POST /instances accepts other elements than Taxify, and gives 404 for an unknown one', async () => {
    const configuration = { subdomain: 'acme', username: 'freshdesk-key-for-tests' };
    const { json } = await call('POST', '/instances', {
      ...taxify,
      element: { key: 'freshdeskv2' },
      configuration,
    });
    expect(json).toMatchObject({ element: { id: 491, key: 'freshdeskv2' }, configuration });
    const unknown = await call('POST', '/instances', { ...taxify, element: { key: 'unknown' } });
    expect(unknown.status).toBe(404);
    expect(unknown.error().message).toContain('unknown');
  });

  test.each([
    ['refused-key', 400],
    ['refused-401-key', 401],
  ])('POST /instances passes the refusal of %s on as %d with personal data in it', async (key, status) => {
    const response = await call('POST', '/instances', { ...taxify, configuration: { 'api.key': key } });
    expect(response.status).toBe(status);
    expect(response.error().providerMessage).toContain('@');
    expect(server.instances).toEqual([]);
  });
});

describe('GET /instances', () => {
  test('GET /instances without a match is a 404 with a platform body', async () => {
    const response = await call('GET', '/instances?tags%5B%5D=acme');
    expect(response.status).toBe(404);
    expect(response.error().message).toMatch(/^No .* found$/);
  });

  test('GET /instances lists instances with their tokens and without their credentials', async () => {
    const { id, token } = await create();
    const { json, text } = await call('GET', '/instances');
    expect(json).toMatchObject([{ id, token, tags: ['acme'], configuration: { 'api.key': '********' } }]);
    expect(text).not.toContain('taxify-key-for-tests');
    expect(text).not.toContain('TAXIFY_PARTNER_KEY');
  });

  test('GET /instances finds by tags, all of them, and by a part of the name or the element key', async () => {
    await create({ ...taxify, name: 'one', tags: ['a', 'b'] });
    await create({ ...taxify, name: 'two', tags: ['a', 'c?d'] });
    expect(await names('tags[]=a')).toEqual(['one', 'two']);
    expect(await names('tags[]=a&tags[]=b')).toEqual(['one']);
    expect(await names('tags%5B%5D=a&tags%5B%5D=b')).toEqual(['one']);
    expect(await names('tags[]=c?d')).toEqual(['two']);
    expect(await names('searchText=tw')).toEqual(['two']);
    expect(await names('searchText=taxi&tags[]=b')).toEqual(['one']);
    expect(await names('searchText=three')).toEqual([]);
  });

  test('GET /instances without hydration shows few fields', async () => {
    const { id, token } = await create();
    const { json } = await call('GET', '/instances?hydrate=false');
    expect(json).toEqual([{ id, token, name: 'Acme', tags: ['acme'], element: { id: 320, key: 'taxify' } }]);
  });

  test('GET /instances returns pages', async () => {
    for (const name of ['one', 'two', 'three']) await create({ ...taxify, name });
    const first = await call('GET', '/instances?pageSize=2&nextPage=');
    expect(first).toMatchObject({ json: [{ name: 'one' }, { name: 'two' }] });
    expect(first.headers).toMatchObject({ 'elements-total-count': '3', 'elements-returned-count': '2' });

    const nextPage = String(first.headers['elements-next-page-token']);
    const second = await call('GET', `/instances?pageSize=2&nextPage=${encodeURIComponent(nextPage)}`);
    expect(second).toMatchObject({ json: [{ name: 'three' }] });
    expect(second.headers).toMatchObject({ 'elements-total-count': '3', 'elements-returned-count': '1' });
    expect(second.headers).not.toHaveProperty('elements-next-page-token');

    expect(await call('GET', `/instances?nextPage=${nextPage}`)).toMatchObject({ status: 400 });
    expect(await call('GET', '/instances?pageSize=0')).toMatchObject({ status: 400 });
  });

  test('GET /instances returns at most 200 at once', async () => {
    await Promise.all(Array.from({ length: 201 }, () => create()));
    const { headers } = await call('GET', '/instances?pageSize=1000');
    expect(headers).toMatchObject({ 'elements-returned-count': '200', 'elements-total-count': '201' });
  });

  test('GET /instances shows new instances late on demand', async () => {
    server.listLagMs = 1_000;
    const { id } = await create();
    expect(await call('GET', '/instances')).toMatchObject({ status: 404 });
    expect(await call('GET', '/instances?tags[]=acme')).toMatchObject({ status: 404 });
    expect(await call('GET', `/instances/${id}`)).toMatchObject({ status: 200 });
    clockMs += 1_000;
    expect(await call('GET', '/instances?tags[]=acme')).toMatchObject({ status: 200 });
  });

  test('GET /instances shows tags as objects, or neither tags nor token, on demand', async () => {
    await create();
    server.listShape = { tags: 'objects' };
    expect(await call('GET', '/instances')).toMatchObject({ json: [{ tags: [{ id: 1, name: 'acme' }] }] });
    server.listShape = { tags: 'absent', token: 'absent' };
    const { json } = await call('GET', '/instances?hydrate=false');
    expect(json).toEqual([{ id: expect.any(Number), name: 'Acme', element: { id: 320, key: 'taxify' } }]);
  });

  test('GET /instances ignores the tag filter on demand', async () => {
    await create();
    server.ignoreTagFilter = true;
    expect(await names('tags[]=other')).toEqual(['Acme']);
  });
});

describe('one instance', () => {
  test('an instance is read with its token and with its credential masked', async () => {
    const { id, token } = await create();
    const { json } = await call('GET', `/instances/${id}`);
    expect(json).toMatchObject({ id, token, configuration: { 'api.key': '********' } });
  });

  test('PATCH of an instance replaces tags, merges configuration, ignores masks and keeps the token', async () => {
    const { id, token } = await create();
    const { status, json } = await call('PATCH', `/instances/${id}`, {
      tags: ['<i>new</i>'],
      configuration: { 'api.key': '********', 'pagination.max': 10 },
    });
    expect(status).toBe(200);
    expect(json).toMatchObject({ token, configuration: { 'api.key': '********', 'pagination.max': '10' } });
    expect(server.instances).toMatchObject([
      {
        name: 'Acme',
        tags: ['new'],
        token,
        configuration: { 'api.key': 'taxify-key-for-tests', 'pagination.max': 10 },
      },
    ]);
  });

  test('documented fields beside the configuration are shown, and changed by PATCH', async () => {
    const further = { eventsEnabled: true, cachingEnabled: true, externalAuthentication: 'initial' };
    const { id, ...shown } = await create({ ...taxify, ...further, retrieveObjectsAfterInstantiation: true });
    expect(shown).toMatchObject({ ...further, objects: [{ name: 'accounts' }] });
    const { json } = await call('PATCH', `/instances/${id}`, { eventsEnabled: false });
    expect(json).toMatchObject({ ...further, eventsEnabled: false });
    expect(json).not.toHaveProperty('objects');
  });

  test('an instance is unchanged when a change is refused', async () => {
    const { id } = await create();
    const configuration = { 'api.key': 'refused-key' };
    const refused = await call('PATCH', `/instances/${id}`, { name: 'Renamed', configuration });
    expect(refused.status).toBe(400);
    expect(refused.error().providerMessage).toContain('@');
    expect(await call('PATCH', `/instances/${id}`, { name: 7 })).toMatchObject({ status: 400 });
    expect(server.instances).toMatchObject([{ name: 'Acme', configuration: taxify.configuration }]);
  });

  test('an instance keeps a masked default that is sent back', async () => {
    const { id } = await create();
    const { json } = await call('GET', `/instances/${id}`);
    const { configuration } = z.object({ configuration: z.record(z.string(), z.unknown()) }).parse(json);
    const { json: replaced } = await call('PUT', `/instances/${id}`, { ...taxify, configuration });
    expect(replaced).toMatchObject({ configuration });
    expect(server.instances[0]?.configuration).toMatchObject(taxify.configuration);
    expect(Object.values(server.instances[0]?.configuration ?? {})).not.toContain('********');
  });

  test('PUT of an instance replaces its configuration, except masked entries, and clears its tags', async () => {
    const { id, token } = await create({
      ...taxify,
      configuration: { ...taxify.configuration, 'pagination.max': 10 },
    });
    const configuration = { 'api.key': '********' };
    await call('PUT', `/instances/${id}`, { ...taxify, name: 'Renamed', tags: [], configuration });
    expect(server.instances).toMatchObject([{ name: 'Renamed', tags: [], token }]);
    expect(server.instances[0]?.configuration).toEqual(taxify.configuration);
    expect(await call('PUT', `/instances/${id}`, { configuration: {} })).toMatchObject({ status: 400 });
  });

  test('an instance can be disabled and enabled again', async () => {
    const { id } = await create();
    await call('DELETE', `/instances/${id}/enabled`);
    expect(await call('GET', `/instances/${id}`)).toMatchObject({ json: { disabled: true } });
    await call('PUT', `/instances/${id}/enabled`);
    expect(await call('GET', `/instances/${id}`)).toMatchObject({ json: { disabled: false } });
  });

  test('DELETE of an instance is final, with no body in the response', async () => {
    const { id } = await create();
    expect(await call('DELETE', `/instances/${id}`)).toMatchObject({ status: 200, text: '' });
    expect(server.instances).toEqual([]);
    for (const method of ['GET', 'PUT', 'PATCH', 'DELETE']) {
      const response = await call(method, `/instances/${id}`, method[0] === 'P' ? {} : undefined);
      expect(response.status).toBe(404);
      expect(response.error().message).toContain(String(id));
    }
  });
});

describe('faults', () => {
  test('faults apply the given number of times, to the given operation, also when it is not authorized', async () => {
    server.fail({ on: 'POST /instances', times: 2, ...notApplied(503) });
    expect(await call('GET', '/instances')).toMatchObject({ status: 404 });
    const first = await call('POST', '/instances', taxify);
    expect(first.status).toBe(503);
    expect(first.error().message).toBe('Service Unavailable');
    expect(await call('POST', '/instances', taxify, { authorization: '' })).toMatchObject({ status: 503 });
    expect(await call('POST', '/instances', taxify)).toMatchObject({ status: 200 });
    expect(server.instances).toHaveLength(1);
  });

  test.each([
    { effect: 'none', count: 0 },
    { effect: 'applied', count: 1 },
  ] as const)(
    'faults leave $count instances behind when their effect is $effect',
    async ({ effect, count }) => {
      server.fail({
        on: 'POST /instances',
        effect,
        outcome: {
          kind: 'status',
          status: 502,
          body: '<html>Bad Gateway</html>',
          headers: { 'retry-after': '1' },
        },
      });
      const response = await call('POST', '/instances', taxify);
      expect(response).toMatchObject({ status: 502, text: '<html>Bad Gateway</html>' });
      expect(response.headers).toMatchObject({ 'content-type': 'text/html', 'retry-after': '1' });
      expect(server.instances).toHaveLength(count);
    },
  );

  test('faults apply to every other operation, too', async () => {
    const { id } = await create();
    const outcome = { kind: 'status', status: 409, body: { message: 'in use' } } as const;
    server.fail({ on: 'DELETE /instances/{id}', effect: 'none', outcome });
    server.fail({ on: 'PATCH /instances/{id}', effect: 'applied', outcome });
    server.fail({ on: 'GET /instances/{id}', effect: 'none', outcome });
    server.fail({ on: 'GET /instances', effect: 'none', outcome });
    const conflict = { status: 409, json: { message: 'in use' } };
    expect(await call('DELETE', `/instances/${id}`)).toMatchObject(conflict);
    expect(await call('PATCH', `/instances/${id}`, { name: 'Renamed' })).toMatchObject(conflict);
    expect(await call('GET', `/instances/${id}`)).toMatchObject(conflict);
    expect(await call('GET', '/instances')).toMatchObject(conflict);
    expect(server.instances).toMatchObject([{ name: 'Renamed' }]);
  });

  test('a fault resets the connection before any response', async () => {
    server.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'reset' } });
    await expect(call('POST', '/instances', taxify)).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(server.instances).toHaveLength(1);
  });

  test('a fault breaks the connection in the middle of the body', async () => {
    server.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'reset-mid-body' } });
    const { statusCode, body } = await request(`${server.url}/elements/api-v2/instances`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify(taxify),
    });
    expect(statusCode).toBe(200);
    await expect(body.text()).rejects.toMatchObject({ code: 'UND_ERR_SOCKET' });
    expect(server.instances).toHaveLength(1);
  });

  test('a fault stalls without end', async () => {
    server.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'stall' } });
    const client = new AbortController();
    const response = call('POST', '/instances', taxify, {}, { signal: client.signal });
    await expect.poll(() => server.instances, { interval: 2 }).toHaveLength(1);
    const first = await Promise.race([response, sleep(20, 'nothing')]);
    client.abort();
    expect(first).toBe('nothing');
    await expect(response).rejects.toThrow('aborted');
  });

  test('a fault stalls or delays for a while, then the response is sent', async () => {
    server.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'stall', ms: 30 } });
    server.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'delay', ms: 30 } });
    for (let count = 1; count <= 2; count += 1) {
      const startedAt = performance.now();
      expect(await call('POST', '/instances', taxify)).toMatchObject({ status: 200, json: { name: 'Acme' } });
      expect(performance.now() - startedAt).toBeGreaterThan(25);
      expect(server.instances).toHaveLength(count);
    }
  });

  test('a fault gives a 500 in place of the response when the request had no effect', async () => {
    server.fail({ on: 'POST /instances', effect: 'none', outcome: { kind: 'delay', ms: 1 } });
    const response = await call('POST', '/instances', taxify);
    expect(response.status).toBe(500);
    expect(response.error().message).toContain('went wrong');
    expect(server.instances).toEqual([]);
  });

  test('a fault of a GET keeps its correct response, with any effect', async () => {
    await create();
    server.fail({ on: 'GET /instances', effect: 'none', outcome: { kind: 'delay', ms: 1 } });
    expect(await names('')).toEqual(['Acme']);
  });

  test('a fault sends the response byte by byte', async () => {
    server.fail({ on: 'DELETE /instances/{id}', ...notApplied({ kind: 'drip', bytesPerSecond: 1_000 }) });
    const startedAt = performance.now();
    const { status, text } = await call('DELETE', '/instances/1');
    expect(status).toBe(500);
    expect(text.length).toBeGreaterThan(50);
    expect(performance.now() - startedAt).toBeGreaterThan(50);
  });

  test('a fault makes the response unreadable', async () => {
    server.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'unreadable' } });
    const { status, text, headers } = await call('POST', '/instances', taxify);
    expect({ status, type: headers['content-type'] }).toEqual({ status: 200, type: 'application/json' });
    expect(() => JSON.parse(text)).toThrow('JSON');
    expect(server.instances).toHaveLength(1);
  });

  test('a fault delays the effect until after the reset', async () => {
    server.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'late-effect', ms: 100 } });
    await expect(call('POST', '/instances', taxify)).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(server.instances).toEqual([]);
    await expect.poll(() => server.instances, { interval: 5 }).toHaveLength(1);
  });

  test('a fault quotes credentials', async () => {
    server.fail({ on: 'POST /instances', effect: 'none', outcome: { kind: 'echo-credentials' } });
    const response = await call('POST', '/instances', taxify);
    expect(response.status).toBe(400);
    expect(response.error().message).toContain('taxify-key-for-tests');
    expect(server.instances).toEqual([]);
  });

  test('a function decides about faults when none is pending', async () => {
    await using chaotic = await startCloudElements({
      ...secrets,
      faultFor: ({ operation }) =>
        operation === 'POST /instances' ? { effect: 'applied', outcome: { kind: 'reset' } } : undefined,
    });
    const post = () => call('POST', '/instances', taxify, {}, { url: chaotic.url });
    await expect(post()).rejects.toMatchObject({ code: 'ECONNRESET' });
    chaotic.faultFor = () => undefined;
    expect(await post()).toMatchObject({ status: 200 });
    expect(chaotic.instances).toHaveLength(2);
  });
});

describe('the server', () => {
  test('the simulator remembers requests with their connections', async () => {
    await call('GET', '/instances?tags%5B%5D=a%20b', undefined, { connection: 'close' });
    await call('POST', '/instances', taxify, { connection: 'close' });
    await call('GET', '/nothing');
    expect(server.requests).toMatchObject([
      { operation: 'GET /instances', method: 'GET', path: '/elements/api-v2/instances', at: clockMs },
      { operation: 'POST /instances', body: taxify, headers: { authorization } },
      { operation: undefined, path: '/elements/api-v2/nothing' },
    ]);
    expect(server.requests[0]?.query.getAll('tags[]')).toEqual(['a b']);
    expect(new Set(server.requests.map(({ connection }) => connection)).size).toBe(3);
  });

  test('the simulator delays responses after their effect by the given latency', async () => {
    server.latencyMs = 30;
    const startedAt = performance.now();
    expect(await call('GET', '/instances')).toMatchObject({ status: 404 });
    expect(performance.now() - startedAt).toBeGreaterThan(25);

    server.latencyMs = 60_000;
    const client = new AbortController();
    const response = call('POST', '/instances', taxify, {}, { signal: client.signal });
    await expect.poll(() => server.instances, { interval: 2 }).toHaveLength(1);
    client.abort();
    await expect(response).rejects.toThrow('aborted');
  });

  test('the simulator survives a client that goes away in the middle of its request', async () => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    socket.write('POST /elements/api-v2/instances HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"elem');
    await once(socket, 'connect');
    socket.resetAndDestroy();
    expect(await call('GET', '/instances')).toMatchObject({ status: 404 });
    expect(server.instances).toEqual([]);
  });

  test('the simulator ends every connection when it stops, once or twice', async () => {
    server.fail({ on: 'GET /instances', times: 2, effect: 'none', outcome: { kind: 'stall' } });
    const calls = Promise.allSettled([call('GET', '/instances'), call('GET', '/instances')]);
    await expect.poll(() => server.requests, { interval: 2 }).toHaveLength(2);
    await server.stop();
    await server.stop();
    expect(await calls).toMatchObject([{ status: 'rejected' }, { status: 'rejected' }]);
    await expect(call('GET', '/instances')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('the simulator does not keep its process alive after a stop, and prints nothing', async () => {
    const script = `
      import { startCloudElements } from ${JSON.stringify(import.meta.resolve('../../../../infra/local/cloud-elements/simulator.ts'))};
      const server = await startCloudElements({ userSecret: 'u', organizationSecret: 'o' });
      const outcomes = [{ kind: 'stall', ms: 60_000 }, { kind: 'late-effect', ms: 60_000 },
        { kind: 'delay', ms: 60_000 }, { kind: 'drip', bytesPerSecond: 0.01 }, { kind: 'stall' }];
      for (const outcome of outcomes) {
        server.fail({ on: 'POST /instances', effect: 'applied', outcome });
        fetch(server.url + '/elements/api-v2/instances', { method: 'POST' }).catch(() => {});
      }
      while (server.requests.length < outcomes.length) await new Promise(setImmediate);
      await server.stop();`;
    const printed = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '--disable-warning=ExperimentalWarning', '--eval', script],
      { timeout: 4_000 },
    );
    expect(printed).toEqual({ stdout: '', stderr: '' });
  });
});

function authorize(userSecret: string): string {
  return `User ${userSecret}, Organization ${secrets.organizationSecret}`;
}

function call(
  method: string,
  path: string,
  body?: object | string,
  headers: Record<string, string> = {},
  { signal = AbortSignal.timeout(2_000), url = server.url } = {},
) {
  const credentials = 'AUTHORIZATION' in headers ? {} : { authorization };
  return callPlatform({ url, method, path, body, headers: { ...credentials, ...headers }, signal });
}

async function create(body: object = taxify) {
  const { json } = await call('POST', '/instances', body);
  return instanceSchema.parse(json);
}

async function names(query: string): Promise<unknown> {
  const { status, json } = await call('GET', `/instances?${query}`);
  return status === 404
    ? []
    : z
        .array(instanceSchema)
        .parse(json)
        .map(({ name }) => name);
}
