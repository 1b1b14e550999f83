import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// A test that waits for a process or a server leaves its core to another: one worker more than there are cores.
export default defineConfig({
  test: {
    dir: 'test',
    exclude: ['**/deployed/**'],
    globalSetup: 'test/support/bundles-directory.ts',
    maxWorkers: availableParallelism() + 1,
    // A worker imports the AWS SDK and the CDK once, not once per file. So a file must restore what it replaces.
    isolate: false,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
