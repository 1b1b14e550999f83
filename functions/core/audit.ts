import { randomUUID } from 'node:crypto';
import type { Parts } from './collaborators.ts';
import type { InstanceRow } from './instance.ts';
import { isLeased } from './lifecycle.ts';
import { asRead } from './settle.ts';
import { defaultTiming } from './timing.ts';

/** How table and Cloud Elements differ, where neither a request nor the reconciler is at work: how many of each. */
export type Audit = {
  /** Active rows and instances of this stage that were compared. */
  ours: number;
  theirs: number;
  /** Active here, gone there: the token opens nothing. */
  lost: number;
  /** There, of this stage, and nobody's here. */
  orphaned: number;
  /** Cloud Elements says that it does not work, or it was switched off there. */
  invalid: number;
  disabled: number;
  /** Active rows whose token was missing and has been fetched again. */
  refilled: number;
  /** Rows that this version cannot read. */
  unreadable: number;
  /** False when time ran out or a list broke off: then the figures are of what was seen. */
  complete: boolean;
};

/**
 * Compares all of the table with all that Cloud Elements has of this stage. It changes nothing, but that a token that is
 * missing is fetched again: what differs without anybody at work on it is for the operator to judge.
 */
export function createAuditing({
  store,
  cloudElements,
  cipher,
  origin,
  stage,
  observe,
  timing = defaultTiming,
  now = Date.now,
  newId = randomUUID,
}: Pick<
  Parts,
  'store' | 'cloudElements' | 'cipher' | 'origin' | 'stage' | 'observe' | 'timing' | 'now' | 'newId'
>) {
  return async function audit({ deadlineAt }: { deadlineAt: number }): Promise<Audit> {
    const result: Audit = {
      ours: 0,
      theirs: 0,
      lost: 0,
      orphaned: 0,
      invalid: 0,
      disabled: 0,
      refilled: 0,
      unreadable: 0,
      complete: true,
    };
    // Ours first: what is made in between is then theirs alone for a moment, and looked at again before it is counted.
    const ours = new Map<number, InstanceRow>();
    for await (const row of store.all()) {
      if (now() > deadlineAt) return { ...result, complete: false };
      if (!row) {
        result.unreadable += 1;
        continue;
      }
      if (row.status !== 'active' || row.instanceId === undefined || row.origin !== origin) continue;
      result.ours += 1;
      ours.set(row.instanceId, row);
    }

    let page: string | undefined;
    do {
      const timeoutMs = Math.min(timing.createTimeoutMs, deadlineAt - now());
      const list = await cloudElements.list({ tag: `owner:${stage}`, page }, { timeoutMs });
      if (list.kind === 'unknown') return { ...result, complete: false };
      for (const instance of list.instances) {
        result.theirs += 1;
        if (!instance.valid) result.invalid += 1;
        if (instance.disabled) result.disabled += 1;
        const row = ours.get(instance.id);
        ours.delete(instance.id);
        if (!row && (await isOrphaned(instance))) result.orphaned += 1;
        if (row && !row.token && instance.token && (await refill(row, instance.token))) result.refilled += 1;
      }
      page = list.nextPage;
    } while (page !== undefined);

    for (const [instanceId, row] of ours) {
      const current = await store.get(row);
      if (current?.status !== 'active' || current.instanceId !== instanceId) continue;
      result.lost += 1;
      observe({ kind: 'instance-lost', instanceId }, row);
    }
    return result;
  };

  /** Not while a row says that somebody is at work on the tenant's instance, or is going to be. */
  async function isOrphaned(instance: { id: number; elementKey: string; tenantId: string | undefined }) {
    const { id: instanceId, elementKey, tenantId } = instance;
    const row = tenantId === undefined ? undefined : await store.get({ tenantId, elementKey });
    if (row && (row.instanceId === instanceId || row.checkAt !== undefined || isLeased(row, now())))
      return false;
    observe(
      { kind: 'orphan', instanceId },
      { tenantId: tenantId ?? 'unknown', elementKey, provisionId: row?.provisionId ?? 'unknown' },
    );
    return true;
  }

  async function refill(row: InstanceRow, token: string): Promise<boolean> {
    const filled = { ...row, token: await cipher.encrypt(token, row), attemptId: newId() };
    if (!(await store.replace(filled, asRead(row))).won) return false;
    observe({ kind: 'token-refilled' }, row);
    return true;
  }
}
