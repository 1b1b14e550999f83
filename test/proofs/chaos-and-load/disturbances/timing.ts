import type { CheckTiming, Timing } from '../../../../functions/model/timing.ts';

/**
 * Replaces `functions/model/timing.ts` when the functions are bundled for a trial. The periods are shorter than the
 * deployed ones, some of which last hours, and keep the proportions that the protocol depends on. Everything else in the
 * bundles is as deployed.
 */
export const functionTimeoutMs = 2_000;

const commitReserveMs = 500;
const lookUpTimeoutMs = 300;

/** As deployed, an invocation has time for a look-up, a create and the commit; here for more than one create. */
const createTimeoutMs = 400;

/** All processes share one clock, so this only covers a late end of a process. */
export const clockSkewMs = 300;

/** The simulator applies the latest create this long after it has arrived, and lists it this long after that. */
export const latestEffectMs = 500;
export const longestListLagMs = 500;

/**
 * Later than the protocol assumes that a create takes effect, so that another may have been sent meanwhile: that is
 * done 2,000 - 500 + 1,800 = 3,300 ms after the first one's invocation began. But before the row is looked at for the
 * last time, 2,500 ms after that: a create is sent in the first 2,000 - 500 - 400 = 1,100 ms, so this one takes effect
 * after 4,800 ms.
 */
export const tooLateMs = 3_700;

/** The queue of a trial delivers a message as often as it takes. */
export const queueMaxReceiveCount = 1_000;

const quiescenceMs = 1_500 + clockSkewMs;

export const defaultTiming: Timing = {
  leaseMs: functionTimeoutMs + clockSkewMs,
  createTimeoutMs,
  lookUpTimeoutMs,
  commitReserveMs,
  quiescenceMs,
  recheckMs: 2_500,
  reconcileAgainMs: 300,
  tombstoneMs: 60 * 60 * 1_000,
  oldestOnboardingMs: 30 * 60 * 1_000,
};

/** Health is checked as seldom as deployed: it decides nothing here. */
export const healthEveryMs = 24 * 60 * 60 * 1_000;
export const defaultCheckTiming: CheckTiming = {
  lookUpTimeoutMs,
  pingTimeoutMs: lookUpTimeoutMs,
  commitReserveMs,
  healthConfirmMs: 5 * 60 * 1_000,
  healthEveryMs,
  unhealthyEveryMs: healthEveryMs,
  recheckMs: defaultTiming.recheckMs,
};
