import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { KMSClient } from '@aws-sdk/client-kms';
import * as z from 'zod/mini';
import { createAuditProgress } from '../adapters/audit-progress.ts';
import { clientOptions } from '../adapters/aws.ts';
import { createEventPublisher } from '../adapters/event-publisher.ts';
import { createImportedIds } from '../adapters/imported-ids.ts';
import { createInstanceStore } from '../adapters/instance-store.ts';
import { createTokenCipher } from '../adapters/token-cipher.ts';
import { environmentSchema, parseEnvironment } from '../model/environment.ts';
import { sourcesOfResults } from '../model/result-events.ts';

/** What every function may work with, made from the environment. */

export function openStore(environment: NodeJS.ProcessEnv) {
  const { TABLE_NAME } = parseEnvironment(z.pick(environmentSchema, { TABLE_NAME: true }), environment);
  return createInstanceStore({ client: new DynamoDBClient(clientOptions), tableName: TABLE_NAME });
}

export function openAuditProgress(environment: NodeJS.ProcessEnv) {
  const { TABLE_NAME } = parseEnvironment(z.pick(environmentSchema, { TABLE_NAME: true }), environment);
  return createAuditProgress({ client: new DynamoDBClient(clientOptions), tableName: TABLE_NAME });
}

export function openImportedIds(environment: NodeJS.ProcessEnv) {
  const { TABLE_NAME } = parseEnvironment(z.pick(environmentSchema, { TABLE_NAME: true }), environment);
  return createImportedIds({ client: new DynamoDBClient(clientOptions), tableName: TABLE_NAME });
}

export function openCipher(environment: NodeJS.ProcessEnv) {
  const { TOKEN_KEY_ID } = parseEnvironment(z.pick(environmentSchema, { TOKEN_KEY_ID: true }), environment);
  return createTokenCipher({ client: new KMSClient(clientOptions), keyId: TOKEN_KEY_ID });
}

export function openEventPublisher(environment: NodeJS.ProcessEnv) {
  const { EVENT_BUS_NAME, SBT_APPLICATION_PLANE_SOURCE } = parseEnvironment(
    z.pick(environmentSchema, { EVENT_BUS_NAME: true, SBT_APPLICATION_PLANE_SOURCE: true }),
    environment,
  );
  return createEventPublisher({
    client: new EventBridgeClient(clientOptions),
    busName: EVENT_BUS_NAME,
    sourceOf: sourcesOfResults(SBT_APPLICATION_PLANE_SOURCE),
  });
}
