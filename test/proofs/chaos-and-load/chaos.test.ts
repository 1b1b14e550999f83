import { expect, test } from 'vitest';
import { runTrial } from './trial.ts';

/** A small trial, for every run of the tests; `npm run chaos` has a thousand tenants. */
test('a dozen tenants come, change and go amid faults and killed processes, and none is lost, duplicated or stuck', async () => {
  const { found, calls, faults, killed, plans } = await runTrial({ tenants: 12, seed: 1 });
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
  expect(plans).toHaveLength(12);
  expect(killed).toBeGreaterThan(0);
  const failed = [...faults.values()].reduce((sum, times) => sum + times, 0);
  expect(failed / calls).toBeGreaterThan(0.2);
}, 100_000);
