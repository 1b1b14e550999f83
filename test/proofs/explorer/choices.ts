import { seededRandom } from '../../support/seeded-random.ts';

/** One possible next step. `weight`: its likelihood in random exploration, relative to the others. */
export type Option = { label: string; weight: number };

/** Returns the index of the option taken. Option 0 is always the one without a fault. */
export type Choose = (options: readonly Option[]) => number;

const digits = '0123456789abcdefghijklmnopqrstuvwxyz';

/** A schedule as a string, one character for each choice, without trailing zeros. */
export const encode = (choices: readonly number[]): string =>
  choices
    .map((choice) => digits[choice] ?? '0')
    .join('')
    .replace(/0+$/, '');

/** @throws RangeError if it is no schedule */
export function decode(text: string): number[] {
  return text.split('').map((digit) => {
    const choice = digits.indexOf(digit);
    if (choice === -1) throw new RangeError(`"${digit}" is no choice`);
    return choice;
  });
}

/** Makes the given choices, and then option 0; `trail` records the options. */
export function followChoices(choices: readonly number[]) {
  const trail: { chosen: number; of: number }[] = [];
  const choose: Choose = (options) => {
    const chosen = Math.min(choices[trail.length] ?? 0, options.length - 1);
    trail.push({ chosen, of: options.length });
    return chosen;
  };
  return { choose, trail };
}

/** Weighted, and the same for the same seed. */
export function chooseAtRandom(seed: number) {
  const random = seededRandom(seed);
  const trail: { chosen: number; of: number }[] = [];
  const choose: Choose = (options) => {
    let rest = random.fraction() * options.reduce((sum, { weight }) => sum + weight, 0);
    let chosen = options.findIndex(({ weight }) => (rest -= weight) < 0);
    if (chosen === -1) chosen = 0;
    // A choice beyond the digits could not be replayed.
    chosen = Math.min(chosen, digits.length - 1);
    trail.push({ chosen, of: options.length });
    return chosen;
  };
  return { choose, trail };
}
