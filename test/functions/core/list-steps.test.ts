import { expect, test } from 'vitest';
import { listAllInstances } from '../../../functions/core/list-all.ts';
import type { OverviewStore } from '../../../functions/core/ports.ts';
import { instanceSummarySchema } from '../../../functions/model/instance.ts';
import type { Listed, OverviewQuery } from '../../../functions/model/overview.ts';
import { fakePorts } from '../../support/fake-ports.ts';

/** The list of all tenants, in memory: filters, limits and cursors. */

const { claimed } = fakePorts();
const listed = (tenantId: string, over = {}): Listed => {
  const key = { tenantId, elementKey: 'taxify', ...over };
  return { key, summary: instanceSummarySchema.parse({ ...claimed(), ...key }) };
};
const rows: Listed[] = [
  listed('claimed'),
  listed('active', { status: 'active', instanceId: 7 }),
  listed('healthy', { status: 'active', instanceId: 8, health: { status: 'healthy', since: 1 } }),
  listed('stripe', { elementKey: 'stripe', health: { status: 'unknown', since: 1, reason: 'no-ping' } }),
  { key: { tenantId: 'odd', elementKey: 'taxify' }, summary: undefined },
];

function list(query: OverviewQuery, last?: Listed) {
  const asked: Parameters<OverviewStore['page']>[0][] = [];
  const page = async (options: (typeof asked)[number]) => {
    asked.push(options);
    return { rows, last: last?.key };
  };
  return { asked, result: listAllInstances({ page }, query) };
}

test.each<[OverviewQuery, string[]]>([
  [{}, ['claimed', 'active', 'healthy', 'stripe', 'odd']],
  [{ status: 'active' }, ['active', 'healthy']],
  [{ status: 'unreadable' }, ['odd']],
  [{ element: 'stripe' }, ['stripe']],
  [{ health: 'healthy' }, ['healthy']],
  [{ health: 'unknown' }, ['stripe']],
  [{ health: 'unhealthy' }, []],
  [{ status: 'active', health: 'unknown' }, []],
])('a list with %o shows %o', async (query, shown) => {
  const { result, asked } = list(query);
  const { instances, ...more } = await result;
  expect(instances.map(({ tenantId }) => tenantId)).toEqual(shown);
  expect(more).toEqual({});
  expect(asked).toEqual([{ limit: 100, after: undefined }]);
});

test('a page with more behind it has a cursor, after which the next one begins', async () => {
  const [first] = rows;
  const { nextCursor } = await list({ limit: 5, status: 'active' }, first).result;
  const { asked, result } = list({ limit: 5, status: 'active', cursor: nextCursor });
  await result;
  expect(asked).toEqual([{ limit: 5, after: first?.key }]);
  await expect(list({ limit: 5, cursor: nextCursor }).result).rejects.toMatchObject({
    code: 'invalid-request',
  });
});
