import { Annotations, ArnFormat, CfnOutput, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import { EventBus } from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import type { Code, IFunction } from 'aws-cdk-lib/aws-lambda';
import { CfnSecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import { type Trigger, triggers } from '../functions/triggers.ts';
import { tableShape } from '../functions/model/table.ts';
import { Api } from './constructs/api.ts';
import { EventQueue } from './constructs/event-queue.ts';
import { addFunction, type FunctionResources } from './constructs/functions.ts';
import { addObservability } from './monitoring/monitoring.ts';
import { addSchedule } from './constructs/schedule.ts';
import { deadLetterOutput, outputs, type OutputName, queueOutput, stackNameOf } from './outputs.ts';
import { isDisposable, type Settings } from './settings.ts';
import { TableStream } from './constructs/table-stream.ts';

export type OnboardingStackProps = {
  settings: Settings;
  /** The code of a function, by its name in the trigger table. */
  code: (name: string) => Code;
};

/** The whole service in one account and Region: a loop over the trigger table, and the resources of its functions. */
export class OnboardingStack extends Stack {
  constructor(scope: Construct, { settings, code }: OnboardingStackProps) {
    const name = stackNameOf(settings.stage);
    super(scope, name, {
      description: `Provisions tenants' element instances at ${settings.baseUrl} and keeps their element tokens`,
    });

    if (!isDisposable(settings) && settings.alarmTopicArn === undefined) {
      Annotations.of(this).addWarningV2(
        'element-onboarding:no-alarm-topic',
        `The alarms of stage ${settings.stage} notify no one, because its entry in cdk.json has no alarmTopicArn. If the ` +
          'stage was deployed with one, this deployment unplugs all its alarms: add the ARN to the entry.',
      );
    }

    const { sbtSources = {} } = settings;
    const secretsPrefix = `element-onboarding/${settings.stage}`;
    const removalPolicy = removalPolicyOf(settings);
    const table = this.#addTable(settings);
    const tokenKey = new kms.Key(this, 'TokenKey', {
      alias: name,
      description: `Encrypts element tokens of ${name}`,
      enableKeyRotation: true,
      removalPolicy,
    });
    const platformSecret = this.#addPlatformSecret(`${secretsPrefix}/platform`, removalPolicy);
    this.#addRuntimeSecret(`${secretsPrefix}/runtime`, removalPolicy);
    const bus = new EventBus(this, 'Bus', { eventBusName: name });
    const api = new Api(this, 'Api', {
      apiName: name,
      stage: settings.stage,
      logRemovalPolicy: removalPolicy,
    });

    const resources: FunctionResources = {
      tableName: table.tableName,
      tableArn: table.tableArn,
      indexArn: `${table.tableArn}/index/${tableShape.index.name}`,
      instancesIndexArn: `${table.tableArn}/index/${tableShape.instances.name}`,
      busName: bus.eventBusName,
      busArn: bus.eventBusArn,
      platformSecretId: platformSecret.ref,
      tenantSecretsPrefix: secretsPrefix,
      tenantSecretsArn: this.formatArn({
        service: 'secretsmanager',
        resource: 'secret',
        resourceName: `${secretsPrefix}/tenants/*`,
        arnFormat: ArnFormat.COLON_RESOURCE_NAME,
      }),
      tokenKeyId: tokenKey.keyArn,
      cloudElementsBaseUrl: settings.baseUrl,
      stage: settings.stage,
      sbtApplicationPlaneSource: sbtSources.applicationPlane,
      elements: settings.elements,
    };
    const handlers = new Map<string, IFunction>();
    const tokenReaders: string[] = [];
    const deadLetterQueues = new Map<string, IQueue>();
    const rows: [string, Trigger][] = Object.entries(triggers);
    for (const [functionName, trigger] of rows) {
      const { http, queue, schedule, stream, uses } = trigger;
      const handler = addFunction(this, functionName, {
        trigger,
        code: code(functionName),
        resources,
        logRemovalPolicy: removalPolicy,
      });
      handlers.set(functionName, handler);
      if (uses.tokenKey?.includes('Decrypt') && handler.role) tokenReaders.push(handler.role.roleArn);
      const isRare = functionName === 'check-instance' || functionName === 'import-instance';
      const limit = isRare ? 'rare' : uses.cloudElements ? 'write' : 'read';
      if (http) api.addFunction(http, handler, { limit });
      if (schedule) addSchedule(handler, schedule);
      if (queue) {
        const { queue: events, deadLetters } = new EventQueue(this, `${functionName}-events`, {
          trigger: queue,
          bus,
          tenantSecretsPrefix: secretsPrefix,
          handler,
          sbtSources,
        });
        deadLetterQueues.set(functionName, deadLetters);
        this.#outputQueue(queueOutput(functionName), events, `Events that ${functionName} has yet to handle`);
        this.#outputQueue(
          deadLetterOutput(functionName),
          deadLetters,
          `Events that ${functionName} could not handle`,
        );
      }
      if (stream) {
        const { deadLetters } = new TableStream(this, `${functionName}-changes`, {
          trigger: stream,
          table,
          handler,
        });
        deadLetterQueues.set(functionName, deadLetters);
        this.#outputQueue(
          deadLetterOutput(functionName),
          deadLetters,
          `Positions in the table's stream of the writes that ${functionName} could not handle`,
        );
      }
    }

    keepToReaders(tokenKey, tokenReaders);

    const dashboardUrl = addObservability(this, settings, {
      handlers,
      deadLetters: deadLetterQueues,
      api,
    });

    this.#output('ApiUrl', api.apiEndpoint);
    this.#output('CloudElementsUrl', settings.baseUrl);
    this.#output('DashboardUrl', dashboardUrl);
    this.#output('EventBusName', bus.eventBusName);
    this.#output('TableName', table.tableName);
    this.#output('PlatformSecretName', `${secretsPrefix}/platform`);
    this.#output('RuntimeSecretName', `${secretsPrefix}/runtime`);
    this.#output('TenantSecretPrefix', `${secretsPrefix}/tenants`);
  }

  #addTable(settings: Settings): dynamodb.Table {
    const table = new dynamodb.Table(this, 'Table', {
      partitionKey: { name: tableShape.partitionKey, type: dynamodb.AttributeType.STRING },
      sortKey: { name: tableShape.sortKey, type: dynamodb.AttributeType.STRING },
      billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      // Both images, because only their difference shows the meaning of a write. The token in them is ciphertext, and
      // the function that reads the stream has no permission for its key.
      stream: dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,
      // Seconds since the epoch; only tombstones have it.
      timeToLiveAttribute: tableShape.timeToLive,
      deletionProtection: !isDisposable(settings),
      // Kept also when the first deployment fails: rolling it back would stop at the deletion protection.
      removalPolicy: isDisposable(settings) ? RemovalPolicy.DESTROY : RemovalPolicy.RETAIN,
    });
    // Sparse: a settled row has neither attribute and costs nothing here.
    table.addGlobalSecondaryIndex({
      indexName: tableShape.index.name,
      partitionKey: { name: tableShape.index.partitionKey, type: dynamodb.AttributeType.STRING },
      sortKey: { name: tableShape.index.sortKey, type: dynamodb.AttributeType.NUMBER },
      projectionType: dynamodb.ProjectionType.KEYS_ONLY,
    });
    // For imports: which row records an instance? Eventually consistent, which suffices: an import reserves its instance.
    table.addGlobalSecondaryIndex({
      indexName: tableShape.instances.name,
      partitionKey: { name: tableShape.instances.partitionKey, type: dynamodb.AttributeType.NUMBER },
      projectionType: dynamodb.ProjectionType.KEYS_ONLY,
    });
    return table;
  }

  /** The credentials by which the service calls Cloud Elements. */
  #addPlatformSecret(name: string, removalPolicy: RemovalPolicy): CfnSecret {
    return this.#addEmptySecret('PlatformSecret', {
      name,
      description:
        'To be filled in with JSON: {"userSecret": "…", "organizationSecret": "…"}. ' +
        'Cloud Elements shows both in the profile menu, at the lower left. ' +
        enteringOf(name),
      removalPolicy,
    });
  }

  /**
   * The credentials by which applications call elements, so that they never need the platform secret. Optional, and read
   * by no function of this service.
   */
  #addRuntimeSecret(name: string, removalPolicy: RemovalPolicy): void {
    this.#addEmptySecret('RuntimeSecret', {
      name,
      description:
        'Optional, for applications: {"userSecret": "…", "organizationSecret": "…"} of a Cloud Elements user whose only ' +
        `privilege is useAccountElementInstances. ${enteringOf(name)}`,
      removalPolicy,
    });
  }

  /**
   * Creates a secret without a value, which `secretsmanager.Secret` cannot do: a deployment cannot overwrite the
   * operator's value when the template has none.
   */
  #addEmptySecret(
    id: string,
    { name, description, removalPolicy }: { name: string; description: string; removalPolicy: RemovalPolicy },
  ): CfnSecret {
    const secret = new CfnSecret(this, id, { name, description });
    secret.applyRemovalPolicy(removalPolicy);
    Validations.of(secret).acknowledge({
      id: 'AwsSolutions::AwsSolutions-SMG4',
      reason:
        'A reset at Cloud Elements ends the old credentials at once, for whatever else uses them, and a reset whose ' +
        'answer is lost locks everybody out: it is the operator who does it. The service fetches the new ones at the ' +
        'first refused call.',
    });
    return secret;
  }

  #outputQueue(id: OutputName, { queueUrl: value }: IQueue, description: string): void {
    new CfnOutput(this, id, { value, description });
  }

  #output(id: keyof typeof outputs, value: string): void {
    new CfnOutput(this, id, { value, description: outputs[id] });
  }
}

const enteringOf = (name: string): string =>
  'Run this, paste the JSON, end with Ctrl-D: ' +
  `aws secretsmanager put-secret-value --secret-id ${name} --secret-string file:///dev/stdin`;

/**
 * Denies decryption to every principal but the roles of the functions that read tokens, even if IAM grants it. Key
 * administration stays with the account: that is the key's default statement.
 *
 * A condition names the roles: KMS turns a role that is a `Principal` into its id once the role is deleted, and
 * `NotPrincipal` has to list each session of a role. `aws:PrincipalArn` of a Lambda function is its role's ARN, not its
 * session's. A request without this condition key, an AWS service's own for example, is denied, too.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn
 */
function keepToReaders(tokenKey: kms.Key, readers: readonly string[]): void {
  tokenKey.addToResourcePolicy(
    new iam.PolicyStatement({
      sid: 'OnlyTokenReadersDecrypt',
      effect: iam.Effect.DENY,
      principals: [new iam.AnyPrincipal()],
      actions: ['kms:Decrypt', 'kms:ReEncrypt*', 'kms:CreateGrant'],
      resources: ['*'],
      conditions: { ArnNotEquals: { 'aws:PrincipalArn': readers } },
    }),
  );
}

/**
 * Outside development, resources that are hard to replace are retained after the stack. Not when the very first
 * deployment fails, though: the next one would find the secret's name taken.
 */
function removalPolicyOf(settings: Settings): RemovalPolicy {
  return isDisposable(settings) ? RemovalPolicy.DESTROY : RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE;
}
