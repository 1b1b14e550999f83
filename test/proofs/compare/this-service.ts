import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { KMSClient } from '@aws-sdk/client-kms';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import { clientOptions } from '../../../functions/adapters/aws.ts';
import { createCloudElementsCaller } from '../../../functions/adapters/cloud-elements-http.ts';
import { createCloudElements } from '../../../functions/adapters/cloud-elements.ts';
import { createInstanceStore } from '../../../functions/adapters/instance-store.ts';
import { createPlatformCredentials, createTenantSecrets } from '../../../functions/adapters/secrets.ts';
import { createTokenCipher } from '../../../functions/adapters/token-cipher.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { settingsOf } from '../../../functions/model/instance.ts';
import { createProvisioning } from '../../../functions/core/provision.ts';
import { readToken } from '../../../functions/core/read.ts';
import { defaultTiming } from '../../../functions/model/timing.ts';
import { createTimeoutMs, elementKey, invocationMs, type Contender } from './site.ts';

/** This service's own code, with every period as deployed but the shortened one of `site.ts`. */
export const thisService: Contender = {
  async prepare() {},

  open(site) {
    const dynamoDb = new DynamoDBClient({ ...clientOptions, ...site.dynamoDbSettings });
    const secrets = new SecretsManagerClient({ ...clientOptions, ...site.awsSettings });
    const kms = new KMSClient({ ...clientOptions, ...site.awsSettings });
    const store = createInstanceStore({ client: dynamoDb, tableName: site.tableName });
    const cipher = createTokenCipher({ client: kms, keyId: site.tokenKeyId });
    const now = () => Date.now() + site.aheadMs;
    const provision = createProvisioning({
      store,
      cipher,
      catalog: builtInCatalog,
      cloudElements: createCloudElements({
        catalog: builtInCatalog,
        call: createCloudElementsCaller({
          baseUrl: site.cloudElementsUrl,
          credentials: createPlatformCredentials({ client: secrets, secretId: site.platformSecretId }),
        }),
      }),
      readTenantSecret: createTenantSecrets({ client: secrets, prefix: 'compare' }),
      origin: site.cloudElementsUrl,
      stage: 'compare',
      observe: () => {},
      timing: { ...defaultTiming, createTimeoutMs },
      now,
    });

    return {
      async onboard(tenantId) {
        const settings = settingsOf({ tenantId, elementKey }, { configuration: { 'api.key': 'any' } });
        const { outcome } = await provision(settings, {
          deadlineAt: now() + invocationMs,
          recordRefusal: false,
        });
        if (outcome === 'in-progress') throw new Error('The outcome is not known yet.');
      },
      async storedToken(tenantId) {
        try {
          return (await readToken({ store, cipher }, { tenantId, elementKey })).token;
        } catch (error) {
          if (error instanceof OnboardingError) return undefined;
          throw error;
        }
      },
      [Symbol.dispose]() {
        for (const client of [dynamoDb, secrets, kms]) client.destroy();
      },
    };
  },

  async passTime(site, ms) {
    site.aheadMs += ms;
  },
};
