import { Client } from 'undici';
import * as z from 'zod/mini';
import type { CloudElements, CreateOutcome, ElementInstance, LookUp } from '../core/collaborators.ts';
import { OnboardingError } from '../core/errors.ts';
import type { PlatformCredentials } from './secrets.ts';

/** The path below every edition's origin; only the origin differs between regions and brands. */
const apiPath = '/elements/api-v2';

/** A page of the list holds at most 200 instances of a few KiB. */
const maxAnswerBytes = 16 * 1024 * 1024;

/** The answer of Cloud Elements when it refuses: any of the three may be missing. */
const refusalSchema = z.object({
  requestId: z.optional(z.string()),
  message: z.optional(z.string()),
  /** The vendor's own words. May hold personal data, so that it is there is all that is ever told of it. */
  providerMessage: z.optional(z.unknown()),
});

/** Opaque, but it travels in a header whose parts are separated by commas. */
const elementTokenSchema = z.string().check(z.regex(/^[^\s,\p{Cc}]+$/u));

const createdSchema = z.object({
  id: z.int(),
  token: elementTokenSchema,
  createdDate: z.optional(z.string()),
});

/** Tags were objects once, and some views leave them or the token out. */
const listedSchema = z.object({
  id: z.int(),
  element: z.object({ key: z.string() }),
  token: z.optional(elementTokenSchema),
  tags: z.nullish(z.array(z.union([z.string(), z.object({ name: z.string() })]))),
  createdDate: z.optional(z.string()),
});
type Listed = z.infer<typeof listedSchema>;

/** Where the platform secrets come from. `renew` is told which ones were refused. */
export type CredentialsSource = {
  get(): Promise<PlatformCredentials>;
  renew(refused: PlatformCredentials): Promise<PlatformCredentials>;
};

type Request = {
  method: 'GET' | 'POST' | 'DELETE';
  path: string;
  query?: URLSearchParams;
  body?: unknown;
};

type Answer = {
  kind: 'answer';
  status: number;
  header(name: string): string | undefined;
  /** Parsed body; undefined when it is not JSON. */
  json: unknown;
  /** Set when the platform itself refused: other bodies come from something in front of it. */
  refusal: z.infer<typeof refusalSchema> | undefined;
  requestId: string | undefined;
};

type Reply =
  | Answer
  /** `sent: false` only when it is certain that not one byte of the request was sent. */
  | { kind: 'broken'; sent: boolean; reason: string }
  | { kind: 'no-credentials'; error: OnboardingError };

/**
 * Client of Cloud Elements' platform API: `POST`, `GET` and `DELETE /instances`.
 * @param baseUrl origin, for example `https://api.cloud-elements.com`
 */
export function createCloudElements({
  baseUrl,
  credentials,
  connectTimeoutMs = 3_000,
  now = Date.now,
}: {
  baseUrl: string;
  credentials: CredentialsSource;
  connectTimeoutMs?: number;
  now?: () => number;
}): CloudElements {
  return {
    async create({ tenantId, elementKey, name, tags, configuration }, { timeoutMs }) {
      const reply = await callAuthorized(
        {
          method: 'POST',
          path: '/instances',
          body: { element: { key: elementKey }, name, tags, configuration },
        },
        timeoutMs,
      );
      const who = `the ${elementKey} instance of tenant ${tenantId}`;
      return createOutcome(reply, who, Object.values(configuration));
    },

    async lookUp(marker, { timeoutMs }) {
      const deadlineAt = now() + timeoutMs;
      const instances: ElementInstance[] = [];
      const pagesSeen = new Set<string>();
      const query = new URLSearchParams({ 'tags[]': marker.tag, hydrate: 'false' });
      for (;;) {
        const reply = await callAuthorized({ method: 'GET', path: '/instances', query }, deadlineAt - now());
        if (isAbsent(reply)) return { kind: 'found', instances };
        const page = successOf(reply, z.array(listedSchema));
        if (!page) return { kind: 'unknown', reason: describe(reply) };

        for (const item of page) {
          const match = await matching(item, marker, deadlineAt);
          if (match.kind === 'unknown') return match;
          instances.push(...match.instances);
        }
        const nextPage = reply.kind === 'answer' ? reply.header('elements-next-page-token') : undefined;
        if (!nextPage) return { kind: 'found', instances };
        if (pagesSeen.has(nextPage)) return { kind: 'unknown', reason: 'the list repeats a page' };
        pagesSeen.add(nextPage);
        query.set('nextPage', nextPage);
      }
    },

    async remove(instanceId, { timeoutMs }) {
      const reply = await callAuthorized({ method: 'DELETE', path: `/instances/${instanceId}` }, timeoutMs);
      if (isAbsent(reply) || isSuccess(reply)) return { removed: true };
      return { removed: false, reason: describe(reply) };
    },
  };

  /** The server's filters are coarse, so element and tag are compared here; what shows no tags is read by its id. */
  async function matching(
    item: Listed,
    marker: { elementKey: string; tag: string },
    deadlineAt: number,
  ): Promise<LookUp> {
    if (item.element.key !== marker.elementKey) return { kind: 'found', instances: [] };
    const complete = item.tags && item.token ? item : await read(item.id, deadlineAt);
    if (complete === 'gone') return { kind: 'found', instances: [] };
    if (!complete?.tags) return { kind: 'unknown', reason: `instance ${item.id} shows no tags` };
    if (!complete.tags.some((tag) => (typeof tag === 'string' ? tag : tag.name) === marker.tag)) {
      return { kind: 'found', instances: [] };
    }
    const { id, token, createdDate } = complete;
    if (!token) return { kind: 'unknown', reason: `instance ${id} shows no token` };
    return { kind: 'found', instances: [{ id, token, createdDate }] };
  }

  async function read(instanceId: number, deadlineAt: number): Promise<Listed | 'gone' | undefined> {
    const reply = await callAuthorized(
      { method: 'GET', path: `/instances/${instanceId}` },
      deadlineAt - now(),
    );
    return isAbsent(reply) ? 'gone' : successOf(reply, listedSchema);
  }

  /** One call under one deadline; after a 401 once more, if the platform secret has changed since it was cached. */
  async function callAuthorized(request: Request, timeoutMs: number): Promise<Reply> {
    const signal = AbortSignal.timeout(Math.max(1, timeoutMs));
    try {
      const cached = await credentials.get();
      const reply = await send(request, cached, signal);
      if (!isUnauthorized(reply)) return reply;
      const renewed = await credentials.renew(cached);
      return renewed === cached ? reply : await send(request, renewed, signal);
    } catch (error) {
      if (error instanceof OnboardingError) return { kind: 'no-credentials', error };
      throw error;
    }
  }

  /**
   * On a connection of its own, destroyed afterwards: a socket kept alive while Lambda froze the process may be dead,
   * and a create must not be sent twice to find out. For the same reason no HTTP/2, whose sessions undici shares.
   */
  async function send(
    { method, path, query, body }: Request,
    { userSecret, organizationSecret }: PlatformCredentials,
    signal: AbortSignal,
  ): Promise<Reply> {
    const client = new Client(baseUrl, {
      allowH2: false,
      maxResponseSize: maxAnswerBytes,
      connect: { timeout: connectTimeoutMs },
    });
    try {
      const response = await client.request({
        method,
        path: `${apiPath}${path}`,
        ...(query && { query: Object.fromEntries(query) }),
        headers: {
          // No Element part: it would make the platform act on that element's instance instead.
          authorization: `User ${userSecret}, Organization ${organizationSecret}`,
          accept: 'application/json',
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        signal,
      });
      return answerOf(response.statusCode, response.headers, await response.body.text());
    } catch (error) {
      return brokenBy(error);
    } finally {
      await client.destroy();
    }
  }
}

function answerOf(
  status: number,
  headers: Record<string, string | string[] | undefined>,
  text: string,
): Answer {
  const header = (name: string) => [headers[name]].flat()[0];
  const json = parseJson(text);
  const parsed = refusalSchema.safeParse(json);
  const refusal =
    parsed.success && Object.values(parsed.data).some((value) => value !== undefined)
      ? parsed.data
      : undefined;
  const requestId = refusal?.requestId ?? header('elements-request-id');
  return {
    kind: 'answer',
    status,
    header,
    json,
    refusal,
    // It goes into logs and answers, so it has to look like an id.
    requestId: requestId && /^[\w-]{1,64}$/.test(requestId) ? requestId : undefined,
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const isSuccess = (reply: Reply): reply is Answer =>
  reply.kind === 'answer' && reply.status >= 200 && reply.status < 300;

function successOf<T>(reply: Reply, schema: z.ZodMiniType<T>): T | undefined {
  return isSuccess(reply) ? schema.safeParse(reply.json).data : undefined;
}

/** An empty list is a 404, too. One without the platform's body is not: a wrong base URL answers so. */
const isAbsent = (reply: Reply): boolean =>
  reply.kind === 'answer' && reply.status === 404 && reply.refusal !== undefined;

/** Our secrets were refused, not the tenant's: then the vendor behind the element would have spoken. */
const isUnauthorized = (reply: Reply): boolean =>
  reply.kind === 'answer' && reply.status === 401 && reply.refusal?.providerMessage === undefined;

function createOutcome(reply: Reply, who: string, sentValues: unknown[]): CreateOutcome {
  if (reply.kind === 'no-credentials') return { kind: 'not-created', error: reply.error };
  if (reply.kind === 'broken') {
    if (reply.sent) return { kind: 'unknown', reason: reply.reason };
    return {
      kind: 'not-created',
      error: new OnboardingError(
        'cloud-elements-unreachable',
        `Cloud Elements could not be reached to make ${who} (${reply.reason}). Nothing was sent; ask again.`,
      ),
      retryAfterMs: 0,
    };
  }
  const { status, requestId } = reply;
  const instance = successOf(reply, createdSchema);
  if (instance) return { kind: 'created', instance };
  if (status === 429) {
    const retryAfterMs = retryAfterOf(reply.header('retry-after'));
    const error = new OnboardingError(
      'cloud-elements-busy',
      `Cloud Elements takes no more requests at the moment (429) and did not make ${who}.`,
      { requestId, retryAfterMs },
    );
    return { kind: 'not-created', error, retryAfterMs };
  }
  if (isUnauthorized(reply)) {
    const error = new OnboardingError(
      'platform-credentials-refused',
      `Cloud Elements refuses the platform's user and organization secret (401), so ${who} was not made. ` +
        'Put the current ones into the platform secret.',
      { requestId },
    );
    return { kind: 'not-created', error };
  }
  const isRefusal = status >= 400 && status < 500 && status !== 408 && status !== 409;
  if (!isRefusal) return { kind: 'unknown', reason: describe(reply), requestId };
  if (!reply.refusal) {
    const error = new OnboardingError(
      'cloud-elements-unreadable',
      `Something in front of Cloud Elements refused ${who} (${describe(reply)}). Check the base URL of the stack.`,
      { requestId },
    );
    return { kind: 'refused', error };
  }
  const said = reply.refusal.message ? `: ${redact(reply.refusal.message, sentValues)}` : '';
  const error = new OnboardingError(
    'refused-by-cloud-elements',
    `Cloud Elements refused to make ${who} (${status})${said}. Correct the request or the tenant's secret and ask again.`,
    { requestId },
  );
  return { kind: 'refused', error };
}

/** What Cloud Elements said, without what we had told it and short enough for a log line. */
function redact(message: string, sentValues: unknown[]): string {
  return sentValues
    .flatMap((value) =>
      typeof value === 'string' && value.length > 3
        ? [value, JSON.stringify(value).slice(1, -1), encodeURIComponent(value)]
        : [],
    )
    .toSorted((a, b) => b.length - a.length)
    .reduce((text, value) => text.replaceAll(value, '[redacted]'), message)
    .replaceAll(/\p{Cc}/gu, ' ')
    .slice(0, 300)
    .replace(/\.$/, '');
}

function describe(reply: Reply): string {
  if (reply.kind === 'no-credentials') return reply.error.message;
  if (reply.kind === 'broken') return reply.reason;
  const body = reply.json === undefined ? 'without a readable body' : 'with an unexpected body';
  return `HTTP ${reply.status} ${reply.refusal ? 'from Cloud Elements' : body}`;
}

/** RFC 9110: seconds or a date. */
function retryAfterOf(value: string | undefined): number {
  if (value === undefined) return 0;
  const delayMs = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return Number.isFinite(delayMs) ? Math.max(0, delayMs) : 0;
}

/** The only failures that come before the first byte is sent; a reset while TLS is set up looks like a later one. */
const notSentCodes = new Set(['ENOTFOUND', 'EAI_AGAIN', 'ECONNREFUSED', 'UND_ERR_CONNECT_TIMEOUT']);

function brokenBy(error: unknown): Reply {
  // A name with several addresses fails once per address.
  const errors = error instanceof AggregateError ? error.errors : [error];
  const codes = errors.map((one) => codeOf(one));
  return {
    kind: 'broken',
    sent: !codes.every((code) => notSentCodes.has(code)),
    reason: [...new Set(codes)].join(', '),
  };
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
