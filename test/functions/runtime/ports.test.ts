import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest';
import {
  openAuditProgress,
  openCipher,
  openEventPublisher,
  openImportedIds,
  openStore,
} from '../../../functions/runtime/ports.ts';
import { startAwsEndpoint } from '../../../infra/local/aws/aws-endpoint.ts';

const requests: [target: string, body: unknown][] = [];
const targets = [
  'DynamoDB_20120810.GetItem',
  'DynamoDB_20120810.PutItem',
  'TrentService.Decrypt',
  'AWSEvents.PutEvents',
];
const operationOf = (target: string) => (body: unknown) => {
  requests.push([target, body]);
  return { Plaintext: 'dG9rZW4=', Entries: [{ EventId: 'event-1' }] };
};
const endpoint = await startAwsEndpoint({
  operations: Object.fromEntries(targets.map((target) => [target, operationOf(target)])),
});
afterAll(() => endpoint.stop());

beforeEach(() => {
  requests.length = 0;
  // Where the SDK looks for its servers and credentials; a function finds them in its environment.
  vi.stubEnv('AWS_REGION', 'us-east-1');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'tests');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'tests');
  vi.stubEnv('AWS_ENDPOINT_URL', endpoint.url);
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const key = { tenantId: 'acme', elementKey: 'taxify' };
const table = { TABLE_NAME: 'a-table' };
const bus = { EVENT_BUS_NAME: 'a-bus' };
const result = (source: string) => ({
  tenantId: 'acme',
  events: [{ source, detailType: 'any', detail: {}, timeMs: 0 }],
});
const toolkit = 'sbt.application.plane';

test.each<[string, (environment: NodeJS.ProcessEnv) => Promise<unknown>, NodeJS.ProcessEnv, string, object]>([
  [
    'the store',
    (environment) => openStore(environment).get(key),
    table,
    'DynamoDB_20120810.GetItem',
    { TableName: 'a-table' },
  ],
  [
    'the audit’s progress',
    (environment) => openAuditProgress(environment).get(),
    table,
    'DynamoDB_20120810.GetItem',
    { TableName: 'a-table' },
  ],
  [
    'the imported ids',
    (environment) => openImportedIds(environment).hold(7, { ...key, provisionId: 'generation-1' }),
    table,
    'DynamoDB_20120810.PutItem',
    { TableName: 'a-table' },
  ],
  [
    'the cipher',
    (environment) => openCipher(environment).decrypt(new Uint8Array([1]), key),
    { TOKEN_KEY_ID: 'a-key' },
    'TrentService.Decrypt',
    { KeyId: 'a-key' },
  ],
  [
    'the publisher',
    (environment) => openEventPublisher(environment)([result(toolkit)]),
    bus,
    'AWSEvents.PutEvents',
    { Entries: [{ EventBusName: 'a-bus', Source: toolkit }] },
  ],
  [
    'the publisher, with a source of the toolkit’s own',
    (environment) => openEventPublisher(environment)([result(toolkit)]),
    { ...bus, SBT_APPLICATION_PLANE_SOURCE: 'another' },
    'AWSEvents.PutEvents',
    { Entries: [{ Source: 'another' }] },
  ],
])('%s is opened with its settings alone', async (_what, act, environment, target, body) => {
  await act(environment);
  expect(requests).toMatchObject([[target, body]]);
  const [name = ''] = Object.keys(environment);
  await expect(async () => act({})).rejects.toThrow(`Wrong environment: ${name} is missing: expected text`);
});
