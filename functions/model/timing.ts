/**
 * Every period of the protocol, in milliseconds. They hang together: each is derived from the ones above it, and
 * `infra/stack.ts` takes the deployed limits from here, so that none can be changed alone.
 */

/** API Gateway's limit for an HTTP API integration (fixed by AWS). */
export const gatewayTimeoutMs = 30_000;

/** Lambda ends an invocation here: before the gateway gives up, so that the caller gets our answer and not its own. */
export const functionTimeoutMs = gatewayTimeoutMs - 1_000;

/** Kept free at the end of an invocation: encrypting the token, writing the row, and one repeat of each. */
export const commitReserveMs = 4_000;

/** A look-up or a delete at Cloud Elements. */
export const lookUpTimeoutMs = 5_000;

/** For the claim's two writes and the secrets, before anything is sent. */
export const claimReserveMs = 3_000;

/**
 * One `POST /instances`, everything included: the time left after a look-up. Cloud Elements calls the
 * provider while we wait; sequences of 10 to 30 seconds are on record. What takes longer is looked up afterwards.
 */
export const createTimeoutMs = functionTimeoutMs - claimReserveMs - lookUpTimeoutMs - commitReserveMs;

/** How far the clocks of two Lambda hosts may differ. NTP keeps them within milliseconds; this is generous. */
export const clockSkewMs = 5_000;

/** A claim is exclusive for this long. Its invocation has been ended by then, by any host's clock. */
export const leaseMs = functionTimeoutMs + clockSkewMs;

/**
 * Assumed: Cloud Elements has applied a create, and lists it, this long after the last byte was sent, or never will.
 */
export const slowestCreateMs = 120_000;

/** After a `sendDeadline` and this period, an empty look-up proves that nothing was created. */
export const quiescenceMs = slowestCreateMs + clockSkewMs;

/** AWS: a queue's visibility time-out is at least six times its function's time-out. */
export const queueVisibilityMs = 6 * functionTimeoutMs;

/**
 * Deliveries of one message before it is dead: times the visibility, an outage of 29 minutes is survived unattended.
 */
export const queueMaxReceiveCount = 10;

/** A message not handled in this time is dropped by SQS (4 days); a dead one is kept for 14 days, SQS's maximum. */
export const queueRetentionMs = 4 * 24 * 60 * 60 * 1_000;
export const deadLetterRetentionMs = 14 * 24 * 60 * 60 * 1_000;

/** EventBridge tries to reach a queue for this long (its own limit). */
export const busRetentionMs = 24 * 60 * 60 * 1_000;

/** No event of before a removal comes later than this: after the bus, the queue and a redrive from the dead letters. */
export const tombstoneMs = busRetentionMs + queueRetentionMs + deadLetterRetentionMs + 24 * 60 * 60 * 1_000;

/**
 * An onboarding event older than this is ignored for its age alone. A younger one that is older than the tenant's
 * removal always finds the tombstone: the removal came after the event, so its tombstone ends `tombstoneMs` after the
 * event or later, which leaves 12 h for clocks that differ and for the time between this check and the claim.
 * 24 h (bus) + 4 d (queue) + 14 d (dead letters) + 24 h - 12 h = 19.5 d
 */
export const oldestOnboardingMs = tombstoneMs - 12 * 60 * 60 * 1_000;

/**
 * A create of unknown outcome is looked for once more this long after it, in case `slowestCreateMs` was assumed wrong.
 */
export const recheckMs = 60 * 60 * 1_000;

/** Between two tries of the reconciler at a row that it could not settle. */
export const reconcileAgainMs = 5 * 60 * 1_000;

/**
 * An instance that is open for longer is worth a look: several times its usual wait (3 minutes), and enough for some
 * runs of the reconciler.
 */
export const openTooLongMs = 4 * reconcileAgainMs;

/** A failed check of an instance's health is repeated after this long: only a second failure makes it unhealthy. */
export const healthConfirmMs = 5 * 60 * 1_000;

/** Between two checks of an instance that is healthy or unknown. */
export const healthEveryMs = 24 * 60 * 60 * 1_000;

/**
 * Between two checks of an unhealthy instance, in case the vendor has changed its mind. A new key is checked at once.
 */
export const unhealthyEveryMs = 6 * 60 * 60 * 1_000;

/** The vendor behind the element is called while we wait for a ping. */
export const pingTimeoutMs = 10_000;

/** The periods that the protocol itself counts with; tests and slow providers may bring others. */
export const defaultTiming = {
  leaseMs,
  createTimeoutMs,
  lookUpTimeoutMs,
  commitReserveMs,
  quiescenceMs,
  recheckMs,
  reconcileAgainMs,
  tombstoneMs,
  oldestOnboardingMs,
};
export type Timing = typeof defaultTiming;

/** The periods of checks of health. */
export const defaultCheckTiming = {
  lookUpTimeoutMs,
  pingTimeoutMs,
  commitReserveMs,
  healthConfirmMs,
  healthEveryMs,
  unhealthyEveryMs,
  recheckMs,
};
export type CheckTiming = typeof defaultCheckTiming;
