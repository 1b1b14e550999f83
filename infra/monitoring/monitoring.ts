import { Stack } from 'aws-cdk-lib';
import type { HttpApi } from 'aws-cdk-lib/aws-apigatewayv2';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import { CfnQueryDefinition, LogGroup } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { addAlarms } from './alarms.ts';
import { addDashboard } from './dashboard.ts';
import { type MetricOf, metricsOf } from './metrics.ts';
import { savedQueries } from './saved-queries.ts';
import type { Settings } from '../settings.ts';

/** The resources that are monitored; functions and dead letters by the function's name in the trigger table. */
export type Observed = {
  metric: MetricOf;
  handlers: ReadonlyMap<string, IFunction>;
  deadLetters: ReadonlyMap<string, IQueue>;
  api: HttpApi;
};

/** @returns the address of the dashboard */
export function addObservability(
  scope: Construct,
  settings: Settings,
  watched: Omit<Observed, 'metric'>,
): string {
  const observed = { ...watched, metric: metricsOf(settings.stage) };
  addSavedQueries(scope);
  return addDashboard(scope, observed, addAlarms(scope, observed, settings));
}

/** The runbook's queries in the console of Logs Insights, in a folder of the stack, over all log groups that exist by now. */
function addSavedQueries(scope: Construct): void {
  const stack = Stack.of(scope);
  const logGroupNames = stack.node
    .findAll()
    .flatMap((each) => (each instanceof LogGroup ? [each.logGroupName] : []));
  for (const [name, queryString] of Object.entries(savedQueries)) {
    new CfnQueryDefinition(scope, `Query ${name}`, {
      name: `${stack.stackName}/${name}`,
      queryString,
      logGroupNames,
    });
  }
}
