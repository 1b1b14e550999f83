import { expect, test } from 'vitest';
import { csvOf, guardedIn, tagsCell, withFormulaGuard, withoutFormulaGuard } from '../../../infra/cli/csv.ts';
import { csvRowsOf } from '../../../infra/cli/onboard/csv-rows.ts';

const formulas = [
  '=1+1',
  '+1',
  '-1',
  '@SUM(A1)',
  '\tx',
  '\rx',
  '\n=1',
  '＝1',
  '＋1',
  '－1',
  '＠x',
  "'=1",
  "''+1",
];
const harmless = [
  'Shop',
  '1-1',
  'a=b',
  "'t Hof",
  "it's",
  '',
  ' padded ',
  'a "quote", a comma',
  'two\nlines',
  'é 中 👩‍💻',
];

test('each cell that a spreadsheet would run has a guard, and the others have none', () => {
  for (const text of formulas) expect(withFormulaGuard(text)).toBe(`'${text}`);
  for (const text of harmless) expect(withFormulaGuard(text)).toBe(text);
  expect(guardedIn([formulas, harmless])).toBe(formulas.length);
});

test('a guard is taken off again, and nothing else', () => {
  for (const text of [...formulas, ...harmless])
    expect(withoutFormulaGuard(withFormulaGuard(text))).toBe(text);
});

test('cells survive CSV, without control characters', () => {
  const cells = ['a', ...formulas, ...harmless].map((text) => text.replaceAll('\r', ' '));
  const [row] = csvRowsOf(csvOf([cells]));
  expect(row?.cells?.map(withoutFormulaGuard)).toEqual(cells);
  expect(csvOf([['a\u001b[2J\u0007\u009bb']])).toBe('a\uFFFD[2J\uFFFD\uFFFDb\n');
});

test('each tag of a cell is safe where ";" separates columns', () => {
  expect(tagsCell([])).toBe('');
  expect(csvOf([[tagsCell(['=a', '=b', 'c'])]])).toBe("'=a;'=b;c\n");
});

/** Rows of one line, which is in their first cell. */
const lines = (count: number, from: number): string =>
  Array.from({ length: count }, (_, index) => `${from + index},x\n`).join('');

/** A row of so many lines and one. */
const long = (count: number): string => `"${'a\n'.repeat(count)}b",y\n`;

test('records over many lines are read wherever they are in a long file', () => {
  // Rows are parsed a thousand lines at a time: one record ends after these, one has more lines itself.
  const rows = csvRowsOf(lines(995, 1) + long(10) + lines(500, 1_007) + long(3_000) + lines(2, 4_508));
  expect(rows).toHaveLength(995 + 1 + 500 + 1 + 2);
  const short = rows.filter(({ cells }) => cells?.[1] === 'x');
  expect(short.map(({ cells }) => cells?.[0])).toEqual(short.map(({ line }) => String(line)));
  expect(
    rows.filter(({ cells }) => cells?.[1] === 'y').map(({ line, lastLine }) => [line, lastLine]),
  ).toEqual([
    [996, 1_006],
    [1_507, 4_507],
  ]);
});

function cpuMsOf(count: number): number {
  const text = 'acme,5" nail\n'.repeat(count);
  const before = process.threadCpuUsage();
  expect(csvRowsOf(text).at(-1)).toEqual({ line: count });
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1_000;
}

test('a broken quote in every line of a long file costs no more per line than in a short one', () => {
  cpuMsOf(500);
  // Eight times as many lines: with the rest of the file parsed for each of them it would be 64 times the work.
  expect(cpuMsOf(16_000) / cpuMsOf(2_000)).toBeLessThan(24);
});

test('a carriage return in a cell costs no rows of a long file', () => {
  const rows = csvRowsOf(`c,"x\r\ry\rz"\n${'r,v\n'.repeat(998)}m,"p\nq"\nz,v\n`);
  expect(rows).toHaveLength(1_001);
  expect(rows.slice(-2).map(({ cells }) => cells)).toEqual([
    ['m', 'p\nq'],
    ['z', 'v'],
  ]);
});

test('a long file whose last quote is not closed has its rows before that, and after it', () => {
  const rows = csvRowsOf(`${'a,b\n'.repeat(2_500)}c,"d\n${'e,f\n'.repeat(2_500)}`);
  expect(rows.filter(({ cells }) => cells?.length === 2)).toHaveLength(5_000);
  expect(rows.filter(({ cells }) => !cells)).toEqual([{ line: 2_501 }]);
});
