import { parse as parseCsv, CsvError } from 'csv-parse/sync';
import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import * as z from 'zod/mini';
import { assertAllowed } from '../../functions/core/configuration.ts';
import { OnboardingError } from '../../functions/core/errors.ts';
import { defaultElementKey } from '../../functions/core/catalogue.ts';
import { settingsFromEvent } from '../../functions/core/events.ts';
import { configurationSchema, entryNameSchema, type InstanceKey } from '../../functions/core/instance.ts';

/** What a row asks for. `id` stays the same from run to run as long as the row asks for the same. */
export type Ask = InstanceKey & {
  id: string;
  fingerprint: string;
  /** JSON, as the event carries it. */
  detail: string;
};

export type Row = {
  /** From 1, as editors count; of a record over several lines, the first. */
  line: number;
  /** As in the manifest, without what is refused as a possible credential: for the file of failed rows. */
  given: Record<string, unknown>;
} & ({ ask: Ask } | { faults: string[] });
export type GoodRow = Extract<Row, { ask: Ask }>;
export type BadRow = Extract<Row, { faults: string[] }>;

export type Format = 'csv' | 'jsonl';

export type Manifest = { format: Format; columns: readonly string[]; rows: readonly Row[] };

/** The manifest as a whole cannot be used; one message per line. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError';
}

/** As the body of an HTTP request, and far below what EventBridge and SQS take. */
const maxDetailBytes = 64 * 1_024;

/** Columns of the file of failed rows, which can be fed in again: what they hold is not read. */
export const failureColumns = ['line', 'code', 'why'] as const;

/**
 * Reads a manifest, CSV with a header or JSON Lines, by the ending of its name.
 * @throws ManifestError when it cannot be read as that, naming the line
 */
export async function readManifest(file: string): Promise<Manifest> {
  const format = formatOf(file);
  const bytes = await readFile(file).catch((error: unknown) => {
    throw new ManifestError(
      `${file} cannot be read: ${error instanceof Error ? error.message : 'no reason'}`,
    );
  });
  const text = textOf(file, bytes);
  const { columns, records } = format === 'csv' ? readCsv(file, text) : readJsonLines(text);
  const rows = records.map((record) => checked(record, format));
  if (rows.length === 0) throw new ManifestError(`${file} has no rows.`);
  return { format, columns, rows: withoutDoubles(rows) };
}

export const isGood = (row: Row): row is GoodRow => 'ask' in row;
export const isBad = (row: Row): row is BadRow => 'faults' in row;

/** `given` is what the file of failed rows repeats, `detail` what the event would carry; neither for a broken line. */
type Draft = { line: number; given: Record<string, unknown>; detail: unknown; faults: string[] };

function formatOf(file: string): Format {
  const ending = extname(file).toLowerCase();
  if (ending === '.csv') return 'csv';
  if (ending === '.jsonl' || ending === '.ndjson') return 'jsonl';
  throw new ManifestError(`${file}: a manifest's name ends in .csv, .jsonl or .ndjson.`);
}

/** A byte that is no UTF-8 would otherwise become part of a tenant's name as a question mark. */
function textOf(file: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replaceAll('\r\n', '\n');
  } catch {
    throw new ManifestError(`${file} is not UTF-8: save it as "CSV UTF-8", or convert it.`);
  }
}

const knownColumns = new Set(['tenantId', 'elementKey', 'name', 'tags', ...failureColumns]);
const configurationColumn = /^configuration\.(.+)$/;
const cellsSchema = z.array(z.string());

function readCsv(file: string, text: string): { columns: string[]; records: Draft[] } {
  const lines = cellsByLine(file, text);
  const [header, ...rest] = lines;
  const columns = header?.cells ?? [];
  const faults = columns.flatMap((column, index) => {
    if (columns.indexOf(column) < index) return [`the column ${column} is there twice`];
    const entry = configurationColumn.exec(column)?.[1];
    if (entry !== undefined && !entryNameSchema.safeParse(entry).success) {
      return [
        'a column configuration.… does not name an entry; it is not shown because it may be a credential',
      ];
    }
    if (knownColumns.has(column) || entry !== undefined) return [];
    return [
      `"${column}" is not a column: known are tenantId, elementKey, name, tags (separated by ";") ` +
        'and configuration.<key>',
    ];
  });
  if (!columns.includes('tenantId')) {
    faults.push('there is no column tenantId; the first line names the columns, separated by ","');
  }
  if (faults.length > 0) {
    throw new ManifestError(faults.map((fault) => `${file}:${header?.line ?? 1}: ${fault}`).join('\n'));
  }
  return { columns, records: rest.map(({ line, cells }) => recordOf(line, columns, cells)) };
}

/** @throws ManifestError for a quote out of place: where the rows after it begin, nobody can tell */
function cellsByLine(file: string, text: string): { line: number; cells: string[] }[] {
  const lines: { line: number; cells: string[] }[] = [];
  let lastLine = 0;
  try {
    parseCsv(text, {
      bom: true,
      trim: true,
      skip_empty_lines: true,
      relax_column_count: true,
      on_record: (record, { lines: endLine }) => {
        const cells = cellsSchema.parse(record);
        lines.push({ line: endLine - cells.join('').split('\n').length + 1, cells });
        lastLine = endLine;
        return null;
      },
    });
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new ManifestError(
      `${file}:${lastLine + 1}: a quote (") from here on is not where CSV allows one, or is not closed; what follows ` +
        'cannot be read. A cell with quotes in it is put in quotes, with each of its own doubled.',
    );
  }
  return lines;
}

function recordOf(line: number, columns: readonly string[], cells: readonly string[]): Draft {
  const given = Object.fromEntries(columns.map((column, index) => [column, cells[index] ?? '']));
  if (cells.length !== columns.length) {
    return {
      line,
      given,
      detail: undefined,
      faults: [`the header has ${columns.length} columns, this row ${cells.length}`],
    };
  }
  const filled = columns.flatMap((column, index) => {
    const value = cells[index];
    return value ? [[column, value] as const] : [];
  });
  const { tenantId, elementKey, name, tags } = Object.fromEntries(filled);
  const configuration = filled.flatMap(([column, value]) => {
    const key = configurationColumn.exec(column)?.[1];
    return key === undefined ? [] : [[key, value] as const];
  });
  const detail = {
    tenantId,
    ...(elementKey && { element: { key: elementKey } }),
    ...(name && { name }),
    ...(tags && { tags: tags.split(';').map((tag) => tag.trim()) }),
    ...(configuration.length > 0 && { configuration: Object.fromEntries(configuration) }),
  };
  return { line, given, detail, faults: [] };
}

const objectSchema = z.record(z.string(), z.unknown());

function readJsonLines(text: string): { columns: string[]; records: Draft[] } {
  const records = text.split('\n').flatMap((source, index): Draft[] => {
    if (source.trim() === '') return [];
    const line = index + 1;
    const given = objectSchema.safeParse(parseJson(source)).data;
    if (!given) return [{ line, given: {}, detail: undefined, faults: ['is not a JSON object'] }];
    const detail = Object.fromEntries(
      Object.entries(given).filter(([key]) => !failureColumns.some((column) => column === key)),
    );
    return [{ line, given, detail, faults: [] }];
  });
  return { columns: [], records };
}

/** Undefined when it is not JSON. The parser's own message would quote the line. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Checks a row by what the service itself does with the event. */
function checked({ line, given, detail, faults: before }: Draft, format: Format): Row {
  const bad = (faults: string[]): Row => ({ line, given: withoutConfiguration(given), faults });
  if (before.length > 0) return bad(before);
  const settings = attempt(() =>
    settingsFromEvent(
      {
        id: `line-${line}`,
        source: 'manifest',
        'detail-type': 'TenantOnboarded',
        time: new Date(askedBy.sentAt).toISOString(),
        detail,
      },
      askedBy.sentAt,
    ),
  );
  const allowed = attempt(() => {
    // What is wrong with these has been said already.
    const { element, configuration = {} } = credentialsSchema.safeParse(detail).data ?? {};
    assertAllowed({ elementKey: element?.key ?? defaultElementKey, configuration, askedBy });
  });
  const problems = [settings, allowed].flatMap((result) => ('problems' in result ? result.problems : []));
  if ('problems' in settings || problems.length > 0) {
    return bad(problems.map((problem) => faultOf(problem, format)));
  }
  const json = JSON.stringify(detail);
  if (Buffer.byteLength(json) > maxDetailBytes) return bad([`is larger than ${maxDetailBytes / 1_024} KiB`]);
  const { tenantId, elementKey, fingerprint } = settings.value;
  const id = `${tenantId}/${elementKey}/${fingerprint}`;
  return { line, given, ask: { id, tenantId, elementKey, fingerprint, detail: json } };
}

const credentialsSchema = z.object({
  element: z.optional(z.object({ key: z.string() })),
  configuration: z.optional(configurationSchema),
});

/** Of an event, which may hold no credential at all. */
const askedBy = { dialect: 'native', eventId: 'line', sentAt: 0 } as const;

function attempt<T>(check: () => T): { value: T } | { problems: readonly Problem[] } {
  try {
    return { value: check() };
  } catch (error) {
    if (!(error instanceof OnboardingError)) throw error;
    return { problems: error.facts.problems ?? [] };
  }
}

type Problem = NonNullable<OnboardingError['facts']['problems']>[number];

function faultOf(problem: Problem, format: Format): string {
  const pointer = 'pointer' in problem ? problem.pointer : '';
  const [, field = '', key] = pointer.split('/');
  const advice =
    field === 'configuration' && problem.detail.startsWith('cannot be set')
      ? ". A credential is put into the tenant's secret in Secrets Manager, never into a manifest"
      : '';
  const place = format === 'jsonl' ? pointer : (columnNames[field] ?? (key ? `${field}.${key}` : field));
  return `${place} ${problem.detail}${advice}`.trim();
}

/** Where a column is not named like the field that it becomes. */
const columnNames: Readonly<Partial<Record<string, string>>> = { element: 'elementKey', tags: 'tags' };

/** A row that was refused may hold a credential: it is not copied into another file. */
function withoutConfiguration(given: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(given)
      .filter(([key]) => key !== 'configuration')
      .map(([key, value]) => [key, configurationColumn.test(key) ? '' : value]),
  );
}

const keyOf = ({ ask: { tenantId, elementKey } }: GoodRow): string => `${tenantId}/${elementKey}`;

/** Of rows for the same tenant and element none is good: which of them is meant, nobody can tell. */
function withoutDoubles(rows: readonly Row[]): Row[] {
  const byKey = Map.groupBy(rows.filter(isGood), keyOf);
  return rows.map((row) => {
    if (!isGood(row)) return row;
    const others = (byKey.get(keyOf(row)) ?? []).filter(({ line }) => line !== row.line);
    if (others.length === 0) return row;
    const { tenantId, elementKey } = row.ask;
    const where = others.map(({ line }) => line).join(', ');
    return {
      line: row.line,
      given: row.given,
      faults: [
        `asks for ${elementKey} of tenant ${tenantId}, and so ${others.length === 1 ? 'does line' : 'do lines'} ${where}`,
      ],
    };
  });
}
