import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { barLine, plainLine } from '../../../../infra/cli/onboard/progress.ts';

const counts = {
  rows: 4_986,
  unsent: 2_986,
  waiting: 15,
  active: 1_980,
  failed: 4,
  unknown: 1,
  notSent: 985,
  elapsedMs: 100_000,
};

const placesOf = (line = '') => ['sent', 'active', 'failed', 'waiting'].map((word) => line.indexOf(word));

test('the progress line has its figures in the same places from beginning to end', () => {
  const early = { ...counts, unsent: 4_977, active: 3, waiting: 1, notSent: 0 };
  const lines = [counts, early].map((at) => stripVTControlCharacters(barLine(at, 120)));
  expect(lines[0]).toBe(
    '[███████████░░░░░░░░░░░░░░░░░░░] 2,000/4,986 sent  active 1,980  failed     5  waiting    15   10.0/s  6 min left',
  );
  expect(placesOf(lines[1])).toEqual(placesOf(lines[0]));
});

test.each([200, 120, 100, 80, 40])('the progress line fits a terminal of %i columns', (columns) => {
  const line = stripVTControlCharacters(barLine(counts, columns));
  expect(line.length).toBeLessThan(columns);
});

test('plain lines have the same figures in words', () => {
  expect(plainLine(counts)).toBe(
    '2,000 of 4,986 sent, 1,980 active, 5 failed, 15 waiting, 10.0/s, 6 min left',
  );
});
