import { OnboardingError } from '../../../functions/model/errors.ts';
import type { Choose, Option } from './choices.ts';

/** Numbers of faults that may still happen: failing calls, dying invocations, slow calls. */
export type Budget = { fault: number; crash: number; delay: number };

/** Unlikely behavior of the outside world, which scenarios can enable. */
export type Doubts = {
  /** An abandoned write takes effect after all, a little later. */
  lateWrites?: boolean;
  /** A write that was sent twice takes effect again after its response. */
  lateDuplicates?: boolean;
  /** DynamoDB deletes expired rows, some time after their expiry. */
  expiry?: boolean;
  /** Cloud Elements keeps an instance because it is in use. */
  keptInstances?: boolean;
  /** A proxy sends a create twice. */
  doubleCreates?: boolean;
  /** A create takes effect later than the slowest one should. */
  overdueCreates?: boolean;
  /** A process freezes for longer than its lease, and then continues. */
  freezes?: boolean;
};

/** How long a process freezes. */
const frozenMs = 60_000;

/** A possible outcome of a call. `tell` applies the effect, if any, at once and returns the response. */
export type Way<T> = {
  label: string;
  cost?: 'fault';
  weight?: number;
} & (
  | { tell: () => Promise<T> }
  /** The effect, and then the call again, as the SDK retries a call without a response. */
  | { again: () => void }
);

/** A way that counts as a fault. */
export const fault = <T>(label: string, tell: () => Promise<T>): Way<T> => ({ label, cost: 'fault', tell });

/** A possible fate of an abandoned call. */
export type Remains = { label: string; apply: () => void };

export type Call<T> = {
  label: string;
  timeoutMs: number;
  /** The first is the one without a fault. */
  ways: readonly Way<T>[];
  remains: readonly Remains[];
  /** The result of a call that times out. */
  timedOut: () => Promise<T>;
  /** Touches nothing that other calls touch, so that the order makes no difference. */
  isLocal?: boolean;
};

/** One run of a function in its own process, with its own clock and a deadline that ends it. */
export type Invocation = {
  name: string;
  /** How far its clock is ahead of the true time. */
  aheadMs: number;
  endsAt: number;
  pending: Pending[];
  /** All responses to the invocation, with times. Its code is deterministic: the same story is the same state. */
  story: unknown[];
  isFresh: boolean;
  isOver: boolean;
};

/** A call in flight, or a sleep. */
type Pending = {
  label: string;
  options: () => Taking[];
  remains: readonly Remains[];
  /** The end of a sleep, or the timeout of a call. */
  endsAt: number;
  end: () => void;
  /** Time may pass while it is pending. */
  isSlow: boolean;
  isLocal: boolean;
  phase: string;
};

export type Taking = Option & { take: () => void };

/** A step of the schedule, with its time: ms since the beginning. */
export type Step = { afterMs: number; label: string };

type Late = { label: string; detail: string; latestAt: number; apply: () => void };

/** An arbitrary true time, in whole seconds like EventBridge's. */
export const beginning = 1_000_000_000_000;

/** Time, the running invocations, and all calls in flight. */
export function createWorld({
  budget,
  doubts = {},
  choose,
  remembers,
}: {
  budget: Budget;
  doubts?: Doubts | undefined;
  choose: Choose;
  /** Keep each invocation's story. */
  remembers: boolean;
}) {
  const left = { ...budget };
  const invocations = new Set<Invocation>();
  const late: Late[] = [];
  const steps: Step[] = [];
  let trueMs = beginning;

  const now = () => trueMs;
  const note = (label: string): void => {
    steps.push({ afterMs: trueMs - beginning, label });
  };

  function decide(takings: readonly Taking[]): void {
    const taking = takings.length > 1 ? takings[choose(takings)] : takings[0];
    taking?.take();
  }

  function begin(name: string, { aheadMs, lastsMs }: { aheadMs: number; lastsMs: number }): Invocation {
    const invocation: Invocation = {
      name,
      aheadMs,
      endsAt: trueMs + lastsMs,
      pending: [],
      story: [trueMs],
      isFresh: true,
      isOver: false,
    };
    invocations.add(invocation);
    return invocation;
  }

  function end(invocation: Invocation): void {
    invocation.isOver = true;
    invocations.delete(invocation);
  }

  function call<T>(invocation: Invocation, made: Call<T>): Promise<T> {
    // A process that has ended makes no calls and gets no responses.
    if (invocation.isOver) return new Promise(() => {});
    const { promise, resolve } = Promise.withResolvers<T>();
    const timesOutAt = trueMs + made.timeoutMs;

    const tell = (label: string, response: () => Promise<T>): void => {
      forget(invocation, pending);
      note(`${invocation.name}: ${label}`);
      const told = response();
      if (remembers) remember(invocation, label, told);
      resolve(told);
    };

    const takings = (): Taking[] => {
      const ways = made.ways.flatMap((way): Taking[] => {
        if (way.cost && left[way.cost] === 0) return [];
        const label = `${made.label}${way.label && `, ${way.label}`}`;
        const take = () => {
          if (way.cost) left[way.cost] -= 1;
          if ('tell' in way) return tell(label, way.tell);
          note(`${invocation.name}: ${label}`);
          way.again();
          pending.phase = 'again';
          invocation.isFresh = false;
        };
        return [{ label: `${invocation.name}: ${label}`, weight: way.weight ?? (way.cost ? 1 : 10), take }];
      });
      if (left.delay === 0 || pending.isSlow) return ways;
      const slowRequest: Taking = {
        label: `${invocation.name}: ${made.label}, slow request`,
        weight: 1,
        take: () => {
          left.delay -= 1;
          note(`${invocation.name}: ${made.label}, slow to arrive`);
          pending.isSlow = true;
          pending.phase = 'slow request';
          invocation.isFresh = false;
        },
      };
      const respondLater = (how: string, isThere: () => boolean): void => {
        left.delay -= 1;
        note(`${invocation.name}: ${made.label}, ${how}`);
        const [best] = made.ways;
        if (!best || !('tell' in best)) throw new TypeError('a call has no good way');
        const response = best.tell();
        const arrival = `${made.label}, the answer arrives`;
        invocation.isFresh = false;
        pending.isSlow = true;
        pending.phase = 'slow answer';
        pending.remains = [];
        pending.options = () =>
          isThere()
            ? [
                {
                  label: `${invocation.name}: ${arrival}`,
                  weight: 3,
                  take: () => tell(arrival, () => response),
                },
              ]
            : [];
        // The outcome is decided already, but not yet delivered.
        response.then(
          (value) => (pending.phase = `slow answer ${JSON.stringify(value)}`),
          () => undefined,
        );
      };
      const slowResponse: Taking = {
        label: `${invocation.name}: ${made.label}, slow answer`,
        weight: 1,
        take: () => respondLater('the answer slow to come', () => true),
      };
      const frozen: Taking = {
        label: `${invocation.name} stands still`,
        weight: 1,
        take: () => {
          respondLater('and stands still', () => trueMs >= pending.endsAt);
          pending.endsAt = trueMs + frozenMs;
          invocation.endsAt += frozenMs;
        },
      };
      if (doubts.freezes) return [...ways, slowRequest, slowResponse, frozen];
      return [...ways, slowRequest, slowResponse];
    };

    const pending: Pending = {
      label: made.label,
      options: takings,
      remains: made.remains,
      endsAt: timesOutAt,
      end: () => {
        const [inTime] = pending.options();
        const tooLate = {
          label: `${invocation.name}: ${made.label} takes too long`,
          weight: 1,
          take: () => {
            decide(abandoned(invocation, pending, 'timed out'));
            tell(`${made.label} took too long`, made.timedOut);
          },
        };
        decide(inTime ? [tooLate, inTime] : [tooLate]);
      },
      isSlow: false,
      isLocal: made.isLocal ?? false,
      phase: '',
    };
    invocation.pending.push(pending);
    return promise;
  }

  function sleep(invocation: Invocation, delayMs: number): Promise<void> {
    if (invocation.isOver) return new Promise(() => {});
    const { promise, resolve } = Promise.withResolvers<void>();
    const pending: Pending = {
      label: `sleep ${delayMs}`,
      options: () => [],
      remains: [],
      endsAt: trueMs + delayMs,
      end: () => {
        forget(invocation, pending);
        invocation.story.push(trueMs);
        resolve();
      },
      isSlow: true,
      isLocal: false,
      phase: '',
    };
    invocation.pending.push(pending);
    return promise;
  }

  function remember<T>(invocation: Invocation, label: string, told: Promise<T>): void {
    const at = trueMs;
    told.then(
      (value) => invocation.story.push([label, at, value]),
      (error: unknown) =>
        invocation.story.push([label, at, error instanceof OnboardingError ? error.code : '']),
    );
  }

  /** Ends an invocation; its calls may or may not have taken effect. */
  function kill(invocation: Invocation, why: string): void {
    note(`${invocation.name} ${why}`);
    end(invocation);
    for (const pending of invocation.pending) decide(abandoned(invocation, pending, 'left behind'));
    invocation.pending = [];
  }

  function abandoned(invocation: Invocation, { label, remains }: Pending, how: string): Taking[] {
    return remains.map((remain) => ({
      label: `${invocation.name}: ${label} ${how}, ${remain.label}`,
      weight: 1,
      take: () => {
        note(`${invocation.name}: ${label} ${how}, ${remain.label}`);
        remain.apply();
      },
    }));
  }

  /** Takes effect at some time, at the latest after `withinMs`. */
  function later(effect: { label: string; detail: string; withinMs: number; apply: () => void }): void {
    late.push({ ...effect, latestAt: trueMs + effect.withinMs });
  }

  function strike(effect: Late): void {
    late.splice(late.indexOf(effect), 1);
    note(`late: ${effect.label}`);
    effect.apply();
  }

  /** All possible next steps, except the passing of time; `isUrgent`: no alternative needs to be tried. */
  function options(): { takings: Taking[]; isUrgent: boolean } {
    const eager = [...invocations].flatMap((invocation) =>
      invocation.pending.filter(({ isSlow }) => !isSlow).map((pending) => ({ invocation, pending })),
    );
    // Another order of these would have the same result.
    const only =
      eager.find(({ pending }) => pending.isLocal) ?? eager.find(({ invocation }) => invocation.isFresh);
    if (only) {
      return { takings: [...only.pending.options(), ...deathsOf([only.invocation])], isUrgent: true };
    }
    const calls = [...invocations].flatMap(({ pending }) => pending.flatMap((each) => each.options()));
    const effects = late.map((effect) => ({
      label: `late: ${effect.label}`,
      weight: 2,
      take: () => strike(effect),
    }));
    return { takings: [...calls, ...effects, ...deathsOf(invocations)], isUrgent: false };
  }

  function deathsOf(mortals: Iterable<Invocation>): Taking[] {
    if (left.crash === 0) return [];
    return [...mortals].map((invocation) => ({
      label: `${invocation.name} dies`,
      weight: 0.5,
      take: () => {
        left.crash -= 1;
        kill(invocation, 'dies');
      },
    }));
  }

  /** Whether all invocations are waiting, so that time may pass. */
  const isIdle = () => [...invocations].every(({ pending }) => pending.every(({ isSlow }) => isSlow));

  /** The next moment at which something ends, or one of these is reached. */
  function nextMoment(moments: readonly number[]): number | undefined {
    const all = [
      ...moments,
      ...late.map(({ latestAt }) => latestAt),
      ...[...invocations].flatMap(({ endsAt, pending }) => [endsAt, ...pending.map((each) => each.endsAt)]),
    ].filter((moment) => moment > trueMs);
    return all.length === 0 ? undefined : Math.min(...all);
  }

  /** Lets time pass, and ends everything that is due by then. */
  function advanceTo(moment: number): void {
    trueMs = moment;
    for (const effect of late.filter(({ latestAt }) => latestAt <= trueMs)) strike(effect);
    for (const invocation of [...invocations].filter(({ endsAt }) => endsAt <= trueMs)) {
      kill(invocation, 'is ended by its deadline');
    }
    for (const { pending } of invocations) {
      for (const each of pending.filter(({ endsAt }) => endsAt <= trueMs)) each.end();
    }
  }

  const state = () =>
    [
      trueMs,
      ...late.map(({ label, detail, latestAt }) => `${label}@${latestAt}:${detail}`),
      ...[...invocations].map(
        ({ name, aheadMs, story, pending }) =>
          `${name}+${aheadMs}:${JSON.stringify(story)}>${pending.map(({ label, phase, endsAt }) => `${label}${phase}${endsAt}`).join()}`,
      ),
    ].join('\n');

  return {
    now,
    note,
    steps,
    left,
    invocations,
    decide,
    begin,
    end,
    call,
    sleep,
    later,
    options,
    doubts,
    isIdle,
    nextMoment,
    advanceTo,
    state,
  };
}
export type World = ReturnType<typeof createWorld>;

function forget(invocation: Invocation, pending: Pending): void {
  invocation.pending.splice(invocation.pending.indexOf(pending), 1);
  invocation.isFresh = false;
}
