import type { DynamoDBRecord } from 'aws-lambda';
import { devNull } from 'node:os';
import { randomUUID } from 'node:crypto';
import type { Elements } from '../../functions/model/elements.ts';
import { queueMaxReceiveCount } from '../../functions/model/timing.ts';
import { triggers } from '../../functions/triggers.ts';
import type { FunctionName, Trigger } from '../../functions/triggers.ts';
import { bundleFunction } from '../bundle.ts';
import { environmentFor } from '../environment.ts';
import { timeoutMsOf } from '../constructs/function-timeout.ts';
import type { Resources } from '../environment.ts';
import { startAwsEndpoint } from './aws/aws-endpoint.ts';
import { accountId, region } from './aws/aws-protocol.ts';
import { startCloudElements, type OnCloudElementsRequest } from './cloud-elements/simulator.ts';
import { createExecutionEnvironments } from './aws/execution-environments.ts';
import { createDeadLetterCounts } from './aws/dead-letter-counts.ts';
import { startDynamoDb } from './aws/dynamodb.ts';
import { createEventBus, matchesPattern, matchesSecretEvent, secretLabelUpdated } from './aws/event-bus.ts';
import type { EventEnvelope } from './aws/event-bus.ts';
import { localDeadLetterQueue } from '../outputs.ts';
import { type SbtSources, withSbtSource } from '../sbt-sources.ts';
import { createFaults } from './faults.ts';
import { startGateway, type OnApiRequest } from './gateway.ts';
import { createKms } from './aws/kms.ts';
import { isMetricsLine } from './metrics-line.ts';
import { createPermissions } from './aws/permissions.ts';
import type { Touchable } from './aws/permissions.ts';
import { createQueue } from './aws/queue.ts';
import type { Queue } from './aws/queue.ts';
import { createSecretsManager } from './aws/secrets-manager.ts';
import { createTableStream } from './aws/table-stream.ts';
import type { TableStream } from './aws/table-stream.ts';

const tableName = 'element-onboarding';
const ownBusName = 'element-onboarding';
const platformSecretId = 'element-onboarding/platform';
const runtimeSecretId = 'element-onboarding/runtime';
const tenantSecretsPrefix = 'element-onboarding';

/** The secrets of the simulator's only user. */
const simulatorSecrets = { userSecret: 'local-user-secret', organizationSecret: 'local-organization-secret' };

/** Deployed it is `queueVisibilityMs`, 174 s: too long to wait for a second attempt in local use. */
const localVisibilityMs = 2_000;

/** Retries of a stream's batch that failed. Deployed there are more, over some minutes, while later records wait. */
const localRetries = { retries: 10, retryDelayMs: 200 };

const purposes = {
  api: 'the HTTP API',
  aws: 'the AWS endpoint',
  dynamodb: 'DynamoDB',
  cloudElements: 'the Cloud Elements simulator',
  page: 'the page',
};

export type Ports = Partial<Record<keyof typeof purposes, number>>;

export type LocalStackOptions = {
  /** 0, the default, takes any free port. The page has one only where it is started with the stack. */
  ports?: Ports;
  queue?: { visibilityTimeoutMs?: number; maxReceiveCount?: number };
  stream?: { retries?: number; retryDelayMs?: number };
  /** Also runs scheduled functions at their times, not only when `runSchedule` is called. */
  keepSchedules?: boolean;
  functionTimeoutMs?: number;
  /** A platform secret that differs from the simulator's, or `null` for none. */
  platformSecret?: Record<string, string> | null;
  /** Replaces the real functions: writes `index.mjs` into the directory. */
  bundle?: (name: FunctionName, directory: string) => void | Promise<void>;
  /** Of a bus of others, as a deployment takes it by `eventBusArn`. */
  busName?: string | undefined;
  /** As the settings of a deployment. */
  sbtSources?: SbtSources | undefined;
  elements?: Elements | undefined;
  /** Every line that a function logs. */
  onLog?: (functionName: FunctionName, line: string) => void;
  watcher?: Watcher;
};

/** Called with the stack's activity as it happens. Requests and records hold secrets. */
export type Watcher = {
  /** Each write to the table, as its stream has it. */
  onWrite: (record: DynamoDBRecord) => void;
  /** Each event on the service's bus. */
  onEvent: (event: EventEnvelope) => void;
  onApiRequest: OnApiRequest;
  onCloudElementsRequest: OnCloudElementsRequest;
};

export type LocalStack = Awaited<ReturnType<typeof startLocalStack>>;

/** Runs everything that `infra/stack.ts` deploys, from the same table and bundles, on this machine and in memory. */
export async function startLocalStack(options: LocalStackOptions = {}) {
  const {
    ports = {},
    platformSecret = simulatorSecrets,
    bundle = bundleFunction,
    busName = ownBusName,
    sbtSources = {},
    onLog,
    watcher,
  } = options;
  const stops: (() => void | Promise<void>)[] = [];
  async function stop(): Promise<void> {
    for (const end of stops.splice(0).toReversed()) await end();
  }

  try {
    const simulator = await onPort(ports, 'cloudElements', (port) =>
      startCloudElements({
        port,
        ...simulatorSecrets,
        ...(watcher && { onRequest: watcher.onCloudElementsRequest }),
      }),
    );
    stops.push(() => simulator.stop());

    const faults = createFaults();
    const kms = createKms();
    const touchable: Touchable = {
      tableName,
      busName,
      platformSecretId,
      tenantSecretsPrefix,
      tokenKeyId: kms.keyId,
    };
    const permissions = createPermissions({
      usesOf: (accessKeyId) => (isFunctionName(accessKeyId) ? triggers[accessKeyId].uses : undefined),
      resources: touchable,
    });
    const guard: typeof faults.guard = (listener) => faults.guard(permissions.guard(listener));

    const streams = new Map<FunctionName, TableStream>();
    const dynamoDb = await onPort(ports, 'dynamodb', (port) =>
      startDynamoDb({
        tableName,
        port,
        guard,
        onChange: (record) => {
          for (const stream of streams.values()) stream.push(record);
          watcher?.onWrite(record);
        },
      }),
    );
    stops.push(dynamoDb.stop);
    // Only requests to the finished stack count, not those of its set-up.
    faults.requests.length = 0;

    const secrets = createSecretsManager({
      onNewValue: (secret) => {
        const event = secretLabelUpdated(secret);
        for (const [name, { queue }] of rows) {
          if (queue?.secretEvents && matchesSecretEvent(queue.secretEvents, event, tenantSecretsPrefix)) {
            queues.get(name)?.send(JSON.stringify(event));
          }
        }
      },
    });
    const events: EventEnvelope[] = [];
    const bus = createEventBus({
      name: busName,
      onEvent: (event) => {
        events.push(event);
        watcher?.onEvent(event);
        for (const [name, { queue }] of rows) {
          for (const pattern of queue?.events ?? []) {
            if (matchesPattern(withSbtSource(pattern, sbtSources), event))
              queues.get(name)?.send(JSON.stringify(event));
          }
        }
      },
    });
    const aws = await onPort(ports, 'aws', (port) =>
      startAwsEndpoint({
        port,
        guard,
        operations: {
          ...secrets.operations,
          ...kms.operations,
          ...bus.operations,
          ...createDeadLetterCounts(countDeadLetters),
        },
      }),
    );
    stops.push(aws.stop);
    if (platformSecret) secrets.put(platformSecretId, JSON.stringify(platformSecret));
    secrets.put(runtimeSecretId, JSON.stringify(simulatorSecrets));

    const environment = {
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: 'local',
      AWS_SECRET_ACCESS_KEY: 'local',
      // As in Lambda, the SDK finds no settings of a developer.
      AWS_CONFIG_FILE: devNull,
      AWS_SHARED_CREDENTIALS_FILE: devNull,
      AWS_ENDPOINT_URL_DYNAMODB: dynamoDb.url,
      AWS_ENDPOINT_URL_SECRETS_MANAGER: aws.url,
      AWS_ENDPOINT_URL_KMS: aws.url,
      AWS_ENDPOINT_URL_EVENTBRIDGE: aws.url,
    };
    const resources: Resources = {
      ...touchable,
      cloudElementsBaseUrl: simulator.url,
      stage: 'local',
      sbtApplicationPlaneSource: sbtSources.applicationPlane,
      elements: options.elements,
    };

    const logs: string[] = [];
    const metrics: string[] = [];
    function log(name: FunctionName, line: string): void {
      if (isMetricsLine(line)) {
        metrics.push(line);
        return;
      }
      logs.push(line);
      onLog?.(name, line);
    }
    const environments = createExecutionEnvironments<FunctionName>({
      bundle,
      environmentOf: (name) => ({
        ...environment,
        // Identifies the function to `permissions`.
        AWS_ACCESS_KEY_ID: name,
        ...environmentFor(triggers[name].uses, resources),
      }),
      timeoutMsOf: (name) => options.functionTimeoutMs ?? timeoutMsOf(triggers[name]),
      onLog: log,
    });
    stops.push(environments.stop);

    function countDeadLetters(queueName: string): number | undefined {
      const [name] = rows.find(([each]) => localDeadLetterQueue(each) === queueName) ?? [];
      if (name === undefined) return undefined;
      return queues.get(name)?.deadLetters.length ?? streams.get(name)?.givenUp.length;
    }

    const runSchedule = (name: FunctionName) => environments.invoke(name, scheduledEvent(name));

    const queues = new Map<FunctionName, Queue>();
    const routes = new Map<FunctionName, string>();
    for (const [name, { http, queue, schedule, stream }] of rows) {
      if (http) routes.set(name, http);
      if (schedule && options.keepSchedules) {
        const run = () => {
          // The failure has been logged; the next run comes anyway.
          runSchedule(name).catch(() => {});
        };
        const timer = setInterval(run, schedule.everyMinutes * 60_000);
        stops.push(() => clearInterval(timer));
      }
      if (stream) {
        streams.set(
          name,
          createTableStream({
            after: stream.after,
            batchSize: stream.batchSize,
            ...localRetries,
            ...options.stream,
            deliver: (event) => environments.invoke(name, event),
          }),
        );
      }
      if (queue) {
        queues.set(
          name,
          createQueue({
            name,
            batchSize: queue.batchSize,
            maxConcurrency: queue.maxConcurrency,
            visibilityTimeoutMs: localVisibilityMs,
            maxReceiveCount: queueMaxReceiveCount,
            ...options.queue,
            deliver: (event) => environments.invoke(name, event),
          }),
        );
      }
    }
    stops.push(() => {
      for (const source of [...queues.values(), ...streams.values()]) source.stop();
    });
    /** Resolves when every message and every write has been processed, and so have their consequences. */
    async function idle(): Promise<void> {
      let seen: number;
      do {
        seen = logs.length + events.length;
        await Promise.all([...queues.values()].map((queue) => queue.idle()));
        await Promise.all([...streams.values()].map((stream) => stream.idle()));
      } while (logs.length + events.length !== seen);
    }

    const gateway = await onPort(ports, 'api', (port) =>
      startGateway({
        port,
        routes,
        invoke: environments.invoke,
        onLog: log,
        ...(watcher && { onRequest: watcher.onApiRequest }),
      }),
    );
    stops.push(gateway.stop);

    return {
      apiUrl: gateway.url,
      awsUrl: aws.url,
      dynamodbUrl: dynamoDb.url,
      cloudElementsUrl: simulator.url,
      tableName,
      busName,
      platformSecretName: platformSecretId,
      runtimeSecretName: runtimeSecretId,
      tokenKeyId: kms.keyId,
      /** Environment variables with which an SDK client or the AWS CLI reaches the stack. */
      environment,
      simulator,
      queues,
      streams,
      /** All events on the bus, in order. */
      events,
      /** Resolves when queues and streams are idle. */
      idle,
      /** Requests to AWS services, as `x-amz-target` names them. */
      requests: faults.requests,
      /** Calls of each function so far: `dynamodb:GetItem table`. */
      calls: permissions.calls,
      fail: faults.fail,
      failEach: faults.failEach,
      /** All log lines of functions but those with metrics. */
      logs,
      metrics,
      invoke: environments.invoke,
      kill: environments.kill,
      /** Runs a function as its schedule does; rejects when it fails. */
      runSchedule,

      /** A value that is not a string is stored as JSON. */
      putSecret(name: string, value: string | object): void {
        secrets.put(name, typeof value === 'string' ? value : JSON.stringify(value));
      },
      tenantSecretName: (tenantId: string, elementKey: string) =>
        `${tenantSecretsPrefix}/tenants/${tenantId}/${elementKey}`,

      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function isFunctionName(name: string): name is FunctionName {
  return Object.hasOwn(triggers, name);
}

/** https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-rule-schedule.html */
function scheduledEvent(name: string) {
  return {
    version: '0',
    id: randomUUID(),
    'detail-type': 'Scheduled Event',
    source: 'aws.events',
    account: accountId,
    time: new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
    region,
    resources: [`arn:aws:events:${region}:${accountId}:rule/${name}`],
    detail: {},
  };
}

const rows = Object.keys(triggers)
  .filter(isFunctionName)
  .map((name): [FunctionName, Trigger] => [name, triggers[name]]);

/** @throws Error which names the port and its purpose if another program has it */
export async function onPort<Started>(
  ports: Ports,
  name: keyof typeof purposes,
  start: (port: number) => Promise<Started>,
): Promise<Started> {
  const port = ports[name] ?? 0;
  try {
    return await start(port);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error;
    throw new Error(
      `Port ${port}, meant for ${purposes[name]}, is taken: choose another with ports.${name}, or 0 for any free one.`,
      { cause: error },
    );
  }
}
