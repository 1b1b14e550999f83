import { afterEach, beforeEach, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { parseOrRefuse } from '../../../functions/model/validation.ts';

const before = { ...z.config() };
beforeEach(() => void z.config(z.locales.en()));
afterEach(() => void z.config({ ...before, localeError: before.localeError }));

test('a validation error has the words of this service, also when another package has set messages of zod', () => {
  const problems = [
    { pointer: '#/k', detail: 'is not a known field' },
    { pointer: '#/name', detail: 'is missing: expected text' },
  ];
  expect(() => parseOrRefuse(z.strictObject({ name: z.string() }), { k: 1 }, 'it')).toThrow(
    expect.objectContaining({ facts: { problems: expect.arrayContaining(problems) } }),
  );
});
