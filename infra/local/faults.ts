import type { RequestListener } from 'node:http';
import { sendError, signerOf } from './aws/aws-protocol.ts';

/**
 * An injected fault: an error response, a stall before the request takes effect, a connection reset before it takes
 * effect, or a response that is lost with the connection, or never ends, after it took effect.
 */
export type InjectedFault =
  | { status: number; type: string; message?: string }
  | { stallMs: number }
  | { reset: true }
  /** A function is called after the request took effect, before the connection ends. */
  | { loseResponse: true | (() => void) }
  /** A function is called after the request took effect. */
  | { stallMidBody: true | (() => void) };

/** A fault for the next `times` (default 1) requests with this `x-amz-target`. */
export type Fault = InjectedFault & { target: string; times?: number };

/** Called for every request without a pending `fail`. */
export type FaultFor = (request: AwsRequest) => InjectedFault | undefined;

type AwsRequest = {
  target: string;
  /** The access key, which is the function's name. */
  signer: string | undefined;
  /** The same for all attempts of the SDK at one request. */
  callId: string;
};

const none: FaultFor = () => undefined;

/** Counts the requests of AWS-like servers and makes chosen ones fail. */
export function createFaults() {
  const requests: string[] = [];
  const pending: { fault: Fault; timesLeft: number }[] = [];
  let faultFor = none;

  function take(request: AwsRequest): InjectedFault | undefined {
    const index = pending.findIndex(({ fault }) => fault.target === request.target);
    const entry = pending[index];
    if (!entry) return faultFor(request);
    entry.timesLeft -= 1;
    if (entry.timesLeft <= 0) pending.splice(index, 1);
    return entry.fault;
  }

  function fail(fault: Fault): void {
    pending.push({ fault, timesLeft: fault.times ?? 1 });
  }

  /** Sets the function that decides about each later request. */
  function failEach(decide: FaultFor): void {
    faultFor = decide;
  }

  function guard(listener: RequestListener): RequestListener {
    return (request, response) => {
      const target = String(request.headers['x-amz-target']);
      requests.push(target);
      const callId = String(request.headers['amz-sdk-invocation-id']);
      const fault = take({ target, signer: signerOf(request.headers), callId });
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
      } else if ('loseResponse' in fault) {
        const { loseResponse } = fault;
        response.end = () => {
          if (loseResponse !== true) loseResponse();
          return response.destroy();
        };
        listener(request, response);
      } else {
        // The head announces the whole body, but no byte of it follows.
        const { stallMidBody } = fault;
        response.end = () => {
          response.flushHeaders();
          if (stallMidBody !== true) stallMidBody();
          return response;
        };
        listener(request, response);
      }
    };
  }

  return {
    /** The targets of all requests so far, in order: names only, never bodies. */
    requests,
    fail,
    failEach,
    /** Forgets the requests so far and the pending faults. */
    reset(): void {
      requests.length = 0;
      pending.length = 0;
      faultFor = none;
    },
    guard,
  };
}
