import { rename, writeFile } from 'node:fs/promises';
import { parse } from 'node:path';
import { failureColumns, type Manifest, type Row } from './manifest.ts';

export type FailedRow = { row: Row; code: string; why: string };

export function failedRowsFile(manifestFile: string): string {
  const { dir, name, ext } = parse(manifestFile);
  return `${dir === '' ? '' : `${dir}/`}${name}.failed${ext}`;
}

/**
 * Writes the rows that failed in the manifest's own format, each with its line, a code and why: mended, the file is a
 * manifest. In place of an older one only when it is complete.
 */
export async function writeFailedRows(
  file: string,
  { format, columns }: Pick<Manifest, 'format' | 'columns'>,
  failed: readonly FailedRow[],
): Promise<void> {
  const text = format === 'csv' ? csvOf(columns, failed) : jsonLinesOf(failed);
  await writeFile(`${file}.part`, text);
  await rename(`${file}.part`, file);
}

function csvOf(columns: readonly string[], failed: readonly FailedRow[]): string {
  const own = columns.filter((column) => !isFailureColumn(column));
  const lines = failed.map(({ row: { line, given }, code, why }) => [
    String(line),
    code,
    why,
    ...own.map((column) => textOf(given[column])),
  ]);
  return [[...failureColumns, ...own], ...lines].map((cells) => `${cells.map(cell).join(',')}\n`).join('');
}

/** A manifest in CSV has nothing else. */
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

/** RFC 4180. */
function cell(text: string): string {
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function jsonLinesOf(failed: readonly FailedRow[]): string {
  return failed
    .map(({ row: { line, given }, code, why }) => {
      const own = Object.entries(given).filter(([key]) => !isFailureColumn(key));
      return `${JSON.stringify({ line, code, why, ...Object.fromEntries(own) })}\n`;
    })
    .join('');
}

function isFailureColumn(name: string): boolean {
  return failureColumns.some((column) => column === name);
}
