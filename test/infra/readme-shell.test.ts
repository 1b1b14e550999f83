import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { blocksOf, everyPage } from '../support/pages.ts';

/** The shell commands of all pages, as an operator pastes them. */
const blocks = blocksOf(everyPage, 'sh');
const functions = blocks.find((block) => block.includes('search() {')) ?? '';

/** Replaces the AWS CLI: records its arguments, and gives queries the test's statuses, one per call. */
const cli = `#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
  *list-stack-resources*) printf 'group-a\\tgroup-b\\n' ;;
  *start-query*) echo query-1 ;;
  *'--query status'*) sed -n 1p "$STATUSES"; sed -i 1d "$STATUSES" ;;
  *get-query-results*) echo results ;;
esac
`;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'readme-shell-'));
  writeFileSync(join(directory, 'aws'), cli);
  chmodSync(join(directory, 'aws'), 0o755);
});
afterAll(() => rmSync(directory, { recursive: true }));

function search(shell: string, statuses: readonly string[]): { stdout: string; calls: string[] } {
  const env = {
    PATH: `${directory}:${process.env['PATH']}`,
    CALLS: join(directory, 'calls'),
    STATUSES: join(directory, 'statuses'),
  };
  writeFileSync(env.CALLS, '');
  writeFileSync(env.STATUSES, `${statuses.join('\n')}\n`);
  const script = `${functions}\nsleep() { :; }\nsearch 'filter outcome != "x"' 1\n`;
  const stdout = execFileSync(shell, ['-c', script], {
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 20_000,
  });
  return { stdout, calls: readFileSync(env.CALLS, 'utf8').trim().split('\n') };
}

const isThere = (shell: string): boolean => spawnSync(shell, ['-c', 'exit 0']).status === 0;

describe.each(['bash', 'zsh'])('in %s', (shell) => {
  test.skipIf(!isThere(shell))(
    'the README’s search waits for the end of its query, and looks into every log group',
    () => {
      const { stdout, calls } = search(shell, ['Scheduled', 'Running', 'Running', 'Complete']);
      expect(stdout).toBe('results\n');
      expect(calls.filter((call) => call.includes('--query status'))).toHaveLength(4);
      expect(calls.at(-1)).toContain('get-query-results --query-id query-1 --query results');
      expect(calls.find((call) => call.includes('start-query'))).toMatch(
        /--log-group-names group-a group-b .* --query-string filter outcome != "x" /,
      );
    },
  );

  test.skipIf(!isThere(shell))('the README’s search ends when its query fails', () => {
    expect(search(shell, ['Running', 'Failed']).stdout).toBe('results\n');
  });
});

/** zsh runs a comment at its prompt as a command, and expands brackets in it as a pattern. */
test('no command of a page has a comment beside it', () => {
  expect(blocks.length).toBeGreaterThan(20);
  const unquoted = blocks.map((block) => block.replaceAll(/'[^']*'/g, ''));
  expect(unquoted.flatMap((block) => block.split('\n')).filter((line) => /(^|\s)#/.test(line))).toEqual([]);
});

test('no README command gives a setting on the command line, where a later deployment would not repeat it', () => {
  const commands = blocks.flatMap((block) => block.split('\n')).filter((line) => line.startsWith('npx cdk'));
  expect(commands.length).toBeGreaterThan(4);
  expect(commands.filter((command) => / -c (?!stage=)/.test(command))).toEqual([]);
});
