import type { Mishap } from '../../../infra/local/cloud-elements/simulator.ts';
import type { Mishap as AwsMishap } from '../../../infra/local/faults.ts';
import type { Random } from '../../support/seeded-random.ts';
import { latestEffectMs, tooLateMs } from './timing.ts';

/** A kind of fault of Cloud Elements, and the name under which it is counted. */
type Kind = { name: string; mishap: (random: Random) => Mishap };

const proxyPage = '<html><body><h1>Bad Gateway</h1></body></html>';

export const mishaps: readonly [Kind, ...Kind[]] = [
  { name: 'done, then no answer', mishap: () => ({ effect: 'applied', outcome: { kind: 'stall' } }) },
  { name: 'not done, no answer', mishap: () => ({ effect: 'none', outcome: { kind: 'stall' } }) },
  { name: 'done, then reset', mishap: () => ({ effect: 'applied', outcome: { kind: 'reset' } }) },
  { name: 'not done, reset', mishap: () => ({ effect: 'none', outcome: { kind: 'reset' } }) },
  { name: 'reset mid-body', mishap: () => ({ effect: 'applied', outcome: { kind: 'reset-mid-body' } }) },
  {
    name: 'done, then 502 of a proxy',
    mishap: () => ({ effect: 'applied', outcome: { kind: 'status', status: 502, body: proxyPage } }),
  },
  {
    name: 'not done, 502 of a proxy',
    mishap: () => ({ effect: 'none', outcome: { kind: 'status', status: 502, body: proxyPage } }),
  },
  {
    name: 'not done, 404 of a proxy',
    mishap: () => ({
      effect: 'none',
      outcome: { kind: 'status', status: 404, body: '<html>Not found</html>' },
    }),
  },
  { name: 'not done, 500', mishap: () => ({ effect: 'none', outcome: { kind: 'status', status: 500 } }) },
  { name: 'unreadable 200', mishap: () => ({ effect: 'applied', outcome: { kind: 'unreadable' } }) },
  {
    name: 'late effect',
    mishap: ({ between }) => ({
      effect: 'none',
      outcome: { kind: 'late-effect', ms: between(50, latestEffectMs) },
    }),
  },
  {
    name: '429',
    mishap: () => ({ effect: 'none', outcome: { kind: 'status', status: 429 } }),
  },
  {
    name: '429 with Retry-After',
    mishap: () => ({
      effect: 'none',
      outcome: { kind: 'status', status: 429, headers: { 'retry-after': '1' } },
    }),
  },
  {
    name: 'short stall',
    mishap: ({ between }) => ({ effect: 'applied', outcome: { kind: 'delay', ms: between(50, 800) } }),
  },
  {
    name: 'slow drip',
    mishap: () => ({ effect: 'applied', outcome: { kind: 'drip', bytesPerSecond: 500 } }),
  },
];

/** So late that another create may have been sent meanwhile. Then one of the two instances is removed again. */
export const lateCreate = 'create later than assumed';
export const createMishaps: typeof mishaps = [
  ...mishaps,
  {
    name: lateCreate,
    mishap: () => ({ effect: 'none', outcome: { kind: 'late-effect', ms: tooLateMs } }),
  },
];

/** In addition, a list may omit instances that were created just before. */
export const lateList = 'late list';

type AwsKind = { name: string; mishap: AwsMishap };
export const awsMishaps: readonly [AwsKind, ...AwsKind[]] = [
  { name: 'AWS: done, answer lost', mishap: { loseAnswer: true } },
  { name: 'AWS: not done, reset', mishap: { reset: true } },
  { name: 'AWS: not done, 500', mishap: { status: 500, type: 'InternalServerError' } },
];
