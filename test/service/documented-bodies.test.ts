import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { newTenant } from '../support/real-servers.ts';
import { startService, tenantOnboarded, type Service } from '../support/running-service.ts';

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service[Symbol.asyncDispose]());
beforeEach(() => service.simulator.reset());

const pathOf = (tenantId: string, elementKey = 'taxify') => `/tenants/${tenantId}/instances/${elementKey}`;
/** The pointer and the detail of each fault that a refusal names. */
const problemsIn = ({ json }: { json: unknown }): unknown[] =>
  Object(json).errors.map(({ pointer, detail }: Record<string, unknown>) => [pointer, detail]);
const filledIn = 'expected a value in place of the placeholder in angle brackets, which was not filled in';

/** The body of the create that Cloud Elements received for the tenant, without the tags of this service. */
function receivedFor(tenantId: string): unknown {
  const bodies = service.simulator.requests
    .filter(({ operation }) => operation === 'POST /instances')
    .map(({ body }) => Object(body))
    .filter(({ tags }) => tags.includes(`tenant:${tenantId}`));
  expect(bodies).toHaveLength(1);
  const [{ tags, ...body }] = bodies;
  return { ...body, tags: tags.filter((tag: string) => !/^(tenant|provision|owner):/.test(tag)) };
}

const poller = {
  contacts: {
    url: "/hubs/crm/contacts?where=update_time>'${date:yyyy-MM-dd HH:mm:ss}'",
    idField: 'id',
    filterByUpdatedDate: true,
    datesConfiguration: {
      updatedDateField: 'update_time',
      updatedDateFormat: 'yyyy-MM-dd HH:mm:ss',
      createdDateField: 'add_time',
      createdDateFormat: 'milliseconds',
    },
  },
};

const twilio = {
  username: 'account',
  password: 'key-for-tests',
  'event.notification.enabled': true,
  'event.notification.callback.url': 'https://app.example',
};

const ofTwilio = (more: object, tags: string[] = []) => ({
  element: { key: 'twiliov2' },
  configuration: { ...twilio, ...more },
  tags,
  name: 'Twilio',
});

/** Bodies of guides for elements that are configured by keys, their blanks filled in. */
const bodies: [what: string, body: { element: { key: string }; [field: string]: unknown }][] = [
  [
    'of the Taxify guide',
    { element: { key: 'taxify' }, configuration: { 'api.key': 'k' }, tags: ['shop'], name: 'Shop' },
  ],
  ['with an object as a value', ofTwilio({ 'event.poller.configuration': poller }, ['messaging'])],
  ['with a list as a value', ofTwilio({ 'event.objects': ['messages', 'calls'] })],
  ['with an object as JSON text', ofTwilio({ 'event.poller.configuration': JSON.stringify(poller) })],
  [
    'that retrieves objects',
    {
      element: { key: 'servicenow' },
      configuration: {
        username: 'u',
        password: 'p',
        'servicenow.subdomain': 's',
        'filter.response.nulls': true,
      },
      retrieveObjectsAfterInstantiation: true,
      tags: ['x'],
      name: 'ServiceNow',
    },
  ],
  [
    'with every further field',
    {
      element: { key: 'stripe' },
      configuration: { 'api.key': 'k' },
      eventsEnabled: true,
      cachingEnabled: false,
      externalAuthentication: 'none',
      retrieveObjectsAfterInstantiation: false,
      tags: ['pay'],
      name: 'Stripe & Co',
    },
  ],
];

test.each(bodies)('a documented body %s is passed on as it came', async (_what, body) => {
  const tenantId = newTenant();
  expect((await service.post(tenantId, body)).status).toBe(201);
  expect(receivedFor(tenantId)).toEqual(body);
  expect((await service.post(tenantId, body)).status).toBe(200);
});

test('an object as a value is shown as text by Cloud Elements', async () => {
  const tenantId = newTenant();
  const configuration = { ...twilio, 'event.poller.configuration': poller };
  await service.post(tenantId, { element: { key: 'twiliov2' }, configuration });
  const [instance] = service.instancesOf(tenantId);
  expect(instance?.configuration).toEqual(configuration);
  const shown = await fetch(`${service.simulator.url}/elements/api-v2/instances/${instance?.id}`, {
    headers: { authorization: 'User local-user-secret, Organization local-organization-secret' },
  });
  expect(Object(await shown.json()).configuration['event.poller.configuration']).toBe(JSON.stringify(poller));
});

test('the documented body exactly as printed is refused, and all three placeholders are named', async () => {
  const printed = `{
  "element": {
    "key": "taxify"
  },
   "configuration": {
       "api.key": "<INSERT_TAXIFY_API_KEY>"
   },
  "tags": [
    "<INSERT_TAGS>"
  ],
  "name": "<INSERT_NAME>"
}`;
  const response = await service.post(newTenant(), printed);
  expect(response.status).toBe(400);
  expect(problemsIn(response)).toEqual(
    expect.arrayContaining(
      ['#/configuration/api.key', '#/tags/0', '#/name'].map((pointer) => [pointer, filledIn]),
    ),
  );
  expect(problemsIn(response)).toHaveLength(3);
  expect(service.simulator.requests).toEqual([]);
});

describe('providerData', () => {
  const body = { element: { key: 'taxify' }, configuration: { 'api.key': 'k' } };

  test('an empty providerData is accepted and not passed on', async () => {
    const tenantId = newTenant();
    expect((await service.post(tenantId, { ...body, providerData: {} })).status).toBe(201);
    expect(receivedFor(tenantId)).not.toHaveProperty('providerData');
  });

  test.each([{ code: 'oauth-code-for-tests' }, { 'sk live 51': 'x', other: 1 }])(
    'a filled providerData is refused with the reason, and not repeated: %j',
    async (providerData) => {
      const response = await service.post(newTenant(), { ...body, providerData });
      expect(response.status).toBe(400);
      expect(problemsIn(response)).toEqual([
        ['#/providerData', expect.stringMatching(/needs an OAuth consent in a browser.*Create/)],
      ]);
      expect(response.text).not.toMatch(/oauth-code|sk live/);
    },
  );
});

describe('further documented fields', () => {
  const body = { element: { key: 'taxify' }, configuration: { 'api.key': 'k' } };

  test.each([
    { eventsEnabled: true },
    { cachingEnabled: true },
    { retrieveObjectsAfterInstantiation: true },
    { externalAuthentication: 'initial' },
  ])('%j is kept in the row, and a request without it is another one', async (options) => {
    const tenantId = newTenant();
    expect((await service.post(tenantId, { ...body, ...options })).status).toBe(201);
    expect(await service.rowOf(tenantId)).toMatchObject({ options });
    expect((await service.post(tenantId, { ...body, ...options })).status).toBe(200);
    expect((await service.post(tenantId, body)).json).toMatchObject({ code: 'settings-conflict' });
  });

  test.each([
    [{ eventsEnabled: 'true' }, '#/eventsEnabled', 'expected true or false'],
    [{ cachingEnabled: 1.5 }, '#/cachingEnabled', 'expected true or false'],
    [{ externalAuthentication: 'my-token' }, '#/externalAuthentication', 'expected "none" or "initial"'],
  ])('%j is refused', async (options, pointer, detail) => {
    const response = await service.post(newTenant(), { ...body, ...options });
    expect(problemsIn(response)).toEqual([[pointer, detail]]);
  });

  test('an event sets them, too', async () => {
    const tenantId = newTenant();
    await service.putTenantSecret(tenantId, { 'api.key': 'k' });
    await service.deliverEvents(tenantOnboarded(tenantId, { eventsEnabled: true, providerData: {} }));
    expect(receivedFor(tenantId)).toMatchObject({ eventsEnabled: true });
    expect(receivedFor(tenantId)).not.toHaveProperty('providerData');
  });

  test('PATCH changes those that can be changed, and a repeat has the new ones', async () => {
    const tenantId = newTenant();
    await service.post(tenantId, { ...body, eventsEnabled: false, externalAuthentication: 'none' });
    const response = await service.patch(pathOf(tenantId), { eventsEnabled: true, cachingEnabled: true });
    expect(response.status).toBe(200);
    expect(service.simulator.requests.at(-1)?.body).toEqual({ eventsEnabled: true, cachingEnabled: true });
    expect(service.instancesOf(tenantId)).toMatchObject([{ eventsEnabled: true, cachingEnabled: true }]);
    const repeated = { ...body, eventsEnabled: true, cachingEnabled: true, externalAuthentication: 'none' };
    expect((await service.post(tenantId, repeated)).status).toBe(200);
    const again = await service.patch(pathOf(tenantId), { externalAuthentication: 'initial' });
    expect(problemsIn(again)).toEqual([
      ['#/externalAuthentication', 'is not a known field'],
      ['#', expect.stringMatching(/^expected at least one of/)],
    ]);
  });
});

describe('a client of Cloud Elements', () => {
  const body = { element: { key: 'taxify' }, configuration: { 'api.key': 'k' } };
  const json = { 'content-type': 'application/json' };

  test('GET and DELETE ignore an empty object as their body', async () => {
    const tenantId = newTenant();
    await service.post(tenantId, body);
    for (const [method, path] of [
      ['GET', `/tenants/${tenantId}/instances`],
      ['GET', pathOf(tenantId)],
      ['GET', `${pathOf(tenantId)}/token`],
    ] as const) {
      expect((await service.request({ method, path, body: '{}', headers: json })).status).toBe(200);
    }
    const removed = await service.request({
      method: 'DELETE',
      path: pathOf(tenantId),
      body: ' {} ',
      headers: json,
    });
    expect(removed.status).toBe(204);
  });

  test.each(['{"force":true}', '[]', 'null', '{"__proto__":{}}'])(
    'DELETE with the body %s is refused',
    async (text) => {
      const request = { method: 'DELETE', path: pathOf(newTenant()), body: text, headers: json } as const;
      const response = await service.request(request);
      expect(problemsIn(response)).toEqual([['#', 'expected no body']]);
    },
  );

  test('PATCH accepts id and element of the instance, and refuses others', async () => {
    const tenantId = newTenant();
    const { id } = Object((await service.post(tenantId, body)).json);
    const along = { id, element: { key: 'taxify' }, providerData: {} };
    expect((await service.patch(pathOf(tenantId), { ...along, name: 'New' })).status).toBe(200);
    expect(service.simulator.requests.at(-1)?.body).toEqual({ name: 'New' });
    expect(problemsIn(await service.patch(pathOf(tenantId), along))).toEqual([
      ['#', expect.stringMatching(/^expected at least one of/)],
    ]);
    const sent = service.simulator.requests.length;
    const other = { id: id + 1, element: { key: 'stripe' }, name: 'Other' };
    expect(problemsIn(await service.patch(pathOf(tenantId), other))).toEqual([
      ['#/id', 'expected the id of this instance'],
      ['#/element/key', 'expected the element of this instance'],
    ]);
    expect(problemsIn(await service.patch(pathOf(tenantId), { id: String(id), name: 'x' }))).toEqual([
      ['#/id', 'expected the id of this instance'],
    ]);
    expect(service.simulator.requests).toHaveLength(sent);
  });
});

describe('a refused configuration', () => {
  test('a misspelt entry and the missing one are named together, and both ways to supply it', async () => {
    const body = { element: { key: 'taxify' }, configuration: { apikey: 'abc' } };
    const response = await service.post(newTenant(), body);
    expect(response.json).toMatchObject({
      code: 'missing-configuration',
      missing: ['configuration.api.key'],
      errors: [{ pointer: '#/configuration/apikey', detail: expect.stringMatching(/^cannot be set where/) }],
      detail: expect.stringMatching(
        /api\.key is missing.*same configuration; or leave out apikey and put api\.key into/,
      ),
    });
  });

  test('a wrong value, a misspelt entry and the missing one are named together', async () => {
    const configuration = { apikey: 'abc', 'pagination.max': 'many' };
    const response = await service.post(newTenant(), { element: { key: 'taxify' }, configuration });
    expect(response.json).toMatchObject({
      code: 'invalid-request',
      missing: ['configuration.api.key'],
      errors: [{ pointer: '#/configuration/pagination.max' }, { pointer: '#/configuration/apikey' }],
    });
  });

  test('a wrong value is named together with what the secret lacks', async () => {
    const body = { element: { key: 'taxify' }, configuration: { 'pagination.max': 'many' } };
    const response = await service.post(newTenant(), body);
    expect(response.json).toMatchObject({
      code: 'invalid-request',
      missing: ['configuration.api.key'],
      errors: [{ pointer: '#/configuration/pagination.max' }],
    });
    const tenantId = newTenant();
    await service.putTenantSecret(tenantId, { 'api.key': 'stored' });
    expect((await service.post(tenantId, body)).json).not.toHaveProperty('missing');
  });

  test('an event with a misspelt entry is refused, naming it, the missing one and the secret as the only way', async () => {
    const tenantId = newTenant();
    await service.deliverEvents(tenantOnboarded(tenantId, { configuration: { apikey: 'abc' } }));
    const { detail } = Object((await service.get(pathOf(tenantId))).json).lastError;
    expect(detail).toContain('The configuration apikey cannot be set');
    expect(detail).toContain(
      `without api.key: put it into the secret ${service.tenantSecretName(tenantId, 'taxify')} (which does not exist)`,
    );
    expect(detail).not.toContain("request's configuration");
  });
});

const withEntries = (entries: string) => `{"element":{"key":"taxify"},"configuration":{${entries}}}`;

const post = (body: string | Buffer, headers: Record<string, string> = {}) =>
  service.request({
    method: 'POST',
    path: `/tenants/${newTenant()}/instances`,
    body,
    headers: { 'content-type': 'application/json', ...headers },
  });

describe('a body that would not arrive as it was meant', () => {
  const good = withEntries('"api.key":"k"');

  test.each(['12345678901234567890', '1.10', '1e400', '1E2', '-0', '0.1000000000000000055511151231257827'])(
    'the number %s is refused, alone and inside',
    async (number) => {
      const inexact = /^expected a number as JSON carries it exactly.*as text$/;
      for (const value of [number, `{"a":[${number}]}`]) {
        const response = await post(withEntries(`"api.key":${value},"partner.key":5`));
        expect(problemsIn(response)).toEqual([['#/configuration/api.key', expect.stringMatching(inexact)]]);
      }
    },
  );

  test.each(['0', '5', '-1.5', '1.1', '9007199254740991', '1e+21'])(
    'the number %s is passed on',
    async (number) => {
      const tenantId = newTenant();
      const response = await service.post(tenantId, withEntries(`"api.key":"k","partner.key":${number}`));
      expect(response.status).toBe(201);
      expect(receivedFor(tenantId)).toMatchObject({ configuration: { 'partner.key': Number(number) } });
    },
  );

  test.each<[string, object[]]>([
    ['"api.key":"a","api.key":"b"', [['#/configuration/api.key', 'expected each name only once']]],
    [
      String.raw`"api.key":"a","api\u002ekey":"b"`,
      [['#/configuration/api.key', 'expected each name only once']],
    ],
    ['"api.key":{"a":1,"a":2}', [['#/configuration/api.key', 'expected each name only once']]],
    ['"api.key":{"__proto__":1}', [['#/configuration/api.key', 'expected another name than __proto__']]],
    [
      '"api.key":[{"a":{"__proto__":{}}}]',
      [['#/configuration/api.key', 'expected another name than __proto__']],
    ],
    ['"api.key":"k"},"configuration":{"api.key":"k"', [['#/configuration', 'expected each name only once']]],
    ['"api.key":"k"},"__proto__":{"name":"x"', [['#/__proto__', 'expected another name than __proto__']]],
    [
      '"api.key":""',
      [
        [
          '#/configuration/api.key',
          'expected text that is not blank and no mask such as "***", a number, true or false, an object or a list',
        ],
      ],
    ],
  ])('%s is refused', async (entries, problems) => {
    expect(problemsIn(await post(withEntries(entries)))).toEqual(problems);
    expect(service.simulator.requests).toEqual([]);
  });

  test('the same name in two objects, and in text, is no name twice', async () => {
    const tenantId = newTenant();
    const value = '{"a":{"url":"x"},"b":{"url":"y"},"c":[{"url":"{\\"url\\":1.10,\\"url\\":2}"},{"url":3}]}';
    expect((await service.post(tenantId, withEntries(`"api.key":"k","partner.key":${value}`))).status).toBe(
      201,
    );
    expect(receivedFor(tenantId)).toMatchObject({ configuration: { 'partner.key': JSON.parse(value) } });
  });

  test('PATCH with nothing but __proto__ does not send the stored secret', async () => {
    const tenantId = newTenant();
    await service.putTenantSecret(tenantId, { 'api.key': 'stored' });
    await service.post(tenantId, { element: { key: 'taxify' } });
    service.simulator.reset();
    const response = await service.request({
      method: 'PATCH',
      path: pathOf(tenantId),
      body: '{"configuration":{"__proto__":"x"}}',
      headers: { 'content-type': 'application/json' },
    });
    expect(problemsIn(response)).toEqual([
      ['#/configuration/__proto__', 'expected another name than __proto__'],
    ]);
    expect(service.simulator.requests).toEqual([]);
  });

  test.each([
    { 'content-type': 'application/json; charset=iso-8859-1' },
    { 'content-type': 'application/json;charset="utf-16"' },
    { 'content-type': 'application/json; Charset=windows-1252; x=y' },
    { 'content-encoding': 'gzip' },
    { 'content-encoding': 'identity, br' },
  ])('%j is an unsupported media type', async (headers) => {
    const response = await post(good, headers);
    expect([response.status, Object(response.json).code]).toEqual([415, 'unsupported-media-type']);
  });

  test.each([
    { 'content-type': 'application/json; charset=UTF-8' },
    { 'content-type': 'application/json;charset="utf8"' },
    { 'content-encoding': 'identity' },
  ])('%j is accepted', async (headers) => {
    expect((await post(good, headers)).status).toBe(201);
  });

  test.each([
    ['bytes that are no UTF-8', Buffer.from(good.replace('"k"', '"clé"'), 'latin1')],
    ['characters that were lost before', good.replace('"k"', '"cl\ufffd"')],
  ])('a body with %s is refused', async (_what, body) => {
    expect(problemsIn(await post(body))).toEqual([['#', 'expected JSON in UTF-8']]);
  });

  test('a body in which the gateway left half of a character is refused', async () => {
    const response = await service.invoke('provision-instance', {
      routeKey: 'POST /tenants/{tenantId}/instances',
      headers: { 'content-type': 'application/json' },
      pathParameters: { tenantId: newTenant() },
      body: good.replace('"k"', '"k\ud800"'),
      isBase64Encoded: false,
      requestContext: {},
    });
    expect(problemsIn({ json: JSON.parse(Object(response).body) })).toEqual([
      ['#', 'expected JSON in UTF-8'],
    ]);
  });

  test('a credential with half of a character, written as an escape, is refused', async () => {
    expect(problemsIn(await post(withEntries(String.raw`"api.key":"k\ud800"`)))).toEqual([
      ['#/configuration/api.key', expect.stringMatching(/^expected text without damaged/)],
    ]);
  });

  test.each([
    ['{\n  “element”: {}', 'line 2, column 3: use straight quotes (") in place of curly ones'],
    ['{"element": {"key": ”taxify”}}', 'line 1, column 21: use straight quotes (") in place of curly ones'],
    ["{'element': {}}", 'line 1, column 2: names and text are put in double quotes (")'],
    ['{"element": {"key": "taxify",}}', 'line 1, column 30'],
  ])('the answer to %j says where the JSON breaks', async (body, where) => {
    expect(problemsIn(await post(body))).toEqual([['#', `expected JSON; it breaks at ${where}`]]);
  });
});

describe('names and tags', () => {
  const body = { element: { key: 'taxify' }, configuration: { 'api.key': 'k' } };
  const invisible = 'expected no invisible characters';
  const entity = 'expected no HTML entity such as "&amp;"';
  const reserved = expect.stringMatching(/^expected a tag without the prefixes/);

  test.each<[string, unknown[]]>([
    ['ten\u00adant:x', [invisible, reserved]],
    ['\u200btenant:x', [invisible, reserved]],
    ['tenant\u2063:x', [invisible, reserved]],
    ['e\u200bu', [invisible]],
    ['tenant&#58;x', [entity]],
    ['owner&colon;x', [entity]],
    ['provision&#x3A;x', [entity]],
    ['ten\u034fant:x', [reserved]],
    [' <<TAG>> ', [filledIn]],
  ])('the tag %j is refused', async (tag, details) => {
    const response = await service.post(newTenant(), { ...body, tags: [tag] });
    expect(problemsIn(response)).toEqual(details.map((detail) => ['#/tags/0', detail]));
  });

  test.each<[string, string]>([
    ['Shop\u202e', invisible],
    ['Shop\ufeff', invisible],
    ['Shop &amp; Co', entity],
    ['AT&T; Inc', entity],
    ['\u200d', 'expected at least one visible character'],
    ['<YOUR NAME>', filledIn],
  ])('the name %j is refused', async (name, detail) => {
    expect(problemsIn(await service.post(newTenant(), { ...body, name }))).toEqual([['#/name', detail]]);
  });

  test.each(['R&D', '👩‍🔧 Repairs', 'Café', 'a; b & c'])('the name %j is accepted', async (name) => {
    expect((await service.post(newTenant(), { ...body, name })).json).toMatchObject({ name });
  });

  test('a name and a tag in another normal form are the same request', async () => {
    const tenantId = newTenant();
    for (const [form, status] of [
      ['NFD', 201],
      ['NFC', 200],
    ] as const) {
      const named = { ...body, name: 'Café'.normalize(form), tags: ['köln'.normalize(form)] };
      expect((await service.post(tenantId, named)).status).toBe(status);
    }
    expect(receivedFor(tenantId)).toMatchObject({ name: 'Café'.normalize('NFD') });
  });
});

describe('an event', () => {
  test('an event of the toolkit holds anything beside its ids, numbers and names included', async () => {
    const tenantId = newTenant();
    await service.putTenantSecret(tenantId, { 'api.key': 'k' });
    const detail = `{"tenantId":"${tenantId}","tenantRegistrationId":"r","price":1.10,"price":2,"__proto__":{"a":1}}`;
    await service.deliverEvents({
      Source: 'sbt.control.plane',
      DetailType: 'sbt_aws_onboardingRequest',
      Detail: detail,
    });
    expect(receivedFor(tenantId)).toMatchObject({ element: { key: 'taxify' } });
  });

  test.each([
    ['"configuration":{"pagination.max":1.10}', '#/configuration/pagination.max'],
    ['"configuration":{"__proto__":"x"}', '#/configuration/__proto__'],
    ['"__proto__":"x"', '#/__proto__'],
    ['"name":"a","name":"b"', '#/name'],
    ['"tags":["<TAG>"]', '#/tags/0'],
    ['"configuration":{"pagination.max":"<MAX>"}', '#/configuration/pagination.max'],
  ])('TenantOnboarded with %s cannot be read', async (fields, pointer) => {
    const tenantId = newTenant();
    const message = `{"id":"e-${tenantId}","source":"crm","detail-type":"TenantOnboarded","time":"2026-11-23T12:00:00Z","detail":{"tenantId":"${tenantId}",${fields}}}`;
    const attributes = { SentTimestamp: '1764000000000', ApproximateReceiveCount: '1' };
    const response = await service.invoke('onboard-tenants', {
      Records: [{ messageId: `m-${tenantId}`, body: message, attributes }],
    });
    expect(response).toEqual({ batchItemFailures: [{ itemIdentifier: `m-${tenantId}` }] });
    const line = (await service.logs()).find((each) => each.includes(`m-${tenantId}`)) ?? '{}';
    expect(JSON.parse(line).error.problems).toEqual([
      { pointer, detail: expect.stringMatching(/^expected /) },
    ]);
  });
});
