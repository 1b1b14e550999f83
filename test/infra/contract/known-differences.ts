import * as z from 'zod/mini';
import { isElementKey, isEntryName } from '../../../functions/model/entry-name.ts';
import type { Faults } from './validating.ts';

// Known differences between schemas and functions.

/** The limits of ids and of texts. */
const tooLong = [/^.{129}/s, /^.{256}/s];

/**
 * JSON Schema counts characters, the service UTF-16 code units: the document says so in words. JSON Schema also cannot
 * count the short words in the name of a configuration entry, nor pairs of letters that do not occur in words.
 */
export const countsOtherwise = (json: unknown): boolean =>
  stringsIn(json).some((text) =>
    tooLong.some((units) => units.test(text) && !new RegExp(units, 'su').test(text)),
  ) ||
  namesIn(json).some((name) => !isEntryName(name)) ||
  elementKeysIn(json).some((key) => !isElementKey(key));

const namesIn = (json: unknown): string[] => {
  const { configuration, detail } = bodySchema.safeParse(json).data ?? {};
  return [configuration, detail?.configuration].flatMap((entries) => Object.keys(entries ?? {}));
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

/** A configuration entry that is called `__proto__` is not refused, but left out (by zod, without harm). */
export function isLeftOut(faults: Faults, json: unknown, faultsOf: (json: unknown) => Faults): boolean {
  if (
    json === undefined ||
    !faults.every((fault) => /^(\/detail)?\/configuration(\/__proto__)? /.test(fault))
  )
    return false;
  const others: unknown = JSON.parse(JSON.stringify(json), (key, value: unknown) =>
    key === '__proto__' ? undefined : value,
  );
  return faultsOf(others).length === 0;
}
