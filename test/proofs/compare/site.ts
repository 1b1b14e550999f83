import { functionTimeoutMs } from '../../../functions/model/timing.ts';
import { startLocalServers } from '../../support/local-servers.ts';

export const elementKey = 'taxify';

/** Time that an invocation begins with, as deployed. */
export const invocationMs = functionTimeoutMs;

/**
 * How long both sides wait for the response to a create: the only period that passes in real time, and so the only
 * shortened one. Deployed it is `createTimeoutMs` of `functions/model/timing.ts`.
 */
export const createTimeoutMs = 500;

type Servers = Awaited<ReturnType<typeof startLocalServers>>;

/** Addresses and names for an invocation. Plain data, because it is also passed to other threads. */
export type Site = {
  /** Where the clients of DynamoDB, and of the other services, find them. */
  dynamoDbSettings: Servers['awsSettings'];
  awsSettings: Servers['awsSettings'];
  cloudElementsUrl: string;
  /** Both sides keep the tenants' tokens in it, by `tenantId` and `elementKey`. */
  tableName: string;
  tokenKeyId: string;
  platformSecretId: string;
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
  const servers = await startLocalServers({ name: 'compare', tableName, platformSecrets: secrets });
  const { simulator, faults, tokenKeyId, platformSecretId } = servers;
  const site: Site = {
    dynamoDbSettings: servers.dynamoDbSettings,
    awsSettings: servers.awsSettings,
    cloudElementsUrl: simulator.url,
    tableName,
    tokenKeyId,
    platformSecretId,
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
    [Symbol.asyncDispose]: () => servers.stop(),
  };
}
