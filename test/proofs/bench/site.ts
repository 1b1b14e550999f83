import { BatchWriteItemCommand, DynamoDBClient, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { marshall } from '@aws-sdk/util-dynamodb';
import type { DynamoDBRecord } from 'aws-lambda';
import { functionTimeoutMs } from '../../../functions/model/timing.ts';
import { type FunctionName, triggers } from '../../../functions/triggers.ts';
import { environmentFor } from '../../../infra/environment.ts';
import { timeoutMsOf } from '../../../infra/constructs/function-timeout.ts';
import { region } from '../../../infra/local/aws/aws-protocol.ts';
import { startLocalServers } from '../../support/local-servers.ts';
import { createTable } from '../../support/table.ts';
import { toStored } from '../../../functions/model/table.ts';

export type Site = Awaited<ReturnType<typeof startSite>>;

/** The servers for all measured programs, on free ports, in the benchmark's own process and so not measured. */
export async function startSite() {
  const platformSecrets = {
    userSecret: 'bench-user-secret',
    organizationSecret: 'bench-organization-secret',
  };
  let lastResult: DynamoDBRecord | undefined;
  const servers = await startLocalServers({
    name: 'bench',
    tableName: 'instances',
    platformSecrets,
    onChange: (record) => {
      if (record.dynamodb?.NewImage?.['status']?.S === 'active') lastResult = record;
    },
  });
  const { simulator, putSecret, platformSecretId, tokenKeyId, awsSettings, dynamoDbSettings } = servers;
  const { requests } = servers.faults;
  const client = new DynamoDBClient(dynamoDbSettings);
  await createTable(client, 'peer-instances', ['tenantId', 'elementKey']);
  await createTable(client, 'peer-idempotency', ['id']);

  const resources = {
    tableName: 'instances',
    busName: 'bench',
    platformSecretId,
    tenantSecretsPrefix: 'bench',
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

    putTenantSecret: (tenantId: string) => putSecret(`bench/tenants/${tenantId}/taxify`, '{"api.key":"any"}'),

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
