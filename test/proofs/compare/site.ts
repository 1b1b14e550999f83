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
 * How long both sides wait for the answer to a create: the one period that a scenario has to live through, and so the
 * one that is shortened. Deployed it is `createTimeoutMs` of `functions/model/timing.ts`.
 */
export const createTimeoutMs = 500;

/** Where an invocation finds everything. Plain data, because it also goes into other threads. */
export type Site = {
  dynamoDbUrl: string;
  awsUrl: string;
  cloudElementsUrl: string;
  /** Both sides keep the tenants' tokens in it, by `tenantId` and `elementKey`. */
  tableName: string;
  tokenKeyId: string;
  secrets: { userSecret: string; organizationSecret: string };
  /** How far time has been moved on. */
  aheadMs: number;
};

/** One of the two pieces of software that are compared. */
export type Contender = {
  /** Makes what it needs beyond what every site has. */
  prepare(site: Site): Promise<void>;
  /** A container of its own, with nothing cached. */
  open(site: Site): Container;
  /** Makes it later, for this contender. */
  passTime(site: Site, ms: number): Promise<void>;
};

export type Container = Disposable & {
  /** One delivery of the request to onboard the tenant; rejects when the queue is to deliver it again. */
  onboard(tenantId: string): Promise<unknown>;
  storedToken(tenantId: string): Promise<string | undefined>;
};

/** The servers that both sides meet, on free ports. */
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
    /** Nothing fails any more. */
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
