import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import {
  CreateEventBusCommand,
  EventBridgeClient,
  PutRuleCommand,
  PutTargetsCommand,
} from '@aws-sdk/client-eventbridge';
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
  type Message,
} from '@aws-sdk/client-sqs';
import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { test } from 'vitest';
import type { EventPattern, QueueTrigger } from '../../../../../functions/triggers.ts';
import { startAwsEndpoint } from '../../../../../infra/local/aws/aws-endpoint.ts';
import { region } from '../../../../../infra/local/aws/aws-protocol.ts';
import { createTable, startDynamoDb } from '../../../../../infra/local/aws/dynamodb.ts';
import {
  createEventBus,
  matchesPattern,
  matchesSecretEvent,
  secretLabelUpdated,
  type EventEnvelope,
} from '../../../../../infra/local/aws/event-bus.ts';
import { createKms } from '../../../../../infra/local/aws/kms.ts';
import { createQueue } from '../../../../../infra/local/aws/queue.ts';
import { createSecretsManager } from '../../../../../infra/local/aws/secrets-manager.ts';
import { endpointUrl } from '../../../../service/deployed/endpoint.ts';

/** The emulator at `AWS_ENDPOINT_URL`; without it, the stubs of the local stack. */
const emulators = ['MiniStack', 'moto'] as const;
type Emulator = (typeof emulators)[number];
export const emulator = emulators.find((name) => name === process.env['CONFORMANCE_OF']);

/**
 * A case that every server of AWS's API has to pass. `source`: where AWS documents it. `not`: emulators that differ from
 * AWS, and how; such a case must fail there, so that a later version which conforms is noticed.
 */
export function conforms(
  title: string,
  { not = {} }: { source: string; not?: Partial<Record<Emulator, string>> },
  run: () => Promise<void>,
): void {
  const difference = emulator && not[emulator];
  const register = difference === undefined ? test : test.fails;
  register(difference === undefined ? title : `${title} (${emulator} differs: ${difference})`, run);
}

/** A message as Lambda hands it to a function. */
export type Received = {
  messageId: string;
  body: string;
  md5OfBody: string;
  attributes: {
    ApproximateReceiveCount: string;
    SentTimestamp: string;
    ApproximateFirstReceiveTimestamp: string;
  };
};

/** A queue with a dead-letter queue; a message is hidden for a second, and dead after its second failure. */
export type TestQueue = {
  send: (body: string) => Promise<void>;
  /** Hands batches of messages to the handler, which returns the ids of those that failed, until it is over. */
  consume: (options: { handle: (batch: Received[]) => string[]; isOver: () => boolean }) => Promise<void>;
  deadLetters: () => Promise<{ body: string; sentAtMs: number }[]>;
};

/** `pattern` on the service's bus, or the pattern of a tenant's changed secret on the default bus. */
export type Rule = { pattern: EventPattern } | { secretEvents: NonNullable<QueueTrigger['secretEvents']> };

export type Target = {
  dynamoDb: DynamoDBClient;
  secretsManager: SecretsManagerClient;
  kms: KMSClient;
  eventBridge: EventBridgeClient;
  tableName: string;
  keyId: string;
  busName: string;
  tenantSecretsPrefix: string;
  openQueue: (rule?: Rule) => Promise<TestQueue>;
  stop: () => Promise<void>;
};

const maxReceiveCount = 2;
/** SQS counts whole seconds, for which no test of the stubs has to wait. */
const visibilityTimeoutMs = emulator === undefined ? 100 : 1_000;
/** Of every client. */
export const clientSettings = {
  region,
  credentials: { accessKeyId: 'tests', secretAccessKey: 'tests' },
  maxAttempts: 1,
};

export async function startTarget(): Promise<Target> {
  return emulator === undefined ? startStubs() : prepare(endpointUrl().href);
}

/** Of its own for each test file: an emulator keeps what others have made. */
const newName = () => `conformance-${randomUUID()}`;

async function startStubs(): Promise<Target> {
  const [tableName, busName, tenantSecretsPrefix] = [newName(), newName(), newName()];
  const rules: { rule: Rule; send: (body: string) => void }[] = [];
  const publish = (event: EventEnvelope, matches: (rule: Rule) => boolean) => {
    for (const { rule, send } of rules) if (matches(rule)) send(JSON.stringify(event));
  };
  const secrets = createSecretsManager({
    onNewValue: (secret) => {
      const event = secretLabelUpdated(secret);
      publish(
        event,
        (rule) => 'secretEvents' in rule && matchesSecretEvent(rule.secretEvents, event, tenantSecretsPrefix),
      );
    },
  });
  const kms = createKms();
  const bus = createEventBus({
    name: busName,
    onEvent: (event) => publish(event, (rule) => 'pattern' in rule && matchesPattern(rule.pattern, event)),
  });
  const dynamoDb = await startDynamoDb({ tableName });
  const aws = await startAwsEndpoint({
    operations: { ...secrets.operations, ...kms.operations, ...bus.operations },
  });
  const clients = {
    dynamoDb: new DynamoDBClient({ ...clientSettings, endpoint: dynamoDb.url }),
    ...clientsFor(aws.url),
  };
  return {
    ...clients,
    tableName,
    keyId: kms.keyId,
    busName,
    tenantSecretsPrefix,
    async openQueue(rule) {
      let handle: ((batch: Received[]) => string[]) | undefined;
      const queue = createQueue({
        name: 'conformance',
        batchSize: 10,
        maxConcurrency: 1,
        visibilityTimeoutMs,
        maxReceiveCount,
        deliver: async ({ Records }) => ({
          batchItemFailures: handle?.(Records).map((itemIdentifier) => ({ itemIdentifier })),
        }),
      });
      const waiting: string[] = [];
      let send = (body: string): unknown => waiting.push(body);
      if (rule) rules.push({ rule, send: (body) => send(body) });
      return {
        send: async (body) => void send(body),
        async consume(options) {
          ({ handle } = options);
          send = (body) => queue.send(body);
          for (const body of waiting.splice(0)) send(body);
          while (!options.isOver()) await setTimeout(10);
        },
        async deadLetters() {
          await queue.idle();
          return queue.deadLetters.map(({ body, sentAtMs }) => ({ body, sentAtMs }));
        },
      };
    },
    async stop() {
      for (const client of Object.values(clients)) client.destroy();
      await Promise.all([dynamoDb.stop(), aws.stop()]);
    },
  };
}

const clientsFor = (endpoint: string) => ({
  secretsManager: new SecretsManagerClient({ ...clientSettings, endpoint }),
  kms: new KMSClient({ ...clientSettings, endpoint }),
  eventBridge: new EventBridgeClient({ ...clientSettings, endpoint }),
});

/** Creates at an emulator what the stubs have from the start. */
async function prepare(endpoint: string): Promise<Target> {
  const [tableName, busName, tenantSecretsPrefix] = [newName(), newName(), newName()];
  const dynamoDb = new DynamoDBClient({ ...clientSettings, endpoint });
  const sqs = new SQSClient({ ...clientSettings, endpoint });
  const { secretsManager, kms, eventBridge } = clientsFor(endpoint);
  await createTable(endpoint, tableName);
  await eventBridge.send(new CreateEventBusCommand({ Name: busName }));
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));

  async function createSqsQueue(attributes: Record<string, string> = {}) {
    const QueueName = randomUUID();
    const { QueueUrl = '' } = await sqs.send(new CreateQueueCommand({ QueueName, Attributes: attributes }));
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['QueueArn'] }),
    );
    return { url: QueueUrl, arn: Attributes?.['QueueArn'] ?? '' };
  }

  async function receive(QueueUrl: string): Promise<Message[]> {
    const { Messages = [] } = await sqs.send(
      new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: 10,
        WaitTimeSeconds: 1,
        MessageSystemAttributeNames: ['All'],
      }),
    );
    return Messages;
  }

  async function route(rule: Rule, queueArn: string): Promise<void> {
    const Name = randomUUID();
    const EventBusName = 'pattern' in rule ? busName : 'default';
    await eventBridge.send(
      new PutRuleCommand({
        Name,
        EventBusName,
        EventPattern: JSON.stringify(patternOf(rule, tenantSecretsPrefix)),
      }),
    );
    await eventBridge.send(
      new PutTargetsCommand({ Rule: Name, EventBusName, Targets: [{ Id: 'queue', Arn: queueArn }] }),
    );
  }

  return {
    dynamoDb,
    secretsManager,
    kms,
    eventBridge,
    tableName,
    keyId: KeyMetadata?.KeyId ?? '',
    busName,
    tenantSecretsPrefix,
    async openQueue(rule) {
      const dead = await createSqsQueue();
      const queue = await createSqsQueue({
        VisibilityTimeout: String(visibilityTimeoutMs / 1_000),
        RedrivePolicy: JSON.stringify({ deadLetterTargetArn: dead.arn, maxReceiveCount }),
      });
      if (rule) await route(rule, queue.arn);
      return {
        send: async (MessageBody) => {
          await sqs.send(new SendMessageCommand({ QueueUrl: queue.url, MessageBody }));
        },
        async consume({ handle, isOver }) {
          while (!isOver()) {
            const messages = await receive(queue.url);
            const failed = messages.length === 0 ? [] : handle(messages.map(receivedOf));
            for (const { MessageId = '', ReceiptHandle } of messages) {
              if (failed.includes(MessageId)) continue;
              await sqs.send(new DeleteMessageCommand({ QueueUrl: queue.url, ReceiptHandle }));
            }
          }
        },
        async deadLetters() {
          // A message is moved when it would be received once more.
          await setTimeout(visibilityTimeoutMs + 100);
          await receive(queue.url);
          return (await receive(dead.url)).map((message) => {
            const { body, attributes } = receivedOf(message);
            return { body, sentAtMs: Number(attributes.SentTimestamp) };
          });
        },
      };
    },
    async stop() {
      for (const client of [dynamoDb, sqs, secretsManager, kms, eventBridge]) client.destroy();
    },
  };
}

/** As `infra/constructs/event-queue.ts` writes it into the template. */
const patternOf = (rule: Rule, tenantSecretsPrefix: string): object => {
  if ('pattern' in rule) return rule.pattern;
  const { labelUpdated, ...pattern } = rule.secretEvents;
  return { ...pattern, detail: { name: [{ prefix: `${tenantSecretsPrefix}/tenants/` }], labelUpdated } };
};

function receivedOf({ MessageId = '', Body = '', MD5OfBody = '', Attributes = {} }: Message): Received {
  return {
    messageId: MessageId,
    body: Body,
    md5OfBody: MD5OfBody,
    attributes: {
      ApproximateReceiveCount: Attributes.ApproximateReceiveCount ?? '',
      SentTimestamp: Attributes.SentTimestamp ?? '',
      ApproximateFirstReceiveTimestamp: Attributes.ApproximateFirstReceiveTimestamp ?? '',
    },
  };
}
