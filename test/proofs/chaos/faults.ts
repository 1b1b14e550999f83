import type { InjectedFault } from '../../../infra/local/cloud-elements/simulator.ts';
import type { InjectedFault as AwsFault } from '../../../infra/local/faults.ts';
import type { Random } from '../../support/seeded-random.ts';
import { latestEffectMs, tooLateMs } from './timing.ts';

/** A kind of fault of Cloud Elements, and the name under which it is counted. */
type Kind = { name: string; injectedFault: (random: Random) => InjectedFault };

const proxyPage = '<html><body><h1>Bad Gateway</h1></body></html>';

export const injectedFaults: readonly [Kind, ...Kind[]] = [
  { name: 'done, then no answer', injectedFault: () => ({ effect: 'applied', outcome: { kind: 'stall' } }) },
  { name: 'not done, no answer', injectedFault: () => ({ effect: 'none', outcome: { kind: 'stall' } }) },
  { name: 'done, then reset', injectedFault: () => ({ effect: 'applied', outcome: { kind: 'reset' } }) },
  { name: 'not done, reset', injectedFault: () => ({ effect: 'none', outcome: { kind: 'reset' } }) },
  {
    name: 'reset mid-body',
    injectedFault: () => ({ effect: 'applied', outcome: { kind: 'reset-mid-body' } }),
  },
  {
    name: 'done, then 502 of a proxy',
    injectedFault: () => ({ effect: 'applied', outcome: { kind: 'status', status: 502, body: proxyPage } }),
  },
  {
    name: 'not done, 502 of a proxy',
    injectedFault: () => ({ effect: 'none', outcome: { kind: 'status', status: 502, body: proxyPage } }),
  },
  {
    name: 'not done, 404 of a proxy',
    injectedFault: () => ({
      effect: 'none',
      outcome: { kind: 'status', status: 404, body: '<html>Not found</html>' },
    }),
  },
  {
    name: 'not done, 500',
    injectedFault: () => ({ effect: 'none', outcome: { kind: 'status', status: 500 } }),
  },
  { name: 'unreadable 200', injectedFault: () => ({ effect: 'applied', outcome: { kind: 'unreadable' } }) },
  {
    name: 'late effect',
    injectedFault: ({ between }) => ({
      effect: 'none',
      outcome: { kind: 'late-effect', ms: between(50, latestEffectMs) },
    }),
  },
  {
    name: '429',
    injectedFault: () => ({ effect: 'none', outcome: { kind: 'status', status: 429 } }),
  },
  {
    name: '429 with Retry-After',
    injectedFault: () => ({
      effect: 'none',
      outcome: { kind: 'status', status: 429, headers: { 'retry-after': '1' } },
    }),
  },
  {
    name: 'short stall',
    injectedFault: ({ between }) => ({ effect: 'applied', outcome: { kind: 'delay', ms: between(50, 800) } }),
  },
  {
    name: 'slow drip',
    injectedFault: () => ({ effect: 'applied', outcome: { kind: 'drip', bytesPerSecond: 500 } }),
  },
];

/** So late that another create may have been sent meanwhile. Then one of the two instances is removed again. */
export const lateCreate = 'create later than assumed';
export const createFaults: typeof injectedFaults = [
  ...injectedFaults,
  {
    name: lateCreate,
    injectedFault: () => ({ effect: 'none', outcome: { kind: 'late-effect', ms: tooLateMs } }),
  },
];

/** In addition, a list may omit instances that were created just before. */
export const lateList = 'late list';

type AwsKind = { name: string; injectedFault: AwsFault };
export const awsFaults: readonly [AwsKind, ...AwsKind[]] = [
  { name: 'AWS: done, answer lost', injectedFault: { loseResponse: true } },
  { name: 'AWS: not done, reset', injectedFault: { reset: true } },
  { name: 'AWS: not done, 500', injectedFault: { status: 500, type: 'InternalServerError' } },
];
