import { beforeEach, describe, expect, test } from 'vitest';
import { offboardingFromEvent, settingsFromEvent } from '../../../functions/model/events.ts';
import { instanceView, type InstanceRow } from '../../../functions/model/instance.ts';
import { resultOf } from '../../../functions/model/result-events.ts';
import { readDeadLetter } from '../../../infra/cli/redrive/dead-letter.ts';
import { keyOf, newTenant, openServers, startServers, taxify, timing } from '../../support/real-servers.ts';
import { sentEvent, type Sent } from '../../support/sent-events.ts';
import { notApplied } from '../../support/faults.ts';

/** Promises that hold over two requests, skewed clocks, restarts and proxies, and not only for one request. */

const servers = await openServers();
let beganAt: number;
beforeEach(() => {
  beganAt = Math.floor(Date.now() / 1_000) * 1_000;
});

const message = (type: string, tenantId: string, sent: Sent) => sentEvent(beganAt, type, tenantId, sent);

function onboard(tenantId: string, sent: Sent, type = 'TenantOnboarded') {
  const { event, arrivedAt } = message(type, tenantId, sent);
  return servers.onboard(settingsFromEvent(event, arrivedAt));
}
function offboard(tenantId: string, sent: Sent, type = 'TenantOffboarded') {
  const { event, arrivedAt } = message(type, tenantId, sent);
  return servers.offboard(offboardingFromEvent(event, arrivedAt));
}
const ofTaxify = { element: { key: 'taxify' } };
function newTenantWithSecret(): string {
  const tenantId = newTenant();
  servers.putTenantSecret(tenantId, '{"api.key": "k"}');
  return tenantId;
}
/** A request over HTTP for what the event asks for. */
const post = (tenantId: string) => servers.provision(taxify(tenantId, {}));
const ignored = () => servers.observations.filter(({ kind }) => kind === 'event-ignored');
const refuseNextDelete = () => servers.simulator.fail({ on: 'DELETE /instances/{id}', ...notApplied(500) });

describe('a removal that was carried out', () => {
  test('a removal is not repeated after another one of the same second', async () => {
    const tenantId = newTenantWithSecret();
    await post(tenantId);
    const a = { sentAtS: 0, id: 'A', detail: ofTaxify };
    expect(await offboard(tenantId, a)).toBe('removed');
    expect(await offboard(tenantId, { ...a, id: 'B' })).toBe('already-gone');
    await post(tenantId);
    // Delivered twice.
    await offboard(tenantId, a);
    await servers.expectOneActiveInstance(tenantId);
  });

  test('a removal is not repeated after an earlier one that arrived later', async () => {
    const tenantId = newTenantWithSecret();
    await post(tenantId);
    const a = { sentAtS: 0, id: 'A', detail: ofTaxify };
    expect(await offboard(tenantId, a)).toBe('removed');
    expect(await offboard(tenantId, { sentAtS: -300, id: 'B', detail: ofTaxify })).toBe('already-gone');
    await post(tenantId);
    await offboard(tenantId, a);
    await servers.expectOneActiveInstance(tenantId);
  });

  test('a tenant that leaves in two dialects at once is removed once', async () => {
    const tenantId = newTenantWithSecret();
    await post(tenantId);
    const native = { sentAtS: 0, id: 'native' };
    const toolkits = { sentAtS: 0, id: 'toolkit', detail: { tenantRegistrationId: 'r' } };
    expect(await offboard(tenantId, native)).toBe('removed');
    expect(await offboard(tenantId, toolkits, 'offboardingRequest')).toBe('already-gone');
    await post(tenantId);
    await offboard(tenantId, native);
    await offboard(tenantId, toolkits, 'offboardingRequest');
    await servers.expectOneActiveInstance(tenantId);
  });

  test('a removal event whose work another event completed is acknowledged although the tenant was onboarded again', async () => {
    const tenantId = newTenantWithSecret();
    await onboard(tenantId, { sentAtS: -60 });
    refuseNextDelete();
    const a = { sentAtS: -30, id: 'A', detail: ofTaxify };
    expect(await offboard(tenantId, a)).toBe('in-progress');
    expect(await offboard(tenantId, { sentAtS: -31, id: 'B', detail: ofTaxify })).toBe('removed');
    expect((await onboard(tenantId, { sentAtS: -20 })).outcome).toBe('created');
    const before = await servers.rowOf(tenantId);
    // The message of A comes again, as it has to. It is acknowledged.
    await offboard(tenantId, a);
    const after = await servers.rowOf(tenantId);
    expect(ignored()).toEqual([]);
    expect(resultOf({ before, after }).events).toMatchObject([
      { detailType: 'InstanceRemoved', detail: { request: { eventId: 'A' } } },
    ]);
  });
});

describe('an onboarding from before the removal of the whole tenant', () => {
  test('a late onboarding is ignored where a request over HTTP has made the instance since', async () => {
    const tenantId = newTenantWithSecret();
    await offboard(tenantId, { sentAtS: -10 });
    await post(tenantId);
    const before = await servers.rowOf(tenantId);
    const { outcome } = await onboard(tenantId, { sentAtS: -20 });
    const after = await servers.rowOf(tenantId);
    expect(outcome).toBe('outdated');
    expect(resultOf({ before, after }).events).toEqual([]);
    expect(ignored()).toHaveLength(1);
  });

  test('the toolkit gets no success for a tenant that has left', async () => {
    const tenantId = newTenantWithSecret();
    const detail = { tenantRegistrationId: 'of-before' };
    await offboard(tenantId, { sentAtS: -10, detail }, 'offboardingRequest');
    await post(tenantId);
    const before = await servers.rowOf(tenantId);
    await onboard(tenantId, { sentAtS: -20, detail }, 'onboardingRequest');
    const after = await servers.rowOf(tenantId);
    const types = resultOf({ before, after }).events.map(({ detailType }) => detailType);
    expect(types).not.toContain('provisionSuccess');
    expect(after?.registration).toBeUndefined();
  });
});

test('an onboarding that waited for its secret while the tenant left is ignored, and is no conflict', async () => {
  const tenantId = newTenant();
  const sent = { sentAtS: -60, detail: { tenantRegistrationId: 'r' } };
  const waiting = await onboard(tenantId, sent, 'onboardingRequest');
  expect(waiting.outcome).toBe('waiting-for-secret');
  await offboard(tenantId, { sentAtS: -30, detail: { tenantRegistrationId: 'r' } }, 'offboardingRequest');
  // By hand, with a key of its own.
  await servers.provision(taxify(tenantId));
  const before = await servers.rowOf(tenantId);
  await onboard(tenantId, sent, 'onboardingRequest').catch(() => undefined);
  const after = await servers.rowOf(tenantId);
  expect(resultOf({ before, after }).events.map(({ detailType }) => detailType)).toEqual([]);
});

test('a removal of the whole tenant keeps an instance that was requested after it, also after an earlier removal', async () => {
  const tenantId = newTenantWithSecret();
  await post(tenantId);
  // From a clock that is ahead, so by the queue's clock: 0.
  expect(await offboard(tenantId, { sentAtS: 100, arrivedAtS: 0, id: 'Q' })).toBe('removed');
  servers.clock.aheadMs = beganAt + 4_500 - Date.now();
  await post(tenantId);
  // Sent 7.5 seconds before the request: for one element it is outdated.
  expect(await offboard(tenantId, { sentAtS: -3, id: 'C', detail: ofTaxify })).toBe('outdated');
  await offboard(tenantId, { sentAtS: -3, id: 'D' });
  await servers.expectOneActiveInstance(tenantId);
});

test('an event whose time was cut is judged by the same clock after a redrive', async () => {
  const tenantId = newTenantWithSecret();
  // Its sender's clock is an hour ahead; it was sent some time before it arrived.
  const { event, arrivedAt } = message('TenantOnboarded', tenantId, { sentAtS: 3_600, arrivedAtS: -10 });
  await offboard(tenantId, { sentAtS: -11, detail: ofTaxify });
  const direct = await servers.onboard(settingsFromEvent(event, arrivedAt));
  expect(direct.outcome).toBe('outdated');
  const letter = readDeadLetter(
    'onboard-tenants',
    { messageId: 'm', arrivedAtMs: arrivedAt, body: JSON.stringify(event) },
    Date.now(),
  );
  const redriven = settingsFromEvent(JSON.parse(letter.body ?? ''), Date.now());
  expect((await servers.onboard(redriven)).outcome).toBe('outdated');
  expect(servers.instancesOf(tenantId)).toEqual([]);
});

test('the audit concludes nothing from instances that it had no time to read, and reads them first in its next run', async () => {
  const audited = await startServers();
  try {
    const names = Array.from({ length: 20 }, (_, i) => `seen-${i}`);
    const hidden = Array.from({ length: 100 }, (_, i) => `hidden-${i}`);
    await audited.seedProvisioned([...names, ...hidden]);
    // Their tags were edited at the console, so that the list does not show them. Each is there when it is read.
    for (const each of hidden) for (const instance of audited.instancesOf(each)) instance.tags = [];
    const readIds = () =>
      audited.simulator.requests.flatMap(({ operation, path }) =>
        operation === 'GET /instances/{id}' ? [path] : [],
      );
    audited.simulator.faultFor = ({ operation }) => {
      audited.simulator.latencyMs = operation === 'GET /instances/{id}' ? 150 : 0;
      return undefined;
    };
    const { commitReserveMs, lookUpTimeoutMs } = timing;
    const first = await audited.audit({ invocationMs: commitReserveMs + lookUpTimeoutMs + 300 });
    const before = readIds();
    expect(before.length).toBeGreaterThan(0);
    expect(before.length).toBeLessThan(100);
    expect.soft(first).toMatchObject({ complete: false, notVisible: false });
    await audited.audit();
    const after = readIds().slice(before.length);
    expect.soft(after.slice(0, 10).filter((path) => before.includes(path))).toEqual([]);
  } finally {
    await audited[Symbol.asyncDispose]();
  }
}, 60_000);

test('an empty look-up at one Cloud Elements proves nothing about instances at another', async () => {
  const tenantId = newTenantWithSecret();
  const elsewhere = 'https://elsewhere.example';
  // Removed at another base URL an hour ago at most; a create of unknown outcome was among it.
  await offboard(tenantId, { sentAtS: -600, detail: ofTaxify });
  const row = await servers.rowOf(tenantId);
  if (!row) throw new Error('no row');
  const inDoubt: InstanceRow = { ...row, origin: elsewhere, inDoubt: true, checkAt: Date.now() + 60_000 };
  await servers.store.write(inDoubt, row);
  // The base URL is this one now.
  await post(tenantId);
  servers.clock.aheadMs = 120_000;
  await servers.reconcile();
  expect((await servers.rowOf(tenantId))?.formers).toMatchObject([
    { provisionId: row.provisionId, origin: elsewhere },
  ]);
});

test('an onboarding that was never answered is ignored with a warning', async () => {
  const tenantId = newTenantWithSecret();
  servers.simulator.faultFor = () => ({ effect: 'none', outcome: { kind: 'status', status: 500 } });
  const sent = { sentAtS: -60 };
  expect((await onboard(tenantId, sent)).outcome).toBe('in-progress');
  servers.simulator.reset();
  expect(await offboard(tenantId, { sentAtS: -50, detail: ofTaxify })).toBe('in-progress');
  expect((await onboard(tenantId, sent)).outcome).toBe('outdated');
  expect(ignored()).toHaveLength(1);
});

test('the audit refills no token of a leased row', async () => {
  const tenantId = newTenantWithSecret();
  await post(tenantId);
  const row = await servers.rowOf(tenantId);
  if (!row) throw new Error('no row');
  await servers.store.write({ ...row, token: undefined }, row);
  // The audit runs while the change is on its way to Cloud Elements, the row being leased since before it.
  let audit: Promise<unknown> | undefined;
  servers.simulator.faultFor = ({ operation }) => {
    servers.simulator.latencyMs = operation === 'PATCH /instances/{id}' ? 350 : 0;
    if (operation === 'PATCH /instances/{id}') audit ??= servers.audit();
    return undefined;
  };
  const changed = await servers.update(keyOf(tenantId), { name: 'Renamed' }).then(
    ({ name }) => name,
    ({ code }: { code: string }) => code,
  );
  await audit;
  expect(changed).toBe('Renamed');
  expect((await servers.rowOf(tenantId))?.name).toBe(servers.instancesOf(tenantId)[0]?.name);
});

const ofEarlierVersion = (row: InstanceRow, over: Partial<InstanceRow>): InstanceRow => ({
  ...row,
  requestedTimes: undefined,
  removedTimes: undefined,
  removedBy: undefined,
  revision: undefined,
  source: undefined,
  ...over,
});
const yearsAhead = () => Date.now() + 1e11;

describe('a row of the version before, whose event was stamped years ahead', () => {
  test('an active row of an earlier version whose event time is years ahead is removed by a later offboarding', async () => {
    const tenantId = newTenantWithSecret();
    await onboard(tenantId, { sentAtS: -60 });
    const row = await servers.rowOf(tenantId);
    if (!row?.requestedBy) throw new Error('no row');
    const sentAt = yearsAhead();
    await servers.store.write(
      ofEarlierVersion(row, { requestedAt: sentAt, requestedBy: { ...row.requestedBy, sentAt } }),
      row,
    );
    servers.clock.aheadMs = 60_000;
    expect(await offboard(tenantId, { sentAtS: 60 })).toBe('removed');
    expect(servers.instancesOf(tenantId)).toEqual([]);
  });

  test('a tombstone of an earlier version whose event time is years ahead lets a later onboarding through', async () => {
    const tenantId = newTenantWithSecret();
    await offboard(tenantId, { sentAtS: -60, detail: ofTaxify });
    const row = await servers.rowOf(tenantId);
    if (!row?.removedBy) throw new Error('no row');
    const sentAt = yearsAhead();
    const requestedBy = { ...row.removedBy, sentAt };
    await servers.store.write(ofEarlierVersion(row, { removedAt: sentAt, requestedBy }), row);
    servers.clock.aheadMs = 60_000;
    expect((await onboard(tenantId, { sentAtS: 60 })).outcome).toBe('created');
  });
});

test('a row with a number that is no time does not stop the list of the others', async () => {
  const tenantId = newTenantWithSecret();
  await post(tenantId);
  const row = await servers.rowOf(tenantId);
  if (!row) throw new Error('no row');
  // A double, but no time: the store hands the row out as one that can be read.
  await servers.store.write({ ...row, updatedAt: 9e15 }, row);
  const { instances } = await servers.store.list(tenantId);
  expect(() => instances.map(instanceView)).not.toThrow();
});

test.each([
  ['202', { kind: 'status' as const, status: 202, body: { message: 'accepted' } }],
  ['200 and a page', { kind: 'status' as const, status: 200, body: '<html>Down for maintenance</html>' }],
])('a proxy’s success for a DELETE (%s) is no proof of the deletion', async (_what, outcome) => {
  const tenantId = newTenantWithSecret();
  await post(tenantId);
  servers.simulator.fail({ on: 'DELETE /instances/{id}', effect: 'none', outcome });
  await servers.remove(keyOf(tenantId));
  expect(servers.instancesOf(tenantId)).toHaveLength(1);
  expect((await servers.rowOf(tenantId))?.status).toBe('deleting');
});

describe('a late duplicate where the list leaves out all tags', () => {
  test.each([
    ['as it was made', undefined],
    ['renamed since', { name: 'Renamed' }],
  ])('the recheck removes a late duplicate of an instance %s', async (_what, changes) => {
    const tenantId = newTenantWithSecret();
    await servers.killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 2_000;
    await servers.reconcile();
    const row = await servers.expectOneActiveInstance(tenantId);
    expect(row.inDoubt).toBe(true);
    servers.duplicate(row);
    if (changes) await servers.update(keyOf(tenantId), changes);
    servers.simulator.listShape = { tags: 'absent' };
    servers.simulator.ignoreTagFilter = true;
    servers.clock.aheadMs = 70_000;
    // Others of this test file are in the list, too: they are no candidates, having other names.
    await servers.reconcile();
    await servers.expectOneActiveInstance(tenantId);
  });
});

test('a removal that was sent days ago and put back today has not waited for days', async () => {
  const tenantId = newTenantWithSecret();
  await onboard(tenantId, { sentAtS: -900_000 });
  refuseNextDelete();
  expect(await offboard(tenantId, { sentAtS: -800_000, detail: ofTaxify })).toBe('in-progress');
  servers.clock.aheadMs = 6_000;
  expect(await servers.oldestUnsettledMs()).toBeLessThan(60_000);
});

test('a pending removal of the whole tenant raises no alarm for an element that was requested after it', async () => {
  const tenantId = newTenantWithSecret();
  const second = { element: { key: 'freshdeskv2' } };
  servers.putTenantSecret(tenantId, '{"subdomain": "shop", "username": "u", "password": "p"}', 'freshdeskv2');
  await onboard(tenantId, { sentAtS: -60, detail: second });
  // In use, for good.
  servers.simulator.faultFor = ({ operation }) =>
    operation === 'DELETE /instances/{id}'
      ? { effect: 'none', outcome: { kind: 'status', status: 409 } }
      : undefined;
  expect(await offboard(tenantId, { sentAtS: -50 })).toBe('in-progress');
  await onboard(tenantId, { sentAtS: -20 });
  for (const aheadMs of [6_000, 12_000, 18_000]) {
    servers.clock.aheadMs = aheadMs;
    await servers.reconcile();
  }
  expect(ignored()).toEqual([]);
});

test('the result of a DELETE over HTTP does not name an event that removed an earlier instance', async () => {
  const tenantId = newTenantWithSecret();
  await onboard(tenantId, { sentAtS: -60 });
  await offboard(tenantId, { sentAtS: -50, id: 'A', detail: ofTaxify });
  await post(tenantId);
  const before = await servers.rowOf(tenantId);
  await servers.remove(keyOf(tenantId));
  const after = await servers.rowOf(tenantId);
  expect(resultOf({ before, after }).events).toMatchObject([
    { detailType: 'InstanceRemoved', detail: { request: undefined } },
  ]);
});

test('the reconciler postpones a row with a number that cannot be written', async () => {
  const tenantId = newTenantWithSecret();
  await servers.killedWhileCreating(tenantId, 'none');
  const row = await servers.rowOf(tenantId);
  if (!row) throw new Error('no row');
  // 2 ** 53 + 2 is a double. The SDK writes none above 2 ** 53 - 1 unasked.
  await servers.putNumber(row, 'sendDeadline', '9007199254740994');
  servers.clock.aheadMs = 60_000;
  await servers.reconcile();
  const { first, later } = await servers.store.due(Date.now() + 60_000, 100);
  expect([...first, ...later].map((due) => due.tenantId)).not.toContain(tenantId);
});

test('a proxy’s success for a PATCH is no proof of the update', async () => {
  const tenantId = newTenantWithSecret();
  await post(tenantId);
  const outcome = { kind: 'status' as const, status: 202, body: { message: 'accepted' } };
  servers.simulator.fail({ on: 'PATCH /instances/{id}', effect: 'none', outcome, times: 10 });
  await servers.update(keyOf(tenantId), { name: 'Renamed' }).catch(() => undefined);
  expect(servers.instancesOf(tenantId)[0]?.name).not.toBe('Renamed');
  expect((await servers.rowOf(tenantId))?.name).not.toBe('Renamed');
});
