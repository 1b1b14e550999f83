import { Template } from 'aws-cdk-lib/assertions';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { metricNamespace, metrics, metricService } from '../../../functions/model/metric-names.ts';
import { savedQueries } from '../../../infra/monitoring/saved-queries.ts';
import type { Settings } from '../../../infra/settings.ts';
import { OnboardingStack } from '../../../infra/stack.ts';
import { pageAt } from '../../support/pages.ts';
import {
  functionNamed,
  only,
  production,
  queueOf,
  queueRows,
  resources,
  rows,
  stack,
  streamDeadLettersOf,
  streamRows,
  template,
} from '../template.ts';
import { newApp } from '../new-app.ts';
import { words } from '../../support/words.ts';

const alarms = resources('AWS::CloudWatch::Alarm').map(({ Properties }) => Properties);
const nameOf = ({ AlarmName }: { AlarmName: string }) => AlarmName.replace('element-onboarding-dev-', '');

function alarmNamed(id: string) {
  const found = alarms.find((alarm) => nameOf(alarm) === id);
  if (!found) throw new Error(`No alarm ${id} in the template`);
  return found;
}

const metricSchema = z.looseObject({
  namespace: z.string(),
  metricName: z.string(),
  dimensions: z.record(z.string(), z.unknown()),
});
type Used = z.infer<typeof metricSchema>;

function metricOf(alarm: unknown): Used {
  const { Namespace, MetricName, Dimensions } = alarmSchema.parse(alarm);
  const dimensions = Object.fromEntries(Dimensions.map(({ Name, Value }) => [Name, Value]));
  return { namespace: Namespace, metricName: MetricName, dimensions };
}
const alarmSchema = z.object({
  Namespace: z.string(),
  MetricName: z.string(),
  Dimensions: z.array(z.object({ Name: z.string(), Value: z.unknown() })),
});

/** Tokens of the stack in the body become the text `<Ref …>`. */
const periodSchema = z.catch(z.object({ period: z.optional(z.number()) }), {});
const dashboardBody = z
  .object({
    periodOverride: z.optional(z.string()),
    widgets: z.array(
      z.object({
        type: z.string(),
        properties: z.looseObject({
          title: z.string(),
          metrics: z.optional(z.array(z.array(z.unknown()))),
          alarms: z.optional(z.array(z.string())),
        }),
      }),
    ),
  })
  .parse(JSON.parse(joined(only('AWS::CloudWatch::Dashboard').Properties.DashboardBody)));

function joined(body: { 'Fn::Join': [string, unknown[]] }): string {
  return body['Fn::Join'][1]
    .map((part) => (typeof part === 'string' ? part : JSON.stringify(part).replaceAll('"', '')))
    .join('');
}

const onDashboard: Used[] = dashboardBody.widgets.flatMap(({ properties }) =>
  (properties.metrics ?? []).flatMap(([namespace, metricName, ...more]) => {
    const pairs = more.filter((each) => typeof each === 'string');
    const dimensions = Object.fromEntries(
      pairs.flatMap((name, index) => (index % 2 === 0 ? [[name, pairs[index + 1]]] : [])),
    );
    const used = metricSchema.safeParse({ namespace, metricName, dimensions });
    return used.success ? [used.data] : [];
  }),
);

/** The metrics of the list in the form of alarms and dashboards. */
const asListed = Object.entries(metrics).map(([metricName, metric]) => ({
  metricName,
  dimensions: ['service', 'stage', ...('by' in metric ? [metric.by] : [])].toSorted(),
}));

const isOurs = ({ namespace }: Used) => namespace === metricNamespace;
const asUsed = ({ metricName, dimensions }: Used) => ({
  metricName,
  dimensions: Object.keys(dimensions).toSorted(),
});

/** Requests per second, and burst. */
function limitsOf(http: string, callsCloudElements: boolean | undefined): readonly [number, number] {
  if (!callsCloudElements) return [100, 200];
  return /\/(check|import)$/.test(http) ? [2, 10] : [10, 50];
}

/** No caller waits for them. */
const unattended = rows
  .filter(([, { http }]) => !http)
  .map(([name]) => name)
  .toSorted();

describe('the alarms', () => {
  test('the alarms are for these faults', () => {
    expect(alarms.map(nameOf).toSorted()).toEqual([
      'api-errors',
      'audit-incomplete',
      'dead-letters-apply-secrets',
      'dead-letters-offboard-tenants',
      'dead-letters-onboard-tenants',
      'dead-letters-publish-results',
      'duplicates',
      'events-ignored',
      ...unattended.map((name) => `function-fails-${name}`),
      ...unattended.map((name) => `function-throttled-${name}`),
      'instances-not-ours',
      'instances-not-visible',
      'instances-unhealthy',
      'lost-instances',
      'oldest-unsettled',
      'orphans',
      'platform-credentials',
      'provisioning-fails-onboard-tenants',
      'provisioning-fails-provision-instance',
      'requests-throttled',
      'results-held-up',
      'unreadable-rows',
      'upstream-throttled',
    ]);
  });

  test.each(alarms.map((alarm) => [nameOf(alarm), alarm.AlarmDescription]))(
    'alarm texts say what breaks for whom and what to do, and link to the runbook (%s)',
    (_name, text) => {
      expect(text).toMatch(/\w{3}[.:] .*\. infra\/monitoring\/README\.md#runbook-[\w-]+$/);
      expect(text).toMatch(/tenant|caller|application/i);
      // CloudWatch's limit.
      expect(text.length).toBeLessThanOrEqual(1_024);
    },
  );

  test('every alarm has an entry in the runbook, which has no others', () => {
    // As GitHub makes anchors of headings, of letters and blanks at least.
    const entries = [...pageAt('infra/monitoring/README.md').matchAll(/^### (Runbook: .+)$/gm)].map(
      ([, heading = '']) => heading.toLowerCase().replace(':', '').replaceAll(' ', '-'),
    );
    const links = alarms.map(({ AlarmDescription }) => AlarmDescription.split('#')[1]);
    expect(new Set(links)).toEqual(new Set(entries));
  });

  test('the pages list and count the alarms', () => {
    const kinds = pageAt('infra/monitoring/README.md').matchAll(
      /^\| \[`([\w-]+)(…?)`\]\(#runbook-[\w-]+\)(?: \((\d+)\))? \|/gm,
    );
    const listed = [...kinds].flatMap(([, name = '', more, count]) => {
      const ofKind = alarms.map(nameOf).filter((each) => (more ? each.startsWith(name) : each === name));
      expect([name, ofKind.length]).toEqual([name, Number(count ?? 1)]);
      return ofKind;
    });
    expect(listed.toSorted()).toEqual(alarms.map(nameOf).toSorted());
    expect(pageAt('infra/README.md')).toContain(
      `, ${alarms.length} alarms ${(alarms.length * 0.1).toFixed(2)}, `,
    );
  });

  test('alarms and dashboard use metrics of the list, by their own dimensions', () => {
    for (const used of [...alarms.map(metricOf), ...onDashboard].filter(isOurs)) {
      expect(asListed).toContainEqual(asUsed(used));
      expect(used.dimensions).toMatchObject({ service: metricService, stage: 'dev' });
    }
  });

  test('an alarm watches every dead-letter queue, and goes off for a single letter', () => {
    const queues = [
      ...queueRows.map(({ name }) => [name, queueOf(name).deadLetters] as const),
      ...streamRows.map(({ name }) => [name, streamDeadLettersOf(name)] as const),
    ];
    for (const [name, { id }] of queues) {
      expect(alarmNamed(`dead-letters-${name}`)).toMatchObject({
        Namespace: 'AWS/SQS',
        MetricName: 'ApproximateNumberOfMessagesVisible',
        Dimensions: [{ Name: 'QueueName', Value: { 'Fn::GetAtt': [id, 'QueueName'] } }],
        Threshold: 1,
        EvaluationPeriods: 1,
        Statistic: 'Maximum',
        TreatMissingData: 'notBreaching',
      });
    }
    expect(alarms.filter((alarm) => nameOf(alarm).startsWith('dead-letters'))).toHaveLength(queues.length);
  });

  test('the alarm events-ignored goes off for a single event, and is quiet without data', () => {
    expect(alarmNamed('events-ignored')).toMatchObject({
      MetricName: 'EventsIgnored',
      Threshold: 1,
      EvaluationPeriods: 1,
      Statistic: 'Sum',
      TreatMissingData: 'notBreaching',
    });
  });

  test('alarms treat the reconciler’s silence as a fault, and hold the audit’s findings until the next one', () => {
    expect(alarmNamed('oldest-unsettled')).toMatchObject({
      MetricName: 'OldestUnsettledAge',
      TreatMissingData: 'breaching',
      Threshold: 1_200,
      Period: 600,
    });
    const ofAudit = ['lost-instances', 'instances-not-visible', 'instances-not-ours', 'unreadable-rows'];
    for (const id of [...ofAudit, 'orphans', 'audit-incomplete'])
      expect(alarmNamed(id).TreatMissingData).toBe('ignore');
  });

  test.each(unattended)('alarms go off when %s fails or is not started, with the effect', (name) => {
    const of = {
      Namespace: 'AWS/Lambda',
      Dimensions: [{ Name: 'FunctionName', Value: { Ref: functionNamed(name).id } }],
    };
    expect(alarmNamed(`function-fails-${name}`)).toMatchObject({ ...of, MetricName: 'Errors' });
    expect(alarmNamed(`function-throttled-${name}`)).toMatchObject({ ...of, MetricName: 'Throttles' });
    expect(alarmNamed(`function-fails-${name}`).AlarmDescription).not.toContain('undefined');
  });

  test('the alarm of the audit goes off at its first failure, because it runs once a day', () => {
    expect(alarmNamed('function-fails-audit-instances').DatapointsToAlarm).toBe(1);
    expect(alarmNamed('function-fails-reconcile-instances').DatapointsToAlarm).toBe(2);
  });

  test('an alarm watches the lag of the stream: a record that cannot be handled holds up the others', () => {
    expect(alarmNamed('results-held-up')).toMatchObject({
      Namespace: 'AWS/Lambda',
      MetricName: 'IteratorAge',
      Dimensions: [{ Name: 'FunctionName', Value: { Ref: functionNamed('publish-results').id } }],
      Threshold: 300_000,
      Statistic: 'Maximum',
    });
  });

  test('alarms notify only a given topic, and link to a given runbook', () => {
    for (const alarm of alarms) expect(alarm).not.toHaveProperty('AlarmActions');
    const alarmTopicArn = 'arn:aws:sns:eu-west-1:123456789012:alarms';
    const runbookUrl = 'https://example.com/infra/monitoring/README.md';
    const told = alarmsWith({ alarmTopicArn, runbookUrl });
    expect(told).toHaveLength(alarms.length);
    for (const alarm of told) {
      expect(alarm).toMatchObject({ AlarmActions: [alarmTopicArn], OKActions: [alarmTopicArn] });
      expect(alarm.AlarmDescription).toContain(` ${runbookUrl}#runbook-`);
    }
  });
});

function alarmsWith(more: Partial<Settings>) {
  const told = new OnboardingStack(newApp(), {
    settings: { stage: 'dev', baseUrl: 'https://api.cloud-elements.com', ...more },
    code: (name) => Code.fromInline(name),
  });
  return resources('AWS::CloudWatch::Alarm', Template.fromStack(told)).map(({ Properties }) => Properties);
}

describe('the dashboard', () => {
  test('the dashboard shows every alarm and every metric of the list', () => {
    const shown = dashboardBody.widgets.flatMap(({ properties }) => properties.alarms ?? []);
    expect(shown).toHaveLength(alarms.length);
    expect(new Set(onDashboard.filter(isOurs).map(({ metricName }) => metricName))).toEqual(
      new Set(Object.keys(metrics)),
    );
  });

  test('the dashboard shows the figures of the last audit, for any time range, and not the highest of several', () => {
    const widgets = dashboardBody.widgets.filter(({ properties }) =>
      /at the last audit/.test(properties.title),
    );
    expect(widgets).toHaveLength(1);
    for (const { properties } of widgets) {
      expect(properties).toMatchObject({ view: 'singleValue', start: '-P2D' });
      expect(properties).not.toHaveProperty('setPeriodToTimeRange');
      const periods = (properties.metrics ?? []).map((metric) => periodSchema.parse(metric.at(-1)).period);
      // By default it is 5 minutes, so that an audit that is repeated has a separate value.
      for (const period of periods) expect(period ?? 300).toBe(300);
    }
    expect(dashboardBody.periodOverride).toBe('inherit');
    const audit = rows.find(([name]) => name === 'audit-instances')?.[1];
    expect(audit?.schedule?.everyMinutes).toBeLessThan(2 * 24 * 60);
  });

  test('the dashboard is named by stage and Region, because its name is unique per account', () => {
    expect(stack.resolve(only('AWS::CloudWatch::Dashboard').Properties.DashboardName)).toEqual({
      'Fn::Join': ['', ['element-onboarding-dev-', { Ref: 'AWS::Region' }]],
    });
  });

  test('the output DashboardUrl opens the dashboard in the console of its Region', () => {
    const value = template.findOutputs('DashboardUrl')['DashboardUrl']?.['Value'];
    const region = '{Ref:AWS::Region}';
    expect(joined(value)).toBe(
      `https://${region}.console.aws.amazon.com/cloudwatch/home?region=${region}` +
        `#dashboards/dashboard/{Ref:${only('AWS::CloudWatch::Dashboard').id}}`,
    );
  });
});

test('the runbook’s queries are saved in a folder of the stack, over all its log groups', () => {
  const saved = resources('AWS::Logs::QueryDefinition').map(({ Properties }) => Properties);
  expect(Object.fromEntries(saved.map(({ Name, QueryString }) => [Name, QueryString]))).toEqual(
    Object.fromEntries(
      Object.entries(savedQueries).map(([name, query]) => [`element-onboarding-dev/${name}`, query]),
    ),
  );
  const groups = resources('AWS::Logs::LogGroup').map(({ id }) => ({ Ref: id }));
  // Logs Insights searches at most 50 groups at once.
  expect(groups.length).toBeLessThanOrEqual(50);
  for (const { LogGroupNames } of saved) {
    expect(new Set(LogGroupNames)).toEqual(new Set(groups));
  }
});

const logicalIdBefore = 'ApiAccessLog713001CC';

describe('the API', () => {
  const stage = only('AWS::ApiGatewayV2::Stage').Properties;
  const accessLog = resources('AWS::Logs::LogGroup').find(
    ({ id }) => id === stage.AccessLogSettings.DestinationArn['Fn::GetAtt'][0],
  );

  test('the API logs each request for a month without its path, query or any header but User-Agent', () => {
    const format: Record<string, string> = JSON.parse(stage.AccessLogSettings.Format);
    const variables = Object.values(format).filter((value) => value.startsWith('$context.'));
    expect(variables.toSorted()).toEqual(
      words(`
      $context.error.message $context.identity.sourceIp $context.identity.userAgent
      $context.identity.userArn $context.integration.requestId $context.integrationErrorMessage
      $context.requestId $context.requestTime $context.responseLatency $context.routeKey
      $context.status
    `),
    );
    expect(accessLog?.Properties.RetentionInDays).toBe(30);
    expect(accessLog?.DeletionPolicy).toBe('Delete');
    const kept = resources('AWS::Logs::LogGroup', production).find(({ id }) => id === accessLog?.id);
    expect(kept?.DeletionPolicy).toBe('RetainExceptOnCreate');
  });

  test('the API logs below /aws/vendedlogs/, under a name that no earlier stack has used', () => {
    // Elsewhere it would add to a policy of the whole account, whose size is limited.
    const { 'Fn::Join': name } = accessLog?.Properties.LogGroupName ?? {};
    expect(name).toEqual([
      '',
      [
        '/aws/vendedlogs/element-onboarding-dev-',
        {
          'Fn::Select': [
            0,
            { 'Fn::Split': ['-', { 'Fn::Select': [2, { 'Fn::Split': ['/', { Ref: 'AWS::StackId' }] }] }] },
          ],
        },
      ],
    ]);
    // Not the id of earlier versions: CloudFormation cannot rename a retained group.
    expect(accessLog?.id).not.toBe(logicalIdBefore);
    expect(resources('AWS::Logs::LogGroup').map(({ id }) => id)).not.toContain(logicalIdBefore);
  });

  test.each([
    ['nothing has gone wrong', '-'],
    ['the API itself turns it away', 'Too Many Requests'],
  ])('the API logs JSON when %s', (_what, message) => {
    const line = stage.AccessLogSettings.Format.replaceAll(/\$context[.\w]+/g, (variable: string) => {
      if (variable === '$context.error.message') return message;
      // Like API Gateway: with quotes around a message, but not around the `-` for none.
      if (variable === '$context.error.messageString') return message === '-' ? '-' : `"${message}"`;
      return '-';
    });
    expect(JSON.parse(line)).toMatchObject({ error: message, sourceIp: '-', userAgent: '-' });
  });

  test('the API’s throttled requests are counted in its log', () => {
    const { FilterPattern, LogGroupName, MetricTransformations } = only('AWS::Logs::MetricFilter').Properties;
    const format = JSON.parse(stage.AccessLogSettings.Format);
    expect(LogGroupName).toEqual({ Ref: accessLog?.id });
    expect(FilterPattern).toBe('{ $.status = "429" }');
    expect(MetricTransformations).toEqual([
      {
        MetricNamespace: metricNamespace,
        MetricName: 'RequestsThrottled',
        MetricValue: '1',
        Dimensions: [
          { Key: 'service', Value: '$.service' },
          { Key: 'stage', Value: '$.stage' },
        ],
      },
    ]);
    expect(format).toMatchObject({ service: metricService, stage: 'dev', status: '$context.status' });
  });

  test('the API throttles every route, those that call Cloud Elements more than the others', () => {
    const expected = rows.flatMap(([, { http, uses }]) =>
      http ? [[http, limitsOf(http, uses.cloudElements)] as const] : [],
    );
    expect(stage.RouteSettings).toEqual(
      Object.fromEntries(
        expected.map(([route, [ThrottlingRateLimit, ThrottlingBurstLimit]]) => [
          route,
          { ThrottlingRateLimit, ThrottlingBurstLimit },
        ]),
      ),
    );
  });

  test('the API’s stage is created after the routes, whose settings would be refused otherwise', () => {
    const routes = resources('AWS::ApiGatewayV2::Route').map(({ id }) => id);
    const [made] = Object.values(template.findResources('AWS::ApiGatewayV2::Stage'));
    expect(made?.['DependsOn']).toEqual(expect.arrayContaining(routes));
  });

  test('the API uses less than an account’s executions, even if every request lasts as long as it may', () => {
    const seconds = functionNamed('provision-instance').Properties.Timeout;
    const perSecond = rows.flatMap(([, { http, uses }]) =>
      http && uses.cloudElements ? [limitsOf(http, true)[0]] : [],
    );
    expect(perSecond).toHaveLength(5);
    expect(perSecond.reduce((sum, rate) => sum + rate, 0) * seconds).toBeLessThan(1_000);
  });
});
