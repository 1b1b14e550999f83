import { describe, expect, test } from 'vitest';
import { createChecking } from '../../../functions/core/check.ts';
import { activate } from '../../../functions/core/lifecycle.ts';
import type { DueInstance, Ping, ReadOutcome } from '../../../functions/core/ports.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import type { InstanceRow } from '../../../functions/model/instance.ts';
import { defaultCheckTiming as timing, defaultTiming } from '../../../functions/model/timing.ts';
import { fakePorts } from '../../support/fake-ports.ts';

/** Single steps of checks of health, in memory. */

type Calls = {
  read?: (instanceId: number) => ReadOutcome;
  ping?: Ping;
  due?: DueInstance[];
  /** A tenant whose row DynamoDB does not give. */
  lost?: string;
};

/** An active row of instance 7, which works unless `read` or `ping` say otherwise. */
async function withRow(over: Partial<InstanceRow>, { read, ping, due, lost }: Calls = {}) {
  const reads: number[] = [];
  const fake = fakePorts();
  const instance = { instanceId: 7, token: new Uint8Array([1]) };
  const row = await fake.put({
    ...activate(fake.claimed(), instance, fake.clock.nowMs, defaultTiming),
    ...over,
  });
  const { timing: _, cloudElements, ...ports } = fake.ports;
  const { check, checkDue } = createChecking({
    ...ports,
    timing,
    cloudElements: {
      ...cloudElements,
      read: async (asked, options) => {
        const { instanceId } = asked;
        if (typeof instanceId === 'number') reads.push(instanceId);
        return typeof instanceId === 'number' && read ? read(instanceId) : cloudElements.read(asked, options);
      },
    },
    store: {
      ...fake.store,
      ...(due && { dueChecks: async () => due }),
      get: async (key) => {
        if (key.tenantId === lost) throw new OnboardingError('aws-unavailable', 'No answer.');
        return fake.store.get(key);
      },
    },
    ping: ping ?? (async () => ({ status: 'healthy' })),
  });
  return {
    fake,
    row,
    reads,
    check: () => check(fake.key, { deadlineAt: fake.clock.nowMs + 29_000 }),
    checkDue: (invocationMs = 29_000) => checkDue({ deadlineAt: fake.clock.nowMs + invocationMs }),
  };
}

const elsewhere = { origin: 'https://another.example' };

describe('a check of an instance of another base URL', () => {
  test('a requested check of it is refused, and reads nothing here', async () => {
    const { check, reads, row, fake } = await withRow(elsewhere);
    await expect(check()).rejects.toMatchObject({ code: 'origin-changed' });
    expect(reads).toEqual([]);
    expect(fake.rowOf()).toEqual(row);
  });

  test('a scheduled check of it reads nothing here, and its health is unknown', async () => {
    const { checkDue, reads, fake } = await withRow(elsewhere);
    expect(await checkDue()).toMatchObject({ unknown: 1, healthy: 0, unhealthy: 0 });
    expect(reads).toEqual([]);
    expect(fake.rowOf()?.health).toMatchObject({ status: 'unknown', reason: 'origin-changed' });
  });
});

test('an instance that shows to be another’s is not pinged, and its health is unknown', async () => {
  let pings = 0;
  const { check } = await withRow(
    {},
    {
      read: (instanceId) => ({
        kind: 'read',
        owned: 'not-ours',
        instanceId,
        elementKey: 'taxify',
        token: 'token-of-7',
        createdDate: undefined,
        valid: true,
        disabled: false,
      }),
      ping: async () => {
        pings += 1;
        return { status: 'healthy' };
      },
    },
  );
  expect((await check()).finding).toEqual({ status: 'unknown', reason: 'not-ours' });
  expect(pings).toBe(0);
});

test('a scheduled check whose row another has written meanwhile counts as skipped', async () => {
  const { checkDue, fake } = await withRow(
    {},
    {
      ping: async () => {
        const row = fake.rowOf();
        if (row) await fake.put({ ...row, claimId: 'rival' });
        return { status: 'healthy' };
      },
    },
  );
  expect(await checkDue()).toMatchObject({ healthy: 0, skipped: 1 });
  expect(fake.rowOf()).toMatchObject({ claimId: 'rival' });
  expect(fake.rowOf()).not.toHaveProperty('health');
});

const refused: Ping = async () => ({ status: 'unhealthy', reason: 'refused-by-vendor' });

describe('a turn of health', () => {
  const unhealthy = { health: { status: 'unhealthy', since: 1, reason: 'refused-by-vendor' } } as const;
  const failedOnce = { health: { status: 'healthy', since: 1, failedAt: 2 } } as const;

  test.each<[string, Partial<InstanceRow>, Ping | undefined, string[]]>([
    ['an instance that stays unhealthy is reported once', unhealthy, refused, []],
    ['an instance that turns unhealthy is reported', failedOnce, refused, ['instance-unhealthy']],
    ['an instance that recovers is reported', unhealthy, undefined, ['instance-recovered']],
  ])('%s, and only then has a new revision', async (_title, over, ping, kinds) => {
    const { check, fake, row } = await withRow(over, ping ? { ping } : {});
    await check();
    expect(fake.observed.map(({ kind }) => kind)).toEqual(kinds);
    expect(fake.rowOf()?.revision !== row.revision).toBe(kinds.length > 0);
  });

  test('a turn that another write prevents is not reported', async () => {
    const { checkDue, fake } = await withRow(failedOnce, {
      ping: async () => {
        const row = fake.rowOf();
        if (row) await fake.put({ ...row, claimId: 'rival' });
        return { status: 'unhealthy', reason: 'refused-by-vendor' };
      },
    });
    expect(await checkDue()).toMatchObject({ skipped: 1 });
    expect(fake.observed).toEqual([]);
  });
});

const dueRow = (tenantId: string): DueInstance => ({
  tenantId,
  elementKey: 'taxify',
  checkAt: 1,
  shown: '1',
});

describe('an instance that Cloud Elements denies', () => {
  test('an instance without others is gone', async () => {
    const { check } = await withRow({}, { read: () => ({ kind: 'absent' }), due: [dueRow('acme')] });
    expect((await check()).finding).toEqual({ status: 'unhealthy', reason: 'gone' });
  });

  test('an instance is not called gone while others exist and none of them could be read', async () => {
    const others = Array.from({ length: 11 }, (_, i) => dueRow(`deleted-${i}`));
    const { check } = await withRow({}, { read: () => ({ kind: 'absent' }), due: others });
    expect((await check()).finding).toEqual({ status: 'unknown', reason: 'not-visible' });
  });
});

test('nothing is recorded when DynamoDB does not give the row of another instance', async () => {
  const due = [{ tenantId: 'another', elementKey: 'taxify', checkAt: 1, shown: '1' }];
  const { check, fake, row } = await withRow({}, { read: () => ({ kind: 'absent' }), due, lost: 'another' });
  await expect(check()).rejects.toMatchObject({ code: 'aws-unavailable' });
  expect(fake.rowOf()).toEqual(row);
});

test('no check begins for which the time of its invocation does not suffice', async () => {
  const checkMs = timing.lookUpTimeoutMs + timing.pingTimeoutMs + timing.commitReserveMs;
  const { checkDue, reads } = await withRow({});
  expect(await checkDue(checkMs - 1)).toMatchObject({ healthy: 0, skipped: 0 });
  expect(reads).toEqual([]);
  expect(await checkDue(checkMs)).toMatchObject({ healthy: 1 });
});
