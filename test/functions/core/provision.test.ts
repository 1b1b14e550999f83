import { describe, expect, test } from 'vitest';
import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { createConnection, type Socket } from 'node:net';
import { once } from 'node:events';
import type { Fault } from '../../../infra/local/cloud-elements/simulator.ts';
import { settingsFromEvent } from '../../../functions/model/events.ts';
import { errorOf, keyOf, newTenant, openServers, startServers, taxify } from '../../support/real-servers.ts';
import { notApplied } from '../../support/faults.ts';

const servers = await openServers();

const { rowOf, instancesOf, expectOneActiveInstance, killedWhileCreating, duplicate } = servers;
const failPost = (fault: Omit<Fault, 'on'>) => servers.simulator.fail({ on: 'POST /instances', ...fault });
const kinds = () => servers.observations.map(({ kind }) => kind);

const countTimers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;

describe('a fresh provisioning', () => {
  test('a fresh provisioning costs one create, two writes and one encryption, and stores the token encrypted', async () => {
    const tenantId = newTenant();
    await servers.provision(taxify(newTenant()));
    servers.reset();

    const { outcome } = await servers.provision(taxify(tenantId));

    expect(outcome).toBe('created');
    expect(servers.awsRequests).toEqual([
      'DynamoDB_20120810.PutItem',
      'TrentService.Encrypt',
      'DynamoDB_20120810.PutItem',
    ]);
    expect(servers.simulator.requests.map(({ operation }) => operation)).toEqual(['POST /instances']);
    const row = await expectOneActiveInstance(tenantId);
    expect(row).toMatchObject({ inDoubt: false, origin: servers.simulator.url });
  });

  test('a create sends the documented body with marker tags and no Element part in the header', async () => {
    const tenantId = newTenant();
    await servers.provision(
      taxify(tenantId, {
        name: 'Shop',
        tags: ['eu', 'eu'],
        configuration: { 'api.key': 'k', 'base.url': 'x' },
      }),
    );
    const row = await expectOneActiveInstance(tenantId);
    const [request] = servers.simulator.requests;
    expect(request?.body).toEqual({
      element: { key: 'taxify' },
      name: 'Shop',
      tags: ['eu', `tenant:${tenantId}`, `provision:${row.provisionId}`, 'owner:tests'],
      configuration: { 'api.key': 'k', 'base.url': 'x' },
    });
    expect(request?.headers.authorization).toBe(
      'User user-secret-for-tests, Organization organization-secret-for-tests',
    );
  });

  test('a request takes missing entries from the tenant secret', async () => {
    const tenantId = newTenant();
    servers.putTenantSecret(tenantId, '{"api.key": "stored-key", "pagination.max": "50"}');
    await servers.provision(taxify(tenantId, { configuration: { 'pagination.max': 20 } }));
    expect(instancesOf(tenantId)[0]?.configuration).toEqual({
      'api.key': 'stored-key',
      'pagination.max': 20,
    });
  });

  test('a provisioning leaves no deadline behind that would keep it in memory', async () => {
    const before = countTimers();
    await servers.provision(taxify(newTenant()));
    expect(countTimers()).toBeLessThanOrEqual(before);
  });
});

describe('asking again', () => {
  test('a request matches a row of an earlier version that did not compare names in NFC', async () => {
    const tenantId = newTenant();
    const [nfd, nfc] = ['NFD', 'NFC'].map((form) =>
      taxify(tenantId, { name: 'Café'.normalize(form), configuration: { 'api.key': 'k' } }),
    );
    if (!nfd || !nfc) throw new Error('no settings');
    await servers.provision(nfd);
    const row = await rowOf(tenantId);
    if (!row) throw new Error('no row');
    // As that version has computed it.
    const fingerprint = createHash('sha256')
      .update(JSON.stringify(['taxify', nfd.name, [], []]))
      .digest('base64url');
    expect(fingerprint).not.toBe(row.fingerprint);
    await servers.store.write({ ...row, fingerprint }, row);
    for (const settings of [nfd, nfc]) {
      expect((await servers.provision(settings)).outcome).toBe('replayed');
    }
  });

  test('a repeat makes no call to Cloud Elements, Secrets Manager or KMS', async () => {
    const tenantId = newTenant();
    const first = await servers.provision(taxify(tenantId));
    servers.reset();
    const again = await servers.provision(taxify(tenantId));
    expect(again).toMatchObject({ outcome: 'replayed', row: { instanceId: first.row.instanceId } });
    expect(servers.awsRequests).toEqual(['DynamoDB_20120810.PutItem']);
    expect(servers.simulator.requests).toEqual([]);
  });

  test.each([
    ['another name', { name: 'Another' }],
    ['other tags', { tags: ['more'] }],
    ['other harmless configuration', { configuration: { 'api.key': 'k', 'pagination.max': '7' } }],
  ])('a repeat with %s is a conflict that changes nothing', async (_what, update) => {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId));
    const before = await rowOf(tenantId);
    const other = taxify(tenantId, { configuration: { 'api.key': 'k' }, ...update });
    expect((await errorOf(servers.provision(other))).code).toBe('settings-conflict');
    expect(await rowOf(tenantId)).toEqual(before);
  });

  test('twenty events for the same instance are recorded and each answered', async () => {
    const tenantId = newTenant();
    servers.putTenantSecret(tenantId, '{"api.key": "stored"}');
    await servers.provision(taxify(tenantId, {}));
    const provisioned = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        servers.provision({
          ...taxify(tenantId, {}),
          requestedBy: { dialect: 'native', eventId: `event-${index}`, sentAt: 0 },
        }),
      ),
    );
    expect(provisioned.map(({ outcome }) => outcome)).toEqual(Array.from({ length: 20 }, () => 'replayed'));
    expect(servers.posts()).toBe(1);
  });

  test('a request with reordered tags or another credential counts as a repeat', async () => {
    const tenantId = newTenant();
    await servers.provision(taxify(tenantId, { tags: ['a', 'b'], configuration: { 'api.key': 'one' } }));
    const again = taxify(tenantId, { tags: ['b', 'a'], configuration: { 'api.key': 'two' } });
    expect((await servers.provision(again)).outcome).toBe('replayed');
  });

  test('fifty concurrent requests make one instance', async () => {
    const tenantId = newTenant();
    servers.simulator.latencyMs = 100;
    const outcomes = await Promise.all(Array.from({ length: 50 }, () => servers.provision(taxify(tenantId))));
    servers.simulator.latencyMs = 0;
    expect(outcomes.filter(({ outcome }) => outcome === 'created')).toHaveLength(1);
    expect(servers.posts()).toBe(1);
    await expectOneActiveInstance(tenantId);
  });

  test('a request with other settings during a provisioning is retried later', async () => {
    const tenantId = newTenant();
    servers.simulator.latencyMs = 100;
    const first = servers.provision(taxify(tenantId));
    await expect.poll(() => servers.posts()).toBe(1);
    const other = servers.provision(taxify(tenantId, { name: 'Other', configuration: { 'api.key': 'k' } }));
    expect(await errorOf(other)).toMatchObject({ code: 'busy-with-other-settings', retryable: true });
    servers.simulator.latencyMs = 0;
    expect((await first).outcome).toBe('created');
  });
});

describe('a create whose outcome is unknown', () => {
  const unknown: [string, Fault['outcome']][] = [
    ['an unreadable 200', { kind: 'unreadable' }],
    ['200 without a token', { kind: 'status', status: 200, body: { id: 7 } }],
    ['a redirect', { kind: 'status', status: 302, headers: { location: '/' }, body: '' }],
    ['408', { kind: 'status', status: 408 }],
    ['409', { kind: 'status', status: 409 }],
    ['500', { kind: 'status', status: 500 }],
    ['502 with HTML from a proxy', { kind: 'status', status: 502, body: '<html>Bad gateway</html>' }],
    ['an unknown status', { kind: 'status', status: 599, body: {} }],
    ['a reset', { kind: 'reset' }],
    ['a reset in the middle of the body', { kind: 'reset-mid-body' }],
    ['no response in time', { kind: 'stall' }],
    ['a response that drips', { kind: 'drip', bytesPerSecond: 10 }],
  ];

  test.each(unknown)('a create after %s is looked up and adopted', async (_what, outcome) => {
    const tenantId = newTenant();
    failPost({ effect: 'applied', outcome });
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    expect(servers.posts()).toBe(1);
    expect(kinds()).toEqual(['outcome-unknown', 'adopted']);
    expect(await expectOneActiveInstance(tenantId)).toMatchObject({ inDoubt: true });
  });

  test.each(unknown)(
    'a create after %s is left open when no instance shows, without a second create',
    async (_what, outcome) => {
      const tenantId = newTenant();
      failPost({ effect: 'none', outcome });
      expect(await servers.provision(taxify(tenantId))).toMatchObject({
        outcome: 'in-progress',
        retryAfterMs: 5_000,
      });
      expect(await rowOf(tenantId)).toMatchObject({
        status: 'provisioning',
        inDoubt: true,
        leaseExpiresAt: 0,
        lastError: { code: 'outcome-unknown' },
      });
      expect((await servers.provision(taxify(tenantId))).outcome).toBe('in-progress');
      expect(servers.posts()).toBe(1);
    },
  );

  test('an instance that appears late, after a create of unknown outcome, is adopted by a later request', async () => {
    const tenantId = newTenant();
    failPost({ effect: 'none', outcome: { kind: 'late-effect', ms: 300 } });
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('in-progress');
    await expect.poll(() => instancesOf(tenantId).length).toBe(1);
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    expect(servers.posts()).toBe(1);
    await expectOneActiveInstance(tenantId);
  });

  test('an instance is created again only once the first create can no longer take effect', async () => {
    const tenantId = newTenant();
    failPost({ effect: 'none', outcome: { kind: 'reset' } });
    await servers.provision(taxify(tenantId));
    const { sendDeadline = 0 } = (await rowOf(tenantId)) ?? {};
    const quietAfterMs = sendDeadline + 10_000 - Date.now();

    servers.clock.aheadMs = quietAfterMs - 500;
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('in-progress');
    expect(servers.posts()).toBe(1);

    servers.clock.aheadMs = quietAfterMs + 1;
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    expect(servers.posts()).toBe(2);
    await expectOneActiveInstance(tenantId);
  });

  test('an unknown outcome keeps its request id for the operator', async () => {
    const tenantId = newTenant();
    const requestId = 'feedfacefeedfacefeedface';
    failPost({ ...notApplied(500, { body: { requestId, message: 'no' } }) });
    await servers.provision(taxify(tenantId));
    expect(await rowOf(tenantId)).toMatchObject({ lastError: { requestId } });
  });
});

describe('a create that was not sent', () => {
  test('a refused connection leaves no row and says what to do', async () => {
    const tenantId = newTenant();
    const provision = servers.openProvisioning({ baseUrl: 'http://127.0.0.1:1' });
    const error = await errorOf(provision(taxify(tenantId)));
    expect(error).toMatchObject({ code: 'cloud-elements-unreachable', retryable: true });
    expect(error.message).toContain('ECONNREFUSED');
    expect(kinds()).toContain('create-retried');
    expect(await rowOf(tenantId)).toBeUndefined();
  });

  test('a create is sent five times, without a wait after the last', async () => {
    const provision = servers.openProvisioning({ baseUrl: 'http://127.0.0.1:1' });
    const provisioned = provision(taxify(newTenant()), { invocationMs: 30_000 });
    expect((await errorOf(provisioned)).code).toBe('cloud-elements-unreachable');
    expect(kinds()).toEqual(Array(4).fill('create-retried'));
    expect(servers.sleeps).toEqual([200, 400, 800, 1_600]);
  });

  test('a name that does not resolve leaves no row', async () => {
    const tenantId = newTenant();
    const provision = servers.openProvisioning({ baseUrl: 'http://cloud-elements.invalid' });
    expect((await errorOf(provision(taxify(tenantId)))).code).toBe('cloud-elements-unreachable');
    expect(await rowOf(tenantId)).toBeUndefined();
  });

  test('a connection that is never accepted leaves no row', async () => {
    await using deaf = await startDeafServer();
    const tenantId = newTenant();
    const provision = servers.openProvisioning({ baseUrl: deaf.url });
    const error = await errorOf(provision(taxify(tenantId)));
    expect(error.code).toBe('cloud-elements-unreachable');
    // The timeout of the connection or of the call, whichever is first: nothing was sent either way.
    expect(error.message).toMatch(/UND_ERR_CONNECT_TIMEOUT|TimeoutError/);
    expect(await rowOf(tenantId)).toBeUndefined();
  });

  test('an event whose create was not sent is recorded as failed, with a public reason', async () => {
    const tenantId = newTenant();
    const provision = servers.openProvisioning({ baseUrl: 'http://127.0.0.1:1' });
    await errorOf(provision(taxify(tenantId), { recordRefusal: true }));
    expect(await rowOf(tenantId)).toMatchObject({
      status: 'failed',
      inDoubt: false,
      lastError: { code: 'cloud-elements-unreachable', detail: 'Cloud Elements cannot be reached' },
    });
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    await expectOneActiveInstance(tenantId);
  });

  test('a create with too little time left is not sent', async () => {
    const tenantId = newTenant();
    const provisioned = servers.provision(taxify(tenantId), { invocationMs: 1_300 });
    expect((await errorOf(provisioned)).code).toBe('out-of-time');
    expect(servers.posts()).toBe(0);
    expect(await rowOf(tenantId)).toBeUndefined();
  });
});

describe('429', () => {
  test('a 429 is waited out within the remaining time', async () => {
    const tenantId = newTenant();
    failPost({ effect: 'none', times: 2, outcome: { kind: 'status', status: 429 } });
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    expect(servers.posts()).toBe(3);
    expect(await expectOneActiveInstance(tenantId)).toMatchObject({ inDoubt: false });
  });

  test.each([
    ['seconds', () => '60'],
    ['a date', () => new Date(Date.now() + 60_000).toUTCString()],
  ])('a 429 with a longer Retry-After in %s is passed on, and leaves no row', async (_form, retryAfter) => {
    const tenantId = newTenant();
    const headers = { 'retry-after': retryAfter() };
    failPost({ effect: 'none', outcome: { kind: 'status', status: 429, headers } });
    const error = await errorOf(servers.provision(taxify(tenantId)));
    expect(error).toMatchObject({ code: 'cloud-elements-busy', retryable: true });
    expect(error.facts.retryAfterMs).toBeGreaterThan(55_000);
    expect(servers.posts()).toBe(1);
    expect(await rowOf(tenantId)).toBeUndefined();
  });
});

describe('the platform secret', () => {
  test('a rotated platform secret is fetched again, once', async () => {
    const rotated = { userSecret: 'rotated-user-secret', organizationSecret: 'rotated-organization-secret' };
    await servers.provision(taxify(newTenant()));
    servers.rotateSecrets(rotated);
    servers.reset();
    const outcomes = await Promise.all(
      Array.from({ length: 5 }, () => servers.provision(taxify(newTenant()))),
    );
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(Array.from({ length: 5 }, () => 'created'));
    expect(servers.awsRequests.filter((target) => target === 'secretsmanager.GetSecretValue')).toHaveLength(
      1,
    );
  });

  test('a revoked platform secret ends the request without a row, and alerts the operator', async () => {
    const tenantId = newTenant();
    failPost({ effect: 'none', outcome: { kind: 'status', status: 401 } });
    const error = await errorOf(servers.provision(taxify(tenantId)));
    expect(error).toMatchObject({ code: 'platform-credentials-refused', status: 503, retryable: true });
    expect(servers.posts()).toBe(1);
    expect(await rowOf(tenantId)).toBeUndefined();
  });

  test.each([
    ['is not JSON', 'not JSON at all: hush-hush', 'is not JSON'],
    ['lacks a part', '{"userSecret": "hush-hush"}', '#/organizationSecret is missing'],
    ['is not ASCII', '{"userSecret": "hüsh", "organizationSecret": "x"}', '#/userSecret expected'],
    ['holds a comma', '{"userSecret": "hush,hush", "organizationSecret": "x"}', '#/userSecret expected'],
  ])('a platform secret that %s ends the request before anything is sent', async (_what, value, fault) => {
    const tenantId = newTenant();
    await using own = await startServers();
    own.putPlatformSecret(value);
    const error = await errorOf(own.provision(taxify(tenantId)));
    expect(error).toMatchObject({ code: 'platform-credentials-unusable', status: 503 });
    expect(error.message).toContain(fault);
    expect(error.message).not.toContain('hush');
    expect(error.publicDetail).not.toContain('secret tests/platform');
    expect(own.posts()).toBe(0);
    expect(await own.store.get(keyOf(tenantId))).toBeUndefined();
  });

  test('an unreadable platform secret is fetched again by the next request', async () => {
    await using own = await startServers();
    own.failAws({
      target: 'secretsmanager.GetSecretValue',
      times: 3,
      status: 500,
      type: 'InternalServiceError',
      message: 'no',
    });
    expect((await errorOf(own.provision(taxify('acme')))).code).toBe('aws-unavailable');
    expect((await own.provision(taxify('acme'))).outcome).toBe('created');
  });
});

describe('a refusal by Cloud Elements', () => {
  test('a refusal by Cloud Elements is recorded with its request id, and a corrected request succeeds', async () => {
    const tenantId = newTenant();
    const requestId = 'feedfacefeedfacefeedface';
    failPost({
      ...notApplied(400, { body: { requestId, message: 'The account is disabled.' } }),
    });
    const error = await errorOf(servers.provision(taxify(tenantId)));
    expect(error).toMatchObject({ code: 'refused-by-cloud-elements', status: 400, retryable: false });
    expect(error.message).toContain(`taxify instance of tenant ${tenantId} (400): The account is disabled`);
    expect(error.facts.requestId).toBe(requestId);
    expect(await rowOf(tenantId)).toMatchObject({
      status: 'failed',
      lastError: { code: 'refused-by-cloud-elements', requestId },
    });

    const corrected = taxify(tenantId, { name: 'Corrected', configuration: { 'api.key': 'right' } });
    expect((await servers.provision(corrected)).outcome).toBe('created');
    const row = await expectOneActiveInstance(tenantId);
    expect(row).toMatchObject({ name: 'Corrected' });
    expect(row.lastError).toBeUndefined();
  });

  test("a refusal by the vendor does not relay the vendor's words", async () => {
    const tenantId = newTenant();
    const settings = taxify(tenantId, { configuration: { 'api.key': 'refused-by-the-vendor' } });
    const error = await errorOf(servers.provision(settings));
    expect(error.code).toBe('refused-by-cloud-elements');
    expect(JSON.stringify([error, error.message, await rowOf(tenantId)])).not.toMatch(
      /@|refused-by-the-vendor/,
    );
  });

  test('a refusal that quotes the request is relayed without the quote', async () => {
    const tenantId = newTenant();
    failPost({ effect: 'none', outcome: { kind: 'echo-credentials' } });
    const error = await errorOf(
      servers.provision(taxify(tenantId, { configuration: { 'api.key': 'sesame "open"' } })),
    );
    expect(error.message).toContain('Invalid request: …');
    expect(JSON.stringify([error.message, await rowOf(tenantId)])).not.toContain('sesame');
  });

  test.each([401, 403, 404])(
    'a %d with JSON from a proxy is no refusal, and may be retried',
    async (status) => {
      const tenantId = newTenant();
      const body = { message: 'no Route matched with those values' };
      failPost({ effect: 'none', outcome: { kind: 'status', status, body } });
      const error = await errorOf(servers.provision(taxify(tenantId)));
      expect(error).toMatchObject({ code: 'cloud-elements-unreadable', status: 502, retryable: true });
      expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
      await expectOneActiveInstance(tenantId);
    },
  );

  test('a refusal by a proxy counts as a fault of the service, not of the caller', async () => {
    const tenantId = newTenant();
    failPost({ effect: 'none', outcome: { kind: 'status', status: 403, body: '<html>Forbidden</html>' } });
    const error = await errorOf(servers.provision(taxify(tenantId)));
    expect(error).toMatchObject({ code: 'cloud-elements-unreadable', status: 502, retryable: true });
    expect(await rowOf(tenantId)).toMatchObject({ status: 'failed', inDoubt: false });
  });
});

const strangers = (count: number): string[] => Array.from({ length: count }, newTenant);

describe('taking over a claim that was never ended', () => {
  test('a take-over waits for the lease of the dead claim', async () => {
    const tenantId = newTenant();
    await killedWhileCreating(tenantId, 'applied');
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('in-progress');
    expect(servers.simulator.requests).toEqual([]);
  });

  test('a take-over adopts the instance of the dead claim', async () => {
    const tenantId = newTenant();
    await killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 1_001;
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    expect(servers.posts()).toBe(0);
    expect(kinds()).toEqual(['taken-over', 'adopted']);
    await expectOneActiveInstance(tenantId);
  });

  test('a take-over that may not create yet does not delay the time from which it may', async () => {
    const tenantId = newTenant();
    const killed = await killedWhileCreating(tenantId, 'none');
    servers.clock.aheadMs = 1_001;
    servers.simulator.latencyMs = 150;
    const provisioned = servers.provision(taxify(tenantId));
    await expect.poll(() => servers.simulator.requests.length).toBe(1);
    const row = await rowOf(tenantId);
    expect(row?.claimId).not.toBe(killed.claimId);
    expect(row?.sendDeadline).toBe(killed.sendDeadline);
    expect((await provisioned).outcome).toBe('in-progress');
  });

  test('a take-over creates only once the dead claim’s create can no longer take effect', async () => {
    const tenantId = newTenant();
    const killed = await killedWhileCreating(tenantId, 'none');
    servers.clock.aheadMs = 1_001;
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('in-progress');
    expect(servers.posts()).toBe(0);
    expect(await rowOf(tenantId)).toMatchObject({
      status: 'provisioning',
      sendDeadline: killed.sendDeadline,
    });

    servers.clock.aheadMs = killed.sendDeadline + 10_001 - Date.now();
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    expect(servers.posts()).toBe(1);
    expect(await expectOneActiveInstance(tenantId)).toMatchObject({ provisionId: killed.provisionId });
  });

  test.each([
    ['an error', { kind: 'status', status: 500 }],
    ['a 404 of a gateway', { kind: 'status', status: 404, body: { message: 'no Route matched' } }],
    ['an unreadable item', { kind: 'status', status: 200, body: [{ element: { key: 'taxify' } }] }],
    [
      'a 404 that is not from Cloud Elements',
      { kind: 'status', status: 404, body: '<html>Not found</html>' },
    ],
    ['200 without a list', { kind: 'status', status: 200, body: { instances: [] } }],
    ['a refusal of the platform secrets', { kind: 'status', status: 401 }],
    ['no response in time', { kind: 'stall' }],
  ] satisfies [string, Fault['outcome']][])(
    'a take-over is inconclusive after %s in response to its look-up',
    async (_what, outcome) => {
      const tenantId = newTenant();
      const killed = await killedWhileCreating(tenantId, 'none');
      servers.clock.aheadMs = killed.sendDeadline + 10_001 - Date.now();
      servers.simulator.fail({ on: 'GET /instances', effect: 'none', outcome });
      expect((await servers.provision(taxify(tenantId))).outcome).toBe('in-progress');
      expect(servers.posts()).toBe(0);
      expect(kinds()).toContain('look-up-failed');
    },
  );

  test.each([
    ['tags as objects', { tags: 'objects' as const }],
    ['no tags', { tags: 'absent' as const }],
    ['empty tags', { tags: 'empty' as const }],
    ['no token', { token: 'absent' as const }],
  ])('a take-over recognizes its instance in a list that shows %s', async (_what, listShape) => {
    const tenantId = newTenant();
    await killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 1_001;
    servers.simulator.listShape = listShape;
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    await expectOneActiveInstance(tenantId);
  });

  test('a take-over finds its instance on a later page, and adopts none of another tenant', async () => {
    await servers.seedProvisioned(strangers(205));
    const tenantId = newTenant();
    const { provisionId } = await killedWhileCreating(tenantId, 'applied');
    servers.simulator.ignoreTagFilter = true;
    servers.clock.aheadMs = 1_001;
    expect((await servers.provision(taxify(tenantId))).row.provisionId).toBe(provisionId);
    expect(servers.simulator.requests.map(({ operation }) => operation)).toEqual([
      'GET /instances',
      'GET /instances',
    ]);
    await expectOneActiveInstance(tenantId);
  });

  test('a take-over adopts no instance of others from a list without tags that ignores its filter', async () => {
    await using own = await startServers();
    await own.provision(taxify(newTenant()));
    const tenantId = newTenant();
    await own.killedWhileCreating(tenantId, 'applied');
    own.simulator.ignoreTagFilter = true;
    own.simulator.listShape = { tags: 'absent' };
    own.clock.aheadMs = 1_001;
    expect((await own.provision(taxify(tenantId))).outcome).toBe('created');
    await own.expectOneActiveInstance(tenantId);
  });

  test('a take-over is inconclusive when a later page is missing', async () => {
    await servers.seedProvisioned(strangers(201 - servers.simulator.instances.length));
    const tenantId = newTenant();
    const killed = await killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = killed.sendDeadline + 10_001 - Date.now();
    servers.simulator.ignoreTagFilter = true;
    servers.simulator.faultFor = ({ query }) =>
      query.has('nextPage') ? { effect: 'none', outcome: { kind: 'status', status: 404 } } : undefined;
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('in-progress');
    expect(instancesOf(tenantId)).toHaveLength(1);
  });

  test('a take-over adopts an instance without a creation date', async () => {
    const tenantId = newTenant();
    const killed = await killedWhileCreating(tenantId, 'applied');
    const [instance] = instancesOf(tenantId);
    const { id, token, tags } = instance ?? {};
    servers.clock.aheadMs = 1_001;
    servers.simulator.fail({
      on: 'GET /instances',
      effect: 'none',
      outcome: {
        kind: 'status',
        status: 200,
        // The other tenant's instance is unreadable, and need not be read.
        body: [
          { element: { key: 'box' } },
          { id, token, tags, element: { key: 'taxify' }, createdDate: null },
        ],
      },
    });
    expect((await servers.provision(taxify(tenantId))).row.provisionId).toBe(killed.provisionId);
    await expectOneActiveInstance(tenantId);
  });

  test('a take-over keeps the oldest of several instances and removes the others', async () => {
    const tenantId = newTenant();
    const killed = await killedWhileCreating(tenantId, 'applied');
    const oldest = instancesOf(tenantId)[0];
    duplicate(killed);
    duplicate(killed);
    servers.clock.aheadMs = 1_001;
    expect((await servers.provision(taxify(tenantId))).row.instanceId).toBe(oldest?.id);
    expect(kinds().filter((kind) => kind === 'duplicate-removed')).toHaveLength(2);
    await expectOneActiveInstance(tenantId);
  });

  test('a take-over keeps the instance that the row names, even if another is older', async () => {
    const tenantId = newTenant();
    const killed = await killedWhileCreating(tenantId, 'applied');
    duplicate(killed);
    const recorded = instancesOf(tenantId)[1]?.id;
    await servers.store.write({ ...killed, instanceId: recorded }, killed);
    servers.clock.aheadMs = 1_001;
    expect((await servers.provision(taxify(tenantId))).row.instanceId).toBe(recorded);
    await expectOneActiveInstance(tenantId);
  });

  test('a take-over leaves duplicates alone until it has seen its commit in the table', async () => {
    const tenantId = newTenant();
    duplicate(await killedWhileCreating(tenantId, 'applied'));
    servers.clock.aheadMs = 1_001;
    // The read that should see the commit.
    servers.failAws({
      target: 'DynamoDB_20120810.GetItem',
      times: 3,
      status: 500,
      type: 'InternalServerError',
    });
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    expect(instancesOf(tenantId)).toHaveLength(2);
  });

  test('a take-over logs duplicates that it cannot remove', async () => {
    const tenantId = newTenant();
    duplicate(await killedWhileCreating(tenantId, 'applied'));
    servers.simulator.fail({ on: 'DELETE /instances/{id}', ...notApplied(409) });
    servers.clock.aheadMs = 1_001;
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    expect(kinds()).toContain('duplicate-left');
    expect(await rowOf(tenantId)).toMatchObject({ status: 'active', inDoubt: true });
  });

  test('a take-over by a request with other settings is refused', async () => {
    const tenantId = newTenant();
    await killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 1_001;
    const other = taxify(tenantId, { name: 'Other', configuration: { 'api.key': 'k' } });
    expect((await errorOf(servers.provision(other))).code).toBe('busy-with-other-settings');
  });

  test('a take-over at another origin is inconclusive', async () => {
    const tenantId = newTenant();
    await killedWhileCreating(tenantId, 'applied');
    await using elsewhere = await startServers();
    servers.clock.aheadMs = 1_001;
    const provision = servers.openProvisioning({ baseUrl: elsewhere.simulator.url });
    expect((await errorOf(provision(taxify(tenantId)))).code).toBe('origin-changed');
    expect(elsewhere.posts()).toBe(0);
  });

  test('a take-over of a failed row in doubt removes existing instances before it creates', async () => {
    const tenantId = newTenant();
    const killed = await killedWhileCreating(tenantId, 'applied');
    await servers.store.write({ ...killed, status: 'failed', inDoubt: true, leaseExpiresAt: 0 }, killed);
    const other = taxify(tenantId, { name: 'Other', configuration: { 'api.key': 'k' } });
    expect((await servers.provision(other)).outcome).toBe('in-progress');
    expect(instancesOf(tenantId)).toHaveLength(1);

    servers.clock.aheadMs = killed.sendDeadline + 10_001 - Date.now();
    servers.simulator.fail({ on: 'DELETE /instances/{id}', ...notApplied(500) });
    expect((await servers.provision(other)).outcome).toBe('in-progress');
    expect(await rowOf(tenantId)).toMatchObject({ status: 'failed', fingerprint: killed.fingerprint });
    expect((await servers.provision(other)).outcome).toBe('created');
    expect(instancesOf(tenantId).map(({ name }) => name)).toEqual(['Other']);
    await expectOneActiveInstance(tenantId);
  });
});

describe('a commit', () => {
  test('a commit after its claim was taken over is left to the new claim', async () => {
    const tenantId = newTenant();
    failPost({ effect: 'applied', outcome: { kind: 'delay', ms: 300 } });
    const slow = servers.provision(taxify(tenantId));
    await expect.poll(() => servers.posts()).toBe(1);
    servers.clock.aheadMs = 5_001;
    servers.simulator.listLagMs = 60_000;
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('in-progress');
    expect((await slow).outcome).toBe('in-progress');
    expect(instancesOf(tenantId)).toHaveLength(1);

    servers.simulator.listLagMs = 0;
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    expect(servers.posts()).toBe(1);
    await expectOneActiveInstance(tenantId);
  });

  test('a commit refused because the new claim has committed the same instance is a success', async () => {
    const tenantId = newTenant();
    failPost({ effect: 'applied', outcome: { kind: 'delay', ms: 300 } });
    const slow = servers.provision(taxify(tenantId));
    await expect.poll(() => instancesOf(tenantId).length).toBe(1);
    servers.clock.aheadMs = 5_001;
    const taker = await servers.provision(taxify(tenantId));
    expect(taker.outcome).toBe('created');
    expect(await slow).toMatchObject({ outcome: 'created', row: { instanceId: taker.row.instanceId } });
    await expectOneActiveInstance(tenantId);
  });

  test('a commit refused because the row has another instance removes its own', async () => {
    const tenantId = newTenant();
    failPost({ effect: 'applied', outcome: { kind: 'delay', ms: 300 } });
    const slow = servers.provision(taxify(tenantId));
    await expect.poll(() => instancesOf(tenantId).length).toBe(1);
    const row = await rowOf(tenantId);
    if (!row) throw new Error('no row');
    duplicate(row);
    const other = instancesOf(tenantId)[1];
    if (!other) throw new Error('no second instance');
    const token = await servers.cipher.encrypt(other.token, row);
    await servers.store.write(
      { ...row, status: 'active', claimId: 'another claim', instanceId: other.id, token, leaseExpiresAt: 0 },
      row,
    );
    expect(await slow).toMatchObject({ outcome: 'replayed', row: { instanceId: other.id } });
    await expectOneActiveInstance(tenantId);
  });

  test.each([
    ['encrypted', 'TrentService.Encrypt'],
    ['written', 'DynamoDB_20120810.PutItem'],
  ])('a commit whose token cannot be %s loses nothing', async (_what, target) => {
    const tenantId = newTenant();
    failPost({ effect: 'applied', outcome: { kind: 'delay', ms: 100 } });
    const first = servers.provision(taxify(tenantId));
    await expect.poll(() => servers.posts()).toBe(1);
    servers.failAws({ target, times: 3, status: 500, type: 'InternalServerError' });
    const error = await errorOf(first);
    expect(error).toMatchObject({ code: 'not-saved', status: 503, retryable: true });
    const instanceId = instancesOf(tenantId)[0]?.id;
    expect(await rowOf(tenantId)).toMatchObject({ status: 'provisioning', inDoubt: true, instanceId });

    // With a known id, it is found even if the list does not show it yet.
    servers.simulator.listLagMs = 60_000;
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    expect(servers.posts()).toBe(1);
    await expectOneActiveInstance(tenantId);
  });
});

describe('a write that the SDK sends twice because the first answer was lost', () => {
  test('a claim that the SDK sends twice counts as won', async () => {
    const tenantId = newTenant();
    servers.failAws({ target: 'DynamoDB_20120810.PutItem', loseResponse: true });
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    expect(servers.posts()).toBe(1);
    await expectOneActiveInstance(tenantId);
  });

  test('a commit that the SDK sends twice counts as won', async () => {
    const tenantId = newTenant();
    failPost({ effect: 'applied', outcome: { kind: 'delay', ms: 100 } });
    const provisioned = servers.provision(taxify(tenantId));
    await expect.poll(() => servers.posts()).toBe(1);
    servers.failAws({ target: 'DynamoDB_20120810.PutItem', loseResponse: true });
    expect((await provisioned).outcome).toBe('created');
    await expectOneActiveInstance(tenantId);
  });

  test('a take-over that the SDK sends twice counts as won', async () => {
    const tenantId = newTenant();
    await killedWhileCreating(tenantId, 'applied');
    servers.clock.aheadMs = 1_001;
    // The first write finds the row, the second takes it over.
    servers.failAws({ target: 'DynamoDB_20120810.PutItem', stallMs: 0 });
    servers.failAws({ target: 'DynamoDB_20120810.PutItem', loseResponse: true });
    expect((await servers.provision(taxify(tenantId))).outcome).toBe('created');
    await expectOneActiveInstance(tenantId);
  });
});

test('an AWS call whose response never ends is aborted and repeated', async () => {
  servers.failAws({ target: 'DynamoDB_20120810.PutItem', stallMidBody: true });
  const enough = { invocationMs: 5_000 };
  expect((await servers.provision(taxify(newTenant()), enough)).outcome).toBe('created');
});

describe('a claim that cannot be released', () => {
  test('a claim that cannot be released ends with its lease, and the response stays the same', async () => {
    const tenantId = newTenant();
    servers.failAws({
      target: 'DynamoDB_20120810.DeleteItem',
      times: 3,
      status: 500,
      type: 'InternalServerError',
    });
    expect((await errorOf(servers.provision(taxify(tenantId, {})))).code).toBe('missing-configuration');
    expect(kinds()).toEqual(['claim-left']);
    expect(await rowOf(tenantId)).toMatchObject({ status: 'provisioning' });
  });
});

describe('configuration', () => {
  test('missing configuration is named before anything is sent, with the secret to put it into', async () => {
    const tenantId = newTenant();
    const error = await errorOf(servers.provision(taxify(tenantId, {})));
    expect(error).toMatchObject({
      code: 'missing-configuration',
      facts: { missing: ['configuration.api.key'] },
    });
    expect(error.message).toContain(`tests/tenants/${tenantId}/taxify`);
    expect(servers.simulator.requests).toEqual([]);
    expect(await rowOf(tenantId)).toBeUndefined();
  });

  test('missing configuration of an event is recorded as failed', async () => {
    const tenantId = newTenant();
    await errorOf(servers.provision(taxify(tenantId, {}), { recordRefusal: true }));
    expect(await rowOf(tenantId)).toMatchObject({
      status: 'failed',
      lastError: { code: 'missing-configuration' },
    });
  });

  test('a request with part of its configuration lacks the rest, and the tenant secret is not read', async () => {
    const tenantId = newTenant();
    servers.putTenantSecret(tenantId, '{"api.key": "stored"}');
    const error = await errorOf(
      servers.provision(
        taxify(tenantId, { configuration: { 'base.url': 'http://evil', 'partner.key': 'x' } }),
      ),
    );
    expect(error).toMatchObject({
      code: 'missing-configuration',
      facts: { missing: ['configuration.api.key'] },
    });
    expect(servers.awsRequests).toEqual([]);
  });

  test('an event must not contain a credential', async () => {
    const tenantId = newTenant();
    const event = {
      id: 'event-1',
      source: 'tests',
      'detail-type': 'TenantOnboarded',
      time: '2026-11-23T12:00:00Z',
      detail: { tenantId, configuration: { 'api.key': 'has-no-place-here' } },
    };
    const settings = settingsFromEvent(event, Date.now());
    const error = await errorOf(servers.provision(settings, { recordRefusal: true }));
    expect(error.code).toBe('invalid-request');
    const row = await rowOf(tenantId);
    expect(row).toMatchObject({ status: 'failed', requestedBy: { dialect: 'native', eventId: 'event-1' } });
    expect(JSON.stringify(row)).not.toContain('has-no-place-here');
  });

  test.each([
    ['is not JSON', 'hush-hush', 'is not JSON'],
    [
      'holds something else than entries',
      '{"api.key": null, "partner.key": "hush"}',
      '#/api.key expected text that is not blank',
    ],
    ['holds a mask', '{"api.key": "*****", "partner.key": "hush"}', '#/api.key expected text that is not'],
    ['holds a credential as a name', '{"hush1hush2hush3hush4": null}', 'one of its fields: expected text'],
  ])('a tenant secret that %s is the operator’s responsibility', async (_what, value, fault) => {
    const tenantId = newTenant();
    servers.putTenantSecret(tenantId, value);
    const error = await errorOf(servers.provision(taxify(tenantId, {})));
    expect(error).toMatchObject({ code: 'tenant-credentials-unusable', status: 503 });
    expect(error.message).toContain(fault);
    expect(error.message).not.toContain('hush');
    expect(await rowOf(tenantId)).toBeUndefined();
  });

  test('configuration of an element outside the catalog is validated by Cloud Elements', async () => {
    const tenantId = newTenant();
    servers.putTenantSecret(
      tenantId,
      '{"servicenow.subdomain": "shop", "username": "u", "password": "p"}',
      'servicenow',
    );
    const settings = { ...taxify(tenantId, {}), elementKey: 'servicenow' };
    expect((await servers.provision(settings)).outcome).toBe('created');
    const incomplete = {
      ...taxify(newTenant(), { configuration: { 'servicenow.subdomain': 'shop' } }),
      elementKey: 'servicenow',
    };
    expect((await errorOf(servers.provision(incomplete))).code).toBe('refused-by-cloud-elements');
  });
});

/** Listens, but its thread never accepts: once its short backlog is full, further connections get no response. */
async function startDeafServer() {
  const worker = new Worker(
    `const server = require('node:net').createServer();
     server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
       require('node:worker_threads').parentPort.postMessage(server.address().port);
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
     });`,
    { eval: true },
  );
  const [port]: unknown[] = await once(worker, 'message');
  const fillers: Socket[] = Array.from({ length: 4 }, () =>
    createConnection({ port: Number(port), host: '127.0.0.1' }).on('error', () => {}),
  );
  return {
    url: `http://127.0.0.1:${Number(port)}`,
    async [Symbol.asyncDispose]() {
      for (const socket of fillers) socket.destroy();
      await worker.terminate();
    },
  };
}
