import type { CloudElementsCall } from '../adapters/cloud-elements-http.ts';
import { OnboardingError } from '../model/errors.ts';
import { lazily } from './execution-environment.ts';
import { writeLine } from './log.ts';
import { metricNamespace, metrics, metricService, type MetricName } from '../model/metric-names.ts';

/**
 * Metrics in CloudWatch's embedded metric format: a line of the log that CloudWatch makes numbers of. All that is
 * measured is derived here, from the same facts as the log; use cases know nothing of it. No metric has a tenant.
 */

// Not parsed strictly: without its settings a function fails anyway, and never because of its metrics.
const dimensions = lazily((environment) => ({
  stage: environment['STAGE'] ?? 'unknown',
  function: environment['AWS_LAMBDA_FUNCTION_NAME'] ?? 'unknown',
}));

type Line = { dimensions: Record<string, string>; values: Partial<Record<MetricName, number[]>> };

/** One set of dimensions each, and so one line each. */
const collected = new Map<string, Line>();

/**
 * Of one metric on one line, at most:
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
 */
const mostValues = 100;

/**
 * The request, message, record or run has come to an end; `isPending`: no failure, but it has to be requested again.
 */
export function measureOutcome({ error, isPending }: { error?: unknown; isPending?: boolean }): void {
  if (error === undefined) return measure(isPending ? 'Pending' : 'Succeeded');
  if (!(error instanceof OnboardingError) || error.status >= 500) return measure('Failed');
  measure(error.retryable ? 'Pending' : 'Refused');
}

export function measureCall({ operation, outcome, durationMs }: CloudElementsCall): void {
  if (durationMs !== undefined) measure('UpstreamLatency', durationMs, operation);
  if (outcome === 'failed') measure('UpstreamFailures');
  if (outcome === 'throttled') measure('UpstreamThrottled');
  if (outcome === 'credentials-rejected') measure('PlatformCredentialsRejected');
}

/** Of the reconciler's run. `unreadable`: rows that it met and could not read; that it met none says nothing. */
export function measureReconciliation({
  oldestUnsettledMs,
  unreadable = 0,
}: {
  oldestUnsettledMs: number;
  unreadable?: number;
}): void {
  measure('OldestUnsettledAge', Math.round(oldestUnsettledMs / 1_000));
  if (unreadable > 0) measure('UnreadableRows', unreadable);
}

/** Of a run of checks. */
export function measureChecks({
  healthy,
  unhealthy,
  unknown,
}: Record<'healthy' | 'unhealthy' | 'unknown', number>): void {
  measure('ChecksConclusive', healthy + unhealthy);
  measure('ChecksInconclusive', unknown);
}

type Drift = Record<'orphaned' | 'lost' | 'notOurs' | 'invalid' | 'disabled' | 'unreadable', number>;

/** What an audit has counted. Of one that is not complete, that it has found none of something says nothing. */
export function measureAudit({
  complete,
  notVisible,
  ...drift
}: Drift & { complete: boolean; notVisible: boolean }): void {
  measure('AuditsIncomplete', complete ? 0 : 1);
  measure('AuditsNotVisible', notVisible ? 1 : 0);
  for (const [what, name] of ofDrift) {
    const isKnown = complete && !(notVisible && what === 'lost');
    if (isKnown || drift[what] > 0) measure(name, drift[what]);
  }
}

const ofDrift: readonly (readonly [keyof Drift, MetricName])[] = [
  ['orphaned', 'Orphans'],
  ['lost', 'LostInstances'],
  ['notOurs', 'InstancesNotOurs'],
  ['invalid', 'InvalidInstances'],
  ['disabled', 'DisabledInstances'],
  ['unreadable', 'UnreadableRows'],
];

/** Writes the measurements since the last call; call it at the end of every invocation. */
export function publishMetrics(): void {
  for (const { dimensions: own, values } of collected.values()) {
    const Metrics = namesOf(values).map((name) => ({ Name: name, Unit: metrics[name].unit }));
    writeLine({
      _aws: {
        Timestamp: Date.now(),
        CloudWatchMetrics: [{ Namespace: metricNamespace, Dimensions: [Object.keys(own)], Metrics }],
      },
      ...own,
      ...values,
    });
  }
  collected.clear();
}

export function measure(name: MetricName, value = 1, operation = ''): void {
  const { stage, ...own } = dimensions();
  const metric = metrics[name];
  const by = 'by' in metric ? { [metric.by]: { ...own, operation }[metric.by] } : {};
  const key = JSON.stringify(by);
  if (collected.get(key)?.values[name]?.length === mostValues) publishMetrics();
  const line = collected.get(key) ?? { dimensions: { service: metricService, stage, ...by }, values: {} };
  collected.set(key, line);
  line.values[name] = [...(line.values[name] ?? []), value];
}

const isMetricName = (name: string): name is MetricName => Object.hasOwn(metrics, name);
const namesOf = (values: Line['values']): MetricName[] => Object.keys(values).filter(isMetricName);
