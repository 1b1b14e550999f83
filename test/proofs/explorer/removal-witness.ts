import type { InstanceKey, InstanceRow } from '../../../functions/model/instance.ts';
import type { Message, Stamp } from './messages.ts';
import type { Invocation, World } from './world.ts';

/** The request behind an invocation, as far as the promises depend on it. */
export type Requested = {
  kind: 'provision' | 'import' | 'remove' | 'update' | 'reconcile' | 'audit';
  tenantId: string;
  /** Absent for a removal of the whole tenant. */
  elementKey: string | undefined;
  /** Absent when it came over HTTP. */
  message: Message | undefined;
  /** When it began, by its host's clock. */
  beganAt: number;
};

/** The end of an invocation: a response or an error. */
export type Told = { outcome: string } | { code: string; isRetryable: boolean };

/** A request for an instance. */
type Request = {
  id: string;
  key: string;
  /** An event that was put back from the dead letters may have two. */
  stamps: readonly Stamp[];
  /** Its response was that the instance exists. */
  isTold: boolean;
  /** Its response was that no instance was created for it. */
  isRefused: boolean;
  /** An earlier delivery was refused: the event has its answer. */
  wasRefused: boolean;
  /** Removals that were accepted or in progress when it claimed the row. */
  after: ReadonlySet<string>;
  beside: ReadonlySet<string>;
};

/** A request for the removal of an instance or of a tenant. */
type Removal = {
  id: string;
  tenantId: string;
  elementKey: string | undefined;
  stamps: readonly Stamp[];
  /** It ended without an error. */
  isAccepted: boolean;
  /** It has changed a row. */
  hasWritten: boolean;
};

/** The largest difference between clocks of our hosts, the queue and senders. */
const clocksDifferByMs = 5_000;

/** EventBridge keeps a message for a day, the queue for four, the dead-letter queue for fourteen. */
const oldestMessageMs = (1 + 4 + 14) * 24 * 60 * 60 * 1_000;

/** Errors after which certainly no instance was created for the request. */
const refusals = new Set([
  'refused-by-cloud-elements',
  'missing-configuration',
  'cloud-elements-unreachable',
]);

/** Checks that removals are final, and that only a later removal undoes a request. */
export function createRemovalWitness({
  world,
  report,
  rows,
  isMemorable,
}: {
  world: World;
  report: (what: string) => void;
  rows: () => InstanceRow[];
  /** The scenario contains a removal, so requests must be recorded. */
  isMemorable: boolean;
}) {
  const requests = new Map<string, Request>();
  const removals = new Map<string, Removal>();

  function begins(invocation: Invocation, requested: Requested): void {
    const { kind, tenantId, elementKey, message } = requested;
    const id = idOf(invocation, requested);
    const stamp: Stamp = message?.stamp ?? { clock: 'host', at: requested.beganAt };
    if (kind === 'remove') {
      const known = removals.get(id) ?? { stamps: [], isAccepted: false, hasWritten: false };
      removals.set(id, { ...known, id, tenantId, elementKey, stamps: withStamp(known.stamps, stamp) });
    }
    if (kind === 'provision' && message && elementKey !== undefined) {
      const key = nameOf({ tenantId, elementKey });
      const known = requests.get(id) ?? { ...fresh, stamps: [] };
      const wasRefused = known.wasRefused || known.isRefused;
      requests.set(id, {
        ...known,
        id,
        key,
        isRefused: false,
        wasRefused,
        stamps: withStamp(known.stamps, stamp),
      });
    }
  }

  function rowChanged(
    key: InstanceKey,
    before: InstanceRow | undefined,
    after: InstanceRow | undefined,
    invocation: Invocation,
    requested: Requested | undefined,
  ): void {
    if (!requested) return;
    const isClaimed =
      after?.status === 'provisioning' &&
      (before?.status !== 'provisioning' || before.claimId !== after.claimId);
    const isRequest = requested.kind === 'provision' || requested.kind === 'import';
    if (isClaimed && isRequest && isMemorable) claims(key, invocation, requested);
    // A changed secret retries a refused request.
    if (isClaimed && requested.kind === 'update') retries(key);
    const removal = removals.get(idOf(invocation, requested));
    if (removal) removal.hasWritten = true;
    if (after?.status === 'active' && before?.status !== 'active') isWanted(key);
    if (after?.status === 'deleting' && before && before.status !== 'deleting')
      isUnwanted(key, requested, removal);
  }

  function claims(key: InstanceKey, invocation: Invocation, requested: Requested): void {
    const isAtWork = ({ id }: Removal) => [...world.invocations].some(({ name }) => name === id);
    const all = [...removals.values()].filter((removal) => isOf(removal, key));
    const after = new Set(all.flatMap(({ id, isAccepted }) => (isAccepted ? id : [])));
    const id = idOf(invocation, requested);
    const event = requests.get(id);
    if (event && requested.message) {
      requests.set(id, { ...event, after });
      return;
    }
    // An HTTP request counts from now, or from its beginning.
    const beside = all.filter((each) => !each.isAccepted && (each.hasWritten || isAtWork(each)));
    requests.set(id, {
      ...fresh,
      id,
      key: nameOf(key),
      stamps: [requested.beganAt, world.now() + invocation.aheadMs].map((at) => ({ clock: 'host', at })),
      after,
      beside: new Set(beside.map((each) => each.id)),
    });
  }

  function retries(key: InstanceKey): void {
    for (const request of requests.values()) {
      if (request.key === nameOf(key)) request.isRefused = false;
    }
  }

  /** An instance of the row is in use from here on, or already was. */
  function isWanted(key: InstanceKey, others: readonly Removal[] = []): void {
    const accepted = [...removals.values()]
      .filter((each) => each.isAccepted && isOf(each, key))
      .concat(others);
    if (accepted.length > 0 && !hasRequest(key, accepted)) {
      report(`${nameOf(key)} was removed and is there again`);
    }
  }

  /** Whether there is a request that none of these removals ends. */
  function hasRequest(key: InstanceKey, these: readonly Removal[]): boolean {
    const all = [...requests.values()].filter((each) => each.key === nameOf(key));
    const rest = these.filter((removal) => !all.some((request) => isLastWord(request, removal)));
    return all.some((request) => !request.isRefused && rest.every((removal) => mayStand(request, removal)));
  }

  /** Whether a failed request leaves nothing to do for an earlier removal that arrives later. */
  function isLastWord(request: Request, removal: Removal): boolean {
    const { isRefused, after } = request;
    return isRefused && !after.has(removal.id) && pairs(request, removal).some(isAfter);
  }

  function mayStand(request: Request, removal: Removal): boolean {
    const isBeside = request.beside.has(removal.id);
    return isBeside || isSurelyAfter(request, removal) || pairs(request, removal).some(isAfter);
  }

  function isSurelyAfter(request: Request, removal: Removal): boolean {
    if (pairs(request, removal).every(isAfter)) return true;
    return isOverHttp(request) && (request.after.has(removal.id) || isCarriedOut(removal, request));
  }

  /** Whether a later removal of the same was carried out before the request, and this one with it. */
  function isCarriedOut(removal: Removal, { after, beside }: Request): boolean {
    return [...removals.values()].some(
      (other) =>
        // One that has written the row, though its response is still on its way, is carried out as well.
        (after.has(other.id) || (beside.has(other.id) && other.hasWritten)) &&
        (other.elementKey === removal.elementKey ||
          [other, removal].some((each) => each.elementKey === undefined)) &&
        pairs(other, removal).every(isLaterThan),
    );
  }

  /** A row begins to be removed. */
  function isUnwanted(key: InstanceKey, { message }: Requested, removal: Removal | undefined): void {
    // An HTTP request removes any existing instance.
    if (removal && !message) return;
    const these =
      removal?.elementKey === undefined
        ? [...removals.values()].filter((each) => each.hasWritten && !each.elementKey && isOf(each, key))
        : [removal];
    if (these.length === 0) return report(`${nameOf(key)} is removed without a request`);
    const isUndone = [...requests.values()].some(
      (request) =>
        request.key === nameOf(key) && request.isTold && these.every((each) => isSurelyAfter(request, each)),
    );
    if (isUndone) report(`a request for ${nameOf(key)} was answered and is undone by an older removal`);
  }

  function ends(invocation: Invocation, requested: Requested, told: Told): void {
    const removal = removals.get(idOf(invocation, requested));
    if (removal && 'outcome' in told) {
      // An ignored removal has no effect: the previous request still holds.
      removal.isAccepted ||= told.outcome !== 'outdated' || removal.elementKey === undefined;
      for (const row of rows()) if (row.status === 'active' && isOf(removal, row)) isWanted(row, [removal]);
    }
    const request = requests.get(idOf(invocation, requested));
    if (!request) return;
    // An import that is refused may have another import of the same instance beside it.
    if ('code' in told && requested.kind !== 'import')
      request.isRefused = !told.isRetryable || refusals.has(told.code);
    if (!('outcome' in told)) return;
    // A redelivery of a refused event is a repeat of the refusal.
    const isRepeat = told.outcome === 'replayed' && !request.wasRefused;
    if (told.outcome === 'created' || isRepeat) request.isTold = true;
    if (told.outcome === 'outdated') isRightlyIgnored(request, requested);
  }

  function isRightlyIgnored({ id, key }: Request, { tenantId, elementKey = '', message }: Requested): void {
    const request = requests.get(id);
    const isRemoved = [...removals.values()].some(
      (removal) => isOf(removal, { tenantId, elementKey }) && request && !isSurelyAfter(request, removal),
    );
    if (!isRemoved && !(message && isOlder(message)))
      report(`${id} is ignored, and ${key} was not removed after it`);
  }

  /** The message is too old for the bus, the queue and the dead letters. */
  const isOlder = ({ stamp }: Message): boolean => world.now() - stamp.at > oldestMessageMs;

  /** The message is not put back from the dead letters. */
  function isLeft(message: Message): void {
    if (!isOlder(message)) report(`${message.event.id} is left with the dead letters`);
  }

  /** A result says that the whole tenant is gone: every existing or possible instance must have a later request. */
  function isGone(tenantId: string, there: readonly InstanceKey[]): void {
    const these = [...removals.values()].filter(
      (each) => each.hasWritten && each.tenantId === tenantId && each.elementKey === undefined,
    );
    if (these.length === 0) report(`tenant ${tenantId} is reported gone without a request`);
    const left = there.find((key) => key.tenantId === tenantId && !hasRequest(key, these));
    if (left) report(`tenant ${tenantId} is said to be gone, and ${nameOf(left)} is there`);
  }

  function settled(): void {
    for (const row of rows()) if (row.status === 'active') isWanted(row);
  }

  const state = () =>
    [
      ...new Set([...requests.values()].map(factsOf)),
      ...[...removals.values()].map(
        ({ id, stamps, isAccepted, hasWritten }) => `${id} ${timesOf(stamps)} ${isAccepted} ${hasWritten}`,
      ),
    ].join('\n');

  return { begins, rowChanged, ends, isLeft, isGone, settled, state };
}

/** The same event is the same request, however often it is delivered. */
const idOf = ({ name }: Invocation, { message }: Requested): string => message?.event.id ?? name;

/** The facts of a request; HTTP requests are interchangeable. */
function factsOf(request: Request): string {
  const { id, key, stamps, isTold, isRefused, wasRefused, after, beside } = request;
  const facts = [isOverHttp(request) ? '' : id, key, timesOf(stamps), isTold, isRefused, wasRefused];
  return [...facts, [...after].join(), [...beside].join()].join(' ');
}

const fresh = {
  isTold: false,
  isRefused: false,
  wasRefused: false,
  after: new Set<string>(),
  beside: new Set<string>(),
};

type Stamps = { stamps: readonly Stamp[] };

const pairs = (one: Stamps, other: Stamps): [Stamp, Stamp][] =>
  one.stamps.flatMap((each) => other.stamps.map((stamp): [Stamp, Stamp] => [each, stamp]));

const withStamp = (stamps: readonly Stamp[], stamp: Stamp): readonly Stamp[] =>
  stamps.some(({ clock, at }) => clock === stamp.clock && at === stamp.at) ? stamps : [...stamps, stamp];

const timesOf = (stamps: readonly Stamp[]): string => stamps.map(({ clock, at }) => `${clock}${at}`).join();
const isOverHttp = ({ stamps }: Stamps): boolean => stamps.some(({ clock }) => clock === 'host');

/** Whether the request is after the removal, by rules independent of the code. In doubt the removal wins. */
function isAfter([request, removal]: [Stamp, Stamp]): boolean {
  if (request.clock !== removal.clock) return request.at - removal.at > clocksDifferByMs;
  // HTTP requests count in order of arrival, independent of the clocks of their hosts.
  if (request.clock === 'host') return false;
  // Two stamps of one queue, or two of senders, in whole seconds.
  return Math.floor(request.at / 1_000) > Math.floor(removal.at / 1_000);
}

const isLaterThan = ([one, other]: [Stamp, Stamp]): boolean =>
  one.at - other.at > (one.clock === other.clock ? 0 : clocksDifferByMs);

const isOf = ({ tenantId, elementKey }: Removal, key: InstanceKey): boolean =>
  tenantId === key.tenantId && (elementKey === undefined || elementKey === key.elementKey);

export const nameOf = ({ tenantId, elementKey }: InstanceKey): string => `${tenantId}/${elementKey}`;
