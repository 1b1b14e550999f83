import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import type { Failure, Ports, UnusableInstance, Write } from './ports.ts';
import { assertAllowedFor, configurationFor } from '../model/configuration.ts';
import { OnboardingError } from '../model/errors.ts';
import {
  momentOf,
  type Configuration,
  type Former,
  type InstanceKey,
  type InstanceRow,
  type InstanceSettings,
  type Notice,
} from '../model/instance.ts';
import {
  requestAgain,
  claim,
  fail,
  isAnswered,
  isEventAnswered,
  isLeased,
  decide,
  lease,
  leaveInDoubt,
  provenanceIn,
  restore,
  succeed,
  takeOver,
  withNotice,
  type Claimant,
  type Decision,
} from './lifecycle.ts';
import { requestedTimesOf, registrationOf } from '../model/row-history.ts';
import { momentsOf, type Moments } from '../model/moments.ts';
import { markerTags } from '../model/markers.ts';
import {
  asRead,
  createSettling,
  currentOf,
  heldBy,
  idsOf,
  isNotEmpty,
  wonBy,
  type Found,
  type Settled,
} from './settle.ts';
import { isTenantRemovedSince } from './tenant-tombstone.ts';
import { defaultTiming } from '../model/timing.ts';

export type Provisioned =
  /** `created`: this call made the instance active, by creating it or by finding it. */
  | { outcome: 'created' | 'replayed'; row: InstanceRow }
  /** An event that is not later than the removal of the instance or of the whole tenant: nothing was done. */
  | { outcome: 'outdated'; row: InstanceRow }
  | { outcome: 'in-progress'; row: InstanceRow; retryAfterMs: number };

/** Waits between look-ups after a create whose outcome is unknown; running out of time ends them too. */
const lookUpDelaysMs = [250, 500, 1_000, 2_000, 4_000];

/** Waits before a create that certainly had no effect is sent again; running out of time ends them too. */
const createRetryDelaysMs = [200, 400, 800, 1_600];

/** Of events that repeat each other at the same time each try records one, and so many are worked at once at most. */
const mostRecordTries = 50;

/** Rows that stand in the way and are gone, or were given back, when they are looked at: other claims that come to nothing. */
const mostClaimTries = 5;

/** When to retry while an outcome is unknown: about as long as a slow create takes to show. */
const unknownRetryAfterMs = 5_000;

/** A claim that is held: the row as written, and the one it took over. */
type Held = Pick<Extract<Decision, { kind: 'take-over' }>, 'earlier' | 'mayCreate'> & {
  row: InstanceRow;
  before: InstanceRow | undefined;
};

type Requester = Omit<Claimant, 'claimId'>;

export type Provision = (
  settings: InstanceSettings,
  options: {
    /** When the invocation ends, ms since the epoch. */
    deadlineAt: number;
    /** Leave a `failed` row behind when nothing could be sent, or when it was for such an error: for events. */
    recordRefusal: boolean | ((error: OnboardingError) => boolean);
    /**
     * The failed row that the settings come from: only this row is claimed, as it was read. Time of asking, requester and
     * registration stay, so the retry does not outdate a removal that is under way.
     */
    retryOf?: InstanceRow | undefined;
  },
) => Promise<Provisioned>;

/**
 * Provisions a tenant's instance exactly once, however often and from however many sides it is asked. Cloud Elements
 * has no idempotency of its own, so the row in the store decides who may create, and after a create whose outcome is
 * unknown the instance is looked up by its marker tag before another create may be sent.
 *
 * @returns a function that throws nothing but OnboardingError, unless the code is wrong
 */
export function createProvisioning({
  store,
  cloudElements,
  cipher,
  readTenantSecret,
  origin,
  stage,
  observe,
  timing = defaultTiming,
  now = Date.now,
  sleep = (delayMs) => setTimeout(delayMs),
  newId = randomUUID,
}: Pick<
  Ports,
  | 'store'
  | 'cloudElements'
  | 'cipher'
  | 'readTenantSecret'
  | 'origin'
  | 'stage'
  | 'observe'
  | 'timing'
  | 'now'
  | 'sleep'
  | 'newId'
>): Provision {
  const { lookUp, adopt, commit, removeDuplicate, removeUnusable, endClaim } = createSettling({
    store,
    cloudElements,
    cipher,
    stage,
    observe,
    timing,
    now,
  });

  return async function provision(settings, { deadlineAt, recordRefusal, retryOf }) {
    if (recordRefusal === false) await assertAllowedFor(settings, () => readTenantSecret(settings));
    const { requestedBy } = settings;
    const claimant: Requester = {
      settings,
      origin,
      nowMs: now(),
      sendDeadline: deadlineAt - timing.commitReserveMs,
      isRetry: retryOf !== undefined,
    };
    const claimed = retryOf
      ? await claimFailed(retryOf, claimant, deadlineAt)
      : await claimRow(claimant, deadlineAt);
    if ('outcome' in claimed) return claimed;
    const requested = retryOf ? requestedTimesOf(retryOf) : requestedBy && momentsOf(momentOf(requestedBy));
    if (requested && (await isOutdatedByTenant(claimed, requested))) {
      await endClaim(claimed.row, () => restoreRow(claimed));
      observe({ kind: 'event-ignored', reason: 'the whole tenant was removed' }, claimed.row);
      return { outcome: 'outdated', row: claimed.row };
    }

    if (claimed.earlier === 'to-adopt') {
      const found = await lookUp(claimed.row);
      const settled = found && (await settleFound(claimed.row, found, deadlineAt));
      if (settled) return respondSettled(settled, claimant);
      if (!found || !claimed.mayCreate) {
        await endClaim(claimed.row, () => restoreRow(claimed));
        return waitFor(claimed.row);
      }
    }

    let configuration: Configuration;
    try {
      configuration = await configurationFor(settings, () => readTenantSecret(settings));
    } catch (error) {
      return abandon(claimed, error, recordRefusal);
    }
    const created = await create(claimed, configuration);
    switch (created.kind) {
      case 'created':
        // Of a row whose source was not known this is the first certain instance.
        return respondSettled(
          await commit(claimed.row, created.instance, deadlineAt, provenanceIn(settings)),
          claimant,
        );
      case 'unusable':
        throw await withoutUnusable(claimed.row, [created.instance], deadlineAt);
      case 'unknown':
        return searchAndAdopt(claimed.row, created, claimant, deadlineAt);
      case 'refused':
        throw await recorded(claimed, created.error, recordRefusal !== false);
      case 'not-done':
        return abandon(claimed, created.error, recordRefusal);
    }
  };

  /**
   * Each write takes an id of its own. If one id stood for several, a row that was read after the first of them would
   * look unchanged after the second, although others had written in between.
   */
  function withFreshId(by: Requester): Claimant {
    return { ...by, claimId: newId() };
  }

  /** Read after the claim is written: a removal of the whole tenant that does not see the claim is seen here. */
  async function isOutdatedByTenant(held: Held, requested: Moments): Promise<boolean> {
    const { tenantId } = held.row;
    try {
      return await isTenantRemovedSince(store, tenantId, requested);
    } catch (error) {
      return abandon(held, error, false);
    }
  }

  async function claimRow(request: Requester, deadlineAt: number): Promise<Held | Provisioned> {
    for (let tries = 0; tries < mostClaimTries; tries++) {
      const fresh = claim(withFreshId(request), newId(), timing);
      const inserted = await store.insert(fresh);
      if (wonBy(inserted, fresh)) {
        return { row: fresh, before: undefined, earlier: 'nothing', mayCreate: true };
      }
      const before = currentOf(inserted);
      const taken = before && (await claimOver(before, request, fresh.provisionId, deadlineAt));
      if (taken) return taken;
    }
    throw new OnboardingError(
      'busy-with-other-settings',
      `${nameOf(request.settings)} is requested and given back too often at the moment. Retry later.`,
    );
  }

  /** Claims only that row as it was read; a row that has changed since is looked at again later. */
  async function claimFailed(row: InstanceRow, request: Requester, deadlineAt: number) {
    return (await claimOver(row, request, newId(), deadlineAt)) ?? waitFor(row);
  }

  /** @returns undefined if another claim has come first, and has given the row back or removed it */
  async function claimOver(
    before: InstanceRow,
    request: Requester,
    provisionId: string,
    deadlineAt: number,
  ): Promise<Held | Provisioned | undefined> {
    const decision = decide(before, request, timing);
    if (decision.kind !== 'take-over') return respond(decision, before, request);
    const by = withFreshId(request);
    const { formers } = decision;
    const begun = formers && { provisionId, formers };
    if (decision.earlier === 'to-remove') return takeOverCleaned(before, by, begun, deadlineAt);

    const row = begun ? succeed(before, by, begun, timing) : takeOver(before, by, decision.mayCreate, timing);
    const taken = await store.replace(row, asRead(before));
    if (wonBy(taken, row)) {
      observe({ kind: 'taken-over', from: before.status }, row);
      return { ...decision, row, before };
    }
    const rival = currentOf(taken);
    const standing = rival && decide(rival, request, timing);
    // A rival that has given the row back leaves it for the next.
    return standing && standing.kind !== 'take-over' ? respond(standing, rival, request) : undefined;
  }

  /** The instance as it is. An event that requests it again is recorded, so that it is answered, too. */
  async function replay(row: InstanceRow, by: Requester): Promise<Provisioned> {
    const { requestedBy } = by.settings;
    let current: InstanceRow | undefined = row;
    for (let tries = 0; current && tries < mostRecordTries; tries++) {
      if (decide(current, by, timing).kind !== 'replay') break;
      if (!requestedBy || isEventAnswered(current, requestedBy)) {
        return { outcome: 'replayed', row: current };
      }
      // The holder of the lease writes the row back as it was when it was claimed.
      if (isLeased(current, by.nowMs)) break;
      const requested = requestAgain(current, requestedBy, withFreshId(by));
      const write = await store.replace(requested, asRead(current));
      if (write.won) return { outcome: 'replayed', row: requested };
      current = write.current;
    }
    return waitFor(row);
  }

  /**
   * Takes over a failed row of which something may still exist. That is removed first, while the row is still
   * `failed`: should this claim die in between, the next one does not take it for an instance with its own settings.
   */
  async function takeOverCleaned(
    before: InstanceRow,
    by: Claimant,
    begun: { provisionId: string; formers: Former[] } | undefined,
    deadlineAt: number,
  ) {
    const leased = lease(before, by, timing);
    const taken = await store.replace(leased, asRead(before));
    if (!wonBy(taken, leased)) {
      const current = currentOf(taken);
      if (current?.status === 'removed') throw wasDeleted(current);
      return waitFor(current ?? before);
    }

    const found = await lookUp(leased);
    const removed =
      found && (await Promise.all(idsOf(found).map((id) => removeDuplicate(leased, id, deadlineAt))));
    const isClean = removed?.every(Boolean) ?? false;
    const next = begun ? succeed(leased, by, begun, timing) : takeOver(leased, by, true, timing);
    const row = isClean ? next : restore(leased, before);
    const written = await store.replace(row, heldBy(leased));
    if (!isClean || !wonBy(written, row)) return waitFor(before);
    observe({ kind: 'taken-over', from: before.status }, row);
    return { row, before: leased, earlier: 'nothing' as const, mayCreate: true };
  }

  /** Sends the create, and again only while it is certain that nothing was created and there is time for all of it. */
  async function create({ row }: Held, configuration: Configuration) {
    const instance = {
      tenantId: row.tenantId,
      elementKey: row.elementKey,
      name: row.name,
      tags: [...row.tags, ...markerTags(row, stage)],
      configuration,
      options: row.options,
    };
    const lastStartAt = row.sendDeadline - timing.createTimeoutMs;
    let error: OnboardingError | undefined;
    for (const retryDelayMs of [...createRetryDelaysMs, undefined]) {
      if (now() > lastStartAt) break;
      const outcome = await cloudElements.create(instance, { timeoutMs: timing.createTimeoutMs });
      if (outcome.kind !== 'not-done' || outcome.retryAfterMs === undefined) return outcome;
      error = outcome.error;
      if (retryDelayMs === undefined) break;
      const delayMs = Math.max(retryDelayMs, outcome.retryAfterMs);
      if (now() + delayMs > lastStartAt) break;
      observe({ kind: 'create-retried', reason: error.code }, row);
      await sleep(delayMs);
    }
    return { kind: 'not-done' as const, error: error ?? outOfTime(row) };
  }

  async function searchAndAdopt(
    row: InstanceRow,
    unknown: Unknown,
    by: Requester,
    deadlineAt: number,
  ): Promise<Provisioned> {
    const { reason, requestId } = unknown;
    observe({ kind: 'outcome-unknown', reason, requestId }, row);
    const inDoubt = { ...row, inDoubt: true };
    for (const delayMs of lookUpDelaysMs) {
      const leftMs = row.sendDeadline - now() - delayMs;
      if (leftMs <= 0) break;
      await sleep(delayMs);
      const found = await lookUp(inDoubt, { timeoutMs: Math.min(timing.lookUpTimeoutMs, leftMs) });
      const settled = found && (await settleFound(inDoubt, found, deadlineAt));
      if (settled) return respondSettled(settled, by);
    }
    const leftInDoubt = leaveInDoubt(inDoubt, outcomeUnknown(row, unknown), now(), timing);
    await endClaim(row, () => store.replace(leftInDoubt, heldBy(row)));
    return waitFor(leftInDoubt);
  }

  /** @returns undefined when nothing was found */
  async function settleFound(
    row: InstanceRow,
    { instances, unusable = [] }: Found,
    deadlineAt: number,
  ): Promise<Settled | undefined> {
    if (isNotEmpty(instances)) return adopt(row, instances, deadlineAt, unusable);
    if (isNotEmpty(unusable)) throw await withoutUnusable({ ...row, inDoubt: true }, unusable, deadlineAt);
    return undefined;
  }

  /**
   * Ends a claim whose instance cannot be kept, without one. Another create would come to the same, so that the row
   * records it for every kind of requester.
   * @returns the error to throw
   */
  async function withoutUnusable(
    row: InstanceRow,
    unusable: readonly [UnusableInstance, ...UnusableInstance[]],
    deadlineAt: number,
  ): Promise<OnboardingError> {
    const { error, isLeft } = await removeUnusable(row, unusable, deadlineAt);
    const ended = { ...row, inDoubt: row.inDoubt || isLeft };
    const failed = fail(ended, row.sendDeadline, error, now(), timing);
    let isRecorded = false;
    await endClaim(row, async () => {
      isRecorded = wonBy(await store.replace(failed, heldBy(row)), failed);
    });
    return isRecorded ? error : notRecorded(row, error);
  }

  /** Ends a claim of which nothing is on its way to Cloud Elements. */
  async function abandon(
    held: Held,
    error: unknown,
    recordRefusal: Parameters<Provision>[1]['recordRefusal'],
  ): Promise<never> {
    const isRecorded = typeof recordRefusal === 'boolean' ? () => recordRefusal : recordRefusal;
    if (error instanceof OnboardingError && isRecorded(error)) throw await recorded(held, error, true);
    await endClaim(held.row, () => restoreRow(held));
    throw error;
  }

  /**
   * Records why nothing was made. An event has no other answer: if that fails, its message must come again.
   * @returns the error to throw
   */
  async function recorded({ row, before }: Held, error: OnboardingError, mustBe: boolean) {
    const failed = fail(row, before?.sendDeadline ?? 0, error, now(), timing);
    let isRecorded = false;
    await endClaim(row, async () => {
      isRecorded = wonBy(await store.replace(failed, heldBy(row)), failed);
    });
    return isRecorded || !mustBe || error.retryable ? error : notRecorded(row, error);
  }

  function restoreRow({ row, before }: Held): Promise<Write> {
    return before ? store.replace(restore(row, before), heldBy(row)) : store.remove(row, heldBy(row));
  }

  async function respondSettled(settled: Settled, by: Requester): Promise<Provisioned> {
    switch (settled.kind) {
      case 'committed':
        return { outcome: 'created', row: settled.row };
      case 'left-to-another':
        return waitFor(settled.row);
      case 'superseded':
        if (!settled.row || settled.row.status === 'removed') throw wasDeleted(by.settings);
        return respond(decide(settled.row, { ...by, nowMs: now() }, timing), settled.row, by);
    }
  }

  /** An event that the row would answer, from before the removal of the whole tenant: a request has made the instance since. */
  async function ignoredWithTenant(row: InstanceRow, by: Requester): Promise<Provisioned | undefined> {
    const { requestedBy } = by.settings;
    if (!requestedBy || isEventAnswered(row, requestedBy)) return undefined;
    if (!(await isTenantRemovedSince(store, row.tenantId, momentsOf(momentOf(requestedBy)))))
      return undefined;
    observe({ kind: 'event-ignored', reason: 'the whole tenant was removed' }, row);
    return { outcome: 'outdated', row };
  }

  /** A conflict with the settings of an active row. An event that meets it gets its answer by the table's stream. */
  async function recordedConflict(row: InstanceRow, by: Requester): Promise<OnboardingError> {
    const conflict = new OnboardingError(
      'settings-conflict',
      `${nameOf(row)} exists with another name, other tags or other configuration, or with configuration of ` +
        'another source. Request it with the same settings, or delete it first.',
    );
    const { requestedBy } = by.settings;
    if (!requestedBy || isAnswered(row, requestedBy)) return conflict;
    const notice: Notice = {
      outcome: 'refused',
      eventId: requestedBy.eventId,
      registration: registrationOf({ requestedBy }),
      code: conflict.code,
      detail: conflict.publicDetail,
      at: now(),
    };
    let current: InstanceRow | undefined = row;
    for (let tries = 0; current && tries < mostRecordTries; tries++) {
      if (decide(current, by, timing).kind !== 'settings-conflict' || isLeased(current, now())) break;
      const answered = withNotice(current, notice, newId());
      const write = await store.replace(answered, asRead(current));
      if (wonBy(write, answered)) return conflict;
      current = currentOf(write);
    }
    return new OnboardingError('busy', `${nameOf(row)} is being worked on. Retry later.`);
  }

  async function respond(decision: Decision, row: InstanceRow, by: Requester): Promise<Provisioned> {
    const who = nameOf(row);
    switch (decision.kind) {
      case 'replay':
        return (await ignoredWithTenant(row, by)) ?? replay(row, by);
      case 'outdated':
        if (!decision.isRepeat) observe({ kind: 'event-ignored', reason: 'the instance was removed' }, row);
        return { outcome: 'outdated', row };
      case 'in-progress':
        // A lease lasts half a minute, most creates a second or two.
        return {
          outcome: 'in-progress',
          row,
          retryAfterMs: Math.min(decision.retryAfterMs, unknownRetryAfterMs),
        };
      case 'take-over':
        return waitFor(row);
      case 'settings-conflict': {
        const ignored = await ignoredWithTenant(row, by);
        if (ignored) return ignored;
        throw await recordedConflict(row, by);
      }
      case 'busy-with-other-settings':
        throw new OnboardingError(
          'busy-with-other-settings',
          `${who} is being provisioned with another name, other tags or other configuration. Retry later.`,
        );
      case 'being-deleted':
        throw new OnboardingError('being-deleted', `${who} is being deleted. Retry when it is gone.`);
      case 'origin-changed':
        throw new OnboardingError(
          'origin-changed',
          `${who} was begun at ${row.origin} with an outcome that is not known, and this stack asks ${origin}: ` +
            'point the stack back there until the instance has been settled.',
        );
    }
  }
}

type Unknown = Extract<Failure, { kind: 'unknown' }>;

function waitFor(row: InstanceRow): Provisioned {
  return { outcome: 'in-progress', row, retryAfterMs: unknownRetryAfterMs };
}

/** A tombstone is no answer: it shows the instance that was removed. */
const wasDeleted = (key: InstanceKey): OnboardingError =>
  new OnboardingError('being-deleted', `${nameOf(key)} was deleted meanwhile. Retry.`);

const nameOf = ({ tenantId, elementKey }: InstanceKey): string =>
  `The ${elementKey} instance of tenant ${tenantId}`;

function outOfTime(row: InstanceRow): OnboardingError {
  return new OnboardingError(
    'out-of-time',
    `${nameOf(row)} was not created: not enough time was left to send the create. Retry.`,
  );
}

function notRecorded(row: InstanceRow, { code }: OnboardingError): OnboardingError {
  return new OnboardingError(
    'aws-unavailable',
    `${nameOf(row)} was refused (${code}), which could not be recorded. The event is retried.`,
  );
}

function outcomeUnknown(row: InstanceRow, { reason, requestId, said }: Unknown): OnboardingError {
  return new OnboardingError(
    'outcome-unknown',
    `${nameOf(row)} may or may not exist (${reason}). Retry: it is looked up first.`,
    { requestId, said },
  );
}
