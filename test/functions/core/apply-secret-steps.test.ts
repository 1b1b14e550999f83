import { setImmediate } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { createApplying, type AppliedSecret } from '../../../functions/core/apply-secret.ts';
import type { Provision } from '../../../functions/core/provision.ts';
import type { Update } from '../../../functions/core/update.ts';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import { tenantSecretName } from '../../../functions/model/configuration.ts';
import { OnboardingError, type ErrorCode } from '../../../functions/model/errors.ts';
import { judged, settingsOf, type InstanceRow } from '../../../functions/model/instance.ts';
import { queueMaxReceiveCount } from '../../../functions/model/timing.ts';
import { fakePorts } from '../../support/fake-ports.ts';

/** Steps of changed secrets, in memory: `update` and `provision` record their calls. */

const noon = Date.parse('2026-11-26T12:00:00Z');
const prefix = 'tests/tenants';
const key = { tenantId: 'acme', elementKey: 'taxify' };
const secretName = tenantSecretName(prefix, key);

function applying({ update, provision }: { update?: Update; provision?: Provision } = {}) {
  const fake = fakePorts();
  const calls: ['update' | 'provision', ...unknown[]][] = [];
  const row: InstanceRow = {
    ...fake.claimed(),
    ...judged(builtInCatalog, settingsOf(key, { name: 'Shop', tags: ['eu'], eventsEnabled: true })),
    tags: ['eu'],
    status: 'active',
    provisionId: 'generation',
    leaseExpiresAt: 0,
    instanceId: 7,
  };
  const applySecret = createApplying({
    ...fake.ports,
    tenantSecretsPrefix: prefix,
    update: async (...call) => {
      calls.push(['update', ...call]);
      return update ? update(...call) : { ...row, secretReadAt: fake.clock.nowMs };
    },
    provision: async (...call) => {
      calls.push(['provision', ...call]);
      return provision ? provision(...call) : { outcome: 'created', row };
    },
  });
  const apply = ({ deliveries = 1, deadlineAt = noon + 29_000, arrivedAt = noon } = {}) =>
    applySecret({ ...key, secretName, arrivedAt }, { deadlineAt, deliveries });
  return { fake, row, apply, applySecret, calls, names: () => calls.map(([name]) => name) };
}

const failedFor = (code: ErrorCode): Partial<InstanceRow> => ({
  status: 'failed',
  instanceId: undefined,
  lastError: { code, detail: 'any', at: 1 },
});
const leased = { leaseExpiresAt: noon + 1 };

describe('a changed secret', () => {
  test.each<[string, Partial<InstanceRow>, AppliedSecret['outcome'], boolean, string[]]>([
    ['a removed row', { status: 'removed' }, 'nothing-to-update', false, []],
    ['a row that is being deleted', { status: 'deleting' }, 'nothing-to-update', false, []],
    [
      'the claim of a request with its key',
      { status: 'provisioning', source: 'request' },
      'not-from-secret',
      false,
      [],
    ],
    ['a claim from the secret', { status: 'provisioning' }, 'in-progress', true, []],
    ['a claim of unknown source', { status: 'provisioning', source: undefined }, 'in-progress', true, []],
    ['an instance that a request has configured', { source: 'request' }, 'not-from-secret', false, []],
    ['an instance of unknown source', { source: undefined }, 'not-from-secret', false, []],
    ['an instance that a request works on', leased, 'in-progress', true, []],
    ['an instance whose lease has ended', { leaseExpiresAt: noon }, 'updated', false, ['update']],
    ['an instance that was never updated', {}, 'updated', false, ['update']],
    ['an instance that has the value', { secretReadAt: noon + 5_001 }, 'up-to-date', false, []],
    [
      'a failed request with its key',
      { ...failedFor('not-created'), source: 'request' },
      'not-from-secret',
      false,
      [],
    ],
    [
      'a failed row of unknown source',
      { ...failedFor('not-created'), source: undefined },
      'not-from-secret',
      false,
      [],
    ],
    [
      'a failed row that a request works on',
      { ...failedFor('not-created'), ...leased },
      'in-progress',
      true,
      [],
    ],
    ['a row that failed without a reason', { status: 'failed' }, 'nothing-to-update', false, []],
    ['a row that failed for its instance', failedFor('instance-unusable'), 'nothing-to-update', false, []],
    ['a row that lacked a key', failedFor('missing-configuration'), 'provisioned', false, ['provision']],
    [
      'a row that lacked a secret',
      failedFor('tenant-credentials-unusable'),
      'provisioned',
      false,
      ['provision'],
    ],
    ['a row that was refused', failedFor('refused-by-cloud-elements'), 'provisioned', false, ['provision']],
    ['a row that was not created', failedFor('not-created'), 'provisioned', false, ['provision']],
    [
      'a failed row with entries that no request may set now',
      { ...failedFor('not-created'), requestEntries: ['api.key'] },
      'not-from-secret',
      false,
      [],
    ],
  ])('a changed secret of %s', async (_what, over, outcome, retry, names) => {
    const { fake, row, apply, names: called } = applying();
    await fake.put({ ...row, ...over });
    expect(await apply()).toEqual({ outcome, retry, provisionId: 'generation' });
    expect(called()).toEqual(names);
    expect(fake.observed).toEqual([]);
  });

  test('a tenant without an instance gets none', async () => {
    const { apply, calls } = applying();
    expect(await apply()).toEqual({ outcome: 'nothing-to-update', retry: false });
    expect(calls).toEqual([]);
  });

  test('a secret of another stage changes nothing', async () => {
    const { fake, row, applySecret, calls } = applying();
    await fake.put(row);
    const applied = await applySecret(
      { ...key, secretName: tenantSecretName('live/tenants', key), arrivedAt: noon },
      { deadlineAt: noon + 29_000, deliveries: 1 },
    );
    expect(applied).toEqual({ outcome: 'not-ours', retry: false });
    expect(calls).toEqual([]);
  });

  test('an active instance gets the secret, and nothing else of it changes', async () => {
    const { fake, row, apply, calls } = applying();
    await fake.put(row);
    await apply();
    expect(calls).toEqual([['update', key, { configuration: {} }, { deadlineAt: noon + 29_000 }]]);
  });

  test.each<[string, number | undefined, AppliedSecret['outcome'], boolean]>([
    ['read when the update began', noon, 'updated', false],
    ['read before it', noon - 1, 'in-doubt', true],
    ['that may not be the last', undefined, 'in-doubt', true],
  ])('an update with a secret %s', async (_what, secretReadAt, outcome, retry) => {
    const { fake, row, apply } = applying({
      update: async () => {
        fake.clock.nowMs += 1_000;
        return { ...row, secretReadAt };
      },
    });
    await fake.put(row);
    expect(await apply()).toMatchObject({ outcome, retry });
  });
});

describe('a retry with a changed secret', () => {
  test('a failed row is provisioned with its own settings, for its requester', async () => {
    const { fake, row, apply, calls } = applying();
    const entries = { allowListed: { 'pagination.max': '7' }, requestEntries: ['pagination.max'] };
    const failed = await fake.put({ ...row, ...failedFor('not-created'), ...entries });
    await apply();
    expect(calls).toEqual([
      [
        'provision',
        {
          ...key,
          name: 'Shop',
          tags: ['eu'],
          options: { eventsEnabled: true },
          configuration: entries.allowListed,
        },
        { deadlineAt: noon + 29_000, retryOf: failed, recordRefusal: expect.any(Function) },
      ],
    ]);
  });

  test.each([
    ['created', 'provisioned', false],
    ['outdated', 'nothing-to-update', false],
    ['replayed', 'in-progress', true],
    ['in-progress', 'in-progress', true],
  ] as const)('a retry whose outcome is %s', async (outcome, applied, retry) => {
    const { fake, row, apply } = applying({
      provision: async () =>
        outcome === 'in-progress' ? { outcome, row, retryAfterMs: 1 } : { outcome, row },
    });
    await fake.put({ ...row, ...failedFor('not-created') });
    expect(await apply()).toMatchObject({ outcome: applied, retry });
  });

  test('only the refusal of Cloud Elements replaces the reason of a failed row', async () => {
    const recorded: ErrorCode[] = [];
    const codes = ['refused-by-cloud-elements', 'missing-configuration', 'aws-unavailable'] as const;
    const { fake, row, apply } = applying({
      provision: async (_settings, { recordRefusal }) => {
        const isRecorded = (error: OnboardingError) =>
          typeof recordRefusal === 'function' ? recordRefusal(error) : recordRefusal;
        recorded.push(...codes.filter((code) => isRecorded(new OnboardingError(code, 'any'))));
        return { outcome: 'created', row };
      },
    });
    await fake.put({ ...row, ...failedFor('not-created') });
    await apply();
    expect(recorded).toEqual(['refused-by-cloud-elements']);
  });
});

const failing = async (code: ErrorCode) => {
  const { fake, row, apply } = applying({
    update: () => Promise.reject(new OnboardingError(code, 'Said why.')),
  });
  await fake.put(row);
  return { fake, apply };
};

describe('a secret that cannot be sent', () => {
  test.each<[ErrorCode, number, AppliedSecret['outcome'], boolean]>([
    ['missing-configuration', queueMaxReceiveCount - 1, 'waiting-for-secret', true],
    ['missing-configuration', queueMaxReceiveCount, 'unusable', false],
    ['missing-configuration', queueMaxReceiveCount + 1, 'unusable', false],
    ['tenant-credentials-unusable', 1, 'waiting-for-secret', true],
    ['tenant-credentials-unusable', queueMaxReceiveCount, 'unusable', false],
  ])('a secret that fails with %s at delivery %d', async (code, deliveries, outcome, retry) => {
    const { fake, apply } = await failing(code);
    expect(await apply({ deliveries })).toEqual({ outcome, retry, provisionId: 'generation' });
    expect(fake.observed).toEqual([{ kind: 'secret-missing', reason: 'Said why.' }]);
  });

  test('an instance that is removed meanwhile has nothing to update', async () => {
    const { fake, apply } = await failing('not-found');
    expect(await apply()).toEqual({ outcome: 'nothing-to-update', retry: false, provisionId: 'generation' });
    expect(fake.observed).toEqual([]);
  });

  test('an update that fails for another reason makes the message come again', async () => {
    const { fake, apply } = await failing('cloud-elements-unreachable');
    await expect(apply()).rejects.toMatchObject({ code: 'cloud-elements-unreachable' });
    expect(fake.observed).toEqual([]);
  });

  test('a bug is no lack of a secret', async () => {
    const { fake, row, apply } = applying({ update: () => Promise.reject(new TypeError('a bug')) });
    await fake.put(row);
    await expect(apply()).rejects.toThrow('a bug');
  });

  test('an instance that another request works on at the last delivery is left to the dead letters', async () => {
    const { fake, row, apply } = applying();
    await fake.put({ ...row, ...leased });
    expect(await apply({ deliveries: queueMaxReceiveCount })).toMatchObject({
      outcome: 'in-progress',
      retry: true,
    });
  });
});

/** Updates that end when the test says so, in the order in which they were begun. */
async function held(over: Partial<InstanceRow> = {}) {
  const ends: (() => void)[] = [];
  const applied = applying({
    update: () =>
      new Promise((resolve) => {
        ends.push(() => resolve({ ...applied.row, secretReadAt: applied.fake.clock.nowMs }));
      }),
  });
  await applied.fake.put({ ...applied.row, ...over });
  return { ...applied, ends };
}

describe('messages about one secret', () => {
  const [one, other] = [{ deadlineAt: noon + 1 }, { deadlineAt: noon + 2 }];

  test('messages of one invocation are one update, and those of another one are not', async () => {
    const { apply, ends } = await held();
    const results = [apply(one), apply({ ...one, arrivedAt: noon + 1 }), apply(other)];
    await setImmediate();
    expect(ends).toHaveLength(2);
    for (const end of ends) end();
    expect(await Promise.all(results)).toMatchObject([1, 2, 3].map(() => ({ outcome: 'updated' })));
  });

  test('a message that comes after an update has ended is an update of its own', async () => {
    const { apply, ends } = await held();
    for (const count of [1, 2]) {
      const result = apply(one);
      await setImmediate();
      expect(ends).toHaveLength(count);
      ends.at(-1)?.();
      await result;
    }
  });

  test('the end of one invocation leaves the update of another to its messages', async () => {
    const { apply, ends } = await held();
    const first = apply(one);
    const second = apply(other);
    await setImmediate();
    ends[0]?.();
    await first;
    const third = apply(other);
    await setImmediate();
    expect(ends).toHaveLength(2);
    ends[1]?.();
    expect(await Promise.all([second, third])).toMatchObject([
      { outcome: 'updated' },
      { outcome: 'updated' },
    ]);
  });

  test.each([
    ['not later', noon, 'up-to-date', 0],
    ['later', noon + 1, 'updated', 1],
  ])('a message that came %s than one that needs nothing', async (_when, arrivedAt, outcome, updates) => {
    const { fake, apply, ends } = await held({ secretReadAt: noon + 5_001 });
    const reads = vi.spyOn(fake.ports.store, 'get');
    const first = apply(one);
    const second = apply({ ...one, arrivedAt });
    await setImmediate();
    expect(ends).toHaveLength(updates);
    for (const end of ends) end();
    expect(await Promise.all([first, second])).toMatchObject([{ outcome: 'up-to-date' }, { outcome }]);
    expect(reads).toHaveBeenCalledTimes(1 + updates);
  });
});
