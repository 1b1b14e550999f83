import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApi } from '../../../infra/cli/api.ts';
import { closeServer, listenOnLoopback } from '../../../infra/local/loopback.ts';

let respond: (response: ServerResponse) => void;
const received: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[] = [];
const server = createServer((request, response) => void record(request, response));
async function record(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = '', url: path = '', headers } = request;
  received.push({ method, url: path, headers, body: await text(request) });
  respond(response);
}
const signer = new DynamoDBClient({
  region: 'eu-west-1',
  credentials: { accessKeyId: 'key-id-for-tests', secretAccessKey: 'any', sessionToken: 'session-for-tests' },
});
let url: string;
beforeAll(async () => {
  url = await listenOnLoopback(server, 0);
});
afterAll(() => closeServer(server));

const answer = (status: number, body: string, headers: Record<string, string> = {}) => {
  respond = (response) => void response.writeHead(status, headers).end(body);
};

test('a request is signed for the API in the Region of the client, its body and session with it', async () => {
  answer(201, '{"id":7}');
  const api = createApi({ url: `${url}/`, signer });
  expect(await api.call('POST', ['tenants', 'a.b', 'x/y'], { id: 7 })).toEqual({
    kind: 'success',
    status: 201,
    json: { id: 7 },
  });
  const { method, url: path, headers, body } = received.at(-1) ?? {};
  expect({ method, path, body }).toEqual({ method: 'POST', path: '/tenants/a.b/x%2Fy', body: '{"id":7}' });
  expect(headers?.authorization).toMatch(
    /^AWS4-HMAC-SHA256 Credential=key-id-for-tests\/\d{8}\/eu-west-1\/execute-api\/aws4_request, SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature=[\da-f]{64}$/,
  );
  expect(headers).toMatchObject({
    'content-type': 'application/json',
    host: new URL(url).host,
    'x-amz-security-token': 'session-for-tests',
  });
});

test('a refusal of the service has its code and detail, and the time to wait', async () => {
  answer(503, '{"code":"cloud-elements-busy","detail":"Wait."}', { 'retry-after': '7' });
  expect(await createApi({ url, signer }).call('GET', ['x'])).toEqual({
    kind: 'refused',
    status: 503,
    code: 'cloud-elements-busy',
    detail: 'Wait.',
    retryAfterMs: 7_000,
  });
});

test.each([
  ['202 without a problem', 202, '{"status":"provisioning"}', { 'retry-after': 'soon' }],
  ['a message of API Gateway, which may repeat signed headers', 403, '{"message":"session-for-tests"}', {}],
  ['a page', 502, '<html>session-for-tests</html>', {}],
])('%s keeps its status and nothing of its body', async (_what, status, body, headers) => {
  answer(status, body, headers);
  expect(await createApi({ url, signer }).call('GET', ['x'])).toEqual({
    kind: 'refused',
    status,
    code: undefined,
    detail: `HTTP ${status}`,
    retryAfterMs: undefined,
  });
});

test('a lost response and a redirect are no response', async () => {
  const api = createApi({ url, signer });
  respond = (response) => void response.destroy();
  expect(await api.call('GET', ['x'])).toMatchObject({ kind: 'broken' });
  answer(307, '', { location: `${url}/elsewhere` });
  expect(await api.call('GET', ['x'])).toMatchObject({ kind: 'broken' });
  expect(received.at(-1)?.url).toBe('/x');
});

test('AWS credentials that cannot be had are no response', async () => {
  const expired = new DynamoDBClient({
    region: 'eu-west-1',
    credentials: () => Promise.reject(new Error('expired')),
  });
  expect(await createApi({ url, signer: expired }).call('GET', ['x'])).toEqual({
    kind: 'broken',
    reason: 'Error',
  });
});
