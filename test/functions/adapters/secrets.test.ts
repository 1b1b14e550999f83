import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { clientOptions } from '../../../functions/adapters/aws.ts';
import { createPlatformCredentials, createTenantSecrets } from '../../../functions/adapters/secrets.ts';
import { startAwsEndpoint } from '../../../infra/local/aws/aws-endpoint.ts';
import { AwsError } from '../../../infra/local/aws/aws-protocol.ts';
import { errorOf } from '../../support/real-servers.ts';

/** The response to the next read of a secret. */
let response: () => object;
let endpoint: Awaited<ReturnType<typeof startAwsEndpoint>>;
let client: SecretsManagerClient;
beforeAll(async () => {
  endpoint = await startAwsEndpoint({ operations: { 'secretsmanager.GetSecretValue': () => response() } });
  client = new SecretsManagerClient({
    ...clientOptions,
    endpoint: endpoint.url,
    region: 'us-east-1',
    credentials: { accessKeyId: 'tests', secretAccessKey: 'tests' },
  });
});
afterAll(async () => {
  client.destroy();
  await endpoint.stop();
});

const refused = (type: string, message: string) => () => {
  throw new AwsError(type, message);
};

/** Errors in the words of Secrets Manager. */
const absent: [string, () => object, string][] = [
  [
    'that does not exist',
    refused('ResourceNotFoundException', "Secrets Manager can't find the specified secret."),
    'does not exist',
  ],
  [
    'without a value',
    refused(
      'ResourceNotFoundException',
      "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
    ),
    'has no value yet',
  ],
];
const unusable: [string, () => object, string][] = [
  [
    'that is scheduled for deletion',
    refused(
      'InvalidRequestException',
      "You can't perform this operation on the secret because it was marked for deletion.",
    ),
    'is scheduled for deletion',
  ],
  [
    'whose key is disabled',
    refused('DecryptionFailure', "Secrets Manager can't decrypt the protected secret text."),
    'cannot be decrypted: its KMS key',
  ],
  [
    'whose key denies the function',
    refused('AccessDeniedException', 'Access to KMS is not allowed'),
    'cannot be decrypted: its KMS key',
  ],
  [
    'that the function may not read',
    refused(
      'AccessDeniedException',
      'User: role is not authorized to perform: secretsmanager:GetSecretValue',
    ),
    'may not be read by this function',
  ],
  ['with a binary value', () => ({ SecretBinary: 'c2VjcmV0' }), 'holds binary data in place of text'],
  ['with an empty value', () => ({ SecretString: '' }), 'is empty'],
  ['with a byte order mark', () => ({ SecretString: '\uFEFF{}' }), 'begins with a byte order mark'],
  ['that is not JSON', () => ({ SecretString: 'hush-hush' }), 'is not JSON'],
];
const outage = refused('InternalServiceError', 'An error occurred on the server side.');

const readPlatformSecret = () => createPlatformCredentials({ client, secretId: 'platform' }).get();
const readTenantSecret = () =>
  createTenantSecrets({ client, prefix: 'tests' })({ tenantId: 'acme', elementKey: 'taxify' });

describe('the platform secret', () => {
  test.each([...absent, ...unusable])(
    'a platform secret %s is unusable, and the operator learns why',
    async (_what, said, fault) => {
      response = said;
      const error = await errorOf(readPlatformSecret());
      expect(error.code).toBe('platform-credentials-unusable');
      expect(error.message).toContain(`The platform secret platform ${fault}`);
      expect(error.message).not.toContain('hush');
    },
  );

  test('an outage of Secrets Manager does not make the platform secret unusable', async () => {
    response = outage;
    expect((await errorOf(readPlatformSecret())).code).toBe('aws-unavailable');
  });
});

describe('a tenant’s secret', () => {
  test.each(absent)('a tenant’s secret %s is absent', async (_what, said, absence) => {
    response = said;
    expect(await readTenantSecret()).toEqual({
      name: 'tests/tenants/acme/taxify',
      configuration: undefined,
      absence,
    });
  });

  test.each(unusable)(
    'a tenant’s secret %s is unusable, and the log says why',
    async (_what, said, fault) => {
      response = said;
      const error = await errorOf(readTenantSecret());
      expect(error.code).toBe('tenant-credentials-unusable');
      expect(error.message).toContain(`The secret tests/tenants/acme/taxify ${fault}`);
      expect(error.message).not.toContain('hush');
    },
  );

  test('an outage of Secrets Manager does not make a tenant’s secret unusable', async () => {
    response = outage;
    expect((await errorOf(readTenantSecret())).code).toBe('aws-unavailable');
  });

  const number = 'expected a number as JSON carries it exactly';
  test.each([
    ['{"api.key": 12345678901234567890}', `#/api.key ${number}`],
    ['{"api.key": {"hush": [1.10]}}', `#/api.key ${number}`],
    ['{"api.key": "hush", "api.key": "hush hush"}', '#/api.key expected each name only once'],
    ['{"__proto__": {"api.key": "hush"}}', '#/__proto__ expected another name than __proto__'],
    ['{"api.key": {"__proto__": "hush"}}', '#/api.key expected another name than __proto__'],
    ['{"api.key": "<<hush>>"}', '#/api.key expected a value in place of the placeholder'],
    ['{"api.key": ""}', '#/api.key expected text that is not blank'],
    [
      '{"api.key": “hush”}',
      'is not JSON; it breaks at line 1, column 13: use straight quotes (") in place of curly ones',
    ],
  ])('%s is unusable, and the log says where it is wrong', async (text, fault) => {
    response = () => ({ SecretString: text });
    const error = await errorOf(readTenantSecret());
    expect(error.code).toBe('tenant-credentials-unusable');
    expect(error.message).toContain(`The secret tests/tenants/acme/taxify ${fault}`);
    expect(error.message).not.toContain('hush');
  });

  test('an object in a tenant’s secret is kept as an entry’s value', async () => {
    const configuration = {
      'api.key': 'k',
      'event.poller.configuration': { contacts: { url: '/a', ids: [1, null] } },
    };
    response = () => ({ SecretString: JSON.stringify(configuration) });
    expect(await readTenantSecret()).toEqual({ name: 'tests/tenants/acme/taxify', configuration });
  });
});
