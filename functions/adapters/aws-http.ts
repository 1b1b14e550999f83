import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';

/** A request of the AWS SDK, as its JSON protocols write it: no stream, no query, no signal. */
type AwsRequest = {
  protocol: string;
  hostname: string;
  port?: number;
  method: string;
  path: string;
  headers: Record<string, string>;
  body?: string | Uint8Array;
};

/** The SDK takes whole bodies as well as streams. */
type AwsResponse = { statusCode: number; headers: Record<string, string>; body: Uint8Array };

/**
 * Sends the requests of AWS clients, as the SDK's `requestHandler`. The SDK's own one also serves streams, uploads and
 * signals, with four timers and a stream for each request: an eighth of the processor time of reading a token. Errors
 * have Node's codes, or the name of a timeout: by these the SDK decides to send a request again.
 * @param connectMs for the look-up of the name and the connection
 * @param responseMs from the call until the head of the response, and then between its parts
 */
export function createAwsHttp({ connectMs, responseMs }: { connectMs: number; responseMs: number }) {
  const options = { keepAlive: true, maxSockets: 50 };
  const tls = { agent: new HttpsAgent(options), send: httpsRequest };
  /** For local servers. */
  const plain = { agent: new HttpAgent(options), send: httpRequest };

  return {
    metadata: { handlerProtocol: 'http/1.1' },
    async handle(request: AwsRequest): Promise<{ response: AwsResponse }> {
      return { response: await exchange(request) };
    },
    destroy: closeIdle,
    // The SDK's interface has both; there are no settings that clients change.
    updateHttpClientConfig: () => {},
    httpHandlerConfigs: () => ({}),
  };

  function exchange({ protocol, hostname, port, method, path, headers, body }: AwsRequest) {
    const { promise, resolve, reject } = Promise.withResolvers<AwsResponse>();
    const { agent, send } = protocol === 'https:' ? tls : plain;
    // The SDK has an IPv6 address in brackets.
    const host = hostname.replace(/[[\]]/g, '');
    const request = send({ agent, host, port, method, path, headers });
    const timeoutAfter = (ms: number, what: string) =>
      setTimeout(() => fail(new TimeoutError(`no ${what} within ${ms} ms`)), ms);
    const timer = timeoutAfter(responseMs, 'response');

    function fail(error: NodeJS.ErrnoException): void {
      clearTimeout(timer);
      request.destroy();
      // What ended this connection, such as a freeze of the process, may have ended all that are idle, and the next
      // attempts would take them.
      if (request.reusedSocket) closeIdle();
      // A response that is not HTTP is none. The SDK does not know the parser's codes.
      if (error.code?.startsWith('HPE_')) Object.assign(error, { $retryable: {} });
      // Not left to the event: a request that waits for a socket, or has lost it to another protocol, emits none.
      reject(error);
    }
    request.on('error', fail);
    request.on('upgrade', () => fail(new TimeoutError('the server switched protocols')));
    request.on('socket', (socket: Socket) => {
      if (!socket.connecting) return;
      const connecting = timeoutAfter(connectMs, 'connection');
      const stop = () => clearTimeout(connecting);
      socket.once('connect', stop).once('close', stop);
    });
    request.on('response', (response) => {
      timer.refresh();
      // Bytes behind a whole response are an error of the connection alone.
      request.off('error', fail).on('error', (error) => {
        if (!response.complete) fail(error);
      });
      const chunks: Buffer[] = [];
      response.on('error', fail);
      response.on('data', (chunk: Buffer) => {
        timer.refresh();
        chunks.push(chunk);
      });
      response.on('end', () => {
        clearTimeout(timer);
        const { statusCode = 0 } = response;
        resolve({ statusCode, headers: singleValued(response.headers), body: Buffer.concat(chunks) });
      });
    });
    request.end(body);
    return promise;
  }

  function closeIdle(): void {
    for (const { agent } of [tls, plain]) {
      for (const socket of Object.values(agent.freeSockets).flat()) socket?.destroy();
    }
  }
}

/** By its name the SDK knows that the request may be sent again. */
class TimeoutError extends Error {
  override readonly name = 'TimeoutError';
}

function singleValued(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value = '']) => [name, String(value)]));
}
