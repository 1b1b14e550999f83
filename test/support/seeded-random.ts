export type Random = ReturnType<typeof seededRandom>;

/** Random draws, the same for the same seed. */
export function seededRandom(seed: number) {
  let state = seed;

  /** At least 0, below 1. https://github.com/bryc/code/blob/master/jshash/PRNGs.md#mulberry32 */
  function fraction(): number {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  }

  return {
    fraction,
    /** True with the given probability. */
    chance: (probability: number): boolean => fraction() < probability,
    /** A whole number in the range, both ends included. */
    between: (lowest: number, highest: number): number =>
      lowest + Math.floor(fraction() * (highest - lowest + 1)),
    oneOf<T>(values: readonly [T, ...T[]]): T {
      return values[Math.floor(fraction() * values.length)] ?? values[0];
    },
  };
}
