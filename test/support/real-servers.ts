import { DynamoDBClient, PutItemCommand, type PutItemCommandInput } from '@aws-sdk/client-dynamodb';
import { KMSClient } from '@aws-sdk/client-kms';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { marshall } from '@aws-sdk/util-dynamodb';
import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import pMap from 'p-map';
import { afterAll, beforeEach, expect } from 'vitest';
import { builtInCatalog } from '../../functions/model/built-in-catalog.ts';
import { clientOptions } from '../../functions/adapters/aws.ts';
import { createAuditProgress } from '../../functions/adapters/audit-progress.ts';
import { createCloudElementsCaller } from '../../functions/adapters/cloud-elements-http.ts';
import { createCloudElements } from '../../functions/adapters/cloud-elements.ts';
import { createPing } from '../../functions/adapters/cloud-elements-ping.ts';
import { createImportedIds } from '../../functions/adapters/imported-ids.ts';
import { createInstanceStore } from '../../functions/adapters/instance-store.ts';
import { createPlatformCredentials, createTenantSecrets } from '../../functions/adapters/secrets.ts';
import { createTokenCipher } from '../../functions/adapters/token-cipher.ts';
import type { Observation, Observe } from '../../functions/core/ports.ts';
import {
  judged,
  settingsOf,
  type InstanceKey,
  type InstanceRow,
  type RequestedSettings,
} from '../../functions/model/instance.ts';
import { createApplying } from '../../functions/core/apply-secret.ts';
import { createAuditing } from '../../functions/core/audit.ts';
import { readLastAudit } from '../../infra/cli/status/rows.ts';
import { createChecking } from '../../functions/core/check.ts';
import { createUpdating, type Changes } from '../../functions/core/update.ts';
import { defaultCheckTiming } from '../../functions/model/timing.ts';
import { OnboardingError } from '../../functions/model/errors.ts';
import type { Removal } from '../../functions/model/events.ts';
import { createImporting } from '../../functions/core/import.ts';
import { createOffboarding } from '../../functions/core/offboard.ts';
import { createOnboarding } from '../../functions/core/onboard.ts';
import type { Offboarding } from '../../functions/model/events.ts';
import { createProvisioning } from '../../functions/core/provision.ts';
import { createReconciling } from '../../functions/core/reconcile.ts';
import { createRemoving } from '../../functions/core/remove.ts';
import type { Fault } from '../../infra/local/cloud-elements/simulator.ts';
import { toStored } from '../../functions/model/table.ts';
import { startLocalServers } from './local-servers.ts';

const tableName = 'instances';
const firstSecrets = {
  userSecret: 'user-secret-for-tests',
  organizationSecret: 'organization-secret-for-tests',
};

/** The deployed periods, shortened for tests; time limits that a busy machine keeps. */
export const timing = {
  leaseMs: 5_000,
  createTimeoutMs: 800,
  lookUpTimeoutMs: 800,
  commitReserveMs: 1_000,
  quiescenceMs: 10_000,
  recheckMs: 60_000,
  reconcileAgainMs: 5_000,
  tombstoneMs: 1_000_000,
  oldestOnboardingMs: Infinity,
};

/** The use case with its real adapters, against local servers on free ports; `clock.aheadMs` moves its time. */
export async function startServers() {
  const servers = await startLocalServers({ name: 'tests', tableName, platformSecrets: firstSecrets });
  const { simulator, faults, platformSecretId, putSecret } = servers;
  const awsSettings = { ...clientOptions, ...servers.awsSettings };
  const dynamoDbClient = new DynamoDBClient({ ...clientOptions, ...servers.dynamoDbSettings });
  const kmsClient = new KMSClient(awsSettings);
  const secretsClient = new SecretsManagerClient(awsSettings);
  const store = createInstanceStore({ client: dynamoDbClient, tableName });
  const importedIds = createImportedIds({ client: dynamoDbClient, tableName });
  const cipher = createTokenCipher({ client: kmsClient, keyId: servers.tokenKeyId });
  let current = firstSecrets;
  const observations: Observation[] = [];
  const observed: { observation: Observation; of: Parameters<Observe>[1] }[] = [];
  /** The waits between attempts, which tests skip. */
  const sleeps: number[] = [];
  const clock = { aheadMs: 0 };
  const now = () => Date.now() + clock.aheadMs;

  /** A separate execution environment, with empty caches. */
  function openEnvironment(baseUrl: string) {
    const call = createCloudElementsCaller({
      baseUrl,
      credentials: createPlatformCredentials({ client: secretsClient, secretId: platformSecretId }),
      connectTimeoutMs: 200,
    });
    return {
      store,
      cipher,
      cloudElements: createCloudElements({ call, catalog: builtInCatalog }),
      catalog: builtInCatalog,
      ping: createPing({ call }),
      readTenantSecret: createTenantSecrets({ client: secretsClient, prefix: 'tests' }),
      origin: baseUrl,
      stage: 'tests',
      observe: (observation: Observation, of: Parameters<Observe>[1]) => {
        observations.push(observation);
        observed.push({ observation, of });
      },
      timing,
      now,
      sleep: (delayMs: number) => {
        sleeps.push(delayMs);
        return setTimeout(Math.min(delayMs, 20));
      },
    };
  }

  function openProvisioning({ baseUrl = simulator.url }: { baseUrl?: string } = {}) {
    const provision = createProvisioning(openEnvironment(baseUrl));
    return (settings: RequestedSettings, { recordRefusal = false, invocationMs = 3_000 } = {}) =>
      provision(settings, { deadlineAt: now() + invocationMs, recordRefusal });
  }

  const environment = openEnvironment(simulator.url);
  const { remove } = createRemoving(environment);
  const { offboard } = createOffboarding(environment);
  const onboard = createOnboarding({ ...environment, provision: createProvisioning(environment) });
  const update = createUpdating(environment);
  /** The secret of a tenant has a new value; the message has come `arrivedAt`. */
  const applySecret = createApplying({
    ...environment,
    update,
    provision: createProvisioning(environment),
    tenantSecretsPrefix: 'tests',
  });
  const { importInstance } = createImporting({ ...environment, importedIds });
  const { reconcile } = createReconciling({ ...environment, importedIds });
  const { check, checkDue } = createChecking({ ...environment, timing: defaultCheckTiming });
  const progress = createAuditProgress({ client: dynamoDbClient, tableName });
  const audit = createAuditing({ ...environment, progress });

  const rowOf = (tenantId: string) => store.get(keyOf(tenantId));
  const instancesOf = (tenantId: string) =>
    simulator.instances.filter(({ tags }) => tags.includes(`tenant:${tenantId}`));
  function reset() {
    clock.aheadMs = 0;
    observations.length = 0;
    observed.length = 0;
    sleeps.length = 0;
    faults.reset();
    simulator.reset();
  }
  const provision = openProvisioning();

  /** The promises of a provisioned row: active, with the token of the only live instance, readable for its key alone. */
  async function expectOneActiveInstance(tenantId: string): Promise<InstanceRow> {
    const row = await rowOf(tenantId);
    const [instance, ...others] = instancesOf(tenantId);
    expect(others).toEqual([]);
    expect(row).toMatchObject({ status: 'active', instanceId: instance?.id, leaseExpiresAt: 0 });
    if (!row?.token) throw new Error('the row has no token');
    expect(await cipher.decrypt(row.token, keyOf(tenantId))).toBe(instance?.token);
    return row;
  }

  /** Leaves the state of an invocation that was killed with its create in flight. */
  async function killedWhileCreating(tenantId: string, effect: Fault['effect']): Promise<InstanceRow> {
    simulator.faultFor = ({ method }) => ({
      effect,
      outcome: method === 'POST' ? { kind: 'reset' } : { kind: 'status', status: 500 },
    });
    await provision(taxify(tenantId));
    const row = await rowOf(tenantId);
    if (!row) throw new Error('no row was left');
    const leaseExpiresAt = Date.now() + 1_000;
    const asKilled = {
      ...row,
      inDoubt: false,
      lastError: undefined,
      leaseExpiresAt,
      checkAt: leaseExpiresAt,
    };
    await store.write(asKilled, row);
    reset();
    return asKilled;
  }

  /**
   * Leaves the rows and instances that provisioning these tenants leaves, for a small part of its time: the first tenant
   * is provisioned, and the others are like it.
   */
  async function seedProvisioned(tenantIds: readonly string[]): Promise<InstanceRow[]> {
    const [first, ...others] = tenantIds;
    if (first === undefined) return [];
    const { row } = await provision(taxify(first), { invocationMs: 25_000 });
    const [like] = instancesOf(first);
    if (!like) throw new Error('no instance was left');
    const { element, configuration } = like;
    async function seeded(tenantId: string): Promise<InstanceRow> {
      const key = keyOf(tenantId);
      const provisionId = randomUUID();
      const { name, fingerprint } = judged(builtInCatalog, taxify(tenantId));
      const tags = [`tenant:${tenantId}`, `provision:${provisionId}`, 'owner:tests'];
      const { id, token } = simulator.seed({ element, name, tags, configuration });
      const own = {
        ...row,
        ...key,
        name,
        fingerprint,
        provisionId,
        claimId: randomUUID(),
        instanceId: id,
        token: await cipher.encrypt(token, key),
      };
      await store.claim(own);
      return own;
    }
    return [row, ...(await pMap(others, seeded, { concurrency: 10 }))];
  }

  /** Makes another instance of the row's generation, as a create that is sent twice would. */
  function duplicate(row: InstanceRow): void {
    simulator.seed({
      element: { key: 'taxify' },
      name: row.name,
      tags: [`tenant:${row.tenantId}`, `provision:${row.provisionId}`, 'owner:tests'],
      configuration: { 'api.key': 'k' },
    });
  }

  /** Writes a row with a number in it that no double holds. */
  async function putOdd(row: InstanceRow, unsettled?: 'first' | 'later'): Promise<void> {
    const Item = {
      ...marshall(toStored({ ...row, unsettled }), { removeUndefinedValues: true }),
      sendDeadline: { N: '12345678901234567890.5' },
    };
    await dynamoDbClient.send(new PutItemCommand({ TableName: tableName, Item }));
  }

  /** Writes an item as another version, or a manual edit, might. */
  async function putItem(Item: PutItemCommandInput['Item']): Promise<void> {
    await dynamoDbClient.send(new PutItemCommand({ TableName: tableName, Item }));
  }

  /** Writes a row with another number in one attribute. */
  async function putNumber(row: InstanceRow, attribute: string, number: string): Promise<void> {
    await putItem({
      ...marshall(toStored({ ...row, unsettled: 'first' }), { removeUndefinedValues: true }),
      [attribute]: { N: number },
    });
  }

  async function removeAtCloudElements(instanceId: number | undefined): Promise<void> {
    const { userSecret, organizationSecret } = current;
    const response = await fetch(`${simulator.url}/elements/api-v2/instances/${instanceId}`, {
      method: 'DELETE',
      headers: { authorization: `User ${userSecret}, Organization ${organizationSecret}` },
    });
    expect(response.status).toBe(200);
  }

  return {
    simulator,
    removeAtCloudElements,
    rowOf,
    instancesOf,
    expectOneActiveInstance,
    killedWhileCreating,
    seedProvisioned,
    duplicate,
    remove: (key: InstanceKey, removal: Partial<Removal> = {}, { invocationMs = 3_000 } = {}) =>
      remove(key, { times: { own: now() }, by: undefined, ...removal }, { deadlineAt: now() + invocationMs }),
    offboard: (offboarding: Offboarding) => offboard(offboarding, { deadlineAt: now() + 3_000 }),
    onboard: (settings: RequestedSettings, { deliveries = 1 } = {}) =>
      onboard(settings, { deadlineAt: now() + 3_000, deliveries }),
    update: (key: InstanceKey, changes: Changes, { invocationMs = 3_000 } = {}) =>
      update(key, changes, { deadlineAt: now() + invocationMs }),
    applySecret: (
      tenantId: string,
      { arrivedAt = now(), deliveries = 1, invocationMs = 3_000, secretName = secretNameOf(tenantId) } = {},
    ) =>
      applySecret(
        { ...keyOf(tenantId), secretName, arrivedAt },
        { deadlineAt: now() + invocationMs, deliveries },
      ),
    /** As one of the messages of one invocation. */
    applyTogether: (tenantId: string, deadlineAt: number, arrivedAt = now()) =>
      applySecret(
        { ...keyOf(tenantId), secretName: secretNameOf(tenantId), arrivedAt },
        { deadlineAt, deliveries: 1 },
      ),
    importInstance: (tenantId: string, instanceId: number, { invocationMs = 3_000 } = {}) =>
      importInstance({ ...keyOf(tenantId), instanceId }, { deadlineAt: now() + invocationMs }),
    importedIds,
    check: (key: InstanceKey) => check(key, { deadlineAt: now() + 29_000 }),
    checkDue: () => checkDue({ deadlineAt: now() + 29_000 }),
    audit: ({ invocationMs = 30_000 } = {}) => audit({ deadlineAt: now() + invocationMs }),
    lastAudit: () => readLastAudit(dynamoDbClient, tableName),
    reconcile: async () => (await reconcile({ deadlineAt: now() + 30_000, batchSize: 10 })).tally,
    /** The age of the oldest due row, as a run of the reconciler reports it. */
    oldestUnsettledMs: async () => (await reconcile({ deadlineAt: now() + 30_000 })).oldestUnsettledMs,
    /** Resets counts, faults and the clock. */
    reset,
    store,
    cloudElements: environment.cloudElements,
    cipher,
    clock,
    sleeps,
    observations,
    /** Observations with their subjects. */
    observed,
    putOdd,
    putItem,
    putNumber,
    openProvisioning,
    provision,
    /** Requests to AWS so far, as `x-amz-target` names them. */
    awsRequests: faults.requests,
    failAws: faults.fail,
    /** At Cloud Elements and in the platform secret. */
    rotateSecrets(rotated: typeof current): void {
      current = rotated;
      simulator.rotateSecrets(rotated);
      putSecret(platformSecretId, JSON.stringify(rotated));
    },
    putPlatformSecret: (value: string) => putSecret(platformSecretId, value),
    putTenantSecret: (tenantId: string, value: string, elementKey = 'taxify') =>
      putSecret(`tests/tenants/${tenantId}/${elementKey}`, value),
    posts: () => simulator.requests.filter(({ operation }) => operation === 'POST /instances').length,
    async [Symbol.asyncDispose]() {
      for (const client of [dynamoDbClient, kmsClient, secretsClient]) client.destroy();
      await servers.stop();
    },
  };
}

/** Starts the servers of a test file: they are reset before each test, and stopped after the last one. */
export async function openServers() {
  const servers = await startServers();
  beforeEach(() => servers.reset());
  afterAll(() => servers[Symbol.asyncDispose]());
  return servers;
}

export const secretNameOf = (tenantId: string): string => `tests/tenants/${tenantId}/taxify`;

export const keyOf = (tenantId: string): InstanceKey => ({ tenantId, elementKey: 'taxify' });

/** The error that a call ends with; throws when it succeeds. */
export async function errorOf(promise: Promise<unknown>): Promise<OnboardingError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof OnboardingError)) throw new Error('no OnboardingError was thrown', { cause: error });
  return error;
}

let tenants = 0;
/** A new tenant. */
export const newTenant = (): string => `tenant-${++tenants}`;

export function taxify(
  tenantId: string,
  requested: Parameters<typeof settingsOf>[1] = { configuration: { 'api.key': 'taxify-key-for-tests' } },
): RequestedSettings {
  return settingsOf({ tenantId, elementKey: 'taxify' }, requested);
}
