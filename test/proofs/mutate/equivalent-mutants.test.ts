import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../../support/pages.ts';
import { equivalentMutants } from './equivalent-mutants.ts';

test('each mutant that is named as equivalent changes code that is there', () => {
  const gone = equivalentMutants.filter(({ file, line, original }) => {
    const text = readFileSync(join(root, file), 'utf8');
    return !text.split('\n').some((each) => each.trim() === line) || !text.includes(original);
  });
  expect(gone).toEqual([]);
});

test('no mutant is named as equivalent twice', () => {
  const names = equivalentMutants.map(({ why: _why, ...mutation }) => JSON.stringify(mutation));
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
});
