import { setTimeout } from 'node:timers/promises';
import pMap from 'p-map';
import type { CloudElements, ListedInstance, ListWalk } from '../../../functions/core/ports.ts';
import { namesOwner } from '../../../functions/model/markers.ts';

/** The instances that no stage owns, and the number of all. */
export type Discovered = {
  free: FreeInstance[];
  total: number;
  /** Of `free`: show no tags at all, so they may have an owner. */
  silent: number;
  /** Why instances may be missing; none if the list is complete. */
  gaps: string[];
};

export type FreeInstance = Omit<ListedInstance, 'id'> & { id: number; isSilent?: boolean };

/** A page of 200 instances, each with its configuration; Cloud Elements is slow at times. */
const pageTimeoutMs = 60_000;
const readTimeoutMs = 15_000;
/** Before a call is repeated; a rate limit passes within a minute. */
const defaultRetryDelaysMs = [1_000, 3_000, 10_000, 30_000];
/** A page may expire or prove too large, and a list that shifts may skip an instance; then it is read again. */
const mostWalks = 3;
const readsAtOnce = 8;

type Options = {
  cloudElements: Pick<CloudElements, 'list' | 'read'>;
  /** Is it useless to repeat the last call? */
  isFinal?: () => boolean;
  onProgress?: (seen: number, total: number | undefined) => void;
  retryDelaysMs?: readonly number[];
};

type End = 'whole' | { gap: string } | { again: string; walk: ListWalk | undefined };

/** Reads the whole list, and by its id each instance that shows no tags there. */
export async function discover({
  cloudElements,
  isFinal = () => false,
  onProgress = () => {},
  retryDelaysMs = defaultRetryDelaysMs,
}: Options): Promise<Discovered> {
  const seen = new Map<ListedInstance['id'], ListedInstance>();
  let unreadable = 0;
  const gap = await walkList();
  const instances = [...seen.values()].filter(isNumbered);
  const known = await pMap(instances, decided, { concurrency: readsAtOnce });
  const undecided = known.filter((each) => each === 'unknown').length;
  const unusable = unreadable + seen.size - instances.length;
  const free = known
    .filter((each) => each !== 'unknown' && each !== 'absent')
    .filter((each) => !namesOwner(each))
    .toSorted((a, b) => a.id - b.id);
  return {
    free,
    silent: free.filter(({ isSilent }) => isSilent).length,
    total: seen.size + unreadable,
    gaps: [
      ...(gap === undefined ? [] : [gap]),
      ...(unusable > 0 ? [`${unusable} of its items cannot be read as instances`] : []),
      ...(undecided > 0
        ? [`${undecided} of the instances show no tags in the list and could not be read by their ids`]
        : []),
    ],
  };

  async function walkList(): Promise<string | undefined> {
    let start: ListWalk | undefined;
    let last = '';
    for (let walks = 0; walks < mostWalks; walks++) {
      const end = await walkOnce(start);
      if (end === 'whole') return undefined;
      if ('gap' in end) return end.gap;
      ({ again: last, walk: start } = end);
    }
    return last;
  }

  async function walkOnce(start: ListWalk | undefined): Promise<End> {
    unreadable = 0;
    const pages = new Set<string>();
    const ids = new Set<ListedInstance['id']>();
    let walk = start;
    let page: string | undefined;
    for (;;) {
      const list = await repeated(() =>
        cloudElements.list({ owner: undefined, page, walk }, { timeoutMs: pageTimeoutMs }),
      );
      if (list.kind === 'unknown') return { gap: `a page could not be read: ${list.reason}` };
      if (list.kind === 'refused') {
        return { again: 'Cloud Elements refused a page of it', walk: list.walk };
      }
      const { walk: next = walk } = list;
      walk = next;
      unreadable += list.unreadable ?? 0;
      for (const instance of list.instances) {
        ids.add(instance.id);
        seen.set(instance.id, instance);
      }
      onProgress(seen.size, walk?.total);
      page = list.nextPage;
      if (page === undefined) break;
      if (pages.has(page)) return { gap: 'it repeats a page' };
      pages.add(page);
    }
    const total = walk?.total ?? 0;
    if (ids.size + unreadable >= total) return 'whole';
    return {
      again: `Cloud Elements counts ${total} instances, and listed ${ids.size + unreadable}`,
      walk: start,
    };
  }

  /** The list may leave the tags out, and an owner's mark with them. */
  async function decided(listed: FreeInstance): Promise<FreeInstance | 'absent' | 'unknown'> {
    if (listed.tags.length > 0) return listed;
    const { id: instanceId, elementKey } = listed;
    const read = await repeated(() =>
      cloudElements.read({ instanceId, elementKey, tenantId: '', owner: '' }, { timeoutMs: readTimeoutMs }),
    );
    if (read.kind !== 'read') return read.kind;
    return { ...listed, tags: read.tags ?? [], isSilent: read.tags === undefined };
  }

  async function repeated<Outcome extends { kind: string }>(call: () => Promise<Outcome>): Promise<Outcome> {
    for (let tries = 0; ; tries++) {
      const outcome = await call();
      const delayMs = retryDelaysMs[tries];
      if (outcome.kind !== 'unknown' || delayMs === undefined || isFinal()) return outcome;
      await setTimeout(delayMs);
    }
  }
}

const isNumbered = (instance: ListedInstance): instance is FreeInstance => typeof instance.id === 'number';
