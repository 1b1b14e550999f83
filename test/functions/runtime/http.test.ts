import { describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { OnboardingError } from '../../../functions/model/errors.ts';
import {
  httpHandler,
  instancePath,
  jsonResponse,
  noBody,
  retryAfter,
  tenantPath,
} from '../../../functions/runtime/http.ts';
import { log } from '../../../functions/runtime/log.ts';
import { captureLines, context, logIn, metricsIn } from '../../support/written-lines.ts';

const lines = captureLines();
const userArn = 'arn:aws:iam::123456789012:user/tests';
const request = {
  routeKey: 'GET /instances',
  headers: {},
  requestContext: { requestId: 'request-1', authorizer: { iam: { userArn } } },
};

/** Ports that have been opened, one for each handler. */
let opened = 0;
const echo = httpHandler({
  open: () => (opened += 1),
  path: z.strictObject({ tenantId: z.string() }),
  body: z.optional(z.strictObject({ name: z.string('text'), tags: z.optional(z.array(z.string('text'))) })),
  handle: async ({ path, body, note }, ports) => {
    note({ elementKey: 'taxify', outcome: 'echoed' });
    note({ provisionId: 'generation-1' });
    return jsonResponse(body === undefined ? 200 : 202, { path, body, ports });
  },
});
const acme = { ...request, pathParameters: { tenantId: 'acme' } };
const json = { 'content-type': 'application/json' };
const sent = (body: string, headers: Record<string, string> = json, more: object = {}) =>
  echo({ ...acme, headers, body, ...more }, context);
const bodyOf = ({ body = '' }: { body?: string }): Record<string, unknown> => JSON.parse(body);

describe('path and query', () => {
  const handler = httpHandler({
    open: () => undefined,
    path: z.strictObject({ status: z.optional(z.string()) }),
    readsQuery: true,
    body: noBody,
    handle: async ({ path }) => jsonResponse(200, path),
  });

  // AWS omits parameters that a request does not have; emulators send null.
  test.each([
    ['absent', {}],
    ['null', { pathParameters: null, queryStringParameters: null }],
  ])('a request whose path and query parameters are %s is handled', async (_what, parameters) => {
    expect(await handler({ ...request, ...parameters }, context)).toMatchObject({
      statusCode: 200,
      body: '{}',
    });
  });

  test('query parameters of a request without path parameters are read', async () => {
    const parameters = { pathParameters: null, queryStringParameters: { status: 'active' } };
    expect(await handler({ ...request, ...parameters }, context)).toMatchObject({
      body: '{"status":"active"}',
    });
  });

  test('a parameter of the path comes before one of the query', async () => {
    const parameters = { pathParameters: { status: 'a' }, queryStringParameters: { status: 'b' } };
    expect(await handler({ ...request, ...parameters }, context)).toMatchObject({ body: '{"status":"a"}' });
  });

  test('a query is ignored where none is read, and refused by name where it is', async () => {
    const queryStringParameters = { more: 'any' };
    expect(await echo({ ...acme, queryStringParameters }, context)).toMatchObject({ statusCode: 200 });
    const refused = await handler({ ...request, queryStringParameters }, context);
    expect(bodyOf(refused)).toMatchObject({
      code: 'invalid-request',
      errors: [{ parameter: 'more', detail: 'is not a known field' }],
    });
  });

  test('tenant and element of a path must be well-formed', () => {
    const path = { tenantId: 'acme', elementKey: 'taxify' };
    expect(instancePath.parse(path)).toEqual(path);
    expect(tenantPath.parse(path)).toEqual({ tenantId: 'acme' });
    for (const wrong of [{ tenantId: '../x' }, { elementKey: 'Taxify/x' }]) {
      expect(instancePath.safeParse({ ...path, ...wrong }).success).toBe(false);
    }
    expect(tenantPath.safeParse({ tenantId: '../x' }).success).toBe(false);
  });

  test('a fault of the query as a whole is named as one', async () => {
    const oneOf = httpHandler({
      open: () => undefined,
      path: z.object({}).check(z.refine(() => false, 'either this or that')),
      body: noBody,
      handle: async () => jsonResponse(200, {}),
    });
    expect(bodyOf(await oneOf(request, context))['errors']).toEqual([
      { parameter: 'query', detail: 'expected either this or that' },
    ]);
  });
});

describe('a handled request', () => {
  test('a handled request has one log line, with its noted facts and caller, and counts', async () => {
    const response = await echo(acme, context);
    expect(response).toEqual({
      statusCode: 200,
      headers: { 'content-type': 'application/json' },
      body: expect.stringContaining('{"path":{"tenantId":"acme"}'),
    });
    expect(logIn(lines)).toEqual([
      {
        level: 'INFO',
        message: 'request',
        timestamp: expect.any(String),
        service: 'element-onboarding',
        awsRequestId: 'request-1',
        route: 'GET /instances',
        caller: userArn,
        tenantId: 'acme',
        elementKey: 'taxify',
        outcome: 'echoed',
        provisionId: 'generation-1',
        status: 200,
        durationMs: expect.any(Number),
      },
    ]);
    expect(metricsIn(lines)).toEqual({ Succeeded: [1] });
    expect(Number(logIn(lines)[0]?.['durationMs'])).toBeLessThan(5_000);
  });

  test('every log line of a request has the id of its invocation', async () => {
    const handler = httpHandler({
      open: () => undefined,
      path: z.object({}),
      body: noBody,
      handle: async () => {
        log.info('inside', {});
        return jsonResponse(200, {});
      },
    });
    await handler(request, { ...context, awsRequestId: 'request-2' });
    expect(logIn(lines)).toMatchObject([{ awsRequestId: 'request-2' }, { awsRequestId: 'request-2' }]);
  });

  test('a request that is accepted but not done counts as pending', async () => {
    expect(await sent('{"name":"Acme"}')).toMatchObject({ statusCode: 202 });
    expect(metricsIn(lines)).toEqual({ Pending: [1] });
  });

  test('ports are opened once, at the first request', async () => {
    const first = bodyOf(await echo(acme, context))['ports'];
    expect(bodyOf(await echo(acme, context))['ports']).toBe(first);
  });

  test.each([{}, { authorizer: {} }, { authorizer: { iam: {} } }])(
    'a request whose context is %j has no caller',
    async (requestContext) => {
      expect(await echo({ ...acme, requestContext }, context)).toMatchObject({ statusCode: 200 });
      expect(logIn(lines)[0]).not.toHaveProperty('caller');
    },
  );

  test('a handler has as long as its invocation', async () => {
    const handler = httpHandler({
      open: () => undefined,
      path: z.object({}),
      body: noBody,
      handle: async ({ deadlineAt }) => jsonResponse(200, deadlineAt),
    });
    const before = Date.now();
    const deadlineAt = Number((await handler(request, context)).body);
    expect(deadlineAt).toBeGreaterThanOrEqual(before + 10_000);
    expect(deadlineAt).toBeLessThanOrEqual(Date.now() + 10_000);
  });

  test('a response may have headers of its own', () => {
    expect(jsonResponse(200, [], { 'cache-control': 'no-store' }).headers).toEqual({
      'content-type': 'application/json',
      'cache-control': 'no-store',
    });
  });

  test.each([
    [-1, '1'],
    [0, '1'],
    [1_000, '1'],
    [1_001, '2'],
    [90_000, '90'],
  ])('a wait of %d ms is %s s in the header', (delayMs, seconds) => {
    expect(retryAfter(delayMs)).toEqual({ 'retry-after': seconds });
  });
});

const base64 = (text: string) => Buffer.from(text).toString('base64');

const padded = (bytes: number) => `{"name":"${'x'.repeat(bytes - '{"name":""}'.length)}"}`;

describe('a body', () => {
  const name = '{"name":"Acmé"}';

  test.each<[string, string, Record<string, string>, object]>([
    ['JSON', name, json, {}],
    ['JSON without a content type', name, {}, {}],
    ['JSON of another kind', name, { 'content-type': 'application/merge-patch+json' }, {}],
    ['JSON in capitals', name, { 'content-type': 'Application/JSON ; Charset=UTF-8' }, {}],
    ['JSON in a quoted charset', name, { 'content-type': 'application/json;charset="utf8"' }, {}],
    ['JSON with another parameter', name, { 'content-type': 'application/json; v=latin1' }, {}],
    ['JSON that is not compressed', name, { ...json, 'content-encoding': ' Identity ' }, {}],
    ['JSON in Base64', base64(name), json, { isBase64Encoded: true }],
  ])('a body that is %s is read', async (_what, body, headers, more) => {
    expect(bodyOf(await sent(body, headers, more))['body']).toEqual({ name: 'Acmé' });
  });

  test.each([undefined, ''])('a body of %j is none', async (body) => {
    const unread = { 'content-type': 'text/plain' };
    expect(await echo({ ...acme, headers: unread, body }, context)).toMatchObject({ statusCode: 200 });
  });

  const wrongType = 'The body must be sent with "content-type: application/json".';
  const wrongCharset = 'The body must be in UTF-8, and its "content-type" without another charset.';
  const compressed = 'The body must not be compressed: send it without "content-encoding".';
  test.each<[Record<string, string>, string]>([
    [{ 'content-type': 'text/plain' }, wrongType],
    [{ 'content-type': '' }, wrongType],
    [{ 'content-type': 'application/json5' }, wrongType],
    [{ 'content-type': 'text/plain; application/json' }, wrongType],
    [{ 'content-type': 'application/json; charset=latin1' }, wrongCharset],
    [{ 'content-type': 'application/json; v=1; charset=utf-16' }, wrongCharset],
    [{ 'content-type': 'application/json; charset=utf-8x' }, wrongCharset],
    [{ 'content-type': 'application/json; charset=charset=utf-8' }, wrongCharset],
    [{ ...json, 'content-encoding': 'gzip' }, compressed],
    [{ ...json, 'content-encoding': 'identity, gzip' }, compressed],
    [{ ...json, 'content-encoding': 'not-identity' }, compressed],
  ])('a body with the headers %j is refused', async (headers, detail) => {
    const response = await sent(name, headers);
    expect(response).toMatchObject({ statusCode: 415 });
    expect(bodyOf(response)).toEqual({
      type: 'urn:element-onboarding:unsupported-media-type',
      title: 'The body must be JSON',
      status: 415,
      detail,
      code: 'unsupported-media-type',
    });
  });

  test('a body may have 64 KiB, decoded', async () => {
    expect(await sent(padded(65_536))).toMatchObject({ statusCode: 202 });
    expect(await sent(base64(padded(65_536)), json, { isBase64Encoded: true })).toMatchObject({
      statusCode: 202,
    });
    const refused = await sent(padded(65_537), { 'content-type': 'text/plain' });
    expect(bodyOf(refused)).toMatchObject({
      status: 413,
      code: 'body-too-large',
      detail: 'The body has 65537 bytes; at most 65536 are accepted.',
    });
  });

  const notUtf8 = [{ pointer: '#', detail: 'expected JSON in UTF-8' }];
  test.each<[string, string, object, unknown]>([
    ['with replaced bytes', '{"name":"a\uFFFDb"}', {}, notUtf8],
    ['with a lone surrogate', '{"name":"a\ud800b"}', {}, notUtf8],
    [
      'of other bytes',
      Buffer.from([0x22, 0xff, 0x22]).toString('base64'),
      { isBase64Encoded: true },
      notUtf8,
    ],
    ['that is not JSON', 'hush', {}, [{ pointer: '#', detail: expect.stringMatching(/^expected JSON/) }]],
  ])('a body %s is refused', async (_what, body, more, errors) => {
    const refused = await sent(body, json, more);
    expect(bodyOf(refused)).toMatchObject({ status: 400, code: 'invalid-request', errors });
    expect(JSON.stringify([refused, lines])).not.toContain('hush');
  });

  test('a replacement character in Base64 is one that was sent', async () => {
    const response = await sent(base64('{"name":"a\uFFFDb"}'), json, { isBase64Encoded: true });
    expect(bodyOf(response)['body']).toEqual({ name: 'a\uFFFDb' });
  });

  test('all faults of path and body are named at once', async () => {
    const refused = await echo(
      { ...request, pathParameters: { other: 'x' }, headers: json, body: '{"tags":["a",7]}' },
      context,
    );
    expect(refused.headers).toEqual({ 'content-type': 'application/problem+json' });
    expect(bodyOf(refused)).toEqual({
      type: 'urn:element-onboarding:invalid-request',
      title: 'The request is not valid',
      status: 400,
      detail: '4 things are wrong with the request; each is named in "errors".',
      code: 'invalid-request',
      errors: [
        { parameter: 'tenantId', detail: 'is missing: expected text' },
        { parameter: 'other', detail: 'is not a known field' },
        { pointer: '#/name', detail: 'is missing: expected text' },
        { pointer: '#/tags/1', detail: 'expected text' },
      ],
    });
    expect(logIn(lines)[0]).toMatchObject({
      level: 'INFO',
      route: 'GET /instances',
      caller: userArn,
      status: 400,
      outcome: 'invalid-request',
      error: { code: 'invalid-request' },
    });
    expect(metricsIn(lines)).toEqual({ Refused: [1] });
  });

  test('a fault of the path does not hide that the body is no JSON', async () => {
    const refused = await echo({ ...request, headers: json, body: '{' }, context);
    expect(bodyOf(refused)['errors']).toMatchObject([{ parameter: 'tenantId' }, { pointer: '#' }]);
  });

  test('a route without a body takes an empty object and nothing else', async () => {
    const handler = httpHandler({
      open: () => undefined,
      path: z.object({}),
      body: noBody,
      handle: async () => jsonResponse(200, {}),
    });
    const statusOf = async (body?: string) =>
      (await handler({ ...request, headers: json, body }, context)).statusCode;
    expect(await statusOf()).toBe(200);
    expect(await statusOf('{}')).toBe(200);
    expect(await statusOf('{"a":1}')).toBe(400);
    const refused = await handler({ ...request, headers: json, body: '[]' }, context);
    expect(bodyOf(refused)['errors']).toEqual([{ pointer: '#', detail: 'expected no body' }]);
  });
});

const failing = (error: unknown) =>
  httpHandler({
    open: () => undefined,
    path: z.object({}),
    body: noBody,
    handle: async () => {
      throw error;
    },
  })(request, context);

describe('a failed request', () => {
  test('an error of ours is a problem with its facts, and a failure of ours is an error in the log', async () => {
    const facts = { retryAfterMs: 1_500, requestId: 'id-1', said: 'Try later', missing: ['api.key'] };
    const response = await failing(new OnboardingError('cloud-elements-busy', 'Not for callers.', facts));
    expect(response).toMatchObject({
      statusCode: 503,
      headers: { 'content-type': 'application/problem+json', 'retry-after': '2' },
    });
    expect(bodyOf(response)).toEqual({
      type: 'urn:element-onboarding:cloud-elements-busy',
      title: 'Cloud Elements is rate limiting requests',
      status: 503,
      detail: 'Cloud Elements is rate limiting requests. Cloud Elements said: Try later',
      code: 'cloud-elements-busy',
      missing: ['api.key'],
      requestId: 'id-1',
    });
    expect(logIn(lines)[0]).toMatchObject({
      level: 'ERROR',
      status: 503,
      outcome: 'cloud-elements-busy',
      error: { code: 'cloud-elements-busy', message: 'Not for callers.', requestId: 'id-1' },
    });
    expect(metricsIn(lines)).toEqual({ Failed: [1] });
  });

  test('an error of ours without a delay has no header for it', async () => {
    const response = await failing(new OnboardingError('busy', 'Another request holds the instance.'));
    expect(response.headers).toEqual({ 'content-type': 'application/problem+json' });
    expect(metricsIn(lines)).toEqual({ Pending: [1] });
  });

  test.each<[string, () => Promise<{ statusCode: number; body?: string }>]>([
    ['any other error', () => failing(new TypeError('hush'))],
    ['an event in another form', () => echo({ routeKey: 'GET /' }, context)],
  ])('%s is internal, and shows nothing', async (_what, run) => {
    const response = await run();
    expect(bodyOf(response)).toEqual({
      type: 'urn:element-onboarding:internal',
      title: 'Something went wrong in this service',
      status: 500,
      detail: 'Something went wrong in this service',
      code: 'internal',
    });
    expect(logIn(lines)[0]).toMatchObject({ level: 'ERROR', outcome: 'internal', status: 500 });
    expect(metricsIn(lines)).toEqual({ Failed: [1] });
  });
});
