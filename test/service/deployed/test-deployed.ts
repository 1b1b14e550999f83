import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commandLine, parseOptions } from '../../../infra/cli/command.ts';
import { bold, dim, print } from '../../../infra/cli/terminal.ts';
import { cdk } from './cdk.ts';
import { endpointOrExit, environment } from './endpoint.ts';

const help = `Deploys the service with the ordinary CDK CLI to the emulator at AWS_ENDPOINT_URL, over the version before, runs the tests
of its outside against stacks of their own, and destroys all of it.

  npm run test:deployed -- [options]

Options
  --previous <commit>   the version before (default HEAD~1)

Exit status: 0 all passed · 1 some failed · 2 command line wrong, or no emulator.`;

const requested = commandLine(
  help,
  (args) => parseOptions({ args, options: { previous: { type: 'string', default: 'HEAD~1' } } }).values,
);

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** Tests that only a deployed stack can run. */
const own = ['deployed/life.test', 'deployed/redrive.test'];

/** Tests of the service's outside; cases that need servers in memory are reported as skipped. */
const shared = [
  'http-api.test',
  'onboarding-events.test',
  'service/results.test',
  'bus-of-others.test',
  'sbt/sbt.test',
];

/** Deploying, cold starts and redeliveries take their time. */
const patience = ['--test-timeout', '90000', '--hook-timeout', '240000'];

const endpoint = endpointOrExit();

print(`\n${bold('Deploying to')} ${endpoint}\n`);
await cdk(['bootstrap', `aws://000000000000/${environment.AWS_REGION}`]);
const previous = checkOut(requested.previous);
try {
  process.exitCode = await runTests(previous);
  print(
    dim(
      'Not run (↓): what lets AWS fail, kills functions or ends them sooner. Only the stack in memory can do that.',
    ),
  );
} finally {
  rmSync(previous, { recursive: true, force: true });
}

/** The files of a commit beside the packages of this one. */
function checkOut(commit: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'element-onboarding-previous-'));
  const archive = execFileSync('git', ['archive', commit], { cwd: root, maxBuffer: 256 * 1024 * 1024 });
  execFileSync('tar', ['-x', '-C', directory], { input: archive });
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
  return directory;
}

function runTests(previousDirectory: string): Promise<number> {
  const options = ['--dir', 'test', '--reporter', 'verbose', '--max-workers', '2', ...patience];
  const vitest = spawn('vitest', ['run', ...options, ...own, ...shared], {
    cwd: root,
    env: { ...environment, TEST_DEPLOYED: '1', TEST_PREVIOUS: previousDirectory },
    stdio: 'inherit',
  });
  return new Promise((resolve, reject) => {
    vitest.once('error', reject).once('exit', (exitCode) => resolve(exitCode ?? 1));
  });
}
