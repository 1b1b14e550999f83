import type { InjectedFault, Outcome } from '../../infra/local/cloud-elements/simulator.ts';

type Response = { body?: object | string; headers?: Record<string, string> };
type Given = [outcome: Outcome] | [status: number, response?: Response];

const outcomeOf = ([outcome, response]: Given): Outcome =>
  typeof outcome === 'number' ? { kind: 'status', status: outcome, ...response } : outcome;

/** Cloud Elements carries out the request; its sender gets this outcome, or a response of this status. */
export const applied = (...given: Given): InjectedFault => ({ effect: 'applied', outcome: outcomeOf(given) });
/** Cloud Elements does not carry out the request. */
export const notApplied = (...given: Given): InjectedFault => ({ effect: 'none', outcome: outcomeOf(given) });
