import { STATUS_CODES, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { htmlResponse, refuse, send, writeHead, type SimulatedResponse } from './responses.ts';
import type { Operation, PathParameters } from './routes.ts';

/** How the simulated platform can go wrong. */

export type ReceivedRequest = {
  /** Undefined when the platform has no such path and method. */
  readonly operation: Operation | undefined;
  readonly method: string;
  /** With the platform's prefix, without the query. */
  readonly path: string;
  readonly parameters: PathParameters;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Parsed JSON; the text itself where it is not JSON; undefined without a body. */
  readonly body: unknown;
  /** Time of arrival by the option `now`, in milliseconds. */
  readonly at: number;
  /** Ordinal of the TCP connection it came on: equal numbers mean a reused connection. */
  readonly connection: number;
};

/** An injected fault. `applied`: the request takes effect first. A GET has no effect and gets a response either way. */
export type InjectedFault = { readonly effect: 'none' | 'applied'; readonly outcome: Outcome };

/** A fault for the next `times` (1) requests of the operation `on`. */
export type Fault = InjectedFault & { readonly on: Operation; readonly times?: number };

/**
 * "The response" is the correct one, or a 500 in the platform's form if the request did not take effect.
 */
export type Outcome =
  /**
   * A given response: an object is sent as JSON, a string as text/html, no body as an error in the platform's form. A
   * `requestId` in the platform's form is also in the header `elements-request-id`, unless you set that.
   */
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: object | string;
    }
  /** The connection is reset before any byte of a response. */
  | { readonly kind: 'reset' }
  /** The head and half of the response's body, then the connection ends. */
  | { readonly kind: 'reset-mid-body' }
  /** Nothing until `ms` have passed, then the response; without `ms` nothing ever. */
  | { readonly kind: 'stall'; readonly ms?: number }
  /** The response, one byte at a time (at most 1,000 a second). */
  | { readonly kind: 'drip'; readonly bytesPerSecond: number }
  /** Status 200, complete by its length, but the JSON is cut off. */
  | { readonly kind: 'unreadable' }
  /** The response, `ms` later. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** The connection is reset at once; the request takes effect `ms` later, regardless of `effect`. */
  | { readonly kind: 'late-effect'; readonly ms: number }
  /** The response compressed, although `identity` was requested, as some proxies do. */
  | { readonly kind: 'gzip' }
  /** 400 in the platform's form, its message quoting the whole body that was sent, credentials and all. */
  | { readonly kind: 'echo-credentials' };

/** Injects a fault into a request. `perform` applies the request's effect and returns the correct response. */
export async function misbehave(options: {
  injectedFault: InjectedFault;
  received: ReceivedRequest;
  response: ServerResponse;
  perform: () => SimulatedResponse;
  pause: (ms: number) => Promise<unknown>;
  latencyMs: number;
}): Promise<void> {
  const { injectedFault, received, response, perform, pause, latencyMs } = options;
  const { effect, outcome } = injectedFault;
  const happens = outcome.kind !== 'late-effect' && (effect === 'applied' || received.method === 'GET');
  const result = happens ? perform() : refuse(500, 'Something went wrong on the Cloud Elements server');
  await pause(latencyMs);

  switch (outcome.kind) {
    case 'status':
      send(response, customResponse(outcome));
      break;
    case 'reset':
      reset(response);
      break;
    case 'reset-mid-body':
      writeHead(response, result);
      // An ordinary close: a TCP reset could overtake the first half of the body.
      response.write(firstHalf(result.body), () => response.socket?.destroy());
      break;
    case 'stall':
      if (outcome.ms === undefined) break;
      await pause(outcome.ms);
      send(response, result);
      break;
    case 'drip':
      writeHead(response, result);
      for (const byte of Buffer.from(result.body)) {
        response.write(Buffer.of(byte));
        await pause(1_000 / outcome.bytesPerSecond);
      }
      response.end();
      break;
    case 'unreadable':
      send(response, { ...result, status: 200, body: firstHalf(result.body) });
      break;
    case 'delay':
      await pause(outcome.ms);
      send(response, result);
      break;
    case 'late-effect':
      reset(response);
      await pause(outcome.ms);
      perform();
      break;
    case 'gzip': {
      const body = gzipSync(result.body);
      const headers = { ...result.headers, 'content-encoding': 'gzip', 'content-length': body.length };
      response.writeHead(result.status, headers).end(body);
      break;
    }
    case 'echo-credentials':
      send(response, refuse(400, `Invalid request: ${JSON.stringify(received.body)}`));
      break;
  }
}

const requestIdPattern = /^([\da-f]{24}|[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12})$/i;

function customResponse({ status, headers, body }: Extract<Outcome, { kind: 'status' }>): SimulatedResponse {
  if (typeof body === 'string') return htmlResponse(status, body, headers);
  if (body) {
    const id =
      'requestId' in body &&
      typeof body.requestId === 'string' &&
      requestIdPattern.test(body.requestId) &&
      body.requestId;
    const json = {
      'content-type': 'application/json',
      ...(id && { 'elements-request-id': id }),
      ...headers,
    };
    return { status, headers: json, body: JSON.stringify(body) };
  }
  const error = refuse(status, STATUS_CODES[status] ?? 'Unknown');
  return { ...error, headers: { ...error.headers, ...headers } };
}

function firstHalf(body: string): string {
  return body.slice(0, body.length / 2);
}

function reset(response: ServerResponse): void {
  response.socket?.resetAndDestroy();
}
