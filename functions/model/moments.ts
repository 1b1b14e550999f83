import * as z from 'zod/mini';
import { clockSkewMs } from './timing.ts';

/**
 * A time and the clock that it comes from: `event`, the clock of an event's sender, which no one vouches for; `queue`,
 * the arrival of an event whose sender's clock was ahead; `own`, that of one of our hosts. `at`: ms since the epoch.
 */
export type Moment = { clock: 'event' | 'queue' | 'own'; at: number };

/** ms since the epoch, within the range of JavaScript's dates: another number makes a row one that cannot be read. */
export const timeSchema = z.int().check(z.minimum(-8.64e15), z.maximum(8.64e15));

/** The latest moment by each clock. Two clocks are not comparable closely enough to keep one of the two only. */
export const momentsSchema = z.object({
  event: z.optional(timeSchema),
  queue: z.optional(timeSchema),
  own: z.optional(timeSchema),
});
export type Moments = z.infer<typeof momentsSchema>;

const clocks = ['event', 'queue', 'own'] as const;

/** Adds a moment to those that are remembered: times only move forward. */
export function latest(moments: Moments, { clock, at }: Moment): Moments {
  return { ...moments, [clock]: Math.max(moments[clock] ?? at, at) };
}

export function latestOfAll(moments: Moments, others: Moments): Moments {
  return listOf(others).reduce(latest, moments);
}

/** Was the instance requested after this removal? In doubt it was not: the removal wins. */
export function isRequestedAfter(requested: Moment, removal: Moment): boolean {
  if (requested.clock !== removal.clock) return requested.at - removal.at > clockSkewMs;
  // EventBridge has whole seconds only: within one of them nothing is known to come first.
  return Math.floor(requested.at / 1_000) > Math.floor(removal.at / 1_000);
}

/** Is every one of these removals older than the latest request for the instance, by either clock? */
export function areRemovalsOutdated(removals: Moments, requested: Moments): boolean {
  return listOf(removals).every((removal) =>
    listOf(requested).some((each) => isRequestedAfter(each, removal)),
  );
}

/** Is a request for an instance not clearly after its latest removal, by either clock? */
export function isRequestOutdated(requested: Moment, removals: Moments): boolean {
  return listOf(removals).some((each) => !isRequestedAfter(requested, each));
}

/** Is none of these requests clearly after the latest removal, by either clock? */
export function areRequestsOutdated(requested: Moments, removals: Moments): boolean {
  return listOf(requested).every((each) => isRequestOutdated(each, removals));
}

/** Is every one of these removals earlier than one that is remembered, and so carried out with it? */
export function areRemovalsCarriedOut(removals: Moments, remembered: Moments): boolean {
  return listOf(removals).every((removal) =>
    listOf(remembered).some(
      (each) => each.at - removal.at > (each.clock === removal.clock ? 0 : clockSkewMs),
    ),
  );
}

/** Is any of these later than the remembered one of its clock? */
export function isLater(moments: Moments, remembered: Moments): boolean {
  return listOf(moments).some(({ clock, at }) => at > (remembered[clock] ?? -Infinity));
}

/** The latest one of all, ms since the epoch. */
export function latestAt(moments: Moments): number | undefined {
  const times = listOf(moments).map(({ at }) => at);
  return times.length === 0 ? undefined : Math.max(...times);
}

export const momentsOf = (moment: Moment): Moments => latest({}, moment);

function listOf(moments: Moments): Moment[] {
  return clocks.flatMap((clock) => {
    const at = moments[clock];
    return at === undefined ? [] : [{ clock, at }];
  });
}
