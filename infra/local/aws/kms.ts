import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import * as z from 'zod/mini';
import { AwsError, accountId, operation, region } from './aws-protocol.ts';
import type { Operations } from './aws-protocol.ts';

const encryptionContextSchema = z.optional(z.record(z.string(), z.string()));
const keyId = z.string().check(z.minLength(1));
const base64 = z.string().check(z.minLength(1));

const encryptSchema = z.object({
  KeyId: keyId,
  Plaintext: base64,
  EncryptionContext: encryptionContextSchema,
});
const decryptSchema = z.object({
  KeyId: z.optional(keyId),
  CiphertextBlob: base64,
  EncryptionContext: encryptionContextSchema,
});

/** KMS's limit for a symmetric key. */
const maxPlaintextBytes = 4_096;
const nonceBytes = 12;
const tagBytes = 16;

/**
 * One symmetric key, in memory: after a restart its ciphertexts cannot be decrypted; the embedded DynamoDB is then
 * empty, too. Really encrypts, so that a wrong encryption context is refused and no test can mistake a ciphertext for
 * its token.
 */
export function createKms() {
  const id = '00000000-0000-4000-8000-000000000000';
  const arn = `arn:aws:kms:${region}:${accountId}:key/${id}`;
  const key = randomBytes(32);

  function requireKey(given: string): void {
    if (given !== id && given !== arn)
      throw new AwsError('NotFoundException', `Key '${given}' does not exist`);
  }

  const operations: Operations = {
    'TrentService.Encrypt': operation(encryptSchema, ({ KeyId, Plaintext, EncryptionContext }) => {
      requireKey(KeyId);
      const plaintext = Buffer.from(Plaintext, 'base64');
      if (plaintext.length > maxPlaintextBytes) {
        throw new AwsError('ValidationException', `Plaintext is longer than ${maxPlaintextBytes} bytes.`);
      }
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(authenticated(EncryptionContext));
      const encrypted = Buffer.concat([cipher.update(plaintext), cipher.final()]);
      return {
        KeyId: arn,
        CiphertextBlob: Buffer.concat([nonce, cipher.getAuthTag(), encrypted]).toString('base64'),
        EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      };
    }),

    'TrentService.Decrypt': operation(decryptSchema, ({ KeyId, CiphertextBlob, EncryptionContext }) => {
      // Optional with a symmetric key: the ciphertext belongs to one key.
      if (KeyId !== undefined) requireKey(KeyId);
      return {
        KeyId: arn,
        Plaintext: decrypt(key, Buffer.from(CiphertextBlob, 'base64'), EncryptionContext).toString('base64'),
        EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      };
    }),
  };

  return { operations, keyId: id, keyArn: arn };
}

function decrypt(key: Buffer, blob: Buffer, context: Record<string, string> | undefined): Buffer {
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, blob.subarray(0, nonceBytes), {
      authTagLength: tagBytes,
    })
      .setAAD(authenticated(context))
      .setAuthTag(blob.subarray(nonceBytes, nonceBytes + tagBytes));
    return Buffer.concat([decipher.update(blob.subarray(nonceBytes + tagBytes)), decipher.final()]);
  } catch {
    throw new AwsError(
      'InvalidCiphertextException',
      'The ciphertext or its encryption context is not valid.',
    );
  }
}

/** The same bytes for the same pairs: KMS ignores their order. */
function authenticated(context: Record<string, string> = {}): Buffer {
  const pairs = Object.entries(context).toSorted(([left], [right]) => (left < right ? -1 : 1));
  return Buffer.from(JSON.stringify(pairs));
}
