import { build } from 'esbuild';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import * as z from 'zod/mini';
import { type FunctionName, triggers } from '../../../functions/triggers.ts';
import { bundleOptions, replacements, replacing, sourceOf } from '../../../infra/bundle.ts';
import { isLarge } from '../../support/sample-size.ts';
import { sharedFunctions } from '../../support/shared-bundle.ts';
import { bundleBudgetsBytes } from './budgets.ts';
import { provisionEvent, queueEvent, readTokenEvent } from './events.ts';
import type { ExecutionEnvironment } from './processes.ts';
import { countEach } from './statistics.ts';
import { bytesOf, openWorkshop, type OpenSite, type Workshop } from './workshop.ts';

let workshop: Workshop;
let site: OpenSite;
beforeAll(async () => {
  // By CDK in CI, whose app runs the same program.
  const functions = isLarge ? undefined : await sharedFunctions();
  workshop = await openWorkshop(
    functions === undefined ? undefined : async () => (name) => join(functions, name, 'index.mjs'),
  );
  site = await workshop.openSite();
}, 60_000);
afterAll(async () => {
  await site[Symbol.asyncDispose]();
  await workshop[Symbol.asyncDispose]();
});

/** All calls that the function makes for one request, by name. */
async function callsOf(environment: ExecutionEnvironment, event: unknown): Promise<Record<string, number>> {
  site.forgetRequests();
  await environment.run([event]);
  return countEach([...site.requests, ...site.simulator.requests.map(({ operation }) => operation ?? '')]);
}

const putItem = 'DynamoDB_20120810.PutItem';
const getItem = 'DynamoDB_20120810.GetItem';
const readSecret = 'secretsmanager.GetSecretValue';
const fresh = { 'POST /instances': 1, [putItem]: 2, 'TrentService.Encrypt': 1 };

test('a fresh provisioning is one POST /instances, two DynamoDB writes, no read and one KMS call', async () => {
  await using environment = await workshop.startWarm(site.ours('provision-instance'));
  // The platform secret is read once per execution environment.
  expect(await callsOf(environment, provisionEvent('first'))).toEqual({ ...fresh, [readSecret]: 1 });
  expect(await callsOf(environment, provisionEvent('second'))).toEqual(fresh);
});

test('a repeat is one DynamoDB call and nothing else', async () => {
  await using environment = await workshop.startWarm(site.ours('provision-instance'));
  await environment.run([provisionEvent('repeated')]);
  const repeat = { [putItem]: 1 };
  expect(await callsOf(environment, provisionEvent('repeated'))).toEqual(repeat);
  // Also in an execution environment that has read no secret yet.
  await using another = await workshop.startWarm(site.ours('provision-instance'));
  expect(await callsOf(another, provisionEvent('repeated'))).toEqual(repeat);
});

test('a token read is one read and one KMS call', async () => {
  await using provisioning = await workshop.startWarm(site.ours('provision-instance'));
  await provisioning.run([provisionEvent('read')]);
  await using environment = await workshop.startWarm(site.ours('read-token'));
  const read = { [getItem]: 1, 'TrentService.Decrypt': 1 };
  expect(await callsOf(environment, readTokenEvent('read'))).toEqual(read);
  expect(await callsOf(environment, readTokenEvent('read'))).toEqual(read);
});

test('a batch of events costs the sum of its tenants, plus one secret and one tombstone each', async () => {
  await using environment = await workshop.startWarm(site.ours('onboard-tenants'));
  const tenantIds = ['one', 'two', 'three'];
  for (const tenantId of tenantIds) site.putTenantSecret(tenantId);
  expect(await callsOf(environment, queueEvent('TenantOnboarded', tenantIds))).toEqual({
    'POST /instances': 3,
    [getItem]: 3,
    [putItem]: 6,
    'TrentService.Encrypt': 3,
    [readSecret]: 3 + 1,
  });
});

const names = Object.keys(triggers).filter((name): name is FunctionName => Object.hasOwn(triggers, name));

test.for(names)('the bundle of %s keeps within its budget of bytes', async (name) => {
  const bytes = await bytesOf(workshop.fileOf(name));
  expect(bytes).toBeLessThanOrEqual(bundleBudgetsBytes[name]);
  // A budget far above the bundle would hide its growth.
  expect(bytes).toBeGreaterThan(0.9 * bundleBudgetsBytes[name]);
});

/** The replacement that cannot be deleted. */
const required = 'built-in modules that are required otherwise';
const replaced = replacements.map(({ name }) => name).filter((name) => name !== required);

test.for(replaced)('a bundle works without the replacement of %s', async (name) => {
  const directory = await mkdtemp(join(tmpdir(), 'element-onboarding-whole-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  const file = join(directory, 'index.mjs');
  await build({
    ...bundleOptions,
    plugins: [replacing(replacements.filter((each) => each.name !== name))],
    entryPoints: [sourceOf('provision-instance')],
    outfile: file,
  });
  const { environment } = site.ours('provision-instance');
  const event = provisionEvent(`without-${replaced.indexOf(name)}`);
  // `startCold` throws unless the response is a success.
  await expect(workshop.startCold({ file, environment }, event)).resolves.toBeDefined();
});

const responseSchema = z.object({ body: z.string() });
const bodyOf = (response: unknown): unknown => JSON.parse(responseSchema.parse(response).body);

test('the peer provisions an instance, answers a repeat without another, and hands out its token', async () => {
  await using provisioning = await workshop.startWarm(site.peer('provision-instance'));
  const { responses } = await provisioning.run([provisionEvent('acme'), provisionEvent('acme')]);
  const [instance, ...others] = site.simulator.instances.filter(({ tags }) => tags.includes('tenant:acme'));
  expect(others).toEqual([]);
  expect(instance).toMatchObject({ element: { key: 'taxify' }, configuration: { 'api.key': 'any' } });
  expect(responses[0]).toMatchObject({ statusCode: 201 });
  for (const response of responses) {
    expect(bodyOf(response)).toMatchObject({
      tenantId: 'acme',
      element: { key: 'taxify' },
      id: instance?.id,
      name: 'Bench',
      status: 'active',
    });
    expect(JSON.stringify(response)).not.toContain(instance?.token);
  }

  await using reading = await workshop.startWarm(site.peer('read-token'));
  const read = await reading.run([readTokenEvent('acme')]);
  expect(bodyOf(read.responses[0])).toMatchObject({
    tenantId: 'acme',
    id: instance?.id,
    token: instance?.token,
  });
});

test('the peer refuses invalid requests and missing tokens', async () => {
  await using provisioning = await workshop.startWarm(site.peer('provision-instance'));
  await expect(
    provisioning.run([{ ...provisionEvent('acme'), body: '{"element":{"key":"A B"}}' }]),
  ).rejects.toThrow(/"statusCode":400/);
  await using reading = await workshop.startWarm(site.peer('read-token'));
  await expect(reading.run([readTokenEvent('nobody')])).rejects.toThrow(/"statusCode":404/);
});
