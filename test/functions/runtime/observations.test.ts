import { expect, test } from 'vitest';
import type { Observation } from '../../../functions/core/ports.ts';
import { publishMetrics } from '../../../functions/runtime/metrics.ts';
import { observe } from '../../../functions/runtime/observations.ts';
import { captureLines, logIn, metricsIn } from '../../support/written-lines.ts';

const lines = captureLines();
const subject = { tenantId: 'acme', elementKey: 'taxify', provisionId: 'generation-1' };

/** Observations that need attention are warnings, and alarms count some. */
const observed: [Observation, 'INFO' | 'WARN', string?][] = [
  [{ kind: 'taken-over', from: 'provisioning' }, 'INFO', 'TakeOvers'],
  [{ kind: 'create-retried', reason: 'why' }, 'INFO'],
  [{ kind: 'outcome-unknown', reason: 'why', requestId: 'id-1' }, 'WARN', 'OutcomesUnknown'],
  [{ kind: 'look-up-failed', reason: 'why' }, 'WARN'],
  [{ kind: 'adopted', instanceId: 7 }, 'INFO', 'Adoptions'],
  [{ kind: 'imported', instanceId: 7 }, 'INFO'],
  [{ kind: 'import-given-back', instanceId: 7, reason: 'why' }, 'WARN'],
  [{ kind: 'instance-removed', instanceId: 7 }, 'INFO'],
  [{ kind: 'instance-left', instanceId: 7, reason: 'why' }, 'WARN'],
  [{ kind: 'not-ours', instanceId: 7 }, 'WARN'],
  [{ kind: 'duplicate-removed', instanceId: 7 }, 'INFO', 'DuplicatesRemoved'],
  [{ kind: 'duplicate-left', instanceId: 7, reason: 'why' }, 'WARN', 'DuplicatesLeft'],
  [{ kind: 'claim-left', reason: 'why' }, 'WARN'],
  [{ kind: 'instance-lost', instanceId: 7 }, 'WARN'],
  [{ kind: 'left-open', reason: 'why' }, 'INFO'],
  [{ kind: 'orphan', instanceId: 7 }, 'WARN'],
  [{ kind: 'instance-invalid', instanceId: 7 }, 'WARN'],
  [{ kind: 'instance-disabled', instanceId: 7 }, 'WARN'],
  [{ kind: 'row-unreadable' }, 'WARN'],
  [{ kind: 'token-refilled' }, 'INFO'],
  [{ kind: 'instance-unhealthy', instanceId: 7, reason: 'why' }, 'WARN', 'InstancesTurnedUnhealthy'],
  [{ kind: 'instance-recovered', instanceId: 7 }, 'INFO', 'InstancesRecovered'],
  [{ kind: 'event-ignored', reason: 'why' }, 'WARN', 'EventsIgnored'],
  [{ kind: 'secret-missing', reason: 'why' }, 'WARN'],
];

test.each(observed)('the observation %j is logged as %s', (observation, level, metric) => {
  const row = { ...subject, token: 'hush' };
  observe(observation, row);
  publishMetrics();
  const { kind, ...fields } = observation;
  expect(logIn(lines)).toMatchObject([{ level, message: kind, ...subject, ...fields }]);
  expect(JSON.stringify(lines)).not.toContain('hush');
  expect(metricsIn(lines)).toEqual(metric === undefined ? {} : { [metric]: [1] });
});
