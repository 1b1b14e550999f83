import type { EventOrigin, InstanceKey, InstanceRow } from '../../functions/core/instance.ts';
import type { CloudElementsModel } from './cloud-elements-model.ts';
import type { Invocation, World } from './world.ts';

/** What an invocation is for, as far as the promises depend on it. */
export type Asked = {
  kind: 'provision' | 'remove' | 'change' | 'reconcile';
  key: InstanceKey;
  /** When whoever wants it asked, by the clock that told the time then. */
  askedAt: number;
  askedBy: EventOrigin | undefined;
};

/** What has been promised about one instance. */
type Promises = {
  /** It was active: whoever asked then was told so, or read its token. */
  everActive: Set<number>;
  /** Requests that were acknowledged. */
  onboardings: Asked[];
  /** Removals that were acknowledged, and that no later request has made void. */
  removals: Asked[];
};

/** A `POST /instances`: `isLate` while it may still take effect although nobody waits for it. */
export type Create = {
  invocation: Invocation;
  name: string;
  marker: string;
  isAnswered: boolean;
  isLate: boolean;
};

/** Watches the promises of the service being kept, and remembers the first that is broken. */
export function createWitness({
  world,
  model,
  rows,
  find,
}: {
  world: World;
  model: CloudElementsModel;
  rows: () => InstanceRow[];
  find: (key: InstanceKey) => InstanceRow | undefined;
}) {
  let violation: string | undefined;
  const promises = new Map<string, Promises>();
  const creates: Create[] = [];
  const asked = new Map<string, Asked>();
  /** Removals under way, and whether somebody asked for the instance meanwhile, and so perhaps after them. */
  const removals = new Map<Asked, { isOvertaken: boolean }>();

  const report = (what: string): void => {
    if (violation !== undefined) return;
    violation = what;
    world.note(`VIOLATION: ${what}`);
  };

  function promisesOf(key: InstanceKey): Promises {
    const name = nameOf(key);
    const kept = promises.get(name) ?? { everActive: new Set(), onboardings: [], removals: [] };
    promises.set(name, kept);
    return kept;
  }

  /** A row may have been written, or removed; both are as the store holds them. */
  function rowChanged(
    key: InstanceKey,
    before: InstanceRow | undefined,
    after: InstanceRow | undefined,
    invocation: Invocation,
  ): void {
    if (before === after) return;
    if (after?.status === 'active') {
      const instance = model.find(after.instanceId ?? 0);
      if (!instance?.isAlive) report(`active with instance ${after.instanceId}, which does not exist`);
      else if (sealed(instance.token) !== textOf(after.token)) report('stored a token of another instance');
      else if (!instance.tags.includes(`provision:${after.provisionId}`)) report('active without its marker');
      promisesOf(key).everActive.add(after.instanceId ?? 0);
    }
    if (after?.token && after.status !== 'active') report(`${after.status}, and yet with a token`);
    const holder = before && !world.doubts.freezes ? holderOf(before) : undefined;
    if (holder && holder !== invocation) {
      report(`${invocation.name} takes the row from ${holder.name}, which is at work`);
    }
    if (before && isGivenUp(before, after) && !world.doubts.overdueCreates) {
      const marker = `provision:${before.provisionId}`;
      const left = model.living().find(({ tags }) => tags.includes(marker));
      if (left) report(`instance ${left.id} is given up and lives`);
      const create = creates.find((each) => each.marker === marker && isInFlight(each));
      if (create) report(`the create of ${create.invocation.name} is given up and may take effect`);
    }
    if (before?.status === 'active') {
      const isStill = after?.status === 'active' && after.instanceId === before.instanceId;
      const isOnItsWayOut = after?.status === 'deleting' && after.provisionId === before.provisionId;
      if (!isStill && !isOnItsWayOut) report(`instance ${before.instanceId} was active and lost its row`);
    }
    const by = asked.get(invocation.name);
    if (after?.status === 'deleting' && before?.status !== 'deleting' && by?.askedBy) {
      if (promisesOf(key).onboardings.some((onboarding) => isAfter(onboarding, by))) {
        report('an acknowledged onboarding was undone by an older removal');
      }
    }
    if (by?.kind === 'provision') askedSince(by);
  }

  /** Who has claimed the row and is still at work. Where an instance only has to go, two may be. */
  function holderOf({ status, attemptId, leaseExpiresAt }: InstanceRow): Invocation | undefined {
    if (leaseExpiresAt === 0 || status === 'deleting' || status === 'removed') return undefined;
    return [...world.invocations].find(({ name }) => attemptId.startsWith(`${name}.`));
  }

  /** A create is about to be sent. */
  function createBegins(
    invocation: Invocation,
    { tenantId, elementKey, tags }: InstanceKey & { tags: readonly string[] },
    timeoutMs: number,
  ) {
    const key = { tenantId, elementKey };
    const name = nameOf(key);
    const rival = creates.find((each) => each.name === name && isInFlight(each));
    if (rival) report(`${invocation.name} creates beside the create of ${rival.invocation.name}`);
    const row = find(key);
    if (!row || !tags.includes(`provision:${row.provisionId}`)) {
      report(`${invocation.name} creates without holding the row`);
    } else if (world.now() + invocation.aheadMs + timeoutMs > row.sendDeadline) {
      report(`${invocation.name} may send a create after the row's sendDeadline`);
    }
    const marker = tags.find((tag) => tag.startsWith('provision:')) ?? '';
    const create: Create = { invocation, name, marker, isAnswered: false, isLate: false };
    creates.push(create);
    const sent = () => {
      if (world.now() + invocation.aheadMs > (row?.sendDeadline ?? 0)) {
        report(`${invocation.name} sends a create after the row's sendDeadline`);
      }
    };
    return { create, sent };
  }

  /** An instance is about to be removed at Cloud Elements. */
  function removes(id: number): void {
    if (rows().some(({ status, instanceId }) => status === 'active' && instanceId === id)) {
      report(`instance ${id} is removed while it is in use`);
    }
  }

  function begins(invocation: Invocation, what: Asked): void {
    asked.set(invocation.name, what);
    if (what.kind === 'remove') removals.set(what, { isOvertaken: false });
  }

  function provisioned(
    what: Asked,
    { outcome, row }: { outcome: string; row: Pick<InstanceRow, 'instanceId'> },
  ): void {
    const promised = promisesOf(what.key);
    if (outcome === 'created' || outcome === 'replayed') {
      if (!promised.everActive.has(row.instanceId ?? 0)) report('told of an instance that was never active');
      // That a request over HTTP was replayed is not remembered.
      if (outcome === 'created' || what.askedBy) {
        promised.onboardings.push(what);
      }
    }
  }

  function removed(what: Asked, { outcome }: { outcome: string }): void {
    const isOvertaken = removals.get(what)?.isOvertaken;
    removals.delete(what);
    if (outcome === 'outdated' || outcome === 'carried-out' || isOvertaken) return;
    promisesOf(what.key).removals.push(what);
  }

  /** However it went. */
  function ends(invocation: Invocation): void {
    if (invocation.pending.length > 0) report(`${invocation.name} has returned and is still at work`);
  }

  function askedSince(what: Asked): void {
    const promised = promisesOf(what.key);
    const isLater = (removal: Asked) => !what.askedBy || isAfter(what, removal);
    promised.removals = promised.removals.filter((removal) => !isLater(removal));
    for (const [removal, meanwhile] of removals) {
      if (nameOf(removal.key) === nameOf(what.key) && isLater(removal)) meanwhile.isOvertaken = true;
    }
  }

  /** Everybody is done, and all has settled. */
  function settled(): void {
    for (const row of rows()) {
      const { status, leaseExpiresAt, checkAt } = row;
      if (status === 'provisioning' || status === 'deleting') report(`stuck: still ${status}`);
      if (leaseExpiresAt > world.now() || checkAt !== undefined) report(`stuck: ${status}, yet not settled`);
      if (status === 'active' && !model.find(row.instanceId ?? 0)?.isAlive) report('the instance is lost');
    }
    for (const { id, tags } of model.living()) {
      const isHeld = rows().some(
        (row) =>
          row.status === 'active' && row.instanceId === id && tags.includes(`provision:${row.provisionId}`),
      );
      if (!isHeld) report(`instance ${id} lives, and no row holds it`);
    }
    for (const [name, promised] of promises) {
      const row = rows().find((each) => nameOf(each) === name);
      if (promised.removals.length > 0 && row?.status === 'active')
        report('it was removed and is there again');
    }
  }

  const state = () =>
    [
      ...creates.filter(isInFlight).map(({ invocation, name }) => `${invocation.name} ${name}`),
      ...[...removals].map(([{ askedAt }, { isOvertaken }]) => `${askedAt} ${isOvertaken}`),
      ...[...promises].map(
        ([name, promised]) =>
          `${name} ${[...promised.everActive].join()} ${timesOf(promised.onboardings)} ${timesOf(promised.removals)}`,
      ),
    ].join('\n');

  return {
    report,
    violation: () => violation,
    rowChanged,
    createBegins,
    removes,
    begins,
    ends,
    provisioned,
    removed,
    settled,
    state,
  };
}
export type Witness = ReturnType<typeof createWitness>;

/** From here on nobody looks for the instance of the row's generation any more, or nobody is to have it. */
const isGivenUp = (before: InstanceRow, after: InstanceRow | undefined): boolean =>
  after?.provisionId !== before.provisionId ||
  (before.status === 'provisioning' && after.status === 'failed') ||
  (before.status === 'deleting' && after.status === 'removed');

/**
 * By rules of its own: an onboarding is after a removal when its second is later; when only one of the two is an event,
 * by more than five seconds.
 */
function isAfter(onboarding: Asked, removal: Asked): boolean {
  const isBothEvents = onboarding.askedBy !== undefined && removal.askedBy !== undefined;
  if (!isBothEvents) return onboarding.askedAt > removal.askedAt + 5_000;
  return Math.floor(onboarding.askedAt / 1_000) > Math.floor(removal.askedAt / 1_000);
}

const timesOf = (all: readonly Asked[]) => all.map(({ askedAt }) => askedAt).join();

const isInFlight = ({ invocation, isAnswered, isLate }: Create): boolean =>
  isLate || !(isAnswered || invocation.isOver);

export const sealed = (token: string): string => `sealed ${token}`;
export const textOf = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString();

const nameOf = ({ tenantId, elementKey }: InstanceKey): string => `${tenantId}/${elementKey}`;
