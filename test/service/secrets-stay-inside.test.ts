import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createTenantSecrets } from '../../functions/adapters/secrets.ts';
import type { Outcome, PlatformSecrets } from '../../infra/local/cloud-elements/simulator.ts';
import { closeServer, listenOnLoopback } from '../../infra/local/loopback.ts';
import {
  createLeakSearch,
  inHtml,
  inJson,
  inSmallPercents,
  quotedLength,
  withUnicodeEscapes,
} from '../support/leak-search.ts';
import { newTenant } from '../support/real-servers.ts';
import {
  eventOf,
  startService,
  tenantOnboarded,
  type ReceivedResponse,
  type Service,
} from '../support/running-service.ts';
import { notApplied } from '../support/faults.ts';

/** Every secret of the run, with its description. */
const planted: { what: string; secret: string }[] = [];
const search = createLeakSearch();
const leaksIn = (texts: readonly string[]) => search.leaksIn(texts);
function plant(what: string, secret: string): string {
  planted.push({ what, secret });
  search.plant(what, secret);
  return secret;
}

const random = () => randomBytes(12).toString('base64url');
/** A tenant's key, with characters that JSON, URLs and HTML write differently. */
const plantKey = (what: string) => plant(`the key ${what}`, `${random()}"\\/+ &é%${random()}`);
const plantPlatformSecrets = (what: string): PlatformSecrets => ({
  userSecret: plant(`the user secret ${what}`, `${random()}+/${random()}==`),
  organizationSecret: plant(`the organization secret ${what}`, `${random()}+/${random()}==`),
});

let service: Service;
const results: { what: string; result: ReceivedResponse }[] = [];
/** Snapshots of the rows: a later write must not hide a leak in an earlier one. */
const tables: string[] = [];

beforeAll(async () => {
  service = await startService({
    queue: { visibilityTimeoutMs: 20, maxReceiveCount: 4 },
    stream: { retryDelayMs: 1, retries: 3 },
  });
  const own = plantPlatformSecrets('in use');
  service.simulator.rotateSecrets(own);
  await service.putSecret(service.stack.platformSecretName, own);

  await successes();
  await imports(own);
  await refusalsByCloudElements(own);
  await requestsThatAreWrong();
  await secretsThatAreWrong(own);
  await failuresOfAws();
  await functionsKilled();
  await events();
  await changesAndRemovals();
  await service.idle();
  for (const { id, token } of service.simulator.instances) plant(`the token of instance ${id}`, token);
}, 60_000);
afterAll(() => service[Symbol.asyncDispose]());

/** Records response and table, and checks that the case is the intended one. */
async function expectResponse(
  what: string,
  status: number,
  requested: Promise<ReceivedResponse>,
  code?: string,
): Promise<void> {
  const result = await requested;
  expect({ what, status: result.status, code: Object(result.json).code }).toEqual({ what, status, code });
  results.push({ what, result });
  await keepTable();
}

async function keepTable(): Promise<void> {
  for (const item of await service.items()) {
    const { B: token = new Uint8Array() } = item['token'] ?? {};
    tables.push(JSON.stringify({ ...item, token: Buffer.from(token).toString('base64') }));
    tables.push(Buffer.from(token).toString('latin1'));
  }
}

const taxify = (key: string, more: object = {}) => ({
  element: { key: 'taxify' },
  configuration: { 'api.key': key },
  ...more,
});
const tokenPath = (tenantId: string) => `/tenants/${tenantId}/instances/taxify/token`;

async function successes(): Promise<void> {
  const tenantId = newTenant();
  await expectResponse('created', 201, service.post(tenantId, taxify(plantKey('of a request'))));
  await expectResponse('repeated', 200, service.post(tenantId, taxify(plantKey('of a repeated request'))));
  const other = taxify(plantKey('of a conflict'), { name: 'Other' });
  await expectResponse('other settings', 409, service.post(tenantId, other), 'settings-conflict');
  await expectResponse('one', 200, service.get(`/tenants/${tenantId}/instances/taxify`));
  await expectResponse('list', 200, service.get(`/tenants/${tenantId}/instances`));
  // Cloud Elements quotes the header of a ping, the element token in it; and a vendor the tenant's key.
  const check = () =>
    service.request({ method: 'POST', path: `/tenants/${tenantId}/instances/taxify/check` });
  service.simulator.fail({ on: 'GET /ping', effect: 'none', outcome: { kind: 'echo-credentials' } });
  await expectResponse('checked, with an echo', 200, check());
  const providerMessage = `The key ${plantKey('in words of a vendor')} of ${service.instancesOf(tenantId)[0]?.token} is wrong`;
  const body = { requestId: '58b46b1b58b46b1b58b46b1b', message: providerMessage, providerMessage };
  const outcome = { kind: 'status', status: 401, body } as const;
  service.simulator.fail({ on: 'GET /ping', effect: 'none', times: 2, outcome });
  await expectResponse('checked, with a refusal', 200, check());
  await expectResponse('unhealthy', 200, check());
  expect(results.at(-1)?.result.json).toMatchObject({ health: { reason: 'refused-by-vendor' } });
  // The one response that may contain a token: everything but its body is searched.
  const { text: _, ...result } = await service.get(tokenPath(tenantId));
  expect(result).toMatchObject({ status: 200, json: { token: service.instancesOf(tenantId)[0]?.token } });
  results.push({ what: 'token', result: { ...result, text: '', json: undefined } });

  const value = { login: [plantKey('inside an object')], [plantKey('as a name inside an object')]: {} };
  await expectResponse('an object', 201, service.post(newTenant(), withValue(value)));

  const withSecret = newTenant();
  await service.putTenantSecret(withSecret, { 'api.key': plantKey('of a tenant’s secret') });
  await expectResponse('with secret', 201, service.post(withSecret, { element: { key: 'taxify' } }));
}

/** A team's own instances, whose names and tags are stored: unless a credential is in them. */
async function imports({ userSecret }: PlatformSecrets): Promise<void> {
  const handMade = (more: object = {}) =>
    service.simulator.seed({
      ...taxify(plantKey('of a hand-made instance')),
      name: 'By hand',
      tags: ['eu'],
      ...more,
    });
  const { id } = handMade();
  const tenantId = newTenant();
  await expectResponse('imported', 201, service.importInstance(tenantId, id));
  await expectResponse('imported again', 200, service.importInstance(tenantId, id));
  const withSecret = handMade({ tags: [`secret ${userSecret}`] });
  const withToken = handMade();
  withToken.tags = [withToken.token];
  for (const [what, leaking] of Object.entries({ withSecret, withToken })) {
    await expectResponse(what, 409, service.importInstance(newTenant(), leaking.id), 'not-importable');
  }
}

type Quoting = {
  what: string;
  /** The response that contains the quotation. */
  outcome: (quotation: string) => Outcome;
  /** Found and adopted, where it was applied. */
  effect?: 'applied';
  status: number;
  code?: string;
};
const requestId = '0123456789abcdef01234567';
const respond =
  (status: number, body: (message: string) => object | string, headers?: Record<string, string>) =>
  (message: string): Outcome => ({
    kind: 'status',
    status,
    body: body(message),
    ...(headers && { headers }),
  });
const refusal = { status: 400, code: 'refused-by-cloud-elements' };
const unreadable = { status: 502, code: 'cloud-elements-unreadable' };
const adopted = { effect: 'applied', status: 201 } as const;

/** Cloud Elements, or a proxy, quotes the tenant's key and the platform secrets. */
const quoting: Quoting[] = [
  { what: 'in a refusal', outcome: respond(400, (message) => ({ requestId, message })), ...refusal },
  ...Object.entries({
    'in a URL in small letters': inSmallPercents,
    'in a form': (text: string) => new URLSearchParams({ text }).toString(),
    'in JSON in JSON': (text: string) => inJson(inJson(text)),
    'in JSON with \\u': withUnicodeEscapes,
    'in HTML': inHtml,
    'in hex': (text: string) => Buffer.from(text).toString('hex'),
    'in base64': (text: string) => Buffer.from(text).toString('base64'),
    'in small letters': (text: string) => text.toLowerCase(),
    'in capitals': (text: string) => text.toUpperCase(),
    'cut off': (text: string) => text.slice(0, 25),
  }).flatMap(([how, write]) =>
    [400, 409].map((status): Quoting => ({
      what: `${how}, ${status}`,
      outcome: respond(status, (text) => ({ requestId, message: `Invalid value: ${write(text)}` })),
      ...(status === 400 ? refusal : adopted),
    })),
  ),
  { what: 'in a refusal that quotes the body', outcome: () => ({ kind: 'echo-credentials' }), ...refusal },
  {
    what: 'in the words of the vendor',
    outcome: respond(401, (providerMessage) => ({ requestId, message: 'Bad Request', providerMessage })),
    ...refusal,
  },
  {
    what: 'in a 401',
    outcome: respond(401, (message) => ({ requestId, message })),
    status: 503,
    code: 'platform-credentials-refused',
  },
  {
    what: 'in a 429',
    outcome: respond(429, (message) => ({ message }), { 'retry-after': '60' }),
    status: 503,
    code: 'cloud-elements-busy',
  },
  { what: 'by a proxy, in JSON', outcome: respond(401, (message) => ({ message })), ...unreadable },
  { what: 'by a proxy', outcome: respond(403, (text) => `<html>${text}</html>`), ...unreadable },
  { what: 'in a 500', outcome: respond(500, (message) => ({ message })), ...adopted },
  { what: 'in an answer that cannot be read', outcome: () => ({ kind: 'unreadable' }), ...adopted },
  { what: 'in an answer that breaks off', outcome: () => ({ kind: 'reset-mid-body' }), ...adopted },
];

async function refusalsByCloudElements(own: PlatformSecrets): Promise<void> {
  for (const prefix of ['refused-', 'refused-401-']) {
    const body = taxify(`${prefix}${plantKey('refused by the vendor')}`);
    await expectResponse('by the vendor', 400, service.post(newTenant(), body), 'refused-by-cloud-elements');
  }
  for (const { what, outcome, effect = 'none', status, code } of quoting) {
    const key = plantKey(`quoted ${what}`);
    const quotation = `${key}: User ${own.userSecret}, Organization ${own.organizationSecret}`;
    service.simulator.fail({ on: 'POST /instances', effect, outcome: outcome(quotation) });
    await expectResponse(what, status, service.post(newTenant(), taxify(key)), code);
  }
  const inside = plantKey('inside an object, quoted');
  service.simulator.fail({ on: 'POST /instances', effect: 'none', outcome: { kind: 'echo-credentials' } });
  const body = withValue({ login: [inside], [inside]: { url: 'x' } });
  await expectResponse('an object', 400, service.post(newTenant(), body), 'refused-by-cloud-elements');
}

const withValue = (value: unknown) => ({ element: { key: 'taxify' }, configuration: { 'api.key': value } });

async function requestsThatAreWrong(): Promise<void> {
  const wrong: [string, (key: string) => string | object][] = [
    ['in a body that is not JSON', (key) => `{"api.key": "${inJson(key)}`],
    ['as a body', (key) => key],
    ['as JSON', (key) => JSON.stringify(key)],
    ['in an unknown field', (key) => ({ ...taxify('k'), apiKey: key })],
    ['as the element key', (key) => ({ element: { key } })],
    ['in the place of a field', (key) => ({ ...taxify('k'), [key]: 'x' })],
    ['in the place of an entry', (key) => ({ ...taxify('k'), configuration: { [key]: 'x' } })],
    ['too deep in a list', (key) => withValue([[[[[[key]]]]]])],
    ['beside a blank', (key) => withValue({ login: key, [key]: '<<LOGIN>>' })],
    ['in providerData', (key) => taxify('k', { providerData: { code: key, [key]: 1 } })],
    ['in curly quotes', (key) => `{"element":{"key":"taxify"},"configuration":{"api.key":“${inJson(key)}”}}`],
    ['beside a number', (key) => `{"api.key":"${inJson(key)}","${inJson(key)}":1.10}`],
    ['twice', (key) => `{"${inJson(key)}":"${inJson(key)}","${inJson(key)}":1}`],
    ['as the configuration', (key) => ({ element: { key: 'taxify' }, configuration: key })],
    ['as a name of the wrong type', (key) => taxify('k', { name: [key] })],
    ['in a tag of ours', (key) => taxify('k', { tags: [`owner:${key}`] })],
    ['in a name with markup', (key) => taxify('k', { name: `<${key}>` })],
  ];
  for (const [what, body] of wrong) {
    await expectResponse(what, 400, service.post(newTenant(), body(plantKey(what))), 'invalid-request');
  }
  const partly = { element: { key: 'taxify' }, configuration: { 'partner.key': plantKey('of a part') } };
  await expectResponse('a part', 400, service.post(newTenant(), partly), 'missing-configuration');
  const text = plantKey('of another media type');
  await expectResponse('415', 415, service.post(newTenant(), text, 'text/plain'), 'unsupported-media-type');
  const long = taxify(plantKey('of a body that is too large').repeat(2_000));
  await expectResponse('413', 413, service.post(newTenant(), long), 'body-too-large');

  const astray = plantKey('in a header and in the query');
  const request = {
    method: 'GET' as const,
    path: `/tenants/t/instances/taxify?key=${encodeURIComponent(astray)}`,
    headers: { 'x-api-key': encodeURIComponent(astray), cookie: `key=${encodeURIComponent(astray)}` },
  };
  await expectResponse('query and headers', 404, service.request(request), 'not-found');
}

async function secretsThatAreWrong(own: PlatformSecrets): Promise<void> {
  const { stack } = service;
  const unusable: [string, (secrets: typeof own) => string][] = [
    ['that is not JSON', ({ userSecret, organizationSecret }) => `${userSecret} ${organizationSecret}`],
    ['that breaks off', (secrets) => JSON.stringify(secrets).slice(0, -2)],
    ['with a comma', (secrets) => JSON.stringify({ ...secrets, userSecret: `${secrets.userSecret}, x` })],
    ['that lacks a part', ({ userSecret }) => JSON.stringify({ userSecret })],
    ['of the wrong type', (secrets) => JSON.stringify(Object.values(secrets))],
  ];
  for (const [what, write] of unusable) {
    stack.putSecret(stack.platformSecretName, write(plantPlatformSecrets(what)));
    stack.kill('provision-instance');
    const body = taxify(plantKey(`beside a platform secret ${what}`));
    await expectResponse(what, 503, service.post(newTenant(), body), 'platform-credentials-unusable');
  }
  stack.putSecret(stack.platformSecretName, plantPlatformSecrets('that is outdated'));
  stack.kill('provision-instance');
  const body = taxify(plantKey('beside an outdated platform secret'));
  await expectResponse('outdated', 503, service.post(newTenant(), body), 'platform-credentials-refused');
  stack.putSecret(stack.platformSecretName, own);

  const tenants: [string, (key: string) => string][] = [
    ['in a secret that is not JSON', (key) => key],
    ['in a secret that breaks off', (key) => `{"api.key": "${inJson(key)}`],
    ['in a secret of the wrong type', (key) => JSON.stringify([key])],
    ['too deep in a secret', (key) => JSON.stringify({ 'api.key': [[[[[{ key }]]]]] })],
  ];
  for (const [what, write] of tenants) {
    const tenantId = newTenant();
    await service.putTenantSecret(tenantId, write(plantKey(what)));
    const requested = service.post(tenantId, { element: { key: 'taxify' } });
    await expectResponse(what, 503, requested, 'tenant-credentials-unusable');
    await service.deliverEvents(tenantOnboarded(tenantId));
    await keepTable();
  }
}

async function failuresOfAws(): Promise<void> {
  const { stack } = service;
  const putItem = 'DynamoDB_20120810.PutItem';
  const failing = { times: 3, status: 500, type: 'InternalFailure' };
  async function failed(what: string, status: number, code?: string): Promise<void> {
    const tenantId = newTenant();
    const body = () => taxify(plantKey(`while ${what}, after ${status}`));
    await expectResponse(what, status, service.post(tenantId, body()), code);
    await expectResponse(`after ${what}`, status === 201 ? 200 : 201, service.post(tenantId, body()));
    const denied = { status: 400, type: 'AccessDeniedException', message: 'denied' };
    stack.fail({ target: 'TrentService.Decrypt', ...denied });
    await expectResponse('no decryption', 503, service.get(tokenPath(tenantId)), 'aws-unavailable');
  }

  stack.fail({ target: putItem, ...failing });
  await failed('the claim fails', 503, 'aws-unavailable');
  stack.fail({ target: putItem, stallMs: 0 });
  stack.fail({ target: putItem, ...failing });
  await failed('the commit fails', 503, 'not-saved');
  stack.fail({ target: putItem, stallMs: 0 });
  stack.fail({ target: putItem, loseResponse: true });
  await failed('the commit’s answer is lost', 201);
  stack.fail({ target: 'TrentService.Encrypt', ...failing });
  await failed('KMS fails', 503, 'not-saved');

  // Neither the service nor a migration writes such a row; still, its content must not be quoted.
  const tenantId = newTenant();
  const token = plant('the token of a row that is not understood', random());
  const fields = { tenantId, elementKey: 'taxify', status: 'active', secret: token };
  await service.dynamoDb.send(
    new PutItemCommand({
      TableName: stack.tableName,
      Item: Object.fromEntries(Object.entries(fields).map(([name, S]) => [name, { S }])),
    }),
  );
  const path = `/tenants/${tenantId}/instances`;
  const requested = [service.post(tenantId, taxify(plantKey('of a row that is not understood')))];
  for (const readingPath of [path, `${path}/taxify`, `${path}/taxify/token`])
    requested.push(service.get(readingPath));
  for (const result of await Promise.all(requested)) results.push({ what: 'odd row', result });
  expect(results.slice(-4).map(({ result }) => result.status)).toEqual([500, 500, 500, 500]);
}

async function functionsKilled(): Promise<void> {
  const tenantId = newTenant();
  service.simulator.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'stall' } });
  const killed = service.post(tenantId, taxify(plantKey('of a killed function')));
  await vi.waitFor(() => expect(service.postsFor(tenantId)).toBe(1), { timeout: 4_000 });
  service.stack.kill('provision-instance');
  await expectResponse('killed', 500, killed);
  await expectResponse('claimed', 202, service.post(tenantId, taxify(plantKey('of a killed function'))));
  await service.endLease(tenantId);
  await expectResponse('adopted', 201, service.post(tenantId, taxify(plantKey('of a killed function'))));
}

async function events(): Promise<void> {
  const known = newTenant();
  await service.putTenantSecret(known, { 'api.key': plantKey('of an onboarded tenant') });
  const refused = newTenant();
  await service.putTenantSecret(refused, {
    'api.key': `refused-${plantKey('of a tenant that the vendor refuses')}`,
  });
  const outspoken = newTenant();
  const configuration = { 'api.key': plantKey('in an event'), 'base.url': plantKey('as a URL in an event') };
  const sbt = newTenant();
  await service.putTenantSecret(sbt, { 'api.key': plantKey('of a tenant of the toolkit') });
  await service.putEvents(
    tenantOnboarded(known),
    tenantOnboarded(refused),
    tenantOnboarded(newTenant()),
    tenantOnboarded(outspoken, { configuration }),
    tenantOnboarded('malformed', { apiKey: plantKey('in a malformed event') }),
    tenantOnboarded('misplaced', { configuration: { [plantKey('as a name in an event')]: 'x' } }),
    tenantOnboarded(plantKey('as a tenant id')),
    tenantOnboarded('misplaced', { [plantKey('in the place of a field in an event')]: 'x' }),
    eventOf('sbt.control.plane', 'sbt_aws_onboardingRequest', {
      tenantId: sbt,
      tenantRegistrationId: 'registration',
      apiKey: plantKey('in an event of the toolkit'),
    }),
  );
  await service.sendToQueue(`{"detail": "${plantKey('in a message that is no event')}`);
  await service.idle();
  const { json } = await service.get(`/tenants/${outspoken}/instances/taxify`);
  expect(json).toMatchObject({ status: 'failed', lastError: { code: 'invalid-request' } });
  for (const tenantId of [known, sbt]) await service.expectOneActiveInstance(tenantId);
  await expectResponse('refused event', 200, service.get(`/tenants/${refused}/instances/taxify`));
  await expectResponse('outspoken event', 200, service.get(`/tenants/${outspoken}/instances/taxify`));

  const echoed = newTenant();
  await service.putTenantSecret(echoed, { 'api.key': plantKey('of a tenant, quoted back') });
  service.simulator.fail({ on: 'POST /instances', effect: 'none', outcome: { kind: 'echo-credentials' } });
  await service.deliverEvents(tenantOnboarded(echoed));
  await expectResponse('echoed event', 200, service.get(`/tenants/${echoed}/instances/taxify`));
}

async function changesAndRemovals(): Promise<void> {
  service.simulator.reset();
  const tenantId = newTenant();
  const path = `/tenants/${tenantId}/instances/taxify`;
  await expectResponse('to be changed', 201, service.post(tenantId, taxify(plantKey('before a change'))));
  const { token = '' } = service.instancesOf(tenantId)[0] ?? {};
  plant('the token of an instance that is removed', token);
  const change = (what: string) => ({ configuration: { 'api.key': plantKey(what) }, name: 'Changed' });
  await expectResponse('changed', 200, service.patch(path, change('of a change')));
  const evil = { configuration: { 'base.url': plantKey('as a URL in a change') } };
  await expectResponse('wrong change', 400, service.patch(path, evil), 'missing-configuration');
  const misplaced = { configuration: { [plantKey('as a name in a change')]: 'x' } };
  await expectResponse('misplaced', 400, service.patch(path, misplaced), 'invalid-request');
  service.simulator.fail({ on: 'PATCH /instances/{id}', ...notApplied({ kind: 'echo-credentials' }) });
  const refused = service.patch(path, change('of a refused change'));
  await expectResponse('refused change', 400, refused, 'refused-by-cloud-elements');
  const sendSecret = { configuration: {} };
  await service.putTenantSecret(tenantId, { 'api.key': plantKey('beside a request’s') });
  await expectResponse('not sent', 409, service.patch(path, sendSecret), 'configuration-from-request');
  const rotated = newTenant();
  const itsPath = `/tenants/${rotated}/instances/taxify`;
  await service.putTenantSecret(rotated, { 'api.key': plantKey('before a rotation') });
  await expectResponse('to rotate', 201, service.post(rotated, { element: { key: 'taxify' } }));
  await expectResponse('beside', 400, service.patch(itsPath, evil), 'invalid-request');
  await service.putTenantSecret(rotated, { 'api.key': plantKey('that was rotated in the secret') });
  await expectResponse('secret sent again', 200, service.patch(itsPath, sendSecret));
  await service.putTenantSecret(rotated, { [plantKey('as a name in the secret')]: null });
  const unusable = service.patch(itsPath, sendSecret);
  await expectResponse('unusable secret', 503, unusable, 'tenant-credentials-unusable');

  service.simulator.fail({
    on: 'DELETE /instances/{id}',
    ...notApplied(409, { body: { requestId: '0123456789abcdef01234567', message: token } }),
  });
  await expectResponse('removal on its way', 202, service.delete(path));
  await expectResponse('removed', 204, service.delete(path));

  const leaving = newTenant();
  const stored = plantKey('of a tenant that leaves');
  await service.putTenantSecret(leaving, { 'api.key': stored });
  await service.deliverEvents(tenantOnboarded(leaving));
  const ownPath = `/tenants/${leaving}/instances/taxify`;
  for (const quotation of [stored, inSmallPercents(stored), Buffer.from(`u:${stored}`).toString('base64')]) {
    service.simulator.fail({
      on: 'PATCH /instances/{id}',
      ...notApplied(400, {
        body: { requestId: '0123456789abcdef01234567', message: `Invalid value: ${quotation}` },
      }),
    });
    const renamed = service.patch(ownPath, { name: 'Renamed' });
    await expectResponse('stored key quoted', 400, renamed, 'refused-by-cloud-elements');
  }
  const offboarded = { tenantId: leaving, note: plantKey('in a malformed offboarding event') };
  await service.deliverEvents(
    eventOf('crm.example', 'TenantOffboarded', { tenantId: leaving }),
    eventOf('crm.example', 'TenantOffboarded', offboarded),
  );
  await expectResponse('gone', 404, service.get(`/tenants/${leaving}/instances/taxify`), 'not-found');
  for (const name of ['reconcile-instances', 'audit-instances'] as const)
    await service.stack.runSchedule(name);
}

test('no secret and no token is in the functions’ logs', () => {
  expect(service.stack.logs.length).toBeGreaterThan(60);
  expect(leaksIn(service.stack.logs)).toEqual([]);
});

test('no secret, no token and no tenant is in a metric', () => {
  const { metrics } = service.stack;
  expect(metrics.length).toBeGreaterThan(60);
  expect(leaksIn(metrics)).toEqual([]);
  expect(metrics.filter((line) => line.includes('tenant-'))).toEqual([]);
});

test('no secret and no token is in a response, but the token in that of its own route', () => {
  expect(results.length).toBeGreaterThan(50);
  expect(
    leaksIn(results.map(({ what, result }) => `${what} ${JSON.stringify(result.headers)} ${result.text}`)),
  ).toEqual([]);
});

test('no secret and no token is in the table in clear text', () => {
  const ofThisService = tables.filter((text) => !text.includes('"secret"'));
  expect(ofThisService.length).toBeGreaterThan(50);
  expect(leaksIn(ofThisService)).toEqual([]);
});

test('no secret and no token is in an event of the service', () => {
  const ours = service.stack.events.filter(({ source }) => source === 'element-onboarding');
  const types = new Set(ours.map((event) => event['detail-type']));
  expect([...types].toSorted()).toEqual([
    'InstanceFailed',
    'InstanceProvisioned',
    'InstanceRemoved',
    'InstanceUnhealthy',
    'InstanceUpdated',
  ]);
  const answersToToolkit = service.stack.events.filter(({ source }) => source === 'sbt.application.plane');
  expect(answersToToolkit.length).toBeGreaterThan(0);
  expect(leaksIn([...ours, ...answersToToolkit].map((event) => JSON.stringify(event)))).toEqual([]);
});

test('no secret is in a dead letter, except those that its sender wrote into it', async () => {
  const bodies = (await service.deadLetters()).map(({ body }) => body);
  expect(bodies).toHaveLength(9);
  expect(bodies.filter((body) => leaksIn([body]).length > 0)).toHaveLength(5);
});

test('the leak search finds each secret in any form, even in part', () => {
  expect(planted.filter(({ what }) => what.startsWith('the token')).length).toBeGreaterThan(10);
  const missed = planted.flatMap(({ what, secret }) =>
    [
      `x${secret}x`,
      `... ${secret.slice(5, 5 + quotedLength)} ...`,
      JSON.stringify({ secret }),
      JSON.stringify(JSON.stringify({ secret })),
      `https://tests.invalid/?secret=${encodeURIComponent(secret)}`,
      new URLSearchParams({ secret }).toString(),
      inSmallPercents(`key ${secret}`),
      withUnicodeEscapes(`key ${secret}`),
      inHtml(`<b>${secret}</b>`),
      Buffer.from(`key ${secret}`).toString('hex'),
      `KEY ${secret.toUpperCase()}`,
      `key ${secret.toLowerCase()}`,
      Buffer.from(secret).toString('base64'),
      Buffer.from(`user:${secret}`).toString('base64'),
      Buffer.from(`token ${secret}.`).toString('base64url'),
    ]
      .filter((text) => leaksIn([text]).length === 0)
      .map((text) => `${what} in ${text}`),
  );
  expect(missed).toEqual([]);
});

test('an unreadable response of AWS is not quoted', async () => {
  const secret = `${random()}${random()}`;
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' });
    response.end(`{"SecretString": ${secret}}`);
  });
  const endpoint = await listenOnLoopback(server, 0);
  const credentials = { accessKeyId: 'tests', secretAccessKey: 'tests' };
  const client = new SecretsManagerClient({ endpoint, region: 'us-east-1', credentials });
  try {
    const read = createTenantSecrets({ client, prefix: 'tests' });
    await expect(read({ tenantId: 't', elementKey: 'taxify' })).rejects.toMatchObject({
      code: 'aws-unavailable',
      facts: { cause: { name: 'SyntaxError', message: 'the answer cannot be read' } },
    });
  } finally {
    client.destroy();
    await closeServer(server);
  }
});
