import { getEventListeners, once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { createConnector, type Address } from '../../../functions/adapters/connect.ts';
import { createAuthority } from '../../support/certificates.ts';

const portOf = (server: Server): number => {
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('no port');
  return address.port;
};

async function startLivingServer(host: string, port = 0) {
  const server = createServer((socket) => socket.on('error', () => {})).listen(port, host);
  await once(server, 'listening');
  return {
    port: portOf(server),
    async [Symbol.asyncDispose]() {
      server.close();
      await Promise.resolve();
    },
  };
}

/** A server with a full backlog, which does not respond until it begins to accept after `deafMs`. */
async function startDeafServer(host: string, { deafMs = 60_000, port: wanted = 0 } = {}) {
  const worker = new Worker(
    `const server = require('node:net').createServer();
     server.listen({ port: ${wanted}, host: '${host}', backlog: 1 }, () => {
       require('node:worker_threads').parentPort.postMessage(server.address().port);
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${deafMs});
     });`,
    { eval: true },
  );
  const [message]: unknown[] = await once(worker, 'message');
  const port = Number(message);
  const fillers: Socket[] = Array.from({ length: 4 }, () =>
    createConnection({ port, host }).on('error', () => {}),
  );
  await setTimeout(100);
  return {
    port,
    async [Symbol.asyncDispose]() {
      for (const socket of fillers) socket.destroy();
      await worker.terminate();
    },
  };
}

const v4: Address = { address: '127.0.0.1', family: 4 };
const v6: Address = { address: '::1', family: 6 };
const alsoV4: Address = { address: '127.0.0.2', family: 4 };

/** The same server under the other address family. */
const mapped = ({ address }: Address): Address => ({ address: `::ffff:${address}`, family: 6 });

async function connect(
  port: number,
  addresses: Address[],
  { timeoutMs = 5_000, headStartMs = 250, signal = new AbortController().signal } = {},
): Promise<{ to: string | undefined; code: unknown; ms: number }> {
  const startedAt = performance.now();
  const connector = createConnector({
    timeoutMs,
    headStartMs,
    signal,
    resolve: () => Promise.resolve(addresses),
  });
  const { promise, resolve } = Promise.withResolvers<[Error | null, Socket | null]>();
  connector({ hostname: 'name.example', protocol: 'http:', port: String(port) }, (...args) => resolve(args));
  const [error, socket] = await promise;
  const to = socket?.remoteAddress;
  socket?.destroy();
  const code = error && 'code' in error ? error.code : error?.message;
  return { to, code, ms: performance.now() - startedAt };
}

test.concurrent('an address that accepts after more than 250 ms is connected to, although another one follows', async () => {
  // Linux repeats the first packet after a second.
  await using slow = await startDeafServer('127.0.0.1', { deafMs: 600 });
  await using deaf = await startDeafServer('127.0.0.2', { port: slow.port });
  const { to, ms } = await connect(deaf.port, [v4, mapped(alsoV4)]);
  expect(to).toBe('127.0.0.1');
  expect(ms).toBeGreaterThan(400);
});

test.concurrent('while one family does not respond, the other is tried after a quarter of a second', async () => {
  await using deaf = await startDeafServer('127.0.0.2');
  await using living = await startLivingServer('127.0.0.1', deaf.port);
  const { to, ms } = await connect(living.port, [alsoV4, alsoV4, alsoV4, mapped(v4)]);
  expect(to).toBe('::ffff:127.0.0.1');
  expect(ms).toBeGreaterThan(200);
  // A single attempt has five seconds.
  expect(ms).toBeLessThan(4_000);
});

test.concurrent('an address that refuses is followed by the next at once', async () => {
  await using living = await startLivingServer('127.0.0.1');
  const { to } = await connect(living.port, [v6, v4], { headStartMs: 3_600_000 });
  expect(to).toBe('127.0.0.1');
});

test.concurrent('an address that refuses does not end the attempt at a slow one before it', async () => {
  await using slow = await startDeafServer('127.0.0.1', { deafMs: 300 });
  const { to } = await connect(slow.port, [v4, alsoV4], { headStartMs: 10 });
  expect(to).toBe('127.0.0.1');
});

test.concurrent('a connection fails with a clear error when every address refuses', async () => {
  expect(await connect(1, [v4, v6])).toMatchObject({ to: undefined, code: 'ECONNREFUSED' });
});

test.concurrent('an address that never responds ends after the whole time', async () => {
  await using deaf = await startDeafServer('127.0.0.1');
  const { code, ms } = await connect(deaf.port, [v4], { timeoutMs: 1_500 });
  expect(code).toBe('UND_ERR_CONNECT_TIMEOUT');
  // undici's timers count half seconds.
  expect(ms).toBeGreaterThan(900);
});

test.concurrent('a name that does not resolve in time ends the attempt, and so does one without an address', async () => {
  const connector = createConnector({
    timeoutMs: 50,
    signal: new AbortController().signal,
    resolve: () => Promise.withResolvers<never>().promise,
  });
  const { promise, resolve } = Promise.withResolvers<unknown>();
  connector({ hostname: 'name.example', protocol: 'http:', port: '1' }, (...args) => resolve(args[0]));
  expect(await promise).toMatchObject({ code: 'ENAMETIMEOUT' });
  expect(await connect(1, [])).toMatchObject({ code: 'The name has no address.' });
});

test.concurrent('an abort ends every attempt', async () => {
  await using deaf = await startDeafServer('127.0.0.1');
  const { ms, to } = await connect(deaf.port, [v4, v4], { signal: AbortSignal.timeout(400) });
  expect(to).toBeUndefined();
  expect(ms).toBeLessThan(2_000);
});

const at = (last: number): Address => ({ address: `127.0.0.${last}`, family: 4 });

describe('the order of addresses', () => {
  const unhurried = { headStartMs: 3_600_000 };

  test('the families are tried by turns, beginning with that of the first address', async () => {
    await using first = await startLivingServer('127.0.0.3');
    await using second = await startLivingServer('127.0.0.4', first.port);
    const { port } = second;
    expect((await connect(port, [at(2), at(3), mapped(at(4))], unhurried)).to).toBe('::ffff:127.0.0.4');
    expect((await connect(port, [mapped(at(2)), mapped(at(3)), at(4)], unhurried)).to).toBe('127.0.0.4');
    expect((await connect(port, [at(2), at(5), at(3)], unhurried)).to).toBe('127.0.0.3');
    const oneOfMany = [at(2), ...[2, 5, 6, 4].map((last) => mapped(at(last)))];
    expect((await connect(port, oneOfMany, unhurried)).to).toBe('::ffff:127.0.0.4');
  });

  test('six addresses of a name are tried, and no more', async () => {
    await using living = await startLivingServer('127.0.0.7');
    const refusing = [2, 3, 4, 5, 6].map(at);
    expect((await connect(living.port, [...refusing, at(7)], unhurried)).to).toBe('127.0.0.7');
    expect(await connect(living.port, [...refusing, at(8), at(7)], unhurried)).toMatchObject({
      to: undefined,
      code: 'ECONNREFUSED',
    });
  });

  test('one connection of a name is kept, although several addresses accept', async () => {
    await using first = await startLivingServer('127.0.0.1');
    await using second = await startLivingServer('127.0.0.2', first.port);
    const { to } = await connect(second.port, [at(1), at(2)], { headStartMs: 0 });
    expect(to).toMatch(/^127\.0\.0\.[12]$/);
  });
});

const callbackOf = async (
  port: number,
  options: Partial<Parameters<typeof createConnector>[0]>,
  hostname = 'name.example',
): Promise<[Error | null, Socket | null]> => {
  const connector = createConnector({
    timeoutMs: 5_000,
    signal: new AbortController().signal,
    resolve: () => Promise.resolve([v4]),
    ...options,
  });
  const { promise, resolve } = Promise.withResolvers<[Error | null, Socket | null]>();
  connector({ hostname, protocol: 'http:', port: String(port) }, (...args) => resolve(args));
  return promise;
};

const timers = () => process.getActiveResourcesInfo().filter((each) => each === 'Timeout').length;

test('a connection over TLS offers HTTP/1.1 alone', async () => {
  const offered = Promise.withResolvers<string[]>();
  const ALPNCallback = ({ protocols }: { protocols: string[] }) => {
    offered.resolve(protocols);
    return undefined;
  };
  const certificate = createAuthority('tests').issue(['localhost']);
  const server = createTlsServer({ ...certificate, ALPNCallback }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const failure = Promise.withResolvers<Error | null>();
  const connector = createConnector({
    timeoutMs: 5_000,
    signal: new AbortController().signal,
    resolve: () => Promise.resolve([v4]),
  });
  connector({ hostname: 'localhost', protocol: 'https:', port: String(portOf(server)) }, (...[error]) =>
    failure.resolve(error),
  );
  expect(await offered.promise).toEqual(['http/1.1']);
  // The server has refused it.
  expect(await failure.promise).toBeInstanceOf(Error);
  server.close();
});

describe('the end of an attempt', () => {
  test('a name is resolved by the system by default', async () => {
    await using living = await startLivingServer('127.0.0.1');
    const connector = createConnector({ timeoutMs: 5_000, signal: new AbortController().signal });
    const { promise, resolve } = Promise.withResolvers<Socket | null>();
    connector({ hostname: 'localhost', protocol: 'http:', port: String(living.port) }, (_, socket) =>
      resolve(socket),
    );
    const socket = await promise;
    expect(socket?.remoteAddress).toMatch(/127\.0\.0\.1$/);
    socket?.destroy();
  });

  test('the name of the host is what is resolved', async () => {
    const names: string[] = [];
    const resolve = async (name: string) => {
      names.push(name);
      return [];
    };
    await callbackOf(1, { resolve }, 'api.example');
    expect(names).toEqual(['api.example']);
  });

  test('a failure to resolve the name is the failure of the attempt', async () => {
    const failure = Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
    expect(await callbackOf(1, { resolve: () => Promise.reject(failure) })).toEqual([failure, null]);
    const thrown: unknown = 'text';
    const rejecting = async (): Promise<Address[]> => {
      throw thrown;
    };
    expect(await callbackOf(1, { resolve: rejecting })).toEqual([new Error('No connection.'), null]);
  });

  test('an attempt that was aborted before it began ends with the reason', async () => {
    const reason = new Error('too late');
    await using living = await startLivingServer('127.0.0.1');
    expect(await callbackOf(living.port, { signal: AbortSignal.abort(reason) })).toEqual([reason, null]);
  });

  test('an abort after the connection leaves it open', async () => {
    await using living = await startLivingServer('127.0.0.1');
    const controller = new AbortController();
    const [, socket] = await callbackOf(living.port, { signal: controller.signal });
    controller.abort();
    await setTimeout(10);
    expect(socket).toMatchObject({ destroyed: false, readyState: 'open' });
    socket?.destroy();
  });

  test('no timer and no listener outlasts an attempt', async () => {
    await using living = await startLivingServer('127.0.0.1');
    const { signal } = new AbortController();
    const options = { timeoutMs: 3_600_000, headStartMs: 3_600_000, signal };
    const attempt = async () => {
      const [, socket] = await callbackOf(living.port, { ...options, resolve: async () => [v4, alsoV4] });
      socket?.destroy();
      await callbackOf(1, { ...options, resolve: async () => [v4, alsoV4] });
    };
    await attempt();
    const before = timers();
    for (let count = 0; count < 5; count++) await attempt();
    // undici has one of its own from time to time.
    expect(timers()).toBeLessThan(before + 4);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});
