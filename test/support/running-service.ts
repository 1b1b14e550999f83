import { DynamoDBClient, ScanCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { KMSClient } from '@aws-sdk/client-kms';
import { marshall, unmarshall } from '@aws-sdk/util-dynamodb';
import { Client, type Dispatcher } from 'undici';
import { expect } from 'vitest';
import * as z from 'zod/mini';
import { createTokenCipher } from '../../functions/adapters/token-cipher.ts';
import type { InstanceKey } from '../../functions/model/instance.ts';
import type { FunctionName } from '../../functions/triggers.ts';
import type { CloudElements, PlatformSecrets } from '../../infra/local/cloud-elements/simulator.ts';
import type { EventEnvelope } from '../../infra/local/aws/event-bus.ts';
import { isMetricsLine } from '../../infra/local/metrics-line.ts';
import { startLocalStack, type LocalStack, type LocalStackOptions } from '../../infra/local/stack.ts';
import { startDeployedStack } from '../service/deployed/deployed-stack.ts';
import { isDeployed } from '../service/deployed/endpoint.ts';
import { sharedBundle } from './shared-bundle.ts';
import { fromStored, storedName } from '../../functions/model/table.ts';

export type ReceivedResponse = {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  /** Undefined when the body is not JSON. */
  json: unknown;
};

export type Event = { Source: string; DetailType: string; Detail: string; Time?: Date };

export const eventOf = (Source: string, DetailType: string, detail: object): Event => ({
  Source,
  DetailType,
  Detail: JSON.stringify(detail),
});

export const tenantOnboarded = (tenantId: string, more: object = {}): Event =>
  eventOf('crm.example', 'TenantOnboarded', { tenantId, ...more });

/** The service as tests need it, in memory or deployed. */
export type Stack = {
  simulator: CloudElements;
  /** The platform secret that the simulator accepts. */
  platformSecret: PlatformSecrets;
  stage: string;
  tableName: string;
  busName: string;
  tokenKeyId: string;
  platformSecretName: string;
  tenantSecretName: (tenantId: string, elementKey: string) => string;
  /** A value that is not a string is stored as JSON. */
  putSecret: (name: string, value: string | object) => Promise<void>;
  dynamoDb: DynamoDBClient;
  eventBridge: EventBridgeClient;
  kms: KMSClient;
  /** The API's address; `authorise` gives the headers of a permitted request. */
  apiUrl: string;
  authorise: (request: {
    method: string;
    path: string;
    body: string | Buffer | undefined;
  }) => Promise<Record<string, string>>;
  /** The caller's ARN with these headers. */
  callerArn: unknown;
  invoke: (functionName: FunctionName, event: unknown) => Promise<unknown>;
  /** Every line that the functions logged, in order. */
  logs: () => Promise<string[]>;
  /** All events on the bus, in order. */
  events: () => Promise<EventEnvelope[]>;
  /** Resolves when queues and streams are idle. */
  idle: () => Promise<void>;
  /** Dead letters of the onboarding queue, in order. */
  deadLetters: () => Promise<{ body: string; receiveCount: number }[]>;
  clearDeadLetters: () => Promise<void>;
  /** Puts a message into the onboarding queue, without the bus. */
  sendToQueue: (body: string) => Promise<void>;
  /** The stack in memory; undefined when deployed. */
  local: LocalStack | undefined;
  stop: () => Promise<void>;
};

export type Service = ReturnType<typeof serviceOf>;

/** Starts the whole service in memory, or deploys it with `TEST_DEPLOYED`. */
export async function startService(options: LocalStackOptions = {}): Promise<Service> {
  return serviceOf(isDeployed ? await startDeployedStack(options) : await startStackHere(options));
}

/** Actions of a test on the service: as caller, as event sender, as operator. */
export function serviceOf(stack: Stack) {
  const { simulator, tableName, dynamoDb, eventBridge } = stack;

  async function items() {
    const { Items = [], LastEvaluatedKey } = await dynamoDb.send(
      new ScanCommand({ TableName: tableName, ConsistentRead: true }),
    );
    if (LastEvaluatedKey) throw new Error('The table is larger than one page.');
    return Items;
  }

  async function rowOf(tenantId: string, elementKey = 'taxify') {
    return (await items())
      .map((item) => fromStored(unmarshall(item)))
      .find((row) => row['tenantId'] === tenantId && row['elementKey'] === elementKey);
  }

  /**
   * Changes attributes of a row; `undefined` removes one.
   * @param condition over the new values, by their names with a colon
   */
  async function changeRow(
    { tenantId, elementKey = 'taxify' }: { tenantId: string; elementKey?: string },
    attributes: Record<string, unknown>,
    condition = 'attribute_exists(tenantId)',
  ): Promise<void> {
    const [removed, set] = [true, false].map((isRemoved) =>
      Object.keys(attributes).filter((name) => (attributes[name] === undefined) === isRemoved),
    );
    const values = set?.map((name) => [`:${name}`, attributes[name]]) ?? [];
    await dynamoDb.send(
      new UpdateItemCommand({
        TableName: tableName,
        Key: marshall({ tenantId, elementKey }),
        UpdateExpression: [
          ...(set?.length ? [`SET ${set.map((name) => `#${name} = :${name}`).join(', ')}`] : []),
          ...(removed?.length ? [`REMOVE ${removed.map((name) => `#${name}`).join(', ')}`] : []),
        ].join(' '),
        ConditionExpression: condition,
        ExpressionAttributeNames: Object.fromEntries(
          Object.keys(attributes).map((name) => [`#${name}`, storedName(name)]),
        ),
        ...(values.length > 0 && { ExpressionAttributeValues: marshall(Object.fromEntries(values)) }),
      }),
    );
  }

  const caller = callerOf(stack);
  const cipher = createTokenCipher({ client: stack.kms, keyId: stack.tokenKeyId });
  const instancesOf = (tenantId: string) =>
    simulator.instances.filter(({ tags }) => tags.includes(`tenant:${tenantId}`));

  async function putEvents(...events: Event[]): Promise<void> {
    const Entries = events.map((event) => ({ ...event, EventBusName: stack.busName }));
    const { FailedEntryCount } = await eventBridge.send(new PutEventsCommand({ Entries }));
    if (FailedEntryCount !== 0) throw new Error(`${FailedEntryCount} of the events were not accepted.`);
  }

  /** The lines logged so far that are about the tenant, parsed. */
  async function logsOf(tenantId: string) {
    return (await stack.logs())
      .filter((line) => line.startsWith('{') && !isMetricsLine(line))
      .map((line) => logLineSchema.parse(JSON.parse(line)))
      .filter((line) => line['tenantId'] === tenantId);
  }

  /** The log lines of messages about the tenant. */
  const deliveriesOf = async (tenantId: string) =>
    (await logsOf(tenantId)).filter(({ message }) => message === 'message');

  return {
    simulator,
    platformSecret: stack.platformSecret,
    stage: stack.stage,
    tableName,
    busName: stack.busName,
    dynamoDb,
    /** Encrypts a token as the functions store it. */
    encryptToken: (token: string, key: InstanceKey) => cipher.encrypt(token, key),
    ...caller,
    instancesOf,
    platformSecretName: stack.platformSecretName,
    tenantSecretName: stack.tenantSecretName,
    putSecret: stack.putSecret,
    callerArn: stack.callerArn,
    invoke: stack.invoke,
    logs: stack.logs,
    events: stack.events,
    idle: stack.idle,
    deadLetters: stack.deadLetters,
    clearDeadLetters: stack.clearDeadLetters,
    sendToQueue: stack.sendToQueue,

    /** The local stack, for tests that do not run deployed. */
    get stack(): LocalStack {
      if (!stack.local)
        throw new Error('The stack is not in memory: a test that needs it must not run deployed.');
      return stack.local;
    },

    /** Checks that the tenant has one live instance, shown as active, whose token the API returns. */
    async expectOneActiveInstance(tenantId: string): Promise<void> {
      const [instance, ...others] = instancesOf(tenantId);
      expect(others).toEqual([]);
      const path = `/tenants/${tenantId}/instances/taxify`;
      expect((await caller.get(path)).json).toMatchObject({ id: instance?.id, status: 'active' });
      expect((await caller.get(`${path}/token`)).json).toMatchObject({ token: instance?.token });
    },

    /** All items of the table, in DynamoDB's form. */
    items,
    /** The row with its attributes unwrapped. */
    rowOf,

    changeRow,
    /** Ends the lease of a killed invocation, which otherwise takes half a minute. */
    endLease: (tenantId: string) =>
      changeRow({ tenantId }, { leaseExpiresAt: 1 }, 'leaseExpiresAt > :leaseExpiresAt'),

    /** Creates that Cloud Elements received. */
    postsFor: (tenantId: string) =>
      simulator.requests.filter(
        ({ operation, body }) =>
          operation === 'POST /instances' && JSON.stringify(body).includes(`"tenant:${tenantId}"`),
      ).length,

    putTenantSecret: (tenantId: string, value: string | object, elementKey = 'taxify') =>
      stack.putSecret(stack.tenantSecretName(tenantId, elementKey), value),

    putEvents,
    /** Puts events on the bus, and waits until the service is at rest. */
    async deliverEvents(...events: Event[]): Promise<void> {
      await putEvents(...events);
      await stack.idle();
    },

    /** The results on the bus that come of `act`, until the service is at rest. */
    async resultsOf(act: () => Promise<unknown>): Promise<EventEnvelope[]> {
      await stack.idle();
      const already = (await stack.events()).length;
      await act();
      await stack.idle();
      return (await stack.events())
        .slice(already)
        .filter(({ source }) => /^(element-onboarding$|applicationPlane|sbt\.application)/.test(source));
    },

    logsOf,
    deliveriesOf,
    /** Outcomes of the deliveries, in order. */
    outcomesOf: async (tenantId: string) => (await deliveriesOf(tenantId)).map(({ outcome }) => outcome),

    [Symbol.asyncDispose]: stack.stop,
  };
}

async function startStackHere(options: LocalStackOptions): Promise<Stack> {
  const local = await startLocalStack({ bundle: sharedBundle, ...options });
  const queue = local.queues.get('onboard-tenants');
  if (!queue) throw new Error('No queue feeds onboard-tenants.');
  const credentials = { accessKeyId: 'tests', secretAccessKey: 'tests' };
  const region = local.environment.AWS_REGION;
  const dynamoDb = new DynamoDBClient({ endpoint: local.dynamodbUrl, region, credentials });
  // Senders retry until the bus has accepted the event.
  const eventBridge = new EventBridgeClient({ endpoint: local.awsUrl, region, credentials, maxAttempts: 10 });
  const kms = new KMSClient({ endpoint: local.awsUrl, region, credentials });
  return {
    ...local,
    local,
    dynamoDb,
    eventBridge,
    kms,
    stage: 'local',
    platformSecret: {
      userSecret: 'local-user-secret',
      organizationSecret: 'local-organization-secret',
    },
    putSecret: async (name, value) => local.putSecret(name, value),
    // The local gateway checks no signatures.
    authorise: async () => ({}),
    callerArn: 'arn:aws:iam::000000000000:user/local',
    logs: async () => local.logs,
    events: async () => local.events,
    deadLetters: async () => queue.deadLetters,
    clearDeadLetters: async () => {
      queue.deadLetters.length = 0;
    },
    sendToQueue: async (body) => void queue.send(body),
    stop: async () => {
      dynamoDb.destroy();
      eventBridge.destroy();
      kms.destroy();
      await local.stop();
    },
  };
}

const logLineSchema = z.looseObject({
  level: z.string(),
  message: z.string(),
  outcome: z.optional(z.string()),
});

function callerOf({ apiUrl, authorise }: Pick<Stack, 'apiUrl' | 'authorise'>) {
  /** Sends the path as it is written, dots and all, unlike `fetch`. */
  async function request({
    method,
    path,
    body,
    headers = {},
  }: {
    method: Dispatcher.HttpMethod;
    path: string;
    body?: string | Buffer | undefined;
    headers?: Record<string, string | string[]>;
  }): Promise<ReceivedResponse> {
    const client = new Client(apiUrl);
    try {
      const response = await client.request({
        method,
        path,
        headers: { ...headers, ...(await authorise({ method, path, body })) },
        ...(body !== undefined && { body }),
      });
      const text = await response.body.text();
      return { status: response.statusCode, headers: response.headers, text, json: parseJson(text) };
    } finally {
      await client.destroy();
    }
  }

  return {
    request,
    get: (path: string) => request({ method: 'GET', path }),
    delete: (path: string) => request({ method: 'DELETE', path }),
    patch: (path: string, body: object) =>
      request({
        method: 'PATCH',
        path,
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      }),
    /** An object is sent as JSON, a string unchanged. */
    /** Imports the instance with this id at Cloud Elements. */
    importInstance: (tenantId: string, id: unknown) =>
      request({
        method: 'POST',
        path: `/tenants/${tenantId}/instances/taxify/import`,
        body: JSON.stringify({ id }),
        headers: { 'content-type': 'application/json' },
      }),
    post: (tenantId: string, body: object | string, contentType = 'application/json') =>
      request({
        method: 'POST',
        path: `/tenants/${tenantId}/instances`,
        body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
        headers: { 'content-type': contentType },
      }),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
