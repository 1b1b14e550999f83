import { createTimeoutMs } from '../../../functions/model/timing.ts';
import { triggers, type FunctionName, type Trigger } from '../../../functions/triggers.ts';
import type { LocalStack } from '../stack.ts';
import type { Activity } from './activity.ts';

/** Faults of the next create, one at a time. The request decides by them when it arrives at Cloud Elements. */

const made = { effect: 'applied' } as const;

export const switches = {
  'lose-response': {
    label: 'Lose its response',
    help: 'The instance is created, then the connection is cut.',
    armed: 'The next create loses its response.',
    fault: { ...made, outcome: { kind: 'reset' } },
  },
  'time-out': {
    label: 'Let it time out',
    help: `The instance is created, and no response ever comes. The function gives up after ${createTimeoutMs / 1_000}\u00a0s.`,
    armed: 'The next create gets no response.',
    fault: { ...made, outcome: { kind: 'stall' } },
  },
  'bad-gateway': {
    label: 'Respond with 502',
    help: 'The instance is created, but a proxy responds with 502.',
    armed: 'The next create gets a 502.',
    fault: { ...made, outcome: { kind: 'status', status: 502, body: '<html>502 Bad Gateway</html>' } },
  },
  'bad-gateway-nothing-created': {
    label: 'Respond with 502, create nothing',
    help: 'The same response, but there is no instance: it takes two minutes to be sure.',
    armed: 'The next create gets a 502, and creates nothing.',
    fault: { effect: 'none', outcome: { kind: 'status', status: 502, body: '<html>502 Bad Gateway</html>' } },
  },
  'kill-function': {
    label: 'Kill the function',
    help: 'The instance is created, and the process of the function is killed before it reads the response.',
    armed: 'The function that sends the next create is killed.',
    fault: { ...made, outcome: { kind: 'reset' } },
  },
} as const;

export type SwitchName = keyof typeof switches;

export const isSwitch = (name: string): name is SwitchName => Object.hasOwn(switches, name);

/** How late Cloud Elements lists a new instance while the switch is on: longer than the service looks for it at once. */
export const lateListMs = 20_000;

const rows: [FunctionName, Trigger][] = Object.entries(triggers).flatMap(([name, trigger]) =>
  isFunctionName(name) ? [[name, trigger]] : [],
);

/** All functions that send creates: which of them has sent this one, the request does not show. */
const creators = rows.flatMap(([name, { uses, schedule }]) =>
  uses.cloudElements && uses.tokenKey?.includes('Encrypt') && !schedule ? [name] : [],
);

function isFunctionName(name: string): name is FunctionName {
  return Object.hasOwn(triggers, name);
}

export type Switches = ReturnType<typeof createSwitches>;

export function createSwitches({
  stack: { simulator, kill },
  activity,
}: {
  stack: LocalStack;
  activity: Activity;
}) {
  let armed: SwitchName | undefined;

  simulator.faultFor = ({ operation }) => {
    if (operation !== 'POST /instances' || armed === undefined) return undefined;
    const taken = armed;
    armed = undefined;
    if (taken === 'kill-function') killCreators();
    return switches[taken].fault;
  };

  function killCreators(): void {
    for (const name of creators) {
      if (kill(name)) {
        activity.add({ source: 'Service', what: name, outcome: 'process killed', tone: 'bad' });
      }
    }
  }

  return {
    armed: () => armed,
    /** Arms the switch in place of any other, or disarms it. */
    flip(name: SwitchName): void {
      armed = armed === name ? undefined : name;
      activity.changed();
    },
    listsLate: () => simulator.listLagMs > 0,
    flipListing(): void {
      simulator.listLagMs = simulator.listLagMs > 0 ? 0 : lateListMs;
      activity.changed();
    },
  };
}
