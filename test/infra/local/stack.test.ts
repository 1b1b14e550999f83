import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { devNull, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { startLocalStack } from '../../../infra/local/stack.ts';

/** Replaces every function: answers with its environment, logs its messages and fails the one named so. */
const fixture = `
  export async function handler(event) {
    const { Records } = event;
    if (event.source === 'aws.events') return console.log('scheduled ' + event['detail-type'] + ' ' + event.resources);
    if (Records?.[0].dynamodb) return console.log('changed ' + Records.map(({ dynamodb }) => JSON.stringify(dynamodb.NewImage)));
    if (!Records) return { statusCode: 200, body: JSON.stringify(process.env) };
    const events = Records.map(({ messageId, body }) => ({ messageId, event: JSON.parse(body) }));
    for (const { event } of events) console.log('received ' + event['detail-type'] + ' ' + event.detail.tenantId);
    const failed = events.filter(({ event }) => event.detail.tenantId === 'failing');
    return { batchItemFailures: failed.map(({ messageId }) => ({ itemIdentifier: messageId })) };
  }
`;
const bundle = (_: string, directory: string) => writeFileSync(join(directory, 'index.mjs'), fixture);

function clientConfiguration(endpoint: string) {
  return { endpoint, region: 'us-east-1', credentials: { accessKeyId: 'local', secretAccessKey: 'local' } };
}

test('the local stack takes events from the bus through rules and queue to the function, or to the dead letters', async () => {
  await using stack = await startLocalStack({
    bundle,
    queue: { visibilityTimeoutMs: 20, maxReceiveCount: 2 },
  });
  const client = new EventBridgeClient(clientConfiguration(stack.awsUrl));
  const entry = (Source: string, DetailType: string, tenantId: string) => ({
    EventBusName: stack.busName,
    Source,
    DetailType,
    Detail: JSON.stringify({ tenantId }),
  });
  await client.send(
    new PutEventsCommand({
      Entries: [
        entry('any', 'TenantOnboarded', 'a'),
        entry('any', 'SomethingElse', 'b'),
        entry('any', 'onboardingRequest', 'c'),
        entry('controlPlaneEventSource', 'onboardingRequest', 'd'),
        entry('any', 'TenantOnboarded', 'failing'),
        { ...entry('any', 'TenantOnboarded', 'e'), EventBusName: 'another-bus' },
      ],
    }),
  );
  const queue = stack.queues.get('onboard-tenants');
  await queue?.idle();
  expect(stack.logs).toEqual([
    'received TenantOnboarded a',
    'received onboardingRequest d',
    'received TenantOnboarded failing',
    'received TenantOnboarded failing',
  ]);
  expect(queue?.deadLetters).toMatchObject([{ body: expect.stringContaining('"failing"'), receiveCount: 2 }]);
});

test('the local stack takes writes from the table through the stream to the function', async () => {
  await using stack = await startLocalStack({ bundle });
  const client = new DynamoDBClient(clientConfiguration(stack.dynamodbUrl));
  for (const status of ['provisioning', 'active']) {
    const Item = { tenantId: { S: 'a' }, elementKey: { S: 'taxify' }, status: { S: status } };
    await client.send(new PutItemCommand({ TableName: stack.tableName, Item }));
  }
  client.destroy();
  await stack.idle();
  expect(stack.logs).toEqual([
    'changed {"tenantId":{"S":"a"},"elementKey":{"S":"taxify"},"status":{"S":"active"}}',
  ]);
});

test('the local stack runs schedules on request', async () => {
  await using stack = await startLocalStack({ bundle });
  await stack.runSchedule('reconcile-instances');
  expect(stack.logs).toEqual([
    'scheduled Scheduled Event arn:aws:events:us-east-1:000000000000:rule/reconcile-instances',
  ]);
});

test('the local stack gives each function the environment of its row, and access to AWS', async () => {
  await using stack = await startLocalStack({ bundle });
  const response = await fetch(`${stack.apiUrl}/tenants/t/instances/taxify`);
  expect(await response.json()).toEqual({
    ...stack.environment,
    AWS_ACCESS_KEY_ID: 'get-instance',
    AWS_LAMBDA_FUNCTION_NAME: 'get-instance',
    PATH: expect.any(String),
    STAGE: 'local',
    TABLE_NAME: stack.tableName,
    TZ: 'UTC',
  });
});

test('the local stack has a working platform secret, unless another is given', async () => {
  const get = new GetSecretValueCommand({ SecretId: 'element-onboarding/platform' });
  await using stack = await startLocalStack();
  const secret = await new SecretsManagerClient(clientConfiguration(stack.awsUrl)).send(get);
  expect(JSON.parse(secret.SecretString ?? '')).toEqual({
    userSecret: expect.any(String),
    organizationSecret: expect.any(String),
  });
  await using bare = await startLocalStack({ platformSecret: null });
  await expect(new SecretsManagerClient(clientConfiguration(bare.awsUrl)).send(get)).rejects.toMatchObject({
    name: 'ResourceNotFoundException',
  });
});

test('the local stack names a taken port and its purpose', async () => {
  await using first = await startLocalStack();
  const port = Number(new URL(first.apiUrl).port);
  await expect(startLocalStack({ ports: { api: port } })).rejects.toThrow(
    `Port ${port}, meant for the HTTP API, is taken: choose another with ports.api`,
  );
});

test('the local stack leaves no files behind, and does not keep its process alive', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'leaves-nothing-'));
  const script = `
    import { writeFileSync } from 'node:fs';
    import { startLocalStack } from '${new URL('../../../infra/local/stack.ts', import.meta.url).href}';
    const stack = await startLocalStack({
      bundle: (_, directory) => writeFileSync(directory + '/index.mjs', ${JSON.stringify(fixture)}),
    });
    const response = await fetch(stack.apiUrl + '/tenants/t/instances');
    await response.text();
    await stack.stop();
    console.log(response.status);
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], {
    timeout: 20_000,
    env: { ...process.env, TMPDIR: directory },
  });
  expect(stdout).toBe('200\n');
  expect(readdirSync(directory)).toEqual([]);
  rmdirSync(directory);
});

test('functions of the local stack find no settings of a developer for the AWS SDK, as in Lambda', async () => {
  await using stack = await startLocalStack({ bundle });
  const response = await fetch(`${stack.apiUrl}/tenants/acme/instances`);
  expect(await response.json()).toMatchObject({
    AWS_CONFIG_FILE: devNull,
    AWS_SHARED_CREDENTIALS_FILE: devNull,
  });
});
