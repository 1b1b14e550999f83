import { describe, expect, test } from 'vitest';
import { createSettling } from '../../../functions/core/settle.ts';
import type { ElementInstance } from '../../../functions/core/ports.ts';
import type { InstanceRow } from '../../../functions/model/instance.ts';
import { fakePorts } from '../../support/fake-ports.ts';

/** Settles a claim with found instances; returns its outcome and the ids that were deleted. */
async function settle(instances: ElementInstance[], over: Partial<InstanceRow> = {}) {
  const deleted: unknown[] = [];
  const fake = fakePorts({
    remove: async ({ instanceId }) => {
      deleted.push(instanceId);
      return { kind: 'removed' };
    },
  });
  const row = await fake.put({ ...fake.claimed(), ...over });
  const { settleFound } = createSettling(fake.ports);
  const settled = await settleFound(row, { kind: 'found', instances, isCertain: true }, row.leaseExpiresAt);
  return { settled, deleted, row: fake.rowOf() };
}

const at = (id: number, createdDate?: string): ElementInstance => ({
  id,
  token: `token-of-${id}`,
  createdDate,
});

describe('of several instances of a claim', () => {
  test.each([
    [
      'the oldest is kept, not the one with the lowest id',
      [at(1, '2026-11-26T12:00:05Z'), at(2, '2026-11-26T12:00:01Z'), at(3, '2026-11-26T12:00:09Z')],
      {},
      2,
    ],
    [
      'the lowest id is kept among those of the same second',
      [at(9, '2026-11-26T12:00:01Z'), at(4, '2026-11-26T12:00:01Z')],
      {},
      4,
    ],
    [
      'the recorded one is kept, although another is older',
      [at(1, '2026-11-26T12:00:01Z'), at(2, '2026-11-26T12:00:05Z')],
      { instanceId: 2 },
      2,
    ],
  ])('%s, and the others are deleted', async (_title, instances, over, kept) => {
    const { settled, deleted, row } = await settle(instances, over);
    expect(settled).toMatchObject({ kind: 'committed', row: { instanceId: kept } });
    expect(row).toMatchObject({
      status: 'active',
      instanceId: kept,
      token: new TextEncoder().encode(`token-of-${kept}`),
    });
    expect(new Set(deleted)).toEqual(new Set(instances.map(({ id }) => id).filter((id) => id !== kept)));
  });
});

/** Commits instance 7 while the row is another claim's. */
async function commitBeside(over: Partial<InstanceRow>) {
  const deleted: unknown[] = [];
  const fake = fakePorts({
    remove: async ({ instanceId }) => {
      deleted.push(instanceId);
      return { kind: 'removed' };
    },
  });
  const row = fake.claimed();
  await fake.put({ ...row, claimId: 'rival', ...over });
  const { commit } = createSettling(fake.ports);
  return { settled: await commit(row, at(7), row.leaseExpiresAt), deleted };
}

describe('a commit that another claim has prevented', () => {
  test.each(['provisioning', 'failed'] as const)(
    'leaves its instance to a %s row of its generation',
    async (status) => {
      const { settled, deleted } = await commitBeside({ status });
      expect(settled).toMatchObject({ kind: 'left-to-another' });
      expect(deleted).toEqual([]);
    },
  );

  test.each(['provisioning', 'failed', 'active'] as const)(
    'deletes its instance beside a %s row of another generation, which would never find it',
    async (status) => {
      const { settled, deleted } = await commitBeside({ status, provisionId: 'another', instanceId: 7 });
      expect(settled).toMatchObject({ kind: 'superseded' });
      expect(deleted).toEqual([7]);
    },
  );

  test('deletes its instance beside an active row with another one', async () => {
    const { settled, deleted } = await commitBeside({ status: 'active', instanceId: 8 });
    expect(settled).toMatchObject({ kind: 'superseded' });
    expect(deleted).toEqual([7]);
  });
});
