import { DynamoDBClient, ScanCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import { Client } from 'undici';
import { expect } from 'vitest';
import * as z from 'zod/mini';
import { startLocalStack, type LocalStackOptions } from '../infra/local/stack.ts';

export type Answer = {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  /** Undefined when it is not JSON. */
  json: unknown;
};

export type Event = { Source: string; DetailType: string; Detail: string };

export const eventOf = (Source: string, DetailType: string, detail: object): Event => ({
  Source,
  DetailType,
  Detail: JSON.stringify(detail),
});

export const tenantOnboarded = (tenantId: string, more: object = {}): Event =>
  eventOf('crm.example', 'TenantOnboarded', { tenantId, ...more });

export type Service = Awaited<ReturnType<typeof startService>>;

/** The whole service on free ports, and what a test asks it from outside: as a caller, as a sender, as an operator. */
export async function startService(options: LocalStackOptions = {}) {
  const stack = await startLocalStack(options);
  const { queues, simulator, tableName } = stack;
  const queue = queues.get('onboard-tenants');
  if (!queue) throw new Error('No queue feeds onboard-tenants.');

  const credentials = { accessKeyId: 'tests', secretAccessKey: 'tests' };
  const region = stack.environment.AWS_REGION;
  const dynamoDb = new DynamoDBClient({ endpoint: stack.dynamodbUrl, region, credentials });
  const eventBridge = new EventBridgeClient({ endpoint: stack.awsUrl, region, credentials });

  async function items() {
    const { Items = [], LastEvaluatedKey } = await dynamoDb.send(new ScanCommand({ TableName: tableName }));
    if (LastEvaluatedKey) throw new Error('The table is larger than one page.');
    return Items;
  }

  async function rowOf(tenantId: string, elementKey = 'taxify') {
    return (await items())
      .map((item) => unmarshall(item))
      .find((row) => row['tenantId'] === tenantId && row['elementKey'] === elementKey);
  }

  const caller = callerOf(stack.apiUrl);
  const instancesOf = (tenantId: string) =>
    simulator.instances.filter(({ tags }) => tags.includes(`tenant:${tenantId}`));

  /** The lines logged so far that are about the tenant, parsed. */
  function logsOf(tenantId: string) {
    return stack.logs
      .filter((line) => line.startsWith('{'))
      .map((line) => logLineSchema.parse(JSON.parse(line)))
      .filter((line) => line['tenantId'] === tenantId);
  }

  /** Of messages about the tenant: the line that each of them left. */
  const deliveriesOf = (tenantId: string) => logsOf(tenantId).filter(({ message }) => message === 'message');

  return {
    stack,
    simulator,
    queue,
    dynamoDb,
    ...caller,
    instancesOf,

    /** What the tenant has in the end: one live instance, shown as active, whose token is the one handed out. */
    async expectOneActiveInstance(tenantId: string): Promise<void> {
      const [instance, ...others] = instancesOf(tenantId);
      expect(others).toEqual([]);
      const path = `/tenants/${tenantId}/instances/taxify`;
      expect((await caller.get(path)).json).toMatchObject({ id: instance?.id, status: 'active' });
      expect((await caller.get(`${path}/token`)).json).toMatchObject({ token: instance?.token });
    },

    /** Everything in the table, as DynamoDB has it. */
    items,
    /** The row with its attributes unwrapped. */
    rowOf,

    /** What otherwise takes half a minute: the claim of an invocation that was killed runs out. */
    async endLease(tenantId: string): Promise<void> {
      await dynamoDb.send(
        new UpdateItemCommand({
          TableName: tableName,
          Key: { tenantId: { S: tenantId }, elementKey: { S: 'taxify' } },
          UpdateExpression: 'SET leaseExpiresAt = :past',
          ConditionExpression: 'leaseExpiresAt > :past',
          ExpressionAttributeValues: { ':past': { N: '1' } },
        }),
      );
    },

    /** Creates that Cloud Elements was asked for. */
    postsFor: (tenantId: string) =>
      simulator.requests.filter(
        ({ operation, body }) =>
          operation === 'POST /instances' && JSON.stringify(body).includes(`"tenant:${tenantId}"`),
      ).length,

    putTenantSecret: (tenantId: string, value: string | object, elementKey = 'taxify') =>
      stack.putSecret(stack.tenantSecretName(tenantId, elementKey), value),

    async putEvents(...events: Event[]): Promise<void> {
      const Entries = events.map((event) => ({ ...event, EventBusName: stack.busName }));
      const { FailedEntryCount } = await eventBridge.send(new PutEventsCommand({ Entries }));
      if (FailedEntryCount !== 0) throw new Error(`${FailedEntryCount} of the events were not accepted.`);
    },

    logsOf,
    deliveriesOf,
    /** What became of each of the deliveries, in order. */
    outcomesOf: (tenantId: string) => deliveriesOf(tenantId).map(({ outcome }) => outcome),

    async [Symbol.asyncDispose]() {
      dynamoDb.destroy();
      eventBridge.destroy();
      await stack.stop();
    },
  };
}

const logLineSchema = z.looseObject({
  level: z.string(),
  message: z.string(),
  outcome: z.optional(z.string()),
});

/** @param baseUrl of a running API, here or deployed */
function callerOf(baseUrl: string) {
  /** Sends the path as it is written, dots and all, unlike `fetch`. */
  async function request({
    method,
    path,
    body,
    headers = {},
  }: {
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
    path: string;
    body?: string | Buffer;
    headers?: Record<string, string>;
  }): Promise<Answer> {
    const client = new Client(baseUrl);
    try {
      const response = await client.request({ method, path, headers, ...(body !== undefined && { body }) });
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
    /** An object goes as its JSON, anything else as it is. */
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
