import type { Failure, LookUp, Ports } from './ports.ts';
import { instanceLeft, notOurs } from './refusals.ts';
import { OnboardingError } from '../model/errors.ts';
import { loggableId, type InstanceId } from '../model/instance-id.ts';
import type { InstanceKey, InstanceRow } from '../model/instance.ts';
import { defaultTiming } from '../model/timing.ts';

/** Time that the last step leaves for the response itself. */
const responseReserveMs = 500;

/** What a look-up has found. */
export type Found = Extract<LookUp, { kind: 'found' }>;

/** Every instance that a look-up has found, to be removed. */
export const idsOf = ({ instances, unusable = [] }: Found): InstanceId[] =>
  [...instances, ...unusable].flatMap(({ id }) => id ?? []);

/** What became of the instance that a row records; `left` says why, in words for the row's `lastError`. */
export type RecordedRemoval = { kind: 'removed' } | { kind: 'left'; error: OnboardingError };

/** Steps that several use cases share: look up instances, delete duplicates, end a claim. */
export function createCleaning(
  ports: Pick<Ports, 'store' | 'cloudElements' | 'stage' | 'observe' | 'timing' | 'now'>,
) {
  const { store, cloudElements, stage, observe, timing = defaultTiming, now = Date.now } = ports;
  return { lookUp, read, removeInstance, removeRecorded, removeDuplicate, endClaim };

  /** All instances of the row's generation that show to be its own; undefined when that is unknown. */
  async function lookUp(
    row: InstanceRow,
    {
      timeoutMs = timing.lookUpTimeoutMs,
      besides,
    }: { timeoutMs?: number; besides?: number | undefined } = {},
  ): Promise<Found | undefined> {
    const { tenantId, elementKey, provisionId, instanceId, createdName, name, createdAt } = row;
    const recorded = besides === undefined ? { instanceId } : { exceptId: besides };
    const result = await cloudElements.lookUp(
      { tenantId, elementKey, provisionId, owner: stage, name: createdName ?? name, createdAt, ...recorded },
      { timeoutMs },
    );
    if (result.kind === 'found') return result;
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

  /** Leaves and reports instances that cannot be deleted in time. */
  async function removeInstance(
    row: InstanceRow,
    id: InstanceId,
    deadlineAt: number,
    as: 'instance' | 'duplicate' = 'instance',
  ): Promise<boolean> {
    const instanceId = loggableId(id);
    const outcome = await cloudElements.remove(
      { ...row, instanceId: id },
      { timeoutMs: timeoutBefore(deadlineAt) },
    );
    const isRemoved = outcome.kind === 'removed';
    observe(
      isRemoved
        ? { kind: `${as}-removed`, instanceId }
        : { kind: `${as}-left`, instanceId, reason: reasonOf(outcome) },
      row,
    );
    return isRemoved;
  }

  /** Removes an instance whose token was never handed out. */
  function removeDuplicate(row: InstanceRow, instanceId: InstanceId, deadlineAt: number): Promise<boolean> {
    return removeInstance(row, instanceId, deadlineAt, 'duplicate');
  }

  /**
   * Writes the row's next state, or deletes the row when there is none. A claim whose end cannot be written ends by itself
   * when its lease does, and the caller's response stands.
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

  /** Removes the instance that a row records, if any, unless that shows to be another's. */
  async function removeRecorded(row: InstanceRow, deadlineAt: number): Promise<RecordedRemoval> {
    const { instanceId } = row;
    if (instanceId === undefined) return { kind: 'removed' };
    const found = await read({ ...row, instanceId }, { timeoutMs: timeoutBefore(deadlineAt) });
    if (found.kind === 'absent') return { kind: 'removed' };
    if (found.kind === 'unknown') {
      observe({ kind: 'instance-left', instanceId, reason: found.reason }, row);
      return { kind: 'left', error: instanceLeft(row, found.reason) };
    }
    if (found.owned === 'not-ours') {
      observe({ kind: 'not-ours', instanceId }, row);
      return { kind: 'left', error: notOurs(row, instanceId) };
    }
    const outcome = await cloudElements.remove(
      { ...row, instanceId },
      { timeoutMs: timeoutBefore(deadlineAt) },
    );
    if (outcome.kind === 'removed') {
      observe({ kind: 'instance-removed', instanceId }, row);
      return { kind: 'removed' };
    }
    const error = outcome.kind === 'unknown' ? instanceLeft(row, outcome.reason) : outcome.error;
    observe({ kind: 'instance-left', instanceId, reason: reasonOf(outcome) }, row);
    return { kind: 'left', error };
  }

  function timeoutBefore(deadlineAt: number): number {
    return Math.min(timing.lookUpTimeoutMs, deadlineAt - responseReserveMs - now());
  }
}

/** Why something was not done, for the log. */
const reasonOf = (failure: Failure): string =>
  failure.kind === 'unknown' ? failure.reason : failure.error.message;
