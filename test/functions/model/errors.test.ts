import { describe, expect, test } from 'vitest';
import { errorCodes, OnboardingError } from '../../../functions/model/errors.ts';
import { codes } from '../../../functions/model/responses.ts';

const errors = () => codes.map((code) => new OnboardingError(code, 'message'));

describe('the codes of errors', () => {
  test('each code has an HTTP status and a title of its own', () => {
    const titles = errors().map(({ title }) => title);
    expect(titles.filter((title) => !/^[A-Z][^.]+$/.test(title))).toEqual([]);
    expect(new Set(titles).size).toBe(Object.keys(errorCodes).length);
    expect(errors().filter(({ status }) => status < 400 || status > 504)).toEqual([]);
  });

  test('the same request may succeed later after every server error but an unusable instance, and no wrong request', () => {
    const final = (from: number, to: number) =>
      errors()
        .filter(({ status, retryable }) => status >= from && status < to && !retryable)
        .map(({ code }) => code);
    expect(final(500, 600)).toEqual(['instance-unusable']);
    expect(errors().filter(({ status, retryable }) => status < 500 && status !== 409 && retryable)).toEqual(
      [],
    );
  });

  test('a conflict passes by itself only where another process holds the instance, or Cloud Elements may think again', () => {
    const passing = errors()
      .filter(({ status, retryable }) => status === 409 && retryable)
      .map(({ code }) => code);
    expect(passing.toSorted()).toEqual([
      'being-deleted',
      'busy',
      'busy-with-other-settings',
      'deletion-refused',
      'not-active',
      'not-fully-shown',
    ]);
  });
});

describe('an error', () => {
  test('an error has the status, the title and the retryability of its code', () => {
    const error = new OnboardingError('busy', 'Another request holds the taxify instance of tenant acme.');
    expect(error).toMatchObject({
      name: 'OnboardingError',
      code: 'busy',
      status: 409,
      retryable: true,
      title: 'Another request holds the instance',
      facts: {},
    });
    expect(error).toBeInstanceOf(Error);
  });

  test('a caller reads the message of an error of its own, and the title of one of the server', () => {
    expect(new OnboardingError('not-found', 'Tenant acme has none.').publicDetail).toBe(
      'Tenant acme has none.',
    );
    expect(new OnboardingError('internal', 'Stack.', { said: undefined }).publicDetail).toBe(
      'Something went wrong in this service',
    );
    expect(new OnboardingError('internal', 'Stack.').publicDetail).not.toContain('Stack');
  });

  test('a caller reads words of Cloud Elements beside the title of a server error', () => {
    const said = 'Try again.';
    expect(new OnboardingError('instance-unusable', 'm', { said }).publicDetail).toBe(
      'Cloud Elements made an instance that cannot be kept. Cloud Elements said: Try again.',
    );
    expect(new OnboardingError('refused-by-cloud-elements', 'm', { said }).publicDetail).toBe('m');
  });

  test('an error keeps its facts, and the lists among them are absent if they were', () => {
    const facts = { requestId: 'r', retryAfterMs: 5, cause: { name: 'Error', message: 'x' } };
    expect(Object.keys(new OnboardingError('busy', 'm', facts).facts)).toEqual(Object.keys(facts));
    const lists = { problems: [{ pointer: '#', detail: 'x' }], missing: ['configuration.a'] };
    expect(new OnboardingError('busy', 'm', { ...facts, ...lists }).facts).toEqual({ ...facts, ...lists });
  });

  test('an error keeps 1,000 bytes of its message, twenty problems and twenty missing entries', () => {
    const problems = Array.from({ length: 5_000 }, () => ({ pointer: '#', detail: 'wrong' }));
    const missing = Array.from({ length: 5_000 }, () => 'configuration.api.key');
    const error = new OnboardingError('invalid-request', 'é'.repeat(100_000), { problems, missing });
    expect(Buffer.byteLength(error.message)).toBeLessThanOrEqual(1_000);
    expect(error.publicDetail).toMatch(/é…$/);
    expect(error.facts.problems).toHaveLength(20);
    expect(error.facts.missing).toHaveLength(20);
  });
});
