import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect, promisify } from 'node:util';
import { commandLine, parseOptions } from '../../infra/cli/command.ts';
import { bad, good, print } from '../../infra/cli/terminal.ts';
import { clientSource } from '../../infra/contract/client-source.ts';
import { openApiDocument } from '../../infra/contract/openapi.ts';

const help = `Runs three code generators over the OpenAPI document, and compiles their output and the printed client. Installs them
into a temporary directory: they need an older TypeScript than this project, and Python 3.

  npm run generators

Exit status: 0 all without a warning · 1 some with one · 2 command line wrong.`;

commandLine(help, (args) => parseOptions({ args }));

const npmPackages = [
  'openapi-typescript@7.13.0',
  '@hey-api/openapi-ts@0.95.0',
  'typescript@5.9.3',
  '@types/node@20.19.25',
];
const pythonPackage = 'openapi-python-client==0.29.1';

const tsc = 'npx tsc --noEmit --strict --target es2022';
/** As an application team may compile at the strictest. */
const strictest = `${tsc} --module nodenext --noUncheckedIndexedAccess --exactOptionalPropertyTypes`;

const directory = mkdtempSync(join(tmpdir(), 'element-onboarding-generators-'));
try {
  writeFileSync(join(directory, 'package.json'), '{"private":true,"type":"module"}');
  writeFileSync(join(directory, 'openapi.json'), JSON.stringify(openApiDocument()));
  writeFileSync(join(directory, 'client.ts'), clientSource());
  // Generated code is formatted by tools that are not installed here.
  writeFileSync(join(directory, 'python.yml'), 'post_hooks: []\n');
  await run(`npm install --no-audit --no-fund --ignore-scripts ${npmPackages.join(' ')}`);
  await run('python3 -m venv python');
  await run(`python/bin/pip install --quiet ${pythonPackage}`);

  const results = [
    await outcomeOf(
      'openapi-typescript',
      'npx openapi-typescript openapi.json --output types.ts',
      `${strictest} types.ts`,
    ),
    await outcomeOf(
      '@hey-api/openapi-ts',
      'npx openapi-ts --input openapi.json --output hey',
      `${tsc} --module esnext --moduleResolution bundler hey/index.ts`,
    ),
    await outcomeOf(
      'openapi-python-client',
      'python/bin/openapi-python-client generate --path openapi.json --meta none --output-path api --config python.yml --fail-on-warning',
      'python/bin/python -W error -m compileall -q api',
    ),
    await outcomeOf('the printed client', `${strictest} --types node client.ts`),
  ];
  process.exitCode = results.every(Boolean) ? 0 : 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}

/** Generates, then compiles; a warning of either, or a type that accepts anything twice, is a fault. */
async function outcomeOf(name: string, ...commands: string[]): Promise<boolean> {
  const faults: string[] = [];
  for (const command of commands) {
    const output = await run(command).catch((error: unknown) => `error: ${inspect(error)}`);
    if (/\b(warn(ing)?|error)\b/i.test(output)) faults.push(output.trim());
  }
  for (const file of /--output (\S+\.ts)/.exec(commands[0] ?? '')?.slice(1) ?? []) {
    if (readFileSync(join(directory, file), 'utf8').includes('unknown & unknown'))
      faults.push('unknown & unknown');
  }
  print(`${name.padEnd(24)} ${faults.length === 0 ? good('clean') : bad(faults.join('\n'))}`);
  return faults.length === 0;
}

async function run(command: string): Promise<string> {
  const [program = '', ...args] = command.split(' ');
  const { stdout, stderr } = await promisify(execFile)(program, args, { cwd: directory });
  return stdout + stderr;
}
