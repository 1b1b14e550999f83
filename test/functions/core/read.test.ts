import { describe, expect, test } from 'vitest';
import { activate } from '../../../functions/core/lifecycle.ts';
import { getInstance, listInstances, readToken } from '../../../functions/core/read.ts';
import type { InstanceRow } from '../../../functions/model/instance.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';
import { fakePorts } from '../../support/fake-ports.ts';

async function withRow(over: Partial<InstanceRow> = {}) {
  const fake = fakePorts();
  const token = new TextEncoder().encode('token-of-7');
  await fake.put({ ...activate(fake.claimed(), { instanceId: 7, token }, 1, timing), ...over });
  return fake;
}

describe('the token of an instance', () => {
  test.each<[string, Partial<InstanceRow>]>([
    ['an active instance', {}],
    ['an instance that works', { health: { status: 'healthy', since: 1 } }],
    [
      'an instance whose key the vendor refuses',
      { health: { status: 'unhealthy', since: 1, reason: 'refused-by-vendor' } },
    ],
    ['an instance of unknown health', { health: { status: 'unknown', since: 1, reason: 'gone' } }],
  ])('the token of %s is handed out', async (_what, over) => {
    const { ports, key } = await withRow(over);
    expect(await readToken(ports, key)).toEqual({ instanceId: 7, token: 'token-of-7' });
  });

  test.each<[string, string, Partial<InstanceRow>]>([
    ['a removed instance', 'not-found', { status: 'removed' }],
    ['a failed instance', 'not-active', { status: 'failed' }],
    ['an instance without a token', 'not-active', { token: undefined }],
    ['an instance without an id', 'not-active', { instanceId: undefined }],
    [
      'an instance that is gone',
      'gone-at-cloud-elements',
      { health: { status: 'unhealthy', since: 1, reason: 'gone' } },
    ],
  ])('the token of %s is not handed out: %s', async (_what, code, over) => {
    const { ports, key } = await withRow(over);
    await expect(readToken(ports, key)).rejects.toMatchObject({ code });
  });

  test('a tenant without an instance has no token', async () => {
    const { ports, key } = fakePorts();
    await expect(readToken(ports, key)).rejects.toMatchObject({ code: 'not-found' });
  });
});

describe('the instances of a tenant', () => {
  test('an instance is shown by its summary, and a removed one is not', async () => {
    const { store, key, put, rowOf } = await withRow();
    expect(await getInstance(store, key)).toMatchObject({ ...key, status: 'active', instanceId: 7 });
    const row = rowOf();
    if (row) await put({ ...row, status: 'removed' });
    await expect(getInstance(store, key)).rejects.toMatchObject({ code: 'not-found' });
  });

  test('rows that cannot be read are named beside the others', async () => {
    const { store } = await withRow();
    expect(await listInstances(store, 'acme')).toMatchObject({
      instances: [{ elementKey: 'taxify' }],
      unreadable: [],
    });
    const unreadable = ['one', 'two'].map((elementKey) => ({ tenantId: 'acme', elementKey }));
    const partly = { ...store, list: async () => ({ ...(await store.list('acme')), unreadable }) };
    expect(await listInstances(partly, 'acme')).toMatchObject({
      instances: [{ elementKey: 'taxify' }],
      unreadable: ['one', 'two'],
    });
    const wholly = { ...store, list: async () => ({ instances: [], unreadable }) };
    await expect(listInstances(wholly, 'acme')).rejects.toMatchObject({
      code: 'internal',
      message: 'No row of tenant acme can be read (one, two).',
    });
  });

  test('a tenant without instances has an empty list', async () => {
    expect(await listInstances(fakePorts().store, 'acme')).toEqual({ instances: [], unreadable: [] });
  });
});
