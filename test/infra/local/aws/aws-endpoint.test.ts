import { DynamoDBClient, QueryCommand } from '@aws-sdk/client-dynamodb';
import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { DecryptCommand, EncryptCommand, KMSClient } from '@aws-sdk/client-kms';
import {
  CreateSecretCommand,
  DeleteSecretCommand,
  DescribeSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Uses } from '../../../../functions/triggers.ts';
import { startAwsEndpoint } from '../../../../infra/local/aws/aws-endpoint.ts';
import { startDynamoDb } from '../../../../infra/local/aws/dynamodb.ts';
import { createEventBus, matchesPattern } from '../../../../infra/local/aws/event-bus.ts';
import type { EventEnvelope } from '../../../../infra/local/aws/event-bus.ts';
import { createFaults } from '../../../../infra/local/faults.ts';
import { createKms } from '../../../../infra/local/aws/kms.ts';
import { createPermissions } from '../../../../infra/local/aws/permissions.ts';
import { createSecretsManager } from '../../../../infra/local/aws/secrets-manager.ts';

const events: EventEnvelope[] = [];
const faults = createFaults();
const secretsManager = createSecretsManager();
const kms = createKms();
const usesOf: Record<string, Uses> = {
  'encrypting-function': { tokenKey: ['Encrypt'] },
  'reading-function': { tokenKey: ['Decrypt'] },
  'function-with-tenants': { secrets: ['tenants'] },
  'publishing-function': { bus: ['PutEvents'] },
  'listing-function': { table: ['Query'] },
  'reconciling-function': { index: ['Query'] },
};
const permissions = createPermissions({
  usesOf: (accessKeyId) => usesOf[accessKeyId],
  resources: {
    tableName: 'instances',
    busName: 'the-bus',
    platformSecretId: 'stage/platform',
    tenantSecretsPrefix: 'stage',
    tokenKeyId: kms.keyId,
  },
});
const bus = createEventBus({ name: 'the-bus', onEvent: (event) => events.push(event) });

let endpoint: Awaited<ReturnType<typeof startAwsEndpoint>>;
beforeAll(async () => {
  endpoint = await startAwsEndpoint({
    operations: { ...secretsManager.operations, ...kms.operations, ...bus.operations },
    guard: (listener) => faults.guard(permissions.guard(listener)),
  });
});
afterAll(() => endpoint.stop());

function configuration(accessKeyId = 'local') {
  return {
    endpoint: endpoint.url,
    region: 'us-east-1',
    credentials: { accessKeyId, secretAccessKey: 'local' },
    maxAttempts: 1,
  };
}

describe('Secrets Manager', () => {
  test('Secrets Manager returns a secret by name, by ARN and by ARN without its random ending', async () => {
    const client = new SecretsManagerClient(configuration());
    const { ARN = '' } = await client.send(
      new CreateSecretCommand({ Name: 'a/b', SecretString: '{"api.key":"k"}' }),
    );
    for (const SecretId of ['a/b', ARN, ARN.slice(0, -7)]) {
      const secret = await client.send(new GetSecretValueCommand({ SecretId }));
      expect(secret).toMatchObject({
        ARN,
        Name: 'a/b',
        SecretString: '{"api.key":"k"}',
        VersionStages: ['AWSCURRENT'],
      });
      expect(secret.VersionId).toBeTypeOf('string');
      expect(secret.CreatedDate).toBeInstanceOf(Date);
    }
  });

  test('Secrets Manager returns the last value put, under its own version', async () => {
    const client = new SecretsManagerClient(configuration());
    const created = await client.send(new CreateSecretCommand({ Name: 'rotated', SecretString: 'old' }));
    const put = await client.send(
      new PutSecretValueCommand({ SecretId: 'rotated', SecretBinary: Buffer.from('new') }),
    );
    const secret = await client.send(new GetSecretValueCommand({ SecretId: 'rotated' }));
    expect(Buffer.from(secret.SecretBinary ?? []).toString()).toBe('new');
    expect(secret.SecretString).toBeUndefined();
    expect(secret.VersionId).toBe(put.VersionId);
    expect(secret.VersionId).not.toBe(created.VersionId);
  });

  test('Secrets Manager describes a secret without its value', async () => {
    const client = new SecretsManagerClient(configuration());
    const look = (SecretId: string) => client.send(new DescribeSecretCommand({ SecretId }));
    const created = await client.send(new CreateSecretCommand({ Name: 'described', SecretString: 's' }));
    const described = await look('described');
    expect(described).toMatchObject({ ARN: created.ARN, Name: 'described' });
    expect(described.VersionIdsToStages).toEqual({ [created.VersionId ?? '']: ['AWSCURRENT'] });
    expect(described).not.toHaveProperty('SecretString');
    await client.send(new DeleteSecretCommand({ SecretId: 'described' }));
    expect((await look('described')).DeletedDate).toBeInstanceOf(Date);
    await client.send(new CreateSecretCommand({ Name: 'without-value' }));
    expect((await look('without-value')).VersionIdsToStages).toBeUndefined();
    await expect(look('never-there')).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
  });

  test('Secrets Manager does not find a secret that was never created, or was deleted for good', async () => {
    const client = new SecretsManagerClient(configuration());
    await client.send(new CreateSecretCommand({ Name: 'gone', SecretString: 's' }));
    await client.send(new DeleteSecretCommand({ SecretId: 'gone', ForceDeleteWithoutRecovery: true }));
    for (const SecretId of ['gone', 'never-there']) {
      await expect(client.send(new GetSecretValueCommand({ SecretId }))).rejects.toMatchObject({
        name: 'ResourceNotFoundException',
        $metadata: { httpStatusCode: 400 },
      });
    }
  });

  test('Secrets Manager refuses to create a secret twice and to use one that is marked for deletion', async () => {
    const client = new SecretsManagerClient(configuration());
    await client.send(new CreateSecretCommand({ Name: 'once', SecretString: 's' }));
    const again = client.send(new CreateSecretCommand({ Name: 'once', SecretString: 's' }));
    await expect(again).rejects.toMatchObject({ name: 'ResourceExistsException' });
    await client.send(new DeleteSecretCommand({ SecretId: 'once' }));
    const read = client.send(new GetSecretValueCommand({ SecretId: 'once' }));
    await expect(read).rejects.toMatchObject({ name: 'InvalidRequestException' });
  });
});

describe('KMS', () => {
  const EncryptionContext = { tenantId: 't-1', elementKey: 'taxify' };

  // Without permissions, to see refusals by the key itself.
  let bare: typeof endpoint;
  beforeAll(async () => {
    bare = await startAwsEndpoint({ operations: kms.operations });
  });
  afterAll(() => bare.stop());
  const connection = () => ({ ...configuration(), endpoint: bare.url });

  test('KMS decrypts its ciphertexts, with the context in any order', async () => {
    const client = new KMSClient(connection());
    const { CiphertextBlob, KeyId } = await client.send(
      new EncryptCommand({ KeyId: kms.keyId, Plaintext: Buffer.from('the token'), EncryptionContext }),
    );
    expect(KeyId).toBe(kms.keyArn);
    expect(Buffer.from(CiphertextBlob ?? []).includes('the token')).toBe(false);
    const { Plaintext } = await client.send(
      new DecryptCommand({
        KeyId: kms.keyArn,
        CiphertextBlob,
        EncryptionContext: { elementKey: 'taxify', tenantId: 't-1' },
      }),
    );
    expect(Buffer.from(Plaintext ?? []).toString()).toBe('the token');
  });

  test('KMS refuses a ciphertext under another context, without one, or changed', async () => {
    const client = new KMSClient(connection());
    const { CiphertextBlob = new Uint8Array() } = await client.send(
      new EncryptCommand({ KeyId: kms.keyArn, Plaintext: Buffer.from('the token'), EncryptionContext }),
    );
    const changed = CiphertextBlob.with(20, 255 - (CiphertextBlob[20] ?? 0));
    for (const input of [
      { CiphertextBlob, EncryptionContext: { ...EncryptionContext, tenantId: 't-2' } },
      { CiphertextBlob },
      { CiphertextBlob: changed, EncryptionContext },
      { CiphertextBlob: CiphertextBlob.subarray(0, 5), EncryptionContext },
    ]) {
      await expect(client.send(new DecryptCommand(input))).rejects.toMatchObject({
        name: 'InvalidCiphertextException',
      });
    }
  });

  test('KMS does not find another key', async () => {
    const client = new KMSClient(connection());
    const encrypted = client.send(new EncryptCommand({ KeyId: 'another', Plaintext: Buffer.from('x') }));
    await expect(encrypted).rejects.toMatchObject({ name: 'NotFoundException' });
  });
});

describe('EventBridge', () => {
  test('EventBridge checks each entry alone and passes the good ones on in the real envelope', async () => {
    events.length = 0;
    const client = new EventBridgeClient(configuration());
    const good = {
      EventBusName: 'the-bus',
      Source: 'app',
      DetailType: 'TenantOnboarded',
      Detail: '{"tenantId":"t"}',
    };
    const result = await client.send(
      new PutEventsCommand({
        Entries: [
          { ...good, Time: new Date('2026-03-04T05:06:07.890Z'), Resources: ['r'] },
          { ...good, Detail: 'not json' },
          { ...good, Detail: '["not an object"]' },
          { ...good, Source: undefined },
          { ...good, DetailType: '' },
          { ...good, Detail: undefined },
          { ...good, EventBusName: 'another-bus' },
          { ...good, EventBusName: bus.arn },
        ],
      }),
    );
    expect(result.FailedEntryCount).toBe(5);
    expect(result.Entries?.map((entry) => entry.ErrorCode)).toEqual([
      undefined,
      'MalformedDetail',
      'MalformedDetail',
      'InvalidArgument',
      'InvalidArgument',
      'InvalidArgument',
      undefined,
      undefined,
    ]);
    expect(events).toHaveLength(2);
    expect(events[0]).toEqual({
      version: '0',
      id: result.Entries?.[0]?.EventId,
      'detail-type': 'TenantOnboarded',
      source: 'app',
      account: '000000000000',
      time: '2026-03-04T05:06:07Z',
      region: 'us-east-1',
      resources: ['r'],
      detail: { tenantId: 't' },
    });
  });

  test('EventBridge accepts at most ten entries', async () => {
    const Entries = Array.from({ length: 11 }, () => ({ Source: 's', DetailType: 't', Detail: '{}' }));
    const client = new EventBridgeClient(configuration());
    await expect(client.send(new PutEventsCommand({ Entries }))).rejects.toMatchObject({
      name: 'ValidationException',
    });
  });

  test('EventBridge matches a pattern when every field of it lists the event’s value', () => {
    const event: EventEnvelope = {
      version: '0',
      id: 'id',
      'detail-type': 'onboardingRequest',
      source: 'controlPlaneEventSource',
      account: '000000000000',
      time: '2026-03-04T05:06:07Z',
      region: 'us-east-1',
      resources: [],
      detail: {},
    };
    expect(matchesPattern({ 'detail-type': ['other', 'onboardingRequest'] }, event)).toBe(true);
    expect(matchesPattern({ 'detail-type': ['OnboardingRequest'] }, event)).toBe(false);
    expect(matchesPattern({ source: ['other'], 'detail-type': ['onboardingRequest'] }, event)).toBe(false);
    expect(
      matchesPattern({ source: ['controlPlaneEventSource'], 'detail-type': ['onboardingRequest'] }, event),
    ).toBe(true);
  });
});

const context = { tenantId: 't', elementKey: 'taxify' };
const encrypt = (more: object) =>
  new KMSClient(configuration('encrypting-function')).send(
    new EncryptCommand({
      KeyId: kms.keyId,
      Plaintext: Buffer.from('x'),
      EncryptionContext: context,
      ...more,
    }),
  );
const readSecret = (SecretId: string) =>
  new SecretsManagerClient(configuration('function-with-tenants')).send(
    new GetSecretValueCommand({ SecretId }),
  );
const putEvent = (EventBusName: string | undefined) =>
  new EventBridgeClient(configuration('publishing-function')).send(
    new PutEventsCommand({ Entries: [{ EventBusName, Source: 's', DetailType: 'd', Detail: '{}' }] }),
  );

describe('the endpoint', () => {
  test('the endpoint injects the given number of faults, and counts every request by its target alone', async () => {
    const client = new SecretsManagerClient({ ...configuration(), maxAttempts: 3 });
    secretsManager.put('flaky', 'value');
    faults.fail({
      target: 'secretsmanager.GetSecretValue',
      times: 2,
      status: 500,
      type: 'InternalServiceError',
    });
    faults.requests.length = 0;
    const secret = await client.send(new GetSecretValueCommand({ SecretId: 'flaky' }));
    expect(secret.SecretString).toBe('value');
    expect(faults.requests).toEqual(Array(3).fill('secretsmanager.GetSecretValue'));
  });

  test('the endpoint stalls for the given time', async () => {
    const client = new SecretsManagerClient(configuration());
    secretsManager.put('slow', 'value');
    faults.fail({ target: 'secretsmanager.GetSecretValue', stallMs: 60_000 });
    const read = client.send(new GetSecretValueCommand({ SecretId: 'slow' }), {
      abortSignal: AbortSignal.timeout(50),
    });
    await expect(read).rejects.toMatchObject({ name: 'AbortError' });
    await expect(client.send(new GetSecretValueCommand({ SecretId: 'slow' }))).resolves.toBeDefined();
  });

  test('the endpoint carries a request out and loses its response on demand', async () => {
    const client = new SecretsManagerClient(configuration());
    faults.fail({ target: 'secretsmanager.CreateSecret', loseResponse: true });
    const created = client.send(new CreateSecretCommand({ Name: 'lost', SecretString: 'value' }));
    await expect(created).rejects.toMatchObject({ code: 'ECONNRESET' });
    const secret = await client.send(new GetSecretValueCommand({ SecretId: 'lost' }));
    expect(secret.SecretString).toBe('value');
  });

  test('the endpoint lets a function perform the actions of its row, and records them', async () => {
    secretsManager.put('stage/tenants/t/taxify', 'value');
    await encrypt({});
    await readSecret('stage/tenants/t/taxify');
    await putEvent('the-bus');
    expect(Object.fromEntries(permissions.calls)).toMatchObject({
      'encrypting-function': new Set(['kms:Encrypt token key']),
      'function-with-tenants': new Set(['secretsmanager:GetSecretValue tenant secrets']),
      'publishing-function': new Set(['events:PutEvents bus']),
    });
  });

  test.each([
    [
      'another action',
      async () => {
        const { CiphertextBlob } = await encrypt({});
        const client = new KMSClient(configuration('encrypting-function'));
        const decrypt = { KeyId: kms.keyId, CiphertextBlob, EncryptionContext: context };
        return client.send(new DecryptCommand(decrypt));
      },
    ],
    ['another key', () => encrypt({ KeyId: 'another' })],
    ['an encryption context without the element', () => encrypt({ EncryptionContext: { tenantId: 't' } })],
    ['no encryption context', () => encrypt({ EncryptionContext: undefined })],
    ['a longer encryption context', () => encrypt({ EncryptionContext: { ...context, more: 'm' } })],
    ['the platform’s secret', () => readSecret('stage/platform')],
    ['a secret elsewhere', () => readSecret('other/tenants/t/taxify')],
    ['another bus', () => putEvent('another')],
    ['the default bus', () => putEvent(undefined)],
  ])('the endpoint refuses a function %s when its row does not allow it', async (_what, call) => {
    await expect(call()).rejects.toMatchObject({ name: 'AccessDeniedException' });
  });

  test('the key’s policy lets only functions decrypt whose row allows it', async () => {
    const { CiphertextBlob } = await encrypt({});
    const decrypt = { KeyId: kms.keyId, CiphertextBlob, EncryptionContext: context };
    const decryptAs = (accessKeyId: string) =>
      new KMSClient(configuration(accessKeyId)).send(new DecryptCommand(decrypt));
    await expect(decryptAs('reading-function')).resolves.toMatchObject({ KeyId: kms.keyArn });
    await expect(decryptAs('an-administrator')).rejects.toMatchObject({
      name: 'AccessDeniedException',
      message: "an-administrator may not perform kms:Decrypt: the key's policy denies it.",
    });
  });

  test('the endpoint distinguishes a query of the index from one of the table', async () => {
    const dynamoDb = await startDynamoDb({ tableName: 'instances', guard: permissions.guard });
    async function query(accessKeyId: string, attribute: string, more = {}): Promise<string> {
      const client = new DynamoDBClient({ ...configuration(accessKeyId), endpoint: dynamoDb.url });
      const result = client.send(
        new QueryCommand({
          TableName: 'instances',
          KeyConditionExpression: `${attribute} = :value`,
          ExpressionAttributeValues: { ':value': { S: 'x' } },
          ...more,
        }),
      );
      const outcome = await result.then(
        ({ Count }) => `${Count} found`,
        ({ name, message }) => `${name}: ${message}`,
      );
      client.destroy();
      return outcome;
    }
    const onIndex = { IndexName: 'unsettled' };
    const onAnother = { TableName: 'another' };
    expect(await query('listing-function', 'tenantId')).toBe('0 found');
    expect(await query('reconciling-function', 'unsettled', onIndex)).toBe('0 found');
    for (const [who, more] of [
      ['listing-function', onIndex],
      ['listing-function', onAnother],
      ['reconciling-function', {}],
    ] as const) {
      expect(await query(who, 'unsettled', more)).toMatch(/^AccessDeniedException: \S+ may not perform/);
    }
    await dynamoDb.stop();
  });

  test.each(['constructor', '__proto__.Query'])(
    'the endpoint refuses a function the target %s',
    async (target) => {
      const authorization =
        'AWS4-HMAC-SHA256 Credential=publishing-function/20261124/us-east-1/kms/aws4_request';
      const headers = { 'x-amz-target': target, authorization };
      const response = await fetch(endpoint.url, { method: 'POST', headers, body: '{}' });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ __type: 'AccessDeniedException' });
    },
  );

  test.each([
    ['secretsmanager.RotateSecret', '{}', 'UnknownOperationException'],
    ['constructor', '{}', 'UnknownOperationException'],
    ['toString', '{}', 'UnknownOperationException'],
    ['__proto__', '{}', 'UnknownOperationException'],
    ['secretsmanager.GetSecretValue', '{', 'SerializationException'],
    ['secretsmanager.GetSecretValue', '{"SecretId":1}', 'ValidationException'],
  ])('the endpoint refuses %s with %s as %s', async (target, body, type) => {
    const response = await fetch(endpoint.url, {
      method: 'POST',
      headers: { 'x-amz-target': target },
      body,
    });
    expect(response.status).toBe(400);
    expect(response.headers.get('x-amzn-errortype')).toBe(type);
    expect(await response.json()).toMatchObject({ __type: type });
  });
});
