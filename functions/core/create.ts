import { withDefaults } from './defaults.ts';
import type { CreateOutcome, Ports } from './ports.ts';
import { createOutOfTime } from './refusals.ts';
import type { OnboardingError } from '../model/errors.ts';
import type { Configuration, InstanceRow } from '../model/instance.ts';
import { markerTags } from '../model/markers.ts';

/** Waits before a create that certainly had no effect is sent again; ended early by the deadline. */
const retryDelaysMs = [200, 400, 800, 1_600];

/**
 * Sends the create of a claim. Retries only if the previous one certainly had no effect and a whole create still fits.
 */
export function createCreating(
  ports: Pick<Ports, 'cloudElements' | 'stage' | 'observe' | 'timing' | 'now' | 'sleep'>,
) {
  const { cloudElements, stage, observe, timing, now, sleep } = withDefaults(ports);
  return async function create(row: InstanceRow, configuration: Configuration): Promise<CreateOutcome> {
    const instance = {
      tenantId: row.tenantId,
      elementKey: row.elementKey,
      name: row.name,
      tags: [...row.tags, ...markerTags(row, stage)],
      configuration,
      options: row.options,
    };
    const lastStartAt = row.sendDeadline - timing.createTimeoutMs;
    let error: OnboardingError | undefined;
    for (const retryDelayMs of [...retryDelaysMs, undefined]) {
      if (now() > lastStartAt) break;
      const outcome = await cloudElements.create(instance, { timeoutMs: timing.createTimeoutMs });
      if (outcome.kind !== 'not-done' || outcome.retryAfterMs === undefined) return outcome;
      error = outcome.error;
      if (retryDelayMs === undefined) break;
      const delayMs = Math.max(retryDelayMs, outcome.retryAfterMs);
      if (now() + delayMs > lastStartAt) break;
      observe({ kind: 'create-retried', reason: error.code }, row);
      await sleep(delayMs);
    }
    return { kind: 'not-done', error: error ?? createOutOfTime(row) };
  };
}
