import { expect, test } from 'vitest';
import type { Row, Stored } from '../../../../infra/local/page/activity.ts';
import { compare } from '../../../../infra/local/page/comparison.ts';
import { elements } from '../../../../infra/local/cloud-elements/catalog.ts';
import type { Instance } from '../../../../infra/local/cloud-elements/simulator.ts';

const [taxify] = elements;

function stored(row: Partial<Row> = {}): Stored {
  const complete: Row = {
    tenantId: 'acme',
    elementKey: 'taxify',
    status: 'active',
    instanceId: 1,
    name: 'Acme',
    tags: [],
    createdAt: 1,
    provisionId: 'p',
    leaseExpiresAt: 0,
    inDoubt: false,
    ...row,
  };
  return { tenantId: complete.tenantId, elementKey: complete.elementKey, row: complete };
}

function live(id: number, tenant = 'tenant:acme'): Instance {
  if (!taxify) throw new Error('The catalog is empty.');
  return {
    id,
    token: 'token-for-tests',
    element: taxify,
    userId: 1,
    createdAtMs: 1,
    createdDate: '2026-01-01T00:00:00Z',
    name: 'Acme',
    tags: [tenant],
    configuration: {},
    valid: true,
    disabled: false,
    eventsEnabled: false,
    cachingEnabled: false,
    externalAuthentication: 'none',
  };
}

const never = Number.MAX_SAFE_INTEGER;
const open = { status: 'provisioning', instanceId: undefined } as const;

test.each<[string, Stored[], Instance[], string]>([
  ['an active row with its instance', [stored()], [live(1)], 'one'],
  ['an active row without an instance', [stored()], [], 'lost'],
  ['an active row beside another instance', [stored()], [live(2)], 'lost'],
  ['two instances of one tenant', [stored()], [live(1), live(2)], 'duplicated'],
  ['two instances without a row', [], [live(1), live(2)], 'duplicated'],
  ['an instance without a row', [], [live(1)], 'orphan'],
  ['a claim before its create', [stored(open)], [], 'working'],
  ['a create whose outcome is unknown', [stored({ ...open, inDoubt: true })], [], 'unknown'],
  ['a create whose response was lost', [{ ...stored(open), isCreateLost: true }], [], 'lookingUp'],
  ['its instance, before the look-up', [{ ...stored(open), isCreateLost: true }], [live(1)], 'unrecorded'],
  ['an instance of a claim that has expired', [stored(open)], [live(1)], 'unrecorded'],
  [
    'an instance that is not recorded yet',
    [stored({ ...open, leaseExpiresAt: never })],
    [live(1)],
    'storing',
  ],
  ['a failed row', [stored({ status: 'failed', instanceId: undefined })], [], 'failed'],
  [
    'a failed row with an instance',
    [stored({ status: 'failed', instanceId: undefined })],
    [live(1)],
    'unrecorded',
  ],
  ['a deletion under way', [stored({ status: 'deleting' })], [live(1)], 'removing'],
  ['a tombstone', [stored({ status: 'removed' })], [], 'removed'],
  ['a tombstone with an instance', [stored({ status: 'removed' })], [live(1)], 'orphan'],
  ['a row that cannot be read', [{ ...stored(), row: undefined }], [live(1)], 'unreadable'],
])('the finding on %s', (_, rows, instances, finding) => {
  expect(compare(rows, instances).pairs).toMatchObject([{ tenantId: 'acme', elementKey: 'taxify', finding }]);
});

test('counts tenants, instances, and what is wrong; instances of other programs are counted apart', () => {
  const rows = [
    stored(),
    stored({ tenantId: 'globex', instanceId: 9 }),
    stored({ tenantId: 'initech', ...open, inDoubt: true }),
    stored({ tenantId: 'gone', status: 'removed' }),
  ];
  const comparison = compare(rows, [live(1), live(2), live(3, 'by hand'), live(4, 'tenant:nobody')]);
  expect(comparison).toMatchObject({
    others: 1,
    counts: { tenants: 4, instances: 3, duplicated: 1, lost: 2, doubt: 1 },
  });
  expect(comparison.pairs.map(({ tenantId }) => tenantId)).toEqual([
    'nobody',
    'globex',
    'acme',
    'initech',
    'gone',
  ]);
});

test('a comparison holds no token', () => {
  expect(JSON.stringify(compare([stored()], [live(1)]))).not.toContain('token-for-tests');
});
