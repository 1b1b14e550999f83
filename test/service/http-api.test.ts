import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { commitReserveMs, createTimeoutMs } from '../../functions/model/timing.ts';
import { isDeployed } from './deployed/endpoint.ts';
import { newTenant } from '../support/real-servers.ts';
import { startService, type ReceivedResponse, type Service } from '../support/running-service.ts';
import { applied, notApplied } from '../support/faults.ts';

/** The second that is the default may be over before a function has been started on a busy machine. */
const patience = { timeout: 4_000 };

let service: Service;
/** From `startUnknownOutcome`: its look-ups take eight seconds, which pass during the other tests. */
let unknownOutcome: Awaited<ReturnType<typeof startUnknownOutcome>>;
beforeAll(async () => {
  service = await startService();
  // The first invocation bundles and starts the function, which should not count as a test's time.
  const path = pathOf('-');
  await Promise.all([
    service.post('-', {}),
    service.get(path),
    service.patch(path, {}),
    service.delete(path),
  ]);
  unknownOutcome = await startUnknownOutcome();
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await unknownOutcome.service[Symbol.asyncDispose]();
});
beforeEach(() => service.simulator.reset());

/** From Cloud Elements' Taxify guide, with its blanks filled in. */
const instanceJson = {
  element: { key: 'taxify' },
  configuration: { 'api.key': 'taxify-key-for-tests' },
  tags: ['shop', 'eu'],
  name: 'Taxify of the shop',
};

const expectedValue =
  'expected text that is not blank and no mask such as "***", a number, true or false, an object or a list';
const filledIn = 'expected a value in place of the placeholder in angle brackets, which was not filled in';
const expectedNames =
  'expected names of configuration entries such as "api.key"; one is not shown because it may be a credential';

const reservedTag =
  'expected a tag without the prefixes "tenant:", "provision:" and "owner:", which this service sets itself';

const isoDate = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** Requests an instance whose create breaks off, and which Cloud Elements lists only on demand. */
async function startUnknownOutcome() {
  const own = await startService();
  own.simulator.listLagMs = 60_000;
  own.simulator.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'reset' } });
  const tenantId = newTenant();
  const response = own.post(tenantId, instanceJson);
  // The test that awaits it sees a failure; a run of other tests may end before the response.
  response.catch(() => {});
  return { service: own, tenantId, response };
}

/** A response with a problem as in RFC 9457, with these fields and no others. */
function problem(status: number, code: string, more: object = {}): ReceivedResponse {
  const fields = {
    type: `urn:element-onboarding:${code}`,
    title: expect.any(String),
    status,
    detail: expect.any(String),
    code,
  };
  return {
    status,
    headers: expect.objectContaining({ 'content-type': 'application/problem+json' }),
    text: expect.any(String),
    json: { ...fields, ...more },
  };
}

/** A refusal that names these faults: details by JSON Pointer. */
const invalid = (faults: Record<string, unknown>): ReceivedResponse =>
  problem(400, 'invalid-request', {
    errors: Object.entries(faults).map(([pointer, detail]) => ({ pointer, detail })),
  });
const wrongParameter = (parameter: string): ReceivedResponse =>
  problem(400, 'invalid-request', { errors: [{ parameter, detail: expect.stringMatching(/^expected /) }] });

/** Above 499 the caller gets only the kind of error, and the operator the details. */
function expectNoDetail(response: ReceivedResponse): void {
  const { title } = Object(response.json);
  expect(response.json).toMatchObject({ detail: title });
}

/** The lines logged about the tenant. An emulator may keep the last ones of a function until that runs again. */
async function linesOf(of: Service, tenantId: string) {
  if (isDeployed) await Promise.all([of.post('-', {}), of.get(`${pathOf('-')}/token`)]);
  return of.logsOf(tenantId);
}

test('an answer that a proxy has compressed is read by the functions as they are built', async () => {
  service.simulator.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'gzip' } });
  expect((await service.post(newTenant(), instanceJson)).status).toBe(201);
  expect(service.simulator.requests.map(({ operation }) => operation)).toEqual(['POST /instances']);
});

describe('POST of an instance', () => {
  test('POST provisions the documented body and answers with the instance', async () => {
    const tenantId = newTenant();
    const response = await service.post(tenantId, instanceJson);
    expect(response.json).toStrictEqual({
      tenantId,
      element: { key: 'taxify' },
      id: service.instancesOf(tenantId)[0]?.id,
      name: 'Taxify of the shop',
      tags: ['shop', 'eu'],
      status: 'active',
      createdDate: expect.stringMatching(isoDate),
      updatedDate: expect.stringMatching(isoDate),
    });
    expect(response.status).toBe(201);
    expect(response.headers).toMatchObject({
      'content-type': 'application/json',
      location: `/tenants/${tenantId}/instances/taxify`,
    });
    expect((await service.get(`/tenants/${tenantId}/instances/taxify`)).json).toEqual(response.json);
  });

  test('POST leaves an item in DynamoDB whose token is encrypted', async () => {
    const tenantId = newTenant();
    await service.post(tenantId, instanceJson);
    const [instance] = service.instancesOf(tenantId);
    const item = (await service.items()).find((each) => each['tenantId']?.S === tenantId);
    expect(item).toMatchObject({
      elementKey: { S: 'taxify' },
      status: { S: 'active' },
      instanceId: { N: `${instance?.id}` },
      token: { B: expect.any(Uint8Array) },
    });
    const stored = Buffer.from(item?.['token']?.B ?? '');
    expect(stored.length).toBeGreaterThan(44);
    expect(stored.includes(instance?.token ?? '')).toBe(false);
    expect(JSON.stringify(item)).not.toContain('taxify-key-for-tests');
  });

  test('a repeated POST answers with the same instance and makes no other', async () => {
    const tenantId = newTenant();
    const first = await service.post(tenantId, instanceJson);
    const again = await service.post(tenantId, instanceJson);
    expect(again.status).toBe(200);
    expect(again.json).toEqual(first.json);
    expect(service.postsFor(tenantId)).toBe(1);
  });

  test.each([
    ['another name', { name: 'Another' }],
    ['other tags', { tags: ['shop'] }],
    [
      'other allow-listed configuration',
      { configuration: { ...instanceJson.configuration, 'pagination.max': '7' } },
    ],
  ])('POST with %s than before is a conflict that changes nothing', async (_what, change) => {
    const tenantId = newTenant();
    await service.post(tenantId, instanceJson);
    const before = await service.rowOf(tenantId);
    expect(await service.post(tenantId, { ...instanceJson, ...change })).toEqual(
      problem(409, 'settings-conflict'),
    );
    expect(await service.rowOf(tenantId)).toEqual(before);
    expect(service.postsFor(tenantId)).toBe(1);
  });

  // On an emulator, each of them starts a process on this machine.
  const atOnce = isDeployed ? 10 : 50;
  test(`${atOnce} concurrent POSTs make one instance, and every response is 200, 201 or 202`, async () => {
    const tenantId = newTenant();
    service.simulator.latencyMs = 50;
    const responses = await Promise.all(
      Array.from({ length: atOnce }, () => service.post(tenantId, instanceJson)),
    );
    const statuses = responses.map(({ status }) => status);
    expect(statuses.filter((status) => status === 201)).toHaveLength(1);
    expect(statuses.filter((status) => ![200, 201, 202].includes(status))).toEqual([]);
    expect(service.postsFor(tenantId)).toBe(1);
    expect(service.instancesOf(tenantId)).toHaveLength(1);
  });

  test('POST during another POST answers 202 with the path and the time to retry', async () => {
    const tenantId = newTenant();
    service.simulator.latencyMs = 600;
    const first = service.post(tenantId, instanceJson);
    await expect.poll(() => service.postsFor(tenantId), patience).toBe(1);
    const response = await service.post(tenantId, instanceJson);
    const other = await service.post(tenantId, { ...instanceJson, name: 'Other' });
    expect((await first).status).toBe(201);
    expect(response).toMatchObject({
      status: 202,
      headers: {
        'content-type': 'application/json',
        location: `/tenants/${tenantId}/instances/taxify`,
        'retry-after': expect.stringMatching(/^[1-9]\d*$/),
      },
      json: { status: 'provisioning' },
    });
    expect(response.json).not.toHaveProperty('id');
    expect(other).toEqual(problem(409, 'busy-with-other-settings'));
  });

  test('POST without credentials takes them from the tenant’s secret', async () => {
    const tenantId = newTenant();
    await service.putTenantSecret(tenantId, { 'api.key': 'stored-key-for-tests' });
    const { configuration: _, ...withoutCredentials } = instanceJson;
    expect((await service.post(tenantId, withoutCredentials)).status).toBe(201);
    expect(service.instancesOf(tenantId)[0]?.configuration).toEqual({ 'api.key': 'stored-key-for-tests' });
  });

  test('POST makes separate instances for two tenants, and for two elements', async () => {
    const [one, other] = [newTenant(), newTenant()];
    const freshdesk = {
      element: { key: 'freshdeskv2' },
      configuration: { subdomain: 'shop', username: 'freshdesk-key-for-tests' },
    };
    const responses = await Promise.all([
      service.post(one, instanceJson),
      service.post(other, instanceJson),
      service.post(one, freshdesk),
    ]);
    expect(responses.map(({ status }) => status)).toEqual([201, 201, 201]);
    expect(service.instancesOf(one).map(({ element }) => element.key)).toHaveLength(2);
    expect(service.instancesOf(other).map(({ element }) => element.key)).toEqual(['taxify']);
  });

  test.each([
    ['JSON with a character set', 'application/json; charset=utf-8'],
    ['another JSON, which the gateway hands over in base64', 'application/vnd.tests+json'],
  ])('POST accepts %s', async (_what, contentType) => {
    const tenantId = newTenant();
    const response = await service.post(tenantId, { ...instanceJson, name: 'Käse ☕' }, contentType);
    expect(response).toMatchObject({ status: 201, json: { name: 'Käse ☕' } });
  });

  test('POST accepts a body without content type, which the gateway passes on in base64', async () => {
    const tenantId = newTenant();
    const body = JSON.stringify({ ...instanceJson, name: 'Käse ☕' });
    const response = await service.request({ method: 'POST', path: `/tenants/${tenantId}/instances`, body });
    expect(response).toMatchObject({ status: 201, json: { name: 'Käse ☕' } });
  });

  test('POST accepts 64 KiB', async () => {
    const tenantId = newTenant();
    const body = JSON.stringify(instanceJson).padEnd(64 * 1024);
    expect(Buffer.byteLength(body)).toBe(65_536);
    expect(await service.post(tenantId, body)).toMatchObject({
      status: 201,
      json: { name: 'Taxify of the shop' },
    });
  });

  test('POST accepts the longest possible ids', async () => {
    const tenantId = `a.b-C_9.${'z'.repeat(56)}`;
    const response = await service.post(tenantId, instanceJson);
    expect(response.status).toBe(201);
    expect((await service.get(String(response.headers['location']))).json).toMatchObject({ tenantId });
  });
});

async function expectNothingSentNorStored(itemsBefore: unknown): Promise<void> {
  expect(await service.items()).toEqual(itemsBefore);
  expect(service.simulator.requests).toEqual([]);
}

/** Does not look like a name. */
const misplacedKey = 'f3a9c17be2d04f5586aa';
const unnamed = (detail: string) =>
  `one of its fields${detail} (its name is not repeated: it may be a credential)`;

const deep = (open: string, close: string) => `${open.repeat(10_000)}1${close.repeat(10_000)}`;

describe('a request refused before anything is sent', () => {
  let itemsBefore: unknown;
  beforeEach(async () => {
    itemsBefore = await service.items();
  });
  afterEach(() => expectNothingSentNorStored(itemsBefore));

  test.each<[string, string, Record<string, unknown>]>([
    ['is empty', '', { '#': 'is missing: expected an object' }],
    ['is not JSON', '{"element": taxify}', { '#': 'expected JSON; it breaks at line 1, column 13' }],
    ['is two documents', '{}{}', { '#': 'expected JSON; it breaks at line 1, column 3' }],
    ['is a list', '[]', { '#': 'expected an object' }],
    ['is text', '"x"', { '#': 'expected an object' }],
    ['is null', 'null', { '#': 'expected an object' }],
    ['is an empty object', '{}', { '#/element': 'is missing: expected an object' }],
    ['is nested without end', '['.repeat(10_000), { '#': 'expected JSON' }],
    ['is a deep list', deep('[', ']'), { '#': 'expected an object' }],
    [
      'is a deep object',
      deep('{"a":', '}'),
      { '#/element': 'is missing: expected an object', '#/a': 'is not a known field' },
    ],
    [
      'holds a deep list as a credential',
      `{"element":{"key":"taxify"},"configuration":{"api.key":${deep('[', ']')}}}`,
      {
        '#/configuration/api.key': expect.stringMatching(
          /^expected an object or a list of at most 5 levels and 1000 parts/,
        ),
      },
    ],
    [
      'holds null as a credential',
      '{"element":{"key":"taxify"},"configuration":{"api.key":null}}',
      { '#/configuration/api.key': expectedValue },
    ],
    [
      'holds keys of the prototype',
      '{"element":{"key":"taxify","__proto__":{}},"__proto__":{"name":"x"},"constructor":1}',
      {
        '#/element/__proto__': 'expected another name than __proto__',
        '#/__proto__': 'expected another name than __proto__',
        '#/constructor': 'is not a known field',
      },
    ],
    [
      'holds halves of characters',
      String.raw`{"element":{"key":"\ud800"},"\udfff":1,"name":"\ud800","configuration":{"\ud800":"x"}}`,
      {
        '#/element/key': 'expected lower-case letters, digits, "_" and "-", beginning with a letter or digit',
        '#/name': 'expected no "<", no ">" and no control characters',
        '#/configuration': expectedNames,
        '#': unnamed(' is not a known field'),
      },
    ],
    [
      'holds keys that a JSON Pointer would have to escape',
      '{"element":{"key":"taxify"},"a/b~c %":1}',
      { '#': unnamed(' is not a known field') },
    ],
    [
      'holds another configuration key',
      '{"element":{"key":"taxify"},"configuration":{"api.key":"k","toString":"x","a b":"y","c d":"y"}}',
      { '#/configuration': expectedNames },
    ],
    [
      'holds masks and placeholders as credentials',
      '{"element":{"key":"taxify"},"configuration":{"api.key":"********","partner.key":" •• ","base.url":"<your URL>"}}',
      {
        '#/configuration/api.key': expectedValue,
        '#/configuration/partner.key': expectedValue,
        '#/configuration/base.url': filledIn,
      },
    ],
    [
      'holds credentials in the places of names',
      `{"element":{"key":"taxify","${misplacedKey}":1},"${misplacedKey}":"x"}`,
      { '#/element': unnamed(' is not a known field'), '#': unnamed(' is not a known field') },
    ],
    [
      'uses the prefixes of our own tags',
      '{"element":{"key":"taxify"},"tags":["tenant:x"," Provision:1","owner : me","owners:ok"]}',
      { '#/tags/0': reservedTag, '#/tags/1': reservedTag, '#/tags/2': reservedTag },
    ],
  ])('a refusal names the fault when the body %s', async (_what, body, errors) => {
    expect(await service.post(newTenant(), body)).toEqual(invalid(errors));
  });

  test('a refusal names every wrong field and path parameter at once, each with the expected value', async () => {
    const response = await service.post(
      'a%20b',
      `{
        "element": { "key": "${'x'.repeat(65)}", "id": 320 },
        "name": "<b>Shop</b>",
        "tags": ["", 7, "${'x'.repeat(256)}"],
        "configuration": { "api.key": null, ".hidden": "x" },
        "providerToken": {}
      }`,
    );
    expect(response).toEqual(
      problem(400, 'invalid-request', {
        errors: [
          {
            parameter: 'tenantId',
            detail:
              'expected letters, digits, "_", "-" and single "." between them, beginning with a letter or digit',
          },
          { pointer: '#/element/key', detail: 'expected at most 64 characters' },
          { pointer: '#/element/id', detail: 'is not a known field' },
          { pointer: '#/name', detail: 'expected no "<", no ">" and no control characters' },
          { pointer: '#/tags/0', detail: 'expected at least one visible character' },
          { pointer: '#/tags/1', detail: 'expected text' },
          { pointer: '#/tags/2', detail: 'expected at most 255 characters' },
          {
            pointer: '#/configuration/api.key',
            detail: expectedValue,
          },
          { pointer: '#/configuration', detail: expectedNames },
          { pointer: '#/providerToken', detail: 'is not a known field' },
        ],
      }),
    );
    expect(response.json).toMatchObject({
      title: 'The request is not valid',
      detail: '10 things are wrong with the request; each is named in "errors".',
    });
  });

  test('a refusal names twenty validation errors, and counts the others', async () => {
    const syllables = Array.from('lnrs').flatMap((first) => Array.from('aeio', (second) => first + second));
    const names = syllables.flatMap((first) =>
      syllables.flatMap((second) => syllables.map((third) => `f${first}${second}${third}`)),
    );
    const fields = Object.fromEntries(names.map((name) => [name, 1]));
    const response = await service.post(newTenant(), { element: { key: 'taxify' }, ...fields });
    expect(Object(response.json).errors).toHaveLength(20);
    expect(response.json).toMatchObject({
      detail:
        '4096 things are wrong with the request; the first 20 are named in "errors", and 4076 more are not.',
    });
  });

  test('a body longer than 64 KiB, counted in bytes, is refused', async () => {
    const tooLong = JSON.stringify(instanceJson).padEnd(64 * 1024 + 1);
    expect(await service.post(newTenant(), tooLong)).toEqual(problem(413, 'body-too-large'));
    expect(await service.post(newTenant(), 'é'.repeat(33_000))).toEqual(problem(413, 'body-too-large'));
  });

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'application/xml', 'multipart/json'])(
    'a body of the media type %s is refused',
    async (contentType) => {
      const response = await service.post(newTenant(), instanceJson, contentType);
      expect(response).toEqual(problem(415, 'unsupported-media-type'));
    },
  );

  test('a body with bytes that are not UTF-8 is refused', async () => {
    const body = Buffer.from(JSON.stringify({ ...instanceJson, name: 'Käse' }), 'latin1');
    const response = await service.post(newTenant(), body, 'application/vnd.tests+json');
    expect(response).toEqual(invalid({ '#': 'expected JSON in UTF-8' }));
  });

  /** A gateway that decodes paths before it matches their route never passes these on. */
  const idsWithSlash = [
    ['a slash', 'a%2Fb'],
    ['two slashes and dots', '..%2F..%2Fsecret'],
  ];
  const wrongIds = [
    ...(isDeployed ? [] : idsWithSlash),
    ['a backslash', 'a%5Cb'],
    ['only dots', '..'],
    ['only dots, encoded', '%2e%2e'],
    ['two dots', 'a..b'],
    ['a dot in front', '.a'],
    ['a space', 'a%20b'],
    ['a line break', 'a%0Ab'],
    ['a line break at its end', 'a%0A'],
    ['a null character', 'a%00'],
    ['200 characters', 'a'.repeat(200)],
    ['65 characters', 'a'.repeat(65)],
    ['other letters', '%C3%A9%F0%9F%8F%AA'],
    ['a colon', 'tenant:a'],
    ['an encoded escape', 'a%2520b'],
    ['the name of a prototype', '__proto__'],
  ];

  test.each(wrongIds)('a tenant id with %s is refused by name, on every route', async (_what, id) => {
    const responses = await Promise.all([
      service.post(id, instanceJson),
      service.get(`/tenants/${id}/instances`),
      service.get(`/tenants/${id}/instances/taxify`),
      service.get(`/tenants/${id}/instances/taxify/token`),
    ]);
    for (const response of responses) {
      expect(response).toEqual(wrongParameter('tenantId'));
    }
  });

  test.each([...wrongIds, ['capitals', 'Taxify']])(
    'an element key with %s is refused by name',
    async (_what, key) => {
      const responses = await Promise.all([
        service.get(`/tenants/t/instances/${key}`),
        service.get(`/tenants/t/instances/${key}/token`),
      ]);
      for (const response of responses) {
        expect(response).toEqual(wrongParameter('elementKey'));
      }
      const inBody = await service.post('t', { element: { key: decodeURIComponent(key) } });
      expect(inBody).toEqual(invalid({ '#/element/key': expect.stringMatching(/^expected /) }));
    },
  );

  test('a refusal names both wrong path parameters', async () => {
    const response = await service.get('/tenants/-/instances/-');
    expect(response).toEqual(
      problem(400, 'invalid-request', {
        errors: [
          { parameter: 'tenantId', detail: expect.any(String) },
          { parameter: 'elementKey', detail: expect.any(String) },
        ],
      }),
    );
  });

  test('a refusal names missing configuration, and the ways to supply it', async () => {
    const tenantId = newTenant();
    const response = await service.post(tenantId, { element: { key: 'taxify' } });
    expect(response).toEqual(problem(400, 'missing-configuration', { missing: ['configuration.api.key'] }));
    expect(response.text).toContain(service.tenantSecretName(tenantId, 'taxify'));
  });

  test.each(['base.url', 'event.notification.callback.url', 'partner.key'])(
    'a request cannot set %s beside the tenant’s secret, nor find out whether the secret exists',
    async (key) => {
      const [known, unknown] = [newTenant(), newTenant()];
      await service.putTenantSecret(known, { 'api.key': 'stored-key-for-tests' });
      const body = { element: { key: 'taxify' }, configuration: { [key]: 'http://127.0.0.1:9' } };
      const responses = await Promise.all([service.post(known, body), service.post(unknown, body)]);
      for (const response of responses) {
        expect(response).toEqual(
          problem(400, 'missing-configuration', {
            missing: ['configuration.api.key'],
            errors: [
              { pointer: `#/configuration/${key}`, detail: expect.stringMatching(/^cannot be set where/) },
            ],
          }),
        );
        expect(response.text).toContain(`${key}, so the tenant's secret is not used`);
      }
      expect(responses[0].text).toBe(responses[1].text);
    },
  );

  test.each([
    ['', 'one instance', 'not-found'],
    ['/token', 'its token', 'not-found'],
  ])('a request for a missing …/taxify%s is refused: %s', async (path, _what, code) => {
    expect(await service.get(`/tenants/${newTenant()}/instances/taxify${path}`)).toEqual(problem(404, code));
  });

  test('an unexpected body is refused', async () => {
    const response = await service.request({
      method: 'GET',
      path: '/tenants/t/instances',
      body: '{"name":"x"}',
      headers: { 'content-type': 'application/json' },
    });
    expect(response).toEqual(invalid({ '#': 'expected no body' }));
  });
});

test('a configuration key of the prototype is refused', async () => {
  const tenantId = newTenant();
  const body = '{"element":{"key":"taxify"},"configuration":{"api.key":"k","__proto__":{"base.url":"x"}}}';
  expect(await service.post(tenantId, body)).toEqual(
    invalid({ '#/configuration/__proto__': 'expected another name than __proto__' }),
  );
  expect(service.instancesOf(tenantId)).toEqual([]);
  expect((await service.post(newTenant(), instanceJson)).status).toBe(201);
});

describe('a credential in place of an entry’s name', () => {
  const misplaced = 'Zk9qT2xR7wPb4Ls0Yd';

  test.each(['POST', 'PATCH'])(
    'a credential in place of a name does not come back from %s',
    async (method) => {
      const tenantId = newTenant();
      await service.post(tenantId, instanceJson);
      const configuration = { 'api.key': 'k', [misplaced]: 'x' };
      const response =
        method === 'POST'
          ? await service.post(tenantId, { element: { key: 'taxify' }, configuration })
          : await service.patch(`/tenants/${tenantId}/instances/taxify`, { configuration });
      expect(response).toEqual(invalid({ '#/configuration': expectedNames }));
      expect(JSON.stringify([response, await service.items(), await service.logs()])).not.toContain(
        misplaced,
      );
    },
  );
});

const pathOfServicenow = (tenantId: string) => `/tenants/${tenantId}/instances/servicenow`;
const pathOf = (tenantId: string) => `/tenants/${tenantId}/instances/taxify`;
const configurationOf = (tenantId: string) => service.instancesOf(tenantId)[0]?.configuration;

/** Every configuration that Cloud Elements has received for the tenant's current instances, as text. */
function configurationsSent(tenantId: string): string[] {
  const paths = service.instancesOf(tenantId).map(({ id }) => `/instances/${id}`);
  return service.simulator.requests
    .filter(
      ({ method, path, body }) =>
        (method === 'POST' && JSON.stringify(body).includes(`"tenant:${tenantId}"`)) ||
        (method === 'PATCH' && paths.some((each) => path.endsWith(each))),
    )
    .map(({ body }) => JSON.stringify(Object(body).configuration ?? {}));
}

const missing = (...names: string[]) =>
  problem(400, 'missing-configuration', { missing: names.map((name) => `configuration.${name}`) });

describe('the tenant’s stored key and an address that a caller chose', () => {
  const address = 'https://elsewhere.example';
  const stored = { 'api.key': 'stored-key-for-tests', 'partner.key': 'second-key-for-tests' };
  const own = { 'api.key': 'x', 'base.url': address };
  const trusted = { element: { key: 'taxify' } };

  /** Cloud Elements merges configurations: one instance must never get a stored value and an address, in any order. */
  function expectApart(tenantId: string): void {
    const sent = configurationsSent(tenantId).join('\n');
    expect(sent).not.toBe('');
    const isStoredSent = Object.values(stored).some((key) => sent.includes(key));
    expect({ isStoredSent, isAddressSent: sent.includes('elsewhere') }).not.toEqual({
      isStoredSent: true,
      isAddressSent: true,
    });
  }

  async function newTenantFromSecret(): Promise<string> {
    const tenantId = newTenant();
    await service.putTenantSecret(tenantId, stored);
    expect((await service.post(tenantId, trusted)).status).toBe(201);
    return tenantId;
  }

  async function newTenantFromRequest(configuration: object): Promise<string> {
    const tenantId = newTenant();
    await service.putTenantSecret(tenantId, stored);
    expect((await service.post(tenantId, { ...trusted, configuration })).status).toBe(201);
    return tenantId;
  }

  test.each([
    ['the address alone', { 'base.url': address }],
    ['an own key and the address', own],
    ['an own value for each stored one and the address', { ...own, 'partner.key': 'y' }],
    ['a mask in place of the key and the address', { 'api.key': '********', 'base.url': address }],
    ['where to send events', { 'event.notification.callback.url': address }],
  ])('PATCH of %s is refused beside the stored key, and PATCH {} still works', async (_what, requested) => {
    const tenantId = await newTenantFromSecret();
    expect(await service.patch(pathOf(tenantId), { configuration: requested })).toMatchObject({
      status: 400,
      json: { code: 'invalid-request' },
    });
    const rotated = { ...stored, 'api.key': 'rotated-key-for-tests' };
    await service.putTenantSecret(tenantId, rotated);
    // Deployed, Secrets Manager's own event may hold the row meanwhile.
    const patch = async () => (await service.patch(pathOf(tenantId), { configuration: {} })).status;
    await expect.poll(patch, { timeout: 25_000 }).toBe(200);
    expect(configurationOf(tenantId)).toMatchObject(rotated);
    expectApart(tenantId);
  });

  test('an instance that a caller has configured never gets the stored key', async () => {
    const tenantId = await newTenantFromRequest(own);
    expect(await service.post(tenantId, trusted)).toEqual(problem(409, 'settings-conflict'));
    const allowListed = { configuration: { 'pagination.max': 5 } };
    expect((await service.patch(pathOf(tenantId), allowListed)).status).toBe(200);
    // The recipe for a new key in the secret.
    await service.putTenantSecret(tenantId, { ...stored, 'api.key': 'stored-key-for-tests-2' });
    expect(await service.patch(pathOf(tenantId), { configuration: {} })).toEqual(
      problem(409, 'configuration-from-request'),
    );
    expect(configurationOf(tenantId)).toMatchObject(own);
    expectApart(tenantId);
  });

  test('a new key in the body is accepted with all other entries that requests have set', async () => {
    const tenantId = await newTenantFromRequest({ 'api.key': 'x' });
    const token = async () => Object((await service.get(`${pathOf(tenantId)}/token`)).json).token;
    const before = await token();
    const patch = (configuration: object) => service.patch(pathOf(tenantId), { configuration });
    expect((await patch({ 'api.key': 'x-2' })).status).toBe(200);
    expect((await patch(own)).status).toBe(200);
    // From here on the address is among the requests' entries.
    expect(await patch({ 'api.key': 'x-3' })).toEqual(missing('base.url'));
    expect(await patch({ 'base.url': `${address}/other` })).toEqual(missing('api.key'));
    const renewed = { 'api.key': 'x-4', 'base.url': `${address}/other` };
    expect((await patch(renewed)).status).toBe(200);
    expect(configurationOf(tenantId)).toEqual(renewed);
    expect(await patch({})).toEqual(problem(409, 'configuration-from-request'));
    expect(await token()).toBe(before);
    expectApart(tenantId);
  });

  test('PATCH that took effect but was answered as refused is remembered', async () => {
    const tenantId = await newTenantFromRequest({ 'api.key': 'x' });
    service.simulator.fail({ on: 'PATCH /instances/{id}', ...applied(400) });
    expect((await service.patch(pathOf(tenantId), { configuration: own })).status).toBe(400);
    expect(configurationOf(tenantId)).toMatchObject({ 'base.url': address });
    const configuration = { 'api.key': 'x-2' };
    expect(await service.patch(pathOf(tenantId), { configuration })).toEqual(missing('base.url'));
    expect(await service.patch(pathOf(tenantId), { configuration: {} })).toEqual(
      problem(409, 'configuration-from-request'),
    );
    expectApart(tenantId);
  });

  test('DELETE and POST without configuration moves to the stored key, with another token', async () => {
    const tenantId = await newTenantFromRequest(own);
    const [{ token } = { token: '' }] = service.instancesOf(tenantId);
    expect((await service.delete(pathOf(tenantId))).status).toBe(204);
    service.simulator.reset();
    expect((await service.post(tenantId, trusted)).status).toBe(201);
    expect(configurationOf(tenantId)).toEqual(stored);
    expect(service.instancesOf(tenantId)[0]?.token).not.toBe(token);
    expect((await service.patch(pathOf(tenantId), { configuration: {} })).status).toBe(200);
    expectApart(tenantId);
  });

  describe('an element outside the catalog', () => {
    const servicenow = { element: { key: 'servicenow' } };
    const storedEntries = {
      'servicenow.subdomain': 'shop',
      username: stored['api.key'],
      password: stored['api.key'],
    };

    test('PATCH of the address is refused beside the stored key', async () => {
      const tenantId = newTenant();
      await service.putTenantSecret(tenantId, storedEntries, 'servicenow');
      expect((await service.post(tenantId, servicenow)).status).toBe(201);
      for (const configuration of [
        { 'servicenow.subdomain': 'elsewhere' },
        { 'servicenow.subdomain': 'elsewhere', username: 'x' },
      ]) {
        const response = await service.patch(pathOfServicenow(tenantId), { configuration });
        expect(response).toMatchObject({ status: 400, json: { code: 'invalid-request' } });
      }
      expect((await service.patch(pathOfServicenow(tenantId), { configuration: {} })).status).toBe(200);
      expect(configurationOf(tenantId)).toEqual(storedEntries);
      expectApart(tenantId);
    });

    test('POST of the address does not send the stored key', async () => {
      const tenantId = newTenant();
      await service.putTenantSecret(tenantId, storedEntries, 'servicenow');
      const alone = { ...servicenow, configuration: { 'servicenow.subdomain': 'elsewhere' } };
      expect(await service.post(tenantId, alone)).toMatchObject({
        status: 400,
        json: { code: 'refused-by-cloud-elements' },
      });
      const configuration = { 'servicenow.subdomain': 'elsewhere', username: 'x', password: 'x' };
      expect((await service.post(tenantId, { ...servicenow, configuration })).status).toBe(201);
      const patch = (changes: object) =>
        service.patch(pathOfServicenow(tenantId), { configuration: changes });
      expect(await patch({})).toEqual(problem(409, 'configuration-from-request'));
      expect(await patch({ username: 'y' })).toEqual(missing('password', 'servicenow.subdomain'));
      expect((await patch({ ...configuration, username: 'y' })).status).toBe(200);
      expectApart(tenantId);
    });
  });

  test('PATCH does not send a secret without the key', async () => {
    const tenantId = await newTenantFromSecret();
    await service.putTenantSecret(tenantId, { 'base.url': address });
    expect(await service.patch(pathOf(tenantId), { configuration: {} })).toEqual(missing('api.key'));
    await service.putTenantSecret(tenantId, { 'api.key': '********', 'base.url': address });
    expect(await service.patch(pathOf(tenantId), { configuration: {} })).toEqual(
      problem(503, 'tenant-credentials-unusable'),
    );
    expectApart(tenantId);
  });
});

describe('GET of a tenant’s instances', () => {
  test('the list of a tenant without instances is empty', async () => {
    const response = await service.get(`/tenants/${newTenant()}/instances`);
    expect(response).toMatchObject({
      status: 200,
      headers: { 'content-type': 'application/json' },
      text: '[]',
    });
  });

  test('the list has this tenant’s instances in the order of their element keys, without tokens', async () => {
    const [tenantId, other] = [newTenant(), newTenant()];
    const taxify = await service.post(tenantId, instanceJson);
    const freshdesk = await service.post(tenantId, {
      element: { key: 'freshdeskv2' },
      configuration: { subdomain: 'shop', username: 'freshdesk-key-for-tests' },
    });
    await service.post(other, instanceJson);
    const list = await service.get(`/tenants/${tenantId}/instances`);
    expect(list.status).toBe(200);
    expect(list.json).toEqual([freshdesk.json, taxify.json]);
    for (const { token } of service.instancesOf(tenantId)) expect(list.text).not.toContain(token);
  });
});

test.skipIf(isDeployed)(
  'GET of a tenant’s instances leaves out a row that cannot be read, but never all of them',
  async () => {
    const tenantId = newTenant();
    const { json } = await service.post(tenantId, instanceJson);
    const putOdd = (elementKey: string) =>
      service.dynamoDb.send(
        new PutItemCommand({
          TableName: service.stack.tableName,
          Item: {
            tenantId: { S: tenantId },
            elementKey: { S: elementKey },
            status: { S: 'of a later version' },
          },
        }),
      );
    await putOdd('freshdeskv2');
    const list = () => service.get(`/tenants/${tenantId}/instances`);
    expect(await list()).toMatchObject({ status: 200, json: [json] });
    await putOdd('taxify');
    expect(await list()).toMatchObject({ status: 500, json: { code: 'internal' } });
  },
);

describe('GET of a token', () => {
  test('GET of a token returns the instance’s token, and forbids caching', async () => {
    const tenantId = newTenant();
    await service.post(tenantId, instanceJson);
    const [instance] = service.instancesOf(tenantId);
    const response = await service.get(`/tenants/${tenantId}/instances/taxify/token`);
    expect(response).toMatchObject({
      status: 200,
      headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
    });
    expect(response.json).toEqual({
      tenantId,
      element: { key: 'taxify' },
      id: instance?.id,
      token: instance?.token,
    });
  });

  test('GET of a token is logged with its caller and never with the token', async () => {
    const tenantId = newTenant();
    await service.post(tenantId, instanceJson);
    await service.get(`/tenants/${tenantId}/instances/taxify/token`);
    await expect
      .poll(async () => (await linesOf(service, tenantId)).at(-1), patience)
      .toMatchObject({
        message: 'request',
        route: 'GET /tenants/{tenantId}/instances/{elementKey}/token',
        caller: service.callerArn,
        tenantId,
        elementKey: 'taxify',
        status: 200,
      });
    const [instance] = service.instancesOf(tenantId);
    expect((await service.logs()).filter((line) => line.includes(instance?.token ?? ''))).toEqual([]);
  });

  test('GET of a token is refused while the instance is being provisioned, and when it failed', async () => {
    const tenantId = newTenant();
    const path = `/tenants/${tenantId}/instances/taxify/token`;
    service.simulator.latencyMs = 400;
    const refusedLater = service.post(tenantId, withKey('refused-key-for-tests'));
    await expect.poll(() => service.postsFor(tenantId), patience).toBe(1);
    expect(await service.get(path)).toEqual(problem(409, 'not-active'));
    await refusedLater;
    expect(await service.get(path)).toEqual(problem(409, 'not-active'));
  });

  test.skipIf(isDeployed)('GET of a token fails while KMS or the table fails', async () => {
    const tenantId = newTenant();
    await service.post(tenantId, instanceJson);
    for (const target of ['TrentService.Decrypt', 'DynamoDB_20120810.GetItem']) {
      service.stack.fail({ target, status: 400, type: 'AccessDeniedException', message: 'not for callers' });
      const response = await service.get(`/tenants/${tenantId}/instances/taxify/token`);
      expect(response).toEqual(problem(503, 'aws-unavailable'));
      expectNoDetail(response);
    }
    expect((await service.logsOf(tenantId)).at(-1)).toMatchObject({
      level: 'ERROR',
      error: { code: 'aws-unavailable', cause: { message: 'not for callers' } },
    });
  });
});

const withKey = (key: string) => ({ ...instanceJson, configuration: { 'api.key': key } });

describe('a refusal by the vendor', () => {
  test('a refusal by the vendor has its request id but not the vendor’s words, and can be corrected', async () => {
    const tenantId = newTenant();
    const response = await service.post(tenantId, withKey('refused-key-for-tests'));
    const requestId = expect.stringMatching(/^[\da-f]{24}$/);
    expect(response).toEqual(problem(400, 'refused-by-cloud-elements', { requestId }));
    expect(response.text).not.toMatch(/AuthorizationFailed|jane\.doe|refused-key/);

    const stored = await service.get(`/tenants/${tenantId}/instances/taxify`);
    expect(stored.json).toMatchObject({
      status: 'failed',
      lastError: {
        code: 'refused-by-cloud-elements',
        requestId: Object(response.json).requestId,
        at: expect.stringMatching(isoDate),
      },
    });
    expect(stored.text).not.toMatch(/AuthorizationFailed|jane\.doe|refused-key/);

    const corrected = await service.post(tenantId, instanceJson);
    expect(corrected.status).toBe(201);
    expect(corrected.json).not.toHaveProperty('lastError');
    expect(service.instancesOf(tenantId)).toHaveLength(1);
  });

  test.each([
    ['characters beyond the first plane', '"\u{1f511} sesame"'],
    ['a number', '1234567890'],
  ])('a refused credential that contains %s is an ordinary refusal, too', async (_what, value) => {
    const tenantId = newTenant();
    service.simulator.fail({ on: 'POST /instances', ...notApplied({ kind: 'echo-credentials' }) });
    const body = `{"element":{"key":"taxify"},"configuration":{"api.key":${value}}}`;
    const response = await service.post(tenantId, body);
    expect(response).toEqual(problem(400, 'refused-by-cloud-elements', { requestId: expect.any(String) }));
    expect(response.text).toContain('Invalid request: …');
    expect(response.text).not.toMatch(/1234567890|sesame/);
    expect(await service.rowOf(tenantId)).toMatchObject({ status: 'failed', leaseExpiresAt: 0 });
  });

  test('an unknown element is an ordinary refusal, too', async () => {
    const response = await service.post(newTenant(), {
      element: { key: 'nosuch' },
      configuration: { a: 'b' },
    });
    expect(response).toEqual(problem(400, 'refused-by-cloud-elements', { requestId: expect.any(String) }));
  });
});

describe('a platform secret', () => {
  let unconfigured: Service;
  beforeAll(async () => {
    unconfigured = await startService({ platformSecret: null });
  });
  afterAll(() => unconfigured[Symbol.asyncDispose]());

  test.each([
    // Emulators give a secret without a value an empty one.
    ['that is missing', undefined, isDeployed ? 'is empty' : 'does not exist'],
    ['that is empty', '', 'is empty'],
    ['that is not JSON', 'hush-hush', 'is not JSON; it breaks at line 1, column 1'],
    ['of another type', '["hush-hush"]', 'expected an object'],
    ['that is incomplete', { userSecret: 'hush-hush' }, '#/organizationSecret is missing: expected text'],
    [
      'with two faults',
      { userSecret: 'hush, hush', organizationSecret: 7 },
      '#/userSecret expected a secret of ASCII characters without white space and commas; #/organizationSecret expected text',
    ],
  ])(
    'a platform secret %s is reported with the reason to the operator, not to the caller',
    async (_what, value, fault) => {
      const { platformSecretName, putSecret, post } = unconfigured;
      if (value !== undefined) await putSecret(platformSecretName, value);
      const tenantId = newTenant();
      const response = await post(tenantId, instanceJson);
      expect(response).toEqual(problem(503, 'platform-credentials-unusable'));
      expectNoDetail(response);
      expect(response.text).not.toContain('platform secret');
      await expect
        .poll(() => linesOf(unconfigured, tenantId), patience)
        .toMatchObject([
          { message: 'cloud-elements', outcome: 'credentials-rejected' },
          {
            level: 'ERROR',
            error: {
              code: 'platform-credentials-unusable',
              message: expect.stringContaining(`The platform secret ${platformSecretName} ${fault}. Put {`),
            },
          },
        ]);
      expect((await unconfigured.logs()).filter((line) => line.includes('hush'))).toEqual([]);
      expect(await unconfigured.items()).toEqual([]);
      expect(unconfigured.simulator.requests).toEqual([]);
    },
  );

  test('a corrected platform secret works at once', async () => {
    const { platformSecretName, putSecret, post } = unconfigured;
    await putSecret(platformSecretName, {
      userSecret: 'local-user-secret',
      organizationSecret: 'local-organization-secret',
    });
    expect((await post(newTenant(), instanceJson)).status).toBe(201);
  });

  test('a platform secret that Cloud Elements refuses is reported to the operator, too', async () => {
    const tenantId = newTenant();
    service.simulator.fail({ on: 'POST /instances', ...notApplied(401) });
    const response = await service.post(tenantId, instanceJson);
    expect(response).toEqual(problem(503, 'platform-credentials-refused', { requestId: expect.any(String) }));
    expectNoDetail(response);
    await expect
      .poll(async () => (await linesOf(service, tenantId)).at(-1), patience)
      .toMatchObject({
        level: 'ERROR',
        error: { message: expect.stringContaining('Put the current ones into the platform secret') },
      });
    expect(await service.rowOf(tenantId)).toBeUndefined();
  });
});

describe('a failure', () => {
  test('an unusable tenant’s secret is reported to the operator alone and leaves no row', async () => {
    const tenantId = newTenant();
    await service.putTenantSecret(tenantId, 'hush-hush');
    const response = await service.post(tenantId, { element: { key: 'taxify' } });
    expect(response).toEqual(problem(503, 'tenant-credentials-unusable'));
    expectNoDetail(response);
    await expect
      .poll(async () => (await linesOf(service, tenantId))[0], patience)
      .toMatchObject({
        level: 'ERROR',
        error: {
          message: expect.stringContaining(
            `The secret ${service.tenantSecretName(tenantId, 'taxify')} is not JSON`,
          ),
        },
      });
    expect(await service.rowOf(tenantId)).toBeUndefined();
  });

  test.skipIf(isDeployed).each([
    ['Secrets Manager', 'secretsmanager.GetSecretValue', { element: { key: 'taxify' } }],
    ['DynamoDB', 'DynamoDB_20120810.PutItem', instanceJson],
  ])('a failure of %s is answered 503, and the request succeeds later', async (_what, target, body) => {
    const tenantId = newTenant();
    await service.putTenantSecret(tenantId, { 'api.key': 'stored-key-for-tests' });
    service.stack.fail({ target, times: 3, status: 500, type: 'InternalServiceError' });
    const response = await service.post(tenantId, body);
    expect(response).toEqual(problem(503, 'aws-unavailable'));
    expectNoDetail(response);
    expect(await service.rowOf(tenantId)).toBeUndefined();
    expect((await service.post(tenantId, body)).status).toBe(201);
  });

  test.skipIf(isDeployed)(
    'a failure to encrypt the token loses nothing: a repeat finds the instance',
    async () => {
      const tenantId = newTenant();
      service.stack.fail({
        target: 'TrentService.Encrypt',
        times: 3,
        status: 500,
        type: 'KMSInternalException',
      });
      const response = await service.post(tenantId, instanceJson);
      expect(response).toEqual(problem(503, 'not-saved'));
      expectNoDetail(response);
      expect((await service.get(`/tenants/${tenantId}/instances/taxify`)).json).toMatchObject({
        status: 'provisioning',
        lastError: { code: 'not-saved' },
      });
      expect((await service.post(tenantId, instanceJson)).status).toBe(201);
      expect(service.postsFor(tenantId)).toBe(1);
      await service.expectOneActiveInstance(tenantId);
    },
  );

  test.skipIf(isDeployed)('a failure to read the table is answered 503 by the reading routes', async () => {
    const tenantId = newTenant();
    const fault = { times: 3, status: 500, type: 'InternalServerError' };
    service.stack.fail({ target: 'DynamoDB_20120810.Query', ...fault });
    expect(await service.get(`/tenants/${tenantId}/instances`)).toEqual(problem(503, 'aws-unavailable'));
    service.stack.fail({ target: 'DynamoDB_20120810.GetItem', ...fault });
    expect(await service.get(`/tenants/${tenantId}/instances/taxify`)).toEqual(
      problem(503, 'aws-unavailable'),
    );
  });

  test.skipIf(isDeployed)('a failure to reach Cloud Elements is answered 502 and leaves no row', async () => {
    // Leaves half a second for the attempt.
    await using own = await startService({ functionTimeoutMs: 500 + createTimeoutMs + commitReserveMs });
    await own.simulator.stop();
    const response = await own.post('tenant', instanceJson);
    expect(response).toEqual(problem(502, 'cloud-elements-unreachable'));
    expectNoDetail(response);
    expect(await own.items()).toEqual([]);
  });

  test.skipIf(isDeployed)(
    'a request without enough time left is answered 504 and leaves no row',
    async () => {
      await using own = await startService({ functionTimeoutMs: commitReserveMs });
      const response = await own.post('tenant', instanceJson);
      expect(response).toEqual(problem(504, 'out-of-time'));
      expect(await own.items()).toEqual([]);
      expect(own.simulator.requests).toEqual([]);
    },
  );

  test('a 429 of Cloud Elements is passed on with its time to wait, and leaves no row', async () => {
    const tenantId = newTenant();
    service.simulator.fail({
      on: 'POST /instances',
      ...notApplied(429, { headers: { 'retry-after': '60' } }),
    });
    const response = await service.post(tenantId, instanceJson);
    expect(response).toEqual(problem(503, 'cloud-elements-busy', { requestId: expect.any(String) }));
    expect(response.headers['retry-after']).toBe('60');
    expect(await service.rowOf(tenantId)).toBeUndefined();
  });

  test('a connection that fails after the create took effect is recovered within the same request', async () => {
    const tenantId = newTenant();
    service.simulator.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'reset' } });
    expect((await service.post(tenantId, instanceJson)).status).toBe(201);
    expect(service.postsFor(tenantId)).toBe(1);
    await service.expectOneActiveInstance(tenantId);
  });
});

async function killedWhileCreating(effect: 'applied' | 'none'): Promise<string> {
  const tenantId = newTenant();
  service.simulator.fail({ on: 'POST /instances', effect, outcome: { kind: 'stall' } });
  const killed = service.post(tenantId, instanceJson);
  await expect.poll(() => service.postsFor(tenantId), patience).toBe(1);
  service.stack.kill('provision-instance');
  expect((await killed).status).toBe(500);
  return tenantId;
}

describe('a function killed in the middle of a create', () => {
  test.skipIf(isDeployed)(
    'a create killed in the middle loses nothing: a repeat waits for the lease, and gets the instance',
    async () => {
      const tenantId = await killedWhileCreating('applied');
      expect((await service.get(`/tenants/${tenantId}/instances/taxify`)).json).toMatchObject({
        status: 'provisioning',
      });
      expect((await service.post(tenantId, instanceJson)).status).toBe(202);
      await service.endLease(tenantId);
      expect((await service.post(tenantId, instanceJson)).status).toBe(201);
      expect(service.postsFor(tenantId)).toBe(1);
      await service.expectOneActiveInstance(tenantId);
    },
  );

  test.skipIf(isDeployed)(
    'a create killed in the middle is not repeated as long as its instance may still appear',
    async () => {
      const tenantId = await killedWhileCreating('none');
      await service.endLease(tenantId);
      expect(await service.post(tenantId, instanceJson)).toMatchObject({
        status: 202,
        headers: { 'retry-after': '5' },
      });
      expect(service.postsFor(tenantId)).toBe(1);
      expect(service.simulator.requests.at(-1)?.operation).toBe('GET /instances');
    },
  );
});

test('a create of unknown outcome is answered 202, and adopted by a repeat once the instance shows', async () => {
  const { service: own, tenantId, response } = unknownOutcome;
  expect(await response).toMatchObject({
    status: 202,
    headers: { location: `/tenants/${tenantId}/instances/taxify`, 'retry-after': '5' },
    json: {
      status: 'provisioning',
      lastError: { code: 'outcome-unknown', detail: expect.stringContaining('Outcome unknown') },
    },
  });
  own.simulator.listLagMs = 0;
  expect((await own.post(tenantId, instanceJson)).status).toBe(201);
  expect(own.postsFor(tenantId)).toBe(1);
  await own.expectOneActiveInstance(tenantId);
}, 10_000);
