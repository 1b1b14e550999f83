import type { Observation, Observe } from '../core/ports.ts';
import type { MetricName } from '../model/metric-names.ts';
import { log } from './log.ts';
import { measure } from './metrics.ts';

/** The level at which each observation is logged, under its kind as message, and the metric that counts it. */
const observations: Record<Observation['kind'], { level: 'info' | 'warn'; metric?: MetricName }> = {
  'taken-over': { level: 'info', metric: 'TakeOvers' },
  'create-retried': { level: 'info' },
  'outcome-unknown': { level: 'warn', metric: 'OutcomesUnknown' },
  'look-up-failed': { level: 'warn' },
  adopted: { level: 'info', metric: 'Adoptions' },
  imported: { level: 'info' },
  'import-given-back': { level: 'warn' },
  'instance-removed': { level: 'info' },
  'instance-left': { level: 'warn' },
  'not-ours': { level: 'warn' },
  'duplicate-removed': { level: 'info', metric: 'DuplicatesRemoved' },
  'duplicate-left': { level: 'warn', metric: 'DuplicatesLeft' },
  'claim-left': { level: 'warn' },
  'instance-lost': { level: 'warn' },
  'left-open': { level: 'info' },
  orphan: { level: 'warn' },
  'instance-invalid': { level: 'warn' },
  'instance-disabled': { level: 'warn' },
  'row-unreadable': { level: 'warn' },
  'token-refilled': { level: 'info' },
  'instance-unhealthy': { level: 'warn', metric: 'InstancesTurnedUnhealthy' },
  'instance-recovered': { level: 'info', metric: 'InstancesRecovered' },
  'event-ignored': { level: 'warn', metric: 'EventsIgnored' },
  'secret-missing': { level: 'warn' },
};

/** Logs and counts an observation. */
export const observe: Observe = ({ kind, ...fields }, { tenantId, elementKey, provisionId }) => {
  const { level, metric } = observations[kind];
  log[level](kind, { tenantId, elementKey, provisionId, ...fields });
  if (metric) measure(metric);
};
