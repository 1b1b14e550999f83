import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { afterAll } from 'vitest';
import { startAwsEndpoint } from '../../infra/local/aws/aws-endpoint.ts';
import { AwsError } from '../../infra/local/aws/aws-protocol.ts';

const verbs = ['GetItem', 'PutItem', 'UpdateItem', 'DeleteItem', 'Query', 'Scan'] as const;

/**
 * Starts a DynamoDB that records requests and responds as the test decides: for the requests themselves, and for
 * responses that the embedded one never gives. It is stopped after the last test of the file.
 */
export async function startScriptedDynamoDb() {
  const requests: { verb: string; body: unknown }[] = [];
  const scripted = {
    /** In order of arrival. */
    requests,
    /** Decides about each request. */
    respond: (_verb: string, _body: unknown): object => ({}),
  };
  const operationOf = (verb: string) => (body: unknown) => {
    requests.push({ verb, body });
    return scripted.respond(verb, body);
  };
  const endpoint = await startAwsEndpoint({
    operations: Object.fromEntries(verbs.map((verb) => [`DynamoDB_20120810.${verb}`, operationOf(verb)])),
  });
  const client = new DynamoDBClient({
    endpoint: endpoint.url,
    region: 'us-east-1',
    credentials: { accessKeyId: 'tests', secretAccessKey: 'tests' },
    maxAttempts: 1,
  });
  afterAll(async () => {
    client.destroy();
    await endpoint.stop();
  });
  return Object.assign(scripted, { client });
}

/** The refusal of a conditional write, without the item: not every DynamoDB-compatible store sends it along. */
export function refuseCondition(): never {
  throw new AwsError('ConditionalCheckFailedException', 'The conditional request failed');
}

/** Any other refusal. */
export function refuseAccess(): never {
  throw new AwsError('AccessDeniedException', 'not authorized');
}
