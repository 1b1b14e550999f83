import { withDefaults } from './defaults.ts';
import type { AuditProgressStore, ListedInstance, ListWalk, Ports } from './ports.ts';
import type { Ownership } from '../model/markers.ts';
import { OnboardingError } from '../model/errors.ts';
import { loggableId, type InstanceId } from '../model/instance-id.ts';
import {
  auditPartition,
  elementKeySchema,
  tenantIdSchema,
  wholeTenant,
  type InstanceKey,
  type InstanceRow,
} from '../model/instance.ts';
import { lastAuditKey } from '../model/last-audit.ts';
import { isLeased } from './lifecycle.ts';
import { createRecordedInstances, type Recorded, type RecordedInstances } from './recorded-instances.ts';
import { generationIn, ownershipOf, showsOwner, tenantIn } from '../model/markers.ts';
import { healthEveryMs } from '../model/timing.ts';

/** How the table and Cloud Elements differ, where neither a request nor the reconciler is at work: how many of each. */
export type Audit = {
  /** Active rows, and instances of this stage, that were compared. */
  ours: number;
  theirs: number;
  /** Active rows whose instance the list did not show, and how many of those instances were read by their id. */
  notListed: number;
  readById: number;
  /** Active here, and Cloud Elements denies that there is such an instance: the token opens nothing. */
  lost: number;
  /** At Cloud Elements with this stage's tag, but no row owns it. */
  orphaned: number;
  /** Recorded by a row, but it shows that it belongs to another tenant, stage or element. */
  notOurs: number;
  /** Cloud Elements says that it does not work, or it was switched off there. */
  invalid: number;
  disabled: number;
  /** Active rows whose token was missing and has been fetched again. */
  refilled: number;
  /** Rows that this version cannot read. */
  unreadable: number;
  /** Fewer than half of the instances that active rows record were seen: nothing is concluded of the others. */
  notVisible: boolean;
  /** False when time ran out, or a list or a read broke off: then the figures cover only a part. */
  complete: boolean;
};

type Run = { result: Audit; endsAt: number };

/** Waits before a page is requested again. */
const pageRetryDelaysMs = [500, 2_000];

/**
 * A list whose page tokens are refused, or whose pages are too large, is walked through from its beginning so many
 * times.
 */
const mostWalks = 3;

/** Instances read by their ids at the same time. */
const readsAtOnce = 10;

/** Rows written at the same time. */
const writesAtOnce = 20;

/** Of so many reads by id most were in vain: more of them would not make the instances visible. */
const visibilitySample = 100;

/**
 * Compares all of the table with all that Cloud Elements has of this stage. It changes nothing, but that a missing
 * token is fetched again, and a missing check of health scheduled: every other difference is for the operator to judge.
 *
 * The list proves only that an instance exists, never that it does not. An instance that it does not show is read by
 * its id, and is lost only if Cloud Elements denies it and its row has not changed meanwhile. Reads for which the time
 * does not suffice are left to the next run, which begins with them.
 */
export function createAuditing(
  ports: Omit<Ports, 'readTenantSecret' | 'catalog'> & { progress: AuditProgressStore },
) {
  const { store, progress, cloudElements, cipher, origin, stage, observe, timing, now, sleep, newId } =
    withDefaults(ports);
  return async function audit({ deadlineAt }: { deadlineAt: number }): Promise<Audit> {
    const startedAt = now();
    const result: Audit = {
      ours: 0,
      theirs: 0,
      notListed: 0,
      readById: 0,
      lost: 0,
      orphaned: 0,
      notOurs: 0,
      invalid: 0,
      disabled: 0,
      refilled: 0,
      unreadable: 0,
      notVisible: false,
      complete: true,
    };
    const run = { result, endsAt: deadlineAt - timing.commitReserveMs };
    // Rows first: an instance made in between seems to have no row, so its row is read again before it is counted.
    const recorded = await readRows(run);
    // A list that broke off says nothing about the instances it does not show.
    if (recorded && (await walkList(run, recorded))) await readNotListed(run, recorded);
    else result.complete = false;
    await keep(result, startedAt);
    return result;
  };

  /** For `npm run status`. A result that cannot be kept is logged and returned all the same. */
  async function keep(result: Audit, startedAt: number): Promise<void> {
    try {
      await progress.finish({ startedAt, endedAt: now(), result });
    } catch (error) {
      if (!(error instanceof OnboardingError)) throw error;
      observe({ kind: 'left-open', reason: error.message }, nameOf(lastAuditKey));
    }
  }

  /** The active rows, by their instance; undefined when the time does not suffice. */
  async function readRows(run: Run): Promise<RecordedInstances | undefined> {
    const recorded = createRecordedInstances();
    const unchecked: InstanceRow[] = [];
    for await (const { row, ...key } of store.all()) {
      if (now() > run.endsAt) return undefined;
      if (key.tenantId === auditPartition || key.elementKey === wholeTenant) continue;
      if (!row) {
        run.result.unreadable += 1;
        observe({ kind: 'row-unreadable' }, nameOf(key));
        continue;
      }
      const { status, instanceId } = row;
      if (status !== 'active' || instanceId === undefined || row.origin !== origin) continue;
      run.result.ours += 1;
      recorded.add({ ...key, instanceId, fence: fenceOf(row), hasToken: row.token !== undefined });
      if (row.healthCheckAt === undefined) unchecked.push(row);
      if (unchecked.length === writesAtOnce) await scheduleChecks(run, unchecked.splice(0));
    }
    await scheduleChecks(run, unchecked);
    return recorded;
  }

  /** Rows of earlier versions have no check of health ahead. Spread over a day by a number that is random per row. */
  async function scheduleChecks(run: Run, rows: readonly InstanceRow[]) {
    await Promise.all(
      rows.map(async (row) => {
        if (isLeased(row, now())) return;
        const healthCheckAt = now() + (fenceOf(row) % healthEveryMs);
        await attempt(run, row, async () => {
          await store.claim({ ...row, healthCheckAt, claimId: newId() }, row);
        });
      }),
    );
  }

  /** @returns whether all of the list was seen */
  async function walkList(run: Run, recorded: RecordedInstances): Promise<boolean> {
    const others = new Set<InstanceId>();
    let start: ListWalk | undefined;
    for (let walks = 0; walks < mostWalks; walks++) {
      const ended = await walkOnce(run, recorded, others, start);
      if (typeof ended === 'string') return ended === 'whole';
      start = ended.walk;
    }
    return false;
  }

  /** @param others instances without a row that a page has shown already: the list shifts while it is walked through */
  async function walkOnce(
    run: Run,
    recorded: RecordedInstances,
    others: Set<InstanceId>,
    start: ListWalk | undefined,
  ): Promise<'whole' | 'broken-off' | { walk: ListWalk | undefined }> {
    const pages = new Set<string>();
    let walk = start;
    let page: string | undefined;
    for (;;) {
      const list = await listPage(run, page, walk);
      if (list.kind === 'unknown') return 'broken-off';
      if (list.kind === 'refused') return { walk: list.walk };
      ({ walk } = list);
      const news = list.instances.flatMap((instance) => {
        const { id } = instance;
        const places = recorded.placesOf(id);
        if (others.has(id) || places.some((place) => recorded.isSeen(place))) return [];
        if (places.length === 0) others.add(id);
        for (const place of places) recorded.see(place);
        return [{ instance, rows: places.map((place) => recorded.get(place)) }];
      });
      await Promise.all(news.map(({ instance, rows }) => compare(run, instance, rows)));
      page = list.nextPage;
      if (page === undefined) return 'whole';
      if (pages.has(page)) return 'broken-off';
      pages.add(page);
    }
  }

  async function listPage(run: Run, page: string | undefined, walk: ListWalk | undefined) {
    for (const delayMs of [...pageRetryDelaysMs, undefined]) {
      if (now() >= run.endsAt) break;
      const timeoutMs = Math.min(timing.createTimeoutMs, run.endsAt - now());
      const list = await cloudElements.list({ owner: stage, page, walk }, { timeoutMs });
      if (list.kind !== 'unknown' || delayMs === undefined) return list;
      await sleep(delayMs);
    }
    return { kind: 'unknown' as const };
  }

  /** An instance of the list with the rows that record it: one, if all is well. */
  async function compare(run: Run, instance: ListedInstance, rows: readonly Recorded[]): Promise<void> {
    const isOfStage = showsOwner(instance, stage);
    if (rows.length === 0 && !isOfStage) return;
    run.result.theirs += 1;
    let isOwned = false;
    for (const row of rows) {
      const owned = ownershipOf(instance, { ...row, owner: stage });
      isOwned ||= owned !== 'not-ours';
      await classify(run, row, owned, instance.token);
    }
    reportState(run.result, instance, rows[0] ?? { ...keyIn(instance), instanceId: instance.id });
    if (isOfStage && !isOwned) await attempt(run, keyIn(instance), () => reportOrphan(run.result, instance));
  }

  /** What an instance shows against a row that records it. */
  async function classify(
    run: Run,
    row: Recorded,
    owned: Ownership,
    token: string | undefined,
  ): Promise<void> {
    if (owned === 'not-ours') {
      run.result.notOurs += 1;
      observe({ kind: 'not-ours', instanceId: row.instanceId }, nameOf(row));
      return;
    }
    if (row.hasToken) return;
    await attempt(run, row, async () => {
      const own = owned === 'ours' && token !== undefined ? token : await readToken(row);
      if (own !== undefined && (await refill(row, own))) run.result.refilled += 1;
    });
  }

  /** By the id, which shows what a list may leave out. */
  async function readToken(row: Recorded): Promise<string | undefined> {
    const found = await readRecorded(row);
    return found.kind === 'read' && found.owned === 'ours' ? found.token : undefined;
  }

  function readRecorded({ tenantId, elementKey, instanceId }: Recorded) {
    const owned = { tenantId, elementKey, owner: stage };
    return cloudElements.read({ ...owned, instanceId }, { timeoutMs: timing.lookUpTimeoutMs });
  }

  async function refill(row: Recorded, token: string): Promise<boolean> {
    const current = await store.get(row);
    // The holder of a lease would find its fencing token replaced.
    if (!current || !isUnchanged(row, current) || isLeased(current, now())) return false;
    const filled = { ...current, token: await cipher.encrypt(token, row), claimId: newId() };
    if (!(await store.claim(filled, current)).won) return false;
    observe({ kind: 'token-refilled' }, current);
    return true;
  }

  function reportState(
    result: Audit,
    { valid, disabled }: { valid: boolean; disabled: boolean },
    { instanceId: id, ...of }: InstanceKey & { instanceId: InstanceId },
  ): void {
    const instanceId = loggableId(id);
    if (!valid) {
      result.invalid += 1;
      observe({ kind: 'instance-invalid', instanceId }, nameOf(of));
    }
    if (disabled) {
      result.disabled += 1;
      observe({ kind: 'instance-disabled', instanceId }, nameOf(of));
    }
  }

  /** Not while its row says that the tenant's instance is being worked on, or is going to be. */
  async function reportOrphan(result: Audit, instance: ListedInstance): Promise<void> {
    const { id: instanceId } = instance;
    const key = keyIn(instance);
    const row = isKey(key) ? await store.get(key) : undefined;
    if (row && (owns(row, instanceId) || row.checkAt !== undefined || isLeased(row, now()))) return;
    result.orphaned += 1;
    observe(
      { kind: 'orphan', instanceId: loggableId(instanceId) },
      { ...key, provisionId: generationIn(instance) ?? unknownKey },
    );
  }

  async function readNotListed(run: Run, recorded: RecordedInstances): Promise<void> {
    const { result, endsAt } = run;
    result.notListed = recorded.countUnseen();
    if (result.notListed === 0) return;
    const before = await progress.get();
    const queue = recorded.unseen(before?.after);
    const denied: Recorded[] = [];
    const tally = { visible: 0, denied: 0, changed: 0, unknown: 0 };
    const isMostlyUnseen = () =>
      2 * (result.ours - queue.length + tally.visible) < result.ours - tally.changed;
    let last: Recorded | undefined;
    while (result.readById < queue.length) {
      if (result.readById >= visibilitySample && 2 * tally.visible < result.readById && isMostlyUnseen())
        break;
      if (now() + timing.lookUpTimeoutMs > endsAt) {
        result.complete = false;
        break;
      }
      const chunk = queue
        .slice(result.readById, result.readById + readsAtOnce)
        .map((place) => recorded.get(place));
      const found = await Promise.all(chunk.map((row) => readOne(run, row)));
      for (const [index, outcome] of found.entries()) {
        tally[outcome] += 1;
        const row = chunk[index];
        if (row && outcome === 'denied') denied.push(row);
      }
      result.readById += chunk.length;
      last = chunk.at(-1);
    }
    if (tally.unknown > 0) result.complete = false;
    // An instance that was not read yet, or without an answer, is no sign that the others are not visible.
    result.notVisible = isMostlyUnseen() && tally.denied > tally.visible;
    if (last && result.readById < queue.length) {
      await progress.put({ tenantId: last.tenantId, elementKey: last.elementKey }, before);
    }
    if (isMostlyUnseen()) return;
    result.lost = denied.length;
    for (const row of denied) observe({ kind: 'instance-lost', instanceId: row.instanceId }, nameOf(row));
  }

  /** `denied`: Cloud Elements says that there is no such instance, and after that the row still records it. */
  async function readOne(run: Run, row: Recorded): Promise<'visible' | 'denied' | 'changed' | 'unknown'> {
    const found = await readRecorded(row);
    if (found.kind === 'read') {
      reportState(run.result, found, row);
      await classify(run, row, found.owned, found.token);
      return 'visible';
    }
    if (found.kind === 'unknown') return 'unknown';
    let outcome: 'denied' | 'changed' | 'unknown' = 'unknown';
    await attempt(run, row, async () => {
      const current = await store.get(row);
      outcome = current && isUnchanged(row, current) ? 'denied' : 'changed';
    });
    return outcome;
  }

  /** One difference that cannot be reported must not end the audit of all others. */
  async function attempt(run: Run, of: InstanceKey, report: () => Promise<void>): Promise<void> {
    try {
      await report();
    } catch (error) {
      if (!(error instanceof OnboardingError)) throw error;
      // A row that cannot be read is counted as such.
      if (error.code !== 'internal') run.result.complete = false;
      observe({ kind: 'left-open', reason: error.message }, nameOf(of));
    }
  }
}

const isUnchanged = (recorded: Recorded, row: InstanceRow): boolean =>
  row.status === 'active' && row.instanceId === recorded.instanceId && fenceOf(row) === recorded.fence;

/**
 * Every write that may concern the instance changes it, and a check of its health does not: one comes in the midst of an
 * audit. FNV-1a, in 31 bits, in place of a longer text.
 */
function fenceOf({ provisionId, leaseExpiresAt, updatedAt, changedAt, requestedAt }: InstanceRow): number {
  let hash = 0x811c9dc5;
  for (const character of [provisionId, leaseExpiresAt, updatedAt, changedAt, requestedAt].join()) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  }
  return hash >>> 1;
}

const nameOf = ({ tenantId, elementKey }: InstanceKey) => ({
  tenantId,
  elementKey,
  provisionId: 'not known',
});

/** A tombstone, or a row whose instance could not be made, only remembers an id. */
const owns = ({ status, instanceId }: InstanceRow, id: InstanceId): boolean =>
  instanceId === id && (status === 'provisioning' || status === 'active' || status === 'deleting');

/** By the instance's tags, which can be any text: only values that have the form of an id are logged. */
function keyIn(instance: ListedInstance): InstanceKey {
  const { data: tenantId = unknownKey } = tenantIdSchema.safeParse(tenantIn(instance));
  const { data: elementKey = unknownKey } = elementKeySchema.safeParse(instance.elementKey);
  return { tenantId, elementKey };
}

/** No key of a row can be it. */
const unknownKey = 'not known';

const isKey = ({ tenantId, elementKey }: InstanceKey): boolean =>
  tenantId !== unknownKey && elementKey !== unknownKey;
