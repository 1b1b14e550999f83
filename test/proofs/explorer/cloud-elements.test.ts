import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Sought } from '../../../functions/core/ports.ts';
import { openExplorersSide, openSimulatorsSide, type Side, type Trouble } from './cloud-elements-sides.ts';

const ascending = (...ids: number[]) => ids.toSorted((a, b) => a - b);

/*
 * Both are checked against what the public documentation, test suites and clients of Cloud Elements show, as far as the
 * port of the core lets it through.
 */
describe.each([
  ["the explorer's Cloud Elements", openExplorersSide],
  ['the simulator', openSimulatorsSide],
])('%s', (_, open) => {
  let side: Side;
  beforeAll(async () => {
    side = await open();
  });
  afterAll(() => side.stop());

  const timeout = { timeoutMs: 2_000 };
  /** Of a call that takes too long. */
  const short = { timeoutMs: 100 };
  const timeoutOf = (trouble: Trouble) => (trouble === 'takes too long' ? short : timeout);
  const stage = 'tests';
  let tenants = 0;

  /** An instance that has not been created yet. */
  function newcomer({ elementKey = 'taxify' } = {}) {
    const tenantId = `tenant-${++tenants}`;
    const provisionId = randomUUID();
    const tags = [`tenant:${tenantId}`, `provision:${provisionId}`, `owner:${stage}`];
    const configuration = { 'api.key': 'key-for-tests' };
    const requested = { tenantId, elementKey, name: 'Shop', tags, configuration };
    const owned = { tenantId, elementKey, owner: stage };
    const sought: Sought = { ...owned, provisionId, name: 'Shop', createdAt: 0 };
    return { requested, owned, sought, tags };
  }

  async function created(requested: ReturnType<typeof newcomer>['requested'], trouble?: Trouble) {
    const outcome = await side.meeting(trouble).create(requested, timeout);
    if (outcome.kind !== 'created') throw new Error(`The instance is ${outcome.kind}.`);
    return outcome.instance;
  }
  async function found(sought: Sought): Promise<number[]> {
    const outcome = await side.meeting().lookUp(sought, timeout);
    if (outcome.kind !== 'found') throw new Error(`The look-up is ${outcome.kind}: ${outcome.reason}`);
    expect(outcome.isCertain).toBe(true);
    return outcome.instances.map(({ id }) => id).toSorted((a, b) => a - b);
  }
  async function listed(owner = stage) {
    const outcome = await side.meeting().list({ owner, page: undefined }, timeout);
    if (outcome.kind !== 'listed') throw new Error(`The list is ${outcome.kind}.`);
    return outcome.instances;
  }
  describe('create', () => {
    test('an instance has an integer id, a token for a header, and a date in whole seconds', async () => {
      const { requested } = newcomer();
      expect(await created(requested)).toEqual({
        id: expect.any(Number),
        token: expect.stringMatching(/^[^\s,]+$/),
        createdDate: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      });
    });

    test('a repeat makes another instance with another token, because names and tags are not unique', async () => {
      const { requested, sought } = newcomer();
      const first = await created(requested);
      const second = await created(requested);
      expect(second.id).not.toBe(first.id);
      expect(second.token).not.toBe(first.token);
      expect(await found(sought)).toEqual(ascending(first.id, second.id));
      expect(await found({ ...sought, exceptId: first.id })).toEqual([second.id]);
    });

    test('a create without a required entry is refused, and makes nothing', async () => {
      const { requested } = newcomer();
      const before = side.count();
      const outcome = await side.meeting().create({ ...requested, configuration: {} }, timeout);
      expect(outcome).toMatchObject({ kind: 'refused', error: { code: 'refused-by-cloud-elements' } });
      expect(side.count()).toBe(before);
    });

    test('markup in name and tags is not kept', async () => {
      const { requested, tags } = newcomer();
      const { id } = await created({
        ...requested,
        name: '<b>Shop</b>',
        tags: [...tags, '<a href="x">shop@example</a>'],
      });
      expect(side.kept(id)).toMatchObject({ name: 'Shop', tags: [...tags, 'shop@example'] });
    });
  });

  describe('update', () => {
    test('name, tags and configuration change alone: tags are replaced, entries merged, id and token stay', async () => {
      const { requested, owned, tags } = newcomer();
      const { id: instanceId, token } = await created(requested);
      const instance = { ...owned, instanceId };
      const update = (changes: object) => side.meeting().update(instance, changes, timeout);
      expect(await update({ name: 'Renamed' })).toEqual({ kind: 'updated' });
      const { configuration } = requested;
      expect(side.kept(instanceId)).toMatchObject({ name: 'Renamed', tags, configuration });
      expect(await update({ configuration: { 'pagination.max': '50' } })).toEqual({ kind: 'updated' });
      expect(await update({ tags: ['<i>only</i>'] })).toEqual({ kind: 'updated' });
      expect(side.kept(instanceId)).toMatchObject({
        name: 'Renamed',
        tags: ['only'],
        configuration: { ...configuration, 'pagination.max': '50' },
      });
      expect(await side.meeting().read(instance, timeout)).toMatchObject({ kind: 'read', token });
    });

    test('an instance that is gone, or never existed, is absent', async () => {
      const { requested, owned } = newcomer();
      const { id: instanceId } = await created(requested);
      await side.meeting().remove({ ...owned, instanceId }, timeout);
      for (const id of [instanceId, 999_999_999]) {
        const instance = { ...owned, instanceId: id };
        expect(await side.meeting().update(instance, { name: 'Late' }, timeout)).toEqual({ kind: 'absent' });
        expect(await side.meeting().read(instance, timeout)).toEqual({ kind: 'absent' });
      }
    });
  });

  describe('read', () => {
    test('an instance shows its element, its token and whose it is', async () => {
      const { requested, owned } = newcomer();
      const { id: instanceId, token, createdDate } = await created(requested);
      const read = (whose: object) => side.meeting().read({ ...owned, ...whose, instanceId }, timeout);
      expect(await read({})).toEqual({
        kind: 'read',
        owned: 'ours',
        instanceId,
        elementKey: 'taxify',
        token,
        createdDate,
        name: requested.name,
        tags: requested.tags,
        valid: true,
        disabled: false,
      });
      expect(await read({ tenantId: 'another' })).toMatchObject({ owned: 'not-ours' });
      expect(await read({ owner: 'another' })).toMatchObject({ owned: 'not-ours' });
      expect(await read({ elementKey: 'another' })).toMatchObject({ owned: 'not-ours' });
    });

    test.each([
      ['without any marker', ['shop']],
      ['with the owner alone', [`owner:${stage}`]],
    ])('an instance %s is unmarked', async (_how, tags) => {
      const { requested, owned } = newcomer();
      const { id: instanceId } = await created({ ...requested, tags });
      const outcome = await side.meeting().read({ ...owned, instanceId }, timeout);
      expect(outcome).toMatchObject({ kind: 'read', owned: 'unmarked' });
    });
  });

  describe('look up', () => {
    test('nothing is found of a generation that nothing was created for', async () => {
      expect(await found(newcomer().sought)).toEqual([]);
    });

    test("another tenant's, another stage's and another element's instances are not found", async () => {
      const { requested, sought } = newcomer();
      const [, provision = ''] = requested.tags;
      await created({ ...requested, tags: ['tenant:another', provision, `owner:${stage}`] });
      await created({ ...requested, tags: [`tenant:${requested.tenantId}`, provision, 'owner:another'] });
      expect(await found(sought)).toEqual([]);
      expect(await found({ ...sought, elementKey: 'stripe' })).toEqual([]);
    });

    test('nothing is concluded of an instance that shows the generation but not whose it is', async () => {
      const { requested, sought } = newcomer();
      const [tenant = '', provision = ''] = requested.tags;
      await created({ ...requested, tags: [tenant, provision] });
      expect(await side.meeting().lookUp(sought, timeout)).toMatchObject({ kind: 'unknown' });
    });

    test('the recorded instance is found by its id, also while lists do not show it', async () => {
      const { requested, sought } = newcomer();
      const { id: instanceId } = await created(requested, 'listed late');
      const lookUp = (recorded: Sought) => side.meeting().lookUp(recorded, timeout);
      expect(await lookUp(sought)).toMatchObject({ kind: 'found', instances: [] });
      expect(await lookUp({ ...sought, instanceId })).toMatchObject({ instances: [{ id: instanceId }] });
      await side.later();
      expect(await found(sought)).toEqual([instanceId]);
    });

    test('the recorded instance counts only while it is not shown to be of another tenant', async () => {
      const { requested, owned, sought } = newcomer();
      const { id: instanceId } = await created(requested);
      const retag = (tags: string[]) => side.meeting().update({ ...owned, instanceId }, { tags }, timeout);
      await retag(['tenant:another', `owner:${stage}`]);
      expect(await found({ ...sought, instanceId })).toEqual([]);
      await retag(['shop']);
      const outcome = await side.meeting().lookUp({ ...sought, instanceId }, timeout);
      expect(outcome).toMatchObject({ kind: 'unknown' });
    });
  });

  describe('list', () => {
    test("a stage's instances of every element are listed, and no other stage's", async () => {
      const taxify = newcomer();
      const other = newcomer({ elementKey: 'stripe' });
      const owner = `owner:${randomUUID()}`;
      const tagged = ({ requested }: typeof taxify) => ({ ...requested, tags: [owner, 'shop'] });
      const { id, token, createdDate } = await created(tagged(taxify));
      const { name } = taxify.requested;
      const second = await created(tagged(other));
      const removed = await created(tagged(taxify));
      await created(taxify.requested);
      await side.meeting().remove({ ...taxify.owned, instanceId: removed.id }, timeout);
      const instances = await listed(owner.slice('owner:'.length));
      expect(instances.toSorted((a, b) => Number(a.id !== id) - Number(b.id !== id))).toEqual([
        {
          id,
          elementKey: 'taxify',
          name,
          tags: [owner, 'shop'],
          token,
          createdDate,
          valid: true,
          disabled: false,
        },
        expect.objectContaining({ id: second.id, elementKey: 'stripe' }),
      ]);
      expect(await listed('another-stage')).toEqual([]);
    });
  });

  describe('remove', () => {
    test('a removed instance is gone everywhere, and can be removed again', async () => {
      const { requested, owned, sought } = newcomer();
      const { id: instanceId } = await created(requested);
      const remove = () => side.meeting().remove({ ...owned, instanceId }, timeout);
      expect(await remove()).toEqual({ kind: 'removed' });
      expect(await side.meeting().read({ ...owned, instanceId }, timeout)).toEqual({ kind: 'absent' });
      expect(await found({ ...sought, instanceId })).toEqual([]);
      expect((await listed()).map(({ id }) => id)).not.toContain(instanceId);
      expect(await remove()).toEqual({ kind: 'removed' });
    });
  });

  /** By outcome of the call: how it looks, and whether it has taken effect at once, and later. */
  const outcomes: [trouble: Trouble, outcome: object, effect: { atOnce: boolean; later: boolean }][] = [
    [
      'refused',
      { kind: 'refused', error: { code: 'refused-by-cloud-elements' } },
      { atOnce: false, later: false },
    ],
    [
      'not sent',
      { kind: 'not-done', retryAfterMs: 0, error: { code: 'cloud-elements-unreachable' } },
      { atOnce: false, later: false },
    ],
    [
      'not now',
      { kind: 'not-done', retryAfterMs: 60_000, error: { code: 'cloud-elements-busy' } },
      { atOnce: false, later: false },
    ],
    ['done, no answer', { kind: 'unknown' }, { atOnce: true, later: true }],
    ['done later, no answer', { kind: 'unknown' }, { atOnce: false, later: true }],
    ['not done, no answer', { kind: 'unknown' }, { atOnce: false, later: false }],
    ['takes too long', { kind: 'unknown' }, { atOnce: false, later: false }],
  ];

  test.each(outcomes)(
    'a create that is "%s" ends so, and has that effect',
    async (trouble, expected, effect) => {
      const { requested, sought } = newcomer();
      expect(await side.meeting(trouble).create(requested, timeoutOf(trouble))).toMatchObject(expected);
      expect(await found(sought)).toHaveLength(effect.atOnce ? 1 : 0);
      await side.later();
      expect(await found(sought)).toHaveLength(effect.later ? 1 : 0);
    },
  );

  test.each(outcomes)(
    'an update that is "%s" ends so, and has that effect',
    async (trouble, expected, effect) => {
      const { requested, owned } = newcomer();
      const { id: instanceId } = await created(requested);
      const renamed = () => side.kept(instanceId)?.name === 'Renamed';
      const changes = { name: 'Renamed' };
      expect(
        await side.meeting(trouble).update({ ...owned, instanceId }, changes, timeoutOf(trouble)),
      ).toMatchObject(expected);
      expect(renamed()).toBe(effect.atOnce);
      await side.later();
      expect(renamed()).toBe(effect.later);
    },
  );

  const removals = outcomes.filter(
    ([trouble]) => trouble.endsWith('no answer') || trouble.startsWith('takes'),
  );
  test.each(removals)(
    'a removal that is "%s" ends so, and has that effect',
    async (trouble, expected, effect) => {
      const { requested, owned } = newcomer();
      const { id: instanceId } = await created(requested);
      const isGone = () => side.kept(instanceId) === undefined;
      expect(await side.meeting(trouble).remove({ ...owned, instanceId }, timeoutOf(trouble))).toMatchObject(
        expected,
      );
      expect(isGone()).toBe(effect.atOnce);
      await side.later();
      expect(isGone()).toBe(effect.later);
    },
  );

  test('an instance that is in use is kept, and the refusal says so', async () => {
    const { requested, owned } = newcomer();
    const { id: instanceId } = await created(requested);
    const outcome = await side.meeting('refused, it is in use').remove({ ...owned, instanceId }, timeout);
    expect(outcome).toMatchObject({ kind: 'refused', error: { code: 'deletion-refused' } });
    expect(side.kept(instanceId)).toBeDefined();
  });

  test.each(['fails', 'takes too long'] as const)('a read that "%s" concludes nothing', async (trouble) => {
    const { requested, owned, sought } = newcomer();
    const { id: instanceId } = await created(requested);
    const unknown = { kind: 'unknown', reason: expect.any(String) };
    expect(await side.meeting(trouble).read({ ...owned, instanceId }, timeoutOf(trouble))).toMatchObject(
      unknown,
    );
    expect(await side.meeting(trouble).lookUp(sought, timeoutOf(trouble))).toMatchObject(unknown);
    const all = { owner: stage, page: undefined };
    expect(await side.meeting(trouble).list(all, timeoutOf(trouble))).toMatchObject(unknown);
  });
});
