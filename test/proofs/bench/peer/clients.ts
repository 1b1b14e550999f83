/** Shared parts of the peer's functions: one client and one logger per execution environment, as the documentation advises. */
import { Logger } from '@aws-lambda-powertools/logger';
import { Metrics } from '@aws-lambda-powertools/metrics';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { KMSClient } from '@aws-sdk/client-kms';
import { DynamoDBDocumentClient } from '@aws-sdk/lib-dynamodb';
import { createError } from '@middy/util';
import * as z from 'zod';

export const environment = z
  .object({
    TABLE_NAME: z.string(),
    IDEMPOTENCY_TABLE_NAME: z.string(),
    PLATFORM_SECRET_ID: z.string(),
    TOKEN_KEY_ID: z.string(),
    CLOUD_ELEMENTS_BASE_URL: z.url(),
  })
  .parse(process.env);

export const logger = new Logger({ serviceName: 'element-onboarding' });
export const metrics = new Metrics({ namespace: 'ElementOnboarding', serviceName: 'element-onboarding' });

export const dynamoDb = new DynamoDBClient({});
export const documents = DynamoDBDocumentClient.from(dynamoDb, {
  marshallOptions: { removeUndefinedValues: true },
});
export const kms = new KMSClient({});

export const tenantIdSchema = z
  .string()
  .max(64)
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$/);
export const elementKeySchema = z
  .string()
  .max(64)
  .regex(/^[a-z0-9][a-z0-9_-]*$/);

/** An error that middy's error handler answers with 400 and the list of faults. */
export const badRequest = (error: z.ZodError) =>
  createError(400, JSON.stringify({ issues: error.issues.map(({ path, message }) => ({ path, message })) }));
