import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { KMSClient } from '@aws-sdk/client-kms';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import * as z from 'zod/mini';
import { clientLimits } from '../adapters/aws.ts';
import { createCloudElements } from '../adapters/cloud-elements.ts';
import { createInstanceStore } from '../adapters/instance-store.ts';
import { createPlatformCredentials, createTenantSecrets } from '../adapters/secrets.ts';
import { createTokenCipher } from '../adapters/token-cipher.ts';
import { createProvisioning } from '../core/provision.ts';
import { environmentSchema, parseEnvironment } from './environment.ts';
import { observe } from './log.ts';

/** What the functions work with, made from the environment. Each function's bundle holds only what it opens. */

export function openStore(environment: NodeJS.ProcessEnv) {
  const { TABLE_NAME } = parseEnvironment(z.pick(environmentSchema, { TABLE_NAME: true }), environment);
  return createInstanceStore({ client: new DynamoDBClient(clientLimits), tableName: TABLE_NAME });
}

export function openCipher(environment: NodeJS.ProcessEnv) {
  const { TOKEN_KEY_ID } = parseEnvironment(z.pick(environmentSchema, { TOKEN_KEY_ID: true }), environment);
  return createTokenCipher({ client: new KMSClient(clientLimits), keyId: TOKEN_KEY_ID });
}

export function openProvisioning(environment: NodeJS.ProcessEnv) {
  const settings = parseEnvironment(environmentSchema, environment);
  const client = new SecretsManagerClient(clientLimits);
  return createProvisioning({
    store: openStore(environment),
    cipher: openCipher(environment),
    cloudElements: createCloudElements({
      baseUrl: settings.CLOUD_ELEMENTS_BASE_URL,
      credentials: createPlatformCredentials({ client, secretId: settings.PLATFORM_SECRET_ID }),
    }),
    readTenantSecret: createTenantSecrets({ client, prefix: settings.TENANT_SECRETS_PREFIX }),
    origin: settings.CLOUD_ELEMENTS_BASE_URL,
    stage: settings.STAGE,
    observe,
  });
}
