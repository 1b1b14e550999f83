import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer } from 'vitest/node';

/** The longest files start first: without durations of earlier runs, Vitest goes by the size of a file. */
const longest = [
  '/service/killed',
  '/bench/',
  '/chaos-and-load/',
  '/existing-instances',
  '/contract/http',
  '/onboard/onboard',
];

/** @param {{ moduleId: string }} file */
const rankOf = ({ moduleId }) => (longest.some((part) => moduleId.includes(part)) ? 0 : 1);

class LongestFirst extends BaseSequencer {
  /**
   * @override
   * @param {Parameters<BaseSequencer['sort']>[0]} files
   */
  async sort(files) {
    // oxlint-disable-next-line unicorn/no-array-sort -- Vitest's method, not that of an array.
    const usual = await super.sort(files);
    return usual.toSorted((x, y) => rankOf(x) - rankOf(y));
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
