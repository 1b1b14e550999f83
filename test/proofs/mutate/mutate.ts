import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as z from 'zod/mini';
import { commandLine, parseOptions, UsageError } from '../../../infra/cli/command.ts';
import { bad, bold, dim, good, print } from '../../../infra/cli/terminal.ts';
import { guards, patternOf, type Guard } from './guards.ts';

const help = `Takes the guards of the protocol out of a copy of the code, one at a time, and runs the tests that must notice. A
guard whose absence no test notices either needs a test or is not needed.

  npm run mutate               all guards
  npm run mutate -- <word>     guards whose name contains the word, for example "lease"

Exit status: 0 all noticed · 1 some not · 2 no guard has that word in its name.`;

const root = fileURLToPath(new URL('../../../', import.meta.url));
const copied = ['functions', 'infra', 'test', 'package.json', 'tsconfig.json', 'cdk.json', 'README.md'];

/** Limit of one test run: it takes half a minute, and a missing guard must not make it wait forever. */
const runTimeoutMs = 180_000;

const reportSchema = z.object({
  testResults: z.array(
    z.object({ assertionResults: z.array(z.object({ fullName: z.string(), status: z.string() })) }),
  ),
});

const chosen = commandLine(help, (args) => {
  const [word = '', ...more] = parseOptions({ args, allowPositionals: true }).positionals;
  if (more.length > 0) throw new UsageError('Expected one word.');
  const found = guards.filter(({ name }) => name.includes(word));
  if (found.length === 0) throw new UsageError(`No guard has "${word}" in its name.`);
  return found;
});
const widest = Math.max(...chosen.map(({ name }) => name.length));
const directory = mkdtempSync(join(tmpdir(), 'element-onboarding-mutate-'));
const missed: string[] = [];
try {
  for (const each of copied) cpSync(join(root, each), join(directory, each), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));

  print(`\n${bold('Without…'.padEnd(widest))}  ${bold('noticed by')}`);
  for (const guard of chosen) {
    const startedAt = performance.now();
    const noticed = await withoutGuard(guard);
    const took = dim(`${Math.round((performance.now() - startedAt) / 1_000)} s`);
    if (!noticed) missed.push(guard.name);
    print(`${guard.name.padEnd(widest)}  ${noticed ? good(noticed) : bad('nothing')} ${took}`);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
const conclusion = missed.length === 0 ? good('all noticed') : bad(`${missed.length} not noticed`);
print(`\n${chosen.length === 1 ? '1 guard' : `${chosen.length} guards`} taken out, ${conclusion}\n`);
process.exitCode = missed.length === 0 ? 0 : 1;

/** The first test that fails without the guard, if one does. */
async function withoutGuard({ name, file, guard, without, tests }: Guard): Promise<string | undefined> {
  const path = join(directory, file);
  const source = readFileSync(path, 'utf8');
  const pattern = patternOf(guard);
  if (source.split(pattern).length !== 2) throw new Error(`${name}: not exactly once in ${file}: ${guard}`);
  writeFileSync(
    path,
    source.replace(pattern, () => without),
  );
  try {
    return await firstFailure(tests);
  } finally {
    writeFileSync(path, source);
  }
}

async function firstFailure(tests: readonly string[]): Promise<string | undefined> {
  const report = join(directory, 'report.json');
  rmSync(report, { force: true });
  const options = ['--dir', 'test', '--bail', '1', '--reporter', 'json', '--outputFile', report];
  const vitest = spawn('vitest', ['run', ...options, ...tests], {
    cwd: directory,
    // The explorer's tests in full.
    env: { ...process.env, EXPLORE_ALL: '1' },
    stdio: 'ignore',
    timeout: runTimeoutMs,
    killSignal: 'SIGKILL',
  });
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    vitest.once('exit', resolve).once('error', reject);
  });
  if (exitCode === 0) return undefined;
  if (exitCode === null) return `the tests do not end within ${runTimeoutMs / 1_000} s`;
  const { testResults } = reportSchema.parse(JSON.parse(readFileSync(report, 'utf8')));
  const failed = testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .find(({ status }) => status === 'failed');
  if (!failed) throw new Error(`The tests did not run: ${tests.join(', ')}`);
  return failed.fullName.trim();
}
