import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { parseOptions, UsageError, wholeNumber } from '../../../infra/cli/command.ts';
import { plain } from '../../../infra/plain-text.ts';
import { compileCache } from '../../support/shared-bundle.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const { scripts } = z
  .object({ scripts: z.record(z.string(), z.string()) })
  .parse(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')));
/** The programs of this project, by the script that runs them. npm itself runs `prepack`. */
const programs = Object.entries(scripts).flatMap(([script, command]) => {
  if (script === 'prepack') return [];
  const [program] = /\b(infra|test)\/\S+\.ts\b/.exec(command) ?? [];
  return program === undefined ? [] : [{ script, program }];
});

type Ended = { status: number | null; stdout: string; stderr: string };

function run(file: string, args: readonly string[]): Promise<Ended> {
  const env = { PATH: process.env['PATH'], ...compileCache() };
  return new Promise((resolve) => {
    const child = execFile(file, args, { cwd: root, env, timeout: 30_000 }, (_error, stdout, stderr) =>
      resolve({ status: child.exitCode, stdout, stderr }),
    );
  });
}

const runProgram = (program: string, ...args: string[]) => run(process.execPath, [program, ...args]);

/** Each test starts a process, on a machine that may be busy. */
const patience = { timeout: 60_000 };

describe.concurrent('a command', patience, () => {
  test.each(programs)('npm run $script -- --help prints help', async ({ script, program }) => {
    const { status, stdout, stderr } = await runProgram(program, '--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`npm (run )?(-s )?${script}\\b`));
  });

  test.each(programs.filter(({ script }) => /^(explore|chaos|load|compare)$/.test(script)))(
    'npm run $script with a wrong option prints one line',
    async ({ program }) => {
      expect(await runProgram(program, '--nope')).toEqual({
        status: 2,
        stdout: '',
        stderr: "Unknown option '--nope'. --help lists the options.\n",
      });
    },
  );

  test.each([
    ['test/proofs/explorer/explore.ts', ['--only', 'nope'], 'Expected --only to be one of '],
    ['test/proofs/explorer/explore.ts', ['--replay', 'nope:x'], 'Expected --replay to begin with the name'],
    ['test/proofs/explorer/explore.ts', ['--count', '0'], 'Expected --count to be a whole number from 1 to'],
    ['infra/cli/contract.ts', ['nope'], 'Expected "api" (the default), "events" or "client", got "nope".'],
  ])('the command %s %j prints one line', async (program, args, message) => {
    const { status, stdout, stderr } = await runProgram(program, ...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr.split('\n')).toEqual([expect.stringContaining(message), '']);
  });

  test('a command whose output is closed ends in silence', async () => {
    const command = `'${process.execPath}' infra/cli/contract.ts | head -n 1`;
    expect(await run('sh', ['-c', command])).toEqual({ status: 0, stdout: '{\n', stderr: '' });
  });
});

test('every program of package.json is tested here', () => {
  expect(programs.length).toBeGreaterThanOrEqual(12);
});

test('a wrong option is named in one sentence', () => {
  const options = { stage: { type: 'string' }, yes: { type: 'boolean' } } as const;
  const messageOf = (...args: string[]): string => {
    try {
      parseOptions({ args, options });
      return '';
    } catch (error) {
      if (error instanceof UsageError) return error.message;
      throw error;
    }
  };
  expect(messageOf('--stages')).toBe("Unknown option '--stages'.");
  expect(messageOf('--stage', '--yes')).toBe("Option '--stage' argument is ambiguous.");
  expect(messageOf('--stage')).toBe("Option '--stage <value>' argument missing.");
  expect(messageOf('prod')).toBe("Unexpected argument 'prod'.");
});

test.each(['', '-1', '1.5', '1e3', '0x10', ' 1', '11', '1_0'])(
  'the option %j is no whole number from 0 to 10',
  (text) => {
    expect(() => wholeNumber('seed', text, { to: 10 })).toThrow(
      `Expected --seed to be a whole number from 0 to 10, got "${text}".`,
    );
  },
);

test('foreign text reaches a terminal without control sequences', () => {
  expect(plain('a\u001b[2J\u009b31m\u202eb\r\u200bc\nd\te')).toBe('a�[2J�31m�b��c\nd\te');
});
