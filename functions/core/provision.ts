import { setTimeout } from 'node:timers/promises';
import { createClaiming, waitFor, type Held, type Provisioned, type Requester } from './claim.ts';
import { createCreating } from './create.ts';
import * as lifecycle from './lifecycle.ts';
import type { Failure, Ports } from './ports.ts';
import * as refusals from './refusals.ts';
import { createSettling, type Settled } from './settle.ts';
import { assertAllowedFor, configurationFor } from '../model/configuration.ts';
import { OnboardingError } from '../model/errors.ts';
import type { InstanceRow, InstanceSettings } from '../model/instance.ts';
import { defaultTiming } from '../model/timing.ts';

/** Waits between look-ups after a create whose outcome is unknown; running out of time ends them too. */
const lookUpDelaysMs = [250, 500, 1_000, 2_000, 4_000];

export type Provision = (
  settings: InstanceSettings,
  options: {
    /** When the invocation ends, ms since the epoch. */
    deadlineAt: number;
    /** Leave a `failed` row behind when nothing could be sent, or when it was for such an error: for events. */
    recordRefusal: boolean | ((error: OnboardingError) => boolean);
    /**
     * The failed row that the settings come from: only this row is claimed, as it was read. Time of request, requester and
     * registration stay, so the retry does not outdate a removal that is under way.
     */
    retryOf?: InstanceRow | undefined;
  },
) => Promise<Provisioned>;

/**
 * Provisions a tenant's instance exactly once, however often and from however many sides it is requested. Cloud Elements
 * has no idempotency of its own, so the row in the store decides who may create, and after a create whose outcome is
 * unknown the instance is looked up by its marker tag before another create may be sent.
 *
 * @returns a function that throws nothing but OnboardingError, unless the code is wrong
 */
export function createProvisioning(
  ports: Pick<
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
  >,
): Provision {
  const { readTenantSecret, origin, observe } = ports;
  const { timing = defaultTiming, now = Date.now, sleep = (delayMs) => setTimeout(delayMs) } = ports;
  const settling = createSettling(ports);
  const { lookUp, settleFound, commit, endUnusable, endClaim } = settling;
  const { claim, respondWith, release } = createClaiming({ ...ports, ...settling });
  const create = createCreating(ports);

  return async function provision(settings, { deadlineAt, recordRefusal, retryOf }) {
    if (recordRefusal === false) await assertAllowedFor(settings, () => readTenantSecret(settings));
    const by: Requester = {
      settings,
      origin,
      nowMs: now(),
      sendDeadline: deadlineAt - timing.commitReserveMs,
      isRetry: retryOf !== undefined,
    };
    const claimed = await claim(by, deadlineAt, retryOf);
    if ('outcome' in claimed) return claimed;

    if (claimed.earlier === 'to-adopt') {
      const found = await lookUp(claimed.row);
      const settled = found && (await settleFound(claimed.row, found, deadlineAt));
      if (settled) return respondSettled(settled, by);
      if (!found || !claimed.mayCreate) {
        await release(claimed);
        return waitFor(claimed.row);
      }
    }

    const configuration = await configurationFor(settings, () => readTenantSecret(settings)).catch(
      (error: unknown) => abandon(claimed, error, recordRefusal),
    );
    const created = await create(claimed.row, configuration);
    switch (created.kind) {
      case 'created': {
        // For a row whose source was not known, this is the first instance whose source is certain.
        const provenance = lifecycle.provenanceIn(settings);
        return respondSettled(await commit(claimed.row, created.instance, deadlineAt, provenance), by);
      }
      case 'unusable':
        return respondSettled(await endUnusable(claimed.row, [created.instance], deadlineAt), by);
      case 'unknown':
        return searchAndAdopt(claimed.row, created, by, deadlineAt);
      case 'refused':
        throw await recorded(claimed, created.error, recordRefusal !== false);
      case 'not-done':
        return abandon(claimed, created.error, recordRefusal);
    }
  };

  async function searchAndAdopt(
    row: InstanceRow,
    unknown: Extract<Failure, { kind: 'unknown' }>,
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
    const leftInDoubt = lifecycle.leaveInDoubt(inDoubt, refusals.outcomeUnknown(row, unknown), now(), timing);
    await endClaim(row, leftInDoubt);
    return waitFor(leftInDoubt);
  }

  /** Ends a claim that has no create in flight. */
  async function abandon(
    held: Held,
    error: unknown,
    recordRefusal: Parameters<Provision>[1]['recordRefusal'],
  ): Promise<never> {
    const isRecorded = typeof recordRefusal === 'boolean' ? () => recordRefusal : recordRefusal;
    if (error instanceof OnboardingError && isRecorded(error)) throw await recorded(held, error, true);
    await release(held);
    throw error;
  }

  /**
   * Records why nothing was made. An event has no other response: if that fails, its message must come again.
   * @returns the error to throw
   */
  async function recorded({ row, before }: Held, error: OnboardingError, mustBe: boolean) {
    const failed = lifecycle.fail(row, before?.sendDeadline ?? 0, error, now(), timing);
    const isRecorded = await endClaim(row, failed);
    return isRecorded || !mustBe || error.retryable ? error : refusals.notRecorded(row, error);
  }

  async function respondSettled(settled: Settled, by: Requester): Promise<Provisioned> {
    switch (settled.kind) {
      case 'committed':
        return { outcome: 'created', row: settled.row };
      case 'unusable':
        throw settled.isRecorded ? settled.error : refusals.notRecorded(settled.row, settled.error);
      case 'left-to-another':
        return waitFor(settled.row);
      case 'superseded':
        if (!settled.row || settled.row.status === 'removed') throw refusals.wasDeleted(by.settings);
        return respondWith(settled.row, by);
    }
  }
}
