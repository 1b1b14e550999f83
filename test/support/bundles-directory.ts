import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Directory of the bundles that the test files of one run share. */
    bundles?: string;
  }
}

/** Vitest's global setup, before all test files. */
export default function setup(project: TestProject): void {
  const directory = mkdtempSync(join(tmpdir(), 'element-onboarding-bundles-'));
  project.provide('bundles', directory);
  // Of the test files' workers and of the commands that they start: compiled once, and stripped of types once.
  process.env['NODE_COMPILE_CACHE'] = join(directory, 'compiled');
  // Of everything that a test leaves behind: each App of CDK has an output directory, for instance. A short name, since
  // the path of a socket, such as that of a browser, has at most 104 bytes.
  const temporary = mkdtempSync(join(tmpdir(), 'tests-'));
  process.env['TMPDIR'] = temporary;
  // Not after the last test file: a worker writes what it has compiled when it ends.
  process.once('exit', () => {
    for (const each of [directory, temporary]) rmSync(each, { recursive: true, force: true });
  });
}
