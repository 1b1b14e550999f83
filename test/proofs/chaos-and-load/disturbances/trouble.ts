import { triggers, type FunctionName } from '../../../../functions/triggers.ts';
import type { LocalStack } from '../../../../infra/local/stack.ts';
import { seededRandom } from '../../../support/seeded-random.ts';
import { awsFaults, count, createDraw, createFaults, injectedFaults, lateList } from './faults.ts';
import { longestListLagMs } from './timing.ts';

/** The share of failing calls to Cloud Elements. */
const failingShare = 1 / 3;

/** The share of failing calls to AWS, which the SDK then retries. */
const failingAwsShare = 1 / 50;

/** The share of requests at which a function's process is killed, with every invocation in it. */
const fatalShare = 1 / 200;

const callers = [
  'provision-instance',
  'onboard-tenants',
  'change-instance',
  'remove-instance',
  'offboard-tenants',
  'apply-secrets',
  'reconcile-instances',
] as const satisfies FunctionName[];

/** Makes the stack's servers fail and kills its functions, at random, until it is stopped. */
export function makeTrouble(stack: LocalStack, seed: number, onCall: () => void) {
  const { simulator } = stack;
  const faults = new Map<string, number>();
  let killed = 0;
  // Each has its own random sequence, independent of how often another draws.
  const [atCloudElements, atAws, fate] = [seededRandom(seed), seededRandom(seed + 1), seededRandom(seed + 2)];
  const faultAtCloudElements = createDraw(atCloudElements, failingShare, faults);
  const faultAtAws = createDraw(atAws, failingAwsShare, faults);

  function kill(name: string | undefined): void {
    if (isFunctionName(name) && stack.kill(name)) killed += 1;
  }

  simulator.faultFor = ({ operation }) => {
    onCall();
    // The request does not identify its function, so another function's process may end.
    if (fate.chance(fatalShare)) kill(fate.oneOf(callers));
    // Read when the request is carried out, right after this.
    simulator.listLagMs = 0;
    if (operation === 'GET /instances' && atCloudElements.chance(failingShare / 4)) {
      count(faults, lateList);
      simulator.listLagMs = longestListLagMs;
      return undefined;
    }
    return faultAtCloudElements(operation === 'POST /instances' ? createFaults : injectedFaults);
  };
  stack.failEach(({ signer }) => {
    if (!fate.chance(fatalShare)) return faultAtAws(awsFaults);
    if (fate.chance(0.5)) return { loseResponse: () => kill(signer) };
    kill(signer);
    return { reset: true };
  });

  return {
    /** How often each kind of fault happened. */
    faults,
    killed: () => killed,
    stop(): void {
      simulator.faultFor = () => undefined;
      simulator.listLagMs = 0;
      stack.failEach(() => undefined);
    },
  };
}

function isFunctionName(name: string | undefined): name is FunctionName {
  return name !== undefined && Object.hasOwn(triggers, name);
}
