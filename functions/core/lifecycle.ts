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
    askedBy: settings.askedBy,
    createdAt: nowMs,
    updatedAt: nowMs,
  };
}

/** What a claim may do about a row that is already there. */
export type Verdict =
  | { kind: 'replay' }
  | { kind: 'settings-conflict' }
  | { kind: 'being-deleted' }
  | { kind: 'origin-changed' }
  | { kind: 'in-progress'; retryAfterMs: number }
  /** `mayCreate`: whatever earlier attempts sent has taken effect by now or never will. */
  | { kind: 'take-over'; mayCreate: boolean };

export function judge(
  row: InstanceRow,
  { settings, origin, nowMs }: Omit<Claimant, 'attemptId' | 'sendDeadline'>,
  { quiescenceMs }: Timing,
): Verdict {
  const sameSettings = row.fingerprint === settings.fingerprint;
  const leased = row.leaseExpiresAt > nowMs;
  if (row.status === 'deleting') return { kind: 'being-deleted' };
  if (row.status === 'active') return { kind: sameSettings ? 'replay' : 'settings-conflict' };
  if (row.status === 'provisioning' && !sameSettings) return { kind: 'settings-conflict' };
  if (leased) return { kind: 'in-progress', retryAfterMs: row.leaseExpiresAt - nowMs };

  const uncertain = isUncertain(row);
  // An empty look-up at one Cloud Elements says nothing about another.
  if (uncertain && row.origin !== origin) return { kind: 'origin-changed' };
  const mayCreate = !uncertain || nowMs >= row.sendDeadline + quiescenceMs;
  // What may still appear belongs to the other settings: wait for it before it can be told apart and removed.
  if (!sameSettings && !mayCreate) {
    return { kind: 'in-progress', retryAfterMs: row.sendDeadline + quiescenceMs - nowMs };
  }
  return { kind: 'take-over', mayCreate };
}

/** May an instance of this row exist at Cloud Elements without the row knowing? So it is after any unfinished claim. */
function isUncertain(row: InstanceRow): boolean {
  return row.contested || row.status === 'provisioning';
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
    ...giveBack(row, error, nowMs),
    status: 'failed',
    // Nothing of this claim is on its way, so what counts is again what came before it.
    sendDeadline: before?.sendDeadline ?? 0,
  };
}

/** May exist: the next claim, or the reconciler, looks for it. */
export function park(row: InstanceRow, error: OnboardingError, nowMs: number): InstanceRow {
  return { ...giveBack(row, error, nowMs), contested: true };
}

function giveBack(row: InstanceRow, error: OnboardingError, nowMs: number): InstanceRow {
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
