import { CsvError, parse as parseCsv } from 'csv-parse/sync';
import * as z from 'zod/mini';

/** A row of CSV with the lines it takes, from 1, or a line from which no row can be read. */
export type CsvRow =
  | { line: number; lastLine: number; cells: string[] }
  | { line: number; lastLine?: never; cells?: never };

export const quoteFault =
  'a quote (") is not where CSV allows one, or is not closed. A cell that contains quotes must be quoted, and each of ' +
  'its own quotes doubled';

const cellsSchema = z.array(z.string());

/**
 * Returns the header and the rows, without empty ones: spreadsheets end a file with rows of only commas. A row that
 * cannot be read counts as one line, and the next row is looked for on the line after it.
 */
export function csvRowsOf(text: string): CsvRow[] {
  const lines = text.split('\n');
  const rows: CsvRow[] = [];
  let from = 0;
  while (from < lines.length) {
    const before = from;
    let end = before;
    try {
      parseCsv(lines.slice(from).join('\n'), {
        bom: true,
        trim: true,
        skip_empty_lines: true,
        relax_column_count: true,
        on_record: (record, { lines: linesRead }) => {
          const cells = cellsSchema.parse(record);
          end = before + linesRead;
          const line = end - cells.join('').split('\n').length + 1;
          if (cells.some((cell) => cell !== '')) rows.push({ line, lastLine: end, cells });
          return null;
        },
      });
      return rows;
    } catch (error) {
      if (!(error instanceof CsvError)) throw error;
      const broken = lines.findIndex((line, index) => index >= end && line.trim() !== '');
      if (broken === -1) return rows;
      rows.push({ line: broken + 1 });
      from = broken + 1;
    }
  }
  return rows;
}

/** Names the separator if the first line shows another than ",", as some locales of spreadsheets write. */
export function separatorFaultOf(text: string): string | undefined {
  const [firstLine = ''] = text.trimStart().split('\n', 1);
  const separators = { ';': '";"', '\t': 'tabs', '|': '"|"' };
  const found = Object.entries(separators).find(([separator]) => {
    const names = firstLine.split(separator).map((name) => name.trim().replace(/^"(.*)"$/, '$1'));
    return names.length > 1 && names.includes('tenantId');
  });
  return (
    found &&
    `the columns are separated by ${found[1]}, expected ",": save the file as "CSV UTF-8 (comma delimited)"`
  );
}
