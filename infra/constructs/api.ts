import { Aws, Fn, Lazy } from 'aws-cdk-lib';
import * as apigateway from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpIamAuthorizer } from 'aws-cdk-lib/aws-apigatewayv2-authorizers';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { gatewayTimeoutMs } from '../../functions/model/timing.ts';
import { metricNamespace, metricService, type MetricName } from '../../functions/model/metric-names.ts';

/**
 * Limits of one route: requests per second, and burst; requests beyond them get 429. A read is a DynamoDB call or two,
 * some milliseconds. A request that calls Cloud Elements lasts 29 seconds at worst: if all do, the three routes that
 * change something, the check and the import keep (3 × 10 + 2 × 2) × 29 = 986 busy of the 1,000 concurrent executions
 * that AWS gives an account. The burst equals the most events that the onboarding queue has in flight, 10 messages times
 * 5 invocations.
 */
const defaultThrottling = {
  read: { rateLimit: 100, burstLimit: 200 },
  write: { rateLimit: 10, burstLimit: 50 },
  rare: { rateLimit: 2, burstLimit: 10 },
};

type Limit = keyof typeof defaultThrottling;

const requestsThrottled: MetricName = 'RequestsThrottled';

export type ApiOptions = {
  apiName: string;
  stage: string;
  logs: Pick<logs.LogGroupProps, 'retention' | 'removalPolicy'>;
  throttling?: Partial<Record<Limit, apigateway.ThrottleSettings>> | undefined;
};

/** An HTTP API whose every route requires a signature by an IAM principal that may invoke it. */
export class Api extends apigateway.HttpApi {
  readonly #stage: apigateway.CfnStage;
  readonly #routeSettings: Record<string, object> = {};
  readonly #throttling: NonNullable<ApiOptions['throttling']>;

  constructor(scope: Construct, id: string, { apiName, stage, logs: ofLog, throttling = {} }: ApiOptions) {
    super(scope, id, {
      apiName,
      description: 'Element instances and element tokens of tenants',
      defaultAuthorizer: new HttpIamAuthorizer(),
    });
    this.#throttling = throttling;
    const accessLog = new logs.LogGroup(this, 'VendedAccessLog', {
      logGroupName: accessLogName(apiName),
      ...ofLog,
    });
    const defaultStage = this.defaultStage?.node.defaultChild;
    if (!(defaultStage instanceof apigateway.CfnStage)) throw new Error('The API has no default stage.');
    this.#stage = defaultStage;
    this.#stage.accessLogSettings = {
      destinationArn: accessLog.logGroupArn,
      format: JSON.stringify(accessLogFormat(stage)),
    };
    this.#stage.routeSettings = Lazy.any({ produce: () => this.#routeSettings });
    accessLog.addMetricFilter('Throttled', {
      filterPattern: logs.FilterPattern.stringValue('$.status', '=', '429'),
      metricNamespace,
      metricName: requestsThrottled,
      metricValue: '1',
      dimensions: { service: '$.service', stage: '$.stage' },
    });
  }

  /**
   * @param http as in the trigger table: `GET /path/{parameter}`
   * @param limit all but reads call Cloud Elements
   */
  addFunction(http: string, handler: IFunction, { limit }: { limit: Limit }): void {
    const method = Object.values(apigateway.HttpMethod).find((candidate) =>
      http.startsWith(`${candidate} /`),
    );
    if (!method) throw new Error(`Not a method and a path: ${http}`);
    const routes = this.addRoutes({
      path: http.slice(method.length + 1),
      methods: [method],
      integration: new HttpLambdaIntegration('Integration', handler, {
        payloadFormatVersion: apigateway.PayloadFormatVersion.VERSION_2_0,
      }),
    });
    for (const construct of routes.flatMap((route) => route.node.findAll())) {
      // Set here because the construct's own `timeout` stops at 29 s, the limit of REST APIs; an HTTP API's is 30 s.
      if (construct instanceof apigateway.CfnIntegration) construct.timeoutInMillis = gatewayTimeoutMs;
      // CloudFormation refuses settings of a route that does not exist yet.
      if (construct instanceof apigateway.CfnRoute) this.#stage.addResourceDependency(construct);
    }
    const defaults = defaultThrottling[limit];
    const { rateLimit = defaults.rateLimit, burstLimit = defaults.burstLimit } =
      this.#throttling[limit] ?? {};
    this.#routeSettings[http] = { ThrottlingRateLimit: rateLimit, ThrottlingBurstLimit: burstLimit };
  }
}

/**
 * The log group of any API outside `/aws/vendedlogs/` adds to one resource policy of the account, limited to 5,120
 * characters, and when that is full deployments fail:
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-logs-and-resource-policy.html
 *
 * Contains a part of the stack's id, because a log group that is retained after its stack would block the name.
 */
function accessLogName(apiName: string): string {
  const stackUuid = Fn.select(2, Fn.split('/', Aws.STACK_ID));
  return `/aws/vendedlogs/${apiName}-${Fn.select(0, Fn.split('-', stackUuid))}`;
}

/**
 * No path, query or header but `User-Agent`: the tenant is in the function's own log, under the same `awsRequestId`.
 * Service and stage are the dimensions of the metric that is made from these lines.
 *
 * Each line has to be JSON, or the metric misses it. API Gateway writes `-` for an absent value, and escapes text from
 * callers. Not `$context.error.messageString`: it has quotes around it when there is an error and none around the `-`,
 * so that either lines with an error or those without one would not be JSON. Messages of HTTP APIs have no quotes.
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html
 */
const accessLogFormat = (stage: string) => ({
  service: metricService,
  stage,
  requestId: '$context.requestId',
  awsRequestId: '$context.integration.requestId',
  time: '$context.requestTime',
  route: '$context.routeKey',
  status: '$context.status',
  latencyMs: '$context.responseLatency',
  caller: '$context.identity.userArn',
  sourceIp: '$context.identity.sourceIp',
  userAgent: '$context.identity.userAgent',
  error: '$context.error.message',
  integrationError: '$context.integrationErrorMessage',
});
