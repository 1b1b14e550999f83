import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import {
  createCloudElementsCaller,
  type CloudElementsCall,
} from '../../../functions/adapters/cloud-elements-http.ts';
import { createCloudElements } from '../../../functions/adapters/cloud-elements.ts';
import {
  startCloudElements,
  type Operation,
  type Outcome,
} from '../../../infra/local/cloud-elements/simulator.ts';

const secrets = {
  userSecret: 'user-secret-for-tests',
  organizationSecret: '58168435e3b9959a929eb04b6218b9a2',
};
const requestId = '58b46b1be4b0e5a9b7d19c49';
const options = { timeoutMs: 2_000 };
const key = { tenantId: 'acme', elementKey: 'taxify' };
const sought = { ...key, owner: 'tests', provisionId: '1', name: 'Acme', createdAt: 0 };
const markers = ['tenant:acme', 'provision:1', 'owner:tests'];

const simulator = await startCloudElements(secrets);
afterAll(() => simulator.stop());
const calls: CloudElementsCall[] = [];
const clientOf = (baseUrl: string) =>
  createCloudElements({
    catalog: builtInCatalog,
    call: createCloudElementsCaller({
      baseUrl,
      credentials: { get: () => Promise.resolve(secrets), renew: (refused) => Promise.resolve(refused) },
      onCall: (each) => calls.push(each),
    }),
  });
const client = clientOf(simulator.url);
beforeEach(() => {
  simulator.reset();
  calls.length = 0;
  for (const { id } of simulator.instances.slice()) {
    const at = simulator.instances.findIndex((each) => each.id === id);
    if (Array.isArray(simulator.instances)) simulator.instances.splice(at, 1);
  }
});

const create = (configuration: Record<string, string> = { 'api.key': 'k' }) =>
  client.create({ ...key, name: 'Acme', tags: markers, configuration }, options);
const seed = (tags: readonly string[] = markers) =>
  simulator.seed({ element: { key: 'taxify' }, name: 'Acme', tags, configuration: { 'api.key': 'k' } });
const say = (status: number, body: object | string, headers?: Record<string, string>): Outcome => ({
  kind: 'status',
  status,
  body,
  ...(headers && { headers }),
});
const fail = (on: Operation, outcome: Outcome, times = 1) =>
  simulator.fail({ on, effect: 'none', outcome, times });
const codeIn = (outcome: object) =>
  'error' in outcome && outcome.error instanceof Object && 'code' in outcome.error
    ? outcome.error.code
    : undefined;

const responding = async (respond: (response: ServerResponse) => void) => {
  const server = createServer((_, response) => respond(response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const outcome = await clientOf(`http://127.0.0.1:${port}`).read({ ...sought, instanceId: 7 }, options);
  server.close();
  return outcome;
};
const total = (count: number) => ({ 'elements-total-count': String(count) });
const page = (count: number, from = 1) =>
  Array.from({ length: count }, (_, index) => ({
    id: from + index,
    element: { key: 'taxify' },
    tags: ['tenant:another'],
  }));
const list = (owner: string, pageToken?: string) => client.list({ owner, page: pageToken }, options);
const sizes = () => simulator.requests.map(({ query }) => query.get('pageSize'));
const requestIdOf = async (body: object, headers?: Record<string, string>) => {
  fail('PATCH /instances/{id}', say(400, body, headers));
  await client.update({ ...key, instanceId: 7 }, { name: 'Other' }, options);
  return calls.at(-1)?.requestId;
};
const header = (id: string) => ({ 'elements-request-id': id });

describe('JSON of a proxy, without a request id, is no verdict of Cloud Elements', () => {
  const proxies: [number, object][] = [
    [400, { message: 'Bad Request' }],
    [401, { message: 'Unauthorized' }],
    [403, { message: 'Forbidden' }],
    [404, { message: 'no Route matched with those values' }],
    [404, { message: 'no Route matched with those values', request_id: requestId }],
    // Spring's gateway numbers its requests, too.
    [404, { timestamp: '2026-11-26', error: 'Not Found', message: null, requestId: 'd5a8c5c6-17' }],
    [404, { message: 'Not found', requestId: null, providerMessage: null }],
  ];

  test.each(proxies)(
    'the response %d %j to a create, a change and a deletion is unreadable',
    async (status, body) => {
      fail('POST /instances', say(status, body));
      fail('PATCH /instances/{id}', say(status, body));
      fail('DELETE /instances/{id}', say(status, body));
      const outcomes = [
        await create(),
        await client.update({ ...key, instanceId: 7 }, { name: 'Other' }, options),
        await client.remove({ ...key, instanceId: 7 }, options),
      ];
      expect(outcomes.map(codeIn)).toEqual(Array(3).fill('cloud-elements-unreadable'));
      expect(calls.map(({ outcome }) => outcome)).toEqual(Array(3).fill('answered'));
    },
  );

  test.each(proxies)(
    'the response %d %j to a read, a look-up and a list leaves them unknown',
    async (status, body) => {
      fail('GET /instances/{id}', say(status, body));
      fail('GET /instances', say(status, body), 2);
      expect(await client.read({ ...sought, instanceId: 7 }, options)).toMatchObject({
        kind: 'unknown',
        error: { code: 'cloud-elements-unreadable', retryable: true },
      });
      expect(await client.lookUp(sought, options)).toMatchObject({ kind: 'unknown' });
      expect(await client.list({ owner: 'tests', page: undefined }, options)).toMatchObject({
        kind: 'unknown',
      });
    },
  );

  test('a vendor’s refusal needs no request id, but its 404 does not make an instance absent', async () => {
    fail('GET /instances/{id}', say(404, { providerMessage: 'any' }));
    expect(await client.read({ ...sought, instanceId: 7 }, options)).toMatchObject({
      kind: 'unknown',
      error: { code: 'refused-by-cloud-elements' },
    });
  });

  test('the documented refusal of the platform secret needs no request id', async () => {
    const message = 'Invalid Organization or User secret, or invalid Element token provided.';
    fail('POST /instances', say(401, { message }));
    expect(codeIn(await create())).toBe('platform-credentials-refused');
  });
});

describe('null is the same as absent', () => {
  test('a 401 with providerMessage null refuses the platform secret, not the tenant’s', async () => {
    fail('POST /instances', say(401, { requestId, message: 'No', providerMessage: null }));
    expect(codeIn(await create())).toBe('platform-credentials-refused');
  });

  test.each([
    [{ requestId, message: null }],
    [{ requestId, message: null, providerMessage: null }],
    [{ requestId: null, message: 'Bad Request', providerMessage: 'any' }],
  ])('a 400 with %j is a refusal', async (body) => {
    fail('POST /instances', say(400, body));
    expect(codeIn(await create())).toBe('refused-by-cloud-elements');
  });
});

describe('compression', () => {
  test('requests accept only identity, and a gzip response is read', async () => {
    simulator.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'gzip' } });
    expect(await create()).toMatchObject({ kind: 'created' });
    expect(simulator.requests.map(({ headers }) => headers['accept-encoding'])).toEqual(['identity']);
  });

  const instance = gzipSync(JSON.stringify({ id: 7, element: { key: 'taxify' }, token: 't', tags: markers }));

  test('a gzip response without its header is read', async () => {
    expect(await responding((response) => response.end(instance))).toMatchObject({
      kind: 'read',
      token: 't',
    });
  });

  test('a decompression bomb is cut off at the limit', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, 0x20));
    const before = process.memoryUsage().arrayBuffers;
    const outcome = await responding((response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb),
    );
    expect(outcome).toMatchObject({ kind: 'unknown', reason: 'ERR_BUFFER_TOO_LARGE' });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(40 * 1024 * 1024);
  });

  test('a damaged gzip response is unreadable', async () => {
    const cut = instance.subarray(0, instance.length - 12);
    const outcome = await responding((response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(cut),
    );
    expect(outcome).toMatchObject({ kind: 'unknown', reason: 'Z_BUF_ERROR' });
  });
});

describe('a page token on a full last page', () => {
  beforeEach(() => {
    simulator.tokenOnFullPage = true;
    simulator.ignoreTagFilter = true;
  });
  const absent = say(404, { requestId, message: 'No element instances found' });

  test('a 404 after a full last page is the end of the list for a look-up', async () => {
    for (let i = 0; i < 200; i++) seed(i === 150 ? markers : ['another']);
    expect(await client.lookUp(sought, options)).toMatchObject({
      kind: 'found',
      instances: [{ id: simulator.instances[150]?.id }],
    });
    expect(simulator.requests.map(({ query }) => query.has('nextPage'))).toEqual([false, true]);
  });

  test('a 404 after a full last page is the end of the list for an audit', async () => {
    for (let i = 0; i < 200; i++) seed();
    const first = await list('tests');
    if (first.kind !== 'listed') throw new Error(first.kind);
    expect(await client.list({ owner: 'tests', page: first.nextPage, walk: first.walk }, options)).toEqual({
      kind: 'listed',
      instances: [],
      nextPage: undefined,
    });
  });

  test('a 404 after a full last page proves an empty result only with the total of the list', async () => {
    const headers = { 'elements-next-page-token': 'next' };
    const filtered: Outcome[] = [say(200, [], { ...headers, ...total(0) }), absent];
    simulator.faultFor = () => ({ effect: 'none', outcome: filtered.shift() ?? absent });
    expect(await client.lookUp(sought, options)).toEqual({ kind: 'found', instances: [], isCertain: true });
    const full: Outcome[] = [say(200, page(200), headers), absent, say(200, page(200), headers), absent];
    simulator.faultFor = () => ({ effect: 'none', outcome: full.shift() ?? absent });
    expect(await client.lookUp(sought, options)).toEqual({ kind: 'found', instances: [], isCertain: false });
    expect(full).toEqual([]);
  });

  test.each([
    ['when the list has more items', page(200), total(201)],
    ['when the previous page was not full', page(3), {}],
  ])('a 404 to a later page proves nothing %s', async (_when, items, headers) => {
    const outcomes = [say(200, items, { 'elements-next-page-token': 'next', ...headers }), absent];
    simulator.faultFor = () => ({ effect: 'none', outcome: outcomes.shift() ?? absent });
    expect(await client.lookUp(sought, options)).toMatchObject({ kind: 'unknown' });
    const again = [say(200, items, { 'elements-next-page-token': 'next', ...headers }), absent];
    simulator.faultFor = () => ({ effect: 'none', outcome: again.shift() ?? absent });
    const first = await list('tests');
    if (first.kind !== 'listed') throw new Error(first.kind);
    expect(
      await client.list({ owner: 'tests', page: first.nextPage, walk: first.walk }, options),
    ).toMatchObject({ kind: 'refused' });
  });
});

describe('a page of the list that is too large', () => {
  const tooLarge = say(429, { requestId, message: 'Payload too large: the limit is 8 MB' });
  const refuseAbove = (limit: number, isLater = false) => {
    simulator.faultFor = ({ query }) =>
      Number(query.get('pageSize') ?? 200) > limit && (!isLater || query.has('nextPage'))
        ? { effect: 'none', outcome: tooLarge }
        : undefined;
  };

  test.each([
    [50, [null, '50']],
    [10, [null, '50', '10']],
  ])('a page that is too large is requested again with at most %d instances', async (limit, requested) => {
    const { id } = seed();
    refuseAbove(limit);
    expect(await client.lookUp(sought, options)).toMatchObject({ kind: 'found', instances: [{ id }] });
    expect(sizes()).toEqual(requested);
    simulator.requests.length = 0;
    expect(await client.list({ owner: 'tests', page: undefined }, options)).toMatchObject({
      instances: [{ id }],
    });
    expect(sizes()).toEqual(requested);
  });

  test('a page that is too large after the first one begins the look-up again', async () => {
    simulator.ignoreTagFilter = true;
    for (let i = 0; i < 205; i++) seed(i === 203 ? markers : ['another']);
    refuseAbove(50, true);
    expect(await client.lookUp(sought, options)).toMatchObject({ kind: 'found', instances: [{}] });
    expect(sizes()).toEqual([null, null, '50', '50', '50', '50', '50']);
  });

  test('a page that is too large with ten instances leaves the list unknown', async () => {
    refuseAbove(9);
    expect(await client.lookUp(sought, options)).toMatchObject({ kind: 'unknown' });
    expect(sizes()).toEqual([null, '50', '10']);
  });

  test('a page refused by a rate limit is not requested in smaller pages', async () => {
    fail('GET /instances', say(429, { requestId, message: 'Too many requests' }));
    expect(await client.lookUp(sought, options)).toMatchObject({ kind: 'unknown' });
    expect(sizes()).toEqual([null]);
  });

  test('a create answered as too large has an unknown outcome: the instance may exist', async () => {
    fail('POST /instances', tooLarge);
    expect(await create()).toMatchObject({ kind: 'unknown' });
  });
});

describe('ids', () => {
  test.each<[string, unknown]>([
    ['text', '1000001'],
    ['a number', 1_000_001],
  ])('an id as %s up to 2^53 becomes a number', async (_form, id) => {
    fail('POST /instances', say(200, { id, token: 't' }));
    expect(await create()).toEqual({ kind: 'created', instance: { id: 1_000_001, token: 't' } });
  });

  test.each([
    ['9007199254740993', '9007199254740993'],
    ['"9007199254740993"', '9007199254740993'],
    ['123456789012345678901234567890', '123456789012345678901234567890'],
    ['"in-7"', 'in-7'],
  ])('the id %s is kept exactly, in a look-up and for its deletion', async (written, id) => {
    const body = `{"id": ${written}, "token": "t", "element": {"key": "taxify"}, "tags": ${JSON.stringify(markers)}}`;
    fail('POST /instances', say(200, body));
    const unusable = { id, reason: 'with an id that is no integer below 2^53' };
    expect(await create()).toEqual({ kind: 'unusable', instance: unusable });
    fail('GET /instances', say(200, `[${body}]`));
    expect(await client.lookUp(sought, options)).toMatchObject({
      kind: 'found',
      instances: [],
      unusable: [unusable],
    });
    await client.remove({ ...key, instanceId: id }, options);
    expect(simulator.requests.at(-1)?.path).toBe(`/elements/api-v2/instances/${id}`);
  });
});

describe('tokens', () => {
  const long = 'a'.repeat(4_096);

  test('tokens of 4,096 bytes are kept', async () => {
    simulator.newToken = () => long;
    expect(await create()).toMatchObject({ kind: 'created', instance: { token: long } });
  });

  test.each([
    ['more than 4,096 bytes', `${long}a`],
    ['more than 4,096 bytes in fewer characters', 'ä'.repeat(2_049)],
    ['a lone surrogate', 'token\ud800'],
    ['U+FFFD', 'token\ufffd'],
    ['a space', 'to ken'],
    ['a comma', 'to,ken'],
  ])('a token with %s makes an instance unusable', async (_what, token) => {
    simulator.newToken = () => token;
    const created = await create();
    const [instance] = simulator.instances;
    expect(created).toMatchObject({ kind: 'unusable', instance: { id: instance?.id } });
    const found = await client.lookUp(sought, options);
    expect(found).toMatchObject({ instances: [], unusable: [{ id: instance?.id }] });
    expect(await client.lookUp({ ...sought, instanceId: instance?.id }, options)).toEqual(found);
    const notListed = { ...sought, provisionId: '2', instanceId: instance?.id };
    expect(await client.lookUp(notListed, options)).toEqual(found);
    expect(JSON.stringify([created, found])).not.toContain(JSON.stringify(token).slice(1, -1));
  });

  test.each<[string, (key: string) => string]>([
    ['as it is', (text) => text],
    ['backwards', (text) => text.split('').toReversed().join('')],
    ['in Base64', (text) => Buffer.from(text).toString('base64')],
    ['in hexadecimal digits', (text) => Buffer.from(text).toString('hex').toUpperCase()],
    ['within a longer text', (text) => `tx-${text}-1`],
  ])('a token that repeats a credential of the request %s is not kept', async (_how, write) => {
    const apiKey = 'pX7!Kd-92/value+token';
    simulator.newToken = () => write(apiKey);
    const outcome = await create({ 'api.key': apiKey });
    expect(outcome).toMatchObject({ kind: 'unusable' });
    expect(JSON.stringify(outcome)).not.toContain('pX7');
  });

  test.each(Object.values(secrets))('tokens that repeat a platform secret are not kept', async (secret) => {
    simulator.newToken = () => secret;
    expect(await create()).toMatchObject({ kind: 'unusable' });
    expect(await client.lookUp(sought, options)).toMatchObject({ instances: [], unusable: [{}] });
  });

  test('an id that repeats a credential is not named', async () => {
    fail('POST /instances', say(200, { id: 20_261_126, token: 't' }));
    const outcome = await create({ 'api.key': '20261126' });
    expect(outcome).toMatchObject({ kind: 'unusable', instance: { id: undefined } });
    expect(JSON.stringify(outcome)).not.toContain('20261126');
  });
});

test('a lone surrogate of a response reaches no outcome and no log line', async () => {
  const message = 'The \ud800 value \udfff is not valid\ud83d';
  fail('POST /instances', say(400, { requestId, message }));
  const listed = [
    { id: 7, token: 't', element: { key: 'tax\ud800' }, name: '\ud800', tags: ['owner:tests', '\udc00'] },
  ];
  fail('GET /instances', say(200, listed));
  const outcomes = [await create(), await client.list({ owner: 'tests', page: undefined }, options)];
  const told = [...outcomes.map((each) => JSON.stringify(each)), JSON.stringify(calls)];
  expect(told.join()).not.toMatch(/\\ud[89a-f]/);
  expect(outcomes[1]).toMatchObject({
    instances: [{ elementKey: 'tax\ufffd', tags: ['owner:tests', '\ufffd'] }],
  });
});

describe('request ids of header and body', () => {
  const storedKey = randomBytes(12).toString('hex');

  test('a request id is relayed when header and body agree, or only the header has one', async () => {
    expect(await requestIdOf({ requestId, message: 'No' }, header(requestId.toUpperCase()))).toBe(
      requestId.toUpperCase(),
    );
    expect(await requestIdOf({ message: 'No' }, header(requestId))).toBe(requestId);
  });

  test('a request id is not relayed when the body has another one, which may be a stored key', async () => {
    expect(await requestIdOf({ requestId: storedKey, message: 'No' }, header(requestId))).toBeUndefined();
    expect(await requestIdOf({ requestId: storedKey, message: 'No' }, header(''))).toBeUndefined();
  });

  test.each<[string, string]>([
    ['in hexadecimal digits', 'twelve-bytes'],
    ['backwards in hexadecimal digits', 'twelve-bytes'],
  ])('a request id that is a sent credential %s is not relayed', async (how, apiKey) => {
    const digits = Buffer.from(apiKey).toString('hex');
    const id = how.startsWith('backwards') ? digits.split('').toReversed().join('') : digits;
    fail('POST /instances', say(500, { requestId: id, message: 'No' }));
    expect(await create({ 'api.key': apiKey })).toMatchObject({ kind: 'unknown', requestId: undefined });
  });

  test('a request id that contains a sent key of 24 digits reversed, or the bytes of a Base64 key, is not relayed', async () => {
    for (const apiKey of [
      storedKey.split('').toReversed().join(''),
      Buffer.from(storedKey, 'hex').toString('base64'),
    ]) {
      fail('POST /instances', say(500, { requestId: storedKey, message: 'No' }));
      expect(await create({ 'api.key': apiKey })).toMatchObject({ kind: 'unknown', requestId: undefined });
    }
  });
});
