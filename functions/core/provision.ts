import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import type {
  CloudElements,
  ElementInstance,
  InstanceStore,
  Observe,
  ReadTenantSecret,
  TokenCipher,
  Write,
} from './collaborators.ts';
import { assertAllowed, configurationFor } from './configuration.ts';
import { OnboardingError } from './errors.ts';
import type { Configuration, InstanceRow, InstanceSettings } from './instance.ts';
import { claim, fail, judge, park, restore, takeOver, type Claimant, type Verdict } from './lifecycle.ts';
import { createSettling, heldBy, provisionTag, type Settled } from './settle.ts';
import { defaultTiming, type Timing } from './timing.ts';

export type Provisioned =
  /** `created`: this call made the instance active, by creating it or by finding it. */
  | { outcome: 'created' | 'replayed'; row: InstanceRow }
  | { outcome: 'in-progress'; row: InstanceRow; retryAfterMs: number };

/** Waits between look-ups after a create whose outcome is unknown; running out of time ends them too. */
const lookUpDelaysMs = [250, 500, 1_000, 2_000, 4_000];

/** Waits before sending again what was certainly not created; running out of time ends them too. */
const createRetryDelaysMs = [200, 400, 800, 1_600, 3_200];

/** When to ask again while an outcome is unknown: about as long as a slow create takes to show. */
const unknownRetryAfterMs = 5_000;

/** A claim that is held: the row as written, and the one it took over. */
type Held = { row: InstanceRow; before: InstanceRow | undefined; mayCreate: boolean };

export type Provision = (
  settings: InstanceSettings,
  options: {
    /** When the invocation ends, ms since the epoch. */
    deadlineAt: number;
    /** Leave a `failed` row behind when nothing could be sent: for askers that get no answer. */
    recordRefusal: boolean;
  },
) => Promise<Provisioned>;

/**
 * Provisions a tenant's instance exactly once, however often and from however many sides it is asked. Cloud Elements
 * has no idempotency of its own, so the row in the store decides who may create, and after a create whose outcome is
 * unknown the instance is looked up by its marker tag before another create may be sent.
 *
 * @param origin base URL of Cloud Elements
 * @param stage goes into the tag `owner:<stage>`
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
}: {
  store: InstanceStore;
  cloudElements: CloudElements;
  cipher: TokenCipher;
  readTenantSecret: ReadTenantSecret;
  origin: string;
  stage: string;
  observe: Observe;
  timing?: Timing;
  now?: () => number;
  sleep?: (delayMs: number) => Promise<unknown>;
  newId?: () => string;
}): Provision {
  const { lookUp, adopt, commit, removeSurplus, giveBack } = createSettling({
    store,
    cloudElements,
    cipher,
    observe,
    timing,
    now,
  });

  return async function provision(settings, { deadlineAt, recordRefusal }) {
    if (!recordRefusal) assertAllowed(settings);
    const claimant: Claimant = {
      settings,
      origin,
      attemptId: newId(),
      nowMs: now(),
      sendDeadline: deadlineAt - timing.commitReserveMs,
    };
    const claimed = await claimRow(claimant);
    if ('outcome' in claimed) return claimed;

    const found = claimed.row.contested ? await findEarlier(claimed) : [];
    if (found === 'wait') {
      await giveBack(claimed.row, () => putBack(claimed));
      return { outcome: 'in-progress', row: claimed.row, retryAfterMs: unknownRetryAfterMs };
    }
    if (isNotEmpty(found)) return answerSettled(await adopt(claimed.row, found), claimant);

    let configuration: Configuration;
    try {
      configuration = await configurationFor(settings, () => readTenantSecret(settings));
    } catch (error) {
      return abandon(claimed, error, recordRefusal);
    }
    const created = await create(claimed, configuration);
    switch (created.kind) {
      case 'created':
        return answerSettled(await commit(claimed.row, created.instance), claimant);
      case 'unknown':
        return searchAndAdopt(claimed.row, created, claimant);
      case 'refused':
        await giveBack(claimed.row, () => recordFailure(claimed, created.error));
        throw created.error;
      case 'not-created':
        return abandon(claimed, created.error, recordRefusal);
    }
  };

  async function claimRow(by: Claimant): Promise<Held | Provisioned> {
    const fresh = claim(by, newId(), timing);
    const inserted = await store.insert(fresh);
    if (wonBy(inserted, fresh)) return { row: fresh, before: undefined, mayCreate: true };

    const before = currentOf(inserted, fresh);
    const verdict = judge(before, by, timing);
    if (verdict.kind !== 'take-over') return answer(verdict, before);

    const row = takeOver(before, by, verdict.mayCreate, timing);
    const { status, provisionId, attemptId, leaseExpiresAt } = before;
    const taken = await store.replace(row, { status, provisionId, attemptId, leaseExpiresAt });
    if (wonBy(taken, row)) {
      observe({ kind: 'taken-over', from: status }, row);
      return { row, before, mayCreate: verdict.mayCreate };
    }
    const rival = currentOf(taken, row);
    return answer(judge(rival, by, timing), rival);
  }

  /** What earlier attempts have made, or `wait` while that cannot be told or more may still appear. */
  async function findEarlier({ row, before, mayCreate }: Held): Promise<ElementInstance[] | 'wait'> {
    const instances = await lookUp(row);
    if (!instances) return 'wait';
    if (before?.fingerprint === row.fingerprint)
      return instances.length > 0 || mayCreate ? instances : 'wait';
    // Made with settings that nobody wants any more, and its token was never handed out.
    const removed = await Promise.all(instances.map(({ id }) => removeSurplus(row, id)));
    return removed.every(Boolean) ? [] : 'wait';
  }

  /** Sends the create, and again only while it is certain that nothing was created and there is time for all of it. */
  async function create({ row }: Held, configuration: Configuration) {
    const instance = {
      tenantId: row.tenantId,
      elementKey: row.elementKey,
      name: row.name,
      tags: [...row.tags, `tenant:${row.tenantId}`, provisionTag(row), `owner:${stage}`],
      configuration,
    };
    const lastStartAt = row.sendDeadline - timing.createTimeoutMs;
    let error = outOfTime(row);
    for (const retryDelayMs of createRetryDelaysMs) {
      if (now() > lastStartAt) break;
      const outcome = await cloudElements.create(instance, { timeoutMs: timing.createTimeoutMs });
      if (outcome.kind !== 'not-created' || outcome.retryAfterMs === undefined) return outcome;
      error = outcome.error;
      const delayMs = Math.max(retryDelayMs, outcome.retryAfterMs);
      if (now() + delayMs > lastStartAt) break;
      observe({ kind: 'create-retried', reason: error.code }, row);
      await sleep(delayMs);
    }
    return { kind: 'not-created' as const, error };
  }

  async function searchAndAdopt(
    row: InstanceRow,
    unknown: { reason: string; requestId?: string | undefined },
    by: Claimant,
  ): Promise<Provisioned> {
    observe({ ...unknown, kind: 'outcome-unknown' }, row);
    const contested = { ...row, contested: true };
    for (const delayMs of lookUpDelaysMs) {
      const leftMs = row.sendDeadline - now() - delayMs;
      if (leftMs <= 0) break;
      await sleep(delayMs);
      const found = await lookUp(contested, Math.min(timing.lookUpTimeoutMs, leftMs));
      if (found && isNotEmpty(found)) return answerSettled(await adopt(contested, found), by);
    }
    const parked = park(contested, outcomeUnknown(row, unknown), now());
    await giveBack(row, () => store.replace(parked, heldBy(row)));
    return { outcome: 'in-progress', row: parked, retryAfterMs: unknownRetryAfterMs };
  }

  /** Ends a claim of which nothing is on its way to Cloud Elements. */
  async function abandon(held: Held, error: unknown, recordRefusal: boolean): Promise<never> {
    await giveBack(held.row, () =>
      recordRefusal && error instanceof OnboardingError ? recordFailure(held, error) : putBack(held),
    );
    throw error;
  }

  function recordFailure({ row, before }: Held, error: OnboardingError): Promise<Write> {
    return store.replace(fail(row, before, error, now()), heldBy(row));
  }

  function putBack({ row, before }: Held): Promise<Write> {
    return before ? store.replace(restore(row, before), heldBy(row)) : store.remove(row, heldBy(row));
  }

  function answerSettled(settled: Settled, by: Claimant): Provisioned {
    switch (settled.kind) {
      case 'committed':
        return { outcome: 'created', row: settled.row };
      case 'left-to-another':
        return { outcome: 'in-progress', row: settled.row, retryAfterMs: unknownRetryAfterMs };
      case 'superseded':
        if (!settled.row) throw vanished(by.settings);
        return answer(judge(settled.row, { ...by, nowMs: now() }, timing), settled.row);
    }
  }

  function answer(verdict: Verdict, row: InstanceRow): Provisioned {
    const who = `The ${row.elementKey} instance of tenant ${row.tenantId}`;
    switch (verdict.kind) {
      case 'replay':
        return { outcome: 'replayed', row };
      case 'in-progress':
        return { outcome: 'in-progress', row, retryAfterMs: verdict.retryAfterMs };
      case 'take-over':
        return { outcome: 'in-progress', row, retryAfterMs: unknownRetryAfterMs };
      case 'settings-conflict':
        throw new OnboardingError(
          'settings-conflict',
          `${who} ${row.status === 'active' ? 'exists' : 'is being provisioned'} with another name, other tags or ` +
            'other configuration. Ask with the same settings, or delete it first.',
        );
      case 'being-deleted':
        throw new OnboardingError('being-deleted', `${who} is being deleted. Ask again when it is gone.`);
      case 'origin-changed':
        throw new OnboardingError(
          'origin-changed',
          `${who} was begun at ${row.origin} with an outcome that is not known, and this stack asks ${origin}: ` +
            'point the stack back there until the instance has been settled.',
        );
    }
  }
}

/** Refused by one's own row means won: the SDK sent the write twice because the first answer was lost. */
function wonBy(write: Write, row: InstanceRow): boolean {
  return write.won || write.current?.attemptId === row.attemptId;
}

function currentOf(write: Write, key: { tenantId: string; elementKey: string }): InstanceRow {
  if (!write.won && write.current) return write.current;
  throw vanished(key);
}

function isNotEmpty<T>(list: readonly T[]): list is readonly [T, ...T[]] {
  return list.length > 0;
}

function vanished({ tenantId, elementKey }: { tenantId: string; elementKey: string }): OnboardingError {
  return new OnboardingError(
    'being-deleted',
    `The ${elementKey} instance of tenant ${tenantId} was removed while this request was under way. Ask again.`,
  );
}

function outOfTime({ tenantId, elementKey }: InstanceRow): OnboardingError {
  return new OnboardingError(
    'out-of-time',
    `Too little time was left to create the ${elementKey} instance of tenant ${tenantId} safely. Nothing was sent.`,
  );
}

function outcomeUnknown(
  { tenantId, elementKey }: InstanceRow,
  { reason, requestId }: { reason: string; requestId?: string | undefined },
): OnboardingError {
  return new OnboardingError(
    'cloud-elements-unreadable',
    `Whether Cloud Elements made the ${elementKey} instance of tenant ${tenantId} is not known (${reason}).`,
    { requestId },
  );
}
