import type * as z from 'zod/mini';
import { OnboardingError, type Problem } from './errors.ts';

type Issue = z.core.$ZodIssue;

/** `#/configuration/api.key`: RFC 6901 JSON Pointer as a URI fragment. */
export function pointerTo(path: readonly PropertyKey[]): string {
  return `#${path
    .map(
      (part) =>
        `/${encodeURIComponent(String(part).slice(0, 100).toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1'))}`,
    )
    .join('')}`;
}

/** Every problem that a schema found, each with what was expected instead. Never quotes a value, nor a key that is no name. */
export function problemsOf(
  error: z.core.$ZodError,
  input: unknown,
): { path: readonly PropertyKey[]; detail: string }[] {
  const problems = error.issues.flatMap((issue) => describe(issue, input));
  // Of several keys that are not shown one problem is left.
  return [
    ...new Map(problems.map((problem) => [JSON.stringify([problem.path, problem.detail]), problem])).values(),
  ];
}

function describe(issue: Issue, input: unknown): { path: readonly PropertyKey[]; detail: string }[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...issue.path, key], detail: 'is not a known field' }));
  }
  if (issue.code === 'invalid_key') {
    // The key itself is left out: a credential may have been put in its place.
    return [
      { path: issue.path.slice(0, -1), detail: `expected ${issue.issues[0]?.message ?? issue.message}` },
    ];
  }
  const isTypeOnly = issue.code === 'invalid_type' && issue.message === 'Invalid input';
  const expected = `expected ${isTypeOnly ? (typeNames[issue.expected] ?? issue.expected) : issue.message}`;
  const missing = issue.code === 'invalid_type' && valueAt(input, issue.path) === undefined;
  return [{ path: issue.path, detail: missing ? `is missing: ${expected}` : expected }];
}

const typeNames: Partial<Record<string, string>> = {
  object: 'an object',
  record: 'an object',
  array: 'a list',
  string: 'text',
};

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, part) => (typeof value === 'object' && value !== null ? Reflect.get(value, part) : undefined),
    input,
  );
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
  return new OnboardingError('invalid-request', `${count} wrong with ${what}; each is named in "errors".`, {
    problems,
  });
}
