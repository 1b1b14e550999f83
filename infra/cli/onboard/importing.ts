import { setTimeout } from 'node:timers/promises';
import { errorCodes } from '../../../functions/model/errors.ts';
import type { Api, ApiResponse } from '../api.ts';
import type { End } from './following.ts';
import type { ImportRequest } from './manifest.ts';

/** An import takes a second or two: this is enough for several per second. */
const importsAtOnce = 10;
const tickMs = 100;

/** Waits before a request is sent again that names no time itself. */
const firstRetryMs = 1_000;
const slowestRetryMs = 15_000;
/** Without any response the API cannot be reached. */
const mostBroken = 5;

/** `stop`: it concerns every row, and goes on being refused. */
export type Imported =
  | { kind: 'ended'; end: End }
  | { kind: 'again'; why: string; delayMs: number }
  | { kind: 'stop'; why: string };

export type ImportRow = {
  request: ImportRequest;
  standing: { phase: 'unsent' } | { phase: 'sent'; sinceMs: number } | { phase: 'ended'; end: End };
};

/**
 * Imports the rows, each until it has ended. Those in flight end before it resolves.
 * @returns why it stopped before the end
 */
export async function importAll(
  rows: readonly ImportRow[],
  { api, rate, timeoutMs, stop }: { api: Api; rate: number; timeoutMs: number; stop: AbortSignal },
): Promise<string | undefined> {
  const waiting = rows
    .filter(({ standing }) => standing.phase === 'unsent')
    .map((row) => ({ row, dueMs: 0, tries: 0 }));
  const inFlight = new Set<Promise<void>>();
  let stoppedBy: string | undefined;
  let nextAt = Date.now();
  while (!stop.aborted && stoppedBy === undefined && waiting.length + inFlight.size > 0) {
    const due = waiting.findIndex(({ dueMs }) => dueMs <= Date.now());
    const [next] = due >= 0 && inFlight.size < importsAtOnce ? waiting.splice(due, 1) : [];
    if (next) {
      const sending = send(next).finally(() => inFlight.delete(sending));
      inFlight.add(sending);
      nextAt = Math.max(nextAt, Date.now() - 1_000) + 1_000 / rate;
      await rest(nextAt - Date.now(), stop);
    } else {
      await Promise.race([...inFlight, rest(tickMs, stop)]);
    }
  }
  await Promise.all(inFlight);
  return stoppedBy;

  async function send({ row, tries }: (typeof waiting)[number]): Promise<void> {
    const sinceMs = row.standing.phase === 'sent' ? row.standing.sinceMs : Date.now();
    row.standing = { phase: 'sent', sinceMs };
    const imported = await importInstance(api, row.request, tries);
    if (imported.kind === 'stop') stoppedBy ??= imported.why;
    else if (imported.kind === 'ended') row.standing = { phase: 'ended', end: imported.end };
    else if (Date.now() + imported.delayMs - sinceMs > timeoutMs) {
      row.standing = { phase: 'ended', end: endOfWaiting(imported.why, Date.now() - sinceMs) };
    } else waiting.push({ row, dueMs: Date.now() + imported.delayMs, tries: tries + 1 });
  }
}

function endOfWaiting(why: string, waitedMs: number): End {
  return {
    outcome: 'unknown',
    isSent: true,
    code: 'no-outcome',
    why: `No outcome after ${Math.round(waitedMs / 1_000)} s (${why}). Run the same command again.`,
  };
}

async function rest(delayMs: number, signal: AbortSignal): Promise<void> {
  if (delayMs > 0 && !signal.aborted) await setTimeout(delayMs, undefined, { signal }).catch(() => {});
}

/** Adopts an instance by its id. The request may be repeated: a repeat is answered with the instance. */
async function importInstance(
  api: Api,
  { tenantId, elementKey, instanceId }: ImportRequest,
  tries: number,
): Promise<Imported> {
  const path = ['tenants', tenantId, 'instances', elementKey, 'import'];
  return meaningOf(await api.call('POST', path, { id: instanceId }), tries);
}

/** @param tries of this row before */
export function meaningOf(response: ApiResponse, tries: number): Imported {
  const delayMs = Math.min(firstRetryMs * 2 ** tries, slowestRetryMs);
  if (response.kind === 'success') return { kind: 'ended', end: { outcome: 'active', isSent: true } };
  if (response.kind === 'broken') {
    return tries + 1 < mostBroken
      ? { kind: 'again', why: response.reason, delayMs }
      : { kind: 'stop', why: `The API does not respond: ${response.reason}` };
  }
  const { status, code, detail, retryAfterMs = delayMs } = response;
  if (status === 202) return { kind: 'again', why: 'the import is not finished', delayMs: retryAfterMs };
  if (code?.startsWith('platform-credentials-')) return { kind: 'stop', why: `${code}: ${detail}` };
  if (code === undefined && (status === 401 || status === 403)) {
    return {
      kind: 'stop',
      why: `API Gateway refuses the import (${status}): the credentials need execute-api:Invoke on its route`,
    };
  }
  if (code === undefined && status === 404) {
    return { kind: 'stop', why: 'The API has no route for imports: deploy this version.' };
  }
  if (isRetryable(status, code)) {
    return { kind: 'again', why: code === undefined ? detail : `${code}: ${detail}`, delayMs: retryAfterMs };
  }
  return {
    kind: 'ended',
    end: { outcome: 'failed', isSent: true, code: code ?? `http-${status}`, why: detail },
  };
}

function isRetryable(status: number, code: string | undefined): boolean {
  const known = Object.entries(errorCodes).find(([name]) => name === code)?.[1];
  return known?.retryable ?? (status === 429 || status >= 500);
}
