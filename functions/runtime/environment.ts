import * as z from 'zod/mini';

const name = z.string().check(z.minLength(1));

/**
 * Every environment variable a function may be given; `infra/environment.ts` gives each function the ones its row in
 * `triggers.ts` asks for, in AWS and locally.
 */
export const environmentShape = {
  /** DynamoDB table of the instances. */
  TABLE_NAME: name,
  /** Name or ARN of the secret `{"userSecret", "organizationSecret"}`. */
  PLATFORM_SECRET_ID: name,
  /** Tenant secrets are named `<prefix>/tenants/<tenantId>/<elementKey>`. */
  TENANT_SECRETS_PREFIX: name,
  /** Id or ARN of the KMS key that encrypts element tokens. */
  TOKEN_KEY_ID: name,
  /** Origin of Cloud Elements, for example `https://api.cloud-elements.com`. */
  CLOUD_ELEMENTS_BASE_URL: name,
  /** Goes into the marker tag `owner:<stage>` of every instance made. */
  STAGE: name,
};

export type EnvironmentName = keyof typeof environmentShape;
