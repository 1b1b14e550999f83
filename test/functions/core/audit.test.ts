import { randomUUID } from 'node:crypto';
import pMap from 'p-map';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { wholeTenant, type InstanceRow } from '../../../functions/model/instance.ts';
import { readToken } from '../../../functions/core/read.ts';
import type { InjectedFault } from '../../../infra/local/cloud-elements/simulator.ts';
import { errorOf, keyOf, startServers, taxify, timing } from '../../support/real-servers.ts';
import { notApplied } from '../../support/faults.ts';

let servers: Awaited<ReturnType<typeof startServers>>;
beforeEach(async () => {
  servers = await startServers();
});
afterEach(() => servers[Symbol.asyncDispose]());

const nothing = {
  notListed: 0,
  readById: 0,
  lost: 0,
  orphaned: 0,
  notOurs: 0,
  invalid: 0,
  disabled: 0,
  refilled: 0,
  unreadable: 0,
  notVisible: false,
  complete: true,
};

/** Ten at a time, because each has its timeouts. */
async function provisioned(...tenantIds: string[]): Promise<InstanceRow[]> {
  const rows: InstanceRow[] = [];
  for (let start = 0; start < tenantIds.length; start += 10) {
    const some = tenantIds.slice(start, start + 10).map((tenantId) =>
      // Enough on a busy machine, too.
      servers.provision(taxify(tenantId), { invocationMs: 25_000 }),
    );
    rows.push(...(await Promise.all(some)).map(({ row }) => row));
  }
  return rows;
}
const many = (count: number, name = 'tenant') => Array.from({ length: count }, (_, i) => `${name}-${i}`);

function instanceOf(tenantId: string) {
  const [instance] = servers.instancesOf(tenantId);
  if (!instance) throw new Error(`no instance of ${tenantId}`);
  return instance;
}

/** The tenants that observations of this kind name. */
const named = (kind: string) =>
  servers.observed.flatMap(({ observation, of }) => (observation.kind === kind ? [of.tenantId] : []));
const generationsOf = (kind: string) =>
  servers.observed.flatMap(({ observation, of }) => (observation.kind === kind ? [of.provisionId] : []));
const pagesRequested = () =>
  servers.simulator.requests.filter(({ operation }) => operation === 'GET /instances').length;

describe('the audit', () => {
  test('the audit reports nothing where both sides agree, over several pages', async () => {
    await servers.seedProvisioned(many(210));
    await servers.remove(keyOf('tenant-7'));
    servers.reset();
    expect(await servers.audit()).toEqual({ ...nothing, ours: 209, theirs: 209 });
    expect(pagesRequested()).toBe(2);
  }, 30_000);

  test('the audit of an empty service reports nothing', async () => {
    expect(await servers.audit()).toEqual({ ...nothing, ours: 0, theirs: 0 });
  });

  test('the audit keeps its result in the table, and returns it also when it cannot be kept', async () => {
    expect(await servers.lastAudit()).toBeUndefined();
    await provisioned('acme');
    const before = Date.now();
    const result = await servers.audit();
    const kept = await servers.lastAudit();
    expect(kept).toEqual({ startedAt: expect.any(Number), endedAt: expect.any(Number), result });
    expect(kept?.startedAt).toBeGreaterThanOrEqual(before);
    expect(kept?.endedAt).toBeLessThanOrEqual(Date.now());

    servers.failAws({
      target: 'DynamoDB_20120810.PutItem',
      times: 10,
      status: 500,
      type: 'InternalServerError',
    });
    expect(await servers.audit()).toEqual(result);
    expect(named('left-open')).toEqual(['*audit']);
    expect(await servers.lastAudit()).toEqual(kept);
  });

  test('the audit counts and names lost, orphaned and broken instances', async () => {
    await provisioned('lost', 'orphaned', 'invalid', 'disabled');
    await servers.removeAtCloudElements(instanceOf('lost').id);
    const row = await servers.rowOf('orphaned');
    if (row) await servers.store.remove(row);
    instanceOf('invalid').valid = false;
    instanceOf('disabled').disabled = true;

    expect(await servers.audit()).toEqual({
      ...nothing,
      ours: 3,
      theirs: 3,
      notListed: 1,
      readById: 1,
      lost: 1,
      orphaned: 1,
      invalid: 1,
      disabled: 1,
    });
    expect(named('instance-lost')).toEqual(['lost']);
    expect(named('orphan')).toEqual(['orphaned']);
    expect(generationsOf('orphan')).toEqual([row?.provisionId]);
    expect(named('instance-invalid')).toEqual(['invalid']);
    expect(named('instance-disabled')).toEqual(['disabled']);
  });

  test('the audit does not report rows that are still unsettled', async () => {
    await servers.killedWhileCreating('acme', 'applied');
    expect(await servers.audit()).toMatchObject({ orphaned: 0, theirs: 1 });
  });

  test('the audit names unreadable rows, and ignores rows that are not about an instance', async () => {
    const [row] = await provisioned('odd');
    if (!row) throw new Error('no row');
    await servers.putOdd({ ...row, elementKey: wholeTenant });
    await servers.putOdd({ ...row, tenantId: '*audit' });
    await servers.putOdd(row);
    expect(await servers.audit()).toMatchObject({ unreadable: 1, orphaned: 0, complete: true });
    expect(named('row-unreadable')).toEqual(['odd']);
  });
});

describe('an instance is not lost', () => {
  test.each([
    ['the list shows no tags', () => Object.assign(servers.simulator, { listShape: { tags: 'absent' } })],
    ['the list is behind', () => Object.assign(servers.simulator, { listLagMs: 600_000 })],
    [
      'its tags were edited',
      () => {
        for (const instance of servers.simulator.instances) instance.tags = ['edited'];
      },
    ],
  ])('an instance is not reported lost when %s', async (_why, happen) => {
    await provisioned('a', 'b', 'c');
    happen();
    expect(await servers.audit()).toMatchObject({ lost: 0, notOurs: 0, notVisible: false, complete: true });
  });

  test('an instance is not reported lost after a 404 of a proxy', async () => {
    await provisioned('a', 'b', 'c');
    instanceOf('c').tags = ['not listed by its tags'];
    servers.simulator.fail({
      on: 'GET /instances/{id}',
      ...notApplied(404, { body: { message: 'no Route matched with those values' } }),
    });
    expect(await servers.audit()).toMatchObject({ notListed: 1, lost: 0, complete: false });
  });

  test('an instance is not reported lost when its row changes during the read', async () => {
    const [row] = await provisioned('leaving', 'staying');
    if (!row) throw new Error('no row');
    await servers.removeAtCloudElements(row.instanceId);
    let written: Promise<unknown> | undefined;
    servers.simulator.faultFor = ({ operation }) => {
      if (operation === 'GET /instances/{id}') {
        servers.simulator.latencyMs = 150;
        const leaseExpiresAt = Date.now() + 60_000;
        written ??= servers.store.claim({ ...row, claimId: 'another claim', leaseExpiresAt }, row);
      }
      return undefined;
    };
    expect(await servers.audit()).toMatchObject({ notListed: 1, readById: 1, lost: 0, notVisible: false });
    expect(await written).toEqual({ won: true });
  });

  test('an instance is reported lost although its health is checked during the read', async () => {
    const [row] = await provisioned('leaving', 'staying');
    if (!row) throw new Error('no row');
    await servers.removeAtCloudElements(row.instanceId);
    let checked: Promise<unknown> | undefined;
    servers.simulator.faultFor = ({ operation }) => {
      if (operation !== 'GET /instances/{id}' || checked) return undefined;
      checked = servers.check(row);
      return { effect: 'applied', outcome: { kind: 'delay', ms: 300 } };
    };
    expect(await servers.audit()).toMatchObject({ notListed: 1, lost: 1 });
    expect(await checked).toMatchObject({ finding: { reason: 'gone' }, row: { health: {} } });
  });

  test('no instance is reported lost when fewer than half are visible, and the audit reports that instead', async () => {
    await provisioned('a', 'b', 'c', 'd');
    for (const tenantId of ['a', 'b']) await servers.removeAtCloudElements(instanceOf(tenantId).id);
    expect(await servers.audit()).toMatchObject({ lost: 2, notVisible: false });
    await servers.removeAtCloudElements(instanceOf('c').id);
    expect(await servers.audit()).toMatchObject({ lost: 0, notVisible: true });
    expect(named('instance-lost').toSorted()).toEqual(['a', 'b']);
  });

  test('no instance is reported lost when the time ended before half of them were seen', async () => {
    await servers.seedProvisioned([...many(15, 'seen'), ...many(25, 'denied')]);
    for (const tenantId of many(25, 'denied')) await servers.removeAtCloudElements(instanceOf(tenantId).id);
    servers.simulator.faultFor = ({ operation }) => {
      // The time is over after the first reads by id.
      if (operation === 'GET /instances/{id}') servers.clock.aheadMs = 60_000;
      return undefined;
    };
    const audit = await servers.audit();
    expect(audit).toMatchObject({ notListed: 25, readById: 10, lost: 0, notVisible: true, complete: false });
    expect(named('instance-lost')).toEqual([]);
  });

  test('no instance is read or reported lost when the list broke off', async () => {
    await provisioned('a', 'b');
    servers.simulator.faultFor = () => ({ effect: 'none', outcome: { kind: 'status', status: 500 } });
    expect(await servers.audit()).toMatchObject({ complete: false, readById: 0, lost: 0, notVisible: false });
  });
});

test('the audit reads only a sample of instances that are not visible', async () => {
  const [row] = await provisioned('acme');
  if (!row) throw new Error('no row');
  await servers.removeAtCloudElements(row.instanceId);
  const others = many(299).map((tenantId, i) => ({ ...row, tenantId, instanceId: i + 1 }));
  await pMap(others, (other) => servers.store.claim(other), { concurrency: 10 });
  expect(await servers.audit()).toMatchObject({ notListed: 300, readById: 100, lost: 0, notVisible: true });
}, 30_000);

describe('an orphan', () => {
  test.each([
    ['removed', 1],
    ['failed', 1],
    ['deleting', 0],
    ['active', 0],
  ] as const)(
    'an instance beside its row that is %s and records its id counts %d orphans',
    async (status, orphaned) => {
      const [row] = await provisioned('acme');
      if (!row) throw new Error('no row');
      await servers.store.write({ ...row, status }, row);
      expect(await servers.audit()).toMatchObject({ theirs: 1, orphaned });
    },
  );

  test('an orphan of an earlier generation is named by its own tag, not by the current row', async () => {
    const [row] = await provisioned('acme');
    if (!row) throw new Error('no row');
    await servers.store.write({ ...row, provisionId: randomUUID(), status: 'failed' }, row);
    await servers.audit();
    expect(generationsOf('orphan')).toEqual([row.provisionId]);
  });

  test.each(['provision:a secret', 'provision:', 'another'])(
    'an orphan with the tag "%s" is named without it',
    async (tag) => {
      const [row] = await provisioned('acme');
      if (!row) throw new Error('no row');
      await servers.store.remove(row);
      instanceOf('acme').tags = ['owner:tests', 'tenant:acme', tag];
      await servers.audit();
      expect(generationsOf('orphan')).toEqual(['not known']);
    },
  );

  test('an instance whose tags name no possible tenant is an orphan', async () => {
    const [row] = await provisioned('acme');
    if (!row) throw new Error('no row');
    await servers.store.remove(row);
    instanceOf('acme').tags = ['owner:tests', 'tenant:a secret in place of an id'];
    await servers.provision(taxify('other'));
    expect(await servers.audit()).toMatchObject({ orphaned: 1, complete: true });
    expect(named('orphan')).toEqual(['not known']);
  });

  test('an instance that only another tenant’s row records is an orphan', async () => {
    const [acme, other] = await provisioned('acme', 'other');
    if (!acme || !other) throw new Error('no rows');
    await servers.store.write({ ...acme, instanceId: other.instanceId }, acme);
    await servers.store.remove(other);
    await servers.removeAtCloudElements(acme.instanceId);
    expect(await servers.audit()).toMatchObject({ ours: 1, theirs: 1, orphaned: 1, notOurs: 1, lost: 0 });
    expect(named('orphan')).toEqual(['other']);
  });

  test('an instance whose row is written after the list has shown it is no orphan', async () => {
    const [row] = await provisioned('acme');
    if (!row) throw new Error('no row');
    await servers.store.remove(row);
    let written: Promise<unknown> | undefined;
    servers.simulator.faultFor = () => {
      servers.simulator.latencyMs = 100;
      written ??= servers.store.claim(row);
      return undefined;
    };
    expect(await servers.audit()).toMatchObject({ ours: 0, theirs: 1, orphaned: 0 });
    expect(await written).toEqual({ won: true });
  });
});

async function withoutToken(tenantId: string, over: Partial<InstanceRow> = {}): Promise<void> {
  const [row] = await provisioned(tenantId);
  if (row) await servers.store.write({ ...row, token: undefined, ...over }, row);
}

describe('a missing token', () => {
  test('a missing token is fetched again', async () => {
    await withoutToken('acme');
    expect(await servers.audit()).toMatchObject({ refilled: 1 });
    expect((await readToken(servers, keyOf('acme'))).token).toBe(instanceOf('acme').token);
  });

  test.each([
    ['no tags', { tags: 'absent' as const }],
    ['no token', { token: 'absent' as const }],
  ])('a missing token is read by id when the list shows %s', async (_what, listShape) => {
    await withoutToken('acme');
    servers.simulator.listShape = listShape;
    expect(await servers.audit()).toMatchObject({ refilled: 1 });
    expect((await readToken(servers, keyOf('acme'))).token).toBe(instanceOf('acme').token);
  });

  test.each([
    ['another tenant', ['tenant:other', 'owner:tests'], 1],
    ['another stage', ['tenant:acme', 'owner:other'], 1],
    ['nothing', [], 0],
  ])('a missing token is not taken from an instance that shows %s', async (_what, tags, notOurs) => {
    await provisioned('a', 'b');
    await withoutToken('acme');
    instanceOf('acme').tags = tags;
    expect(await servers.audit()).toMatchObject({ refilled: 0, notOurs, lost: 0 });
    expect((await errorOf(readToken(servers, keyOf('acme')))).code).toBe('not-active');
  });

  test('a missing token is not taken from another tenant’s instance that the row records', async () => {
    const [other] = await provisioned('other');
    await withoutToken('acme', { instanceId: other?.instanceId });
    expect(await servers.audit()).toMatchObject({ refilled: 0, notOurs: 1 });
    expect(named('not-ours')).toEqual(['acme']);
    expect((await errorOf(readToken(servers, keyOf('acme')))).code).toBe('not-active');
  });
});

const listResponse = (body: object, nextPage?: string) => ({
  effect: 'none' as const,
  outcome: {
    kind: 'status' as const,
    status: 200,
    body,
    ...(nextPage !== undefined && { headers: { 'elements-next-page-token': nextPage } }),
  },
});

describe('the end of an audit', () => {
  test('an audit that runs out of time ends and is reported as incomplete', async () => {
    await provisioned('acme');
    expect(await servers.audit({ invocationMs: -1 })).toMatchObject({ complete: false, ours: 0 });
  });

  test('an audit ends when a page names itself as the next', async () => {
    await provisioned('acme');
    servers.simulator.faultFor = () => listResponse([], 'the same again');
    expect(await servers.audit()).toMatchObject({ complete: false });
    expect(pagesRequested()).toBe(2);
  });

  test('an audit continues after a page that fails once', async () => {
    await provisioned('acme');
    servers.simulator.fail({ on: 'GET /instances', effect: 'none', outcome: { kind: 'reset' } });
    expect(await servers.audit()).toEqual({ ...nothing, ours: 1, theirs: 1 });
  });

  test('an audit whose page token is refused begins the list again', async () => {
    await provisioned('acme', 'gone');
    await servers.removeAtCloudElements(instanceOf('gone').id);
    const first = { id: instanceOf('acme').id, element: { key: 'taxify' }, tags: instanceOf('acme').tags };
    const pages: InjectedFault[] = [
      listResponse([first], 'expires'),
      { effect: 'none', outcome: { kind: 'status', status: 400 } },
    ];
    servers.simulator.faultFor = ({ operation }) =>
      operation === 'GET /instances' ? pages.shift() : undefined;
    expect(await servers.audit()).toMatchObject({ complete: true, theirs: 1, lost: 1 });
    expect(pagesRequested()).toBe(3);
  });

  test('an audit ends when page tokens are refused again and again', async () => {
    await provisioned('acme');
    servers.simulator.faultFor = ({ query }) =>
      query.has('nextPage')
        ? { effect: 'none', outcome: { kind: 'status', status: 400 } }
        : listResponse([], 'never good');
    expect(await servers.audit()).toMatchObject({ complete: false, lost: 0 });
    expect(pagesRequested()).toBe(6);
  });

  test('an audit out of time leaves reads by id to the next one, which begins with them', async () => {
    await servers.seedProvisioned([...many(45, 'seen'), ...many(40, 'hidden')]);
    for (let i = 0; i < 40; i++) instanceOf(`hidden-${i}`).tags = [];
    const readIds = () =>
      servers.simulator.requests.flatMap(({ operation, path }) =>
        operation === 'GET /instances/{id}' ? [path] : [],
      );
    servers.simulator.faultFor = ({ operation }) => {
      servers.simulator.latencyMs = operation === 'GET /instances/{id}' ? 150 : 0;
      return undefined;
    };
    // Enough time for two or three batches of ten reads.
    const { commitReserveMs, lookUpTimeoutMs } = timing;
    const first = await servers.audit({ invocationMs: commitReserveMs + lookUpTimeoutMs + 350 });
    expect(first).toMatchObject({ notListed: 40, complete: false, lost: 0, notVisible: false });
    expect(first.readById).toBeGreaterThanOrEqual(10);
    expect(first.readById).toBeLessThan(40);
    const before = readIds();
    const second = await servers.audit();
    expect(second).toMatchObject({ notListed: 40, readById: 40, complete: true });
    const after = readIds().slice(before.length);
    expect(after.slice(0, 10).filter((path) => before.includes(path))).toEqual([]);
    expect(new Set(after).size).toBe(40);
  }, 30_000);

  test('an audit that cannot read the row of a possible orphan does not count it, and is incomplete', async () => {
    const [row] = await provisioned('orphaned', 'acme');
    if (!row) throw new Error('no row');
    await servers.store.remove(row);
    servers.failAws({
      target: 'DynamoDB_20120810.GetItem',
      times: 3,
      status: 500,
      type: 'InternalServerError',
    });
    expect(await servers.audit()).toMatchObject({ theirs: 2, orphaned: 0, complete: false });
  });
});
