import type {
  CloudElements,
  ElementInstance,
  LookUp,
  Failure,
  Expected,
  InstanceStore,
  Observe,
  TokenCipher,
  UnusableInstance,
  Write,
} from './ports.ts';
import { OnboardingError } from '../model/errors.ts';
import { loggableId, type InstanceId } from '../model/instance-id.ts';
import type { InstanceKey, InstanceRow } from '../model/instance.ts';
import { activate, leaveInDoubt } from './lifecycle.ts';
import type { Timing } from '../model/timing.ts';

export type Settled =
  /** The instance is the row's, active and with its token. */
  | { kind: 'committed'; row: InstanceRow }
  /** Another claim has the row and will find the instance by its marker. */
  | { kind: 'left-to-another'; row: InstanceRow }
  /** The row has settled on something else meanwhile, or is gone; the instance has been removed again. */
  | { kind: 'superseded'; row: InstanceRow | undefined };

/** Time that the last step leaves for the answer itself. */
const responseReserveMs = 500;

/** A row exactly as it was read: not claimed, changed or released since. */
export const asRead = ({ status, provisionId, claimId, leaseExpiresAt }: InstanceRow): Expected => ({
  status,
  provisionId,
  claimId,
  leaseExpiresAt,
});

/** Refused by one's own row means won: the SDK sent the write twice because the first answer was lost. */
export function wonBy(write: Write, row: InstanceRow): boolean {
  return write.won || write.current?.claimId === row.claimId;
}

export const currentOf = (write: Write): InstanceRow | undefined => (write.won ? undefined : write.current);

/** The state in which a row stays as long as its claim is held. */
export const heldBy = ({ status, provisionId, claimId }: InstanceRow): Expected => ({
  status,
  provisionId,
  claimId,
});

/** What a look-up has found. */
export type Found = Extract<LookUp, { kind: 'found' }>;

/** Every instance that a look-up has found, to be removed. */
export const idsOf = ({ instances, unusable = [] }: Found): InstanceId[] =>
  [...instances, ...unusable].flatMap(({ id }) => id ?? []);

/** What became of the instance that a row records; `left` says why, in words for the row's `lastError`. */
export type RecordedRemoval = { kind: 'removed' } | { kind: 'left'; error: OnboardingError };

export type CleaningPorts = {
  cloudElements: CloudElements;
  stage: string;
  observe: Observe;
  timing: Timing;
  now: () => number;
};

export type SettlingPorts = CleaningPorts & { store: InstanceStore; cipher: TokenCipher };

/** Steps that several use cases share: look up instances, delete duplicates, end a claim. */
export function createCleaning(ports: CleaningPorts) {
  const { cloudElements, stage, observe, timing } = ports;
  return { lookUp, read, removeInstance, removeDuplicate, endClaim };

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
      { timeoutMs: timeoutBefore(deadlineAt, ports) },
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

  /** A claim whose end cannot be written ends by itself when its lease does: the caller's answer stands. */
  async function endClaim(row: InstanceRow, write: () => Promise<unknown>): Promise<void> {
    try {
      await write();
    } catch (error) {
      if (!(error instanceof OnboardingError)) throw error;
      observe({ kind: 'claim-left', reason: error.message }, row);
    }
  }
}

/** Removes the instance that a row records, if any, unless that shows to be another's. */
export function createRecordedRemoval(ports: CleaningPorts) {
  const { cloudElements, observe } = ports;
  const { read } = createCleaning(ports);

  return async function removeRecorded(row: InstanceRow, deadlineAt: number): Promise<RecordedRemoval> {
    const { instanceId } = row;
    if (instanceId === undefined) return { kind: 'removed' };
    const found = await read({ ...row, instanceId }, { timeoutMs: timeoutBefore(deadlineAt, ports) });
    if (found.kind === 'absent') return { kind: 'removed' };
    if (found.kind === 'unknown') {
      observe({ kind: 'instance-left', instanceId, reason: found.reason }, row);
      return { kind: 'left', error: notKnown(row, found.reason) };
    }
    if (found.owned === 'not-ours') {
      observe({ kind: 'not-ours', instanceId }, row);
      return { kind: 'left', error: notOurs(row, instanceId) };
    }
    const outcome = await cloudElements.remove(
      { ...row, instanceId },
      { timeoutMs: timeoutBefore(deadlineAt, ports) },
    );
    if (outcome.kind === 'removed') {
      observe({ kind: 'instance-removed', instanceId }, row);
      return { kind: 'removed' };
    }
    const error = outcome.kind === 'unknown' ? notKnown(row, outcome.reason) : outcome.error;
    observe({ kind: 'instance-left', instanceId, reason: reasonOf(outcome) }, row);
    return { kind: 'left', error };
  };
}

/** Brings an instance at Cloud Elements together with its row. */
export function createSettling({ store, cipher, ...ports }: SettlingPorts) {
  const { observe, timing, now } = ports;
  const { lookUp, read, removeDuplicate, endClaim } = createCleaning(ports);
  return { lookUp, read, adopt, commit, removeDuplicate, removeUnusable, endClaim };

  /**
   * Removes instances that cannot be kept.
   * @returns the error to record, and whether one may be left
   */
  async function removeUnusable(
    row: InstanceRow,
    unusable: readonly [UnusableInstance, ...UnusableInstance[]],
    deadlineAt: number,
  ): Promise<{ error: OnboardingError; isLeft: boolean }> {
    const ids = unusable.flatMap(({ id }) => id ?? []);
    const removed = await Promise.all(ids.map((id) => removeDuplicate(row, id, deadlineAt)));
    const isLeft = removed.filter(Boolean).length < unusable.length;
    return { error: instanceUnusable(row, unusable[0], isLeft), isLeft };
  }

  /** Commits the recorded instance, else the oldest; only when that is seen to stand are the others removed. */
  async function adopt(
    row: InstanceRow,
    found: readonly [ElementInstance, ...ElementInstance[]],
    deadlineAt: number,
    unusable: readonly UnusableInstance[] = [],
  ): Promise<Settled> {
    const kept = found.reduce((a, b) => (preference(row, a, b) <= 0 ? a : b));
    const settled = await commit(row, kept, deadlineAt);
    if (settled.kind !== 'committed') return settled;
    observe({ kind: 'adopted', instanceId: kept.id }, row);
    const duplicates = [...found, ...unusable].flatMap(({ id }) => (id === kept.id ? [] : (id ?? [])));
    if (duplicates.length > 0 && (await isStored(row, kept.id))) {
      await Promise.all(duplicates.map((id) => removeDuplicate(row, id, deadlineAt)));
    }
    return settled;
  }

  async function isStored(row: InstanceRow, instanceId: number): Promise<boolean> {
    try {
      const stored = await store.get(row);
      return stored?.status === 'active' && stored.instanceId === instanceId;
    } catch (error) {
      if (error instanceof OnboardingError) return false;
      throw error;
    }
  }

  /**
   * @param provenance of an instance that this claim has made itself
   * @throws OnboardingError `not-saved`: the row says so if it can, and the next claim finds the instance
   */
  async function commit(
    row: InstanceRow,
    { id: instanceId, token }: ElementInstance,
    deadlineAt: number,
    provenance: Partial<InstanceRow> = {},
  ): Promise<Settled> {
    try {
      const sealed = await cipher.encrypt(token, row);
      const active = activate({ ...row, ...provenance }, { instanceId, token: sealed }, now(), timing);
      const write = await store.replace(active, heldBy(row));
      if (write.won) return { kind: 'committed', row: active };
      return await afterRefusedCommit(row, instanceId, write.current, deadlineAt);
    } catch (error) {
      if (!(error instanceof OnboardingError)) throw error;
      const notSaved = new OnboardingError(
        'not-saved',
        `Cloud Elements made instance ${instanceId} (${row.elementKey}) for tenant ${row.tenantId}, but it could ` +
          'not be saved. Nothing is lost: a retry finds it.',
        { cause: { name: error.name, message: error.message } },
      );
      await endClaim(row, () =>
        store.replace(leaveInDoubt({ ...row, instanceId }, notSaved, now(), timing), heldBy(row)),
      );
      throw notSaved;
    }
  }

  async function afterRefusedCommit(
    row: InstanceRow,
    instanceId: number,
    current: InstanceRow | undefined,
    deadlineAt: number,
  ): Promise<Settled> {
    if (current?.provisionId === row.provisionId) {
      if (current.status === 'active' && current.instanceId === instanceId) {
        return { kind: 'committed', row: current };
      }
      // The holder of the row, or the next claim, looks for this very instance: deleting it could break theirs.
      if (current.status === 'provisioning' || current.status === 'failed') {
        return { kind: 'left-to-another', row: current };
      }
    }
    await removeDuplicate(row, instanceId, deadlineAt);
    return { kind: 'superseded', row: current };
  }
}

const timeoutBefore = (deadlineAt: number, { timing, now }: CleaningPorts): number =>
  Math.min(timing.lookUpTimeoutMs, deadlineAt - responseReserveMs - now());

/** Why something was not done, for the log. */
const reasonOf = (failure: Failure): string =>
  failure.kind === 'unknown' ? failure.reason : failure.error.message;

function notKnown({ tenantId, elementKey, instanceId }: InstanceRow, reason: string): OnboardingError {
  return new OnboardingError(
    'deletion-pending',
    `Instance ${instanceId} (${elementKey}) of tenant ${tenantId} is not removed yet (${reason}). It is tried again.`,
  );
}

function instanceUnusable(
  { tenantId, elementKey, provisionId }: InstanceRow,
  { id, reason }: UnusableInstance,
  isLeft: boolean,
): OnboardingError {
  const named = id === undefined ? 'an instance' : `instance ${loggableId(id)},`;
  return new OnboardingError(
    'instance-unusable',
    `Cloud Elements made ${named} ${reason}, for the ${elementKey} instance of tenant ${tenantId}, which this service ` +
      `cannot keep. ${
        isLeft
          ? `Delete it at Cloud Elements (tag provision:${provisionId}), then request the instance again.`
          : 'It was deleted. Ask the support of Cloud Elements, then request the instance again.'
      }`,
  );
}

export function notOurs({ tenantId, elementKey }: InstanceKey, instanceId: number): OnboardingError {
  return new OnboardingError(
    'not-ours',
    `Instance ${instanceId} at Cloud Elements shows that it is not the ${elementKey} instance of tenant ${tenantId}: ` +
      'its tags name another tenant or stage, or it is of another element. It is left as it is.',
  );
}

function preference(row: InstanceRow, a: ElementInstance, b: ElementInstance): number {
  return (
    Number(b.id === row.instanceId) - Number(a.id === row.instanceId) ||
    (a.createdDate ?? '').localeCompare(b.createdDate ?? '') ||
    a.id - b.id
  );
}

export function isNotEmpty<T>(list: readonly T[]): list is readonly [T, ...T[]] {
  return list.length > 0;
}
