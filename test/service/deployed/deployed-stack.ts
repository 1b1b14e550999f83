import { Sha256 } from '@aws-crypto/sha256-js';
import {
  CloudFormationClient,
  paginateListStackResources,
  type StackResourceSummary,
} from '@aws-sdk/client-cloudformation';
import { CloudWatchLogsClient, paginateFilterLogEvents } from '@aws-sdk/client-cloudwatch-logs';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import {
  CreateEventBusCommand,
  DeleteEventBusCommand,
  DescribeEventBusCommand,
  EventBridgeClient,
  PutRuleCommand,
  PutTargetsCommand,
  RemoveTargetsCommand,
  DeleteRuleCommand,
} from '@aws-sdk/client-eventbridge';
import { KMSClient } from '@aws-sdk/client-kms';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import {
  CreateSecretCommand,
  DeleteSecretCommand,
  PutSecretValueCommand,
  ResourceNotFoundException,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  PurgeQueueCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { SignatureV4 } from '@smithy/signature-v4';
import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { expect } from 'vitest';
import * as z from 'zod/mini';
import type { FunctionName } from '../../../functions/triggers.ts';
import { startCloudElements } from '../../../infra/local/cloud-elements/simulator.ts';
import type { EventEnvelope } from '../../../infra/local/aws/event-bus.ts';
import type { LocalStackOptions } from '../../../infra/local/stack.ts';
import type { Stack } from '../../support/running-service.ts';
import { deploy, type Deployed } from './cdk.ts';
import { credentials, endpointUrl, region } from './endpoint.ts';

const platformSecret = { userSecret: 'local-user-secret', organizationSecret: 'local-organization-secret' };

/** A stack is at rest after this time without changes: a stream or a bus may delay events for a moment. */
const restMs = 600;

const envelopeSchema = z.custom<EventEnvelope>((value) => typeof value === 'object' && value !== null);

export type DeployedStack = Stack & {
  stackName: string;
  outputs: Record<string, string>;
  listResources: () => Promise<StackResourceSummary[]>;
  /** Deploys this version over the existing stack. */
  redeploy: () => Promise<Deployed>;
  /** True when the event queues have no messages, waiting or in flight. */
  areQueuesEmpty: () => Promise<boolean>;
};

/** Deploys the service for tests, with a simulated Cloud Elements in this process that its functions can reach. */
export async function startDeployedStack(
  {
    queue: { visibilityTimeoutMs = 1_000, maxReceiveCount = 10 } = {},
    platformSecret: secretAtStart = platformSecret,
    busName: busOfOthers,
    ...others
  }: LocalStackOptions,
  /** Where to deploy from. */
  { directory }: { directory?: string } = {},
): Promise<DeployedStack> {
  const unknown = Object.keys(others);
  if (unknown.length > 0) throw new Error(`A deployed stack cannot have the options ${unknown.join(', ')}.`);

  const endpoint = endpointUrl().origin;
  const config = { endpoint, region, credentials };
  const cloudFormation = new CloudFormationClient(config);
  const dynamoDb = new DynamoDBClient(config);
  const eventBridge = new EventBridgeClient(config);
  const kms = new KMSClient(config);
  const lambda = new LambdaClient(config);
  const logsClient = new CloudWatchLogsClient(config);
  const secretsManager = new SecretsManagerClient(config);
  const sqs = new SQSClient(config);
  const clients = [cloudFormation, dynamoDb, eventBridge, kms, lambda, logsClient, secretsManager, sqs];

  const simulator = await startCloudElements(platformSecret);
  const stage = `dev-${randomUUID().slice(0, 8)}`;
  const eventBusArn = busOfOthers === undefined ? undefined : await createBus(busOfOthers);
  const settings = { stage, baseUrl: simulator.url, ...(eventBusArn !== undefined && { eventBusArn }) };
  let deployed = await deploy(settings, { directory });
  const { stackName, outputs } = deployed;
  const output = (name: string): string => {
    const value = outputs[name];
    if (value === undefined) throw new Error(`The stack has no output ${name}.`);
    return value;
  };

  async function listResources(): Promise<StackResourceSummary[]> {
    const all = [];
    const pages = paginateListStackResources({ client: cloudFormation }, { StackName: stackName });
    for await (const { StackResourceSummaries: page = [] } of pages) all.push(...page);
    return all;
  }
  const resources = await listResources();
  const idsOf = (type: string, word = '') =>
    resources.flatMap(({ ResourceType, LogicalResourceId = '', PhysicalResourceId }) =>
      ResourceType === type && LogicalResourceId.includes(word) && PhysicalResourceId !== undefined
        ? [PhysicalResourceId]
        : [],
    );
  const idOf = (type: string, word: string): string => {
    const [id, ...more] = idsOf(type, word);
    if (id === undefined || more.length > 0) throw new Error(`The stack has not one ${type} ${word}.`);
    return id;
  };
  const queueUrl = idOf('AWS::SQS::Queue', 'onboardtenantseventsQueue');
  const deadLetterUrl = output('OnboardTenantsDeadLetterQueueUrl');
  const queueUrls = idsOf('AWS::SQS::Queue', 'eventsQueue');

  async function attributesOf(QueueUrl: string): Promise<Partial<Record<string, string>>> {
    const { Attributes = {} } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }),
    );
    return Attributes;
  }
  // Deployed, a failed message becomes visible again after 174 s.
  for (const QueueUrl of queueUrls) {
    const { RedrivePolicy = '{}' } = await attributesOf(QueueUrl);
    await sqs.send(
      new SetQueueAttributesCommand({
        QueueUrl,
        Attributes: {
          VisibilityTimeout: String(Math.ceil(visibilityTimeoutMs / 1_000)),
          RedrivePolicy: JSON.stringify({ ...JSON.parse(RedrivePolicy), maxReceiveCount }),
        },
      }),
    );
  }

  const secrets = new Set<string>();
  async function putSecret(name: string, value: string | object): Promise<void> {
    const SecretString = typeof value === 'string' ? value : JSON.stringify(value);
    try {
      await secretsManager.send(new PutSecretValueCommand({ SecretId: name, SecretString }));
    } catch (error) {
      if (!(error instanceof ResourceNotFoundException)) throw error;
      await secretsManager.send(new CreateSecretCommand({ Name: name, SecretString }));
      secrets.add(name);
    }
  }
  const platformSecretName = output('PlatformSecretName');
  if (secretAtStart) await putSecret(platformSecretName, secretAtStart);

  async function createBus(Name: string): Promise<string> {
    const { EventBusArn } = await eventBridge.send(new CreateEventBusCommand({ Name }));
    if (EventBusArn === undefined) throw new Error('The bus has no ARN.');
    return EventBusArn;
  }

  const busName = output('EventBusName');
  const witness = await watchBus();
  const events: EventEnvelope[] = [];

  /** A queue of the tests that gets every event on the bus. */
  async function watchBus() {
    const Name = `${stackName}-witness`;
    const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: Name }));
    if (QueueUrl === undefined) throw new Error('The queue has no URL.');
    const { QueueArn: Arn } = await attributesOf(QueueUrl);
    await eventBridge.send(
      new PutRuleCommand({ Name, EventBusName: busName, EventPattern: '{"source":[{"prefix":""}]}' }),
    );
    const Targets = [{ Id: 'witness', Arn }];
    await eventBridge.send(new PutTargetsCommand({ Rule: Name, EventBusName: busName, Targets }));
    return {
      QueueUrl,
      async remove(): Promise<void> {
        await eventBridge.send(
          new RemoveTargetsCommand({ Rule: Name, EventBusName: busName, Ids: ['witness'] }),
        );
        await eventBridge.send(new DeleteRuleCommand({ Name, EventBusName: busName }));
        await sqs.send(new DeleteQueueCommand({ QueueUrl }));
      },
    };
  }

  async function receiveAll(QueueUrl: string) {
    const all = [];
    for (;;) {
      const { Messages = [] } = await sqs.send(
        new ReceiveMessageCommand({
          QueueUrl,
          MaxNumberOfMessages: 10,
          MessageSystemAttributeNames: ['All'],
        }),
      );
      if (Messages.length === 0) return all;
      for (const { Body: body = '', ReceiptHandle, Attributes } of Messages) {
        // The count includes this receive.
        all.push({ body, receiveCount: Number(Attributes?.ApproximateReceiveCount) - 1 });
        await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
      }
    }
  }

  async function eventsSoFar(): Promise<EventEnvelope[]> {
    const received = await receiveAll(witness.QueueUrl);
    events.push(...received.map(({ body }) => envelopeSchema.parse(JSON.parse(body))));
    return events;
  }

  async function logs(): Promise<string[]> {
    // An upgrade may have replaced them.
    const groups = (await listResources()).filter(
      ({ ResourceType }) => ResourceType === 'AWS::Logs::LogGroup',
    );
    const perGroup = await Promise.all(
      groups.map(async ({ PhysicalResourceId: logGroupName }) => {
        const lines = [];
        for (let startTime = 0; ;) {
          const found = [];
          for await (const { events: page = [] } of paginateFilterLogEvents(
            { client: logsClient },
            { logGroupName, startTime },
          )) {
            found.push(...page);
          }
          const last = found.at(-1)?.timestamp ?? 0;
          // MiniStack returns at most this many, without a token for the rest.
          if (found.length < 10_000 || last === startTime) {
            lines.push(...found);
            break;
          }
          lines.push(...found.filter(({ timestamp = 0 }) => timestamp < last));
          startTime = last;
        }
        return lines;
      }),
    );
    return perGroup
      .flat()
      .toSorted((a, b) => (a.timestamp ?? 0) - (b.timestamp ?? 0))
      .flatMap(({ message }) => (message === undefined ? [] : [message.trim()]));
  }

  async function isQueueEmpty(url: string): Promise<boolean> {
    const {
      ApproximateNumberOfMessages: visible,
      ApproximateNumberOfMessagesNotVisible: inFlight,
      ApproximateNumberOfMessagesDelayed: delayed,
    } = await attributesOf(url);
    return [visible, inFlight, delayed].every((count) => count === '0');
  }

  async function areQueuesEmpty(): Promise<boolean> {
    return (await Promise.all(queueUrls.map(isQueueEmpty))).every(Boolean);
  }

  async function countTraces(): Promise<number> {
    return (await logs()).length + (await eventsSoFar()).length;
  }

  async function idle(): Promise<void> {
    let before = await countTraces();
    let restsSince = Date.now();
    while (Date.now() - restsSince < restMs) {
      await setTimeout(100);
      const areEmpty = await areQueuesEmpty();
      const traces = await countTraces();
      if (!areEmpty || traces !== before) restsSince = Date.now();
      before = traces;
    }
    // An emulator may keep the last lines of a function until that runs again.
    await Promise.all([
      invoke('onboard-tenants', { Records: [] }),
      invoke('offboard-tenants', { Records: [] }),
    ]);
  }

  async function invoke(functionName: FunctionName, event: unknown): Promise<unknown> {
    const { Payload, FunctionError } = await lambda.send(
      new InvokeCommand({
        FunctionName: idOf('AWS::Lambda::Function', functionName.replaceAll('-', '')),
        Payload: JSON.stringify(event),
      }),
    );
    const text = Buffer.from(Payload ?? []).toString();
    if (FunctionError !== undefined) throw new Error(`${functionName} failed: ${text}`);
    return JSON.parse(text);
  }

  const deadLetters: { body: string; receiveCount: number }[] = [];
  const api = new URL(output('ApiUrl'));
  const signer = new SignatureV4({ service: 'execute-api', region, credentials, sha256: Sha256 });

  return {
    stackName,
    outputs,
    listResources,
    async redeploy() {
      deployed = await deploy(settings);
      return deployed;
    },
    areQueuesEmpty,
    simulator,
    platformSecret,
    stage,
    tableName: output('TableName'),
    busName,
    tokenKeyId: idOf('AWS::KMS::Key', 'TokenKey'),
    platformSecretName,
    tenantSecretName: (tenantId, elementKey) => `${output('TenantSecretPrefix')}/${tenantId}/${elementKey}`,
    putSecret,
    dynamoDb,
    eventBridge,
    kms,
    // The name of an API need not resolve where an emulator answers for it.
    apiUrl: endpoint,
    async authorise({ method, path, body }) {
      const { headers } = await signer.sign({
        method,
        protocol: 'http:',
        hostname: api.hostname,
        path,
        headers: { host: api.host },
        body,
      });
      return headers;
    },
    callerArn: expect.stringMatching(/^arn:aws:/),

    invoke,
    logs,
    events: eventsSoFar,
    idle,
    async deadLetters() {
      deadLetters.push(...(await receiveAll(deadLetterUrl)));
      return deadLetters;
    },
    async clearDeadLetters() {
      deadLetters.length = 0;
      await sqs.send(new PurgeQueueCommand({ QueueUrl: deadLetterUrl }));
    },
    async sendToQueue(body) {
      await sqs.send(new SendMessageCommand({ QueueUrl: queueUrl, MessageBody: body }));
    },
    local: undefined,

    async stop() {
      await witness.remove();
      for (const SecretId of secrets) {
        await secretsManager.send(new DeleteSecretCommand({ SecretId, ForceDeleteWithoutRecovery: true }));
      }
      await deployed.destroy();
      // Fails when the stack has taken it along.
      if (busOfOthers !== undefined) {
        await eventBridge.send(new DescribeEventBusCommand({ Name: busOfOthers }));
        await eventBridge.send(new DeleteEventBusCommand({ Name: busOfOthers }));
      }
      await simulator.stop();
      for (const client of clients) client.destroy();
    },
  };
}
