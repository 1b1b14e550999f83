import { expect, test } from 'vitest';
import { seededRandom } from '../../support/seeded-random.ts';
import { hostileInputs } from './callers/hostile-inputs.ts';

const draw = (seed: number) => {
  let planted = 0;
  const plant = () => `planted-${++planted}`;
  return hostileInputs(2_000, { random: seededRandom(seed), runId: 'run', plant });
};
const inputs = draw(1);

test('a seed gives the same inputs again, and another seed gives others', () => {
  expect(draw(1)).toEqual(inputs);
  expect(draw(2)).not.toEqual(inputs);
});

test('every input has its own tenant', () => {
  expect(new Set(inputs.map(({ tenantId }) => tenantId)).size).toBe(inputs.length);
});

test('two thousand inputs contain every kind often, and hardly any twice', () => {
  const kinds = Map.groupBy(inputs, ({ kind }) => kind);
  expect(kinds.size).toBe(20);
  const rare = [...kinds].filter(([, { length }]) => length < 50).map(([kind]) => kind);
  expect(rare).toEqual([]);
  const texts = inputs.map(({ method, path, headers, body }) =>
    [method, path, JSON.stringify(headers), body].join(' ').replaceAll(/fuzz-run-\d+|planted-\d+/g, ''),
  );
  expect(new Set(texts).size).toBeGreaterThan(600);
});

test('hostile inputs go up to the limit of a body, beyond it, and far beyond', () => {
  const sizes = inputs.map(({ body }) => Buffer.byteLength(body ?? ''));
  expect(sizes.some((size) => size > 60_000 && size <= 64 * 1024)).toBe(true);
  expect(sizes.some((size) => size > 64 * 1024 && size < 80_000)).toBe(true);
  expect(Math.max(...sizes)).toBeGreaterThan(1_000_000);
});
