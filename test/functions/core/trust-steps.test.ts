import { describe, expect, test } from 'vitest';
import { activate } from '../../../functions/core/lifecycle.ts';
import { createTrusting } from '../../../functions/core/trust.ts';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import type { InstanceRow } from '../../../functions/model/instance.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';
import { fakePorts } from '../../support/fake-ports.ts';

/** Steps of `npm run trust`, in memory: what it refuses, and what it writes. */

const noon = Date.parse('2026-11-26T12:00:00Z');

/** An instance that a request with its key has configured, at noon. */
async function withRow(over: Partial<InstanceRow> = {}) {
  const fake = fakePorts();
  const instance = { instanceId: 7, token: new Uint8Array([1]) };
  const row = await fake.put({ ...activate(fake.claimed(), instance, noon, timing), ...over });
  const { store, now, newId } = fake.ports;
  const trust = (lookedAtMs: number | undefined, rival: Partial<InstanceRow> = {}) =>
    createTrusting({
      catalog: builtInCatalog,
      now,
      newId,
      store: {
        get: async (key) => {
          const read = await store.get(key);
          if (read) await fake.put({ ...read, ...rival });
          return read;
        },
        claim: (...call) => store.claim(...call),
      },
    })(fake.key, { lookedAtMs });
  return { fake, row, trust };
}

describe('an instance that an operator may not vouch for', () => {
  test('a tenant without an instance has nothing to trust', async () => {
    const { ports, key } = fakePorts();
    expect(await createTrusting({ ...ports, catalog: builtInCatalog })(key, { lookedAtMs: noon })).toEqual({
      kind: 'refused',
      reason: 'there is no such instance',
    });
  });

  test.each<[string, Partial<InstanceRow>, object]>([
    ['is removed', { status: 'removed' }, { reason: 'there is no such instance' }],
    ['has failed', { status: 'failed' }, { was: 'request', reason: 'it is failed' }],
    [
      'a request works on',
      { leaseExpiresAt: noon + 1 },
      { was: 'request', reason: 'a request is at work on it; run the command again in half a minute' },
    ],
    [
      'an update may still change',
      { updateInDoubtUntil: noon + 1, source: undefined },
      {
        was: 'unknown',
        reason:
          "a request's update of unknown outcome may take effect until 2026-11-26T12:00:00.001Z; run the command again then",
      },
    ],
    [
      'was updated since the operator looked',
      { updatedAt: noon + 1 },
      {
        was: 'request',
        reason: 'it may have been updated since you looked; look at it again and give the later time',
      },
    ],
  ])('an instance that %s is refused, and stays as it is', async (_what, over, refusal) => {
    const { fake, row, trust } = await withRow(over);
    expect(await trust(noon)).toEqual({ kind: 'refused', ...refusal });
    expect(fake.rowOf()).toMatchObject({ claimId: row.claimId });
  });

  test('an instance that an update in doubt may have changed since the operator looked is refused', async () => {
    const { fake, trust } = await withRow({ updateInDoubtUntil: noon + 2 });
    fake.clock.nowMs = noon + 2;
    expect(await trust(noon + 1)).toMatchObject({ kind: 'refused' });
    expect(await trust(noon + 2)).toMatchObject({ kind: 'trusted' });
  });

  test('an instance that is changed meanwhile is refused', async () => {
    const { fake, trust } = await withRow();
    expect(await trust(noon, { claimId: 'rival' })).toEqual({
      kind: 'refused',
      was: 'request',
      reason: 'it has just been changed; run the command again',
    });
    expect(fake.rowOf()).toMatchObject({ claimId: 'rival', source: 'request' });
  });
});

describe('an instance that an operator vouches for', () => {
  const entries = {
    requestEntries: ['api.key', 'pagination.max'],
    allowListed: { 'pagination.max': 'all', 'filter.response.nulls': 'true' },
    valuesInDoubt: { 'pagination.max': ['all'] },
    updateInDoubtUntil: noon,
  };

  test.each([
    ['a request', 'request', 'request'],
    ['an unknown source', undefined, 'unknown'],
    ['the secret, with entries that no request may set now', 'secret', 'secret'],
  ] as const)('an instance of %s gets the secret from then on', async (_what, source, was) => {
    const { fake, row, trust } = await withRow({ ...entries, source });
    const tried = await trust(undefined);
    expect(tried).toMatchObject({ kind: 'would-be-trusted', was, entries: ['api.key', 'pagination.max'] });
    expect(fake.rowOf()).toMatchObject({ claimId: row.claimId });

    const trusted = await trust(noon);
    expect(trusted).toMatchObject({ kind: 'trusted', was, entries: ['api.key', 'pagination.max'] });
    const { valuesInDoubt: _v, updateInDoubtUntil: _u, requestDigest: _d, ...rest } = row;
    const after = fake.rowOf();
    expect(after).toEqual({
      ...rest,
      claimId: after?.claimId,
      source: 'secret',
      requestEntries: ['filter.response.nulls'],
      allowListed: { 'filter.response.nulls': 'true' },
    });
    expect(after?.claimId).not.toBe(row.claimId);
    expect(trusted).toMatchObject({ row: { claimId: after?.claimId } });
  });

  test.each([noon, undefined])(
    'an instance from the secret alone is unchanged (looked at: %s)',
    async (lookedAtMs) => {
      const { fake, row, trust } = await withRow({ source: 'secret', requestEntries: ['pagination.max'] });
      expect(await trust(lookedAtMs)).toEqual({ kind: 'unchanged', was: 'secret' });
      expect(fake.rowOf()).toMatchObject({ claimId: row.claimId });
    },
  );

  test('an instance of unknown source without entries is trusted', async () => {
    const { fake, trust } = await withRow({ source: undefined, requestEntries: undefined });
    expect(await trust(noon)).toMatchObject({ kind: 'trusted', was: 'unknown', entries: [] });
    expect(fake.rowOf()).toMatchObject({ source: 'secret', requestEntries: [] });
  });
});
