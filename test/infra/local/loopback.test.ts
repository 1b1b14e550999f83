import { request } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startLocalStack, type LocalStack } from '../../../infra/local/stack.ts';

let stack: LocalStack;
beforeAll(async () => {
  stack = await startLocalStack({
    bundle: (_name, directory) =>
      writeFileSync(join(directory, 'index.mjs'), 'export const handler = () => ({ statusCode: 200 });'),
  });
});
afterAll(() => stack.stop());

const servers = ['apiUrl', 'awsUrl', 'dynamodbUrl', 'cloudElementsUrl'] as const;

/** The status of a POST; `fetch` would set these headers itself. */
function post(url: string, headers: Record<string, string>): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(new URL('/tenants/acme/instances', url), { method: 'POST', headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .once('error', reject)
      .end('{}');
  });
}

test.each(
  servers.flatMap((server) => [
    [server, { host: 'rebound.example' }],
    [server, { host: 'rebound.example:8080' }],
    [server, { host: '127.0.0.1.example' }],
    [server, { origin: 'https://site.example' }],
    [server, { origin: 'http://localhost.example' }],
    [server, { origin: 'null' }],
  ]),
)('the local server %s refuses a request with %j', async (server, headers) => {
  const before = stack.requests.length + stack.simulator.requests.length;
  expect(await post(stack[server], headers)).toBe(403);
  expect(stack.requests.length + stack.simulator.requests.length).toBe(before);
});

test.each(
  servers.flatMap((server) => [
    [server, {}],
    [server, { host: 'localhost' }],
    [server, { host: 'api.localhost:4566', origin: 'http://localhost:3000' }],
    [server, { host: '[::1]:8080', origin: 'http://127.0.0.1' }],
  ]),
)('the local server %s accepts a request with %j', async (server, headers) => {
  expect(await post(stack[server], headers)).not.toBe(403);
});
