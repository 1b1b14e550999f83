import { defineConfig } from 'vitest/config';

/**
 * The tests that call the code in their own process; those of `service/` run bundles, in which no mutant is active.
 * `TEST_FILES`: fewer of them, separated by spaces, to see what the tests of one file notice in seconds. Stryker's
 * option `--testFiles` does not do: with it, mutants of code that runs at import are never active (10.1).
 */
export default defineConfig({
  test: {
    include: process.env['TEST_FILES']?.split(' ') ?? ['test/functions/*/**/*.test.ts'],
    isolate: false,
    testTimeout: 30_000,
  },
});
