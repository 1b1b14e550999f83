import { hash } from 'node:crypto';
import { wholeTenant, type InstanceKey, type InstanceRow } from '../../../functions/model/instance.ts';
import { isUncertain } from '../../../functions/core/lifecycle.ts';
import type { Timing } from '../../../functions/model/timing.ts';
import type { Choose } from './choices.ts';
import { arrivalOf } from './messages.ts';
import { publishAll } from './publishing.ts';
import { createOutside, isRemoval, lastsMs, type Outside, type Periods, type Task } from './tasks.ts';
import {
  beginning,
  createWorld,
  type Budget,
  type Doubts,
  type Step,
  type Taking,
  type World,
} from './world.ts';

export type Scenario = {
  name: string;
  /** Tasks before the scenario, without faults. */
  before?: readonly Task[];
  /** Each actor does its tasks one after the other, with any time in between. */
  actors: readonly Actor[];
  budget: Budget;
  /** Other periods than the deployed ones, with which some orders of events are too unlikely. */
  periods?: Periods;
  doubts?: Doubts;
  /** Every actor does all of its tasks, so that there are fewer final states. */
  isWhole?: boolean;
  /** The tenant's secret has no value at first. */
  isWithoutSecret?: boolean;
};
export type Actor = {
  name: string;
  tasks: readonly Task[];
  /** How far each actor's clock may be ahead of the true time. */
  aheadMs: readonly number[];
};

export type Ended = {
  violation: string | undefined;
  /** The state is known, so it can lead to nothing new. */
  isKnown: boolean;
  steps: readonly Step[];
};

/**
 * Whether this state is known with at least as many possible events left. `left`: how often each kind of event may still
 * happen.
 */
export type IsKnown = (state: () => string, left: readonly number[]) => boolean;

/** Runs one schedule from beginning to end, with the given choices. */
export async function runSchedule(
  scenario: Scenario,
  { choose, isKnown }: { choose: Choose; isKnown?: IsKnown },
): Promise<Ended> {
  // Lets other timers run, such as the test runner's.
  await new Promise((resolve) => setImmediate(resolve));
  const world = createWorld({
    budget: scenario.budget,
    doubts: scenario.doubts,
    choose,
    remembers: isKnown !== undefined,
  });
  const before = scenario.before ?? [];
  const isMemorable = [...before, ...scenario.actors.flatMap(({ tasks }) => tasks)].some(isRemoval);
  const isChanged = scenario.actors.some(({ tasks }) => tasks.some((task) => task.do === 'put-secret'));
  const secret = { key: scenario.isWithoutSecret ? undefined : 'stored', isChanged, isRefused: false };
  const outside = createOutside(world, { periods: scenario.periods, isMemorable, secret });
  const { witness } = outside;
  const actors = scenario.actors.map((actor) => ({ ...actor, done: 0 }));
  const ended = (isKnownState: boolean): Ended => ({
    violation: witness.violation(),
    isKnown: isKnownState,
    steps: world.steps,
  });

  for (const [index, task] of before.entries()) {
    await runUndisturbed(world, outside, `before${index + 1}`, task);
  }

  /** Times at which further tasks become possible. */
  const moments = (): number[] => {
    // oxlint-disable-next-line consistent-function-scoping -- of no use outside
    const clocks = (isAble: (task: Task) => boolean) => [
      ...new Set([
        ...actors
          .filter(({ tasks, done }) => tasks.slice(done).some(isAble))
          .flatMap(({ aheadMs }) => aheadMs),
        ...[...world.invocations].map(({ aheadMs }) => aheadMs),
      ]),
    ];
    const all = clocks(() => true);
    const reconcilers = clocks((task) => task.do === 'reconcile');
    return [
      ...actors.map(({ tasks, done }) => earliestOf(tasks[done])),
      ...outside
        .rows()
        .flatMap((row) => [
          ...momentsOf(row, outside.timing).flatMap((moment) => all.map((aheadMs) => moment - aheadMs)),
          ...reconcilers.map((aheadMs) => (row.checkAt ?? 0) - aheadMs),
          ...(world.doubts.expiry ? [expiresAt(row)] : []),
        ]),
    ];
  };

  const expiries = (): Taking[] =>
    outside
      .rows()
      .filter((row) => world.doubts.expiry && row.expiresAt && expiresAt(row) <= world.now())
      .map((row) => ({
        label: `DynamoDB forgets ${row.tenantId}/${row.elementKey}`,
        weight: 6,
        take: () => outside.expire(row),
      }));

  const starts = (): Taking[] =>
    actors
      .filter(
        ({ name, tasks, done }) =>
          done < tasks.length &&
          earliestOf(tasks[done]) <= world.now() &&
          ![...world.invocations].some((invocation) => invocation.name.startsWith(`${name}.`)),
      )
      .flatMap((actor) =>
        actor.aheadMs.map((aheadMs) => ({
          label: `${actor.name} begins`,
          weight: 6,
          take: () => {
            const task = actor.tasks[actor.done];
            if (!task) return;
            actor.done += 1;
            const name = `${actor.name}.${actor.done}`;
            world.note(`${name} begins to ${toldOf(task)}, its clock ${aheadMs} ms ahead`);
            outside.perform(world.begin(name, { aheadMs, lastsMs }), task);
          },
        })),
      );

  /** Progress of actors whose tasks differ, because it is not determined by the number left. */
  const orders = () => actors.map(({ tasks, done }) => (areAlike(tasks) ? '' : done)).join();

  for (;;) {
    await everybodyWaits();
    if (witness.violation() !== undefined) return ended(false);
    const { takings, isUrgent } = world.options();
    const options = takings;
    let isOver = false;
    if (!isUrgent) {
      options.push(...starts(), ...expiries());
      const next = world.isIdle() ? world.nextMoment(moments()) : undefined;
      const isAnybodyLeft =
        world.invocations.size > 0 || actors.some(({ done, tasks }) => done < tasks.length);
      if (next !== undefined && isAnybodyLeft) {
        options.push({ label: 'time passes', weight: 6, take: () => world.advanceTo(next) });
      }
      if (world.invocations.size === 0 && !(scenario.isWhole && isAnybodyLeft)) {
        options.push({
          label: 'all go home',
          weight: 0.5,
          take: () => {
            isOver = true;
          },
        });
      }
    }
    if (options.length > 1 && isKnown) {
      const { fault, crash, delay } = world.left;
      const left = [fault, crash, delay, ...actors.map(({ tasks, done }) => tasks.length - done)];
      const state = () => digestOf(`${world.state()}\n${outside.state()}\n${orders()}`);
      if (isKnown(state, left)) return ended(true);
    }
    world.decide(options);
    if (isOver) break;
  }

  world.note('all go home');
  if (isKnown?.(() => digestOf(`home\n${world.state()}\n${outside.state()}`), [])) return ended(true);
  await comeToRest(world, outside);
  secret.key ??= 'stored';
  if (witness.violation() === undefined) await useAgain(world, outside);
  // Publishing does not affect the state, so it need not be varied with every schedule.
  if (!isKnown && witness.violation() === undefined) {
    const fault = await publishAll(witness.results, { choose, failures: { left: 3 } });
    if (fault !== undefined) witness.report(fault);
  }
  return ended(false);
}

/** Deliveries of a message after which it must have an outcome. */
const mostDeliveries = 5;

/** Long after the end and without faults, every row must settle, and every message have an outcome. */
async function comeToRest(world: World, outside: Outside): Promise<void> {
  const { witness } = outside;
  world.left.fault = 0;
  world.left.crash = 0;
  world.left.delay = 0;
  outside.letGo();
  for (let deliveries = 1; witness.violation() === undefined; deliveries++) {
    await settle(world, outside, `settle ${deliveries}.`);
    const messages = outside.undelivered();
    if (messages.length === 0) break;
    if (deliveries > mostDeliveries)
      return witness.report(`stuck: ${toldOf(messages[0])} is redelivered again and again`);
    for (const [index, task] of messages.entries()) {
      // If a stack has called another Cloud Elements, alternately.
      const isElsewhere = outside.isElsewhere() && deliveries % 2 === 0;
      await runUndisturbed(world, outside, `deliver ${deliveries}.${index}`, { ...task, isElsewhere });
    }
  }
  if (witness.violation() === undefined) witness.over();
}

/** Without further requests, unsettled rows must settle. */
async function settle(world: World, outside: Outside, name: string): Promise<void> {
  const { witness, rows } = outside;
  for (let runs = 0; witness.violation() === undefined; runs++) {
    const due = rows().flatMap(({ checkAt, leaseExpiresAt }) =>
      checkAt === undefined ? [] : [Math.max(checkAt, leaseExpiresAt)],
    );
    const isDue = due.some((moment) => moment <= world.now());
    const next = isDue ? undefined : world.nextMoment(due);
    if (next !== undefined) world.advanceTo(next);
    else if (!isDue) break;
    if (runs > 40) return witness.report('stuck: the reconciler does not come to an end');
    // Alternately: each leaves rows that began at the other origin for a later run.
    const isElsewhere = outside.isElsewhere() && runs % 2 === 1;
    await runUndisturbed(world, outside, `${name}${runs}`, { do: 'reconcile', isElsewhere });
  }
  const latestLease = Math.max(
    0,
    ...rows().flatMap(({ leaseExpiresAt, secretInDoubtUntil = 0 }) => [leaseExpiresAt, secretInDoubtUntil]),
  );
  if (latestLease > world.now()) world.advanceTo(latestLease);
  if (witness.violation() === undefined) witness.settled();
}

/** From every final state an instance can be provisioned, and removed. */
async function useAgain(world: World, outside: Outside): Promise<void> {
  const { witness, rows } = outside;
  const isActive = ({ tenantId, elementKey }: InstanceKey) =>
    rows().some(
      (row) => row.tenantId === tenantId && row.elementKey === elementKey && row.status === 'active',
    );
  for (const { tenantId, elementKey, origin } of rows().filter((row) => row.elementKey !== wholeTenant)) {
    const task = { tenantId, elementKey, isElsewhere: outside.isElsewhere(origin) };
    // With the settings of the instance.
    for (const name of ['Shop', 'Other', 'Renamed', undefined]) {
      if (isActive(task)) break;
      await runUndisturbed(world, outside, `request ${name} of ${tenantId}/${elementKey}`, {
        ...task,
        do: 'provision',
        name,
      });
    }
    if (!isActive(task)) witness.report('stuck: no instance can be had');
    await runUndisturbed(world, outside, `remove ${tenantId}/${elementKey}`, { ...task, do: 'remove' });
  }
  await settle(world, outside, 'settle again ');
  if (rows().some(({ status }) => status !== 'removed')) witness.report('stuck: it cannot be removed');
}

async function runUndisturbed(world: World, outside: Outside, name: string, task: Task): Promise<void> {
  world.note(`${name} begins to ${toldOf(task)}`);
  const invocation = world.begin(name, { aheadMs: 0, lastsMs });
  outside.perform(invocation, task);
  await everybodyWaits();
  while (!invocation.isOver && outside.witness.violation() === undefined) {
    const [first] = world.options().takings;
    if (first) first.take();
    else world.advanceTo(world.nextMoment([]) ?? world.now());
    await everybodyWaits();
  }
}

/** Lets every resumed invocation run up to its next call: this callback runs when no promise job is left. */
const everybodyWaits = () => new Promise<void>((resolve) => process.nextTick(resolve));

const momentsOf = (row: InstanceRow, { quiescenceMs }: Timing): number[] =>
  isUncertain(row) || row.importing
    ? [row.leaseExpiresAt, row.sendDeadline + quiescenceMs]
    : [row.leaseExpiresAt];

/** ms since the epoch, unlike in the row. */
const expiresAt = (row: InstanceRow): number => (row.expiresAt ?? 0) * 1_000;

/** The earliest time of a task. */
function earliestOf(task: Task | undefined): number {
  const { fromS = 0 } = task ?? {};
  const arrivesAt = task?.do === 'deliver' ? arrivalOf(task.event) : beginning;
  return Math.max(beginning + fromS * 1_000, arrivesAt);
}

function toldOf(task: Task | undefined): string {
  if (task?.do !== 'deliver') return task?.do ?? 'nothing';
  return `deliver ${task.event.id}${task.isRedriven ? ' from the dead letters' : ''}`;
}

/** With equal tasks, doing one less is the same as starting later. */
const areAlike = (tasks: readonly Task[]): boolean => tasks.every((task) => task === tasks[0]);

/** Ignores whether an actor's current task is its first or its second. */
function digestOf(state: string): string {
  const names = new Map<string, string>();
  const canonical = state.replaceAll(/\b[A-Z]\.\d\b/g, (name) => {
    const known = names.get(name) ?? `${name.slice(0, 1)}~${names.size}`;
    names.set(name, known);
    return known;
  });
  return hash('md5', canonical, 'base64');
}
