import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { startCloudElements, type CloudElements } from '../../../../infra/local/cloud-elements/simulator.ts';
import { callPlatform, instanceSchema } from './call-platform.ts';

const secrets = { userSecret: 'user-secret-for-tests', organizationSecret: 'organization-secret-for-tests' };
const authorization = `User ${secrets.userSecret}, Organization ${secrets.organizationSecret}`;
const configuration = { username: 'account', password: 'key-for-tests', own: 'entry' };

const entriesSchema = z.array(
  z.strictObject({
    id: z.int(),
    key: z.string(),
    name: z.string(),
    description: z.string(),
    propertyValue: z.nullable(z.string()),
    required: z.boolean(),
    type: z.string(),
    hideFromConsole: z.boolean(),
    active: z.boolean(),
  }),
);

let server: CloudElements;
let instance: z.infer<typeof instanceSchema>;

beforeEach(async () => {
  server = await startCloudElements(secrets);
  const body = { element: { key: 'twiliov2' }, name: 'Acme', configuration };
  instance = instanceSchema.parse((await call('POST', '/instances', body)).json);
});
afterEach(() => server.stop());

describe('GET /instances/{id}/configuration', () => {
  test('the configuration lists defined entries and others that were sent, secrets masked', async () => {
    const entries = await entriesOf(`/instances/${instance.id}`);
    const byKey = Object.fromEntries(entries.map((each) => [each.key, each]));
    expect(byKey).toMatchObject({
      username: { propertyValue: 'account', required: true, type: 'TEXTFIELD_128', name: 'Account SID' },
      password: { propertyValue: '********', required: true, type: 'PASSWORD' },
      'pagination.max': { propertyValue: '100', required: false },
      'event.notification.enabled': { propertyValue: 'false', type: 'BOOLEAN' },
      'event.notification.callback.url': { propertyValue: null },
      own: { propertyValue: 'entry', required: false },
    });
    expect(new Set(entries.map(({ id }) => id)).size).toBe(entries.length);
  });

  test('an entry is read by its id, and is a 404 for an id of another instance', async () => {
    const [first] = await entriesOf(`/instances/${instance.id}`);
    const path = `/instances/${instance.id}/configuration`;
    expect(await call('GET', `${path}/${first?.id}`)).toMatchObject({ status: 200, json: first });

    const body = { element: { key: 'twiliov2' }, name: 'Other', configuration };
    const other = instanceSchema.parse((await call('POST', '/instances', body)).json);
    const response = await call('GET', `/instances/${other.id}/configuration/${first?.id}`);
    expect(response.status).toBe(404);
    expect(response.error().message).toContain(`${first?.id}`);
    expect(await call('GET', `/instances/1/configuration/${first?.id}`)).toMatchObject({ status: 404 });
  });
});

describe('PATCH /instances/{id}/configuration/{configId}', () => {
  test('PATCH changes one entry, returns it, and keeps its id, the rest and the token', async () => {
    const { path, id } = await entry('event.notification.enabled');
    const response = await call('PATCH', path, { propertyValue: 'true' });
    expect(response).toMatchObject({ status: 200, json: { id, propertyValue: 'true' } });
    expect(await call('GET', path)).toMatchObject({ json: { id, propertyValue: 'true' } });
    expect(server.instances).toMatchObject([
      { token: instance.token, configuration: { ...configuration, 'event.notification.enabled': 'true' } },
    ]);
  });

  test('PATCH accepts the whole entry, as the vendor suite sends it', async () => {
    const { path, ...whole } = await entry('event.notification.enabled');
    expect(await call('PATCH', path, { ...whole, propertyValue: 'true' })).toMatchObject({ status: 200 });
  });

  test('PATCH stores a changed credential and shows it masked', async () => {
    const { path } = await entry('password');
    const response = await call('PATCH', path, { propertyValue: 'rotated-for-tests' });
    expect(response).toMatchObject({ status: 200, json: { propertyValue: '********' } });
    expect(server.instances).toMatchObject([{ configuration: { password: 'rotated-for-tests' } }]);
  });

  test('PATCH ignores a mask that is sent back', async () => {
    const { path } = await entry('password');
    expect(await call('PATCH', path, { propertyValue: '********' })).toMatchObject({ status: 200 });
    expect(server.instances[0]?.configuration).toEqual(configuration);
  });

  test.each([
    ['no text', { propertyValue: true }, 'propertyValue'],
    ['no value', {}, 'propertyValue'],
    ['no value for a required entry', { propertyValue: '' }, 'password'],
    ['a credential that the vendor refuses', { propertyValue: 'refused-key' }, 'Bad Request'],
  ])('PATCH refuses %s and changes nothing', async (_what, body, named) => {
    const { path } = await entry('password');
    const response = await call('PATCH', path, body);
    expect(response.status).toBe(400);
    expect(response.error().message).toContain(named);
    expect(server.instances[0]?.configuration).toEqual(configuration);
  });
});

describe('/instances/configuration', () => {
  test('the configuration of the instance that the token names is listed, read and changed', async () => {
    const entries = await entriesOf('/instances', withToken());
    expect(entries).toEqual(await entriesOf(`/instances/${instance.id}`));
    const { id } = await entry('filter.response.nulls');
    const path = `/instances/configuration/${id}`;
    expect(await call('GET', path, undefined, withToken())).toMatchObject({
      json: { propertyValue: 'true' },
    });
    const changed = await call('PATCH', path, { propertyValue: 'false' }, withToken());
    expect(changed).toMatchObject({ status: 200, json: { id, propertyValue: 'false' } });
    expect(server.instances).toMatchObject([{ configuration: { 'filter.response.nulls': 'false' } }]);
  });

  test('a missing or stale element token is a 401', async () => {
    expect(await call('GET', '/instances/configuration')).toMatchObject({ status: 401 });
    const stale = { authorization: `${authorization}, Element stale=` };
    expect(await call('GET', '/instances/configuration', undefined, stale)).toMatchObject({ status: 401 });
  });
});

function withToken() {
  return { authorization: `${authorization}, Element ${instance.token}` };
}

function call(method: string, path: string, body?: object, headers: Record<string, string> = {}) {
  return callPlatform({ url: server.url, method, path, body, headers: { authorization, ...headers } });
}

async function entriesOf(instancePath: string, headers: Record<string, string> = {}) {
  const { status, json } = await call('GET', `${instancePath}/configuration`, undefined, headers);
  expect(status).toBe(200);
  return entriesSchema.parse(json);
}

async function entry(key: string) {
  const found = (await entriesOf(`/instances/${instance.id}`)).find((each) => each.key === key);
  if (!found) throw new Error(`${key} is not listed.`);
  return { ...found, path: `/instances/${instance.id}/configuration/${found.id}` };
}
