import { startAwsEndpoint } from '../../../infra/local/aws/aws-endpoint.ts';
import { region } from '../../../infra/local/aws/aws-protocol.ts';
import { startCloudElements } from '../../../infra/local/cloud-elements/simulator.ts';
import { startDynamoDb } from '../../../infra/local/aws/dynamodb.ts';
import { createFaults } from '../../../infra/local/faults.ts';
import { createKms } from '../../../infra/local/aws/kms.ts';
import { createSecretsManager } from '../../../infra/local/aws/secrets-manager.ts';
import { clientOptions } from '../../../functions/adapters/aws.ts';
import { functionTimeoutMs } from '../../../functions/model/timing.ts';

export const elementKey = 'taxify';
export const platformSecretId = 'compare/platform';

/** Time that an invocation begins with, as deployed. */
export const invocationMs = functionTimeoutMs;

/**
 * How long both sides wait for the response to a create: the only period that passes in real time, and so the only
 * shortened one. Deployed it is `createTimeoutMs` of `functions/model/timing.ts`.
 */
export const createTimeoutMs = 500;

/** Addresses and names for an invocation. Plain data, because it is also passed to other threads. */
export type Site = {
  dynamoDbUrl: string;
  awsUrl: string;
  cloudElementsUrl: string;
  /** Both sides keep the tenants' tokens in it, by `tenantId` and `elementKey`. */
  tableName: string;
  tokenKeyId: string;
  secrets: { userSecret: string; organizationSecret: string };
  /** How far the clock has been moved ahead. */
  aheadMs: number;
};

/** One of the two pieces of software that are compared. */
export type Contender = {
  /** Creates the contender's own resources on the site. */
  prepare(site: Site): Promise<void>;
  /** Opens a separate execution environment, with empty caches. */
  open(site: Site): ExecutionEnvironment;
  /** Lets time pass for this contender. */
  passTime(site: Site, ms: number): Promise<void>;
};

export type ExecutionEnvironment = Disposable & {
  /** One delivery of the request to onboard the tenant; rejects when the queue should deliver it again. */
  onboard(tenantId: string): Promise<unknown>;
  storedToken(tenantId: string): Promise<string | undefined>;
};

/** The servers for both sides, on free ports. */
export async function startSite() {
  const secrets = { userSecret: 'compare-user-secret', organizationSecret: 'compare-organization-secret' };
  const tableName = 'tokens';
  const simulator = await startCloudElements(secrets);
  const faults = createFaults();
  const dynamoDb = await startDynamoDb({ tableName, guard: faults.guard });
  const secretsManager = createSecretsManager();
  const kms = createKms();
  const aws = await startAwsEndpoint({ operations: { ...secretsManager.operations, ...kms.operations } });
  secretsManager.put(platformSecretId, JSON.stringify(secrets));
  const site: Site = {
    dynamoDbUrl: dynamoDb.url,
    awsUrl: aws.url,
    cloudElementsUrl: simulator.url,
    tableName,
    tokenKeyId: kms.keyId,
    secrets,
    aheadMs: 0,
  };
  return {
    site,
    simulator,
    failDynamoDb: faults.fail,
    /** Removes all faults. */
    reset(): void {
      faults.reset();
      simulator.reset();
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([simulator.stop(), dynamoDb.stop(), aws.stop()]);
    },
  };
}

/** The same limits and retries for both. */
export function clientSettings(endpoint: string) {
  return {
    ...clientOptions,
    endpoint,
    region,
    credentials: { accessKeyId: 'compare', secretAccessKey: 'compare' },
  };
}
