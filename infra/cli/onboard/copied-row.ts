import * as z from 'zod/mini';
import { isAllowListed, type Catalog } from '../../../functions/model/catalog.ts';
import { defaultElementKey } from '../../../functions/model/default-element.ts';
import { isRepeatable } from '../../../functions/model/validation.ts';

/**
 * Copies a bad row for the file of failed rows. A credential may be anywhere in the row, in a misspelled or nested field
 * for example, so only known fields and allow-listed entries are copied. Other values are replaced by a mark that every
 * field refuses, so a bad row stays bad until it is corrected.
 */

/** In angle brackets, which every field refuses. */
export const notCopied = '<not copied>';

/** Columns that the file of failed rows adds. That file may be used as a manifest; these columns are then ignored. */
export const failureColumns = ['line', 'code', 'why'] as const;

export const isFailureColumn = (name: string): boolean => failureColumns.some((column) => column === name);

export const configurationColumn = /^configuration\.(.+)$/;

const textSchema = z.string();
const scalarSchema = z.union([z.string(), z.number(), z.boolean()]);
const flagSchema = z.boolean();
const objectSchema = z.record(z.string(), z.unknown());

/** Copies a row of CSV, by column. */
export function copiedCells(
  given: Readonly<Record<string, string>>,
  catalog: Catalog,
): Record<string, string> {
  const elementKey = given['elementKey'] || defaultElementKey;
  return Object.fromEntries(
    Object.entries(given).map(([column, text]) => {
      const entry = configurationColumn.exec(column)?.[1];
      const isOrdinary = entry === undefined && (column !== 'instanceId' || /^\d+$/.test(text));
      const isCopied =
        text === '' || isOrdinary || (entry !== undefined && isAllowListed(catalog, elementKey, entry, text));
      return [column, isCopied ? text : notCopied];
    }),
  );
}

/** Copies a line of JSON, by field. */
export function copiedFields(
  given: Readonly<Record<string, unknown>>,
  catalog: Catalog,
): Record<string, unknown> {
  const element = objectSchema.safeParse(given['element']).data;
  const elementKey = textSchema.safeParse(element?.['key']).data ?? defaultElementKey;
  const copiers: Record<string, (value: unknown) => unknown> = {
    tenantId: valid(textSchema),
    instanceId: valid(z.int()),
    createdDate: valid(textSchema),
    status: valid(textSchema),
    name: valid(textSchema),
    tags: valid(z.array(textSchema)),
    element: fields((key, value) => (key === 'key' ? valid(textSchema)(value) : notCopied)),
    eventsEnabled: valid(flagSchema),
    cachingEnabled: valid(flagSchema),
    retrieveObjectsAfterInstantiation: valid(flagSchema),
    configuration: fields((key, value) =>
      isAllowListed(catalog, elementKey, key, value) ? valid(scalarSchema)(value) : notCopied,
    ),
  };
  return named(given, (key, value) => (Object.hasOwn(copiers, key) ? copiers[key]?.(value) : notCopied));
}

const valid =
  (schema: z.ZodMiniType) =>
  (value: unknown): unknown =>
    schema.safeParse(value).success ? value : notCopied;

const fields =
  (copy: (key: string, value: unknown) => unknown) =>
  (value: unknown): unknown => {
    const object = objectSchema.safeParse(value).data;
    return object ? named(object, copy) : notCopied;
  };

/** A key that does not look like a name may be a credential itself. */
function named(object: Readonly<Record<string, unknown>>, copy: (key: string, value: unknown) => unknown) {
  return Object.fromEntries(
    Object.entries(object).map(([key, value]) => [isRepeatable(key) ? key : notCopied, copy(key, value)]),
  );
}
