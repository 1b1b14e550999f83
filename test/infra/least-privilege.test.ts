import { DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { PutSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { marshall } from '@aws-sdk/util-dynamodb';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { wholeTenant } from '../../functions/model/instance.ts';
import { type FunctionName, triggers } from '../../functions/triggers.ts';
import type { InjectedFault, ReceivedRequest } from '../../infra/local/cloud-elements/simulator.ts';
import { startLocalStack, type LocalStack } from '../../infra/local/stack.ts';
import { newTenant } from '../support/real-servers.ts';
import { sharedBundle } from '../support/shared-bundle.ts';
import { permissionsOf } from './template.ts';

/**
 * Every function, as deployed, is made to perform all calls to AWS that its code can make. These must be exactly the
 * calls that its role allows: the local stack refuses any other call, here and in every other test.
 */

let stack: LocalStack;
let dynamoDb: DynamoDBClient;
let eventBridge: EventBridgeClient;
let secretsManager: SecretsManagerClient;

beforeAll(async () => {
  // Events that meet a leased instance are delivered again soon.
  stack = await startLocalStack({
    bundle: sharedBundle,
    queue: { visibilityTimeoutMs: 50, maxReceiveCount: 30 },
  });
  const client = { region: 'us-east-1', credentials: { accessKeyId: 'tests', secretAccessKey: 'tests' } };
  dynamoDb = new DynamoDBClient({ ...client, endpoint: stack.dynamodbUrl });
  eventBridge = new EventBridgeClient({ ...client, endpoint: stack.awsUrl });
  secretsManager = new SecretsManagerClient({ ...client, endpoint: stack.awsUrl });
  stack.simulator.faultFor = faultFor;
  await Promise.all([
    requests(),
    imports(),
    claims(),
    onboardingEvents(),
    offboardingEvents(),
    secretEvents(),
    schedules(),
  ]);
  await stack.idle();
}, 60_000);
afterAll(async () => {
  dynamoDb.destroy();
  eventBridge.destroy();
  secretsManager.destroy();
  await stack.stop();
});

/** Calls made by Lambda on behalf of a function, not by the function's code. */
const ofThePlatform = / (its log group|queue|dead letters|stream)$/;

const functionNames = Object.keys(triggers).filter((name): name is FunctionName => name in triggers);

test.each(functionNames)(
  'the permissions of %s are exactly the calls that its code was seen to make',
  (name) => {
    const allowed = permissionsOf(name).filter((permission) => !ofThePlatform.test(permission));
    expect([...(stack.calls.get(name) ?? [])].toSorted()).toEqual(allowed.toSorted());
  },
);

const taxify = { element: { key: 'taxify' } };

async function ask(
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
  path: string,
  status: number,
  body?: object,
): Promise<void> {
  const response = await fetch(`${stack.apiUrl}/${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  });
  expect(`${method} ${path}: ${response.status}`).toBe(`${method} ${path}: ${status}`);
}

function newTenantWithSecret(): string {
  const tenantId = newTenant();
  stack.putSecret(stack.tenantSecretName(tenantId, 'taxify'), { 'api.key': 'key-of-a-test' });
  return tenantId;
}

async function send(source: string, type: string, detail: object, agoMs = 0): Promise<void> {
  const entry = {
    EventBusName: stack.busName,
    Source: source,
    DetailType: type,
    Detail: JSON.stringify(detail),
    Time: new Date(Date.now() - agoMs),
  };
  await eventBridge.send(new PutEventsCommand({ Entries: [entry] }));
}

/**
 * Tenants whose create takes effect twice while its response is lost: the look-up finds two instances, and the row is
 * read again before one of them is deleted.
 */
const doubled = new Set<string>();

function faultFor({ operation, path, headers, body }: ReceivedRequest): InjectedFault | undefined {
  if (operation !== 'POST /instances') return undefined;
  const tenantId = [...doubled].find((each) => JSON.stringify(body).includes(`"tenant:${each}"`));
  if (tenantId === undefined) return undefined;
  doubled.delete(tenantId);
  const { authorization = '' } = headers;
  void fetch(`${stack.simulator.url}${path}`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { effect: 'applied', outcome: { kind: 'reset' } };
}

/** Changes the tenant's row as another invocation might. */
async function alter(
  tenantId: string,
  attributes: Record<string, unknown>,
  without: string[] = [],
  elementKey = 'taxify',
) {
  const { Item } = await dynamoDb.send(
    new GetItemCommand({ TableName: stack.tableName, Key: keyOf(tenantId, elementKey) }),
  );
  if (!Item) throw new Error(`Tenant ${tenantId} has no row.`);
  const kept = Object.entries(Item).filter(([name]) => !without.includes(name));
  await dynamoDb.send(
    new PutItemCommand({
      TableName: stack.tableName,
      Item: { ...Object.fromEntries(kept), ...marshall(attributes) },
    }),
  );
}

const keyOf = (tenantId: string, elementKey: string) => ({
  tenantId: { S: tenantId },
  elementKey: { S: elementKey },
});

/** An expired claim, of an invocation that ended before it had its instance. */
const expiredClaim = { status: 'provisioning', leaseExpiresAt: 1 };

/** Due for the reconciler. */
const due = { checkAt: 1, unsettled: 'yes' };

async function newActiveTenant(): Promise<string> {
  const tenantId = newTenantWithSecret();
  await ask('POST', `tenants/${tenantId}/instances`, 201, taxify);
  return tenantId;
}

async function requests(): Promise<void> {
  const tenantId = await newActiveTenant();
  await ask('POST', `tenants/${tenantId}/instances`, 200, taxify);
  await ask('POST', `tenants/${tenantId}/instances`, 409, { ...taxify, name: 'Other' });
  await ask('GET', 'instances', 200);
  await ask('GET', `tenants/${tenantId}/instances`, 200);
  await ask('GET', `tenants/${tenantId}/instances/taxify`, 200);
  await ask('GET', `tenants/${tenantId}/instances/taxify/token`, 200);
  await ask('PATCH', `tenants/${tenantId}/instances/taxify`, 200, { name: 'Renamed' });
  await ask('POST', `tenants/${tenantId}/instances/taxify/check`, 200);
  // Gone: other instances are looked for.
  const gone = await newActiveTenant();
  await alter(gone, { instanceId: 1 });
  await ask('POST', `tenants/${gone}/instances/taxify/check`, 200);
  // Sends the current value of the tenant's secret.
  await ask('PATCH', `tenants/${tenantId}/instances/taxify`, 200, { configuration: {} });
  await ask('DELETE', `tenants/${tenantId}/instances/taxify`, 204);
  await ask('DELETE', `tenants/${tenantId}/instances/taxify`, 204);
  await ask('DELETE', `tenants/${newTenant()}/instances/taxify`, 204);
  await ask('POST', `tenants/${tenantId}/instances`, 201, taxify);
}

/** An instance of the tenant's team, without markers. */
const handMade = (): number =>
  stack.simulator.seed({ ...taxify, name: 'By hand', tags: ['eu'], configuration: { 'api.key': 'any' } }).id;

const importFor = (tenantId: string, id: number, status: number) =>
  ask('POST', `tenants/${tenantId}/instances/taxify/import`, status, { id });

async function imports(): Promise<void> {
  const id = handMade();
  await importFor(newTenant(), id, 201);
  // Of another tenant, whose row is read although the tags have been edited; the claim is given back.
  const instance = stack.simulator.instances.find((each) => each.id === id);
  if (instance) instance.tags = ['eu'];
  await importFor(newTenant(), id, 409);
  await importFor(newTenant(), 1, 404);
}

async function claims(): Promise<void> {
  // Fails for lack of a key, and leaves no row behind.
  await ask('POST', `tenants/${newTenant()}/instances`, 400, taxify);

  const twice = newTenantWithSecret();
  doubled.add(twice);
  await ask('POST', `tenants/${twice}/instances`, 201, taxify);

  const unfinished = await newActiveTenant();
  await alter(unfinished, expiredClaim, ['token', 'instanceId']);
  await ask('POST', `tenants/${unfinished}/instances`, 201, taxify);

  // A create that may still take effect is waited for, and the claim is restored.
  const uncertain = await newActiveTenant();
  const sent = { provisionId: 'not-listed', sendDeadline: Date.now() };
  await alter(uncertain, { ...expiredClaim, ...sent }, ['token', 'instanceId']);
  await ask('POST', `tenants/${uncertain}/instances`, 202, taxify);
}

async function onboardingEvents(): Promise<void> {
  const tenantId = newTenantWithSecret();
  const twice = newTenantWithSecret();
  doubled.add(twice);
  await send('crm.example', 'TenantOnboarded', { tenantId: twice });
  // Refused and recorded, because the tenant has no secret.
  await send('crm.example', 'TenantOnboarded', { tenantId: newTenant() });
  // Releases its claim: the whole tenant has been removed since.
  const gone = newTenantWithSecret();
  await send('crm.example', 'TenantOffboarded', { tenantId: gone });
  await stack.idle();
  await send('crm.example', 'TenantOnboarded', { tenantId: gone }, 60_000);
  // The second is remembered, so that it is answered, too.
  await send('crm.example', 'TenantOnboarded', { tenantId });
  await stack.idle();
  await send('sbt.control.plane', 'sbt_aws_onboardingRequest', { tenantId, tenantRegistrationId: 'r' });
}

async function offboardingEvents(): Promise<void> {
  const named = await newActiveTenant();
  await send('crm.example', 'TenantOffboarded', { tenantId: named, ...taxify });
  const listed = await newActiveTenant();
  await send('sbt.control.plane', 'sbt_aws_offboardingRequest', {
    tenantId: listed,
    tenantRegistrationId: 'r',
  });
}

async function secretEvents(): Promise<void> {
  const put = (tenantId: string) =>
    secretsManager.send(
      new PutSecretValueCommand({
        SecretId: stack.tenantSecretName(tenantId, 'taxify'),
        SecretString: '{"api.key": "new-key-of-a-test"}',
      }),
    );
  await put(await newActiveTenant());
  const failed = newTenant();
  stack.putSecret(stack.tenantSecretName(failed, 'taxify'), {});
  await send('crm.example', 'TenantOnboarded', { tenantId: failed });
  await stack.queues.get('onboard-tenants')?.idle();
  await put(failed);
}

async function schedules(): Promise<void> {
  const unfinished = await newActiveTenant();
  await alter(unfinished, { ...expiredClaim, ...due }, ['token', 'instanceId']);
  const leaving = await newActiveTenant();
  await alter(leaving, { ...due, status: 'deleting' }, ['token']);
  const leavingWhole = newTenant();
  await send('crm.example', 'TenantOffboarded', { tenantId: leavingWhole });
  await stack.idle();
  await alter(leavingWhole, { ...due, status: 'deleting' }, ['expiresAt'], wholeTenant);
  // Unfinished imports: one is finished, the other one given back.
  for (const importedId of [handMade(), 1]) {
    const importing = await newActiveTenant();
    const unfinishedImport = { v: 'import', importing: {}, importedId, sendDeadline: 1 };
    await alter(importing, { ...expiredClaim, ...due, ...unfinishedImport }, ['token', 'instanceId']);
  }
  // Unreadable, and moved by its key alone.
  await alter(await newActiveTenant(), { ...due, v: 2 });
  await stack.runSchedule('reconcile-instances');

  await newActiveTenant();
  await alter(await newActiveTenant(), { v: 2, checkAt: 1, unsettled: 'health' });
  await stack.runSchedule('check-instances');

  const withoutToken = await newActiveTenant();
  await alter(withoutToken, {}, ['token']);
  const lost = await newActiveTenant();
  await alter(lost, { instanceId: 1 });
  await stack.runSchedule('audit-instances');
}
