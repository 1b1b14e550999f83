import { createClaiming, inProgress, type Provisioned, type Requester } from './claim.ts';
import { createCleaning } from './cleaning.ts';
import { withDefaults } from './defaults.ts';
import {
  activateImport,
  beginImport,
  continueImport as continueClaim,
  decide,
  release,
  restore,
  withError,
} from './lifecycle.ts';
import type { IdHolder, ImportedIds, Ports, ReadOutcome } from './ports.ts';
import * as refusals from './refusals.ts';
import { createRetrying, isUnreadable } from './retrying.ts';
import { createUnmarking } from './unmark.ts';
import { OnboardingError } from '../model/errors.ts';
import { settingsOfImport, type InstanceKey, type InstanceRow } from '../model/instance.ts';
import {
  generationIn,
  isMarker,
  markerTags,
  namesAnother,
  provisionTag,
  withoutMarkers,
} from '../model/markers.ts';

export type ImportInstance = (
  named: InstanceKey & { instanceId: number },
  options: { deadlineAt: number },
) => Promise<Provisioned>;

type ImportPorts = Omit<Ports, 'readTenantSecret' | 'catalog'> & { importedIds: ImportedIds };

/** The instance as Cloud Elements shows it, with all that an import needs of it. */
type Importable = { name: string; tags: readonly string[]; token: string };

/** How far an import has come. */
export type Continued =
  | { kind: 'committed'; row: InstanceRow }
  /** It is continued later, by the same import again or by the reconciler. */
  | { kind: 'open'; row: InstanceRow; error: OnboardingError | undefined }
  /** It cannot be finished: it was given back or, unless `isOver`, is going to be once its markers are surely off. */
  | { kind: 'ended'; row: InstanceRow; error: OnboardingError | undefined; isOver: boolean }
  /** Another claim has the row. */
  | { kind: 'superseded'; current: InstanceRow | undefined };

/** Why it stops. `isSent`: a PATCH of tags may have taken effect, or may still. `isFinal`: a repeat stops, too. */
type Stop = { kind: 'stopped'; row: InstanceRow; error: OnboardingError; isSent: boolean; isFinal: boolean };

/** Tries when rival claims keep ending before this one reads the row. */
const maxTries = 5;

/** Names and tags are kept in the row and in its events, which have limits. Cloud Elements documents none. */
const maxTextBytes = 16 * 1024;

/**
 * Imports an instance that exists at Cloud Elements: nothing is created, its id and token stay, and it is never removed
 * but with the active row that records it. Its tags are replaced by the same ones and the markers of this service.
 *
 * The row is claimed first, then the instance is read and reserved, marked and committed. Until then the row is an
 * unfinished import: it keeps the row that it replaces, no request creates over it, and the reconciler finishes it or
 * takes the markers off and puts the earlier row back.
 */
export function createImporting(ports: ImportPorts): {
  importInstance: ImportInstance;
  continueImport: (row: InstanceRow, deadlineAt: number) => Promise<Continued>;
} {
  const { store, importedIds, cloudElements, cipher, origin, stage, observe, timing, now, newId } =
    withDefaults(ports);
  const cleaning = createCleaning(ports);
  const { read, endClaim } = cleaning;
  const { respondWith } = createClaiming({ ...ports, ...cleaning });
  const unmark = createUnmarking({ ...ports, ...cleaning });
  const withRetries = createRetrying(ports);

  return { importInstance, continueImport };

  async function importInstance(
    { instanceId, ...key }: InstanceKey & { instanceId: number },
    { deadlineAt }: { deadlineAt: number },
  ): Promise<Provisioned> {
    const by: Requester = {
      settings: settingsOfImport(key, instanceId),
      origin,
      nowMs: now(),
      sendDeadline: deadlineAt - timing.commitReserveMs,
    };
    const claimed = await claim(by);
    if ('outcome' in claimed) return claimed;
    const continued = claimed.isContinued
      ? await continueImport(claimed.row, deadlineAt)
      : await begin(claimed.row, deadlineAt);
    return respond(continued, by);
  }

  async function claim(by: Requester): Promise<{ row: InstanceRow; isContinued: boolean } | Provisioned> {
    for (let tries = 0; tries < maxTries; tries++) {
      const provisionId = newId();
      const fresh = beginImport(undefined, { ...by, claimId: newId() }, { provisionId, formers: [] }, timing);
      const { won, current } = await store.claim(fresh);
      if (won) return { row: fresh, isContinued: false };
      if (!current) continue;
      const decision = decide(current, by, timing);
      if (decision.kind !== 'take-over') return respondWith(current, by);
      const claimant = { ...by, claimId: newId() };
      const isContinued = current.importing !== undefined;
      const next = isContinued
        ? continueClaim(current, claimant, timing)
        : beginImport(current, claimant, { provisionId, formers: decision.formers ?? [] }, timing);
      if ((await store.claim(next, current)).won) {
        observe({ kind: 'taken-over', from: current.status }, next);
        return { row: next, isContinued };
      }
    }
    throw refusals.claimedTooOften(by.settings);
  }

  /** The first claim: a stop before a PATCH was sent leaves no trace. */
  async function begin(row: InstanceRow, deadlineAt: number): Promise<Continued> {
    const progress = await proceed(row, deadlineAt);
    if (progress.kind !== 'stopped') return progress;
    const { row: claimed, error, isSent } = progress;
    if (isSent) return leaveInDoubt(claimed, error);
    await giveBack(claimed, error.message);
    return { kind: 'ended', row: claimed, error, isOver: true };
  }

  /** Continues an import that another invocation has begun. `row` is leased by the caller. */
  async function continueImport(row: InstanceRow, deadlineAt: number): Promise<Continued> {
    if (row.importing?.isEnding) return end(row, undefined, deadlineAt);
    const progress = await proceed(row, deadlineAt);
    if (progress.kind !== 'stopped') return progress;
    if (progress.isSent) return leaveInDoubt(progress.row, progress.error);
    if (progress.isFinal) return end(progress.row, progress.error, deadlineAt);
    return leaveOpen(progress.row, progress.error, now() + timing.reconcileAgainMs);
  }

  async function proceed(row: InstanceRow, deadlineAt: number): Promise<Continued | Stop> {
    const stopped = (error: OnboardingError, { isFinal = false, isSent = false } = {}): Stop => ({
      kind: 'stopped',
      row,
      error,
      isFinal,
      isSent,
    });
    const { importedId: instanceId } = row;
    if (instanceId === undefined) return { kind: 'superseded', current: row };
    const untilMs = deadlineAt - timing.commitReserveMs;
    try {
      const timeoutMs = Math.min(timing.lookUpTimeoutMs, untilMs - now());
      const shown = await read({ ...row, instanceId }, { timeoutMs });
      if (shown.kind === 'unknown') return stopped(shown.error ?? refusals.notShown(row, shown.reason));
      const examined = examine(row, instanceId, shown);
      if ('error' in examined) return stopped(examined.error, examined);
      const taken = await takenBy(row, instanceId);
      if (taken) return stopped(taken, { isFinal: true });

      let marked = row;
      if (!examined.isMarked) {
        const importing = withEarlierMarkers(row, examined.importable);
        if (row.sendDeadline < untilMs || importing !== row.importing) {
          // Written before it is sent, because it may take effect late.
          marked = { ...row, importing, sendDeadline: Math.max(row.sendDeadline, untilMs) };
          const written = await store.write(marked, row);
          if (!written.won) return { kind: 'superseded', current: written.current };
        }
        const sent = await mark(marked, instanceId, examined.importable, untilMs);
        if (sent.error) return { ...stopped(sent.error, sent), row: marked };
      }
      return await commit(marked, instanceId, examined.importable);
    } catch (error) {
      if (!(error instanceof OnboardingError)) throw error;
      // Nothing was sent yet: `mark` returns its errors, and `commit` records its own.
      return stopped(error);
    }
  }

  /** Nothing is concluded from silence: an instance that does not show its tags would lose them. */
  function examine(
    row: InstanceRow,
    instanceId: number,
    shown: Exclude<ReadOutcome, { kind: 'unknown' }>,
  ): { importable: Importable; isMarked: boolean } | { error: OnboardingError; isFinal: boolean } {
    if (shown.kind === 'absent') return never(refusals.notAtCloudElements(row, instanceId));
    if (shown.elementKey !== row.elementKey) return never(refusals.otherElement(row, instanceId));
    const { name = row.name, tags, token, fault, elementKey } = shown;
    if (!tags) return notYet(refusals.tagsNotShown(row, instanceId));
    if (namesAnother({ elementKey, tags }, { ...row, owner: stage })) {
      return never(refusals.markedForAnother(row, instanceId));
    }
    const textBytes = Buffer.byteLength([name, ...tags].join(''));
    const isTooLong = textBytes > maxTextBytes ? 'whose name and tags have more than 16 KiB' : undefined;
    const reason = fault ?? isTooLong;
    if (reason !== undefined) return never(refusals.importUnusable(row, instanceId, reason));
    if (token === undefined) return notYet(refusals.tokenNotShown(row, instanceId));
    if (isLeftOver(row, generationIn({ elementKey, tags }))) {
      return never(refusals.leftOver(row, instanceId));
    }
    return {
      importable: { name, tags, token },
      isMarked: markerTags(row, stage).every((tag) => tags.includes(tag)),
    };
  }

  /** Reserves the instance for the row, unless another row records it or imports it. */
  async function takenBy(row: InstanceRow, instanceId: number): Promise<OnboardingError | undefined> {
    const taken = refusals.instanceTaken(row, instanceId);
    for (const key of await importedIds.recordedBy(instanceId)) {
      if (isSameKey(key, row)) continue;
      const other = await store.get(key);
      if (other && other.instanceId === instanceId && other.status !== 'removed') return taken;
    }
    let instead: IdHolder | undefined;
    for (let tries = 0; tries < maxTries; tries++) {
      const result = await importedIds.hold(instanceId, row, instead);
      if (result.held) return undefined;
      instead = result.by;
      if (instead && (await isHolding(instead, instanceId))) return taken;
    }
    return taken;
  }

  /** A generation that has ended never comes back, so its reservation is free. */
  async function isHolding({ provisionId, ...key }: IdHolder, instanceId: number): Promise<boolean> {
    const row = await store.get(key);
    return (
      row !== undefined &&
      row.provisionId === provisionId &&
      row.importedId === instanceId &&
      row.status !== 'removed'
    );
  }

  async function mark(row: InstanceRow, instanceId: number, { tags }: Importable, untilMs: number) {
    const { tenantId, elementKey } = row;
    const wanted = { tags: [...withoutMarkers(tags), ...markerTags(row, stage)] };
    let isSent = false;
    let isFinal = false;
    const { error } = await withRetries(
      (timeoutMs) => cloudElements.update({ tenantId, elementKey, instanceId }, wanted, { timeoutMs }),
      (outcome) => {
        if (outcome.kind === 'updated') return undefined;
        const isInconclusive = outcome.kind === 'unknown' || isUnreadable(outcome);
        isSent ||= isInconclusive;
        isFinal = outcome.kind === 'absent' || (outcome.kind === 'refused' && !isInconclusive);
        const isRetryable =
          isInconclusive || (outcome.kind === 'not-done' && outcome.retryAfterMs !== undefined);
        return { error: refusals.notMarked(row, instanceId, outcome), isRetryable };
      },
      { callMs: timing.createTimeoutMs, untilMs, outOfTime: () => refusals.importOutOfTime(row) },
    );
    return { error, isSent, isFinal };
  }

  async function commit(
    row: InstanceRow,
    instanceId: number,
    { name, tags, token }: Importable,
  ): Promise<Continued> {
    try {
      const sealed = await cipher.encrypt(token, row);
      const shown = { name, tags: withoutMarkers(tags) };
      const active = activateImport(row, shown, { instanceId, token: sealed }, now(), timing);
      const { won, current } = await store.write(active, row);
      if (won) {
        observe({ kind: 'imported', instanceId }, row);
        return { kind: 'committed', row: active };
      }
      const isCommitted = current?.provisionId === row.provisionId && current.status === 'active';
      return isCommitted ? { kind: 'committed', row: current } : { kind: 'superseded', current };
    } catch (error) {
      if (!(error instanceof OnboardingError)) throw error;
      return await leaveOpen(row, refusals.importNotSaved(row, instanceId, error), now());
    }
  }

  async function leaveOpen(row: InstanceRow, error: OnboardingError, checkAt: number) {
    observe({ kind: 'left-open', reason: error.message }, row);
    const left = withError(release(row, checkAt), error, now());
    await endClaim(row, left);
    return { kind: 'open' as const, row: left, error };
  }

  /** A PATCH of tags may have taken effect: the next look shows whether it has. */
  async function leaveInDoubt(row: InstanceRow, error: OnboardingError): Promise<Continued> {
    return { ...(await leaveOpen(row, error, now())), error: undefined };
  }

  /**
   * Takes the markers off again, and gives the claim back when none can appear any more.
   * @param error absent when the import was ending before; the row has the reason then
   */
  async function end(
    row: InstanceRow,
    error: OnboardingError | undefined,
    deadlineAt: number,
  ): Promise<Continued> {
    const ending = { ...row, importing: { ...row.importing, isEnding: true } };
    const unmarked = await unmark(ending, deadlineAt);
    const isOver = unmarked.kind === 'clean';
    if (isOver) {
      await giveBack(row, error?.message ?? row.lastError?.detail ?? 'it cannot be finished');
    } else {
      observe({ kind: 'left-open', reason: unmarked.reason }, row);
      const left = release(unmarked.row, now() + unmarked.delayMs);
      await endClaim(row, error ? withError(left, error, now()) : left);
    }
    return { kind: 'ended', row: ending, error, isOver };
  }

  /** The earlier row as it was, or none. */
  async function giveBack(row: InstanceRow, reason: string): Promise<void> {
    const { importedId: instanceId, importing } = row;
    const before = importing?.before;
    const isWritten = await endClaim(row, before && restore(row, before));
    if (!isWritten || instanceId === undefined) return;
    observe({ kind: 'import-given-back', instanceId, reason }, row);
    try {
      await importedIds.giveBack(instanceId, row);
    } catch (failure) {
      if (!(failure instanceof OnboardingError)) throw failure;
      // The generation has ended, so the next import of the instance replaces it.
      observe({ kind: 'claim-left', reason: failure.message }, row);
    }
  }

  async function respond(continued: Continued, by: Requester): Promise<Provisioned> {
    switch (continued.kind) {
      case 'committed':
        return { outcome: 'created', row: continued.row };
      case 'open':
      case 'ended':
        if (continued.error) throw continued.error;
        return inProgress(continued.row);
      case 'superseded': {
        const { current } = continued;
        if (!current || current.status === 'removed') throw refusals.wasDeleted(by.settings);
        return respondWith(current, by);
      }
    }
  }
}

/** The PATCH of tags replaces the markers that the instance has; they return if the import cannot be finished. */
function withEarlierMarkers(row: InstanceRow, { tags }: Importable): InstanceRow['importing'] {
  const { importing } = row;
  // Markers beside this import's own are from its PATCH.
  if (importing?.markers || tags.includes(provisionTag(row))) return importing;
  const markers = tags.filter(isMarker);
  return markers.length > 0 ? { ...importing, markers } : importing;
}

/** A later try may end otherwise. */
const notYet = (error: OnboardingError) => ({ error, isFinal: false });
const never = (error: OnboardingError) => ({ error, isFinal: true });

/** Of a create whose outcome was unknown: the reconciler removes it, so it must not become the tenant's. */
function isLeftOver({ importing, formers = [] }: InstanceRow, generation: string | undefined): boolean {
  const earlier = [importing?.before?.provisionId, ...formers.map(({ provisionId }) => provisionId)];
  return generation !== undefined && earlier.includes(generation);
}

const isSameKey = (a: InstanceKey, b: InstanceKey): boolean =>
  a.tenantId === b.tenantId && a.elementKey === b.elementKey;
