import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { settingsOf } from '../../../functions/model/instance.ts';
import { publishMetrics } from '../../../functions/runtime/metrics.ts';
import { openCipher, openImportedIds, openStore } from '../../../functions/runtime/ports.ts';
import {
  openApplying,
  openAuditing,
  openChecking,
  openImporting,
  openOffboarding,
  openOnboarding,
  openProvisioning,
  openReconciling,
  openRemoving,
  openUpdating,
} from '../../../functions/runtime/use-cases.ts';
import { startLocalServers } from '../../support/local-servers.ts';
import { newTenant } from '../../support/real-servers.ts';
import { captureLines, logIn, metricsIn } from '../../support/written-lines.ts';

const tableName = 'a-table';
const platformSecrets = { userSecret: 'user-secret-for-tests', organizationSecret: 'organization-secret' };
const servers = await startLocalServers({ name: 'a-name', tableName, platformSecrets });
afterAll(() => servers.stop());
const { simulator } = servers;

/** What the deployment gives its functions. */
const environment: NodeJS.ProcessEnv = {
  TABLE_NAME: tableName,
  TOKEN_KEY_ID: servers.tokenKeyId,
  CLOUD_ELEMENTS_BASE_URL: simulator.url,
  PLATFORM_SECRET_ID: servers.platformSecretId,
  TENANT_SECRETS_PREFIX: 'a-prefix',
  STAGE: 'a-stage',
  ELEMENTS: JSON.stringify({ freshdeskv2: { ping: true }, 'of-the-deployer': { required: ['kontor.name'] } }),
};

const lines = captureLines();
beforeEach(() => {
  // Where the SDK looks for its servers and credentials; a function finds them in its environment.
  vi.stubEnv('AWS_REGION', servers.awsSettings.region);
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'tests');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'tests');
  vi.stubEnv('AWS_ENDPOINT_URL', servers.awsSettings.endpoint);
  vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', servers.dynamoDbSettings.endpoint);
  simulator.reset();
  return () => vi.unstubAllEnvs();
});

const within = () => ({ deadlineAt: Date.now() + 29_000 });
const keyOf = (tenantId: string, elementKey = 'taxify') => ({ tenantId, elementKey });
const withKey = { configuration: { 'api.key': 'a-key' } };
const rowOf = (tenantId: string) => openStore(environment).get(keyOf(tenantId));
const calls = () => simulator.requests.map(({ operation }) => operation);
const messages = () => logIn(lines).map(({ message }) => message);
const metricsPublished = () => {
  publishMetrics();
  return metricsIn(lines);
};
const putTenantSecret = (tenantId: string) =>
  servers.putSecret(`a-prefix/tenants/${tenantId}/taxify`, JSON.stringify({ 'api.key': 'b-key' }));

async function provisioned(elementKey = 'taxify', configuration: object = withKey.configuration) {
  const tenantId = newTenant();
  const settings = settingsOf({ tenantId, elementKey }, { configuration: { ...configuration } });
  const provision = openProvisioning(environment);
  const { row } = await provision(settings, { ...within(), recordRefusal: false });
  const instance = simulator.instances.find(({ id }) => id === row.instanceId);
  if (!instance) throw new Error('no instance was made');
  return { tenantId, row, instance };
}

describe('use cases as a function opens them', () => {
  test('a provisioned instance is tagged with the stage, its row has the origin, its token is encrypted', async () => {
    const { tenantId, row, instance } = await provisioned();
    expect(instance.tags).toEqual(expect.arrayContaining([`tenant:${tenantId}`, 'owner:a-stage']));
    expect(await rowOf(tenantId)).toMatchObject({ status: 'active', origin: simulator.url });
    if (!row.token) throw new Error('no token');
    expect(await openCipher(environment).decrypt(row.token, keyOf(tenantId))).toBe(instance.token);
    expect(messages()).toEqual(['cloud-elements']);
    expect(logIn(lines)[0]).toMatchObject({ tenantId, operation: 'POST /instances', outcome: 'answered' });
    expect(metricsPublished()).toEqual({ UpstreamLatency: [expect.any(Number)] });
  });

  test('a described element is known to provisioning: a required entry is missing', async () => {
    await expect(provisioned('of-the-deployer', { username: 'u' })).rejects.toMatchObject({
      code: 'missing-configuration',
      facts: { missing: ['configuration.kontor.name'] },
    });
  });

  test('a refusal that names an entry of a described element is passed on with the name', async () => {
    const body = { requestId: '5f0c9a3e2b1d4c6f8a7b9c0d', message: 'kontor.name is invalid' };
    simulator.fail({ on: 'POST /instances', effect: 'none', outcome: { kind: 'status', status: 400, body } });
    await expect(provisioned('of-the-deployer', { 'kontor.name': 'any' })).rejects.toThrow(
      'kontor.name is invalid',
    );
  });

  test('an onboarding event takes the credentials from the tenant’s secret below the prefix', async () => {
    const tenantId = newTenant();
    putTenantSecret(tenantId);
    const onboard = openOnboarding(environment);
    const settings = settingsOf(keyOf(tenantId), {});
    expect(await onboard(settings, { ...within(), deliveries: 1 })).toMatchObject({ retry: false });
    expect(await rowOf(tenantId)).toMatchObject({ status: 'active' });
  });

  test('an update is sent to the instance and written to the row', async () => {
    const { tenantId, instance } = await provisioned();
    await openUpdating(environment)(keyOf(tenantId), { name: 'Changed' }, within());
    expect(instance.name).toBe('Changed');
    expect(await rowOf(tenantId)).toMatchObject({ name: 'Changed' });
  });

  test('a changed secret is applied to the instance whose configuration comes from it', async () => {
    const tenantId = newTenant();
    putTenantSecret(tenantId);
    const onboard = openOnboarding(environment);
    await onboard(settingsOf(keyOf(tenantId), {}), { ...within(), deliveries: 1 });
    simulator.requests.length = 0;
    const apply = openApplying(environment);
    const secretName = `a-prefix/tenants/${tenantId}/taxify`;
    await apply(
      { ...keyOf(tenantId), secretName, arrivedAt: Date.now() + 60_000 },
      { ...within(), deliveries: 1 },
    );
    expect(calls()).toContain('PATCH /instances/{id}');
    expect(simulator.requests.find(({ method }) => method === 'PATCH')?.body).toMatchObject({
      configuration: { 'api.key': 'b-key' },
    });
  });

  test('a removal deletes the instance and leaves a tombstone', async () => {
    const { tenantId, instance } = await provisioned();
    const { remove } = openRemoving(environment);
    await remove(keyOf(tenantId), { times: { own: Date.now() + 60_000 }, by: undefined }, within());
    expect(simulator.instances).not.toContain(instance);
    expect(await rowOf(tenantId)).toMatchObject({ status: 'removed' });
  });

  test('the offboarding of a tenant deletes its instances', async () => {
    const { tenantId, instance } = await provisioned();
    const { offboard } = openOffboarding(environment);
    const at = Date.now() + 60_000;
    const by = { dialect: 'native', eventId: 'event-1', sentAt: at } as const;
    await offboard({ tenantId, elementKey: undefined, removal: { times: { own: at }, by } }, within());
    expect(simulator.instances).not.toContain(instance);
  });

  test('an existing instance is imported, reserved for its tenant, and observed', async () => {
    const tenantId = newTenant();
    const existing = simulator.seed({ element: { key: 'taxify' }, name: 'Old', ...withKey });
    const { importInstance } = openImporting(environment);
    await importInstance({ ...keyOf(tenantId), instanceId: existing.id }, within());
    expect(await rowOf(tenantId)).toMatchObject({ status: 'active', instanceId: existing.id });
    expect(messages()).toContain('imported');
    const other = { ...keyOf(newTenant()), provisionId: 'another' };
    expect(await openImportedIds(environment).hold(existing.id, other)).toMatchObject({
      held: false,
      by: { tenantId },
    });
  });

  test('a run of the reconciler settles rows that are due, with everything that they need', async () => {
    const { tenantId, row } = await provisioned();
    const { token: _token, instanceId: _instanceId, ...claimed } = row;
    // As a function that was killed after its create leaves it.
    const killed = {
      ...claimed,
      status: 'provisioning',
      inDoubt: true,
      sendDeadline: 1,
      checkAt: 1,
    } as const;
    await openStore(environment).write(killed, row);
    lines.length = 0;
    const { tally } = await openReconciling(environment).reconcile(within());
    expect(Object.values(tally)).toContain(1);
    expect(await rowOf(tenantId)).toMatchObject({ status: 'active', token: expect.anything() });
    expect(messages()).toEqual(expect.arrayContaining(['taken-over', 'adopted']));
  });

  test('a check pings an element that is described as having a ping', async () => {
    const { tenantId } = await provisioned('freshdeskv2', { subdomain: 's', 'api.key': 'k', username: 'u' });
    const { check } = openChecking(environment);
    await check(keyOf(tenantId, 'freshdeskv2'), within());
    expect(calls()).toContain('GET /ping');
  });

  test('an audit names an instance of the stage that no row owns, and keeps its result', async () => {
    const orphan = simulator.seed({
      element: { key: 'taxify' },
      name: 'Orphan',
      tags: ['tenant:gone', 'owner:a-stage'],
      ...withKey,
    });
    Object.assign(orphan, { createdDate: '2020-01-01T00:00:00Z' });
    const audit = openAuditing(environment);
    expect(await audit(within())).toMatchObject({ complete: true });
    expect(logIn(lines)).toContainEqual(
      expect.objectContaining({ message: 'orphan', level: 'WARN', instanceId: orphan.id }),
    );
  });
});

describe('a function without a setting', () => {
  const cloudElements = ['TABLE_NAME', 'CLOUD_ELEMENTS_BASE_URL', 'PLATFORM_SECRET_ID', 'STAGE'];
  const configuring = [...cloudElements, 'TENANT_SECRETS_PREFIX'];
  test.each<[string, (environment: NodeJS.ProcessEnv) => unknown, string[]]>([
    ['provisioning', openProvisioning, [...configuring, 'TOKEN_KEY_ID']],
    ['onboarding', openOnboarding, [...configuring, 'TOKEN_KEY_ID']],
    ['updating', openUpdating, configuring],
    ['applying secrets', openApplying, [...configuring, 'TOKEN_KEY_ID']],
    ['removing', openRemoving, cloudElements],
    ['offboarding', openOffboarding, cloudElements],
    ['importing', openImporting, [...cloudElements, 'TOKEN_KEY_ID']],
    ['reconciling', openReconciling, [...cloudElements, 'TOKEN_KEY_ID']],
    ['checking', openChecking, cloudElements],
    ['auditing', openAuditing, [...cloudElements, 'TOKEN_KEY_ID']],
  ])('%s needs its settings and no others', (_what, open, needed) => {
    const own = Object.fromEntries(needed.map((name) => [name, environment[name]]));
    expect(() => open(own)).not.toThrow();
    for (const name of needed) {
      expect(() => open({ ...environment, [name]: undefined })).toThrow(
        new RegExp(`^Wrong environment: ${name} is missing`),
      );
    }
  });
});
