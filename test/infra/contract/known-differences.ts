import * as z from 'zod/mini';
import { nestedValueSchema } from '../../../functions/model/entry-value.ts';
import { isElementKey, isEntryName } from '../../../functions/model/entry-name.ts';

// Known differences between schemas and functions.

/** The limits of ids and of texts. */
const tooLong = [/^.{129}/s, /^.{256}/s];

/**
 * JSON Schema counts characters, the service UTF-16 code units: the document says so in words, and restricts the content
 * of an object or a list as a value. JSON Schema also cannot count the short words in the name of a configuration entry,
 * nor pairs of letters that do not occur in words.
 */
export const countsOtherwise = (json: unknown): boolean =>
  stringsIn(json).some((text) =>
    tooLong.some((units) => units.test(text) && !new RegExp(units, 'su').test(text)),
  ) ||
  entriesIn(json).some(
    ([name, value]) => !isEntryName(name) || (typeof value === 'object' && isRefused(value)),
  ) ||
  elementKeysIn(json).some((key) => !isElementKey(key));

const isRefused = (value: unknown): boolean => !nestedValueSchema.safeParse(value).success;

const entriesIn = (json: unknown): [string, unknown][] => {
  const { configuration, detail } = bodySchema.safeParse(json).data ?? {};
  return [configuration, detail?.configuration].flatMap((entries) => Object.entries(entries ?? {}));
};
const elementKeysIn = (json: unknown): string[] => {
  const { element, detail } = elementSchema.safeParse(json).data ?? {};
  return [element, detail?.element].flatMap((named) => (named ? [named.key] : []));
};
const keySchema = z.catch(z.optional(z.object({ key: z.string() })), undefined);
const elementSchema = z.object({
  element: keySchema,
  detail: z.catch(z.optional(z.object({ element: keySchema })), undefined),
});
const entriesSchema = z.catch(z.optional(z.record(z.string(), z.unknown())), undefined);
const bodySchema = z.object({
  configuration: entriesSchema,
  detail: z.catch(z.optional(z.object({ configuration: entriesSchema })), undefined),
});

function stringsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(stringsIn) : [];
}
