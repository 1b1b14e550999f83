import { describe, expect, test } from 'vitest';
import { settingsOf, type Configuration, type InstanceRow } from '../../../functions/model/instance.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { resultOf } from '../../../functions/model/result-events.ts';
import { readToken } from '../../../functions/core/read.ts';
import type { Fault } from '../../../infra/local/cloud-elements/simulator.ts';
import { errorOf, keyOf, newTenant, openServers, taxify } from '../../support/real-servers.ts';
import { notApplied } from '../../support/faults.ts';

const servers = await openServers();

/** An instance that a request has configured. */
async function provisioned(configuration: Configuration = { 'api.key': 'old' }): Promise<string> {
  const tenantId = newTenant();
  await servers.provision(taxify(tenantId, { name: 'Shop', tags: ['eu'], configuration }));
  servers.reset();
  return tenantId;
}

/** An instance that got its credentials from the tenant's secret. */
async function provisionedFromSecret({
  secret = { 'api.key': 'stored' },
  configuration = {},
  elementKey = 'taxify',
}: { secret?: Configuration; configuration?: Configuration; elementKey?: string } = {}): Promise<string> {
  const tenantId = newTenant();
  servers.putTenantSecret(tenantId, JSON.stringify(secret), elementKey);
  await servers.provision(settingsOf({ tenantId, elementKey }, { configuration }));
  servers.reset();
  return tenantId;
}

/** Makes the row look as it was written by an earlier version, or by another version of the catalog. */
async function rewrite(tenantId: string, attributes: Partial<InstanceRow>): Promise<void> {
  const row = await servers.rowOf(tenantId);
  if (!row) throw new Error('no row');
  expect(await servers.store.write({ ...row, ...attributes }, row)).toEqual({ won: true });
}
const unknown = { source: undefined, requestEntries: undefined, requestDigest: undefined };

const patches = () => servers.simulator.requests.filter(({ method }) => method === 'PATCH').length;
const configurationAt = (tenantId: string) => instanceOf(tenantId)?.configuration;
const patch = (tenantId: string, configuration: Configuration, elementKey = 'taxify') =>
  servers.update({ tenantId, elementKey }, { configuration });
const instanceOf = (tenantId: string) => servers.instancesOf(tenantId)[0];

describe('a change', () => {
  test('a change of name and tags keeps id, token and marker tags', async () => {
    const tenantId = await provisioned();
    const before = await readToken(servers, keyOf(tenantId));
    const row = await servers.update(keyOf(tenantId), { name: 'Store', tags: ['us', 'us'] });
    expect(row).toMatchObject({ name: 'Store', tags: ['us'], status: 'active' });
    expect(instanceOf(tenantId)).toMatchObject({
      name: 'Store',
      tags: ['us', `tenant:${tenantId}`, `provision:${row.provisionId}`, 'owner:tests'],
      configuration: { 'api.key': 'old' },
    });
    await servers.expectOneActiveInstance(tenantId);
    expect(await readToken(servers, keyOf(tenantId))).toEqual(before);
  });

  test('a change is published once as InstanceUpdated, with a revision of its own', async () => {
    const tenantId = await provisioned();
    const before = await servers.rowOf(tenantId);
    const after = await servers.update(keyOf(tenantId), { name: 'Store' });
    const { events } = resultOf({ before, after });
    expect(events).toMatchObject([
      {
        detailType: 'InstanceUpdated',
        detail: { name: 'Store', status: 'active', revision: after.revision },
      },
    ]);
    expect(after.revision).toBeGreaterThan(before?.revision ?? Infinity);
  });

  test('a repeat of a create with the changed settings is the same request', async () => {
    const tenantId = await provisioned();
    await servers.update(keyOf(tenantId), { name: 'Store', configuration: { 'pagination.max': 7 } });
    const requested = { tags: ['eu'], configuration: { 'api.key': 'k', 'pagination.max': '7' } };
    expect((await servers.provision(taxify(tenantId, { ...requested, name: 'Store' }))).outcome).toBe(
      'replayed',
    );
    const old = servers.provision(taxify(tenantId, { ...requested, name: 'Shop' }));
    expect((await errorOf(old)).code).toBe('settings-conflict');
  });

  test('a change of the API key is sent, and stored nowhere', async () => {
    const tenantId = await provisioned();
    await servers.update(keyOf(tenantId), { configuration: { 'api.key': 'brand-new' } });
    expect(instanceOf(tenantId)?.configuration).toMatchObject({ 'api.key': 'brand-new' });
    expect(JSON.stringify(await servers.rowOf(tenantId))).not.toContain('brand-new');
  });

  test.each([
    ['a missing instance', async () => newTenant(), 'not-found'],
    [
      'an instance that is being deleted',
      async () => {
        const tenantId = await provisioned();
        servers.simulator.fail({ on: 'DELETE /instances/{id}', effect: 'none', outcome: { kind: 'reset' } });
        await servers.remove(keyOf(tenantId));
        return tenantId;
      },
      'not-active',
    ],
    [
      'a removed instance',
      async () => {
        const tenantId = await provisioned();
        await servers.remove(keyOf(tenantId));
        return tenantId;
      },
      'not-found',
    ],
  ])('a change of %s is refused', async (_what, prepare, code) => {
    const tenantId = await prepare();
    expect((await errorOf(servers.update(keyOf(tenantId), { name: 'x' }))).code).toBe(code);
  });

  test('a change or removal during another change is refused as busy', async () => {
    const tenantId = await provisioned();
    servers.simulator.latencyMs = 150;
    const first = servers.update(keyOf(tenantId), { name: 'First' });
    await expect.poll(() => patches()).toBe(1);
    expect((await errorOf(servers.update(keyOf(tenantId), { name: 'Second' }))).code).toBe('busy');
    expect((await errorOf(servers.remove(keyOf(tenantId)))).code).toBe('busy');
    expect(await first).toMatchObject({ name: 'First' });
    await servers.expectOneActiveInstance(tenantId);
  });

  test.each(['applied', 'none'] as const)(
    'a change whose response is lost is sent again (effect: %s)',
    async (effect) => {
      const tenantId = await provisioned();
      servers.simulator.fail({ on: 'PATCH /instances/{id}', effect, outcome: { kind: 'reset' } });
      await servers.update(keyOf(tenantId), { name: 'Store' });
      expect(instanceOf(tenantId)?.name).toBe('Store');
      expect(patches()).toBe(2);
    },
  );

  test.each([
    ['of unknown outcome', 500, 'update-outcome-unknown'],
    ['that is refused', 400, 'refused-by-cloud-elements'],
    ['of an instance that Cloud Elements has lost', 404, 'gone-at-cloud-elements'],
    ['with refused platform secrets', 401, 'platform-credentials-refused'],
    ['that gets 429 again and again', 429, 'cloud-elements-busy'],
  ])('a change %s leaves the row as it was', async (_what, status, code) => {
    const tenantId = await provisioned();
    const before = await servers.rowOf(tenantId);
    servers.simulator.faultFor = ({ method }) =>
      method === 'PATCH' ? { effect: 'none', outcome: { kind: 'status', status } } : undefined;
    expect((await errorOf(servers.update(keyOf(tenantId), { name: 'Store' }))).code).toBe(code);
    expect(await servers.rowOf(tenantId)).toEqual({ ...before, claimId: expect.any(String) });
  });
});

/** Tags edited by hand at Cloud Elements. */
const retag = (tenantId: string, update: (tags: readonly string[]) => readonly string[]) => {
  const instance = instanceOf(tenantId);
  if (!instance) throw new Error('no instance');
  instance.tags = update(instance.tags);
  return instance;
};
const marked = (tenantId: string) => [`tenant:${tenantId}`, 'owner:tests'];

describe('an instance is read before it is changed', () => {
  test.each([
    ['tenant', ['tenant:another', 'owner:tests']],
    ['stage', ['owner:another']],
  ])('PATCH sends nothing, and no secret, to an instance of another %s', async (_what, tags) => {
    const tenantId = await provisionedFromSecret();
    const before = await servers.rowOf(tenantId);
    const instance = retag(tenantId, () => tags);
    for (const changes of [{ configuration: {} }, { name: 'x' }, { tags: ['x'] }]) {
      const error = await errorOf(servers.update(keyOf(tenantId), changes));
      expect(error).toMatchObject({ code: 'not-ours', status: 409, retryable: false });
    }
    expect(patches()).toBe(0);
    expect(instance.tags).toEqual(tags);
    expect(await servers.rowOf(tenantId)).toEqual(before);
    expect(servers.observations).toContainEqual({ kind: 'not-ours', instanceId: instance.id });
  });

  test('PATCH of tags is refused where the instance shows no markers; name and key can be changed', async () => {
    const tenantId = await provisionedFromSecret();
    const instance = retag(tenantId, (tags) => tags.filter((tag) => !marked(tenantId).includes(tag)));
    const tags = [...instance.tags];
    const error = await errorOf(servers.update(keyOf(tenantId), { name: 'Store', tags: ['gold'] }));
    expect(error).toMatchObject({ code: 'markers-not-shown', status: 409 });
    expect(patches()).toBe(0);
    await servers.update(keyOf(tenantId), { name: 'Store', configuration: {} });
    expect(instance).toMatchObject({ name: 'Store', tags });
  });

  test('a failed read before a change is repeated', async () => {
    const tenantId = await provisioned();
    servers.simulator.fail({ on: 'GET /instances/{id}', effect: 'none', outcome: { kind: 'reset' } });
    expect(await servers.update(keyOf(tenantId), { name: 'Store' })).toMatchObject({ name: 'Store' });
  });

  test('a PATCH that fails five times ends without a wait after the last', async () => {
    const tenantId = await provisioned();
    servers.simulator.faultFor = ({ method }) =>
      method === 'PATCH' ? { effect: 'none', outcome: { kind: 'status', status: 500 } } : undefined;
    const updated = servers.update(keyOf(tenantId), { name: 'Store' }, { invocationMs: 30_000 });
    expect((await errorOf(updated)).code).toBe('update-outcome-unknown');
    expect(patches()).toBe(5);
    expect(servers.sleeps).toEqual([200, 400, 800, 1_600]);
  });

  test.each([
    ['GET /instances/{id}', 401],
    ['GET /instances/{id}', 404],
    ['PATCH /instances/{id}', 401],
    ['PATCH /instances/{id}', 403],
    ['PATCH /instances/{id}', 404],
  ] as const)('a %s that a proxy answers with %d and JSON is repeated', async (on, status) => {
    const tenantId = await provisioned();
    const body = { message: 'no Route matched with those values' };
    const fault = { on, effect: 'none', outcome: { kind: 'status', status, body } } as const;
    servers.simulator.fail({ ...fault, times: 2 });
    expect(await servers.update(keyOf(tenantId), { name: 'Store' })).toMatchObject({ name: 'Store' });
    servers.simulator.fail({ ...fault, times: 5 });
    const updated = servers.update(
      keyOf(tenantId),
      { configuration: { 'api.key': 'k' } },
      { invocationMs: 30_000 },
    );
    expect(await errorOf(updated)).toMatchObject({
      code: 'cloud-elements-unreadable',
      status: 502,
      retryable: true,
    });
    // The effect of an update that a proxy answers is unknown.
    const isSent = on.startsWith('PATCH');
    expect((await servers.rowOf(tenantId))?.updateInDoubtUntil !== undefined).toBe(isSent);
  });

  test.each([
    [500, 'cloud-elements-unreachable'],
    [401, 'platform-credentials-refused'],
    [429, 'cloud-elements-busy'],
    [404, 'gone-at-cloud-elements'],
  ])('PATCH after a read that is answered %d changes nothing: %s', async (status, code) => {
    const tenantId = await provisioned();
    const before = await servers.rowOf(tenantId);
    servers.simulator.faultFor = ({ method }) =>
      method === 'GET' ? { effect: 'none', outcome: { kind: 'status', status } } : undefined;
    expect((await errorOf(patch(tenantId, { 'pagination.max': 5 }))).code).toBe(code);
    expect(patches()).toBe(0);
    expect(await servers.rowOf(tenantId)).toEqual(before);
  });
});

describe("an empty configuration sends the tenant's secret", () => {
  test('an empty configuration rotates the key of an instance from the secret, whose id and token stay', async () => {
    const tenantId = await provisionedFromSecret();
    const before = await readToken(servers, keyOf(tenantId));
    servers.putTenantSecret(tenantId, '{"api.key": "rotated", "partner.key": "new"}');
    await patch(tenantId, {});
    expect(configurationAt(tenantId)).toEqual({ 'api.key': 'rotated', 'partner.key': 'new' });
    expect(await readToken(servers, keyOf(tenantId))).toEqual(before);
    expect(JSON.stringify(await servers.rowOf(tenantId))).not.toContain('rotated');
  });

  test('entries that a request has set stay when the secret is sent again', async () => {
    const configuration = { 'pagination.max': 20 };
    const tenantId = await provisionedFromSecret({ configuration });
    servers.putTenantSecret(tenantId, '{"api.key": "rotated", "pagination.max": "50"}');
    await patch(tenantId, {});
    expect(configurationAt(tenantId)).toEqual({ 'api.key': 'rotated', 'pagination.max': 20 });
    const repeated = await servers.provision(taxify(tenantId, { configuration }));
    expect(repeated.outcome).toBe('replayed');
  });

  test.each([
    ['lacks a required entry', '{"base.url": "https://elsewhere.example"}', ['configuration.api.key']],
    ['is empty', '{}', ['configuration.api.key']],
  ])('a secret that %s is not sent', async (_what, secret, missing) => {
    const tenantId = await provisionedFromSecret();
    const before = await servers.rowOf(tenantId);
    servers.putTenantSecret(tenantId, secret);
    const error = await errorOf(patch(tenantId, {}));
    expect(error).toMatchObject({ code: 'missing-configuration', facts: { missing } });
    expect(error.message).toContain(`tests/tenants/${tenantId}/taxify`);
    expect(servers.simulator.requests).toEqual([]);
    expect(await servers.rowOf(tenantId)).toEqual(before);
  });

  test('an empty secret of an element outside the catalog is missing configuration', async () => {
    const elementKey = 'freshdeskv2';
    const secret = { subdomain: 'shop', username: 'stored' };
    const tenantId = await provisionedFromSecret({ elementKey, secret });
    servers.putTenantSecret(tenantId, '{}', elementKey);
    expect((await errorOf(patch(tenantId, {}, elementKey))).code).toBe('missing-configuration');
    expect(servers.simulator.requests).toEqual([]);
  });

  test.each(['********', '•••', '<your key>'])('a secret that holds %s is unusable', async (value) => {
    const tenantId = await provisionedFromSecret();
    servers.putTenantSecret(tenantId, JSON.stringify({ 'api.key': value }));
    const error = await errorOf(patch(tenantId, {}));
    expect(error.code).toBe('tenant-credentials-unusable');
    expect(error.message).not.toContain(value);
    expect(servers.simulator.requests).toEqual([]);
  });

  test.each([
    ['a request has configured', () => provisioned(), 'configuration-from-request'],
    [
      'a request has configured, address and all',
      () => provisioned({ 'api.key': 'own', 'base.url': 'https://elsewhere.example' }),
      'configuration-from-request',
    ],
    [
      'an earlier version has made',
      async () => {
        const tenantId = await provisioned();
        await rewrite(tenantId, unknown);
        return tenantId;
      },
      'configuration-unknown',
    ],
    [
      'requests have set entries of that the allow-list no longer names',
      async () => {
        const tenantId = await provisionedFromSecret();
        await rewrite(tenantId, { requestEntries: ['pagination.max', 'site.path'] });
        return tenantId;
      },
      'configuration-from-request',
    ],
  ])('the secret is never sent to an instance that %s', async (_what, prepare, code) => {
    const tenantId = await prepare();
    servers.putTenantSecret(tenantId, '{"api.key": "stored"}');
    const before = await servers.rowOf(tenantId);
    const error = await errorOf(patch(tenantId, {}));
    expect(error).toMatchObject({ code, status: 409, retryable: false });
    expect(error.message).toContain('npm run trust');
    expect(error.message).toContain('DELETE');
    expect(servers.simulator.requests).toEqual([]);
    expect(await servers.rowOf(tenantId)).toEqual(before);
  });
});

describe('entries outside the allow-list', () => {
  test.each([
    ['an address', { 'base.url': 'https://elsewhere.example' }],
    ['an own key and an address', { 'api.key': 'own', 'base.url': 'https://elsewhere.example' }],
    ['an own key', { 'api.key': 'own' }],
  ])("PATCH cannot set %s beside the tenant's secret", async (_what, configuration) => {
    const tenantId = await provisionedFromSecret({
      secret: { 'api.key': 'stored', 'partner.key': 'second' },
    });
    const before = await servers.rowOf(tenantId);
    const error = await errorOf(patch(tenantId, configuration));
    expect(error).toMatchObject({
      code: 'invalid-request',
      facts: { problems: Object.keys(configuration).map((name) => ({ pointer: `#/configuration/${name}` })) },
    });
    expect(servers.simulator.requests).toEqual([]);
    expect(await servers.rowOf(tenantId)).toEqual(before);
    // The refused entries were not stored, so the secret can be sent again.
    await patch(tenantId, {});
    expect(configurationAt(tenantId)).toEqual({ 'api.key': 'stored', 'partner.key': 'second' });
  });

  test("PATCH sets no entry beside the tenant's secret of an element outside the catalog", async () => {
    const elementKey = 'freshdeskv2';
    const secret = { subdomain: 'shop', username: 'stored' };
    const tenantId = await provisionedFromSecret({ elementKey, secret });
    const error = await errorOf(patch(tenantId, { subdomain: 'elsewhere' }, elementKey));
    expect(error).toMatchObject({ code: 'invalid-request' });
    expect(servers.simulator.requests).toEqual([]);
  });

  test('PATCH sets nothing outside the allow-list when the source is unknown', async () => {
    const tenantId = await provisioned();
    await rewrite(tenantId, unknown);
    const error = await errorOf(patch(tenantId, { 'api.key': 'new' }));
    expect(error.code).toBe('configuration-unknown');
    expect(servers.simulator.requests).toEqual([]);
  });

  test.each([
    ['the address alone', { 'base.url': 'https://elsewhere.example' }, ['api.key', 'partner.key']],
    ['a new key alone', { 'api.key': 'new' }, ['base.url', 'partner.key']],
    [
      'all but a required entry',
      { 'base.url': 'https://elsewhere.example', 'partner.key': 'p' },
      ['api.key'],
    ],
  ])(
    'PATCH of an instance that a request has configured cannot change %s',
    async (_what, configuration, missing) => {
      const tenantId = await provisioned({
        'api.key': 'own',
        'partner.key': 'p',
        'base.url': 'https://one.example',
      });
      const error = await errorOf(patch(tenantId, configuration));
      expect(error).toMatchObject({
        code: 'missing-configuration',
        facts: { missing: missing.map((name) => `configuration.${name}`) },
      });
      expect(servers.simulator.requests).toEqual([]);
    },
  );

  test('PATCH with every entry changes them, and a repeat of the create has the new settings', async () => {
    const tenantId = await provisioned({ 'api.key': 'own', 'base.url': 'https://one.example' });
    const configuration = { 'api.key': 'new', 'base.url': 'https://two.example', 'partner.key': 'p' };
    await patch(tenantId, configuration);
    expect(configurationAt(tenantId)).toEqual(configuration);
    expect(await servers.rowOf(tenantId)).toMatchObject({
      source: 'request',
      requestEntries: ['api.key', 'base.url', 'partner.key'],
    });
    const repeat = (values: Configuration) =>
      servers.provision(
        taxify(tenantId, { name: 'Shop', tags: ['eu'], configuration: { ...configuration, ...values } }),
      );
    expect((await repeat({ 'api.key': 'another' })).outcome).toBe('replayed');
    const elsewhere = repeat({ 'base.url': 'https://one.example' });
    expect((await errorOf(elsewhere)).code).toBe('settings-conflict');
  });

  test('names are remembered before an update is sent, and required from then on, also after a refusal', async () => {
    const tenantId = await provisioned();
    servers.simulator.fail({ on: 'PATCH /instances/{id}', ...notApplied(400) });
    let whileSent: InstanceRow | undefined;
    servers.simulator.latencyMs = 100;
    const update = errorOf(patch(tenantId, { 'api.key': 'own', 'base.url': 'https://one.example' }));
    await expect.poll(() => patches()).toBe(1);
    whileSent = await servers.rowOf(tenantId);
    expect(whileSent?.requestEntries).toEqual(['api.key', 'base.url']);
    expect((await update).code).toBe('refused-by-cloud-elements');
    expect((await servers.rowOf(tenantId))?.requestEntries).toEqual(['api.key', 'base.url']);
    const error = await errorOf(patch(tenantId, { 'api.key': 'new' }));
    expect(error.facts.missing).toEqual(['configuration.base.url']);
    // Nothing was changed, so a repeat is still compared with the first request.
    const repeated = taxify(tenantId, { name: 'Shop', tags: ['eu'], configuration: { 'api.key': 'old' } });
    expect((await servers.provision(repeated)).outcome).toBe('replayed');
  });
});

describe('entries of the allow-list', () => {
  test.each([
    ["the tenant's secret", () => provisionedFromSecret(), { 'api.key': 'stored' }],
    ['a request', () => provisioned(), { 'api.key': 'old' }],
    [
      'an unknown source',
      async () => {
        const tenantId = await provisioned();
        await rewrite(tenantId, unknown);
        return tenantId;
      },
      { 'api.key': 'old' },
    ],
  ])(
    'entries of the allow-list are changed alone beside credentials from %s',
    async (_what, prepare, configuration) => {
      const tenantId = await prepare();
      servers.putTenantSecret(tenantId, '{"api.key": "not this one"}');
      const { source } = (await servers.rowOf(tenantId)) ?? {};
      await patch(tenantId, { 'pagination.max': 7 });
      expect(configurationAt(tenantId)).toEqual({ ...configuration, 'pagination.max': 7 });
      expect(await servers.rowOf(tenantId)).toMatchObject({ allowListed: { 'pagination.max': '7' } });
      expect((await servers.rowOf(tenantId))?.source).toBe(source);
    },
  );

  test('PATCH leaves a row of an earlier version with a fingerprint of that version', async () => {
    const tenantId = await provisioned();
    await rewrite(tenantId, unknown);
    await patch(tenantId, { 'pagination.max': 7 });
    const requested = { name: 'Shop', tags: ['eu'] };
    for (const configuration of [{ 'api.key': 'k', 'pagination.max': '7' }, { 'pagination.max': 7 }]) {
      const repeated = servers.provision(taxify(tenantId, { ...requested, configuration }));
      expect((await repeated).outcome).toBe('replayed');
    }
  });
});

test('PATCH refuses an allowed entry whose value may be a credential, and sends nothing', async () => {
  for (const tenantId of [await provisioned(), await provisionedFromSecret()]) {
    const error = await errorOf(patch(tenantId, { 'pagination.max': 'qzxwvkjhgfdpmntb' }));
    expect(error).toMatchObject({
      code: 'invalid-request',
      facts: {
        problems: [
          {
            pointer: '#/configuration/pagination.max',
            detail: 'expected a whole number of at most 6 digits',
          },
        ],
      },
    });
    expect(patches()).toBe(0);
    expect((await servers.rowOf(tenantId))?.allowListed).toEqual({});
  }
});

const doubtOf = async (tenantId: string) => (await servers.rowOf(tenantId))?.updateInDoubtUntil;
const failPatch = (times: number, outcome: Fault['outcome']) =>
  servers.simulator.fail({ on: 'PATCH /instances/{id}', times, effect: 'none', outcome });

describe('the doubt about an update that a request has configured', () => {
  const all = { 'api.key': 'new', 'base.url': 'https://one.example' };

  test('the doubt is written before an update is sent, and withdrawn when it is done', async () => {
    const tenantId = await provisioned();
    servers.simulator.latencyMs = 100;
    const update = patch(tenantId, all);
    await expect.poll(() => patches()).toBe(1);
    // Every update is sent by the deadline, less the reserve, and takes effect within 10 s.
    expect(await doubtOf(tenantId)).toBeGreaterThan(Date.now() + 10_000);
    await update;
    expect(await doubtOf(tenantId)).toBeUndefined();
  });

  test.each([
    ['refused', { kind: 'status', status: 400 }],
    ['rate limited', { kind: 'status', status: 429 }],
  ] as const)('the doubt is withdrawn when the update is %s', async (_what, outcome) => {
    const tenantId = await provisioned();
    failPatch(10, outcome);
    await errorOf(patch(tenantId, all));
    expect(await doubtOf(tenantId)).toBeUndefined();
  });

  test.each([
    ['unknown', 10, 'update-outcome-unknown'],
    ['unknown at first, and then done', 1, 'done'],
  ] as const)('the doubt stays when the outcome is %s', async (_what, times, code) => {
    const tenantId = await provisioned();
    failPatch(times, { kind: 'reset' });
    const update = patch(tenantId, all).then(
      () => 'done',
      (error: unknown) => (error instanceof OnboardingError ? error.code : error),
    );
    expect(await update).toBe(code);
    servers.reset();
    const inDoubtUntil = await doubtOf(tenantId);
    expect(inDoubtUntil).toBeGreaterThan(Date.now() + 9_000);
    // A later update with a known outcome does not resolve the doubt.
    await patch(tenantId, all);
    expect(await doubtOf(tenantId)).toBe(inDoubtUntil);
    await servers.update(keyOf(tenantId), { name: 'Store' });
    expect(await doubtOf(tenantId)).toBe(inDoubtUntil);
  });

  test('after an update of unknown outcome no request is the same one, until an update is done', async () => {
    const tenantId = await provisioned();
    const requested = { name: 'Shop', tags: ['eu'] };
    const conflictOf = async (configuration: Configuration) =>
      (await errorOf(servers.provision(taxify(tenantId, { ...requested, configuration })))).code;
    failPatch(10, { kind: 'reset' });
    await errorOf(patch(tenantId, all));
    servers.reset();
    expect(await conflictOf({ 'api.key': 'old' })).toBe('settings-conflict');
    expect(await conflictOf(all)).toBe('settings-conflict');
    await patch(tenantId, all);
    expect(await conflictOf({ 'api.key': 'old' })).toBe('settings-conflict');
    const repeated = servers.provision(taxify(tenantId, { ...requested, configuration: all }));
    expect((await repeated).outcome).toBe('replayed');
  });

  test('after a refused update the previous request is still the same request', async () => {
    const tenantId = await provisioned();
    failPatch(1, { kind: 'status', status: 400 });
    await errorOf(patch(tenantId, all));
    const requested = { name: 'Shop', tags: ['eu'], configuration: { 'api.key': 'old' } };
    expect((await servers.provision(taxify(tenantId, requested))).outcome).toBe('replayed');
  });

  test.each([
    ['of the name', () => provisioned(), { name: 'Store' }],
    ['from the secret', () => provisionedFromSecret(), { configuration: {} }],
  ])('an update %s is never in doubt', async (_what, prepare, changes) => {
    const tenantId = await prepare();
    failPatch(10, { kind: 'reset' });
    await errorOf(servers.update(keyOf(tenantId), changes));
    expect(await doubtOf(tenantId)).toBeUndefined();
  });
});
