import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { guards } from './guards.ts';

test.each(guards.map(({ name, file, guard }) => [name, file, guard]))(
  'the guard "%s" stands where the list of guards says',
  (_name, file, guard) => {
    const source = readFileSync(new URL(`../../../${file}`, import.meta.url), 'utf8');
    expect(source.split(guard)).toHaveLength(2);
  },
);
