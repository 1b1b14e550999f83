import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import type { Ports } from './ports.ts';
import { defaultTiming } from '../model/timing.ts';

const defaults: Required<Pick<Ports, 'timing' | 'now' | 'sleep' | 'newId'>> = {
  timing: defaultTiming,
  now: () => Date.now(),
  sleep: (delayMs) => setTimeout(delayMs),
  newId: randomUUID,
};

/** Completes the ports that only tests replace. */
export function withDefaults<Given extends Partial<typeof defaults>>(ports: Given) {
  return { ...defaults, ...ports };
}
