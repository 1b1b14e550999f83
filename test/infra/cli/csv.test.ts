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
