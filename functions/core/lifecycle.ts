import { isDeepStrictEqual } from 'node:util';
import type { OnboardingError } from '../model/errors.ts';
import type { Removal } from '../model/events.ts';
import {
  fingerprintOf,
  judgedAsThen,
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
 * The states of a row and the steps between them, as pure functions. The store's conditional write decides whether a
 * step is applied.
 *
 *     (none) ─claim→ provisioning ─activate→ active ─────────────┐
 *                     │   ↑ └─ leaveInDoubt                       ├─beginRemoval→ deleting ─markRemoved→ removed
 *                     └─ fail → failed ───────────────────────────┘                                         │
 *                         ↑ takeOver                                            beginGeneration ←────────────┘
 */

/** The input of a claim. */
export type Claimant = {
  settings: InstanceSettings;
  origin: string;
  claimId: string;
  nowMs: number;
  /** Until when this claim's invocation may send a create. */
  sendDeadline: number;
  /** Retries the row's earlier request, and keeps its time. */
  isRetry?: boolean | undefined;
};

/** A new claim. Over a tombstone it begins a new generation and keeps the history of requests and removals. */
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
    ...(before && historyOf(before)),
    ...(before && isRetry ? requestFieldsOf(before) : requestedAt(before, requested)),
    registration: registrationOf({ requestedBy }) ?? (before && inheritedRegistration(before)),
    requestedBy,
    createdAt: nowMs,
    updatedAt: nowMs,
    checkAt: nowMs + leaseMs,
  };
}

/** Fields kept through every state and generation. */
function historyOf(row: InstanceRow) {
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

const requestFieldsOf = ({ requestedAt: at, requestedTimes }: InstanceRow) => ({
  requestedAt: at,
  requestedTimes,
});

function requestedAt(before: InstanceRow | undefined, moment: Moment) {
  const requestedTimes = latest(before ? requestedTimesOf(before) : {}, moment);
  return { requestedTimes, requestedAt: latestAt(requestedTimes) ?? moment.at };
}

/** Marks a tombstone's registration as that of the removed instance. */
function inheritedRegistration(row: InstanceRow): Registration | undefined {
  const registration = registrationOf(row);
  return registration && row.status === 'removed' ? { ...registration, isOfFormer: true } : registration;
}

/** The next `revision`: greater than every earlier one, across generations. */
export const nextRevision = (row: Pick<InstanceRow, 'revision'>, nowMs: number): number =>
  Math.max((row.revision ?? 0) + 1, nowMs);

/** The provenance that a row stores. */
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
  /** The event precedes its instance's removal. `isRepeat`: its result was published before. */
  | { kind: 'outdated'; isRepeat: boolean }
  | { kind: 'in-progress'; retryAfterMs: number }
  | {
      kind: 'take-over';
      /**
       * `nothing`: no instance exists. `to-adopt`, `to-remove`: one may exist. `removed`: a new generation begins.
       */
      earlier: 'nothing' | 'to-adopt' | 'to-remove' | 'removed';
      /** Set only if the claim begins a new generation: the earlier ones to remember. */
      formers?: Former[];
      /** Every create that earlier claims sent has taken effect by now or never will. */
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
    const isSatisfied =
      sameSettings ||
      (requestedBy !== undefined && (isAnswered(row, requestedBy) || acceptsAnySettings(row, requestedBy)));
    return { kind: isSatisfied ? 'replay' : 'settings-conflict' };
  }
  if (row.status === 'provisioning' && !sameSettings) return { kind: 'busy-with-other-settings' };
  if (isLeased(row, nowMs)) return { kind: 'in-progress', retryAfterMs: row.leaseExpiresAt - nowMs };
  if (row.importing) return decideImport(row, row.importing, { origin, nowMs });
  // Matters to failed rows alone: a late instance of one must not be adopted, because its configuration may differ.
  const needsNewGeneration = row.source === undefined || !sameSettings;
  if (!isUncertain(row)) {
    const decision = { kind: 'take-over', earlier: 'nothing', mayCreate: true } as const;
    return needsNewGeneration ? inNewGeneration(row, decision, nowMs) : decision;
  }

  // An empty look-up at one base URL says nothing about another.
  if (row.origin !== origin) return { kind: 'origin-changed' };
  const quietMs = row.sendDeadline + quiescenceMs - nowMs;
  if (row.status === 'provisioning')
    return { kind: 'take-over', earlier: 'to-adopt', mayCreate: quietMs <= 0 };
  // The requester got a failure as response, and the settings may have changed since.
  if (quietMs > 0) return { kind: 'in-progress', retryAfterMs: quietMs };
  const decision = { kind: 'take-over', earlier: 'to-remove', mayCreate: true } as const;
  return needsNewGeneration ? inNewGeneration(row, decision, nowMs) : decision;
}

/** Of an unfinished import whose lease has ended: the same import continues it, unless it is being undone. */
function decideImport(
  row: InstanceRow,
  { isEnding }: NonNullable<InstanceRow['importing']>,
  { origin, nowMs }: Pick<Claimant, 'origin' | 'nowMs'>,
): Decision {
  if (isEnding) return { kind: 'in-progress', retryAfterMs: Math.max(0, (row.checkAt ?? nowMs) - nowMs) };
  const isHere = row.origin === origin;
  return isHere ? { kind: 'take-over', earlier: 'to-adopt', mayCreate: false } : { kind: 'origin-changed' };
}

/**
 * Rows of earlier versions have no source, which matches any. Two imports of one instance are the same, also after its
 * name and tags were changed; an import is never the same as an ordinary request.
 */
function isSameRequest(row: InstanceRow, settings: InstanceSettings): boolean {
  const { importedId } = settings;
  if (importedId !== undefined) {
    return importedId === (row.status === 'active' ? row.instanceId : row.importing && row.importedId);
  }
  const isOfSameSource = row.source === settings.source && row.requestDigest === settings.requestDigest;
  const isOfSameSettings =
    row.fingerprint === settings.fingerprint ||
    // Earlier versions did not compare names and tags in NFC.
    fingerprintOf(row) === settings.fingerprint;
  if (isOfSameSettings && (row.source === undefined || isOfSameSource)) return true;
  if (row.source !== 'request' || settings.source !== 'request') return false;
  const then = judgedAsThen(row, settings);
  return row.fingerprint === then.fingerprint && row.requestDigest === then.requestDigest;
}

/**
 * The toolkit's requests say nothing of settings: any instance fulfills them, unless a request has
 * configured it. Rows of earlier versions do not record that.
 */
function acceptsAnySettings(row: InstanceRow, requestedBy: EventOrigin): boolean {
  return requestedBy.dialect !== 'native' && row.source !== 'request';
}

/**
 * The claim begins a generation of its own; while the row remembers too many earlier ones it waits for their recheck.
 */
function inNewGeneration(
  row: InstanceRow,
  decision: Extract<Decision, { kind: 'take-over' }>,
  nowMs: number,
): Decision {
  const { provisionId, createdAt, origin } = row;
  const name = row.createdName ?? row.name;
  const formers = [...(row.formers ?? [])];
  // A tombstone without `checkAt` has been rechecked.
  if (row.inDoubt && (row.status !== 'removed' || row.checkAt !== undefined))
    formers.push({ provisionId, name, createdAt, origin });
  if (formers.length <= maxFormers) return { ...decision, formers };
  // A tombstone must not be returned as the instance.
  if (row.status === 'removed') return { kind: 'being-deleted' };
  return { kind: 'in-progress', retryAfterMs: Math.max(0, (row.checkAt ?? nowMs) - nowMs) };
}

export const isLeased = ({ leaseExpiresAt }: InstanceRow, nowMs: number): boolean => leaseExpiresAt > nowMs;

/**
 * Whether Cloud Elements may hold an instance that the row does not record, as after any unfinished claim but that of
 * an import, which creates nothing.
 */
export function isUncertain(row: InstanceRow): boolean {
  return row.inDoubt || (row.status === 'provisioning' && !row.importing);
}

/** Has the row answered this event, or another one of the same registration? Then a redelivery changes nothing. */
export function isAnswered(row: InstanceRow, requestedBy: EventOrigin): boolean {
  const isOfFormer = registrationOf(row)?.isOfFormer ?? false;
  return (isOfRegistration(row, requestedBy) && !isOfFormer) || isEventAnswered(row, requestedBy);
}

/** Whether this generation has had a result; also true for rows of earlier versions, which do not record it. */
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

/** Has nothing but a check of health written the row since it was read? */
export function isSameButHealth(row: InstanceRow, current: InstanceRow): boolean {
  const written = healthIn(current);
  return isDeepStrictEqual({ ...row, ...written }, { ...current, ...written });
}

/** What a check of health writes. */
export const healthIn = ({ claimId, health, healthCheckAt, revision }: InstanceRow) => ({
  claimId,
  health,
  healthCheckAt,
  revision,
});

/** The row with a new lease. */
export function lease(
  row: InstanceRow,
  { claimId, nowMs }: Pick<Claimant, 'claimId' | 'nowMs'>,
  { leaseMs }: Timing,
): InstanceRow {
  return { ...row, claimId, leaseExpiresAt: nowMs + leaseMs };
}

/** The row with its lease ended. `checkAt`: when the reconciler checks it next, if at all. */
export function release(row: InstanceRow, checkAt: number | undefined): InstanceRow {
  return { ...row, leaseExpiresAt: 0, checkAt };
}

/**
 * Keeps generation, creation date and doubt; moves the send deadline only if it may create. An unfinished
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

/** A claim that begins a new generation, over a row that has failed or was removed. */
export function beginGeneration(
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

/** The claim of an import, over no row or one that has failed or was removed, which returns if it cannot be finished. */
export function beginImport(
  before: InstanceRow | undefined,
  claimant: Claimant,
  generation: { provisionId: string; formers: readonly Former[] },
  timing: Timing,
): InstanceRow {
  const begun = before
    ? beginGeneration(before, claimant, generation, timing)
    : claim(claimant, generation.provisionId, timing);
  return {
    ...begun,
    v: 'import',
    inDoubt: false,
    importedId: claimant.settings.importedId,
    importing: before ? { before } : {},
  };
}

/** The claim of the same import again: its tenant has requested the instance once more. */
export function continueImport(
  row: InstanceRow,
  by: Pick<Claimant, 'claimId' | 'nowMs'>,
  timing: Timing,
): InstanceRow {
  const leased = lease(row, by, timing);
  return {
    ...leased,
    ...requestedAt(row, { clock: 'own', at: by.nowMs }),
    checkAt: leased.leaseExpiresAt,
  };
}

/** The row of an import that has come to its end. */
const withoutImport = (row: InstanceRow): InstanceRow => ({ ...row, v: 1, importing: undefined });

/** The imported instance as Cloud Elements has shown it. `tags`: without markers. */
export function activateImport(
  row: InstanceRow,
  shown: { name: string; tags: string[] },
  instance: { instanceId: number; token: Uint8Array },
  nowMs: number,
  timing: Timing,
): InstanceRow {
  const settled = { ...withoutImport(row), ...shown };
  return activate({ ...settled, fingerprint: fingerprintOf(settled) }, instance, nowMs, timing);
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
    healthCheckAt: nowMs,
    revision: nextRevision(row, nowMs),
    updatedAt: nowMs,
  };
}

/**
 * The same instance, requested once more by an event, whose result is published. Takes a new fencing token, so that
 * earlier readers, a removal for instance, must read the row again.
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
    revision: nextRevision(row, nowMs),
  };
}

/** Records an event that changes nothing else, so that its result is published. Takes a new fencing token. */
export function withNotice(row: InstanceRow, notice: Notice, claimId: string): InstanceRow {
  const notices = [...(row.notices ?? []), notice].slice(-maxNotices);
  return { ...row, claimId, notices, revision: nextRevision(row, notice.at) };
}

/** Marks the row failed. `sendDeadline`: that of the last create that may have been sent. */
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
    revision: nextRevision(row, nowMs),
  };
}

/** The instance may exist: the next claim, or the reconciler, looks it up. */
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

/**
 * The row as before the claim, with the claim's fencing token, so that a late write of an earlier claim stays refused.
 */
export function restore(row: InstanceRow, before: InstanceRow): InstanceRow {
  return { ...before, claimId: row.claimId, leaseExpiresAt: 0, revision: row.revision };
}

/** From here on the token cannot be read. The row stays until Cloud Elements has deleted the instance. */
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
    health: undefined,
    healthCheckAt: undefined,
    expiresAt: undefined,
    updatedAt: by.nowMs,
    checkAt: leased.leaseExpiresAt,
    lookedAt: undefined,
  };
}

/**
 * The times and the event of a removal, merged with the row's earlier ones. A new removal over HTTP does not
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

/** Makes the row a tombstone. */
export function markRemoved(row: InstanceRow, nowMs: number, timing: Timing): InstanceRow {
  return {
    ...withoutImport(release(row, recheckAt(row, nowMs, timing))),
    status: 'removed',
    removingTimes: undefined,
    removingSince: undefined,
    lastError: undefined,
    revision: nextRevision(row, nowMs),
    updatedAt: nowMs,
    expiresAt: Math.ceil((nowMs + timing.tombstoneMs) / 1_000),
  };
}

/** A tombstone that records one removal more, whose result is published. */
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

/** A tombstone where no row existed: an onboarding event that arrives after its removal finds it. */
export function tombstone({ removal, timing, ...by }: NewTombstone): InstanceRow {
  const row = withoutInstance(by);
  return markRemoved({ ...row, ...removedAt(row, removal) }, by.nowMs, timing);
}

/** The tombstone of a whole tenant while its instances are being removed. */
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
