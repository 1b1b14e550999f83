import { DeleteItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import {
  metricNamespace,
  metrics,
  metricService,
  type MetricName,
  upstreamOperations,
} from '../../../functions/model/metric-names.ts';
import { oldestOnboardingMs } from '../../../functions/model/timing.ts';
import { newTenant } from '../../support/real-servers.ts';
import { isDeployed } from '../../service/deployed/endpoint.ts';
import { eventOf, startService, tenantOnboarded, type Service } from '../../support/running-service.ts';
import { notApplied } from '../../support/faults.ts';

const maxReceiveCount = 2;

let service: Service;
beforeAll(async () => {
  service = await startService({
    queue: { visibilityTimeoutMs: 20, maxReceiveCount },
    stream: { retryDelayMs: 1, retries: 3 },
  });
}, 60_000);
afterAll(() => service[Symbol.asyncDispose]());

/** https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html */
const metricsLineSchema = z.catchall(
  z.object({
    _aws: z.strictObject({
      Timestamp: z.int(),
      CloudWatchMetrics: z.tuple([
        z.strictObject({
          Namespace: z.string(),
          Dimensions: z.tuple([z.array(z.string())]),
          Metrics: z.array(z.strictObject({ Name: z.string(), Unit: z.string() })),
        }),
      ]),
    }),
  }),
  z.union([z.string(), z.number(), z.array(z.number())]),
);

/** All values in a line of metrics. */
function valuesIn(line: string) {
  const { _aws, ...fields } = metricsLineSchema.parse(JSON.parse(line));
  const [{ Namespace, Dimensions, Metrics }] = _aws.CloudWatchMetrics;
  const dimensions = Object.fromEntries(Dimensions[0].map((name) => [name, fields[name]]));
  return Metrics.flatMap(({ Name, Unit }) =>
    [fields[Name]].flat().map((value) => ({
      namespace: Namespace,
      name: Name,
      unit: Unit,
      dimensions,
      value: Number(value),
    })),
  );
}

const told = () => service.stack.metrics.flatMap(valuesIn);

/** Values of a metric since the beginning of the test. */
function valuesOf(name: MetricName, by: Record<string, string> = {}): number[] {
  return told()
    .slice(toldBefore)
    .filter((each) => each.name === name)
    .filter(({ dimensions }) => Object.entries(by).every(([key, value]) => dimensions[key] === value))
    .map(({ value }) => value);
}

let toldBefore = 0;
beforeEach(async () => {
  await service.idle();
  service.simulator.reset();
  toldBefore = told().length;
});

const taxify = { element: { key: 'taxify' }, configuration: { 'api.key': 'any' } };

async function provisioned(): Promise<{ tenantId: string; path: string }> {
  const tenantId = newTenant();
  expect(await service.post(tenantId, taxify)).toMatchObject({ status: 201 });
  await service.idle();
  toldBefore = told().length;
  return { tenantId, path: `/tenants/${tenantId}/instances/taxify` };
}

const keyOf = (tenantId: string) => ({ tenantId: { S: tenantId }, elementKey: { S: 'taxify' } });
const hourMs = 3_600_000;

/** Makes the tenant's row unsettled, and due for an hour. */
function leaveOpen(tenantId: string, status: 'provisioning' | 'deleting' | 'active'): Promise<void> {
  const anHourAgo = Date.now() - hourMs;
  const due = { unsettled: 'yes', inDoubt: true, checkAt: Date.now() - 1 };
  return service.changeRow({ tenantId }, { status, ...due, sendDeadline: anHourAgo, removedAt: anHourAgo });
}

/** Makes another instance of the tenant's generation, as a create that is sent twice would. */
function duplicate(tenantId: string): void {
  const [instance] = service.instancesOf(tenantId);
  service.simulator.seed({ ...taxify, name: 'Double', tags: instance?.tags });
}

async function removeAtCloudElements(tenantId: string): Promise<void> {
  const [instance] = service.instancesOf(tenantId);
  const url = `${service.stack.cloudElementsUrl}/elements/api-v2/instances/${instance?.id}`;
  expect((await fetch(url, { method: 'DELETE', headers: platformHeaders })).status).toBe(200);
}

const platformHeaders = {
  authorization: 'User local-user-secret, Organization local-organization-secret',
  'content-type': 'application/json',
};

const reconcile = () => service.stack.runSchedule('reconcile-instances');
const audit = () => service.stack.runSchedule('audit-instances');

// Needs the functions' whole output, and servers that fail.
describe.skipIf(isDeployed)('logs and metrics of the service', () => {
  test('a provisioning is logged with every field that a search starts from', async () => {
    const { tenantId } = await provisioned();
    const { provisionId } = z.object({ provisionId: z.string() }).parse(await service.rowOf(tenantId));
    const about = { tenantId, elementKey: 'taxify', provisionId, awsRequestId: expect.any(String) };
    const [call, request, change] = await service.logsOf(tenantId);
    expect(call).toMatchObject({
      ...about,
      message: 'cloud-elements',
      operation: 'POST /instances',
      outcome: 'answered',
      status: 200,
      requestId: expect.stringMatching(/^[\da-f]{24}$/),
      durationMs: expect.any(Number),
    });
    expect(request).toMatchObject({
      ...about,
      message: 'request',
      route: 'POST /tenants/{tenantId}/instances',
      outcome: 'created',
      status: 201,
      durationMs: expect.any(Number),
    });
    expect(call?.['awsRequestId']).toBe(request?.['awsRequestId']);
    expect(change).toMatchObject({ message: 'change', tenantId, outcome: 'InstanceProvisioned' });
  });

  test('a platform secret that Cloud Elements refuses counts as rejected platform credentials', async () => {
    service.simulator.fail({ on: 'POST /instances', ...notApplied(401) });
    expect((await service.post(newTenant(), taxify)).status).toBe(503);
    expect(valuesOf('PlatformCredentialsRejected')).toEqual([1]);
    expect(valuesOf('Failed', { function: 'provision-instance' })).toEqual([1]);
  });

  test('a proxy that responds in place of Cloud Elements counts as failed provisioning', async () => {
    const down = { kind: 'status', status: 404, body: '<h1>No such service</h1>' } as const;
    service.simulator.fail({ on: 'POST /instances', effect: 'none', outcome: down, times: 2 });
    expect((await service.post(newTenant(), taxify)).status).toBe(502);
    const tenantId = newTenant();
    await service.putTenantSecret(tenantId, { 'api.key': 'any' });
    await service.deliverEvents(tenantOnboarded(tenantId));
    expect(valuesOf('Failed', { function: 'provision-instance' })).toEqual([1]);
    expect(valuesOf('Failed', { function: 'onboard-tenants' })).toEqual([1]);
  });

  test('a wrong request does not count as a fault of the service', async () => {
    expect((await service.post(newTenant(), {})).status).toBe(400);
    expect(valuesOf('Refused', { function: 'provision-instance' })).toEqual([1]);
    expect(valuesOf('Failed')).toEqual([]);
  });

  test('an unreadable event becomes a dead letter', async () => {
    const before = (await service.deadLetters()).length;
    await service.deliverEvents(tenantOnboarded('not a tenant id'));
    expect(await service.deadLetters()).toHaveLength(before + 1);
    expect(valuesOf('Refused', { function: 'onboard-tenants' })).toEqual(Array(maxReceiveCount).fill(1));
  });

  test('an outdated event is logged as a warning with its tenant, a repeat is not', async () => {
    const { tenantId: staying } = await provisioned();
    const { tenantId: leaving, path } = await provisioned();
    expect((await service.delete(path)).status).toBe(204);
    const longAgo = newTenant();
    const anHourAgo = new Date(Date.now() - hourMs);
    const offboarded = eventOf('crm.example', 'TenantOffboarded', {
      tenantId: staying,
      element: taxify.element,
    });
    await service.deliverEvents(
      { ...offboarded, Time: anHourAgo },
      { ...tenantOnboarded(leaving), Time: anHourAgo },
      { ...tenantOnboarded(longAgo), Time: new Date(Date.now() - oldestOnboardingMs - hourMs) },
    );
    expect(valuesOf('EventsIgnored')).toEqual([1, 1, 1]);
    for (const tenantId of [staying, leaving, longAgo]) {
      const ignored = (await service.logsOf(tenantId)).filter(({ message }) => message === 'event-ignored');
      expect(ignored).toMatchObject([{ level: 'WARN', elementKey: 'taxify', reason: expect.any(String) }]);
    }

    const { tenantId: repeated } = await provisioned();
    await service.putTenantSecret(repeated, { 'api.key': 'any' });
    await service.deliverEvents(tenantOnboarded(repeated), tenantOnboarded(repeated));
    expect(valuesOf('EventsIgnored')).toEqual([]);
  });

  test('results are held up when the bus accepts no events', async () => {
    service.stack.fail({ target: 'AWSEvents.PutEvents', times: 3, status: 500, type: 'InternalException' });
    await service.post(newTenant(), taxify);
    await service.idle();
    expect(valuesOf('Failed', { function: 'publish-results' })).toEqual([1]);
    expect(valuesOf('Succeeded', { function: 'publish-results' })).toEqual([1]);
  });

  test('the age of the oldest unsettled row is reported, and 0 when no row is due', async () => {
    const { tenantId } = await provisioned();
    await reconcile();
    expect(valuesOf('OldestUnsettledAge')).toEqual([0]);

    await leaveOpen(tenantId, 'deleting');
    service.simulator.fail({ on: 'GET /instances', ...notApplied(500) });
    await reconcile();
    expect(await service.rowOf(tenantId)).toMatchObject({ status: 'deleting' });
    const [, age] = valuesOf('OldestUnsettledAge');
    expect(age).toBeGreaterThanOrEqual(hourMs / 1_000);
    expect(age).toBeLessThan(hourMs / 1_000 + 60);
    expect(valuesOf('UpstreamFailures')).toEqual([1]);

    await leaveOpen(tenantId, 'deleting');
    await reconcile();
    await reconcile();
    expect(await service.rowOf(tenantId)).toMatchObject({ status: 'removed' });
    expect(valuesOf('OldestUnsettledAge').at(-1)).toBe(0);
  });

  test('the age of an unreadable row is reported', async () => {
    const tenantId = newTenant();
    await service.dynamoDb.send(
      new PutItemCommand({
        TableName: service.stack.tableName,
        Item: {
          ...keyOf(tenantId),
          v: { N: '2' },
          unsettled: { S: 'yes' },
          checkAt: { N: String(Date.now() - hourMs) },
        },
      }),
    );
    await reconcile();
    expect(valuesOf('OldestUnsettledAge')[0]).toBeGreaterThanOrEqual(hourMs / 1_000);
    expect(valuesOf('UnreadableRows')).toEqual([1]);
    // This row had its turn, and does not block others.
    await reconcile();
    expect(valuesOf('OldestUnsettledAge').at(-1)).toBe(0);
    await audit();
    expect(valuesOf('UnreadableRows')).toEqual([1, 1]);
    await service.dynamoDb.send(
      new DeleteItemCommand({ TableName: service.stack.tableName, Key: keyOf(tenantId) }),
    );
  });

  test('a failed reconciler run counts as an error and reports no OldestUnsettledAge', async () => {
    service.stack.fail({
      target: 'DynamoDB_20120810.Query',
      // Each of three queries is sent three times.
      times: 9,
      status: 500,
      type: 'InternalServerError',
    });
    await expect(reconcile()).rejects.toThrow('The run failed');
    expect(valuesOf('Failed', { function: 'reconcile-instances' })).toEqual([1]);
    expect(valuesOf('OldestUnsettledAge')).toEqual([]);
  });

  test('a rate limit of Cloud Elements counts as throttled', async () => {
    const busy = { kind: 'status', status: 429, headers: { 'retry-after': '0' } } as const;
    service.simulator.fail({ on: 'POST /instances', effect: 'none', outcome: busy, times: 2 });
    expect((await service.post(newTenant(), taxify)).status).toBe(201);
    expect(valuesOf('UpstreamThrottled')).toEqual([1, 1]);
    expect(valuesOf('UpstreamLatency', { operation: 'POST /instances' })).toHaveLength(3);
  });

  test('an unknown outcome, an adoption and a take-over are logged and counted', async () => {
    service.simulator.fail({ on: 'POST /instances', effect: 'applied', outcome: { kind: 'reset' } });
    const tenantId = newTenant();
    expect((await service.post(tenantId, taxify)).status).toBe(201);
    expect(valuesOf('OutcomesUnknown')).toEqual([1]);
    expect(valuesOf('Adoptions')).toEqual([1]);
    expect(valuesOf('TakeOvers')).toEqual([]);

    await leaveOpen(tenantId, 'provisioning');
    await reconcile();
    expect(valuesOf('TakeOvers')).toEqual([1]);
    expect(valuesOf('Adoptions')).toEqual([1, 1]);
  });

  test('a duplicate beside the instance in use is logged and counted', async () => {
    const { tenantId } = await provisioned();
    duplicate(tenantId);
    await leaveOpen(tenantId, 'active');
    const failing = { kind: 'status', status: 500 } as const;
    service.simulator.fail({ on: 'DELETE /instances/{id}', effect: 'none', outcome: failing });
    await reconcile();
    expect([valuesOf('DuplicatesRemoved'), valuesOf('DuplicatesLeft')]).toEqual([[], [1]]);

    await leaveOpen(tenantId, 'active');
    await reconcile();
    expect([valuesOf('DuplicatesRemoved'), valuesOf('DuplicatesLeft')]).toEqual([[1], [1]]);
    expect(service.instancesOf(tenantId)).toHaveLength(1);
  });

  test('orphans and lost instances of the audit are logged and counted', async () => {
    const { tenantId: orphaned } = await provisioned();
    await service.dynamoDb.send(
      new DeleteItemCommand({ TableName: service.stack.tableName, Key: keyOf(orphaned) }),
    );
    const { tenantId: lost } = await provisioned();
    await removeAtCloudElements(lost);
    const { tenantId: broken } = await provisioned();
    const [instance] = service.instancesOf(broken);
    if (instance) Object.assign(instance, { valid: false, disabled: true });

    // Invoked by hand it shows its counts.
    expect(await audit()).toMatchObject({ orphaned: 1, lost: 1, invalid: 1, disabled: 1, complete: true });
    const foundLost = (await service.logsOf(lost)).find(({ message }) => message === 'instance-lost');
    const foundOrphan = (await service.logsOf(orphaned)).find(({ message }) => message === 'orphan');
    expect([foundLost?.level, foundOrphan?.level]).toEqual(['WARN', 'WARN']);
    const drift = ['Orphans', 'LostInstances', 'InvalidInstances', 'DisabledInstances'] as const;
    expect(drift.map((name) => valuesOf(name))).toEqual([[1], [1], [1], [1]]);
    expect(valuesOf('AuditsIncomplete')).toEqual([0]);

    await leaveOpen(lost, 'active');
    await reconcile();
    expect(valuesOf('UpstreamLatency', { operation: 'GET /instances/{id}' })).toHaveLength(2);
  });

  test('an incomplete audit is logged as such, without claims about instances that it has not seen', async () => {
    service.simulator.fail({
      on: 'GET /instances',
      effect: 'none',
      times: 3,
      outcome: { kind: 'status', status: 500 },
    });
    await audit();
    expect(valuesOf('AuditsIncomplete')).toEqual([1]);
    expect(valuesOf('Orphans')).toEqual([]);
    expect(valuesOf('LostInstances')).toEqual([]);
  }, 15_000);

  test('instances that are not visible are not reported lost', async () => {
    await provisioned();
    service.simulator.faultFor = ({ method }) =>
      method === 'GET' ? { effect: 'none', outcome: { kind: 'status', status: 404 } } : undefined;
    await audit();
    expect(valuesOf('AuditsNotVisible')).toEqual([1]);
    expect(valuesOf('LostInstances')).toEqual([]);
    service.simulator.reset();
    await audit();
    expect(valuesOf('AuditsNotVisible')).toEqual([1, 0]);
  });

  test('a row that records an instance with another tenant’s tags is reported as not ours', async () => {
    const { tenantId } = await provisioned();
    const [instance] = service.instancesOf(tenantId);
    if (!instance) throw new Error('no instance');
    const { tags } = instance;
    Object.assign(instance, { tags: ['tenant:other', 'owner:local'] });
    await audit();
    expect(valuesOf('InstancesNotOurs')).toEqual([1]);
    expect((await service.logsOf(tenantId)).find(({ message }) => message === 'not-ours')?.level).toBe(
      'WARN',
    );
    Object.assign(instance, { tags });
  });

  test('a request that must be retried counts neither as Succeeded nor as Failed', async () => {
    const { path } = await provisioned();
    const failing = { kind: 'status', status: 500 } as const;
    service.simulator.fail({ on: 'DELETE /instances/{id}', effect: 'none', outcome: failing });
    expect((await service.delete(path)).status).toBe(202);
    expect(valuesOf('Pending', { function: 'remove-instance' })).toEqual([1]);
    expect((await service.patch(path, { name: 'Too late' })).status).toBe(409);
    expect(valuesOf('Failed')).toEqual([]);
  });

  test('turns of health are counted, and conclusive checks apart from others', async () => {
    const { tenantId, path } = await provisioned();
    const check = () => service.request({ method: 'POST', path: `${path}/check` });
    const setDisabled = (disabled: boolean) => {
      for (const instance of service.instancesOf(tenantId)) instance.disabled = disabled;
    };
    setDisabled(true);
    await check();
    expect(valuesOf('InstancesTurnedUnhealthy')).toEqual([]);
    await check();
    expect(valuesOf('InstancesTurnedUnhealthy')).toEqual([1]);
    setDisabled(false);
    await check();
    await check();
    expect(valuesOf('InstancesTurnedUnhealthy')).toEqual([1]);
    expect(valuesOf('InstancesRecovered')).toEqual([1]);
    // All tenants of this file that are due; Taxify has no ping.
    await service.stack.runSchedule('check-instances');
    await provisioned();
    await service.stack.runSchedule('check-instances');
    expect(valuesOf('ChecksConclusive').at(-1)).toBe(0);
    expect(valuesOf('ChecksInconclusive').at(-1)).toBe(1);
  });

  test('every metric of the list is emitted as listed, and no other', async () => {
    const { path } = await provisioned();
    expect((await service.patch(path, { name: 'Changed' })).status).toBe(200);
    expect((await service.delete(path)).status).toBe(204);

    // The API's access log counts that metric.
    const { RequestsThrottled: _, ...emitted } = metrics;
    const seen = new Map(
      told().map(({ namespace, name, unit, dimensions: { service: serviceName, stage, ...by } }) => [
        name,
        { namespace, unit, service: serviceName, stage, by: Object.keys(by) },
      ]),
    );
    expect(Object.fromEntries(seen)).toEqual(
      Object.fromEntries(
        Object.entries(emitted).map(([name, { unit, ...more }]) => [
          name,
          {
            namespace: metricNamespace,
            unit,
            service: metricService,
            stage: 'local',
            by: 'by' in more ? [more.by] : [],
          },
        ]),
      ),
    );
    const operations = new Set(told().map(({ dimensions }) => dimensions['operation']));
    expect(operations).toEqual(new Set([undefined, ...upstreamOperations]));
  });

  test('no metric contains a tenant, and metrics are not among the log lines', async () => {
    expect(service.stack.metrics.length).toBeGreaterThan(30);
    for (const line of service.stack.metrics) expect(line).not.toContain('tenant-');
    for (const line of await service.logs()) expect(line).not.toContain('_aws');
  });
});
