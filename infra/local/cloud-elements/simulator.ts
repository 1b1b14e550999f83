import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { htmlResponse, refuse, send, type SimulatedResponse } from './responses.ts';
import { misbehave, type Fault, type InjectedFault, type ReceivedRequest } from './faults.ts';
import type { Listing } from './instances.ts';
import { createOperations, invalidSecrets } from './operations.ts';
import { findRoute, isKnownPath, prefix } from './routes.ts';
import type { Instance } from './shown.ts';
import { closeServer, listenOnLoopback, withoutForeigners } from '../loopback.ts';

export type { Fault, InjectedFault, Outcome, ReceivedRequest } from './faults.ts';
export type { Operation } from './routes.ts';
export type { Instance } from './shown.ts';

const maxBodyBytes = 8 * 1024 * 1024;

export type PlatformSecrets = { readonly userSecret: string; readonly organizationSecret: string };

export type CloudElementsOptions = PlatformSecrets & {
  readonly port?: number;
  /** Secret of a second user in the same account, who has instances of their own. */
  readonly otherUserSecret?: string;
  readonly now?: () => number;
  readonly faultFor?: FaultFor;
  readonly onRequest?: OnCloudElementsRequest;
};

/** Called for every request to a known operation without a pending `fail`. */
export type FaultFor = (request: ReceivedRequest) => InjectedFault | undefined;

/**
 * Called with each request, and the fault injected into it. The returned function is called with the status of the
 * response, or with undefined if the connection ended before the response was complete.
 */
export type OnCloudElementsRequest = (
  request: ReceivedRequest,
  injectedFault: InjectedFault | undefined,
) => (status: number | undefined) => void;

/** Settings that a test may change at any time. */
type Settings = Listing & {
  /** Delay of every response after its effect. */
  latencyMs: number;
  faultFor: FaultFor;
};

export type CloudElements = Settings &
  AsyncDisposable & {
    /** The origin, without the platform's path prefix. */
    readonly url: string;
    /** Instances that are not deleted, in order of creation. */
    readonly instances: readonly Instance[];
    /** All requests received, in order of arrival; kept in memory only. */
    readonly requests: ReceivedRequest[];
    fail(fault: Fault): void;
    /** Creates an instance of the first user as `POST /instances` does, but without a request. */
    seed(body: object): Instance;
    /** Forgets the requests so far, the faults still to come and all settings; the instances stay. */
    reset(): void;
    /** Takes effect at once; the user, and so the instances, stay the same. */
    rotateSecrets(secrets: PlatformSecrets): void;
    /** Ends every connection and the requests on it; late effects no longer happen. */
    stop(): Promise<void>;
  };

/**
 * Simulates Cloud Elements' `/instances` API on the loopback interface. Prints nothing, because requests hold secrets.
 */
export async function startCloudElements({
  port = 0,
  userSecret,
  organizationSecret,
  otherUserSecret,
  now = Date.now,
  faultFor = () => undefined,
  onRequest = () => () => {},
}: CloudElementsOptions): Promise<CloudElements> {
  const instances: Instance[] = [];
  const requests: ReceivedRequest[] = [];
  const faults: { fault: Fault; timesLeft: number }[] = [];
  let secrets: PlatformSecrets = { userSecret, organizationSecret };
  const defaults: Settings = {
    latencyMs: 0,
    listLagMs: 0,
    listShape: {},
    ignoreTagFilter: false,
    tokenOnFullPage: false,
    newToken: () => randomBytes(32).toString('base64'),
    faultFor,
  };
  const settings = { ...defaults };
  const handlers = createOperations({ instances, listing: settings, now });

  /** Returns the correct response; the request takes effect here and nowhere else. */
  function perform({
    operation,
    path,
    parameters,
    query,
    headers,
    body,
  }: ReceivedRequest): SimulatedResponse {
    // A wrong base URL reaches the front proxy, whose errors do not have the platform's form.
    if (!path.startsWith(`${prefix}/`)) return htmlResponse(404, '<html><body>404 Not Found</body></html>');

    const credentials = readAuthorization(headers.authorization);
    const userId = userIdOf(credentials.get('User'));
    const elementToken = credentials.get('Element');
    // The guides call a ping with a User and an Element part only.
    const isOrganizationImplied = elementToken !== undefined && operation?.endsWith('/ping');
    const organization =
      credentials.get('Organization') ?? (isOrganizationImplied && secrets.organizationSecret);
    if (userId === undefined || organization !== secrets.organizationSecret) {
      return refuse(401, invalidSecrets);
    }
    if (!operation) return isKnownPath(path) ? refuse(405, 'Method not allowed') : refuse(404, 'Not found');
    if (!/application\/(json|\*)|\*\/\*/.test(headers.accept ?? '*/*')) return refuse(406, 'Not acceptable');
    if (body !== undefined) {
      if (!/^application\/json\b/i.test(headers['content-type'] ?? '')) {
        return refuse(415, 'Unsupported media type');
      }
      // Too large a request or response is a 429, which waiting does not cure.
      if (Number(headers['content-length'] ?? 0) > maxBodyBytes) return refuse(429, 'Payload too large');
    }

    // An element token names the instance where the path has no id. Elsewhere any token is ignored.
    const result = handlers[operation]({ body, query, userId, parameters, elementToken });
    const isTooLarge = operation.startsWith('GET ') && Buffer.byteLength(result.body) > maxBodyBytes;
    return isTooLarge ? refuse(429, 'Payload too large') : result;
  }

  function userIdOf(secret: string | undefined): number | undefined {
    if (secret === undefined) return undefined;
    if (secret === secrets.userSecret) return 1;
    return secret === otherUserSecret ? 2 : undefined;
  }

  function takeFault(request: ReceivedRequest): InjectedFault | undefined {
    if (!request.operation) return undefined;
    const waiting = faults.find(({ fault, timesLeft }) => timesLeft > 0 && fault.on === request.operation);
    if (!waiting) return settings.faultFor(request);
    waiting.timesLeft -= 1;
    return waiting.fault;
  }

  const connections = new WeakMap<Socket, number>();
  let connectionCount = 0;
  const stopping = new AbortController();
  async function pause(ms: number): Promise<void> {
    if (ms > 0) await sleep(ms, undefined, { signal: stopping.signal });
  }

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const at = now();
    const connection = connections.get(request.socket) ?? 0;
    const received = { ...describeRequest(request, await text(request)), at, connection };
    requests.push(received);
    const injectedFault = takeFault(received);
    const onResponse = onRequest(received, injectedFault);
    response.once('close', () => onResponse(response.writableFinished ? response.statusCode : undefined));
    const { latencyMs } = settings;
    if (injectedFault) {
      return misbehave({
        injectedFault,
        received,
        response,
        perform: () => perform(received),
        pause,
        latencyMs,
      });
    }
    const result = perform(received);
    await pause(latencyMs);
    return send(response, result);
  }

  const server = createServer(
    withoutForeigners((request, response) => {
      void respond(request, response).catch((error: unknown) => {
        request.socket.destroy();
        // The server was stopped, or the client went away. Any other error is a bug in the simulator and must show.
        if (!stopping.signal.aborted && !request.errored) throw error;
      });
    }),
  );
  server.on('connection', (socket) => connections.set(socket, ++connectionCount));
  const url = await listenOnLoopback(server, port);

  async function stop(): Promise<void> {
    stopping.abort();
    await closeServer(server);
  }

  // One object with the settings: the server reads the properties that a test sets on it.
  return Object.assign(settings, {
    url,
    instances,
    requests,
    fail: (fault: Fault) => {
      faults.push({ fault, timesLeft: fault.times ?? 1 });
    },
    reset: () => {
      requests.length = 0;
      faults.length = 0;
      Object.assign(settings, defaults);
    },
    seed: (body: object) => {
      handlers['POST /instances']({
        body,
        query: new URLSearchParams(),
        userId: 1,
        parameters: { id: '', configId: '', keyOrId: '', hub: '' },
        elementToken: undefined,
      });
      const instance = instances.at(-1);
      if (!instance) throw new Error('No instance was created.');
      return instance;
    },
    rotateSecrets: (rotated: PlatformSecrets) => {
      secrets = rotated;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  });
}

function describeRequest({ method = '', url = '', headers }: IncomingMessage, body: string) {
  const [path = '', ...search] = url.split('?');
  return {
    ...findRoute(method, path),
    method,
    path,
    query: new URLSearchParams(search.join('?')),
    headers,
    body: body === '' ? undefined : parseJson(body),
  };
}

/** Text that is not JSON is returned as it is: no schema accepts it. */
function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}

/** `User x, Organization y, Element z` in any order: one space after the word, a comma and a space between the parts. */
function readAuthorization(header = ''): Map<string, string> {
  const credentials = new Map<string, string>();
  for (const part of header.split(', ')) {
    const [, word, secret] = /^(User|Organization|Element) ([^\s,]+)$/.exec(part) ?? [];
    if (!word || !secret || credentials.has(word)) return new Map();
    credentials.set(word, secret);
  }
  return credentials;
}
