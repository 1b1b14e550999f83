import { randomUUID } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, parse } from 'node:path';
import { UsageError } from '../command.ts';
import { plain } from '../../plain-text.ts';
import { failureColumns, isFailureColumn, notCopied } from './copied-row.ts';
import { withFormulaGuard, type Manifest, type Row } from './manifest.ts';
import { reasonOf } from './target.ts';

export type FailedRow = { row: Row; code: string; why: string };

export function failedRowsFile(manifestFile: string): string {
  const { dir, name, ext } = parse(manifestFile);
  return `${dir === '' ? '' : `${dir}/`}${name}.failed${ext}`;
}

/**
 * Makes sure that the file of failed rows can be written at the end of a run. Tries it, because permissions say nothing
 * of a file system that is read-only.
 * @throws UsageError
 */
export async function assertWritable(file: string): Promise<void> {
  const directory = dirname(file);
  const probe = join(directory, `.onboard-${randomUUID()}`);
  try {
    await writeFile(probe, '', { flag: 'wx' });
    await rm(probe);
  } catch (error) {
    throw new UsageError(
      `Nothing can be written to ${directory} (${reasonOf(error)}), and the file of failed rows goes there: copy the ` +
        'manifest to another directory.',
    );
  }
}

/**
 * Writes the rows that failed in the manifest's own format, each with its line, a code and why: mended, the file is a
 * manifest. It is written under a name of its own and takes the place of an older one when it is complete. So neither
 * is a link followed nor can others read it.
 */
export async function writeFailedRows(
  file: string,
  { format, columns }: Pick<Manifest, 'format' | 'columns'>,
  failed: readonly FailedRow[],
): Promise<void> {
  const text = format === 'csv' ? csvOf(columns, failed) : jsonLinesOf(failed);
  const fresh = `${file}.${randomUUID()}.part`;
  try {
    await writeFile(fresh, text, { flag: 'wx', mode: 0o600 });
    await rename(fresh, file);
  } finally {
    await rm(fresh, { force: true });
  }
}

/** Removes that of an earlier run: nothing has failed any more. */
export async function removeFailedRows(file: string): Promise<void> {
  await rm(file, { force: true });
}

function csvOf(columns: readonly string[], failed: readonly FailedRow[]): string {
  const own = columns.filter((column) => !isFailureColumn(column));
  const lines = failed.map(({ row: { line, given }, code, why }) => [
    String(line),
    code,
    plain(why),
    ...own.map((column) => textOf(given[column])),
  ]);
  return [[...failureColumns, ...own], ...lines].map((cells) => `${cells.map(cell).join(',')}\n`).join('');
}

/** A manifest in CSV has nothing but text, which may be meant for the terminal that shows the file. */
function textOf(value: unknown): string {
  const text = typeof value === 'string' ? value : '';
  return /(?![\r\n\t])\p{Cc}/u.test(text) ? notCopied : text;
}

/** RFC 4180, and no cell is a formula. */
function cell(text: string): string {
  const guarded = withFormulaGuard(text);
  return /[",\r\n]|^\s|\s$/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
}

function jsonLinesOf(failed: readonly FailedRow[]): string {
  return failed
    .map(({ row: { line, given }, code, why }) => {
      const own = Object.entries(given).filter(([key]) => !isFailureColumn(key));
      return `${asciiControls(JSON.stringify({ line, code, why, ...Object.fromEntries(own) }))}\n`;
    })
    .join('');
}

/** JSON escapes the control characters of ASCII alone. */
function asciiControls(json: string): string {
  return json.replaceAll(/[\u007f-\u009f]/g, (control) => `\\u00${control.charCodeAt(0).toString(16)}`);
}
