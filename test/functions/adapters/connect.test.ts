import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { createConnector, type Address } from '../../../functions/adapters/connect.ts';

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

test('an address that accepts after more than 250 ms is connected to, although another one follows', async () => {
  // Linux repeats the first packet after a second.
  await using slow = await startDeafServer('127.0.0.1', { deafMs: 600 });
  await using deaf = await startDeafServer('127.0.0.2', { port: slow.port });
  const { to, ms } = await connect(deaf.port, [v4, mapped(alsoV4)]);
  expect(to).toBe('127.0.0.1');
  expect(ms).toBeGreaterThan(400);
});

test('while one family does not respond, the other is tried after a quarter of a second', async () => {
  await using deaf = await startDeafServer('127.0.0.2');
  await using living = await startLivingServer('127.0.0.1', deaf.port);
  const { to, ms } = await connect(living.port, [alsoV4, alsoV4, alsoV4, mapped(v4)]);
  expect(to).toBe('::ffff:127.0.0.1');
  expect(ms).toBeGreaterThan(200);
});

test('an address that refuses is followed by the next at once', async () => {
  await using living = await startLivingServer('127.0.0.1');
  const { to } = await connect(living.port, [v6, v4], { headStartMs: 3_600_000 });
  expect(to).toBe('127.0.0.1');
});

test('a connection fails with a clear error when every address refuses', async () => {
  expect(await connect(1, [v4, v6])).toMatchObject({ to: undefined, code: 'ECONNREFUSED' });
});

test('an address that never responds ends after the whole time', async () => {
  await using deaf = await startDeafServer('127.0.0.1');
  const { code, ms } = await connect(deaf.port, [v4], { timeoutMs: 1_500 });
  expect(code).toBe('UND_ERR_CONNECT_TIMEOUT');
  // undici's timers count half seconds.
  expect(ms).toBeGreaterThan(900);
});

test('a name that does not resolve in time ends the attempt, and so does one without an address', async () => {
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

test('an abort ends every attempt', async () => {
  await using deaf = await startDeafServer('127.0.0.1');
  const { ms, to } = await connect(deaf.port, [v4, v4], { signal: AbortSignal.timeout(400) });
  expect(to).toBeUndefined();
  expect(ms).toBeLessThan(2_000);
});
