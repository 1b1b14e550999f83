import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { setTimeout } from 'node:timers/promises';
import { commandLine, parseOptions } from '../command-line.ts';
import { startLocalStack } from './stack.ts';
import { accent, bold, coloredStatus, dim, print } from './terminal.ts';

/** `npm run demo`: exits 0 when it went as told. */
commandLine('npm run demo   tells the story of two tenants, on a stack of its own', (args) =>
  parseOptions({ args }),
);

await using stack = await startLocalStack();
let steps = 0;

print(`
${bold('element-onboarding')}: each tenant's Cloud Elements instance, made exactly once.
${dim('Everything runs on this machine; the first request also starts its function.')}`);

const instance = { element: { key: 'taxify' }, name: 'Acme', tags: ['eu'] };
const withKey = { ...instance, configuration: { 'api.key': 'acme-taxify-key' } };

await step('A request without the Taxify API key: what is missing is named', 400, () =>
  request('POST', '/tenants/acme/instances', instance),
);
await step('With the key, the instance is provisioned', 201, () =>
  request('POST', '/tenants/acme/instances', withKey),
);
await step('Asked again, the same instance is the answer', 200, () =>
  request('POST', '/tenants/acme/instances', withKey),
);
print(
  dim(
    `   Cloud Elements has ${count(stack.simulator.instances.length, 'instance')} and has been sent ${count(creates(), 'create')}.`,
  ),
);
await step('The application reads its element token', 200, () =>
  request('GET', '/tenants/acme/instances/taxify/token'),
);

stack.putSecret(stack.tenantSecretName('globex', 'taxify'), { 'api.key': 'globex-taxify-key' });
await step(
  "Another tenant is onboarded by an event; the key comes from the tenant's secret",
  200,
  onboardByEvent,
);
await step('The list of that tenant', 200, () => request('GET', '/tenants/globex/instances'));
print(
  `\n${bold('Done.')} Two tenants, ${count(stack.simulator.instances.length, 'instance')}, ${count(creates(), 'create')}. ` +
    `${dim('To try it yourself: npm start')}\n`,
);

type Answer = { asked: string; sent?: unknown; status: number; received: unknown };

async function step(title: string, expectedStatus: number, act: () => Promise<Answer>): Promise<void> {
  const startedAt = performance.now();
  const { asked, sent, status, received } = await act();
  const tookMs = Math.round(performance.now() - startedAt);

  print(`\n${bold(`${++steps}. ${title}`)}`);
  print(`   ${dim('→')} ${accent(asked)}`);
  if (sent) print(indented(sent));
  print(`   ${dim('←')} ${coloredStatus(status)} ${dim(`in ${tookMs} ms`)}`);
  print(indented(received));
  if (status !== expectedStatus)
    throw new Error(`Step ${steps} was to be answered ${expectedStatus}, not ${status}.`);
}

async function request(method: 'GET' | 'POST', path: string, body?: object): Promise<Answer> {
  const response = await fetch(`${stack.apiUrl}${path}`, {
    method,
    ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  return {
    asked: `${method} ${path}`,
    sent: body,
    status: response.status,
    received: JSON.parse(await response.text(), hideToken),
  };
}

async function onboardByEvent(): Promise<Answer> {
  const client = new EventBridgeClient({
    endpoint: stack.awsUrl,
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  });
  const entry = { Source: 'crm', DetailType: 'TenantOnboarded', Detail: '{"tenantId":"globex"}' };
  await client.send(new PutEventsCommand({ Entries: [{ EventBusName: stack.busName, ...entry }] }));
  client.destroy();
  const path = '/tenants/globex/instances/taxify';
  let answer = await request('GET', path);
  for (let tries = 0; tries < 100 && !JSON.stringify(answer.received).includes('"active"'); tries++) {
    await setTimeout(50);
    answer = await request('GET', path);
  }
  return { ...answer, asked: `PutEvents, then GET ${path}`, sent: entry };
}

/** Even a token that opens nothing is not printed. */
function hideToken(key: string, value: unknown): unknown {
  return key === 'token' && typeof value === 'string'
    ? `${value.slice(0, 4)}… (${value.length} characters)`
    : value;
}

function creates(): number {
  return stack.simulator.requests.filter(({ operation }) => operation === 'POST /instances').length;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** JSON, with what fits on a line on one line. */
function indented(value: unknown): string {
  return JSON.stringify(value, undefined, 2)
    .replaceAll(/[[{]\n[^[\]{}]{0,60}\n *[\]}]/g, (block) => block.replaceAll(/\s*\n\s*/g, ' '))
    .replaceAll(/^/gm, '     ');
}
