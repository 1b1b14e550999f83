import type { DynamoDBRecord } from 'aws-lambda';
import { startAwsEndpoint } from '../../infra/local/aws/aws-endpoint.ts';
import { region } from '../../infra/local/aws/aws-protocol.ts';
import { createDeadLetterCounts } from '../../infra/local/aws/dead-letter-counts.ts';
import { startDynamoDb } from '../../infra/local/aws/dynamodb.ts';
import { createEventBus, type EventEnvelope } from '../../infra/local/aws/event-bus.ts';
import { createKms } from '../../infra/local/aws/kms.ts';
import { createSecretsManager } from '../../infra/local/aws/secrets-manager.ts';
import { startCloudElements, type PlatformSecrets } from '../../infra/local/cloud-elements/simulator.ts';
import { createFaults } from '../../infra/local/faults.ts';

/**
 * Starts Cloud Elements and the AWS services that the functions call, on free ports, without functions.
 * @param name of the bus, and the prefix of all secrets; the platform secret is `<name>/platform`
 */
export async function startLocalServers({
  name,
  tableName,
  platformSecrets,
  ports = { aws: 0, dynamodb: 0 },
  onChange = () => {},
  onEvent = () => {},
}: {
  name: string;
  tableName: string;
  platformSecrets: PlatformSecrets;
  ports?: { aws: number; dynamodb: number };
  onChange?: (record: DynamoDBRecord) => void;
  onEvent?: (event: EventEnvelope) => void;
}) {
  const simulator = await startCloudElements(platformSecrets);
  const faults = createFaults();
  const dynamoDb = await startDynamoDb({
    tableName,
    port: ports.dynamodb,
    guard: faults.guard,
    onChange,
  });
  const secretsManager = createSecretsManager();
  const kms = createKms();
  const bus = createEventBus({ name, onEvent });
  const aws = await startAwsEndpoint({
    port: ports.aws,
    guard: faults.guard,
    operations: {
      ...secretsManager.operations,
      ...kms.operations,
      ...bus.operations,
      ...createDeadLetterCounts(() => 0),
    },
  });
  const platformSecretId = `${name}/platform`;
  secretsManager.put(platformSecretId, JSON.stringify(platformSecrets));
  const settings = { region, credentials: { accessKeyId: name, secretAccessKey: name } };
  return {
    simulator,
    faults,
    tokenKeyId: kms.keyId,
    platformSecretId,
    putSecret: (secretName: string, value: string) => secretsManager.put(secretName, value),
    /** Settings of clients for DynamoDB, and for the other services. */
    dynamoDbSettings: { ...settings, endpoint: dynamoDb.url },
    awsSettings: { ...settings, endpoint: aws.url },
    async stop(): Promise<void> {
      await Promise.all([simulator.stop(), dynamoDb.stop(), aws.stop()]);
    },
  };
}
