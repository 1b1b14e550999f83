import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { clientLimits } from '../adapters/aws.ts';
import { createCloudElementsCaller } from '../adapters/cloud-elements-http.ts';
import { createCloudElements } from '../adapters/cloud-elements.ts';
import { createPlatformCredentials, createTenantSecrets } from '../adapters/secrets.ts';
import { createProvisioning } from '../core/provision.ts';
import { openCipher, openStore } from './dependencies.ts';
import { environmentSchema, parseEnvironment } from './environment.ts';
import { observe } from './log.ts';

/**
 * The use case with everything it works with. In a file of its own because undici cannot be shaken out of a bundle:
 * functions that never call Cloud Elements do not import this one.
 */
export function openProvisioning(environment: NodeJS.ProcessEnv) {
  const settings = parseEnvironment(environmentSchema, environment);
  const client = new SecretsManagerClient(clientLimits);
  return createProvisioning({
    store: openStore(environment),
    cipher: openCipher(environment),
    cloudElements: createCloudElements({
      call: createCloudElementsCaller({
        baseUrl: settings.CLOUD_ELEMENTS_BASE_URL,
        credentials: createPlatformCredentials({ client, secretId: settings.PLATFORM_SECRET_ID }),
      }),
    }),
    readTenantSecret: createTenantSecrets({ client, prefix: settings.TENANT_SECRETS_PREFIX }),
    origin: settings.CLOUD_ELEMENTS_BASE_URL,
    stage: settings.STAGE,
    observe,
  });
}
