import { expect, test } from 'vitest';
import * as z from 'zod/mini';
import { parseJson } from '../../../functions/model/json.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { parseOrRefuse, pointerTo, sentenceOf } from '../../../functions/model/validation.ts';

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
  for (const name of ['eventsNotificationCallbackUrl', 'provisionInteractions']) {
    expect(problemsOf({ [name]: 'x' })).toEqual([{ pointer: `#/${name}`, detail: 'is not a known field' }]);
  }
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

test('twenty problems are all named', () => {
  const error = refusalOf({ tags: Array.from({ length: 20 }, () => 1) });
  expect(error.code).toBe('invalid-request');
  expect(error.message).toBe('20 things are wrong with the body; each is named in "errors".');
});

test('an input without a fault is returned as the schema reads it', () => {
  expect(parseOrRefuse(schema, { tags: ['a'] }, 'the body')).toEqual({ tags: ['a'] });
});

test('a fault in a name is reported at its parent, however deep', () => {
  const deep = z.object({
    a: z.object({ b: z.record(z.string().check(z.regex(/^[a-z]+$/, 'a name')), z.any()) }),
  });
  const faultsIn = (text: string) => {
    const read = parseJson(text);
    try {
      parseOrRefuse(deep, 'json' in read ? read.json : undefined, 'the body');
    } catch (error) {
      if (error instanceof OnboardingError) return error.facts.problems;
    }
    return [];
  };
  expect(faultsIn('{"a":{"b":{"X":1}}}')).toEqual([{ pointer: '#/a/b', detail: 'expected a name' }]);
  expect(faultsIn('{"a":{"b":{"x":1,"x":2}}}')).toEqual([
    { pointer: '#/a/b/x', detail: 'expected each name only once' },
  ]);
  expect(faultsIn('{"a":{"b":1.10}}')).toEqual([
    { pointer: '#/a/b', detail: expect.stringMatching(/^expected a number as JSON carries it exactly/) },
  ]);
});

test('a kind of value is named in words, and a missing one is said to be missing', () => {
  const kinds = z.object({
    an: z.object({}),
    some: z.record(z.string(), z.string()),
    list: z.array(z.string()),
    name: z.string(),
    count: z.number(),
    one: z.literal('x'),
  });
  const problems = (input: object) => {
    try {
      parseOrRefuse(kinds, input, 'the body');
    } catch (error) {
      if (error instanceof OnboardingError) return error.facts.problems?.map(({ detail }) => detail);
    }
    return [];
  };
  const expected = ['an object', 'an object', 'a list', 'text', 'number'];
  const wrong = { an: 1, some: 1, list: 1, name: 1, count: 'x', one: 1 };
  expect(problems(wrong)?.slice(0, 5)).toEqual(expected.map((kind) => `expected ${kind}`));
  expect(problems({})?.slice(0, 5)).toEqual(expected.map((kind) => `is missing: expected ${kind}`));
  expect(problems({})?.[5]).toMatch(/^is missing: /);
  expect(JSON.stringify([problems(wrong), problems({})])).not.toContain('undefined');
});

test('faults are joined to one sentence, each with its place, if it has one', () => {
  const faults = [
    { path: [], detail: 'is odd' },
    { path: ['a', 0], detail: 'is wrong' },
  ];
  expect(sentenceOf(faults, (path) => path.join('/'))).toBe('is odd; a/0 is wrong');
});
