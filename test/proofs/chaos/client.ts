import { setTimeout } from 'node:timers/promises';
import type { Random } from '../../support/seeded-random.ts';

export type Answer = { status: number; json: unknown };

/** Time passes about ten times as fast as deployed, so a second that the service asks for is a tenth. */
const scaledSecondMs = 100;

/** After a time-out nobody knows what became of a request, and most clients have one of their own. */
const patientMs = 5_000;

/** The caller has waited as long as it could. */
export class Unserved extends Error {}

/** A caller of the HTTP API as any is that means it: impatient at times, and asking again until it is told an outcome. */
export function createClient({
  apiUrl,
  random,
  deadlineAt,
  count,
}: {
  apiUrl: string;
  random: Random;
  deadlineAt: number;
  count: (name: 'requests' | 'repeats') => void;
}) {
  const underWay = new Set<Promise<unknown>>();
  return { ask, askOnce, abandonedEnd, pollUntil, pause };

  /** Asks again, with back-off and as `Retry-After` says, until the answer is final. */
  async function ask(method: string, path: string, body?: object): Promise<Answer> {
    for (let tries = 0; ; tries++) {
      if (tries > 0) count('repeats');
      const answer = await askOnce(method, path, body);
      if (answer && isFinal(answer)) return answer;
      const backOffMs = Math.min(100 * 2 ** tries, 800);
      const askedForMs = Number(answer?.retryAfter ?? 0) * scaledSecondMs;
      await pause(Math.max(askedForMs, random.between(backOffMs / 2, backOffMs)), `${method} ${path}`);
    }
  }

  /** Undefined when the client has lost its patience; the request is on its way all the same. */
  async function askOnce(
    method: string,
    path: string,
    body?: object,
  ): Promise<(Answer & { retryAfter: string | null }) | undefined> {
    count('requests');
    const request = send(method, path, body);
    underWay.add(request);
    void request.finally(() => underWay.delete(request)).catch(() => {});
    const patienceMs = random.chance(0.1) ? random.between(50, 500) : patientMs;
    return Promise.race([request, setTimeout(patienceMs, undefined, { ref: false })]);
  }

  async function send(method: string, path: string, body: object | undefined) {
    const response = await fetch(`${apiUrl}${path}`, {
      method,
      ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    const text = await response.text();
    const json: unknown = text === '' ? undefined : JSON.parse(text);
    return { status: response.status, json, retryAfter: response.headers.get('retry-after') };
  }

  /**
   * Whoever changes their mind waits for what they have given up waiting for: an old request that is carried out after
   * a newer one is nothing that the service could tell from a new one.
   */
  async function abandonedEnd(): Promise<void> {
    await Promise.allSettled(underWay);
  }

  async function pollUntil(path: string, isSo: (answer: Answer) => boolean): Promise<void> {
    for (;;) {
      const answer = await askOnce('GET', path);
      if (answer && isSo(answer)) return;
      await pause(random.between(250, 500), `GET ${path}`);
    }
  }

  async function pause(ms: number, waitingFor: string): Promise<void> {
    if (Date.now() + ms > deadlineAt) throw new Unserved(waitingFor);
    await setTimeout(ms);
  }
}

/** 202 is none yet; neither is 409 as long as somebody else is at work; and what went wrong is asked again. */
const isFinal = ({ status }: Answer): boolean => status < 500 && status !== 202 && status !== 409;
