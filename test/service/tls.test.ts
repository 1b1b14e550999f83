import type { DynamoDBRecord } from 'aws-lambda';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { devNull, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { triggers, type FunctionName } from '../../functions/triggers.ts';
import { environmentFor } from '../../infra/environment.ts';
import { region } from '../../infra/local/aws/aws-protocol.ts';
import { createExecutionEnvironments } from '../../infra/local/aws/execution-environments.ts';
import { startGateway } from '../../infra/local/gateway.ts';
import { createAuthority, hoursFromNow, type Certificate } from '../support/certificates.ts';
import { startLocalServers } from '../support/local-servers.ts';
import { sharedBundle } from '../support/shared-bundle.ts';
import { startFront, type Front, type Manner } from '../support/tls-fronts.ts';

/*
 * The bundled functions, in processes that trust one more authority, with TLS in front of every upstream. Certificates
 * and keys are made here.
 */

const authority = createAuthority('Authority of the tests');
const host = 'localhost';
const good = authority.issue([host]);

/** By the code of Node's error. */
const badCertificates: [what: string, code: string, certificate: Certificate][] = [
  [
    'a certificate of an unknown authority',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    createAuthority('Another authority').issue([host]),
  ],
  ['a certificate for another name', 'ERR_TLS_CERT_ALTNAME_INVALID', authority.issue(['api.example'])],
  [
    'an expired certificate',
    'CERT_HAS_EXPIRED',
    authority.issue([host], { from: hoursFromNow(-3), to: hoursFromNow(-1) }),
  ],
  [
    'a certificate that is not valid yet',
    'CERT_NOT_YET_VALID',
    authority.issue([host], { from: hoursFromNow(1), to: hoursFromNow(3) }),
  ],
];

/** The message that is logged of a failed call to AWS. */
const wordsOf = new Map([
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'unable to verify the first certificate'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', "does not match certificate's altnames"],
  ['CERT_HAS_EXPIRED', 'certificate has expired'],
  ['CERT_NOT_YET_VALID', 'certificate is not yet valid'],
]);

const services = ['DYNAMODB', 'SECRETS_MANAGER', 'KMS', 'EVENTBRIDGE'] as const;
const upstreams = ['CLOUD_ELEMENTS', ...services] as const;
type Upstream = (typeof upstreams)[number];

const names = { tableName: 'instances', busName: 'tls', tenantSecretsPrefix: 'tls', stage: 'tls' };
const secrets = { userSecret: 'user-secret-for-tests', organizationSecret: 'organization-secret-for-tests' };
const records: DynamoDBRecord[] = [];
let servers: Awaited<ReturnType<typeof startLocalServers>>;
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'element-onboarding-tls-'));
  await writeFile(join(directory, 'authority.pem'), authority.cert);
  servers = await startLocalServers({
    name: 'tls',
    tableName: names.tableName,
    platformSecrets: secrets,
    onChange: (record) => records.push(record),
  });
});
afterAll(async () => {
  await servers.stop();
  await rm(directory, { recursive: true });
});

/** The service, with TLS in front of all upstreams. */
async function startSite() {
  const { simulator, awsSettings, dynamoDbSettings } = servers;
  const targetOf = (upstream: Upstream) =>
    upstream === 'CLOUD_ELEMENTS'
      ? simulator.url
      : (upstream === 'DYNAMODB' ? dynamoDbSettings : awsSettings).endpoint;
  const fronts = new Map<Upstream, Front>();
  for (const upstream of upstreams) {
    fronts.set(upstream, await startFront(targetOf(upstream), good));
  }
  const frontOf = (upstream: Upstream): Front => {
    const front = fronts.get(upstream);
    if (!front) throw new Error(`${upstream} has no front.`);
    return front;
  };
  const urlOf = (upstream: Upstream) => frontOf(upstream).url;
  const logs: string[] = [];
  const environments = createExecutionEnvironments<FunctionName>({
    bundle: sharedBundle,
    environmentOf: (name) => ({
      NODE_EXTRA_CA_CERTS: join(directory, 'authority.pem'),
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: 'tests',
      AWS_SECRET_ACCESS_KEY: 'tests',
      AWS_CONFIG_FILE: devNull,
      AWS_SHARED_CREDENTIALS_FILE: devNull,
      ...Object.fromEntries(services.map((each) => [`AWS_ENDPOINT_URL_${each}`, urlOf(each)])),
      ...environmentFor(triggers[name].uses, {
        ...names,
        platformSecretId: servers.platformSecretId,
        tokenKeyId: servers.tokenKeyId,
        cloudElementsBaseUrl: urlOf('CLOUD_ELEMENTS'),
      }),
    }),
    onLog: (_, line) => logs.push(line),
  });
  const routes = new Map<FunctionName, string>();
  for (const name of ['provision-instance', 'remove-instance', 'read-token'] as const) {
    routes.set(name, triggers[name].http);
  }
  const gateway = await startGateway({ routes, invoke: environments.invoke });

  async function request(method: string, path: string, body?: object) {
    const response = await fetch(`${gateway.url}/tenants/${path}`, {
      method,
      ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    const text = await response.text();
    return { status: response.status, json: text === '' ? undefined : JSON.parse(text) };
  }

  return {
    provision: (tenantId: string) => {
      servers.putSecret(`tls/tenants/${tenantId}/taxify`, '{"api.key": "taxify-key-for-tests"}');
      return request('POST', `${tenantId}/instances`, { element: { key: 'taxify' } });
    },
    remove: (tenantId: string) => request('DELETE', `${tenantId}/instances/taxify`),
    readToken: (tenantId: string) => request('GET', `${tenantId}/instances/taxify/token`),
    /** Delivers the write that made the tenant's row active. */
    publish: (tenantId: string) =>
      environments.invoke('publish-results', {
        Records: records.filter(
          ({ dynamodb }) =>
            dynamodb?.Keys?.['tenantId']?.S === tenantId && dynamodb.NewImage?.['status']?.S === 'active',
        ),
      }),
    received: (upstream: Upstream) => frontOf(upstream).received(),
    /** Ends the connections to an upstream, which meets later ones in this manner. */
    change: (upstream: Upstream, manner: Manner) => frontOf(upstream).change(manner),
    logs,
    async [Symbol.asyncDispose]() {
      await Promise.all([gateway.stop(), environments.stop()]);
      for (const front of fronts.values()) front.stop();
    },
  };
}

/** The operations at Cloud Elements about the tenant so far. */
const operationsOf = (tenantId: string) =>
  servers.simulator.requests
    .filter((request) => JSON.stringify(request).includes(`tenant:${tenantId}"`))
    .map(({ operation }) => operation);
const instancesOf = (tenantId: string) =>
  servers.simulator.instances.filter(({ tags }) => tags.includes(`tenant:${tenantId}`));
let sites = 0;
const newTenant = () => `tls-${++sites}`;

test('every upstream is reached over TLS with a certificate of a trusted authority', async () => {
  await using site = await startSite();
  const tenantId = newTenant();
  expect(await site.provision(tenantId)).toMatchObject({ status: 201, json: { status: 'active' } });
  expect(await site.readToken(tenantId)).toMatchObject({
    status: 200,
    json: { token: instancesOf(tenantId)[0]?.token },
  });
  expect(await site.publish(tenantId)).toEqual({ batchItemFailures: [] });
  expect(servers.faults.requests).toContain('AWSEvents.PutEvents');
  for (const upstream of upstreams) {
    expect(site.received(upstream)).toBeGreaterThan(0);
  }
});

describe.concurrent('Cloud Elements', () => {
  const upstream = 'CLOUD_ELEMENTS';
  const manners: [what: string, code: string | RegExp, manner: Manner][] = [
    ...badCertificates,
    ['a connection that ends during the TLS handshake', 'ECONNRESET', 'reset'],
    ['a port that does not speak TLS', /ERR_SSL_\w+/, 'plain'],
  ];

  test.each(manners)('%s: no create is sent, and the request can be repeated', async (_, code, manner) => {
    const tenantId = newTenant();
    await using site = await startSite();
    site.change(upstream, manner);
    expect(await site.provision(tenantId)).toMatchObject({
      status: 502,
      json: { code: 'cloud-elements-unreachable' },
    });
    expect(site.logs.join('\n')).toMatch(code);
    expect(site.received(upstream)).toBe(0);
    site.change(upstream, good);
    expect(await site.provision(tenantId)).toMatchObject({ status: 201 });
    // The failed creates counted as not sent: no look-up came before this one.
    expect(operationsOf(tenantId)).toEqual(['POST /instances']);
  });

  test.each(badCertificates.slice(0, 1))(
    '%s: a removal is not sent, and finished later',
    async (_, code, bad) => {
      const tenantId = newTenant();
      await using site = await startSite();
      expect(await site.provision(tenantId)).toMatchObject({ status: 201 });
      const sent = site.received(upstream);
      site.change(upstream, bad);
      expect(await site.remove(tenantId)).toMatchObject({ status: 202 });
      expect(site.logs.join('\n')).toMatch(code);
      expect(site.received(upstream)).toBe(sent);
      expect(instancesOf(tenantId)).toHaveLength(1);
      site.change(upstream, good);
      expect(await site.remove(tenantId)).toMatchObject({ status: 204 });
      expect(instancesOf(tenantId)).toEqual([]);
    },
  );
});

test.concurrent.each(badCertificates)('AWS services with %s are sent nothing', async (_, code, bad) => {
  const tenantId = newTenant();
  await using site = await startSite();

  /** Has one service present the certificate, then the good one again. */
  async function spoiled(upstream: Upstream, act: () => Promise<void>): Promise<void> {
    const sent = site.received(upstream);
    site.logs.length = 0;
    site.change(upstream, bad);
    await act();
    expect(site.logs.join('\n')).toContain(wordsOf.get(code));
    expect(site.received(upstream)).toBe(sent);
    site.change(upstream, good);
  }
  const unavailable = { status: 503, json: { code: 'aws-unavailable' } };

  await spoiled('DYNAMODB', async () => expect(await site.provision(tenantId)).toMatchObject(unavailable));
  await spoiled('SECRETS_MANAGER', async () =>
    expect(await site.provision(tenantId)).toMatchObject(unavailable),
  );
  expect(site.received('CLOUD_ELEMENTS')).toBe(0);
  await spoiled('KMS', async () =>
    expect(await site.provision(tenantId)).toMatchObject({ status: 503, json: { code: 'not-saved' } }),
  );
  expect(await site.provision(tenantId)).toMatchObject({ status: 201 });
  expect(instancesOf(tenantId)).toHaveLength(1);
  await spoiled('EVENTBRIDGE', async () =>
    expect(await site.publish(tenantId)).toEqual({ batchItemFailures: [expect.anything()] }),
  );
  expect(await site.publish(tenantId)).toEqual({ batchItemFailures: [] });
});
