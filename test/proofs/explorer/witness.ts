import type { InstanceKey, InstanceRow } from '../../../functions/model/instance.ts';
import type { CloudElementsModel, ModelInstance } from './cloud-elements-model.ts';
import { createRemovalWitness, nameOf, type Requested, type Told } from './removal-witness.ts';
import type { Secret } from './aws-calls.ts';
import { createResultsWitness } from './results-witness.ts';
import type { Invocation, World } from './world.ts';

/** A `POST /instances`: `isLate` while it is abandoned, but may still take effect. */
export type Create = {
  invocation: Invocation;
  key: InstanceKey;
  marker: string;
  isAnswered: boolean;
  isLate: boolean;
};

/** A PATCH that sets the markers of a generation. */
export type Marking = {
  invocation: Invocation;
  instance: ModelInstance | undefined;
  marker: string | undefined;
  isAnswered: boolean;
  isLate: boolean;
};

const fenceOf = ({ status, provisionId, claimId, leaseExpiresAt }: InstanceRow): string =>
  `${status} ${provisionId} ${claimId} ${leaseExpiresAt}`;

/** Checks the promises of the service, and records the first that is broken. */
export function createWitness({
  world,
  modelAt,
  rows,
  find,
  isMemorable,
  secret,
}: {
  world: World;
  secret: Secret;
  /** The model of Cloud Elements at that origin. */
  modelAt: (origin: string) => CloudElementsModel;
  rows: () => InstanceRow[];
  find: (key: InstanceKey) => InstanceRow | undefined;
  /** The scenario contains a removal, so requests must be recorded. */
  isMemorable: boolean;
}) {
  let violation: string | undefined;
  const creates: Create[] = [];
  const markings: Marking[] = [];
  const requested = new Map<string, Requested>();
  /** By the row's key: instances that were active, so callers may know them or their tokens. */
  const everActive = new Map<string, Set<number>>();

  /** By the row's key: the fencing tokens of all its states. */
  const fences = new Map<string, Set<string>>();

  const report = (what: string): void => {
    if (violation !== undefined) return;
    violation = what;
    world.note(`VIOLATION: ${what}`);
  };
  const removals = createRemovalWitness({ world, report, rows, isMemorable });
  const results = createResultsWitness({ report });

  const activeOf = (key: InstanceKey): Set<number> => {
    const known = everActive.get(nameOf(key)) ?? new Set();
    everActive.set(nameOf(key), known);
    return known;
  };

  /** A row may have been written, or removed; both are copies from the store. */
  function rowChanged(
    key: InstanceKey,
    before: InstanceRow | undefined,
    after: InstanceRow | undefined,
    invocation: Invocation,
  ): void {
    if (before === after) return;
    if (after) isNew(key, before, after);
    if (after?.status === 'active') {
      const instance = modelAt(after.origin).find(after.instanceId);
      if (!instance?.isAlive) report(`active with instance ${after.instanceId}, which does not exist`);
      else if (sealed(instance.token) !== textOf(after.token)) report('stored a token of another instance');
      else if (!instance.tags.includes(`provision:${after.provisionId}`)) report('active without its marker');
      activeOf(key).add(after.instanceId ?? 0);
    }
    if (after?.expiresAt !== undefined && after.status !== 'removed')
      report(`${after.status}, and yet to expire`);
    if (after?.token && after.status !== 'active') report(`${after.status}, and yet with a token`);
    const holder = before && !world.doubts.freezes ? holderOf(before) : undefined;
    if (holder && holder !== invocation) {
      report(`${invocation.name} takes the row from ${holder.name}, which is at work`);
    }
    if (before && isGivenUp(before, after) && !world.doubts.overdueCreates) {
      const marker = `provision:${before.provisionId}`;
      const left = modelAt(before.origin)
        .living()
        .find(({ tags }) => tags.includes(marker));
      if (left) report(`instance ${left.id} is given up and lives`);
      const create = creates.find((each) => each.marker === marker && isInFlight(each));
      if (create) report(`the create of ${create.invocation.name} is given up and may take effect`);
      const marking = markings.find(
        (each) => each.marker === marker && each.instance?.isAlive && isInFlight(each),
      );
      if (marking) report(`markers of ${marking.invocation.name} may appear, and no row would know them`);
    }
    if (before?.status === 'active') {
      const isStill = after?.status === 'active' && after.instanceId === before.instanceId;
      const isOnItsWayOut = after?.status === 'deleting' && after.provisionId === before.provisionId;
      if (!isStill && !isOnItsWayOut) report(`instance ${before.instanceId} was active and lost its row`);
    }
    removals.rowChanged(key, before, after, invocation, requested.get(invocation.name));
    if (results.rowChanged(before, after)) removals.isGone(key.tenantId, whatIsThere(key.tenantId));
  }

  /** A write must change the fencing token, or a reader could miss it. */
  function isNew(key: InstanceKey, before: InstanceRow | undefined, after: InstanceRow): void {
    const known = fences.get(nameOf(key)) ?? new Set();
    fences.set(nameOf(key), known);
    const fence = fenceOf(after);
    // A repeated insert that arrives after the row has gone has the same content.
    const isOther = before !== undefined && fenceOf(before) !== fence;
    if (isOther && known.has(fence)) report(`${fence} was written before`);
    known.add(fence);
  }

  /** The elements for which the tenant has an instance, or may get one by an earlier create. */
  function whatIsThere(tenantId: string): InstanceKey[] {
    const isOfTenant = ({ tags }: ModelInstance) => tags.includes(`tenant:${tenantId}`);
    const living = origins().flatMap((origin) => modelAt(origin).living().filter(isOfTenant));
    return [
      ...living.map(({ elementKey }) => ({ tenantId, elementKey })),
      ...creates.filter(isInFlight).map(({ key }) => key),
    ];
  }

  const origins = () => [...new Set(rows().map(({ origin }) => origin))];

  /** The holder of a live claim of the row. During a removal there may be two. */
  function holderOf({ status, claimId, leaseExpiresAt }: InstanceRow): Invocation | undefined {
    if (leaseExpiresAt === 0 || status === 'deleting' || status === 'removed') return undefined;
    return [...world.invocations].find(({ name }) => claimId.startsWith(`${name}.`));
  }

  /** A create is about to be sent. */
  function createBegins(
    invocation: Invocation,
    { tenantId, elementKey, tags }: InstanceKey & { tags: readonly string[] },
    timeoutMs: number,
  ) {
    const key = { tenantId, elementKey };
    const rival = creates.find((each) => nameOf(each.key) === nameOf(key) && isInFlight(each));
    if (rival) report(`${invocation.name} creates beside the create of ${rival.invocation.name}`);
    const row = find(key);
    if (requested.get(invocation.name)?.kind === 'import') report(`${invocation.name} imports and creates`);
    if (row?.importing) report(`${invocation.name} creates over an unfinished import`);
    if (!row || !tags.includes(`provision:${row.provisionId}`)) {
      report(`${invocation.name} creates without holding the row`);
    } else if (world.now() + invocation.aheadMs + timeoutMs > row.sendDeadline) {
      report(`${invocation.name} may send a create after the row's sendDeadline`);
    }
    const marker = tags.find((tag) => tag.startsWith('provision:')) ?? '';
    const create: Create = { invocation, key, marker, isAnswered: false, isLate: false };
    creates.push(create);
    const sent = () => {
      if (world.now() + invocation.aheadMs > (row?.sendDeadline ?? 0)) {
        report(`${invocation.name} sends a create after the row's sendDeadline`);
      }
    };
    return { create, sent };
  }

  /** A PATCH is about to be sent. */
  function marks(
    invocation: Invocation,
    { instance, tags }: { instance: ModelInstance | undefined; tags: readonly string[] | undefined },
  ): Marking {
    const marker = tags?.find((tag) => tag.startsWith('provision:'));
    const marking = { invocation, instance, marker, isAnswered: false, isLate: false };
    markings.push(marking);
    return marking;
  }

  /** An instance that the tenant's team has made goes only with the active row that has recorded it. */
  function mayGo(id: number): boolean {
    return rows().some(
      (row) =>
        (row.status === 'deleting' || row.status === 'removed') &&
        row.instanceId === id &&
        !row.importing &&
        activeOf(row).has(id),
    );
  }

  /** An instance is about to be removed at Cloud Elements. */
  function removes(origin: string, id: number): void {
    if (modelAt(origin).find(id)?.ownTags && !mayGo(id)) {
      report(`instance ${id}, which was made by hand, is removed without a row that has recorded it`);
    }
    const isInUse = rows().some(
      (row) => row.status === 'active' && row.origin === origin && row.instanceId === id,
    );
    if (isInUse) report(`instance ${id} is removed while it is in use`);
  }

  function begins(invocation: Invocation, what: Requested): void {
    requested.set(invocation.name, what);
    removals.begins(invocation, what);
    results.begins(what);
  }

  /** @param row the row behind the response, if any */
  function ends(
    invocation: Invocation,
    told: Told,
    row?: Pick<InstanceRow, keyof InstanceKey | 'status' | 'instanceId'>,
  ): void {
    if (invocation.pending.length > 0) report(`${invocation.name} has returned and is still at work`);
    const what = requested.get(invocation.name);
    if (!what) return;
    if (row && 'outcome' in told) responses(told.outcome, row);
    keysAreKept();
    removals.ends(invocation, what, told);
    results.ends(what, told);
  }

  function responses(
    outcome: string,
    row: Pick<InstanceRow, keyof InstanceKey | 'status' | 'instanceId'>,
  ): void {
    if (outcome === 'outdated') return;
    if (row.status === 'removed') report(`answered "${outcome}" by a tombstone`);
    const isThere = outcome === 'created' || outcome === 'replayed';
    if (isThere && !activeOf(row).has(row.instanceId ?? 0))
      report('responds with an instance that was never active');
  }

  /** DynamoDB deletes an expired row. */
  function forgets(row: InstanceRow): void {
    if (row.status !== 'removed') report(`the row of ${nameOf(row)} is forgotten, which is ${row.status}`);
  }

  /** All actors have finished, and every row has settled. */
  function settled(): void {
    for (const row of rows()) {
      const { status, leaseExpiresAt, checkAt } = row;
      if (status === 'provisioning' || status === 'deleting') report(`stuck: still ${status}`);
      if (leaseExpiresAt > world.now() || checkAt !== undefined) report(`stuck: ${status}, yet not settled`);
      const isLost = status === 'active' && !modelAt(row.origin).find(row.instanceId)?.isAlive;
      if (isLost) report('the instance is lost');
    }
    for (const origin of origins()) {
      const held = new Map(
        rows().map((row) => [row.status === 'active' && row.origin === origin ? row.instanceId : 0, row]),
      );
      for (const { id, tags, ownTags } of modelAt(origin).living()) {
        const row = held.get(id);
        if (ownTags && !row) {
          if (tags.join() !== ownTags.join()) report(`instance ${id} is not as its team has made it`);
          continue;
        }
        if (!row || !tags.includes(`provision:${row.provisionId}`))
          report(`instance ${id} lives, and no row holds it`);
      }
    }
    removals.settled();
  }

  /** Every message has been handled, too. */
  function over(): void {
    results.settled();
    for (const { status, source, origin, instanceId } of rows()) {
      const key = modelAt(origin).find(instanceId)?.configuration['api.key'];
      const isCompared = status === 'active' && source === 'secret' && secret.isChanged && !secret.isRefused;
      if (isCompared && key !== secret.key)
        report(`the instance has the key ${String(key)}, and the secret ${secret.key}`);
    }
  }

  /** A key from the secret is never beside an address that a caller has chosen. */
  function keysAreKept(): void {
    for (const { id, configuration } of origins().flatMap((origin) => modelAt(origin).instances)) {
      const isStored = String(configuration['api.key']).startsWith('stored');
      if (isStored && configuration['base.url'] !== undefined)
        report(`instance ${id} has a stored key beside the address of a caller`);
    }
  }

  const state = () =>
    [
      ...creates.filter(isInFlight).map(({ invocation, key }) => `${invocation.name} ${nameOf(key)}`),
      ...markings.filter(isInFlight).map(({ invocation, marker }) => `${invocation.name} ${marker}`),
      ...[...everActive].map(([name, ids]) => `${name} ${[...ids].join()}`),
      removals.state(),
      results.state(),
    ].join('\n');

  return {
    report,
    violation: () => violation,
    rowChanged,
    createBegins,
    marks,
    removes,
    begins,
    ends,
    forgets,
    isLeft: removals.isLeft,
    settled,
    over,
    results: results.results,
    state,
  };
}
export type Witness = ReturnType<typeof createWitness>;

/** From here on the instance of the row's generation is not looked up any more, or must not be used. */
const isGivenUp = (before: InstanceRow, after: InstanceRow | undefined): boolean =>
  after?.provisionId !== before.provisionId ||
  (before.status === 'provisioning' && after.status === 'failed') ||
  (before.status === 'deleting' && after.status === 'removed');

const isInFlight = ({ invocation, isAnswered, isLate }: Create | Marking): boolean =>
  isLate || !(isAnswered || invocation.isOver);

export const sealed = (token: string): string => `sealed ${token}`;
export const textOf = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString();
