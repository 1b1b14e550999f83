import * as z from 'zod/mini';
import { errorCodes } from '../../../functions/model/errors.ts';
import type { ReceivedResponse } from '../../support/running-service.ts';

/** `gateway`: the request has not reached a function, as it should be with such a request. */
export type ResponseKind = 'success' | 'problem' | 'gateway';

const problemSchema = z.object({ status: z.number(), code: z.string() });
const gatewaySchema = z.object({ message: z.string() });

const successes = new Set([200, 201, 202, 204]);
const documentedServerErrors = new Set([502, 503, 504]);
const refusalsByGateway = new Set([400, 403, 404, 405, 413, 414, 415, 429, 431]);

export const codeOf = ({ json }: ReceivedResponse): string | undefined =>
  problemSchema.safeParse(json).data?.code;

/** The kind of the response, or its difference from every documented one. `mayDie`: its function may have been killed. */
export function responseKindOf(
  response: ReceivedResponse,
  { isHead = false, mayDie = false } = {},
): ResponseKind | { wrong: string } {
  const { status, headers, text, json } = response;
  const type = String(headers['content-type'] ?? '');
  if (type.startsWith('application/problem+json')) {
    const problem = problemSchema.safeParse(json).data;
    const code = Object.entries(errorCodes).find(([name]) => name === problem?.code);
    if (!problem || !code) return { wrong: `${status} with a problem of no documented form` };
    if (problem.status !== status || code[1].status !== status) {
      return { wrong: `${status} with the code ${problem.code}` };
    }
    if (status >= 500 && !documentedServerErrors.has(status)) return { wrong: `${status} ${problem.code}` };
    return 'problem';
  }
  if (status === 500 && mayDie && gatewaySchema.safeParse(json).success) return 'gateway';
  if (status >= 500) return { wrong: `${status} of the gateway: ${text.slice(0, 200)}` };
  if (successes.has(status)) {
    // A pending removal has no body either.
    const isEmpty = text === '' && (status === 204 || status === 202);
    if (isEmpty || (type.startsWith('application/json') && json !== undefined)) return 'success';
  } else if (refusalsByGateway.has(status) && (isHead || gatewaySchema.safeParse(json).success)) {
    return 'gateway';
  }
  return { wrong: `${status} ${type} ${text.slice(0, 200)}` };
}
