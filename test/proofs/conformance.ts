import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { commandLine, parseOptions, UsageError } from '../../infra/cli/command.ts';
import { bad, bold, good, print } from '../../infra/cli/terminal.ts';
import { installPythonPackage } from '../support/python-programs.ts';

const parts = ['ministack', 'moto'] as const;
type Part = (typeof parts)[number];

const help = `Runs the cases that the local AWS stubs pass in \`npm test\` against two emulators of AWS by others. Installs them (PyPI)
into a temporary directory: that needs Python 3.

  npm run conformance -- [options]

Options
  --only <parts>   of ${parts.join(', ')}; several with commas between (all)

Exit status: 0 all passed · 1 some failed · 2 command line wrong.`;

const only = commandLine(help, (args) => {
  const { values } = parseOptions({
    args,
    options: { only: { type: 'string', default: parts.join(',') } },
  });
  const named = values.only.split(',');
  const chosen = parts.filter((part) => named.includes(part));
  if (chosen.length === named.length) return chosen;
  throw new UsageError(`Expected --only to be of ${parts.join(', ')}, got "${values.only}".`);
});

const root = fileURLToPath(new URL('../../', import.meta.url));
const cases = ['dynamodb', 'secrets-manager', 'kms', 'events'];

/** moto runs functions in Docker only, so it has no gateway to compare. */
const emulators = {
  ministack: {
    package: 'ministack==1.5.33',
    is: 'MiniStack',
    command: (port: number) => ({
      program: 'ministack',
      args: [],
      env: { BIND_HOST: '127.0.0.1', GATEWAY_PORT: String(port), LAMBDA_WARM_TTL_SECONDS: '20' },
    }),
    cases: [...cases, 'gateway'],
  },
  moto: {
    package: 'moto[server]==5.2.5',
    is: 'moto',
    command: (port: number) => ({
      program: 'moto_server',
      args: ['--host', '127.0.0.1', '--port', String(port)],
      env: {},
    }),
    cases,
  },
} satisfies Record<Part, object>;

const startTimeoutMs = 60_000;
const testsTimeoutMs = 3 * 60_000;

const directory = mkdtempSync(join(tmpdir(), 'element-onboarding-conformance-'));
const running = new Set<ChildProcess>();
try {
  const outcomes: boolean[] = [];
  for (const part of only) outcomes.push(await conformsTo(part));
  process.exitCode = outcomes.every(Boolean) ? 0 : 1;
} finally {
  for (const child of running) end(child);
  rmSync(directory, { recursive: true, force: true });
}

async function conformsTo(part: Part): Promise<boolean> {
  const emulator = emulators[part];
  print(`\n${bold(emulator.is)} (${emulator.package})`);
  const binaries = await installPythonPackage(emulator.package, directory);
  const port = await freePort();
  const { program, args, env } = emulator.command(port);
  const endpoint = `http://127.0.0.1:${port}`;
  await start(join(binaries, program), args, env, endpoint);
  const vitest = spawn(
    'vitest',
    [
      'run',
      '--config',
      'test/vitest.config.js',
      ...emulator.cases.map((each) => `aws/conformance/${each}.test`),
    ],
    {
      cwd: root,
      env: { ...process.env, CONFORMANCE_OF: emulator.is, AWS_ENDPOINT_URL: endpoint },
      stdio: 'inherit',
      timeout: testsTimeoutMs,
    },
  );
  const [exitCode]: unknown[] = await once(vitest, 'exit');
  print(exitCode === 0 ? good('conforms') : bad(`failed, or took more than ${testsTimeoutMs / 1_000} s`));
  return exitCode === 0;
}

/** Starts a server, and waits until it answers. */
async function start(
  program: string,
  args: readonly string[],
  env: Record<string, string>,
  url: string,
): Promise<void> {
  const log = join(directory, 'log');
  const output = openSync(log, 'a');
  const child = spawn(program, args, {
    cwd: directory,
    env: { ...process.env, ...env },
    stdio: ['ignore', output, output],
    // A group of its own, which ends as a whole.
    detached: true,
  });
  running.add(child);
  const endsAt = Date.now() + startTimeoutMs;
  for (;;) {
    if (
      await fetch(url).then(
        () => true,
        () => false,
      )
    )
      return;
    if (child.exitCode !== null || Date.now() > endsAt) {
      throw new Error(`${program} did not start:\n${readFileSync(log, 'utf8')}`);
    }
    await setTimeout(200);
  }
}

function end({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGTERM');
  } catch {
    // It has ended by itself.
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('No free port.');
  return address.port;
}
