import type { InstanceKey } from '../model/instance.ts';
import type { InstanceId } from '../model/instance-id.ts';

/** The part of an active row that an audit keeps. */
export type Recorded = InstanceKey & {
  instanceId: number;
  /** By which a later write is noticed: 31 bits. */
  fence: number;
  hasToken: boolean;
};

/** Place of a row in the order of `add`. */
export type Place = number;

const separator = '\0';
const flags = { hasToken: 1, isSeen: 2 };
const initialRows = 1_024;
const bytesPerKey = 48;

/**
 * The active rows of the whole table, in memory: some 70 bytes each, in a few buffers. As objects they would be four
 * times as large, and live so long that the collector doubles its young generation several times.
 */
export function createRecordedInstances() {
  let size = 0;
  let ids = new Float64Array(initialRows);
  let fences = new Int32Array(initialRows);
  let marks = new Uint8Array(initialRows);
  /** Where the key of each row ends in `keys`, and the next one begins. */
  let ends = new Uint32Array(initialRows);
  let keys = Buffer.alloc(initialRows * bytesPerKey);
  /** Places by ascending id; undefined until the first search. */
  let byId: Uint32Array | undefined;

  const beginOf = (place: Place): number => ends[place - 1] ?? 0;
  const keyAt = (place: Place): Buffer => keys.subarray(beginOf(place), ends[place]);
  const idAt = (place: Place): number => ids[place] ?? 0;

  return { add, get, placesOf, isSeen, see, countUnseen, unseen };

  function add({ tenantId, elementKey, instanceId, fence, hasToken }: Recorded): void {
    const key = tenantId + separator + elementKey;
    const begin = beginOf(size);
    // UTF-8 takes at most three bytes for a unit of UTF-16.
    if (begin + 3 * key.length > keys.length) keys = Buffer.concat([keys], 2 * keys.length);
    if (size === ids.length) {
      ids = copied(ids, new Float64Array(2 * size));
      fences = copied(fences, new Int32Array(2 * size));
      marks = copied(marks, new Uint8Array(2 * size));
      ends = copied(ends, new Uint32Array(2 * size));
    }
    ids[size] = instanceId;
    fences[size] = fence;
    marks[size] = hasToken ? flags.hasToken : 0;
    ends[size] = begin + keys.write(key, begin);
    size += 1;
    byId = undefined;
  }

  function get(place: Place): Recorded {
    const [tenantId = '', elementKey = ''] = keyAt(place).toString().split(separator);
    return {
      tenantId,
      elementKey,
      instanceId: idAt(place),
      fence: fences[place] ?? 0,
      hasToken: ((marks[place] ?? 0) & flags.hasToken) !== 0,
    };
  }

  /** Rows that record the instance: none, one, or several by mistake. */
  function placesOf(id: InstanceId): Place[] {
    if (typeof id !== 'number') return [];
    byId ??= Uint32Array.from({ length: size }, (_, place) => place).toSorted(
      (a, b) => idAt(a) - idAt(b) || a - b,
    );
    let low = 0;
    for (let high = size; low < high;) {
      const middle = (low + high) >>> 1;
      if (idAt(byId[middle] ?? 0) < id) low = middle + 1;
      else high = middle;
    }
    const places: Place[] = [];
    for (let at = low; at < size && idAt(byId[at] ?? 0) === id; at += 1) places.push(byId[at] ?? 0);
    return places;
  }

  function isSeen(place: Place): boolean {
    return ((marks[place] ?? 0) & flags.isSeen) !== 0;
  }

  function see(place: Place): void {
    marks[place] = (marks[place] ?? 0) | flags.isSeen;
  }

  function countUnseen(): number {
    let count = 0;
    for (let place = 0; place < size; place += 1) if (!isSeen(place)) count += 1;
    return count;
  }

  /** Rows whose instances were not seen, in the order of their keys, beginning with the first after `after`. */
  function unseen(after: InstanceKey | undefined): Place[] {
    const places: Place[] = [];
    for (let place = 0; place < size; place += 1) if (!isSeen(place)) places.push(place);
    places.sort((a, b) => keyAt(a).compare(keyAt(b)));
    if (!after) return places;
    const begin = Buffer.from(after.tenantId + separator + after.elementKey);
    const start = places.findIndex((place) => keyAt(place).compare(begin) > 0);
    return start < 0 ? places : [...places.slice(start), ...places.slice(0, start)];
  }
}

export type RecordedInstances = ReturnType<typeof createRecordedInstances>;

function copied<Numbers extends { set: (from: Numbers) => void }>(from: Numbers, to: Numbers): Numbers {
  to.set(from);
  return to;
}
