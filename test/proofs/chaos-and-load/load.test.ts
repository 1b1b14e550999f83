import { expect, test } from 'vitest';
import { burst } from './callers/burst.ts';
import { fuzz } from './callers/fuzz.ts';
import { onboard } from './callers/onboarding.ts';
import { sampleSize } from '../../support/sample-size.ts';
import { sharedDirectory } from '../../support/shared-bundle.ts';
import { bundleWithShortTiming } from './disturbances/bundles.ts';
import { startLocalTarget } from './target.ts';

const nothing = expect.toSatisfy((found: object) => Object.values(found).every((each) => each.length === 0));

/** A small load on the local stack; `npm run load` has thousands of tenants on a deployed one. */
test('sixty tenants, a burst and hostile input leave nothing lost, duplicated, stuck, leaked or undocumented', async () => {
  const bundles = await sharedDirectory('short-timing', bundleWithShortTiming);
  await using target = await startLocalTarget({ bundles, maxReceiveCount: 12 });
  const inputs = sampleSize(70, 200);
  const phase = { seed: 1, runId: 'test', show: () => {} };
  const onboarding = await onboard(target, { ...phase, count: 60 });
  expect(onboarding).toMatchObject({
    instances: 60,
    sampledTokens: 60,
    malformed: 1,
    found: nothing,
  });
  expect(onboarding.refusedWhileRevoked).toBeGreaterThan(0);
  const { found: afterBurst, tally } = await burst(target, { ...phase, count: 120 });
  // Too few requests for each operation to be served.
  expect({ ...afterBurst, neverServed: [] }).toEqual(nothing);
  expect(tally.get('POST new, small 201')).toBeGreaterThan(0);
  expect(await fuzz(target, { ...phase, count: inputs })).toMatchObject({ inputs, found: nothing });
  expect(await target.oracle.searchLeaks()).toMatchObject({ found: { leaks: [] } });
}, 100_000);
