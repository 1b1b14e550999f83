import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const pluginOf = (/** @type {string} */ file) => fileURLToPath(new URL(file, import.meta.url));

/** @type {import('@stryker-mutator/api/core').PartialStrykerOptions} */
export default {
  mutate: ['functions/{core,model,adapters,runtime}/**/*.ts'],
  testRunner: 'vitest',
  plugins: ['@stryker-mutator/vitest-runner', pluginOf('type-checker.ts'), pluginOf('survivors.ts')],
  // A check takes as long as the tests of one file, and no test has to notice a mutant that does not compile.
  checkers: process.env['TEST_FILES'] ? [] : ['types'],
  vitest: { configFile: 'test/proofs/mutate/vitest.config.js', related: false },
  // Stryker rewrites a tsconfig.json by TypeScript's JavaScript API, which TypeScript 7 does not have.
  tsconfigFile: 'none',
  coverageAnalysis: 'perTest',
  incremental: true,
  incrementalFile: 'node_modules/.cache/mutate/incremental.json',
  jsonReporter: { fileName: 'node_modules/.cache/mutate/report.json' },
  htmlReporter: { fileName: 'node_modules/.cache/mutate/report.html' },
  reporters: ['progress', 'clear-text', 'survivors', 'json', 'html'],
  clearTextReporter: { reportMutants: false, reportTests: false, allowColor: process.stdout.isTTY },
  // Stryker removes the directory at the end, with the copies of runs at the same time if they share it.
  tempDirName: mkdtempSync(join(tmpdir(), 'element-onboarding-mutate-')),
  ignorePatterns: ['dist', 'cdk.out', '.ci'],
};
