import type { HttpApi } from 'aws-cdk-lib/aws-apigatewayv2';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import { CfnQueryDefinition, LogGroup } from 'aws-cdk-lib/aws-logs';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';
import { addAlarms } from './alarms.ts';
import { addDashboard } from './dashboard.ts';
import { type MetricOf, metricsOf } from './metrics.ts';
import { savedQueries } from './saved-queries.ts';

/** The resources that are monitored; functions and dead letters by the function's name in the trigger table. */
export type Observed = {
  metric: MetricOf;
  handlers: ReadonlyMap<string, IFunction>;
  deadLetters: ReadonlyMap<string, IQueue>;
  api: HttpApi;
};

export type Monitoring = {
  /** Begins the names of alarms, dashboard and queries. */
  prefix: string;
  stage: string;
  alarmTopic?: ITopic | undefined;
  runbookUrl?: string | undefined;
};

/** @returns the address of the dashboard */
export function addObservability(
  scope: Construct,
  monitoring: Monitoring,
  watched: Omit<Observed, 'metric'>,
): string {
  const { prefix, stage } = monitoring;
  const observed = { ...watched, metric: metricsOf(stage) };
  addSavedQueries(scope, prefix);
  return addDashboard(scope, observed, { prefix, alarms: addAlarms(scope, observed, monitoring) });
}

/** The runbook's queries in the console of Logs Insights, in a folder of the stage, over all log groups that exist by now. */
function addSavedQueries(scope: Construct, folder: string): void {
  const logGroupNames = scope.node
    .findAll()
    .flatMap((each) => (each instanceof LogGroup ? [each.logGroupName] : []));
  for (const [name, queryString] of Object.entries(savedQueries)) {
    new CfnQueryDefinition(scope, `Query ${name}`, {
      name: `${folder}/${name}`,
      queryString,
      logGroupNames,
    });
  }
}
