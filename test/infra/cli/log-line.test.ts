import { expect, test, vi } from 'vitest';
import { printLogLine } from '../../../infra/cli/log-line.ts';

test.each([
  ['a line of its own', 'Runtime exited \u001b[2J'],
  ['an error', JSON.stringify({ message: 'request', error: { message: 'went wrong \u001b[2J' } })],
])('no control sequence in %s that a function logs reaches the terminal', (_what, line) => {
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  printLogLine(line);
  const printed = write.mock.calls.map(([text]) => String(text)).join('');
  write.mockRestore();
  expect(printed).toContain('�[2J');
  expect(printed).not.toContain('\u001b[2J');
});
