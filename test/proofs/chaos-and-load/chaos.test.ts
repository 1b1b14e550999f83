import { expect, test } from 'vitest';
import { sampleSize } from '../../support/sample-size.ts';
import { sharedDirectory } from '../../support/shared-bundle.ts';
import { bundleWithShortTiming } from './disturbances/bundles.ts';
import { runTrial } from './trial.ts';

/** A small trial, for every run of the tests; `npm run chaos` has a thousand tenants. */
test('tenants come, change and go amid faults and killed processes, and none is lost, duplicated or stuck', async () => {
  const tenants = sampleSize(6, 12);
  const bundles = await sharedDirectory('short-timing', bundleWithShortTiming);
  const { found, calls, faults, killed, plans } = await runTrial({ tenants, seed: 1, bundles });
  expect(found).toEqual({
    duplicates: [],
    doubled: [],
    orphans: [],
    lost: [],
    wrongTokens: [],
    stuck: [],
    unpublished: [],
    broken: [],
    undocumented: [],
    leaks: [],
  });
  expect(plans).toHaveLength(tenants);
  expect(killed).toBeGreaterThan(0);
  const failed = [...faults.values()].reduce((sum, times) => sum + times, 0);
  expect(failed / calls).toBeGreaterThan(0.2);
}, 100_000);
