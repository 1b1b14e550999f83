import type { APIGatewayProxyEventV2WithIAMAuthorizer } from 'aws-lambda';
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import * as z from 'zod/mini';
import { gatewayTimeoutMs } from '../../functions/model/timing.ts';
import { accountId } from './aws/aws-protocol.ts';
import { closeServer, listenOnLoopback, withoutForeigners } from './loopback.ts';

/** Fixed by AWS. */
const maxBodyBytes = 10 * 1024 * 1024;

/** A function's response in payload 2.0. Without `statusCode` the whole value is the body. */
const responseSchema = z.object({
  statusCode: z.int().check(z.gte(200), z.lte(599)),
  headers: z.nullish(z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]))),
  cookies: z.nullish(z.array(z.string())),
  body: z.nullish(z.string()),
  isBase64Encoded: z.nullish(z.boolean()),
});
const withStatusSchema = z.looseObject({ statusCode: z.unknown() });

type GatewayResponse = {
  status: number;
  headers: Record<string, string | string[]>;
  body: string | Buffer;
};

/** Called with each request that has a route; the returned function is called with the status of its response. */
export type OnApiRequest = (request: {
  routeKey: string;
  pathParameters: Readonly<Record<string, string>>;
}) => (status: number) => void;

/**
 * An API Gateway HTTP API with IAM authorization, where every caller is the user `local`. Undocumented behavior follows
 * observations of AWS: the path in the event is decoded, and only few content types count as text.
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
 */
export async function startGateway<Name extends string>({
  routes,
  invoke,
  port = 0,
  timeoutMs = gatewayTimeoutMs,
  onLog = () => {},
  onRequest = () => () => {},
}: {
  /** By function, for example `GET /tenants/{tenantId}/instances`. */
  routes: ReadonlyMap<Name, string>;
  invoke: (name: Name, event: APIGatewayProxyEventV2WithIAMAuthorizer) => Promise<unknown>;
  port?: number;
  timeoutMs?: number;
  /** Called with the reason for a response of the gateway's own, as in its access log. */
  onLog?: (name: Name, line: string) => void;
  onRequest?: OnApiRequest;
}) {
  async function responseTo(request: IncomingMessage): Promise<GatewayResponse> {
    const body = await readBody(request);
    if (body.length > maxBodyBytes) return message(413, 'Request Entity Too Large');
    const { path, query } = splitTarget(request.url ?? '/');
    for (const [name, routeKey] of routes) {
      const pathParameters = matchRoute(routeKey, request.method ?? '', path);
      if (!pathParameters) continue;
      const event = eventFor({ request, routeKey, path, query, pathParameters, body });
      const onResponse = onRequest({ routeKey, pathParameters });
      const answer = await withinTime(
        () => invoke(name, event),
        timeoutMs,
        (reason) => onLog(name, `${routeKey} got no response from ${name}: ${reason}`),
      );
      onResponse(answer.status);
      return answer;
    }
    return message(404, 'Not Found');
  }

  const server = createServer(
    withoutForeigners((request, response) => {
      responseTo(request)
        // URIError: a malformed escape in the path.
        .catch((error) => (error instanceof URIError ? message(400, 'Bad Request') : internalServerError))
        .then((result) => send(response, result))
        .catch(() => response.destroy());
    }),
  );
  const url = await listenOnLoopback(server, port);
  return { url, stop: () => closeServer(server) };
}

/** Returns the decoded path parameters, or undefined for another route. An encoded slash does not split a segment. */
function matchRoute(routeKey: string, method: string, path: string): Record<string, string> | undefined {
  const [routeMethod, routePath = ''] = routeKey.split(' ');
  const segments = path.split('/');
  const routeSegments = routePath.split('/');
  if (method !== routeMethod || segments.length !== routeSegments.length) return undefined;
  const parameters: Record<string, string> = {};
  for (const [index, routeSegment] of routeSegments.entries()) {
    const segment = decodeURIComponent(segments[index] ?? '');
    const parameter = /^\{(.+)\}$/.exec(routeSegment)?.[1];
    if (parameter === undefined ? segment !== routeSegment : segment === '') return undefined;
    if (parameter !== undefined) parameters[parameter] = segment;
  }
  return parameters;
}

function eventFor({
  request,
  routeKey,
  path,
  query,
  pathParameters,
  body,
}: {
  request: IncomingMessage;
  routeKey: string;
  path: string;
  query: string;
  pathParameters: Record<string, string>;
  body: Buffer;
}): APIGatewayProxyEventV2WithIAMAuthorizer {
  const { 'user-agent': userAgent = '', host = '', 'content-type': contentType = '' } = request.headers;
  const sourceIp = request.socket.remoteAddress ?? '';
  const rawPath = decodeURIComponent(path);
  const now = new Date();
  const cookies = request.headers.cookie?.split('; ');
  const queryStringParameters = joined(new URLSearchParams(query));
  const isText = /^(text\/|application\/(json|xml|javascript)\b)/i.test(contentType);
  return {
    version: '2.0',
    routeKey,
    rawPath,
    rawQueryString: query,
    ...(cookies && { cookies }),
    headers: headersFor(request, sourceIp),
    ...(query && { queryStringParameters }),
    requestContext: {
      accountId,
      apiId: 'local',
      authorizer: {
        iam: {
          accessKey: 'local',
          accountId,
          callerId: 'local',
          cognitoIdentity: null,
          principalOrgId: '',
          userArn: `arn:aws:iam::${accountId}:user/local`,
          userId: 'local',
        },
      },
      domainName: host,
      domainPrefix: 'local',
      http: {
        method: request.method ?? '',
        path: rawPath,
        protocol: `HTTP/${request.httpVersion}`,
        sourceIp,
        userAgent,
      },
      requestId: randomUUID(),
      routeKey,
      stage: '$default',
      time: commonLogTime(now),
      timeEpoch: now.getTime(),
    },
    ...(Object.keys(pathParameters).length > 0 && { pathParameters }),
    ...(body.length > 0 && { body: body.toString(isText ? 'utf8' : 'base64') }),
    isBase64Encoded: body.length > 0 && !isText,
  };
}

/** Lower-case names, several values joined by a comma, without cookies; with the headers that the gateway adds. */
function headersFor(request: IncomingMessage, sourceIp: string): Record<string, string> {
  const headers: Record<string, string> = {
    'x-amzn-trace-id': `Root=1-${randomUUID()}`,
    'x-forwarded-for': sourceIp,
    'x-forwarded-port': String(request.socket.localPort),
    'x-forwarded-proto': 'http',
  };
  for (const [name, values] of Object.entries(request.headersDistinct)) {
    if (values && name !== 'cookie' && name !== 'connection') headers[name] = values.join(',');
  }
  return headers;
}

/** Several values of one parameter are joined by a comma. */
function joined(parameters: URLSearchParams): Record<string, string> {
  return Object.fromEntries(
    [...new Set(parameters.keys())].map((name) => [name, parameters.getAll(name).join(',')]),
  );
}

/** As in `12/Mar/2020:19:03:58 +0000`. */
function commonLogTime(time: Date): string {
  // For example: Thu, 12 Mar 2020 19:03:58 GMT
  const [, day, month, year, clock] = time.toUTCString().split(' ');
  return `${day}/${month}/${year}:${clock} +0000`;
}

async function withinTime(
  invoke: () => Promise<unknown>,
  timeoutMs: number,
  onOwnResponse: (reason: string) => void,
): Promise<GatewayResponse> {
  const { promise: timeout, resolve: giveUp } = Promise.withResolvers<GatewayResponse>();
  const timer = setTimeout(() => {
    onOwnResponse(`it took longer than ${timeoutMs} ms`);
    giveUp(message(503, 'Service Unavailable'));
  }, timeoutMs);
  const result = invoke().then(
    (given) => {
      const read = readResponse(given);
      if (!read) onOwnResponse('it did not return an HTTP response');
      return read ?? internalServerError;
    },
    // The function's log has the reason. As in AWS, an error's text never reaches the caller.
    () => internalServerError,
  );
  try {
    return await Promise.race([result, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

function readResponse(result: unknown): GatewayResponse | undefined {
  if (!withStatusSchema.safeParse(result).success) {
    const body = typeof result === 'string' ? result : JSON.stringify(result);
    return { status: 200, headers: { 'content-type': 'application/json' }, body };
  }
  const parsed = responseSchema.safeParse(result);
  if (!parsed.success) return undefined;
  const { statusCode, headers, cookies, body, isBase64Encoded } = parsed.data;
  const named = Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)]);
  return {
    status: statusCode,
    headers: {
      'content-type': 'text/plain;charset=UTF-8',
      ...Object.fromEntries(named),
      ...(cookies && { 'set-cookie': cookies }),
    },
    body: Buffer.from(body ?? '', isBase64Encoded ? 'base64' : 'utf8'),
  };
}

function message(status: number, text: string): GatewayResponse {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ message: text }) };
}

const internalServerError = message(500, 'Internal Server Error');

function send(response: ServerResponse, { status, headers, body }: GatewayResponse): void {
  response.writeHead(status, { 'apigw-requestid': randomUUID(), ...headers }).end(body);
}

/** Reads even a body that is too large to the end, so that the 413 reaches the client; then only its length counts. */
async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= maxBodyBytes + chunk.length) chunks.push(chunk);
  });
  await new Promise((resolve, reject) => request.once('end', resolve).once('error', reject));
  return Buffer.concat(chunks);
}

function splitTarget(target: string): { path: string; query: string } {
  const at = target.indexOf('?');
  return at === -1 ? { path: target, query: '' } : { path: target.slice(0, at), query: target.slice(at + 1) };
}
