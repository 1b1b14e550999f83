import {
  DecryptCommand,
  EncryptCommand,
  IncorrectKeyException,
  InvalidCiphertextException,
  NotFoundException,
  type DecryptCommandInput,
  type EncryptCommandInput,
} from '@aws-sdk/client-kms';
import { afterAll, beforeAll, expect } from 'vitest';
import { conforms, startTarget, type Target } from './target.ts';

const api = 'https://docs.aws.amazon.com/kms/latest/APIReference/';
const guide = 'https://docs.aws.amazon.com/kms/latest/developerguide/';

let target: Target;
beforeAll(async () => {
  target = await startTarget();
});
afterAll(() => target.stop());

const Plaintext = Buffer.from('token+/=');
const EncryptionContext = { tenantId: 'acme', elementKey: 'taxify' };
const unknownKey = '11111111-2222-4333-8444-555555555555';

const encrypt = (input: Partial<EncryptCommandInput> = {}) =>
  target.kms.send(new EncryptCommand({ KeyId: target.keyId, Plaintext, EncryptionContext, ...input }));
const decrypt = (input: DecryptCommandInput) => target.kms.send(new DecryptCommand(input));
const errorOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => undefined,
    (error: unknown) => error,
  );

conforms(
  'a ciphertext is decrypted under its context, in any order, with the key named or not',
  { source: `${api}API_Decrypt.html` },
  async () => {
    const { CiphertextBlob, KeyId = '' } = await encrypt();
    expect(KeyId).toMatch(new RegExp(`^arn:aws:kms:.*:key/${target.keyId}$`));
    const reversed = { elementKey: 'taxify', tenantId: 'acme' };
    for (const key of [{}, { KeyId: target.keyId }, { KeyId }]) {
      const decrypted = await decrypt({ CiphertextBlob, EncryptionContext: reversed, ...key });
      expect(Buffer.from(decrypted.Plaintext ?? []).toString()).toBe('token+/=');
      expect(decrypted.KeyId).toBe(KeyId);
    }
  },
);

conforms(
  'two ciphertexts of one text differ, and neither holds it',
  { source: `${guide}concepts.html#symmetric-cmks` },
  async () => {
    const [first, second] = [await encrypt(), await encrypt()].map(({ CiphertextBlob = [] }) =>
      Buffer.from(CiphertextBlob),
    );
    expect(first?.equals(second ?? Buffer.alloc(0))).toBe(false);
    expect(first?.includes(Plaintext)).toBe(false);
  },
);

const notDecrypted: [
  what: string,
  change: (input: { CiphertextBlob: Uint8Array }) => object,
  not?: { MiniStack: string },
][] = [
  ["another tenant's context", () => ({ EncryptionContext: { ...EncryptionContext, tenantId: 'globex' } })],
  ['a part of its context', () => ({ EncryptionContext: { tenantId: 'acme' } })],
  ['no context', () => ({ EncryptionContext: undefined })],
  [
    'a changed byte',
    ({ CiphertextBlob }) => ({
      CiphertextBlob: Buffer.concat([
        CiphertextBlob.slice(0, -1),
        Buffer.of((CiphertextBlob.at(-1) ?? 0) ^ 1),
      ]),
    }),
    { MiniStack: 'it decrypts to another text' },
  ],
  ['its end cut off', ({ CiphertextBlob }) => ({ CiphertextBlob: CiphertextBlob.slice(0, 20) })],
];
for (const [what, change, not = {}] of notDecrypted) {
  conforms(
    `a ciphertext with ${what} is not decrypted`,
    { source: `${api}API_Decrypt.html#API_Decrypt_Errors`, not },
    async () => {
      const { CiphertextBlob = new Uint8Array() } = await encrypt();
      const input = { CiphertextBlob, EncryptionContext };
      const refused = await errorOf(decrypt({ ...input, ...change(input) }));
      expect(refused).toBeInstanceOf(InvalidCiphertextException);
    },
  );
}

conforms(
  'a key that does not exist encrypts nothing',
  { source: `${api}API_Encrypt.html#API_Encrypt_Errors` },
  async () => {
    expect(await errorOf(encrypt({ KeyId: unknownKey }))).toBeInstanceOf(NotFoundException);
  },
);

conforms(
  'another key than the one that encrypted decrypts nothing',
  {
    source: `${api}API_Decrypt.html#API_Decrypt_Errors`,
    not: { MiniStack: 'it decrypts by the key of the ciphertext' },
  },
  async () => {
    const { CiphertextBlob } = await encrypt();
    const refused = await errorOf(decrypt({ CiphertextBlob, EncryptionContext, KeyId: unknownKey }));
    expect([NotFoundException, IncorrectKeyException].some((type) => refused instanceof type)).toBe(true);
  },
);

conforms('a text of 4,096 bytes is encrypted', { source: `${api}API_Encrypt.html` }, async () => {
  const longest = Buffer.alloc(4_096, 'x');
  const { CiphertextBlob } = await encrypt({ Plaintext: longest });
  const decrypted = await decrypt({ CiphertextBlob, EncryptionContext });
  expect(Buffer.from(decrypted.Plaintext ?? []).equals(longest)).toBe(true);
});

conforms(
  'a text of more than 4,096 bytes is not valid',
  { source: `${api}API_Encrypt.html`, not: { MiniStack: 'it has no limit' } },
  async () => {
    const refused = await errorOf(encrypt({ Plaintext: Buffer.alloc(4_097, 'x') }));
    expect(refused).toMatchObject({ name: 'ValidationException' });
  },
);
