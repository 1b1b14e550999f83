import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { guards, patternOf } from './guards.ts';

test.each(guards.map(({ name, file, guard }) => [name, file, guard]))(
  'the guard "%s" is in the code as the list of guards has it',
  (_name, file, guard) => {
    const source = readFileSync(new URL(`../../../${file}`, import.meta.url), 'utf8');
    expect(source.split(patternOf(guard))).toHaveLength(2);
  },
);
