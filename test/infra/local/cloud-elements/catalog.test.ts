import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { startCloudElements, type CloudElements } from '../../../../infra/local/cloud-elements/simulator.ts';
import { elements } from '../../../../infra/local/cloud-elements/catalog.ts';
import { callPlatform, instanceSchema } from './call-platform.ts';

const secrets = { userSecret: 'user-secret-for-tests', organizationSecret: 'organization-secret-for-tests' };
const authorization = `User ${secrets.userSecret}, Organization ${secrets.organizationSecret}`;

/** The configuration in each guide, its placeholders filled in, and the entries that the platform fills in itself. */
const documented: Record<string, { configuration: Record<string, unknown>; optional?: readonly string[] }> = {
  taxify: { configuration: { 'api.key': 'key' } },
  freshdeskv2: {
    configuration: { subdomain: 'shop', username: 'key', 'filter.response.nulls': true },
    optional: ['filter.response.nulls'],
  },
  freshservice: { configuration: { username: 'user', password: 'word', subdomain: 'shop' } },
  servicenow: {
    configuration: {
      username: 'user',
      password: 'word',
      'servicenow.subdomain': 'shop',
      'filter.response.nulls': true,
    },
    optional: ['filter.response.nulls'],
  },
  bamboohr: { configuration: { username: 'key', 'company.name': 'shop' } },
  chargify: { configuration: { username: 'key', password: 'word', site: 'shop' } },
  chargebee: { configuration: { site: 'shop', username: 'key', password: 'word' } },
  stripe: { configuration: { 'api.key': 'key' } },
  amazons3: {
    configuration: {
      'document.tagging': true,
      'filemanagement.provider.access_key': 'key',
      'filemanagement.provider.secret_key': 'word',
      'filemanagement.provider.bucket_name': 'bucket',
      'filemanagement.provider.region_name': 'us-east-1',
    },
    optional: ['document.tagging', 'filemanagement.provider.region_name'],
  },
  autopilot: { configuration: { 'api.key': 'key' } },
  ecwid: {
    configuration: { 'ecwid.order.key': 'key', 'ecwid.product.key': 'key', 'ecwid.store.id': 'shop' },
  },
  bigcommerce: {
    configuration: {
      'store.url': 'https://store-shop.mybigcommerce.com/api/v2/',
      username: 'user',
      password: 'key',
    },
  },
  woocommerce: {
    configuration: {
      'base.url': 'https://shop.example/wc-api/v2',
      'oauth.api.key': 'key',
      'oauth.api.secret': 'word',
      'store.url': 'https://shop.example',
    },
  },
  twilio: {
    configuration: {
      'messaging.sms.twilio.protocol': 'sms',
      'messaging.sms.twilio.account': 'account',
      'messaging.sms.twilio.sender': 'sender',
      'messaging.sms.twilio.token': 'key',
      'messaging.sms.twilio.callback.url': 'https://www.mycoolapp.com/auth',
    },
    optional: ['messaging.sms.twilio.protocol', 'messaging.sms.twilio.callback.url'],
  },
  twiliov2: {
    configuration: {
      username: 'account',
      password: 'key',
      'event.notification.enabled': 'true',
      'event.notification.callback.url': 'https://app.example',
      'event.poller.configuration': {
        messages: {
          url: "/hubs/messaging/messages?where=DateSent='${date:yyyy-MM-dd'T'HH:mm:ssXXX}'",
          idField: 'sid',
        },
      },
    },
    optional: ['event.notification.enabled', 'event.notification.callback.url', 'event.poller.configuration'],
  },
  sendgrid: {
    configuration: {
      'messaging.smtp.sendgrid.username': 'user',
      'messaging.smtp.sendgrid.password': 'word',
      'messaging.smtp.sendgrid.sender': 'sender',
      'messaging.smtp.sendgrid.protocol': 'smtp',
      'messaging.smtp.sendgrid.port': '587',
      'messaging.smtp.sendgrid.server': 'smtp.sendgrid.net',
    },
    optional: [
      'messaging.smtp.sendgrid.protocol',
      'messaging.smtp.sendgrid.port',
      'messaging.smtp.sendgrid.server',
    ],
  },
};
const keys = Object.keys(documented);
const requiredOf = (key: string): string[] => {
  const { configuration = {}, optional = [] } = documented[key] ?? {};
  return Object.keys(configuration).filter((name) => !optional.includes(name));
};

/** The schema of the vendor's own tests, and never empty. */
const entrySchema = z.looseObject({
  key: z.string().check(z.minLength(1)),
  name: z.string().check(z.minLength(1)),
  description: z.string().check(z.minLength(1)),
  type: z.enum(['BOOLEAN', 'PASSWORD', 'TEXTAREA', 'TEXTFIELD_128', 'TEXTFIELD_1000']),
  required: z.boolean(),
  defaultValue: z.optional(z.string()),
});

let server: CloudElements;

beforeEach(async () => {
  server = await startCloudElements(secrets);
});
afterEach(() => server.stop());

describe('the catalog', () => {
  test('the catalog has exactly the documented elements, each id and key once', () => {
    expect(elements.map(({ key }) => key).toSorted()).toEqual(keys.toSorted());
    expect(new Set(elements.map(({ id }) => id)).size).toBe(elements.length);
    for (const { entries } of elements) {
      expect(new Set(entries.map(({ key }) => key)).size).toBe(entries.length);
    }
  });

  test.each(keys)('the documented body of %s is provisioned', async (key) => {
    const { status, json } = await create(key);
    expect(status).toBe(200);
    const element = { key, hub: expect.stringMatching(/^[a-z]+$/), id: expect.any(Number) };
    expect(json).toMatchObject({
      element,
      configuration: { 'event.notification.enabled': expect.any(String) },
    });
    const { id } = instanceSchema.parse(json);
    expect(await call('GET', `/instances/${id}`)).toMatchObject({ status: 200, json: { element } });
  });

  test.each(keys.flatMap((key) => requiredOf(key).map((name) => [key, name] as const)))(
    'a body for %s without %s is refused by name',
    async (key, name) => {
      const configuration = { ...documented[key]?.configuration, [name]: '' };
      const response = await create(key, configuration);
      expect(response.status).toBe(400);
      expect(response.error().message).toBe(
        `You must provide ${name} in order to create an instance of this element`,
      );
      expect(server.instances).toEqual([]);
    },
  );

  test.each(keys)('a body for %s without configuration is refused with every missing entry', async (key) => {
    const { message } = (await create(key, {})).error();
    for (const name of requiredOf(key)) expect(message).toContain(name);
  });

  test('only entries of type password are masked when they are read', async () => {
    const { json } = await create('chargify');
    expect(json).toMatchObject({ configuration: { username: 'key', password: 'word', site: 'shop' } });
    const { json: read } = await call('GET', `/instances/${instanceSchema.parse(json).id}`);
    expect(read).toMatchObject({ configuration: { username: 'key', password: '********', site: 'shop' } });
  });

  test('an OAuth key and secret are masked even in the response to the create', async () => {
    const { json } = await create('woocommerce');
    expect(json).toMatchObject({
      configuration: { 'oauth.api.key': '********', 'oauth.api.secret': '********' },
    });
    expect(server.instances).toMatchObject([{ configuration: documented['woocommerce']?.configuration }]);
  });
});

describe('GET /elements', () => {
  test('GET /elements lists the catalog, in pages', async () => {
    const all = await call('GET', '/elements');
    expect(all).toMatchObject({ status: 200, headers: { 'elements-total-count': `${keys.length}` } });
    const first = await call('GET', '/elements?pageSize=10');
    const nextPage = encodeURIComponent(String(first.headers['elements-next-page-token']));
    const second = await call('GET', `/elements?pageSize=10&nextPage=${nextPage}`);
    expect(z.array(z.unknown()).parse(first.json).concat(second.json)).toEqual(all.json);
  });

  test.each(keys)(
    'element %s is described by its key and by its id, with its required entries',
    async (key) => {
      const { status, json } = await call('GET', `/elements/${key}`);
      expect(status).toBe(200);
      const element = z
        .looseObject({
          id: z.int(),
          key: z.literal(key),
          name: z.string(),
          description: z.string(),
          hub: z.string(),
          authentication: z.looseObject({}),
          configuration: z.array(entrySchema),
        })
        .parse(json);
      expect(await call('GET', `/elements/${element.id}`)).toMatchObject({ status: 200, json });
      expect(await call('GET', `/elements/${key}/configuration`)).toMatchObject({
        status: 200,
        json: element.configuration,
      });
      const required = element.configuration.filter((entry) => entry.required && !entry.defaultValue);
      expect(required.map((entry) => entry.key).toSorted()).toEqual(requiredOf(key).toSorted());
    },
  );

  test('GET /elements shows the default of an entry', async () => {
    const { json } = await call('GET', '/elements/taxify/configuration');
    const byKey = Object.fromEntries(
      z
        .array(entrySchema)
        .parse(json)
        .map((entry) => [entry.key, entry]),
    );
    expect(byKey['pagination.max']).toMatchObject({ defaultValue: '100', required: false });
    expect(byKey['api.key']).toMatchObject({ type: 'PASSWORD', required: true });
    expect(byKey['api.key']).not.toHaveProperty('defaultValue');
  });

  test.each(['/elements/unknown', '/elements/unknown/configuration', '/elements/unknown/instances'])(
    'GET %s is a 404 that names the element',
    async (path) => {
      const response = await call('GET', path);
      expect(response.status).toBe(404);
      expect(response.error().message).toContain('unknown');
    },
  );

  test('an id is no key in the body of a create', async () => {
    expect(await create('320', { 'api.key': 'key' })).toMatchObject({ status: 404 });
  });
});

describe('instances below their element', () => {
  test('the list of an element without instances is a 404 with a platform body', async () => {
    await create('taxify');
    const response = await call('GET', '/elements/chargify/instances');
    expect(response.status).toBe(404);
    expect(response.error().message).toMatch(/^No .* found$/);
  });

  test('the list of an element has only its instances, as GET /instances shows them', async () => {
    await create('chargify');
    const { json } = await create('taxify');
    const { id } = instanceSchema.parse(json);
    const read = await call('GET', `/instances/${id}`);
    for (const path of ['/elements/taxify/instances', '/elements/320/instances']) {
      const list = await call('GET', path);
      expect(list).toMatchObject({ status: 200, headers: { 'elements-total-count': '1' } });
      expect(list.json).toEqual([read.json]);
    }
    expect(read.json).toMatchObject({ createdDate: expect.any(String), element: { key: 'taxify' } });
  });

  test.each(['chargify', '498'])(
    'POST /elements/%s/instances needs no element in the body',
    async (keyOrId) => {
      const { configuration } = documented['chargify'] ?? {};
      const response = await call('POST', `/elements/${keyOrId}/instances`, { name: 'Acme', configuration });
      expect(response).toMatchObject({ status: 200, json: { name: 'Acme', element: { key: 'chargify' } } });
      expect(await call('POST', `/elements/${keyOrId}/instances`, '"text"')).toMatchObject({ status: 400 });
      expect(await call('POST', '/elements/unknown/instances', { name: 'Acme' })).toMatchObject({
        status: 404,
      });
      expect(server.instances).toHaveLength(1);
    },
  );

  test('an instance is read, changed and deleted only below its own element', async () => {
    const { id } = instanceSchema.parse((await create('chargify')).json);
    const elsewhere = `/elements/taxify/instances/${id}`;
    for (const method of ['GET', 'PUT', 'PATCH', 'DELETE']) {
      const response = await call(method, elsewhere, method[0] === 'P' ? { name: 'Other' } : undefined);
      expect(response.status).toBe(404);
      expect(response.error().message).toContain(`${id}`);
    }
    const path = `/elements/chargify/instances/${id}`;
    expect(await call('GET', path)).toMatchObject({ status: 200, json: { id, name: 'Acme' } });
    expect(await call('PATCH', path, { name: 'One' })).toMatchObject({ status: 200, json: { name: 'One' } });
    expect(await call('PUT', path, { name: 'Two' })).toMatchObject({ status: 200, json: { name: 'Two' } });
    expect(await call('DELETE', path)).toMatchObject({ status: 200, text: '' });
    expect(server.instances).toEqual([]);
  });
});

function call(method: string, path: string, body?: object | string) {
  return callPlatform({ url: server.url, method, path, body, headers: { authorization } });
}

/** Sends the documented body of the element, or another configuration. */
function create(key: string, configuration: object | undefined = documented[key]?.configuration) {
  return call('POST', '/instances', { element: { key }, configuration, tags: ['acme'], name: 'Acme' });
}
