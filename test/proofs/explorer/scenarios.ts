import type { SentEvent } from './messages.ts';
import type { Scenario } from './schedule.ts';
import type { Task } from './tasks.ts';

const ask: Task = { do: 'provision' };
const askForOther: Task = { do: 'provision', name: 'Other' };
const remove: Task = { do: 'remove' };
const update: Task = { do: 'update', name: 'Renamed' };
const check: Task = { do: 'check' };
const reconcile: Task = { do: 'reconcile' };
type Sent = Partial<SentEvent> & Pick<SentEvent, 'id' | 'sentAtS'>;
const onboard = (sent: Sent): Task => ({ do: 'deliver', event: { requestsFor: 'onboarding', ...sent } });
const offboard = (sent: Sent): Task => offboardTenant({ elementKey: 'taxify', ...sent });

const second = 'freshdeskv2';
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

/** Two callers with two tries each, and two runs of the reconciler. */
export const callers: Scenario = {
  name: 'callers',
  actors: [
    { name: 'A', tasks: [ask, ask], aheadMs: [slow] },
    { name: 'B', tasks: [ask, ask], aheadMs: [fast] },
    { name: 'R', tasks: [reconcile, reconcile], aheadMs: [fast] },
  ],
  budget: { fault: 1, crash: 1, delay: 0 },
};

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
  {
    name: 'removal',
    before: [ask],
    actors: [
      { name: 'D', tasks: [remove], aheadMs: [slow] },
      { name: 'A', tasks: [ask], aheadMs: [fast] },
      { name: 'R', tasks: [reconcile], aheadMs: [fast] },
    ],
    budget: { fault: 1, crash: 1, delay: 0 },
  },
  {
    name: 'removal-of-unfinished',
    actors: [
      { name: 'A', tasks: [ask], aheadMs: [slow] },
      { name: 'D', tasks: [remove, remove], aheadMs: [fast] },
      { name: 'R', tasks: [reconcile], aheadMs: [fast] },
    ],
    budget: { fault: 1, crash: 0, delay: 0 },
  },
  {
    // Creates are sent late, and a look-up overlaps the end of the quiescence.
    name: 'tight',
    actors: [
      { name: 'A', tasks: [ask], aheadMs: [slow] },
      { name: 'D', tasks: [remove], aheadMs: [fast] },
    ],
    budget: { fault: 0, crash: 0, delay: 2 },
    periods: { createTimeoutMs: 25_000, slowestCreateMs: 4_000, quiescenceMs: 4_000 + clocksDifferByMs },
  },
  {
    // The reconciler's look-up overlaps the end of a dead claim's quiescence.
    name: 'tight-claim',
    actors: [
      { name: 'A', tasks: [ask], aheadMs: [slow] },
      { name: 'R', tasks: [reconcile], aheadMs: [fast] },
    ],
    budget: { fault: 0, crash: 1, delay: 2 },
    periods: { createTimeoutMs: 25_000, slowestCreateMs: 8_000, quiescenceMs: 8_000 + clocksDifferByMs },
  },
  {
    name: 'updates',
    before: [ask],
    actors: [
      { name: 'P', tasks: [update], aheadMs: [slow] },
      { name: 'Q', tasks: [{ do: 'update', name: 'Again' }], aheadMs: [fast] },
      { name: 'R', tasks: [reconcile], aheadMs: [fast] },
    ],
    budget: { fault: 1, crash: 0, delay: 0 },
  },
  {
    // The removal is older than the second onboarding, and newer than the first.
    name: 'reordered',
    before: [onboard({ id: 'on-1', sentAtS: -60 })],
    actors: [
      { name: 'A', tasks: [onboard({ id: 'on-2', sentAtS: -40 })], aheadMs: [slow] },
      { name: 'D', tasks: [offboard({ id: 'off-1', sentAtS: -50 })], aheadMs: [fast] },
      { name: 'P', tasks: [update], aheadMs: [fast] },
    ],
    budget: { fault: 0, crash: 0, delay: 0 },
  },
  {
    // Over HTTP and by two events, one sent after the concurrent onboarding and one before.
    name: 'removals',
    before: [onboard({ id: 'on-1', sentAtS: -60 })],
    actors: [
      { name: 'A', tasks: [onboard({ id: 'on-2', sentAtS: -40 })], aheadMs: [slow] },
      { name: 'D', tasks: [offboard({ id: 'off-1', sentAtS: -50 })], aheadMs: [fast] },
      { name: 'E', tasks: [remove], aheadMs: [0] },
    ],
    budget: { fault: 0, crash: 0, delay: 0 },
  },
  {
    name: 'overdue-once',
    actors: [
      { name: 'A', tasks: [ask], aheadMs: [slow] },
      { name: 'B', tasks: [askForOther], aheadMs: [fast] },
      { name: 'R', tasks: [reconcile], aheadMs: [fast] },
    ],
    budget: { fault: 1, crash: 0, delay: 0 },
    doubts: { overdueCreates: true, doubleCreates: true },
  },
  {
    // An element is onboarded while the tenant leaves: one of the two must see the other.
    name: 'departure',
    before: [onboard({ id: 'on-1', sentAtS: -60 })],
    actors: [
      { name: 'A', tasks: [onboard({ id: 'on-2', sentAtS: -55, elementKey: second })], aheadMs: [slow] },
      { name: 'D', tasks: [offboardTenant({ id: 'off-1', sentAtS: -50 })], aheadMs: [fast] },
      { name: 'R', tasks: [reconcile], aheadMs: [slow] },
    ],
    budget: { fault: 0, crash: 0, delay: 0 },
  },
  {
    name: 'departure-of-none',
    actors: [
      { name: 'A', tasks: [onboard({ id: 'on-1', sentAtS: -55 })], aheadMs: [slow] },
      { name: 'D', tasks: [offboardTenant({ id: 'off-1', sentAtS: -50 })], aheadMs: [fast] },
    ],
    budget: { fault: 0, crash: 1, delay: 0 },
  },
  {
    name: 'departure-with-fault',
    before: [onboard({ id: 'on-1', sentAtS: -60 }), { ...ask, elementKey: second }],
    actors: [{ name: 'D', tasks: [offboardTenant({ id: 'off-1', sentAtS: -50 })], aheadMs: [fast] }],
    budget: { fault: 1, crash: 0, delay: 0 },
  },
  {
    // Two removals of the tenant overlap, and both must be answered.
    name: 'departures',
    before: [onboard({ id: 'on-1', sentAtS: -60 })],
    actors: [
      { name: 'D', tasks: [offboardTenant({ id: 'off-1', sentAtS: -50 })], aheadMs: [slow] },
      { name: 'E', tasks: [offboardTenant({ id: 'off-2', sentAtS: -30 })], aheadMs: [fast] },
    ],
    budget: { fault: 0, crash: 0, delay: 0 },
  },
  {
    // A sender whose clock is ahead, and one whose clock is slow.
    name: 'senders',
    actors: [
      { name: 'A', tasks: twice(onboard({ id: 'on-1', sentAtS: -10, aheadS: 90 })), aheadMs: [slow] },
      { name: 'H', tasks: [ask], aheadMs: [fast] },
      { name: 'D', tasks: [offboard({ id: 'off-1', sentAtS: 1, aheadS: -3 })], aheadMs: [slow] },
    ],
    budget: { fault: 0, crash: 0, delay: 0 },
  },
  {
    // A cut stamp is by the queue's clock, which differs from that of the removing host.
    name: 'cut-onboarding',
    actors: [
      { name: 'A', tasks: twice(onboard({ id: 'on-1', sentAtS: 0, aheadS: 90 })), aheadMs: [0] },
      { name: 'E', tasks: [remove], aheadMs: [slow] },
      { name: 'H', tasks: [ask], aheadMs: [fast] },
    ],
    budget: { fault: 0, crash: 0, delay: 0 },
  },
  {
    name: 'cut-offboarding',
    actors: [
      { name: 'H', tasks: [ask], aheadMs: [fast] },
      { name: 'D', tasks: twice(offboard({ id: 'off-1', sentAtS: 1, aheadS: 90 })), aheadMs: [0] },
      { name: 'A', tasks: [onboard({ id: 'on-1', sentAtS: 0 })], aheadMs: [0] },
    ],
    budget: { fault: 0, crash: 0, delay: 0 },
  },
  {
    name: 'toolkit',
    before: [onboard({ id: 'sbt-on', sentAtS: -60, registration: 'reg-1' })],
    actors: [
      { name: 'E', tasks: [remove], aheadMs: [fast] },
      {
        name: 'D',
        tasks: [offboardTenant({ id: 'sbt-off', sentAtS: -30, registration: 'reg-1' })],
        aheadMs: [fast],
      },
      { name: 'A', tasks: [onboard({ id: 'on-2', sentAtS: -40 })], aheadMs: [slow] },
    ],
    budget: { fault: 0, crash: 0, delay: 0 },
  },
  {
    // From the dead letters and the archive, when the tombstone has ended.
    name: 'seasons',
    before: [onboard({ id: 'on-1', sentAtS: -60 })],
    actors: [
      {
        name: 'D',
        tasks: [
          offboard({ id: 'off-1', sentAtS: -50 }),
          { ...offboard({ id: 'off-1', sentAtS: -50 }), fromS: 19 * dayS },
        ],
        aheadMs: [fast],
      },
      {
        name: 'A',
        tasks: [
          { ...redriven({ id: 'on-1', sentAtS: -60 }), fromS: 19 * dayS },
          { ...onboard({ id: 'on-1', sentAtS: -60 }), fromS: 21 * dayS },
        ],
        aheadMs: [slow],
      },
      { name: 'H', tasks: [ask], aheadMs: [slow] },
      { name: 'R', tasks: [reconcile], aheadMs: [fast] },
    ],
    budget: { fault: 0, crash: 0, delay: 0 },
    doubts: { expiry: true },
  },
  {
    // The stack is pointed at another Cloud Elements while the outcome of a create is unknown.
    name: 'elsewhere',
    actors: [
      { name: 'A', tasks: [ask], aheadMs: [slow] },
      { name: 'B', tasks: [{ ...ask, isElsewhere: true }], aheadMs: [fast] },
      { name: 'R', tasks: [{ ...reconcile, isElsewhere: true }], aheadMs: [fast] },
    ],
    budget: { fault: 1, crash: 0, delay: 0 },
  },
  {
    name: 'kept',
    before: [onboard({ id: 'on-1', sentAtS: -60 })],
    actors: [
      { name: 'D', tasks: [offboardTenant({ id: 'off-1', sentAtS: -50 })], aheadMs: [slow] },
      { name: 'E', tasks: [remove], aheadMs: [fast] },
    ],
    budget: { fault: 1, crash: 0, delay: 0 },
    doubts: { keptInstances: true },
  },
  {
    name: 'secret-changes',
    before: [ask],
    actors: [
      { name: 'C', tasks: [putSecret('stored-2'), putSecret('stored-3')], aheadMs: [0] },
      { name: 'A', tasks: [applySecret, applySecret], aheadMs: [slow] },
      { name: 'R', tasks: [reconcile], aheadMs: [fast] },
    ],
    budget: { fault: 1, crash: 0, delay: 0 },
  },
  {
    name: 'checks',
    before: [ask],
    actors: [
      { name: 'H', tasks: [check, check], aheadMs: [slow] },
      { name: 'P', tasks: [update], aheadMs: [fast] },
      { name: 'D', tasks: [remove], aheadMs: [fast] },
    ],
    budget: { fault: 0, crash: 0, delay: 0 },
  },
  {
    // An event has asked in vain; the key comes while the tenant leaves.
    name: 'secret-late',
    isWithoutSecret: true,
    before: [onboard({ id: 'on-1', sentAtS: -60 })],
    actors: [
      { name: 'C', tasks: [putSecret('stored-2'), applySecret], aheadMs: [slow] },
      { name: 'D', tasks: [offboardTenant({ id: 'off-1', sentAtS: -50 })], aheadMs: [fast] },
    ],
    budget: { fault: 1, crash: 0, delay: 0 },
  },
  {
    name: 'duplicates',
    actors: [
      { name: 'A', tasks: [ask], aheadMs: [slow] },
      { name: 'D', tasks: [remove], aheadMs: [fast] },
      { name: 'R', tasks: [reconcile], aheadMs: [fast] },
    ],
    budget: { fault: 1, crash: 0, delay: 0 },
    doubts: { lateDuplicates: true },
  },
];

const own = { 'api.key': 'own', 'base.url': 'https://elsewhere.test' };

const anyClock = [slow, 0, fast];

const early = { id: 'on-1', sentAtS: -60 };
const aheadOn = { id: 'on-1', sentAtS: 0, aheadS: 90 };
const aheadOff: Sent = { id: 'off-2', sentAtS: 4, aheadS: 3_600, requestsFor: 'offboarding' };

/** Too large for every schedule: explored at random. */
export const largeBounds: readonly Scenario[] = [
  {
    name: 'storm',
    actors: [
      { name: 'A', tasks: [ask, ask, ask], aheadMs: anyClock },
      { name: 'B', tasks: [ask, ask], aheadMs: anyClock },
      { name: 'C', tasks: [askForOther, ask], aheadMs: anyClock },
      { name: 'D', tasks: [remove, remove], aheadMs: anyClock },
      { name: 'E', tasks: [remove], aheadMs: anyClock },
      { name: 'P', tasks: [update, update], aheadMs: anyClock },
      { name: 'R', tasks: [reconcile, reconcile, reconcile], aheadMs: anyClock },
      { name: 'S', tasks: [reconcile, reconcile], aheadMs: anyClock },
    ],
    budget: { fault: 4, crash: 2, delay: 2 },
    doubts: { lateWrites: true, doubleCreates: true },
  },
  {
    name: 'events',
    actors: [
      {
        name: 'A',
        tasks: [onboard({ id: 'on-1', sentAtS: -60 }), onboard({ id: 'on-1', sentAtS: -60 })],
        aheadMs: anyClock,
      },
      {
        name: 'B',
        tasks: [onboard({ id: 'on-2', sentAtS: -40 }), onboard({ id: 'on-2', sentAtS: -40 })],
        aheadMs: anyClock,
      },
      {
        name: 'D',
        tasks: [offboard({ id: 'off-1', sentAtS: -50 }), offboard({ id: 'off-1', sentAtS: -50 })],
        aheadMs: anyClock,
      },
      {
        name: 'E',
        tasks: [offboard({ id: 'off-2', sentAtS: -30 }), offboard({ id: 'off-2', sentAtS: -30 })],
        aheadMs: anyClock,
      },
      { name: 'H', tasks: [remove, ask], aheadMs: anyClock },
      { name: 'P', tasks: [update], aheadMs: anyClock },
      { name: 'R', tasks: [reconcile, reconcile], aheadMs: anyClock },
      { name: 'S', tasks: [reconcile], aheadMs: anyClock },
    ],
    budget: { fault: 2, crash: 1, delay: 1 },
    doubts: { lateWrites: true },
  },
  {
    name: 'tenants',
    actors: [
      { name: 'A', tasks: [ask, ask], aheadMs: anyClock },
      {
        name: 'B',
        tasks: [
          { ...ask, tenantId: 'globex' },
          { ...ask, tenantId: 'globex' },
        ],
        aheadMs: anyClock,
      },
      { name: 'D', tasks: [{ ...remove, tenantId: 'globex' }], aheadMs: anyClock },
      { name: 'R', tasks: [reconcile, reconcile, reconcile], aheadMs: anyClock },
      { name: 'S', tasks: [reconcile, reconcile, reconcile], aheadMs: anyClock },
    ],
    budget: { fault: 5, crash: 2, delay: 2 },
    doubts: { lateWrites: true },
  },
  {
    // Whole tenants leave and come back, by native events and those of the toolkit.
    name: 'departing',
    actors: [
      { name: 'A', tasks: twice(onboard({ id: 'on-1', sentAtS: -60 })), aheadMs: anyClock },
      {
        name: 'B',
        tasks: twice(onboard({ id: 'on-2', sentAtS: -45, elementKey: second })),
        aheadMs: anyClock,
      },
      {
        name: 'C',
        tasks: twice(onboard({ id: 'sbt-on', sentAtS: -20, registration: 'reg-1' })),
        aheadMs: anyClock,
      },
      { name: 'D', tasks: twice(offboardTenant({ id: 'off-1', sentAtS: -50 })), aheadMs: anyClock },
      {
        name: 'E',
        tasks: twice(offboardTenant({ id: 'sbt-off', sentAtS: -30, registration: 'reg-1' })),
        aheadMs: anyClock,
      },
      {
        name: 'F',
        tasks: [offboard({ id: 'off-2', sentAtS: -40, elementKey: second }), remove],
        aheadMs: anyClock,
      },
      { name: 'H', tasks: [ask, { ...ask, elementKey: second }, ask], aheadMs: anyClock },
      { name: 'R', tasks: [reconcile, reconcile, reconcile], aheadMs: anyClock },
    ],
    budget: { fault: 3, crash: 1, delay: 1 },
    doubts: { lateWrites: true, lateDuplicates: true, keptInstances: true },
  },
  {
    // Stamps are ahead, behind or late, among current requests; dead letters are put back.
    name: 'stamps',
    actors: [
      { name: 'A', tasks: [...twice(onboard(aheadOn)), redriven(aheadOn)], aheadMs: anyClock },
      { name: 'B', tasks: twice(onboard({ id: 'on-2', sentAtS: 2, aheadS: -3 })), aheadMs: anyClock },
      { name: 'C', tasks: twice(onboard({ id: 'on-3', sentAtS: -30, arrivesAtS: 3 })), aheadMs: anyClock },
      { name: 'D', tasks: twice(offboard({ id: 'off-1', sentAtS: 1, aheadS: -3 })), aheadMs: anyClock },
      { name: 'E', tasks: [...twice(offboardTenant(aheadOff)), redriven(aheadOff)], aheadMs: anyClock },
      { name: 'F', tasks: [remove, remove], aheadMs: anyClock },
      { name: 'H', tasks: [ask, ask, ask], aheadMs: anyClock },
      { name: 'R', tasks: [reconcile, reconcile], aheadMs: anyClock },
    ],
    budget: { fault: 2, crash: 1, delay: 1 },
  },
  {
    // Weeks go by: messages wait with the dead letters and in the archive, and tombstones end.
    name: 'weeks',
    actors: [
      {
        name: 'A',
        tasks: [
          onboard(early),
          { ...redriven(early), fromS: 5 * dayS },
          { ...redriven(early), fromS: 19 * dayS },
          { ...onboard(early), fromS: 21 * dayS },
        ],
        aheadMs: anyClock,
      },
      {
        name: 'B',
        tasks: [{ ...onboard({ id: 'on-2', sentAtS: -20, elementKey: second }), fromS: 18 * dayS }],
        aheadMs: anyClock,
      },
      {
        name: 'D',
        tasks: [
          offboard({ id: 'off-1', sentAtS: -50 }),
          { ...offboard({ id: 'off-1', sentAtS: -50 }), fromS: 18 * dayS },
        ],
        aheadMs: anyClock,
      },
      {
        name: 'E',
        tasks: [
          offboardTenant({ id: 'off-2', sentAtS: 10 }),
          { ...offboardTenant({ id: 'off-2', sentAtS: 10 }), fromS: 20 * dayS },
        ],
        aheadMs: anyClock,
      },
      {
        name: 'H',
        tasks: [ask, remove, { ...ask, fromS: 10 * dayS }, { ...remove, fromS: 30 * dayS }],
        aheadMs: anyClock,
      },
      { name: 'R', tasks: [reconcile, reconcile, reconcile], aheadMs: anyClock },
    ],
    budget: { fault: 2, crash: 1, delay: 0 },
    doubts: { expiry: true, lateDuplicates: true },
  },
  {
    // The stack is pointed at another Cloud Elements, and back.
    name: 'moving',
    actors: [
      { name: 'A', tasks: [ask, away(ask), ask], aheadMs: anyClock },
      { name: 'B', tasks: [away(ask), ask], aheadMs: anyClock },
      {
        name: 'C',
        tasks: [onboard({ id: 'on-1', sentAtS: -60 }), away(onboard({ id: 'on-1', sentAtS: -60 }))],
        aheadMs: anyClock,
      },
      { name: 'D', tasks: [away(remove), remove], aheadMs: anyClock },
      { name: 'E', tasks: [away(offboardTenant({ id: 'off-1', sentAtS: -50 }))], aheadMs: anyClock },
      { name: 'P', tasks: [away(update)], aheadMs: anyClock },
      { name: 'R', tasks: [reconcile, away(reconcile), reconcile], aheadMs: anyClock },
    ],
    budget: { fault: 3, crash: 1, delay: 1 },
    doubts: { keptInstances: true },
  },
  {
    // Processes outlive their leases: their later writes must be fenced off.
    name: 'freezing',
    actors: [
      { name: 'A', tasks: [ask, ask], aheadMs: anyClock },
      { name: 'B', tasks: [ask, ask], aheadMs: anyClock },
      { name: 'D', tasks: [remove], aheadMs: anyClock },
      { name: 'P', tasks: [update], aheadMs: anyClock },
      { name: 'R', tasks: [reconcile, reconcile, reconcile], aheadMs: anyClock },
    ],
    budget: { fault: 2, crash: 1, delay: 3 },
    doubts: { freezes: true },
  },
  {
    // New keys beside callers, of whom one brings a key and an address, removals and the reconciler.
    name: 'keys',
    actors: [
      { name: 'A', tasks: [ask, ask], aheadMs: anyClock },
      { name: 'B', tasks: [{ ...ask, configuration: own }], aheadMs: anyClock },
      { name: 'C', tasks: [putSecret('stored-2'), putSecret('stored-3')], aheadMs: [0] },
      { name: 'D', tasks: [remove, ask], aheadMs: anyClock },
      { name: 'M', tasks: [applySecret, applySecret, applySecret], aheadMs: anyClock },
      { name: 'N', tasks: [applySecret, applySecret], aheadMs: anyClock },
      { name: 'R', tasks: [reconcile, reconcile], aheadMs: anyClock },
    ],
    budget: { fault: 3, crash: 1, delay: 1 },
  },
  {
    name: 'overdue',
    actors: [
      { name: 'A', tasks: [ask, ask], aheadMs: anyClock },
      { name: 'B', tasks: [askForOther, ask], aheadMs: anyClock },
      { name: 'R', tasks: [reconcile, reconcile, reconcile], aheadMs: anyClock },
    ],
    budget: { fault: 2, crash: 1, delay: 1 },
    doubts: { overdueCreates: true, doubleCreates: true },
  },
];

export const scenarioOf = (name: string): Scenario | undefined =>
  [callers, ...smallBounds, ...largeBounds].find((scenario) => scenario.name === name);
