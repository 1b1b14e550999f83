import * as z from 'zod/mini';
import { joinNamed, maxNamed } from './bounded-text.ts';
import { isEntryName } from './entry-name.ts';
import { OnboardingError } from './errors.ts';
import type { Problem } from './responses.ts';
import { markIn } from './json.ts';

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];
type Fault = { path: Path; detail: string };

/** Fields of Cloud Elements' documented bodies whose names do not look like names. */
const documentedNames: ReadonlySet<PropertyKey> = new Set([
  'eventsNotificationCallbackUrl',
  'externalAuthentication',
  'provisionInteractions',
  // No name, and no credential either.
  '__proto__',
  'retrieveObjectsAfterInstantiation',
]);

/** May the name of a field be shown, or may it be a credential in the wrong place? */
export const isRepeatable = (part: PropertyKey): boolean =>
  typeof part === 'number' || documentedNames.has(part) || isEntryName(String(part));

/** A path up to the first name that may be a credential in the wrong place. */
function repeatable(path: Path): Path {
  const end = path.findIndex((part) => !isRepeatable(part));
  return end < 0 ? path : path.slice(0, end);
}

/**
 * `#/configuration/api.key`: RFC 6901 JSON Pointer as a URI fragment. It ends before a name that may be a credential in
 * the wrong place; the names that it repeats have nothing in them to be escaped.
 */
export function pointerTo(path: Path): string {
  return ['#', ...repeatable(path).map(String)].join('/');
}

/**
 * Every problem that a schema found, each with the expectation. Never quotes a value, nor a name that may be
 * a credential in the wrong place: the parent gets the problem instead.
 */
export function problemsOf(error: z.core.$ZodError, input: unknown): Fault[] {
  const faults = faultsOf(error, input).map(({ path, detail }) => {
    const repeated = repeatable(path);
    if (repeated.length === path.length) return { path, detail };
    const what = `one of its fields${detail.startsWith('is ') ? '' : ':'} ${detail}`;
    return { path: repeated, detail: `${what} (its name is not repeated: it may be a credential)` };
  });
  // Several problems of unnamed fields are the same.
  return [...new Map(faults.map((fault) => [JSON.stringify(fault), fault])).values()];
}

/** As `problemsOf`, but names every field: for input whose names are our own. */
export function faultsOf(error: z.core.$ZodError, input: unknown): Fault[] {
  return error.issues.flatMap((issue) => describe(issue, input));
}

function describe(issue: Issue, input: unknown): Fault[] {
  if (issue.code === 'unrecognized_keys' && issue.message === unworded) {
    return issue.keys.map((key) => markedFault(issue.path, key) ?? unknownField([...issue.path, key]));
  }
  if (issue.code === 'invalid_key') {
    const parent = issue.path.slice(0, -1);
    // The key itself is left out: a credential may have been put in its place.
    return [
      markedFault(parent, String(issue.path.at(-1))) ?? {
        path: parent,
        detail: `expected ${issue.issues[0]?.message ?? issue.message}`,
      },
    ];
  }
  const isTypeOnly = issue.code === 'invalid_type' && issue.message === unworded;
  const expected = `expected ${isTypeOnly ? (typeNames[issue.expected] ?? issue.expected) : issue.message}`;
  const missing = valueAt(input, issue.path) === undefined;
  return [{ path: issue.path, detail: missing ? `is missing: ${expected}` : expected }];
}

/** Zod's message where the schema has none of its own. */
const unworded = 'Invalid input';

// Another package in the process may import zod with its English messages, which name fields and quote keys.
z.config({ customError: () => unworded });

const unknownField = (path: Path): Fault => ({ path, detail: 'is not a known field' });

/** The fault at a name that `parseJson` has put there. */
function markedFault(path: Path, key: string): Fault | undefined {
  const mark = markIn(key);
  if (!mark) return undefined;
  return { path: mark.name === undefined ? path : [...path, mark.name], detail: `expected ${mark.expected}` };
}

const typeNames: Partial<Record<string, string>> = {
  object: 'an object',
  record: 'an object',
  array: 'a list',
  string: 'text',
  nonoptional: 'a value',
};

function valueAt(input: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, part) => (typeof value === 'object' && value !== null ? Reflect.get(value, part) : undefined),
    input,
  );
}

/** Joins problems to one sentence: the first 20, and how many more there are. */
export function sentenceOf(faults: readonly Fault[], nameOf: (path: Path) => string): string {
  const described = faults.map(({ path, detail }) =>
    path.length > 0 ? `${nameOf(path)} ${detail}` : detail,
  );
  return joinNamed(described, '; ');
}

/** Parses outside input whose every fault the sender shall learn at once. @throws OnboardingError `invalid-request` */
export function parseOrRefuse<T>(schema: z.ZodMiniType<T>, input: unknown, what: string): T {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  throw invalidRequest(
    what,
    problemsOf(parsed.error, input).map(({ path, detail }) => ({ pointer: pointerTo(path), detail })),
  );
}

export function invalidRequest(what: string, problems: readonly Problem[]): OnboardingError {
  const count = problems.length === 1 ? 'One thing is' : `${problems.length} things are`;
  const more = problems.length - maxNamed;
  const named =
    more > 0
      ? `the first ${maxNamed} are named in "errors", and ${more} more are not`
      : 'each is named in "errors"';
  return new OnboardingError('invalid-request', `${count} wrong with ${what}; ${named}.`, { problems });
}
