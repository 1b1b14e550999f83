import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { GetKeyPolicyCommand, KMSClient } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serviceOf, type Service } from '../running-service.ts';
import { startDeployedStack } from './deployed-stack.ts';
import { credentials, endpointUrl, previousDirectory, region } from './endpoint.ts';

/** The schedule is of a minute, and the function takes a moment to start. */
const patience = { timeout: 80_000, interval: 1_000 };

const body = { element: { key: 'taxify' }, configuration: { 'api.key': 'taxify-key-for-tests' } };

/** Each goes on where the one before ended. */
describe('a stack', () => {
  const cloudFormation = new CloudFormationClient({ endpoint: endpointUrl().origin, region, credentials });
  let stack: Awaited<ReturnType<typeof startDeployedStack>>;
  let service: Service;
  let isStopped = false;
  async function stop(): Promise<void> {
    isStopped = true;
    await stack.stop();
  }
  beforeAll(async () => {
    stack = await startDeployedStack({}, { directory: previousDirectory() });
    service = serviceOf(stack);
  });
  afterAll(async () => {
    if (!isStopped) await stop();
    cloudFormation.destroy();
  });

  const resourcesOf = async (type: string) =>
    (await stack.listResources()).filter(({ ResourceType }) => ResourceType === type);
  /** The names of all roles, by logical id. */
  async function roles(): Promise<Record<string, string | undefined>> {
    const all = await resourcesOf('AWS::IAM::Role');
    return Object.fromEntries(
      all.map(({ LogicalResourceId = '', PhysicalResourceId }) => [LogicalResourceId, PhysicalResourceId]),
    );
  }
  async function physicalIdOf(type: string, word: string): Promise<string | undefined> {
    const all = await resourcesOf(type);
    return all.find(({ LogicalResourceId = '' }) => LogicalResourceId.includes(word))?.PhysicalResourceId;
  }

  test('of the version before is replaced by this version, and keeps its data', async () => {
    expect((await service.post('before', body)).status).toBe(201);
    const before = await service.rowOf('before');
    const rolesBefore = await roles();

    const { outputs } = await stack.redeploy();
    // Callers have the address of the API, senders the name of the bus, and operators the rest.
    expect(outputs).toMatchObject(stack.outputs);
    const resources = await stack.listResources();
    const byType = Map.groupBy(resources, ({ ResourceType = '' }) => ResourceType.replace('AWS::', ''));
    const lines = [...byType].map(([type, { length }]) => `${String(length).padStart(3)}  ${type}`);
    process.stdout.write(`Deployed: ${resources.length} resources\n${lines.toSorted().join('\n')}\n`);
    expect(resources.length).toBeGreaterThan(50);

    expect(await service.rowOf('before')).toEqual(before);
    await service.expectOneActiveInstance('before');
    expect((await service.post('before', body)).status).toBe(200);
    // The key's policy names one of them by its ARN.
    expect(rolesBefore).not.toEqual({});
    expect(await roles()).toMatchObject(rolesBefore);
  });

  test('the token key’s policy denies decryption to every principal but the role of read-token', async () => {
    const keyId = await physicalIdOf('AWS::KMS::Key', 'TokenKey');
    const kms = new KMSClient({ endpoint: endpointUrl().origin, region, credentials });
    const { Policy = '' } = await kms.send(new GetKeyPolicyCommand({ KeyId: keyId }));
    kms.destroy();
    const role = await physicalIdOf('AWS::IAM::Role', 'readtoken');
    expect(JSON.parse(Policy).Statement).toMatchObject([
      { Effect: 'Allow', Action: 'kms:*' },
      {
        Effect: 'Deny',
        Principal: { AWS: '*' },
        Action: ['kms:CreateGrant', 'kms:Decrypt', 'kms:ReEncrypt*'],
        Condition: { ArnNotEquals: { 'aws:PrincipalArn': [`arn:aws:iam::000000000000:role/${role}`] } },
      },
    ]);
  });

  test('that is deployed once more does not change', async () => {
    expect((await stack.redeploy()).printed).toContain('(no changes)');
  });

  test('settles by its schedule what a request left open', async () => {
    service.simulator.listLagMs = 600_000;
    service.simulator.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'reset' } });
    expect((await service.post('left-open', body)).status).toBe(202);
    service.simulator.listLagMs = 0;
    // It would be looked at in two minutes.
    await service.dynamoDb.send(
      new UpdateItemCommand({
        TableName: stack.tableName,
        Key: { tenantId: { S: 'left-open' }, elementKey: { S: 'taxify' } },
        UpdateExpression: 'SET checkAt = :past',
        ConditionExpression: 'checkAt > :past',
        ExpressionAttributeValues: { ':past': { N: '1' } },
      }),
    );
    await expect.poll(() => service.rowOf('left-open'), patience).toMatchObject({ status: 'active' });
    await service.expectOneActiveInstance('left-open');
  });

  test('that is destroyed leaves nothing behind', async () => {
    await stop();
    const described = cloudFormation.send(new DescribeStacksCommand({ StackName: stack.stackName }));
    await expect(described).rejects.toThrow('does not exist');
  });
});
