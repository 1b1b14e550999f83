import { describe, expect, test } from 'vitest';
import { exploreAll, exploreAtRandom, type Explored } from './exploring.ts';
import { narrate } from './finding.ts';
import { largeBounds, smallBounds } from './scenarios.ts';

const foundBy = ({ finding }: Explored): string => (finding ? narrate(finding) : 'nothing');

/** So that a scenario that suddenly ends early is noticed. */
const schedulesOf: Record<string, number> = {
  'callers-once': 10_000,
  'callers-delayed': 1_000,
  removal: 1_000,
  'removal-of-unfinished': 5_000,
  tight: 10_000,
  changes: 5_000,
  reordered: 500,
  'overdue-once': 500,
};

describe('no promise is broken', () => {
  test.each(smallBounds.map((scenario) => [scenario.name, scenario] as const))(
    'by any schedule of %s',
    async (name, scenario) => {
      const explored = await exploreAll(scenario);
      expect(foundBy(explored)).toBe('nothing');
      expect(explored.schedules).toBeGreaterThanOrEqual(schedulesOf[name] ?? 0);
    },
    60_000,
  );

  test.each(largeBounds.map((scenario) => [scenario.name, scenario] as const))(
    'by a thousand random schedules of %s',
    async (_name, scenario) => {
      const explored = await exploreAtRandom(scenario, { seed: 1, count: 1_000 });
      expect(foundBy(explored)).toBe('nothing');
      expect(explored.schedules).toBe(1_000);
    },
    60_000,
  );
});
