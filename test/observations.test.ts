import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import type { Observation } from '../functions/core/collaborators.ts';

const runtime = (file: string) => new URL(`../functions/runtime/${file}`, import.meta.url).href;

/** All lines that a function writes for one observation, metrics included. */
async function linesFor(observation: Observation): Promise<unknown[]> {
  const script = `
    import { observe } from '${runtime('log.ts')}';
    import { measureObservation, publishMetrics } from '${runtime('metrics.ts')}';
    const observation = ${JSON.stringify(observation)};
    observe(observation, { tenantId: 'acme', elementKey: 'taxify', provisionId: 'p-1' });
    measureObservation(observation);
    publishMetrics();
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], {
    env: { STAGE: 'local' },
  });
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

test('an ignored event is a warning with tenant and reason, and is counted', async () => {
  const [line, metric, ...others] = await linesFor({
    kind: 'event-ignored',
    reason: 'older than the removal',
  });
  expect(line).toMatchObject({
    level: 'WARN',
    message: 'event-ignored',
    tenantId: 'acme',
    elementKey: 'taxify',
    reason: 'older than the removal',
  });
  expect(metric).toMatchObject({ service: 'element-onboarding', stage: 'local', EventsIgnored: [1] });
  expect(others).toEqual([]);
});
