import { withDefaults } from './defaults.ts';
import type { InstanceStore } from './ports.ts';
import type { Catalog } from '../model/catalog.ts';
import { requestEntriesOf, toVouchFor } from '../model/configuration.ts';
import type { InstanceKey, InstanceRow } from '../model/instance.ts';
import { isLeased } from './lifecycle.ts';

/** Where an instance's configuration came from before an operator vouched for it. */
export type Source = NonNullable<InstanceRow['source']> | 'unknown';

export type Trusted =
  /** `entries`: names that requests have set, outside the allow-list or to unknown values; the operator vouches for them. */
  | { kind: 'trusted' | 'would-be-trusted'; was: Source; entries: string[]; row: InstanceRow }
  /** The tenant's secret is sent to it already. */
  | { kind: 'unchanged'; was: Source }
  | { kind: 'refused'; was?: Source; reason: string };

/**
 * `lookedAtMs`: when the operator looked at the instance's configuration at Cloud Elements; undefined tries it only.
 */
export type Trust = (key: InstanceKey, options: { lookedAtMs: number | undefined }) => Promise<Trusted>;

/**
 * Makes the tenant's secret the source of an instance's configuration, for an operator who vouches for the
 * configuration at Cloud Elements. Nothing changes there: from then on a changed secret can be sent to the instance,
 * whose id and token stay.
 */
export function createTrusting(ports: {
  store: Pick<InstanceStore, 'get' | 'claim'>;
  catalog: Catalog;
  now?: () => number;
  newId?: () => string;
}): Trust {
  const { store, catalog, now, newId } = withDefaults(ports);
  return async function trust(key, { lookedAtMs }) {
    const row = await store.get(key);
    if (!row || row.status === 'removed') return { kind: 'refused', reason: 'there is no such instance' };
    const was = row.source ?? 'unknown';
    const reason = refusalOf(row, now(), lookedAtMs);
    if (reason) return { kind: 'refused', was, reason };
    const entries = toVouchFor(catalog, row);
    if (was === 'secret' && entries.length === 0) return { kind: 'unchanged', was };
    const trusted = vouchedFor(catalog, row, newId());
    if (lookedAtMs === undefined) return { kind: 'would-be-trusted', was, entries, row: trusted };
    const written = await store.claim(trusted, row);
    if (written.won) return { kind: 'trusted', was, entries, row: trusted };
    return { kind: 'refused', was, reason: 'it has just been changed; run the command again' };
  };
}

function refusalOf(row: InstanceRow, nowMs: number, lookedAtMs?: number): string | undefined {
  if (row.status !== 'active') return `it is ${row.status}`;
  if (isLeased(row, nowMs)) return 'a request is at work on it; run the command again in half a minute';
  // A value that the operator has not seen could still come beside the secret's.
  if (row.updateInDoubtUntil !== undefined && row.updateInDoubtUntil > nowMs) {
    const until = new Date(row.updateInDoubtUntil).toISOString();
    return `a request's update of unknown outcome may take effect until ${until}; run the command again then`;
  }
  const lastUpdateAt = Math.max(row.updatedAt, row.updateInDoubtUntil ?? 0);
  if (lookedAtMs !== undefined && lastUpdateAt > lookedAtMs) {
    return 'it may have been updated since you looked; look at it again and give the later time';
  }
  return undefined;
}

/** Takes a new fencing token, so that earlier readers must read the row again. */
function vouchedFor(catalog: Catalog, row: InstanceRow, claimId: string): InstanceRow {
  const vouched = new Set(toVouchFor(catalog, row));
  return {
    ...row,
    claimId,
    source: 'secret',
    requestEntries: requestEntriesOf(row).filter((name) => !vouched.has(name)),
    // The fingerprint stays: the same request is still a repeat.
    allowListed: Object.fromEntries(Object.entries(row.allowListed).filter(([name]) => !vouched.has(name))),
    valuesInDoubt: undefined,
    requestDigest: undefined,
    updateInDoubtUntil: undefined,
  };
}
