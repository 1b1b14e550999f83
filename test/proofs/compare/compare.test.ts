import { readFile } from 'node:fs/promises';
import { stripVTControlCharacters } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { compare, tableOf, type Comparison } from './comparison.ts';

let comparison: Comparison;
beforeAll(async () => {
  comparison = await compare();
}, 30_000);

test('this service makes one instance and stores its token in every scenario', () => {
  expect(comparison.scenarios.map(({ thisService }) => thisService)).toEqual(
    Array.from({ length: 8 }, () => ({ instances: 1, token: 'right' })),
  );
  expect(comparison.totals.thisService).toEqual({ instances: 8, rightTokens: 8 });
  expect(comparison.isRight).toBe(true);
});

test('the README has the current comparison table', async () => {
  const readme = await readFile(new URL('../../../README.md', import.meta.url), 'utf8');
  expect(readme).toContain(stripVTControlCharacters(tableOf(comparison)));
});
