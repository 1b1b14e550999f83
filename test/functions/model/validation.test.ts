import { expect, test } from 'vitest';
import * as z from 'zod/mini';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { parseOrRefuse, pointerTo } from '../../../functions/model/validation.ts';

const schema = z.strictObject({
  element: z.optional(z.strictObject({ key: z.string() })),
  tags: z.optional(z.array(z.string())),
  configuration: z.optional(
    z.record(z.string().check(z.regex(/^[a-z\d.]+$/, 'a name')), z.string('text that is not blank')),
  ),
});

function refusalOf(input: unknown): OnboardingError {
  try {
    parseOrRefuse(schema, input, 'the body');
  } catch (error) {
    if (error instanceof OnboardingError) return error;
  }
  throw new Error('It was not refused.');
}

const problemsOf = (input: unknown) => refusalOf(input).facts.problems;

/** Does not look like a name. */
const misplaced = 'f3a9c17be2d04f5586aa';
const withheld = '(its name is not repeated: it may be a credential)';

test('an unknown field is named when its name looks like one', () => {
  expect(problemsOf({ apiKey: 'x', element: { key: 'taxify', elementId: 1 } })).toEqual([
    { pointer: '#/element/elementId', detail: 'is not a known field' },
    { pointer: '#/apiKey', detail: 'is not a known field' },
  ]);
});

test('a field of Cloud Elements’ documented bodies is named, however long', () => {
  expect(problemsOf({ externalAuthentication: 'initial', retrieveObjectsAfterInstantiation: true })).toEqual([
    { pointer: '#/externalAuthentication', detail: 'is not a known field' },
    { pointer: '#/retrieveObjectsAfterInstantiation', detail: 'is not a known field' },
  ]);
});

test.each<[string, object, string, string]>([
  ['at the top', { [misplaced]: 'x' }, '#', `one of its fields is not a known field ${withheld}`],
  [
    'further down',
    { element: { key: 'k', [misplaced]: 1 } },
    '#/element',
    `one of its fields is not a known field ${withheld}`,
  ],
  [
    'beside a value that is wrong',
    { configuration: { [misplaced]: 1 } },
    '#/configuration',
    `one of its fields: expected text that is not blank ${withheld}`,
  ],
  ['in another form', { configuration: { [`${misplaced}+/=`]: 'x' } }, '#/configuration', 'expected a name'],
])('a credential in the place of a name is not repeated: %s', (_where, input, pointer, detail) => {
  const error = refusalOf(input);
  expect(error.facts.problems).toEqual([{ pointer, detail }]);
  expect(JSON.stringify([error.message, error.facts])).not.toContain(misplaced);
});

test('several credential-like field names give one validation error that names none', () => {
  expect(problemsOf({ [misplaced]: 'x', [`${misplaced}0`]: 'x' })).toEqual([
    { pointer: '#', detail: `one of its fields is not a known field ${withheld}` },
  ]);
});

test('a pointer ends before a part that does not look like a name', () => {
  expect(pointerTo(['tags', 3])).toBe('#/tags/3');
  expect(pointerTo(['configuration', 'api.key'])).toBe('#/configuration/api.key');
  expect(pointerTo(['configuration', misplaced, 'a'])).toBe('#/configuration');
  expect(pointerTo(['a/b~c'])).toBe('#');
  expect(pointerTo([])).toBe('#');
});

test('a request with thousands of validation errors reports twenty and the count of the rest', () => {
  const syllables = Array.from('bdglmnprst').flatMap((first) =>
    Array.from('aeiou', (second) => first + second),
  );
  const names = syllables
    .flatMap((first) => syllables.flatMap((second) => [`${first}${second}`, `${first}${second}ta`]))
    .slice(0, 4_999);
  const error = refusalOf(Object.fromEntries(names.map((name) => [name, 'x'])));
  expect(error.facts.problems).toHaveLength(20);
  expect(error.message).toBe(
    '4999 things are wrong with the body; the first 20 are named in "errors", and 4979 more are not.',
  );
});

test('the message counts a single problem', () => {
  expect(refusalOf({ name: 'x' }).message).toBe(
    'One thing is wrong with the body; each is named in "errors".',
  );
});
