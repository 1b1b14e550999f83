import { setTimeout } from 'node:timers/promises';
import { endAfterAsking, endBeforeAsking, endWithoutOutcome, readStates, type State } from './following.ts';
import type { End, Journal, JournalEntry } from './journal.ts';
import type { Ask } from './manifest.ts';
import { firstBatch, maxEntries, putOnce, type Taken } from './sending.ts';
import { reasonOf, type Target } from './target.ts';

/** Waits before what was not taken is sent again; after the last of them it is given up. */
const resendDelaysMs = [250, 1_000, 4_000, 15_000];

/** Calls of which nobody knows whether they took effect; with more, going on would only make more rows doubtful. */
const unansweredAtMost = 5;

/** From one look at a row to the next: short at first, because most are done within seconds. */
const firstLookMs = 500;
const slowestLookMs = 15_000;
const tickMs = 100;
/** Rows looked at in one go: with a tick of reading and resting, at most some thousand a second. */
const looksPerTick = 200;

/** Where a row stands in this run. */
type Standing =
  | { phase: 'unsent'; lastEventId: string | undefined; unsentBecause?: string }
  /** Going out, or cut off while it did: it may have been taken or not. */
  | { phase: 'doubtful'; lastEventId: string | undefined; sinceMs: number }
  | { phase: 'sent'; eventId: string; sinceMs: number }
  | { phase: 'ended'; end: End };
type Tracked = {
  ask: Ask;
  standing: Standing;
  /** Its event, once sent, has been worked at least once: the table knows of it. */
  seen: boolean;
  nextLookMs: number;
  lookDelayMs: number;
};

/** Going on makes no sense; what is in the journal is right, and the run can be taken up again. */
export class RunStopped extends Error {
  override readonly name = 'RunStopped';
}

export type RunOptions = {
  target: Target;
  journal: Journal;
  /** Tenants per second. */
  rate: number;
  /** How long a row is followed after it was sent, or after this run has begun. */
  timeoutMs: number;
  /** How long signs are looked for of a row that may have been sent, before it is sent again. */
  doubtMs: number;
  /** Rows that ended as failed or unknown in an earlier run are asked for again. */
  retryFailed: boolean;
  signal: AbortSignal;
};

export type Run = ReturnType<typeof createRun>;

/** Asks for every row once, at a steady rate, and follows each until it has ended. */
export function createRun(asks: readonly Ask[], options: RunOptions) {
  const { target, journal, rate, timeoutMs, doubtMs, signal } = options;
  const startedAt = Date.now();
  const rows: readonly Tracked[] = standingsOf(asks, options);
  const endedBefore = rows.filter(({ standing }) => standing.phase === 'ended').length;

  let unansweredInARow = 0;

  return { work, counts, ends };

  /** @throws RunStopped when AWS cannot be worked with; resolves early when `signal` aborts */
  async function work(): Promise<void> {
    const failure = new AbortController();
    const stop = AbortSignal.any([signal, failure.signal]);
    await stoppable(lookBeforeAsking);
    const parts = [sendAll(stop), follow(stop)].map((part) =>
      part.catch((error: unknown) => {
        // The other part ends in an orderly way, too.
        failure.abort();
        throw error;
      }),
    );
    const [sent, followed] = await Promise.allSettled(parts);
    for (const result of [sent, followed]) if (result?.status === 'rejected') throw result.reason;
  }

  /** What is active already, with the same settings or with others, need not be asked for. */
  async function lookBeforeAsking(): Promise<void> {
    const unread = new Map(rows.filter(isStillToSend).map((row) => [row.ask, row]));
    while (unread.size > 0 && !signal.aborted) {
      for (const [ask, state] of await readStates(target, [...unread.keys()])) {
        const row = unread.get(ask);
        unread.delete(ask);
        const found = endBeforeAsking(ask, state);
        if (row && found) await end(row, found);
        else if (row) row.standing = { phase: 'unsent', lastEventId: state?.askedBy?.eventId };
      }
      if (unread.size > 0) await rest(1_000, signal);
    }
  }

  async function sendAll(stop: AbortSignal): Promise<void> {
    const batchSize = Math.max(1, Math.min(maxEntries, Math.floor(rate)));
    let nextAt = Date.now();
    while (!stop.aborted) {
      const unsent = rows.filter(({ standing }) => standing.phase === 'unsent' && !standing.unsentBecause);
      const isDone = unsent.length === 0 && !rows.some(({ standing }) => standing.phase === 'doubtful');
      if (isDone) return;
      const batch = firstBatch(
        unsent.slice(0, batchSize).map(({ ask }) => ask),
        batchSize,
      ).flatMap((_, index) => unsent[index] ?? []);
      if (batch.length > 0) {
        await send(batch, stop);
        nextAt = Math.max(nextAt, Date.now() - 1_000) + (batch.length / rate) * 1_000;
      }
      await rest(batch.length > 0 ? nextAt - Date.now() : tickMs, stop);
    }
  }

  /** Sends until everything is taken or given up, with the journal a step ahead and a step behind. */
  async function send(batch: readonly Tracked[], stop: AbortSignal): Promise<void> {
    await journal.record({
      kind: 'sending',
      at: Date.now(),
      rows: batch.map(({ ask, standing }) => ({ id: ask.id, lastEventId: lastEventIdOf(standing) })),
    });
    let left = batch;
    for (const delayMs of [...resendDelaysMs, undefined]) {
      const put = await putOnce(
        target,
        left.map(({ ask }) => ask),
      );
      if (put.kind === 'unknown') return doubt(left, put.reason);
      unansweredInARow = 0;
      if (put.kind === 'answered') {
        left = await settle(left, put.entries, delayMs === undefined);
      } else if (!put.again || delayMs === undefined) {
        await notSent(left);
        throw new RunStopped(`EventBridge takes no events for the bus ${target.busName}: ${put.reason}`);
      }
      if (left.length === 0) return;
      await rest(delayMs ?? 0, stop);
      if (stop.aborted) return notSent(left);
    }
  }

  /** @returns the rows that are to be sent again */
  async function settle(sent: readonly Tracked[], answers: readonly Taken[], isLast: boolean) {
    const taken: { row: Tracked; eventId: string }[] = [];
    const givenUp: Tracked[] = [];
    const again: Tracked[] = [];
    for (const [index, row] of sent.entries()) {
      const answer = answers[index];
      if (!answer) continue;
      if ('eventId' in answer) {
        taken.push({ row, eventId: answer.eventId });
      } else if (answer.again && !isLast) {
        again.push(row);
      } else {
        givenUp.push(row);
        row.standing = {
          phase: 'unsent',
          lastEventId: lastEventIdOf(row.standing),
          unsentBecause: answer.reason,
        };
      }
    }
    await markSent(taken);
    await notSent(givenUp);
    return again;
  }

  /** They may be on the bus: signs of them are looked for before they are sent again. */
  function doubt(left: readonly Tracked[], reason: string): void {
    for (const row of left) {
      row.standing = { phase: 'doubtful', lastEventId: lastEventIdOf(row.standing), sinceMs: Date.now() };
      lookSoon(row);
    }
    unansweredInARow += 1;
    if (unansweredInARow === unansweredAtMost)
      throw new RunStopped(`EventBridge does not answer, ${unansweredAtMost} times in a row: ${reason}`);
  }

  async function markSent(taken: readonly { row: Tracked; eventId: string }[]): Promise<void> {
    if (taken.length === 0) return;
    const sinceMs = Date.now();
    await journal.record({
      kind: 'sent',
      at: sinceMs,
      rows: taken.map(({ row, eventId }) => ({ id: row.ask.id, eventId })),
    });
    for (const { row, eventId } of taken) {
      row.standing = { phase: 'sent', eventId, sinceMs };
      lookSoon(row);
    }
  }

  async function notSent(left: readonly Tracked[]): Promise<void> {
    if (left.length === 0) return;
    await journal.record({ kind: 'not-sent', at: Date.now(), ids: left.map(({ ask }) => ask.id) });
  }

  async function follow(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const open = rows.filter(({ standing }) => standing.phase === 'sent' || standing.phase === 'doubtful');
      const isDone = open.length === 0 && !rows.some(isStillToSend);
      if (isDone) return;
      const due = open
        .filter(({ nextLookMs }) => nextLookMs <= Date.now())
        .toSorted((a, b) => a.nextLookMs - b.nextLookMs)
        .slice(0, looksPerTick);
      const byAsk = new Map(due.map((row) => [row.ask, row]));
      if (due.length > 0) {
        const states = await stoppable(() => readStates(target, [...byAsk.keys()]));
        for (const [ask, row] of byAsk) {
          if (states.has(ask)) await judge(row, states.get(ask));
        }
      }
      await rest(tickMs, stop);
    }
  }

  async function judge(row: Tracked, state: State | undefined): Promise<void> {
    const { ask, standing } = row;
    const nowMs = Date.now();
    row.lookDelayMs = Math.min(row.lookDelayMs * 2, slowestLookMs);
    row.nextLookMs = nowMs + row.lookDelayMs;
    if (standing.phase === 'doubtful') {
      const found = endBeforeAsking(ask, state);
      const eventId = state?.askedBy?.eventId;
      if (found) await end(row, { ...found, asked: true });
      else if (eventId !== undefined && eventId !== standing.lastEventId) await markSent([{ row, eventId }]);
      else if (nowMs >= standing.sinceMs + doubtMs && !isQueueBehind(standing.sinceMs)) {
        row.standing = { phase: 'unsent', lastEventId: standing.lastEventId };
      } else if (nowMs < standing.sinceMs + doubtMs)
        row.nextLookMs = Math.min(row.nextLookMs, standing.sinceMs + doubtMs);
    } else if (standing.phase === 'sent') {
      row.seen ||= state?.askedBy?.eventId === standing.eventId;
      const waitedMs = nowMs - Math.max(standing.sinceMs, startedAt);
      const found =
        endAfterAsking(ask, standing.eventId, state) ??
        (waitedMs >= timeoutMs ? endWithoutOutcome(state, waitedMs) : undefined);
      if (found) await end(row, found);
      else row.nextLookMs = Math.min(row.nextLookMs, nowMs + timeoutMs - waitedMs);
    }
  }

  /** Something that was sent before has not been worked yet, so what was sent then may not have been either. */
  function isQueueBehind(sinceMs: number): boolean {
    return rows.some(
      ({ standing, seen }) => standing.phase === 'sent' && !seen && standing.sinceMs <= sinceMs,
    );
  }

  async function end(row: Tracked, how: End): Promise<void> {
    row.standing = { phase: 'ended', end: how };
    await journal.note({ kind: 'ended', at: Date.now(), id: row.ask.id, end: how });
  }

  /** How many rows stand where. */
  function counts() {
    const of = (isIt: (standing: Standing) => boolean) =>
      rows.filter(({ standing }) => isIt(standing)).length;
    const ended = (isIt: (how: End) => boolean) =>
      of((standing) => standing.phase === 'ended' && isIt(standing.end));
    return {
      rows: rows.length,
      unsent: of(({ phase }) => phase === 'unsent'),
      waiting: of(({ phase }) => phase === 'sent' || phase === 'doubtful'),
      active: ended(({ outcome }) => outcome === 'active'),
      /** Among the active: those that were so before they were asked for. */
      notAsked: ended(({ outcome, asked }) => outcome === 'active' && !asked),
      failed: ended(({ outcome }) => outcome === 'failed'),
      unknown: ended(({ outcome }) => outcome === 'unknown'),
      /** Before this run began. */
      endedBefore,
      elapsedMs: Date.now() - startedAt,
    };
  }

  /** How each row ended; those that were never sent count as failed. */
  function ends(): Map<Ask, End | undefined> {
    return new Map(
      rows.map(({ ask, standing }) => {
        if (standing.phase === 'ended') return [ask, standing.end];
        if (standing.phase !== 'unsent' || !standing.unsentBecause) return [ask, undefined];
        const why = `EventBridge did not take it: ${standing.unsentBecause}`;
        return [ask, { outcome: 'failed', asked: false, code: 'not-sent', why }];
      }),
    );
  }
}

export type Counts = ReturnType<Run['counts']>;

/** What the journal says of these asks. */
function standingsOf(
  asks: readonly Ask[],
  { journal, retryFailed }: Pick<RunOptions, 'journal' | 'retryFailed'>,
): Tracked[] {
  const standings = new Map<string, Standing>();
  const retryBefore = retryFailed ? startOfRetry(journal.entries) : 0;
  for (const [index, entry] of journal.entries.entries()) {
    switch (entry.kind) {
      case 'opened':
      case 'finished':
        break;
      case 'sending':
        for (const { id, lastEventId } of entry.rows) {
          standings.set(id, { phase: 'doubtful', lastEventId, sinceMs: entry.at });
        }
        break;
      case 'sent':
        for (const { id, eventId } of entry.rows) {
          standings.set(id, { phase: 'sent', eventId, sinceMs: entry.at });
        }
        break;
      case 'not-sent':
        for (const id of entry.ids) standings.delete(id);
        break;
      case 'ended':
        if (entry.end.outcome === 'active') standings.set(entry.id, { phase: 'ended', end: entry.end });
        else if (index < retryBefore) standings.delete(entry.id);
        else if (entry.end.outcome === 'failed') standings.set(entry.id, { phase: 'ended', end: entry.end });
        break;
    }
  }
  return asks.map((ask) => ({
    ask,
    standing: standings.get(ask.id) ?? { phase: 'unsent', lastEventId: undefined },
    seen: false,
    nextLookMs: 0,
    lookDelayMs: firstLookMs,
  }));
}

/** Of one that was interrupted, so that what has failed in it is not asked for twice in it; else from here on. */
function startOfRetry(entries: readonly JournalEntry[]): number {
  const lastFinished = entries.findLastIndex(({ kind }) => kind === 'finished');
  const start = entries.findIndex(
    (entry, index) => index > lastFinished && entry.kind === 'opened' && entry.retryFailed,
  );
  return start === -1 ? entries.length : start;
}

function lookSoon(row: Tracked): void {
  row.lookDelayMs = firstLookMs;
  row.nextLookMs = Date.now() + firstLookMs;
}

const isStillToSend = ({ standing }: Tracked): boolean =>
  standing.phase === 'unsent' && !standing.unsentBecause;

function lastEventIdOf(standing: Standing): string | undefined {
  return standing.phase === 'unsent' || standing.phase === 'doubtful' ? standing.lastEventId : undefined;
}

/** The SDK has tried again by itself before it throws. */
async function stoppable<T>(look: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    throw new RunStopped(`The table cannot be read: ${reasonOf(error)}`);
  }
}

async function rest(delayMs: number, signal: AbortSignal): Promise<void> {
  if (delayMs <= 0 || signal.aborted) return;
  await setTimeout(delayMs, undefined, { signal }).catch(() => {});
}
