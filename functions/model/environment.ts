import * as z from 'zod/mini';
import { isOrigin } from './origin.ts';
import { faultsOf, sentenceOf } from './validation.ts';

const name = z.string().check(z.minLength(1, 'some text'));

/**
 * Every environment variable a function may be given; `infra/environment.ts` gives each function the ones its row in
 * `triggers.ts` needs, in AWS and locally.
 */
export const environmentSchema = z.object({
  /** DynamoDB table of the instances. */
  TABLE_NAME: name,
  /** Bus that takes the events about instances. */
  EVENT_BUS_NAME: name,
  /** Source of results to the SaaS Builder Toolkit, where its user has set another than its default. */
  SBT_APPLICATION_PLANE_SOURCE: z.optional(name),
  /** Name or ARN of the secret `{"userSecret", "organizationSecret"}`. */
  PLATFORM_SECRET_ID: name,
  /** Tenant secrets are named `<prefix>/tenants/<tenantId>/<elementKey>`. */
  TENANT_SECRETS_PREFIX: name,
  /** Id or ARN of the KMS key that encrypts element tokens. */
  TOKEN_KEY_ID: name,
  /** Origin of Cloud Elements, for example `https://api.cloud-elements.com`. */
  CLOUD_ELEMENTS_BASE_URL: z
    .string()
    .check(z.refine(isOrigin, 'an origin such as https://api.cloud-elements.com')),
  /** Goes into the marker tag `owner:<stage>` of every instance made, and is a dimension of every metric. */
  STAGE: name,
  /** The elements that the deployer has described, as `elementsFrom` reads them; absent when there are none. */
  ELEMENTS: z.optional(name),
});

export type EnvironmentName = keyof z.infer<typeof environmentSchema>;

/** @throws TypeError naming every variable that is missing or wrong: the function was deployed without its settings */
export function parseEnvironment<T>(schema: z.ZodMiniType<T>, environment: NodeJS.ProcessEnv): T {
  const parsed = schema.safeParse(environment);
  if (parsed.success) return parsed.data;
  // A variable is no object: its path is its name.
  const faults = sentenceOf(faultsOf(parsed.error, environment), String);
  throw new TypeError(`Wrong environment: ${faults}`);
}
