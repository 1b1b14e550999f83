import { describe, expect, test } from 'vitest';
import { entryValueSchema, isPlaceholder, leavesOf, textOf } from '../../../functions/model/entry-value.ts';

test.each([
  [['***x', 'x***', '**', ' * ']],
  [{ fields: ['*', '••'], note: '*** x ***' }],
  [[[[[[5, true, null]]]]].slice()],
  [{ '': '' }],
])('the nested value %j has no mask, and few enough levels', (value) => {
  expect(entryValueSchema.safeParse(value).success).toBe(true);
});

test.each([[[' *** ']], [['***']], [{ a: '\t••••\n' }], [{ '***': 1 }], [['*•*']]])(
  'the nested value %j has a mask in place of a credential',
  (value) => {
    expect(entryValueSchema.safeParse(value).success).toBe(false);
  },
);

test('only text is a placeholder', () => {
  expect(isPlaceholder('<KEY>')).toBe(true);
  for (const value of [['<KEY>'], 5, null, undefined, { toString: () => '<KEY>' }]) {
    expect(isPlaceholder(value)).toBe(false);
  }
});

describe('a value as text', () => {
  test.each([
    ['a', 'a'],
    [5, '5'],
    [true, 'true'],
    [['a', { b: 1 }], '["a",{"b":1}]'],
    [undefined, ''],
  ])('%j is the text %j', (value, text) => {
    expect(textOf(value)).toBe(text);
  });
});

describe('the leaves of a value', () => {
  test.each<[unknown, [string[], unknown][]]>([
    ['a', [[[], 'a']]],
    [null, [[[], null]]],
    [
      ['a', 5],
      [
        [[], 'a'],
        [[], 5],
      ],
    ],
    [
      { a: { b: [true, 'x'] }, c: 1 },
      [
        [['a', 'b'], true],
        [['a', 'b'], 'x'],
        [['c'], 1],
      ],
    ],
    [
      { a: [], b: {} },
      [
        [['a'], ''],
        [['b'], ''],
      ],
    ],
    [[], [[[], '']]],
  ])('the leaves of %j have the names that lead to them', (value, leaves) => {
    expect(leavesOf(value)).toEqual(leaves.map(([names, leaf]) => ({ names, leaf })));
  });
});
