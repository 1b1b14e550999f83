import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { InstanceRow } from '../../../functions/model/instance.ts';
import { markerTags } from '../../../functions/model/markers.ts';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import { createTrusting } from '../../../functions/core/trust.ts';
import { settingsFromEvent } from '../../../functions/model/events.ts';
import { notApplied } from '../../support/faults.ts';
import { errorOf, keyOf, newTenant, openServers, taxify } from '../../support/real-servers.ts';

const servers = await openServers();
const { importInstance, provision, rowOf, remove, reconcile, clock, simulator } = servers;

/** An instance that the tenant's team has made by hand. */
const handMade = (over: object = {}) =>
  simulator.seed({
    element: { key: 'taxify' },
    name: 'Shop by hand',
    tags: ['eu', 'made by hand'],
    configuration: { 'api.key': 'k' },
    ...over,
  });

const upstream = (id: number) => simulator.instances.find((each) => each.id === id);
const tagsOf = (id: number) => upstream(id)?.tags;
const operations = () => simulator.requests.map(({ operation }) => operation);
const quietMs = 20_000;

/** No request can change tags. */
const reset = notApplied({ kind: 'reset' });
const withoutPatch = (injectedFault = reset) => {
  simulator.faultFor = ({ operation }) => (operation === 'PATCH /instances/{id}' ? injectedFault : undefined);
};

/** Leaves the state of an import that was killed: before its PATCH of tags took effect, or after that. */
async function killedImport(tenantId: string, id: number, { isMarked }: { isMarked: boolean }) {
  const before = await rowOf(tenantId);
  withoutPatch({ effect: isMarked ? 'applied' : 'none', outcome: { kind: 'reset' } });
  expect((await importInstance(tenantId, id)).outcome).toBe('in-progress');
  const row = await rowOf(tenantId);
  if (!row) throw new Error('no row was left');
  servers.reset();
  return { row, before };
}

/** The row as it was before, but for its fencing token. */
function asBefore(row: InstanceRow | undefined) {
  return row && { ...row, claimId: 'any' };
}

/** An import can reserve the instance. */
async function expectFree(id: number): Promise<void> {
  const tenantId = newTenant();
  expect((await importInstance(tenantId, id)).outcome).toBe('created');
}

describe('an import', () => {
  test('an import keeps id, token, name and tags, and adds the markers', async () => {
    const tenantId = newTenant();
    const { id, token } = handMade();
    await importInstance(newTenant(), handMade().id);
    servers.reset();

    const { outcome } = await importInstance(tenantId, id);

    expect(outcome).toBe('created');
    expect(servers.awsRequests).toEqual([
      'DynamoDB_20120810.PutItem',
      'DynamoDB_20120810.Query',
      'DynamoDB_20120810.PutItem',
      'TrentService.Encrypt',
      'DynamoDB_20120810.PutItem',
    ]);
    expect(operations()).toEqual(['GET /instances/{id}', 'PATCH /instances/{id}']);
    expect(simulator.requests.at(-1)?.body).toEqual({ tags: tagsOf(id) });
    const row = await servers.expectOneActiveInstance(tenantId);
    expect(row).toMatchObject({
      v: 1,
      instanceId: id,
      importedId: id,
      name: 'Shop by hand',
      tags: ['eu', 'made by hand'],
      allowListed: {},
      inDoubt: false,
    });
    for (const absent of ['source', 'importing', 'checkAt']) expect(row).not.toHaveProperty(absent);
    expect(upstream(id)).toMatchObject({
      token,
      name: 'Shop by hand',
      tags: ['eu', 'made by hand', `tenant:${tenantId}`, `provision:${row.provisionId}`, 'owner:tests'],
    });
    expect(servers.observations).toContainEqual({ kind: 'imported', instanceId: id });
  });

  test('a tag of the team that begins like a marker is kept', async () => {
    const tenantId = newTenant();
    const tags = ['eu', 'provision:blue'];
    const { id } = handMade({ tags });
    await importInstance(tenantId, id);
    const row = await servers.expectOneActiveInstance(tenantId);
    expect(tagsOf(id)).toEqual([...tags, ...markerTags(row, 'tests')]);
    expect(row.tags).toEqual(tags);
  });

  test('the same import again costs one call of DynamoDB, also after a PATCH of name and tags', async () => {
    const tenantId = newTenant();
    const { id } = handMade();
    await importInstance(tenantId, id);
    for (const change of [{}, { name: 'Renamed', tags: ['gold'] }]) {
      await servers.update(keyOf(tenantId), change);
      servers.reset();
      const { outcome } = await importInstance(tenantId, id);
      expect(outcome).toBe('replayed');
      expect(servers.awsRequests).toEqual(['DynamoDB_20120810.PutItem']);
      expect(simulator.requests).toEqual([]);
    }
    expect(await rowOf(tenantId)).toMatchObject({ importedId: id, name: 'Renamed' });
  });

  test('an import of the instance that the tenant has anyway is a repeat', async () => {
    const tenantId = newTenant();
    await provision(taxify(tenantId));
    const { instanceId = 0 } = await servers.expectOneActiveInstance(tenantId);
    expect((await importInstance(tenantId, instanceId)).outcome).toBe('replayed');
  });

  test('DELETE of an imported instance deletes it at Cloud Elements, and the audit finds no orphan', async () => {
    const tenantId = newTenant();
    const { id } = handMade();
    await importInstance(tenantId, id);
    expect((await remove(keyOf(tenantId))).outcome).toBe('removed');
    expect(upstream(id)).toBeUndefined();
    expect((await servers.audit()).orphaned).toBe(0);
  });

  test('a request with the very settings of an imported instance is no repeat of the import', async () => {
    const tenantId = newTenant();
    await importInstance(tenantId, handMade().id);
    const settings = taxify(tenantId, { name: 'Shop by hand', tags: ['eu', 'made by hand'] });
    const { code, message } = await errorOf(provision(settings));
    expect(code).toBe('settings-conflict');
    expect(message).toMatch(/is instance \d+, which was imported/);
  });

  test('the tenant’s secret is not sent to an imported instance', async () => {
    const tenantId = newTenant();
    servers.putTenantSecret(tenantId, '{"api.key": "stored-key"}');
    await importInstance(tenantId, handMade().id);
    const error = await errorOf(servers.update(keyOf(tenantId), { configuration: {} }));
    expect(error.code).toBe('configuration-unknown');
    expect(await servers.applySecret(tenantId)).toMatchObject({ outcome: 'not-from-secret', retry: false });
  });

  test('once an operator vouches for it, a changed secret is sent to an imported instance', async () => {
    const tenantId = newTenant();
    const { id, token } = handMade();
    servers.putTenantSecret(tenantId, '{"api.key": "stored-key"}');
    await importInstance(tenantId, id);
    const trust = createTrusting({ store: servers.store, catalog: builtInCatalog });
    const lookedAtMs = Infinity;
    expect(await trust(keyOf(tenantId), { lookedAtMs })).toMatchObject({ kind: 'trusted', was: 'unknown' });
    expect(await servers.applySecret(tenantId)).toMatchObject({ outcome: 'updated' });
    expect(upstream(id)).toMatchObject({ token, configuration: { 'api.key': 'stored-key' } });
    expect((await importInstance(tenantId, id)).outcome).toBe('replayed');
  });

  test.each([
    ['a tombstone', async (tenantId: string) => void (await remove(keyOf(tenantId)))],
    [
      'a failed row',
      async (tenantId: string) => {
        simulator.fail({ on: 'POST /instances', ...notApplied(400) });
        await errorOf(provision(taxify(tenantId), { recordRefusal: true }));
        expect(await rowOf(tenantId)).toMatchObject({ status: 'failed' });
      },
    ],
  ])('an import over %s begins a generation of its own', async (_what, prepare) => {
    const tenantId = newTenant();
    await prepare(tenantId);
    const before = await rowOf(tenantId);
    const { id } = handMade();
    expect((await importInstance(tenantId, id)).outcome).toBe('created');
    const row = await servers.expectOneActiveInstance(tenantId);
    expect(row).toMatchObject({ importedId: id, removedTimes: before?.removedTimes ?? {} });
    expect(row.provisionId).not.toBe(before?.provisionId);
    expect(row).not.toHaveProperty('lastError');
    expect(row).not.toHaveProperty('expiresAt');
  });

  test('an import over a failed row in doubt leaves its late instance to the recheck, which spares the import', async () => {
    const tenantId = newTenant();
    const killed = await servers.killedWhileCreating(tenantId, 'none');
    clock.aheadMs = quietMs;
    expect(await reconcile()).toEqual({ failed: 1 });
    const { id } = handMade();
    expect((await importInstance(tenantId, id)).outcome).toBe('created');
    servers.duplicate(killed);
    clock.aheadMs += 70_000;
    expect(await reconcile()).toEqual({ checked: 1 });
    expect((await servers.expectOneActiveInstance(tenantId)).instanceId).toBe(id);
  });
});

/** What stands against an import, and the code of its refusal. */
const refusals: [string, string, (tenantId: string) => number | Promise<number>][] = [
  ['an id that Cloud Elements denies', 'not-at-cloud-elements', () => 7],
  [
    'an instance of another element',
    'other-element',
    () => handMade({ element: { key: 'twiliov2' }, configuration: { username: 'any', password: 'any' } }).id,
  ],
  ['an instance marked for another tenant', 'not-ours', () => handMade({ tags: ['tenant:another'] }).id],
  ['an instance marked for another stage', 'not-ours', () => handMade({ tags: ['owner:another'] }).id],
  [
    'an instance of another tenant whose tags were edited',
    'instance-taken',
    async () => {
      const another = newTenant();
      await provision(taxify(another));
      const { instanceId = 0 } = await servers.expectOneActiveInstance(another);
      const instance = upstream(instanceId);
      if (instance) instance.tags = ['eu'];
      return instanceId;
    },
  ],
  [
    'an instance that another tenant has imported, whose tags were edited',
    'instance-taken',
    async () => {
      const { id } = handMade();
      await importInstance(newTenant(), id);
      const instance = upstream(id);
      if (instance) instance.tags = ['eu'];
      return id;
    },
  ],
  [
    'an instance that shows no tags',
    'not-fully-shown',
    () => {
      const { id, element, token } = handMade();
      const body = { id, element, token };
      simulator.fail({ on: 'GET /instances/{id}', ...notApplied(200, { body }) });
      return id;
    },
  ],
  [
    'an instance that shows no token',
    'not-fully-shown',
    () => {
      const { id, element } = handMade();
      simulator.fail({
        on: 'GET /instances/{id}',
        ...notApplied(200, { body: { id, element, tags: [] } }),
      });
      return id;
    },
  ],
  [
    'an instance whose token no header can carry',
    'not-importable',
    () => {
      const { id, element } = handMade();
      const body = { id, element, tags: [], token: 'not for a header' };
      simulator.fail({ on: 'GET /instances/{id}', ...notApplied(200, { body }) });
      return id;
    },
  ],
  [
    'an instance with its token in a tag',
    'not-importable',
    () => leaking((token) => ({ tags: [`x ${token}`] })),
  ],
  ['an instance with its token as name', 'not-importable', () => leaking((name) => ({ name }))],
  [
    'an instance with the platform secret in a tag',
    'not-importable',
    () => leaking(() => ({ tags: ['user-secret-for-tests'] })),
  ],
  [
    'an instance with more text than a row keeps',
    'not-importable',
    () => handMade({ tags: ['x'.repeat(16 * 1024)] }).id,
  ],
];

function leaking(shownFor: (token: string) => object): number {
  const instance = handMade();
  Object.assign(instance, shownFor(instance.token));
  return instance.id;
}

describe('a refused import', () => {
  test.each(refusals)('%s is refused as %s, and nothing is left of it', async (_what, code, prepare) => {
    const tenantId = newTenant();
    const id = await prepare(tenantId);
    const tags = tagsOf(id);
    simulator.requests.length = 0;

    expect((await errorOf(importInstance(tenantId, id))).code).toBe(code);

    expect(await rowOf(tenantId)).toBeUndefined();
    expect(operations()).toEqual(['GET /instances/{id}']);
    expect(tagsOf(id)).toEqual(tags);
  });

  test('an instance that a create of the same row may have left is refused', async () => {
    const tenantId = newTenant();
    const killed = await servers.killedWhileCreating(tenantId, 'none');
    clock.aheadMs = quietMs;
    await reconcile();
    servers.duplicate(killed);
    const before = await rowOf(tenantId);
    const { id = 0 } = simulator.instances.at(-1) ?? {};
    expect((await errorOf(importInstance(tenantId, id))).code).toBe('instance-taken');
    expect(asBefore(await rowOf(tenantId))).toEqual(asBefore(before));
  });

  test.each([
    ['PATCH /instances/{id}', notApplied(400), 'refused-by-cloud-elements'],
    ['PATCH /instances/{id}', notApplied(404), 'not-at-cloud-elements'],
    ['GET /instances/{id}', notApplied(500), 'cloud-elements-unreachable'],
    ['GET /instances/{id}', notApplied(401), 'platform-credentials-refused'],
  ] as const)('%s refused with %j gives the claim and the instance back', async (on, injectedFault, code) => {
    const tenantId = newTenant();
    await remove(keyOf(tenantId));
    const before = await rowOf(tenantId);
    const { id } = handMade();
    simulator.fail({ on, ...injectedFault, times: 5 });
    expect((await errorOf(importInstance(tenantId, id))).code).toBe(code);
    expect(asBefore(await rowOf(tenantId))).toEqual(asBefore(before));
    servers.reset();
    await expectFree(id);
  });

  test.each(['active', 'imported', 'deleting'] as const)(
    'a tenant whose instance is %s cannot import another',
    async (kind) => {
      const tenantId = newTenant();
      if (kind === 'imported') await importInstance(tenantId, handMade().id);
      else await provision(taxify(tenantId));
      if (kind === 'deleting') {
        simulator.fail({ on: 'DELETE /instances/{id}', ...notApplied(500), times: 9 });
        await remove(keyOf(tenantId));
      }
      const { id } = handMade();
      const { code } = await errorOf(importInstance(tenantId, id));
      expect(code).toBe(kind === 'deleting' ? 'being-deleted' : 'settings-conflict');
      expect(tagsOf(id)).toEqual(['eu', 'made by hand']);
      servers.reset();
      await remove(keyOf(tenantId));
    },
  );

  test('one of eight tenants that import an instance at once gets it', async () => {
    const { id } = handMade();
    const tenantIds = Array.from({ length: 8 }, newTenant);
    const results = await Promise.allSettled(tenantIds.map((each) => importInstance(each, id)));
    const won = tenantIds.filter((_, index) => results[index]?.status === 'fulfilled');
    expect(won).toHaveLength(1);
    const rows = await Promise.all(tenantIds.map(rowOf));
    expect(rows.flatMap((row) => row?.tenantId ?? [])).toEqual(won);
    for (const tenantId of won) await servers.expectOneActiveInstance(tenantId);
  });
});

describe('an unfinished import', () => {
  test.each([true, false])('the same import again finishes it (marked: %s)', async (isMarked) => {
    const tenantId = newTenant();
    const { id, token } = handMade();
    const { row } = await killedImport(tenantId, id, { isMarked });
    expect(row).toMatchObject({ v: 'import', status: 'provisioning', importedId: id, importing: {} });
    expect(row).not.toHaveProperty('instanceId');

    expect((await importInstance(tenantId, id)).outcome).toBe('created');

    const active = await servers.expectOneActiveInstance(tenantId);
    expect(active).toMatchObject({ v: 1, importedId: id, provisionId: row.provisionId });
    expect(upstream(id)).toMatchObject({
      token,
      tags: ['eu', 'made by hand', ...markerTags(active, 'tests')],
    });
    expect(operations()).toEqual(['GET /instances/{id}', ...(isMarked ? [] : ['PATCH /instances/{id}'])]);
  });

  test.each([true, false])('the reconciler finishes it (marked: %s)', async (isMarked) => {
    const tenantId = newTenant();
    const { id } = handMade();
    await killedImport(tenantId, id, { isMarked });
    expect(await reconcile()).toEqual({ adopted: 1 });
    expect(await servers.expectOneActiveInstance(tenantId)).toMatchObject({ instanceId: id });
  });

  test('a PATCH that is answered without the markers is no proof of them', async () => {
    const tenantId = newTenant();
    const { id, element, tags } = handMade();
    withoutPatch(notApplied(200, { body: { id, element, tags } }));
    expect((await importInstance(tenantId, id)).outcome).toBe('in-progress');
    expect(await rowOf(tenantId)).toMatchObject({ status: 'provisioning', importedId: id });
    servers.reset();
    expect(await reconcile()).toEqual({ adopted: 1 });
    await servers.expectOneActiveInstance(tenantId);
  });

  test('while its lease runs, the same import again is in progress', async () => {
    const tenantId = newTenant();
    const { id } = handMade();
    simulator.latencyMs = 100;
    const [one, two] = await Promise.all([importInstance(tenantId, id), importInstance(tenantId, id)]);
    expect([one.outcome, two.outcome].toSorted()).toEqual(['created', 'in-progress']);
    await servers.expectOneActiveInstance(tenantId);
  });

  test('no request, event or changed secret creates over it', async () => {
    const tenantId = newTenant();
    const { id } = handMade();
    servers.putTenantSecret(tenantId, '{"api.key": "stored-key"}');
    await killedImport(tenantId, id, { isMarked: true });
    withoutPatch();
    for (const settings of [
      taxify(tenantId),
      settingsOfEvent(tenantId, 'TenantOnboarded', 'crm'),
      settingsOfEvent(tenantId, 'sbt_aws_onboardingRequest', 'sbt.control.plane'),
    ]) {
      expect((await errorOf(provision(settings))).code).toBe('busy-with-other-settings');
    }
    expect((await errorOf(importInstance(tenantId, handMade().id))).code).toBe('busy-with-other-settings');
    expect(await servers.applySecret(tenantId)).toMatchObject({ outcome: 'in-progress', retry: true });
    expect(servers.posts()).toBe(0);
    servers.reset();
    await importInstance(tenantId, id);
  });

  test.each([
    ['with its markers on', true],
    ['before its markers took effect', false],
  ])('DELETE %s leaves the instance as it was before the import', async (_when, isMarked) => {
    const tenantId = newTenant();
    const { id, token } = handMade();
    await killedImport(tenantId, id, { isMarked });

    expect((await remove(keyOf(tenantId))).outcome).toBe('in-progress');
    expect(await rowOf(tenantId)).toMatchObject({ status: 'deleting', v: 'import' });
    clock.aheadMs = quietMs;
    expect(await reconcile()).toEqual({ removed: 1 });

    expect(upstream(id)).toMatchObject({ token, name: 'Shop by hand', tags: ['eu', 'made by hand'] });
    expect(await rowOf(tenantId)).toMatchObject({ status: 'removed', v: 1 });
    expect((await servers.audit()).orphaned).toBe(0);
    await expectFree(id);
  });

  test.each([
    ['its tenant', (tenantId: string) => [`tenant:${tenantId}`]],
    [
      'an earlier instance of its tenant',
      (tenantId: string) => [`tenant:${tenantId}`, `provision:${randomUUID()}`, 'owner:tests'],
    ],
  ])('an instance with the markers of %s gets them back', async (_whose, markersFor) => {
    const tenantId = newTenant();
    const tags = ['eu', ...markersFor(tenantId)];
    const { id } = handMade({ tags });
    await killedImport(tenantId, id, { isMarked: true });
    await remove(keyOf(tenantId));
    clock.aheadMs = 30_000 + quietMs;
    await reconcile();
    expect(await rowOf(tenantId)).toMatchObject({ status: 'removed' });
    expect(tagsOf(id)).toEqual(tags);
  });

  test('markers that take effect late are taken off, too', async () => {
    const tenantId = newTenant();
    const { id } = handMade();
    const { row } = await killedImport(tenantId, id, { isMarked: false });
    expect((await remove(keyOf(tenantId))).outcome).toBe('in-progress');
    const instance = upstream(id);
    if (instance) instance.tags = ['eu', 'made by hand', ...markerTags(row, 'tests')];
    clock.aheadMs = quietMs;
    expect(await reconcile()).toEqual({ 'still-open': 1 });
    expect(tagsOf(id)).toEqual(['eu', 'made by hand']);
    // The PATCH that takes them off may take effect late.
    expect(await reconcile()).toEqual({});
    clock.aheadMs += 30_000 + quietMs;
    // A row of an earlier test may be due for its recheck by now.
    expect(await reconcile()).toMatchObject({ removed: 1 });
  });

  test.each([
    ['was removed at Cloud Elements', (id: number) => servers.removeAtCloudElements(id), 'none'],
    ['was marked for another stage', (id: number) => mark(id, ['owner:another']), ['owner:another']],
  ] as const)('an instance that %s meanwhile gives the claim back', async (_what, change, tags) => {
    const tenantId = newTenant();
    await remove(keyOf(tenantId));
    const before = await rowOf(tenantId);
    const { id } = handMade();
    await killedImport(tenantId, id, { isMarked: false });
    await change(id);

    expect(await reconcile()).toEqual({ 'still-open': 1 });
    expect(await rowOf(tenantId)).toMatchObject({ status: 'provisioning', importing: { isEnding: true } });
    expect((await importInstance(tenantId, id)).outcome).toBe('in-progress');
    clock.aheadMs = quietMs;
    expect(await reconcile()).toEqual({ failed: 1 });

    expect(asBefore(await rowOf(tenantId))).toEqual(asBefore(before));
    expect(tagsOf(id)).toEqual(tags === 'none' ? undefined : tags);
    expect(servers.observations).toContainEqual(
      expect.objectContaining({ kind: 'import-given-back', instanceId: id }),
    );
  });

  test('an instance that does not show its tags stays as it is, and its row open', async () => {
    const tenantId = newTenant();
    const { id, element, token } = handMade();
    await killedImport(tenantId, id, { isMarked: true });
    const hide = () =>
      simulator.fail({ on: 'GET /instances/{id}', ...notApplied(200, { body: { id, element, token } }) });
    hide();
    expect(await reconcile()).toEqual({ 'still-open': 1 });
    clock.aheadMs = quietMs;
    hide();
    await remove(keyOf(tenantId));
    expect(await rowOf(tenantId)).toMatchObject({
      status: 'deleting',
      lastError: { code: 'deletion-pending' },
    });
    expect(operations()).not.toContain('PATCH /instances/{id}');
    clock.aheadMs += 6_000;
    expect(await reconcile()).toEqual({ 'still-open': 1 });
    clock.aheadMs += 30_000 + quietMs;
    await reconcile();
    expect(await rowOf(tenantId)).toMatchObject({ status: 'removed' });
    expect(tagsOf(id)).toEqual(['eu', 'made by hand']);
  });

  test('a commit that fails is finished by the same import again', async () => {
    const tenantId = newTenant();
    const { id } = handMade();
    servers.failAws({ target: 'TrentService.Encrypt', status: 400, type: 'AccessDeniedException' });
    expect((await errorOf(importInstance(tenantId, id))).code).toBe('not-saved');
    expect(await rowOf(tenantId)).toMatchObject({ status: 'provisioning', lastError: { code: 'not-saved' } });
    servers.reset();
    expect((await importInstance(tenantId, id)).outcome).toBe('created');
    await servers.expectOneActiveInstance(tenantId);
  });

  test('a reservation of an import that has ended is free', async () => {
    const { id } = handMade();
    const holder = { ...keyOf(newTenant()), provisionId: 'ended' };
    expect(await servers.importedIds.hold(id, holder)).toEqual({ held: true });
    await expectFree(id);
  });

  test('a removed tenant’s reservation is free, and that of an unfinished import is not', async () => {
    const { id } = handMade();
    const tenantId = newTenant();
    await killedImport(tenantId, id, { isMarked: false });
    expect((await errorOf(importInstance(newTenant(), id))).code).toBe('instance-taken');
    await remove(keyOf(tenantId));
    expect((await errorOf(importInstance(newTenant(), id))).code).toBe('instance-taken');
    clock.aheadMs = quietMs;
    await reconcile();
    await expectFree(id);
  });
});

function mark(id: number, tags: string[]): void {
  const instance = upstream(id);
  if (instance) instance.tags = tags;
}

function settingsOfEvent(tenantId: string, type: string, source: string) {
  return settingsFromEvent(
    {
      id: `event-${tenantId}-${source}`,
      source,
      'detail-type': type,
      time: new Date().toISOString(),
      detail: { tenantId, ...(type !== 'TenantOnboarded' && { tenantRegistrationId: 'r' }) },
    },
    Date.now(),
  );
}

test('an import that continues another one counts from its own time', async () => {
  const tenantId = newTenant();
  const { id } = handMade();
  await killedImport(tenantId, id, { isMarked: false });
  clock.aheadMs = 60_000;
  await importInstance(tenantId, id);
  const { requestedTimes: { own = 0 } = {} } = await servers.expectOneActiveInstance(tenantId);
  expect(own).toBeGreaterThan(Date.now() + 50_000);
});
