import { once } from 'node:events';
import type { Server } from 'node:http';

/** Opens the server for this machine only, on any free port when `port` is 0, and answers its origin. */
export async function listenOnLoopback(server: Server, port: number): Promise<string> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The server has no TCP port.');
  return `http://127.0.0.1:${address.port}`;
}

/** Ends the server and the connections that clients keep alive, which would hold it open. */
export async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}
