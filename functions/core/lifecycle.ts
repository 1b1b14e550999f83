import type { OnboardingError } from './errors.ts';
import type { InstanceRow, InstanceSettings } from './instance.ts';
import type { Timing } from './timing.ts';

/**
 * The states of a row and the steps between them, as pure functions. Who may take a step is decided by the store's
 * condition on the row as it was read.
 *
 *     (none) ─claim→ provisioning ─activate→ active
 *                     │   ↑ └─ park (outcome unknown, lease given back)
 *                     └─ fail → failed ─take over→ provisioning
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
    checkAt: nowMs + leaseMs,
    createdAt: nowMs,
    updatedAt: nowMs,
  };
}

/** What a claim may do about a row that is already there. */
export type Verdict =
  | { kind: 'replay' | 'settings-conflict' | 'busy-with-other-settings' | 'being-deleted' | 'origin-changed' }
  | { kind: 'in-progress'; retryAfterMs: number }
  | {
      kind: 'take-over';
      /** What earlier attempts may have made: nothing, an instance to adopt, or one that nobody wants any more. */
      earlier: 'nothing' | 'to-adopt' | 'to-remove';
      /** Whatever earlier attempts sent has taken effect by now or never will. */
      mayCreate: boolean;
    };

export function judge(
  row: InstanceRow,
  { settings, origin, nowMs }: Pick<Claimant, 'settings' | 'origin' | 'nowMs'>,
  { quiescenceMs }: Timing,
): Verdict {
  const sameSettings = row.fingerprint === settings.fingerprint;
  const leased = row.leaseExpiresAt > nowMs;
  if (row.status === 'deleting') return { kind: 'being-deleted' };
  if (row.status === 'active') return { kind: sameSettings ? 'replay' : 'settings-conflict' };
  if (row.status === 'provisioning' && !sameSettings) return { kind: 'busy-with-other-settings' };
  if (leased) return { kind: 'in-progress', retryAfterMs: row.leaseExpiresAt - nowMs };
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

/** May an instance of this row exist at Cloud Elements without the row knowing? So it is after any unfinished claim. */
function isUncertain(row: InstanceRow): boolean {
  return row.contested || row.status === 'provisioning';
}

/** Exclusive for a while, and otherwise as it was. */
export function lease(
  row: InstanceRow,
  { attemptId, nowMs }: Pick<Claimant, 'attemptId' | 'nowMs'>,
  { leaseMs }: Timing,
): InstanceRow {
  return { ...row, attemptId, leaseExpiresAt: nowMs + leaseMs };
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
): InstanceRow {
  return { ...row, ...instance, status: 'active', leaseExpiresAt: 0, lastError: undefined, updatedAt: nowMs };
}

/** Known not to exist. `before`: the row before this claim, whose doubts remain. */
export function fail(
  row: InstanceRow,
  before: InstanceRow | undefined,
  error: OnboardingError,
  nowMs: number,
): InstanceRow {
  return {
    ...endWith(row, error, nowMs),
    status: 'failed',
    // Nothing of this claim is on its way, so what counts is again what came before it.
    sendDeadline: before?.sendDeadline ?? 0,
  };
}

/** May exist: the next claim, or the reconciler, looks for it. */
export function park(row: InstanceRow, error: OnboardingError, nowMs: number): InstanceRow {
  return { ...endWith(row, error, nowMs), contested: true };
}

function endWith(row: InstanceRow, error: OnboardingError, nowMs: number): InstanceRow {
  const lastError = {
    code: error.code,
    detail: error.publicDetail,
    requestId: error.facts.requestId,
    at: nowMs,
  };
  return { ...row, leaseExpiresAt: 0, updatedAt: nowMs, lastError };
}

/** As if this claim had never been made, but for the fence: a late write of an earlier attempt stays refused. */
export function restore(row: InstanceRow, before: InstanceRow): InstanceRow {
  return { ...before, attemptId: row.attemptId, leaseExpiresAt: 0 };
}
