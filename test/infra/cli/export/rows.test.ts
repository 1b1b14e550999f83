import { expect, test } from 'vitest';
import { wholeTenant } from '../../../../functions/model/instance.ts';
import { instancesIn } from '../../../../infra/cli/export/rows.ts';
import type { Found } from '../../../../infra/cli/status/rows.ts';

test('instances come by tenant and element; a row that cannot be read is there, a tombstone of a tenant is not', async () => {
  const row: NonNullable<Found['row']> = {
    tenantId: 'acme',
    elementKey: 'taxify',
    status: 'active',
    instanceId: 7,
    name: 'Acme',
    tags: ['eu'],
    provisionId: 'any',
    createdAt: 0,
    updatedAt: 0,
    requestedAt: 0,
  };
  async function* found(): AsyncGenerator<Found> {
    yield { key: { tenantId: 'b', elementKey: 'taxify' }, row: undefined };
    yield { key: { tenantId: 'a', elementKey: 'taxify' }, row };
    yield { key: { tenantId: 'a', elementKey: wholeTenant }, row: { ...row, status: 'deleting' } };
    yield { key: { tenantId: 'a', elementKey: 'freshdeskv2' }, row };
  }
  const shown = { name: 'Acme', tags: ['eu'], instanceId: 7, status: 'active' };
  expect(await instancesIn(found())).toEqual([
    { tenantId: 'a', elementKey: 'freshdeskv2', ...shown },
    { tenantId: 'a', elementKey: 'taxify', ...shown },
    { tenantId: 'b', elementKey: 'taxify', instanceId: undefined, name: '', tags: [], status: 'unreadable' },
  ]);
});
