import { Duration, Stack, Token, Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { Trigger, Uses } from '../../functions/triggers.ts';
import { environmentFor, type Resources } from '../environment.ts';
import { timeoutMsOf } from './function-timeout.ts';

/** Resources by name, for the environment, and by ARN, for permissions. Here the ids of secret and key are ARNs, too. */
export type FunctionResources = Resources & {
  tableArn: string;
  indexArn: string;
  instancesIndexArn: string;
  busArn: string;
  tenantSecretsArn: string;
};

/**
 * The share of a processor grows with the memory: 512 MB is about 0.3 of one. A cold start is processor time and needs
 * that; the rest of an invocation waits for the network, so more memory would only cost more.
 */
const defaultMemoryMb = 512;

/** Adds the function of one row of the trigger table, with the permissions and the environment that its `uses` lists. */
export function addFunction(
  scope: Construct,
  name: string,
  options: {
    trigger: Trigger;
    code: lambda.Code;
    resources: FunctionResources;
    logs: Pick<logs.LogGroupProps, 'retention' | 'removalPolicy'>;
    memorySize?: number | undefined;
    reservedConcurrentExecutions?: number | undefined;
  },
): lambda.Function {
  const { trigger, code, resources, memorySize = defaultMemoryMb, reservedConcurrentExecutions } = options;
  const { uses } = trigger;
  const parent = new Construct(scope, name);
  const logGroup = new logs.LogGroup(parent, 'Logs', options.logs);
  // A role given to the function does not get AWSLambdaBasicExecutionRole, which may write to every log group.
  const role = new iam.Role(parent, 'Role', { assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com') });
  if (uses.secrets?.includes('tenants')) {
    Validations.of(role).acknowledge({
      id: `AwsSolutions::AwsSolutions-IAM5[Resource::${nagNameOf(role, resources.tenantSecretsArn)}]`,
      reason:
        'Tenants come and go while the stack stays; the wildcard covers their secrets and nothing else.',
    });
  }
  return new lambda.Function(parent, 'Function', {
    code,
    handler: 'index.handler',
    runtime: lambda.Runtime.NODEJS_24_X,
    architecture: lambda.Architecture.ARM_64,
    timeout: Duration.millis(timeoutMsOf(trigger)),
    memorySize,
    ...(reservedConcurrentExecutions !== undefined && { reservedConcurrentExecutions }),
    logGroup,
    role,
    initialPolicy: permissionsFor(uses, resources, logGroup),
    environment: environmentFor(uses, resources),
  });
}

/** An ARN as cdk-nag writes it: with `<AWS::Region>` and the like, except in a stack with an `env`. */
function nagNameOf(scope: Construct, arn: string): string {
  const { partition, region, account } = Stack.of(scope);
  const names: [string, string][] = [
    [partition, 'Partition'],
    [region, 'Region'],
    [account, 'AccountId'],
  ];
  return names.reduce(
    (text, [value, name]) => (Token.isUnresolved(value) ? text.replace(value, `<AWS::${name}>`) : text),
    arn,
  );
}

function permissionsFor(
  uses: Uses,
  resources: FunctionResources,
  logGroup: logs.ILogGroup,
): iam.PolicyStatement[] {
  const { table = [], index = [], instancesIndex = [], bus = [], secrets = [], tokenKey = [] } = uses;
  const secretArns = { platform: resources.platformSecretId, tenants: resources.tenantSecretsArn };
  const statements = [
    { actions: ['logs:CreateLogStream', 'logs:PutLogEvents'], resources: [logGroup.logGroupArn] },
    { actions: table.map((action) => `dynamodb:${action}`), resources: [resources.tableArn] },
    { actions: index.map((action) => `dynamodb:${action}`), resources: [resources.indexArn] },
    {
      actions: instancesIndex.map((action) => `dynamodb:${action}`),
      resources: [resources.instancesIndexArn],
    },
    { actions: bus.map((action) => `events:${action}`), resources: [resources.busArn] },
    // Needs no permission for KMS as long as the secrets are under the account's own key for secrets.
    { actions: ['secretsmanager:GetSecretValue'], resources: secrets.map((secret) => secretArns[secret]) },
    {
      actions: tokenKey.map((action) => `kms:${action}`),
      resources: [resources.tokenKeyId],
      conditions: exactlyThisEncryptionContext,
    },
  ];
  return statements
    .filter((statement) => statement.actions.length > 0 && statement.resources.length > 0)
    .map((statement) => new iam.PolicyStatement(statement));
}

/**
 * Requires both keys and allows no other. `ForAllValues` alone also holds when there is no context at all, and
 * `ForAnyValue` already holds with one of the two.
 */
const exactlyThisEncryptionContext = {
  Null: { 'kms:EncryptionContext:tenantId': 'false', 'kms:EncryptionContext:elementKey': 'false' },
  'ForAllValues:StringEquals': { 'kms:EncryptionContextKeys': ['tenantId', 'elementKey'] },
};
