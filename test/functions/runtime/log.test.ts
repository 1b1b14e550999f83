import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { errorFields, log } from '../../../functions/runtime/log.ts';

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
