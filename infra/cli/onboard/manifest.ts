import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import * as z from 'zod/mini';
import { assertAllowed } from '../../../functions/model/configuration.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { isCatalogued, requiredKeys, type Catalog } from '../../../functions/model/catalog.ts';
import { defaultElementKey } from '../../../functions/model/default-element.ts';
import { isEntryName } from '../../../functions/model/entry-name.ts';
import { settingsFromEvent } from '../../../functions/model/events.ts';
import {
  configurationSchema,
  elementKeySchema,
  entryNameSchema,
  judged,
  tenantIdSchema,
  type InstanceKey,
} from '../../../functions/model/instance.ts';
import { pointerTo, problemsOf } from '../../../functions/model/validation.ts';
import { parseJson } from '../../../functions/model/json.ts';
import {
  configurationColumn,
  copiedCells,
  copiedFields,
  failureColumns,
  isFailureColumn,
} from './copied-row.ts';
import { withoutFormulaGuard } from '../csv.ts';
import { csvRows, quoteFault, separatorFaultOf, type CsvRow } from './csv-rows.ts';

/** An instance to be created, by an event. */
export type EventRequest = InstanceKey & {
  fingerprint: string;
  /** JSON, as the event carries it. */
  detail: string;
};
/** An instance that exists, to be adopted by its id, over HTTP. */
export type ImportRequest = InstanceKey & { instanceId: number };
/** The request that a row stands for. */
export type TenantRequest = EventRequest | ImportRequest;
export const isImport = (request: TenantRequest): request is ImportRequest => 'instanceId' in request;

export type Row = {
  /** From 1, as editors count; the first line of a record over several lines. */
  line: number;
  /** For the file of failed rows: the fields as in the manifest; of a bad row only those that cannot be a credential. */
  given: Record<string, unknown>;
} & (
  | {
      request: TenantRequest;
      /** Without the tenant's secret the element's credentials are missing. */
      needsSecret: boolean;
    }
  | { faults: string[] }
);
export type GoodRow = Extract<Row, { request: TenantRequest }>;
export type BadRow = Extract<Row, { faults: string[] }>;

export type Format = 'csv' | 'jsonl';

export type Manifest = { format: Format; columns: readonly string[]; rows: readonly Row[] };

/** The whole manifest cannot be used; one message per line. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError';
}

/** The limit for the body of an HTTP request, too, and far below the limits of EventBridge and SQS. */
const maxDetailBytes = 64 * 1_024;

/**
 * Reads a manifest, CSV with a header or JSON Lines, by the ending of its name.
 * @param catalog of the stage
 * @throws ManifestError with the line when the file is not in that format
 */
export async function readManifest(file: string, catalog: Catalog): Promise<Manifest> {
  const format = formatOf(file);
  const bytes = await readFile(file).catch((error: unknown) => {
    throw new ManifestError(
      `${file} cannot be read: ${error instanceof Error ? error.message : 'no reason'}`,
    );
  });
  const text = textOf(file, bytes);
  const { columns, records } = format === 'csv' ? readCsv(file, text, catalog) : readJsonLines(text, catalog);
  // One record at a time: all of them together would take twice the memory.
  const rows = Array.from(records, (record) => checkedRow(record, format, catalog));
  if (rows.length === 0) throw new ManifestError(`${file} has no rows.`);
  return { format, columns, rows: withoutDoubles(rows) };
}

export const importsIn = (rows: readonly Row[]): number =>
  rows.filter((row) => isGood(row) && isImport(row.request)).length;

export const isGood = (row: Row): row is GoodRow => 'request' in row;
export const isBad = (row: Row): row is BadRow => 'faults' in row;

/**
 * `given` is the row as in the manifest, `copied` makes its copy for the file of failed rows if it is bad, `detail` is the
 * detail of its event. All are empty for a row that cannot be read.
 */
type Draft = {
  line: number;
  /** Only for a row that takes several lines. */
  lastLine?: number;
  given: Record<string, unknown>;
  copied: () => Record<string, unknown>;
  detail: unknown;
  faults: string[];
};
const unreadable = (line: number, fault: string): Draft => ({
  line,
  given: {},
  copied: () => ({}),
  detail: undefined,
  faults: [fault],
});

function formatOf(file: string): Format {
  const ending = extname(file).toLowerCase();
  if (ending === '.csv') return 'csv';
  if (ending === '.jsonl' || ending === '.ndjson') return 'jsonl';
  throw new ManifestError(`${file}: a manifest's name ends in .csv, .jsonl or .ndjson.`);
}

/** Refuses other encodings: a byte that is not UTF-8 would become a question mark in a tenant's name. */
function textOf(file: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replaceAll('\r\n', '\n');
  } catch {
    throw new ManifestError(`${file} is not UTF-8: save it as "CSV UTF-8", or convert it.`);
  }
}

/** Of the lists of instances that `discover` and `export` print; not read again. */
const informational = ['createdDate', 'status'] as const;
const knownColumns = new Set<string>([
  'tenantId',
  'elementKey',
  'instanceId',
  'name',
  'tags',
  ...informational,
  ...failureColumns,
]);

type Records = { columns: string[]; records: Iterable<Draft> };

function readCsv(file: string, text: string, catalog: Catalog): Records {
  const separatorFault = separatorFaultOf(text);
  if (separatorFault !== undefined) throw new ManifestError(`${file}:1: ${separatorFault}.`);
  const rows = withoutBanner(csvRows(text));
  const header = rows.next().value;
  if (header && !header.cells) throw new ManifestError(`${file}:${header.line}: ${quoteFault}.`);
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
    const shown = isEntryName(column) ? `"${column}"` : `the name of column ${index + 1}`;
    return [
      `${shown} is not a column: known are tenantId, elementKey, instanceId, name, tags (separated by ";") ` +
        'and configuration.<key>',
    ];
  });
  if (!columns.includes('tenantId')) {
    faults.push('there is no column tenantId; the first line names the columns, separated by ","');
  }
  if (faults.length > 0) {
    throw new ManifestError(faults.map((fault) => `${file}:${header?.line ?? 1}: ${fault}`).join('\n'));
  }
  return { columns, records: mapped(rows, (row) => [recordOf(row, columns, catalog)]) };
}

/** `npm run discover > found.csv`, without `-s`, begins with two lines of npm's own; JSON Lines do, too. */
function* withoutBanner(rows: Iterable<CsvRow>): Generator<CsvRow, undefined> {
  let isBanner = true;
  for (const row of rows) {
    isBanner &&= isOfNpm(row);
    if (!isBanner) yield row;
  }
}

/** A spreadsheet adds the commas. */
const isOfNpm = ({ cells }: CsvRow): boolean =>
  cells?.[0]?.startsWith('> ') === true && cells.slice(1).every((cell) => cell === '');

function recordOf(row: CsvRow, columns: readonly string[], catalog: Catalog): Draft {
  if (!row.cells) return unreadable(row.line, quoteFault);
  const { line, lastLine } = row;
  const isRepeated = failureColumns.every((column) => columns.includes(column));
  const cells = isRepeated ? row.cells.map(withoutFormulaGuard) : row.cells;
  const span = lastLine > line ? { lastLine } : {};
  if (cells.length !== columns.length) {
    // It is unclear which cell belongs to which column, and so whether a cell is a credential.
    return {
      ...unreadable(line, `the header has ${columns.length} columns, this row ${cells.length}`),
      ...span,
    };
  }
  const given = Object.fromEntries(columns.map((column, index) => [column, cells[index] ?? '']));
  const filled = Object.entries(given).filter(([, value]) => value !== '');
  const { tenantId, elementKey, instanceId, name, tags } = Object.fromEntries(filled);
  const configuration = filled.flatMap(([column, value]) => {
    const key = configurationColumn.exec(column)?.[1];
    return key === undefined ? [] : [[key, value] as const];
  });
  const detail = {
    tenantId,
    ...(elementKey && { element: { key: elementKey } }),
    // Excel writes more than eleven digits as 1.23E+11: such text is no number here.
    ...(instanceId && { instanceId: /^\d{1,16}$/.test(instanceId) ? Number(instanceId) : instanceId }),
    ...(name && { name }),
    ...(tags && { tags: tags.split(';').map((tag) => tag.trim()) }),
    ...(configuration.length > 0 && { configuration: Object.fromEntries(configuration) }),
  };
  return { line, ...span, given, copied: () => copiedCells(given, catalog), detail, faults: [] };
}

const objectSchema = z.record(z.string(), z.unknown());

function readJsonLines(text: string, catalog: Catalog): Records {
  const lines = text.split('\n');
  const begin = lines.findIndex((source) => source.trim() !== '' && !source.startsWith('> '));
  const records = mapped(lines, (source, index) => {
    if (source.trim() === '' || index < begin) return [];
    const line = index + 1;
    const read = parseJson(source);
    if ('fault' in read) return [unreadable(line, `is not ${read.fault.replace('line 1, ', '')}`)];
    const object = objectSchema.safeParse(read.json).data;
    if (!object) return [unreadable(line, 'is not a JSON object')];
    const given = Object.fromEntries(Object.entries(object).filter(([key]) => !isFailureColumn(key)));
    const detail = Object.fromEntries(Object.entries(given).filter(([key]) => !isInformational(key)));
    return [{ line, given, copied: () => copiedFields(given, catalog), detail, faults: [] }];
  });
  return { columns: [], records };
}

/** Lazily, as an iterator's own helpers do, which the code's target does not have. */
function* mapped<From, To>(items: Iterable<From>, map: (item: From, index: number) => To[]): Generator<To> {
  let index = 0;
  for (const item of items) yield* map(item, index++);
}

const isInformational = (name: string): boolean => informational.some((each) => each === name);

const namesInstance = (detail: unknown): boolean =>
  objectSchema.safeParse(detail).data?.['instanceId'] !== undefined;

const importSchema = z.strictObject({
  tenantId: tenantIdSchema,
  element: z.optional(z.strictObject({ key: elementKeySchema })),
  instanceId: z
    .int('the id of an instance, a whole number; a spreadsheet may have changed it')
    .check(z.gte(1, 'the id of an instance, a whole number above 0')),
  configuration: z.optional(z.undefined('none for an import, which leaves it as it is')),
  // Cloud Elements has them, and an import leaves them as they are.
  name: z.optional(z.unknown()),
  tags: z.optional(z.unknown()),
});

function readImport(detail: unknown, format: Format): { request: ImportRequest } | { faults: string[] } {
  const { data, error } = importSchema.safeParse(detail);
  if (data) {
    const { tenantId, element, instanceId } = data;
    return { request: { tenantId, elementKey: element?.key ?? defaultElementKey, instanceId } };
  }
  const faults = problemsOf(error, detail).map(({ path, detail: why }) => {
    // Every row of a list that was not filled in.
    const advice =
      path[0] === 'tenantId' && why.startsWith('is missing')
        ? 'is missing: fill it in, or delete the row'
        : why;
    return faultOf({ pointer: pointerTo(path), detail: advice }, format);
  });
  return { faults };
}

/** Checks a row with the service's own parser of events. */
function checkedRow(
  { line, lastLine, given, copied, detail, faults: before }: Draft,
  format: Format,
  catalog: Catalog,
): Row {
  const span =
    lastLine === undefined ? [] : [`goes on to line ${lastLine}: if it should not, a quote is not closed`];
  const bad = (faults: string[]): Row => ({ line, given: copied(), faults: [...faults, ...span] });
  if (before.length > 0) return bad(before);
  if (namesInstance(detail)) {
    const read = readImport(detail, format);
    return 'faults' in read ? bad(read.faults) : { line, given, ...read, needsSecret: false };
  }
  const settings = attempt(() =>
    settingsFromEvent(
      {
        id: `line-${line}`,
        source: 'manifest',
        'detail-type': 'TenantOnboarded',
        time: new Date(requestedBy.sentAt).toISOString(),
        detail,
      },
      requestedBy.sentAt,
    ),
  );
  // Faults of these are among those of `settings`.
  const { element, configuration = {} } = credentialsSchema.safeParse(detail).data ?? {};
  const allowed = attempt(() =>
    assertAllowed(catalog, { elementKey: element?.key ?? defaultElementKey, configuration, requestedBy }),
  );
  const problems = [settings, allowed].flatMap((result) => ('problems' in result ? result.problems : []));
  if ('problems' in settings || problems.length > 0) {
    return bad(problems.map((problem) => faultOf(problem, format)));
  }
  const json = JSON.stringify(detail);
  if (Buffer.byteLength(json) > maxDetailBytes) return bad([`is larger than ${maxDetailBytes / 1_024} KiB`]);
  const { tenantId, elementKey, fingerprint } = judged(catalog, settings.value);
  // The required entries of an element outside the catalog are not known.
  const needsSecret =
    !isCatalogued(catalog, elementKey) ||
    requiredKeys(catalog, elementKey).some((name) => !Object.hasOwn(configuration, name));
  return { line, given, request: { tenantId, elementKey, fingerprint, detail: json }, needsSecret };
}

const credentialsSchema = z.object({
  element: z.optional(z.object({ key: z.string() })),
  configuration: z.optional(configurationSchema),
});

/** An event, which must not contain credentials. */
const requestedBy = { dialect: 'native', eventId: 'line', sentAt: 0 } as const;

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
      ? ". A credential belongs in the tenant's secret in Secrets Manager, never in a manifest"
      : '';
  const place = format === 'jsonl' ? pointer : (columnNames.get(field) ?? (key ? `${field}.${key}` : field));
  return `${place} ${problem.detail}${advice}`.trim();
}

/** Columns that differ from the name of their field. */
const columnNames: ReadonlyMap<string, string> = new Map([
  ['element', 'elementKey'],
  ['tags', 'tags'],
]);

const maxOthersNamed = 3;

/**
 * Rejects all rows for the same tenant and element, and all that import the same instance: it is unclear which of them
 * is meant.
 */
function withoutDoubles(rows: readonly Row[]): Row[] {
  const good = rows.filter(isGood);
  const byKey = doublesBy(good, ({ request }) => `${request.tenantId}/${request.elementKey}`);
  const byId = doublesBy(good, ({ request }) => (isImport(request) ? request.instanceId : undefined));
  if (byKey.size === 0 && byId.size === 0) return [...rows];
  return rows.map((row) => {
    if (!isGood(row)) return row;
    const { request } = row;
    const { tenantId, elementKey } = request;
    const faults: string[] = [];
    const same = byKey.get(`${tenantId}/${elementKey}`);
    if (same) {
      const asked = isImport(request) ? 'imports' : same.isMixed ? 'creates' : 'requests';
      const others = same.isMixed ? 'which is also requested in' : 'and so';
      faults.push(
        `${asked} ${elementKey} for tenant ${tenantId}, ${others} ${linesBeside(row, same.rows, same.isMixed)}`,
      );
    }
    const imported = isImport(request) ? byId.get(request.instanceId) : undefined;
    if (isImport(request) && imported) {
      faults.push(`imports instance ${request.instanceId}, and so ${linesBeside(row, imported.rows, false)}`);
    }
    return faults.length === 0 ? row : { line: row.line, given: row.given, faults };
  });
}

/** Groups of more than one row, which are few. `isMixed`: of imports and others. */
function doublesBy<Key>(rows: readonly GoodRow[], keyOf: (row: GoodRow) => Key | undefined) {
  const once = new Set<Key>();
  const doubled = new Set<Key>();
  for (const row of rows) {
    const key = keyOf(row);
    if (key !== undefined && once.size === once.add(key).size) doubled.add(key);
  }
  const ofDoubled = rows.filter((row) => {
    const key = keyOf(row);
    return key !== undefined && doubled.has(key);
  });
  return new Map(
    [...Map.groupBy(ofDoubled, (row) => keyOf(row))].map(([key, same]) => {
      const kinds = new Set(same.map(({ request }) => isImport(request)));
      return [key, { rows: same, isMixed: kinds.size > 1 }];
    }),
  );
}

/** `do lines 3, 4, 5 and 7 more`; without a verb: `lines …`. */
function linesBeside(row: GoodRow, same: readonly GoodRow[], isNoun: boolean): string {
  // One more, because the row itself may be among the first.
  const others = same
    .slice(0, maxOthersNamed + 1)
    .filter(({ line }) => line !== row.line)
    .slice(0, maxOthersNamed)
    .map(({ line }) => line);
  const more = same.length - 1 - others.length;
  const noun = same.length === 2 ? 'line' : 'lines';
  const verb = same.length === 2 ? 'does ' : 'do ';
  return `${isNoun ? '' : verb}${noun} ${others.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
