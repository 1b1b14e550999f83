import { App, Aws } from 'aws-cdk-lib';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import { Code } from 'aws-cdk-lib/aws-lambda';
import recommendedFlags from 'aws-cdk-lib/recommended-feature-flags.json' with { type: 'json' };
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import type { EnvironmentName } from '../../functions/runtime/environment.ts';
import { type FunctionName, type Trigger, triggers } from '../../functions/triggers.ts';
import { OnboardingStack } from '../../infra/stack.ts';

const rows: [string, Trigger][] = Object.entries(triggers);
const httpRows = rows.filter(([, trigger]) => trigger.http);

const logs = ['logs:CreateLogStream its log group', 'logs:PutLogEvents its log group'];
const secrets = [
  'secretsmanager:GetSecretValue platform secret',
  'secretsmanager:GetSecretValue tenant secrets',
];
const queue = [
  'sqs:ChangeMessageVisibility queue',
  'sqs:DeleteMessage queue',
  'sqs:GetQueueAttributes queue',
  'sqs:GetQueueUrl queue',
  'sqs:ReceiveMessage queue',
];

/** All that a function may do. Written out, so that nobody widens it by the way. */
const permissions: Record<FunctionName, string[]> = {
  'provision-instance': [
    ...logs,
    ...secrets,
    'dynamodb:DeleteItem table',
    'dynamodb:GetItem table',
    'dynamodb:PutItem table',
    'kms:Encrypt token key',
  ],
  'list-instances': [...logs, 'dynamodb:Query table'],
  'get-instance': [...logs, 'dynamodb:GetItem table'],
  'read-token': [...logs, 'dynamodb:GetItem table', 'kms:Decrypt token key'],
  'onboard-tenants': [
    ...logs,
    ...secrets,
    ...queue,
    'dynamodb:GetItem table',
    'dynamodb:PutItem table',
    'kms:Encrypt token key',
  ],
};

/** All that a function is told. */
const environments: Record<FunctionName, EnvironmentName[]> = {
  'provision-instance': [
    'TABLE_NAME',
    'PLATFORM_SECRET_ID',
    'TENANT_SECRETS_PREFIX',
    'TOKEN_KEY_ID',
    'CLOUD_ELEMENTS_BASE_URL',
    'STAGE',
  ],
  'list-instances': ['TABLE_NAME'],
  'get-instance': ['TABLE_NAME'],
  'read-token': ['TABLE_NAME', 'TOKEN_KEY_ID'],
  'onboard-tenants': [
    'TABLE_NAME',
    'PLATFORM_SECRET_ID',
    'TENANT_SECRETS_PREFIX',
    'TOKEN_KEY_ID',
    'CLOUD_ELEMENTS_BASE_URL',
    'STAGE',
  ],
};

function synthesise(stage: string): { stack: OnboardingStack; template: Template } {
  const stack = new OnboardingStack(new App({ context: recommendedFlags }), {
    settings: { stage, baseUrl: 'https://api.cloud-elements.com' },
    // The code of a function is its name, by which it is found in the template.
    code: (name) => Code.fromInline(name),
  });
  return { stack, template: Template.fromStack(stack) };
}

const { stack, template } = synthesise('dev');
const production = synthesise('prod').template;

const resourceSchema = z.object({
  /** Different for every type: what a test reads of them, it also compares. */
  Properties: z.any(),
  DeletionPolicy: z.optional(z.string()),
  UpdateReplacePolicy: z.optional(z.string()),
});

const resources = (type: string, of = template) =>
  Object.entries(of.findResources(type)).map(([id, resource]) => ({ id, ...resourceSchema.parse(resource) }));

/** The only resource of its type. */
function only(type: string, of = template) {
  const [resource, ...others] = resources(type, of);
  if (!resource || others.length > 0) throw new Error(`Expected one ${type}, found ${others.length + 1}`);
  return resource;
}

function withId(type: string, id: string) {
  const found = resources(type).find((resource) => resource.id === id);
  if (!found) throw new Error(`No ${type} ${id} in the template`);
  return found;
}

function functionNamed(name: string) {
  const found = resources('AWS::Lambda::Function').find(({ Properties }) => Properties.Code.ZipFile === name);
  if (!found) throw new Error(`No function ${name} in the template`);
  return found;
}

const arnOf = (id: string) => ({ 'Fn::GetAtt': [id, 'Arn'] });
const table = only('AWS::DynamoDB::Table');
const tokenKey = only('AWS::KMS::Key');
const platformSecret = only('AWS::SecretsManager::Secret');
const mapping = only('AWS::Lambda::EventSourceMapping');
const eventQueue = withId('AWS::SQS::Queue', mapping.Properties.EventSourceArn['Fn::GetAtt'][0]);
const deadLetters = withId(
  'AWS::SQS::Queue',
  eventQueue.Properties.RedrivePolicy.deadLetterTargetArn['Fn::GetAtt'][0],
);

const listSchema = z.pipe(
  z.unknown(),
  z.transform((value): unknown[] => (Array.isArray(value) ? value : [value])),
);
const allowanceSchema = z.object({
  Effect: z.literal('Allow'),
  Principal: z.optional(z.unknown()),
  Action: z.pipe(listSchema, z.array(z.string())),
  Resource: listSchema,
  Condition: z.optional(z.unknown()),
});

/** Every statement that allows something, whatever the policy it is part of. */
function allowancesIn(part: unknown): z.infer<typeof allowanceSchema>[] {
  const found: z.infer<typeof allowanceSchema>[] = [];
  JSON.stringify(part, (_key, value: unknown) => {
    const allowance = allowanceSchema.safeParse(value);
    if (allowance.success) found.push(allowance.data);
    return value;
  });
  return found;
}

/** What the role of a function allows it. */
function allowancesOf(name: string) {
  const [roleId] = functionNamed(name).Properties.Role['Fn::GetAtt'];
  return allowancesIn(
    resources('AWS::IAM::Policy').filter(({ Properties }) =>
      Properties.Roles.some((role: { Ref: string }) => role.Ref === roleId),
    ),
  );
}

const tenantSecretsArn = `arn:${Aws.PARTITION}:secretsmanager:${Aws.REGION}:${Aws.ACCOUNT_ID}:secret:element-onboarding/dev/tenants/*`;
const values: Record<EnvironmentName, unknown> = {
  TABLE_NAME: { Ref: table.id },
  PLATFORM_SECRET_ID: { Ref: platformSecret.id },
  TENANT_SECRETS_PREFIX: 'element-onboarding/dev',
  TOKEN_KEY_ID: arnOf(tokenKey.id),
  CLOUD_ELEMENTS_BASE_URL: 'https://api.cloud-elements.com',
  STAGE: 'dev',
};

describe('the permissions', () => {
  const named = new Map([
    [JSON.stringify(arnOf(table.id)), 'table'],
    [JSON.stringify(arnOf(tokenKey.id)), 'token key'],
    [JSON.stringify(arnOf(eventQueue.id)), 'queue'],
    [JSON.stringify({ Ref: platformSecret.id }), 'platform secret'],
    [JSON.stringify(stack.resolve(tenantSecretsArn)), 'tenant secrets'],
  ]);

  test.each(Object.entries(permissions))('of %s are these and no others', (name, expected) => {
    const ownLogs = JSON.stringify(arnOf(functionNamed(name).Properties.LoggingConfig.LogGroup.Ref));
    const actual = allowancesOf(name).flatMap(({ Action, Resource }) =>
      Action.flatMap((action) =>
        Resource.map((resource) => JSON.stringify(resource)).map(
          (resource) =>
            `${action} ${resource === ownLogs ? 'its log group' : (named.get(resource) ?? resource)}`,
        ),
      ),
    );
    expect(actual.toSorted()).toEqual(expected.toSorted());
  });

  test('to decrypt tokens are given to read-token alone', () => {
    const decrypting = Object.keys(triggers).filter((name) =>
      allowancesOf(name).some(({ Action }) => Action.includes('kms:Decrypt')),
    );
    expect(decrypting).toEqual(['read-token']);
  });

  test('for the token key hold only with exactly the tenant and the element as encryption context', () => {
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

  test('have no wildcard but in the key policy that lets IAM administer the key', () => {
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

  test('come from nowhere else, and each function has a role of its own', () => {
    const roles = resources('AWS::IAM::Role');
    expect(roles).toHaveLength(rows.length);
    for (const { Properties } of roles) expect(Object.keys(Properties)).toEqual(['AssumeRolePolicyDocument']);
    expect(new Set(rows.map(([name]) => functionNamed(name).Properties.Role['Fn::GetAtt'][0])).size).toBe(
      rows.length,
    );
  });
});

describe('the functions', () => {
  test('are the rows of the trigger table, and each has its file', () => {
    const files = readdirSync(new URL('../../functions/', import.meta.url)).filter((file) =>
      file.endsWith('.ts'),
    );
    const names: string[] = resources('AWS::Lambda::Function').map(
      ({ Properties }) => Properties.Code.ZipFile,
    );
    expect(names.toSorted()).toEqual(Object.keys(triggers).toSorted());
    expect(files.toSorted()).toEqual([...names.map((name) => `${name}.ts`), 'triggers.ts'].toSorted());
  });

  test('run on ARM and Node.js 24', () => {
    for (const { Properties } of resources('AWS::Lambda::Function')) {
      expect(Properties).toMatchObject({
        Architectures: ['arm64'],
        Runtime: 'nodejs24.x',
        Handler: 'index.handler',
        MemorySize: 512,
      });
    }
  });

  test.each(Object.entries(environments))('include %s, which is told this and no more', (name, expected) => {
    const { Variables } = functionNamed(name).Properties.Environment;
    expect(Object.keys(Variables).toSorted()).toEqual(expected.toSorted());
    for (const variable of expected) expect(Variables[variable]).toEqual(values[variable]);
  });

  test('log into a group of their own for a month', () => {
    const groups = rows.map(([name]) => functionNamed(name).Properties.LoggingConfig.LogGroup.Ref);
    expect(new Set(groups)).toEqual(new Set(resources('AWS::Logs::LogGroup').map(({ id }) => id)));
    for (const { Properties } of resources('AWS::Logs::LogGroup'))
      expect(Properties.RetentionInDays).toBe(30);
  });
});

describe('the API', () => {
  test('has the routes of the trigger table, each to its function', () => {
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

  test('asks for a signature on every route', () => {
    for (const { Properties } of resources('AWS::ApiGatewayV2::Route')) {
      expect(Properties.AuthorizationType).toBe('AWS_IAM');
    }
  });

  test('may invoke the functions that have a route, and nothing else may invoke any', () => {
    const invocations = resources('AWS::Lambda::Permission');
    expect(invocations).toHaveLength(httpRows.length);
    for (const { Properties } of invocations) {
      expect(Properties.Principal).toBe('apigateway.amazonaws.com');
      expect(JSON.stringify(Properties.SourceArn)).toContain(
        `{"Ref":"${only('AWS::ApiGatewayV2::Api').id}"}`,
      );
    }
  });

  test('lets no other web site call it', () => {
    expect(only('AWS::ApiGatewayV2::Api').Properties).not.toHaveProperty('CorsConfiguration');
  });

  test('waits longer than any function runs, and no longer than AWS allows', () => {
    for (const { Properties } of resources('AWS::ApiGatewayV2::Integration')) {
      const target = withId('AWS::Lambda::Function', Properties.IntegrationUri['Fn::GetAtt'][0]);
      expect(Properties.PayloadFormatVersion).toBe('2.0');
      expect(Properties.TimeoutInMillis).toBeGreaterThan(target.Properties.Timeout * 1_000);
      expect(Properties.TimeoutInMillis).toBeLessThanOrEqual(30_000);
    }
  });
});

describe('the queue', () => {
  const handler = withId('AWS::Lambda::Function', mapping.Properties.FunctionName.Ref);
  const trigger = triggers['onboard-tenants'].queue;

  test('is fed by one rule for each event of the trigger table, on the bus of the service', () => {
    const rules = resources('AWS::Events::Rule');
    expect(rules.map(({ Properties }) => Properties.EventPattern)).toEqual(trigger.events);
    for (const { Properties } of rules) {
      expect(Properties.EventBusName).toEqual({ Ref: only('AWS::Events::EventBus').id });
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

  test('takes messages, as does its dead-letter queue, from those rules alone', () => {
    const rules = resources('AWS::Events::Rule').map(({ id }) => ({
      ArnEquals: { 'aws:SourceArn': arnOf(id) },
    }));
    for (const policy of resources('AWS::SQS::QueuePolicy')) {
      const allowances = allowancesIn(policy);
      expect(allowances.map(({ Condition }) => Condition)).toEqual(rules);
      for (const { Principal } of allowances) expect(Principal).toEqual({ Service: 'events.amazonaws.com' });
    }
  });

  test('is encrypted and refuses plain HTTP, as does its dead-letter queue', () => {
    expect(resources('AWS::SQS::Queue')).toHaveLength(2);
    for (const { id, Properties } of resources('AWS::SQS::Queue')) {
      expect(Properties.SqsManagedSseEnabled).toBe(true);
      const policy = resources('AWS::SQS::QueuePolicy').find(
        (candidate) => candidate.Properties.Queues[0].Ref === id,
      );
      expect(policy?.Properties.PolicyDocument.Statement).toContainEqual({
        Effect: 'Deny',
        Action: 'sqs:*',
        Principal: { AWS: '*' },
        Resource: arnOf(id),
        Condition: { Bool: { 'aws:SecureTransport': 'false' } },
      });
    }
  });

  test('is worked by its function, message by message and within the bound of the trigger table', () => {
    expect(handler.Properties.Code.ZipFile).toBe('onboard-tenants');
    expect(mapping.Properties).toMatchObject({
      BatchSize: trigger.batchSize,
      MaximumBatchingWindowInSeconds: 0,
      ScalingConfig: { MaximumConcurrency: trigger.maxConcurrency },
      FunctionResponseTypes: ['ReportBatchItemFailures'],
    });
  });

  test('hides a message for six times the run of its function', () => {
    expect(eventQueue.Properties.VisibilityTimeout).toBeGreaterThanOrEqual(6 * handler.Properties.Timeout);
  });

  test('lets no message expire before its last delivery, and keeps dead ones longer than living ones', () => {
    const { VisibilityTimeout, MessageRetentionPeriod, RedrivePolicy } = eventQueue.Properties;
    expect(RedrivePolicy).toEqual({ deadLetterTargetArn: arnOf(deadLetters.id), maxReceiveCount: 10 });
    expect(MessageRetentionPeriod).toBeGreaterThan(RedrivePolicy.maxReceiveCount * VisibilityTimeout);
    expect(deadLetters.Properties.MessageRetentionPeriod).toBeGreaterThan(MessageRetentionPeriod);
  });
});

const kept = (of: Template) =>
  ['AWS::DynamoDB::Table', 'AWS::KMS::Key', 'AWS::SecretsManager::Secret', 'AWS::Logs::LogGroup'].flatMap(
    (type) => resources(type, of),
  );

describe('the data', () => {
  test('is in a table by tenant and element, paid per request, with point-in-time recovery', () => {
    expect(table.Properties).toMatchObject({
      KeySchema: [
        { AttributeName: 'tenantId', KeyType: 'HASH' },
        { AttributeName: 'elementKey', KeyType: 'RANGE' },
      ],
      BillingMode: 'PAY_PER_REQUEST',
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
    });
  });

  test('is protected by a key that rotates', () => {
    expect(tokenKey.Properties.EnableKeyRotation).toBe(true);
    expect(only('AWS::KMS::Alias').Properties.AliasName).toBe('alias/element-onboarding-dev');
  });

  test('has no secret value in the template, and the platform secret says how to enter it', () => {
    expect(Object.keys(platformSecret.Properties).toSorted()).toEqual(['Description', 'Name']);
    expect(platformSecret.Properties.Name).toBe('element-onboarding/dev/platform');
    expect(platformSecret.Properties.Description).toContain(
      'put-secret-value --secret-id element-onboarding/dev/platform',
    );
  });

  test('goes with a stack for development', () => {
    for (const { DeletionPolicy } of kept(template)) expect(DeletionPolicy).toBe('Delete');
    expect(table.Properties.DeletionProtectionEnabled).toBe(false);
  });

  test('stays when the stack of any other stage is deleted', () => {
    const keeping = kept(production);
    expect(keeping).toHaveLength(3 + rows.length);
    for (const { DeletionPolicy, UpdateReplacePolicy } of keeping) {
      expect(DeletionPolicy).toMatch(/^Retain(ExceptOnCreate)?$/);
      expect(UpdateReplacePolicy).toBe('Retain');
    }
    expect(only('AWS::DynamoDB::Table', production).Properties.DeletionProtectionEnabled).toBe(true);
  });
});

describe('the stack', () => {
  test('is named by its stage', () => {
    expect(stack.stackName).toBe('element-onboarding-dev');
  });

  test('synthesises without a warning', () => {
    const annotations = Annotations.fromStack(stack);
    expect(annotations.findWarning('*', Match.anyValue())).toEqual([]);
    expect(annotations.findError('*', Match.anyValue())).toEqual([]);
  });

  test('puts out what its users need to know, each with a description', () => {
    const outputs = template.findOutputs('*');
    expect(Object.keys(outputs).toSorted()).toEqual([
      'ApiUrl',
      'DeadLetterQueueUrl',
      'EventBusName',
      'PlatformSecretName',
      'TableName',
      'TenantSecretPrefix',
    ]);
    for (const output of Object.values(outputs)) expect(output['Description']).toMatch(/\w{3}/);
    expect(outputs).toMatchObject({
      DeadLetterQueueUrl: { Value: { Ref: deadLetters.id } },
      PlatformSecretName: { Value: 'element-onboarding/dev/platform' },
      TenantSecretPrefix: { Value: 'element-onboarding/dev/tenants' },
    });
  });
});
