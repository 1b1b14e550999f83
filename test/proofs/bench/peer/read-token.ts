/** The peer's counterpart of `read-token`. See `provision-instance.ts` beside this file; frozen like it. */
import { injectLambdaContext } from '@aws-lambda-powertools/logger/middleware';
import { MetricUnit } from '@aws-lambda-powertools/metrics';
import { logMetrics } from '@aws-lambda-powertools/metrics/middleware';
import { DecryptCommand } from '@aws-sdk/client-kms';
import { GetCommand } from '@aws-sdk/lib-dynamodb';
import middyHandler from '@middy/core';
import httpErrorHandler from '@middy/http-error-handler';
import httpHeaderNormalizer from '@middy/http-header-normalizer';
import { createError } from '@middy/util';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import * as z from 'zod';
import {
  badRequest,
  documents,
  elementKeySchema,
  environment,
  kms,
  logger,
  metrics,
  tenantIdSchema,
} from './clients.ts';

const eventSchema = z.object({
  pathParameters: z.object({ tenantId: tenantIdSchema, elementKey: elementKeySchema }),
});
const itemSchema = z.object({ id: z.number(), token: z.instanceof(Uint8Array) });

async function readToken(event: unknown): Promise<APIGatewayProxyStructuredResultV2> {
  const parsed = eventSchema.safeParse(event);
  if (!parsed.success) throw badRequest(parsed.error);
  const { tenantId, elementKey } = parsed.data.pathParameters;
  logger.appendKeys({ tenantId, elementKey });

  const { Item } = await documents.send(
    new GetCommand({
      TableName: environment.TABLE_NAME,
      Key: { tenantId, elementKey },
      ConsistentRead: true,
    }),
  );
  if (!Item) throw createError(404, `Tenant ${tenantId} has no ${elementKey} instance.`);
  const { id, token } = itemSchema.parse(Item);
  const { Plaintext } = await kms.send(
    new DecryptCommand({
      KeyId: environment.TOKEN_KEY_ID,
      CiphertextBlob: token,
      EncryptionContext: { tenantId, elementKey },
    }),
  );
  metrics.addMetric('TokenRead', MetricUnit.Count, 1);
  logger.info('token read', { instanceId: id });
  return {
    statusCode: 200,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
    body: JSON.stringify({
      tenantId,
      element: { key: elementKey },
      id,
      token: Buffer.from(Plaintext ?? []).toString(),
    }),
  };
}

export const handler = middyHandler()
  .use(injectLambdaContext(logger, { resetKeys: true }))
  .use(logMetrics(metrics, { captureColdStartMetric: true }))
  .use(httpErrorHandler({ logger: (error) => logger.error('request failed', { reason: String(error) }) }))
  .use(httpHeaderNormalizer())
  .handler(readToken);
