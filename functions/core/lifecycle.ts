import type { OnboardingError } from './errors.ts';
import type { EventOrigin, InstanceKey, InstanceRow, InstanceSettings } from './instance.ts';
import type { Timing } from './timing.ts';

/**
 * The states of a row and the steps between them, as pure functions. Whether a step may be taken is decided by the
 * store's condition on the row as it was read.
 *
 *     (none) ─claim→ provisioning ─activate→ active ─────┐
 *                     │   ↑ └─ park (outcome unknown)    ├─beginRemoval→ deleting ─bury→ removed
 *                     └─ fail → failed ──────────────────┘                                  │
 *                         ↑ take over                            claim, new generation ←────┘
 */

/** What a claim is for and who makes it. */
export type Claimant = {
  settings: InstanceSettings;
  origin: string;
  attemptId: string;
  nowMs: number;
  /** Until when this claim's invocation may send a create. */
  sendDeadline: number;
};

export function claim(
  { settings, origin, attemptId, nowMs, sendDeadline }: Claimant,
  provisionId: string,
  { leaseMs }: Timing,
): InstanceRow {
  return {
    v: 1,
    tenantId: settings.tenantId,
    elementKey: settings.elementKey,
    status: 'provisioning',
    provisionId,
    attemptId,
    leaseExpiresAt: nowMs + leaseMs,
    sendDeadline,
    contested: false,
    origin,
    name: settings.name,
    tags: [...settings.tags],
    fingerprint: settings.fingerprint,
    harmless: settings.harmless,
    askedAt: settings.askedBy?.sentAt ?? nowMs,
    askedBy: settings.askedBy,
    createdAt: nowMs,
    updatedAt: nowMs,
    checkAt: nowMs + leaseMs,
  };
}

/** What a claim may do about a row that is already there. */
export type Verdict =
  | { kind: 'replay' | 'settings-conflict' | 'busy-with-other-settings' | 'being-deleted' | 'origin-changed' }
  /** The event is older than the removal of what it asks for. */
  | { kind: 'outdated' }
  | { kind: 'in-progress'; retryAfterMs: number }
  | {
      kind: 'take-over';
      /**
       * What earlier attempts may have made: nothing, an instance to adopt, one that nobody wants any more; or it was
       * removed, and all begins anew.
       */
      earlier: 'nothing' | 'to-adopt' | 'to-remove' | 'removed';
      /** Whatever earlier attempts sent has taken effect by now or never will. */
      mayCreate: boolean;
    };

export function judge(
  row: InstanceRow,
  { settings, origin, nowMs }: Pick<Claimant, 'settings' | 'origin' | 'nowMs'>,
  { quiescenceMs }: Timing,
): Verdict {
  const { askedBy } = settings;
  const sameSettings = row.fingerprint === settings.fingerprint;
  if (row.status === 'removed') {
    if (askedBy && isBefore(askedBy.sentAt, row.removedAt)) return { kind: 'outdated' };
    return { kind: 'take-over', earlier: 'removed', mayCreate: true };
  }
  if (row.status === 'deleting') return { kind: 'being-deleted' };
  if (row.status === 'active') {
    // The toolkit's requests say nothing of settings: any instance is the one that they ask for.
    const isContent = sameSettings || (askedBy !== undefined && askedBy.dialect !== 'native');
    return { kind: isContent ? 'replay' : 'settings-conflict' };
  }
  if (row.status === 'provisioning' && !sameSettings) return { kind: 'busy-with-other-settings' };
  if (isLeased(row, nowMs)) return { kind: 'in-progress', retryAfterMs: row.leaseExpiresAt - nowMs };
  if (!isUncertain(row)) return { kind: 'take-over', earlier: 'nothing', mayCreate: true };

  // An empty look-up at one Cloud Elements says nothing about another.
  if (row.origin !== origin) return { kind: 'origin-changed' };
  const quietMs = row.sendDeadline + quiescenceMs - nowMs;
  if (row.status === 'provisioning')
    return { kind: 'take-over', earlier: 'to-adopt', mayCreate: quietMs <= 0 };
  // Whoever asked for it was told that it failed, and the settings may have changed since.
  if (quietMs > 0) return { kind: 'in-progress', retryAfterMs: quietMs };
  return { kind: 'take-over', earlier: 'to-remove', mayCreate: true };
}

export const isLeased = ({ leaseExpiresAt }: InstanceRow, nowMs: number): boolean => leaseExpiresAt > nowMs;

/** May an instance of this row exist at Cloud Elements without the row knowing? So it is after any unfinished claim. */
export function isUncertain(row: InstanceRow): boolean {
  return row.contested || row.status === 'provisioning';
}

/** EventBridge tells whole seconds: within the same one nothing is known to be before anything. */
export function isBefore(sentAt: number, at: number | undefined): boolean {
  return at !== undefined && sentAt < Math.floor(at / 1_000) * 1_000;
}

/** Exclusive for a while, and otherwise as it was. */
export function lease(
  row: InstanceRow,
  { attemptId, nowMs }: Pick<Claimant, 'attemptId' | 'nowMs'>,
  { leaseMs }: Timing,
): InstanceRow {
  return { ...row, attemptId, leaseExpiresAt: nowMs + leaseMs };
}

/** Given back. `checkAt`: when the reconciler is to look at it next, if at all. */
export function release(row: InstanceRow, checkAt: number | undefined): InstanceRow {
  return { ...row, leaseExpiresAt: 0, checkAt };
}

/** Generation, creation date and doubts are kept; only a claim entitled to create moves the send deadline. */
export function takeOver(
  row: InstanceRow,
  claimant: Claimant,
  mayCreate: boolean,
  timing: Timing,
): InstanceRow {
  return {
    ...claim(claimant, row.provisionId, timing),
    contested: isUncertain(row),
    instanceId: row.instanceId,
    sendDeadline: mayCreate ? claimant.sendDeadline : row.sendDeadline,
    askedBy: claimant.settings.askedBy ?? row.askedBy,
    createdAt: row.createdAt,
    lastError: row.lastError,
  };
}

export function activate(
  row: InstanceRow,
  instance: { instanceId: number; token: Uint8Array },
  nowMs: number,
  { recheckMs }: Timing,
): InstanceRow {
  const checkAt = row.contested ? nowMs + recheckMs : undefined;
  return { ...release(row, checkAt), ...instance, status: 'active', lastError: undefined, updatedAt: nowMs };
}

/**
 * The same instance, asked for once more by an event that is to be answered. A new fence: who has read the row before,
 * to remove it for instance, is to read it again.
 */
export function askAgain(row: InstanceRow, askedBy: EventOrigin, attemptId: string): InstanceRow {
  return { ...row, attemptId, askedBy, askedAt: Math.max(row.askedAt, askedBy.sentAt) };
}

/** Known not to exist. `sendDeadline`: of whatever was sent before this claim, of which nothing is on its way. */
export function fail(
  row: InstanceRow,
  sendDeadline: number,
  error: OnboardingError,
  nowMs: number,
  { recheckMs }: Timing,
): InstanceRow {
  const checkAt = row.contested ? nowMs + recheckMs : undefined;
  return { ...withError(release(row, checkAt), error, nowMs), status: 'failed', sendDeadline };
}

/** May exist: the next claim, or the reconciler, looks for it. */
export function park(
  row: InstanceRow,
  error: OnboardingError,
  nowMs: number,
  { quiescenceMs }: Timing,
): InstanceRow {
  const checkAt = row.sendDeadline + quiescenceMs;
  return { ...withError(release(row, checkAt), error, nowMs), contested: true };
}

export function withError(row: InstanceRow, error: OnboardingError, nowMs: number): InstanceRow {
  const { code, publicDetail: detail, facts } = error;
  return { ...row, updatedAt: nowMs, lastError: { code, detail, requestId: facts.requestId, at: nowMs } };
}

/** As if this claim had never been made, but for the fence: a late write of an earlier attempt stays refused. */
export function restore(row: InstanceRow, before: InstanceRow): InstanceRow {
  return { ...before, attemptId: row.attemptId, leaseExpiresAt: 0 };
}

/** Who wants an instance removed, and when they asked: ms since the epoch. */
export type Removal = { askedAt: number; askedBy: EventOrigin | undefined };

/** From here on the token cannot be read, and the row stays until Cloud Elements has let the instance go. */
export function beginRemoval(
  row: InstanceRow,
  { askedAt, askedBy }: Removal,
  by: Pick<Claimant, 'attemptId' | 'nowMs'>,
  timing: Timing,
): InstanceRow {
  const leased = lease(row, by, timing);
  return {
    ...leased,
    status: 'deleting',
    contested: isUncertain(row),
    token: undefined,
    askedBy: askedBy ?? row.askedBy,
    removedAt: Math.max(askedAt, row.removedAt ?? 0),
    updatedAt: by.nowMs,
    checkAt: leased.leaseExpiresAt,
  };
}

/** Nothing is left of it but the memory that it was removed. */
export function bury(row: InstanceRow, nowMs: number, { recheckMs, tombstoneMs }: Timing): InstanceRow {
  return {
    ...release(row, row.contested ? nowMs + recheckMs : undefined),
    status: 'removed',
    lastError: undefined,
    updatedAt: nowMs,
    expiresAt: Math.ceil((nowMs + tombstoneMs) / 1_000),
  };
}

/** The tombstone of what never was: an onboarding event that comes after its removal finds it. */
export function tombstone(
  key: InstanceKey,
  { askedAt, askedBy }: Removal,
  ids: { provisionId: string; attemptId: string },
  { origin, nowMs, timing }: { origin: string; nowMs: number; timing: Timing },
): InstanceRow {
  const row: InstanceRow = {
    v: 1,
    tenantId: key.tenantId,
    elementKey: key.elementKey,
    status: 'removed',
    ...ids,
    leaseExpiresAt: 0,
    sendDeadline: 0,
    contested: false,
    origin,
    name: '',
    tags: [],
    fingerprint: '',
    harmless: {},
    askedAt,
    askedBy,
    removedAt: askedAt,
    createdAt: nowMs,
    updatedAt: nowMs,
  };
  return bury(row, nowMs, timing);
}
