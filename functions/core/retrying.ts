import { withDefaults } from './defaults.ts';
import type { Ports } from './ports.ts';
import { OnboardingError } from '../model/errors.ts';

export type FailedCall = { error: OnboardingError; isRetryable: boolean };

/** Waits between tries; ended early by the deadline. */
const retryDelaysMs = [200, 400, 800, 1_600];

/** Repeats a call that has failed while that may help and time is left. */
export function createRetrying(ports: Pick<Ports, 'now' | 'sleep'>) {
  const { now, sleep } = withDefaults(ports);
  return async function withRetries<T>(
    call: (timeoutMs: number) => Promise<T>,
    failureOf: (outcome: T) => FailedCall | undefined,
    { callMs, untilMs, outOfTime }: { callMs: number; untilMs: number; outOfTime: () => OnboardingError },
  ): Promise<{ outcome: T; error?: never } | { outcome?: never; error: OnboardingError }> {
    let error: OnboardingError | undefined;
    for (const delayMs of [...retryDelaysMs, undefined]) {
      const timeoutMs = Math.min(callMs, untilMs - now());
      if (timeoutMs <= 0) break;
      const outcome = await call(timeoutMs);
      const failure = failureOf(outcome);
      if (!failure) return { outcome };
      error = failure.error;
      if (!failure.isRetryable || delayMs === undefined) break;
      const waitMs = Math.max(delayMs, error.facts.retryAfterMs ?? 0);
      if (now() + waitMs >= untilMs) break;
      await sleep(waitMs);
    }
    return { error: error ?? outOfTime() };
  };
}

/** A proxy in front of Cloud Elements has answered: a retry may succeed, and the outcome of the call is unknown. */
export const isUnreadable = (outcome: object): boolean =>
  'error' in outcome &&
  outcome.error instanceof OnboardingError &&
  outcome.error.code === 'cloud-elements-unreadable';
