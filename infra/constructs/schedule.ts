import { Duration } from 'aws-cdk-lib';
import { Rule, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ScheduleTrigger } from '../../functions/triggers.ts';

/** Lambda's limit for the age of an event in its queue of asynchronous invocations. */
const longestWaitMinutes = 6 * 60;

/** Runs the function at regular times. A failed run is not retried: the next one comes anyway. */
export function addSchedule(handler: IFunction, { everyMinutes }: ScheduleTrigger): void {
  const rule = new Rule(handler, 'Schedule', { schedule: Schedule.rate(Duration.minutes(everyMinutes)) });
  const maxEventAge = Duration.minutes(Math.min(everyMinutes, longestWaitMinutes));
  // The rule only hands the event over, and retries that while a run is still useful; Lambda then runs it.
  rule.addTarget(new LambdaFunction(handler, { maxEventAge, retryAttempts: 2 }));
  handler.configureAsyncInvoke({ maxEventAge, retryAttempts: 0 });
}
