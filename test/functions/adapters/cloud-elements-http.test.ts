import { createServer } from 'node:http';
import { connect } from 'node:net';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import {
  createCloudElementsCaller,
  describe as described,
  isAbsent,
  isSuccess,
  isTooLarge,
  isUnauthorized,
  successOf,
  type CallResult,
  type CloudElementsCall,
  type CredentialsSource,
  type Request,
} from '../../../functions/adapters/cloud-elements-http.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { closeServer, listenOnLoopback } from '../../../infra/local/loopback.ts';
import { startScriptedServer, type ScriptedResponse } from '../../support/scripted-server.ts';

const secrets = { userSecret: 'user-secret-for-tests', organizationSecret: 'organization-secret-for-tests' };
const rotated = { userSecret: 'rotated-user-secret', organizationSecret: 'rotated-organization-secret' };
const requestId = '58b46b1be4b0e5a9b7d19c49';
const otherId = '5f0c7f5a-4c8e-4c53-a5a2-0b9d5f3f7c11';
const numbered = { 'elements-request-id': requestId };
const duration = expect.any(Number);

const server = await startScriptedServer();
const calls: CloudElementsCall[] = [];
beforeEach(() => {
  server.requests.length = 0;
  calls.length = 0;
});

const fixed: CredentialsSource = {
  get: () => Promise.resolve(secrets),
  renew: (refused) => Promise.resolve(refused),
};
const callerOf = (credentials = fixed, baseUrl = server.url) =>
  createCloudElementsCaller({ baseUrl, credentials, onCall: (each) => calls.push(each) });
const list: Request = { method: 'GET', path: '/instances' };
const send = (request: Partial<Request> = {}, timeoutMs = 2_000) =>
  callerOf()({ ...list, ...request }, { timeoutMs });
function respondWith(...responses: ScriptedResponse[]): void {
  server.respond = () => responses.shift() ?? { status: 599 };
}
async function answered(response: ScriptedResponse, request: Partial<Request> = {}) {
  respondWith(response);
  const result = await send(request);
  if (result.kind !== 'response') throw new Error(result.kind);
  return result;
}

describe('a request', () => {
  test('a request without a body has neither body nor content type', async () => {
    await answered({ status: 200, body: [] }, { query: { 'tags[]': 'owner:ä', nextPage: 'a b' } });
    const [request] = server.requests;
    expect(request).toMatchObject({
      method: 'GET',
      path: '/elements/api-v2/instances',
      query: { 'tags[]': 'owner:ä', nextPage: 'a b' },
      body: undefined,
    });
    const { host, connection, ...headers } = { ...request?.headers };
    expect(headers).toEqual({
      authorization: `User ${secrets.userSecret}, Organization ${secrets.organizationSecret}`,
      accept: 'application/json',
      'accept-encoding': 'identity',
    });
    expect(server.url).toContain(host);
    expect(connection).toMatch(/close|keep-alive/);
  });

  test('a request with a body sends JSON', async () => {
    await answered({ status: 200, body: {} }, { method: 'POST', body: { name: 'é' } });
    expect(server.requests).toMatchObject([
      { method: 'POST', body: { name: 'é' }, headers: { 'content-type': 'application/json' } },
    ]);
  });

  test('a request of an element carries its token, which no response brings back', async () => {
    const message = 'The token-of-seven is invalid';
    const result = await answered(
      { status: 400, body: { requestId, message } },
      { path: '/ping', elementToken: 'token-of-seven' },
    );
    expect(server.requests[0]?.headers.authorization).toMatch(/, Element token-of-seven$/);
    expect(result.refusal?.message).toBe('The … is invalid');
    expect(result.repeatsSecret('a token-of-seven')).toBe(true);
    expect(result.repeatsSecret('token-of-eight')).toBe(false);
    expect((await answered({ status: 200 })).repeatsSecret('')).toBe(false);
  });

  test('a caller’s secrets are withheld from messages, beside those of the platform', async () => {
    const relaying = { names: ['subdomain'], secrets: ['password'] };
    const message = 'The subdomain password of user is invalid';
    const { refusal, repeatsSecret } = await answered(
      { status: 400, body: { requestId, message } },
      { relaying },
    );
    expect(refusal?.message).toBe('The subdomain … of … is invalid');
    for (const secret of ['password', ...Object.values(secrets)]) expect(repeatsSecret(secret)).toBe(true);
  });

  test('each request has a connection of its own', async () => {
    const ports = new Set<number | undefined>();
    const counting = createServer((request, response) => {
      ports.add(request.socket.remotePort);
      response.end('{}');
    });
    const baseUrl = await listenOnLoopback(counting, 0);
    const call = callerOf(fixed, baseUrl);
    await call(list, { timeoutMs: 2_000 });
    await call(list, { timeoutMs: 2_000 });
    await closeServer(counting);
    expect(ports.size).toBe(2);
  });
});

describe('the account of a call', () => {
  const page = { status: 200, body: [] };
  const rejecting = { status: 401, body: { requestId, message: 'No' } };
  const byVendor = { status: 401, body: { requestId, providerMessage: 'any' } };

  test.each<[string, ScriptedResponse, Partial<Request>, object]>([
    ['200', page, {}, { outcome: 'answered', status: 200 }],
    ['404', { status: 404 }, {}, { outcome: 'answered', status: 404 }],
    ['429', { status: 429 }, {}, { outcome: 'throttled', status: 429 }],
    ['408', { status: 408 }, {}, { outcome: 'failed', status: 408 }],
    ['500', { status: 500 }, {}, { outcome: 'failed', status: 500 }],
    ['499', { status: 499 }, {}, { outcome: 'answered', status: 499 }],
    ['a 401 of the platform', rejecting, {}, { outcome: 'credentials-rejected', status: 401 }],
    ['a 401 of a vendor', byVendor, {}, { outcome: 'answered', status: 401 }],
    ['a 401 of a proxy', { status: 401 }, {}, { outcome: 'answered', status: 401 }],
    [
      'a 401 to an element’s token',
      rejecting,
      { elementToken: 'any-token' },
      { outcome: 'answered', status: 401 },
    ],
    [
      'a 500 to an element’s token',
      { status: 500 },
      { elementToken: 'any-token' },
      { outcome: 'failed', status: 500 },
    ],
    ['its request id', { ...page, headers: numbered }, {}, { outcome: 'answered', status: 200, requestId }],
    ['no response', 'reset', {}, { outcome: 'failed', reason: 'UND_ERR_SOCKET' }],
  ])('a call answered with %s is accounted for so', async (_how, response, request, account) => {
    respondWith(response);
    await send(request);
    expect(calls).toEqual([{ operation: 'GET /instances', durationMs: duration, ...account }]);
  });

  test('a call is accounted for by its operation and subject, without ids in the path', async () => {
    respondWith(page, page, page);
    const about = { tenantId: 'acme', instanceId: 7 };
    await send({ method: 'DELETE', path: '/instances/70', about });
    await send({ path: '/ping' });
    await send({ path: '/x/instances/7' });
    expect(calls.map((call) => [call.operation, call.about])).toEqual([
      ['DELETE /instances/{id}', about],
      ['GET /ping', undefined],
      ['GET /x/instances/7', undefined],
    ]);
  });

  test('the duration of a call is that of its last request, in whole milliseconds', async () => {
    const late = createServer((_request, response) => setTimeout(() => response.end('[]'), 60));
    const baseUrl = await listenOnLoopback(late, 0);
    await callerOf(fixed, baseUrl)(list, { timeoutMs: 2_000 });
    await closeServer(late);
    const [{ durationMs = 0 } = {}] = calls;
    expect(durationMs).toBeGreaterThanOrEqual(50);
    expect(durationMs).toBeLessThan(1_900);
    expect(Number.isInteger(durationMs)).toBe(true);
  });

  test.each([
    ['platform-credentials-unusable', 'credentials-rejected'],
    ['aws-unavailable', 'not-tried'],
  ] as const)('a call that fails for %s before it is sent is %s', async (code, outcome) => {
    const error = new OnboardingError(code, 'The secret cannot be read.');
    const result = await callerOf({ ...fixed, get: () => Promise.reject(error) })(list, { timeoutMs: 2_000 });
    expect(result).toEqual({ kind: 'no-credentials', error });
    expect(described(result)).toBe('The secret cannot be read.');
    expect(calls).toEqual([{ operation: 'GET /instances', outcome, reason: code }]);
    expect(server.requests).toEqual([]);
  });

  test('a call whose secrets do not come in time is not tried', async () => {
    const never = Promise.withResolvers<typeof secrets>().promise;
    const startedAt = performance.now();
    const result = await callerOf({ ...fixed, get: () => never })(list, { timeoutMs: 40 });
    expect(result).toEqual({ kind: 'broken', sent: false, reason: 'no credentials in time' });
    expect(calls).toEqual([
      { operation: 'GET /instances', outcome: 'not-tried', reason: 'no credentials in time' },
    ]);
    expect(performance.now() - startedAt).toBeGreaterThan(30);
  });

  test('any other failure to get the secrets is thrown', async () => {
    const bug = new TypeError('a bug');
    const call = callerOf({ ...fixed, get: () => Promise.reject(bug) });
    await expect(call(list, { timeoutMs: 2_000 })).rejects.toBe(bug);
  });

  test('a call without a listener is sent as well', async () => {
    respondWith(page);
    const call = createCloudElementsCaller({ baseUrl: server.url, credentials: fixed });
    expect(await call(list, { timeoutMs: 2_000 })).toMatchObject({ status: 200 });
  });
});

/** A source of the first secrets, and of these when it is asked to renew them. */
const renewing = (renewed: typeof secrets) => {
  const refused: object[] = [];
  const credentials = {
    get: () => Promise.resolve(secrets),
    renew: (old: typeof secrets) => {
      refused.push(old);
      return Promise.resolve(renewed);
    },
  };
  return { refused, call: () => callerOf(credentials)(list, { timeoutMs: 2_000 }) };
};
const users = () =>
  server.requests.map(({ headers }) => /User (.+?),/.exec(headers.authorization ?? '')?.[1]);

describe('a refused platform secret', () => {
  test.each<[string, ScriptedResponse]>([
    ['of the platform', { status: 401, body: { requestId, message: 'No' } }],
    ['of a proxy', { status: 401 }],
  ])('a 401 %s renews the secrets and sends the request once more', async (_whose, unauthorized) => {
    respondWith(unauthorized, { status: 200, body: [] });
    const { refused, call } = renewing(rotated);
    expect(await call()).toMatchObject({ status: 200 });
    expect(refused).toEqual([secrets]);
    expect(users()).toEqual([secrets.userSecret, rotated.userSecret]);
    expect(calls).toHaveLength(1);
    respondWith(unauthorized, unauthorized);
    expect(await renewing(rotated).call()).toMatchObject({ status: 401 });
  });

  test('a 401 is final if there are no newer secrets', async () => {
    respondWith({ status: 401 }, { status: 200, body: [] });
    expect(await renewing(secrets).call()).toMatchObject({ status: 401 });
    expect(users()).toEqual([secrets.userSecret]);
  });

  test.each<[string, ScriptedResponse]>([
    ['a vendor’s 401', { status: 401, body: { providerMessage: 'any' } }],
    ['a 403', { status: 403, body: { requestId, message: 'No' } }],
    ['a broken connection', 'reset'],
  ])('%s renews nothing', async (_what, response) => {
    respondWith(response, { status: 200, body: [] });
    const { refused, call } = renewing(rotated);
    await call();
    expect(refused).toEqual([]);
    expect(server.requests).toHaveLength(1);
  });
});

const refusesSecrets = 'Invalid Organization or User secret, or invalid Element token provided.';

describe('a response', () => {
  test.each<[string, ScriptedResponse, string | undefined, string]>([
    ['no body', { status: 500 }, undefined, 'HTTP 500 without a readable body'],
    [
      'a page',
      { status: 500, body: '<html>', headers: numbered },
      requestId,
      `HTTP 500 without a readable body, request ${requestId}`,
    ],
    [
      'JSON of a proxy',
      { status: 500, body: { message: 'Oops' } },
      undefined,
      'HTTP 500 with an unexpected body',
    ],
    [
      'words of the platform',
      { status: 500, body: { message: 'Request failed' }, headers: numbered },
      requestId,
      `HTTP 500 from Cloud Elements, request ${requestId}: Request failed`,
    ],
    [
      'no words of the platform',
      { status: 500, body: { requestId } },
      undefined,
      'HTTP 500 from Cloud Elements',
    ],
    [
      'words that are withheld',
      { status: 500, body: { requestId, message: '77' } },
      undefined,
      'HTTP 500 from Cloud Elements',
    ],
    [
      'a vendor’s words',
      { status: 500, body: { providerMessage: 'Ms. X' } },
      undefined,
      'HTTP 500 from Cloud Elements',
    ],
    [
      'a header’s id and no words',
      { status: 500, body: {}, headers: numbered },
      requestId,
      `HTTP 500 with an unexpected body, request ${requestId}`,
    ],
  ])('a response with %s is described for the log', async (_what, response, id, text) => {
    const result = await answered(response);
    expect(result.requestId).toBe(id);
    expect(described(result)).toBe(text);
  });

  test.each<[string, object | string, Record<string, string>, object | undefined]>([
    [
      'a message and an id in the body',
      { requestId, message: 'No' },
      {},
      { message: 'No', isVendors: false, isNumbered: true },
    ],
    [
      'a message and an id in the header',
      { message: 'No' },
      numbered,
      { message: 'No', isVendors: false, isNumbered: true },
    ],
    ['an id alone', { requestId }, {}, { message: undefined, isVendors: false, isNumbered: true }],
    ['an id in another form', { requestId: 'r-1' }, {}, undefined],
    [
      'an id in another form, and one in the header',
      { requestId: 'r-1' },
      numbered,
      { message: undefined, isVendors: false, isNumbered: true },
    ],
    [
      'a vendor’s message',
      { providerMessage: {} },
      {},
      { message: undefined, isVendors: true, isNumbered: false },
    ],
    ['a vendor’s message that is null', { message: 'No', providerMessage: null }, {}, undefined],
    ['a message alone', { message: 'No' }, {}, undefined],
    [
      'an empty message and an id in the header',
      { message: '' },
      numbered,
      { message: undefined, isVendors: false, isNumbered: true },
    ],
    ['a message that is no text', { requestId, message: 7 }, {}, undefined],
    ['the words for refused secrets', { message: refusesSecrets }, {}, undefined],
    ['a list', [], numbered, undefined],
    ['text', '"text"', numbered, undefined],
  ])('a response with %s is a refusal of the platform, or none', async (_what, body, headers, refusal) => {
    expect((await answered({ status: 400, body, headers })).refusal).toEqual(refusal);
  });

  test.each<[number, string, boolean]>([
    [401, refusesSecrets, true],
    [403, refusesSecrets, false],
    [401, `The ${refusesSecrets}`, false],
    [401, 'Invalid Organization or User secrets', false],
  ])('a %d with the words "%s" refuses the platform secret: %s', async (status, message, isRefused) => {
    expect(isUnauthorized(await answered({ status, body: { message } }))).toBe(isRefused);
  });

  test('a 403 of the platform refuses no platform secret', async () => {
    expect(isUnauthorized(await answered({ status: 403, body: { requestId, message: 'No' } }))).toBe(false);
  });

  test('a response is decompressed by its coding', async () => {
    const headers = { 'content-encoding': 'br' };
    expect(await answered({ status: 200, body: brotliCompressSync('[7]'), headers })).toMatchObject({
      json: [7],
    });
  });

  test.each<[number, object | string, boolean]>([
    [404, { requestId, message: 'No' }, true],
    [404, { message: 'No' }, false],
    [404, { providerMessage: 'any' }, false],
    [410, { requestId, message: 'No' }, false],
  ])('a %d with %j says that there is no such thing: %s', async (status, body, isNone) => {
    expect(isAbsent(await answered({ status, body }))).toBe(isNone);
  });

  test.each<[number, string, boolean]>([
    [413, 'any', true],
    [429, 'Payload too large', true],
    [429, 'The size is above the limit', true],
    [429, 'The response is too big', true],
    [429, 'At most 8 MB', true],
    [429, 'At most 8.25MiB', true],
    [429, 'At most 500 kb are sent', true],
    [429, 'At most 8388608 bytes', true],
    [429, 'At most 8 megabytes', true],
    [429, 'Too many requests', false],
    [429, 'The resize is above the limit', false],
    [429, 'At most 8 mbps', false],
    [429, 'At most MB', false],
    [400, 'Payload too large', false],
  ])('a %d with "%s" is about the size: %s', async (status, message, isOfSize) => {
    expect(isTooLarge(await answered({ status, body: { requestId, message } }))).toBe(isOfSize);
  });

  test('a 429 without JSON is about the rate', async () => {
    expect(isTooLarge(await answered({ status: 429, body: 'too large' }))).toBe(false);
  });

  test.each<[string, string, boolean]>([
    ['', '', false],
    [' \n', '', false],
    ['<html>', '', true],
    ['{}', '', false],
  ])('the body "%s" is a page: %s%s', async (body, _, isPage) => {
    expect((await answered({ status: 200, body })).isPage).toBe(isPage);
  });

  test.each<[string, Record<string, string>, string | undefined]>([
    [requestId, {}, undefined],
    [requestId, numbered, requestId],
    [requestId.toUpperCase(), numbered, requestId],
    ['r-1', numbered, requestId],
    [otherId, numbered, undefined],
    [requestId, { 'elements-request-id': '' }, undefined],
    ['', { 'elements-request-id': 'r-1' }, undefined],
  ])(
    'the request id "%s" in the body and %j in the header are relayed as %s',
    async (id, headers, relayed) => {
      expect((await answered({ status: 400, body: { requestId: id }, headers })).requestId).toBe(relayed);
    },
  );

  test.each([
    [199, false],
    [200, true],
    [299, true],
    [300, false],
  ])('a status of %d is a success: %s', async (status, isOne) => {
    // Node's server sends no status below 200 as a response.
    const result: CallResult = { ...(await answered({ status: 200, body: { id: 7 } })), status };
    expect(isSuccess(result)).toBe(isOne);
    expect(successOf(result, z.object({ id: z.number() }))).toEqual(isOne ? { id: 7 } : undefined);
    expect(successOf(result, z.object({ name: z.string() }))).toBeUndefined();
  });

  test('a header that comes twice counts once', async () => {
    const twice = createServer((_request, response) => {
      response.writeHead(200, [
        ['elements-next-page-token', 'first'],
        ['elements-next-page-token', 'second'],
      ]);
      response.end('[]');
    });
    const baseUrl = await listenOnLoopback(twice, 0);
    const result = await callerOf(fixed, baseUrl)(list, { timeoutMs: 2_000 });
    await closeServer(twice);
    expect(result.kind === 'response' && result.header('elements-next-page-token')).toBe('first');
  });
});

const mebibyte = 1_024 * 1_024;
/** An empty list of this size. */
const padded = (bytes: number) => Buffer.concat([Buffer.from('[]'), Buffer.alloc(bytes - 2, 0x20)]);

const timers = () => process.getActiveResourcesInfo().filter((each) => each === 'Timeout').length;

describe('a response that cannot be read', () => {
  test('a response may have 16 MiB, decompressed', async () => {
    const headers = { 'content-encoding': 'gzip' };
    expect(await answered({ status: 200, body: gzipSync(padded(16 * mebibyte)), headers })).toMatchObject({
      json: [],
    });
    respondWith({ status: 200, body: gzipSync(padded(16 * mebibyte + 1)), headers });
    const result = await send();
    expect(result).toEqual({ kind: 'broken', sent: true, reason: 'ERR_BUFFER_TOO_LARGE' });
    expect(isTooLarge(result)).toBe(true);
  });

  test('a response of an element may have 1 MiB', async () => {
    const element = { path: '/ping', elementToken: 'any-token' };
    expect(await answered({ status: 200, body: padded(mebibyte) }, element)).toMatchObject({ json: [] });
    respondWith({ status: 200, body: padded(mebibyte + 1) });
    const result = await send(element);
    expect(result).toEqual({ kind: 'broken', sent: true, reason: 'UND_ERR_RES_EXCEEDED_MAX_SIZE' });
    expect(isTooLarge(result)).toBe(true);
  });

  test('a request that got no response was sent', async () => {
    respondWith('reset');
    const result = await send();
    expect(result).toEqual({ kind: 'broken', sent: true, reason: 'UND_ERR_SOCKET' });
    expect(isTooLarge(result)).toBe(false);
    expect([isSuccess, isAbsent, isUnauthorized].map((is) => is(result))).toEqual([false, false, false]);
    expect(described(result)).toBe('UND_ERR_SOCKET');
  });

  test('a request that found no server was not sent', async () => {
    const result = await callerOf(fixed, 'http://127.0.0.1:1')(list, { timeoutMs: 2_000 });
    expect(result).toEqual({ kind: 'broken', sent: false, reason: 'ECONNREFUSED' });
  });

  test('a request ends at its time, and its connection with it', async () => {
    server.respond = () => 'silence';
    const startedAt = performance.now();
    const result = await send({}, 60);
    expect(result).toEqual({ kind: 'broken', sent: true, reason: 'TimeoutError' });
    const tookMs = performance.now() - startedAt;
    expect(tookMs).toBeGreaterThan(50);
    expect(tookMs).toBeLessThan(1_900);
    expect(calls).toMatchObject([{ outcome: 'failed', reason: 'TimeoutError' }]);
  });

  test('a call without any time left sends nothing', async () => {
    const late = {
      ...fixed,
      get: () => new Promise<typeof secrets>((done) => setTimeout(done, 20, secrets)),
    };
    expect(await callerOf(late)(list, { timeoutMs: -5 })).toMatchObject({ sent: false });
    expect(server.requests).toEqual([]);
  });

  test('no timer of a call outlasts it', async () => {
    server.respond = () => ({ status: 200, body: [] });
    await send({}, 3_600_000);
    const before = timers();
    for (let count = 0; count < 5; count++) await send({}, 3_600_000);
    // undici has one of its own from time to time.
    expect(timers()).toBeLessThan(before + 4);
  });

  test('no connection stays open after a call', async () => {
    const own = createServer((_request, response) => response.end('[]'));
    const baseUrl = await listenOnLoopback(own, 0);
    const open = () =>
      new Promise<number>((resolve, reject) => {
        own.getConnections((error, count) => (error ? reject(error) : resolve(count)));
      });
    // One that this test holds open shows that the server counts them.
    const held = connect(Number(new URL(baseUrl).port), '127.0.0.1');
    await callerOf(fixed, baseUrl)(list, { timeoutMs: 2_000 });
    await expect.poll(open).toBe(1);
    held.destroy();
    await closeServer(own);
  });
});
