import { Duration } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, type IMetric, Stats, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type { Construct } from 'constructs';
import { openTooLongMs } from '../../functions/model/timing.ts';
import { type FunctionName, type Trigger, triggers } from '../../functions/triggers.ts';
import { period, type MetricOf } from './metrics.ts';
import type { Monitoring, Observed } from './monitoring.ts';

/** How often a threshold must be reached for an alarm: in this many of the last so many periods. */
type Persistence = { in: number; of: number };

const once: Persistence = { in: 1, of: 1 };
/** For faults that often pass at the next try. */
const twice: Persistence = { in: 2, of: 3 };
const lasting: Persistence = { in: 3, of: 3 };

type Fault = {
  /** In the alarm's name. */
  id: string;
  /** The effect, on whom, and the first thing to do. */
  text: string;
  /** The heading in `README.md` beside this file, after "Runbook: ". */
  runbook: string;
  metric: IMetric;
  atLeast: number;
  during: Persistence;
  whenMissing: TreatMissingData;
};

const rows: [string, Trigger][] = Object.entries(triggers);

/** The effect when a function without a caller stops working; errors of the others show as errors of the API. */
const consequences: Record<string, string> = {
  'onboard-tenants': 'tenants are onboarded late',
  'offboard-tenants': 'instances of tenants that have left are removed late',
  'apply-secrets': 'tenants work with their old key for longer',
  'reconcile-instances': 'tenants whose request was interrupted have no token, or are not removed',
  'check-instances': 'tenants whose connection has stopped working go unnoticed',
  'audit-instances': 'lost instances of tenants go unnoticed',
  'publish-results': 'no results are published for any tenant',
};

/** `isRare`: it may run only once a day, so a second failure may not come. */
const unattended = rows.flatMap(([name, { http, schedule }]) =>
  http ? [] : [{ name, isRare: schedule !== undefined && schedule.everyMinutes > period.toMinutes() }],
);

const provisioning: FunctionName[] = ['provision-instance', 'onboard-tenants'];

const oldestUnsettledMinutes = openTooLongMs / 60_000;

const resultsHeldUpMinutes = 5;

/** @returns the alarms, the most urgent first */
export function addAlarms(
  scope: Construct,
  observed: Observed,
  { prefix, alarmTopic, runbookUrl = 'infra/monitoring/README.md' }: Monitoring,
): Alarm[] {
  const action = alarmTopic && new SnsAction(alarmTopic);
  return faults(observed).map(({ id, text, runbook, metric, atLeast, during, whenMissing }) => {
    const alarm = new Alarm(scope, `Alarm ${id}`, {
      alarmName: `${prefix}-${id}`,
      alarmDescription: `${text} ${runbookUrl}#runbook-${runbook.toLowerCase().replaceAll(' ', '-')}`,
      metric,
      threshold: atLeast,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      evaluationPeriods: during.of,
      datapointsToAlarm: during.in,
      treatMissingData: whenMissing,
    });
    if (action) {
      alarm.addAlarmAction(action);
      alarm.addOkAction(action);
    }
    return alarm;
  });
}

function faults({ metric, handlers, deadLetters, api }: Observed): Fault[] {
  const handlerOf = (name: string) => {
    const handler = handlers.get(name);
    if (!handler) throw new Error(`There is no function ${name}.`);
    return handler;
  };
  // Silence means that nothing has happened.
  const whenMissing = TreatMissingData.NOT_BREACHING;
  return [
    {
      id: 'platform-credentials',
      text:
        'Cloud Elements refuses the platform secret, or it cannot be read as one: no tenant can be onboarded, changed or ' +
        'removed, while tokens can still be read. Put the current user and organization secret into it.',
      runbook: 'platform credentials',
      metric: metric('PlatformCredentialsRejected'),
      atLeast: 1,
      during: once,
      whenMissing,
    },
    ...provisioning.map((name) => ({
      id: `provisioning-fails-${name}`,
      text:
        'Tenants are not onboarded, and it is not their fault: Cloud Elements or a part of this service fails. Callers ' +
        'get 5xx, and events are retried for half an hour before they become dead letters. Look at the logs of the functions.',
      runbook: 'provisioning fails',
      metric: metric('Failed', { of: handlerOf(name).functionName }),
      atLeast: 1,
      during: twice,
      whenMissing,
    })),
    ...[...deadLetters].map(([name, queue]) => ({
      id: `dead-letters-${name}`,
      text: deadLetterTexts[kindOf(name)],
      runbook: 'dead letters',
      metric: queue.metricApproximateNumberOfMessagesVisible({ statistic: Stats.MAXIMUM, period }),
      atLeast: 1,
      during: once,
      // SQS publishes no metrics for a queue that has been empty and unused for hours.
      whenMissing,
    })),
    {
      id: 'events-ignored',
      text:
        'An onboarding or offboarding event came too late or too early and was ignored: its tenant may be without an ' +
        'instance, or may have left while its instance stays. Nothing retries it. Find the tenant in the log, and send ' +
        'the event again if it still applies.',
      runbook: 'events ignored',
      metric: metric('EventsIgnored'),
      atLeast: 1,
      during: once,
      whenMissing,
    },
    {
      id: 'results-held-up',
      text:
        `Results are published more than ${resultsHeldUpMinutes} minutes late: consumers of InstanceProvisioned, ` +
        'InstanceFailed and InstanceRemoved get none for any tenant. A record that cannot be handled holds up those ' +
        'behind it, for 12 hours at most. Look at the log of publish-results.',
      runbook: 'results held up',
      metric: handlerOf('publish-results').metric('IteratorAge', { statistic: Stats.MAXIMUM, period }),
      atLeast: Duration.minutes(resultsHeldUpMinutes).toMilliseconds(),
      during: once,
      whenMissing,
    },
    {
      id: 'oldest-unsettled',
      text:
        `A tenant's instance has been unsettled for more than ${oldestUnsettledMinutes} minutes, or the ` +
        'reconciler does not run: the tenant has no token, or is not removed. Look for "left-open" in the log.',
      runbook: 'oldest unsettled',
      // Two windows; within each, every open row is tried at least once.
      metric: metric('OldestUnsettledAge', { statistic: Stats.MAXIMUM, period: Duration.minutes(10) }),
      atLeast: Duration.minutes(oldestUnsettledMinutes).toSeconds(),
      during: { in: 2, of: 2 },
      // The metric is published every minute.
      whenMissing: TreatMissingData.BREACHING,
    },
    {
      id: 'api-errors',
      text:
        "The API answers 5xx: applications may be without their tenant's token, and tenants cannot be onboarded, changed or " +
        'removed. Find the route in the access log.',
      runbook: 'API errors',
      metric: api.metricServerError({ statistic: Stats.SUM, period }),
      atLeast: 5,
      during: twice,
      whenMissing,
    },
    ...unattended.flatMap(({ name, isRare }) => [
      {
        id: `function-fails-${name}`,
        text: `${name} ends with an error or runs out of time, so ${consequences[name]}. Nothing is lost. Look at its log.`,
        runbook: 'functions fail',
        metric: handlerOf(name).metricErrors({ statistic: Stats.SUM, period }),
        atLeast: 1,
        during: isRare ? once : twice,
        whenMissing,
      },
      {
        id: `function-throttled-${name}`,
        text:
          `Lambda does not start ${name}, because all of the account's concurrency is in use, so ${consequences[name]}; ` +
          'callers of the API get 503. Find the functions that use it up, or have it raised.',
        runbook: 'functions throttled',
        metric: handlerOf(name).metricThrottles({ statistic: Stats.SUM, period }),
        atLeast: 1,
        during: isRare ? once : lasting,
        whenMissing,
      },
    ]),
    {
      id: 'upstream-throttled',
      text:
        'Cloud Elements has been answering 429 for a quarter of an hour: onboarding of tenants is slow or fails. Nothing is ' +
        'lost. Send fewer requests at once, and ask Cloud Elements for its limits.',
      runbook: 'throttled by Cloud Elements',
      metric: metric('UpstreamThrottled'),
      atLeast: 1,
      during: lasting,
      whenMissing,
    },
    {
      id: 'requests-throttled',
      text:
        'The API rejects requests with 429, because a route gets more than its limit: applications may be without their ' +
        "tenant's token. Find route and caller in the access log.",
      runbook: 'requests throttled',
      metric: metric('RequestsThrottled'),
      atLeast: 10,
      during: once,
      whenMissing,
    },
    {
      id: 'instances-unhealthy',
      text:
        "Tenants' instances have stopped working: two checks in a row have failed, so calls that the application makes for " +
        'these tenants fail. One tenant: its key was withdrawn, or the instance switched off or deleted at Cloud Elements. ' +
        'A large share of all: the vendor. Find tenants and reasons in the log, under "instance-unhealthy".',
      runbook: 'instances unhealthy',
      metric: metric('InstancesTurnedUnhealthy'),
      atLeast: 1,
      during: once,
      whenMissing,
    },
    {
      id: 'duplicates',
      text:
        'A tenant had more than one instance at Cloud Elements, which this service should prevent: the duplicates ' +
        'have been removed, or will be. Tenants notice nothing; find out where the duplicates came from.',
      runbook: 'duplicates',
      // A duplicate that cannot be removed yet is retried until it is.
      metric: metric('DuplicatesRemoved'),
      atLeast: 1,
      during: once,
      whenMissing,
    },
    ...ofAudit(metric),
  ];
}

/** Published once a day: an alarm keeps its state until the next audit. */
function ofAudit(metric: MetricOf): Fault[] {
  const common = { atLeast: 1, during: once, whenMissing: TreatMissingData.IGNORE };
  return [
    {
      ...common,
      id: 'lost-instances',
      text:
        'Tenants have a token here that does not work, because their instance is gone at Cloud Elements: calls that the ' +
        'application makes for them fail. Delete these instances and provision them again.',
      runbook: 'lost instances',
      metric: metric('LostInstances', { statistic: Stats.MAXIMUM }),
    },
    {
      ...common,
      id: 'instances-not-visible',
      text:
        'The platform secret does not see most of the instances that tenants have here, so it belongs to another user: no ' +
        'tenant can be removed, changed or checked. Their tokens still work; delete nothing. Put back the secret of the ' +
        'user that created the instances.',
      runbook: 'instances not visible',
      metric: metric('AuditsNotVisible', { statistic: Stats.MAXIMUM }),
    },
    {
      ...common,
      id: 'instances-not-ours',
      text:
        "The table gives tenants the token of an instance that shows another tenant's or stage's tags: calls that the application " +
        'makes for them may reach the account of another. Find out which of the two is wrong before anything else.',
      runbook: 'instances not ours',
      metric: metric('InstancesNotOurs', { statistic: Stats.MAXIMUM }),
    },
    {
      ...common,
      id: 'unreadable-rows',
      text:
        'The table has rows that this version cannot read: for these tenants every request fails. Deploy the version that ' +
        'wrote them.',
      runbook: 'unreadable rows',
      metric: metric('UnreadableRows', { statistic: Stats.MAXIMUM }),
    },
    {
      ...common,
      id: 'orphans',
      text:
        "Cloud Elements has instances of this stage that belong to no tenant: they cost money and hold a tenant's " +
        'credentials. Tenants notice nothing. Find out whose they were, then remove them.',
      runbook: 'orphans',
      metric: metric('Orphans', { statistic: Stats.MAXIMUM }),
    },
    {
      ...common,
      id: 'audit-incomplete',
      text:
        'The daily audit has not seen everything: instances that are lost or orphaned may go unnoticed. Tenants notice ' +
        'nothing. Run it again, and look at how long it takes.',
      runbook: 'audit incomplete',
      metric: metric('AuditsIncomplete', { statistic: Stats.MAXIMUM }),
    },
  ];
}

const deadLetterTexts = {
  onboarding:
    'Tenants were not onboarded: their events have failed ten times or cannot be read, and nothing retries them. Find out ' +
    'why, then put the events back into the queue within 14 days.',
  offboarding:
    'Instances of tenants that have left were not removed: their events have failed ten times or cannot be read, and nothing ' +
    'retries them. Find out why, then put the events back into the queue within 14 days.',
  secrets:
    'Tenants have a new key in their secret that did not reach Cloud Elements: their events have failed ten times, and ' +
    'nothing retries them. Find out why, then put the events back into the queue within 14 days.',
  results:
    'Results of some tenants were not published, and nothing retries them. Within 12 hours, request these ' +
    'tenants again by event, or read the records from the stream.',
};

function kindOf(name: string): keyof typeof deadLetterTexts {
  if (name === 'onboard-tenants') return 'onboarding';
  if (name === 'apply-secrets') return 'secrets';
  return name === 'offboard-tenants' ? 'offboarding' : 'results';
}
