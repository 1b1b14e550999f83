import { randomUUID } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, parse } from 'node:path';
import { UsageError } from '../command.ts';
import { csvOf } from '../csv.ts';
import { plain } from '../../plain-text.ts';
import { failureColumns, isFailureColumn, notCopied } from './copied-row.ts';
import type { Manifest, Row } from './manifest.ts';
import { reasonOf } from './target.ts';

export type FailedRow = { row: Row; code: string; why: string };

export function failedRowsFile(manifestFile: string): string {
  const { dir, name, ext } = parse(manifestFile);
  return `${dir === '' ? '' : `${dir}/`}${name}.failed${ext}`;
}

/**
 * Makes sure that the file of failed rows can be written at the end of a run. Writes a file as a probe, because
 * permissions do not show a read-only file system.
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
      `Files cannot be written to ${directory} (${reasonOf(error)}), and the file of failed rows goes there: copy the ` +
        'manifest to another directory.',
    );
  }
}

/**
 * Writes the rows that failed in the manifest's own format, each with its line, a code and the reason: once corrected,
 * the file is a manifest. It is written under a temporary name and replaces an older one when it is complete, so no link
 * is followed and other users cannot read it.
 */
export async function writeFailedRows(
  file: string,
  { format, columns }: Pick<Manifest, 'format' | 'columns'>,
  failed: readonly FailedRow[],
): Promise<void> {
  const text = format === 'csv' ? csvOf(failedCells(columns, failed)) : jsonLinesOf(failed);
  const fresh = `${file}.${randomUUID()}.part`;
  try {
    await writeFile(fresh, text, { flag: 'wx', mode: 0o600 });
    await rename(fresh, file);
  } finally {
    await rm(fresh, { force: true });
  }
}

/** Removes the file of an earlier run: no row fails any more. */
export async function removeFailedRows(file: string): Promise<void> {
  await rm(file, { force: true });
}

function failedCells(columns: readonly string[], failed: readonly FailedRow[]): string[][] {
  const own = columns.filter((column) => !isFailureColumn(column));
  const lines = failed.map(({ row: { line, given }, code, why }) => [
    String(line),
    code,
    plain(why),
    ...own.map((column) => textOf(given[column])),
  ]);
  return [[...failureColumns, ...own], ...lines];
}

/** Cells of CSV are text, which may hold control sequences for the terminal that shows the file. */
function textOf(value: unknown): string {
  const text = typeof value === 'string' ? value : '';
  return /(?![\r\n\t])\p{Cc}/u.test(text) ? notCopied : text;
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
