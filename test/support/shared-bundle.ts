import { build } from 'esbuild';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { inject } from 'vitest';
import { bundleFunction, bundleFunctions } from '../../infra/bundle.ts';

/** For the environment of commands that a test starts: what is compiled once in a run of the tests is kept for it. */
export function compileCache(): Record<string, string> {
  const { NODE_COMPILE_CACHE } = process.env;
  return NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE };
}

/**
 * Bundles a function for the local stack of a test: all functions together and once in a run of the tests, because it
 * takes longer than most tests do. Without the run's directory, in a run of other settings, each stack has its own.
 */
export async function sharedBundle(name: string, directory: string): Promise<void> {
  const bundles = await sharedFunctions();
  if (bundles === undefined) return bundleFunction(name, directory);
  symlinkSync(join(bundles, name, 'index.mjs'), join(directory, 'index.mjs'));
}

/** The directory with the bundle of each function; undefined in a run of other settings. */
export const sharedFunctions = (): Promise<string | undefined> =>
  sharedDirectory('functions', bundleFunctions);

/** A directory that is made once in a run of the tests; undefined in a run of other settings, which has none. */
export async function sharedDirectory(
  name: string,
  make: (directory: string) => Promise<unknown>,
): Promise<string | undefined> {
  const shared = inject('bundles');
  return shared === undefined ? undefined : madeOnce(shared, name, make);
}

/** Of the operator's commands, those that tests start again and again. */
const commands = ['discover', 'export', 'onboard', 'status', 'trust'] as const;

export type Command = (typeof commands)[number];

/**
 * The programs of the commands, bundled: they start in 70 ms of processor time, and from their files in 180. That each
 * file starts as a program is tested by `test/infra/cli/command.test.ts`.
 */
export async function commandPrograms(): Promise<(command: Command) => string> {
  const shared = inject('bundles');
  if (shared === undefined) return sourceOfCommand;
  const bundles = await madeOnce(shared, 'commands', bundleCommands);
  return (command) => join(bundles, `${command}.mjs`);
}

const sourceOfCommand = (command: Command) =>
  fileURLToPath(new URL(`../../infra/cli/${command}/${command}.ts`, import.meta.url));

async function bundleCommands(directory: string): Promise<void> {
  await build({
    entryPoints: commands.map((command) => ({ in: sourceOfCommand(command), out: command })),
    outdir: directory,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    mainFields: ['module', 'main'],
    // For packages that are CommonJS.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    logLevel: 'warning',
  });
}

/** The directory of this name among the run's, once the first worker that needs it has made it. */
async function madeOnce(
  shared: string,
  name: string,
  make: (directory: string) => Promise<unknown>,
): Promise<string> {
  const made = join(shared, name);
  const lock = join(shared, `making-${name}`);
  while (!existsSync(made)) {
    if (mkdirSync(lock, { recursive: true }) === undefined) {
      await setTimeout(20);
      continue;
    }
    const unfinished = mkdtempSync(join(shared, '.unfinished-'));
    try {
      // Another worker may have made it since the last look.
      if (existsSync(made)) break;
      await make(unfinished);
      renameSync(unfinished, made);
    } finally {
      rmSync(lock, { recursive: true });
    }
  }
  return made;
}
