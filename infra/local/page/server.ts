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
import { createSwitches } from './switches.ts';

const maxFormBytes = 16 * 1024;

/** Without a script, a form's response comes after this time at the latest; the action goes on. */
const longestWaitMs = 1_500;

/** Changes within this time are sent together. */
const gatherMs = 40;

const browserFile = (name: string): string => fileURLToPath(new URL(`browser/${name}`, import.meta.url));

const files: Readonly<Record<string, string>> = {
  '/frame.css': browserFile('frame.css'),
  '/page.css': browserFile('page.css'),
  '/page.js': browserFile('page.js'),
  '/reference.js': browserFile('reference.js'),
  '/icon.svg': browserFile('icon.svg'),
  ...referenceFiles,
};

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
}: {
  stack: LocalStack;
  activity: Activity;
  port?: number;
}) {
  const switches = createSwitches({ stack, activity });
  const actions = createActions({ stack, activity, switches });
  const addresses = {
    'HTTP API': stack.apiUrl,
    'AWS services': stack.awsUrl,
    DynamoDB: stack.dynamodbUrl,
    'Cloud Elements': stack.cloudElementsUrl,
  };
  const watching = new Set<ServerResponse>();

  function state(): State {
    return {
      comparison: compare(activity.rows(), stack.simulator.instances),
      entries: activity.entries(),
      armed: switches.armed(),
      listLagMs: stack.simulator.listLagMs,
      result: actions.result(),
    };
  }

  function message(): string {
    const regions = Object.entries(regionsOf(state())).map(([name, { markup }]) => [name, markup]);
    return `data: ${JSON.stringify(Object.fromEntries(regions))}\n\n`;
  }

  let gathering: NodeJS.Timeout | undefined;
  const unsubscribe = activity.subscribe(() => {
    if (watching.size === 0) return;
    gathering ??= setTimeout(() => {
      gathering = undefined;
      const text = message();
      for (const response of watching) response.write(text);
    }, gatherMs);
  });

  function watch(response: ServerResponse): void {
    response.writeHead(200, { ...securityHeaders, 'content-type': 'text/event-stream' });
    response.write(message());
    watching.add(response);
    response.once('close', () => watching.delete(response));
  }

  async function read(path: string, response: ServerResponse): Promise<void> {
    const file = files[path];
    if (path === '/')
      send(response, 200, 'text/html; charset=utf-8', pageOf(regionsOf(state()), addresses).markup);
    else if (path === '/stream') watch(response);
    else if (path === '/api') send(response, 200, 'text/html; charset=utf-8', referencePage().markup);
    else if (path === '/api/openapi.json') {
      send(response, 200, 'application/json', JSON.stringify(referenceDocument(stack.apiUrl)));
    } else if (file === undefined) sendText(response, 404, 'There is no such page.');
    else send(response, 200, contentTypes[extname(file)] ?? 'text/plain', await readFile(file));
  }

  async function act(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!isOfThisPage(request)) {
      request.resume();
      return sendText(response, 403, 'Only the page itself and programs on this machine may send forms.');
    }
    const form = await readForm(request);
    if (!form) return sendText(response, 415, 'A form is application/x-www-form-urlencoded, at most 16 KiB.');
    const acted = actions.act(path, form);
    if (!acted) return sendText(response, 400, 'There is no such form, or a field of it is missing.');
    await Promise.race([acted, sleep(longestWaitMs, undefined, { ref: false })]);
    response.writeHead(303, { ...securityHeaders, location: '/' }).end();
  }

  const server = createServer(
    withoutForeigners((request, response) => {
      // Not by `URL`, which throws for "//".
      const [path = '/'] = (request.url ?? '/').split('?');
      const handled =
        request.method === 'POST'
          ? act(path, request, response)
          : request.method === 'GET' || request.method === 'HEAD'
            ? read(path, response)
            : Promise.resolve(sendText(response, 405, 'GET or POST.'));
      handled.catch(() => response.destroy());
    }),
  );
  const url = await listenOnLoopback(server, port);

  async function stop(): Promise<void> {
    unsubscribe();
    clearTimeout(gathering);
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

async function readForm(request: IncomingMessage): Promise<Record<string, string> | undefined> {
  const isForm = /^application\/x-www-form-urlencoded\b/i.test(request.headers['content-type'] ?? '');
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes <= maxFormBytes) chunks.push(chunk);
  }
  if (!isForm || bytes > maxFormBytes) return undefined;
  return Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
}

function send(response: ServerResponse, status: number, contentType: string, body: string | Buffer): void {
  response.writeHead(status, { ...securityHeaders, 'content-type': contentType }).end(body);
}

const sendText = (response: ServerResponse, status: number, text: string): void =>
  send(response, status, 'text/plain; charset=utf-8', `${text}\n`);
