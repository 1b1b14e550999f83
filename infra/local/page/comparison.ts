import { tenantIn } from '../../../functions/model/markers.ts';
import type { Instance } from '../cloud-elements/simulator.ts';
import type { Row, Stored, Tone } from './activity.ts';

/** A tenant's element in the table beside its instances at Cloud Elements, and whether the promises hold for it. */

/** Without its token and its configuration. */
export type Live = Pick<Instance, 'id' | 'name' | 'createdAtMs'>;

export type Finding = keyof typeof findings;

const findings = {
  one: { tone: 'good', label: 'One instance', why: 'Recorded here and live there.' },
  duplicated: { tone: 'bad', label: 'Duplicated', why: 'More than one live instance.' },
  lost: { tone: 'bad', label: 'Lost', why: 'Recorded as active, but Cloud Elements does not have it.' },
  orphan: { tone: 'bad', label: 'Orphan', why: 'Live at Cloud Elements, but no row records it.' },
  unreadable: { tone: 'bad', label: 'Unreadable', why: 'The row cannot be read.' },
  unrecorded: {
    tone: 'doubt',
    label: 'In doubt',
    why: 'Created, but the response is missing. The next look-up finds and adopts it.',
  },
  unknown: {
    tone: 'doubt',
    label: 'In doubt',
    why: 'A create has an unknown outcome. Until it is known, no second create is sent.',
  },
  lookingUp: {
    tone: 'doubt',
    label: 'In doubt',
    why: 'The response to its create was lost. The service is looking for the instance.',
  },
  working: { tone: 'busy', label: 'In progress', why: 'A request is being worked on.' },
  storing: { tone: 'busy', label: 'In progress', why: 'Created. The response is on its way into the table.' },
  removing: { tone: 'busy', label: 'Being removed', why: 'Deletion completes in the background.' },
  failed: { tone: 'plain', label: 'Failed', why: 'Nothing was created.' },
  removed: { tone: 'plain', label: 'Removed', why: 'The tombstone keeps late events out.' },
} as const satisfies Record<string, { tone: Tone; label: string; why: string }>;

export type Compared = {
  readonly tenantId: string;
  readonly elementKey: string;
  readonly stored: Stored | undefined;
  readonly instances: readonly Live[];
  readonly finding: Finding;
} & (typeof findings)[Finding];

export type Comparison = {
  /** Bad ones first, then those in doubt, then the newest. */
  readonly pairs: readonly Compared[];
  /** Instances that no tenant's tag is on: the service did not create them. */
  readonly others: number;
  readonly counts: Record<'tenants' | 'instances' | 'duplicated' | 'lost' | 'doubt', number>;
};

export function compare(rows: readonly Stored[], instances: readonly Instance[]): Comparison {
  const pairs = new Map<string, { tenantId: string; elementKey: string; stored?: Stored; live: Live[] }>();
  function pairOf(tenantId: string, elementKey: string) {
    const id = JSON.stringify([tenantId, elementKey]);
    const pair = pairs.get(id) ?? { tenantId, elementKey, live: [] };
    pairs.set(id, pair);
    return pair;
  }

  for (const stored of rows) pairOf(stored.tenantId, stored.elementKey).stored = stored;
  let others = 0;
  for (const { id, name, createdAtMs, tags, element } of instances) {
    const tenantId = tenantIn({ elementKey: element.key, tags });
    if (tenantId === undefined) others += 1;
    else pairOf(tenantId, element.key).live.push({ id, name, createdAtMs });
  }

  const compared = [...pairs.values()].map(({ tenantId, elementKey, stored, live }): Compared => {
    const finding = findingOn(stored, live);
    return { tenantId, elementKey, stored, instances: live, finding, ...findings[finding] };
  });
  const countOf = (isCounted: (pair: Compared) => boolean): number => compared.filter(isCounted).length;
  return {
    pairs: compared.toReversed().toSorted((a, b) => rankOf(a) - rankOf(b)),
    others,
    counts: {
      tenants: new Set(compared.flatMap(({ tenantId, finding }) => (finding === 'removed' ? [] : [tenantId])))
        .size,
      instances: instances.length - others,
      duplicated: countOf(({ finding }) => finding === 'duplicated'),
      lost: countOf(({ finding }) => finding === 'lost' || finding === 'orphan'),
      doubt: countOf(({ tone }) => tone === 'doubt'),
    },
  };
}

function rankOf({ tone, finding }: Compared): number {
  if (finding === 'removed') return 3;
  return { bad: 0, doubt: 1, busy: 2, good: 2, plain: 2 }[tone];
}

function findingOn(stored: Stored | undefined, live: readonly Live[]): Finding {
  if (live.length > 1) return 'duplicated';
  if (!stored) return 'orphan';
  if (!stored.row) return 'unreadable';
  const [instance] = live;
  switch (stored.row.status) {
    case 'active':
      return instance?.id === stored.row.instanceId && instance ? 'one' : 'lost';
    case 'deleting':
      return 'removing';
    case 'removed':
      return instance ? 'orphan' : 'removed';
    case 'provisioning':
    case 'failed':
      return findingOnOpen({ ...stored, row: stored.row }, instance);
  }
}

function findingOnOpen(
  { row: { status, inDoubt, leaseExpiresAt }, isCreateLost }: Stored & { row: Row },
  instance: Live | undefined,
): Finding {
  const isWorking = status === 'provisioning' && !inDoubt && !isCreateLost;
  if (instance) return isWorking && leaseExpiresAt > Date.now() ? 'storing' : 'unrecorded';
  if (status === 'failed') return 'failed';
  if (inDoubt) return 'unknown';
  return isCreateLost ? 'lookingUp' : 'working';
}
