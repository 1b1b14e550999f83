import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parseSettings } from '../../infra/settings.ts';
import { isDeployed } from './deployed/endpoint.ts';
import { newTenant } from '../support/real-servers.ts';
import { startService, type Service } from '../support/running-service.ts';
import type { Outcome } from '../../infra/local/cloud-elements/simulator.ts';

/**
 * SAP Open Connectors is an edition of Cloud Elements. Shown here, against the simulator: its base URLs are settings, only
 * paths are used that it documents, and responses in the form of its documentation are understood. Not shown: a live tenant.
 */

const instanceJson = {
  element: { key: 'taxify' },
  configuration: { 'api.key': 'taxify-key-for-tests' },
  name: 'Shop',
};

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service[Symbol.asyncDispose]());
beforeEach(() => service.simulator.reset());

const pathOf = (tenantId: string) => `/tenants/${tenantId}/instances/taxify`;

test.each(['eu10', 'us2', 'jp20', 'trial.us10'])('the base URL of region %s is a setting', (region) => {
  const baseUrl = `https://api.openconnectors.${region}.ext.hana.ondemand.com`;
  expect(parseSettings({ stages: { prod: { baseUrl } }, stage: 'prod' })).toEqual({
    settings: { stage: 'prod', baseUrl },
  });
});

test.skipIf(isDeployed)('a whole life uses the documented paths alone, below /elements/api-v2', async () => {
  const tenantId = newTenant();
  expect((await service.post(tenantId, instanceJson)).status).toBe(201);
  expect((await service.patch(pathOf(tenantId), { tags: ['eu'] })).status).toBe(200);
  const check = await service.request({ method: 'POST', path: `${pathOf(tenantId)}/check` });
  expect(check.status).toBe(200);
  expect((await service.delete(pathOf(tenantId))).status).toBe(204);
  const used = service.simulator.requests.map(
    ({ method, path }) => `${method} ${path.replace(/\d{5,}/, '{id}')}`,
  );
  expect([...new Set(used)].toSorted()).toEqual([
    'DELETE /elements/api-v2/instances/{id}',
    'GET /elements/api-v2/instances/{id}',
    'GET /elements/api-v2/ping',
    'PATCH /elements/api-v2/instances/{id}',
    'POST /elements/api-v2/instances',
  ]);
});

const requestId = '5b0437c6e4b07731ae39b533';
const say = (status: number, body: object | string, headers: Record<string, string> = {}): Outcome => ({
  kind: 'status',
  status,
  body,
  headers,
});

/** Bodies as https://help.openconnectors.ext.hana.ondemand.com/home/error-codes prints them. */
const platformsNotFound = say(404, { requestId, message: 'No account found with ID 123456' });
const vendors = say(400, {
  message:
    "Failed to upload file. File with the same name already exists. Change the name of the file you're uploading or set " +
    'the overwrite query parameter to true.',
  requestId: '53dbca9430045c016b46566c',
  providerMessage: 'Item with the same name already exists',
});
const secretsRefused = say(401, {
  requestId,
  message: 'Invalid Organization or User secret, or invalid Element token provided.',
});
/** The proxy in front of it, which is no verdict of the platform. */
const envoy = (status: number, text: string) =>
  say(status, text, { server: 'istio-envoy', 'content-type': 'text/plain' });

describe.skipIf(isDeployed)('responses of SAP Open Connectors', () => {
  test.each<[string, Outcome, number, string]>([
    ['refuses the secrets', secretsRefused, 503, 'platform-credentials-refused'],
    ['refuses for the vendor', vendors, 400, 'refused-by-cloud-elements'],
    ['does not find', platformsNotFound, 400, 'refused-by-cloud-elements'],
    [
      'rate limits',
      say(429, { requestId, message: 'Too many requests' }, { 'retry-after': '60' }),
      503,
      'cloud-elements-busy',
    ],
  ])(
    'a create that SAP Open Connectors %s is not done, for that reason',
    async (_what, outcome, status, code) => {
      const tenantId = newTenant();
      service.simulator.fail({ on: 'POST /instances', effect: 'none', outcome, times: 5 });
      const response = await service.post(tenantId, instanceJson);
      expect(response).toMatchObject({ status, json: { code } });
      expect(response.text).not.toContain('Item with the same name');
      expect(service.instancesOf(tenantId)).toEqual([]);
    },
  );

  test.each([
    [503, 'upstream connect error or disconnect/reset before headers'],
    [504, 'upstream request timeout'],
  ])(
    'a %d of the proxy leaves the outcome of a create unknown, and the instance is found',
    async (status, text) => {
      const tenantId = newTenant();
      service.simulator.fail({ on: 'POST /instances', effect: 'applied', outcome: envoy(status, text) });
      expect((await service.post(tenantId, instanceJson)).status).toBe(201);
      await service.expectOneActiveInstance(tenantId);
    },
  );

  test('a 404 with the platform’s body ends a deletion, and one of the proxy does not', async () => {
    const tenantId = newTenant();
    await service.post(tenantId, instanceJson);
    const fail = (outcome: Outcome) =>
      service.simulator.fail({ on: 'DELETE /instances/{id}', effect: 'none', outcome, times: 5 });
    fail(envoy(404, ''));
    expect((await service.delete(pathOf(tenantId))).status).not.toBe(204);
    expect((await service.get(pathOf(tenantId))).json).toMatchObject({ status: 'deleting' });
    service.simulator.reset();
    fail(platformsNotFound);
    expect((await service.delete(pathOf(tenantId))).status).toBe(204);
  });
});
