import { setTimeout } from 'node:timers/promises';
import { endOf, endOfWaiting, endWithoutSending, failedAt, readStates, type End } from './following.ts';
import { importAll, type ImportRow } from './importing.ts';
import { isImport, type EventRequest, type TenantRequest } from './manifest.ts';
import { firstBatch, maxEntries, putEvents } from './sending.ts';
import { reasonOf, type Target } from './target.ts';

/** Waits before entries that EventBridge did not take are sent again; after the last of them the row has failed. */
const resendDelaysMs = [250, 1_000, 4_000, 15_000];

/** Delays between reads of a row: short at first, because most rows end within seconds. */
const firstLookMs = 500;
const slowestLookMs = 15_000;
const tickMs = 100;
/** Rows read per tick: at most some thousand a second. */
const looksPerTick = 200;
/** Rows compared with the table before the next are read, so that not all of it is in memory. */
const comparedAtOnce = 100;

type Tracked = EventRow | ImportRow;
type EventRow = {
  request: EventRequest;
  standing:
    | { phase: 'unsent' }
    | { phase: 'sent'; eventId: string; sinceMs: number }
    | { phase: 'ended'; end: End };
  /** Time of the row's last failure before the event was sent: only a later failure is the outcome. */
  failedBefore: number | undefined;
  nextLookMs: number;
  lookDelayMs: number;
};

/** A call to AWS failed. Nothing is lost: the same command continues the run. */
export class RunStopped extends Error {
  override readonly name = 'RunStopped';
}

export type RunOptions = {
  target: Target;
  /** Tenants per second. */
  rate: number;
  importRate: number;
  /** How long a row is followed after its event was sent. */
  timeoutMs: number;
  signal: AbortSignal;
};

export type Run = ReturnType<typeof createRun>;

/**
 * Onboards the tenants of a manifest: compares each with the table, sends an event for those that are not active, at a
 * steady rate, and follows each in the table until it has ended. Instances that exist are imported over HTTP. A run keeps no other state than the table, so running
 * it again continues an interrupted run.
 */
export function createRun(
  requests: readonly TenantRequest[],
  { target, rate, importRate, timeoutMs, signal }: RunOptions,
) {
  const startedAt = Date.now();
  const events = requests
    .filter((request): request is EventRequest => !isImport(request))
    .map((request): EventRow => ({
      request,
      standing: { phase: 'unsent' },
      failedBefore: undefined,
      nextLookMs: 0,
      lookDelayMs: firstLookMs,
    }));
  const imports = requests
    .filter(isImport)
    .map((request): ImportRow => ({ request, standing: { phase: 'unsent' } }));
  const rows: readonly Tracked[] = [...events, ...imports];
  /** Rows that are sent and have not ended: few, also of a long manifest. */
  const open = new Set<EventRow>();

  return { compare, work, counts, failures };

  /**
   * Ends the rows that are active already, with the same settings or with others.
   * @throws RunStopped when the table cannot be read; resolves early when `signal` aborts
   */
  async function compare(): Promise<void> {
    for (let start = 0; start < rows.length; start += comparedAtOnce) {
      const unread = new Map(
        rows.slice(start, start + comparedAtOnce).map((row) => [row.request, row] as const),
      );
      while (unread.size > 0 && !signal.aborted) {
        for (const [request, state] of await statesOf([...unread.keys()])) {
          const row = unread.get(request);
          unread.delete(request);
          if (!row) continue;
          if ('failedBefore' in row) row.failedBefore = failedAt(state);
          const end = endWithoutSending(request, state);
          if (end) row.standing = { phase: 'ended', end };
        }
        if (unread.size > 0) await rest(1_000, signal);
      }
    }
  }

  /** @throws RunStopped when a call to AWS fails; resolves early when `signal` aborts */
  async function work(): Promise<void> {
    const failure = new AbortController();
    const stop = AbortSignal.any([signal, failure.signal]);
    const sending = sendAll(stop);
    const parts = [sending, follow(sending, stop), importRest(stop)].map((part) =>
      part.catch((error: unknown) => {
        // The other parts end in an orderly way, too.
        failure.abort();
        throw error;
      }),
    );
    for (const result of await Promise.allSettled(parts)) {
      if (result.status === 'rejected') throw result.reason;
    }
  }

  async function sendAll(stop: AbortSignal): Promise<void> {
    const batchSize = Math.max(1, Math.min(maxEntries, Math.floor(rate)));
    const unsent = events.filter(isUnsent);
    let nextAt = Date.now();
    for (let sent = 0; sent < unsent.length && !stop.aborted;) {
      const next = unsent.slice(sent, sent + batchSize);
      const { length } = firstBatch(
        next.map(({ request }) => request),
        batchSize,
      );
      await send(next.slice(0, length), stop);
      sent += length;
      nextAt = Math.max(nextAt, Date.now() - 1_000) + (length / rate) * 1_000;
      await rest(nextAt - Date.now(), stop);
    }
  }

  /** Sends until EventBridge has accepted or finally refused every entry. */
  async function send(batch: readonly EventRow[], stop: AbortSignal): Promise<void> {
    let left = batch;
    for (const delayMs of [...resendDelaysMs, undefined]) {
      const responses = await put(left);
      left = left.filter((row, index) => {
        const response = responses[index];
        if (!response) return false;
        if ('eventId' in response) {
          row.standing = { phase: 'sent', eventId: response.eventId, sinceMs: Date.now() };
          row.nextLookMs = Date.now() + firstLookMs;
          open.add(row);
          return false;
        }
        if (response.isPassing && delayMs !== undefined) return true;
        const why = `EventBridge did not accept the event: ${response.reason}`;
        row.standing = { phase: 'ended', end: { outcome: 'failed', isSent: false, code: 'not-sent', why } };
        return false;
      });
      if (left.length === 0) return;
      await rest(delayMs ?? 0, stop);
      if (stop.aborted) return;
    }
  }

  /** The SDK retries before it throws. */
  async function put(batch: readonly EventRow[]) {
    try {
      return await putEvents(
        target,
        batch.map(({ request }) => request),
      );
    } catch (error) {
      throw new RunStopped(`EventBridge accepts no events for the bus ${target.busName}: ${reasonOf(error)}`);
    }
  }

  async function importRest(stop: AbortSignal): Promise<void> {
    if (!imports.some(isUnsent)) return;
    const stoppedBy = await importAll(imports, { api: target.api(), rate: importRate, timeoutMs, stop });
    if (stoppedBy !== undefined) throw new RunStopped(stoppedBy);
  }

  async function follow(sending: Promise<void>, stop: AbortSignal): Promise<void> {
    let isSending = true;
    const noMore = () => {
      isSending = false;
    };
    sending.then(noMore, noMore);
    while (!stop.aborted) {
      if (open.size === 0 && !isSending) return;
      const due = [...open]
        .filter(({ nextLookMs }) => nextLookMs <= Date.now())
        .toSorted((a, b) => a.nextLookMs - b.nextLookMs)
        .slice(0, looksPerTick);
      const states = await statesOf(due.map(({ request }) => request));
      for (const row of due) {
        const { request, standing, failedBefore } = row;
        if (standing.phase !== 'sent' || !states.has(request)) continue;
        const state = states.get(request);
        const waitedMs = Date.now() - standing.sinceMs;
        const end =
          endOf({ request, eventId: standing.eventId, failedBefore }, state) ??
          (waitedMs >= timeoutMs ? endOfWaiting(state, waitedMs) : undefined);
        if (end) {
          row.standing = { phase: 'ended', end };
          open.delete(row);
        }
        row.lookDelayMs = Math.min(row.lookDelayMs * 2, slowestLookMs);
        row.nextLookMs = Date.now() + Math.min(row.lookDelayMs, timeoutMs - waitedMs);
      }
      await rest(tickMs, stop);
    }
  }

  /** The SDK retries before it throws. */
  async function statesOf(some: readonly TenantRequest[]) {
    try {
      return await readStates(target, some);
    } catch (error) {
      throw new RunStopped(`The table cannot be read: ${reasonOf(error)}`);
    }
  }

  /** The number of rows in each phase and with each outcome. Called often, so it makes no lists of rows. */
  function counts() {
    const tally = {
      unsent: 0,
      waiting: 0,
      active: 0,
      failed: 0,
      unknown: 0,
      /** Ended by the comparison with the table, without an event. */
      notSent: 0,
    };
    for (const { standing } of rows) {
      if (standing.phase === 'unsent') tally.unsent += 1;
      else if (standing.phase === 'sent') tally.waiting += 1;
      else {
        tally[standing.end.outcome] += 1;
        if (!standing.end.isSent) tally.notSent += 1;
      }
    }
    return { rows: rows.length, ...tally, elapsedMs: Date.now() - startedAt };
  }

  /** The outcomes of the rows that have ended, but not as active. */
  function failures(): Map<TenantRequest, End> {
    const failed = new Map<TenantRequest, End>();
    for (const { request, standing } of rows) {
      if (standing.phase === 'ended' && standing.end.outcome !== 'active') failed.set(request, standing.end);
    }
    return failed;
  }
}

export type Counts = ReturnType<Run['counts']>;

const isUnsent = ({ standing }: Tracked): boolean => standing.phase === 'unsent';

async function rest(delayMs: number, signal: AbortSignal): Promise<void> {
  if (delayMs <= 0 || signal.aborted) return;
  await setTimeout(delayMs, undefined, { signal }).catch(() => {});
}
