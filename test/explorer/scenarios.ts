import { clockSkewMs } from '../../functions/core/timing.ts';
import type { Scenario } from './schedule.ts';
import type { Task } from './tasks.ts';

const ask: Task = { do: 'provision' };
const askForOther: Task = { do: 'provision', name: 'Other' };
const remove: Task = { do: 'remove' };
const change: Task = { do: 'change', name: 'Renamed' };
const reconcile: Task = { do: 'reconcile' };
const onboard = (id: string, sentAtS: number): Task => ({ do: 'provision', event: { id, sentAtS } });
const offboard = (id: string, sentAtS: number): Task => ({ do: 'remove', event: { id, sentAtS } });

/** Two clocks that differ by what clocks may differ at most. */
const slow = -clockSkewMs / 2;
const fast = clockSkewMs / 2;

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
      { name: 'R', tasks: [reconcile], aheadMs: [fast] },
    ],
    budget: { fault: 0, crash: 0, delay: 2 },
    periods: { createTimeoutMs: 25_000, slowestCreateMs: 4_000, quiescenceMs: 4_000 + clockSkewMs },
  },
  {
    // The reconciler's look-up overlaps the end of the quiescence of a claim that died.
    name: 'tight-claim',
    actors: [
      { name: 'A', tasks: [ask], aheadMs: [slow] },
      { name: 'R', tasks: [reconcile], aheadMs: [fast] },
    ],
    budget: { fault: 0, crash: 1, delay: 2 },
    periods: { createTimeoutMs: 25_000, slowestCreateMs: 8_000, quiescenceMs: 8_000 + clockSkewMs },
  },
  {
    name: 'changes',
    actors: [
      { name: 'A', tasks: [ask], aheadMs: [0] },
      { name: 'P', tasks: [change], aheadMs: [slow] },
      { name: 'Q', tasks: [{ do: 'change', name: 'Again' }], aheadMs: [fast] },
      { name: 'R', tasks: [reconcile], aheadMs: [fast] },
    ],
    budget: { fault: 1, crash: 0, delay: 0 },
  },
  {
    // The removal is older than the second onboarding, and newer than the first.
    name: 'reordered',
    before: [onboard('on-1', -60)],
    actors: [
      { name: 'A', tasks: [onboard('on-2', -40)], aheadMs: [slow] },
      { name: 'D', tasks: [offboard('off-1', -50)], aheadMs: [fast] },
      { name: 'E', tasks: [remove], aheadMs: [0] },
      { name: 'P', tasks: [change], aheadMs: [fast] },
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
];

const anyClock = [slow, 0, fast];

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
      { name: 'P', tasks: [change, change], aheadMs: anyClock },
      { name: 'R', tasks: [reconcile, reconcile, reconcile], aheadMs: anyClock },
      { name: 'S', tasks: [reconcile, reconcile], aheadMs: anyClock },
    ],
    budget: { fault: 4, crash: 2, delay: 2 },
    doubts: { lateWrites: true, doubleCreates: true },
  },
  {
    name: 'events',
    actors: [
      { name: 'A', tasks: [onboard('on-1', -60), onboard('on-1', -60)], aheadMs: anyClock },
      { name: 'B', tasks: [onboard('on-2', -40), onboard('on-2', -40)], aheadMs: anyClock },
      { name: 'D', tasks: [offboard('off-1', -50), offboard('off-1', -50)], aheadMs: anyClock },
      { name: 'E', tasks: [offboard('off-2', -30), offboard('off-2', -30)], aheadMs: anyClock },
      { name: 'H', tasks: [remove, ask], aheadMs: anyClock },
      { name: 'P', tasks: [change], aheadMs: anyClock },
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
    // Processes outlive their leases: what they do then must be fenced off.
    name: 'freezing',
    actors: [
      { name: 'A', tasks: [ask, ask], aheadMs: anyClock },
      { name: 'B', tasks: [ask, ask], aheadMs: anyClock },
      { name: 'D', tasks: [remove], aheadMs: anyClock },
      { name: 'P', tasks: [change], aheadMs: anyClock },
      { name: 'R', tasks: [reconcile, reconcile, reconcile], aheadMs: anyClock },
    ],
    budget: { fault: 2, crash: 1, delay: 3 },
    doubts: { freezes: true },
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
