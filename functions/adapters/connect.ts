import { lookup } from 'node:dns/promises';
import type { Socket } from 'node:net';
import { buildConnector } from 'undici';

export type Address = { address: string; family: number };

/** After this time, or a failure, the next address is tried beside the one that is slow (RFC 8305, section 5). */
const defaultHeadStartMs = 250;

/** More addresses of one name are not tried. */
const mostAddresses = 6;

/**
 * Connects to the first address that accepts. Every address has the whole of `timeoutMs`, unlike with Node's own
 * `autoSelectFamily`, which gives up each one after 250 ms. The name must resolve within `timeoutMs`, too.
 *
 * @param signal ends all attempts that have not connected
 */
export function createConnector({
  timeoutMs,
  signal,
  headStartMs = defaultHeadStartMs,
  resolve = (hostname) => lookup(hostname, { all: true }),
}: {
  timeoutMs: number;
  signal: AbortSignal;
  headStartMs?: number;
  resolve?: (hostname: string) => Promise<Address[]>;
}): buildConnector.connector {
  return (options, callback) => void report(connect(options), callback);

  async function connect(options: buildConnector.Options): Promise<Socket> {
    const addresses = await withinTime(resolve(options.hostname));
    return raceTo(interleaved(addresses).slice(0, mostAddresses), options);
  }

  function withinTime<T>(promise: Promise<T>): Promise<T> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new NameTimeoutError()), timeoutMs);
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
  }

  function raceTo(addresses: readonly Address[], options: buildConnector.Options): Promise<Socket> {
    const { promise, resolve: win, reject } = Promise.withResolvers<Socket>();
    const attempts = new Set<AbortController>();
    const left = [...addresses];
    let timer: NodeJS.Timeout | undefined;
    const end = () => {
      clearTimeout(timer);
      left.length = 0;
      for (const attempt of attempts) attempt.abort();
      signal.removeEventListener('abort', end);
    };
    const tryNext = () => {
      clearTimeout(timer);
      const next = left.shift();
      if (!next) return;
      timer = setTimeout(tryNext, headStartMs);
      const attempt = new AbortController();
      attempts.add(attempt);
      connectorTo(next, attempt.signal)(options, (error, socket) => {
        attempts.delete(attempt);
        if (socket) {
          win(socket);
          end();
        } else if (attempts.size === 0 && left.length === 0) {
          reject(error ?? new Error('No connection.'));
          end();
        } else {
          tryNext();
        }
      });
    };
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
    if (left.length === 0) reject(signal.reason ?? new Error('The name has no address.'));
    tryNext();
    return promise;
  }

  function connectorTo({ address, family }: Address, attempt: AbortSignal): buildConnector.connector {
    return buildConnector({
      allowH2: false,
      timeout: timeoutMs,
      autoSelectFamily: false,
      lookup: (_hostname, _options, found) => found(null, address, family),
      signal: attempt,
    });
  }
}

async function report(connected: Promise<Socket>, callback: buildConnector.Callback): Promise<void> {
  let socket: Socket;
  try {
    socket = await connected;
  } catch (error) {
    return callback(asError(error), null);
  }
  return callback(null, socket);
}

/** The families by turns, beginning with the resolver's first choice: a family that is cut off holds up one attempt. */
function interleaved(addresses: readonly Address[]): Address[] {
  const first = addresses.filter(({ family }) => family === addresses[0]?.family);
  const second = addresses.filter(({ family }) => family !== addresses[0]?.family);
  return Array.from({ length: Math.max(first.length, second.length) }, (_, index) => [
    first[index],
    second[index],
  ])
    .flat()
    .filter((each) => each !== undefined);
}

class NameTimeoutError extends Error {
  readonly code = 'ENAMETIMEOUT';
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error('No connection.'));
