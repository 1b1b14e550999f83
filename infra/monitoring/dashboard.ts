import { Aws } from 'aws-cdk-lib';
import {
  type Alarm,
  AlarmStatusWidget,
  Dashboard,
  GraphWidget,
  type IMetric,
  PeriodOverride,
  SingleValueWidget,
  Stats,
} from 'aws-cdk-lib/aws-cloudwatch';
import type { Construct } from 'constructs';
import { type MetricName, upstreamOperations } from '../../functions/model/metric-names.ts';
import { period } from './metrics.ts';
import type { Observed } from './monitoring.ts';

/**
 * The service at a glance: alarms, outcomes, Cloud Elements, open work, differences at the last audit, AWS metrics.
 * @returns its address in the console
 */
export function addDashboard(
  scope: Construct,
  observed: Observed,
  { prefix, alarms }: { prefix: string; alarms: readonly Alarm[] },
): string {
  const { metric, handlers, deadLetters, api } = observed;
  const counts = (...names: MetricName[]): IMetric[] => names.map((name) => metric(name));
  const latest = (...names: MetricName[]): IMetric[] =>
    names.map((name) => metric(name, { statistic: Stats.MAXIMUM }));
  const ofFunctions = (name: 'Succeeded' | 'Pending' | 'Refused' | 'Failed'): IMetric[] =>
    [...handlers].map(([label, { functionName }]) => metric(name, { of: functionName, label }));

  const dashboard = new Dashboard(scope, 'Dashboard', {
    // Names of dashboards are unique per account, across Regions.
    dashboardName: `${prefix}-${Aws.REGION}`,
    // Otherwise CloudWatch lengthens periods with the time range, and the last audit's figures become the highest of
    // several.
    periodOverride: PeriodOverride.INHERIT,
  });
  dashboard.addWidgets(new AlarmStatusWidget({ title: 'Alarms', alarms: [...alarms], width: 24, height: 4 }));
  dashboard.addWidgets(
    graph('Done', ofFunctions('Succeeded')),
    graph('Failed: this service or Cloud Elements', ofFunctions('Failed')),
    graph('Refused: the request is wrong', ofFunctions('Refused')),
    graph('Pending: retry later', ofFunctions('Pending')),
  );
  dashboard.addWidgets(
    graph(
      'Cloud Elements: latency, 95th percentile (ms)',
      upstreamOperations.map((of) => metric('UpstreamLatency', { of, label: of, statistic: Stats.p(95) })),
    ),
    graph(
      'Cloud Elements: calls',
      upstreamOperations.map((of) =>
        metric('UpstreamLatency', { of, label: of, statistic: Stats.SAMPLE_COUNT }),
      ),
    ),
    graph(
      'Cloud Elements: trouble',
      counts('UpstreamFailures', 'UpstreamThrottled', 'PlatformCredentialsRejected', 'OutcomesUnknown'),
    ),
    graph(
      'Taken over, adopted, duplicate',
      counts('TakeOvers', 'Adoptions', 'DuplicatesRemoved', 'DuplicatesLeft'),
    ),
  );
  dashboard.addWidgets(
    graph('Health: instances that turned', counts('InstancesTurnedUnhealthy', 'InstancesRecovered')),
    graph('Health: checks', counts('ChecksConclusive', 'ChecksInconclusive')),
  );
  dashboard.addWidgets(
    graph('Oldest unsettled (s)', latest('OldestUnsettledAge')),
    graph('Events not carried out: dead letters, ignored', [
      ...[...deadLetters].map(([label, queue]) =>
        queue.metricApproximateNumberOfMessagesVisible({ statistic: Stats.MAXIMUM, period, label }),
      ),
      metric('EventsIgnored', { label: 'ignored' }),
    ]),
    new SingleValueWidget({
      title: 'Differs from Cloud Elements, at the last audit',
      width: 12,
      height: 6,
      // Shows the newest value in a time range of its own, which always contains an audit.
      start: '-P2D',
      metrics: latest(
        'Orphans',
        'LostInstances',
        'InstancesNotOurs',
        'InvalidInstances',
        'DisabledInstances',
        'UnreadableRows',
        'AuditsIncomplete',
        'AuditsNotVisible',
      ),
    }),
  );
  dashboard.addWidgets(
    graph('API: requests and errors', [
      api.metricCount({ statistic: Stats.SUM, period, label: 'requests' }),
      api.metricClientError({ statistic: Stats.SUM, period, label: '4xx' }),
      api.metricServerError({ statistic: Stats.SUM, period, label: '5xx' }),
      metric('RequestsThrottled', { label: '429 of the API itself' }),
    ]),
    graph('API: latency (ms)', [
      api.metricLatency({ statistic: Stats.p(50), period, label: 'median' }),
      api.metricLatency({ statistic: Stats.p(95), period, label: '95th percentile' }),
    ]),
    graph(
      'Functions: errors and throttles',
      [...handlers].flatMap(([name, handler]) => [
        handler.metricErrors({ statistic: Stats.SUM, period, label: `${name} errors` }),
        handler.metricThrottles({ statistic: Stats.SUM, period, label: `${name} throttles` }),
      ]),
    ),
    graph(
      'Results: age of the oldest unpublished write (ms)',
      ['publish-results'].flatMap((name) => {
        const handler = handlers.get(name);
        return handler
          ? [handler.metric('IteratorAge', { statistic: Stats.MAXIMUM, period, label: name })]
          : [];
      }),
    ),
  );
  const console = `https://${Aws.REGION}.console.aws.amazon.com/cloudwatch/home?region=${Aws.REGION}`;
  return `${console}#dashboards/dashboard/${dashboard.dashboardName}`;
}

function graph(title: string, left: IMetric[]): GraphWidget {
  return new GraphWidget({ title, left, width: 6, height: 6, leftYAxis: { min: 0 } });
}
