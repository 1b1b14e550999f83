import { DynamoDBClient, PutItemCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openApiDocument } from '../../../../infra/contract/openapi.ts';
import { startLocalStackWithPage } from '../../../../infra/local/page/page.ts';
import { createLeakSearch } from '../../../support/leak-search.ts';
import { sharedBundle } from '../../../support/shared-bundle.ts';

let stack: Awaited<ReturnType<typeof startLocalStackWithPage>>;
let dynamoDb: DynamoDBClient;
beforeAll(async () => {
  stack = await startLocalStackWithPage({ bundle: sharedBundle });
  const credentials = { accessKeyId: 'tests', secretAccessKey: 'tests' };
  dynamoDb = new DynamoDBClient({ endpoint: stack.dynamodbUrl, region: 'us-east-1', credentials });
});
afterAll(async () => {
  dynamoDb.destroy();
  await stack.stop();
});

const pathOf = (tenantId: string) => `/tenants/${tenantId}/instances`;
const json = { 'content-type': 'application/json' };

function provision(tenantId: string, settings: object = {}): Promise<Response> {
  const body = {
    element: { key: 'taxify' },
    configuration: { 'api.key': `key-of-${tenantId}` },
    ...settings,
  };
  return fetch(`${stack.apiUrl}${pathOf(tenantId)}`, {
    method: 'POST',
    headers: json,
    body: JSON.stringify(body),
  });
}

const page = async (): Promise<string> => (await fetch(stack.pageUrl)).text();

/** The text of the tenant's row in the page. */
async function rowOf(tenantId: string, elementKey = 'taxify'): Promise<string> {
  const rows = (await page())
    .split('<tr')
    .filter((row) => row.includes(`data-key="${tenantId}/${elementKey}"`))
    .map((row) => row.split('</tr>')[0]);
  return textOf(rows.join(''));
}

/** The texts of the entries about the tenant, the latest first. */
async function activityOf(tenantId: string): Promise<string[]> {
  const [, activity = ''] = (await page()).split('id="activity"');
  return activity
    .split('<tr')
    .map((row) => textOf(row.split('</tr>')[0]))
    .filter((text) => text.includes(` ${tenantId} `));
}

const textOf = (markup = ''): string =>
  `<${markup}`
    .replaceAll('<wbr />', '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)))
    .replaceAll(/\s+/g, ' ')
    .trim();

/** An action goes on after its form was answered. */
const patience = { timeout: 10_000 };
const pageText = async (): Promise<string> => textOf(await page());

type Sent = { status: number | undefined; location: string | undefined };

/** Sends a form as a browser does; `fetch` would set these headers itself. */
function submit(
  path: string,
  form: Record<string, string>,
  { headers = {}, body = new URLSearchParams(form).toString() }: { headers?: object; body?: string } = {},
): Promise<Sent> {
  const sent = { 'content-type': 'application/x-www-form-urlencoded', ...headers };
  return new Promise((resolve, reject) => {
    request(new URL(path, stack.pageUrl), { method: 'POST', headers: sent }, (response) => {
      response.resume();
      resolve({ status: response.statusCode, location: response.headers.location });
    })
      .once('error', reject)
      .end(body);
  });
}

const flip = (name: string) => submit('/switch', { switch: name });
const isArmed = async (name: string): Promise<boolean> =>
  new RegExp(`id="switch-${name}"\\s+aria-pressed="true"`).test(await page());

/** The stream's messages until they contain the text. */
async function streamUntil(text: string): Promise<string> {
  const response = await fetch(`${stack.pageUrl}/stream`);
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  let received = '';
  for await (const chunk of response.body ?? []) {
    received += Buffer.from(chunk).toString();
    if (received.includes(text)) break;
  }
  return received;
}

test('the page shows a tenant beside its instance, and its activity, without a script', async () => {
  expect((await provision('plain', { name: 'Plain Inc.', tags: ['eu'] })).status).toBe(201);
  await stack.idle();
  const id = stack.simulator.instances.at(-1)?.id;
  expect(await rowOf('plain')).toBe(
    `plain taxify active ${id} Plain Inc. eu ${id} Plain Inc. One instance Recorded here and live there. Repeat Remove`,
  );
  expect((await activityOf('plain')).map((text) => text.replaceAll(/[\d:]{8} | [\d.]+ m?s$/g, ''))).toEqual([
    'Event InstanceProvisioned taxify plain from element-onboarding',
    'Cloud Elements POST /instances plain 200',
    'HTTP API POST /tenants/plain/instances plain 201',
  ]);
});

test.each([
  ['lose-response', 'connection cut: the instance was created'],
  ['bad-gateway', '502: the instance was created'],
])('after the switch %s the instance is found, and there is one', async (name, outcome) => {
  await flip(name);
  expect(await isArmed(name)).toBe(true);
  expect((await provision(name)).status).toBe(201);
  expect(await isArmed(name)).toBe(false);
  expect(await rowOf(name)).toContain('One instance');
  expect((await activityOf(name)).join('\n')).toContain(`POST /instances ${name} ${outcome}`);
});

test('after the switch time-out the request waits, and the instance is in doubt', async () => {
  await flip('time-out');
  void provision('patient').catch(() => {});
  await expect
    .poll(() => rowOf('patient'), patience)
    .toMatch(/provisioning .* In doubt Created, but the response is missing/);
  expect((await activityOf('patient')).filter((text) => text.endsWith('waiting'))).toHaveLength(2);
});

test('after the switch kill-function the instance is in doubt until a repeat finds it', async () => {
  await flip('kill-function');
  expect((await provision('killed')).status).toBe(500);
  expect(await rowOf('killed')).toMatch(/provisioning .* In doubt Created, but the response is missing/);
  expect(await pageText()).toContain('Service provision-instance process killed');
  await dynamoDb.send(
    new UpdateItemCommand({
      TableName: stack.tableName,
      Key: { tenantId: { S: 'killed' }, elementKey: { S: 'taxify' } },
      UpdateExpression: 'SET leaseExpiresAt = :past',
      ExpressionAttributeValues: { ':past': { N: '1' } },
    }),
  );
  expect(await submit('/repeat', { tenantId: 'killed', elementKey: 'taxify' })).toEqual({
    status: 303,
    location: '/',
  });
  await expect.poll(() => rowOf('killed'), patience).toContain('One instance');
});

const activityOfNothing = async (): Promise<string> => (await activityOf('nothing')).join('\n');

test('after the switch bad-gateway-nothing-created nothing is there, and no other create is sent', async () => {
  await flip('bad-gateway-nothing-created');
  void provision('nothing').catch(() => {});
  await expect
    .poll(activityOfNothing, patience)
    .toContain('POST /instances nothing 502: nothing was created');
  // The row says so only when the service has given up looking.
  expect(await rowOf('nothing')).toMatch(/provisioning .*none In doubt The response to its create was lost/);
  expect((await activityOfNothing()).match(/POST \/instances /g)).toHaveLength(1);
});

test('a switch that is flipped twice is off, and another takes its place', async () => {
  await flip('lose-response');
  await flip('time-out');
  expect(await isArmed('lose-response')).toBe(false);
  expect(await isArmed('time-out')).toBe(true);
  await flip('time-out');
  expect(await isArmed('time-out')).toBe(false);
});

test('new instances are listed late while that switch is on', async () => {
  await submit('/list-late', {});
  expect(stack.simulator.listLagMs).toBe(20_000);
  await submit('/list-late', {});
  expect(stack.simulator.listLagMs).toBe(0);
});

test('the form provisions by a request and by an event, and says why it is refused', async () => {
  await submit('/provision', { tenantId: 'form', elementKey: 'taxify', name: 'Form', tags: 'eu, gold' });
  await expect.poll(() => rowOf('form'), patience).toContain('Form eu gold');
  await expect.poll(pageText, patience).toMatch(/POST \/tenants\/form\/instances 201: active, instance \d+/);

  await submit('/provision', { tenantId: 'by-event', elementKey: 'taxify', name: '', tags: '', by: 'event' });
  await stack.idle();
  await expect.poll(() => rowOf('by-event'), patience).toContain('One instance');
  // The repeat of a tenant whose key is in its secret brings no configuration.
  await submit('/repeat', { tenantId: 'by-event', elementKey: 'taxify' });
  await expect.poll(pageText, patience).toMatch(/POST \/tenants\/by-event\/instances 200: active/);

  await submit('/provision', { tenantId: 'not an id', elementKey: 'taxify', tags: '<b>' });
  await expect.poll(pageText, patience).toMatch(/instances 400: #?\/?.*tenantId.* letters, digits/);
  await submit('/provision', { tenantId: 'not an id', elementKey: 'taxify', by: 'event' });
  await expect.poll(pageText, patience).toContain("A tenant's id has letters, digits");
});

test.each([
  ['an-id', 'NO!KEY', 'DELETE /tenants/an-id/instances/… 400: '],
  ['no!id', 'taxify', 'DELETE /tenants/…/instances/taxify 400: '],
  ['$&', '$1', 'DELETE /tenants/…/instances/… 400: '],
  ['a/b', 'taxify?c#d', 'DELETE /tenants/…/instances/… 400: '],
  ['..', 'taxify', "DELETE /tenants/…/instances/taxify not sent: A tenant's id has letters, digits"],
  ['', 'taxify', "DELETE /tenants/…/instances/taxify not sent: A tenant's id has letters, digits"],
  ['an-id', '..', "DELETE /tenants/an-id/instances/… not sent: An element's key has lower-case letters"],
  ['an-id', '', "DELETE /tenants/an-id/instances/… not sent: An element's key has lower-case letters"],
])('the result of a form for %o and %o names ids alone', async (tenantId, elementKey, result) => {
  await submit('/remove', { tenantId, elementKey });
  const [, shown = ''] = (await page()).split('id="result"');
  expect(textOf(shown.split('</div>')[0])).toContain(result);
});

test('requests show ids alone: other text in a path or a marker may be anything', async () => {
  const headers = { authorization: 'User local-user-secret, Organization local-organization-secret' };
  const at = (path: string) => fetch(`${stack.cloudElementsUrl}/elements/api-v2${path}`, { headers });
  await fetch(`${stack.apiUrl}/tenants/shown-id/instances/Path-Text-4711`);
  await at('/elements/Path-Text-4712');
  await at('/hubs/Path-Text-4713/ping');
  await at('/instances?tags[]=tenant:Path%20Text%204714');
  const activity = textOf((await page()).split('id="activity"')[1]);
  expect(activity).not.toMatch(/471\d/);
  expect(activity).toContain('GET /tenants/shown-id/instances/… shown-id 400');
  expect(activity).toMatch(
    /GET \/elements\/… 404 .*GET \/hubs\/…\/ping |GET \/hubs\/…\/ping .*GET \/elements\/… 404/,
  );
});

test('every element of the simulator can be provisioned from the form', async () => {
  const [, options = ''] = (await page()).split('name="elementKey"');
  const keys = [...(options.split('</select>')[0] ?? '').matchAll(/value="([^"]+)"/g)].map(
    ([, key = '']) => key,
  );
  expect(keys.length).toBeGreaterThan(10);
  for (const key of keys) {
    await submit('/provision', { tenantId: 'all', elementKey: key });
    await expect.poll(() => rowOf('all', key), patience).toContain('One instance');
  }
});

test('a removed tenant keeps its tombstone in the page, and other items of the table are not shown', async () => {
  await provision('removed');
  await submit('/remove', { tenantId: 'removed', elementKey: 'taxify' });
  await expect.poll(() => rowOf('removed'), patience).toMatch(/^removed taxify removed .*none Removed/);
  for (const [tenantId, elementKey] of [
    ['*audit', 'progress'],
    ['leaving', '*'],
  ] as const) {
    const Item = { tenantId: { S: tenantId }, elementKey: { S: elementKey } };
    await dynamoDb.send(new PutItemCommand({ TableName: stack.tableName, Item }));
  }
  expect(await page()).not.toMatch(/\*audit|leaving/);
});

test('a refused create shows its reason beside the finding', async () => {
  stack.simulator.fail({ on: 'POST /instances', effect: 'none', outcome: { kind: 'status', status: 400 } });
  await submit('/provision', { tenantId: 'refused.by_them', elementKey: 'taxify', by: 'event' });
  await stack.idle();
  await expect
    .poll(() => rowOf('refused.by_them'), patience)
    .toMatch(
      /failed taxify-\S+ none Failed Nothing was created. refused-by-cloud-elements Cloud Elements refused/,
    );
});

test('lost, duplicated and foreign instances, and rows that cannot be read, are shown as such', async () => {
  for (const tenantId of ['lost', 'duplicated']) await provision(tenantId);
  const instanceOf = (tenantId: string) =>
    stack.simulator.instances.findIndex(({ tags }) => tags.includes(`tenant:${tenantId}`));
  const { tags = [] } = stack.simulator.instances[instanceOf('duplicated')] ?? {};
  stack.simulator.seed({
    element: { key: 'taxify' },
    name: 'again',
    tags,
    configuration: { 'api.key': 'k' },
  });
  const { id: lostId } = stack.simulator.instances[instanceOf('lost')] ?? {};
  await fetch(`${stack.cloudElementsUrl}/elements/api-v2/instances/${lostId}`, {
    method: 'DELETE',
    headers: { authorization: 'User local-user-secret, Organization local-organization-secret' },
  });
  stack.simulator.seed({
    element: { key: 'taxify' },
    name: 'by hand',
    tags: ['x'],
    configuration: { 'api.key': 'k' },
  });
  const Item = { tenantId: { S: 'odd' }, elementKey: { S: 'taxify' }, v: { N: '2' }, name: { S: 'Odd' } };
  await dynamoDb.send(new PutItemCommand({ TableName: stack.tableName, Item }));
  expect(await rowOf('lost')).toContain('Lost Recorded as active');
  expect(await rowOf('duplicated')).toContain('Duplicated More than one live instance');
  expect(await rowOf('odd')).toContain('Unreadable');
  expect(await pageText()).toMatch(/1 Duplicated|Duplicated 1/);
  expect(await pageText()).toContain('Cloud Elements has 1 instance that the service did not create.');
});

test('the stream sends each change', async () => {
  const received = streamUntil('data-key=\\"streamed/taxify\\"');
  await sleep(50);
  await provision('streamed');
  const messages = (await received).split('\n\n').filter(Boolean);
  expect(messages.length).toBeGreaterThan(1);
  expect(JSON.parse(messages[0]?.replace(/^data: /, '') ?? '')).toEqual({
    summary: expect.any(String),
    tenants: expect.any(String),
    more: expect.any(String),
    activity: expect.any(String),
    switches: expect.any(String),
    result: expect.any(String),
  });
});

const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(1)>`;

test('texts of tenants, instances and events are shown as text', async () => {
  stack.simulator.seed({
    element: { key: 'taxify' },
    name: 'n',
    tags: [`tenant:hostile`],
    configuration: { 'api.key': 'k' },
  });
  const instance = stack.simulator.instances.at(-1);
  if (instance) Object.assign(instance, { name: hostile, tags: [`tenant:${hostile}`] });
  const Entries = [
    {
      EventBusName: stack.busName,
      Source: hostile,
      DetailType: hostile,
      Detail: JSON.stringify({ tenantId: hostile }),
    },
  ];
  await fetch(stack.awsUrl, {
    method: 'POST',
    headers: { 'x-amz-target': 'AWSEvents.PutEvents' },
    body: JSON.stringify({ Entries }),
  });
  await submit('/provision', { tenantId: hostile, elementKey: hostile, name: hostile, tags: hostile });
  await submit('/remove', { tenantId: hostile, elementKey: hostile });
  const seen = [await page(), await streamUntil('\n\n')];
  for (const text of seen) {
    expect(text).toContain('onerror');
    expect(text).not.toMatch(/<img|<script>/);
    expect(text).not.toContain(hostile);
  }
});

test.each([
  { origin: 'https://site.example' },
  { origin: 'null' },
  { origin: 'http://localhost:3000' },
  { origin: 'http://127.0.0.1' },
  { 'sec-fetch-site': 'cross-site' },
  { 'sec-fetch-site': 'same-site' },
  { host: 'rebound.example' },
  { host: 'rebound.example', origin: 'http://rebound.example', 'sec-fetch-site': 'same-origin' },
])('a form from elsewhere flips no switch and provisions nothing: %j', async (headers) => {
  const before = stack.simulator.requests.length;
  expect((await submit('/switch', { switch: 'lose-response' }, { headers })).status).toBe(403);
  const provisioned = submit('/provision', { tenantId: 'foreign', elementKey: 'taxify' }, { headers });
  expect((await provisioned).status).toBe(403);
  expect(await isArmed('lose-response')).toBe(false);
  expect(stack.simulator.requests.length).toBe(before);
});

test('the page accepts its own forms, and those of programs', async () => {
  const { origin, host } = new URL(stack.pageUrl);
  const own = { host, origin, 'sec-fetch-site': 'same-origin' };
  expect((await submit('/switch', { switch: 'lose-response' }, { headers: own })).status).toBe(303);
  expect(await isArmed('lose-response')).toBe(true);
  expect((await flip('lose-response')).status).toBe(303);
  expect(await isArmed('lose-response')).toBe(false);
});

test('a body that is no form is refused', async () => {
  const asJson = { headers: json, body: '{"switch":"lose-response"}' };
  expect((await submit('/switch', {}, asJson)).status).toBe(415);
  const asText = { headers: { 'content-type': 'text/plain' }, body: 'switch=lose-response' };
  expect((await submit('/switch', {}, asText)).status).toBe(415);
  expect(await isArmed('lose-response')).toBe(false);
});

test('no secret, key or token is in the page, in its stream or in its reference', async () => {
  const search = createLeakSearch();
  const keys = ['key-of-request-4711', 'key-of-secret-4711', 'key-in-path-4711', 'key-in-event-4711'];
  for (const key of keys) search.plant(key, key);
  for (const secret of ['local-user-secret', 'local-organization-secret']) search.plant(secret, secret);
  const watching = streamUntil('InstanceProvisioned taxify<wbr /></td>\\n    <td class=\\"who\\">secretive');
  await sleep(50);

  await provision('private', { configuration: { 'api.key': keys[0] } });
  await fetch(`${stack.apiUrl}${pathOf('private')}/taxify/token`);
  stack.putSecret(stack.tenantSecretName('secretive', 'taxify'), { 'api.key': keys[1] });
  // Neither belongs there, and the service refuses both.
  await fetch(`${stack.apiUrl}${pathOf(`${keys[2]}!`)}?key=${keys[2]}`);
  const events = [
    { tenantId: 'careless', configuration: { 'api.key': keys[3] } },
    { tenantId: 'secretive' },
  ].map((detail) => ({
    EventBusName: stack.busName,
    Source: 'crm',
    DetailType: 'TenantOnboarded',
    Detail: JSON.stringify(detail),
  }));
  await fetch(stack.awsUrl, {
    method: 'POST',
    headers: { 'x-amz-target': 'AWSEvents.PutEvents' },
    body: JSON.stringify({ Entries: events }),
  });
  const stream = await watching;
  for (const { token } of stack.simulator.instances) search.plant('a token', token);
  expect(stack.simulator.instances.length).toBeGreaterThan(2);
  const reference = await (await fetch(`${stack.pageUrl}/api/openapi.json`)).text();
  expect(search.leaksIn([stream, await page(), reference])).toEqual([]);
});

test('the API reference shows the contract, with this stack as its first server, from files of this machine', async () => {
  const reference = await fetch(`${stack.pageUrl}/api`);
  const markup = await reference.text();
  expect(markup).not.toMatch(/(src|href)="(https?:)?\/\//);
  const files = [...markup.matchAll(/<(?:script|link)[^>]*(?:src|href)="([^"]+)"/g)].map(
    ([, file = '']) => file,
  );
  expect(files.length).toBeGreaterThan(3);
  for (const file of files) expect((await fetch(new URL(file, stack.pageUrl))).status).toBe(200);
  const { servers, ...document } = openApiDocument();
  expect(await (await fetch(`${stack.pageUrl}/api/openapi.json`)).json()).toEqual({
    ...JSON.parse(JSON.stringify(document)),
    servers: [{ url: stack.apiUrl, description: 'This local stack' }, ...servers],
  });
});

test.each(['/', '/api', '/page.js', '/stream'])(
  '%s runs scripts of the page alone, in no frame',
  async (path) => {
    const response = await fetch(`${stack.pageUrl}${path}`);
    await response.body?.cancel();
    const policy = response.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toMatch(/script-src 'self';/);
    expect(policy).toContain("frame-ancestors 'none'");
    expect(response.headers.get('access-control-allow-origin')).toBe(null);
  },
);

test('a taken port is named as that of the page', async () => {
  const port = Number(new URL(stack.pageUrl).port);
  await expect(startLocalStackWithPage({ bundle: sharedBundle, ports: { page: port } })).rejects.toThrow(
    `Port ${port}, meant for the page, is taken`,
  );
});

test.each(['//', '//host', '/%', '*', '/\\\\'])(
  'the path %o gets a response, and the stack goes on',
  async (path) => {
    const { hostname, port } = new URL(stack.pageUrl);
    const status = await new Promise((resolve, reject) => {
      request({ hostname, port, path }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .once('error', reject)
        .end();
    });
    expect(status).toBe(404);
    expect(await pageText()).toContain('Tenants');
  },
);
