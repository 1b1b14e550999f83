import type { SentEvent } from './messages.ts';
import type { Scenario } from './schedule.ts';
import type { Task } from './tasks.ts';

const ask: Task = { do: 'provision' };
const askForOther: Task = { do: 'provision', name: 'Other' };
const remove: Task = { do: 'remove' };
const update: Task = { do: 'update', name: 'Renamed' };
const check: Task = { do: 'check' };
const handMake: Task = { do: 'hand-make' };
/** The first instance of all. */
const importIt: Task = { do: 'import', id: 501 };
const forGlobex = (task: Task): Task => ({ ...task, tenantId: 'globex' });
const reconcile: Task = { do: 'reconcile' };
type Sent = Partial<SentEvent> & Pick<SentEvent, 'id' | 'sentAtS'>;
const onboard = (sent: Sent): Task => ({ do: 'deliver', event: { requestsFor: 'onboarding', ...sent } });
const offboard = (sent: Sent): Task => offboardTenant({ elementKey: 'taxify', ...sent });

// Outside the catalog, so nothing is required.
const second = 'zendesk';
const offboardTenant = (sent: Sent): Task => ({
  do: 'deliver',
  event: { requestsFor: 'offboarding', ...sent },
});
const putSecret = (key: string): Task => ({ do: 'put-secret', key });
const applySecret: Task = { do: 'apply-secret' };
const redriven = (sent: Sent): Task => ({
  do: 'deliver',
  event: { requestsFor: 'onboarding', ...sent },
  isRedriven: true,
});
const away = (task: Task): Task => ({ ...task, isElsewhere: true });
const twice = (task: Task): Task[] => [task, task];
const dayS = 24 * 60 * 60;

/** The largest assumed difference between two clocks of our hosts. */
const clocksDifferByMs = 5_000;
const slow = -clocksDifferByMs / 2;
const fast = clocksDifferByMs / 2;

type Draft = Omit<Scenario, 'name' | 'actors' | 'budget'> & {
  /** By name, the clocks they may have and their tasks. */
  actors: Record<string, readonly [aheadMs: number | readonly number[], ...tasks: Task[]]>;
  budget?: Partial<Scenario['budget']>;
};

const scenario = (name: string, { actors, budget, ...others }: Draft): Scenario => ({
  name,
  actors: Object.entries(actors).map(([actor, [aheadMs, ...tasks]]) => ({
    name: actor,
    tasks,
    aheadMs: [aheadMs].flat(),
  })),
  budget: { fault: 0, crash: 0, delay: 0, ...budget },
  ...others,
});

/** Two callers with two tries each, and two runs of the reconciler. */
export const callers = scenario('callers', {
  actors: { A: [slow, ask, ask], B: [fast, ask, ask], R: [fast, reconcile, reconcile] },
  budget: { fault: 1, crash: 1 },
});

const once = ({ tasks, ...actor }: Scenario['actors'][number]) => ({ ...actor, tasks: tasks.slice(0, 1) });

/** Small enough to go through every schedule in seconds. */
export const smallBounds: readonly Scenario[] = [
  { ...callers, name: 'callers-once', actors: callers.actors.map(once) },
  {
    ...callers,
    name: 'callers-delayed',
    actors: callers.actors.map(once),
    budget: { fault: 0, crash: 0, delay: 1 },
  },
  scenario('removal', {
    before: [ask],
    actors: { D: [slow, remove], A: [fast, ask], R: [fast, reconcile] },
    budget: { fault: 1, crash: 1 },
  }),
  scenario('removal-of-unfinished', {
    actors: { A: [slow, ask], D: [fast, remove, remove], R: [fast, reconcile] },
    budget: { fault: 1 },
  }),
  // Creates are sent late, and a look-up overlaps the end of the quiescence.
  scenario('tight', {
    actors: { A: [slow, ask], D: [fast, remove] },
    budget: { delay: 2 },
    periods: { createTimeoutMs: 25_000, slowestCreateMs: 4_000, quiescenceMs: 4_000 + clocksDifferByMs },
  }),
  // The reconciler's look-up overlaps the end of a dead claim's quiescence.
  scenario('tight-claim', {
    actors: { A: [slow, ask], R: [fast, reconcile] },
    budget: { crash: 1, delay: 2 },
    periods: { createTimeoutMs: 25_000, slowestCreateMs: 8_000, quiescenceMs: 8_000 + clocksDifferByMs },
  }),
  scenario('updates', {
    before: [ask],
    actors: { P: [slow, update], Q: [fast, { do: 'update', name: 'Again' }], R: [fast, reconcile] },
    budget: { fault: 1 },
  }),
  // The removal is older than the second onboarding, and newer than the first.
  scenario('reordered', {
    before: [onboard({ id: 'on-1', sentAtS: -60 })],
    actors: {
      A: [slow, onboard({ id: 'on-2', sentAtS: -40 })],
      D: [fast, offboard({ id: 'off-1', sentAtS: -50 })],
      P: [fast, update],
    },
  }),
  // Over HTTP and by two events, one sent after the concurrent onboarding and one before.
  scenario('removals', {
    before: [onboard({ id: 'on-1', sentAtS: -60 })],
    actors: {
      A: [slow, onboard({ id: 'on-2', sentAtS: -40 })],
      D: [fast, offboard({ id: 'off-1', sentAtS: -50 })],
      E: [0, remove],
    },
  }),
  scenario('overdue-once', {
    actors: { A: [slow, ask], B: [fast, askForOther], R: [fast, reconcile] },
    budget: { fault: 1 },
    doubts: { overdueCreates: true, doubleCreates: true },
  }),
  // An element is onboarded while the tenant leaves: one of the two must see the other.
  scenario('departure', {
    before: [onboard({ id: 'on-1', sentAtS: -60 })],
    actors: {
      A: [slow, onboard({ id: 'on-2', sentAtS: -55, elementKey: second })],
      D: [fast, offboardTenant({ id: 'off-1', sentAtS: -50 })],
      R: [slow, reconcile],
    },
  }),
  scenario('departure-of-none', {
    actors: {
      A: [slow, onboard({ id: 'on-1', sentAtS: -55 })],
      D: [fast, offboardTenant({ id: 'off-1', sentAtS: -50 })],
    },
    budget: { crash: 1 },
  }),
  scenario('departure-with-fault', {
    before: [onboard({ id: 'on-1', sentAtS: -60 }), { ...ask, elementKey: second }],
    actors: { D: [fast, offboardTenant({ id: 'off-1', sentAtS: -50 })] },
    budget: { fault: 1 },
  }),
  // Two removals of the tenant overlap, and both must be answered.
  scenario('departures', {
    before: [onboard({ id: 'on-1', sentAtS: -60 })],
    actors: {
      D: [slow, offboardTenant({ id: 'off-1', sentAtS: -50 })],
      E: [fast, offboardTenant({ id: 'off-2', sentAtS: -30 })],
    },
  }),
  // A sender whose clock is ahead, and one whose clock is slow.
  scenario('senders', {
    actors: {
      A: [slow, ...twice(onboard({ id: 'on-1', sentAtS: -10, aheadS: 90 }))],
      H: [fast, ask],
      D: [slow, offboard({ id: 'off-1', sentAtS: 1, aheadS: -3 })],
    },
  }),
  // A cut stamp is by the queue's clock, which differs from that of the removing host.
  scenario('cut-onboarding', {
    actors: {
      A: [0, ...twice(onboard({ id: 'on-1', sentAtS: 0, aheadS: 90 }))],
      E: [slow, remove],
      H: [fast, ask],
    },
  }),
  scenario('cut-offboarding', {
    actors: {
      H: [fast, ask],
      D: [0, ...twice(offboard({ id: 'off-1', sentAtS: 1, aheadS: 90 }))],
      A: [0, onboard({ id: 'on-1', sentAtS: 0 })],
    },
  }),
  scenario('toolkit', {
    before: [onboard({ id: 'sbt-on', sentAtS: -60, registration: 'reg-1' })],
    actors: {
      E: [fast, remove],
      D: [fast, offboardTenant({ id: 'sbt-off', sentAtS: -30, registration: 'reg-1' })],
      A: [slow, onboard({ id: 'on-2', sentAtS: -40 })],
    },
  }),
  // From the dead letters and the archive, when the tombstone has ended.
  scenario('seasons', {
    before: [onboard({ id: 'on-1', sentAtS: -60 })],
    actors: {
      D: [
        fast,
        offboard({ id: 'off-1', sentAtS: -50 }),
        { ...offboard({ id: 'off-1', sentAtS: -50 }), fromS: 19 * dayS },
      ],
      A: [
        slow,
        { ...redriven({ id: 'on-1', sentAtS: -60 }), fromS: 19 * dayS },
        { ...onboard({ id: 'on-1', sentAtS: -60 }), fromS: 21 * dayS },
      ],
      H: [slow, ask],
      R: [fast, reconcile],
    },
    doubts: { expiry: true },
  }),
  // The stack is pointed at another Cloud Elements while the outcome of a create is unknown.
  scenario('elsewhere', {
    actors: {
      A: [slow, ask],
      B: [fast, { ...ask, isElsewhere: true }],
      R: [fast, { ...reconcile, isElsewhere: true }],
    },
    budget: { fault: 1 },
  }),
  scenario('kept', {
    before: [onboard({ id: 'on-1', sentAtS: -60 })],
    actors: { D: [slow, offboardTenant({ id: 'off-1', sentAtS: -50 })], E: [fast, remove] },
    budget: { fault: 1 },
    doubts: { keptInstances: true },
  }),
  scenario('secret-changes', {
    before: [ask],
    actors: {
      C: [0, putSecret('stored-2'), putSecret('stored-3')],
      A: [slow, applySecret, applySecret],
      R: [fast, reconcile],
    },
    budget: { fault: 1 },
  }),
  scenario('checks', {
    before: [ask],
    actors: { H: [slow, check, check], P: [fast, update], D: [fast, remove] },
  }),
  // An event has asked in vain; the key comes while the tenant leaves.
  scenario('secret-late', {
    isWithoutSecret: true,
    before: [onboard({ id: 'on-1', sentAtS: -60 })],
    actors: {
      C: [slow, putSecret('stored-2'), applySecret],
      D: [fast, offboardTenant({ id: 'off-1', sentAtS: -50 })],
    },
    budget: { fault: 1 },
  }),
  // An import fails, or dies, at every step.
  scenario('import', {
    before: [handMake],
    actors: { I: [slow, importIt, importIt], R: [fast, reconcile] },
    budget: { fault: 1 },
  }),
  scenario('import-that-dies', {
    before: [handMake],
    actors: { I: [slow, importIt, importIt], R: [fast, reconcile] },
    budget: { crash: 1 },
  }),
  scenario('import-and-removal', {
    before: [handMake],
    actors: { I: [slow, importIt], D: [fast, remove], R: [fast, reconcile] },
    budget: { crash: 1 },
  }),
  scenario('import-beside-callers', {
    before: [handMake],
    actors: { I: [slow, importIt], A: [fast, ask], R: [fast, reconcile] },
    budget: { crash: 1 },
  }),
  // Two tenants import one instance.
  scenario('import-rivals', {
    before: [handMake],
    actors: { I: [slow, importIt], J: [fast, forGlobex(importIt)], R: [fast, reconcile] },
    budget: { crash: 1 },
  }),
  // Over a tombstone, and again after a removal.
  scenario('import-over-tombstone', {
    before: [handMake, remove],
    actors: { I: [slow, importIt], E: [fast, offboardTenant({ id: 'off-1', sentAtS: 1 })] },
    budget: { fault: 1 },
  }),
  // A create of unknown outcome may leave an instance beside the import.
  scenario('import-after-doubt', {
    before: [handMake],
    actors: { A: [slow, ask], R: [fast, reconcile], I: [fast, importIt] },
    budget: { fault: 1 },
  }),
  scenario('duplicates', {
    actors: { A: [slow, ask], D: [fast, remove], R: [fast, reconcile] },
    budget: { fault: 1 },
    doubts: { lateDuplicates: true },
  }),
];

const own = { 'api.key': 'own', 'base.url': 'https://elsewhere.test' };

const anyClock = [slow, 0, fast];

const early = { id: 'on-1', sentAtS: -60 };
const aheadOn = { id: 'on-1', sentAtS: 0, aheadS: 90 };
const aheadOff: Sent = { id: 'off-2', sentAtS: 4, aheadS: 3_600, requestsFor: 'offboarding' };

/** Too large for every schedule: explored at random. */
export const largeBounds: readonly Scenario[] = [
  scenario('storm', {
    actors: {
      A: [anyClock, ask, ask, ask],
      B: [anyClock, ask, ask],
      C: [anyClock, askForOther, ask],
      D: [anyClock, remove, remove],
      E: [anyClock, remove],
      P: [anyClock, update, update],
      R: [anyClock, reconcile, reconcile, reconcile],
      S: [anyClock, reconcile, reconcile],
    },
    budget: { fault: 4, crash: 2, delay: 2 },
    doubts: { lateWrites: true, doubleCreates: true },
  }),
  scenario('events', {
    actors: {
      A: [anyClock, ...twice(onboard({ id: 'on-1', sentAtS: -60 }))],
      B: [anyClock, ...twice(onboard({ id: 'on-2', sentAtS: -40 }))],
      D: [anyClock, ...twice(offboard({ id: 'off-1', sentAtS: -50 }))],
      E: [anyClock, ...twice(offboard({ id: 'off-2', sentAtS: -30 }))],
      H: [anyClock, remove, ask],
      P: [anyClock, update],
      R: [anyClock, reconcile, reconcile],
      S: [anyClock, reconcile],
    },
    budget: { fault: 2, crash: 1, delay: 1 },
    doubts: { lateWrites: true },
  }),
  scenario('tenants', {
    actors: {
      A: [anyClock, ask, ask],
      B: [anyClock, ...twice({ ...ask, tenantId: 'globex' })],
      D: [anyClock, { ...remove, tenantId: 'globex' }],
      R: [anyClock, reconcile, reconcile, reconcile],
      S: [anyClock, reconcile, reconcile, reconcile],
    },
    budget: { fault: 5, crash: 2, delay: 2 },
    doubts: { lateWrites: true },
  }),
  // Whole tenants leave and come back, by native events and those of the toolkit.
  scenario('departing', {
    actors: {
      A: [anyClock, ...twice(onboard({ id: 'on-1', sentAtS: -60 }))],
      B: [anyClock, ...twice(onboard({ id: 'on-2', sentAtS: -45, elementKey: second }))],
      C: [anyClock, ...twice(onboard({ id: 'sbt-on', sentAtS: -20, registration: 'reg-1' }))],
      D: [anyClock, ...twice(offboardTenant({ id: 'off-1', sentAtS: -50 }))],
      E: [anyClock, ...twice(offboardTenant({ id: 'sbt-off', sentAtS: -30, registration: 'reg-1' }))],
      F: [anyClock, offboard({ id: 'off-2', sentAtS: -40, elementKey: second }), remove],
      H: [anyClock, ask, { ...ask, elementKey: second }, ask],
      R: [anyClock, reconcile, reconcile, reconcile],
    },
    budget: { fault: 3, crash: 1, delay: 1 },
    doubts: { lateWrites: true, lateDuplicates: true, keptInstances: true },
  }),
  // Imports of two instances for two tenants, beside everything else.
  scenario('imports', {
    before: [handMake, handMake],
    actors: {
      I: [anyClock, importIt, importIt, importIt],
      J: [anyClock, forGlobex(importIt), forGlobex({ do: 'import', id: 498 })],
      K: [anyClock, { do: 'import', id: 498 }, importIt],
      A: [anyClock, ask, ask],
      D: [anyClock, remove, forGlobex(remove)],
      E: [anyClock, offboardTenant({ id: 'off-1', sentAtS: 1 })],
      P: [anyClock, update],
      R: [anyClock, reconcile, reconcile, reconcile],
    },
    budget: { fault: 3, crash: 2, delay: 1 },
    doubts: { lateWrites: true, lateDuplicates: true, doubleCreates: true, keptInstances: true },
  }),
  // Stamps are ahead, behind or late, among current requests; dead letters are put back.
  scenario('stamps', {
    actors: {
      A: [anyClock, ...twice(onboard(aheadOn)), redriven(aheadOn)],
      B: [anyClock, ...twice(onboard({ id: 'on-2', sentAtS: 2, aheadS: -3 }))],
      C: [anyClock, ...twice(onboard({ id: 'on-3', sentAtS: -30, arrivesAtS: 3 }))],
      D: [anyClock, ...twice(offboard({ id: 'off-1', sentAtS: 1, aheadS: -3 }))],
      E: [anyClock, ...twice(offboardTenant(aheadOff)), redriven(aheadOff)],
      F: [anyClock, remove, remove],
      H: [anyClock, ask, ask, ask],
      R: [anyClock, reconcile, reconcile],
    },
    budget: { fault: 2, crash: 1, delay: 1 },
  }),
  // Weeks go by: messages wait with the dead letters and in the archive, and tombstones end.
  scenario('weeks', {
    actors: {
      A: [
        anyClock,
        onboard(early),
        { ...redriven(early), fromS: 5 * dayS },
        { ...redriven(early), fromS: 19 * dayS },
        { ...onboard(early), fromS: 21 * dayS },
      ],
      B: [anyClock, { ...onboard({ id: 'on-2', sentAtS: -20, elementKey: second }), fromS: 18 * dayS }],
      D: [
        anyClock,
        offboard({ id: 'off-1', sentAtS: -50 }),
        { ...offboard({ id: 'off-1', sentAtS: -50 }), fromS: 18 * dayS },
      ],
      E: [
        anyClock,
        offboardTenant({ id: 'off-2', sentAtS: 10 }),
        { ...offboardTenant({ id: 'off-2', sentAtS: 10 }), fromS: 20 * dayS },
      ],
      H: [anyClock, ask, remove, { ...ask, fromS: 10 * dayS }, { ...remove, fromS: 30 * dayS }],
      R: [anyClock, reconcile, reconcile, reconcile],
    },
    budget: { fault: 2, crash: 1 },
    doubts: { expiry: true, lateDuplicates: true },
  }),
  // The stack is pointed at another Cloud Elements, and back.
  scenario('moving', {
    actors: {
      A: [anyClock, ask, away(ask), ask],
      B: [anyClock, away(ask), ask],
      C: [anyClock, onboard({ id: 'on-1', sentAtS: -60 }), away(onboard({ id: 'on-1', sentAtS: -60 }))],
      D: [anyClock, away(remove), remove],
      E: [anyClock, away(offboardTenant({ id: 'off-1', sentAtS: -50 }))],
      P: [anyClock, away(update)],
      R: [anyClock, reconcile, away(reconcile), reconcile],
    },
    budget: { fault: 3, crash: 1, delay: 1 },
    doubts: { keptInstances: true },
  }),
  // Processes outlive their leases: their later writes must be fenced off.
  scenario('freezing', {
    actors: {
      A: [anyClock, ask, ask],
      B: [anyClock, ask, ask],
      D: [anyClock, remove],
      P: [anyClock, update],
      R: [anyClock, reconcile, reconcile, reconcile],
    },
    budget: { fault: 2, crash: 1, delay: 3 },
    doubts: { freezes: true },
  }),
  // New keys beside callers, of whom one brings a key and an address, removals and the reconciler.
  scenario('keys', {
    actors: {
      A: [anyClock, ask, ask],
      B: [anyClock, { ...ask, configuration: own }],
      C: [0, putSecret('stored-2'), putSecret('stored-3')],
      D: [anyClock, remove, ask],
      M: [anyClock, applySecret, applySecret, applySecret],
      N: [anyClock, applySecret, applySecret],
      R: [anyClock, reconcile, reconcile],
    },
    budget: { fault: 3, crash: 1, delay: 1 },
  }),
  scenario('overdue', {
    actors: {
      A: [anyClock, ask, ask],
      B: [anyClock, askForOther, ask],
      R: [anyClock, reconcile, reconcile, reconcile],
    },
    budget: { fault: 2, crash: 1, delay: 1 },
    doubts: { overdueCreates: true, doubleCreates: true },
  }),
];

export const scenarioOf = (name: string): Scenario | undefined =>
  [callers, ...smallBounds, ...largeBounds].find((each) => each.name === name);
