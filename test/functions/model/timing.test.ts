import { describe, expect, test } from 'vitest';
import * as timing from '../../../functions/model/timing.ts';

/**
 * Limits that the periods of the protocol must respect, written down a second time from their sources, so that a change
 * in `timing.ts` alone fails here.
 */
const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

/** API Gateway's fixed limit for an HTTP API. */
const gatewayMs = 30 * secondMs;
/** Assumed for any two of Lambda's hosts and Cloud Elements. */
const clocksDifferByMs = 5 * secondMs;
const createTakesMs = 2 * minuteMs;
/** One try of a call of AWS. */
const awsTryMs = 1.5 * secondMs;
/** EventBridge, SQS with its default retention, and SQS's longest. */
const busKeepsMs = dayMs;
const queueKeepsMs = 4 * dayMs;
const deadLettersKeepMs = 14 * dayMs;
const oldestMessageMs = busKeepsMs + queueKeepsMs + deadLettersKeepMs;

describe('an invocation', () => {
  test('an invocation ends before the gateway times out, and its lease ends after it by any clock', () => {
    expect(timing.functionTimeoutMs).toBeLessThan(gatewayMs);
    expect(timing.leaseMs).toBeGreaterThanOrEqual(timing.functionTimeoutMs + clocksDifferByMs);
  });

  test('an invocation has time for a claim, a look-up, a create and the commit', () => {
    expect(timing.createTimeoutMs).toBeGreaterThanOrEqual(15 * secondMs);
    expect(timing.lookUpTimeoutMs).toBeGreaterThanOrEqual(5 * secondMs);
    expect(timing.commitReserveMs).toBeGreaterThanOrEqual(2 * awsTryMs);
    expect(
      timing.claimReserveMs + timing.lookUpTimeoutMs + timing.createTimeoutMs + timing.commitReserveMs,
    ).toBeLessThanOrEqual(timing.functionTimeoutMs);
  });
});

describe('a create whose outcome is unknown', () => {
  test('a create of unknown outcome is given up only when it can have no effect any more, by any clock', () => {
    expect(timing.quiescenceMs).toBeGreaterThanOrEqual(createTakesMs + clocksDifferByMs);
  });

  test('a create of unknown outcome is settled before its message becomes a dead letter', () => {
    const triesMs = timing.queueVisibilityMs * (timing.queueMaxReceiveCount - 1);
    expect(timing.leaseMs + timing.quiescenceMs + timing.reconcileAgainMs).toBeLessThan(triesMs);
  });

  test('a create of unknown outcome is rechecked long after its quiescence, within a day', () => {
    expect(timing.recheckMs).toBeGreaterThan(4 * timing.quiescenceMs);
    expect(timing.recheckMs).toBeLessThan(dayMs);
  });
});

test('an update of unknown outcome is over before the message that repeats it becomes a dead letter', () => {
  const triesMs = timing.queueVisibilityMs * (timing.queueMaxReceiveCount - 1);
  expect(timing.functionTimeoutMs + timing.leaseMs + timing.quiescenceMs).toBeLessThan(triesMs);
});

describe('a message', () => {
  test('retention and retries of a message match the settings of SQS and EventBridge', () => {
    expect(timing.busRetentionMs).toBe(busKeepsMs);
    expect(timing.queueRetentionMs).toBe(queueKeepsMs);
    expect(timing.deadLetterRetentionMs).toBe(deadLettersKeepMs);
    expect(timing.queueVisibilityMs).toBeGreaterThanOrEqual(6 * timing.functionTimeoutMs);
    expect(timing.queueVisibilityMs * timing.queueMaxReceiveCount).toBeLessThan(queueKeepsMs);
  });

  test('an onboarding event is accepted at any age that it can reach in the bus, the queue and the dead letters', () => {
    expect(timing.oldestOnboardingMs).toBeGreaterThanOrEqual(oldestMessageMs + 6 * hourMs);
  });

  test('an onboarding event meets the tombstone of a later removal for as long as it is accepted', () => {
    const leftMs = timing.tombstoneMs - timing.oldestOnboardingMs;
    expect(leftMs).toBeGreaterThanOrEqual(6 * hourMs);
    expect(timing.tombstoneMs).toBeLessThanOrEqual(oldestMessageMs + 7 * dayMs);
  });
});

describe('a scheduled look at an instance', () => {
  test('a row that could not be settled is tried again within minutes, several times before it is open for too long', () => {
    expect(timing.reconcileAgainMs).toBeGreaterThanOrEqual(minuteMs);
    expect(timing.reconcileAgainMs).toBeLessThanOrEqual(10 * minuteMs);
    expect(timing.openTooLongMs).toBeGreaterThanOrEqual(3 * timing.reconcileAgainMs);
    expect(timing.openTooLongMs).toBeLessThanOrEqual(hourMs);
  });

  test('a failed check is confirmed within minutes, and an instance is checked about daily, an unhealthy one more often', () => {
    expect(timing.healthConfirmMs).toBeGreaterThanOrEqual(minuteMs);
    expect(timing.healthConfirmMs).toBeLessThan(hourMs);
    expect(timing.unhealthyEveryMs).toBeGreaterThan(hourMs);
    expect(timing.unhealthyEveryMs).toBeLessThan(timing.healthEveryMs);
    expect(timing.healthEveryMs).toBeGreaterThanOrEqual(dayMs / 2);
    expect(timing.healthEveryMs).toBeLessThanOrEqual(2 * dayMs);
  });
});

test('every period that a use case may be given is that of the list unless a test replaces it', () => {
  const { defaultTiming, defaultCheckTiming, ...all } = timing;
  expect(all).toMatchObject({ ...defaultTiming, ...defaultCheckTiming });
  expect([defaultTiming.leaseMs, defaultCheckTiming.pingTimeoutMs]).toEqual([all.leaseMs, all.pingTimeoutMs]);
});
