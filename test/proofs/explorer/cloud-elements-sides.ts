import { setTimeout } from 'node:timers/promises';
import { createCloudElementsCaller } from '../../../functions/adapters/cloud-elements-http.ts';
import { createCloudElements } from '../../../functions/adapters/cloud-elements.ts';
import type { CloudElements } from '../../../functions/core/ports.ts';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import { startCloudElements, type InjectedFault } from '../../../infra/local/cloud-elements/simulator.ts';
import { applied, notApplied } from '../../support/faults.ts';
import { cloudElementsCallsOf } from './cloud-elements-calls.ts';
import { createCloudElementsModel } from './cloud-elements-model.ts';
import { createWitness } from './witness.ts';
import { createWorld } from './world.ts';

/** What may happen to one call. */
export type Trouble =
  | 'refused'
  | 'not sent'
  | 'not now'
  | 'done, no answer'
  | 'done later, no answer'
  | 'not done, no answer'
  | 'listed late'
  | 'refused, it is in use'
  | 'fails'
  | 'takes too long';

/** Cloud Elements behind the port of the core, as the explorer or the simulator has it. */
export type Side = {
  /** Its next call meets this trouble. */
  meeting: (trouble?: Trouble) => CloudElements;
  /** Waits until everything that happens late has happened. */
  later: () => Promise<void>;
  /** Name, tags and configuration of an instance that exists. */
  kept: (id: number) => { name: string; tags: readonly string[]; configuration: object } | undefined;
  /** How many instances exist. */
  count: () => number;
  stop: () => Promise<void>;
};

/** Longer than any effect may be late. */
const lateMs = 10 * 60_000;

export async function openExplorersSide(): Promise<Side> {
  let wanted: string | undefined;
  const world = createWorld({
    budget: { fault: Infinity, crash: 0, delay: Infinity },
    doubts: { keptInstances: true },
    choose: (options) =>
      Math.max(
        0,
        options.findIndex(({ label }) => wanted !== undefined && label.endsWith(wanted)),
      ),
    remembers: false,
  });
  const model = createCloudElementsModel({ origin: 'https://elements.test', now: world.now });
  const witness = createWitness({
    world,
    modelAt: () => model,
    rows: () => [],
    find: () => undefined,
    isMemorable: false,
    secret: { key: undefined, isChanged: false, isRefused: false },
  });
  const invocation = world.begin('side', { aheadMs: 0, lastsMs: Infinity });
  const cloudElements = cloudElementsCallsOf(invocation, { world, witness, model, latestCreateMs: 60_000 });

  /** Lets a call that has been made meet the trouble. */
  async function completed<T>(trouble: Trouble | undefined, response: Promise<T>): Promise<T> {
    if (trouble === 'takes too long') {
      wanted = 'slow request';
      world.decide(world.options().takings);
      wanted = 'takes too long';
      world.advanceTo(world.nextMoment([]) ?? world.now());
    } else {
      wanted = trouble && `, ${trouble}`;
      const { takings } = world.options();
      if (wanted !== undefined && !takings.some(({ label }) => label.endsWith(`${wanted}`))) {
        throw new Error(`The explorer knows no trouble "${trouble}" here.`);
      }
      world.decide(takings);
    }
    return response;
  }

  return {
    meeting: (trouble) => ({
      create: (...call) => completed(trouble, cloudElements.create(...call)),
      update: (...call) => completed(trouble, cloudElements.update(...call)),
      read: (...call) => completed(trouble, cloudElements.read(...call)),
      lookUp: (...call) => completed(trouble, cloudElements.lookUp(...call)),
      list: (...call) => completed(trouble, cloudElements.list(...call)),
      remove: (...call) => completed(trouble, cloudElements.remove(...call)),
    }),
    async later() {
      world.advanceTo(world.now() + lateMs);
    },
    kept: (id) => model.living().find((instance) => instance.id === id),
    count: () => model.living().length,
    stop: async () => {},
  };
}

/** Of the simulator, in real time: longer than a test takes to look that it has not happened yet. */
const lateEffectMs = 500;

/** `not sent` and `listed late` are no faults of a response. */
const faults: Partial<Record<Trouble, InjectedFault>> = {
  refused: notApplied(400),
  'not now': notApplied(429, { headers: { 'retry-after': '60' } }),
  'done, no answer': applied({ kind: 'reset' }),
  'done later, no answer': notApplied({ kind: 'late-effect', ms: lateEffectMs }),
  'not done, no answer': notApplied({ kind: 'reset' }),
  'refused, it is in use': notApplied(409),
  fails: notApplied({ kind: 'reset' }),
  'takes too long': notApplied({ kind: 'stall' }),
};

export async function openSimulatorsSide(): Promise<Side> {
  const secrets = { userSecret: 'user', organizationSecret: 'organization' };
  const credentials = { get: () => Promise.resolve(secrets), renew: () => Promise.resolve(secrets) };
  const clock = { aheadMs: 0 };
  let listLagMs = 0;
  let isEffectLate = false;
  const simulator = await startCloudElements({ ...secrets, now: () => Date.now() + clock.aheadMs });
  const stopped = await startCloudElements(secrets);
  await stopped.stop();
  const at = (baseUrl: string) =>
    createCloudElements({
      call: createCloudElementsCaller({ baseUrl, credentials }),
      catalog: builtInCatalog,
    });

  return {
    meeting(trouble) {
      if (trouble === 'not sent') return at(stopped.url);
      if (trouble === 'listed late') listLagMs = lateMs;
      isEffectLate ||= trouble === 'done later, no answer';
      simulator.listLagMs = listLagMs;
      const fault = trouble && faults[trouble];
      simulator.faultFor = () => fault;
      return at(simulator.url);
    },
    async later() {
      if (isEffectLate) await setTimeout(lateEffectMs + 50);
      isEffectLate = false;
      clock.aheadMs += lateMs;
      listLagMs = 0;
    },
    kept: (id) => simulator.instances.find((instance) => instance.id === id),
    count: () => simulator.instances.length,
    stop: () => simulator.stop(),
  };
}
