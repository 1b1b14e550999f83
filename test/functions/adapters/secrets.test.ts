import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { clientOptions } from '../../../functions/adapters/aws.ts';
import { createPlatformCredentials, createTenantSecrets } from '../../../functions/adapters/secrets.ts';
import { startAwsEndpoint } from '../../../infra/local/aws/aws-endpoint.ts';
import { AwsError } from '../../../infra/local/aws/aws-protocol.ts';
import { errorOf } from '../../support/real-servers.ts';

/** The response to the next read of a secret. */
let response: () => object;
const requests: unknown[] = [];
let endpoint: Awaited<ReturnType<typeof startAwsEndpoint>>;
let client: SecretsManagerClient;
beforeAll(async () => {
  endpoint = await startAwsEndpoint({
    operations: {
      'secretsmanager.GetSecretValue': (body) => {
        requests.push(body);
        return response();
      },
    },
  });
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
    expect(requests.at(-1)).toEqual({ SecretId: 'tests/tenants/acme/taxify' });
  });
});

const holding = (value: unknown) => () => ({ SecretString: JSON.stringify(value) });

describe('the fault of a secret', () => {
  const form = 'Put {"userSecret": "...", "organizationSecret": "..."} into it.';
  const ascii = 'expected a secret of ASCII characters without white space and commas';

  test.each<[string, () => object, string]>([
    ['with no value at all', () => ({}), 'has no value yet'],
    [
      'without its entries',
      holding({}),
      `#/userSecret is missing: expected text; #/organizationSecret is missing: expected text`,
    ],
    ...['hush hush', 'hush,', 'hüsh', '', ' hush', 'hush\n', '\u007f'].map(
      (userSecret): [string, () => object, string] => [
        `with ${JSON.stringify(userSecret)} for a secret`,
        holding({ userSecret, organizationSecret: '!~+-' }),
        `#/userSecret ${ascii}`,
      ],
    ),
  ])('a platform secret %s is described whole, with the remedy', async (_what, said, fault) => {
    response = said;
    expect((await errorOf(readPlatformSecret())).message).toBe(
      `The platform secret platform ${fault}. ${form}`,
    );
  });

  test('a platform secret of any printable characters but commas is used as it is', async () => {
    const credentials = { userSecret: '!"#$%&\'()*+-./:;<=>?@[]^_`{|}~', organizationSecret: '!' };
    response = holding({ ...credentials, more: 'ignored' });
    expect(await readPlatformSecret()).toEqual(credentials);
    expect(requests.at(-1)).toEqual({ SecretId: 'platform' });
  });

  test.each<[string, () => object, string]>([
    ['that is a list', holding(['hush']), 'expected an object'],
    [
      'with many faults',
      holding(Object.fromEntries(Array.from('abcdefghijklmnopqrst', (letter) => [`${letter}.key`, '']))),
      '#/a.key expected text that is not blank',
    ],
  ])('a tenant’s secret %s is described with the remedy, however long', async (_what, said, fault) => {
    response = said;
    const { message } = await errorOf(readTenantSecret());
    expect(message).toContain(`The secret tests/tenants/acme/taxify ${fault}`);
    expect(message).toMatch(
      /\. Put a JSON object of configuration entries into it, such as \{"api.key": "..."\}\.$/,
    );
    expect(Buffer.byteLength(message)).toBeLessThan(750);
  });

  test('a tenant’s secret that cannot be read as text is described whole', async () => {
    response = () => ({ SecretBinary: 'c2VjcmV0' });
    expect((await errorOf(readTenantSecret())).message).toBe(
      'The secret tests/tenants/acme/taxify holds binary data in place of text.',
    );
  });

  test('a refusal is recognized in any letter case', async () => {
    response = refused('ResourceNotFoundException', 'no Secret Value');
    expect(await readTenantSecret()).toMatchObject({ absence: 'has no value yet' });
    response = refused('AccessDeniedException', 'no access to kms');
    expect((await errorOf(readTenantSecret())).message).toContain(
      'cannot be decrypted: its KMS key is disabled, or does not permit this function to decrypt',
    );
  });

  test('an outage names the secret that it was about', async () => {
    response = outage;
    expect((await errorOf(readTenantSecret())).message).toBe(
      'Reading the secret tests/tenants/acme/taxify failed; whether it took effect is not known.',
    );
    expect((await errorOf(readPlatformSecret())).message).toContain('Reading the secret platform failed');
  });
});

const version = (number: number) => ({ userSecret: `user-${number}`, organizationSecret: 'organization' });

describe('the cached platform secret', () => {
  let reads = 0;
  /** The version in Secrets Manager. */
  let current = 1;
  let nowMs = 0;
  beforeEach(() => {
    reads = 0;
    current = 1;
    nowMs = 0;
    response = () => {
      reads += 1;
      return { SecretString: JSON.stringify(version(current)) };
    };
  });
  const open = () => createPlatformCredentials({ client, secretId: 'platform', now: () => nowMs });

  test('the platform secret is read once for five minutes', async () => {
    const { get } = open();
    const [first, second] = await Promise.all([get(), get()]);
    expect(first).toEqual(version(1));
    expect(second).toBe(first);
    nowMs = 5 * 60_000 - 1;
    expect(await get()).toBe(first);
    expect(reads).toBe(1);
    nowMs += 1;
    current = 2;
    expect(await get()).toEqual(version(2));
    expect(reads).toBe(2);
  });

  test('a platform secret that could not be read is read again', async () => {
    const { get } = open();
    const reading = response;
    response = outage;
    await errorOf(get());
    response = reading;
    expect(await get()).toEqual(version(1));
  });

  test('a refused platform secret is read again, and is the same object if it has not changed', async () => {
    const { get, renew } = open();
    const first = await get();
    expect(await renew(first)).toBe(first);
    expect(reads).toBe(2);
    current = 2;
    const second = await renew(await get());
    expect(second).toEqual(version(2));
    expect(await get()).toBe(second);
    expect(reads).toBe(3);
  });

  test.each([{ userSecret: 'other' }, { organizationSecret: 'other' }])(
    'a platform secret with another part is a newer one: %j',
    async (part) => {
      const { get, renew } = open();
      const first = await get();
      response = () => ({ SecretString: JSON.stringify({ ...version(1), ...part }) });
      expect(await renew(first)).toEqual({ ...version(1), ...part });
    },
  );

  test('requests that are refused together read the platform secret once more', async () => {
    const { get, renew } = open();
    const first = await get();
    current = 2;
    const renewed = await Promise.all([renew(first), renew(first), renew(first)]);
    expect(renewed).toEqual([version(2), version(2), version(2)]);
    expect(reads).toBe(2);
    expect(await renew(first)).toBe(await get());
    expect(reads).toBe(2);
  });

  test('a read that fails after a newer one has begun does not forget the newer one', async () => {
    const { get } = open();
    const reading = response;
    const responses = [refused('DecryptionFailure', 'any')];
    response = () => (responses.shift() ?? reading)();
    const first = errorOf(get());
    nowMs = 5 * 60_000;
    expect(await get()).toEqual(version(1));
    await first;
    expect(await get()).toEqual(version(1));
    expect(reads).toBe(1);
  });
});
