import { once } from 'node:events';
import type { RequestListener, Server } from 'node:http';

/** Opens the server for this machine only, on any free port when `port` is 0, and returns its origin. */
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

/**
 * Refuses requests of web pages in a browser on this machine. With DNS rebinding a site's own name leads here, which
 * shows in `Host`; a cross-site request carries its site in `Origin`.
 */
export function withoutForeigners(listener: RequestListener): RequestListener {
  return (request, response) => {
    const { host = '', origin } = request.headers;
    if (isLoopback(`http://${host}`) && (origin === undefined || isLoopback(origin))) {
      listener(request, response);
      return;
    }
    request.resume();
    response.writeHead(403, { 'content-type': 'application/json' }).end(refusal);
  };
}

const refusal = JSON.stringify({
  message:
    'The local stack answers programs on this machine: Host and Origin have to be 127.0.0.1 or localhost.',
});

function isLoopback(url: string): boolean {
  const hostname = URL.parse(url)?.hostname ?? '';
  return ['127.0.0.1', '[::1]', 'localhost'].includes(hostname) || hostname.endsWith('.localhost');
}
