import type { APIGatewayProxyEventV2WithIAMAuthorizer } from 'aws-lambda';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startGateway } from '../../../infra/local/gateway.ts';

type Event = APIGatewayProxyEventV2WithIAMAuthorizer;

const events: { name: string; event: Event }[] = [];
const logs: string[] = [];
let result: (event: Event) => unknown = () => ({ statusCode: 204 });

let gateway: Awaited<ReturnType<typeof startGateway>>;
beforeAll(async () => {
  gateway = await startGateway({
    routes: new Map([
      ['create', 'POST /tenants/{tenantId}/instances'],
      ['list', 'GET /tenants/{tenantId}/instances'],
      ['read', 'GET /tenants/{tenantId}/instances/{elementKey}'],
      ['status', 'GET /status'],
    ]),
    invoke: async (name, event) => {
      events.push({ name, event });
      return await result(event);
    },
    timeoutMs: 100,
    onLog: (name, line) => logs.push(`${name}: ${line}`),
  });
});
afterAll(() => gateway.stop());
beforeEach(() => {
  events.length = 0;
  logs.length = 0;
  result = () => ({ statusCode: 204 });
});

/** Sends the path unchanged, which fetch would normalize. */
async function send(
  method: string,
  path: string,
  { headers = {}, body }: { headers?: Record<string, string | string[]>; body?: string | Buffer } = {},
) {
  const { promise, resolve, reject } = Promise.withResolvers<{
    status: number | undefined;
    headers: Record<string, string | string[] | undefined>;
    body: string;
  }>();
  const { hostname, port } = new URL(gateway.url);
  request({ hostname, port, method, path, headers }, (response) => {
    text(response).then(
      (received) => resolve({ status: response.statusCode, headers: response.headers, body: received }),
      reject,
    );
  })
    .on('error', reject)
    .end(body);
  return await promise;
}

describe('the event', () => {
  test('the event is the payload 2.0 of an HTTP API', async () => {
    await send('POST', '/tenants/t-1/instances?a=1&b=x%20y&a=2', {
      headers: {
        'Content-Type': 'application/json',
        'User-Agent': 'a-client',
        'X-Several': ['one', 'two'],
        Cookie: 'a=1; b=2',
      },
      body: '{"name":"é"}',
    });
    expect(events).toHaveLength(1);
    expect(events[0]?.name).toBe('create');
    const { port } = new URL(gateway.url);
    expect(events[0]?.event).toEqual({
      version: '2.0',
      routeKey: 'POST /tenants/{tenantId}/instances',
      rawPath: '/tenants/t-1/instances',
      rawQueryString: 'a=1&b=x%20y&a=2',
      cookies: ['a=1', 'b=2'],
      headers: {
        host: `127.0.0.1:${port}`,
        'content-type': 'application/json',
        'content-length': '13',
        'user-agent': 'a-client',
        'x-several': 'one,two',
        'x-amzn-trace-id': expect.stringMatching(/^Root=1-/),
        'x-forwarded-for': '127.0.0.1',
        'x-forwarded-port': port,
        'x-forwarded-proto': 'http',
      },
      queryStringParameters: { a: '1,2', b: 'x y' },
      requestContext: {
        accountId: '000000000000',
        apiId: 'local',
        authorizer: {
          iam: expect.objectContaining({ userArn: 'arn:aws:iam::000000000000:user/local' }),
        },
        domainName: `127.0.0.1:${port}`,
        domainPrefix: 'local',
        http: {
          method: 'POST',
          path: '/tenants/t-1/instances',
          protocol: 'HTTP/1.1',
          sourceIp: '127.0.0.1',
          userAgent: 'a-client',
        },
        requestId: expect.any(String),
        routeKey: 'POST /tenants/{tenantId}/instances',
        stage: '$default',
        time: expect.stringMatching(/^\d{2}\/[A-Z][a-z]{2}\/\d{4}:\d{2}:\d{2}:\d{2} \+0000$/),
        timeEpoch: expect.any(Number),
      },
      pathParameters: { tenantId: 't-1' },
      body: '{"name":"é"}',
      isBase64Encoded: false,
    });
  });

  test('the event of a bare request has no parameters, cookies or body', async () => {
    await send('GET', '/status');
    const event = events[0]?.event;
    expect(event?.isBase64Encoded).toBe(false);
    for (const absent of ['pathParameters', 'queryStringParameters', 'cookies', 'body']) {
      expect(event).not.toHaveProperty(absent);
    }
  });

  test.each([undefined, 'application/octet-stream', 'application/x-www-form-urlencoded'])(
    'the event of a body of type %s is in base64',
    async (type) => {
      const body = Buffer.from([0, 255, 1]);
      await send('POST', '/tenants/t/instances', { body, headers: type ? { 'content-type': type } : {} });
      expect(events[0]?.event).toMatchObject({ body: body.toString('base64'), isBase64Encoded: true });
    },
  );

  test('the event has decoded path parameters, and an encoded slash stays in its segment', async () => {
    await send('GET', '/tenants/a%2Fb/instances/%C3%A9%20x');
    expect(events[0]).toMatchObject({
      name: 'read',
      event: {
        rawPath: '/tenants/a/b/instances/é x',
        pathParameters: { tenantId: 'a/b', elementKey: 'é x' },
      },
    });
  });
});

describe('what no function sees', () => {
  test.each([
    ['GET', '/'],
    ['GET', '/tenants/t'],
    ['GET', '/tenants//instances'],
    ['GET', '/tenants/t/instances/'],
    ['GET', '/tenants/t/instances/e/more'],
    ['PUT', '/tenants/t/instances'],
    ['GET', '/Status'],
  ])('the request %s %s is not found', async (method, path) => {
    const response = await send(method, path);
    expect(response).toMatchObject({ status: 404, body: '{"message":"Not Found"}' });
    expect(events).toEqual([]);
  });

  test('a malformed escape is a bad request', async () => {
    expect(await send('GET', '/tenants/%zz/instances')).toMatchObject({ status: 400 });
    expect(events).toEqual([]);
  });

  test('a body of more than 10 MB is too large, one of 10 MB is not', async () => {
    const headers = { 'content-type': 'text/plain' };
    const most = Buffer.alloc(10 * 1024 * 1024, 'x');
    expect(await send('POST', '/tenants/t/instances', { headers, body: most })).toMatchObject({
      status: 204,
    });
    const body = Buffer.concat([most, Buffer.from('x')]);
    expect(await send('POST', '/tenants/t/instances', { headers, body })).toMatchObject({
      status: 413,
      body: '{"message":"Request Entity Too Large"}',
    });
    expect(events).toHaveLength(1);
  });
});

describe('the response', () => {
  test('the response is that of the function', async () => {
    result = () => ({
      statusCode: 201,
      headers: { 'Content-Type': 'application/problem+json', 'X-Number': 7 },
      cookies: ['a=1', 'b=2; Secure'],
      body: '{"é":1}',
    });
    const response = await send('GET', '/status');
    expect(response).toMatchObject({
      status: 201,
      headers: {
        'content-type': 'application/problem+json',
        'x-number': '7',
        'set-cookie': ['a=1', 'b=2; Secure'],
      },
      body: '{"é":1}',
    });
  });

  test('the response is decoded when the function says so, and plain text without a content type', async () => {
    result = () => ({
      statusCode: 200,
      body: Buffer.from('decoded').toString('base64'),
      isBase64Encoded: true,
    });
    const response = await send('GET', '/status');
    expect(response.body).toBe('decoded');
    expect(response.headers['content-type']).toBe('text/plain;charset=UTF-8');
  });

  test('a function’s value without a status is the body, as JSON', async () => {
    result = () => ({ hello: 'world' });
    const response = await send('GET', '/status');
    expect(response).toMatchObject({ status: 200, body: '{"hello":"world"}' });
    expect(response.headers['content-type']).toBe('application/json');
  });

  test.each([
    ['throws', () => Promise.reject(new Error('with a secret'))],
    ['answers a status that is none', () => ({ statusCode: '201 Created' })],
    ['answers a body that is no text', () => ({ statusCode: 200, body: { not: 'text' } })],
  ])('the response is an internal server error when the function %s', async (_, fails) => {
    result = fails;
    const response = await send('GET', '/status');
    expect(response).toMatchObject({ status: 500, body: '{"message":"Internal Server Error"}' });
  });

  test('the response is service unavailable when the function times out', async () => {
    result = () => new Promise(() => {});
    const response = await send('GET', '/status');
    expect(response).toMatchObject({ status: 503, body: '{"message":"Service Unavailable"}' });
    expect(logs).toEqual(['status: GET /status got no response from status: it took longer than 100 ms']);
  });

  test('the reason for replacing an unreadable response is in the log', async () => {
    result = () => ({ statusCode: 'created' });
    expect(await send('GET', '/status')).toMatchObject({ status: 500 });
    expect(logs).toEqual([
      'status: GET /status got no response from status: it did not return an HTTP response',
    ]);
  });
});

test('a stop during a request leaves it without a response', async () => {
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
  const { promise: ending, resolve: end } = Promise.withResolvers<void>();
  const stopping = await startGateway({
    routes: new Map([['status', 'GET /status']]),
    invoke: async () => {
      arrive();
      await ending;
    },
  });
  const response = fetch(`${stopping.url}/status`);
  await arrived;
  await Promise.all([stopping.stop(), expect(response).rejects.toThrow('fetch failed')]);
  end();
});
