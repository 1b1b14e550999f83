import { stripVTControlCharacters } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { pageAt } from '../../support/pages.ts';
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

test('test/README.md has the current comparison table, and README.md its head and three of its rows', () => {
  const table = stripVTControlCharacters(tableOf(comparison));
  expect(pageAt('test/README.md')).toContain(table);
  const lines = table.split('\n').filter((line) => line.trim() !== '');
  const front = pageAt('README.md').split('\n');
  expect(front).toEqual(expect.arrayContaining(lines.slice(0, 2)));
  expect(lines.slice(2).filter((line) => front.includes(line))).toHaveLength(3);
  expect(front.filter((line) => /^\d {2}\S.* {5}/.test(line))).toHaveLength(3);
});
