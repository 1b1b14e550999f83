import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { cutToBytes, joinNamed } from '../../../functions/model/bounded-text.ts';

test('a bounded text within the limit is unchanged', () => {
  expect(cutToBytes('käse', 5)).toBe('käse');
});

test('a text over the byte limit is cut and marked as cut', () => {
  expect(cutToBytes('abcdefgh', 7)).toBe('abcd…');
});

test.each([
  ['two bytes', 'aaaéé', 'aaa…'],
  ['four bytes and two UTF-16 units', 'aaa😀', 'aaa…'],
])('truncation does not split a character of %s', (_what, text, cut) => {
  expect(cutToBytes(text, 6)).toBe(cut);
});

test('any truncated text is well formed and within the limit', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('a', 'é', '€', '😀', '…', '\u0301'), maxLength: 60 }),
      fc.integer({ min: 3, max: 100 }),
      (text, max) => {
        const cut = cutToBytes(text, max);
        expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(max);
        expect(cut.isWellFormed()).toBe(true);
        expect(text.startsWith(cut.replace(/…$/, ''))).toBe(true);
      },
    ),
  );
});

test('a list of more than twenty names the first twenty and counts the rest', () => {
  const items = Array.from({ length: 23 }, (_, index) => `item ${index + 1}`);
  expect(joinNamed(items.slice(0, 2), ', ')).toBe('item 1, item 2');
  expect(joinNamed(items.slice(0, 20), ', ')).toMatch(/item 19, item 20$/);
  expect(joinNamed(items, ', ')).toMatch(/item 19, item 20, and 3 more$/);
});
