import { describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { markIn, parseJson } from '../../../functions/model/json.ts';
import { problemsOf } from '../../../functions/model/validation.ts';

function valueOf(text: string): unknown {
  const read = parseJson(text);
  if ('json' in read) return read.json;
  throw new Error(read.fault);
}

function faultOf(text: string): string | undefined {
  const read = parseJson(text);
  return 'fault' in read ? read.fault : undefined;
}

describe('JSON without a trap', () => {
  test.each([
    '{"a":{"b":1},"b":{"a":1},"a.b":[{"a":1},{"a":2}]}',
    '[0,-1,1.5,9007199254740991,1e+21,-1.5e-7,true,false,null]',
    '{ "text" : "{\\"a\\":1,\\"a\\":1}, 1.10 and 12345678901234567890" }',
    '{"a":"\\\\","b":"\\\\\\"","c":"a\\u0022:"}',
    '"a"',
    '{"":{}}',
    '{"constructor":1,"toString":2}',
    '{"a":[],"b":[1],"c":{"a":1}}',
  ])('%s is read as JSON.parse reads it', (text) => {
    expect(parseJson(text)).toEqual({ json: JSON.parse(text) });
  });
});

/** A body whose every field is known, and the fields that may be set to anything. */
const schema = z.strictObject({
  name: z.optional(z.unknown()),
  in: z.optional(z.strictObject({ name: z.optional(z.unknown()) })),
  list: z.optional(z.array(z.strictObject({ name: z.unknown() }))),
});

/** The faults of a JSON text, each with the path that it names. */
function faultsIn(text: string): string[] {
  const value = valueOf(text);
  const { error } = schema.safeParse(value);
  return error ? problemsOf(error, value).map(({ path, detail }) => `${path.join('.')} ${detail}`) : [];
}

describe('JSON with a trap', () => {
  test.each([
    ['a name twice', '{"name":1,"name":2}', 'name expected each name only once'],
    ['a name twice, once escaped', '{"name":1,"n\\u0061me" : 2}', 'name expected each name only once'],
    [
      'a name twice, three objects on',
      '{"in":{},"name":1,"list":[],"name":2}',
      'name expected each name only once',
    ],
    [
      'a name twice in an inner object',
      '{"name":1,"in":{"name":1,"name":2}}',
      'in.name expected each name only once',
    ],
    [
      'a name twice in a list',
      '{"list":[{"name":1},{"name":1,"name":2}]}',
      'list.1.name expected each name only once',
    ],
    ['__proto__', '{"__proto__":{"name":1}}', '__proto__ expected another name than __proto__'],
    [
      '__proto__ with an escape',
      '{"name":1,"__pro\\u0074o__":1}',
      '__proto__ expected another name than __proto__',
    ],
    [
      '__proto__ in an inner object',
      '{"in":{"__proto__":1}}',
      'in.__proto__ expected another name than __proto__',
    ],
  ])('%s is refused by a schema, at its place', (_what, text, fault) => {
    expect(faultsIn(text)).toEqual([fault]);
  });

  test.each(['1.10', '12345678901234567890', '1e5', '-0', '0.1e1', '1E400', '-1.50'])(
    'the number %s is not read, because a double does not write it back',
    (number) => {
      const inexact = {
        expected: 'a number as JSON carries it exactly, such as 1.1 for 1.10; send any other as text',
      };
      for (const text of [number, `[${number}]`, `{"a":${number}}`, `{"a":{"b":[1,${number}]}}`]) {
        const marks = JSON.stringify(valueOf(text)).match(/"[^"]*u0000[^"]*"/g) ?? [];
        expect(marks.map((mark) => markIn(String(JSON.parse(mark))))).toEqual([inexact]);
      }
    },
  );

  test('__proto__ among names that may be any is refused, although a record leaves it out', () => {
    const { error } = z
      .record(z.string().check(z.regex(/^[a-z]+$/)), z.any())
      .safeParse(valueOf('{"a":1,"__proto__":{}}'));
    expect(error && problemsOf(error, {})).toEqual([
      { path: ['__proto__'], detail: 'expected another name than __proto__' },
    ]);
  });

  test('names of the same text in two objects are no name twice', () => {
    expect(faultsIn('{"name":{"a":1},"in":{"name":2},"list":[{"name":1},{"name":1}]}')).toEqual([]);
  });

  test('an ordinary name is no mark', () => {
    expect([markIn('name'), markIn('number'), markIn('twice name'), markIn('')]).toEqual(
      Array.from({ length: 4 }),
    );
    expect(markIn('__proto__')).toEqual({ name: '__proto__', expected: 'another name than __proto__' });
  });
});

describe('text that is no JSON', () => {
  test.each([
    ['', 'JSON'],
    ['{"a":1', 'JSON'],
    ['{"a":', 'JSON'],
    ['hush', 'JSON; it breaks at line 1, column 1'],
    ['{"a": hush}', 'JSON; it breaks at line 1, column 7'],
    ['{"a":1}}', 'JSON; it breaks at line 1, column 8'],
    ['{\n  "a": 1,\n  b: 2\n}', 'JSON; it breaks at line 3, column 3'],
    ['{"a":1,}', 'JSON; it breaks at line 1, column 8'],
    ['{"ab\\"cd": [-12.5e+3, 71],  "" : hush}', 'JSON; it breaks at line 1, column 34'],
    ['{"a": [1 , "b\\\\", nul]}', 'JSON; it breaks at line 1, column 19'],
    ['{"“a”": 1, b: \'x\'}', 'JSON; it breaks at line 1, column 12'],
    ['{\n "a": “x”}', 'JSON; it breaks at line 2, column 7: use straight quotes (") in place of curly ones'],
    ['{«a»: 1}', 'JSON; it breaks at line 1, column 2: use straight quotes (") in place of curly ones'],
    ["{'a': 1}", 'JSON; it breaks at line 1, column 2: names and text are put in double quotes (")'],
  ])('%j gives the place of its fault', (text, fault) => {
    expect(faultOf(text)).toBe(fault);
  });

  test.each([
    '{"api.key": hush}',
    '{"api.key": "hush\n"}',
    'hush',
    '{"api.key": "hush"',
    "{'api.key': 'hush'}",
  ])('the fault of %j does not quote it', (text) => {
    expect(faultOf(text)).not.toContain('hush');
    expect(faultOf(text)).toMatch(/^JSON/);
  });
});
