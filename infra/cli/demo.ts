import { commandLine, parseOptions } from './command.ts';
import * as z from 'zod/mini';
import { createClient } from '../contract/client.ts';
import { accent, bold, coloredStatus, dim, print } from './terminal.ts';

/** `npm run demo`: exits with 0 when every step has the expected result. */
commandLine('npm run demo   provisions three tenants step by step, on a local stack of its own', (args) =>
  parseOptions({ args }),
);

// Imported only now: `--help` needs none of it.
const { EventBridgeClient, PutEventsCommand } = await import('@aws-sdk/client-eventbridge');
const { startLocalStack } = await import('../local/stack.ts');
await using stack = await startLocalStack();
const { simulator } = stack;
/** The rest of an entry describes its form field. */
const configurationSchema = z.array(z.object({ key: z.string(), propertyValue: z.nullable(z.string()) }));
let steps = 0;

print(`
${bold('element-onboarding')}: each tenant's Cloud Elements instance, made exactly once.
${dim('Everything runs on this machine; the first request also starts its function.')}`);

const instance = { element: { key: 'taxify' }, name: 'Acme', tags: ['eu'] };
const withKey = { ...instance, configuration: { 'api.key': 'acme-taxify-key' } };

await step(
  'A request without the Taxify API key: the response names the missing entry',
  400,
  post('acme', instance),
);
await step('With the key, the instance is provisioned', 201, post('acme', withKey));
await step('The same request again returns the same instance', 200, post('acme', withKey));
note(`Cloud Elements has ${count(simulator.instances.length, 'instance')} and received ${creates()}.`);
await step('The application reads its element token', 200, get('/tenants/acme/instances/taxify/token'));

const another = { ...instance, name: 'Initech', configuration: { 'api.key': 'initech-taxify-key' } };
simulator.requests.length = 0;
simulator.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'reset' } });
simulator.listLagMs = 60_000;
await step(
  'Cloud Elements creates an instance, but the response is lost on the way',
  202,
  post('initech', another),
);
note('Another create would make a second instance, so the service looks for the first one instead:');
note(`it sent ${creates()}, then ${lookUps()}. Cloud Elements does not list the instance yet.`);
simulator.listLagMs = 0;
await step(
  'With the next request, the service finds that instance and keeps its token',
  201,
  post('initech', another),
);
note(`Cloud Elements has ${instancesOf('initech')} of initech and received ${creates()}.`);

stack.putSecret(stack.tenantSecretName('globex', 'taxify'), { 'api.key': 'globex-taxify-key' });
await step('A tenant is onboarded by an event; the key comes from its secret', 200, onboardByEvent('globex'));
await step('The list of that tenant', 200, get('/tenants/globex/instances'));

const application = createClient({
  apiUrl: stack.apiUrl,
  region: 'us-east-1',
  credentials: () => ({ accessKeyId: 'local', secretAccessKey: 'local' }),
  secretsManagerUrl: stack.awsUrl,
  cloudElements: { baseUrl: stack.cloudElementsUrl, secrets: stack.runtimeSecretName },
});
await step('The application calls an element with the token: the client builds the header', 200, {
  shown: 'GET /elements/api-v2/instances/configuration',
  body: { authorization: 'User …, Organization …, Element …' },
  send: async () => {
    const response = await application.fetch('globex', 'taxify')('/instances/configuration');
    return {
      status: response.status,
      received: configurationSchema.parse(await response.json()).slice(0, 2),
    };
  },
});

if (simulator.instances.length !== 3) {
  throw new Error(`Expected one instance for each of 3 tenants, got ${simulator.instances.length}.`);
}
print(
  `\n${bold('Done.')} Three tenants, ${count(simulator.instances.length, 'instance')}. ` +
    `${dim('To try it yourself: npm start')}\n`,
);

type ReceivedResponse = { status: number; received: unknown };
type Act = { shown: string; body?: object; send: () => Promise<ReceivedResponse> };

async function step(title: string, expectedStatus: number, { shown, body, send }: Act): Promise<void> {
  print(`\n${bold(`${++steps}. ${title}`)}`);
  print(`   ${dim('→')} ${accent(shown)}`);
  if (body) print(indented(body));
  const startedAt = performance.now();
  const { status, received } = await send();
  const tookMs = Math.round(performance.now() - startedAt);

  print(`   ${dim('←')} ${coloredStatus(status)} ${dim(`in ${tookMs} ms`)}`);
  print(indented(received));
  if (status !== expectedStatus) throw new Error(`Step ${steps}: expected ${expectedStatus}, got ${status}.`);
}

function note(text: string): void {
  print(dim(`   ${text}`));
}

function get(path: string): Act {
  return { shown: `GET ${path}`, send: () => call(path) };
}

function post(tenantId: string, body: object): Act {
  const path = `/tenants/${tenantId}/instances`;
  const headers = { 'content-type': 'application/json' };
  return {
    shown: `POST ${path}`,
    body,
    send: () => call(path, { method: 'POST', headers, body: JSON.stringify(body) }),
  };
}

async function call(path: string, request: RequestInit = {}): Promise<ReceivedResponse> {
  const response = await fetch(`${stack.apiUrl}${path}`, request);
  return { status: response.status, received: JSON.parse(await response.text(), hideToken) };
}

function onboardByEvent(tenantId: string): Act {
  const path = `/tenants/${tenantId}/instances/taxify`;
  const entry = { Source: 'crm', DetailType: 'TenantOnboarded', Detail: JSON.stringify({ tenantId }) };
  const send = async () => {
    const client = new EventBridgeClient({
      endpoint: stack.awsUrl,
      region: 'us-east-1',
      credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    });
    await client.send(new PutEventsCommand({ Entries: [{ EventBusName: stack.busName, ...entry }] }));
    client.destroy();
    await stack.idle();
    return call(path);
  };
  return { shown: `PutEvents, then GET ${path}`, body: entry, send };
}

/** Tokens are not printed, even those of the simulator. */
function hideToken(key: string, value: unknown): unknown {
  return key === 'token' && typeof value === 'string'
    ? `${value.slice(0, 4)}… (${value.length} characters)`
    : value;
}

function requestsFor(operation: string): number {
  return simulator.requests.filter((request) => request.operation === operation).length;
}

function creates(): string {
  return count(requestsFor('POST /instances'), 'create');
}

function lookUps(): string {
  return count(requestsFor('GET /instances'), 'look-up');
}

function instancesOf(tenantId: string): string {
  return count(
    simulator.instances.filter(({ tags }) => tags.includes(`tenant:${tenantId}`)).length,
    'instance',
  );
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** JSON in which values that fit take one line. */
function indented(value: unknown): string {
  return JSON.stringify(value, undefined, 2)
    .replaceAll(/[[{]\n[^[\]{}]{0,60}\n *[\]}]/g, (block) => block.replaceAll(/\s*\n\s*/g, ' '))
    .replaceAll(/\[ (.*) \]/g, '[$1]')
    .replaceAll(/^/gm, '     ');
}
