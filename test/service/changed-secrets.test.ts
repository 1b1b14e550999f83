import { PutSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readDeadLetter } from '../../infra/cli/redrive/dead-letter.ts';
import { newTenant } from '../support/real-servers.ts';
import { eventOf, startService, tenantOnboarded, type Service } from '../support/running-service.ts';

let service: Service;
beforeAll(async () => {
  service = await startService({ queue: { visibilityTimeoutMs: 200, maxReceiveCount: 10 } });
  // The first invocation bundles the function and starts it, which no test's time is to be spent on.
  await service.invoke('apply-secrets', { Records: [] });
});
afterAll(() => service[Symbol.asyncDispose]());
beforeEach(() => service.simulator.reset());

const pathOf = (tenantId: string) => `/tenants/${tenantId}/instances/taxify`;
const keyAt = (tenantId: string) => service.instancesOf(tenantId)[0]?.configuration['api.key'];
const patchesOf = () => service.simulator.requests.filter(({ method }) => method === 'PATCH').length;
const resultsOf = async (tenantId: string) =>
  (await service.events())
    .filter(({ source, detail }) => source === 'element-onboarding' && detail['tenantId'] === tenantId)
    .map((event) => event['detail-type']);

const clientOf = (endpoint: string) =>
  new SecretsManagerClient({
    endpoint,
    region: service.stack.environment.AWS_REGION,
    credentials: { accessKeyId: 'tests', secretAccessKey: 'tests' },
  });

async function put(SecretId: string, SecretString: string, endpoint = service.stack.awsUrl): Promise<void> {
  const client = clientOf(endpoint);
  await client.send(new PutSecretValueCommand({ SecretId, SecretString }));
  client.destroy();
}
const putKey = (tenantId: string, key: string) =>
  put(service.tenantSecretName(tenantId, 'taxify'), JSON.stringify({ 'api.key': key }));

async function newActiveTenant(): Promise<string> {
  const tenantId = newTenant();
  await service.putTenantSecret(tenantId, { 'api.key': 'old' });
  expect((await service.post(tenantId, { element: { key: 'taxify' } })).status).toBe(201);
  await service.idle();
  service.simulator.reset();
  return tenantId;
}

describe('a new value of a tenant’s secret', () => {
  test('a new value is at Cloud Elements within five seconds: one PATCH, same id and token, one InstanceUpdated', async () => {
    const tenantId = await newActiveTenant();
    const before = (await service.get(`${pathOf(tenantId)}/token`)).json;
    await putKey(tenantId, 'new');
    await expect.poll(() => keyAt(tenantId), { timeout: 5_000 }).toBe('new');
    await service.idle();
    expect([patchesOf(), service.postsFor(tenantId)]).toEqual([1, 0]);
    expect((await service.get(`${pathOf(tenantId)}/token`)).json).toEqual(before);
    expect(await resultsOf(tenantId)).toEqual(['InstanceProvisioned', 'InstanceUpdated']);
    const texts = [...(await service.logs()), JSON.stringify(await service.events())];
    expect(texts.filter((text) => text.includes('"new"'))).toEqual([]);
  });

  test('the last of twenty values in a burst is there', async () => {
    const tenantId = await newActiveTenant();
    for (let count = 1; count <= 20; count++) await putKey(tenantId, `key-${count}`);
    await service.idle();
    expect(keyAt(tenantId)).toBe('key-20');
    expect(service.stack.queues.get('apply-secrets')?.deadLetters).toEqual([]);
    await service.expectOneActiveInstance(tenantId);
  });

  test('a value that comes after the event makes a failed tenant active, without another event', async () => {
    const tenantId = newTenant();
    await service.putTenantSecret(tenantId, {});
    await service.deliverEvents(tenantOnboarded(tenantId));
    expect((await service.get(pathOf(tenantId))).json).toMatchObject({ status: 'failed' });
    await put(service.tenantSecretName(tenantId, 'taxify'), '{}');
    await expect.poll(() => service.outcomesOf(tenantId)).toContain('waiting-for-secret');
    await service.putTenantSecret(tenantId, { 'api.key': 'late' });
    await service.idle();
    await service.expectOneActiveInstance(tenantId);
    expect(keyAt(tenantId)).toBe('late');
    expect(service.postsFor(tenantId)).toBe(1);
    expect(await resultsOf(tenantId)).toEqual(['InstanceFailed', 'InstanceProvisioned']);
  });

  test('a message that meets a failing Cloud Elements is redelivered, then a dead letter that redrive shows', async () => {
    await using own = await startService({ queue: { visibilityTimeoutMs: 200, maxReceiveCount: 2 } });
    const queue = own.stack.queues.get('apply-secrets');
    const tenantId = newTenant();
    const name = own.tenantSecretName(tenantId, 'taxify');
    await own.putTenantSecret(tenantId, { 'api.key': 'old' });
    await own.post(tenantId, { element: { key: 'taxify' } });
    own.simulator.faultFor = () => ({ effect: 'none', outcome: { kind: 'status', status: 503 } });
    await put(name, '{"api.key": "new"}', own.stack.awsUrl);
    await own.idle();
    expect(await own.outcomesOf(tenantId)).toEqual(['failed', 'failed']);
    const [letter] = queue?.deadLetters ?? [];
    if (!letter) throw new Error('no dead letter');
    const { body, sentAtMs: arrivedAtMs, messageId } = letter;
    const shown = readDeadLetter('apply-secrets', { messageId, arrivedAtMs, body });
    expect(shown).toMatchObject({ tenantId, elementKey: 'taxify', detailType: 'Secret Label Updated', body });
    own.simulator.reset();
    queue?.send(body);
    await own.idle();
    expect(own.instancesOf(tenantId)[0]?.configuration['api.key']).toBe('new');
  });

  test('an event of the platform secret, of another stage or of another label reaches no queue', async () => {
    const tenantId = await newActiveTenant();
    const lines = (await service.logs()).length;
    service.stack.putSecret(`other/tenants/${tenantId}/taxify`, { 'api.key': 'other' });
    await put(`other/tenants/${tenantId}/taxify`, '{"api.key": "other"}');
    await put(service.platformSecretName, JSON.stringify(service.platformSecret));
    await service.idle();
    expect((await service.logs()).slice(lines)).toEqual([]);
    expect(service.simulator.requests).toEqual([]);
  });

  test.each([
    ['the platform secret', { name: 'element-onboarding/platform', labelUpdated: 'AWSCURRENT' }],
    ['another stage', { name: 'other/tenants/acme/taxify', labelUpdated: 'AWSCURRENT' }],
    ['no tenant', { name: 'element-onboarding/tenants/acme/more/taxify', labelUpdated: 'AWSCURRENT' }],
    ['another label', { name: 'element-onboarding/tenants/acme/taxify', labelUpdated: 'AWSPENDING' }],
  ])('a message about %s is done: one line, no call', async (_what, detail) => {
    const lines = (await service.logs()).length;
    const body = { id: 'event', 'detail-type': 'Secret Label Updated', source: 'aws.secretsmanager', detail };
    service.stack.queues.get('apply-secrets')?.send(JSON.stringify(body));
    await service.idle();
    const added = (await service.logs()).slice(lines);
    expect(added).toHaveLength(1);
    expect(JSON.parse(added[0] ?? '')).toMatchObject({ level: 'INFO', outcome: 'not-ours', retry: false });
    expect(service.stack.queues.get('apply-secrets')?.deadLetters).toEqual([]);
  });
});

test('PutEvents with a source of AWS is refused', async () => {
  const event = eventOf('aws.secretsmanager', 'Secret Label Updated', {
    name: 'x',
    labelUpdated: 'AWSCURRENT',
  });
  await expect(service.putEvents(event)).rejects.toThrow('not accepted');
});
