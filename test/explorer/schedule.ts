import { hash } from 'node:crypto';
import type { InstanceRow } from '../../functions/core/instance.ts';
import { isUncertain } from '../../functions/core/lifecycle.ts';
import type { Timing } from '../../functions/core/timing.ts';
import type { Choose } from './choices.ts';
import { createOutside, lastsMs, type Outside, type Periods, type Task } from './tasks.ts';
import { createWorld, type Budget, type Doubts, type Step, type Taking, type World } from './world.ts';

export type Scenario = {
  name: string;
  /** What has happened before, without anything going wrong. */
  before?: readonly Task[];
  /** Each does its tasks one after the other, with any time in between. */
  actors: readonly Actor[];
  budget: Budget;
  /** Other periods than the deployed ones: some orders of events are too unlikely to be met with them. */
  periods?: Periods;
  doubts?: Doubts;
};
export type Actor = {
  name: string;
  tasks: readonly Task[];
  /** How far the clock of each may be ahead of the true time. */
  aheadMs: readonly number[];
};

export type Ended = {
  violation: string | undefined;
  /** The state had been reached before, so that nothing new could come of it. */
  isKnown: boolean;
  steps: readonly Step[];
};

/**
 * Has this state been met before, with at least as much that may still happen? `left`: how often each of the things that
 * may happen still can.
 */
export type IsKnown = (state: () => string, left: readonly number[]) => boolean;

/** Runs one schedule from the beginning to the end, as the choices go. */
export async function runSchedule(
  scenario: Scenario,
  { choose, isKnown }: { choose: Choose; isKnown?: IsKnown },
): Promise<Ended> {
  const world = createWorld({
    budget: scenario.budget,
    doubts: scenario.doubts,
    choose,
    remembers: isKnown !== undefined,
  });
  const outside = createOutside(world, scenario);
  const { witness } = outside;
  const actors = scenario.actors.map((actor) => ({ ...actor, done: 0 }));
  const ended = (isKnownState: boolean): Ended => ({
    violation: witness.violation(),
    isKnown: isKnownState,
    steps: world.steps,
  });

  for (const [index, task] of (scenario.before ?? []).entries()) {
    await runUndisturbed(world, outside, `before${index + 1}`, task);
  }

  /** When time has passed so far, something may be done that might not be done before. */
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
    return outside
      .rows()
      .flatMap((row) => [
        ...momentsOf(row, outside.timing).flatMap((moment) => all.map((aheadMs) => moment - aheadMs)),
        ...reconcilers.map((aheadMs) => (row.checkAt ?? 0) - aheadMs),
      ]);
  };

  const starts = (): Taking[] =>
    actors
      .filter(
        ({ name, tasks, done }) =>
          done < tasks.length &&
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
            world.note(`${name} begins to ${task.do}, its clock ${aheadMs} ms ahead`);
            outside.perform(world.begin(name, { aheadMs, lastsMs }), task);
          },
        })),
      );

  /** Of what makes a difference how much of it has been done, beyond how much is left. */
  const orders = () => actors.map(({ tasks, done }) => (areAlike(tasks) ? '' : done)).join();

  for (;;) {
    await everybodyWaits();
    if (witness.violation() !== undefined) return ended(false);
    const { takings, isUrgent } = world.options();
    const options = takings;
    let isOver = false;
    if (!isUrgent) {
      options.push(...starts());
      const next = world.isIdle() ? world.nextMoment(moments()) : undefined;
      const isAnybodyLeft =
        world.invocations.size > 0 || actors.some(({ done, tasks }) => done < tasks.length);
      if (next !== undefined && isAnybodyLeft) {
        options.push({ label: 'time passes', weight: 6, take: () => world.advanceTo(next) });
      }
      if (world.invocations.size === 0) {
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
  await settle(world, outside, 'settle');
  if (witness.violation() === undefined) await useAgain(world, outside);
  return ended(false);
}

/** Long after everything, with nothing going wrong any more: all must come right, and stay usable. */
async function settle(world: World, outside: Outside, name: string): Promise<void> {
  const { witness, rows } = outside;
  world.left.fault = 0;
  world.left.crash = 0;
  world.left.delay = 0;
  for (let runs = 0; witness.violation() === undefined; runs++) {
    const due = rows().flatMap(({ checkAt, leaseExpiresAt }) =>
      checkAt === undefined ? [] : [Math.max(checkAt, leaseExpiresAt)],
    );
    const isDue = due.some((moment) => moment <= world.now());
    const next = isDue ? undefined : world.nextMoment(due);
    if (next !== undefined) world.advanceTo(next);
    else if (!isDue) break;
    if (runs > 40) return witness.report('stuck: the reconciler does not come to an end');
    await runUndisturbed(world, outside, `${name}${runs}`, { do: 'reconcile' });
  }
  const latestLease = Math.max(0, ...rows().map(({ leaseExpiresAt }) => leaseExpiresAt));
  if (latestLease > world.now()) world.advanceTo(latestLease);
  if (witness.violation() === undefined) witness.settled();
}

/** Whatever has happened, an instance can be had, and be done away with. */
async function useAgain(world: World, outside: Outside): Promise<void> {
  const { witness, rows } = outside;
  for (const { tenantId } of rows()) {
    // With the settings that it has.
    for (const name of ['Shop', 'Other', 'Renamed']) {
      await runUndisturbed(world, outside, `ask for ${name}`, { do: 'provision', tenantId, name });
    }
    if (!rows().some((row) => row.tenantId === tenantId && row.status === 'active')) {
      witness.report('stuck: no instance can be had');
    }
    await runUndisturbed(world, outside, 'remove', { do: 'remove', tenantId });
  }
  await settle(world, outside, 'settle again ');
  if (rows().some(({ status }) => status !== 'removed')) witness.report('stuck: it cannot be removed');
}

async function runUndisturbed(world: World, outside: Outside, name: string, task: Task): Promise<void> {
  world.note(`${name} begins to ${task.do}`);
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

/** Until then whoever has been told something goes on, up to the next call. */
const everybodyWaits = () => new Promise((resolve) => setImmediate(resolve));

const momentsOf = (row: InstanceRow, { quiescenceMs }: Timing): number[] =>
  isUncertain(row) ? [row.leaseExpiresAt, row.sendDeadline + quiescenceMs] : [row.leaseExpiresAt];

/** Doing one less of them comes to the same as not having begun yet. */
const areAlike = (tasks: readonly Task[]): boolean => tasks.every((task) => task === tasks[0]);

/** It makes no difference whether what an actor does now is the first or the second that it does. */
function digestOf(state: string): string {
  const names = new Map<string, string>();
  const canonical = state.replaceAll(/\b[A-Z]\.\d\b/g, (name) => {
    const known = names.get(name) ?? `${name.slice(0, 1)}~${names.size}`;
    names.set(name, known);
    return known;
  });
  return hash('md5', canonical, 'base64');
}
