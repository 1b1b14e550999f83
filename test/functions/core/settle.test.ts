import { describe, expect, test } from 'vitest';
import { createSettling } from '../../../functions/core/settle.ts';
import type {
  CloudElements,
  ElementInstance,
  InstanceStore,
  LookUp,
  UnusableInstance,
} from '../../../functions/core/ports.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import type { InstanceRow } from '../../../functions/model/instance.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';
import { fakePorts } from '../../support/fake-ports.ts';

/** Settles a claim with found instances; returns its outcome and the ids that were deleted. */
async function settle(instances: ElementInstance[], over: Partial<InstanceRow> = {}) {
  const deleted: unknown[] = [];
  const fake = fakePorts({
    remove: async ({ instanceId }) => {
      deleted.push(instanceId);
      return { kind: 'removed' };
    },
  });
  const row = await fake.put({ ...fake.claimed(), ...over });
  const { settleFound } = createSettling(fake.ports);
  const settled = await settleFound(row, { kind: 'found', instances, isCertain: true }, row.leaseExpiresAt);
  return { settled, deleted, row: fake.rowOf() };
}

const at = (id: number, createdDate?: string): ElementInstance => ({
  id,
  token: `token-of-${id}`,
  createdDate,
});

describe('of several instances of a claim', () => {
  test.each([
    [
      'the oldest is kept, not the one with the lowest id',
      [at(1, '2026-11-26T12:00:05Z'), at(2, '2026-11-26T12:00:01Z'), at(3, '2026-11-26T12:00:09Z')],
      {},
      2,
    ],
    [
      'the lowest id is kept among those of the same second',
      [at(9, '2026-11-26T12:00:01Z'), at(4, '2026-11-26T12:00:01Z')],
      {},
      4,
    ],
    ['one without a date is kept before one with a date', [at(4, '2026-11-26T12:00:01Z'), at(9)], {}, 9],
    [
      'one without a date is kept before one with a date, also if it is shown first',
      [at(9), at(4, '2026-11-26T12:00:01Z')],
      {},
      9,
    ],
    [
      'the recorded one is kept, although an older one is shown after it',
      [at(2, '2026-11-26T12:00:05Z'), at(1, '2026-11-26T12:00:01Z')],
      { instanceId: 2 },
      2,
    ],
    [
      'the recorded one is kept, although another is older',
      [at(1, '2026-11-26T12:00:01Z'), at(2, '2026-11-26T12:00:05Z')],
      { instanceId: 2 },
      2,
    ],
  ])('%s, and the others are deleted', async (_title, instances, over, kept) => {
    const { settled, deleted, row } = await settle(instances, over);
    expect(settled).toMatchObject({ kind: 'committed', row: { instanceId: kept } });
    expect(row).toMatchObject({
      status: 'active',
      instanceId: kept,
      token: new TextEncoder().encode(`token-of-${kept}`),
    });
    expect(new Set(deleted)).toEqual(new Set(instances.map(({ id }) => id).filter((id) => id !== kept)));
  });
});

/** Commits instance 7 while the row is another claim's. */
async function commitBeside(over: Partial<InstanceRow>) {
  const deleted: unknown[] = [];
  const fake = fakePorts({
    remove: async ({ instanceId }) => {
      deleted.push(instanceId);
      return { kind: 'removed' };
    },
  });
  const row = fake.claimed();
  await fake.put({ ...row, claimId: 'rival', ...over });
  const { commit } = createSettling(fake.ports);
  return { settled: await commit(row, at(7), row.leaseExpiresAt), deleted };
}

describe('a commit that another claim has prevented', () => {
  test.each(['provisioning', 'failed'] as const)(
    'leaves its instance to a %s row of its generation',
    async (status) => {
      const { settled, deleted } = await commitBeside({ status });
      expect(settled).toMatchObject({ kind: 'left-to-another' });
      expect(deleted).toEqual([]);
    },
  );

  test.each(['provisioning', 'failed', 'active'] as const)(
    'deletes its instance beside a %s row of another generation, which would never find it',
    async (status) => {
      const { settled, deleted } = await commitBeside({ status, provisionId: 'another', instanceId: 7 });
      expect(settled).toMatchObject({ kind: 'superseded' });
      expect(deleted).toEqual([7]);
    },
  );

  test('deletes its instance beside an active row with another one', async () => {
    const { settled, deleted } = await commitBeside({ status: 'active', instanceId: 8 });
    expect(settled).toMatchObject({ kind: 'superseded' });
    expect(deleted).toEqual([7]);
  });

  test('a commit that another claim has prevented is done if that claim has committed the same instance', async () => {
    const { settled, deleted } = await commitBeside({ status: 'active', instanceId: 7 });
    expect(settled).toMatchObject({ kind: 'committed', row: { claimId: 'rival', instanceId: 7 } });
    expect(deleted).toEqual([]);
  });

  test('a commit that a removal has prevented deletes its instance', async () => {
    const { settled, deleted } = await commitBeside({ status: 'deleting', instanceId: 7 });
    expect(settled).toMatchObject({ kind: 'superseded', row: { status: 'deleting' } });
    expect(deleted).toEqual([7]);
  });
});

test('a commit whose row is gone deletes its instance', async () => {
  const { ports, claimed, clock, deleted } = settling();
  const { commit } = createSettling(ports);
  expect(await commit(claimed(), at(7), clock.nowMs + 20_000)).toEqual({
    kind: 'superseded',
    row: undefined,
  });
  expect(deleted).toEqual([7]);
});

/** Ports that record what is looked up and deleted; look-ups return these results in turn, and then nothing. */
function settling(found: LookUp[] = [], calls: Partial<CloudElements> = {}) {
  const deleted: unknown[] = [];
  const lookUps: { at: number; timeoutMs: number }[] = [];
  const fake = fakePorts({
    lookUp: async (_sought, { timeoutMs }) => {
      lookUps.push({ at: fake.clock.nowMs - startedAt, timeoutMs });
      return found[lookUps.length - 1] ?? { kind: 'found', instances: [], isCertain: true };
    },
    remove: async ({ instanceId }) => {
      deleted.push(instanceId);
      return { kind: 'removed' };
    },
    ...calls,
  });
  const startedAt = fake.clock.nowMs;
  return { ...fake, lookUps, deleted, startedAt };
}

async function noAnswer(): Promise<never> {
  throw new OnboardingError('aws-unavailable', 'No answer.');
}

async function bug(): Promise<never> {
  throw new TypeError('a bug');
}

describe('a create of unknown outcome', () => {
  const unknown = {
    kind: 'unknown',
    reason: 'no response',
    requestId: 'request-1',
    said: 'try again',
  } as const;
  const nothing: LookUp = { kind: 'found', instances: [], isCertain: true };

  async function lookUpUntilFound(found: LookUp[], { leftMs = 25_000 } = {}) {
    const fake = settling(found);
    const row = await fake.put({ ...fake.claimed(), sendDeadline: fake.startedAt + leftMs });
    const settled = await createSettling(fake.ports).lookUpUntilFound(row, unknown, fake.startedAt + 29_000);
    return { ...fake, row, settled };
  }

  test('a create of unknown outcome is looked up after growing waits, and its instance adopted', async () => {
    const found: LookUp[] = [
      nothing,
      { kind: 'unknown', reason: 'no response' },
      { ...nothing, instances: [at(7)] },
    ];
    const { settled, lookUps, rowOf, observed, clock } = await lookUpUntilFound(found);
    expect(settled).toMatchObject({ kind: 'committed', row: { instanceId: 7 } });
    expect(lookUps).toEqual([250, 750, 1_750].map((ms) => ({ at: ms, timeoutMs: timing.lookUpTimeoutMs })));
    // It was in doubt, so an instance that appears late is looked for.
    expect(rowOf()).toMatchObject({
      status: 'active',
      inDoubt: true,
      checkAt: clock.nowMs + timing.recheckMs,
    });
    expect(observed).toEqual([
      { kind: 'outcome-unknown', reason: 'no response', requestId: 'request-1' },
      { kind: 'look-up-failed', reason: 'no response' },
      { kind: 'adopted', instanceId: 7 },
    ]);
  });

  test('a create whose instance no look-up shows is left in doubt, with the reason', async () => {
    const { settled, lookUps, rowOf, row } = await lookUpUntilFound([]);
    expect(lookUps.map(({ at: ms }) => ms)).toEqual([250, 750, 1_750, 3_750, 7_750]);
    expect(settled).toMatchObject({ kind: 'in-doubt', row: rowOf() ?? {} });
    expect(rowOf()).toMatchObject({
      status: 'provisioning',
      inDoubt: true,
      leaseExpiresAt: 0,
      checkAt: row.sendDeadline + timing.quiescenceMs,
      lastError: { code: 'outcome-unknown', requestId: 'request-1', said: 'try again' },
    });
  });

  test.each([
    [
      1_000,
      [
        { at: 250, timeoutMs: 750 },
        { at: 750, timeoutMs: 250 },
      ],
    ],
    [250, []],
    [251, [{ at: 250, timeoutMs: 1 }]],
  ])('look-ups end with the send deadline: with %i ms left', async (leftMs, expected) => {
    const { lookUps, settled, clock, startedAt } = await lookUpUntilFound([], { leftMs });
    expect(lookUps).toEqual(expected);
    expect(settled).toMatchObject({ kind: 'in-doubt' });
    expect(clock.nowMs).toBe(startedAt + (expected.at(-1)?.at ?? 0));
  });
});

const unusableOf = (id: number | undefined): UnusableInstance => ({ id, reason: 'without a token' });

async function settleUnusable(
  unusable: UnusableInstance[],
  {
    instances = [],
    calls,
    over,
  }: { instances?: ElementInstance[]; calls?: Partial<CloudElements>; over?: Partial<InstanceRow> } = {},
) {
  const fake = settling([], calls);
  const row = await fake.put({ ...fake.claimed(), ...over });
  const { settleFound } = createSettling(fake.ports);
  const found = { kind: 'found', instances, unusable, isCertain: true } as const;
  const settled = await settleFound(row, { ...found, instances: [...instances] }, row.leaseExpiresAt);
  return { ...fake, settled, row };
}

describe('an instance that cannot be kept', () => {
  test('an instance that cannot be kept is deleted, and its claim fails and is rechecked', async () => {
    const { settled, deleted, rowOf, row, startedAt } = await settleUnusable([unusableOf(7), unusableOf(8)]);
    const detail = expect.stringContaining('It was deleted.');
    expect(settled).toMatchObject({
      kind: 'unusable',
      isRecorded: true,
      error: { code: 'instance-unusable', message: detail },
    });
    expect(deleted).toEqual([7, 8]);
    expect(rowOf()).toMatchObject({
      status: 'failed',
      inDoubt: true,
      sendDeadline: row.sendDeadline,
      checkAt: startedAt + timing.recheckMs,
      lastError: { code: 'instance-unusable' },
    });
  });

  test.each<[string, UnusableInstance, Partial<CloudElements>]>([
    ['whose id must not be used', unusableOf(undefined), {}],
    [
      'that Cloud Elements keeps',
      unusableOf(7),
      { remove: async () => ({ kind: 'unknown', reason: 'no response' }) },
    ],
  ])('an instance %s is left, and the error asks for its deletion', async (_what, unusable, calls) => {
    const { settled, row } = await settleUnusable([unusable], { calls });
    const message = expect.stringContaining(`Delete it at Cloud Elements (tag provision:${row.provisionId})`);
    expect(settled).toMatchObject({ kind: 'unusable', error: { message } });
  });

  test('an instance that cannot be kept is deleted beside one that can', async () => {
    const unusable = [unusableOf(8), unusableOf(undefined)];
    const { settled, deleted, rowOf } = await settleUnusable(unusable, { instances: [at(7)] });
    expect(settled).toMatchObject({ kind: 'committed' });
    expect(rowOf()).toMatchObject({ status: 'active', instanceId: 7 });
    expect(deleted).toEqual([8]);
  });

  test.each<[string, Partial<CloudElements>, Partial<InstanceRow>, Partial<InstanceRow>]>([
    ['is in no doubt once it is deleted', {}, {}, { inDoubt: false, checkAt: undefined }],
    [
      'is in doubt while it is left',
      { remove: async () => ({ kind: 'unknown', reason: 'no response' }) },
      {},
      { inDoubt: true },
    ],
    ['stays in doubt', {}, { inDoubt: true }, { inDoubt: true }],
  ])(
    'the claim of the only instance that it has created and cannot keep %s',
    async (_what, calls, over, expected) => {
      const fake = settling([], calls);
      const row = await fake.put({ ...fake.claimed(), ...over });
      await createSettling(fake.ports).endUnusable(row, [unusableOf(7)], row.leaseExpiresAt);
      const { inDoubt, checkAt } = fake.rowOf() ?? {};
      expect({ inDoubt, checkAt }).toMatchObject(expected);
    },
  );

  test('an instance that cannot be kept is not recorded in the row of another claim', async () => {
    const fake = settling();
    const row = fake.claimed();
    const rival = await fake.put({ ...row, claimId: 'rival' });
    const { endUnusable } = createSettling(fake.ports);
    expect(await endUnusable(row, [unusableOf(7)], row.leaseExpiresAt)).toMatchObject({ isRecorded: false });
    expect(fake.rowOf()).toEqual(rival);
  });

  test('a look-up that finds nothing settles nothing', async () => {
    const { settled, rowOf, row } = await settleUnusable([]);
    expect(settled).toBeUndefined();
    expect(rowOf()).toEqual(row);
    const { settleFound } = createSettling(fakePorts().ports);
    expect(await settleFound(row, { kind: 'found', instances: [], isCertain: true }, 1)).toBeUndefined();
  });
});

async function adoptWith(store: Partial<InstanceStore>) {
  const fake = settling();
  const row = await fake.put(fake.claimed());
  const { settleFound } = createSettling({ ...fake.ports, store: { ...fake.ports.store, ...store } });
  const found = { kind: 'found', instances: [at(7), at(8)], isCertain: true } as const;
  return {
    ...fake,
    row,
    adopt: settleFound(row, { ...found, instances: [...found.instances] }, row.leaseExpiresAt),
  };
}

describe('duplicates of an adopted instance', () => {
  test.each<[string, (row: InstanceRow) => InstanceRow | undefined]>([
    ['another instance', (row) => ({ ...row, status: 'active', instanceId: 8 })],
    ['no active row', (row) => ({ ...row, status: 'deleting', instanceId: 7 })],
    ['no row', () => undefined],
  ])('duplicates are left if the commit reads back as %s', async (_what, storedFor) => {
    const { adopt, deleted } = await adoptWith({ get: async () => storedFor(fakePorts().claimed()) });
    expect(await adopt).toMatchObject({ kind: 'committed', row: { instanceId: 7 } });
    expect(deleted).toEqual([]);
  });

  test('duplicates are left if the commit cannot be read back; a bug is thrown', async () => {
    const { adopt, deleted, observed } = await adoptWith({ get: noAnswer });
    expect(await adopt).toMatchObject({ kind: 'committed', row: { instanceId: 7 } });
    expect(deleted).toEqual([]);
    expect(observed).toEqual([{ kind: 'adopted', instanceId: 7 }]);
    const { adopt: adoptWithBug } = await adoptWith({ get: bug });
    await expect(adoptWithBug).rejects.toThrow('a bug');
  });

  test('the commit of a single instance is not read back', async () => {
    const fake = settling();
    const row = await fake.put(fake.claimed());
    const { settleFound } = createSettling({ ...fake.ports, store: { ...fake.ports.store, get: bug } });
    const settled = settleFound(
      row,
      { kind: 'found', instances: [at(7)], isCertain: true },
      row.leaseExpiresAt,
    );
    expect(await settled).toMatchObject({ kind: 'committed' });
  });

  test('duplicates are left, and nothing is adopted, if another claim has the row', async () => {
    const fake = settling();
    const row = fake.claimed();
    await fake.put({ ...row, claimId: 'rival' });
    const found = { kind: 'found', instances: [at(7), at(8)], isCertain: true } as const;
    const { settleFound } = createSettling(fake.ports);
    const settled = await settleFound(row, { ...found, instances: [...found.instances] }, row.leaseExpiresAt);
    expect(settled).toMatchObject({ kind: 'left-to-another' });
    expect(fake.deleted).toEqual([]);
    expect(fake.observed).toEqual([]);
  });
});

describe('a commit that fails', () => {
  test.each(['encrypt', 'write'] as const)(
    'a commit whose %s fails leaves its row in doubt, with the id of the instance',
    async (step) => {
      const fake = settling();
      const row = await fake.put(fake.claimed());
      const { store, cipher } = fake.ports;
      let writes = 0;
      const write: InstanceStore['write'] = (...call) => (++writes === 1 ? noAnswer() : store.write(...call));
      const { commit } = createSettling({
        ...fake.ports,
        ...(step === 'encrypt'
          ? { cipher: { ...cipher, encrypt: noAnswer } }
          : { store: { ...store, write } }),
      });
      await expect(commit(row, at(7), row.leaseExpiresAt)).rejects.toMatchObject({
        code: 'not-saved',
        facts: { cause: { name: 'OnboardingError', message: 'No answer.' } },
      });
      expect(fake.deleted).toEqual([]);
      expect(fake.rowOf()).toMatchObject({
        tenantId: 'acme',
        provisionId: row.provisionId,
        status: 'provisioning',
        inDoubt: true,
        instanceId: 7,
        leaseExpiresAt: 0,
        lastError: { code: 'not-saved' },
      });
    },
  );

  test('a commit that meets a bug writes nothing', async () => {
    const fake = settling();
    const row = await fake.put(fake.claimed());
    const { commit } = createSettling({ ...fake.ports, cipher: { ...fake.ports.cipher, encrypt: bug } });
    await expect(commit(row, at(7), row.leaseExpiresAt)).rejects.toThrow('a bug');
    expect(fake.rowOf()).toEqual(row);
  });
});
