import { describe, expect, test } from 'vitest';
import { createImporting } from '../../../functions/core/import.ts';
import { fail } from '../../../functions/core/lifecycle.ts';
import type {
  CloudElements,
  ImportedIds,
  InstanceStore,
  ReadOutcome,
  TokenCipher,
  UpdateOutcome,
} from '../../../functions/core/ports.ts';
import { OnboardingError, type ErrorCode } from '../../../functions/model/errors.ts';
import type { InstanceRow } from '../../../functions/model/instance.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';
import { fakePorts, shownInstance, type ShownInstance } from '../../support/fake-ports.ts';

/** Outcomes of imports, in memory: what is sent, what is left of one that stops, and what rivals change meanwhile. */

type Fake = ReturnType<typeof fakePorts>;

const noon = Date.parse('2026-11-26T12:00:00Z');
const deadlineMs = 29_000;
/** Until when a PATCH of tags may be sent. */
const untilMs = noon + deadlineMs - timing.commitReserveMs;
const uuid = (id: number | string) => `00000000-0000-4000-8000-${String(id).padStart(12, '0')}`;
const own = uuid('abc');
const ownMarkers = ['tenant:acme', `provision:${own}`, 'owner:tests'];
const unanswered = { kind: 'unknown', reason: 'no response' } as const;
const updated: UpdateOutcome = { kind: 'updated' };

const shown = (over: Partial<ShownInstance> = {}) =>
  shownInstance(7, { owned: 'unmarked', name: 'By hand', tags: ['eu'], ...over });
const refusedWith = (code: ErrorCode): UpdateOutcome => ({
  kind: 'refused',
  error: new OnboardingError(code, 'Said why.'),
});
const notDone = (retryAfterMs?: number): UpdateOutcome => ({
  kind: 'not-done',
  error: new OnboardingError('cloud-elements-busy', 'Busy.', { retryAfterMs }),
  ...(retryAfterMs !== undefined && { retryAfterMs }),
});
const fails = (code: ErrorCode) => Promise.reject(new OnboardingError(code, 'Said why.'));
const aBug = () => Promise.reject(new TypeError('a bug'));

function importing({
  reads = [shown()],
  outcomes = [updated],
  storeOf = () => ({}),
  ids = () => ({}),
  encrypt,
  meanwhile = () => undefined,
}: {
  reads?: ReadOutcome[];
  outcomes?: UpdateOutcome[];
  storeOf?: (fake: Fake) => Partial<InstanceStore>;
  ids?: (importedIds: ImportedIds, fake: Fake) => Partial<ImportedIds>;
  encrypt?: TokenCipher['encrypt'];
  /** While a PATCH of tags is under way. */
  meanwhile?: (fake: Fake) => unknown;
} = {}) {
  const timeouts: number[] = [];
  const sent: Parameters<CloudElements['update']>[] = [];
  const under: (InstanceRow | undefined)[] = [];
  const fake: Fake = fakePorts({
    read: async (_which, { timeoutMs }) => {
      timeouts.push(timeoutMs);
      return reads[Math.min(timeouts.length, reads.length) - 1] ?? unanswered;
    },
    update: async (...call) => {
      sent.push(call);
      under.push(fake.rowOf());
      await meanwhile(fake);
      return outcomes[Math.min(sent.length, outcomes.length) - 1] ?? unanswered;
    },
  });
  let count = 0;
  const { ports } = fake;
  const { importInstance, continueImport } = createImporting({
    ...ports,
    store: { ...fake.store, ...storeOf(fake) },
    importedIds: { ...ports.importedIds, ...ids(ports.importedIds, fake) },
    cipher: { ...ports.cipher, ...(encrypt && { encrypt }) },
    newId: () => uuid(++count),
  });
  /** An unfinished import of instance 7, whose lease has ended. */
  const unfinished = (over: Partial<InstanceRow> = {}): InstanceRow => ({
    ...fake.claimed(),
    v: 'import',
    provisionId: own,
    importedId: 7,
    importing: {},
    leaseExpiresAt: 0,
    sendDeadline: noon - 60_000,
    ...over,
  });
  const run = (leftMs = deadlineMs) =>
    importInstance({ ...fake.key, instanceId: 7 }, { deadlineAt: fake.clock.nowMs + leftMs });
  const goOn = (row: InstanceRow, leftMs = deadlineMs) => continueImport(row, fake.clock.nowMs + leftMs);
  /** Whether instance 7 is free for an import of another tenant. */
  const isFree = async () =>
    (await ports.importedIds.hold(7, { tenantId: 'another', elementKey: 'taxify', provisionId: 'any' })).held;
  return { fake, run, goOn, unfinished, timeouts, sent, under, isFree };
}

describe('an import of an instance', () => {
  test('the row has its send deadline before the tags are sent, and the instance as it was shown after', async () => {
    const { fake, run, sent, under, timeouts } = importing();
    const imported = await run();
    const provisionId = imported.row.provisionId;
    expect(imported).toMatchObject({
      outcome: 'created',
      row: { status: 'active', v: 1, instanceId: 7, importedId: 7, name: 'By hand', tags: ['eu'] },
    });
    expect(imported.row.importing).toBeUndefined();
    expect(timeouts).toEqual([timing.lookUpTimeoutMs]);
    expect(sent).toEqual([
      [
        { ...fake.key, instanceId: 7 },
        { tags: ['eu', 'tenant:acme', `provision:${provisionId}`, 'owner:tests'] },
        { timeoutMs: timing.createTimeoutMs },
      ],
    ]);
    expect(under).toMatchObject([{ status: 'provisioning', importing: {}, sendDeadline: untilMs }]);
    expect(fake.rowOf()).toMatchObject({ status: 'active', provisionId, leaseExpiresAt: 0 });
    expect(new TextDecoder().decode(fake.rowOf()?.token)).toBe('token-of-7');
    expect(fake.observed).toEqual([{ kind: 'imported', instanceId: 7 }]);
  });

  test('an instance without a name keeps that of the row', async () => {
    const { fake, run } = importing({ reads: [shown({ name: undefined })] });
    expect(await run()).toMatchObject({ row: { name: fake.claimed().name } });
  });

  test('an instance that has all markers gets no PATCH', async () => {
    const { fake, goOn, unfinished, sent } = importing({ reads: [shown({ tags: ['eu', ...ownMarkers] })] });
    const row = await fake.put(unfinished());
    expect(await goOn(row)).toMatchObject({
      kind: 'committed',
      row: { tags: ['eu'], sendDeadline: row.sendDeadline },
    });
    expect(sent).toEqual([]);
  });

  test.each<[string, string[], Partial<InstanceRow>, string[] | undefined]>([
    [
      'markers of an earlier stage',
      ['owner:tests', `provision:${uuid(9)}`, 'eu'],
      {},
      ['owner:tests', `provision:${uuid(9)}`],
    ],
    ['no marker', ['eu'], {}, undefined],
    ["this import's own among them", ['owner:tests', `provision:${own}`], {}, undefined],
    [
      'others than were remembered',
      ['owner:tests'],
      { importing: { markers: ['tenant:acme'] } },
      ['tenant:acme'],
    ],
  ])('an instance with %s gets them back if the import ends', async (_what, tags, over, markers) => {
    const { fake, goOn, unfinished, under } = importing({ reads: [shown({ tags })] });
    const before = { ...fake.claimed(), status: 'failed' as const };
    const row = await fake.put(unfinished({ ...over, importing: { before, ...over.importing } }));
    expect(await goOn(row)).toMatchObject({ kind: 'committed' });
    expect(under[0]?.importing).toEqual({ before: expect.any(Object), ...(markers && { markers }) });
  });

  test('a first import remembers the markers of the instance before it sends its own', async () => {
    const { run, under } = importing({ reads: [shown({ tags: ['owner:tests', 'eu'] })] });
    await run();
    expect(under).toMatchObject([{ importing: { markers: ['owner:tests'] }, sendDeadline: untilMs }]);
  });

  test.each([
    ['is written again for a later deadline', untilMs - 1, untilMs],
    ['stays as it is for an earlier one', untilMs + 1, untilMs + 1],
    ['stays as it is for the same', untilMs, untilMs],
  ])('the send deadline of a continued import %s', async (_what, sendDeadline, expected) => {
    let writes = 0;
    const { fake, goOn, unfinished, under } = importing({
      storeOf: ({ store }) => ({
        write: (...call) => {
          writes += 1;
          return store.write(...call);
        },
      }),
    });
    await goOn(await fake.put(unfinished({ sendDeadline })));
    expect(under).toMatchObject([{ sendDeadline: expected }]);
    expect(writes).toBe(sendDeadline < untilMs ? 2 : 1);
  });

  test.each([
    [deadlineMs, timing.lookUpTimeoutMs],
    [timing.commitReserveMs + 1_000, 1_000],
  ])('an import with %d ms left reads the instance for %d ms', async (leftMs, timeoutMs) => {
    const { run, timeouts, sent } = importing();
    await run(leftMs);
    expect(timeouts).toEqual([timeoutMs]);
    expect(sent.map(([, , options]) => options.timeoutMs)).toEqual([
      Math.min(timing.createTimeoutMs, leftMs - timing.commitReserveMs),
    ]);
  });
});

const lateIds = (_ids: ImportedIds, { clock }: Fake): Partial<ImportedIds> => ({
  recordedBy: async () => {
    clock.nowMs = untilMs;
    return [];
  },
});

describe('an import that stops before anything was sent', () => {
  const atLimit = 'x'.repeat(16 * 1024 - 'eu'.length);
  const stops: [string, ReadOutcome, ErrorCode | undefined, boolean][] = [
    ['that is gone', { kind: 'absent' }, 'not-at-cloud-elements', true],
    ['that gives no response', unanswered, 'cloud-elements-unreachable', false],
    [
      'that is refused',
      { ...unanswered, error: new OnboardingError('platform-credentials-refused', 'Refused.') },
      'platform-credentials-refused',
      false,
    ],
    ['of another element', shown({ elementKey: 'stripe' }), 'other-element', true],
    ['without tags', shown({ tags: undefined }), 'not-fully-shown', false],
    ['without a token', shown({ token: undefined }), 'not-fully-shown', false],
    ["with another tenant's tag", shown({ tags: ['tenant:other'] }), 'not-ours', true],
    ["with another stage's tag", shown({ tags: ['owner:other'] }), 'not-ours', true],
    ['with a fault', shown({ fault: 'with a credential in its name' }), 'not-importable', true],
    ['with 16 KiB of name and tags', shown({ name: atLimit }), undefined, false],
    ['with more of them', shown({ name: `${atLimit}x` }), 'not-importable', true],
    ['with more of them in tags', shown({ name: atLimit, tags: ['eu', 'x'] }), 'not-importable', true],
  ];

  test.each(stops)('an instance %s: nothing is left of a first import', async (_what, read, code) => {
    const { fake, run, sent, isFree } = importing({ reads: [read] });
    const imported = await run().catch((error: unknown) => error);
    expect(imported).toMatchObject(code === undefined ? { outcome: 'created' } : { code });
    expect(fake.rowOf()?.status).toBe(code === undefined ? 'active' : undefined);
    expect(sent).toHaveLength(code === undefined ? 1 : 0);
    expect(await isFree()).toBe(code !== undefined);
    expect(fake.observed).toMatchObject([
      code === undefined ? { kind: 'imported' } : { kind: 'import-given-back', instanceId: 7 },
    ]);
  });

  test.each(stops.filter(([, , code]) => code !== undefined))(
    'an instance %s: a continued import ends, or stays open',
    async (_what, read, code, isFinal) => {
      const { fake, goOn, unfinished } = importing({ reads: [read] });
      const row = await fake.put(unfinished());
      const continued = await goOn(row);
      expect(continued).toMatchObject({ kind: isFinal ? 'ended' : 'open', error: { code } });
      const left = { lastError: { code }, leaseExpiresAt: 0, checkAt: noon + timing.reconcileAgainMs };
      expect(continued.kind === 'open' ? fake.rowOf() : {}).toMatchObject(isFinal ? {} : left);
      const reasons = fake.observed.filter(({ kind }) => kind === 'left-open');
      expect(reasons).toHaveLength(1);
    },
  );

  test('an instance whose name and tags are too long is refused for that', async () => {
    await expect(importing({ reads: [shown({ name: `${atLimit}x` })] }).run()).rejects.toMatchObject({
      message: expect.stringContaining('whose name and tags have more than 16 KiB'),
    });
  });

  test('a reason is named for the log, and the failed row of before is put back', async () => {
    const { fake, run } = importing({ reads: [shown({ elementKey: 'stripe' })] });
    const error = new OnboardingError('refused-by-cloud-elements', 'Refused.');
    const failed = await fake.put(fail(fake.claimed(), 0, error, noon, timing));
    await expect(run()).rejects.toMatchObject({ code: 'other-element' });
    expect(fake.rowOf()).toMatchObject({
      status: 'failed',
      provisionId: failed.provisionId,
      leaseExpiresAt: 0,
    });
    expect(fake.observed).toMatchObject([
      { kind: 'taken-over', from: 'failed' },
      { kind: 'import-given-back', instanceId: 7, reason: expect.stringContaining('another element') },
    ]);
  });

  test.each<[string, Partial<InstanceRow>, string, boolean]>([
    [
      'the row that it replaces',
      { importing: { before: { ...fakePorts().claimed(), provisionId: uuid(8) } } },
      uuid(8),
      true,
    ],
    [
      'an earlier generation',
      { formers: [{ provisionId: uuid(8), name: 'any', createdAt: 1 }] },
      uuid(8),
      true,
    ],
    ['no generation of the row', {}, uuid(8), false],
    ['none', { formers: [{ provisionId: uuid(8), name: 'any', createdAt: 1 }] }, 'blue', false],
  ])(
    'an instance with the tag of %s is left over: it is not imported',
    async (_what, over, generation, isLeft) => {
      const { fake, goOn, unfinished } = importing({ reads: [shown({ tags: [`provision:${generation}`] })] });
      const continued = await goOn(await fake.put(unfinished(over)));
      expect(continued.kind).toBe(isLeft ? 'ended' : 'committed');
      expect(continued).toMatchObject(isLeft ? { error: { code: 'instance-taken' } } : {});
    },
  );

  test('a continued import for which no time is left stays open, and sends no PATCH', async () => {
    const { fake, goOn, unfinished, sent } = importing({ ids: lateIds });
    expect(await goOn(await fake.put(unfinished()))).toMatchObject({
      kind: 'open',
      error: { code: 'out-of-time' },
    });
    expect(sent).toEqual([]);
    expect(fake.rowOf()).toMatchObject({ checkAt: untilMs + timing.reconcileAgainMs });
  });

  test('no PATCH is sent when only the time of the last write is left', async () => {
    const { fake, run, sent } = importing({ ids: lateIds });
    await expect(run()).rejects.toMatchObject({ code: 'out-of-time' });
    expect(sent).toEqual([]);
    expect(fake.rowOf()).toBeUndefined();
  });

  test.each<[string, Partial<ImportedIds>]>([
    ['the rows that record it cannot be read', { recordedBy: () => fails('aws-unavailable') }],
    ['it cannot be reserved', { hold: () => fails('aws-unavailable') }],
  ])('an import stops when %s', async (_what, ids) => {
    const { fake, run, sent } = importing({ ids: () => ids });
    await expect(run()).rejects.toMatchObject({ code: 'aws-unavailable' });
    expect(sent).toEqual([]);
    expect(fake.rowOf()).toBeUndefined();
  });

  test('a bug is no reason to give an import back', async () => {
    const { fake, run } = importing({ ids: () => ({ recordedBy: aBug }) });
    await expect(run()).rejects.toThrow('a bug');
    expect(fake.rowOf()).toMatchObject({ status: 'provisioning' });
  });
});

describe('the PATCH of an import', () => {
  const unreadable = refusedWith('cloud-elements-unreadable');
  test.each<[string, UpdateOutcome[], number, ErrorCode | undefined, 'created' | 'in-progress' | 'gone']>([
    ['is done', [updated], 1, undefined, 'created'],
    ['is done after no response', [unanswered, updated], 2, undefined, 'created'],
    ["is done after a proxy's response", [unreadable, updated], 2, undefined, 'created'],
    ['is done after a rate limit', [notDone(1), updated], 2, undefined, 'created'],
    ['gets no response', [unanswered], 5, undefined, 'in-progress'],
    ['is answered by a proxy', [unreadable], 5, undefined, 'in-progress'],
    [
      'gets no response, and then a refusal',
      [unanswered, refusedWith('refused-by-cloud-elements')],
      2,
      undefined,
      'in-progress',
    ],
    ['is refused', [refusedWith('refused-by-cloud-elements')], 1, 'refused-by-cloud-elements', 'gone'],
    ['is not done', [notDone()], 1, 'cloud-elements-busy', 'gone'],
    ['is rate limited five times', [notDone(1)], 5, 'cloud-elements-busy', 'gone'],
    ['finds no instance', [{ kind: 'absent' }], 1, 'not-at-cloud-elements', 'gone'],
  ])('a first import whose PATCH %s', async (_what, outcomes, count, code, left) => {
    const { fake, run, sent, isFree } = importing({ outcomes });
    const outcome = await run().catch((error: unknown) => error);
    expect(outcome).toMatchObject(code === undefined ? { outcome: left } : { code });
    expect(sent).toHaveLength(count);
    expect(fake.rowOf()?.status).toBe(
      { created: 'active', 'in-progress': 'provisioning', gone: undefined }[left],
    );
    expect(await isFree()).toBe(left === 'gone');
  });

  test.each<[string, UpdateOutcome[], string, number]>([
    ['gets no response', [unanswered], 'open', 0],
    ['is refused', [refusedWith('refused-by-cloud-elements')], 'ended', timing.reconcileAgainMs],
    ['is not done', [notDone()], 'open', timing.reconcileAgainMs],
    ['finds no instance', [{ kind: 'absent' }], 'ended', timing.reconcileAgainMs],
  ])('a continued import whose PATCH %s', async (_what, outcomes, kind, afterMs) => {
    const { fake, goOn, unfinished } = importing({
      outcomes,
      reads: [shown(), unanswered],
    });
    const continued = await goOn(await fake.put(unfinished()));
    expect(continued).toMatchObject({ kind });
    expect(fake.rowOf()).toMatchObject({
      status: 'provisioning',
      leaseExpiresAt: 0,
      checkAt: fake.clock.nowMs + afterMs,
      lastError: { at: fake.clock.nowMs },
    });
  });
});

describe('an instance that another row may have', () => {
  const another = { tenantId: 'another', elementKey: 'taxify' };
  test.each<[string, Partial<InstanceRow> | undefined, boolean]>([
    ['an active row of another tenant records it', { instanceId: 7, status: 'active' }, true],
    ['a row of another tenant that is being deleted records it', { instanceId: 7, status: 'deleting' }, true],
    ['a tombstone of another tenant records it', { instanceId: 7, status: 'removed' }, false],
    ['the index is old, and the row records another', { instanceId: 8, status: 'active' }, false],
    ['the index is old, and the row is gone', undefined, false],
  ])('an instance is taken when %s: %o', async (_what, over, isTaken) => {
    const { fake, run } = importing({ ids: () => ({ recordedBy: async () => [another] }) });
    if (over) await fake.put({ ...fake.claimed(), ...another, ...over });
    const outcome = await run().catch((error: unknown) => error);
    expect(outcome).toMatchObject(isTaken ? { code: 'instance-taken' } : { outcome: 'created' });
  });

  test.each([
    ['of the same tenant and another element', { tenantId: 'acme', elementKey: 'stripe' }, true],
    ['of another tenant and the same element', another, true],
    ['that is imported', { tenantId: 'acme', elementKey: 'taxify' }, false],
  ])('a row %s that records the instance takes it: %s', async (_what, key, isTaken) => {
    const { fake, goOn, unfinished } = importing();
    await fake.put({ ...fake.claimed(), ...key, instanceId: 7, status: 'active' });
    const row = await fake.put(unfinished({ instanceId: 7 }));
    expect(await goOn(row)).toMatchObject({ kind: isTaken ? 'ended' : 'committed' });
  });

  test.each<[string, Partial<InstanceRow> | undefined, boolean]>([
    ['that is imported by another tenant', {}, true],
    ['that another tenant has imported', { status: 'active' }, true],
    ['whose import by another tenant has ended', undefined, false],
    ['whose import by another tenant was followed by another', { provisionId: uuid(5) }, false],
    ['of a tenant that imports another one', { importedId: 8 }, false],
    ['of a removed tenant', { status: 'removed' }, false],
  ])('an instance %s is taken: %o', async (_what, over, isTaken) => {
    const { fake, run } = importing();
    await fake.ports.importedIds.hold(7, { ...another, provisionId: uuid(4) });
    if (over) await fake.put({ ...fake.claimed(), ...another, provisionId: uuid(4), importedId: 7, ...over });
    const outcome = await run().catch((error: unknown) => error);
    expect(outcome).toMatchObject(isTaken ? { code: 'instance-taken' } : { outcome: 'created' });
  });

  test('an instance whose holders change five times is taken', async () => {
    const holders: unknown[] = [];
    const { run } = importing({
      ids: () => ({
        hold: async (_id, _holder, instead) => {
          holders.push(instead?.provisionId);
          return { held: false, by: { ...another, provisionId: uuid(holders.length) } };
        },
      }),
    });
    await expect(run()).rejects.toMatchObject({ code: 'instance-taken' });
    expect(holders).toEqual([undefined, uuid(1), uuid(2), uuid(3), uuid(4)]);
  });

  test('an instance that was given back just now is reserved at the next try', async () => {
    let tries = 0;
    const { run } = importing({
      ids: (importedIds) => ({
        hold: async (...call) => {
          tries += 1;
          return tries === 1 ? { held: false, by: undefined } : importedIds.hold(...call);
        },
      }),
    });
    expect(await run()).toMatchObject({ outcome: 'created' });
    expect(tries).toBe(2);
  });
});

describe('the claim of an import', () => {
  test.each<[string, Partial<InstanceRow>, object]>([
    ['an active row with this instance', { status: 'active', instanceId: 7 }, { outcome: 'replayed' }],
    [
      'an active row with another instance',
      { status: 'active', instanceId: 8 },
      { code: 'settings-conflict' },
    ],
    ['a row that is being deleted', { status: 'deleting' }, { code: 'being-deleted' }],
    ['a create that is under way', {}, { code: 'busy-with-other-settings' }],
  ])('an import over %s calls nothing', async (_what, over, outcome) => {
    const { fake, run, timeouts } = importing();
    const row = await fake.put({ ...fake.claimed(), ...over });
    expect(await run().catch((error: unknown) => error)).toMatchObject(outcome);
    expect(timeouts).toEqual([]);
    expect(fake.rowOf()).toMatchObject({ claimId: row.claimId });
  });

  test('an import over a failed row in doubt begins a generation, and remembers the earlier one', async () => {
    const { fake, run, under } = importing();
    const error = new OnboardingError('refused-by-cloud-elements', 'Refused.');
    const failed = await fake.put({
      ...fail(fake.claimed(), noon - 3_600_000, error, noon, timing),
      inDoubt: true,
    });
    const { row } = await run();
    expect(under).toMatchObject([
      { inDoubt: false, importing: { before: { provisionId: failed.provisionId } } },
    ]);
    expect(row.formers).toMatchObject([{ provisionId: failed.provisionId }]);
    expect(row.provisionId).not.toBe(failed.provisionId);
    expect(fake.observed[0]).toEqual({ kind: 'taken-over', from: 'failed' });
  });

  test('the same import again continues an unfinished one, in its generation', async () => {
    const { fake, run, unfinished } = importing();
    await fake.put(unfinished());
    expect(await run()).toMatchObject({ outcome: 'created', row: { provisionId: own } });
    expect(fake.observed).toEqual([
      { kind: 'taken-over', from: 'provisioning' },
      { kind: 'imported', instanceId: 7 },
    ]);
  });

  test.each([
    ['gone again', undefined],
    ['free again', 'removed'],
  ] as const)(
    'an import whose row is claimed by rivals and %s is given up after five tries',
    async (_what, status) => {
      let claims = 0;
      const { fake, run, timeouts } = importing({
        storeOf: ({ claimed }) => ({
          claim: async (_next, asRead) => {
            claims += asRead ? 0 : 1;
            return { won: false, current: status && { ...claimed(), status, leaseExpiresAt: 0 } };
          },
        }),
      });
      await expect(run()).rejects.toMatchObject({ code: 'busy-with-other-settings' });
      expect(claims).toBe(5);
      expect([timeouts, fake.observed]).toEqual([[], []]);
    },
  );
});

describe('an import that another writer comes before', () => {
  test.each<[string, Partial<InstanceRow> | undefined, object]>([
    ['a removal', { status: 'removed' }, { code: 'being-deleted' }],
    ['its row', undefined, { code: 'being-deleted' }],
    ['a removal that is under way', { status: 'deleting' }, { code: 'being-deleted' }],
    ['the same import', { status: 'active', instanceId: 7 }, { outcome: 'created' }],
    [
      'another generation',
      { status: 'active', instanceId: 7, provisionId: uuid(5) },
      { outcome: 'replayed' },
    ],
    ['another claim of the same import', { leaseExpiresAt: noon + 60_000 }, { outcome: 'in-progress' }],
  ])('an import whose last write comes after that of %s', async (_what, over, outcome) => {
    const { fake, run } = importing({
      meanwhile: async ({ rowOf, put, store }) => {
        const row = rowOf();
        if (row) await (over ? put({ ...row, claimId: 'rival', ...over }) : store.remove(row));
      },
    });
    const imported = await run().catch((error: unknown) => error);
    expect(imported).toMatchObject(outcome);
    expect(fake.rowOf()?.claimId).toBe(over && 'rival');
    expect(fake.observed).toEqual([]);
  });

  test('a row that imports nothing is left alone', async () => {
    const { fake, goOn, unfinished, timeouts } = importing();
    const row = await fake.put(unfinished({ importedId: undefined }));
    expect(await goOn(row)).toMatchObject({ kind: 'superseded', current: { claimId: row.claimId } });
    expect(timeouts).toEqual([]);
  });

  test('an import whose token cannot be encrypted is due at once, and a retry finishes it', async () => {
    let tries = 0;
    const { fake, run } = importing({
      encrypt: async (token) => (++tries === 1 ? fails('aws-unavailable') : new TextEncoder().encode(token)),
    });
    await expect(run()).rejects.toMatchObject({ code: 'not-saved' });
    expect(fake.rowOf()).toMatchObject({
      status: 'provisioning',
      leaseExpiresAt: 0,
      checkAt: noon,
      lastError: { code: 'not-saved' },
    });
    expect(fake.observed).toMatchObject([
      { kind: 'left-open', reason: expect.stringContaining('could not be saved') },
    ]);
    expect(await run()).toMatchObject({ outcome: 'created' });
  });

  test('a bug in encrypting is thrown', async () => {
    await expect(importing({ encrypt: aBug }).run()).rejects.toThrow('a bug');
  });
});

describe('an import that ends', () => {
  const ending = { importing: { isEnding: true } };
  const quiet = { sendDeadline: noon - timing.quiescenceMs };

  test.each<[string, Partial<InstanceRow>, string]>([
    ['of before', { lastError: { code: 'not-ours', detail: 'It was why.', at: 1 } }, 'It was why.'],
    ['that is not known', {}, 'it cannot be finished'],
  ])('an import that was ending ends with the reason %s', async (_what, over, reason) => {
    const { fake, goOn, unfinished, isFree } = importing();
    const row = await fake.put(unfinished({ ...ending, ...quiet, ...over }));
    await fake.ports.importedIds.hold(7, row);
    expect(await goOn(row)).toMatchObject({ kind: 'ended', isOver: true, error: undefined });
    expect(fake.rowOf()).toBeUndefined();
    expect(fake.observed).toEqual([{ kind: 'import-given-back', instanceId: 7, reason }]);
    expect(await isFree()).toBe(true);
  });

  test('an import that ends now ends with its reason', async () => {
    const { fake, goOn, unfinished } = importing({ reads: [{ kind: 'absent' }] });
    const row = await fake.put(
      unfinished({ ...quiet, lastError: { code: 'not-ours', detail: 'any', at: 1 } }),
    );
    expect(await goOn(row)).toMatchObject({
      kind: 'ended',
      isOver: true,
      error: { code: 'not-at-cloud-elements' },
    });
    expect(fake.observed).toMatchObject([{ reason: expect.stringContaining('has no such instance') }]);
  });

  test.each<[string, Partial<InstanceRow>, ReadOutcome, number, string | undefined]>([
    ['before the quiescence', ending, shown(), noon - 60_000 + timing.quiescenceMs, undefined],
    ['without a response', ending, unanswered, noon + timing.reconcileAgainMs, undefined],
    [
      'for a reason of now',
      {},
      shown({ elementKey: 'stripe' }),
      noon - 60_000 + timing.quiescenceMs,
      'other-element',
    ],
  ])('an import that cannot end yet %s stays', async (_what, over, read, checkAt, code) => {
    const { fake, goOn, unfinished } = importing({ reads: [read] });
    const row = await fake.put(unfinished(over));
    expect(await goOn(row)).toMatchObject({ kind: 'ended', isOver: false });
    expect(fake.rowOf()).toMatchObject({
      status: 'provisioning',
      importing: { isEnding: true },
      leaseExpiresAt: 0,
      checkAt,
    });
    expect(fake.rowOf()?.lastError?.code).toBe(code);
    expect(fake.observed.map(({ kind }) => kind)).toEqual(['left-open']);
  });

  test('a reservation that cannot be given back is left to the next import', async () => {
    const { fake, goOn, unfinished } = importing({
      ids: () => ({ giveBack: () => fails('aws-unavailable') }),
    });
    await goOn(await fake.put(unfinished({ ...ending, ...quiet })));
    expect(fake.rowOf()).toBeUndefined();
    expect(fake.observed).toMatchObject([
      { kind: 'import-given-back' },
      { kind: 'claim-left', reason: 'Said why.' },
    ]);
  });

  test('a bug in giving a reservation back is thrown', async () => {
    const { fake, goOn, unfinished } = importing({ ids: () => ({ giveBack: aBug }) });
    await expect(goOn(await fake.put(unfinished({ ...ending, ...quiet })))).rejects.toThrow('a bug');
  });

  test('an import whose row cannot be given back keeps its reservation, and says nothing of it', async () => {
    const { fake, goOn, unfinished, isFree } = importing({
      storeOf: () => ({ remove: async () => ({ won: false, current: undefined }) }),
    });
    const row = await fake.put(unfinished({ ...ending, ...quiet }));
    await fake.ports.importedIds.hold(7, row);
    await goOn(row);
    expect(fake.observed).toEqual([]);
    expect(await isFree()).toBe(false);
  });
});
