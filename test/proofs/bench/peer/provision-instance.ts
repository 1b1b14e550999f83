/**
 * The peer: this service's function as many good teams ship it. middy with its usual middlewares, axios, the AWS SDK's
 * document client, zod as its documentation imports it, and Powertools for idempotency, logger, metrics and parameters,
 * each used as its documentation says; bundled with care (`build.ts` beside this file). It does the same job as
 * `provision-instance`: the same route and body, the platform secret, one `POST /instances`, the token encrypted with
 * KMS and stored.
 *
 * Frozen, because it is the baseline of the figures. It is changed only when one of its pinned dependencies forces that,
 * and figures from before and after are then not comparable.
 */
import { IdempotencyConfig } from '@aws-lambda-powertools/idempotency';
import { DynamoDBPersistenceLayer } from '@aws-lambda-powertools/idempotency/dynamodb';
import { makeHandlerIdempotent } from '@aws-lambda-powertools/idempotency/middleware';
import { injectLambdaContext } from '@aws-lambda-powertools/logger/middleware';
import { MetricUnit } from '@aws-lambda-powertools/metrics';
import { logMetrics } from '@aws-lambda-powertools/metrics/middleware';
import { SecretsProvider } from '@aws-lambda-powertools/parameters/secrets';
import { EncryptCommand } from '@aws-sdk/client-kms';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { PutCommand } from '@aws-sdk/lib-dynamodb';
import middyHandler from '@middy/core';
import httpErrorHandler from '@middy/http-error-handler';
import httpHeaderNormalizer from '@middy/http-header-normalizer';
import httpJsonBodyParser from '@middy/http-json-body-parser';
import { create as createHttpClient } from 'axios';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import * as z from 'zod';
import {
  badRequest,
  documents,
  dynamoDb,
  elementKeySchema,
  environment,
  kms,
  logger,
  metrics,
  tenantIdSchema,
} from './clients.ts';

const platformSecretSchema = z.object({ userSecret: z.string(), organizationSecret: z.string() });
const createdSchema = z.object({ id: z.number(), token: z.string() });

const eventSchema = z.object({
  pathParameters: z.object({ tenantId: tenantIdSchema }),
  body: z.strictObject({
    element: z.strictObject({ key: elementKeySchema }),
    name: z.string().min(1).max(255).optional(),
    tags: z.array(z.string().min(1).max(255)).max(20).optional(),
    configuration: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  }),
});

const persistenceStore = new DynamoDBPersistenceLayer({
  tableName: environment.IDEMPOTENCY_TABLE_NAME,
  awsSdkV3Client: dynamoDb,
});
/** Tenant and element make a request the same; a record outlives every client's retries. */
const config = new IdempotencyConfig({
  eventKeyJmesPath: '[pathParameters.tenantId, body.element.key]',
  throwOnNoIdempotencyKey: true,
  expiresAfterSeconds: 24 * 60 * 60,
});

const secrets = new SecretsProvider({ awsSdkV3Client: new SecretsManagerClient({}) });
const cloudElements = createHttpClient({
  baseURL: `${environment.CLOUD_ELEMENTS_BASE_URL}/elements/api-v2`,
  timeout: 17_000,
});

async function provision(event: unknown): Promise<APIGatewayProxyStructuredResultV2> {
  const parsed = eventSchema.safeParse(event);
  if (!parsed.success) throw badRequest(parsed.error);
  const {
    pathParameters: { tenantId },
    body: { element, name = `${element.key}-${tenantId}`, tags = [], configuration },
  } = parsed.data;
  logger.appendKeys({ tenantId, elementKey: element.key });

  const { userSecret, organizationSecret } = platformSecretSchema.parse(
    await secrets.get(environment.PLATFORM_SECRET_ID, { transform: 'json', maxAge: 300 }),
  );
  const { data } = await cloudElements.post(
    '/instances',
    { element, name, tags: [...tags, `tenant:${tenantId}`], configuration },
    { headers: { Authorization: `User ${userSecret}, Organization ${organizationSecret}` } },
  );
  const { id, token } = createdSchema.parse(data);
  const { CiphertextBlob } = await kms.send(
    new EncryptCommand({
      KeyId: environment.TOKEN_KEY_ID,
      Plaintext: Buffer.from(token),
      EncryptionContext: { tenantId, elementKey: element.key },
    }),
  );
  const createdDate = new Date().toISOString();
  const instance = { tenantId, element, id, name, tags, status: 'active', createdDate };
  await documents.send(
    new PutCommand({
      TableName: environment.TABLE_NAME,
      Item: { ...instance, elementKey: element.key, token: CiphertextBlob },
    }),
  );
  metrics.addMetric('InstanceProvisioned', MetricUnit.Count, 1);
  logger.info('provisioned', { instanceId: id });
  return {
    statusCode: 201,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(instance),
  };
}

export const handler = middyHandler()
  .use(injectLambdaContext(logger, { resetKeys: true }))
  .use(logMetrics(metrics, { captureColdStartMetric: true }))
  // Also for a repeat, which never reaches the handler: without any metric Powertools would warn.
  .before(() => {
    metrics.addMetric('ProvisioningRequested', MetricUnit.Count, 1);
  })
  .use(httpErrorHandler({ logger: (error) => logger.error('request failed', { reason: String(error) }) }))
  .use(httpHeaderNormalizer())
  .use(httpJsonBodyParser())
  .use(makeHandlerIdempotent({ persistenceStore, config, keyPrefix: 'provision-instance' }))
  .handler(provision);
