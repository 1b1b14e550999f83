import { chooseAtRandom, followChoices, type Choose } from './choices.ts';
import { findingOf, type Finding } from './finding.ts';
import { runSchedule, type Ended, type Scenario } from './schedule.ts';

export type Explored = { schedules: number; finding: Finding | undefined };

type OnProgress = (schedules: number) => void;

/**
 * Runs every schedule within the scenario's bounds: depth first, each from the beginning with the choices that lead to
 * its branch. A known state is not explored again, because it can lead to nothing new.
 */
export async function exploreAll(
  scenario: Scenario,
  { onProgress = () => {} }: { onProgress?: OnProgress } = {},
): Promise<Explored> {
  const known = new Map<string, (readonly number[])[]>();
  let schedules = 0;
  let prefix: number[] | undefined = [];
  while (prefix) {
    const { choose, trail } = followChoices(prefix);
    const branchAt = prefix.length;
    const { violation } = await runQuickly(scenario, {
      choose,
      isKnown: (state, left) => {
        // Up to the branch the states are known, and yet the run must continue.
        if (trail.length < branchAt) return false;
        const digest = state();
        const met = known.get(digest);
        if (met?.some((earlier) => left.every((count, index) => count <= (earlier[index] ?? 0)))) return true;
        known.set(digest, [...(met ?? []), left]);
        return false;
      },
    });
    schedules += 1;
    if (violation !== undefined) return { schedules, finding: await found(scenario, trail) };
    onProgress(schedules);
    prefix = nextPrefix(trail);
  }
  return { schedules, finding: undefined };
}

/** Runs without stack traces: only codes of errors matter, and capturing many traces takes time. */
async function runQuickly(...schedule: Parameters<typeof runSchedule>): Promise<Ended> {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return await runSchedule(...schedule);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** Runs a function with every possible sequence of choices. @returns the number of sequences */
export async function withEveryChoice(run: (choose: Choose) => Promise<void>): Promise<number> {
  let runs = 0;
  for (let prefix: number[] | undefined = []; prefix; runs++) {
    const { choose, trail } = followChoices(prefix);
    await run(choose);
    prefix = nextPrefix(trail);
  }
  return runs;
}

/** Advances the last choice that has another option. */
function nextPrefix(trail: readonly { chosen: number; of: number }[]): number[] | undefined {
  const last = trail.findLastIndex(({ chosen, of }) => chosen + 1 < of);
  const branch = trail[last];
  return branch && [...trail.slice(0, last).map(({ chosen }) => chosen), branch.chosen + 1];
}

/** Runs the given number of random schedules, with seeds from `seed` on. */
export async function exploreAtRandom(
  scenario: Scenario,
  { seed, count, onProgress = () => {} }: { seed: number; count: number; onProgress?: OnProgress },
): Promise<Explored> {
  for (let schedules = 1; schedules <= count; schedules++) {
    const { choose, trail } = chooseAtRandom(seed + schedules - 1);
    const { violation } = await runQuickly(scenario, { choose });
    if (violation !== undefined) return { schedules, finding: await found(scenario, trail) };
    onProgress(schedules);
  }
  return { schedules: count, finding: undefined };
}

const found = (scenario: Scenario, trail: readonly { chosen: number }[]): Promise<Finding> =>
  findingOf(
    scenario,
    trail.map(({ chosen }) => chosen),
  );
