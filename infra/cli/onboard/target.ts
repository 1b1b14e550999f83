import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { createApi, type Api } from '../api.ts';
import { type OutputName, stackNameOf } from '../../outputs.ts';

// Clients are imported where they are used: each takes some 20 ms to load, and most commands need one or two of them.

/** Where to find the service: a deployed stage, the local stack by its first port, or a bus and a table by name. */
export type Where =
  | { stage: string }
  | { localPort: number }
  | { busName: string; tableName: string; apiUrl: string | undefined };

export type Target = {
  /** For people. */
  name: string;
  busName: string;
  tableName: string;
  eventBridge: EventBridgeClient;
  dynamoDb: DynamoDBClient;
  /** @throws TargetError when its address is not known */
  api: () => Api;
};

/** The service cannot be found; the message names the resource that is missing. */
export class TargetError extends Error {
  override readonly name = 'TargetError';
}

/** Generous, because these tools run outside AWS, but bounded. */
export const requestHandler = {
  connectionTimeout: 5_000,
  requestTimeout: 10_000,
  throwOnRequestTimeout: true,
};

/** @throws TargetError when stack or table cannot be looked at */
export async function findTarget(where: Where): Promise<Target> {
  if ('localPort' in where) {
    // The ports and names of `npm start`, independent of the AWS account in the environment.
    return targetOf(
      `the local stack on port ${where.localPort}`,
      {
        busName: 'element-onboarding',
        tableName: 'element-onboarding',
        apiUrl: () => `http://127.0.0.1:${where.localPort}`,
      },
      { events: onThisMachine(where.localPort + 1), table: onThisMachine(where.localPort + 2) },
    );
  }
  if ('stage' in where) return targetOf(`stage ${where.stage}`, await namesOf(where.stage));
  return targetOf(`table ${where.tableName}`, { ...where, apiUrl: () => where.apiUrl });
}

/** `prefix`: of the secrets' names, before `/<tenantId>/<elementKey>`. */
export type TenantSecrets = { secretsManager: SecretsManagerClient; prefix: string };

/**
 * Finds the tenants' secrets; undefined for a target by names, which do not include the secrets' prefix.
 * @throws TargetError when the stack cannot be looked at
 */
export async function findTenantSecrets(where: Where): Promise<TenantSecrets | undefined> {
  if (!('localPort' in where || 'stage' in where)) return undefined;
  const { SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager');
  const common = { requestHandler, maxAttempts: 8 };
  if ('localPort' in where) {
    const secretsManager = new SecretsManagerClient({ ...common, ...onThisMachine(where.localPort + 1) });
    return { secretsManager, prefix: 'element-onboarding/tenants' };
  }
  const output = await outputsOf(where.stage);
  return { secretsManager: new SecretsManagerClient(common), prefix: output('TenantSecretPrefix') };
}

/** A service of the local stack. */
export const onThisMachine = (port: number): ClientSettings => ({
  endpoint: `http://127.0.0.1:${port}`,
  region: 'us-east-1',
  credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
});

export type ClientSettings = {
  endpoint?: string;
  region?: string;
  credentials?: { accessKeyId: string; secretAccessKey: string };
};

async function targetOf(
  name: string,
  { busName, tableName, apiUrl }: { busName: string; tableName: string; apiUrl: () => string | undefined },
  at: { events: ClientSettings; table: ClientSettings } = { events: {}, table: {} },
): Promise<Target> {
  const { DescribeTableCommand, DynamoDBClient } = await import('@aws-sdk/client-dynamodb');
  const { EventBridgeClient } = await import('@aws-sdk/client-eventbridge');
  const dynamoDb = new DynamoDBClient({ ...at.table, requestHandler, maxAttempts: 8 });
  const eventBridge = new EventBridgeClient({ ...at.events, requestHandler, maxAttempts: 5 });
  try {
    const describe = new DescribeTableCommand({ TableName: tableName });
    await dynamoDb.send(describe);
    const api = () => {
      const url = apiUrl();
      if (url !== undefined) return createApi({ url, signer: dynamoDb });
      throw new TargetError('The address of the API is not known: give --api.');
    };
    return { name, busName, tableName, eventBridge, dynamoDb, api };
  } catch (error) {
    const hint = at.table.endpoint === undefined ? '' : '\nIs npm start running, and with this PORT?';
    throw new TargetError(`The table ${tableName} of ${name} cannot be looked at: ${reasonOf(error)}${hint}`);
  }
}

async function namesOf(stage: string) {
  const output = await outputsOf(stage);
  return { busName: output('EventBusName'), tableName: output('TableName'), apiUrl: () => output('ApiUrl') };
}

/**
 * Returns the outputs of a deployed stage by name.
 * @throws TargetError when the stack cannot be looked at; later, when it does not have the requested output
 */
export async function outputsOf(stage: string): Promise<(name: OutputName) => string> {
  const stackName = stackNameOf(stage);
  const { CloudFormationClient, DescribeStacksCommand } = await import('@aws-sdk/client-cloudformation');
  const client = new CloudFormationClient({ requestHandler });
  try {
    const { Stacks = [] } = await client.send(new DescribeStacksCommand({ StackName: stackName }));
    const outputs = new Map(
      Stacks[0]?.Outputs?.map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue]),
    );
    return (name) => {
      const value = outputs.get(name);
      if (value) return value;
      throw new TargetError(`The stack ${stackName} has no output ${name}: deploy it again.`);
    };
  } catch (error) {
    throw new TargetError(
      `The stack ${stackName} cannot be looked at: ${reasonOf(error)}\n` +
        'Are credentials and region those of the account that it is deployed to?',
    );
  } finally {
    client.destroy();
  }
}

export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'no reason was given';
  // A connection refused on several addresses is an AggregateError without a message.
  const message = error.message || ('code' in error ? String(error.code) : '');
  return error.name === 'Error' ? message : `${error.name}: ${message}`;
}
