import { describe, expect, test } from 'vitest';
import * as timing from '../../../functions/model/timing.ts';

/**
 * What the periods of the protocol have to fit, written down a second time and from its sources: a period that is
 * changed in `timing.ts` alone is noticed here.
 */
const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

/** API Gateway's fixed limit for an HTTP API. */
const gatewayMs = 30 * secondMs;
/** Assumed of two Lambda hosts, and of Cloud Elements. */
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
  test('ends before the gateway gives up, and its lease after it has ended by any clock', () => {
    expect(timing.functionTimeoutMs).toBeLessThan(gatewayMs);
    expect(timing.leaseMs).toBeGreaterThanOrEqual(timing.functionTimeoutMs + clocksDifferByMs);
  });

  test('has time for a claim, a look-up, a create and the commit', () => {
    expect(timing.createTimeoutMs).toBeGreaterThanOrEqual(15 * secondMs);
    expect(timing.lookUpTimeoutMs).toBeGreaterThanOrEqual(5 * secondMs);
    expect(timing.commitReserveMs).toBeGreaterThanOrEqual(2 * awsTryMs);
    expect(
      timing.claimReserveMs + timing.lookUpTimeoutMs + timing.createTimeoutMs + timing.commitReserveMs,
    ).toBeLessThanOrEqual(timing.functionTimeoutMs);
  });
});

describe('a create whose outcome is unknown', () => {
  test('is given up only when it can have no effect any more, whatever the clocks', () => {
    expect(timing.quiescenceMs).toBeGreaterThanOrEqual(createTakesMs + clocksDifferByMs);
  });

  test('is settled before the message that asks for it is a dead letter', () => {
    const triesMs = timing.queueVisibilityMs * (timing.queueMaxReceiveCount - 1);
    expect(timing.leaseMs + timing.quiescenceMs + timing.reconcileAgainMs).toBeLessThan(triesMs);
  });

  test('is looked for once more long after that, and before the day is over', () => {
    expect(timing.recheckMs).toBeGreaterThan(4 * timing.quiescenceMs);
    expect(timing.recheckMs).toBeLessThan(dayMs);
  });
});

describe('a message', () => {
  test('is kept and tried as SQS and EventBridge do', () => {
    expect(timing.busRetentionMs).toBe(busKeepsMs);
    expect(timing.queueRetentionMs).toBe(queueKeepsMs);
    expect(timing.deadLetterRetentionMs).toBe(deadLettersKeepMs);
    expect(timing.queueVisibilityMs).toBeGreaterThanOrEqual(6 * timing.functionTimeoutMs);
    expect(timing.queueVisibilityMs * timing.queueMaxReceiveCount).toBeLessThan(queueKeepsMs);
  });

  test('is accepted at the age that it can reach by the bus, the queue and the dead letters', () => {
    expect(timing.oldestOnboardingMs).toBeGreaterThanOrEqual(oldestMessageMs + 6 * hourMs);
  });

  test('meets the tombstone of a removal after it for as long as it is accepted', () => {
    const leftMs = timing.tombstoneMs - timing.oldestOnboardingMs;
    expect(leftMs).toBeGreaterThanOrEqual(6 * hourMs);
    expect(timing.tombstoneMs).toBeLessThanOrEqual(oldestMessageMs + 7 * dayMs);
  });
});

test('the protocol counts with these periods', () => {
  const { defaultTiming, ...all } = timing;
  expect(all).toMatchObject(defaultTiming);
});
