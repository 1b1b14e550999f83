import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { listAllInstances } from '../../../functions/core/list-all.ts';
import { auditPartition, wholeTenant, type InstanceRow } from '../../../functions/model/instance.ts';
import { overviewQuerySchema } from '../../../functions/model/overview.ts';
import { errorOf, keyOf, newTenant, startServers, taxify } from '../../support/real-servers.ts';

let servers: Awaited<ReturnType<typeof startServers>>;
beforeEach(async () => {
  servers = await startServers();
});
afterEach(() => servers[Symbol.asyncDispose]());

const list = (query: Record<string, string> = {}) =>
  listAllInstances(servers.store, overviewQuerySchema.parse(query));

async function walk(query: Record<string, string> = {}) {
  const instances: Awaited<ReturnType<typeof list>>['instances'] = [];
  let pages = 0;
  let cursor: string | undefined;
  do {
    const page = await list({ ...query, ...(cursor !== undefined && { cursor }) });
    instances.push(...page.instances);
    cursor = page.nextCursor;
    pages += 1;
  } while (cursor !== undefined);
  return { instances, pages, tenants: instances.map(({ tenantId }) => tenantId).toSorted() };
}

async function insert(rows: readonly Partial<InstanceRow>[]): Promise<void> {
  const tenantId = newTenant();
  await servers.provision(taxify(tenantId));
  const row = await servers.rowOf(tenantId);
  if (!row) throw new Error('no row');
  await servers.store.remove(row);
  for (const each of rows) await servers.store.claim({ ...row, ...each });
}

/** A cursor with other content and the checksum that belongs to it. */
function withChecksum(content: string): string {
  const sum = createHash('sha256')
    .update(JSON.stringify([content, null, null]))
    .digest('base64url');
  return Buffer.from(sum.slice(0, 16) + content).toString('base64url');
}

describe('a list of all tenants’ instances', () => {
  test('every instance is listed exactly once, with pages of any size', async () => {
    const tenants = Array.from({ length: 57 }, (_, index) => `tenant-${index}`);
    await insert(tenants.map((tenantId) => ({ tenantId })));
    for (const limit of ['1', '7', '57', '1000']) {
      expect((await walk({ limit })).tenants).toEqual(tenants.toSorted());
    }
    expect((await walk({ limit: '7' })).pages).toBe(9);
  });

  test('the list of all tenants has no tombstones, no other items and no tokens', async () => {
    await insert([
      { tenantId: 'there' },
      { tenantId: 'gone', status: 'removed' },
      { tenantId: 'left', elementKey: wholeTenant },
      { tenantId: auditPartition },
    ]);
    const { instances } = await walk();
    expect(instances).toMatchObject([{ tenantId: 'there', element: { key: 'taxify' }, status: 'active' }]);
    expect(JSON.stringify(instances)).not.toMatch(/token|provisionId|configuration/);
  });

  test('only instances of the requested health are listed, and a cursor belongs to its filters', async () => {
    await insert([
      { tenantId: 'well', health: { status: 'healthy', since: 1 } },
      { tenantId: 'ill', health: { status: 'unhealthy', since: 1 } },
      { tenantId: 'not-checked' },
    ]);
    expect((await walk({ health: 'unhealthy', limit: '1' })).tenants).toEqual(['ill']);
    expect((await walk({ health: 'unknown' })).tenants).toEqual([]);
    const { nextCursor = '' } = await list({ limit: '1', health: 'healthy' });
    expect(await errorOf(list({ cursor: nextCursor, health: 'unhealthy' }))).toMatchObject({
      code: 'invalid-request',
    });
  });

  test('an unreadable row is listed as such', async () => {
    await insert([{ tenantId: 'good' }]);
    await servers.putItem({ tenantId: { S: 'odd' }, elementKey: { S: 'taxify' }, status: { S: 'of later' } });
    const { instances } = await walk({ status: 'unreadable' });
    expect(instances).toEqual([{ tenantId: 'odd', element: { key: 'taxify' }, status: 'unreadable' }]);
  });

  test('filters by status and element apply together, and a page without matches has a cursor', async () => {
    await insert([
      { tenantId: 'a', status: 'failed' },
      { tenantId: 'b' },
      { tenantId: 'c', status: 'failed', elementKey: 'freshdeskv2' },
    ]);
    expect((await walk({ status: 'failed', limit: '1' })).tenants).toEqual(['a', 'c']);
    expect((await walk({ status: 'failed', element: 'taxify' })).tenants).toEqual(['a']);
    expect((await walk({ element: 'freshdeskv2', limit: '1' })).tenants).toEqual(['c']);
  });

  test('a cursor that was changed, or belongs to other filters, is refused', async () => {
    await insert([{ tenantId: 'a' }, { tenantId: 'b' }, { tenantId: 'c' }]);
    const { nextCursor: cursor = '' } = await list({ limit: '1' });
    expect(cursor).not.toBe('');
    const changed = [
      `${cursor}A`,
      cursor.slice(1),
      cursor.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A')),
      ` ${cursor}`,
      Buffer.from('{"t":"a","e":"taxify"}').toString('base64url'),
      ...['x', 'null', '{"t":1,"e":"x"}', '{"t":"","e":""}'].map(withChecksum),
      'x',
      '',
    ];
    for (const each of changed) {
      const error = await errorOf(list({ cursor: each }));
      expect(error).toMatchObject({
        code: 'invalid-request',
        facts: { problems: [{ parameter: 'cursor' }] },
      });
    }
    expect((await errorOf(list({ cursor, status: 'active' }))).code).toBe('invalid-request');
    // The page size may change between pages.
    expect((await list({ cursor, limit: '5' })).instances).toHaveLength(2);
  });
});

test('a row written meanwhile is listed beside those of earlier pages', async () => {
  const tenantId = newTenant();
  await servers.provision(taxify(tenantId));
  await servers.remove(keyOf(tenantId));
  expect((await walk()).tenants).toEqual([]);
});
