import {
  Annotations,
  ArnFormat,
  CfnOutput,
  RemovalPolicy,
  Stack,
  Token,
  TokenComparison,
  Validations,
} from 'aws-cdk-lib';
import type { HttpApi, ThrottleSettings } from 'aws-cdk-lib/aws-apigatewayv2';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import { EventBus, type IEventBus } from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import type { Code, IFunction } from 'aws-cdk-lib/aws-lambda';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import { CfnSecret, type ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import * as z from 'zod/mini';
import { elementKeySchema, tenantIdSchema } from '../functions/model/instance.ts';
import { tableShape } from '../functions/model/table.ts';
import { type FunctionName, type Trigger, triggers } from '../functions/triggers.ts';
import { bundledCode } from './bundled-code.ts';
import { Api } from './constructs/api.ts';
import { EventQueue } from './constructs/event-queue.ts';
import { addFunction, type FunctionResources } from './constructs/functions.ts';
import { addSchedule } from './constructs/schedule.ts';
import { TableStream } from './constructs/table-stream.ts';
import { addObservability } from './monitoring/monitoring.ts';
import { deadLetterOutput, type OutputName, outputs, queueOutput, stackNameOf } from './outputs.ts';
import { checkProps, isDisposable } from './settings.ts';

/** Limits of the routes of one kind. A limit that is not given keeps its default. */
export type Throttling = {
  /** Each route that reads. Default: 100 requests per second, bursts of 200. */
  readonly read?: ThrottleSettings;
  /** Each route that changes an instance, and so calls Cloud Elements. Default: 10 per second, bursts of 50. */
  readonly write?: ThrottleSettings;
  /** The routes that check an instance and import one. Default: 2 per second, bursts of 10. */
  readonly rare?: ThrottleSettings;
};

/** The configuration entries of an element, as far as the service has to know them. */
export type ElementEntries = {
  /** Entries without which Cloud Elements refuses a create. */
  readonly required?: readonly string[] | undefined;
  /** Harmless entries that requests and events may set beside the tenant's stored credentials, and the form of each. */
  readonly allowed?: Readonly<Record<string, 'flag' | 'count' | OneOf>> | undefined;
  /** The same for entries that decide where the credentials, or the tenant's data, are sent. */
  readonly addresses?:
    | Readonly<Record<string, 'dns-label' | { readonly origins: readonly string[] } | OneOf>>
    | undefined;
  /** Sent with a create unless the tenant's secret or the request has another value. */
  readonly defaults?: Readonly<Record<string, unknown>> | undefined;
  /** Whether the element answers a ping. Default: a check tries. */
  readonly ping?: boolean | undefined;
};

type OneOf = { readonly oneOf: readonly string[] };

export type ElementOnboardingProps = {
  /**
   * Part of every physical name (`element-onboarding-<stage>`) and, as `owner:<stage>`, of the tags at Cloud Elements:
   * unique in the account and Region, and in the Cloud Elements account. A lower-case letter, then up to 19 lower-case
   * letters, digits or hyphens.
   */
  readonly stage: string;
  /** Origin of Cloud Elements or SAP Open Connectors, such as `https://api.cloud-elements.com`. */
  readonly baseUrl: string;
  /**
   * Bus to listen and publish on, in the same account and Region. Only rules are added to it.
   * @default a new bus, `element-onboarding-<stage>`
   */
  readonly eventBus?: EventBus | IEventBus | undefined;
  /**
   * Notified when an alarm goes off and when it is over; must let `cloudwatch.amazonaws.com` publish.
   * @default none: alarms only show, and a stage other than `dev` and `dev-…` warns of that
   */
  readonly alarmTopic?: ITopic | undefined;
  /**
   * Address of the runbook, to which alarms link: a page with the headings of `infra/monitoring/README.md`.
   * @default `infra/monitoring/README.md`
   */
  readonly runbookUrl?: string | undefined;
  /**
   * Whether table, key, secrets and logs are deleted or kept when they leave the stack. `RETAIN` also protects the table from
   * deletion.
   * @default `DESTROY` for the stages `dev` and `dev-…`, else `RETAIN`
   */
  readonly removalPolicy?: RemovalPolicy.DESTROY | RemovalPolicy.RETAIN | undefined;
  /**
   * How long log groups keep their lines, in days.
   * @default one month
   */
  readonly logRetention?: RetentionDays | undefined;
  /**
   * Memory of every function, in MiB; its share of a processor grows with it.
   * @default 512
   */
  readonly memorySize?: number | undefined;
  /**
   * Requests per second and burst per route; requests beyond them get 429.
   * @default the default of each kind of route
   */
  readonly throttling?: Throttling | undefined;
  /**
   * Event sources of the SaaS Builder Toolkit, if its `EventManager` was given others than its defaults: `controlPlane`,
   * where its requests come from, and `applicationPlane`, where its rules expect results from.
   * @default the toolkit's defaults
   */
  readonly sbtSources?:
    | { readonly controlPlane?: string | undefined; readonly applicationPlane?: string | undefined }
    | undefined;
  /**
   * Elements by their keys, beside those that come with the service; a field given here replaces that of one of these. At
   * most 2,900 bytes of JSON.
   * @default the elements that come with the service
   */
  readonly elements?: Readonly<Record<string, ElementEntries>> | undefined;
  /**
   * Concurrent executions of the function that reads tokens: reserved for it, so other functions cannot use them up, and
   * its limit.
   * @default none reserved
   */
  readonly reservedTokenReads?: number | undefined;
  /**
   * Code of a function. Tests of an app can give any, so that their templates stay the same in the next version.
   * @default the functions of this version
   */
  readonly code?: ((functionName: FunctionName) => Code) | undefined;
};

/** The instances of a grant. A property that is given but `undefined` is refused: it would permit all by accident. */
export type InstanceScope = {
  /**
   * A tenant's id, or a policy variable with the value of the caller's session tag: `${aws:PrincipalTag/tenantId}`.
   * @default every tenant
   */
  readonly tenantId?: string;
  /**
   * An element's key, such as `taxify`.
   * @default every element
   */
  readonly elementKey?: string;
};

/**
 * The whole service, in one account and Region: a loop over the trigger table, and the resources of its functions. The
 * commands find it by the outputs of its stack.
 */
export class ElementOnboarding extends Construct {
  /** Every route requires a signature by an IAM principal that may invoke it; the methods `grant…` permit some. */
  readonly api: HttpApi;
  /** One item per tenant and element. Its tokens are encrypted. */
  readonly table: dynamodb.Table;
  /** The given bus, or else a new one. */
  readonly bus: EventBus | IEventBus;
  /** Each function, by its name in the trigger table: `functions['read-token']`. */
  readonly functions: Readonly<Record<FunctionName, IFunction>>;
  /** Has no value until an operator enters one: the credentials by which applications call elements. */
  readonly runtimeSecret: ISecret;
  /** A tenant's secret is named `<this>/<tenantId>/<elementKey>`. */
  readonly tenantSecretsPrefix: string;
  readonly #stage: string;

  constructor(scope: Construct, id: string, props: ElementOnboardingProps) {
    super(scope, id);
    const {
      stage,
      baseUrl,
      runbookUrl,
      sbtSources = {},
      elements,
      memorySize,
      reservedTokenReads,
    } = checkProps(props);
    const { alarmTopic, logRetention = RetentionDays.ONE_MONTH, code = bundledCode(this) } = props;
    this.#stage = stage;
    const name = stackNameOf(stage);
    const constructs = Stack.of(this).node.findAll();
    if (
      constructs.some((each) => each instanceof ElementOnboarding && each !== this && each.#stage === stage)
    ) {
      throw new Error(
        `Two constructs of stage ${stage} are in one stack, and would have the same names: give each a stage.`,
      );
    }
    if (props.eventBus) checkPlace(this, props.eventBus);
    const isKept = props.removalPolicy
      ? props.removalPolicy === RemovalPolicy.RETAIN
      : !isDisposable({ stage });

    if (!isDisposable({ stage }) && alarmTopic === undefined) {
      Annotations.of(this).addWarningV2(
        'element-onboarding:no-alarm-topic',
        `The alarms of stage ${stage} notify no one, because it has no alarm topic. If the stage was deployed with one, ` +
          'this deployment unplugs all its alarms: set alarmTopic, or add the ARN to the entry of the stage in cdk.json.',
      );
    }

    // Retained resources are not left behind when the very first deployment fails: the next one would find the secrets'
    // names taken.
    const removalPolicy = isKept ? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE : RemovalPolicy.DESTROY;
    const table = this.#addTable(isKept);
    this.table = table;
    const tokenKey = new kms.Key(this, 'TokenKey', {
      alias: name,
      description: `Encrypts element tokens of ${name}`,
      enableKeyRotation: true,
      removalPolicy,
    });
    const secretsPrefix = `element-onboarding/${stage}`;
    this.tenantSecretsPrefix = `${secretsPrefix}/tenants`;
    const platformSecret = this.#addPlatformSecret(`${secretsPrefix}/platform`, removalPolicy);
    const runtimeSecret = this.#addRuntimeSecret(`${secretsPrefix}/runtime`, removalPolicy);
    this.runtimeSecret = Secret.fromSecretCompleteArn(this, 'Runtime', runtimeSecret.ref);
    this.bus = props.eventBus ?? new EventBus(this, 'Bus', { eventBusName: name });
    const api = new Api(this, 'Api', {
      apiName: name,
      stage,
      logs: { retention: logRetention, removalPolicy },
      throttling: props.throttling,
    });
    this.api = api;

    const resources: FunctionResources = {
      tableName: table.tableName,
      tableArn: table.tableArn,
      indexArn: `${table.tableArn}/index/${tableShape.index.name}`,
      instancesIndexArn: `${table.tableArn}/index/${tableShape.instances.name}`,
      busName: this.bus.eventBusName,
      busArn: this.bus.eventBusArn,
      platformSecretId: platformSecret.ref,
      tenantSecretsPrefix: secretsPrefix,
      tenantSecretsArn: this.#tenantSecretsArn(),
      tokenKeyId: tokenKey.keyArn,
      cloudElementsBaseUrl: baseUrl,
      stage,
      sbtApplicationPlaneSource: sbtSources.applicationPlane,
      elements,
    };
    const handlers = new Map<FunctionName, IFunction>();
    const tokenReaders: string[] = [];
    const deadLetterQueues = new Map<FunctionName, IQueue>();
    for (const [functionName, trigger] of rows) {
      const { http, queue, schedule, stream, uses } = trigger;
      const readsTokens = uses.tokenKey?.includes('Decrypt');
      const handler = addFunction(this, functionName, {
        trigger,
        code: code(functionName),
        resources,
        logs: { retention: logRetention, removalPolicy },
        memorySize,
        reservedConcurrentExecutions: readsTokens ? reservedTokenReads : undefined,
      });
      handlers.set(functionName, handler);
      if (readsTokens && handler.role) tokenReaders.push(handler.role.roleArn);
      const isRare = functionName === 'check-instance' || functionName === 'import-instance';
      const limit = isRare ? 'rare' : uses.cloudElements ? 'write' : 'read';
      if (http) api.addFunction(http, handler, { limit });
      if (schedule) addSchedule(handler, schedule);
      if (queue) {
        const { queue: events, deadLetters } = new EventQueue(this, `${functionName}-events`, {
          trigger: queue,
          bus: this.bus,
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
    const functions = Object.fromEntries(handlers);
    if (!hasEveryFunction(functions)) throw new Error('A row of the trigger table has no function.');
    this.functions = functions;

    keepToReaders(tokenKey, tokenReaders);

    const dashboardUrl = addObservability(
      this,
      { prefix: name, stage, alarmTopic, runbookUrl },
      { handlers, deadLetters: deadLetterQueues, api },
    );

    this.#output('ApiUrl', api.apiEndpoint);
    this.#output('CloudElementsUrl', baseUrl);
    this.#output('DashboardUrl', dashboardUrl);
    this.#output('EventBusName', this.bus.eventBusName);
    this.#output('TableName', table.tableName);
    this.#output('PlatformSecretName', `${secretsPrefix}/platform`);
    this.#output('RuntimeSecretName', `${secretsPrefix}/runtime`);
    this.#output('TenantSecretPrefix', this.tenantSecretsPrefix);
  }

  /**
   * Permits reading element tokens over HTTP, and nothing else. The calls that use a token also need the
   * `runtimeSecret`, which has grants of its own.
   *
   * Without a tenant or an element the policy has a wildcard, which cdk-nag reports at the grantee.
   */
  grantReadToken(grantee: iam.IGrantable, instances: InstanceScope = {}): iam.Grant {
    return this.#grantRoute(grantee, triggers['read-token'].http, instances);
  }

  /**
   * Permits onboarding any tenant, over HTTP and by the event `TenantOnboarded`. An event finds the tenant's key in its
   * secret: see `grantWriteTenantSecrets`.
   */
  grantOnboard(grantee: iam.IGrantable): iam.Grant {
    return this.#grantRoute(grantee, triggers['provision-instance'].http).combine(
      this.#grantEvent(grantee, 'TenantOnboarded'),
    );
  }

  /** Permits removing any tenant's instances, over HTTP and by the event `TenantOffboarded`. */
  grantOffboard(grantee: iam.IGrantable): iam.Grant {
    return this.#grantRoute(grantee, triggers['remove-instance'].http).combine(
      this.#grantEvent(grantee, 'TenantOffboarded'),
    );
  }

  /**
   * Permits giving an existing instance at Cloud Elements to a tenant, over HTTP. The grantee can give one tenant's
   * hand-made instance, and its token, to another tenant: not for callers that act for one tenant.
   */
  grantImport(grantee: iam.IGrantable, instances: InstanceScope = {}): iam.Grant {
    return this.#grantRoute(grantee, triggers['import-instance'].http, instances);
  }

  /** Permits writing the secrets of all tenants, and not reading them. */
  grantWriteTenantSecrets(grantee: iam.IGrantable): iam.Grant {
    return permit({
      grantee,
      actions: ['secretsmanager:CreateSecret', 'secretsmanager:PutSecretValue'],
      resourceArns: [this.#tenantSecretsArn()],
    });
  }

  #grantRoute(grantee: iam.IGrantable, http: string, instances: InstanceScope = {}): iam.Grant {
    return permit({
      grantee,
      actions: ['execute-api:Invoke'],
      resourceArns: [
        Stack.of(this).formatArn({
          service: 'execute-api',
          resource: this.api.apiId,
          resourceName: `$default/${methodAndPathOf(http, instances)}`,
        }),
      ],
    });
  }

  /** A bus may be shared: other events are not permitted. */
  #grantEvent(grantee: iam.IGrantable, detailType: 'TenantOnboarded' | 'TenantOffboarded'): iam.Grant {
    return permit({
      grantee,
      actions: ['events:PutEvents'],
      resourceArns: [this.bus.eventBusArn],
      conditions: { StringEquals: { 'events:detail-type': detailType } },
    });
  }

  #tenantSecretsArn(): string {
    return Stack.of(this).formatArn({
      service: 'secretsmanager',
      resource: 'secret',
      resourceName: `${this.tenantSecretsPrefix}/*`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }

  #addTable(isKept: boolean): dynamodb.Table {
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
      deletionProtection: isKept,
      // Kept also when the first deployment fails: rolling it back would stop at the deletion protection.
      removalPolicy: isKept ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
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
  #addRuntimeSecret(name: string, removalPolicy: RemovalPolicy): CfnSecret {
    return this.#addEmptySecret('RuntimeSecret', {
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
        'A reset at Cloud Elements ends the old credentials at once, for all their users, and a reset whose ' +
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

const isFunctionName = (name: string): name is FunctionName => Object.hasOwn(triggers, name);

const rows = Object.keys(triggers)
  .filter(isFunctionName)
  .map((name): [FunctionName, Trigger] => [name, triggers[name]]);

const hasEveryFunction = (
  functions: Readonly<Record<string, IFunction>>,
): functions is Readonly<Record<FunctionName, IFunction>> => rows.every(([name]) => functions[name]);

/**
 * Refuses a bus that is known to be elsewhere. A rule names its bus by name alone, so it would listen to the bus of that
 * name here.
 */
function checkPlace(scope: Construct, { env }: EventBus | IEventBus): void {
  const { account, region } = Stack.of(scope);
  const isElsewhere = [
    Token.compareStrings(env.account, account),
    Token.compareStrings(env.region, region),
  ].includes(TokenComparison.DIFFERENT);
  if (isElsewhere) {
    throw new Error(
      `Expected eventBus to be in the stack's account and Region, ${account} and ${region}, got ${env.account} and ${env.region}.`,
    );
  }
}

/**
 * Method and path of a route, as IAM names them: `GET /tenants/{tenantId}` → `GET/tenants/acme`.
 * @throws Error when a value could mean other instances, too
 */
function methodAndPathOf(http: string, instances: InstanceScope): string {
  const { data, error } = scopeSchema.safeParse(instances);
  if (!data) throw new Error(error.issues.map(({ message }) => message).join(' '));
  const { tenantId = '*', elementKey = '*' } = data;
  return http
    .replace(' ', '')
    .replace('{tenantId}', () => tenantId)
    .replace('{elementKey}', () => elementKey);
}

/**
 * Adds a statement to the grantee's own policy: API and bus have none that could name it.
 * @throws Error when the grantee has none either, as a service or an account
 */
function permit(options: iam.GrantOnPrincipalOptions): iam.Grant {
  const grant = iam.Grant.addToPrincipal(options);
  grant.assertSuccess();
  return grant;
}

const tenantExpected =
  "Expected tenantId to be a tenant's id or ${aws:PrincipalTag/…}; leave it out to permit every tenant.";
const elementExpected = "Expected elementKey to be an element's key; leave it out to permit every element.";

// Strict, and with `exactOptional`: a misspelled or undefined tenant would be a grant for every tenant.
const scopeSchema = z.strictObject(
  {
    tenantId: z.exactOptional(
      z.union(
        [tenantIdSchema, z.string().check(z.regex(/^\$\{aws:PrincipalTag\/[\w.:=+@-]+\}$/))],
        tenantExpected,
      ),
    ),
    elementKey: z.exactOptional(
      z
        .string(elementExpected)
        .check(z.refine((key) => elementKeySchema.safeParse(key).success, elementExpected)),
    ),
  },
  'Expected the instances of a grant to be { tenantId, elementKey }, both optional.',
);

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
