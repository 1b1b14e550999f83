import type { InjectedFault } from '../../../../infra/local/cloud-elements/simulator.ts';
import type { InjectedFault as AwsFault } from '../../../../infra/local/faults.ts';
import { applied, notApplied } from '../../../support/faults.ts';
import type { Random } from '../../../support/seeded-random.ts';
import { latestEffectMs, tooLateMs } from './timing.ts';

/** A kind of fault: the name under which it is counted, and a fault of the kind. */
type Kind<Fault> = readonly [name: string, make: (random: Random) => Fault];
export type Kinds<Fault> = readonly [Kind<Fault>, ...Kind<Fault>[]];

const proxyPage = { body: '<html><body><h1>Bad Gateway</h1></body></html>' };

export const injectedFaults: Kinds<InjectedFault> = [
  ['done, then no answer', () => applied({ kind: 'stall' })],
  ['not done, no answer', () => notApplied({ kind: 'stall' })],
  ['done, then reset', () => applied({ kind: 'reset' })],
  ['not done, reset', () => notApplied({ kind: 'reset' })],
  ['reset mid-body', () => applied({ kind: 'reset-mid-body' })],
  ['done, then 502 of a proxy', () => applied(502, proxyPage)],
  ['not done, 502 of a proxy', () => notApplied(502, proxyPage)],
  ['not done, 404 of a proxy', () => notApplied(404, { body: '<html>Not found</html>' })],
  ['not done, 500', () => notApplied(500)],
  ['unreadable 200', () => applied({ kind: 'unreadable' })],
  ['late effect', ({ between }) => notApplied({ kind: 'late-effect', ms: between(50, latestEffectMs) })],
  ['429', () => notApplied(429)],
  ['429 with Retry-After', () => notApplied(429, { headers: { 'retry-after': '1' } })],
  ['short stall', ({ between }) => applied({ kind: 'delay', ms: between(50, 800) })],
  ['slow drip', () => applied({ kind: 'drip', bytesPerSecond: 500 })],
];

/** So late that another create may have been sent meanwhile. Then one of the two instances is removed again. */
export const lateCreate = 'create later than assumed';
export const createFaults: Kinds<InjectedFault> = [
  ...injectedFaults,
  [lateCreate, () => notApplied({ kind: 'late-effect', ms: tooLateMs })],
];

/** In addition, a list may omit instances that were created just before. */
export const lateList = 'late list';

export const awsFaults: Kinds<AwsFault> = [
  ['AWS: done, answer lost', () => ({ loseResponse: true })],
  ['AWS: not done, reset', () => ({ reset: true })],
  ['AWS: not done, 500', () => ({ status: 500, type: 'InternalServerError' })],
];

const reset = ['done, then reset', () => applied({ kind: 'reset' })] as const;
const busy = ['429, not done', () => notApplied(429)] as const;
const badGateway = ['502, not done', () => notApplied(502)] as const;
/** With deployed periods. A look-up after each `502` takes seconds and holds up its batch, so there are fewer of these. */
export const slowFaults: Kinds<InjectedFault> = [reset, reset, reset, reset, busy, busy, busy, badGateway];

/** Makes a share of requests fail, and counts each kind of fault. */
export function createDraw(random: Random, share: number, counts: Map<string, number>) {
  return <Fault>(kinds: Kinds<Fault>): Fault | undefined => {
    if (!random.chance(share)) return undefined;
    const [name, make] = random.oneOf(kinds);
    count(counts, name);
    return make(random);
  };
}

export function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
