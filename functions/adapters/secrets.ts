import {
  DecryptionFailure,
  GetSecretValueCommand,
  InvalidRequestException,
  ResourceNotFoundException,
  type SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import * as z from 'zod/mini';
import type { ReadTenantSecret } from '../core/ports.ts';
import { cutToBytes } from '../model/bounded-text.ts';
import { tenantSecretName } from '../model/configuration.ts';
import { OnboardingError } from '../model/errors.ts';
import { tenantSecretSchema } from '../model/instance.ts';
import { parseJson } from '../model/json.ts';
import { pointerTo, problemsOf, sentenceOf } from '../model/validation.ts';
import { callAws } from './aws.ts';

/** Both go into one header whose parts are separated by commas. */
const headerPart = z
  .string()
  .check(z.regex(/^[!-+\--~]+$/, 'a secret of ASCII characters without white space and commas'));

const platformCredentialsSchema = z.object({ userSecret: headerPart, organizationSecret: headerPart });
export type PlatformCredentials = z.infer<typeof platformCredentialsSchema>;

/** A rotated secret is noticed at the first 401; this only bounds how long one that is revoked stays in memory. */
const platformTtlMs = 5 * 60_000;

/**
 * The company's own credentials: `{"userSecret", "organizationSecret"}`, cached per execution environment.
 * Both functions throw `platform-credentials-unusable`, whose message names the fault for the operator.
 */
export function createPlatformCredentials({
  client,
  secretId,
  now = Date.now,
}: {
  client: SecretsManagerClient;
  secretId: string;
  now?: () => number;
}) {
  let cached: { promise: Promise<PlatformCredentials>; expiresAt: number } | undefined;

  return { get, renew };

  function get(): Promise<PlatformCredentials> {
    if (cached && now() < cached.expiresAt) return cached.promise;
    const fetched = { promise: fetchCredentials(), expiresAt: now() + platformTtlMs };
    cached = fetched;
    // A failure is not kept: the next request reads it again.
    fetched.promise.catch(() => {
      if (cached === fetched) cached = undefined;
    });
    return fetched.promise;
  }

  /**
   * Fetches again unless another request did so since `refused` was handed out. Returns the same object if nothing has
   * changed.
   */
  async function renew(refused: PlatformCredentials): Promise<PlatformCredentials> {
    const held = cached;
    const current = await get();
    if (current !== refused) return current;
    // Not if another request has fetched it in the meantime.
    if (cached === held) cached = undefined;
    const fetched = await get();
    const same =
      fetched.userSecret === refused.userSecret && fetched.organizationSecret === refused.organizationSecret;
    return same ? refused : fetched;
  }

  async function fetchCredentials(): Promise<PlatformCredentials> {
    const read = await readSecret(client, secretId);
    if (read.kind !== 'text') throw unusablePlatformSecret(secretId, read.fault);
    const parsed = parseSecret(platformCredentialsSchema, read.text);
    if ('data' in parsed) return parsed.data;
    throw unusablePlatformSecret(secretId, parsed.fault);
  }
}

/**
 * Tenants' own credentials, in secrets named `<prefix>/tenants/<tenantId>/<elementKey>`: a JSON map of configuration.
 */
export function createTenantSecrets({
  client,
  prefix,
}: {
  client: SecretsManagerClient;
  prefix: string;
}): ReadTenantSecret {
  return async (key) => {
    const name = tenantSecretName(prefix, key);
    const read = await readSecret(client, name);
    if (read.kind === 'absent') return { name, configuration: undefined, absence: read.fault };
    if (read.kind !== 'text') throw unusableTenantSecret(name, read.fault);
    const parsed = parseSecret(tenantSecretSchema, read.text);
    if ('data' in parsed) return { name, configuration: parsed.data };
    throw unusableTenantSecret(
      name,
      `${parsed.fault}. Put a JSON object of configuration entries into it, such as {"api.key": "..."}`,
    );
  };
}

/** `absent`: it may still be created, or get its value; `unusable`: an operator has to mend it. */
type SecretText = { kind: 'text'; text: string } | { kind: 'absent' | 'unusable'; fault: string };

/** @throws OnboardingError `aws-unavailable` for all that has nothing to do with this secret */
async function readSecret(client: SecretsManagerClient, secretId: string): Promise<SecretText> {
  return callAws(`Reading the secret ${secretId}`, async () => {
    try {
      const { SecretString, SecretBinary } = await client.send(
        new GetSecretValueCommand({ SecretId: secretId }),
      );
      if (SecretString === undefined) {
        return SecretBinary
          ? { kind: 'unusable', fault: 'holds binary data in place of text' }
          : { kind: 'absent', fault: 'has no value yet' };
      }
      if (SecretString === '') return { kind: 'unusable', fault: 'is empty' };
      if (SecretString.startsWith('\uFEFF')) {
        return { kind: 'unusable', fault: 'begins with a byte order mark, which JSON does not allow' };
      }
      return { kind: 'text', text: SecretString };
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal) return refusal;
      throw error;
    }
  });
}

/**
 * What Secrets Manager's refusals say of the secret. Of its messages only one word is read, to tell a secret without a
 * value from none: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
 */
function refusalOf(error: unknown): SecretText | undefined {
  if (error instanceof ResourceNotFoundException) {
    const hasNoValue = /secret value/i.test(error.message);
    return { kind: 'absent', fault: hasNoValue ? 'has no value yet' : 'does not exist' };
  }
  if (error instanceof InvalidRequestException)
    return { kind: 'unusable', fault: 'is scheduled for deletion' };
  if (error instanceof DecryptionFailure) return { kind: 'unusable', fault: keyFault };
  if (error instanceof Error && error.name === 'AccessDeniedException') {
    const isOfKey = /kms/i.test(error.message);
    return { kind: 'unusable', fault: isOfKey ? keyFault : 'may not be read by this function' };
  }
  return undefined;
}

const keyFault = 'cannot be decrypted: its KMS key is disabled, or does not permit this function to decrypt';

function parseSecret<T>(schema: z.ZodMiniType<T>, text: string): { data: T } | { fault: string } {
  const parsed = parseJson(text);
  if ('fault' in parsed) return { fault: `is not ${parsed.fault}` };
  const { success, data, error } = schema.safeParse(parsed.json);
  if (success) return { data };
  // Leaves room for the advice that follows it in the message.
  return { fault: cutToBytes(sentenceOf(problemsOf(error, parsed.json), pointerTo), 600) };
}

function unusableTenantSecret(name: string, fault: string): OnboardingError {
  return new OnboardingError('tenant-credentials-unusable', `The secret ${name} ${fault}.`);
}

function unusablePlatformSecret(secretId: string, fault: string): OnboardingError {
  return new OnboardingError(
    'platform-credentials-unusable',
    `The platform secret ${secretId} ${fault}. Put {"userSecret": "...", "organizationSecret": "..."} into it.`,
  );
}
