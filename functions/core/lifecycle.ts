import type { OnboardingError } from './errors.ts';
import {
  maxFormerProvisionIds,
  type EventOrigin,
  type InstanceKey,
  type InstanceRow,
  type InstanceSettings,
} from './instance.ts';
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
    harmless: settings.harmless,
    ...provenanceIn(settings),
    askedAt: settings.askedBy?.sentAt ?? nowMs,
    askedBy: settings.askedBy,
    createdAt: nowMs,
    updatedAt: nowMs,
    checkAt: nowMs + leaseMs,
  };
}

/** What a row keeps of where its configuration comes from. */
export const provenanceIn = ({
  fingerprint,
  source,
  requestEntries,
  requestDigest,
}: InstanceSettings): Pick<InstanceRow, 'fingerprint' | 'source' | 'requestEntries' | 'requestDigest'> => ({
  fingerprint,
  source,
  requestEntries,
  requestDigest,
});

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
      /** Earlier generations to remember if the claim begins one of its own; absent if it keeps the row's. */
      formers?: string[];
      /** Whatever earlier attempts sent has taken effect by now or never will. */
      mayCreate: boolean;
    };

export function judge(
  row: InstanceRow,
  { settings, origin, nowMs }: Pick<Claimant, 'settings' | 'origin' | 'nowMs'>,
  { quiescenceMs }: Timing,
): Verdict {
  const { askedBy } = settings;
  const sameSettings = isSameRequest(row, settings);
  if (row.status === 'removed') {
    if (askedBy && isBefore(askedBy.sentAt, row.removedAt)) return { kind: 'outdated' };
    return inNewGeneration(row, { kind: 'take-over', earlier: 'removed', mayCreate: true }, nowMs);
  }
  if (row.status === 'deleting') return { kind: 'being-deleted' };
  if (row.status === 'active') {
    const isContent = sameSettings || isAnswered(row, askedBy) || isAnyContent(row, askedBy);
    return { kind: isContent ? 'replay' : 'settings-conflict' };
  }
  if (row.status === 'provisioning' && !sameSettings) return { kind: 'busy-with-other-settings' };
  if (isLeased(row, nowMs)) return { kind: 'in-progress', retryAfterMs: row.leaseExpiresAt - nowMs };
  // An instance of the failed row that appears late must not be taken for one with the claim's configuration.
  const isOfOthers = row.status === 'failed' && (row.source === undefined || !sameSettings);
  if (!isUncertain(row)) {
    const verdict = { kind: 'take-over', earlier: 'nothing', mayCreate: true } as const;
    return isOfOthers ? inNewGeneration(row, verdict, nowMs) : verdict;
  }

  // An empty look-up at one Cloud Elements says nothing about another.
  if (row.origin !== origin) return { kind: 'origin-changed' };
  const quietMs = row.sendDeadline + quiescenceMs - nowMs;
  if (row.status === 'provisioning')
    return { kind: 'take-over', earlier: 'to-adopt', mayCreate: quietMs <= 0 };
  // Whoever asked for it was told that it failed, and the settings may have changed since.
  if (quietMs > 0) return { kind: 'in-progress', retryAfterMs: quietMs };
  const verdict = { kind: 'take-over', earlier: 'to-remove', mayCreate: true } as const;
  return isOfOthers ? inNewGeneration(row, verdict, nowMs) : verdict;
}

/** A row whose source is not known has the fingerprint of earlier versions, which leaves the source out. */
function isSameRequest(row: InstanceRow, settings: InstanceSettings): boolean {
  return row.fingerprint === (row.source === undefined ? settings.earlierFingerprint : settings.fingerprint);
}

/** The row has answered this very event, or the registration that it belongs to: a redelivery does not ask for more. */
function isAnswered(row: InstanceRow, askedBy: EventOrigin | undefined): boolean {
  if (!askedBy) return false;
  const { eventId, registrationId } = askedBy;
  if (row.askedBy?.eventId === eventId) return true;
  const known = [row.registration?.registrationId, row.askedBy?.registrationId];
  return registrationId !== undefined && known.includes(registrationId);
}

/**
 * The toolkit's requests say nothing of settings: any instance is the one that they ask for, unless a request has
 * configured it. Rows of earlier versions do not know that.
 */
function isAnyContent(row: InstanceRow, askedBy: EventOrigin | undefined): boolean {
  return askedBy !== undefined && askedBy.dialect !== 'native' && row.source !== 'request';
}

/** The claim begins a generation of its own; while the row remembers too many earlier ones it waits for their recheck. */
function inNewGeneration(
  row: InstanceRow,
  verdict: Extract<Verdict, { kind: 'take-over' }>,
  nowMs: number,
): Verdict {
  const formers = [...(row.formerProvisionIds ?? [])];
  // A tombstone without `checkAt` has been looked at again already.
  if (row.contested && (row.status !== 'removed' || row.checkAt !== undefined)) formers.push(row.provisionId);
  if (formers.length <= maxFormerProvisionIds) return { ...verdict, formers };
  return { kind: 'in-progress', retryAfterMs: Math.max(0, (row.checkAt ?? nowMs) - nowMs) };
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

/**
 * Generation, creation date and doubts are kept; only a claim entitled to create moves the send deadline. An unfinished
 * claim whose source is not known stays so, because the instance that is adopted may be of either source.
 */
export function takeOver(
  row: InstanceRow,
  claimant: Claimant,
  mayCreate: boolean,
  timing: Timing,
): InstanceRow {
  const isUnknown = row.status === 'provisioning' && row.source === undefined;
  const { fingerprint, requestEntries } = row;
  return {
    ...claim(claimant, row.provisionId, timing),
    ...(isUnknown && { fingerprint, source: undefined, requestEntries, requestDigest: undefined }),
    formerProvisionIds: row.formerProvisionIds,
    contested: isUncertain(row),
    instanceId: row.instanceId,
    sendDeadline: mayCreate ? claimant.sendDeadline : row.sendDeadline,
    askedBy: claimant.settings.askedBy ?? row.askedBy,
    createdAt: row.createdAt,
    lastError: row.lastError,
  };
}

/** The claim of a generation of its own, over a row that has failed or was removed. */
export function succeed(
  row: InstanceRow,
  claimant: Claimant,
  { provisionId, formers }: { provisionId: string; formers: readonly string[] },
  timing: Timing,
): InstanceRow {
  const fresh = claim(claimant, provisionId, timing);
  const formerProvisionIds = formers.length > 0 ? [...formers] : undefined;
  if (row.status === 'removed') return { ...fresh, formerProvisionIds };
  return {
    ...fresh,
    formerProvisionIds,
    askedBy: claimant.settings.askedBy ?? row.askedBy,
    createdAt: row.createdAt,
    lastError: row.lastError,
  };
}

/** When the reconciler is to look once more for instances that may appear after all. */
function recheckAt(
  { contested, formerProvisionIds }: InstanceRow,
  nowMs: number,
  { recheckMs }: Timing,
): number | undefined {
  return contested || formerProvisionIds?.length ? nowMs + recheckMs : undefined;
}

export function activate(
  row: InstanceRow,
  instance: { instanceId: number; token: Uint8Array },
  nowMs: number,
  timing: Timing,
): InstanceRow {
  const checkAt = recheckAt(row, nowMs, timing);
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
  timing: Timing,
): InstanceRow {
  const checkAt = recheckAt(row, nowMs, timing);
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
export function bury(row: InstanceRow, nowMs: number, timing: Timing): InstanceRow {
  return {
    ...release(row, recheckAt(row, nowMs, timing)),
    status: 'removed',
    lastError: undefined,
    updatedAt: nowMs,
    expiresAt: Math.ceil((nowMs + timing.tombstoneMs) / 1_000),
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
