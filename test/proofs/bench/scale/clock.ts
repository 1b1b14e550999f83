/** The clock of the functions, ahead of real time: what lies between two runs takes no time, a run takes its own. */
export type Clock = ReturnType<typeof createClock>;

export function createClock() {
  let aheadMs = 0;
  return {
    now: () => Date.now() + aheadMs,
    aheadMs: () => aheadMs,
    /** Puts the clock forward; never back. */
    advanceTo(time: number): void {
      aheadMs = Math.max(aheadMs, time - Date.now());
    },
  };
}
