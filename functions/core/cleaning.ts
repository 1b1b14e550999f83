import { withDefaults } from './defaults.ts';
import type { Failure, LookUp, Ports, RemoveOutcome } from './ports.ts';
import { namedByImport } from './refusals.ts';
import { OnboardingError } from '../model/errors.ts';
import { loggableId, type InstanceId } from '../model/instance-id.ts';
import type { InstanceKey, InstanceRow } from '../model/instance.ts';

/** Time reserved for sending the response. */
const responseReserveMs = 500;

/** What a look-up has found. */
export type Found = Extract<LookUp, { kind: 'found' }>;

/** Ids of all found instances, usable or not. */
export const idsOf = ({ instances, unusable = [] }: Found): InstanceId[] =>
  [...instances, ...unusable].flatMap(({ id }) => id ?? []);

/** Steps that several use cases share: look up instances, delete duplicates, end a claim. */
export function createCleaning(
  ports: Pick<Ports, 'store' | 'cloudElements' | 'stage' | 'observe' | 'timing' | 'now'>,
) {
  const { store, cloudElements, stage, observe, timing, now } = withDefaults(ports);
  return { lookUp, read, remove, removeInstance, removeDuplicate, endClaim, timeoutBefore };

  /** All instances of the row's generation that show to be its own; undefined when that is unknown. */
  async function lookUp(
    row: InstanceRow,
    {
      timeoutMs = timing.lookUpTimeoutMs,
      besides,
    }: { timeoutMs?: number; besides?: number | undefined } = {},
  ): Promise<Found | undefined> {
    const { tenantId, elementKey, provisionId, instanceId, createdName, name, createdAt } = row;
    const recordFailure = besides === undefined ? { instanceId } : { exceptId: besides };
    const result = await cloudElements.lookUp(
      {
        tenantId,
        elementKey,
        provisionId,
        owner: stage,
        name: createdName ?? name,
        createdAt,
        ...recordFailure,
      },
      { timeoutMs },
    );
    if (result.kind === 'found') return withoutSpared(row, result);
    observe({ kind: 'look-up-failed', reason: result.reason }, row);
    return undefined;
  }

  /** The instance that the row records, and whether it shows to be the row's. */
  function read(
    { tenantId, elementKey, instanceId }: InstanceKey & { instanceId: number },
    { timeoutMs = timing.lookUpTimeoutMs }: { timeoutMs?: number } = {},
  ) {
    return cloudElements.read({ tenantId, elementKey, instanceId, owner: stage }, { timeoutMs });
  }

  /** The only place that deletes an instance at Cloud Elements. */
  async function remove(
    row: InstanceRow,
    instanceId: InstanceId,
    deadlineAt: number,
  ): Promise<RemoveOutcome> {
    if (isSpared(row, instanceId)) return { kind: 'refused', error: namedByImport(row) };
    return cloudElements.remove({ ...row, instanceId }, { timeoutMs: timeoutBefore(deadlineAt) });
  }

  /** Deletes an instance at Cloud Elements; reports it and returns false if that fails. */
  async function removeInstance(
    row: InstanceRow,
    id: InstanceId,
    deadlineAt: number,
    as: 'instance' | 'duplicate' = 'instance',
  ): Promise<boolean> {
    const instanceId = loggableId(id);
    const outcome = await remove(row, id, deadlineAt);
    const isRemoved = outcome.kind === 'removed';
    observe(
      isRemoved
        ? { kind: `${as}-removed`, instanceId }
        : { kind: `${as}-left`, instanceId, reason: reasonOf(outcome) },
      row,
    );
    return isRemoved;
  }

  /** Deletes a duplicate. */
  function removeDuplicate(row: InstanceRow, instanceId: InstanceId, deadlineAt: number): Promise<boolean> {
    return removeInstance(row, instanceId, deadlineAt, 'duplicate');
  }

  /**
   * Writes the row's next state, or deletes the row when there is none. If that fails, the claim ends with its lease;
   * the response to the caller does not change.
   * @returns whether it was written
   */
  async function endClaim(held: InstanceRow, next: InstanceRow | undefined): Promise<boolean> {
    try {
      const { won } = await (next ? store.write(next, held) : store.remove(held));
      return won;
    } catch (error) {
      if (!(error instanceof OnboardingError)) throw error;
      observe({ kind: 'claim-left', reason: error.message }, held);
      return false;
    }
  }

  /** Timeout of one more call that still leaves time to respond. */
  function timeoutBefore(deadlineAt: number): number {
    return Math.min(timing.lookUpTimeoutMs, deadlineAt - responseReserveMs - now());
  }
}

/**
 * An instance that an import has named was made by the tenant's team and may be in use. It is deleted only where the
 * row was active with it and is removed now: never as a duplicate, and not for an import that was not finished.
 */
function isSpared(row: InstanceRow, id: InstanceId): boolean {
  const isRecorded = row.status === 'deleting' && row.instanceId === id && !row.importing;
  return id === row.importedId && !isRecorded;
}

function withoutSpared(row: InstanceRow, found: Found): Found {
  const { instances, unusable } = found;
  const isOther = ({ id }: { id: InstanceId | undefined }) => id === undefined || !isSpared(row, id);
  return {
    ...found,
    instances: instances.filter(isOther),
    ...(unusable && { unusable: unusable.filter(isOther) }),
  };
}

/** Why something was not done, for the log. */
export const reasonOf = (failure: Failure): string =>
  failure.kind === 'unknown' ? failure.reason : failure.error.message;
