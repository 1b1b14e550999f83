import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Certificate } from './certificates.ts';

/**
 * How it meets a client: with a certificate; by a reset as soon as the client has begun the handshake; or with HTTP in
 * the clear.
 */
export type Manner = Certificate | 'reset' | 'plain';

export type Front = Awaited<ReturnType<typeof startFront>>;

/** TLS in front of a server that speaks HTTP, at `https://localhost:<port>`. */
export async function startFront(target: string, manner: Manner) {
  const sockets = new Set<Socket>();
  let bytes = 0;
  let serve = serving(manner);

  /** A TLS server of its own for each certificate: no session with an earlier one is resumed. */
  function serving(next: Manner): (socket: Socket) => void {
    if (next === 'reset') return (socket) => socket.once('data', () => socket.resetAndDestroy());
    if (next === 'plain')
      return (socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const server = createTlsServer(next, (socket) => {
      const upstream = connect(Number(new URL(target).port), '127.0.0.1');
      for (const each of [socket, upstream]) each.on('error', () => each.destroy());
      socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      socket.pipe(upstream).pipe(socket);
    });
    return (socket) => server.emit('connection', socket);
  }

  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => socket.destroy()));
    serve(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The server has no TCP port.');
  const end = () => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  return {
    url: `https://localhost:${address.port}`,
    /** Bytes that clients have sent inside TLS. */
    received: () => bytes,
    /** Ends all connections, and meets later ones in another manner. */
    change(next: Manner): void {
      end();
      serve = serving(next);
    },
    stop(): void {
      server.close();
      end();
    },
  };
}
