import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import { createCloudElementsCaller } from '../../../functions/adapters/cloud-elements-http.ts';
import { createCloudElements } from '../../../functions/adapters/cloud-elements.ts';
import type { Sought } from '../../../functions/core/ports.ts';
import { startCloudElements, type Instance } from '../../../infra/local/cloud-elements/simulator.ts';
import { newTenant } from '../../support/real-servers.ts';
import { notApplied } from '../../support/faults.ts';

const secrets = { userSecret: 'user-secret-for-tests', organizationSecret: 'organization-secret-for-tests' };
const simulator = await startCloudElements(secrets);
afterAll(() => simulator.stop());
const cloudElements = createCloudElements({
  catalog: builtInCatalog,
  call: createCloudElementsCaller({
    baseUrl: simulator.url,
    credentials: { get: () => Promise.resolve(secrets), renew: (refused) => Promise.resolve(refused) },
  }),
});
const timeoutMs = 2_000;

let requestsBefore = 0;
const forgetRequests = () => {
  requestsBefore = simulator.requests.length;
};

let sought: Sought;
beforeEach(async () => {
  simulator.reset();
  for (const { id } of simulator.instances.slice()) {
    await cloudElements.remove({ tenantId: 'any', elementKey: 'any', instanceId: id }, { timeoutMs });
  }
  forgetRequests();
  const tenantId = newTenant();
  sought = {
    tenantId,
    elementKey: 'taxify',
    owner: 'tests',
    provisionId: `generation-of-${tenantId}`,
    name: `taxify-${tenantId}`,
    createdAt: Date.now(),
  };
});

const markers = ({ tenantId, provisionId, owner }: Sought) => [
  `tenant:${tenantId}`,
  `provision:${provisionId}`,
  `owner:${owner}`,
];

/** Creates an instance as the row's create would, with the given differences. */
async function create(
  over: { tags?: readonly string[]; name?: string; elementKey?: 'taxify' | 'freshdeskv2' } = {},
): Promise<Instance> {
  const { tags = markers(sought), name = sought.name, elementKey = 'taxify' } = over;
  const outcome = await cloudElements.create(
    {
      tenantId: sought.tenantId,
      elementKey,
      name,
      // Without tags, the platform would use the name as a tag.
      tags: tags.length === 0 ? ['to be taken away'] : [...tags],
      configuration: { 'api.key': 'k', subdomain: 's', username: 'u' },
    },
    { timeoutMs },
  );
  const instance = simulator.instances.find(
    ({ id }) => outcome.kind === 'created' && id === outcome.instance.id,
  );
  if (!instance) throw new Error('the simulator has made no instance');
  if (tags.length === 0) instance.tags = [];
  forgetRequests();
  return instance;
}

const lookUp = (over: Partial<Sought> = {}, withinMs = timeoutMs) =>
  cloudElements.lookUp({ ...sought, ...over }, { timeoutMs: withinMs });
const requests = () => simulator.requests.slice(requestsBefore);
const calls = () => requests().map(({ operation }) => operation);
const foundOf = (...instances: Instance[]) =>
  instances.map(({ id, token, createdDate }) => ({ id, token, createdDate }));

describe('a look-up', () => {
  test('a name in another normal form is the same name, where no tags are shown', async () => {
    const instance = await create({ name: 'Café'.normalize('NFD') });
    simulator.listShape = { tags: 'absent' };
    expect(await lookUp({ name: 'Café'.normalize('NFC') })).toMatchObject({ instances: foundOf(instance) });
  });

  test('a look-up finds the instance with the tags of tenant, owner and generation, and the element', async () => {
    const instance = await create();
    expect(await lookUp()).toEqual({ kind: 'found', instances: foundOf(instance), isCertain: true });
    expect(calls()).toEqual(['GET /instances']);
  });

  test.each([
    ['tenant', { tenantId: 'another' }],
    ['stage', { owner: 'another' }],
  ])(
    'a look-up does not find an instance of another %s, even with the same generation',
    async (_what, of) => {
      await create({ tags: markers({ ...sought, ...of }) });
      expect(await lookUp()).toEqual({ kind: 'found', instances: [], isCertain: true });
    },
  );

  test('a look-up does not find an instance that names a second tenant beside its own', async () => {
    await create({ tags: [...markers(sought), 'tenant:another'] });
    expect(await lookUp()).toEqual({ kind: 'found', instances: [], isCertain: true });
  });

  test.each([
    ['no tenant and no owner', () => ({ tags: [`provision:${sought.provisionId}`] })],
    ['no owner', () => ({ tags: [`provision:${sought.provisionId}`, `tenant:${sought.tenantId}`] })],
    ['another element', () => ({ elementKey: 'freshdeskv2' as const })],
  ])('a look-up of the generation is inconclusive when it lists an instance with %s', async (_what, over) => {
    await create(over());
    expect(await lookUp()).toMatchObject({ kind: 'unknown' });
  });

  test('a look-up is inconclusive when neither the list nor the instance itself shows its token', async () => {
    const { id, tags } = await create();
    simulator.listShape = { token: 'absent' };
    const body = { id, element: { key: 'taxify' }, tags };
    simulator.fail({ on: 'GET /instances/{id}', ...notApplied(200, { body }) });
    expect(await lookUp()).toMatchObject({
      kind: 'unknown',
      reason: expect.stringContaining('no token'),
    });
  });

  describe('for an instance that the row records', () => {
    test.each([
      ['cannot be read', { status: 500 }],
      ['is shown as another', { status: 200, body: { id: 1, element: { key: 'taxify' } } }],
    ])('a look-up is inconclusive when the recorded instance %s', async (_what, { status, ...over }) => {
      const { id } = await create({ tags: [`tenant:${sought.tenantId}`, 'owner:tests'] });
      simulator.fail({ on: 'GET /instances/{id}', times: 10, ...notApplied(status, over) });
      expect(await lookUp({ instanceId: id })).toMatchObject({
        kind: 'unknown',
        reason: expect.stringContaining('cannot be read'),
      });
    });

    test('a look-up is inconclusive when the recorded instance shows no token', async () => {
      const { id, tags } = await create({ tags: [`tenant:${sought.tenantId}`, 'owner:tests'] });
      const body = { id, element: { key: 'taxify' }, tags };
      simulator.fail({ on: 'GET /instances/{id}', ...notApplied(200, { body }) });
      expect(await lookUp({ instanceId: id })).toMatchObject({
        kind: 'unknown',
        reason: expect.stringContaining('no token'),
      });
    });

    test('a look-up reads the recorded instance by its id when the list lacks it', async () => {
      const instance = await create({ tags: [`tenant:${sought.tenantId}`, 'owner:tests'] });
      expect(await lookUp({ instanceId: instance.id })).toEqual({
        kind: 'found',
        instances: foundOf(instance),
        isCertain: true,
      });
    });

    test.each([
      ['another tenant', () => ({ tags: markers({ ...sought, tenantId: 'another' }) })],
      ['another stage', () => ({ tags: markers({ ...sought, owner: 'another' }) })],
      ['another element', () => ({ elementKey: 'freshdeskv2' as const, tags: ['no markers'] })],
    ])('a look-up does not find the recorded instance when it belongs to %s', async (_what, over) => {
      const { id } = await create(over());
      expect(await lookUp({ provisionId: 'other', instanceId: id })).toEqual({
        kind: 'found',
        instances: [],
        isCertain: true,
      });
    });

    test('a look-up is inconclusive when the recorded instance has no marker tags', async () => {
      const { id } = await create({ tags: [] });
      expect(await lookUp({ instanceId: id })).toMatchObject({ kind: 'unknown' });
    });

    test('a look-up finds nothing when the recorded instance is gone', async () => {
      expect(await lookUp({ instanceId: 1 })).toMatchObject({ kind: 'found', instances: [] });
    });
  });

  test('a look-up omits the excluded instance, whatever its tags', async () => {
    const { id } = await create({ tags: [] });
    simulator.ignoreTagFilter = true;
    expect(await lookUp({ exceptId: id })).toMatchObject({ kind: 'found', instances: [] });
    expect(calls()).not.toContain('GET /instances/{id}');
  });

  describe('of a list whose filter does not hold', () => {
    beforeEach(() => {
      simulator.ignoreTagFilter = true;
    });

    test('a look-up in a list that ignores the filter is not certain', async () => {
      const instance = await create();
      await create({ tags: ['another'] });
      expect(await lookUp()).toEqual({ kind: 'found', instances: foundOf(instance), isCertain: false });
      expect(calls()).toEqual(['GET /instances']);
    });

    test('a look-up in a list that ignores the filter walks through it twice before it finds nothing', async () => {
      for (let i = 0; i < 201; i++) await create({ tags: ['another'] });
      forgetRequests();
      expect(await lookUp()).toEqual({ kind: 'found', instances: [], isCertain: false });
      expect(requests().map(({ query }) => query.has('nextPage'))).toEqual([false, true, false, true]);
    });

    test('a look-up in a list that ignores the filter walks on until two walks list the same instances', async () => {
      const shown = [await create({ tags: ['a'] }), await create({ tags: ['b'] })];
      const bodies = [[shown[0]], [shown[1]], shown, shown].map((page) =>
        page.map((each) => ({ id: each?.id, element: { key: 'taxify' }, tags: each?.tags })),
      );
      simulator.faultFor = () => ({
        ...notApplied(200, { body: bodies.shift() ?? [] }),
      });
      expect(await lookUp()).toEqual({ kind: 'found', instances: [], isCertain: false });
      expect(calls()).toHaveLength(4);
    });

    test('a look-up is inconclusive while each walk lists other instances', async () => {
      let id = 0;
      simulator.faultFor = () => ({
        ...notApplied(200, { body: [{ id: ++id, element: { key: 'taxify' }, tags: ['another'] }] }),
      });
      expect(await lookUp({}, 300)).toMatchObject({ kind: 'unknown' });
      expect(calls().length).toBeGreaterThan(2);
    });
  });

  describe('of a list that shows no tags', () => {
    beforeEach(() => {
      simulator.ignoreTagFilter = true;
      simulator.listShape = { tags: 'absent' };
    });

    test('a look-up in a list without tags reads only possible instances of the row by id', async () => {
      const instance = await create();
      await create({ name: 'Another name', tags: ['another'] });
      await create({ elementKey: 'freshdeskv2', tags: ['another'] });
      expect(await lookUp()).toEqual({ kind: 'found', instances: foundOf(instance), isCertain: false });
      expect(calls()).toEqual(['GET /instances', 'GET /instances/{id}']);
    });

    test('a look-up in a list without tags skips instances created before the row, less clock skew', async () => {
      await create({ tags: ['another'] });
      const createdAt = Date.now();
      await lookUp({ createdAt: createdAt + 3_000 });
      expect(calls()).toContain('GET /instances/{id}');
      forgetRequests();
      expect(await lookUp({ createdAt: createdAt + 7_000 })).toEqual({
        kind: 'found',
        instances: [],
        isCertain: false,
      });
      expect(calls()).not.toContain('GET /instances/{id}');
    });

    test('a look-up in a list without tags reads at most twenty by id, and is inconclusive with more', async () => {
      for (let i = 0; i < 20; i++) await create({ tags: ['another'] });
      forgetRequests();
      expect(await lookUp()).toEqual({ kind: 'found', instances: [], isCertain: false });
      await create();
      expect(await lookUp()).toMatchObject({ kind: 'unknown' });
    });

    test('a look-up is inconclusive when tags are missing by id, too', async () => {
      await create({ tags: [] });
      expect(await lookUp()).toMatchObject({ kind: 'unknown' });
    });

    test('a look-up is inconclusive while a possible instance of the row cannot be read by its id', async () => {
      await create();
      simulator.faultFor = ({ operation }) =>
        operation === 'GET /instances/{id}'
          ? { effect: 'none', outcome: { kind: 'status', status: 500 } }
          : undefined;
      expect(await lookUp()).toMatchObject({
        kind: 'unknown',
        reason: expect.stringContaining('cannot be read'),
      });
    });
  });
});

const read = (instanceId: number) => cloudElements.read({ ...sought, instanceId }, { timeoutMs });
const remove = (instanceId: number) => cloudElements.remove({ ...sought, instanceId }, { timeoutMs });

/** Sets the response to every later request. */
const response = (status: number, body?: object | string) => {
  simulator.faultFor = () => ({
    ...notApplied(status, { ...(body !== undefined && { body }) }),
  });
};

describe('an instance that is read by its id', () => {
  test.each([
    ['ours', 'with tenant and owner', () => ({ tags: [`tenant:${sought.tenantId}`, 'owner:tests', 'x'] })],
    ['unmarked', 'without tags', () => ({ tags: [] })],
    ['unmarked', 'with tags of its own alone', () => ({ tags: ['eu'] })],
    ['unmarked', 'without an owner', () => ({ tags: [`tenant:${sought.tenantId}`] })],
    ['not-ours', 'of another tenant', () => ({ tags: ['tenant:another'] })],
    ['not-ours', 'of another stage', () => ({ tags: [`tenant:${sought.tenantId}`, 'owner:other'] })],
    ['not-ours', 'of another element', () => ({ elementKey: 'freshdeskv2' as const })],
  ])('an instance read by id is %s %s', async (owned, _how, over) => {
    const { id, element, token } = await create(over());
    expect(await read(id)).toMatchObject({
      kind: 'read',
      owned,
      instanceId: id,
      elementKey: element.key,
      token,
      valid: true,
      disabled: false,
    });
  });

  test('an instance read by id is absent only after a 404 of the platform', async () => {
    expect(await read(1)).toEqual({ kind: 'absent' });
    simulator.faultFor = () => ({
      ...notApplied(404, { body: { message: 'no Route matched with those values' } }),
    });
    expect(await read(1)).toMatchObject({ kind: 'unknown' });
  });

  test('an instance read by id is unknown when the response is about another instance', async () => {
    const { id } = await create();
    simulator.faultFor = () => ({
      ...notApplied(200, { body: { id: id + 1, element: { key: 'taxify' } } }),
    });
    expect(await read(id)).toMatchObject({ kind: 'unknown' });
  });
});

describe('a deletion', () => {
  test('deleting an instance that is gone already succeeds', async () => {
    const { id } = await create();
    expect(await remove(id)).toEqual({ kind: 'removed' });
    expect(await remove(id)).toEqual({ kind: 'removed' });
  });

  test.each([409, 403])(
    'a deletion refused with %d by Cloud Elements is reported with its reason',
    async (status) => {
      const requestId = '0123456789abcdef01234567';
      const { id } = await create();
      response(status, { requestId, message: 'The instance is in use' });
      const outcome = await remove(id);
      if (outcome.kind !== 'refused') throw new Error(outcome.kind);
      expect(outcome.error).toMatchObject({ code: 'deletion-refused', facts: { requestId } });
      expect(outcome.error.message).toContain(`(${status})`);
    },
  );

  test.each([
    [500, undefined, 'unknown', undefined],
    [409, '<html>', 'unknown', undefined],
    [404, '<html>', 'refused', 'cloud-elements-unreadable'],
    [401, undefined, 'not-done', 'platform-credentials-refused'],
  ])('a deletion answered %d with %s is %s', async (status, body, kind, code) => {
    const { id } = await create();
    response(status, body);
    const outcome = await remove(id);
    expect(outcome.kind).toBe(kind);
    expect('error' in outcome ? outcome.error.code : undefined).toBe(code);
  });
});
