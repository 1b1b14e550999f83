import * as z from 'zod/mini';
import { timeSchema } from './moments.ts';

/**
 * Whether an instance works, as checks found it. Reasons are of this closed list, never words of Cloud Elements or of
 * the vendor behind an element.
 */
const unhealthyReasons = [
  /** Cloud Elements denies that there is such an instance. */
  'gone',
  /** Switched off at Cloud Elements. */
  'disabled',
  /** Cloud Elements calls it invalid. */
  'invalid',
  /** The vendor behind the element refuses the stored key. */
  'refused-by-vendor',
] as const;

const unknownReasons = [
  /** One check has failed; the next one decides. */
  'unconfirmed',
  /** The element has no ping. */
  'no-ping',
  /** No response, a server error, a rate limit, or a response that is not Cloud Elements' own. */
  'unreachable',
  /** Cloud Elements itself refuses the ping, for example because the platform's user lacks a right. */
  'refused-by-cloud-elements',
  /** Cloud Elements shows no token to ping with. */
  'no-token',
  /** The instance shows another tenant, stage or element. */
  'not-ours',
  /** The platform's user sees none of several instances: nothing is concluded of one. */
  'not-visible',
  /** Made at another Cloud Elements origin than the stack calls now. */
  'origin-changed',
] as const;

export const healthStatuses = ['healthy', 'unhealthy', 'unknown'] as const;
export const healthReasons = [...unhealthyReasons, ...unknownReasons] as const;

const healthSchema = z.object({
  status: z.enum(healthStatuses),
  /** ms since the epoch */
  since: timeSchema,
  reason: z.optional(z.enum(healthReasons)),
  /** When a check first failed, until the next conclusive one. */
  failedAt: z.optional(timeSchema),
});
export type Health = z.infer<typeof healthSchema>;

/**
 * Undefined for what a later version may have written. Not `z.catch`, with which every bundle would be larger by 5 KB.
 */
export const storedHealthSchema = z.pipe(
  z.unknown(),
  z.transform((stored): Health | undefined => healthSchema.safeParse(stored).data),
);

/** The result of one check. */
export type Finding =
  | { status: 'healthy'; reason?: never }
  | { status: 'unhealthy'; reason: (typeof unhealthyReasons)[number] }
  | {
      status: 'unknown';
      reason: (typeof unknownReasons)[number];
      /** Cloud Elements shows the instance, enabled and valid; only the ping concludes nothing. */
      isShown?: boolean;
    };

/**
 * Two failed checks in a row make an instance unhealthy, one that succeeds makes it healthy, and `unknown` turns
 * nothing. But an instance that was gone, disabled or invalid ceases to be unhealthy once Cloud Elements shows it
 * otherwise: without a ping no check would ever succeed.
 */
export function healthAfter(before: Health | undefined, finding: Finding, nowMs: number): Health {
  const sameSince = before?.status === finding.status ? before.since : nowMs;
  switch (finding.status) {
    case 'healthy':
      return { status: 'healthy', since: sameSince };
    case 'unknown':
      if (before && !isDisproved(before, finding)) {
        // Without a ping only the read can have failed, and now it has succeeded.
        const kept = finding.reason === 'no-ping' ? unconfirmed(before) : before;
        if (kept.status !== 'unknown' || kept.failedAt !== undefined) return kept;
      }
      return { status: 'unknown', since: sameSince, reason: finding.reason };
    case 'unhealthy': {
      const { reason } = finding;
      if (before?.status === 'unhealthy') return { ...before, reason };
      if (before?.failedAt !== undefined) return { status: 'unhealthy', since: before.failedAt, reason };
      if (before?.status === 'healthy') return { ...before, failedAt: nowMs };
      return { status: 'unknown', since: before?.since ?? nowMs, reason: 'unconfirmed', failedAt: nowMs };
    }
  }
}

const isDisproved = (before: Health, { isShown }: { isShown?: boolean }): boolean =>
  before.status === 'unhealthy' && before.reason !== 'refused-by-vendor' && isShown === true;

/** Forgets a failed check, which then does not count together with the next one. */
export const unconfirmed = (health: Health): Health => ({ ...health, failedAt: undefined });

export function healthView({ status, since, reason }: Health) {
  return { status, since: new Date(since).toISOString(), reason };
}
