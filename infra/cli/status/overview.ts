import { wholeTenant } from '../../../functions/model/instance.ts';
import type { LastAudit } from '../../../functions/model/last-audit.ts';
import { openTooLongMs } from '../../../functions/model/timing.ts';
import { triggers } from '../../../functions/triggers.ts';
import type { Found } from './rows.ts';

/** Kinds of trouble, in the order in which they are listed. An open instance is in trouble only after a while. */
const kinds = ['failed', 'unhealthy', 'unreadable', 'open'] as const;
export type Kind = (typeof kinds)[number];

export type Listed = {
  kind: Kind;
  tenantId: string;
  elementKey: string;
  status: string;
  /** ms since the epoch; unknown of a row that cannot be read. */
  since: number | undefined;
  reason: string;
  code: string | undefined;
};

/** Undefined for an active instance that no check has found unhealthy. */
export function troubleOf({ key, row }: Found): Listed | undefined {
  const { tenantId, elementKey } = key;
  if (!row) {
    const reason = 'this version cannot read its row';
    return {
      tenantId,
      elementKey,
      kind: 'unreadable',
      status: 'unreadable',
      since: undefined,
      reason,
      code: undefined,
    };
  }
  const { status, lastError, health, updatedAt } = row;
  const of = { tenantId, elementKey, status };
  const reason = lastError ? `${lastError.code}: ${lastError.detail}` : '';
  const code = lastError?.code;
  if (status === 'failed') return { ...of, kind: 'failed', since: lastError?.at ?? updatedAt, reason, code };
  if (status === 'active') {
    if (health?.status !== 'unhealthy') return undefined;
    return {
      ...of,
      kind: 'unhealthy',
      since: health.since,
      reason: health.reason ?? '',
      code: health.reason,
    };
  }
  // Tries to settle it move `updatedAt`, and not these.
  const since = (status === 'deleting' ? row.removingSince : row.requestedAt) || updatedAt;
  return { ...of, kind: 'open', since, reason: reason || status, code };
}

export const isTooLong = ({ since }: Listed, nowMs: number): boolean =>
  since !== undefined && nowMs - since > openTooLongMs;

export type Instances = {
  total: number;
  byStatus: Record<string, number>;
  byHealth: Record<string, number>;
  oldestOpen: Listed | undefined;
  /** How many of each kind there are, and those that have waited longest. */
  troubles: { kind: Kind; count: number; listed: readonly Listed[] }[];
};

/** Counts, and keeps at most twice `limit` instances of each kind in memory. */
export async function countInstances(
  rows: AsyncIterable<Found> | Iterable<Found>,
  limit: number,
): Promise<Instances> {
  const byStatus: Record<string, number> = {};
  const byHealth: Record<string, number> = {};
  const found = new Map(kinds.map((kind) => [kind, { kind, count: 0, listed: new Array<Listed>() }]));
  let total = 0;
  for await (const each of rows) {
    // A tenant's removal is open work, but no instance.
    if (each.key.elementKey !== wholeTenant) {
      total += 1;
      count(byStatus, each.row?.status ?? 'unreadable');
      if (each.row?.health) count(byHealth, each.row.health.status);
    }
    const trouble = troubleOf(each);
    const same = trouble && found.get(trouble.kind);
    if (!trouble || !same) continue;
    same.count += 1;
    same.listed.push(trouble);
    if (same.listed.length >= 2 * limit) same.listed = longest(same.listed, limit);
  }
  const troubles = [...found.values()].map(({ listed, ...of }) => ({
    ...of,
    listed: longest(listed, limit),
  }));
  const oldestOpen = troubles.find(({ kind }) => kind === 'open')?.listed[0];
  return { total, byStatus, byHealth, oldestOpen, troubles };
}

function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

const longest = (listed: readonly Listed[], limit: number): Listed[] =>
  listed.toSorted((a, b) => (a.since ?? 0) - (b.since ?? 0)).slice(0, limit);

export type Overview = {
  atMs: number;
  instances: Instances;
  deadLetters: Readonly<Record<string, number>>;
  lastAudit: LastAudit | undefined;
};

/** Counts of an audit for which an alarm goes off. `invalid` and `disabled` have no alarm, and are worth a look, too. */
const findings = ['lost', 'orphaned', 'notOurs', 'invalid', 'disabled', 'unreadable', 'notVisible'] as const;

/** Two periods of its schedule: one audit was missed. */
const auditTooOldMs = 2 * triggers['audit-instances'].schedule.everyMinutes * 60_000;

/** Names what an audit found, in the words of its result. */
export function findingsOf({ result, startedAt }: LastAudit, nowMs: number): string[] {
  return [
    ...findings.filter((name) => Boolean(result[name])),
    ...(result['complete'] === false ? ['incomplete'] : []),
    ...(nowMs - startedAt > auditTooOldMs ? ['overdue'] : []),
  ];
}
