import { PutItemCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { closeServer, listenOnLoopback } from '../../../../infra/local/loopback.ts';
import { triggers, type Trigger } from '../../../../functions/triggers.ts';
import { deadLetterOutput } from '../../../../infra/outputs.ts';
import { pageAt } from '../../../support/pages.ts';
import { newTenant } from '../../../support/real-servers.ts';
import { startOnPortsInARow } from '../../../support/operator.ts';
import type { Service } from '../../../support/running-service.ts';
import { commandPrograms, compileCache } from '../../../support/shared-bundle.ts';

const rows: [string, Trigger][] = Object.entries(triggers);
const queueOwners = rows.flatMap(([name, { queue, stream }]) => (queue || stream ? [name] : []));

const summarySchema = z.object({ instances: z.object({ total: z.number() }) });

// Each command is a process of its own, which takes a second to start on a busy machine.
describe('the command', { timeout: 60_000 }, () => {
  const operator = 'operator';
  const targets = new Set<string>();
  const [active, failed, sick, removed] = [newTenant(), newTenant(), newTenant(), newTenant()];
  const cloudFormation = createServer((_request, response) => {
    const outputs = [
      ['TableName', service.stack.tableName],
      ...queueOwners.map((name) => [
        deadLetterOutput(name),
        `${service.stack.awsUrl}/000000000000/${name}-dead-letters`,
      ]),
    ].map(
      ([key, value]) => `<member><OutputKey>${key}</OutputKey><OutputValue>${value}</OutputValue></member>`,
    );
    response.setHeader('content-type', 'text/xml');
    response.end(
      `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><Outputs>${outputs.join('')}</Outputs></member>` +
        '</Stacks></DescribeStacksResult></DescribeStacksResponse>',
    );
  });
  let cloudFormationUrl: string;
  let service: Service;
  let program: string;
  let port: number;

  beforeAll(async () => {
    ({ service, port } = await startOnPortsInARow({ queue: { maxReceiveCount: 1 } }));
    cloudFormationUrl = await listenOnLoopback(cloudFormation, 0);
    program = (await commandPrograms())('status');
    service.stack.failEach(({ target, signer }) => {
      if (signer === operator) targets.add(target);
      return undefined;
    });
    for (const tenantId of [active, sick, removed]) {
      const configuration = { 'api.key': 'own-key-for-tests' };
      await service.post(tenantId, { element: { key: 'taxify' }, configuration });
    }
    await service.delete(`/tenants/${removed}/instances/taxify`);
    await service.dynamoDb.send(
      new UpdateItemCommand({
        TableName: service.tableName,
        Key: { tenantId: { S: sick }, elementKey: { S: 'taxify' } },
        UpdateExpression: 'SET health = :health',
        ExpressionAttributeValues: {
          ':health': {
            M: { status: { S: 'unhealthy' }, since: { N: '1000' }, reason: { S: 'refused-by-vendor' } },
          },
        },
      }),
    );
    await service.putEvents(
      { Source: 'crm', DetailType: 'TenantOnboarded', Detail: JSON.stringify({ tenantId: failed }) },
      { Source: 'crm', DetailType: 'TenantOnboarded', Detail: '{"tenantId":"acme","surprise":1}' },
    );
    await service.idle();
    await service.invoke('audit-instances', {});
  }, 60_000);
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
    await closeServer(cloudFormation);
  });

  function run(...args: string[]): Promise<{ status: number | null; stdout: string; stderr: string }> {
    const env = {
      PATH: process.env['PATH'],
      PORT: String(port),
      ...compileCache(),
      ...service.stack.environment,
      AWS_ENDPOINT_URL_SQS: service.stack.awsUrl,
      AWS_ENDPOINT_URL_CLOUDFORMATION: cloudFormationUrl,
      AWS_ACCESS_KEY_ID: operator,
    };
    const command = ['--disable-warning=ExperimentalWarning', program, ...args];
    return new Promise((resolve) => {
      const child = execFile(process.execPath, command, { env, timeout: 30_000 }, (_error, stdout, stderr) =>
        resolve({ status: child.exitCode, stdout, stderr }),
      );
    });
  }

  test('the overview of a stage has counts, dead letters and the last audit, then the instances in trouble', async () => {
    const { status, stdout, stderr } = await run('--stage', 'prod');
    expect({ status, stderr }).toEqual({ status: 1, stderr: '' });
    expect(stdout).toMatch(/^stage prod, 20\S+Z\n\ninstances {5}3: 2 active, 1 failed\n/);
    expect(stdout).toContain('\nhealth        1 unhealthy\n');
    expect(stdout).toContain('\ndead letters  onboard-tenants 1  offboard-tenants 0  apply-secrets 0');
    expect(stdout).toMatch(/\nlast audit {4}20\S+Z, \d+ s ago: nothing found\n {14}ours 2 {2}theirs 2 /);
    expect(stdout).toMatch(new RegExp(`\nfailed +${failed} +taxify +20\\S+Z +missing-configuration: `));
    expect(stdout).toMatch(new RegExp(`\nunhealthy +${sick} +taxify +1970\\S+ +refused-by-vendor\n`));
    expect(stdout).not.toContain(active);
    expect(stdout.includes('\u001b')).toBe(false);
  });

  test('the local stack is found by PORT, and --json gives the same facts as one object', async () => {
    const { status, stdout } = await run('--local', '--json');
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      target: `the local stack on port ${port}`,
      instances: { total: 3, byStatus: { active: 2, failed: 1 }, byHealth: { unhealthy: 1 } },
      deadLetters: { 'onboard-tenants': 1, 'publish-results': 0 },
      lastAudit: { findings: [], result: { ours: 2, complete: true } },
      troubles: { failed: { count: 1, listed: [{ tenantId: failed }] } },
    });
  });

  test('one tenant is shown with its query for log lines and what to do, and never with its token', async () => {
    const bad = await run('--stage', 'prod', failed);
    expect(bad.status).toBe(1);
    expect(bad.stdout).toMatch(/\nstatus {8}failed\n/);
    expect(bad.stdout).toMatch(/\nlastError {5}missing-configuration: .*\n/);
    expect(bad.stdout).toContain(`filter tenantId = "${failed}" | sort @timestamp desc`);
    expect(bad.stdout).toContain('list-stack-resources --stack-name element-onboarding-prod ');
    expect(bad.stdout).toContain('infra/monitoring/README.md#rotate-a-tenants-key');

    const good = await run('--stage', 'prod', active, '--json');
    const [instance] = service.instancesOf(active);
    expect(good.status).toBe(0);
    expect(JSON.parse(good.stdout)).toMatchObject({
      tenantId: active,
      instances: [{ id: instance?.id, status: 'active', element: { key: 'taxify' } }],
      todo: [],
    });
    expect(instance?.token).toBeTruthy();
    expect(good.stdout).not.toMatch(/token|own-key-for-tests/);

    const none = await run('--stage', 'prod', 'no-such-tenant');
    expect(none.status).toBe(1);
    expect(none.stdout).toContain('The tenant has no instance');
  });

  test('the command calls what its page permits, and nothing else', () => {
    const [, section = ''] = pageAt('infra/cli/README.md').split('\n## status');
    const [, permissions = ''] = /^Permissions: (.*)$/m.exec(section) ?? [];
    const actions = [...permissions.matchAll(/`(?:dynamodb|sqs):(\w+)`/g)].map(([, action = '']) => action);
    const called = [...targets].map((target) => target.slice(target.indexOf('.') + 1));
    expect(called.toSorted()).toEqual(actions.toSorted());
  });

  test('rows of many pages are counted once each', async () => {
    const filler = { S: 'x'.repeat(300_000) };
    for (let i = 0; i < 8; i++) {
      const key = { tenantId: { S: `large-${i}` }, elementKey: { S: 'taxify' } };
      await service.dynamoDb.send(
        new PutItemCommand({ TableName: service.tableName, Item: { ...key, filler } }),
      );
    }
    const scansBefore = service.stack.requests.filter((target) => target.endsWith('.Scan')).length;
    const { stdout } = await run('--stage', 'prod', '--json', '--limit', '1');
    const scans = service.stack.requests.filter((target) => target.endsWith('.Scan')).length - scansBefore;
    expect(scans).toBeGreaterThan(2);
    expect(summarySchema.parse(JSON.parse(stdout)).instances.total).toBe(11);
    expect(JSON.parse(stdout)).toMatchObject({ troubles: { unreadable: { count: 8 } } });
  });

  test('the command ends with status 3 when a call fails', async () => {
    service.stack.failEach(() => ({ status: 400, type: 'AccessDeniedException', message: 'not you' }));
    const { status, stdout, stderr } = await run('--local');
    service.stack.failEach(() => undefined);
    expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
    expect(stderr).toContain('A call to AWS failed');
  });
});
