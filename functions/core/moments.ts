import * as z from 'zod/mini';
import { clockSkewMs } from './timing.ts';

/**
 * A time and the clock that it comes from: `event`, the clock of an event's sender, which no one vouches for; `own`, a
 * clock of this service or of AWS. `at`: ms since the epoch.
 */
export type Moment = { clock: 'event' | 'own'; at: number };

/** The latest moment by each clock. Two clocks are not comparable closely enough to keep one of the two only. */
export const momentsSchema = z.object({ event: z.optional(z.number()), own: z.optional(z.number()) });
export type Moments = z.infer<typeof momentsSchema>;

/** The union of both, the later one by each clock: times only move forward. */
export function latest(moments: Moments, { clock, at }: Moment): Moments {
  return { ...moments, [clock]: Math.max(moments[clock] ?? at, at) };
}

/** Was the instance asked for after this removal? In doubt it was not: the removal wins. */
export function isAskedAfter(asked: Moment, removal: Moment): boolean {
  if (asked.clock !== removal.clock) return asked.at - removal.at > clockSkewMs;
  // EventBridge has whole seconds only: within one of them nothing is known to come first.
  return Math.floor(asked.at / 1_000) > Math.floor(removal.at / 1_000);
}

/** Is a removal older than the latest request for the instance, by either clock? */
export function isRemovalOutdated(removal: Moment, asked: Moments): boolean {
  return listOf(asked).some((each) => isAskedAfter(each, removal));
}

/** Is a request for an instance not clearly after its latest removal, by either clock? */
export function isRequestOutdated(asked: Moment, removals: Moments): boolean {
  return listOf(removals).some((each) => !isAskedAfter(asked, each));
}

/** Is a removal earlier than one that is remembered, and so carried out with it? */
export function isRemovalCarriedOut(removal: Moment, removals: Moments): boolean {
  return listOf(removals).some(
    (each) => each.at - removal.at > (each.clock === removal.clock ? 0 : clockSkewMs),
  );
}

/** The later one of both, ms since the epoch. */
export function latestAt({ event, own }: Moments): number | undefined {
  return event === undefined || own === undefined ? (event ?? own) : Math.max(event, own);
}

function listOf({ event, own }: Moments): Moment[] {
  return [
    ...(event === undefined ? [] : [{ clock: 'event' as const, at: event }]),
    ...(own === undefined ? [] : [{ clock: 'own' as const, at: own }]),
  ];
}
