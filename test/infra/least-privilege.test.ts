import { DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { marshall } from '@aws-sdk/util-dynamodb';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { wholeTenant } from '../../functions/model/instance.ts';
import { type FunctionName, triggers } from '../../functions/triggers.ts';
import type { Mishap, ReceivedRequest } from '../../infra/local/cloud-elements/simulator.ts';
import { startLocalStack, type LocalStack } from '../../infra/local/stack.ts';
import { newTenant } from '../support/real-servers.ts';
import { permissionsOf } from './template.ts';

/**
 * Every function, as it is deployed, is made to do all that its code can do with AWS. What it then has called is to be
 * all that its role allows: the local stack has refused whatever is more, here and in every other test.
 */

let stack: LocalStack;
let dynamoDb: DynamoDBClient;
let eventBridge: EventBridgeClient;

beforeAll(async () => {
  // What is asked for too early, of an instance that is being worked on, comes again soon.
  stack = await startLocalStack({ queue: { visibilityTimeoutMs: 50, maxReceiveCount: 30 } });
  const client = { region: 'us-east-1', credentials: { accessKeyId: 'tests', secretAccessKey: 'tests' } };
  dynamoDb = new DynamoDBClient({ ...client, endpoint: stack.dynamodbUrl });
  eventBridge = new EventBridgeClient({ ...client, endpoint: stack.awsUrl });
  stack.simulator.faultFor = mishapOf;
  await Promise.all([requests(), claims(), onboardingEvents(), offboardingEvents(), schedules()]);
  await stack.idle();
}, 60_000);
afterAll(async () => {
  dynamoDb.destroy();
  eventBridge.destroy();
  await stack.stop();
});

/** Made by the platform itself, or by Lambda on behalf of a function: none of them by a function's code. */
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
 * Tenants whose create takes effect twice while its answer is lost: when it is looked up, there are two to choose from,
 * and the row is read again before one of them goes. (The embedded DynamoDB, which never sends the item along with a
 * refused write, has a row read more often than DynamoDB does: that alone would not prove the need of GetItem.)
 */
const doubled = new Set<string>();

function mishapOf({ operation, path, headers, body }: ReceivedRequest): Mishap | undefined {
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

/** The tenant's row as another invocation may have left it. */
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

/** A claim that has run out, of an invocation that came to its end before it knew of its instance. */
const expiredClaim = { status: 'provisioning', leaseExpiresAt: 1 };

/** For the reconciler. */
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
  // Sends what the tenant's secret holds by now.
  await ask('PATCH', `tenants/${tenantId}/instances/taxify`, 200, { configuration: {} });
  await ask('DELETE', `tenants/${tenantId}/instances/taxify`, 204);
  await ask('DELETE', `tenants/${tenantId}/instances/taxify`, 204);
  await ask('DELETE', `tenants/${newTenant()}/instances/taxify`, 204);
  await ask('POST', `tenants/${tenantId}/instances`, 201, taxify);
}

async function claims(): Promise<void> {
  // Comes to nothing for want of a key, and leaves nothing behind.
  await ask('POST', `tenants/${newTenant()}/instances`, 400, taxify);

  const twice = newTenantWithSecret();
  doubled.add(twice);
  await ask('POST', `tenants/${twice}/instances`, 201, taxify);

  const unfinished = await newActiveTenant();
  await alter(unfinished, expiredClaim, ['token', 'instanceId']);
  await ask('POST', `tenants/${unfinished}/instances`, 201, taxify);

  // What may still come is waited for, and the claim put back as it was.
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
  // Refused and recorded: it has no secret.
  await send('crm.example', 'TenantOnboarded', { tenantId: newTenant() });
  // Gives its claim back: the whole tenant has been removed since.
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

async function schedules(): Promise<void> {
  const unfinished = await newActiveTenant();
  await alter(unfinished, { ...expiredClaim, ...due }, ['token', 'instanceId']);
  const leaving = await newActiveTenant();
  await alter(leaving, { ...due, status: 'deleting' }, ['token']);
  const leavingWhole = newTenant();
  await send('crm.example', 'TenantOffboarded', { tenantId: leavingWhole });
  await stack.idle();
  await alter(leavingWhole, { ...due, status: 'deleting' }, ['expiresAt'], wholeTenant);
  // Cannot be read, and is moved by its key alone.
  await alter(await newActiveTenant(), { ...due, v: 2 });
  await stack.runSchedule('reconcile-instances');

  const withoutToken = await newActiveTenant();
  await alter(withoutToken, {}, ['token']);
  const lost = await newActiveTenant();
  await alter(lost, { instanceId: 1 });
  await stack.runSchedule('audit-instances');
}
