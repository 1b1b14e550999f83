import { Duration } from 'aws-cdk-lib';
import { Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import {
  type MetricName,
  metricNamespace,
  metrics,
  metricService,
} from '../../functions/model/metric-names.ts';

export const period = Duration.minutes(5);

/**
 * A metric that the functions emit, as dashboard and alarms refer to it. `of`: the value of its own dimension, if it has
 * one: a function's name or an operation. Default: the sum of each 5 minutes.
 */
export type MetricOf = (
  name: MetricName,
  options?: { statistic?: string; of?: string; label?: string; period?: Duration },
) => Metric;

export const metricsOf =
  (stage: string): MetricOf =>
  (name, { of = '', ...options } = {}) => {
    const { unit: _unit, ...metric } = metrics[name];
    return new Metric({
      namespace: metricNamespace,
      metricName: name,
      dimensionsMap: { service: metricService, stage, ...('by' in metric && { [metric.by]: of }) },
      statistic: Stats.SUM,
      period,
      ...options,
    });
  };
