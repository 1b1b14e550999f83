import { PutSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { refusedKey } from '../../infra/local/cloud-elements/instances.ts';
import { newTenant } from '../support/real-servers.ts';
import { startService, type Service } from '../support/running-service.ts';
import { isDeployed } from './deployed/endpoint.ts';

/** Of an element with a ping. */
const element = { key: 'freshservice' };
const withKey = (password: string) => ({ username: 'any', password, subdomain: 'acme' });

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service[Symbol.asyncDispose]());

const pathOf = (tenantId: string) => `/tenants/${tenantId}/instances/${element.key}`;
/** As the control plane does; the service hears of it by Secrets Manager's event. */
async function putKey(tenantId: string, password: string): Promise<void> {
  const client = new SecretsManagerClient({
    endpoint: service.stack.awsUrl,
    region: service.stack.environment.AWS_REGION,
    credentials: { accessKeyId: 'tests', secretAccessKey: 'tests' },
  });
  const SecretId = service.tenantSecretName(tenantId, element.key);
  await client.send(new PutSecretValueCommand({ SecretId, SecretString: JSON.stringify(withKey(password)) }));
  client.destroy();
}

const check = (tenantId: string) => service.request({ method: 'POST', path: `${pathOf(tenantId)}/check` });

/** The results of the tenant that were published, in order. */
async function resultsOf(tenantId: string) {
  await service.idle();
  return (await service.events())
    .map((event) => ({ type: event['detail-type'], detail: event.detail }))
    .filter(({ detail }) => detailSchema.safeParse(detail).data?.tenantId === tenantId)
    .filter(({ type }) => type.startsWith('Instance'));
}
const detailSchema = z.looseObject({ tenantId: z.string() });

async function provisioned(password: string): Promise<string> {
  const tenantId = newTenant();
  await service.putTenantSecret(tenantId, withKey(password), element.key);
  expect(await service.post(tenantId, { element })).toMatchObject({ status: 201 });
  return tenantId;
}

test.skipIf(isDeployed)(
  'a wrong key is accepted, found by checks, and healed by a new value of the secret',
  async () => {
    const tenantId = await provisioned(refusedKey);
    expect((await service.get(pathOf(tenantId))).json).not.toHaveProperty('health');

    expect((await check(tenantId)).json).toMatchObject({
      status: 'active',
      health: { status: 'unknown', reason: 'unconfirmed' },
      check: { status: 'unhealthy', reason: 'refused-by-vendor' },
    });
    expect((await check(tenantId)).json).toMatchObject({ health: { status: 'unhealthy' } });
    await check(tenantId);
    const health = { status: 'unhealthy', reason: 'refused-by-vendor' };
    expect((await service.get(pathOf(tenantId))).json).toMatchObject({ health });
    expect((await service.get(`/tenants/${tenantId}/instances`)).json).toMatchObject([{ health }]);
    expect((await service.get('/instances?health=unhealthy')).json).toMatchObject({
      instances: [{ tenantId, health }],
    });
    expect((await service.get('/instances?health=healthy')).json).toMatchObject({ instances: [] });
    expect(await service.get(`${pathOf(tenantId)}/token`)).toMatchObject({ status: 200 });

    await putKey(tenantId, 'good');
    await service.idle();
    await service.stack.runSchedule('check-instances');
    expect((await service.get(pathOf(tenantId))).json).toMatchObject({ health: { status: 'healthy' } });
    const results = await resultsOf(tenantId);
    expect(results.map(({ type }) => type)).toEqual([
      'InstanceProvisioned',
      'InstanceUnhealthy',
      'InstanceUpdated',
      'InstanceRecovered',
    ]);
    expect(results[1]?.detail).toMatchObject({ status: 'active', health });
    expect(results[1]?.detail).not.toHaveProperty('request');
    const revisions = results.map(
      ({ detail }) => z.looseObject({ revision: z.number() }).parse(detail).revision,
    );
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
    expect(new Set(revisions).size).toBe(4);
  },
  30_000,
);

test.skipIf(isDeployed)('a run of checks logs its counts, without a word of the vendor', async () => {
  const tenantId = await provisioned(refusedKey);
  await check(tenantId);
  const before = (await service.logs()).length;
  await check(tenantId);
  await service.stack.runSchedule('check-instances');
  const lines = (await service.logs()).slice(before);
  expect(lines.find((line) => line.includes('"message":"run"'))).toMatch(/"brokenOff":false/);
  expect(lines.join('\n')).not.toMatch(/The key is not valid|Request failed/);
  const calls = (await service.logsOf(tenantId)).filter(({ message }) => message === 'cloud-elements');
  expect(calls.map(({ operation }) => operation)).toContain('GET /ping');
});

test.skipIf(isDeployed)('a refused element token is not taken for a refused platform secret', async () => {
  const tenantId = await provisioned('any');
  service.simulator.fail({ on: 'GET /ping', effect: 'none', outcome: { kind: 'status', status: 401 } });
  const before = service.stack.metrics.length;
  expect((await check(tenantId)).json).toMatchObject({
    check: { status: 'unknown', reason: 'refused-by-cloud-elements' },
  });
  const metrics = service.stack.metrics.slice(before).join('\n');
  expect(metrics).toContain('GET /ping');
  expect(metrics).not.toContain('PlatformCredentialsRejected');
});

test.skipIf(isDeployed)('the token of an instance that is gone is refused', async () => {
  await provisioned('any');
  const tenantId = await provisioned('any');
  const [instance] = service.instancesOf(tenantId);
  const { userSecret, organizationSecret } = service.platformSecret;
  await fetch(`${service.simulator.url}/elements/api-v2/instances/${instance?.id}`, {
    method: 'DELETE',
    headers: { authorization: `User ${userSecret}, Organization ${organizationSecret}` },
  });
  await check(tenantId);
  await check(tenantId);
  expect(await service.get(`${pathOf(tenantId)}/token`)).toMatchObject({
    status: 409,
    json: { code: 'gone-at-cloud-elements' },
  });
});
