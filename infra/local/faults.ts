import type { RequestListener } from 'node:http';
import { sendError } from './aws-protocol.ts';

/**
 * What the next `times` (default 1) requests with this `x-amz-target` meet: an error answer, a stall before any work
 * is done, or work that is done while its answer is lost with the connection or never ends.
 */
export type Fault = { target: string; times?: number } & (
  | { status: number; type: string; message?: string }
  | { stallMs: number }
  | { loseAnswer: true }
  | { stallMidBody: true }
);

/** Counts the requests of AWS-like servers and makes chosen ones fail. */
export function createFaults() {
  const requests: string[] = [];
  const pending: { fault: Fault; timesLeft: number }[] = [];

  function take(target: string): Fault | undefined {
    const index = pending.findIndex(({ fault }) => fault.target === target);
    const entry = pending[index];
    if (!entry) return undefined;
    entry.timesLeft -= 1;
    if (entry.timesLeft <= 0) pending.splice(index, 1);
    return entry.fault;
  }

  function fail(fault: Fault): void {
    pending.push({ fault, timesLeft: fault.times ?? 1 });
  }

  function guard(listener: RequestListener): RequestListener {
    return (request, response) => {
      const target = String(request.headers['x-amz-target']);
      requests.push(target);
      const fault = take(target);
      if (!fault) {
        listener(request, response);
      } else if ('type' in fault) {
        request.resume();
        sendError(response, { message: 'Injected fault', ...fault });
      } else if ('stallMs' in fault) {
        const timer = setTimeout(() => listener(request, response), fault.stallMs);
        response.once('close', () => clearTimeout(timer));
      } else if ('loseAnswer' in fault) {
        response.end = () => response.destroy();
        listener(request, response);
      } else {
        // The head announces the whole body, of which nothing comes.
        response.end = () => {
          response.flushHeaders();
          return response;
        };
        listener(request, response);
      }
    };
  }

  return {
    /** The targets of all requests so far, in order: names only, never what a request holds. */
    requests,
    fail,
    /** Forgets the requests so far and the faults still to come. */
    reset(): void {
      requests.length = 0;
      pending.length = 0;
    },
    guard,
  };
}
