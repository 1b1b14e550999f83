import type { RequestListener } from 'node:http';
import { sendError, signerOf } from './aws/aws-protocol.ts';

/**
 * What a request meets: an error answer, a stall before any work is done, a connection that is reset before any work is
 * done, or work that is done while its answer is lost with the connection or never ends.
 */
export type Mishap =
  | { status: number; type: string; message?: string }
  | { stallMs: number }
  | { reset: true }
  /** A function is called when the work is done, before the connection ends. */
  | { loseAnswer: true | (() => void) }
  | { stallMidBody: true };

/** What the next `times` (default 1) requests with this `x-amz-target` meet. */
export type Fault = Mishap & { target: string; times?: number };

/** Asked for every request that no `fail` is waiting for. `signer`: the access key, which is the function's name. */
export type MishapFor = (request: { target: string; signer: string | undefined }) => Mishap | undefined;

const none: MishapFor = () => undefined;

/** Counts the requests of AWS-like servers and makes chosen ones fail. */
export function createFaults() {
  const requests: string[] = [];
  const pending: { fault: Fault; timesLeft: number }[] = [];
  let mishapFor = none;

  function take(target: string, signer: string | undefined): Mishap | undefined {
    const index = pending.findIndex(({ fault }) => fault.target === target);
    const entry = pending[index];
    if (!entry) return mishapFor({ target, signer });
    entry.timesLeft -= 1;
    if (entry.timesLeft <= 0) pending.splice(index, 1);
    return entry.fault;
  }

  function fail(fault: Fault): void {
    pending.push({ fault, timesLeft: fault.times ?? 1 });
  }

  /** Decides over each request from here on. */
  function failEach(decide: MishapFor): void {
    mishapFor = decide;
  }

  function guard(listener: RequestListener): RequestListener {
    return (request, response) => {
      const target = String(request.headers['x-amz-target']);
      requests.push(target);
      const fault = take(target, signerOf(request.headers));
      if (!fault) {
        listener(request, response);
      } else if ('type' in fault) {
        request.resume();
        sendError(response, { message: 'Injected fault', ...fault });
      } else if ('stallMs' in fault) {
        const timer = setTimeout(() => listener(request, response), fault.stallMs);
        response.once('close', () => clearTimeout(timer));
      } else if ('reset' in fault) {
        request.destroy();
      } else if ('loseAnswer' in fault) {
        const { loseAnswer } = fault;
        response.end = () => {
          if (loseAnswer !== true) loseAnswer();
          return response.destroy();
        };
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
    failEach,
    /** Forgets the requests so far and the faults still to come. */
    reset(): void {
      requests.length = 0;
      pending.length = 0;
      mishapFor = none;
    },
    guard,
  };
}
