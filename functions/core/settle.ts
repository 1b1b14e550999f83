import { withDefaults } from './defaults.ts';
import { createCleaning, type Found } from './cleaning.ts';
import { activate, fail, leaveInDoubt } from './lifecycle.ts';
import type { ElementInstance, Ports, UnknownOutcome, UnusableInstance } from './ports.ts';
import { instanceUnusable, notSaved, outcomeUnknown } from './refusals.ts';
import { OnboardingError } from '../model/errors.ts';
import type { InstanceRow } from '../model/instance.ts';

export type Settled =
  /** The instance is the row's, active and with its token. */
  | { kind: 'committed'; row: InstanceRow }
  /** The instance may exist: the next claim, or the reconciler, looks it up. */
  | { kind: 'in-doubt'; row: InstanceRow }
  /** Another claim has the row and will find the instance by its marker. */
  | { kind: 'left-to-another'; row: InstanceRow }
  /** Another claim has settled the row differently, or it is gone; this instance has been removed again. */
  | { kind: 'superseded'; row: InstanceRow | undefined }
  /** No instance can be kept. `isRecorded`: the row has failed with the error. */
  | { kind: 'unusable'; row: InstanceRow; error: OnboardingError; isRecorded: boolean };

/** Waits between look-ups after a create whose outcome is unknown; ended early by the send deadline. */
const lookUpDelaysMs = [250, 500, 1_000, 2_000, 4_000];

/** Commits, adopts or removes the instances found at Cloud Elements. */
export function createSettling(
  ports: Pick<Ports, 'store' | 'cloudElements' | 'cipher' | 'stage' | 'observe' | 'timing' | 'now' | 'sleep'>,
) {
  const { store, cipher, observe, timing, now, sleep } = withDefaults(ports);
  const cleaning = createCleaning(ports);
  const { lookUp, removeDuplicate, endClaim } = cleaning;
  return { ...cleaning, lookUpUntilFound, settleFound, commit, endUnusable };

  /**
   * Repeats the look-up after a create whose outcome is unknown, until the instance is found or the send deadline
   * passes.
   */
  async function lookUpUntilFound(
    row: InstanceRow,
    unknown: UnknownOutcome,
    deadlineAt: number,
  ): Promise<Settled> {
    const { reason, requestId } = unknown;
    observe({ kind: 'outcome-unknown', reason, requestId }, row);
    const inDoubt = { ...row, inDoubt: true };
    for (const delayMs of lookUpDelaysMs) {
      const leftMs = row.sendDeadline - now() - delayMs;
      if (leftMs <= 0) break;
      await sleep(delayMs);
      const found = await lookUp(inDoubt, { timeoutMs: Math.min(timing.lookUpTimeoutMs, leftMs) });
      const settled = found && (await settleFound(inDoubt, found, deadlineAt));
      if (settled) return settled;
    }
    const left = leaveInDoubt(inDoubt, outcomeUnknown(row, unknown), now(), timing);
    await endClaim(row, left);
    return { kind: 'in-doubt', row: left };
  }

  /** Settles a claim with the instances that a look-up has found; undefined when there are none. */
  async function settleFound(
    row: InstanceRow,
    { instances, unusable = [] }: Found,
    deadlineAt: number,
  ): Promise<Settled | undefined> {
    if (isNotEmpty(instances)) return adopt(row, instances, deadlineAt, unusable);
    if (isNotEmpty(unusable)) return endUnusable({ ...row, inDoubt: true }, unusable, deadlineAt);
    return undefined;
  }

  /**
   * Removes instances that cannot be kept, and fails their claim. Another create would have the same result, so the row
   * records it for every kind of requester.
   */
  async function endUnusable(
    row: InstanceRow,
    unusable: readonly [UnusableInstance, ...UnusableInstance[]],
    deadlineAt: number,
  ): Promise<Settled> {
    const ids = unusable.flatMap(({ id }) => id ?? []);
    const removed = await Promise.all(ids.map((id) => removeDuplicate(row, id, deadlineAt)));
    const isLeft = removed.filter(Boolean).length < unusable.length;
    const error = instanceUnusable(row, unusable[0], isLeft);
    const ended = { ...row, inDoubt: row.inDoubt || isLeft };
    const failed = fail(ended, row.sendDeadline, error, now(), timing);
    return { kind: 'unusable', row, error, isRecorded: await endClaim(row, failed) };
  }

  /** Commits the recorded instance, otherwise the oldest; removes the others only after reading the commit back. */
  async function adopt(
    row: InstanceRow,
    found: readonly [ElementInstance, ...ElementInstance[]],
    deadlineAt: number,
    unusable: readonly UnusableInstance[],
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
   * @param provenance set only when this claim has created the instance
   * @throws OnboardingError `not-saved`: the row is left in doubt if that can be written, and the next claim finds the instance
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
      const write = await store.write(active, row);
      if (write.won) return { kind: 'committed', row: active };
      return await afterRefusedCommit(row, instanceId, write.current, deadlineAt);
    } catch (error) {
      if (!(error instanceof OnboardingError)) throw error;
      const failure = notSaved(row, instanceId, error);
      const inDoubt = leaveInDoubt({ ...row, instanceId }, failure, now(), timing);
      await endClaim(row, inDoubt);
      throw failure;
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
      // The current or next claim will adopt this instance, so it must not be deleted.
      if (current.status === 'provisioning' || current.status === 'failed') {
        return { kind: 'left-to-another', row: current };
      }
    }
    await removeDuplicate(row, instanceId, deadlineAt);
    return { kind: 'superseded', row: current };
  }
}

function preference(row: InstanceRow, a: ElementInstance, b: ElementInstance): number {
  return (
    Number(b.id === row.instanceId) - Number(a.id === row.instanceId) ||
    (a.createdDate ?? '').localeCompare(b.createdDate ?? '') ||
    a.id - b.id
  );
}

function isNotEmpty<T>(list: readonly T[]): list is readonly [T, ...T[]] {
  return list.length > 0;
}
