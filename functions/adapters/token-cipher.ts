import { DecryptCommand, EncryptCommand, type KMSClient } from '@aws-sdk/client-kms';
import type { TokenCipher } from '../core/ports.ts';
import type { InstanceKey } from '../model/instance.ts';
import { callAws } from './aws.ts';

/** Element tokens under a KMS key. The encryption context binds each ciphertext to its tenant and element. */
export function createTokenCipher({ client, keyId }: { client: KMSClient; keyId: string }): TokenCipher {
  return {
    encrypt: (token, key) =>
      callAws(`Encrypting the ${key.elementKey} token of tenant ${key.tenantId}`, async () => {
        const { CiphertextBlob } = await client.send(
          new EncryptCommand({
            KeyId: keyId,
            Plaintext: Buffer.from(token),
            EncryptionContext: contextOf(key),
          }),
        );
        if (!CiphertextBlob) throw new TypeError('KMS answered without a ciphertext');
        return CiphertextBlob;
      }),

    decrypt: (ciphertext, key) =>
      callAws(`Decrypting the ${key.elementKey} token of tenant ${key.tenantId}`, async () => {
        const { Plaintext } = await client.send(
          new DecryptCommand({ KeyId: keyId, CiphertextBlob: ciphertext, EncryptionContext: contextOf(key) }),
        );
        if (!Plaintext) throw new TypeError('KMS answered without a plaintext');
        return Buffer.from(Plaintext).toString();
      }),
  };
}

const contextOf = ({ tenantId, elementKey }: InstanceKey) => ({ tenantId, elementKey });
