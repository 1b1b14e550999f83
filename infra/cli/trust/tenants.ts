import { readFile } from 'node:fs/promises';
import * as z from 'zod/mini';
import { defaultElementKey } from '../../../functions/model/default-element.ts';
import { elementKeySchema, tenantIdSchema, type InstanceKey } from '../../../functions/model/instance.ts';
import { problemsOf } from '../../../functions/model/validation.ts';
import { csvRowsOf, quoteFault, separatorFaultOf } from '../onboard/csv-rows.ts';

/** The file cannot be used; one message per fault, each with its line. */
export class TenantsError extends Error {
  override readonly name = 'TenantsError';
}

const columnsKnown = new Set(['tenantId', 'elementKey']);
const rowSchema = z.object({ tenantId: tenantIdSchema, elementKey: elementKeySchema });

/** @throws TenantsError */
export async function readTenants(file: string): Promise<InstanceKey[]> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new TenantsError(
      `${file} cannot be read: ${error instanceof Error ? error.message : 'no reason was given'}`,
    );
  });
  return tenantsIn(file, text);
}

/** @throws TenantsError */
export function tenantsIn(file: string, text: string): InstanceKey[] {
  const separatorFault = separatorFaultOf(text);
  if (separatorFault !== undefined) throw new TenantsError(`${file}:1: ${separatorFault}.`);
  const rows = csvRowsOf(text);
  const broken = rows.filter(({ cells }) => !cells).map(({ line }) => `${file}:${line}: ${quoteFault}.`);
  if (broken.length > 0) throw new TenantsError(broken.join('\n'));
  const [header, ...records] = rows.flatMap(({ line, cells }) => (cells ? [{ line, cells }] : []));
  const faults = faultsOfHeader(header?.cells ?? []).map((fault) => `${file}:${header?.line ?? 1}: ${fault}`);
  if (!header || faults.length > 0) throw new TenantsError(faults.join('\n'));
  const keys = new Map<string, InstanceKey>();
  for (const { line, cells } of records) {
    const row = rowOf(header.cells, cells);
    const name = 'key' in row ? `${row.key.tenantId}/${row.key.elementKey}` : '';
    if ('faults' in row) faults.push(...row.faults.map((fault) => `${file}:${line}: ${fault}`));
    else if (keys.has(name)) faults.push(`${file}:${line}: names the same instance as a line before`);
    else keys.set(name, row.key);
  }
  if (faults.length > 0) throw new TenantsError(faults.join('\n'));
  if (keys.size === 0) throw new TenantsError(`${file} has no rows.`);
  return [...keys.values()];
}

/** An unknown column is refused: a misspelled `elementKey` would mean the default element. */
function faultsOfHeader(columns: readonly string[]): string[] {
  const faults = columns.flatMap((column, index) => {
    if (!columnsKnown.has(column)) {
      return [`column ${index + 1} is not known: expected tenantId and elementKey`];
    }
    return columns.indexOf(column) < index ? [`the column ${column} is there twice`] : [];
  });
  if (columns.includes('tenantId')) return faults;
  return [...faults, 'there is no column tenantId; the first line names the columns, separated by ","'];
}

function rowOf(
  columns: readonly string[],
  cells: readonly string[],
): { key: InstanceKey } | { faults: string[] } {
  if (cells.length !== columns.length) {
    return { faults: [`expected ${columns.length} columns, got ${cells.length}`] };
  }
  const cell = (name: string) => cells[columns.indexOf(name)];
  const given = { tenantId: cell('tenantId'), elementKey: cell('elementKey') || defaultElementKey };
  const parsed = rowSchema.safeParse(given);
  if (parsed.success) return { key: parsed.data };
  return {
    faults: problemsOf(parsed.error, given).map(({ path, detail }) => `${path.join('.')} ${detail}`),
  };
}
