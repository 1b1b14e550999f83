import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { inject } from 'vitest';
import { bundleFunction } from '../../infra/bundle.ts';

/** For the environment of commands that a test starts: what is compiled once in a run of the tests is kept for it. */
export function compileCache(): Record<string, string> {
  const { NODE_COMPILE_CACHE } = process.env;
  return NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE };
}

/**
 * Bundles a function for the local stack of a test: once in a run of the tests, because it takes longer than most tests
 * do. Without the run's directory, in a run of other settings, each stack has its own.
 */
export async function sharedBundle(name: string, directory: string): Promise<void> {
  const shared = inject('bundles');
  if (shared === undefined) return bundleFunction(name, directory);
  symlinkSync(await sharedBundleFile(shared, name), join(directory, 'index.mjs'));
}

async function sharedBundleFile(shared: string, name: string): Promise<string> {
  const bundled = join(shared, name);
  if (!existsSync(bundled)) await bundleInto(shared, bundled, name);
  return join(bundled, 'index.mjs');
}

/** Appears as a whole: other workers bundle at the same time, and the first one to finish is kept. */
async function bundleInto(shared: string, bundled: string, name: string): Promise<void> {
  mkdirSync(shared, { recursive: true });
  const unfinished = mkdtempSync(join(shared, '.unfinished-'));
  await bundleFunction(name, unfinished);
  try {
    renameSync(unfinished, bundled);
  } catch (error) {
    if (!existsSync(bundled)) throw error;
    rmSync(unfinished, { recursive: true });
  }
}
