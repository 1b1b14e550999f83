import { wholeTenant } from '../../../functions/model/instance.ts';
import type { Found } from '../status/rows.ts';

/** An instance as it is written; only its key is known of a row that cannot be read. */
export type Exported = {
  tenantId: string;
  elementKey: string;
  instanceId: number | undefined;
  name: string;
  tags: readonly string[];
  status: string;
};

/** All instances, by tenant and element. `rows`: of the table, without tombstones. */
export async function instancesIn(rows: AsyncIterable<Found>): Promise<Exported[]> {
  const exported: Exported[] = [];
  for await (const { key, row } of rows) {
    // The tombstone of a whole tenant.
    if (key.elementKey === wholeTenant) continue;
    const { instanceId, name = '', tags = [], status = 'unreadable' } = row ?? {};
    exported.push({ ...key, instanceId, name, tags, status });
  }
  return exported.toSorted(
    (a, b) => a.tenantId.localeCompare(b.tenantId) || a.elementKey.localeCompare(b.elementKey),
  );
}
