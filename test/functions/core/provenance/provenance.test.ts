import { describe, expect, test } from 'vitest';
import { builtInCatalog } from '../../../../functions/model/built-in-catalog.ts';
import type { Fault } from '../../../../infra/local/cloud-elements/simulator.ts';
import { settingsFromEvent } from '../../../../functions/model/events.ts';
import { judged, type InstanceRow } from '../../../../functions/model/instance.ts';
import { errorOf, keyOf, newTenant, openServers, taxify } from '../../../support/real-servers.ts';

const servers = await openServers();

const failPost = (fault: Omit<Fault, 'on'>) => servers.simulator.fail({ on: 'POST /instances', ...fault });
const own = { 'api.key': 'own' };
const address = { ...own, 'base.url': 'https://elsewhere.example/path' };
const event = (
  tenantId: string,
  { eventId = 'event-1', ...requested }: { eventId?: string; name?: string } = {},
) =>
  settingsFromEvent(
    {
      id: eventId,
      source: 'tests',
      'detail-type': 'TenantOnboarded',
      time: new Date().toISOString(),
      detail: { tenantId, ...requested },
    },
    Date.now(),
  );
const toolkit = (tenantId: string, registrationId: string, eventId = 'event-1') =>
  settingsFromEvent(
    {
      id: eventId,
      source: 'sbt.control.plane',
      'detail-type': 'sbt_aws_onboardingRequest',
      time: new Date(Date.now() + servers.clock.aheadMs).toISOString(),
      detail: { tenantId, tenantRegistrationId: registrationId },
    },
    Date.now() + servers.clock.aheadMs,
  );
const recorded = { recordRefusal: true };
const withSecret = () => {
  const tenantId = newTenant();
  servers.putTenantSecret(tenantId, '{"api.key": "stored"}');
  return tenantId;
};
const ofEarlierVersion = (row: InstanceRow): InstanceRow => {
  const { source: _source, requestEntries: _entries, requestDigest: _digest, ...earlier } = row;
  return earlier;
};

const other = (tenantId: string) => taxify(tenantId, { name: 'Other', configuration: { 'api.key': 'k' } });
const formerOf = ({ provisionId, name, createdAt }: InstanceRow) => ({ provisionId, name, createdAt });
const failedAndQuiet = async (inDoubt = true) => {
  const tenantId = newTenant();
  const killed = await servers.killedWhileCreating(tenantId, 'none');
  const failed = { ...killed, status: 'failed', inDoubt, leaseExpiresAt: 0 } as const;
  await servers.store.write(failed, killed);
  servers.clock.aheadMs = killed.sendDeadline + 10_001 - Date.now();
  return { tenantId, failed };
};

describe('where the configuration comes from', () => {
  test('a row keeps the names of the entries that a request has set, and no value', async () => {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId, { configuration: { ...address, 'pagination.max': 5 } }));
    const row = await servers.rowOf(tenantId);
    expect(row).toMatchObject({
      source: 'request',
      requestEntries: ['api.key', 'base.url', 'pagination.max'],
    });
    expect(JSON.stringify(row)).not.toMatch(/:"own"|elsewhere/);
  });

  test('a request that sets entries of the allow-list alone leaves the tenant’s secret as the source', async () => {
    const tenantId = withSecret();
    await servers.provision(taxify(tenantId, { configuration: { 'pagination.max': 5 } }));
    expect(await servers.rowOf(tenantId)).toMatchObject({
      source: 'secret',
      requestEntries: ['pagination.max'],
    });
  });

  test.each([
    ['The control plane’s request', (tenantId: string) => taxify(tenantId, {})],
    ['An onboarding event', (tenantId: string) => event(tenantId)],
    ['A request of the toolkit', (tenantId: string) => toolkit(tenantId, 'registration-1')],
    [
      'A request with another address',
      (tenantId: string) =>
        taxify(tenantId, { configuration: { ...address, 'base.url': 'https://other.example/path' } }),
    ],
    ['A request without an address', (tenantId: string) => taxify(tenantId, { configuration: own })],
  ])('%s conflicts with the instance of a caller who has set key and address', async (_what, settingsFor) => {
    const tenantId = withSecret();
    await servers.provision(taxify(tenantId, { configuration: address }));
    const error = await errorOf(servers.provision(settingsFor(tenantId), recorded));
    expect(error.code).toBe('settings-conflict');
    expect(await servers.expectOneActiveInstance(tenantId)).toMatchObject({ source: 'request' });
  });

  test('a request with another credential, user info or query is the same request', async () => {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId, { configuration: address }));
    const configuration = { 'api.key': 'x', 'base.url': 'https://me:pw@elsewhere.example/path?key=1#2' };
    expect((await servers.provision(taxify(tenantId, { configuration }))).outcome).toBe('replayed');
  });

  test('a row of unknown source is a repeat for a request of any source', async () => {
    for (const configuration of [address, {}]) {
      const tenantId = withSecret();
      const settings = taxify(tenantId, { configuration });
      await servers.provision(settings);
      const row = await servers.expectOneActiveInstance(tenantId);
      await servers.store.write(ofEarlierVersion(row), row);
      for (const repeated of [settings, taxify(tenantId, {}), event(tenantId), toolkit(tenantId, 'r')]) {
        expect((await servers.provision(repeated, recorded)).outcome).toBe('replayed');
      }
      expect((await servers.rowOf(tenantId))?.source).toBeUndefined();
      const news = taxify(tenantId, { name: 'Other' });
      expect((await errorOf(servers.provision(news))).code).toBe('settings-conflict');
    }
  });

  test('the source stays unknown when the instance of an earlier version’s claim is adopted', async () => {
    const tenantId = withSecret();
    const killed = await servers.killedWhileCreating(tenantId, 'applied');
    await servers.store.write(ofEarlierVersion(killed), killed);
    servers.clock.aheadMs = 1_001;
    expect((await servers.provision(taxify(tenantId, {}))).outcome).toBe('created');
    const row = await servers.expectOneActiveInstance(tenantId);
    expect(row.source).toBeUndefined();
  });

  test('the source becomes known when a new claim creates after an earlier version’s claim made nothing', async () => {
    const tenantId = withSecret();
    const killed = await servers.killedWhileCreating(tenantId, 'none');
    await servers.store.write(ofEarlierVersion(killed), killed);
    servers.clock.aheadMs = killed.sendDeadline + 10_001 - Date.now();
    servers.simulator.latencyMs = 100;
    const provisioned = servers.provision(taxify(tenantId, {}));
    await expect.poll(() => servers.posts()).toBe(1);
    // If this claim died now, an instance found later may be that of the other claim.
    expect((await servers.rowOf(tenantId))?.source).toBeUndefined();
    expect((await provisioned).outcome).toBe('created');
    expect(await servers.expectOneActiveInstance(tenantId)).toMatchObject({
      source: 'secret',
      requestEntries: [],
      fingerprint: judged(builtInCatalog, taxify(tenantId, {})).fingerprint,
    });
  });

  test('an event that a request has repaired meanwhile is a repeat, with any settings', async () => {
    const tenantId = newTenant();
    const first = servers.provision(event(tenantId), recorded);
    expect((await errorOf(first)).code).toBe('missing-configuration');
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    const redelivered = servers.provision(event(tenantId, { name: 'Another' }), recorded);
    expect((await redelivered).outcome).toBe('replayed');
    const news = servers.provision(event(tenantId, { eventId: 'event-2' }), recorded);
    expect((await errorOf(news)).code).toBe('settings-conflict');
  });

  test('a repeated registration of the toolkit is a repeat, with any source', async () => {
    const tenantId = newTenant();
    await errorOf(servers.provision(toolkit(tenantId, 'registration-1'), recorded));
    await servers.provision(taxify(tenantId, { configuration: address }));
    const again = servers.provision(toolkit(tenantId, 'registration-1', 'event-2'), recorded);
    expect((await again).outcome).toBe('replayed');
    const news = servers.provision(toolkit(tenantId, 'registration-2', 'event-3'), recorded);
    expect((await errorOf(news)).code).toBe('settings-conflict');
  });

  test('a registration whose instance was removed does not repeat a later request', async () => {
    const tenantId = withSecret();
    await servers.provision(toolkit(tenantId, 'registration-1'), recorded);
    await servers.remove(keyOf(tenantId));
    await servers.provision(taxify(tenantId, { configuration: address }));
    expect(await servers.rowOf(tenantId)).toMatchObject({
      registration: { registrationId: 'registration-1' },
    });
    servers.clock.aheadMs = 60_000;
    const again = servers.provision(toolkit(tenantId, 'registration-1', 'event-2'), recorded);
    expect((await errorOf(again)).code).toBe('settings-conflict');
  });

  test('a toolkit request accepts an instance from the tenant’s secret, with any settings', async () => {
    const tenantId = withSecret();
    await servers.provision(taxify(tenantId, { name: 'Shop', configuration: {} }));
    expect((await servers.provision(toolkit(tenantId, 'registration-1'), recorded)).outcome).toBe('replayed');
  });
});

describe('a claim over a failed row', () => {
  test('a claim with other settings begins its own generation, and removes the late instance of the earlier one', async () => {
    const { tenantId, failed } = await failedAndQuiet();
    expect((await servers.provision(other(tenantId))).outcome).toBe('created');
    const row = await servers.rowOf(tenantId);
    expect(row?.provisionId).not.toBe(failed.provisionId);
    expect(row).toMatchObject({
      inDoubt: false,
      createdAt: failed.createdAt,
      formers: [formerOf(failed)],
      checkAt: expect.any(Number),
    });
    servers.duplicate(failed);
    servers.clock.aheadMs += 60_001;
    await servers.reconcile();
    const checked = await servers.expectOneActiveInstance(tenantId);
    expect(checked).toMatchObject({ name: 'Other' });
    expect(checked.formers).toBeUndefined();
    expect(checked.checkAt).toBeUndefined();
  });

  test('the late instance of an earlier generation is found by the recheck also where lists show no tags', async () => {
    const { tenantId, failed } = await failedAndQuiet();
    await servers.provision(other(tenantId));
    servers.duplicate(failed);
    servers.simulator.listShape = { tags: 'absent' };
    servers.simulator.ignoreTagFilter = true;
    servers.clock.aheadMs += 60_001;
    await servers.reconcile();
    expect(await servers.expectOneActiveInstance(tenantId)).toMatchObject({ name: 'Other' });
  });

  test('a claim with other settings whose outcome is unknown does not adopt the late instance of the earlier one', async () => {
    const { tenantId, failed } = await failedAndQuiet();
    failPost({ effect: 'none', outcome: { kind: 'reset' } });
    expect((await servers.provision(other(tenantId))).outcome).toBe('in-progress');
    servers.duplicate(failed);
    expect((await servers.provision(other(tenantId))).outcome).toBe('in-progress');
    expect(await servers.rowOf(tenantId)).toMatchObject({ formers: [formerOf(failed)] });
  });

  test('a claim with the same settings keeps the generation', async () => {
    const { tenantId, failed } = await failedAndQuiet();
    await servers.provision(taxify(tenantId));
    const row = await servers.expectOneActiveInstance(tenantId);
    expect(row).toMatchObject({ provisionId: failed.provisionId, inDoubt: true });
    expect(row.formers).toBeUndefined();
  });

  test('a claim over a failed row of unknown source begins its own generation for the same settings, too', async () => {
    const { tenantId, failed } = await failedAndQuiet();
    await servers.store.write(ofEarlierVersion(failed), failed);
    await servers.provision(taxify(tenantId));
    expect(await servers.expectOneActiveInstance(tenantId)).toMatchObject({
      source: 'request',
      formers: [formerOf(failed)],
    });
  });

  test('a failed row that never was in doubt leaves no earlier generation behind', async () => {
    const { tenantId, failed } = await failedAndQuiet(false);
    await servers.provision(other(tenantId));
    const row = await servers.expectOneActiveInstance(tenantId);
    expect(row.provisionId).not.toBe(failed.provisionId);
    expect(row.formers).toBeUndefined();
    expect(row.checkAt).toBeUndefined();
  });

  test('a claim waits for the recheck of a row with ten earlier generations', async () => {
    const { tenantId, failed } = await failedAndQuiet();
    const formers = Array.from({ length: 10 }, (_, index) => ({
      ...formerOf(failed),
      provisionId: `former-${index}`,
    }));
    const checkAt = Date.now() + servers.clock.aheadMs + 30_000;
    await servers.store.write({ ...failed, formers, checkAt }, failed);
    expect((await servers.provision(other(tenantId))).outcome).toBe('in-progress');
    expect(servers.posts()).toBe(0);
    servers.clock.aheadMs += 30_001;
    await servers.reconcile();
    expect((await servers.provision(other(tenantId))).outcome).toBe('created');
  });

  test('a claim over a tombstone with ten earlier generations is refused while the deletion continues', async () => {
    const { tenantId, failed } = await failedAndQuiet();
    await servers.remove(keyOf(tenantId));
    const tombstone = await servers.rowOf(tenantId);
    if (!tombstone) throw new Error('no tombstone');
    const formers = Array.from({ length: 10 }, () => formerOf(failed));
    await servers.store.write({ ...tombstone, formers }, tombstone);
    expect((await errorOf(servers.provision(other(tenantId)))).code).toBe('being-deleted');
    servers.clock.aheadMs += 60_001;
    await servers.reconcile();
    expect((await servers.provision(other(tenantId))).outcome).toBe('created');
  });

  test('a row that remembers an earlier generation is rechecked after it fails again or is removed', async () => {
    const { tenantId, failed } = await failedAndQuiet();
    failPost({ effect: 'none', outcome: { kind: 'status', status: 400 } });
    expect((await errorOf(servers.provision(other(tenantId)))).code).toBe('refused-by-cloud-elements');
    const formers = [formerOf(failed)];
    expect(await servers.rowOf(tenantId)).toMatchObject({
      status: 'failed',
      formers,
      checkAt: expect.any(Number),
    });
    await servers.remove(keyOf(tenantId));
    expect(await servers.rowOf(tenantId)).toMatchObject({
      status: 'removed',
      formers,
      checkAt: expect.any(Number),
    });
    servers.duplicate(failed);
    servers.clock.aheadMs += 60_001;
    await servers.reconcile();
    expect(servers.instancesOf(tenantId)).toEqual([]);
  });
});

test('a claim over a tombstone that awaits its recheck remembers its generation', async () => {
  const tenantId = newTenant();
  failPost({ effect: 'applied', outcome: { kind: 'reset' } });
  await servers.provision(taxify(tenantId));
  const before = await servers.expectOneActiveInstance(tenantId);
  servers.clock.aheadMs = before.sendDeadline + 10_001 - Date.now();
  await servers.remove(keyOf(tenantId));
  await servers.provision(taxify(tenantId));
  const row = await servers.expectOneActiveInstance(tenantId);
  expect(row).toMatchObject({ formers: [formerOf(before)], checkAt: expect.any(Number) });
  servers.duplicate(before);
  servers.clock.aheadMs += 60_001;
  await servers.reconcile();
  expect((await servers.expectOneActiveInstance(tenantId)).instanceId).toBe(row.instanceId);
});
