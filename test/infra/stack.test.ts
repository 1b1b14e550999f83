import { Aws, Duration, Validations } from 'aws-cdk-lib';
import { Annotations, Match, type Template } from 'aws-cdk-lib/assertions';
import { Schedule } from 'aws-cdk-lib/aws-events';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { AwsSolutionsChecks } from 'cdk-nag';
import { readdirSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { leaseMs } from '../../functions/model/timing.ts';
import type { EnvironmentName } from '../../functions/model/environment.ts';
import { type FunctionName, triggers } from '../../functions/triggers.ts';
import { OnboardingStack } from '../../infra/stack.ts';
import { everyPage } from '../support/pages.ts';
import { newApp } from './new-app.ts';
import {
  allowancesIn,
  allowancesOf,
  arnOf,
  bus,
  functionNamed,
  mappingOf,
  only,
  permissionsOf,
  platformSecret,
  production,
  queueOf,
  queueRows,
  resources,
  rows,
  secretNamed,
  stack,
  streamDeadLettersOf,
  streamRows,
  table,
  template,
  tokenKey,
  withId,
} from './template.ts';
import { words } from '../support/words.ts';

const httpRows = rows.filter(([, trigger]) => trigger.http);
const scheduleRows = rows.flatMap(([name, { schedule }]) => (schedule ? [{ name, schedule }] : []));

const actions = (service: string, names: string, on: string) =>
  names.split(' ').map((name) => `${service}:${name} ${on}`);
const onTable = (names: string) => actions('dynamodb', names, 'table');
const logs = actions('logs', 'CreateLogStream PutLogEvents', 'its log group');
const platformSecretOnly = actions('secretsmanager', 'GetSecretValue', 'platform secret');
const secrets = [...platformSecretOnly, ...actions('secretsmanager', 'GetSecretValue', 'tenant secrets')];
const queue = actions('sqs', 'DeleteMessage GetQueueAttributes ReceiveMessage', 'queue');
const stream = actions('dynamodb', 'DescribeStream GetRecords GetShardIterator ListStreams', 'stream');
const encrypt = 'kms:Encrypt token key';

/** All permissions of each function beside its logs, written out so that none is added unnoticed. */
const permissions: Record<FunctionName, string[]> = {
  'provision-instance': [...secrets, ...onTable('DeleteItem GetItem PutItem'), encrypt],
  'list-instances': onTable('Query'),
  'list-all-instances': onTable('Scan'),
  'get-instance': onTable('GetItem'),
  'read-token': [...onTable('GetItem'), 'kms:Decrypt token key'],
  'change-instance': [...secrets, ...onTable('GetItem PutItem')],
  'remove-instance': [...platformSecretOnly, ...onTable('GetItem PutItem')],
  'import-instance': [
    ...platformSecretOnly,
    ...onTable('DeleteItem GetItem PutItem'),
    'dynamodb:Query index of instances',
    encrypt,
  ],
  'check-instance': [...platformSecretOnly, ...onTable('GetItem PutItem'), 'dynamodb:Query index'],
  'onboard-tenants': [...secrets, ...queue, ...onTable('GetItem PutItem DeleteItem'), encrypt],
  'offboard-tenants': [...platformSecretOnly, ...queue, ...onTable('GetItem PutItem Query')],
  'apply-secrets': [...secrets, ...queue, ...onTable('GetItem PutItem'), encrypt],
  'reconcile-instances': [
    ...platformSecretOnly,
    ...onTable('DeleteItem GetItem PutItem UpdateItem Query'),
    'dynamodb:Query index',
    'dynamodb:Query index of instances',
    encrypt,
  ],
  'check-instances': [
    ...platformSecretOnly,
    ...onTable('GetItem PutItem UpdateItem'),
    'dynamodb:Query index',
  ],
  'audit-instances': [...platformSecretOnly, ...onTable('GetItem PutItem Scan'), encrypt],
  'publish-results': [...stream, 'events:PutEvents bus', 'sqs:SendMessage dead letters'],
};

const calls: EnvironmentName[] = ['TABLE_NAME', 'PLATFORM_SECRET_ID', 'CLOUD_ELEMENTS_BASE_URL'];

/** The whole environment of each function beside the stage. */
const environments: Record<FunctionName, EnvironmentName[]> = {
  'provision-instance': [...calls, 'TENANT_SECRETS_PREFIX', 'TOKEN_KEY_ID'],
  'list-instances': ['TABLE_NAME'],
  'list-all-instances': ['TABLE_NAME'],
  'get-instance': ['TABLE_NAME'],
  'read-token': ['TABLE_NAME', 'TOKEN_KEY_ID'],
  'change-instance': [...calls, 'TENANT_SECRETS_PREFIX'],
  'remove-instance': calls,
  'import-instance': [...calls, 'TOKEN_KEY_ID'],
  'check-instance': calls,
  'onboard-tenants': [...calls, 'TENANT_SECRETS_PREFIX', 'TOKEN_KEY_ID'],
  'offboard-tenants': calls,
  'apply-secrets': [...calls, 'TENANT_SECRETS_PREFIX', 'TOKEN_KEY_ID'],
  'reconcile-instances': [...calls, 'TOKEN_KEY_ID'],
  'check-instances': calls,
  'audit-instances': [...calls, 'TOKEN_KEY_ID'],
  'publish-results': ['EVENT_BUS_NAME'],
};

const values: Partial<Record<EnvironmentName, unknown>> = {
  TABLE_NAME: { Ref: table.id },
  EVENT_BUS_NAME: { Ref: bus.id },
  PLATFORM_SECRET_ID: { Ref: platformSecret.id },
  TENANT_SECRETS_PREFIX: 'element-onboarding/dev',
  TOKEN_KEY_ID: arnOf(tokenKey.id),
  CLOUD_ELEMENTS_BASE_URL: 'https://api.cloud-elements.com',
  STAGE: 'dev',
};

describe('the permissions', () => {
  test.each(Object.entries(permissions))(
    'the permissions of %s are these and no others',
    (name, expected) => {
      expect(permissionsOf(name).toSorted()).toEqual([...logs, ...expected].toSorted());
    },
  );

  test('only read-token may decrypt tokens', () => {
    const decrypting = Object.keys(triggers).filter((name) =>
      allowancesOf(name).some(({ Action }) => Action.includes('kms:Decrypt')),
    );
    expect(decrypting).toEqual(['read-token']);
  });

  test('permissions for the token key require exactly tenant and element as encryption context', () => {
    const conditions = rows
      .flatMap(([name]) => allowancesOf(name))
      .filter(({ Action }) => Action.some((action) => action.startsWith('kms:')))
      .map(({ Condition }) => Condition);
    expect(conditions).not.toHaveLength(0);
    for (const condition of conditions) {
      expect(condition).toEqual({
        Null: { 'kms:EncryptionContext:tenantId': 'false', 'kms:EncryptionContext:elementKey': 'false' },
        'ForAllValues:StringEquals': { 'kms:EncryptionContextKeys': ['tenantId', 'elementKey'] },
      });
    }
  });

  test('permissions have no wildcard but in the key policy that lets IAM administer the key', () => {
    const wide = allowancesIn(production.toJSON()).filter(
      ({ Action, Resource }) => Resource.includes('*') || Action.some((action) => action.includes('*')),
    );
    expect(wide).toEqual(allowancesIn(only('AWS::KMS::Key', production)));
    expect(wide).toEqual([
      {
        Effect: 'Allow',
        Action: ['kms:*'],
        Resource: ['*'],
        Principal: { AWS: stack.resolve(`arn:${Aws.PARTITION}:iam::${Aws.ACCOUNT_ID}:root`) },
      },
    ]);
  });

  test('permissions come from no other policy, and each function has a role of its own', () => {
    const roles = resources('AWS::IAM::Role');
    expect(roles).toHaveLength(rows.length);
    for (const { Properties } of roles) {
      expect(Object.keys(Properties)).toEqual(['AssumeRolePolicyDocument']);
      expect(Properties.AssumeRolePolicyDocument.Statement).toEqual([
        { Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { Service: 'lambda.amazonaws.com' } },
      ]);
    }
    expect(new Set(rows.map(([name]) => functionNamed(name).Properties.Role['Fn::GetAtt'][0])).size).toBe(
      rows.length,
    );
    const policies = [
      'AWS::IAM::ManagedPolicy',
      'AWS::IAM::RolePolicy',
      'AWS::IAM::UserPolicy',
      'AWS::IAM::GroupPolicy',
    ];
    expect(policies.flatMap((type) => resources(type))).toEqual([]);
    // These elements allow everything except their values, and the tests here do not check them.
    expect(JSON.stringify(production)).not.toMatch(/"Not(Action|Resource|Principal)"/);
  });
});

describe('the policies of resources', () => {
  test('only queues and the key have resource policies: table, secret, stream and bus are for this account’s roles alone', () => {
    const types = z
      .array(z.object({ Type: z.string() }))
      .parse(Object.values(template.toJSON()['Resources']))
      .map(({ Type }) => Type);
    expect(new Set(types.filter((type) => type.endsWith('Policy')))).toEqual(
      new Set(['AWS::IAM::Policy', 'AWS::SQS::QueuePolicy']),
    );
    expect(table.Properties).not.toHaveProperty('ResourcePolicy');
    expect(bus.Properties).toEqual({ Name: 'element-onboarding-dev' });
  });

  test('the key policy denies decryption to every principal but read-token’s role, and leaves the rest to IAM', () => {
    expect(tokenKey.Properties.KeyPolicy.Statement).toEqual([
      {
        Effect: 'Allow',
        Action: 'kms:*',
        Principal: { AWS: stack.resolve(`arn:${Aws.PARTITION}:iam::${Aws.ACCOUNT_ID}:root`) },
        Resource: '*',
      },
      {
        Sid: 'OnlyTokenReadersDecrypt',
        Effect: 'Deny',
        Action: ['kms:CreateGrant', 'kms:Decrypt', 'kms:ReEncrypt*'],
        Principal: { AWS: '*' },
        Resource: '*',
        Condition: { ArnNotEquals: { 'aws:PrincipalArn': [functionNamed('read-token').Properties.Role] } },
      },
    ]);
  });

  // A replaced role would have another ARN, and a retained key would still name the old one.
  test('the role that the key policy names keeps its logical id, so that no upgrade replaces it', () => {
    const { id, Properties } = withId(
      'AWS::IAM::Role',
      functionNamed('read-token').Properties.Role['Fn::GetAtt'][0],
    );
    expect(id).toBe('readtokenRoleE1FF8687');
    // A changed name or path replaces a role.
    expect(Object.keys(Properties)).toEqual(['AssumeRolePolicyDocument']);
  });
});

describe('the functions', () => {
  test('the functions are the rows of the trigger table, and each has its file', () => {
    const files = readdirSync(new URL('../../functions/', import.meta.url)).filter((file) =>
      file.endsWith('.ts'),
    );
    const names: string[] = resources('AWS::Lambda::Function').map(
      ({ Properties }) => Properties.Code.ZipFile,
    );
    expect(names.toSorted()).toEqual(Object.keys(triggers).toSorted());
    expect(files.toSorted()).toEqual([...names.map((name) => `${name}.ts`), 'triggers.ts'].toSorted());
  });

  test('functions run on ARM and Node.js 24', () => {
    for (const { Properties } of resources('AWS::Lambda::Function')) {
      expect(Properties).toMatchObject({
        Architectures: ['arm64'],
        Runtime: 'nodejs24.x',
        Handler: 'index.handler',
        MemorySize: 512,
      });
    }
  });

  test.each(Object.entries(environments))(
    'the function %s has this environment and no more',
    (name, expected) => {
      expect(functionNamed(name).Properties.Environment.Variables).toStrictEqual(
        Object.fromEntries([...expected, 'STAGE' as const].map((variable) => [variable, values[variable]])),
      );
    },
  );

  test('functions log into groups of their own for a month', () => {
    const groups = rows.map(([name]) => functionNamed(name).Properties.LoggingConfig.LogGroup.Ref);
    expect(new Set(groups).size).toBe(rows.length);
    expect(resources('AWS::Logs::LogGroup').map(({ id }) => id)).toEqual(expect.arrayContaining(groups));
    for (const { Properties } of resources('AWS::Logs::LogGroup'))
      expect(Properties.RetentionInDays).toBe(30);
  });

  test('functions end within a lease, except the audit, which has fifteen minutes', () => {
    const timeouts = rows.map(([name]) => [name, functionNamed(name).Properties.Timeout] as const);
    const [audit, ...others] = timeouts.toSorted(([, a], [, b]) => b - a);
    expect(audit).toEqual(['audit-instances', 900]);
    for (const [, timeout] of others) expect(timeout * 1_000).toBeLessThan(leaseMs);
  });
});

describe('the API', () => {
  test('the API has the routes of the trigger table, each to its function', () => {
    const routes = resources('AWS::ApiGatewayV2::Route').map(({ Properties }) => {
      const integration = withId('AWS::ApiGatewayV2::Integration', Properties.Target['Fn::Join'][1][1].Ref);
      const target = withId('AWS::Lambda::Function', integration.Properties.IntegrationUri['Fn::GetAtt'][0]);
      return [target.Properties.Code.ZipFile, Properties.RouteKey];
    });
    expect(Object.fromEntries(routes)).toEqual(
      Object.fromEntries(httpRows.map(([name, { http }]) => [name, http])),
    );
    expect(routes).toHaveLength(httpRows.length);
  });

  test('the API requires a signature on every route', () => {
    for (const { Properties } of resources('AWS::ApiGatewayV2::Route')) {
      expect(Properties.AuthorizationType).toBe('AWS_IAM');
    }
  });

  test('the API may invoke the functions with a route, and only a schedule may invoke others', () => {
    const invocations = resources('AWS::Lambda::Permission');
    const byApi = invocations.filter(({ Properties }) => Properties.Principal === 'apigateway.amazonaws.com');
    const bySchedule = invocations.filter(
      ({ Properties }) => Properties.Principal === 'events.amazonaws.com',
    );
    expect(byApi).toHaveLength(httpRows.length);
    for (const { Properties } of byApi) {
      expect(JSON.stringify(Properties.SourceArn)).toContain(
        `{"Ref":"${only('AWS::ApiGatewayV2::Api').id}"}`,
      );
    }
    expect(bySchedule.map(({ Properties }) => Properties.FunctionName)).toEqual(
      scheduleRows.map(({ name }) => arnOf(functionNamed(name).id)),
    );
    expect(invocations).toHaveLength(byApi.length + bySchedule.length);
  });

  test('the API lets no other web site call it', () => {
    expect(only('AWS::ApiGatewayV2::Api').Properties).not.toHaveProperty('CorsConfiguration');
  });

  test('the API waits longer than any function runs, and no longer than AWS allows', () => {
    for (const { Properties } of resources('AWS::ApiGatewayV2::Integration')) {
      const target = withId('AWS::Lambda::Function', Properties.IntegrationUri['Fn::GetAtt'][0]);
      expect(Properties.PayloadFormatVersion).toBe('2.0');
      expect(Properties.TimeoutInMillis).toBeGreaterThan(target.Properties.Timeout * 1_000);
      expect(Properties.TimeoutInMillis).toBeLessThanOrEqual(30_000);
    }
  });
});

describe.each(queueRows)('the queue of $name', ({ name, trigger }) => {
  const handler = functionNamed(name);
  const { eventQueue, deadLetters } = queueOf(name);
  const rules = resources('AWS::Events::Rule').filter(({ Properties }) =>
    Properties.Targets.some((target: { Arn: unknown }) =>
      isDeepStrictEqual(target.Arn, arnOf(eventQueue.id)),
    ),
  );

  test('a queue is fed by one rule per event of the trigger table, on the bus of the service or of the account', () => {
    const { labelUpdated, ...secretEvents } = trigger.secretEvents ?? {};
    expect(rules.map(({ Properties }) => Properties.EventPattern)).toEqual([
      ...trigger.events,
      ...(labelUpdated
        ? [
            {
              ...secretEvents,
              detail: { name: [{ prefix: 'element-onboarding/dev/tenants/' }], labelUpdated },
            },
          ]
        : []),
    ]);
    for (const { Properties } of rules) {
      expect(Properties.EventBusName).toEqual(Properties.EventPattern.detail ? undefined : { Ref: bus.id });
      expect(Properties.State).toBe('ENABLED');
      expect(Properties.Targets).toEqual([
        {
          Id: 'Target0',
          Arn: arnOf(eventQueue.id),
          RetryPolicy: { MaximumRetryAttempts: 185, MaximumEventAgeInSeconds: 86_400 },
          DeadLetterConfig: { Arn: arnOf(deadLetters.id) },
        },
      ]);
    }
  });

  test('a queue and its dead-letter queue accept messages from those rules alone', () => {
    const conditions = rules.map(({ id }) => ({ ArnEquals: { 'aws:SourceArn': arnOf(id) } }));
    for (const { id } of [eventQueue, deadLetters]) {
      const allowances = allowancesIn(policyOfQueue(id));
      expect(allowances.map(({ Condition }) => Condition)).toEqual(conditions);
      for (const { Principal, Action, Resource } of allowances) {
        expect(Principal).toEqual({ Service: 'events.amazonaws.com' });
        expect(Action).toContain('sqs:SendMessage');
        expect(
          Action.filter((action) => !/^sqs:(SendMessage|GetQueue(Attributes|Url))$/.test(action)),
        ).toEqual([]);
        expect(Resource).toEqual([arnOf(id)]);
      }
    }
  });

  test('a queue invokes its function, with failures per message and the limit of the trigger table', () => {
    expect(mappingOf(name).Properties).toMatchObject({
      BatchSize: trigger.batchSize,
      MaximumBatchingWindowInSeconds: 0,
      ScalingConfig: { MaximumConcurrency: trigger.maxConcurrency },
      FunctionResponseTypes: ['ReportBatchItemFailures'],
    });
  });

  test('a queue hides a message for six times the run of its function', () => {
    expect(eventQueue.Properties.VisibilityTimeout).toBeGreaterThanOrEqual(6 * handler.Properties.Timeout);
  });

  test('a queue keeps a message until its last delivery, and dead letters longer', () => {
    const { VisibilityTimeout, MessageRetentionPeriod, RedrivePolicy } = eventQueue.Properties;
    expect(RedrivePolicy).toEqual({ deadLetterTargetArn: arnOf(deadLetters.id), maxReceiveCount: 10 });
    expect(MessageRetentionPeriod).toBeGreaterThan(RedrivePolicy.maxReceiveCount * VisibilityTimeout);
    expect(deadLetters.Properties.MessageRetentionPeriod).toBeGreaterThan(MessageRetentionPeriod);
  });
});

const policyOfQueue = (id: string) =>
  resources('AWS::SQS::QueuePolicy').find(({ Properties }) => Properties.Queues[0].Ref === id);

test('every queue is encrypted and refuses plain HTTP', () => {
  expect(resources('AWS::SQS::Queue')).toHaveLength(2 * queueRows.length + streamRows.length);
  for (const { id, Properties } of resources('AWS::SQS::Queue')) {
    expect(Properties.SqsManagedSseEnabled).toBe(true);
    expect(policyOfQueue(id)?.Properties.PolicyDocument.Statement).toContainEqual({
      Effect: 'Deny',
      Action: 'sqs:*',
      Principal: { AWS: '*' },
      Resource: arnOf(id),
      Condition: { Bool: { 'aws:SecureTransport': 'false' } },
    });
  }
});

describe.each(streamRows)('the stream of $name', ({ name, trigger }) => {
  const { Properties: mapping } = mappingOf(name);
  const deadLetters = streamDeadLettersOf(name);

  test('the stream has the row before and after each write', () => {
    expect(mapping.EventSourceArn).toEqual({ 'Fn::GetAtt': [table.id, 'StreamArn'] });
    expect(table.Properties.StreamSpecification).toEqual({ StreamViewType: 'NEW_AND_OLD_IMAGES' });
  });

  test('the stream delivers the writes in the trigger table’s filter, from the first one', () => {
    expect(
      mapping.FilterCriteria.Filters.map(({ Pattern }: { Pattern: string }) => JSON.parse(Pattern)),
    ).toEqual([{ dynamodb: { NewImage: { status: { S: ['active', 'failed', 'removed'] } } } }]);
    expect(Object.keys(trigger.after)).toEqual(['status']);
    expect(mapping).toMatchObject({ StartingPosition: 'TRIM_HORIZON', BatchSize: trigger.batchSize });
  });

  test('a failing record blocks the stream only for a time, then goes to a dead-letter queue', () => {
    expect(mapping).toMatchObject({
      FunctionResponseTypes: ['ReportBatchItemFailures'],
      BisectBatchOnFunctionError: true,
      MaximumRetryAttempts: trigger.retries,
      MaximumRecordAgeInSeconds: trigger.maxAgeHours * 3_600,
    });
    expect(trigger.retries).toBeGreaterThan(0);
    // The stream keeps its records for a day.
    expect(trigger.maxAgeHours).toBeLessThan(24);
    expect(deadLetters.Properties.MessageRetentionPeriod).toBe(14 * 24 * 3_600);
  });

  test('only the function sends to the stream’s dead-letter queue', () => {
    expect(allowancesIn(policyOfQueue(deadLetters.id))).toEqual([]);
  });
});

describe.each(scheduleRows)('the schedule of $name', ({ name, schedule }) => {
  const handler = functionNamed(name);
  const rules = resources('AWS::Events::Rule').filter(({ Properties }) => Properties.ScheduleExpression);
  const rule = rules.find(({ Properties }) =>
    isDeepStrictEqual(Properties.Targets[0].Arn, arnOf(handler.id)),
  );
  const minutes = schedule.everyMinutes;

  test('a schedule runs its function as often as the trigger table says', () => {
    expect(rules).toHaveLength(scheduleRows.length);
    expect(rule?.Properties).toMatchObject({
      ScheduleExpression: Schedule.rate(Duration.minutes(minutes)).expressionString,
      State: 'ENABLED',
    });
    expect(rule?.Properties).not.toHaveProperty('EventBusName');
  });

  test('a schedule does not retry a failed run, and starts no late one', () => {
    // Lambda keeps an event for six hours at most.
    const maxAgeSeconds = Math.min(minutes * 60, 6 * 3_600);
    const asynchronous = resources('AWS::Lambda::EventInvokeConfig').filter(
      ({ Properties }) => Properties.FunctionName.Ref === handler.id,
    );
    expect(asynchronous.map(({ Properties }) => Properties)).toMatchObject([
      { MaximumRetryAttempts: 0, MaximumEventAgeInSeconds: maxAgeSeconds },
    ]);
    expect(rule?.Properties.Targets[0].RetryPolicy.MaximumEventAgeInSeconds).toBe(maxAgeSeconds);
  });
});

const kept = (of: Template) =>
  ['AWS::DynamoDB::Table', 'AWS::KMS::Key', 'AWS::SecretsManager::Secret', 'AWS::Logs::LogGroup'].flatMap(
    (type) => resources(type, of),
  );

describe('the data', () => {
  test('the table has keys tenant and element, on-demand billing and point-in-time recovery', () => {
    expect(table.Properties).toMatchObject({
      KeySchema: [
        { AttributeName: 'tenantId', KeyType: 'HASH' },
        { AttributeName: 'elementKey', KeyType: 'RANGE' },
      ],
      BillingMode: 'PAY_PER_REQUEST',
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
    });
  });

  test('the table has keys-only indexes of unsettled rows and of instances, and expires tombstones', () => {
    expect(table.Properties.GlobalSecondaryIndexes).toEqual([
      {
        IndexName: 'unsettled',
        KeySchema: [
          { AttributeName: 'unsettled', KeyType: 'HASH' },
          { AttributeName: 'checkAt', KeyType: 'RANGE' },
        ],
        Projection: { ProjectionType: 'KEYS_ONLY' },
      },
      {
        IndexName: 'instances',
        KeySchema: [{ AttributeName: 'instanceId', KeyType: 'HASH' }],
        Projection: { ProjectionType: 'KEYS_ONLY' },
      },
    ]);
    expect(table.Properties.TimeToLiveSpecification).toEqual({ AttributeName: 'expiresAt', Enabled: true });
  });

  test('the token key rotates', () => {
    expect(tokenKey.Properties.EnableKeyRotation).toBe(true);
    expect(only('AWS::KMS::Alias').Properties.AliasName).toBe('alias/element-onboarding-dev');
  });

  test.each(['platform', 'runtime'])(
    'the template has no value of the %s secret, which describes how to enter it',
    (name) => {
      const { Properties } = secretNamed(name);
      expect(Object.keys(Properties).toSorted()).toEqual(['Description', 'Name']);
      expect(Properties.Name).toBe(`element-onboarding/dev/${name}`);
      expect(Properties.Description).toContain(
        `put-secret-value --secret-id element-onboarding/dev/${name} --secret-string file:///dev/stdin`,
      );
    },
  );

  test('the runtime secret is referred to by no function', () => {
    const { id } = secretNamed('runtime');
    const { [id]: _itself, ...others } = template.toJSON()['Resources'];
    expect(JSON.stringify(others)).not.toContain(id);
    expect(JSON.stringify(others)).toContain(platformSecret.id);
  });

  test('data is deleted with a development stack', () => {
    for (const { DeletionPolicy } of kept(template)) expect(DeletionPolicy).toBe('Delete');
    expect(table.Properties.DeletionProtectionEnabled).toBe(false);
  });

  test('data is kept when the stack of any other stage is deleted', () => {
    const keeping = kept(production);
    // Table, key, secret, the API's access log and each function's log.
    expect(keeping).toHaveLength(5 + rows.length);
    for (const { DeletionPolicy, UpdateReplacePolicy } of keeping) {
      expect(DeletionPolicy).toMatch(/^Retain(ExceptOnCreate)?$/);
      expect(UpdateReplacePolicy).toBe('Retain');
    }
    expect(only('AWS::DynamoDB::Table', production).Properties.DeletionProtectionEnabled).toBe(true);
  });
});

describe('the stack', () => {
  test('the stack is named by its stage', () => {
    expect(stack.stackName).toBe('element-onboarding-dev');
  });

  test('the stack synthesizes without a warning', () => {
    const annotations = Annotations.fromStack(stack);
    expect(annotations.findWarning('*', Match.anyValue())).toEqual([]);
    expect(annotations.findError('*', Match.anyValue())).toEqual([]);
  });

  test.each([
    ['dev', {}, 0],
    ['dev-anna', {}, 0],
    ['prod', {}, 1],
    ['prod', { alarmTopicArn: 'arn:aws:sns:eu-west-1:123456789012:alarms' }, 0],
  ])('stage %s with %j has %i warnings that its alarms notify no one', (stage, more, count) => {
    const settings = { stage, baseUrl: 'https://api.cloud-elements.com', ...more };
    const made = new OnboardingStack(newApp(), {
      settings,
      code: (name) => Code.fromInline(name),
    });
    // Read as the CLI does, because a synth would print them here.
    const warnings = made.node
      .findAll()
      .flatMap(({ node }) => node.metadata)
      .filter(({ type }) => type === 'aws:cdk:warning');
    expect(warnings).toHaveLength(count);
    for (const { data } of warnings) expect(data).toContain('add the ARN to the entry');
  });

  test.each(['dev', 'prod'])(
    'cdk-nag has no findings for %s but those acknowledged, with reasons',
    (stage) => {
      const app = newApp();
      const alarmTopicArn = 'arn:aws:sns:eu-west-1:123456789012:alarms';
      const settings = { stage, baseUrl: 'https://api.cloud-elements.com', alarmTopicArn };
      const { node: tree } = new OnboardingStack(app, { settings, code: (name) => Code.fromInline(name) });
      const checks = new AwsSolutionsChecks(app);
      Validations.of(app).addPlugins(checks);
      // Throws, and prints them, when there are any.
      app.synth();

      const acknowledged = tree
        .findAll()
        .flatMap(({ node }) => node.metadata)
        .filter(({ type }) => type === Validations.ACKNOWLEDGED_RULES_METADATA_KEY)
        .flatMap(({ data }) => Object.entries<string>(data));
      for (const [, reason] of acknowledged) expect(reason.split(' ').length).toBeGreaterThan(10);
      const findings = checks
        .validateScope(app)
        .violations.map(({ ruleName }) => `AwsSolutions::${ruleName}`);
      expect(new Set(acknowledged.map(([rule]) => rule))).toEqual(new Set(findings));
      expect(findings).toHaveLength(3);
    },
  );

  test('the stack has outputs for its users, each with a description', () => {
    const outputs = template.findOutputs('*');
    expect(Object.keys(outputs).toSorted()).toEqual(
      words(`
      ApiUrl ApplySecretsDeadLetterQueueUrl ApplySecretsQueueUrl CloudElementsUrl DashboardUrl EventBusName
      OffboardTenantsDeadLetterQueueUrl OffboardTenantsQueueUrl OnboardTenantsDeadLetterQueueUrl
      OnboardTenantsQueueUrl PlatformSecretName PublishResultsDeadLetterQueueUrl RuntimeSecretName
      TableName TenantSecretPrefix
    `),
    );
    for (const output of Object.values(outputs)) expect(output['Description']).toMatch(/\w{3}/);
    const inCommands = [...everyPage.matchAll(/\$\(output (\w+)\)/g)].map(([, name = '']) => name);
    expect(inCommands.length).toBeGreaterThan(5);
    expect(inCommands.filter((name) => !outputs[name])).toEqual([]);
    expect(outputs).toMatchObject({
      OffboardTenantsDeadLetterQueueUrl: { Value: { Ref: queueOf('offboard-tenants').deadLetters.id } },
      OffboardTenantsQueueUrl: { Value: { Ref: queueOf('offboard-tenants').eventQueue.id } },
      OnboardTenantsDeadLetterQueueUrl: { Value: { Ref: queueOf('onboard-tenants').deadLetters.id } },
      OnboardTenantsQueueUrl: { Value: { Ref: queueOf('onboard-tenants').eventQueue.id } },
      PublishResultsDeadLetterQueueUrl: { Value: { Ref: streamDeadLettersOf('publish-results').id } },
      CloudElementsUrl: { Value: 'https://api.cloud-elements.com' },
      PlatformSecretName: { Value: 'element-onboarding/dev/platform' },
      RuntimeSecretName: { Value: 'element-onboarding/dev/runtime' },
      TenantSecretPrefix: { Value: 'element-onboarding/dev/tenants' },
    });
  });
});
