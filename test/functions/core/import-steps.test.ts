import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { createCleaning } from '../../../functions/core/cleaning.ts';
import { createImporting } from '../../../functions/core/import.ts';
import { decide } from '../../../functions/core/lifecycle.ts';
import { createReconciling } from '../../../functions/core/reconcile.ts';
import { createRemoving } from '../../../functions/core/remove.ts';
import { settingsOfImport, type InstanceRow } from '../../../functions/model/instance.ts';
import { resultOf } from '../../../functions/model/result-events.ts';
import { defaultTiming } from '../../../functions/model/timing.ts';
import { fakePorts } from '../../support/fake-ports.ts';

/** Single steps of imports, in memory. */

describe('an instance that an import has named', () => {
  const named = 7;

  /** A row in memory whose instance `named` has the markers of its generation; returns the deleted ids. */
  async function withRow(over: Partial<InstanceRow>) {
    const deleted: unknown[] = [];
    const fake = fakePorts({
      lookUp: async () => ({ kind: 'found', instances: [{ id: named, token: 'any' }], isCertain: true }),
      remove: async ({ instanceId }) => {
        deleted.push(instanceId);
        return { kind: 'removed' };
      },
    });
    const row = await fake.put({ ...fake.claimed(), leaseExpiresAt: 0, importedId: named, ...over });
    return { ...fake, row, deleted };
  }

  test.each(['provisioning', 'active', 'failed', 'removed', 'deleting'] as const)(
    'an instance that an import has named is no duplicate of a %s row',
    async (status) => {
      const { ports, row, deleted, observed } = await withRow({ status });
      const { removeDuplicate, lookUp } = createCleaning(ports);
      expect(await removeDuplicate(row, named, row.createdAt + 10_000)).toBe(false);
      expect(await lookUp(row)).toMatchObject({ instances: [] });
      expect(deleted).toEqual([]);
      expect(observed).toMatchObject([{ kind: 'duplicate-left', instanceId: named }]);
    },
  );

  test.each([
    ['a tombstone of a removal before the import was finished', { status: 'removed' }],
    ['a failed row', { status: 'failed' }],
  ] as const)('a recheck of %s spares it', async (_what, over) => {
    const {
      ports,
      clock: time,
      deleted,
      rowOf: rowIn,
    } = await withRow({
      ...over,
      inDoubt: true,
      checkAt: 1,
      formers: [{ provisionId: 'earlier', name: 'Earlier', createdAt: 1 }],
    });
    await createReconciling(ports).reconcile({ deadlineAt: time.nowMs + 60_000 });
    expect(rowIn()?.checkAt).toBeUndefined();
    expect(deleted).toEqual([]);
  });

  test.each([
    ['a removal', { status: 'deleting' }],
    ['an active row of another generation', { status: 'active', provisionId: 'another' }],
    ['a claim of the same generation', {}],
  ] as const)('a commit of an import that %s prevents deletes nothing', async (_what, rival) => {
    const { ports, row, deleted, store } = await withRow({
      status: 'provisioning',
      v: 'import',
      importing: {},
      sendDeadline: 0,
    });
    const { cloudElements } = ports;
    const { continueImport } = createImporting({
      ...ports,
      cloudElements: {
        ...cloudElements,
        read: async (...call) => ({ ...(await cloudElements.read(...call)), tags: [] }),
      },
      cipher: {
        ...ports.cipher,
        encrypt: async (token) => {
          const current = await store.get(row);
          if (current) await store.claim({ ...current, claimId: 'rival', ...rival }, current);
          return new TextEncoder().encode(token);
        },
      },
    });
    const continued = await continueImport(row, ports.now() + 20_000);
    expect(continued).toMatchObject({ kind: 'superseded', current: { claimId: 'rival', ...rival } });
    expect(deleted).toEqual([]);
  });

  test('only the removal of the active row that records it deletes it', async () => {
    const { ports, key, deleted } = await withRow({ status: 'active', instanceId: named });
    const { remove: removeIn } = createRemoving(ports);
    const removal = { times: { own: ports.now() }, by: undefined };
    expect(await removeIn(key, removal, { deadlineAt: ports.now() + 20_000 })).toMatchObject({
      outcome: 'removed',
    });
    expect(deleted).toEqual([named]);
  });

  test('one module alone calls Cloud Elements to delete', () => {
    const core = new URL('../../../functions/core/', import.meta.url);
    const callers = readdirSync(core).filter((name) =>
      /cloudElements\s*\.remove\(/.test(readFileSync(new URL(name, core), 'utf8')),
    );
    expect(callers).toEqual(['cleaning.ts']);
  });
});

test('a failed row that an import gives back is not published as a new failure', () => {
  const fake = fakePorts();
  const failed: InstanceRow = { ...fake.claimed(), status: 'failed', revision: 5 };
  const lastError = { code: 'not-ours', detail: 'any', at: 9 };
  const importing = { ...fake.claimed(), v: 'import', importing: { before: failed }, lastError } as const;
  const changed = (after: InstanceRow) => resultOf({ before: importing, after }).outcome;
  expect(changed({ ...failed, claimId: 'later' })).toBe('nothing-due');
  expect(changed({ ...failed, provisionId: importing.provisionId })).toBe('InstanceFailed');
});

/** Sends a PATCH for an import that died long ago; returns the row as it was when the PATCH was sent. */
async function rowWhenSent(importing: { isEnding?: boolean }) {
  const whenSent: (InstanceRow | undefined)[] = [];
  const { claimed, put, ports, rowOf, clock } = fakePorts();
  const row = await put({ ...claimed(), v: 'import', importedId: 7, importing, sendDeadline: 1 });
  const { cloudElements } = ports;
  const { continueImport } = createImporting({
    ...ports,
    cloudElements: {
      ...cloudElements,
      read: async (...call) => ({
        ...(await cloudElements.read(...call)),
        tags: importing.isEnding ? [`provision:${row.provisionId}`] : [],
      }),
      update: async () => {
        whenSent.push(rowOf());
        return { kind: 'unknown', reason: 'no answer' };
      },
    },
  });
  await continueImport(row, clock.nowMs + 20_000);
  return whenSent[0];
}

describe('a PATCH of tags', () => {
  test.each([
    ['sets markers', {}],
    ['takes markers off', { isEnding: true }],
  ])('a PATCH that %s is sent only after the row has its deadline', async (_what, importing) => {
    const row = await rowWhenSent(importing);
    expect(row?.sendDeadline).toBeGreaterThan(row?.createdAt ?? 0);
  });
});

const decisionOver = (over: Partial<InstanceRow>, id = 7) => {
  const { claimed, key, clock, ports } = fakePorts();
  const row: InstanceRow = { ...claimed(), v: 'import', importedId: 7, importing: {}, ...over };
  const by = { settings: settingsOfImport(key, id), origin: ports.origin, nowMs: clock.nowMs };
  return decide(row, by, defaultTiming).kind;
};

describe('the same import over an unfinished one', () => {
  test.each([
    ['is in progress while it is leased', {}, 'in-progress'],
    ['takes it over', { leaseExpiresAt: 0 }, 'take-over'],
    ['waits while it is undone', { leaseExpiresAt: 0, importing: { isEnding: true } }, 'in-progress'],
    [
      'waits for the origin that it began at',
      { leaseExpiresAt: 0, origin: 'https://two.example' },
      'origin-changed',
    ],
    ['waits while it is removed', { leaseExpiresAt: 0, status: 'deleting' }, 'being-deleted'],
  ] as const)('the same import over an unfinished one %s', (_what, over, kind) => {
    expect(decisionOver(over)).toBe(kind);
  });

  test('an import of another instance is busy', () => {
    expect(decisionOver({ leaseExpiresAt: 0 }, 8)).toBe('busy-with-other-settings');
  });
});
