import { ListSecretsCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { Worker } from 'node:worker_threads';
import { once } from 'node:events';
import { afterAll, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { createAwsHttp } from '../../../functions/adapters/aws-http.ts';
import { closeServer, listenOnLoopback } from '../../../infra/local/loopback.ts';

const body = '{"SecretList":[{"Name":"größer"}]}';
function answer(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' }).end(body);
}

const closings: (() => Promise<unknown>)[] = [];
afterAll(() => Promise.all(closings.map((close) => close())));

/** Too long for a test to wait for. */
const noLimitMs = 60_000;

/** A client of a server of its own. */
async function openClient(limits: { connectMs?: number; responseMs?: number } = {}) {
  const site = {
    /** Answer a request each, in this order; all further ones are answered at once. */
    answers: new Array<(response: ServerResponse, socket: Socket) => void>(),
    sockets: new Array<Socket>(),
    requests: 0,
  };
  const server = createServer((request: IncomingMessage, response) => {
    site.requests += 1;
    request.resume();
    (site.answers.shift() ?? answer)(response, request.socket);
  });
  server.on('connection', (socket: Socket) => site.sockets.push(socket));
  const list = clientOf(await listenOnLoopback(server, 0), { ...limits, close: () => closeServer(server) });
  return Object.assign(site, { list });
}

function clientOf(
  endpoint: string,
  {
    connectMs = noLimitMs,
    responseMs = noLimitMs,
    close,
  }: { connectMs?: number; responseMs?: number; close: () => Promise<unknown> },
) {
  const client = new SecretsManagerClient({
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'tests', secretAccessKey: 'tests' },
    maxAttempts: 3,
    requestHandler: createAwsHttp({ connectMs, responseMs }),
  });
  closings.push(async () => {
    client.destroy();
    await close();
  });
  return () => client.send(new ListSecretsCommand({}));
}

const nothing = () => {};
const names = { SecretList: [{ Name: 'größer' }] };

test.concurrent('a response in several parts is read as a whole', async () => {
  const site = await openClient();
  const bytes = Buffer.from(body);
  // In the middle of a letter.
  const middle = bytes.indexOf('ö') + 1;
  site.answers = [
    (response) => {
      response.writeHead(200).write(bytes.subarray(0, middle));
      setTimeout(() => response.end(bytes.subarray(middle)), 50);
    },
  ];
  expect(await site.list()).toMatchObject(names);
});

test.concurrent('a connection is used again', async () => {
  const site = await openClient();
  for (let call = 0; call < 3; call += 1) expect(await site.list()).toMatchObject(names);
  expect(site.sockets).toHaveLength(1);
});

test.concurrent('a request without a response in time is sent again, three times in all', async () => {
  const site = await openClient({ responseMs: 500 });
  site.answers = [nothing, nothing];
  expect(await site.list()).toMatchObject(names);
  expect(site.requests).toBe(3);
  site.answers = [nothing, nothing, nothing];
  await expect(site.list()).rejects.toMatchObject({
    name: 'TimeoutError',
    message: 'no response within 500 ms',
    $metadata: { attempts: 3 },
  });
});

test.concurrent('a response that stops in the middle is a timeout, and the request is sent again', async () => {
  const site = await openClient({ responseMs: 500 });
  site.answers = [(response) => void response.writeHead(200).write(body.slice(0, 5))];
  expect(await site.list()).toMatchObject(names);
  expect(site.requests).toBe(2);
});

test.concurrent('a response may take longer than the timeout as long as it goes on', async () => {
  const site = await openClient({ responseMs: 500 });
  const parts = body.match(/.{1,5}/gs) ?? [];
  site.answers = [
    (response) => {
      response.writeHead(200);
      parts.forEach((part, index) => setTimeout(() => response.write(part), index * 200));
      setTimeout(() => response.end(), parts.length * 200);
    },
  ];
  expect(await site.list()).toMatchObject(names);
  expect(site.requests).toBe(1);
});

test.concurrent('a request whose connection is reset before, or in, the response is sent again', async () => {
  const site = await openClient();
  site.answers = [
    (_, socket) => socket.resetAndDestroy(),
    (response, socket) => {
      response.writeHead(200).write('{');
      setTimeout(() => socket.resetAndDestroy(), 20);
    },
  ];
  expect(await site.list()).toMatchObject(names);
  expect(site.requests).toBe(3);
});

test.concurrent('a response that ends before its length is no response, and the request is sent again', async () => {
  const site = await openClient();
  site.answers = [
    (response, socket) => {
      response.writeHead(200, { 'content-length': 100 }).write('{');
      setTimeout(() => socket.end(), 20);
    },
  ];
  expect(await site.list()).toMatchObject(names);
  expect(site.requests).toBe(2);
});

test.concurrent('a slow response over a connection that is used again is no failed connection', async () => {
  const site = await openClient({ connectMs: 50 });
  await site.list();
  site.answers = [(response) => void setTimeout(() => answer(response), 200)];
  expect(await site.list()).toMatchObject(names);
  expect(site.requests).toBe(2);
});

test.concurrent('the time for a response begins again with its head', async () => {
  const site = await openClient({ responseMs: 600 });
  site.answers = [
    (response) => {
      setTimeout(() => response.writeHead(200).flushHeaders(), 400);
      setTimeout(() => response.end(body), 800);
    },
  ];
  expect(await site.list()).toMatchObject(names);
  expect(site.requests).toBe(1);
});

const switching = (_: ServerResponse, socket: Socket) =>
  void socket.write('HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n');

test.concurrent('a response that switches protocols is none, and the request is sent again', async () => {
  const site = await openClient();
  site.answers = [switching];
  expect(await site.list()).toMatchObject(names);
  expect(site.requests).toBe(2);
  await expect.poll(() => site.sockets[0]?.destroyed).toBe(true);
  site.answers = [switching, switching, switching];
  await expect(site.list()).rejects.toMatchObject({
    message: 'the server switched protocols',
    $metadata: { attempts: 3 },
  });
});

const head = 'HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n';

test.concurrent.each<{ what: string; parts: string[] }>([
  { what: 'that is not HTTP', parts: ['SSH-2.0-x\r\n'] },
  { what: 'with two lengths', parts: ['HTTP/1.1 200 X\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'] },
  { what: 'with a head that is too long', parts: [`HTTP/1.1 200 X\r\nX: ${'x'.repeat(20_000)}\r\n`] },
  { what: 'with a broken first chunk', parts: [`${head}hush\r\n`] },
  { what: 'with a broken later chunk', parts: [head, '2\r\n{}\r\n', 'hush\r\n'] },
])('a response $what is none, and the request is sent again', async ({ parts }) => {
  const site = await openClient();
  const broken = (_: ServerResponse, socket: Socket) =>
    parts.forEach((part, index) => setTimeout(() => socket.write(part), index * 20));
  site.answers = [broken];
  expect(await site.list()).toMatchObject(names);
  expect(site.requests).toBe(2);
  site.answers = [broken, broken, broken];
  await expect(site.list()).rejects.toMatchObject({
    code: expect.stringMatching(/^HPE_/),
    message: expect.not.stringContaining('hush'),
    $metadata: { attempts: 3 },
  });
});

test.concurrent.each<{ what: string; head: string; behind: string }>([
  { what: 'bytes', head: 'HTTP/1.1 200 X', behind: 'hush' },
  { what: 'bytes on a connection that closes', head: 'HTTP/1.1 200 X\r\nConnection: close', behind: '{}' },
])(
  'a whole response with $what behind it counts, and its request is not sent again',
  async ({ head: start, behind }) => {
    const site = await openClient();
    const length = Buffer.byteLength(body);
    site.answers = [
      (_, socket) => void socket.write(`${start}\r\nContent-Length: ${length}\r\n\r\n${body}${behind}`),
    ];
    expect(await site.list()).toMatchObject(names);
    expect(site.requests).toBe(1);
    expect(await site.list()).toMatchObject(names);
    expect(site.sockets).toHaveLength(2);
  },
);

test.concurrent('the time limit also ends a request that waits for one of the 50 connections', async () => {
  let arrived = 0;
  let ended = 0;
  const allArrived = Promise.withResolvers<void>();
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-length': 1_000_000 });
    const dripping = setInterval(() => response.write('.'), 50);
    response.on('close', () => clearInterval(dripping));
    arrived += 1;
    if (arrived === 50) allArrived.resolve();
  });
  const url = new URL(await listenOnLoopback(server, 0));
  closings.push(() => closeServer(server));
  const http = createAwsHttp({ connectMs: noLimitMs, responseMs: 1_000 });
  const { protocol, hostname, port } = url;
  const send = () =>
    http.handle({ protocol, hostname, port: Number(port), method: 'POST', path: '/', headers: {} });
  const busy = Array.from({ length: 50 }, async () => {
    await send().catch(() => {});
    ended += 1;
  });
  await allArrived.promise;
  await expect(send()).rejects.toThrow('no response within 1000 ms');
  expect({ arrived, ended }).toEqual({ arrived: 50, ended: 0 });
  server.closeAllConnections();
  await Promise.all(busy);
});

test.concurrent('idle connections that died together in a freeze fail one attempt, not one each', async () => {
  const site = await openClient();
  await Promise.all(Array.from({ length: 5 }, site.list));
  expect(site.sockets).toHaveLength(5);
  // They end at the next byte: until then the client takes them for alive, as those of a frozen process.
  const dead = new Set(site.sockets);
  for (const socket of dead) socket.removeAllListeners('data').on('data', () => socket.resetAndDestroy());
  expect(await site.list()).toMatchObject(names);
  expect(site.requests).toBe(6);
  expect(site.sockets).toHaveLength(6);
});

test.concurrent('a slow response over a new connection is no failed connection', async () => {
  const site = await openClient({ connectMs: 50 });
  site.answers = [(response) => void setTimeout(() => answer(response), 200)];
  expect(await site.list()).toMatchObject(names);
  expect(site.requests).toBe(1);
});

test.concurrent('a connection that is not accepted is a timeout of its own', async () => {
  // Accepts nothing, and its queue is soon full: the kernel then drops further attempts.
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
   const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
     parentPort.postMessage(server.address().port);
     setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0), 0);
   });`,
    { eval: true },
  );
  const [port]: unknown[] = await once(worker, 'message');
  const list = clientOf(`http://127.0.0.1:${String(port)}`, {
    connectMs: 100,
    close: () => worker.terminate(),
  });
  // Some wait in the queue; the first that fails is one that does not.
  await expect(Promise.all(Array.from({ length: 6 }, list))).rejects.toMatchObject({
    name: 'TimeoutError',
    message: 'no connection within 100 ms',
  });
});

test.concurrent('a refused connection is named by its code', async () => {
  const server = createServer();
  const endpoint = await listenOnLoopback(server, 0);
  await closeServer(server);
  const list = clientOf(endpoint, { close: async () => {} });
  await expect(list()).rejects.toMatchObject({ code: 'ECONNREFUSED', $metadata: { attempts: 3 } });
});

test.concurrent('a server without TLS is not tried again over TLS', async () => {
  const server = createServer();
  const endpoint = await listenOnLoopback(server, 0);
  const list = clientOf(endpoint.replace('http:', 'https:'), { close: () => closeServer(server) });
  await expect(list()).rejects.toMatchObject({ code: 'EPROTO', $metadata: { attempts: 1 } });
});

test.concurrent('an endpoint that is an IPv6 address is connected to without its brackets', async () => {
  const list = clientOf('http://[::1]:1', { close: async () => {} });
  await expect(list()).rejects.toMatchObject({ syscall: 'connect', address: '::1' });
});

const hasIPv6 = Object.values(networkInterfaces())
  .flat()
  .some((each) => each?.address === '::1');

test.runIf(hasIPv6)('a server at an IPv6 address answers, and gets its address in brackets', async () => {
  const hosts: unknown[] = [];
  const server = createServer((request, response) => {
    hosts.push(request.headers.host);
    answer(response);
  });
  await once(server.listen(0, '::1'), 'listening');
  const { port } = z.object({ port: z.number() }).parse(server.address());
  const list = clientOf(`http://[::1]:${port}`, { close: () => closeServer(server) });
  expect(await list()).toMatchObject(names);
  expect(hosts).toEqual([`[::1]:${port}`]);
});

const requestTo = (endpoint: string) => ({
  protocol: 'http:',
  hostname: '127.0.0.1',
  port: Number(new URL(endpoint).port),
  method: 'POST',
  path: '/',
  headers: { 'x-amz-target': 'any' },
  body: '{}',
});

const timers = () => process.getActiveResourcesInfo().filter((each) => each === 'Timeout').length;

async function openServer(respond: (response: ServerResponse) => void) {
  const server = createServer((request, response) => {
    request.resume();
    respond(response);
  });
  const request = requestTo(await listenOnLoopback(server, 0));
  const http = createAwsHttp({ connectMs: noLimitMs, responseMs: noLimitMs });
  closings.push(async () => {
    http.destroy();
    await closeServer(server);
  });
  return { http, request };
}

describe('one request', () => {
  test('a response has its status, its whole body, and each header as one text', async () => {
    const { http, request } = await openServer((response) => {
      response
        .writeHead(418, { 'x-amzn-errortype': 'AnyException', 'set-cookie': ['a=1', 'b=2'] })
        .end('{"a":1}');
    });
    const { response } = await http.handle(request);
    expect(response).toMatchObject({
      statusCode: 418,
      headers: { 'x-amzn-errortype': 'AnyException', 'set-cookie': 'a=1,b=2' },
    });
    expect(Buffer.from(response.body).toString()).toBe('{"a":1}');
  });

  test('a request over TLS is never sent in plain text', async () => {
    let received = 0;
    const { http, request } = await openServer((response) => {
      received += 1;
      response.end('{}');
    });
    await expect(http.handle({ ...request, protocol: 'https:' })).rejects.toMatchObject({ code: 'EPROTO' });
    expect(received).toBe(0);
  });

  test('no timer outlasts a request, whether it succeeds or fails', async () => {
    const { http, request } = await openServer((response) => {
      if (response.req.url === '/broken') response.destroy();
      else response.end('{}');
    });
    const exchange = async () => {
      await http.handle(request);
      await http.handle({ ...request, path: '/broken' }).catch(() => {});
    };
    await exchange();
    const before = timers();
    for (let count = 0; count < 20; count += 1) await exchange();
    // The server has some of its own.
    expect(timers()).toBeLessThan(before + 10);
  });
});
