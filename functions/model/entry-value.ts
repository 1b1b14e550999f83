import * as z from 'zod/mini';
import { markIn } from './json.ts';

/** Values of configuration entries, as callers, events and tenants' secrets bring them. */

const blank = '\\s*<+[^<>]*>+\\s*';
const placeholder = new RegExp(`^${blank}$`);

/** Is the whole of it a blank of a printed example, `<YOUR KEY>` or `<<token>>`? A password may hold a `<`. */
export const isPlaceholder = (value: unknown): boolean =>
  typeof value === 'string' && placeholder.test(value);

export const filledIn = 'a value in place of the placeholder in angle brackets, which was not filled in';

const undamaged = 'text without damaged characters (U+FFFD, or half of a surrogate pair)';

const expectedValue =
  'text that is not blank and no mask such as "***", a number, true or false, an object or a list';

const textValue = z.string().check(
  // A blank entry is a form that was not filled in, a mask is what Cloud Elements shows in place of a credential.
  z.regex(/[^\s*•\p{Cf}]/u, expectedValue),
  z.regex(new RegExp(`^(?!${blank}$)`), filledIn),
  z.regex(/^[^\p{Cs}\uFFFD]*$/u, undamaged),
);

/** As of `event.poller.configuration`, whose documented ones have three levels and some fifty parts. */
const maxLevels = 5;
const maxParts = 1_000;

const expectedNested =
  `an object or a list of at most ${maxLevels} levels and ${maxParts} parts, without masks such as "***", ` +
  'placeholders in angle brackets and damaged characters in it';

export const nestedValueSchema = z.union([z.array(z.unknown()), z.record(z.string(), z.unknown())]).check(
  z.refine((value) => faultIn(value) === undefined, {
    error: ({ input }) => faultIn(input) ?? expectedNested,
  }),
);

/** Passed on as it came. Printed bodies have objects and lists, too; vendors' tests send the same as a JSON string. */
export const entryValueSchema = z.union([textValue, z.boolean(), z.number(), nestedValueSchema], {
  error: expectedValue,
});
export type EntryValue = z.infer<typeof entryValueSchema>;

/** Returns the expected form if a part of the value has another. Blank text and null have a meaning in objects. */
function faultIn(value: unknown): string | undefined {
  let parts = 0;
  return inspect(value, 1);

  function inspect(part: unknown, level: number): string | undefined {
    parts += 1;
    if (parts > maxParts) return expectedNested;
    if (typeof part === 'string') return faultInText(part);
    if (typeof part !== 'object' || part === null) return undefined;
    if (level > maxLevels) return expectedNested;
    for (const [name, each] of Object.entries(part)) {
      const fault = markIn(name)?.expected ?? faultInText(name) ?? inspect(each, level + 1);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }
}

function faultInText(text: string): string | undefined {
  if (isPlaceholder(text)) return filledIn;
  if (/^\s*[*•]{3,}\s*$/.test(text)) return 'no mask such as "***" in it';
  return text.isWellFormed() && !text.includes('\uFFFD') ? undefined : undamaged;
}

/** As Cloud Elements shows it. */
export const textOf = (value: unknown): string =>
  typeof value === 'string' ? value : (JSON.stringify(value) ?? '');

/** The texts, numbers and flags of a value, each with the names that lead to it. */
export function leavesOf(
  value: unknown,
  names: readonly string[] = [],
): { names: readonly string[]; leaf: unknown }[] {
  if (typeof value !== 'object' || value === null) return [{ names, leaf: value }];
  const leaves = Array.isArray(value)
    ? value.flatMap((each) => leavesOf(each, names))
    : Object.entries(value).flatMap(([name, each]) => leavesOf(each, [...names, name]));
  return leaves.length > 0 ? leaves : [{ names, leaf: '' }];
}
