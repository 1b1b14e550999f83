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

/** Lines that are parsed together, unless one record has more: only their rows are in memory. */
const linesAtOnce = 1_000;

/**
 * Reads the header and the rows, without empty ones: spreadsheets end a file with rows of only commas. A row that cannot
 * be read counts as one line, and the next row is looked for on the line after it.
 */
export function* csvRows(text: string): Generator<CsvRow> {
  // The parser counts a lone CR as a line, too: rows would be skipped between two calls.
  const lines = text.replaceAll(/\r\n?/g, '\n').split('\n');
  let from = 0;
  let count = linesAtOnce;
  while (from < lines.length) {
    const { rows, end, fault } = parseLines(lines, from, count);
    yield* rows;
    if (!fault) {
      from += count;
      count = Math.min(2 * count, linesAtOnce);
    } else if (fault.code === 'CSV_QUOTE_NOT_CLOSED' && from + count < lines.length) {
      // A record goes on after these lines.
      if (end === from) count *= 2;
      from = end;
    } else {
      let broken = end;
      while (broken < lines.length && lines[broken]?.trim() === '') broken += 1;
      if (broken === lines.length) return;
      yield { line: broken + 1 };
      from = broken + 1;
      // The next lines may be broken, too: parsing a thousand for each of them would take minutes.
      count = 1;
    }
  }
}

export const csvRowsOf = (text: string): CsvRow[] => [...csvRows(text)];

/** `end`: the line after the last record that could be read. */
function parseLines(lines: readonly string[], from: number, count: number) {
  const rows: CsvRow[] = [];
  let end = from;
  const isRest = from + count >= lines.length;
  try {
    parseCsv(lines.slice(from, from + count).join('\n') + (isRest ? '' : '\n'), {
      bom: from === 0,
      trim: true,
      skip_empty_lines: true,
      relax_column_count: true,
      on_record: (record, { lines: linesRead }) => {
        const cells = cellsSchema.parse(record);
        end = from + linesRead;
        const line = end - cells.join('').split('\n').length + 1;
        if (cells.some((cell) => cell !== '')) rows.push({ line, lastLine: end, cells });
        return null;
      },
    });
    return { rows, end };
  } catch (fault) {
    if (!(fault instanceof CsvError)) throw fault;
    return { rows, end, fault };
  }
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
