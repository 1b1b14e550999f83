import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer } from 'vitest/node';

/** The longest files start first: without durations of earlier runs, Vitest goes by the size of a file. */
const longest = [
  '/killed/',
  '/bench/',
  '/chaos-and-load/',
  '/existing-instances',
  '/contract/http',
  '/onboard/onboard',
];

class LongestFirst extends BaseSequencer {
  /**
   * @override
   * @param {Parameters<BaseSequencer['sort']>[0]} files
   */
  async sort(files) {
    const isLong = (/** @type {(typeof files)[number]} */ { moduleId }) =>
      longest.some((part) => moduleId.includes(part));
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

// A test that waits for a process or a server leaves its core to another: one worker more than there are cores.
export default defineConfig({
  test: {
    dir: 'test',
    exclude: ['**/deployed/**'],
    sequence: { sequencer: LongestFirst },
    globalSetup: 'test/support/bundles-directory.ts',
    maxWorkers: availableParallelism() + 1,
    // A worker imports the AWS SDK and the CDK once, not once per file. So a file must restore what it replaces.
    isolate: false,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
