import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
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
  const shared = inject('bundles');
  if (shared === undefined) return bundleFunction(name, directory);
  symlinkSync(join(await sharedBundles(shared), name, 'index.mjs'), join(directory, 'index.mjs'));
}

/** The directory with the bundle of each function, once the first worker that needs one has made them all. */
async function sharedBundles(shared: string): Promise<string> {
  const bundles = join(shared, 'functions');
  const lock = join(shared, 'bundling');
  while (!existsSync(bundles)) {
    if (mkdirSync(lock, { recursive: true }) === undefined) {
      await setTimeout(20);
      continue;
    }
    const unfinished = mkdtempSync(join(shared, '.unfinished-'));
    try {
      await bundleFunctions(unfinished);
      renameSync(unfinished, bundles);
    } finally {
      rmSync(lock, { recursive: true });
    }
  }
  return bundles;
}
