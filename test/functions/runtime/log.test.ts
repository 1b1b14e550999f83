import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { errorFields, log, logCall, logRequestId, writeLine } from '../../../functions/runtime/log.ts';

let lines: string[] = [];
beforeEach(() => {
  lines = [];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    lines.push(String(text));
    return true;
  });
});
afterEach(() => vi.restoreAllMocks());

const mostBytes = 16 * 1_024;

function written(fields: object) {
  log.warn('message', fields);
  const [line = ''] = lines;
  expect(lines).toHaveLength(1);
  expect(Buffer.byteLength(line)).toBeLessThanOrEqual(mostBytes);
  return JSON.parse(line);
}

test('a log line within the limit is written unchanged', () => {
  const error = { code: 'invalid-request', message: 'x'.repeat(1_000) };
  expect(written({ tenantId: 'acme', error })).toMatchObject({ level: 'WARN', tenantId: 'acme', error });
});

test('texts and lists of a long log line are cut, and the line is marked as cut', () => {
  const problems = Array.from({ length: 500 }, (_, index) => ({
    pointer: `#/${index}`,
    detail: '😀'.repeat(80),
  }));
  const line = written({ tenantId: 'acme', error: { message: 'é'.repeat(20_000), problems } });
  expect(line).toMatchObject({ tenantId: 'acme', isCut: true });
  expect(line.error.problems).toHaveLength(20);
  expect(line.error.problems[0].detail).toMatch(/^(😀)+…$/u);
  expect(line.error.message).toMatch(/^é+…$/);
});

test('a log line that is too long with its texts cut loses objects and lists', () => {
  const names = Object.fromEntries(
    Array.from({ length: 5_000 }, (_, index) => [`name${index}`, '\u0001'.repeat(300)]),
  );
  const line = written({ tenantId: 'acme', outcome: 'malformed', error: names });
  expect(line).toMatchObject({ message: 'message', tenantId: 'acme', outcome: 'malformed', isCut: true });
  expect(line).not.toHaveProperty('error');
});

test('a parser’s error is logged without the text that it quotes', () => {
  const error = (() => {
    try {
      return JSON.parse('{"api.key": hush}');
    } catch (thrown) {
      return thrown;
    }
  })();
  expect(String(error)).toContain('hush');
  const fields = errorFields(error);
  expect(JSON.stringify(fields)).not.toContain('hush');
  expect(fields).toMatchObject({ code: 'internal', stack: expect.stringMatching(/^ {4}at JSON\.parse/) });
});

test.each(['info', 'warn', 'error'] as const)(
  'a log line of level %s has its service, time and request',
  (level) => {
    logRequestId({ awsRequestId: 'request-7', getRemainingTimeInMillis: () => 1 });
    log[level]('what', { tenantId: 'acme', absent: undefined });
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      {
        level: level.toUpperCase(),
        message: 'what',
        timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT.+Z$/),
        service: 'element-onboarding',
        awsRequestId: 'request-7',
        tenantId: 'acme',
      },
    ]);
    expect(lines[0]).toMatch(/[^\n]\n$/);
  },
);

test('a line of metrics is written as it is, however long', () => {
  const values = { values: 'x'.repeat(20_000) };
  writeLine(values);
  expect(lines).toEqual([`${JSON.stringify(values)}\n`]);
});

test('a log line of just less than 16 KiB is whole, and one more byte cuts its texts', () => {
  log.warn('message', { text: '' });
  const bytes = mostBytes - Buffer.byteLength(lines[0] ?? '');
  lines = [];
  expect(written({ text: 'x'.repeat(bytes) })).not.toHaveProperty('isCut');
  lines = [];
  expect(written({ text: 'x'.repeat(bytes + 1) })).toMatchObject({
    isCut: true,
    text: `${'x'.repeat(197)}…`,
  });
});

test('a log line without its objects and lists keeps numbers, and its texts cut', () => {
  const long = '\u0001'.repeat(3_000);
  const objects = Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`o${index}`, { a: long }]));
  const line = written({ ...objects, count: 7, none: null, text: 'x'.repeat(201), list: [1] });
  expect(Object.keys(line)).toEqual(expect.arrayContaining(['count', 'text', 'isCut']));
  expect(line).toMatchObject({ count: 7, text: `${'x'.repeat(197)}…`, isCut: true });
  for (const name of ['o0', 'list', 'none']) expect(line).not.toHaveProperty(name);
});

test.each([
  ['answered', 'INFO'],
  ['throttled', 'WARN'],
  ['failed', 'WARN'],
  ['credentials-rejected', 'WARN'],
  ['not-tried', 'WARN'],
] as const)('a call of Cloud Elements that is %s is logged as %s, with its subject', (outcome, level) => {
  logCall({ operation: 'GET /ping', about: { tenantId: 'acme', instanceId: 7 }, outcome, status: 200 });
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    {
      level,
      message: 'cloud-elements',
      operation: 'GET /ping',
      tenantId: 'acme',
      instanceId: 7,
      outcome,
      status: 200,
    },
  ]);
  expect(JSON.parse(lines[0] ?? '')).not.toHaveProperty('about');
  lines = [];
  logCall({ operation: 'GET /ping', outcome });
  expect(lines).toHaveLength(1);
});

describe('the fields of an error', () => {
  test('an error of ours has its code, message and the facts that may be logged', () => {
    const cause = { name: 'TimeoutError', message: 'late' };
    const facts = { cause, requestId: 'id-1', missing: ['api.key'], said: 'hush', retryAfterMs: 1 };
    expect(errorFields(new OnboardingError('busy', 'Later.', facts))).toEqual({
      code: 'busy',
      message: 'Later.',
      requestId: 'id-1',
      missing: ['api.key'],
      cause,
    });
  });

  test('any other error has its message and the frames of its stack', () => {
    const error = new TypeError('a bug\n    at hush');
    error.stack =
      'TypeError: a bug\nhush    at hush\n    at one (file.ts:1:1)\n    at two (file.ts:2:2)\n  at hush';
    expect(errorFields(error)).toEqual({
      code: 'internal',
      message: error.message,
      stack: '    at one (file.ts:1:1)\n    at two (file.ts:2:2)',
    });
    error.stack = 'TypeError: a bug';
    expect(errorFields(error)).toMatchObject({ stack: undefined });
    delete error.stack;
    expect(errorFields(error)).toMatchObject({ stack: undefined });
    const syntax = errorFields(new SyntaxError('hush'));
    expect(syntax.message).toBe('something that was read cannot be parsed');
  });

  test.each([undefined, null, 'hush', { message: 'hush' }])('the thrown value %j is no error', (thrown) => {
    expect(errorFields(thrown)).toEqual({
      code: 'internal',
      message: 'something that is no error was thrown',
    });
  });
});
