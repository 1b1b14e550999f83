import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { closeServer, listenOnLoopback, withoutForeigners } from '../loopback.ts';
import type { LocalStack } from '../stack.ts';
import { createActions } from './actions.ts';
import type { Activity } from './activity.ts';
import { compare } from './comparison.ts';
import { pageOf } from './document.ts';
import { referenceDocument, referenceFiles, referencePage } from './reference.ts';
import { regionsOf, type State } from './regions.ts';
import { createStream } from './stream.ts';
import { createSwitches } from './switches.ts';

const maxFormBytes = 16 * 1024;

/** The rest of a larger body is read up to this, so that the 413 reaches its sender; then the connection ends. */
const maxReadBytes = 1024 * 1024;

/** A request that has not arrived by then ends with its connection. */
const slowestRequestMs = 10_000;

/** Without a script, a form's response comes after this time at the latest; the action goes on. */
const longestWaitMs = 1_500;

const browserFile = (name: string): string => fileURLToPath(new URL(`browser/${name}`, import.meta.url));

const files = new Map(
  Object.entries({
    '/frame.css': browserFile('frame.css'),
    '/page.css': browserFile('page.css'),
    '/page.js': browserFile('page.js'),
    '/reference.js': browserFile('reference.js'),
    '/icon.svg': browserFile('icon.svg'),
    ...referenceFiles,
  }),
);

const contentTypes: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Swagger UI sets styles on elements, and its icons are `data:` URLs. */
const securityHeaders = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; " +
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  // Not `no-referrer`, with which browsers send `Origin: null` with a form.
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
};

/** Serves the page of a local stack on the loopback interface. It shows no secret and no token. */
export async function startPage({
  stack,
  activity,
  port = 0,
  requestTimeout = slowestRequestMs,
}: {
  stack: LocalStack;
  activity: Activity;
  port?: number;
  requestTimeout?: number;
}) {
  const switches = createSwitches({ stack, activity });
  const actions = createActions({ stack, activity, switches });
  const addresses = {
    'HTTP API': stack.apiUrl,
    'AWS services': stack.awsUrl,
    DynamoDB: stack.dynamodbUrl,
    'Cloud Elements': stack.cloudElementsUrl,
  };

  function state(): State {
    return {
      comparison: compare(activity.rows(), stack.simulator.instances),
      entries: activity.entries(),
      armed: switches.armed(),
      listLagMs: stack.simulator.listLagMs,
      result: actions.result(),
    };
  }

  const stream = createStream(() => {
    const regions = Object.entries(regionsOf(state())).map(([name, { markup }]) => [name, markup]);
    return JSON.stringify(Object.fromEntries(regions));
  });
  const unsubscribe = activity.subscribe(() => stream.changed());

  const asHtml = 'text/html; charset=utf-8';
  const pages = new Map<string, (response: ServerResponse, method: string) => void>([
    ['/', (response) => send(response, 200, asHtml, pageOf(regionsOf(state()), addresses).markup)],
    ['/api', (response) => send(response, 200, asHtml, referencePage().markup)],
    [
      '/api/openapi.json',
      (response) => send(response, 200, 'application/json', JSON.stringify(referenceDocument(stack.apiUrl))),
    ],
    [
      '/stream',
      (response, method) => {
        response.writeHead(200, { ...securityHeaders, 'content-type': 'text/event-stream' });
        if (method === 'HEAD') response.end();
        else stream.add(response);
      },
    ],
  ]);

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '/' } = request;
    // Not by `URL`, which throws for "//".
    const [path = '/'] = url.split('?');
    const page = pages.get(path);
    const file = files.get(path);
    const isAction = actions.paths.includes(path);
    if (!page && file === undefined && !isAction) return sendText(response, 404, 'There is no such page.');
    const allowed = isAction ? ['POST'] : ['GET', 'HEAD'];
    if (!allowed.includes(method)) {
      response.setHeader('allow', allowed.join(', '));
      return sendText(response, 405, `This path takes ${allowed.join(' and ')}.`);
    }
    if (page) page(response, method);
    else if (file === undefined) await act(path, request, response);
    else send(response, 200, contentTypes[extname(file)] ?? 'text/plain', await readFile(file));
  }

  async function act(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!isOfThisPage(request)) {
      request.resume();
      return sendText(response, 403, 'Only the page itself and programs on this machine may send forms.');
    }
    const body = await readBody(request);
    if (body === undefined) {
      response.setHeader('connection', 'close');
      return sendText(response, 413, `A form has at most ${maxFormBytes / 1024} KiB.`);
    }
    if (!/^application\/x-www-form-urlencoded\b/i.test(request.headers['content-type'] ?? '')) {
      return sendText(response, 415, 'A form is application/x-www-form-urlencoded.');
    }
    const acted = actions.act(path, Object.fromEntries(new URLSearchParams(body)));
    if (!acted) {
      return sendText(response, 400, 'A field of the form is missing, or names something that is not there.');
    }
    await Promise.race([acted, sleep(longestWaitMs, undefined, { ref: false })]);
    response.writeHead(303, { ...securityHeaders, location: '/' }).end();
  }

  const server = createServer(
    // The timeouts are noticed only when connections are checked, by default every 30 s.
    { requestTimeout, headersTimeout: requestTimeout, connectionsCheckingInterval: requestTimeout / 10 },
    withoutForeigners((request, response) => {
      respond(request, response).catch(() => {
        if (response.headersSent) response.destroy();
        else sendText(response, 500, 'The page has failed.');
      });
    }),
  );
  const url = await listenOnLoopback(server, port);

  async function stop(): Promise<void> {
    unsubscribe();
    stream.stop();
    await closeServer(server);
  }

  return { url, stop };
}

/**
 * Browsers name the origin of every form, so no other page on this machine can send one either. Programs such as curl
 * send neither header.
 */
function isOfThisPage({ headers }: IncomingMessage): boolean {
  const { host, origin, 'sec-fetch-site': site } = headers;
  return (
    (origin === undefined || origin === `http://${host}`) && (site === undefined || site === 'same-origin')
  );
}

/** Undefined for a body that is too large. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Leaving the loop early must not destroy the connection, on which the response is still sent.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    bytes += chunk.length;
    if (bytes <= maxFormBytes) chunks.push(chunk);
    if (bytes > maxReadBytes) break;
  }
  return bytes > maxFormBytes ? undefined : Buffer.concat(chunks).toString();
}

function send(response: ServerResponse, status: number, contentType: string, body: string | Buffer): void {
  response.writeHead(status, { ...securityHeaders, 'content-type': contentType }).end(body);
}

const sendText = (response: ServerResponse, status: number, text: string): void =>
  send(response, status, 'text/plain; charset=utf-8', `${text}\n`);
