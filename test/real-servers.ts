import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { KMSClient } from '@aws-sdk/client-kms';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { setTimeout } from 'node:timers/promises';
import { clientLimits } from '../functions/adapters/aws.ts';
import { createCloudElementsCaller } from '../functions/adapters/cloud-elements-http.ts';
import { createCloudElements } from '../functions/adapters/cloud-elements.ts';
import { createInstanceStore } from '../functions/adapters/instance-store.ts';
import { createPlatformCredentials, createTenantSecrets } from '../functions/adapters/secrets.ts';
import { createTokenCipher } from '../functions/adapters/token-cipher.ts';
import type { Observation } from '../functions/core/collaborators.ts';
import { settingsOf, type InstanceSettings } from '../functions/core/instance.ts';
import { createProvisioning } from '../functions/core/provision.ts';
import { startAwsEndpoint } from '../infra/local/aws-endpoint.ts';
import { startCloudElements } from '../infra/local/cloud-elements.ts';
import { startDynamoDb } from '../infra/local/dynamodb.ts';
import { createFaults } from '../infra/local/faults.ts';
import { createKms } from '../infra/local/kms.ts';
import { createSecretsManager } from '../infra/local/secrets-manager.ts';

const tableName = 'instances';
const platformSecretId = 'tests/platform';
const secrets = { userSecret: 'user-secret-for-tests', organizationSecret: 'organization-secret-for-tests' };

/** The deployed periods, made short enough to be lived through. */
const timing = {
  leaseMs: 5_000,
  createTimeoutMs: 400,
  lookUpTimeoutMs: 400,
  commitReserveMs: 1_000,
  quiescenceMs: 10_000,
  recheckMs: 60_000,
  reconcileAgainMs: 5_000,
  tombstoneMs: 1_000_000,
};

/** The use case with its real adapters, against local servers on free ports; `clock.aheadMs` moves its time. */
export async function startServers() {
  const simulator = await startCloudElements(secrets);
  const faults = createFaults();
  const dynamoDb = await startDynamoDb({ tableName, guard: faults.guard });
  const secretsManager = createSecretsManager();
  const kms = createKms();
  const aws = await startAwsEndpoint({
    guard: faults.guard,
    operations: { ...secretsManager.operations, ...kms.operations },
  });
  secretsManager.put(platformSecretId, JSON.stringify(secrets));

  const common = {
    ...clientLimits,
    region: 'us-east-1',
    credentials: { accessKeyId: 'tests', secretAccessKey: 'tests' },
  };
  const dynamoDbClient = new DynamoDBClient({ ...common, endpoint: dynamoDb.url });
  const kmsClient = new KMSClient({ ...common, endpoint: aws.url });
  const secretsClient = new SecretsManagerClient({ ...common, endpoint: aws.url });
  const store = createInstanceStore({ client: dynamoDbClient, tableName });
  const cipher = createTokenCipher({ client: kmsClient, keyId: kms.keyId });
  const observations: Observation[] = [];
  const clock = { aheadMs: 0 };
  const now = () => Date.now() + clock.aheadMs;

  /** A container of its own: nothing cached. */
  function openProvisioning({ baseUrl = simulator.url }: { baseUrl?: string } = {}) {
    const provision = createProvisioning({
      store,
      cipher,
      cloudElements: createCloudElements({
        call: createCloudElementsCaller({
          baseUrl,
          credentials: createPlatformCredentials({ client: secretsClient, secretId: platformSecretId }),
          connectTimeoutMs: 200,
        }),
      }),
      readTenantSecret: createTenantSecrets({ client: secretsClient, prefix: 'tests' }),
      origin: baseUrl,
      stage: 'tests',
      observe: (observation) => observations.push(observation),
      timing,
      now,
      sleep: (delayMs) => setTimeout(Math.min(delayMs, 20)),
    });
    return (settings: InstanceSettings, { recordRefusal = false, invocationMs = 3_000 } = {}) =>
      provision(settings, { deadlineAt: now() + invocationMs, recordRefusal });
  }

  return {
    simulator,
    /** Counts start anew, nothing fails any more, and it is now again. */
    reset() {
      clock.aheadMs = 0;
      observations.length = 0;
      faults.reset();
      simulator.reset();
    },
    store,
    cipher,
    clock,
    observations,
    openProvisioning,
    provision: openProvisioning(),
    /** Requests to AWS so far, as `x-amz-target` names them. */
    awsRequests: faults.requests,
    failAws: faults.fail,
    putPlatformSecret: (value: string) => secretsManager.put(platformSecretId, value),
    putTenantSecret: (tenantId: string, value: string, elementKey = 'taxify') =>
      secretsManager.put(`tests/tenants/${tenantId}/${elementKey}`, value),
    posts: () => simulator.requests.filter(({ operation }) => operation === 'POST /instances').length,
    async [Symbol.asyncDispose]() {
      for (const client of [dynamoDbClient, kmsClient, secretsClient]) client.destroy();
      await Promise.all([simulator.stop(), dynamoDb.stop(), aws.stop()]);
    },
  };
}

let tenants = 0;
/** A tenant nobody has asked for yet. */
export const newTenant = (): string => `tenant-${++tenants}`;

export function taxify(
  tenantId: string,
  asked: Parameters<typeof settingsOf>[1] = { configuration: { 'api.key': 'taxify-key-for-tests' } },
): InstanceSettings {
  return settingsOf({ tenantId, elementKey: 'taxify' }, asked);
}
