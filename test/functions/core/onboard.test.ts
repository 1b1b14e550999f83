import { describe, expect, test } from 'vitest';
import { settingsFromEvent } from '../../../functions/model/events.ts';
import { queueMaxReceiveCount } from '../../../functions/model/timing.ts';
import { errorOf, newTenant, openServers } from '../../support/real-servers.ts';

const servers = await openServers();

const event = (type: string, tenantId: string, detail: object = {}) =>
  settingsFromEvent(
    {
      id: `event-${tenantId}`,
      source: 'sbt.control.plane',
      'detail-type': type,
      time: new Date().toISOString(),
      detail: { tenantId, ...detail },
    },
    Date.now(),
  );
const ofToolkit = (tenantId: string) =>
  event('sbt_aws_onboardingRequest', tenantId, { tenantRegistrationId: `registration-${tenantId}` });
const ofOurOwn = (tenantId: string) => event('TenantOnboarded', tenantId);

describe('an onboarding request of the toolkit', () => {
  test('a toolkit request waits for the tenant’s secret and leaves no row', async () => {
    const tenantId = newTenant();
    expect(await servers.onboard(ofToolkit(tenantId))).toEqual({
      outcome: 'waiting-for-secret',
      retry: true,
    });
    expect(await servers.rowOf(tenantId)).toBeUndefined();
    servers.putTenantSecret(tenantId, '{"api.key": "k"}');
    const created = await servers.onboard(ofToolkit(tenantId), { deliveries: 2 });
    expect(created).toMatchObject({ outcome: 'created', retry: false });
    await servers.expectOneActiveInstance(tenantId);
  });

  test('a toolkit request without the secret is refused at its last delivery', async () => {
    const tenantId = newTenant();
    const last = { deliveries: queueMaxReceiveCount };
    expect(await servers.onboard(ofToolkit(tenantId), last)).toEqual({ outcome: 'refused', retry: false });
    expect(await servers.rowOf(tenantId)).toMatchObject({
      status: 'failed',
      lastError: { code: 'missing-configuration' },
      registration: { registrationId: `registration-${tenantId}` },
    });
  });
});

describe('a native event', () => {
  test('a native event without the secret is refused at its first delivery', async () => {
    const tenantId = newTenant();
    expect((await errorOf(servers.onboard(ofOurOwn(tenantId)))).code).toBe('missing-configuration');
    expect(await servers.rowOf(tenantId)).toMatchObject({ status: 'failed' });
  });
});

describe.each([
  ['of the toolkit', ofToolkit],
  ['of our own', ofOurOwn],
])('an event %s', (_whose, requested) => {
  test('an event that meets an unusable secret waits until the secret is corrected', async () => {
    const tenantId = newTenant();
    servers.putTenantSecret(tenantId, 'not JSON');
    expect(await servers.onboard(requested(tenantId))).toEqual({
      outcome: 'waiting-for-secret',
      retry: true,
    });
    servers.putTenantSecret(tenantId, '{"api.key": "k"}');
    expect((await servers.onboard(requested(tenantId))).outcome).toBe('created');
  });

  test('an event that meets an unusable secret at its last delivery is refused', async () => {
    const tenantId = newTenant();
    servers.putTenantSecret(tenantId, 'not JSON');
    const last = { deliveries: queueMaxReceiveCount };
    expect(await servers.onboard(requested(tenantId), last)).toEqual({ outcome: 'refused', retry: false });
    const { lastError, status } = (await servers.rowOf(tenantId)) ?? {};
    expect({ status, code: lastError?.code }).toEqual({
      status: 'failed',
      code: 'tenant-credentials-unusable',
    });
  });
});
