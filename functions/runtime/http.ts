import * as z from 'zod/mini';
import { OnboardingError } from '../model/errors.ts';
import type { Problem } from '../model/responses.ts';
import { elementKeySchema, tenantIdSchema } from '../model/instance.ts';
import { parseJson } from '../model/json.ts';
import { invalidRequest, pointerTo, problemsOf } from '../model/validation.ts';
import { lazily, type LambdaContext } from './execution-environment.ts';
import { errorFields, log, logRequestId } from './log.ts';
import { measureOutcome, publishMetrics } from './metrics.ts';

/** API Gateway's own limit is 10 MB; an instance needs a few hundred bytes. */
const maxBodyBytes = 64 * 1024;

/** Refuses other bytes, which would otherwise be replaced: in the middle of a credential, for example. */
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The used part of an HTTP API event, payload 2.0. With the IAM authorizer the caller is in `authorizer.iam`. */
const httpEventSchema = z.object({
  routeKey: z.string(),
  headers: z.record(z.string(), z.string()),
  pathParameters: z.nullish(z.record(z.string(), z.string())),
  queryStringParameters: z.nullish(z.record(z.string(), z.string())),
  body: z.optional(z.string()),
  isBase64Encoded: z.optional(z.boolean()),
  requestContext: z.object({
    authorizer: z.optional(z.object({ iam: z.optional(z.object({ userArn: z.optional(z.string()) })) })),
  }),
});
type HttpEvent = z.infer<typeof httpEventSchema>;

/** Logged of a request beside its path; nothing else of its body is. */
type Noted = { elementKey?: string; provisionId?: string; outcome?: string; unreadable?: string[] };

export type HttpResponse = { statusCode: number; headers?: Record<string, string>; body?: string };

/** The path parameters of the routes; each route has some of them. */
export const tenantPath = z.object({ tenantId: tenantIdSchema });
export const instancePath = z.object({ tenantId: tenantIdSchema, elementKey: elementKeySchema });

/** The body schema of routes that have none. Some clients of Cloud Elements send an empty object with every request. */
export const noBody = z.optional(z.strictObject({}, 'no body'));

/**
 * A Lambda handler for one route: parses path and body, names everything wrong with both at once, answers errors as
 * problem details (RFC 9457), and writes one log line per request.
 * @param open makes what `handle` works with, at the first request
 */
export function httpHandler<Ports, Path extends object, Body>(route: {
  open: (environment: NodeJS.ProcessEnv) => Ports;
  path: z.ZodMiniType<Path>;
  /** `path` is the schema of the query string's parameters, too; otherwise a query is ignored. */
  readsQuery?: boolean;
  body: z.ZodMiniType<Body>;
  handle: (
    request: { path: Path; body: Body; deadlineAt: number; note: (noted: Noted) => void },
    ports: Ports,
  ) => Promise<HttpResponse>;
}) {
  const ports = lazily(route.open);

  return async (rawEvent: unknown, context: LambdaContext): Promise<HttpResponse> => {
    const startedAt = Date.now();
    const deadlineAt = startedAt + context.getRemainingTimeInMillis();
    logRequestId(context);
    let facts: Record<string, unknown> = {};
    let response: HttpResponse;
    try {
      const event = httpEventSchema.parse(rawEvent);
      facts = { route: event.routeKey, caller: event.requestContext.authorizer?.iam?.userArn };
      const { path, body } = parseRequest(event, route);
      facts = { ...facts, ...path };
      const note = (noted: Noted) => {
        facts = { ...facts, ...noted };
      };
      response = await route.handle({ path, body, deadlineAt, note }, ports());
      measureOutcome({ isPending: response.statusCode === 202 });
    } catch (error) {
      response = problemResponse(error);
      const fields = errorFields(error);
      facts = { ...facts, outcome: fields.code, error: fields };
      measureOutcome({ error });
    }
    log[response.statusCode < 500 ? 'info' : 'error']('request', {
      ...facts,
      awsRequestId: context.awsRequestId,
      status: response.statusCode,
      durationMs: Date.now() - startedAt,
    });
    publishMetrics();
    return response;
  };
}

export function jsonResponse(
  statusCode: number,
  body: unknown,
  headers: Record<string, string> = {},
): HttpResponse {
  return {
    statusCode,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  };
}

/** RFC 9110: whole seconds, rounded up so that asking then is not too early. */
export const retryAfter = (delayMs: number) => ({
  'retry-after': String(Math.max(1, Math.ceil(delayMs / 1_000))),
});

function parseRequest<Path, Body>(
  event: HttpEvent,
  route: { path: z.ZodMiniType<Path>; readsQuery?: boolean; body: z.ZodMiniType<Body> },
): { path: Path; body: Body } {
  const pathInput = { ...(route.readsQuery && event.queryStringParameters), ...event.pathParameters };
  const path = route.path.safeParse(pathInput);
  const bodyInput = readBody(event);
  const body = 'json' in bodyInput ? route.body.safeParse(bodyInput.json) : undefined;
  if (path.success && body?.success) return { path: path.data, body: body.data };

  const problems: Problem[] = [];
  if (path.error) {
    problems.push(
      ...problemsOf(path.error, pathInput).map((fault) => ({
        parameter: fault.path.join('.') || 'query',
        detail: fault.detail,
      })),
    );
  }
  if ('problem' in bodyInput) problems.push(bodyInput.problem);
  else if (body?.error) {
    problems.push(
      ...problemsOf(body.error, bodyInput.json).map((fault) => ({
        pointer: pointerTo(fault.path),
        detail: fault.detail,
      })),
    );
  }
  throw invalidRequest('the request', problems);
}

function readBody(event: HttpEvent): { json: unknown } | { problem: Problem } {
  if (event.body === undefined || event.body === '') return { json: undefined };
  const bytes = Buffer.from(event.body, event.isBase64Encoded ? 'base64' : 'utf8');
  if (bytes.length > maxBodyBytes) {
    throw new OnboardingError(
      'body-too-large',
      `The body has ${bytes.length} bytes; at most ${maxBodyBytes} are accepted.`,
    );
  }
  assertReadable(event.headers);
  // The gateway hands over text, in which it has replaced the bytes that are no UTF-8: maybe in a credential.
  const isDamaged = !event.isBase64Encoded && (event.body.includes('\uFFFD') || !event.body.isWellFormed());
  const text = isDamaged ? undefined : decode(bytes);
  if (text === undefined) return { problem: { pointer: '#', detail: 'expected JSON in UTF-8' } };
  const parsed = parseJson(text);
  return 'json' in parsed ? parsed : { problem: { pointer: '#', detail: `expected ${parsed.fault}` } };
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** @throws OnboardingError `unsupported-media-type` */
function assertReadable({
  'content-type': contentType = 'application/json',
  'content-encoding': encoding = '',
}: HttpEvent['headers']): void {
  const [mediaType = '', ...parameters] = contentType.split(';').map((part) => part.trim().toLowerCase());
  if (mediaType !== 'application/json' && !mediaType.endsWith('+json')) {
    throw unsupported('The body must be sent with "content-type: application/json".');
  }
  const charset = parameters.find((each) => each.startsWith('charset='));
  if (charset !== undefined && !/^charset="?utf-?8"?$/.test(charset)) {
    throw unsupported('The body must be in UTF-8, and its "content-type" without another charset.');
  }
  if (!/^(identity)?$/i.test(encoding.trim())) {
    throw unsupported('The body must not be compressed: send it without "content-encoding".');
  }
}

const unsupported = (message: string) => new OnboardingError('unsupported-media-type', message);

function problemResponse(error: unknown): HttpResponse {
  const problem =
    error instanceof OnboardingError ? error : new OnboardingError('internal', 'Something went wrong.');
  const { code, status, title, publicDetail, facts } = problem;
  return {
    statusCode: status,
    headers: {
      'content-type': 'application/problem+json',
      ...(facts.retryAfterMs !== undefined && retryAfter(facts.retryAfterMs)),
    },
    body: JSON.stringify({
      // A URI that names the kind of problem, as RFC 9457 wants it; there is nothing to be fetched from it.
      type: `urn:element-onboarding:${code}`,
      title,
      status,
      detail: publicDetail,
      code,
      missing: facts.missing,
      errors: facts.problems,
      requestId: facts.requestId,
    }),
  };
}
