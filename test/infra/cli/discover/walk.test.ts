import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { createCloudElementsCaller } from '../../../../functions/adapters/cloud-elements-http.ts';
import { createCloudElements } from '../../../../functions/adapters/cloud-elements.ts';
import { builtInCatalog } from '../../../../functions/model/built-in-catalog.ts';
import { discover } from '../../../../infra/cli/discover/walk.ts';
import { startCloudElements } from '../../../../infra/local/cloud-elements/simulator.ts';
import { notApplied } from '../../../support/faults.ts';

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
/** No waiting between attempts. */
const find = () => discover({ cloudElements, retryDelaysMs: [0, 0] });
const seed = (tags: string[], name = 'Shop', key = 'taxify') =>
  simulator.seed({
    element: { key },
    name,
    tags,
    configuration: { 'api.key': 'key-for-tests', subdomain: 'shop', username: 'u', password: 'p' },
  });
const idsOf = ({ free }: { free: { id: number }[] }) => free.map(({ id }) => id);
const listings = () => simulator.requests.filter(({ operation }) => operation === 'GET /instances');

beforeEach(async () => {
  simulator.reset();
  for (const { id } of simulator.instances.slice()) {
    await cloudElements.remove({ tenantId: 'any', elementKey: 'any', instanceId: id }, { timeoutMs: 1_000 });
  }
  simulator.reset();
});

test('an empty list is complete', async () => {
  expect(await find()).toEqual({ free: [], silent: 0, total: 0, gaps: [] });
});

test('every instance without an owner of any element and with any other tags is found, over all pages', async () => {
  const free = Array.from({ length: 250 }, (_, index) => seed(index % 2 ? [] : ['eu', 'tenant:old']));
  seed(['owner:prod', 'tenant:acme']);
  seed(['eu', 'owner:dev']);
  free.push(seed(['not-owner:prod', 'Owner'], 'Desk', 'freshdeskv2'));
  const found = await find();
  expect(found).toMatchObject({ total: 253, gaps: [] });
  expect(idsOf(found)).toEqual(free.map(({ id }) => id));
  expect(found.free.at(-1)).toMatchObject({
    elementKey: 'freshdeskv2',
    name: 'Desk',
    tags: ['not-owner:prod', 'Owner'],
    createdDate: free.at(-1)?.createdDate,
  });
  expect(listings()).toHaveLength(2);
});

describe('lists that are not as documented', () => {
  test.each(['absent', 'empty', 'objects'] as const)(
    'tags shown as %s in the list hide no owner',
    async (tags) => {
      const { id } = seed(['eu']);
      seed(['owner:prod']);
      simulator.listShape = { tags };
      const found = await find();
      expect(found).toMatchObject({ total: 2, gaps: [], free: [{ id, tags: ['eu'] }] });
    },
  );

  test('an instance that shows no tags by its id either is listed, and counted', async () => {
    const { id } = seed(['eu']);
    const body = { id, element: { key: 'taxify' }, token: 'any-token' };
    for (const on of ['GET /instances', 'GET /instances/{id}'] as const) {
      const shown = on === 'GET /instances' ? [body] : body;
      simulator.fail({ on, effect: 'none', outcome: { kind: 'status', status: 200, body: shown } });
    }
    expect(await find()).toMatchObject({ free: [{ id, tags: [] }], silent: 1, gaps: [] });
    seed([]);
    expect(await find()).toMatchObject({ total: 2, silent: 0 });
  });

  test('a page token on a full last page ends the list', async () => {
    for (let count = 0; count < 200; count++) seed([]);
    simulator.tokenOnFullPage = true;
    expect(await find()).toMatchObject({ total: 200, gaps: [] });
  });

  test('a page that is too large is requested again with fewer instances', async () => {
    const free = Array.from({ length: 60 }, () => seed(['eu']));
    simulator.faultFor = ({ query, operation }) =>
      operation === 'GET /instances' && Number(query.get('pageSize') ?? 200) > 50
        ? {
            effect: 'none',
            outcome: {
              kind: 'status',
              status: 429,
              body: { requestId: '58b46b1b58b46b1b58b46b1b', message: 'Payload too large' },
            },
          }
        : undefined;
    const found = await find();
    expect(idsOf(found)).toEqual(free.map(({ id }) => id));
    expect(found.gaps).toEqual([]);
  });

  test('a list that counts more instances than it shows is read again, and then not called complete', async () => {
    seed(['eu']);
    const [listed] = simulator.instances;
    const body = [{ id: listed?.id, element: { key: 'taxify' }, token: listed?.token, tags: ['eu'] }];
    simulator.fail({
      on: 'GET /instances',
      times: 3,
      effect: 'none',
      outcome: { kind: 'status', status: 200, body, headers: { 'elements-total-count': '2' } },
    });
    expect(await find()).toMatchObject({
      free: [{ id: listed?.id }],
      gaps: ['Cloud Elements counts 2 instances, and listed 1'],
    });
    expect(await find()).toMatchObject({ gaps: [] });
  });

  test('items that are no instances leave the list not complete', async () => {
    const body = [
      { id: 'x y', element: { key: 'taxify' } },
      { id: 'abc', element: { key: 'taxify' }, tags: ['eu'] },
      {},
    ];
    simulator.fail({ on: 'GET /instances', effect: 'none', outcome: { kind: 'status', status: 200, body } });
    expect(await find()).toEqual({
      free: [],
      silent: 0,
      total: 3,
      gaps: ['3 of its items cannot be read as instances'],
    });
  });
});

describe('calls that fail', () => {
  test('a page that fails is requested again', async () => {
    seed(['eu']);
    simulator.fail({ on: 'GET /instances', times: 2, ...notApplied(503) });
    expect(await find()).toMatchObject({ total: 1, gaps: [] });
  });

  test('a page that fails for good leaves the pages before, and the list not complete', async () => {
    for (let count = 0; count < 201; count++) seed(['eu']);
    simulator.faultFor = ({ query }) => (query.has('nextPage') ? notApplied(503) : undefined);
    const { free, gaps } = await find();
    expect(free).toHaveLength(200);
    expect(gaps).toEqual([expect.stringMatching(/^a page could not be read: HTTP 5/)]);
  });

  test('an instance whose tags cannot be read stays out, and the list is not complete', async () => {
    const { id } = seed(['eu']);
    seed(['owner:prod']);
    simulator.listShape = { tags: 'absent' };
    simulator.faultFor = ({ path }) => (path.endsWith(`/${id}`) ? notApplied(503) : undefined);
    expect(await find()).toEqual({
      free: [],
      silent: 0,
      total: 2,
      gaps: ['1 of the instances show no tags in the list and could not be read by their ids'],
    });
  });

  test('a call that is useless to repeat is not repeated', async () => {
    simulator.fail({ on: 'GET /instances', times: 2, ...notApplied(503) });
    await discover({ cloudElements, retryDelaysMs: [0, 0], isFinal: () => true });
    expect(listings()).toHaveLength(1);
  });
});
