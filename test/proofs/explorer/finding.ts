import { encode, followChoices } from './choices.ts';
import { runSchedule, type Ended, type Scenario } from './schedule.ts';
import type { Step } from './world.ts';

/** A schedule that breaks a promise; `replay` reproduces it. */
export type Finding = { replay: string; violation: string; steps: readonly Step[] };

/** Runs the same scenario with these choices, and then without faults. */
export async function replay(
  scenario: Scenario,
  choices: readonly number[],
): Promise<Ended & { trail: readonly { chosen: number; of: number }[] }> {
  const { choose, trail } = followChoices(choices);
  const ended = await runSchedule(scenario, { choose });
  return { ...ended, trail };
}

/** Shortens a violation by leaving out choices one at a time, or all remaining ones. */
export async function findingOf(scenario: Scenario, choices: readonly number[]): Promise<Finding> {
  let best = { choices, ...(await replay(scenario, choices)) };
  for (let isBetter = true; isBetter;) {
    isBetter = false;
    for (let index = best.choices.length - 1; index >= 0; index--) {
      // Where all actors may stop, that is the last option.
      const home = best.choices.slice(0, index).concat((best.trail[index]?.of ?? 1) - 1);
      for (const candidate of [home, best.choices.toSpliced(index, 1), best.choices.with(index, 0)]) {
        const ended = await replay(scenario, candidate);
        if (ended.violation === undefined || !isShorter(ended, best)) continue;
        best = { choices: candidate, ...ended };
        isBetter = true;
        break;
      }
    }
  }
  const { violation = 'not found again', steps, trail } = best;
  return { replay: `${scenario.name}:${encode(trail.map(({ chosen }) => chosen))}`, violation, steps };
}

type Tried = { steps: readonly Step[]; trail: readonly { chosen: number }[] };

function isShorter(a: Tried, b: Tried): boolean {
  const cost = ({ steps, trail }: Tried) =>
    steps.length * 1_000 + trail.filter(({ chosen }) => chosen > 0).length;
  return cost(a) < cost(b);
}

/** Describes the schedule, one step per line. */
export function narrate({ replay: text, violation, steps }: Finding): string {
  const lines = steps.map(({ afterMs, label }) => `${(afterMs / 1_000).toFixed(3).padStart(10)} s  ${label}`);
  return [violation, ...lines, `To see it again: npm run explore -- --replay ${text}`].join('\n');
}
