import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll } from 'vitest';
import { closeServer, listenOnLoopback } from '../../infra/local/loopback.ts';

export type ScriptedRequest = {
  method: string;
  /** Without the query. */
  path: string;
  query: Record<string, string>;
  headers: IncomingHttpHeaders;
  /** Parsed; undefined when there is none. */
  body: unknown;
};

/** `body`: text and bytes are sent as they are, anything else as JSON. */
export type ScriptedResponse =
  | { status: number; body?: unknown; headers?: Record<string, string> }
  /** The connection ends without a response. */
  | 'reset'
  /** No response ever comes. */
  | 'silence';

/**
 * Starts an HTTP server on the loopback interface whose responses the test decides, where the simulator of Cloud
 * Elements would have its own. It is stopped after the last test of the file.
 */
export async function startScriptedServer() {
  const scripted = {
    /** In order of arrival. */
    requests: new Array<ScriptedRequest>(),
    /** Decides about each request. */
    respond: (_request: ScriptedRequest): ScriptedResponse => ({ status: 404 }),
  };

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://localhost');
    const body = await text(request);
    const received = {
      method: request.method ?? '',
      path: pathname,
      query: Object.fromEntries(searchParams),
      headers: request.headers,
      body: body === '' ? undefined : JSON.parse(body),
    };
    scripted.requests.push(received);
    const said = scripted.respond(received);
    if (said === 'silence') return;
    if (said === 'reset') {
      request.socket.destroy();
      return;
    }
    const { status, headers = {}, body: content = '' } = said;
    const isRaw = typeof content === 'string' || content instanceof Uint8Array;
    response.writeHead(status, headers).end(isRaw ? content : JSON.stringify(content));
  }

  const server = createServer((request, response) => void respond(request, response));
  const url = await listenOnLoopback(server, 0);
  afterAll(() => closeServer(server));
  return Object.assign(scripted, { url });
}
