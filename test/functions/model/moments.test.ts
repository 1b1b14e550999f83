import { describe, expect, test } from 'vitest';
import {
  areRemovalsCarriedOut,
  areRemovalsOutdated,
  areRequestsOutdated,
  isRequestedAfter,
  isLater,
  isRequestOutdated,
  latest,
  latestAt,
  latestOfAll,
  momentsOf,
  momentsSchema,
  timeSchema,
  type Moment,
} from '../../../functions/model/moments.ts';
import { momentOf } from '../../../functions/model/instance.ts';

const event = (at: number): Moment => ({ clock: 'event', at });
const queue = (at: number): Moment => ({ clock: 'queue', at });
const own = (at: number): Moment => ({ clock: 'own', at });

describe('a request is after a removal', () => {
  test.each([
    ['by one event clock: a second later', event(11_000), event(10_999), true],
    ['by one event clock: in the same second', event(10_999), event(10_000), false],
    ['by one event clock: a second earlier', event(9_000), event(10_000), false],
    ['by our own clock: a second later', own(11_000), own(10_000), true],
    ['by our own clock: in the same second', own(10_900), own(10_000), false],
    ['by the queue’s clock: a second later', queue(11_000), queue(10_999), true],
    ['by our clock and the queue’s: five seconds later', own(15_000), queue(10_000), false],
    ['by the queue’s clock and an event’s: five seconds later', queue(15_000), event(10_000), false],
    ['by two clocks: more than five seconds later', event(15_001), own(10_000), true],
    ['by two clocks: five seconds later', event(15_000), own(10_000), false],
    ['by two clocks, ours later by more than five seconds', own(15_001), event(10_000), true],
    ['by two clocks, ours later by five seconds', own(15_000), event(10_000), false],
    ['by two clocks: earlier', own(5_000), event(10_000), false],
  ])('a request compared with a removal %s', (_how, requested, removal, isAfter) => {
    expect(isRequestedAfter(requested, removal)).toBe(isAfter);
  });
});

describe('a removal', () => {
  test('a removal is outdated when a request is later by either clock', () => {
    expect(areRemovalsOutdated({ event: 10_000 }, { event: 11_000 })).toBe(true);
    expect(areRemovalsOutdated({ event: 10_000 }, { event: 9_000, own: 15_001 })).toBe(true);
    expect(areRemovalsOutdated({ event: 10_000 }, { event: 9_000, own: 15_000 })).toBe(false);
    expect(areRemovalsOutdated({ event: 10_000 }, {})).toBe(false);
  });

  test('a removal with times of two clocks is outdated only when both are', () => {
    expect(areRemovalsOutdated({ event: 10_000, own: 30_000 }, { event: 11_000 })).toBe(false);
    expect(areRemovalsOutdated({ event: 10_000, own: 30_000 }, { own: 31_000 })).toBe(true);
  });

  test('a removal at or before a remembered one counts as carried out', () => {
    expect(areRemovalsCarriedOut({ event: 10_000 }, { event: 11_000 })).toBe(true);
    expect(areRemovalsCarriedOut({ event: 10_000 }, { event: 10_000 })).toBe(false);
    expect(areRemovalsCarriedOut({ event: 10_000 }, { own: 15_001 })).toBe(true);
    expect(areRemovalsCarriedOut({ event: 10_000 }, { own: 15_000 })).toBe(false);
    expect(areRemovalsCarriedOut({ event: 10_000 }, {})).toBe(false);
    expect(areRemovalsCarriedOut({ event: 10_000, own: 30_000 }, { event: 11_000 })).toBe(false);
  });
});

test('a request is outdated unless it is after the removals by both clocks', () => {
  expect(isRequestOutdated(event(20_000), {})).toBe(false);
  expect(isRequestOutdated(event(20_000), { event: 10_000, own: 10_000 })).toBe(false);
  expect(isRequestOutdated(event(20_000), { event: 20_000, own: 10_000 })).toBe(true);
  expect(isRequestOutdated(event(20_000), { event: 10_000, own: 15_000 })).toBe(true);
});

test('requests by two clocks are outdated only when both are', () => {
  expect(areRequestsOutdated({ event: 9_000, own: 30_000 }, { event: 10_000 })).toBe(false);
  expect(areRequestsOutdated({ event: 9_000, own: 12_000 }, { event: 10_000 })).toBe(true);
});

test('an event whose sender’s clock is ahead counts by the queue’s clock', () => {
  const sent = { dialect: 'native', eventId: 'e-1', sentAt: 10_000 } as const;
  expect(momentOf(sent)).toEqual(event(10_000));
  expect(momentOf({ ...sent, isCut: true })).toEqual(queue(10_000));
});

test('request times are kept per clock and only move forward', () => {
  expect(latest({ event: 5, own: 7 }, event(6))).toEqual({ event: 6, own: 7 });
  expect(latest({ event: 5, own: 7 }, own(6))).toEqual({ event: 5, own: 7 });
  expect(latestOfAll({ event: 5 }, { event: 4, own: 9 })).toEqual({ event: 5, own: 9 });
  expect(isLater({ event: 5 }, { event: 5, own: 1 })).toBe(false);
  expect(isLater({ event: 5, own: 2 }, { event: 5, own: 1 })).toBe(true);
  expect(isLater({ event: 5, own: 1 }, { event: 5 })).toBe(true);
  expect(latestAt({ event: 5, own: 7 })).toBe(7);
  expect(latestAt({ event: 5 })).toBe(5);
  expect(latestAt({})).toBeUndefined();
});

test('a single moment is the only one', () => {
  expect(momentsOf(queue(5))).toEqual({ queue: 5 });
});

test('a moment by each clock is read as it was stored', () => {
  const moments = { event: 1, queue: 2, own: 3 };
  expect(momentsSchema.parse(moments)).toEqual(moments);
  expect(momentsSchema.parse({})).toEqual({});
  expect(momentsSchema.safeParse({ own: 'now' }).success).toBe(false);
});

test('a time is one that a date can have', () => {
  for (const at of [-8.64e15, 0, 8.64e15]) expect(timeSchema.parse(at)).toBe(at);
  for (const at of [-8.64e15 - 1, 8.64e15 + 1, 0.5]) expect(timeSchema.safeParse(at).success).toBe(false);
});
