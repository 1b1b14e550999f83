import { expect, test } from 'vitest';
import { createCloudElementsCaller } from '../../../functions/adapters/cloud-elements-http.ts';
import { createPing } from '../../../functions/adapters/cloud-elements-ping.ts';
import type { CloudElementsCall } from '../../../functions/adapters/cloud-elements-http.ts';
import { startScriptedServer } from '../../support/scripted-server.ts';

const secrets = { userSecret: 'user-secret-for-tests', organizationSecret: 'organization-secret-for-tests' };
const calls: CloudElementsCall[] = [];
const server = await startScriptedServer();
const call = createCloudElementsCaller({
  baseUrl: server.url,
  credentials: { get: () => Promise.resolve(secrets), renew: (refused) => Promise.resolve(refused) },
  onCall: (each) => calls.push(each),
});
const instance = { tenantId: 'acme', elementKey: 'taxify', instanceId: 7, token: 'token-of-7' };
const ping = () => createPing({ call })(instance, { timeoutMs: 2_000 });

const requestId = '58b46b1be4b0e5a9b7d19c49';
const refusal = { requestId, message: 'No' };
const byVendor = { ...refusal, providerMessage: 'any' };
const healthy = { status: 'healthy' };
const unhealthy = { status: 'unhealthy', reason: 'refused-by-vendor' };
const unknown = (reason: string) => ({ status: 'unknown', reason });

test.each<[number, object, object]>([
  [200, { dateTime: 'now', endpoint: 'taxify' }, healthy],
  [200, { dateTime: 'now' }, healthy],
  [200, { endpoint: 'taxify' }, healthy],
  [200, { valid: true }, healthy],
  [200, { valid: false }, unhealthy],
  [200, { dateTime: 'now', valid: 'false' }, healthy],
  [200, { valid: 'false' }, unknown('unreachable')],
  [200, { status: 'UP' }, unknown('unreachable')],
  [200, [], unknown('unreachable')],
  ...[400, 401, 402, 403].flatMap((status): [number, object, object][] => [
    [status, byVendor, unhealthy],
    [status, refusal, unknown('refused-by-cloud-elements')],
    [status, { message: 'No' }, unknown('unreachable')],
  ]),
  ...[404, 405, 406, 501].flatMap((status): [number, object, object][] => [
    [status, byVendor, unknown('no-ping')],
    [status, refusal, unknown('no-ping')],
    [status, {}, unknown('unreachable')],
  ]),
  [429, byVendor, unknown('unreachable')],
  [502, byVendor, unknown('unreachable')],
  [500, refusal, unknown('unreachable')],
])('a ping answered %d %j is %j', async (status, body, finding) => {
  server.respond = () => ({ status, body });
  expect(await ping()).toEqual(finding);
});

test('a ping without a response is unreachable', async () => {
  server.respond = () => 'reset';
  expect(await ping()).toEqual(unknown('unreachable'));
});

test('a ping is sent with the token of the instance, and logged without it', async () => {
  server.respond = () => ({ status: 200, body: { dateTime: 'now' } });
  calls.length = 0;
  await ping();
  expect(server.requests.at(-1)).toMatchObject({
    method: 'GET',
    path: '/elements/api-v2/ping',
    headers: {
      authorization: `User ${secrets.userSecret}, Organization ${secrets.organizationSecret}, Element token-of-7`,
    },
  });
  const { token, ...about } = instance;
  expect(calls).toEqual([
    { operation: 'GET /ping', about, outcome: 'answered', status: 200, durationMs: expect.any(Number) },
  ]);
  expect(JSON.stringify(calls)).not.toContain(token);
});
