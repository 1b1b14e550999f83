import { KMSClient } from '@aws-sdk/client-kms';
import { afterAll, expect, test } from 'vitest';
import { createTokenCipher } from '../../../functions/adapters/token-cipher.ts';
import { startAwsEndpoint } from '../../../infra/local/aws/aws-endpoint.ts';
import { createKms } from '../../../infra/local/aws/kms.ts';
import { errorOf } from '../../support/real-servers.ts';

const kms = createKms();
const calls: { target: string; body: unknown }[] = [];
/** In place of KMS's own response to the next call. */
let next: object | undefined;
const received =
  (target: string) =>
  (body: unknown): unknown => {
    calls.push({ target, body });
    const response = next ?? kms.operations[target]?.(body);
    next = undefined;
    return response;
  };
const operations = Object.fromEntries(
  ['TrentService.Encrypt', 'TrentService.Decrypt'].map((target) => [target, received(target)]),
);
const endpoint = await startAwsEndpoint({ operations });
const client = new KMSClient({
  endpoint: endpoint.url,
  region: 'us-east-1',
  credentials: { accessKeyId: 'tests', secretAccessKey: 'tests' },
  maxAttempts: 1,
});
afterAll(async () => {
  client.destroy();
  await endpoint.stop();
});

const cipher = createTokenCipher({ client, keyId: kms.keyId });
const key = { tenantId: 'acme', elementKey: 'taxify' };

test('a ciphertext is decrypted with the key, for its tenant and element alone', async () => {
  const row = { ...key, status: 'active' };
  const ciphertext = await cipher.encrypt('tökèn', row);
  expect(await cipher.decrypt(ciphertext, key)).toBe('tökèn');
  expect(calls).toMatchObject([
    { target: 'TrentService.Encrypt', body: { KeyId: kms.keyId, EncryptionContext: key } },
    { target: 'TrentService.Decrypt', body: { KeyId: kms.keyId, EncryptionContext: key } },
  ]);
  for (const other of [
    { ...key, tenantId: 'other' },
    { ...key, elementKey: 'other' },
  ]) {
    const error = await errorOf(cipher.decrypt(ciphertext, other));
    expect(error).toMatchObject({
      code: 'aws-unavailable',
      message: `Decrypting the ${other.elementKey} token of tenant ${other.tenantId} failed; whether it took effect is not known.`,
      facts: { cause: { name: 'InvalidCiphertextException' } },
    });
  }
});

test('a response of KMS without a ciphertext or plaintext is a failure', async () => {
  const ciphertext = await cipher.encrypt('token', key);
  next = { KeyId: kms.keyArn };
  expect(await errorOf(cipher.encrypt('token', key))).toMatchObject({
    code: 'aws-unavailable',
    message: 'Encrypting the taxify token of tenant acme failed; whether it took effect is not known.',
  });
  next = { KeyId: kms.keyArn };
  expect(await errorOf(cipher.decrypt(ciphertext, key))).toMatchObject({ code: 'aws-unavailable' });
});
