import { describe, expect, test } from 'vitest';
import { createCleaning, idsOf } from '../../../functions/core/cleaning.ts';
import type { CloudElements, LookUp, RemoveOutcome } from '../../../functions/core/ports.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import type { InstanceRow } from '../../../functions/model/instance.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';
import { fakePorts } from '../../support/fake-ports.ts';

/** Cleaning of a row in memory; `calls` has what Cloud Elements was asked. */
async function cleaning(
  over: Partial<InstanceRow> = {},
  { found, removed }: { found?: LookUp; removed?: RemoveOutcome } = {},
) {
  const calls: unknown[] = [];
  const fake = fakePorts({
    lookUp: async (...call) => {
      calls.push(call);
      return found ?? { kind: 'found', instances: [], isCertain: true };
    },
    remove: async ({ tenantId, elementKey, instanceId }, options) => {
      calls.push([{ tenantId, elementKey, instanceId }, options]);
      return removed ?? { kind: 'removed' };
    },
  });
  const row = await fake.put({ ...fake.claimed(), ...over });
  return { ...fake, ...createCleaning(fake.ports), row, calls };
}

const ofRow = ({ tenantId, elementKey, provisionId, createdAt }: InstanceRow) => ({
  tenantId,
  elementKey,
  provisionId,
  createdAt,
  owner: 'tests',
});

const deleteOf = (instanceId: number, timeoutMs: number) => [
  { tenantId: 'acme', elementKey: 'taxify', instanceId },
  { timeoutMs },
];

const instanceOf = (id: number) => ({ id, token: `token-of-${id}` });

describe('a look-up', () => {
  test('a look-up seeks the generation of the row by its name, and the recorded instance by its id', async () => {
    const { lookUp, row, calls } = await cleaning({ instanceId: 7 });
    expect(await lookUp(row)).toEqual({ kind: 'found', instances: [], isCertain: true });
    expect(calls).toEqual([
      [{ ...ofRow(row), name: 'taxify-acme', instanceId: 7 }, { timeoutMs: timing.lookUpTimeoutMs }],
    ]);
  });

  test('a look-up beside a known instance does not seek that one, and uses the name of the create', async () => {
    const { lookUp, row, calls } = await cleaning({ instanceId: 7, name: 'Now', createdName: 'Then' });
    await lookUp(row, { timeoutMs: 300, besides: 7 });
    expect(calls).toEqual([[{ ...ofRow(row), name: 'Then', exceptId: 7 }, { timeoutMs: 300 }]]);
  });

  test('a look-up that fails finds nothing known, and its reason is observed', async () => {
    const { lookUp, row, observed } = await cleaning(
      {},
      { found: { kind: 'unknown', reason: 'no response' } },
    );
    expect(await lookUp(row)).toBeUndefined();
    expect(observed).toEqual([{ kind: 'look-up-failed', reason: 'no response' }]);
  });

  test('a look-up leaves out the instance that an import has named, usable or not', async () => {
    const isCertain = true;
    const unusable = [7, 9, undefined].map((id) => ({ id, reason: 'without a token' }));
    const found = { kind: 'found', instances: [7, 8].map(instanceOf), unusable, isCertain } as const;
    const { lookUp, row } = await cleaning(
      { importedId: 7 },
      { found: { ...found, instances: [...found.instances] } },
    );
    expect(await lookUp(row)).toEqual({
      kind: 'found',
      instances: [instanceOf(8)],
      unusable: [unusable[1], unusable[2]],
      isCertain,
    });
  });

  test('a look-up keeps an instance whose id must not be used, also for a row without an import', async () => {
    const unusable = [{ id: undefined, reason: 'without an id' }];
    const found: LookUp = { kind: 'found', instances: [], unusable, isCertain: true };
    const { lookUp, row } = await cleaning({}, { found });
    expect(await lookUp(row)).toEqual(found);
  });

  test('every id of a look-up is that of an instance, usable or not; unknown ids are left out', () => {
    const instances = [instanceOf(7)];
    const unusable = [
      { id: 8, reason: 'any' },
      { id: undefined, reason: 'any' },
    ];
    expect(idsOf({ kind: 'found', instances, unusable, isCertain: true })).toEqual([7, 8]);
    expect(idsOf({ kind: 'found', instances, isCertain: true })).toEqual([7]);
  });
});

describe('a delete at Cloud Elements', () => {
  test.each([
    [20_000, timing.lookUpTimeoutMs],
    [timing.lookUpTimeoutMs, timing.lookUpTimeoutMs - 500],
  ])('a delete with %i ms left may take %i ms, which leaves time to respond', async (leftMs, timeoutMs) => {
    const { removeInstance, row, calls, clock, observed } = await cleaning();
    expect(await removeInstance(row, 8, clock.nowMs + leftMs)).toBe(true);
    expect(calls).toEqual([deleteOf(8, timeoutMs)]);
    expect(observed).toEqual([{ kind: 'instance-removed', instanceId: 8 }]);
  });

  const refused = new OnboardingError('deletion-refused', 'It is in use.');
  test.each<[RemoveOutcome, string]>([
    [{ kind: 'unknown', reason: 'no response' }, 'no response'],
    [{ kind: 'refused', error: refused }, 'It is in use.'],
    [{ kind: 'not-done', error: refused }, 'It is in use.'],
  ])('an instance that cannot be deleted is reported with the reason: %j', async (removed, reason) => {
    const { removeInstance, removeDuplicate, row, clock, observed } = await cleaning({}, { removed });
    expect(await removeInstance(row, 8, clock.nowMs + 20_000)).toBe(false);
    expect(await removeDuplicate(row, 9, clock.nowMs + 20_000)).toBe(false);
    expect(observed).toEqual([
      { kind: 'instance-left', instanceId: 8, reason },
      { kind: 'duplicate-left', instanceId: 9, reason },
    ]);
  });

  test('an id that is no number is deleted, and not shown', async () => {
    const { removeDuplicate, row, clock, observed, calls } = await cleaning();
    await removeDuplicate(row, 'not-a-number', clock.nowMs + 20_000);
    expect(calls).toMatchObject([[{ instanceId: 'not-a-number' }, {}]]);
    expect(observed).toEqual([{ kind: 'duplicate-removed', instanceId: '(not an integer)' }]);
  });

  const recorded = { status: 'deleting', instanceId: 7, importedId: 7 } as const;
  test.each<[string, Partial<InstanceRow>, number, boolean]>([
    ['of another id is deleted', { importedId: 8 }, 7, true],
    ['of no import is deleted', {}, 7, true],
    ['that an import has named is deleted with the removal of the row that records it', recorded, 7, true],
    [
      'that an import has named is spared while the row is active',
      { ...recorded, status: 'active' },
      7,
      false,
    ],
    [
      'that an import has named is spared if the row records another',
      { ...recorded, instanceId: 8 },
      7,
      false,
    ],
    [
      'that an import has named is spared if the import was not finished',
      { ...recorded, importing: {} },
      7,
      false,
    ],
  ])('an instance %s', async (_title, over, instanceId, isDeleted) => {
    const { remove, row, clock, calls } = await cleaning(over);
    const outcome = await remove(row, instanceId, clock.nowMs + 20_000);
    expect(calls).toHaveLength(isDeleted ? 1 : 0);
    expect(outcome).toMatchObject(
      isDeleted ? { kind: 'removed' } : { kind: 'refused', error: { code: 'deletion-refused' } },
    );
  });
});

test.each([
  [undefined, timing.lookUpTimeoutMs],
  [{ timeoutMs: 300 }, 300],
])(
  'the recorded instance is read as one of this stage, with a time limit: %j',
  async (options, timeoutMs) => {
    const reads: unknown[] = [];
    const read: CloudElements['read'] = async (...call) => {
      reads.push(call);
      return { kind: 'absent' };
    };
    const fake = fakePorts({ read });
    const row = { ...fake.claimed(), instanceId: 7 };
    expect(await createCleaning(fake.ports).read(row, options)).toEqual({ kind: 'absent' });
    expect(reads).toEqual([
      [{ tenantId: 'acme', elementKey: 'taxify', instanceId: 7, owner: 'tests' }, { timeoutMs }],
    ]);
  },
);

function failingWith(error: Error) {
  return async () => {
    throw error;
  };
}

describe('the end of a claim', () => {
  test('a claim ends with the next state of its row, or without a row', async () => {
    const { endClaim, row, rowOf } = await cleaning();
    expect(await endClaim(row, { ...row, name: 'Next' })).toBe(true);
    expect(rowOf()).toMatchObject({ name: 'Next' });
    expect(await endClaim(row, undefined)).toBe(true);
    expect(rowOf()).toBeUndefined();
  });

  test('a claim that another has taken over ends without a write', async () => {
    const { endClaim, row, put, rowOf, observed } = await cleaning();
    const rival = await put({ ...row, claimId: 'rival' });
    expect(await endClaim(row, { ...row, name: 'Next' })).toBe(false);
    expect(await endClaim(row, undefined)).toBe(false);
    expect(rowOf()).toEqual(rival);
    expect(observed).toEqual([]);
  });

  test('a claim whose end cannot be written is left to its lease; a bug is thrown', async () => {
    const { ports, row, observed } = await cleaning();
    const endingWith = (error: Error) =>
      createCleaning({ ...ports, store: { ...ports.store, write: failingWith(error) } }).endClaim(row, row);
    expect(await endingWith(new OnboardingError('aws-unavailable', 'No answer.'))).toBe(false);
    expect(observed).toEqual([{ kind: 'claim-left', reason: 'No answer.' }]);
    await expect(endingWith(new TypeError('a bug'))).rejects.toThrow('a bug');
  });
});
