import { setTimeout } from 'node:timers/promises';
import type { ReceivedResponse } from '../../../support/running-service.ts';
import type { Random } from '../../../support/seeded-random.ts';
import type { Target } from '../target.ts';

/** Periods are about a tenth of the deployed ones, so a second of `Retry-After` is a tenth, too. */
const scaledSecondMs = 100;

/** The client's timeout, after which the outcome of a request is unknown to it. */
const patientMs = 5_000;

/** The caller has reached its limit for waiting. */
export class Unserved extends Error {}

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

/** A typical caller of the HTTP API: impatient at times, and repeating requests until it gets an outcome. */
export function createClient({
  target: { service, oracle },
  random,
  deadlineAt,
  count,
}: {
  target: Target;
  random: Random;
  deadlineAt: number;
  count: (name: 'requests' | 'repeats') => void;
}) {
  const underWay = new Set<Promise<unknown>>();
  return { ask, askOnce, abandonedEnd, pollUntil, pause };

  /** Repeats a request, with backoff and `Retry-After`, until the response is final. */
  async function ask(method: Method, path: string, body?: object): Promise<ReceivedResponse> {
    for (let tries = 0; ; tries++) {
      if (tries > 0) count('repeats');
      const response = await askOnce(method, path, body);
      if (response && isFinal(response)) return response;
      const backOffMs = Math.min(100 * 2 ** tries, 800);
      const retryAfterMs = Number(response?.headers['retry-after'] ?? 0) * scaledSecondMs;
      await pause(Math.max(retryAfterMs, random.between(backOffMs / 2, backOffMs)), `${method} ${path}`);
    }
  }

  /** Undefined when the client has given up; the request is still being processed. */
  async function askOnce(method: Method, path: string, body?: object): Promise<ReceivedResponse | undefined> {
    count('requests');
    const request = send(method, path, body);
    underWay.add(request);
    void request.finally(() => underWay.delete(request)).catch(() => {});
    const patienceMs = random.chance(0.1) ? random.between(50, 500) : patientMs;
    return Promise.race([request, setTimeout(patienceMs, undefined, { ref: false })]);
  }

  async function send(method: Method, path: string, body: object | undefined): Promise<ReceivedResponse> {
    const response = await service.request({
      method,
      path,
      ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    oracle.check(`${method} ${path}`, response, { isToken: path.endsWith('/token') });
    return response;
  }

  /**
   * Waits for abandoned requests before a client sends a different one: the service could not distinguish an old request
   * that arrives after a newer one from a new request.
   */
  async function abandonedEnd(): Promise<void> {
    await Promise.allSettled(underWay);
  }

  async function pollUntil(path: string, isSo: (response: ReceivedResponse) => boolean): Promise<void> {
    for (;;) {
      const response = await askOnce('GET', path);
      if (response && isSo(response)) return;
      await pause(random.between(250, 500), `GET ${path}`);
    }
  }

  async function pause(ms: number, waitingFor: string): Promise<void> {
    if (Date.now() + ms > deadlineAt) throw new Unserved(waitingFor);
    await setTimeout(ms);
  }
}

/** Not final are 202, a 409 during another request, and server errors. */
const isFinal = ({ status }: ReceivedResponse): boolean => status < 500 && status !== 202 && status !== 409;
