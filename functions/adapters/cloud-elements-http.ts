import { Client, type Dispatcher } from 'undici';
import * as z from 'zod/mini';
import { OnboardingError } from '../model/errors.ts';
import type { InstanceId } from '../model/instance-id.ts';
import { decompressed, parseBody } from './response-body.ts';
import { createConnector } from './connect.ts';
import { hasFormOfRequestId, relay, relayRequestId, repeatsAny, type Relaying } from './relay.ts';
import type { PlatformCredentials } from './secrets.ts';

/** The path below every edition's origin; only the origin differs between regions and brands. */
const apiPath = '/elements/api-v2';

/** Twice the platform's own limit, decompressed. */
const maxResponseBytes = 16 * 1024 * 1024;

/** Of a call of an element, whose vendor may have a say in the size: several come at once, and little of them is used. */
const maxElementResponseBytes = 1024 * 1024;

/** What the platform says when it refuses: any of the three may be missing, or null. */
const refusalSchema = z.object({
  requestId: z.nullish(z.string()),
  message: z.nullish(z.string()),
  providerMessage: z.nullish(z.unknown()),
});

type Refusal = {
  /** The relayable words of the platform's message. */
  message: string | undefined;
  /** The vendor behind the element refused, not the platform. Its own words may hold personal data and end here. */
  isVendors: boolean;
  /** The refusal has a request id, which may yet be withheld. */
  isNumbered: boolean;
};

/**
 * Where the platform secrets come from. `renew` takes the refused ones; the same object in return means that there are
 * no newer ones.
 */
export type CredentialsSource = {
  get(): Promise<PlatformCredentials>;
  renew(refused: PlatformCredentials): Promise<PlatformCredentials>;
};

export type Request = {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  path: string;
  query?: Record<string, string>;
  body?: unknown;
  /** For calls of an element: the token of the instance. */
  elementToken?: string;
  /** What the answer's message is relayed by; the platform's own secrets are always kept out of it. */
  relaying?: Relaying;
  /** Whose instance it is about, for the log. */
  about?: Subject | undefined;
};

/** Outcome and duration of a call, for logs and metrics; nothing of request or answer. */
export type CloudElementsCall = {
  /** `GET /instances/{id}` */
  operation: string;
  about?: Subject | undefined;
  /**
   * `failed`: no answer, or 408, or 5xx. `credentials-rejected`: the platform secret cannot be used, or is not
   * accepted. `not-tried`: it could not be read.
   */
  outcome: 'answered' | 'throttled' | 'failed' | 'credentials-rejected' | 'not-tried';
  status?: number;
  /** Cloud Elements' own, by which its support finds the call. */
  requestId?: string | undefined;
  /** Why there is no answer. */
  reason?: string;
  /** From opening the connection until the answer has been read; absent when nothing was sent. */
  durationMs?: number | undefined;
};

type Subject = {
  tenantId?: string;
  elementKey?: string;
  provisionId?: string | undefined;
  instanceId?: InstanceId;
};

export type HttpResponse = {
  kind: 'response';
  status: number;
  header(name: string): string | undefined;
  /** Parsed body; undefined when it is not JSON. */
  json: unknown;
  /** A body that is not JSON: the platform sends none. */
  isPage: boolean;
  /** Set when the platform itself refused: other bodies come from something in front of it. */
  refusal: Refusal | undefined;
  requestId: string | undefined;
  /** Refused for the size of the request or of its answer, not for the rate. */
  isTooLarge: boolean;
  /** Does the text repeat a credential that was sent, as it is or in a usual encoding? */
  repeatsSecret: (text: string) => boolean;
};

export type CallResult =
  | HttpResponse
  /** `sent: false` only when it is certain that not one byte of the request was sent. */
  | { kind: 'broken'; sent: boolean; reason: string }
  | { kind: 'no-credentials'; error: OnboardingError };

export type CallCloudElements = (request: Request, options: { timeoutMs: number }) => Promise<CallResult>;

/**
 * Calls Cloud Elements' platform API as the company's user. A call, everything included, lasts at most `timeoutMs`.
 * After a 401 it is sent once more, if the platform secret has changed since it was cached.
 * @param baseUrl origin, for example `https://api.cloud-elements.com`
 */
export function createCloudElementsCaller({
  baseUrl,
  credentials,
  connectTimeoutMs = 3_000,
  onCall = () => {},
}: {
  baseUrl: string;
  credentials: CredentialsSource;
  connectTimeoutMs?: number;
  /** Called after every call. */
  onCall?: (call: CloudElementsCall) => void;
}): CallCloudElements {
  return async (request, { timeoutMs }) => {
    const timedResult = await call(request, timeoutMs);
    onCall(accountOf(request, timedResult));
    return timedResult.result;
  };

  async function call(request: Request, timeoutMs: number): Promise<TimedResult> {
    const { signal, end } = deadlineIn(timeoutMs);
    try {
      const cached = await untilAborted(credentials.get(), signal);
      const first = await timed(send(request, cached, signal));
      if (!mayBeUnauthorized(first.result)) return first;
      const renewed = await untilAborted(credentials.renew(cached), signal);
      return renewed === cached ? first : await timed(send(request, renewed, signal));
    } catch (error) {
      if (error instanceof OnboardingError) return { result: { kind: 'no-credentials', error } };
      if (signal.aborted) {
        return { result: { kind: 'broken', sent: false, reason: 'no credentials in time' } };
      }
      throw error;
    } finally {
      end();
    }
  }

  /**
   * On a connection of its own, destroyed afterwards: a socket kept alive while Lambda froze the process may be dead,
   * and a create must not be sent twice to find out. For the same reason no HTTP/2, whose sessions undici shares.
   */
  async function send(
    { method, path, query, body, elementToken, relaying = {} }: Request,
    { userSecret, organizationSecret }: PlatformCredentials,
    signal: AbortSignal,
  ): Promise<CallResult> {
    const maxBytes = elementToken === undefined ? maxResponseBytes : maxElementResponseBytes;
    const client = new Client(baseUrl, {
      allowH2: false,
      maxResponseSize: maxBytes,
      connect: createConnector({ timeoutMs: connectTimeoutMs, signal }),
    });
    // Not one byte is written before this: not while the name is looked up, nor while TCP and TLS are set up.
    let connected = false;
    client.once('connect', () => {
      connected = true;
    });
    try {
      const {
        status,
        headers,
        body: bytes,
      } = await exchange(client, signal, {
        method,
        path: `${apiPath}${path}`,
        ...(query && { query }),
        headers: {
          // Without an Element part, except for calls of the element itself: it would make the platform act on that
          // element's instance instead.
          authorization: `User ${userSecret}, Organization ${organizationSecret}${elementToken === undefined ? '' : `, Element ${elementToken}`}`,
          accept: 'application/json',
          'accept-encoding': 'identity',
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      const coding = firstOf(headers, 'content-encoding');
      const whole = await decompressed(bytes, { coding, maxBytes });
      const secrets = [
        ...(relaying.secrets ?? []),
        userSecret,
        organizationSecret,
        elementToken ?? '',
      ].filter(Boolean);
      return responseOf(status, headers, new TextDecoder().decode(whole), { ...relaying, secrets });
    } catch (error) {
      return { kind: 'broken', sent: connected, reason: nameOf(error) };
    } finally {
      await client.destroy(finished);
    }
  }
}

/** Made once: without it, undici and Node's streams make an error with a stack trace for every call. */
const finished = new Error('The call has ended.');

type Exchanged = { status: number; headers: ResponseHeaders; body: Buffer<ArrayBuffer> };
type ResponseHeaders = Record<string, string | string[] | undefined>;

const firstOf = (headers: ResponseHeaders, name: string): string | undefined => [headers[name]].flat()[0];

/** One request and the whole of its answer. When the time is up the client goes, connected or not. */
function exchange(
  client: Client,
  signal: AbortSignal,
  request: Dispatcher.DispatchOptions,
): Promise<Exchanged> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<Exchanged>();
  signal.addEventListener('abort', () => client.destroy(signal.reason), { once: true });
  let head: Pick<Exchanged, 'status' | 'headers'> = { status: 0, headers: {} };
  const chunks: Buffer[] = [];
  client.dispatch(request, {
    // undici insists on it.
    onRequestStart: () => {},
    onResponseStart: (_, status, headers) => {
      head = { status, headers };
    },
    onResponseData: (_, chunk) => {
      chunks.push(chunk);
    },
    onResponseEnd: () => resolve({ ...head, body: Buffer.concat(chunks) }),
    onResponseError: (_, error) => reject(error),
  });
  return promise;
}

export const isSuccess = (result: CallResult): result is HttpResponse =>
  result.kind === 'response' && result.status >= 200 && result.status < 300;

/** The body of a success, if it has this shape. */
export function successOf<T>(result: CallResult, schema: z.ZodMiniType<T>): T | undefined {
  return isSuccess(result) ? schema.safeParse(result.json).data : undefined;
}

/**
 * The platform says that there is no such thing; an empty list is a 404, too. Others answer 404 as well, gateways with
 * a `message` even, when the base URL is wrong or something is down: only the platform gives a request id.
 */
export const isAbsent = (result: CallResult): boolean =>
  result.kind === 'response' && result.status === 404 && result.refusal?.isNumbered === true;

/** The platform refuses our secrets, not the tenant's: then the vendor behind the element would have spoken. */
export const isUnauthorized = (result: CallResult): boolean =>
  result.kind === 'response' && result.status === 401 && result.refusal?.isVendors === false;

/** Also when something else answers: then the platform secret is read once more, which harms nothing. */
const mayBeUnauthorized = (result: CallResult): boolean =>
  result.kind === 'response' && result.status === 401 && !result.refusal?.isVendors;

/** A page of a list is larger than the platform sends, or than is read here. */
export const isTooLarge = (result: CallResult): boolean =>
  result.kind === 'response'
    ? result.isTooLarge
    : result.kind === 'broken' && tooLargeToRead.has(result.reason);

const tooLargeToRead = new Set(['UND_ERR_RES_EXCEEDED_MAX_SIZE', 'ERR_BUFFER_TOO_LARGE']);

/** For logs and errors: the unexpected answer, with the relayable words of the platform's message. */
export function describe(result: CallResult): string {
  if (result.kind === 'no-credentials') return result.error.message;
  if (result.kind === 'broken') return result.reason;
  const { status, refusal, requestId } = result;
  const request = requestId ? `, request ${requestId}` : '';
  if (!refusal) {
    return `HTTP ${status} ${result.json === undefined ? 'without a readable' : 'with an unexpected'} body${request}`;
  }
  return `HTTP ${status} from Cloud Elements${request}${refusal.message ? `: ${refusal.message}` : ''}`;
}

/** Without a duration when nothing was tried. */
type TimedResult = { result: CallResult; durationMs?: number };

async function timed(sending: Promise<CallResult>): Promise<TimedResult> {
  const startedAt = performance.now();
  const result = await sending;
  return { result, durationMs: Math.round(performance.now() - startedAt) };
}

function accountOf(
  { method, path, about, elementToken }: Request,
  { result, durationMs }: TimedResult,
): CloudElementsCall {
  const call = {
    operation: `${method} ${path.replace(/^\/instances\/.+$/, '/instances/{id}')}`,
    about,
    durationMs,
  };
  switch (result.kind) {
    case 'response': {
      const { status, requestId } = result;
      const outcome = outcomeOf(result);
      // The element token may be the one that is refused.
      const isOfToken = outcome === 'credentials-rejected' && elementToken !== undefined;
      return { ...call, outcome: isOfToken ? 'answered' : outcome, status, requestId };
    }
    case 'broken':
      return { ...call, outcome: durationMs === undefined ? 'not-tried' : 'failed', reason: result.reason };
    case 'no-credentials': {
      const isUnusable = result.error.code === 'platform-credentials-unusable';
      const outcome = isUnusable ? 'credentials-rejected' : 'not-tried';
      return { ...call, outcome, reason: result.error.code };
    }
  }
}

function outcomeOf(result: HttpResponse): CloudElementsCall['outcome'] {
  if (result.status === 429) return 'throttled';
  if (isUnauthorized(result)) return 'credentials-rejected';
  return result.status === 408 || result.status >= 500 ? 'failed' : 'answered';
}

/**
 * The platform puts its id of the request into a header and repeats it in the body of a refusal. An id that stands in
 * the body alone, or is another there, may be anything, for instance a stored key that the call did not send.
 */
function agreedOn({ body, header }: { body: string | undefined; header: string | undefined }) {
  const isDenied = hasFormOfRequestId(body) && body.toLowerCase() !== header?.toLowerCase();
  return isDenied ? undefined : header;
}

/** The platform's own words for secrets that it does not accept, on record also without a request id. */
const refusesSecrets = /^Invalid Organization or User secret\b/;

/** Other 429s are about how many requests there are. */
const namesSize = /\bpayload\b|\bsize\b|\btoo (large|big)\b|\b\d+ ?[kmg]i?b\b|\b(mega)?bytes\b/i;

function responseOf(
  status: number,
  headers: ResponseHeaders,
  text: string,
  relaying: Relaying,
): HttpResponse {
  const header = (name: string) => firstOf(headers, name);
  const json = parseBody(text);
  const repeatsSecret = repeatsAny(relaying.secrets ?? []);
  const { requestId, message, providerMessage } = refusalSchema.safeParse(json).data ?? {};
  const ids = { body: requestId ?? undefined, header: header('elements-request-id') };
  // Proxies send JSON with a `message`, too, and some a `requestId` of another form.
  const isNumbered = hasFormOfRequestId(ids.body) || Boolean(ids.header);
  const isVendors = providerMessage !== undefined && providerMessage !== null;
  const isPlatforms = isNumbered || isVendors || (status === 401 && refusesSecrets.test(message ?? ''));
  return {
    kind: 'response',
    status,
    header,
    json,
    isPage: json === undefined && text.trim() !== '',
    refusal:
      isPlatforms && (isVendors || typeof message === 'string' || typeof requestId === 'string')
        ? { message: message ? relay(message, relaying) : undefined, isVendors, isNumbered }
        : undefined,
    requestId: relayRequestId(agreedOn(ids), repeatsSecret),
    isTooLarge: status === 413 || (status === 429 && namesSize.test(message ?? '')),
    repeatsSecret,
  };
}

/** An error's code or name: its message may quote the request. */
function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}

/**
 * Not `AbortSignal.timeout`: that one keeps everything of a call until its time is up, however soon it was answered.
 */
function deadlineIn(timeoutMs: number): { signal: AbortSignal; end: () => void } {
  const deadline = new AbortController();
  const timeIsUp = () => deadline.abort(new DOMException('The time is up.', 'TimeoutError'));
  const timer = setTimeout(timeIsUp, Math.max(1, timeoutMs));
  return { signal: deadline.signal, end: () => clearTimeout(timer) };
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  return Promise.race([promise, aborted]);
}
