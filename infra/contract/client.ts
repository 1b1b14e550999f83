import { createHash, createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import {
  problemCodes,
  type CheckedInstance,
  type ElementToken,
  type ImportRequest,
  type Instance,
  type InstanceUpdate,
  type InstanceRequest,
  type Problem,
} from './client-types.ts';

export type AwsCredentials = {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string | undefined;
  /** Credentials without it are fetched again for every request. */
  expiration?: Date | undefined;
};

/** The Cloud Elements user on whose behalf element calls are made. */
export type CloudElementsSecrets = { userSecret: string; organizationSecret: string };

export type ClientOptions = {
  /** The output `ApiUrl` of the stack, or a domain of your own: https, or http on this machine. */
  apiUrl: string;
  /** Region of the API and the runtime secret; by default that in `apiUrl`, else `AWS_REGION`. */
  region?: string | undefined;
  /** By default those of the environment: its variables (Lambda), or the container's endpoint (ECS, EKS). */
  credentials?: (() => AwsCredentials | Promise<AwsCredentials>) | undefined;
  /** Needed for `headersFor` and `fetch` only. */
  cloudElements?:
    | {
        /** Origin of Cloud Elements, for example `https://api.cloud-elements.com`: https, or http on this machine. */
        baseUrl: string;
        /** Name of the runtime secret in Secrets Manager (the output `RuntimeSecretName`), or a function. */
        secrets: string | (() => CloudElementsSecrets | Promise<CloudElementsSecrets>);
      }
    | undefined;
  /** How long tokens and Cloud Elements secrets are kept in memory; by default 5 minutes. */
  cacheMs?: number | undefined;
  /** Time limit of one request to AWS; by default 35 s, more than the 30 s of API Gateway. */
  timeoutMs?: number | undefined;
  /** Endpoint of Secrets Manager, for example that of a local stack. */
  secretsManagerUrl?: string | undefined;
  /** Clock in milliseconds that is never set back, for tests; by default `performance.now`. */
  now?: (() => number) | undefined;
};

/** An aborted call rejects at once, with the reason of the signal. A read that it shares goes on for the others. */
export type CallOptions = { signal?: AbortSignal | undefined };

export type CloudElementsHeaders = { authorization: string };

/**
 * A call of one tenant's element: the path follows `/elements/api-v2`, for example `/hubs/finance/ping`, and cannot leave
 * it. Redirects are not followed: the response is the 3xx with its `location`, or an error with `redirect: 'error'`.
 */
export type ElementFetch = (path: string, init?: RequestInit) => Promise<Response>;

export type Client = ReturnType<typeof createClient>;

/** A failed request. Holds no credential, token or configuration value. */
export class ClientError extends Error {
  override readonly name = 'ClientError';
  /** HTTP status of the response, absent if there was none. */
  readonly status: number | undefined;
  /** The service's own error, absent if API Gateway or another AWS service responded. */
  readonly problem: Problem | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    facts: {
      status?: number | undefined;
      problem?: Problem | undefined;
      retryAfterMs?: number | undefined;
    } = {},
  ) {
    super(message);
    this.status = facts.status;
    this.problem = facts.problem;
    this.retryAfterMs = facts.retryAfterMs;
  }
}

const maxCached = 10_000;
/** Credentials are renewed this long before they expire. */
const renewalMs = 60_000;
/** A 401 that new secrets do not cure is Cloud Elements' last word for this long: it causes no further reads. */
const confirmedMs = 30_000;
/** Of each list in an error, and characters of each text. */
const maxNamed = 20;
const maxShown = 2_000;
const prefix = '/elements/api-v2';

/** Creates a client of the service. It and the methods throw `ClientError`. */
export function createClient(options: ClientOptions) {
  const region = checkedOptions(options);
  const { cacheMs = 300_000, timeoutMs = 35_000, now = () => performance.now(), cloudElements } = options;
  const apiUrl = new URL(options.apiUrl);
  const tokens = createCache<Readonly<ElementToken>>(now, () => cacheMs);
  const users = createCache<CloudElementsSecrets>(now, () => cacheMs);
  const confirmed = createCache<true>(now, () => confirmedMs);
  // Credentials without an expiration are not kept.
  const held = createCache<AwsCredentials>(
    now,
    ({ expiration }) => Number(expiration ?? 0) - Date.now() - renewalMs,
  );

  const readCredentials = async () =>
    checked(
      await (options.credentials
        ? resultOf('credentials', options.credentials, timeoutMs)
        : credentialsOfEnvironment()),
    );

  async function credentials(): Promise<AwsCredentials> {
    const found = await held.get('', readCredentials);
    if (Date.now() < Number(found.expiration ?? Infinity)) return found;
    // The monotonic clock may stand still while the machine sleeps.
    held.drop('', found);
    return held.get('', readCredentials);
  }

  const send = (request: SignedRequest) => sendSigned(request, { credentials, region, timeoutMs });

  async function call(
    method: string,
    segments: readonly string[],
    { signal, body }: CallOptions & { body?: InstanceRequest | InstanceUpdate | ImportRequest } = {},
  ): Promise<HttpResponse> {
    // URLs resolve the first three to another route, for example that of all tenants, and cannot hold the last.
    if (segments.some((segment) => /^\.{0,2}$|\p{Surrogate}/u.test(segment))) {
      throw new ClientError('Expected a tenant id and an element key, got an empty text, "." or "..".');
    }
    const url = new URL(apiUrl);
    url.pathname = [url.pathname.replace(/\/+$/, ''), ...segments.map(encoded)].join('/');
    const text = body && JSON.stringify(body);
    const received = await send({
      service: 'execute-api',
      method,
      url,
      signal,
      ...(text && { contentType: 'application/json', body: text }),
    });
    if (received.status >= 200 && received.status < 300) return received;
    const [, tenantId = ''] = segments;
    const secrets = [
      ...received.secrets,
      ...(text ? textsIn(recordOf(text)['configuration']) : []),
      ...tokens.values(keyOf(tenantId).slice(0, -1)).map(({ token }) => token),
      ...users.values().flatMap(textsIn),
    ];
    throw apiError(`${method} /${segments.map(encoded).join('/')}`, { ...received, secrets });
  }

  async function readToken(tenantId: string, elementKey: string): Promise<Readonly<ElementToken>> {
    const { text } = await call('GET', [...pathOf(tenantId, elementKey), 'token']);
    const body: ElementToken = parsed(text);
    if (!isUsable(body?.token)) throw new ClientError('The response has no usable element token.');
    // Shared by all callers.
    return Object.freeze(concealed(body));
  }

  function required() {
    if (!cloudElements) throw new ClientError('Expected the option `cloudElements`.');
    return cloudElements;
  }

  async function readSecrets(): Promise<CloudElementsSecrets> {
    const { secrets } = required();
    const { userSecret, organizationSecret } =
      typeof secrets === 'string'
        ? recordOf(await secretValue(secrets))
        : ((await resultOf('cloudElements.secrets', secrets, timeoutMs)) ?? {});
    if (!isUsable(userSecret) || !isUsable(organizationSecret)) {
      throw new ClientError(
        'Expected Cloud Elements secrets as {"userSecret": "…", "organizationSecret": "…"}.',
      );
    }
    return { userSecret, organizationSecret };
  }

  async function secretValue(secretId: string): Promise<string> {
    const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
    const url = options.secretsManagerUrl ?? `https://secretsmanager.${region}.${domain}`;
    const received = await send({
      service: 'secretsmanager',
      method: 'POST',
      url: new URL(url),
      contentType: 'application/x-amz-json-1.1',
      target: 'secretsmanager.GetSecretValue',
      body: JSON.stringify({ SecretId: secretId }),
    });
    if (received.status !== 200) {
      const [, reason = ''] = /"__type":\s*"(?:[\w.]+#)?(\w{1,64})"/.exec(received.text) ?? [];
      throw new ClientError(
        `Secrets Manager responded with ${received.status} ${withoutSecrets(reason, received.secrets)} for the secret ${secretId}.`,
        { status: received.status },
      );
    }
    const value = recordOf(received.text)['SecretString'];
    if (typeof value !== 'string') throw new ClientError(`The secret ${secretId} holds no text.`);
    return value;
  }

  const cachedToken = (tenantId: string, elementKey: string) =>
    tokens.get(keyOf(tenantId, elementKey), () => readToken(tenantId, elementKey));

  async function authorizationFor(tenantId: string, elementKey: string, signal: CallOptions['signal']) {
    signal?.throwIfAborted();
    required();
    const reads = Promise.all([cachedToken(tenantId, elementKey), users.get('', readSecrets)]);
    const [element, user] = await abortable(reads, signal);
    const { userSecret, organizationSecret } = user;
    const authorization = `User ${userSecret}, Organization ${organizationSecret}, Element ${element.token}`;
    return { authorization, element, user };
  }

  const elementFetch =
    (tenantId: string, elementKey: string): ElementFetch =>
    async (path, init = {}) => {
      const key = keyOf(tenantId, elementKey);
      const signal = init.signal ?? undefined;
      const url = elementUrl(path, new URL(required().baseUrl).origin);
      const used = await authorizationFor(tenantId, elementKey, signal);
      const response = await fetch(url, withAuthorization(init, used.authorization));
      if (response.status !== 401 || confirmed.has(key)) return response;
      // Either may be outdated. One that another call has replaced meanwhile stays.
      tokens.drop(key, used.element);
      users.drop('', used.user);
      const renewed = await authorizationFor(tenantId, elementKey, signal);
      if (renewed.authorization === used.authorization) {
        await confirmed.get(key, async () => true);
        return response;
      }
      // A stream or an iterable has been read: only its owner can send it again.
      if (!isRepeatable(init.body)) return response;
      // Its failure is not that of the call.
      await response.body?.cancel().catch(() => undefined);
      return fetch(url, withAuthorization(init, renewed.authorization));
    };

  return {
    /** Makes sure that the tenant has exactly one instance. May be repeated; `provisioning` means not known yet. */
    async provision(
      tenantId: string,
      request: InstanceRequest,
      { signal }: CallOptions = {},
    ): Promise<Instance> {
      return parsed((await call('POST', pathOf(tenantId), { signal, body: request })).text);
    },
    /** Records an existing instance of Cloud Elements, by its id there, as the tenant's. Creates none. May be repeated. */
    async importInstance(
      tenantId: string,
      elementKey: string,
      id: number,
      { signal }: CallOptions = {},
    ): Promise<Instance> {
      const body: ImportRequest = { id };
      return parsed((await call('POST', [...pathOf(tenantId, elementKey), 'import'], { signal, body })).text);
    },
    async get(tenantId: string, elementKey: string, { signal }: CallOptions = {}): Promise<Instance> {
      return parsed((await call('GET', pathOf(tenantId, elementKey), { signal })).text);
    },
    /** All instances of a tenant. */
    async list(tenantId: string, { signal }: CallOptions = {}): Promise<Instance[]> {
      return parsed((await call('GET', pathOf(tenantId), { signal })).text);
    },
    /** The element token, from memory for some minutes. `util.inspect` does not show it; `JSON.stringify` does. */
    async token(
      tenantId: string,
      elementKey: string,
      { signal }: CallOptions = {},
    ): Promise<Readonly<ElementToken>> {
      signal?.throwIfAborted();
      return abortable(cachedToken(tenantId, elementKey), signal);
    },
    /** Changes name, tags or configuration; id and token stay. */
    async update(
      tenantId: string,
      elementKey: string,
      changes: InstanceUpdate,
      { signal }: CallOptions = {},
    ): Promise<Instance> {
      return parsed((await call('PATCH', pathOf(tenantId, elementKey), { signal, body: changes })).text);
    },
    /** Checks whether the instance works: `check` is the result, `health` what all checks add up to. */
    async check(
      tenantId: string,
      elementKey: string,
      { signal }: CallOptions = {},
    ): Promise<CheckedInstance> {
      return parsed((await call('POST', [...pathOf(tenantId, elementKey), 'check'], { signal })).text);
    },
    /** Removes the instance; `deleting` means that the deletion completes in the background. */
    async remove(
      tenantId: string,
      elementKey: string,
      { signal }: CallOptions = {},
    ): Promise<'removed' | 'deleting'> {
      tokens.drop(keyOf(tenantId, elementKey));
      try {
        const { status } = await call('DELETE', pathOf(tenantId, elementKey), { signal });
        return status === 202 ? 'deleting' : 'removed';
      } finally {
        // One that was read meanwhile; also after an error, whose request may have taken effect.
        tokens.drop(keyOf(tenantId, elementKey));
      }
    },
    /** Cloud Elements' `Authorization` header for calls of the tenant's element. `util.inspect` does not show it. */
    async headersFor(
      tenantId: string,
      elementKey: string,
      { signal }: CallOptions = {},
    ): Promise<CloudElementsHeaders> {
      const { authorization } = await authorizationFor(tenantId, elementKey, signal);
      return concealed({ authorization });
    },
    /** `fetch` for one tenant's element. At Cloud Elements' 401, reads token and secrets again, once. */
    fetch: elementFetch,
  };
}

const keyOf = (...names: readonly string[]): string => JSON.stringify(names);

const pathOf = (tenantId: string, elementKey?: string): string[] => [
  'tenants',
  tenantId,
  'instances',
  ...(elementKey === undefined ? [] : [elementKey]),
];

/**
 * Below `/elements/api-v2` of the origin, also for a server or proxy that decodes it several times, takes a backslash for a
 * slash or drops `;…` of a segment. The header would take the secrets elsewhere.
 */
function elementUrl(path: unknown, origin: string): URL {
  const text = typeof path === 'string' ? path : '';
  let decoded = text.replace(/[?#].*/su, '');
  const encodedAscii = /%[0-7][\da-f]/gi;
  for (let pass = 0; pass < 8; pass++) decoded = decoded.replaceAll(encodedAscii, decodeURIComponent);
  const isPath =
    /^\/(?!\/)/.test(decoded) &&
    // Encoded more than eight times.
    !decoded.match(encodedAscii) &&
    // Not UTF-8: `%c0%ae` and `%c0%af` are "." and "/" to careless decoders.
    !/[\\\p{Cc}]|%c[01]/iu.test(decoded) &&
    !decoded.split('/').some((segment) => /^\.{1,2}(?:[;?#\s]|$)/.test(segment));
  if (isPath) {
    const url = new URL(`${origin}${prefix}${text}`);
    if (url.origin === origin && url.pathname.startsWith(`${prefix}/`)) return url;
  }
  throw new ClientError(
    'Expected a path below /elements/api-v2: one "/" at its beginning, and no "." or ".." segments, backslashes or control characters, not even encoded.',
  );
}

function withAuthorization(init: RequestInit, authorization: string): RequestInit {
  const headers = new Headers(init.headers);
  if (!headers.has('accept')) headers.set('accept', 'application/json');
  headers.set('authorization', authorization);
  // A redirect would take body and header elsewhere. Node returns it as it is.
  return { ...init, headers, redirect: init.redirect === 'error' ? 'error' : 'manual' };
}

/** Cloud Elements' header is a comma-separated list: such a value would break it, and `Headers` would quote it. */
const isUsable = (secret: unknown): secret is string =>
  typeof secret === 'string' && /^[\x21-\x2B\x2D-\x7E]+$/.test(secret);

/** On a prototype, because `fetch` takes own symbols of its headers for names. */
const concealing = { [inspect.custom]: () => '[concealed]' };

function concealed<Value extends object>(value: Value): Value {
  return Object.setPrototypeOf(value, concealing);
}

/**
 * Keeps promises, so that concurrent calls share one; a failed one is dropped. Ages are those of a monotonic clock: a
 * wall clock that is set back would keep a value for longer.
 */
function createCache<Value>(now: () => number, keptMs: (value: Value) => number) {
  type Entry = { promise: Promise<Value>; value?: Value; until: number };
  const entries = new Map<string, Entry>();
  const current = (key: string): Entry | undefined => {
    const entry = entries.get(key);
    return entry && entry.until > now() ? entry : undefined;
  };
  return {
    has: (key: string): boolean => current(key) !== undefined,
    async get(key: string, read: () => Promise<Value>): Promise<Value> {
      const found = current(key);
      if (found) return found.promise;
      const entry: Entry = { promise: read(), until: Infinity };
      entries.delete(key);
      entries.set(key, entry);
      const [oldest] = entries.keys();
      if (entries.size > maxCached && oldest !== undefined) entries.delete(oldest);
      try {
        entry.value = await entry.promise;
        entry.until = now() + keptMs(entry.value);
        return entry.value;
      } catch (error) {
        if (entries.get(key) === entry) entries.delete(key);
        throw error;
      }
    },
    /** The values of keys that begin so. */
    values: (beginning = ''): Value[] =>
      [...entries].flatMap(([key, { value }]) =>
        value !== undefined && key.startsWith(beginning) ? [value] : [],
      ),
    /** With a value: only that value. */
    drop(key: string, value?: Value): void {
      if (value === undefined || entries.get(key)?.value === value) entries.delete(key);
    },
  };
}

/** Rejects as soon as the signal is aborted; the promise goes on. */
async function abortable<Value>(promise: Promise<Value>, signal: AbortSignal | undefined): Promise<Value> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    // The caller's own reason, as `fetch` rejects with.
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort);
    void promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** The result of a function among the options. Its error's message may quote a secret: only name and code are shown. */
async function resultOf<Value>(
  option: string,
  read: () => Value | Promise<Value>,
  timeoutMs: number,
): Promise<Value> {
  try {
    return await abortable((async () => read())(), AbortSignal.timeout(timeoutMs));
  } catch (error) {
    throw new ClientError(`The function \`${option}\` failed: ${reasonOf(error)}.`);
  }
}

type SignedRequest = {
  service: string;
  method: string;
  url: URL;
  contentType?: string;
  target?: string;
  body?: string;
  signal?: AbortSignal | undefined;
};
type HttpResponse = {
  status: number;
  type: string;
  text: string;
  retryAfterMs: number | undefined;
  /** Values that the response may repeat and no error may show. */
  secrets: readonly string[];
};
type Signing = { credentials: () => Promise<AwsCredentials>; region: string; timeoutMs: number };

async function sendSigned(request: SignedRequest, signing: Signing): Promise<HttpResponse> {
  const { method, url, body, signal } = request;
  signal?.throwIfAborted();
  const credentials = await abortable(signing.credentials(), signal);
  const timeout = AbortSignal.timeout(signing.timeoutMs);
  const headers = signedHeaders(request, credentials, signing.region);
  const init: RequestInit = {
    method,
    headers,
    // A redirect needs a signature of its own.
    redirect: 'error',
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  };
  if (body !== undefined) init.body = body;
  try {
    const response = await fetch(url, init);
    const [seconds] = /^\d{1,9}$/.exec(response.headers.get('retry-after') ?? '') ?? [];
    return {
      status: response.status,
      type: response.headers.get('content-type') ?? '',
      text: await response.text(),
      retryAfterMs: seconds === undefined ? undefined : Number(seconds) * 1_000,
      secrets: [
        credentials.secretAccessKey,
        credentials.sessionToken ?? '',
        // Can be sent again for some minutes.
        headers['authorization'].slice(-signatureLength),
      ],
    };
  } catch (error) {
    signal?.throwIfAborted();
    throw new ClientError(`${method} ${url.origin} got no response: ${reasonOf(error)}.`);
  }
}

/** AWS Signature Version 4: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html */
function signedHeaders(
  { service, method, url, contentType, target, body = '' }: SignedRequest,
  { accessKeyId, secretAccessKey, sessionToken }: AwsCredentials,
  region: string,
): Record<string, string> & { authorization: string } {
  const amzDate = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  const scope = [amzDate.slice(0, 8), region, service, 'aws4_request'];
  const headers: Record<string, string> = {
    ...(contentType && { 'content-type': contentType }),
    host: url.host,
    'x-amz-date': amzDate,
    ...(sessionToken && { 'x-amz-security-token': sessionToken }),
    ...(target && { 'x-amz-target': target }),
  };
  const signed = Object.keys(headers).join(';');
  const canonical = [
    method,
    // Encoded twice, as for every service but S3.
    url.pathname.split('/').map(encoded).join('/'),
    '',
    ...Object.entries(headers).map(([name, value]) => `${name}:${value}`),
    '',
    signed,
    sha256(body),
  ].join('\n');
  const text = ['AWS4-HMAC-SHA256', amzDate, scope.join('/'), sha256(canonical)].join('\n');
  const key = scope.reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`);
  const { host: _setByFetch, ...sent } = headers;
  return {
    ...sent,
    authorization: `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope.join('/')}, SignedHeaders=${signed}, Signature=${hmac(key, text).toString('hex')}`,
  };
}

/** Hexadecimal digits of SHA-256. */
const signatureLength = 64;

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/** RFC 3986: `encodeURIComponent` leaves five characters that AWS encodes. */
const encoded = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);

/** `abc.execute-api.eu-west-1.amazonaws.com`, in China with `.cn` at its end. */
const regionOf = ({ hostname }: URL): string | undefined =>
  /\.execute-api\.([a-z\d-]+)\./.exec(hostname)?.[1];

const isOptional = (value: unknown, isFine: boolean): boolean => value === undefined || isFine;
const isOrigin = (value: unknown): boolean => safeUrl(value)?.pathname === '/';
const isFunction = (value: unknown): boolean => typeof value === 'function';
const isNumber = (value: unknown, least: number): boolean =>
  typeof value === 'number' && value >= least && value <= 2 ** 31 - 1;

/** Refuses wrong options, all of them at once and without their values, and returns the Region. */
function checkedOptions(options: unknown): string {
  const given = isRecord(options) ? options : {};
  const {
    apiUrl,
    region: named,
    credentials,
    cloudElements,
    cacheMs,
    timeoutMs,
    secretsManagerUrl,
    now,
  } = given;
  const api = safeUrl(apiUrl);
  const region = named ?? (api && regionOf(api)) ?? process.env['AWS_REGION'];
  const { baseUrl, secrets, ...more } = isRecord(cloudElements) ? cloudElements : {};
  // A name, so that the secret itself, given by mistake, gets into no message.
  const isSecretName = typeof secrets === 'string' && /^[\w/+=.@:!-]{1,2048}$/.test(secrets);
  const safe = 'https (http for a loopback address only), no user info, query or fragment';
  const rules: [string, boolean, string][] = [
    ['apiUrl', api !== undefined, `the URL of the API: ${safe}`],
    [
      'region',
      // An `apiUrl` that is wrong may be the one that names it.
      region === undefined ? !api : typeof region === 'string' && /^[a-z\d-]+$/.test(region),
      'a Region such as eu-west-1, here, in `apiUrl` or in AWS_REGION',
    ],
    ['credentials', isOptional(credentials, isFunction(credentials)), 'a function'],
    ['cloudElements', isOptional(cloudElements, isRecord(cloudElements)), 'an object'],
    ['cacheMs', isOptional(cacheMs, isNumber(cacheMs, 0)), 'milliseconds, 0 or more'],
    [
      'timeoutMs',
      isOptional(timeoutMs, isNumber(timeoutMs, 1) && Number.isInteger(timeoutMs)),
      'whole milliseconds, 1 or more',
    ],
    [
      'secretsManagerUrl',
      isOptional(secretsManagerUrl, isOrigin(secretsManagerUrl)),
      `an origin: ${safe}, no path`,
    ],
    ['now', isOptional(now, isFunction(now)), 'a function'],
    [
      'cloudElements.baseUrl',
      !isRecord(cloudElements) || isOrigin(baseUrl),
      `the origin of Cloud Elements: ${safe}, no path`,
    ],
    [
      'cloudElements.secrets',
      !isRecord(cloudElements) || isSecretName || isFunction(secrets),
      'the name of a secret in Secrets Manager, or a function',
    ],
  ];
  const names = new Set(rules.map(([name]) => name));
  const unknown = [...Object.keys(given), ...Object.keys(more).map((name) => `cloudElements.${name}`)].filter(
    (name) => !names.has(name),
  );
  const faults = [
    ...rules.flatMap(([name, isFine, expected]) => (isFine ? [] : [`\`${name}\` (expected ${expected})`])),
    ...unknown.slice(0, maxNamed).map((name) => `\`${name.slice(0, 60)}\` (no such option)`),
  ];
  if (faults.length > 0 || typeof region !== 'string')
    throw new ClientError(`Wrong options of createClient: ${faults.join(', ')}.`);
  return region;
}

/** A URL to which secrets may be sent. */
function safeUrl(value: unknown): URL | undefined {
  if (typeof value !== 'string' || !URL.canParse(value)) return undefined;
  const url = new URL(value);
  const isLoopback = /^(localhost|\[::1\]|127(\.\d+){3})$/.test(url.hostname);
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback);
  return isSafe && url.href === url.origin + url.pathname ? url : undefined;
}

/** `Headers` quotes a value that it refuses. */
function checked(credentials: AwsCredentials): AwsCredentials {
  const { accessKeyId, secretAccessKey, sessionToken = 'none' } = credentials ?? {};
  const isFine = [accessKeyId, secretAccessKey, sessionToken].every(
    (value) => typeof value === 'string' && /^[\x21-\x7E]+$/.test(value),
  );
  if (!isFine) throw new ClientError('The AWS credentials are incomplete or contain white space.');
  return credentials;
}

/** Bodies that can be sent twice. */
const isRepeatable = (body: unknown): boolean =>
  body === undefined ||
  body === null ||
  typeof body === 'string' ||
  body instanceof URLSearchParams ||
  body instanceof FormData ||
  body instanceof Blob ||
  body instanceof ArrayBuffer ||
  ArrayBuffer.isView(body);

/** Of Lambda and of containers. For profiles and single sign-on, pass a provider of the AWS SDK. */
async function credentialsOfEnvironment(): Promise<AwsCredentials> {
  const { env } = process;
  const accessKeyId = env['AWS_ACCESS_KEY_ID'];
  const secretAccessKey = env['AWS_SECRET_ACCESS_KEY'];
  if (accessKeyId && secretAccessKey) {
    return { accessKeyId, secretAccessKey, sessionToken: env['AWS_SESSION_TOKEN'] || undefined };
  }
  const relative = env['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'];
  const address = relative ? `http://169.254.170.2${relative}` : env['AWS_CONTAINER_CREDENTIALS_FULL_URI'];
  if (!address) {
    throw new ClientError(
      'No AWS credentials in the environment: pass `credentials`, for example fromNodeProviderChain() of @aws-sdk/credential-providers.',
    );
  }
  return containerCredentials(address);
}

/** Hosts that the AWS SDKs allow without TLS. */
const containerHosts = /^(127\.\d+\.\d+\.\d+|localhost|\[::1\]|169\.254\.170\.(2|23)|\[fd00:ec2::23\])$/;

async function containerCredentials(address: string): Promise<AwsCredentials> {
  const { env } = process;
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (!url || (url.protocol !== 'https:' && !containerHosts.test(url.hostname))) {
    throw new ClientError(
      'AWS_CONTAINER_CREDENTIALS_FULL_URI must be https or the address of the container.',
    );
  }
  const file = env['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'];
  let text: string;
  try {
    const authorization = file
      ? (await readFile(file, 'utf8')).trim()
      : env['AWS_CONTAINER_AUTHORIZATION_TOKEN'];
    const response = await fetch(url, {
      headers: authorization ? { authorization } : {},
      redirect: 'error',
      signal: AbortSignal.timeout(5_000),
    });
    if (!response.ok) throw new ClientError(`HTTP status ${response.status}`);
    text = await response.text();
  } catch (error) {
    throw new ClientError(`The container's AWS credentials cannot be read: ${reasonOf(error)}.`);
  }
  const body = recordOf(text);
  const textOf = (name: string) => (typeof body[name] === 'string' ? body[name] : '');
  return {
    accessKeyId: textOf('AccessKeyId'),
    secretAccessKey: textOf('SecretAccessKey'),
    sessionToken: textOf('Token') || undefined,
    expiration: textOf('Expiration') ? new Date(textOf('Expiration')) : undefined,
  };
}

function apiError(
  operation: string,
  { status, type, text, retryAfterMs, secrets }: HttpResponse,
): ClientError {
  if (type.startsWith('application/problem+json')) {
    const body = recordOf(text);
    const problem = problemIn(body, status, secrets);
    // A later version of the service may have further codes.
    const message = `${operation}: ${problem?.code ?? 'error'} (${status}). ${shown(body['detail'], secrets)}`;
    return new ClientError(message.trimEnd(), { status, problem, retryAfterMs });
  }
  // Not the body: it may repeat signed headers, the session token among them.
  const hint = status === 403 ? ': check the credentials and their execute-api:Invoke permission' : '';
  return new ClientError(`${operation}: API Gateway responded with ${status}${hint}.`, {
    status,
    retryAfterMs,
  });
}

/** The fields of the contract and no others, of bounded length and without secrets. */
function problemIn(
  body: Record<string, unknown>,
  status: number,
  secrets: readonly string[],
): Problem | undefined {
  const code = problemCodes.find((each) => each === body['code']);
  if (!code) return undefined;
  const text = (value: unknown) => shown(value, secrets);
  const { missing, errors, requestId } = body;
  return {
    type: text(body['type']),
    title: text(body['title']),
    status,
    detail: text(body['detail']),
    code,
    ...(Array.isArray(missing) && { missing: missing.slice(0, maxNamed).map(text) }),
    ...(Array.isArray(errors) && {
      errors: errors
        .slice(0, maxNamed)
        .filter(isRecord)
        .map(({ pointer, parameter, detail }) =>
          typeof parameter === 'string'
            ? { parameter: text(parameter), detail: text(detail) }
            : { pointer: text(pointer), detail: text(detail) },
        ),
    }),
    ...(requestId !== undefined && { requestId: text(requestId) }),
  };
}

function shown(value: unknown, secrets: readonly string[]): string {
  if (typeof value !== 'string') return '';
  // First the secrets: a cut would leave a part of one.
  const text = withoutSecrets(value, secrets);
  return text.length > maxShown ? `${text.slice(0, maxShown)}…` : text;
}

/** Parses JSON whose shape the contract guarantees. The text is in no error. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- each caller names the type of its route
function parsed<Value>(text: string): Value {
  try {
    return JSON.parse(text);
  } catch {
    throw new ClientError('The response is not JSON.');
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Empty for a text that is no JSON object. */
function recordOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}

/** As they are, within JSON, in a JSON Pointer and in a URL. The longest first: a short one may be the beginning of another. */
function withoutSecrets(text: string, secrets: readonly string[]): string {
  const forms = secrets.flatMap((secret) => [
    secret,
    JSON.stringify(secret).slice(1, -1),
    secret.replaceAll('~', '~0').replaceAll('/', '~1'),
    ...(/\p{Surrogate}/u.test(secret) ? [] : [encoded(secret), encodeURIComponent(secret)]),
  ]);
  // Not `toSorted`, which ES2022 lacks.
  // oxlint-disable-next-line unicorn/no-array-sort -- sorts a copy
  const longestFirst = [...new Set(forms)].sort((a, b) => b.length - a.length);
  return longestFirst.reduce((left, form) => (form.length > 2 ? left.replaceAll(form, '…') : left), text);
}

/** Texts at any depth of a configuration value. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'object' && value !== null) return Object.values(value).flatMap(textsIn);
  return typeof value === 'string' || typeof value === 'number' ? [String(value)] : [];
}

/** Code or name of the innermost cause; messages of `fetch` may quote headers. */
function reasonOf(error: unknown, depth = 0): string {
  if (error instanceof ClientError) return error.message;
  if (!(error instanceof Error)) return 'unknown';
  if (error.cause instanceof Error && depth < 5) return reasonOf(error.cause, depth + 1);
  const word = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return /^\w{1,64}$/.test(word) ? word : 'unknown';
}
