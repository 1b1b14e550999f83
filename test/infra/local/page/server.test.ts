import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createActivity } from '../../../../infra/local/page/activity.ts';
import { startPage } from '../../../../infra/local/page/server.ts';
import { startLocalStack, type LocalStack } from '../../../../infra/local/stack.ts';

const slowestRequestMs = 500;
const activity = createActivity();

let stack: LocalStack;
let page: Awaited<ReturnType<typeof startPage>>;
beforeAll(async () => {
  stack = await startLocalStack({
    bundle: (_name, directory) =>
      writeFileSync(join(directory, 'index.mjs'), 'export const handler = () => ({ statusCode: 200 });'),
  });
  page = await startPage({ stack, activity, requestTimeout: slowestRequestMs });
});
afterAll(async () => {
  await page.stop();
  await stack.stop();
});

type Got = { status: number | undefined; allow: string | undefined; body: string };

/** `fetch` would not send these methods and headers. */
async function send(
  method: string,
  path: string,
  { headers = {}, body = '' }: { headers?: Record<string, string>; body?: string } = {},
): Promise<Got> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  request(new URL(path, page.url), { method, headers, timeout: 2_000 }, resolve)
    .once('timeout', () => reject(new Error('There was no response.')))
    .once('error', reject)
    .end(body);
  const response = await promise;
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode, allow: response.headers.allow, body: text };
}

/** Writes bytes, and resolves with everything that arrives until the connection ends. */
async function exchange(...writes: string[]): Promise<string> {
  const socket = connect(Number(new URL(page.url).port), '127.0.0.1').on('error', () => {});
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString();
  });
  for (const text of writes) socket.write(text);
  await once(socket, 'close');
  return received;
}

const head = (method: string, path: string, ...headers: string[]): string =>
  [`${method} ${path} HTTP/1.1`, `host: ${new URL(page.url).host}`, ...headers, '', ''].join('\r\n');

const isForm = 'content-type: application/x-www-form-urlencoded';
const stateIsShown = async (): Promise<boolean> => (await send('GET', '/')).body.includes('Tenants');

test.each(['/', '/stream', '/api', '/api/openapi.json', '/page.js', '/page.css', '/icon.svg'])(
  'HEAD %s is answered, without a body',
  async (path) => {
    expect(await send('HEAD', path)).toMatchObject({ status: 200, body: '' });
  },
);

const readOnly = ['/', '/stream', '/api', '/page.js'];
const actions = ['/provision', '/repeat', '/remove', '/reconcile', '/switch', '/list-late'];
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND'];

test.each([
  ...readOnly.map((path) => [path, 'GET, HEAD'] as const),
  ...actions.map((path) => [path, 'POST'] as const),
])('%s refuses other methods than %s, and names these', async (path, allow) => {
  const others = methods.filter((method) => !allow.includes(method));
  expect(others.length).toBeGreaterThan(5);
  for (const method of others) {
    expect({ method, ...(await send(method, path)) }).toMatchObject({ method, status: 405, allow });
  }
});

test.each(['GET', 'HEAD', 'POST', 'PUT', 'OPTIONS'])('%s of an unknown path is a 404', async (method) => {
  for (const path of ['/absent', '/stream/', '/Switch', '/constructor', '/__proto__', '/api/..%2f', '*']) {
    expect({ path, ...(await send(method, path)) }).toMatchObject({ path, status: 404 });
  }
});

test.each([
  ['/switch', ''],
  ['/switch', 'switch=lose-respons'],
  ['/switch', 'switch=constructor'],
  ['/provision', 'tenantId=acme'],
  ['/provision', 'tenantId=acme&elementKey=taxify&by=mail'],
  ['/remove', 'elementKey=taxify'],
  ['/repeat', 'tenantId=absent&elementKey=taxify'],
])('POST %s with the form "%s" is refused', async (path, body) => {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  expect(await send('POST', path, { headers, body })).toMatchObject({ status: 400 });
});

test.each(['GET', 'POST'])('%s with the Host of another site is refused on every path', async (method) => {
  for (const path of [...readOnly, ...actions, '/absent']) {
    for (const host of ['rebound.example', '127.0.0.1.example', 'localhost@rebound.example']) {
      const got = await send(method, path, { headers: { host } });
      expect({ path, host, ...got }).toMatchObject({ path, host, status: 403 });
    }
  }
});

test('a request without a Host is refused', async () => {
  expect(await exchange('GET / HTTP/1.1\r\nhost: \r\nconnection: close\r\n\r\n')).toMatch(/^HTTP\/1.1 403 /);
  expect(await exchange('GET / HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1.1 403 /);
});

test.runIf(process.platform === 'linux')('the server listens on 127.0.0.1 alone', async () => {
  // All of 127.0.0.0/8 is this machine: a server on all interfaces would accept it.
  const socket = connect(Number(new URL(page.url).port), '127.0.0.2');
  const [error] = await once(socket, 'error');
  expect(error).toMatchObject({ code: 'ECONNREFUSED' });
});

test('a body larger than a form is refused when it has arrived, or with the end of its connection', async () => {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const body = `switch=${'a'.repeat(100_000)}`;
  expect(await send('POST', '/switch', { headers, body })).toMatchObject({ status: 413 });

  const tooLarge = head('POST', '/switch', isForm, 'transfer-encoding: chunked');
  const chunk = `${(65_536).toString(16)}\r\n${'a'.repeat(65_536)}\r\n`;
  // It has no end: only the server can end it.
  const started = Date.now();
  await exchange(tooLarge, ...Array.from({ length: 40 }, () => chunk));
  expect(Date.now() - started).toBeLessThan(slowestRequestMs);
});

test.each([
  ['a form', () => [head('POST', '/switch', isForm, 'content-length: 20'), 'switch=']],
  ['headers', () => ['POST /switch HTTP/1.1\r\nhost: ']],
  ['a body that nothing reads', () => [head('PUT', '/switch', 'content-length: 20'), 'switch=']],
  [
    'a form from elsewhere',
    () => [head('POST', '/switch', isForm, 'origin: null', 'content-length: 9'), 'a='],
  ],
])('a connection on which %s does not end is ended', async (_, writes) => {
  const started = Date.now();
  const received = await exchange(...writes());
  expect(received).toMatch(/^HTTP\/1.1 (408|405|403) /);
  expect(Date.now() - started).toBeLessThan(slowestRequestMs + 1_000);
  expect(await stateIsShown()).toBe(true);
});

test('requests that are aborted change nothing, and the server goes on', async () => {
  for (const text of [
    head('POST', '/switch', isForm, 'content-length: 30') + 'switch=lose-response',
    head('GET', '/stream'),
    head('GET', '/api/swagger-ui-bundle.js'),
    head('POST', '/reconcile', isForm, 'content-length: 0'),
  ]) {
    const socket = connect(Number(new URL(page.url).port), '127.0.0.1').on('error', () => {});
    await once(socket, 'connect');
    socket.write(text);
    await sleep(20);
    socket.resetAndDestroy();
  }
  for (let time = 0; time < 3; time += 1) {
    activity.changed();
    await sleep(50);
  }
  expect((await send('GET', '/')).body).toContain('The next create succeeds.');
});

const add = (outcome: string) =>
  activity.add({ source: 'Service', what: 'w'.repeat(20_000), outcome, tone: 'plain' });

test('a reader of the stream that stops reading misses states, and gets the latest when it reads again', async () => {
  const socket = connect(Number(new URL(page.url).port), '127.0.0.1');
  socket.write(head('GET', '/stream'));
  await once(socket, 'readable');
  // Each message has all entries: some of them are more than the system keeps for a connection.
  for (let time = 0; time < 80; time += 1) add('filling');
  const changes = 40;
  for (let time = 1; time <= changes; time += 1) {
    add(`change-${time}`);
    await sleep(45);
  }
  let messages = 0;
  let unfinished = '';
  for await (const chunk of socket) {
    const [rest = '', ...ended] = `${unfinished}${String(chunk)}`.split('\n\n').toReversed();
    messages += ended.length;
    unfinished = rest;
    if (ended.some((message) => message.includes(`change-${changes}<`))) break;
  }
  expect(messages).toBeLessThan(changes / 2);
});
