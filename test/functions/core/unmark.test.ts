import { describe, expect, test } from 'vitest';
import { createCleaning } from '../../../functions/core/cleaning.ts';
import { createUnmarking } from '../../../functions/core/unmark.ts';
import type { CloudElements, ReadOutcome, UpdateOutcome } from '../../../functions/core/ports.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import type { InstanceRow } from '../../../functions/model/instance.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';
import { fakePorts } from '../../support/fake-ports.ts';

const budgetMs = 4_000;
const markers = ['tenant:acme', 'provision:own', 'owner:tests'];

type Given = {
  /** The tags that the instance shows, or what the read returns in place of the instance. */
  shown?: readonly string[] | 'nothing' | Exclude<ReadOutcome, { kind: 'read' }>;
  /** Since the latest moment at which an earlier PATCH may have been sent. */
  sinceSentMs?: number;
  outcome?: UpdateOutcome;
  row?: Partial<InstanceRow>;
  isClaimedByRival?: boolean;
};

/** Takes the markers of an import that comes to no end off instance 7. */
async function unmark({
  shown = markers,
  sinceSentMs = timing.quiescenceMs,
  outcome = { kind: 'updated' },
  row: over,
  isClaimedByRival = false,
}: Given) {
  const updates: { call: Parameters<CloudElements['update']>; row: InstanceRow | undefined }[] = [];
  const reads: unknown[] = [];
  const fake = fakePorts({
    update: async (...call) => {
      updates.push({ call, row: fake.rowOf() });
      return outcome;
    },
    read: async (...call) => {
      reads.push(call);
      if (isClaimedByRival) await fake.put({ ...row, claimId: 'rival' });
      if (typeof shown === 'object' && 'kind' in shown) return shown;
      return {
        kind: 'read',
        owned: 'ours',
        instanceId: 7,
        elementKey: 'taxify',
        token: 'token-of-7',
        createdDate: undefined,
        valid: true,
        disabled: false,
        tags: shown === 'nothing' ? undefined : shown,
      };
    },
  });
  const sendDeadline = fake.clock.nowMs - sinceSentMs;
  const importing = { importing: { isEnding: true }, provisionId: 'own' };
  const row = await fake.put({ ...fake.claimed(), importedId: 7, sendDeadline, ...importing, ...over });
  const deadlineAt = fake.clock.nowMs + budgetMs;
  const unmarked = await createUnmarking({ ...fake.ports, ...createCleaning(fake.ports) })(row, deadlineAt);
  return { ...fake, row, unmarked, updates, reads, deadlineAt };
}

describe('an instance without the marker of the import', () => {
  test.each<[string, Given]>([
    ['shows other tags than the markers', { shown: ['team', 'provision:another'] }],
    ['shows an empty list of tags', { shown: [] }],
    ['is gone', { shown: { kind: 'absent' } }],
  ])('an instance that %s is clean after the quiescence, and not before', async (_what, given) => {
    const clean = await unmark(given);
    expect(clean.unmarked).toEqual({ kind: 'clean' });
    const early = await unmark({ ...given, sinceSentMs: timing.quiescenceMs - 1 });
    expect(early.unmarked).toEqual({
      kind: 'pending',
      row: early.row,
      delayMs: 1,
      reason: 'tags of instance 7 may still take effect',
    });
    expect([...clean.updates, ...early.updates]).toEqual([]);
  });

  test('a row that names no instance is clean, and no call is made', async () => {
    const { unmarked, reads } = await unmark({ row: { importedId: undefined } });
    expect(unmarked).toEqual({ kind: 'clean' });
    expect(reads).toEqual([]);
  });
});

test.each<[string, NonNullable<Given['shown']>, string]>([
  ['cannot be read', { kind: 'unknown', reason: 'no response' }, 'no response'],
  ['does not show its tags', 'nothing', 'instance 7 shows no tags'],
])('an instance that %s is left as it is, and read again soon', async (_what, shown, reason) => {
  const { unmarked, updates, row, rowOf } = await unmark({ shown });
  expect(unmarked).toEqual({ kind: 'pending', row, delayMs: timing.reconcileAgainMs, reason });
  expect(updates).toEqual([]);
  expect(rowOf()).toEqual(row);
});

describe('a PATCH that takes markers off', () => {
  test('a PATCH that takes markers off sends all other tags, and those markers that the instance had before, each once', async () => {
    const { updates, reads } = await unmark({
      shown: ['team', ...markers, 'provision:another', 'kept'],
      row: { importing: { isEnding: true, markers: ['tenant:acme', 'kept'] } },
    });
    expect(reads).toEqual([
      [
        { tenantId: 'acme', elementKey: 'taxify', instanceId: 7, owner: 'tests' },
        // Half a second is left to respond.
        { timeoutMs: 3_500 },
      ],
    ]);
    expect(updates.map(({ call }) => call)).toEqual([
      [
        { tenantId: 'acme', elementKey: 'taxify', instanceId: 7 },
        { tags: ['team', 'provision:another', 'kept', 'tenant:acme'] },
        { timeoutMs: 3_500 },
      ],
    ]);
  });

  test('a PATCH that takes markers off sends no tags where the instance had only markers, also for a row that says nothing of earlier ones', async () => {
    const { updates } = await unmark({ row: { importing: undefined } });
    expect(updates).toMatchObject([{ call: [{}, { tags: [] }, {}] }]);
  });

  test('a PATCH that takes markers off is sent only after the row says until when it may take effect', async () => {
    const { updates, row, deadlineAt } = await unmark({});
    expect(updates).toMatchObject([{ row: { claimId: row.claimId, sendDeadline: deadlineAt } }]);
  });

  test('a PATCH that takes markers off keeps the later deadline of an earlier one', async () => {
    const { unmarked } = await unmark({ sinceSentMs: -60_000 });
    expect(unmarked).toMatchObject({ delayMs: 60_000 + timing.quiescenceMs });
  });

  test.each<UpdateOutcome>([{ kind: 'updated' }, { kind: 'absent' }])(
    'a PATCH that takes markers off is checked after its quiescence if it ends as $kind',
    async (outcome) => {
      const { unmarked, row, deadlineAt } = await unmark({ outcome });
      expect(unmarked).toEqual({
        kind: 'pending',
        row: { ...row, sendDeadline: deadlineAt },
        delayMs: budgetMs + timing.quiescenceMs,
        reason: 'tags of instance 7 may still take effect',
      });
    },
  );

  test.each<[UpdateOutcome, string]>([
    [{ kind: 'unknown', reason: 'no response' }, 'no response'],
    [{ kind: 'refused', error: new OnboardingError('refused-by-cloud-elements', 'Refused.') }, 'Refused.'],
  ])(
    'a PATCH that takes markers off is repeated soon if it ends otherwise, and the reason is named',
    async (outcome, reason) => {
      const { unmarked, row, deadlineAt } = await unmark({ outcome });
      expect(unmarked).toEqual({
        kind: 'pending',
        row: { ...row, sendDeadline: deadlineAt },
        delayMs: timing.reconcileAgainMs,
        reason: `its markers cannot be taken off instance 7 (${reason})`,
      });
    },
  );

  test('a PATCH that takes markers off is not sent for a row that another request has claimed', async () => {
    const { unmarked, updates, row } = await unmark({ isClaimedByRival: true });
    expect(unmarked).toEqual({
      kind: 'pending',
      row,
      delayMs: timing.reconcileAgainMs,
      reason: 'another request holds it',
    });
    expect(updates).toEqual([]);
  });
});
