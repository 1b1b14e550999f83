import { createClaiming, inProgress, type Provisioned, type RecordRefusal, type Requester } from './claim.ts';
import { createCreating } from './create.ts';
import { withDefaults } from './defaults.ts';
import { provenanceIn } from './lifecycle.ts';
import type { Ports } from './ports.ts';
import { notRecorded, wasDeleted } from './refusals.ts';
import { createSettling, type Settled } from './settle.ts';
import { assertAllowedFor, configurationFor, requestEntriesOf } from '../model/configuration.ts';
import {
  judged,
  type InstanceRow,
  type InstanceSettings,
  type RequestedSettings,
} from '../model/instance.ts';

export type Provision = (
  requested: RequestedSettings,
  options: {
    /** When the invocation ends, ms since the epoch. */
    deadlineAt: number;
    recordRefusal: RecordRefusal;
    /**
     * The failed row that the settings come from: only this row is claimed, as it was read. It keeps its request time,
     * requester and registration, so a removal under way still applies to it.
     */
    retryOf?: InstanceRow | undefined;
  },
) => Promise<Provisioned>;

/**
 * Provisions a tenant's instance exactly once, however often and concurrently it is requested. Cloud Elements
 * has no idempotency of its own, so the row in the store decides who may create, and after a create whose outcome is
 * unknown the instance is looked up by its marker tag before another create may be sent.
 *
 * @returns a function that throws only OnboardingError, except for bugs
 */
export function createProvisioning(ports: Ports): Provision {
  const { readTenantSecret, catalog, origin, timing, now } = withDefaults(ports);
  const settling = createSettling(ports);
  const { lookUp, lookUpUntilFound, settleFound, commit, endUnusable } = settling;
  const { claim, revert, abandon, recordFailure, respondWith } = createClaiming({ ...ports, ...settling });
  const create = createCreating(ports);

  return async function provision(requested, { deadlineAt, recordRefusal, retryOf }) {
    const settings = retryOf ? asJudgedBefore(requested, retryOf) : judged(catalog, requested);
    if (recordRefusal === false) await assertAllowedFor(catalog, settings, () => readTenantSecret(settings));
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
      if (settled) return respondToSettled(settled, by);
      if (!found || !claimed.mayCreate) {
        await revert(claimed);
        return inProgress(claimed.row);
      }
    }

    const configuration = await configurationFor(catalog, settings, () => readTenantSecret(settings)).catch(
      (error: unknown) => abandon(claimed, error, recordRefusal),
    );
    const created = await create(claimed.row, configuration);
    switch (created.kind) {
      case 'created': {
        // The source of this create is known, even if the row's was not.
        const provenance = provenanceIn(settings);
        return respondToSettled(await commit(claimed.row, created.instance, deadlineAt, provenance), by);
      }
      case 'unusable':
        return respondToSettled(await endUnusable(claimed.row, [created.instance], deadlineAt), by);
      case 'unknown':
        return respondToSettled(await lookUpUntilFound(claimed.row, created, deadlineAt), by);
      case 'refused':
        throw await recordFailure(claimed, created.error, recordRefusal !== false);
      case 'not-done':
        return abandon(claimed, created.error, recordRefusal);
    }
  };

  async function respondToSettled(settled: Settled, by: Requester): Promise<Provisioned> {
    switch (settled.kind) {
      case 'committed':
        return { outcome: 'created', row: settled.row };
      case 'unusable':
        throw settled.isRecorded ? settled.error : notRecorded(settled.row, settled.error);
      case 'in-doubt':
      case 'left-to-another':
        return inProgress(settled.row);
      case 'superseded':
        if (!settled.row || settled.row.status === 'removed') throw wasDeleted(by.settings);
        return respondWith(settled.row, by);
    }
  }
}

/** A retry is the row's own request; the stored entries are the ones that requests had set. */
function asJudgedBefore(requested: RequestedSettings, row: InstanceRow): InstanceSettings {
  const { allowListed, fingerprint, requestDigest } = row;
  const requestEntries = requestEntriesOf(row);
  return { ...requested, source: 'secret', requestEntries, requestDigest, allowListed, fingerprint };
}
