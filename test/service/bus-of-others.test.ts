import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventOf, startService, tenantOnboarded, type Service } from '../support/running-service.ts';

/** Deployed, the bus is there before the stack, and has to be there after it. */
describe('a bus that is not the service’s own', () => {
  const busName = `bus-of-others/${randomUUID().slice(0, 8)}`;
  let service: Service;
  beforeAll(async () => {
    service = await startService({ busName });
  });
  afterAll(() => service[Symbol.asyncDispose]());

  const resultsFor = async (tenantId: string) =>
    (await service.events())
      .filter(
        ({ detail }) =>
          detail['tenantId'] === tenantId || JSON.stringify(detail).includes(`${tenantId}-registration`),
      )
      .map((event) => `${event.source} ${event['detail-type']}`)
      .toSorted();

  test('events on the given bus onboard and offboard, and their results are on it', async () => {
    expect(service.busName).toBe(busName);
    await service.putTenantSecret('shared', { 'api.key': 'any' });
    await service.deliverEvents(tenantOnboarded('shared'));
    await service.expectOneActiveInstance('shared');
    await service.deliverEvents(
      eventOf('crm.example', 'TenantOffboarded', { tenantId: 'shared', element: { key: 'taxify' } }),
    );
    expect(service.instancesOf('shared')).toEqual([]);
    expect(await resultsFor('shared')).toEqual([
      'crm.example TenantOffboarded',
      'crm.example TenantOnboarded',
      'element-onboarding InstanceProvisioned',
      'element-onboarding InstanceRemoved',
    ]);
  });

  test('requests of the SaaS Builder Toolkit on its own bus are answered there', async () => {
    const tenantId = `sbt-${randomUUID()}`;
    await service.putTenantSecret(tenantId, { 'api.key': 'any' });
    const detail = { tenantId, tenantRegistrationId: `${tenantId}-registration` };
    await service.deliverEvents(eventOf('controlPlaneEventSource', 'onboardingRequest', detail));
    expect(await resultsFor(tenantId)).toEqual([
      'applicationPlaneEventSource provisionSuccess',
      'controlPlaneEventSource onboardingRequest',
      'element-onboarding InstanceProvisioned',
    ]);
  });
});
