import type { HttpApi } from 'aws-cdk-lib/aws-apigatewayv2';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import { addAlarms } from './alarms.ts';
import { addDashboard } from './dashboard.ts';
import { type MetricOf, metricsOf } from './metrics.ts';
import type { Settings } from '../settings.ts';

/** The resources that are monitored; functions and dead letters by the function's name in the trigger table. */
export type Observed = {
  metric: MetricOf;
  handlers: ReadonlyMap<string, IFunction>;
  deadLetters: ReadonlyMap<string, IQueue>;
  api: HttpApi;
};

export function addObservability(
  scope: Construct,
  settings: Settings,
  watched: Omit<Observed, 'metric'>,
): void {
  const observed = { ...watched, metric: metricsOf(settings.stage) };
  addDashboard(scope, observed, addAlarms(scope, observed, settings));
}
