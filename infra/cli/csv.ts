import { stringify } from 'csv-stringify/sync';

/**
 * Spreadsheets take a cell that begins like this for a formula, in full width, too:
 * https://owasp.org/www-community/attacks/CSV_Injection
 */
const formula = /^'*[=+\-@\t\r\n＝＋－＠]/;

/** Puts a `'` before such a cell, and one more before a cell that has its own. */
export const withFormulaGuard = (text: string): string => (formula.test(text) ? `'${text}` : text);
export const withoutFormulaGuard = (text: string): string =>
  text.startsWith("'") && formula.test(text) ? text.slice(1) : text;

/**
 * Tags as one cell of a manifest. Where ";" separates columns, as in some locales, each tag is a cell, so those after the
 * first have a guard of their own.
 */
export const tagsCell = (tags: readonly string[]): string =>
  tags.map((tag, index) => (index === 0 ? tag : withFormulaGuard(tag))).join(';');

/** Writes rows as CSV that a spreadsheet opens without running anything. */
export function csvOf(rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map((cell) => withFormulaGuard(withoutControls(cell))));
  // What readers of CSV trim, or take for the end of a row.
  return stringify(cells, { quoted_match: /\r|^\s|\s$/ });
}

/** Number of cells that `csvOf` puts a guard before. */
export const guardedIn = (rows: readonly (readonly string[])[]): number =>
  rows.flat().filter((cell) => formula.test(cell)).length;

/** They may control the terminal that shows the file. */
const withoutControls = (text: string): string => text.replaceAll(/(?![\r\n\t])\p{Cc}/gu, '\uFFFD');
