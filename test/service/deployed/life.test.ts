import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { GetKeyPolicyCommand, KMSClient } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventOf, serviceOf, tenantOnboarded, type Service } from '../../support/running-service.ts';
import { testEarlierRows, writeEarlierRows, type EarlierRows } from '../upgrade/earlier-row-tests.ts';
import { startDeployedStack } from './deployed-stack.ts';
import { credentials, endpointUrl, previousDirectory, region } from './endpoint.ts';
import { refusedKey } from '../../../infra/local/cloud-elements/instances.ts';

/** The schedule's period is a minute, and the function takes a moment to start. */
const patience = { timeout: 80_000, interval: 1_000 };

const body = { element: { key: 'taxify' }, configuration: { 'api.key': 'taxify-key-for-tests' } };

const offboarded = (tenantId: string) => eventOf('crm.example', 'TenantOffboarded', { tenantId });

/** Each test continues with the state of the previous one. */
describe('a stack', () => {
  const cloudFormation = new CloudFormationClient({ endpoint: endpointUrl().origin, region, credentials });
  let stack: Awaited<ReturnType<typeof startDeployedStack>>;
  let service: Service;
  let earlierRows: EarlierRows;
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
  /** The names of all resources, by logical id. */
  async function physicalIds(): Promise<Map<string, string | undefined>> {
    const all = await stack.listResources();
    return new Map(
      all.map(({ LogicalResourceId = '', PhysicalResourceId }) => [LogicalResourceId, PhysicalResourceId]),
    );
  }
  async function physicalIdOf(type: string, word: string): Promise<string | undefined> {
    const all = await resourcesOf(type);
    return all.find(({ LogicalResourceId = '' }) => LogicalResourceId.includes(word))?.PhysicalResourceId;
  }

  const registrationId = 'registration-of-before';
  const sbt = (type: string) =>
    eventOf('sbt.control.plane', type, { tenantId: 'registered', tenantRegistrationId: registrationId });
  const withoutKey = { element: body.element };
  const refused = { ...body, configuration: { 'api.key': 'refused-key-for-tests' } };

  /** One tenant of each kind, by requests and events. */
  async function writeByItsApi(): Promise<void> {
    for (const tenantId of ['from-secret', 'onboarded', 'registered']) {
      await service.putTenantSecret(tenantId, body.configuration);
    }
    expect((await service.post('requested', body)).status).toBe(201);
    expect((await service.post('from-secret', withoutKey)).status).toBe(201);
    expect((await service.post('failed', refused)).status).toBe(400);
    expect((await service.post('removed', body)).status).toBe(201);
    expect((await service.delete('/tenants/removed/instances/taxify')).status).toBe(204);
    await service.deliverEvents(
      tenantOnboarded('onboarded'),
      sbt('sbt_aws_onboardingRequest'),
      offboarded('offboarded'),
    );
  }

  /** Without what a scheduled check of health writes: one may run while the stack is upgraded. */
  const itemsByTenant = async () =>
    Object.groupBy(
      (await service.items()).map(
        ({ attemptId: _id, checkAt: _at, health: _health, healthCheckAt: _next, ...item }) => item,
      ),
      (item) => `${item['tenantId']?.S} ${item['elementKey']?.S}`,
    );

  test(
    'a stack of the previous version is replaced by this version, and keeps its data',
    { timeout: 240_000 },
    async () => {
      await writeByItsApi();
      earlierRows = await writeEarlierRows(service);
      const before = await itemsByTenant();
      const rolesBefore = await roles();
      const idsBefore = await physicalIds();

      const { outputs } = await stack.redeploy();
      // Callers have the address of the API, senders the name of the bus, and operators the rest.
      expect(outputs).toMatchObject(stack.outputs);
      const resources = await stack.listResources();
      const byType = Map.groupBy(resources, ({ ResourceType = '' }) => ResourceType.replace('AWS::', ''));
      const lines = [...byType].map(([type, { length }]) => `${String(length).padStart(3)}  ${type}`);
      process.stdout.write(`Deployed: ${resources.length} resources\n${lines.toSorted().join('\n')}\n`);
      expect(resources.length).toBeGreaterThan(50);

      expect(await itemsByTenant()).toEqual(before);
      // The key's policy names one of them by its ARN.
      expect(rolesBefore).not.toEqual({});
      expect(await roles()).toMatchObject(rolesBefore);
      // A replaced resource loses its data or its address. Removed resources are not checked here.
      const idsNow = await physicalIds();
      const replaced = [...idsBefore].filter(([id, name]) => idsNow.has(id) && idsNow.get(id) !== name);
      expect(replaced).toEqual([]);
      expect(await physicalIdOf('AWS::Logs::LogGroup', 'AccessLog')).toMatch(
        /^\/aws\/vendedlogs\/element-onboarding-dev-[\w-]+-[0-9a-f]{8}$/,
      );
    },
  );

  test('an upgraded stack serves the tenants that the previous version provisioned, refused and removed', async () => {
    for (const tenantId of ['requested', 'from-secret', 'onboarded', 'registered']) {
      await service.expectOneActiveInstance(tenantId);
      const again = tenantId === 'requested' ? body : withoutKey;
      expect((await service.post(tenantId, again)).status).toBe(200);
      const path = `/tenants/${tenantId}/instances/taxify`;
      expect((await service.patch(path, { tags: ['eu'] })).status).toBe(200);
      expect(service.postsFor(tenantId)).toBe(1);
    }
    for (const tenantId of ['failed', 'removed', 'offboarded']) {
      expect((await service.post(tenantId, body)).status).toBe(201);
      await service.expectOneActiveInstance(tenantId);
    }
    await service.deliverEvents(offboarded('onboarded'), sbt('sbt_aws_offboardingRequest'));
    for (const tenantId of ['onboarded', 'registered']) {
      expect(service.instancesOf(tenantId)).toEqual([]);
      expect((await service.get(`/tenants/${tenantId}/instances`)).json).toEqual([]);
    }
    expect(await service.events()).toContainEqual(
      expect.objectContaining({
        'detail-type': 'sbt_aws_deprovisionSuccess',
        detail: expect.objectContaining({ tenantRegistrationId: registrationId }),
      }),
    );
  });

  describe('with rows of the version before', () => {
    testEarlierRows(() => ({ service, rows: earlierRows }));
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

  test('a stack that is deployed again does not change', async () => {
    expect((await stack.redeploy()).printed).toContain('(no changes)');
  });

  test('a stack settles open rows by its schedule', async () => {
    service.simulator.listLagMs = 600_000;
    service.simulator.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'reset' } });
    expect((await service.post('left-open', body)).status).toBe(202);
    service.simulator.listLagMs = 0;
    // Otherwise it would be due in two minutes.
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

  test('a new value of a tenant’s secret reaches Cloud Elements by itself', async () => {
    await service.putTenantSecret('new-key', body.configuration);
    expect((await service.post('new-key', withoutKey)).status).toBe(201);
    const before = (await service.get('/tenants/new-key/instances/taxify/token')).json;
    // The second value of a secret is put, of which Secrets Manager tells.
    await service.putTenantSecret('new-key', { 'api.key': 'second-key-for-tests' });
    await expect
      .poll(() => service.instancesOf('new-key')[0]?.configuration, patience)
      .toMatchObject({ 'api.key': 'second-key-for-tests' });
    expect((await service.get('/tenants/new-key/instances/taxify/token')).json).toEqual(before);
    expect(service.postsFor('new-key')).toBe(1);
    await expect
      .poll(() => service.events(), patience)
      .toContainEqual(
        expect.objectContaining({
          'detail-type': 'InstanceUpdated',
          detail: expect.objectContaining({ tenantId: 'new-key' }),
        }),
      );
  });

  test('checks find a key that the vendor refuses, and the list of all tenants and an event show it', async () => {
    const element = { key: 'freshservice' };
    const configuration = { username: 'any', password: refusedKey, subdomain: 'acme' };
    await service.putTenantSecret('wrong-key', configuration, element.key);
    expect((await service.post('wrong-key', { element })).status).toBe(201);
    const path = `/tenants/wrong-key/instances/${element.key}`;
    // The schedule may have checked it meanwhile, so only the last state is certain.
    await service.request({ method: 'POST', path: `${path}/check` });
    const health = { status: 'unhealthy', reason: 'refused-by-vendor' };
    expect(await service.request({ method: 'POST', path: `${path}/check` })).toMatchObject({
      status: 200,
      json: { status: 'active', health, check: health },
    });
    expect((await service.get(path)).json).toMatchObject({ health });
    expect((await service.get('/instances?health=unhealthy')).json).toMatchObject({
      instances: [{ tenantId: 'wrong-key', element, health }],
    });
    expect((await service.get('/instances?health=unhealthy&cursor=tampered')).status).toBe(400);
    await expect
      .poll(() => service.events(), patience)
      .toContainEqual(
        expect.objectContaining({
          'detail-type': 'InstanceUnhealthy',
          detail: expect.objectContaining({ tenantId: 'wrong-key' }),
        }),
      );
  });

  test('an instance made by hand is imported with its token and its tags, and removed with the tenant', async () => {
    const { id, token } = service.simulator.seed({ ...body, name: 'By hand', tags: ['by hand'] });
    expect((await service.importInstance('imported', id)).status).toBe(201);
    expect((await service.importInstance('imported', id)).status).toBe(200);
    expect((await service.importInstance('another', id)).status).toBe(409);
    const path = '/tenants/imported/instances/taxify';
    expect((await service.get(`${path}/token`)).json).toMatchObject({ id, token });
    expect(service.instancesOf('imported')).toMatchObject([{ id, name: 'By hand' }]);
    expect(service.postsFor('imported')).toBe(0);
    expect((await service.delete(path)).status).toBe(204);
    expect(service.instancesOf('imported')).toEqual([]);
  });

  test('a destroyed stack leaves nothing behind', async () => {
    await stop();
    const described = cloudFormation.send(new DescribeStacksCommand({ StackName: stack.stackName }));
    await expect(described).rejects.toThrow('does not exist');
  });
});
