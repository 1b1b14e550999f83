import { describe, expect, test } from 'vitest';
import { createRetrying, isUnreadable, type FailedCall } from '../../../functions/core/retrying.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { fakePorts } from '../../support/fake-ports.ts';

const error = new OnboardingError('cloud-elements-unreachable', 'No response.');
const failed: FailedCall = { error, isRetryable: true };
const outOfTime = new OnboardingError('out-of-time', 'No time.');

/** Calls with retries for `leftMs`; the calls fail in turn as given, and then succeed. Each takes `callTakesMs`. */
async function call(failures: FailedCall[], { leftMs = 60_000, callMs = 5_000, callTakesMs = 0 } = {}) {
  const { ports, clock } = fakePorts();
  const startedAt = clock.nowMs;
  const calls: { at: number; timeoutMs: number }[] = [];
  const result = await createRetrying(ports)(
    async (timeoutMs) => {
      calls.push({ at: clock.nowMs - startedAt, timeoutMs });
      clock.nowMs += callTakesMs;
      return calls.length - 1;
    },
    (outcome) => failures[outcome],
    { callMs, untilMs: startedAt + leftMs, outOfTime: () => outOfTime },
  );
  return { result, calls, times: calls.map(({ at }) => at), endedAt: clock.nowMs - startedAt };
}

describe('a call that fails', () => {
  test('a call that fails is made again after growing waits, and its outcome returned', async () => {
    const { result, times } = await call([failed, failed, failed, failed]);
    expect(result).toEqual({ outcome: 4 });
    expect(times).toEqual([0, 200, 600, 1_400, 3_000]);
  });

  test('a call that fails is made five times at most, and its last error returned', async () => {
    const last = new OnboardingError('cloud-elements-unreadable', 'Not JSON.');
    const { result, times, endedAt } = await call([
      failed,
      failed,
      failed,
      failed,
      { ...failed, error: last },
    ]);
    expect(result).toEqual({ error: last });
    expect(times).toHaveLength(5);
    expect(endedAt).toBe(times.at(-1));
  });

  test('a call that fails is made once if a repeat would fail, too', async () => {
    const { result, times } = await call([{ error, isRetryable: false }]);
    expect(result).toEqual({ error });
    expect(times).toEqual([0]);
  });

  test('a call that fails is made again no earlier than its error allows', async () => {
    const limited = new OnboardingError('cloud-elements-busy', 'Later.', { retryAfterMs: 900 });
    const { result, times } = await call([{ error: limited, isRetryable: true }]);
    expect(result).toEqual({ outcome: 1 });
    expect(times).toEqual([0, 900]);
  });

  test.each([
    [201, [0, 200], { outcome: 1 }],
    [200, [0], { error }],
  ])(
    'a call that fails is made again only if time is left after the wait: %i ms',
    async (leftMs, expected, result) => {
      const made = await call([failed], { leftMs });
      expect(made.times).toEqual(expected);
      expect(made.result).toEqual(result);
      expect(made.endedAt).toBe(expected.at(-1));
    },
  );
});

test('a call may take as long as one call may, and no longer than the time that is left', async () => {
  const { calls } = await call([failed], { leftMs: 6_000, callTakesMs: 4_000 });
  expect(calls).toEqual([
    { at: 0, timeoutMs: 5_000 },
    { at: 4_200, timeoutMs: 1_800 },
  ]);
});

test.each([0, -1])('a call with %i ms left is not made, and the error says so', async (leftMs) => {
  const { result, calls } = await call([], { leftMs });
  expect(calls).toEqual([]);
  expect(result).toEqual({ error: outOfTime });
});

test.each([
  [{ kind: 'unknown', error: new OnboardingError('cloud-elements-unreadable', 'Not JSON.') }, true],
  [{ kind: 'unknown', error }, false],
  [{ kind: 'unknown', error: { code: 'cloud-elements-unreadable' } }, false],
  [{ kind: 'unknown' }, false],
])('only a response that cannot be read comes from a proxy: %j is one (%s)', (outcome, expected) => {
  expect(isUnreadable(outcome)).toBe(expected);
});
