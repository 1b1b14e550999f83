import type {
  CheckStore,
  DueInstance,
  IdHolder,
  ImportedIds,
  InstanceStore,
  Write,
} from '../../../functions/core/ports.ts';
import { awaitsFirstLook } from '../../../functions/model/row-history.ts';
import {
  instanceSummarySchema,
  wholeTenant,
  type InstanceKey,
  type InstanceRow,
  type InstanceSummary,
} from '../../../functions/model/instance.ts';

/** The store in memory: behaves like the one on DynamoDB, and calls take effect at once. */
export function createInMemoryStore() {
  const rows = new Map<string, InstanceRow>();

  const find = (key: InstanceKey) => rows.get(nameOf(key));
  const all = () => [...rows.values()];

  function conditionally(
    by: InstanceRow,
    isAsExpected: (row?: InstanceRow) => boolean,
    act: () => void,
  ): Write {
    const current = find(by);
    if (isAsExpected(current)) act();
    else if (current?.claimId !== by.claimId) return { won: false, current: current && copyOf(current) };
    return { won: true };
  }

  const put = (row: InstanceRow) => () => rows.set(nameOf(row), copyOf(row));

  const store: InstanceStore & CheckStore = {
    claim: async (next, asRead) =>
      conditionally(
        next,
        (row) =>
          asRead ? isHeld(row, asRead) && row?.leaseExpiresAt === asRead.leaseExpiresAt : row === undefined,
        put(next),
      ),
    write: async (next, held) => conditionally(next, (row) => isHeld(row, held), put(next)),
    remove: async (held) =>
      conditionally(
        held,
        (row) => isHeld(row, held),
        () => rows.delete(nameOf(held)),
      ),
    get: async (key) => {
      const row = find(key);
      return row && copyOf(row);
    },
    getSummary: async (key) => {
      const row = find(key);
      return row && summaryOf(row)[0];
    },
    list: async (tenantId) => ({
      instances: all()
        .filter((row) => row.tenantId === tenantId && row.elementKey !== wholeTenant)
        .toSorted((a, b) => compare(a.elementKey, b.elementKey))
        .flatMap(summaryOf),
      unreadable: [],
    }),
    due: async (nowMs, limit) => {
      const first: DueInstance[] = [];
      const later: DueInstance[] = [];
      for (const row of rows.values()) {
        const { checkAt } = row;
        if (checkAt === undefined || checkAt > nowMs) continue;
        (awaitsFirstLook(row) ? first : later).push(dueAt(checkAt, row));
      }
      return { first: earliest(first).slice(0, limit), later: earliest(later).slice(0, limit) };
    },
    dueChecks: async ({ until, limit, first }) => {
      const due: DueInstance[] = [];
      for (const row of rows.values()) {
        const { status, checkAt, healthCheckAt } = row;
        if (status !== 'active' || checkAt !== undefined) continue;
        if (healthCheckAt !== undefined && healthCheckAt <= until) due.push(dueAt(healthCheckAt, row));
      }
      return (first === 'latest' ? earliest(due).toReversed() : earliest(due)).slice(0, limit);
    },
    postpone: async (due, checkAt) => {
      const row = find(due);
      if (row?.checkAt === Number(due.shown)) put({ ...row, checkAt, lookedAt: row.lookedAt ?? 0 })();
    },
    async *all() {
      for (const row of all()) {
        yield { tenantId: row.tenantId, elementKey: row.elementKey, row: copyOf(row) };
      }
    },
  };

  const holders = new Map<number, IdHolder>();
  const importedIds: ImportedIds = {
    hold: async (instanceId, { tenantId, elementKey, provisionId }, instead) => {
      const by = holders.get(instanceId);
      const isFree = instead
        ? by?.provisionId === instead.provisionId || by?.provisionId === provisionId
        : !by || by.provisionId === provisionId;
      if (!isFree) return { held: false, by: by && { ...by } };
      holders.set(instanceId, { tenantId, elementKey, provisionId });
      return { held: true };
    },
    giveBack: async (instanceId, { provisionId }) => {
      if (holders.get(instanceId)?.provisionId === provisionId) holders.delete(instanceId);
    },
    recordedBy: async (instanceId) =>
      all()
        .filter((row) => row.instanceId === instanceId)
        .map(({ tenantId, elementKey }) => ({ tenantId, elementKey })),
  };

  /** Deletes a row, as DynamoDB does when it has expired. */
  const forget = (key: InstanceKey) => void rows.delete(nameOf(key));

  return { store, importedIds, holders, rows: all, find, forget };
}

const dueAt = (checkAt: number, { tenantId, elementKey }: InstanceKey): DueInstance => ({
  checkAt,
  tenantId,
  elementKey,
  shown: String(checkAt),
});
const earliest = (due: readonly DueInstance[]) => due.toSorted((a, b) => a.checkAt - b.checkAt);

const nameOf = ({ tenantId, elementKey }: InstanceKey) => `${tenantId}/${elementKey}`;
const compare = (a: string, b: string) => Number(a > b) - Number(a < b);

const isHeld = (row: InstanceRow | undefined, held: InstanceRow): boolean =>
  row !== undefined &&
  row.status === held.status &&
  row.provisionId === held.provisionId &&
  row.claimId === held.claimId;

/** Copies a row, because the store shares no object with its callers. Undefined attributes are dropped. */
function copyOf(row: InstanceRow): InstanceRow {
  const { importing, ...rest } = row;
  const before = importing?.before;
  return {
    ...copyOfRest(rest),
    ...(importing && {
      importing: { ...withoutUndefined(importing), ...(before && { before: copyOfRest(before) }) },
    }),
  };
}

function copyOfRest(row: Omit<InstanceRow, 'importing'>) {
  const { token, tags, allowListed, requestedBy, removedBy, lastError, notices, formers, ...plain } = row;
  return {
    ...withoutUndefined(plain),
    tags: [...tags],
    allowListed: { ...allowListed },
    ...(token && { token: token.slice() }),
    ...(requestedBy && { requestedBy: withoutUndefined(requestedBy) }),
    ...(removedBy && { removedBy: withoutUndefined(removedBy) }),
    ...(lastError && { lastError: withoutUndefined(lastError) }),
    ...(notices && { notices: notices.map(withoutUndefined) }),
    ...(formers && { formers: formers.map(withoutUndefined) }),
  };
}

function withoutUndefined<T extends object>(value: T): T {
  const copy = { ...value };
  for (const [name, entry] of Object.entries(copy)) {
    if (entry === undefined) Reflect.deleteProperty(copy, name);
  }
  return copy;
}

/** Empty for a tombstone. */
function summaryOf(row: InstanceRow): InstanceSummary[] {
  return row.status === 'removed' ? [] : [instanceSummarySchema.parse(copyOf(row))];
}
