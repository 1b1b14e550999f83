import * as z from 'zod/mini';
import { defaultElementKey, isHarmless } from '../../../functions/model/catalog.ts';
import { isRepeatable } from '../../../functions/model/validation.ts';

/**
 * What the file of failed rows repeats of a bad row. A credential may stand anywhere in it, in a misspelt or nested field
 * for example, so only known fields and entries of the element's allow-list are copied. Whatever else was there leaves a
 * mark that no manifest may hold: a row that was bad stays bad until it is mended.
 */

/** In angle brackets, which every field refuses. */
export const notCopied = '<not copied>';

/** Columns of the file of failed rows, which can be fed in again: what they hold is not read. */
export const failureColumns = ['line', 'code', 'why'] as const;

export const isFailureColumn = (name: string): boolean => failureColumns.some((column) => column === name);

export const configurationColumn = /^configuration\.(.+)$/;

const textSchema = z.string();
const scalarSchema = z.union([z.string(), z.number(), z.boolean()]);
const flagSchema = z.boolean();
const objectSchema = z.record(z.string(), z.unknown());

/** Of a row of CSV, by column. */
export function copiedCells(given: Readonly<Record<string, string>>): Record<string, string> {
  const elementKey = given['elementKey'] || defaultElementKey;
  return Object.fromEntries(
    Object.entries(given).map(([column, text]) => {
      const entry = configurationColumn.exec(column)?.[1];
      const isCopied = text === '' || entry === undefined || isHarmless(elementKey, entry, text);
      return [column, isCopied ? text : notCopied];
    }),
  );
}

/** Of a line of JSON, by field. */
export function copiedFields(given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const element = objectSchema.safeParse(given['element']).data;
  const elementKey = textSchema.safeParse(element?.['key']).data ?? defaultElementKey;
  const copiers: Record<string, (value: unknown) => unknown> = {
    tenantId: valid(textSchema),
    name: valid(textSchema),
    tags: valid(z.array(textSchema)),
    element: fields((key, value) => (key === 'key' ? valid(textSchema)(value) : notCopied)),
    eventsEnabled: valid(flagSchema),
    cachingEnabled: valid(flagSchema),
    retrieveObjectsAfterInstantiation: valid(flagSchema),
    configuration: fields((key, value) =>
      isHarmless(elementKey, key, value) ? valid(scalarSchema)(value) : notCopied,
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
