import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { createCleaning } from '../../../functions/core/cleaning.ts';
import { createImporting } from '../../../functions/core/import.ts';
import { decide } from '../../../functions/core/lifecycle.ts';
import { createReconciling } from '../../../functions/core/reconcile.ts';
import { createRemoving } from '../../../functions/core/remove.ts';
import type { CloudElements, ImportedIds, ReadOutcome } from '../../../functions/core/ports.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
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

type Read = Extract<ReadOutcome, { kind: 'read' }>;
type Shown = Partial<Omit<Read, 'kind'>> | Exclude<ReadOutcome, Read>;

/** An unfinished import of instance 7, which shows no tags of its own unless `shown` says otherwise. */
async function unfinished(
  shown: Shown,
  { row: over, update }: { row?: Partial<InstanceRow>; update?: CloudElements['update'] } = {},
) {
  const sent: { tags?: readonly string[] | undefined }[] = [];
  const fake = fakePorts();
  const row = await fake.put({ ...fake.claimed(), v: 'import', importedId: 7, importing: {}, ...over });
  const { cloudElements } = fake.ports;
  const ports = {
    ...fake.ports,
    cloudElements: {
      ...cloudElements,
      read: async (...call: Parameters<CloudElements['read']>): Promise<ReadOutcome> => {
        if ('kind' in shown) return shown;
        const read = await cloudElements.read(...call);
        return read.kind === 'read' ? { ...read, tags: [], ...shown } : read;
      },
      update: async (...call: Parameters<CloudElements['update']>) => {
        sent.push(call[1]);
        return update ? update(...call) : cloudElements.update(...call);
      },
    },
  };
  const deadlineAt = fake.clock.nowMs + 20_000;
  return {
    ...fake,
    ports,
    row,
    sent,
    continueImport: () => createImporting(ports).continueImport(row, deadlineAt),
    importInstance: (tenantId = 'acme') =>
      createImporting(ports).importInstance(
        { tenantId, elementKey: 'taxify', instanceId: 7 },
        { deadlineAt },
      ),
  };
}

describe('an import', () => {
  test('an import sends no PATCH for a row that another has claimed meanwhile', async () => {
    const fake = await unfinished({}, { row: { sendDeadline: 0 } });
    const importedIds: ImportedIds = {
      ...fake.ports.importedIds,
      recordedBy: async () => {
        await fake.put({ ...fake.row, claimId: 'rival' });
        return [];
      },
    };
    const { continueImport } = createImporting({ ...fake.ports, importedIds });
    expect(await continueImport(fake.row, fake.clock.nowMs + 20_000)).toMatchObject({
      kind: 'superseded',
      current: { claimId: 'rival' },
    });
    expect(fake.sent).toEqual([]);
  });

  test('an import that cannot be given back keeps its reservation', async () => {
    const error = new OnboardingError('refused-by-cloud-elements', 'No.');
    const { ports, clock, rowOf, key } = await unfinished(
      {},
      { row: { tenantId: 'another', importedId: 9 }, update: async () => ({ kind: 'refused', error }) },
    );
    const store = {
      ...ports.store,
      remove: () => Promise.reject(new OnboardingError('aws-unavailable', 'No answer.')),
    };
    const { importInstance } = createImporting({ ...ports, store });
    const refused = importInstance({ ...key, instanceId: 7 }, { deadlineAt: clock.nowMs + 20_000 });
    await expect(refused).rejects.toMatchObject({ code: expect.any(String) });
    const { provisionId } = rowOf() ?? {};
    expect(provisionId).toBeDefined();
    const held = await ports.importedIds.hold(7, { tenantId: 'b', elementKey: 'taxify', provisionId: 'b' });
    expect(held).toMatchObject({ held: false, by: { provisionId } });
  });

  test('a PATCH of unknown outcome leaves an import open, and due at once', async () => {
    const { continueImport, rowOf, clock } = await unfinished(
      {},
      { update: async () => ({ kind: 'unknown', reason: 'no answer' }) },
    );
    expect(await continueImport()).toMatchObject({ kind: 'open', error: undefined });
    expect(rowOf()).toMatchObject({ status: 'provisioning', leaseExpiresAt: 0, checkAt: clock.nowMs });
  });

  test('an import sets every marker on an instance that shows only some of them', async () => {
    const { continueImport, sent, row } = await unfinished({ tags: ['tenant:acme', 'owner:tests', 'x'] });
    expect(await continueImport()).toMatchObject({ kind: 'committed', row: { tags: ['x'] } });
    expect(sent).toHaveLength(1);
    expect(sent[0]?.tags).toEqual(
      expect.arrayContaining(['x', 'tenant:acme', 'owner:tests', `provision:${row.provisionId}`]),
    );
  });

  test('an import of an instance that shows no token yet stays open', async () => {
    const { continueImport, sent } = await unfinished({ token: undefined });
    expect(await continueImport()).toMatchObject({ kind: 'open' });
    expect(sent).toEqual([]);
  });

  test('an instance of an earlier generation of the row cannot be imported', async () => {
    const provisionId = '00000000-0000-4000-8000-000000000001';
    const formers = [{ provisionId, name: 'Earlier', createdAt: 1 }];
    const tags = ['tenant:acme', 'owner:tests', `provision:${provisionId}`];
    const { continueImport, sent } = await unfinished({ tags }, { row: { formers } });
    expect(await continueImport()).toMatchObject({ kind: 'ended' });
    expect(sent).toEqual([]);
  });

  test.each<[string, Partial<InstanceRow>, string]>([
    ['a tombstone that records the instance', { status: 'removed', instanceId: 7 }, 'of-another'],
    ['a reservation of a generation that has ended', { importedId: 7 }, 'ended'],
  ])('an import is not prevented by %s', async (_what, over, holder) => {
    const { ports, claimed, put, importInstance } = await unfinished({}, { row: { tenantId: 'any' } });
    const other = await put({ ...claimed(), tenantId: 'another', ...over });
    await ports.importedIds.hold(7, { ...other, provisionId: holder });
    expect(await importInstance()).toMatchObject({ outcome: 'created', row: { instanceId: 7 } });
  });
});

describe('the end of an import', () => {
  const ending = { importing: { isEnding: true }, sendDeadline: 1 };

  test('an instance that cannot be read keeps the row of an import that ends', async () => {
    const { continueImport, rowOf } = await unfinished(
      { kind: 'unknown', reason: 'no answer' },
      { row: ending },
    );
    expect(await continueImport()).toMatchObject({ kind: 'ended', isOver: false });
    expect(rowOf()).toMatchObject({ status: 'provisioning', importing: { isEnding: true } });
  });

  test('an instance without markers frees the row of an import that ends', async () => {
    const { continueImport, rowOf } = await unfinished({ tags: ['x'] }, { row: ending });
    expect(await continueImport()).toMatchObject({ kind: 'ended', isOver: true });
    expect(rowOf()).toBeUndefined();
  });

  const marked = (row: Partial<InstanceRow> = {}) => ({ row: { ...ending, provisionId: 'own', ...row } });
  const shown = { tags: ['provision:own', 'x'] };

  test('no PATCH takes markers off for a row that another has claimed meanwhile', async () => {
    const { ports, put, row, sent, clock } = await unfinished(shown, marked());
    const { cloudElements } = ports;
    const { continueImport } = createImporting({
      ...ports,
      cloudElements: {
        ...cloudElements,
        read: async (...call) => {
          await put({ ...row, claimId: 'rival' });
          return cloudElements.read(...call);
        },
      },
    });
    expect(await continueImport(row, clock.nowMs + 20_000)).toMatchObject({ kind: 'ended', isOver: false });
    expect(sent).toEqual([]);
  });

  test('a refused PATCH that takes markers off is named as the reason, and repeated soon', async () => {
    const error = new OnboardingError('refused-by-cloud-elements', 'No.');
    const { continueImport, observed, rowOf, clock } = await unfinished(shown, {
      ...marked(),
      update: async () => ({ kind: 'refused', error }),
    });
    await continueImport();
    expect(observed).toContainEqual({
      kind: 'left-open',
      reason: expect.stringContaining('cannot be taken'),
    });
    expect(rowOf()?.checkAt).toBe(clock.nowMs + defaultTiming.reconcileAgainMs);
  });

  test('taking markers off does not shorten the time in which an earlier PATCH may take effect', async () => {
    const later = Date.parse('2026-11-26T13:00:00Z');
    const { continueImport, rowOf } = await unfinished(shown, marked({ sendDeadline: later }));
    await continueImport();
    expect(rowOf()?.sendDeadline).toBe(later);
  });

  test('a read that begins before the quiescence has passed does not free the row', async () => {
    const { ports, row, rowOf, clock } = await unfinished({}, marked());
    const { cloudElements } = ports;
    const { continueImport } = createImporting({
      ...ports,
      cloudElements: {
        ...cloudElements,
        read: async (...call) => {
          clock.nowMs += 2_000;
          return cloudElements.read(...call);
        },
      },
    });
    clock.nowMs = row.sendDeadline + defaultTiming.quiescenceMs - 1_000;
    expect(await continueImport(row, clock.nowMs + 20_000)).toMatchObject({ kind: 'ended', isOver: false });
    expect(rowOf()).toMatchObject({ status: 'provisioning' });
  });
});
