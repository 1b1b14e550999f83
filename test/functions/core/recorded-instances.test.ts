import { expect, test } from 'vitest';
import { createRecordedInstances } from '../../../functions/core/recorded-instances.ts';

/** Several times as many as its first buffers hold. */
const count = 5_000;
const rowOf = (index: number) => ({
  tenantId: `tenant-${index}${'ü'.repeat(index % 7)}`,
  elementKey: index % 3 === 0 ? 'taxify' : 'freshdeskv2',
  // Ids beyond 32 bits, in no order.
  instanceId: ((index * 7_919) % count) + 2 ** 40,
  fence: (index * 429_497) % 2 ** 31,
  hasToken: index % 2 === 0,
});

const rows = Array.from({ length: count }, (_, index) => rowOf(index));
function recordedRows() {
  const recorded = createRecordedInstances();
  for (const row of rows) recorded.add(row);
  return recorded;
}

test('each of a few rows is found by its instance, with its own token and fence', () => {
  const recorded = createRecordedInstances();
  const few = rows.slice(0, 3);
  for (const row of few) recorded.add(row);
  expect(few.map(({ instanceId }) => recorded.placesOf(instanceId))).toEqual([[0], [1], [2]]);
  expect([0, 1, 2].map((place) => recorded.get(place))).toEqual(few);
  expect(recorded.countUnseen()).toBe(3);
});

test('each of thousands of rows is found by its instance, as it was added', () => {
  const recorded = recordedRows();
  expect(
    rows.map(({ instanceId }) => recorded.placesOf(instanceId).map((place) => recorded.get(place))),
  ).toEqual(rows.map((row) => [row]));
  for (const id of [0, 2 ** 40 - 1, 2 ** 40 + count, 'an-id-of-another-form']) {
    expect(recorded.placesOf(id)).toEqual([]);
  }
});

test('rows that record the same instance are found together, also those added after a search', () => {
  const recorded = recordedRows();
  const [first, , third] = rows;
  if (!first || !third) throw new Error('There are no rows.');
  expect(recorded.placesOf(first.instanceId)).toHaveLength(1);
  recorded.add({ ...third, instanceId: first.instanceId });
  expect(recorded.placesOf(first.instanceId).map((place) => recorded.get(place))).toEqual([
    first,
    { ...third, instanceId: first.instanceId },
  ]);
});

test('rows that were not seen are counted and come in the order of their keys, beginning after a given one', () => {
  const recorded = createRecordedInstances();
  for (const tenantId of ['b', 'a', 'd', 'c']) {
    recorded.add({ tenantId, elementKey: 'x', instanceId: 1, fence: 1, hasToken: true });
  }
  recorded.add({ tenantId: 'a', elementKey: 'w', instanceId: 2, fence: 1, hasToken: true });
  const unseen = (after?: { tenantId: string; elementKey: string }) =>
    recorded
      .unseen(after)
      .map((place) => `${recorded.get(place).tenantId}/${recorded.get(place).elementKey}`);
  expect(unseen()).toEqual(['a/w', 'a/x', 'b/x', 'c/x', 'd/x']);
  expect(unseen({ tenantId: 'b', elementKey: 'x' })).toEqual(['c/x', 'd/x', 'a/w', 'a/x', 'b/x']);
  // The one after which to begin has no row any more, or is the last.
  expect(unseen({ tenantId: 'b', elementKey: 'y' })).toEqual(['c/x', 'd/x', 'a/w', 'a/x', 'b/x']);
  expect(unseen({ tenantId: 'd', elementKey: 'x' })[0]).toBe('a/w');

  const [place = 0] = recorded.unseen(undefined);
  expect(recorded.isSeen(place)).toBe(false);
  recorded.see(place);
  expect(recorded.isSeen(place)).toBe(true);
  expect(recorded.get(place)).toMatchObject({ hasToken: true });
  expect(recorded.countUnseen()).toBe(4);
  expect(unseen()).toEqual(['a/x', 'b/x', 'c/x', 'd/x']);
});
