import type { OnboardingError } from '../model/errors.ts';
import type { Removal } from '../model/events.ts';
import {
  fingerprintOf,
  maxFormers,
  maxNotices,
  maxRemovalIds,
  momentOf,
  type EventOrigin,
  type Former,
  type InstanceKey,
  type InstanceRow,
  type InstanceSettings,
  type Notice,
  type Registration,
} from '../model/instance.ts';
import { isRequestOutdated, latest, latestAt, latestOfAll, type Moment } from '../model/moments.ts';
import {
  requestedTimesOf,
  registrationOf,
  removalIdsOf,
  removedByOf,
  removedTimesOf,
} from '../model/row-history.ts';
import type { Timing } from '../model/timing.ts';

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
  claimId: string;
  nowMs: number;
  /** Until when this claim's invocation may send a create. */
  sendDeadline: number;
  /** Retries the row's own request: its time stays. */
  isRetry?: boolean | undefined;
};

/** A first claim; over a tombstone that of a new generation, which keeps the memory of the earlier ones. */
export function claim(
  { settings, origin, claimId, nowMs, sendDeadline, isRetry }: Claimant,
  provisionId: string,
  { leaseMs }: Timing,
  before?: InstanceRow,
): InstanceRow {
  const { requestedBy } = settings;
  const requested: Moment = requestedBy ? momentOf(requestedBy) : { clock: 'own', at: nowMs };
  return {
    v: 1,
    tenantId: settings.tenantId,
    elementKey: settings.elementKey,
    status: 'provisioning',
    provisionId,
    claimId,
    leaseExpiresAt: nowMs + leaseMs,
    sendDeadline,
    inDoubt: false,
    origin,
    name: settings.name,
    tags: [...settings.tags],
    allowListed: settings.allowListed,
    options: settings.options,
    ...provenanceIn(settings),
    ...(before && memoryOf(before)),
    ...(before && isRetry ? requestTimesOf(before) : requestedAt(before, requested)),
    registration: registrationOf({ requestedBy }) ?? (before && inheritedRegistration(before)),
    requestedBy,
    createdAt: nowMs,
    updatedAt: nowMs,
    checkAt: nowMs + leaseMs,
  };
}

/** What no later state and no new generation forgets. */
function memoryOf(row: InstanceRow) {
  const { notices, revision, removedAt: at } = row;
  return {
    notices,
    revision,
    removedAt: at,
    removedTimes: removedTimesOf(row),
    removedBy: removedByOf(row),
    removalIds: removalIdsOf(row),
  };
}

const requestTimesOf = ({ requestedAt: at, requestedTimes }: InstanceRow) => ({
  requestedAt: at,
  requestedTimes,
});

function requestedAt(before: InstanceRow | undefined, moment: Moment) {
  const requestedTimes = latest(before ? requestedTimesOf(before) : {}, moment);
  return { requestedTimes, requestedAt: latestAt(requestedTimes) ?? moment.at };
}

/** Over a tombstone it is the registration of an instance that was removed. */
function inheritedRegistration(row: InstanceRow): Registration | undefined {
  const registration = registrationOf(row);
  return registration && row.status === 'removed' ? { ...registration, isOfFormer: true } : registration;
}

/** Of the write that brings a result: later than that of every result before it, also of an earlier generation. */
export const revised = (row: Pick<InstanceRow, 'revision'>, nowMs: number): number =>
  Math.max((row.revision ?? 0) + 1, nowMs);

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
export type Decision =
  | { kind: 'replay' | 'settings-conflict' | 'busy-with-other-settings' | 'being-deleted' | 'origin-changed' }
  /** The event is not later than the removal of its instance. `isRepeat`: it was answered before that. */
  | { kind: 'outdated'; isRepeat: boolean }
  | { kind: 'in-progress'; retryAfterMs: number }
  | {
      kind: 'take-over';
      /**
       * Result of earlier attempts: no instance, possibly one to adopt, possibly one to remove; or the instance was
       * removed, and a new generation begins.
       */
      earlier: 'nothing' | 'to-adopt' | 'to-remove' | 'removed';
      /** Earlier generations to remember if the claim begins one of its own; absent if it keeps the row's. */
      formers?: Former[];
      /** Every create that earlier attempts sent has taken effect by now or never will. */
      mayCreate: boolean;
    };

export function decide(
  row: InstanceRow,
  { settings, origin, nowMs }: Pick<Claimant, 'settings' | 'origin' | 'nowMs'>,
  { quiescenceMs }: Timing,
): Decision {
  const { requestedBy } = settings;
  const sameSettings = isSameRequest(row, settings);
  if (requestedBy && isRequestOutdated(momentOf(requestedBy), removedTimesOf(row))) {
    const isRepeat = isOfRegistration(row, requestedBy) || isEventAnswered(row, requestedBy);
    return { kind: 'outdated', isRepeat: isRepeat && hasResult(row) };
  }
  if (row.status === 'removed') {
    return inNewGeneration(row, { kind: 'take-over', earlier: 'removed', mayCreate: true }, nowMs);
  }
  if (row.status === 'deleting') return { kind: 'being-deleted' };
  if (row.status === 'active') {
    const isContent =
      sameSettings ||
      (requestedBy !== undefined && (isAnswered(row, requestedBy) || isAnyContent(row, requestedBy)));
    return { kind: isContent ? 'replay' : 'settings-conflict' };
  }
  if (row.status === 'provisioning' && !sameSettings) return { kind: 'busy-with-other-settings' };
  if (isLeased(row, nowMs)) return { kind: 'in-progress', retryAfterMs: row.leaseExpiresAt - nowMs };
  // An instance of the failed row that appears late must not be taken for one with the claim's configuration.
  const isOfOthers = row.status === 'failed' && (row.source === undefined || !sameSettings);
  if (!isUncertain(row)) {
    const decision = { kind: 'take-over', earlier: 'nothing', mayCreate: true } as const;
    return isOfOthers ? inNewGeneration(row, decision, nowMs) : decision;
  }

  // An empty look-up at one Cloud Elements says nothing about another.
  if (row.origin !== origin) return { kind: 'origin-changed' };
  const quietMs = row.sendDeadline + quiescenceMs - nowMs;
  if (row.status === 'provisioning')
    return { kind: 'take-over', earlier: 'to-adopt', mayCreate: quietMs <= 0 };
  // The requester got a failure as answer, and the settings may have changed since.
  if (quietMs > 0) return { kind: 'in-progress', retryAfterMs: quietMs };
  const decision = { kind: 'take-over', earlier: 'to-remove', mayCreate: true } as const;
  return isOfOthers ? inNewGeneration(row, decision, nowMs) : decision;
}

/** A source that is not known, as in rows of earlier versions, may be that of any request. */
function isSameRequest(row: InstanceRow, settings: InstanceSettings): boolean {
  const isOfSameSource = row.source === settings.source && row.requestDigest === settings.requestDigest;
  const isOfSameSettings =
    row.fingerprint === settings.fingerprint ||
    // Earlier versions did not compare names and tags in NFC.
    fingerprintOf(row) === settings.fingerprint;
  return isOfSameSettings && (row.source === undefined || isOfSameSource);
}

/**
 * The toolkit's requests say nothing of settings: any instance fulfills them, unless a request has
 * configured it. Rows of earlier versions do not know that.
 */
function isAnyContent(row: InstanceRow, requestedBy: EventOrigin): boolean {
  return requestedBy.dialect !== 'native' && row.source !== 'request';
}

/** The claim begins a generation of its own; while the row remembers too many earlier ones it waits for their recheck. */
function inNewGeneration(
  row: InstanceRow,
  decision: Extract<Decision, { kind: 'take-over' }>,
  nowMs: number,
): Decision {
  const { provisionId, createdAt, origin } = row;
  const name = row.createdName ?? row.name;
  const formers = [...(row.formers ?? [])];
  // A tombstone without `checkAt` has been looked at again already.
  if (row.inDoubt && (row.status !== 'removed' || row.checkAt !== undefined))
    formers.push({ provisionId, name, createdAt, origin });
  if (formers.length <= maxFormers) return { ...decision, formers };
  // A tombstone is no answer.
  if (row.status === 'removed') return { kind: 'being-deleted' };
  return { kind: 'in-progress', retryAfterMs: Math.max(0, (row.checkAt ?? nowMs) - nowMs) };
}

export const isLeased = ({ leaseExpiresAt }: InstanceRow, nowMs: number): boolean => leaseExpiresAt > nowMs;

/** May an instance of this row exist at Cloud Elements without the row knowing? So it is after any unfinished claim. */
export function isUncertain(row: InstanceRow): boolean {
  return row.inDoubt || row.status === 'provisioning';
}

/** Has the row answered this event, or another one of the same registration? Then a redelivery changes nothing. */
export function isAnswered(row: InstanceRow, requestedBy: EventOrigin): boolean {
  const isOfFormer = registrationOf(row)?.isOfFormer ?? false;
  return (isOfRegistration(row, requestedBy) && !isOfFormer) || isEventAnswered(row, requestedBy);
}

/** Has this generation come to a result, or may it have, as rows of earlier versions do not record? */
const hasResult = ({ requestedTimes, revision = 0, createdAt }: InstanceRow): boolean =>
  requestedTimes === undefined || revision >= createdAt;

function isOfRegistration(row: InstanceRow, { registrationId }: EventOrigin): boolean {
  return registrationId !== undefined && registrationOf(row)?.registrationId === registrationId;
}

export function isEventAnswered(row: InstanceRow, { eventId }: EventOrigin): boolean {
  return (
    row.requestedBy?.eventId === eventId || (row.notices ?? []).some((notice) => notice.eventId === eventId)
  );
}

/** Exclusive for a while, and otherwise as it was. */
export function lease(
  row: InstanceRow,
  { claimId, nowMs }: Pick<Claimant, 'claimId' | 'nowMs'>,
  { leaseMs }: Timing,
): InstanceRow {
  return { ...row, claimId, leaseExpiresAt: nowMs + leaseMs };
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
  return {
    ...claim(claimant, row.provisionId, timing, row),
    ...(isUnknown && {
      source: undefined,
      requestEntries: row.requestEntries,
      requestDigest: undefined,
    }),
    formers: row.formers,
    inDoubt: isUncertain(row),
    instanceId: row.instanceId,
    sendDeadline: mayCreate ? claimant.sendDeadline : row.sendDeadline,
    requestedBy: claimant.settings.requestedBy ?? row.requestedBy,
    createdAt: row.createdAt,
    lastError: row.lastError,
  };
}

/** The claim of a generation of its own, over a row that has failed or was removed. */
export function succeed(
  row: InstanceRow,
  claimant: Claimant,
  { provisionId, formers }: { provisionId: string; formers: readonly Former[] },
  timing: Timing,
): InstanceRow {
  const fresh = claim(claimant, provisionId, timing, row);
  const begun = { ...fresh, formers: formers.length > 0 ? [...formers] : undefined };
  if (row.status === 'removed') return begun;
  return {
    ...begun,
    requestedBy: claimant.settings.requestedBy ?? row.requestedBy,
    createdAt: row.createdAt,
    lastError: row.lastError,
  };
}

/** When the reconciler is to look once more for instances that may appear after all. */
function recheckAt(
  { inDoubt, formers }: InstanceRow,
  nowMs: number,
  { recheckMs }: Timing,
): number | undefined {
  return inDoubt || formers?.length ? nowMs + recheckMs : undefined;
}

export function activate(
  row: InstanceRow,
  instance: { instanceId: number; token: Uint8Array },
  nowMs: number,
  timing: Timing,
): InstanceRow {
  const checkAt = recheckAt(row, nowMs, timing);
  return {
    ...release(row, checkAt),
    ...instance,
    status: 'active',
    lastError: undefined,
    revision: revised(row, nowMs),
    updatedAt: nowMs,
  };
}

/**
 * The same instance, requested once more by an event, which gets its answer. Takes a new fencing token, so that earlier
 * readers, a removal for instance, must read the row again.
 */
export function requestAgain(
  row: InstanceRow,
  requestedBy: EventOrigin,
  { claimId, nowMs }: Pick<Claimant, 'claimId' | 'nowMs'>,
): InstanceRow {
  return {
    ...row,
    ...requestedAt(row, momentOf(requestedBy)),
    claimId,
    requestedBy,
    registration: registrationOf({ requestedBy }) ?? registrationOf(row),
    revision: revised(row, nowMs),
  };
}

/** Answers an event that changes nothing else of the row. With a new fencing token, as above. */
export function withNotice(row: InstanceRow, notice: Notice, claimId: string): InstanceRow {
  const notices = [...(row.notices ?? []), notice].slice(-maxNotices);
  return { ...row, claimId, notices, revision: revised(row, notice.at) };
}

/** The instance does not exist. `sendDeadline` stays that of the previous claim, because this one has no create in flight. */
export function fail(
  row: InstanceRow,
  sendDeadline: number,
  error: OnboardingError,
  nowMs: number,
  timing: Timing,
): InstanceRow {
  const checkAt = recheckAt(row, nowMs, timing);
  return {
    ...withError(release(row, checkAt), error, nowMs),
    status: 'failed',
    sendDeadline,
    revision: revised(row, nowMs),
  };
}

/** May exist: the next claim, or the reconciler, looks for it. */
export function leaveInDoubt(
  row: InstanceRow,
  error: OnboardingError,
  nowMs: number,
  { quiescenceMs }: Timing,
): InstanceRow {
  const checkAt = row.sendDeadline + quiescenceMs;
  return { ...withError(release(row, checkAt), error, nowMs), inDoubt: true };
}

export function withError(row: InstanceRow, error: OnboardingError, nowMs: number): InstanceRow {
  const { code, publicDetail: detail, facts } = error;
  const { requestId, said } = facts;
  return { ...row, updatedAt: nowMs, lastError: { code, detail, requestId, said, at: nowMs } };
}

/** As if this claim had never been made, but for the fence: a late write of an earlier attempt stays refused. */
export function restore(row: InstanceRow, before: InstanceRow): InstanceRow {
  return { ...before, claimId: row.claimId, leaseExpiresAt: 0, revision: row.revision };
}

/** From here on the token cannot be read, and the row stays until Cloud Elements has let the instance go. */
export function beginRemoval(
  row: InstanceRow,
  removal: Removal,
  by: Pick<Claimant, 'claimId' | 'nowMs'>,
  timing: Timing,
): InstanceRow {
  const leased = lease(row, by, timing);
  return {
    ...leased,
    ...removedAt(row, removal),
    removingTimes:
      row.status === 'deleting'
        ? latestOfAll(row.removingTimes ?? removedTimesOf(row), removal.times)
        : removal.times,
    removingSince: row.status === 'deleting' ? (row.removingSince ?? row.updatedAt) : by.nowMs,
    status: 'deleting',
    inDoubt: isUncertain(row),
    token: undefined,
    expiresAt: undefined,
    updatedAt: by.nowMs,
    checkAt: leased.leaseExpiresAt,
    lookedAt: undefined,
  };
}

/**
 * The times and the event of a removal, beside those that the row remembers. A new removal over HTTP does not
 * belong to the event that removed an earlier instance.
 */
function removedAt(row: InstanceRow, { times, by }: Removal) {
  const removedTimes = latestOfAll(removedTimesOf(row), times);
  const isUnderWay = row.status === 'deleting' || row.status === 'removed';
  const removedBy = by ?? (isUnderWay ? removedByOf(row) : undefined);
  const others = removalIdsOf(row).filter((id) => id !== by?.eventId);
  const removalIds = by ? [...others, by.eventId].slice(-maxRemovalIds) : others;
  return { removedTimes, removedAt: latestAt(removedTimes), removedBy, removalIds };
}

/** Nothing is left of it but the memory that it was removed. */
export function markRemoved(row: InstanceRow, nowMs: number, timing: Timing): InstanceRow {
  return {
    ...release(row, recheckAt(row, nowMs, timing)),
    status: 'removed',
    removingTimes: undefined,
    removingSince: undefined,
    lastError: undefined,
    revision: revised(row, nowMs),
    updatedAt: nowMs,
    expiresAt: Math.ceil((nowMs + timing.tombstoneMs) / 1_000),
  };
}

/** A tombstone that remembers one removal more, and answers its event. */
export function rememberRemoval(
  row: InstanceRow,
  removal: Removal,
  { claimId, nowMs }: Pick<Claimant, 'claimId' | 'nowMs'>,
  timing: Timing,
): InstanceRow {
  const { checkAt } = row;
  return { ...markRemoved(row, nowMs, timing), ...removedAt(row, removal), claimId, checkAt };
}

type NewTombstone = {
  key: InstanceKey;
  removal: Removal;
  ids: { provisionId: string; claimId: string };
  origin: string;
  nowMs: number;
  timing: Timing;
};

/** The tombstone of an instance that never was: an onboarding event that comes after its removal finds it. */
export function tombstone({ removal, timing, ...by }: NewTombstone): InstanceRow {
  const row = withoutInstance(by);
  return markRemoved({ ...row, ...removedAt(row, removal) }, by.nowMs, timing);
}

/** The tombstone of a whole tenant as long as its instances are being removed. */
export function tenantTombstone({ removal, timing, ...by }: NewTombstone): InstanceRow {
  return beginRemoval(withoutInstance(by), removal, { ...by.ids, nowMs: by.nowMs }, timing);
}

function withoutInstance({ key, ids, origin, nowMs }: Omit<NewTombstone, 'removal' | 'timing'>): InstanceRow {
  return {
    v: 1,
    tenantId: key.tenantId,
    elementKey: key.elementKey,
    status: 'removed',
    ...ids,
    leaseExpiresAt: 0,
    sendDeadline: 0,
    inDoubt: false,
    origin,
    name: '',
    tags: [],
    fingerprint: '',
    allowListed: {},
    requestedAt: 0,
    requestedTimes: {},
    createdAt: nowMs,
    updatedAt: nowMs,
  };
}
