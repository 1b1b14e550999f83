import { Duration } from 'aws-cdk-lib';
import { Rule, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ScheduleTrigger } from '../../functions/triggers.ts';

/** Lambda keeps an event that waits to be worked for this long at most. */
const longestWaitMinutes = 6 * 60;

/** Runs the function at regular times. A run that fails is not tried again: the next one comes anyway. */
export function addSchedule(handler: IFunction, { everyMinutes }: ScheduleTrigger): void {
  const rule = new Rule(handler, 'Schedule', { schedule: Schedule.rate(Duration.minutes(everyMinutes)) });
  const maxEventAge = Duration.minutes(Math.min(everyMinutes, longestWaitMinutes));
  // The rule only hands the event over, which is tried again while it is of use; Lambda then runs it.
  rule.addTarget(new LambdaFunction(handler, { maxEventAge, retryAttempts: 2 }));
  handler.configureAsyncInvoke({ maxEventAge, retryAttempts: 0 });
}
