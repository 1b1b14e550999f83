import { BatchWriteItemCommand, DynamoDBClient, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { marshall } from '@aws-sdk/util-dynamodb';
import type { DynamoDBRecord } from 'aws-lambda';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { functionTimeoutMs } from '../../../functions/model/timing.ts';
import { type FunctionName, triggers } from '../../../functions/triggers.ts';
import { environmentFor } from '../../../infra/environment.ts';
import { timeoutMsOf } from '../../../infra/constructs/function-timeout.ts';
import { region } from '../../../infra/local/aws/aws-protocol.ts';
import type { EventEnvelope } from '../../../infra/local/aws/event-bus.ts';
import { startLocalServers } from '../../support/local-servers.ts';
import { createTable } from '../../support/table.ts';
import { countEach } from './statistics.ts';
import { toStored } from '../../../functions/model/table.ts';

/** Of bus, table and secrets: those of `npm start`, where the commands look. */
const siteName = 'element-onboarding';

/** The first of three in a row that are free now. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    const servers = [port, port + 1, port + 2].map((each) => createServer().listen(each, '127.0.0.1'));
    const listening = await Promise.allSettled(servers.map((server) => once(server, 'listening')));
    for (const server of servers) server.close();
    if (listening.every(({ status }) => status === 'fulfilled')) return port;
  }
}

export type Site = Awaited<ReturnType<typeof startSite>>;

/** The servers for all measured programs, on free ports, in the benchmark's own process and so not measured. */
export async function startSite() {
  const port = await freePort();
  const platformSecrets = {
    userSecret: 'bench-user-secret',
    organizationSecret: 'bench-organization-secret',
  };
  let lastResult: DynamoDBRecord | undefined;
  const watcher: { onChange?: (record: DynamoDBRecord) => void; onEvent?: (event: EventEnvelope) => void } =
    {};
  const servers = await startLocalServers({
    name: siteName,
    tableName: siteName,
    platformSecrets,
    ports: { aws: port + 1, dynamodb: port + 2 },
    onChange: (record) => {
      if (record.dynamodb?.NewImage?.['status']?.S === 'active') lastResult = record;
      watcher.onChange?.(record);
    },
    onEvent: (event) => watcher.onEvent?.(event),
  });
  const { simulator, putSecret, platformSecretId, tokenKeyId, awsSettings, dynamoDbSettings } = servers;
  const { requests } = servers.faults;
  const client = new DynamoDBClient(dynamoDbSettings);
  await createTable(client, 'peer-instances', ['tenantId', 'elementKey']);
  await createTable(client, 'peer-idempotency', ['id']);

  const resources = {
    tableName: siteName,
    busName: siteName,
    platformSecretId,
    tenantSecretsPrefix: siteName,
    tokenKeyId,
    cloudElementsBaseUrl: simulator.url,
    stage: 'bench',
  };

  /** Lambda's environment, but with local endpoints. */
  const lambdaEnvironment = (functionName: string, timeoutMs = functionTimeoutMs) => ({
    BENCH_TIMEOUT_MS: String(timeoutMs),
    AWS_LAMBDA_FUNCTION_NAME: functionName,
    AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '512',
    AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
    AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
    AWS_REGION: region,
    AWS_DEFAULT_REGION: region,
    AWS_ACCESS_KEY_ID: 'bench',
    AWS_SECRET_ACCESS_KEY: 'bench',
    AWS_SESSION_TOKEN: 'bench',
    AWS_ENDPOINT_URL_DYNAMODB: dynamoDbSettings.endpoint,
    AWS_ENDPOINT_URL_SECRETS_MANAGER: awsSettings.endpoint,
    AWS_ENDPOINT_URL_KMS: awsSettings.endpoint,
    AWS_ENDPOINT_URL_EVENTBRIDGE: awsSettings.endpoint,
    LANG: 'en_US.UTF-8',
    TZ: ':UTC',
  });

  return {
    simulator,
    /** For commands: the one before the ports of the AWS services and DynamoDB, as with `npm start`. */
    port,
    dynamoDb: client,
    tableName: resources.tableName,
    /** Called with each write to the table and each event on the bus. */
    watcher,
    /** Requests to AWS services, as `x-amz-target` names them. */
    requests,
    environmentOf: (name: FunctionName) => ({
      ...lambdaEnvironment(name, timeoutMsOf(triggers[name])),
      ...environmentFor(triggers[name].uses, resources),
    }),
    peerEnvironment: {
      ...lambdaEnvironment('peer'),
      TABLE_NAME: 'peer-instances',
      IDEMPOTENCY_TABLE_NAME: 'peer-idempotency',
      PLATFORM_SECRET_ID: resources.platformSecretId,
      TOKEN_KEY_ID: resources.tokenKeyId,
      CLOUD_ELEMENTS_BASE_URL: simulator.url,
    },
    bareEnvironment: lambdaEnvironment('bare'),

    putTenantSecret: (tenantId: string) =>
      putSecret(`${siteName}/tenants/${tenantId}/taxify`, '{"api.key":"any"}'),

    /** Makes the row due for the recheck that follows an hour after a create of unknown outcome. */
    async makeDue(tenantId: string): Promise<void> {
      await client.send(
        new UpdateItemCommand({
          TableName: resources.tableName,
          Key: { tenantId: { S: tenantId }, elementKey: { S: 'taxify' } },
          UpdateExpression: 'SET unsettled = :yes, checkAt = :past',
          ConditionExpression: 'attribute_exists(tenantId)',
          ExpressionAttributeValues: { ':yes': { S: 'yes' }, ':past': { N: '1' } },
        }),
      );
    },

    /** Writes rows unchanged, 25 at a time, the most per call. */
    async putRows(rows: readonly object[]): Promise<void> {
      for (let start = 0; start < rows.length; start += 25) {
        const some = rows.slice(start, start + 25).map((row) => ({
          PutRequest: { Item: marshall(toStored(row), { removeUndefinedValues: true }) },
        }));
        await client.send(new BatchWriteItemCommand({ RequestItems: { [resources.tableName]: some } }));
      }
    },

    /** The last write that made an instance active, as a record of the table's stream. */
    lastResult: () => lastResult,

    /** Requests to AWS services and to Cloud Elements, counted by their operation. */
    callsSoFar: () =>
      countEach([
        ...requests.map((target) => target.replace(/^.*\./, '')),
        ...simulator.requests.map(({ operation }) => operation ?? 'unknown'),
      ]),

    /** Resets the counts of requests; stored data stays. */
    forgetRequests(): void {
      requests.length = 0;
      const { latencyMs } = simulator;
      simulator.reset();
      simulator.latencyMs = latencyMs;
    },

    async [Symbol.asyncDispose]() {
      client.destroy();
      await servers.stop();
    },
  };
}
