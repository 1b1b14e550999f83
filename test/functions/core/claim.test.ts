import { expect, test } from 'vitest';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import { createProvisioning } from '../../../functions/core/provision.ts';
import { activate, beginGeneration, claim, continueImport, fail } from '../../../functions/core/lifecycle.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { judged, settingsOf, type InstanceRow } from '../../../functions/model/instance.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';
import { fakePorts } from '../../support/fake-ports.ts';

const refused = new OnboardingError('refused-by-cloud-elements', 'Refused.');
const settings = judged(
  builtInCatalog,
  settingsOf({ tenantId: 'acme', elementKey: 'taxify' }, { configuration: { 'api.key': 'k' } }),
);

test('a failed row in doubt whose look-up fails is not claimed, and no create is sent', async () => {
  const creates: string[] = [];
  const fake = fakePorts({
    lookUp: async () => ({ kind: 'unknown', reason: 'no response' }),
    create: async ({ name }) => {
      creates.push(name);
      return { kind: 'created', instance: { id: 8, token: 'token-of-8' } };
    },
  });
  const row = { ...fake.claimed(), inDoubt: true };
  const failed = await fake.put(fail(row, row.sendDeadline, refused, fake.clock.nowMs, timing));
  fake.clock.nowMs = failed.sendDeadline + timing.quiescenceMs + 1;
  const provision = createProvisioning(fake.ports);
  const deadlineAt = fake.clock.nowMs + 29_000;
  expect(await provision(settings, { deadlineAt, recordRefusal: false })).toMatchObject({
    outcome: 'in-progress',
  });
  expect(creates).toEqual([]);
  expect(fake.rowOf()).toMatchObject({ status: 'failed', inDoubt: true, leaseExpiresAt: 0 });
});

test('a claim that fails before its create keeps the send deadline of the claim before', async () => {
  const fake = fakePorts({ create: async () => ({ kind: 'refused', error: refused }) });
  const before = fake.claimed();
  const failed = await fake.put(fail(before, before.sendDeadline, refused, fake.clock.nowMs, timing));
  fake.clock.nowMs += 60_000;
  const provision = createProvisioning(fake.ports);
  const deadlineAt = fake.clock.nowMs + 29_000;
  await expect(provision(settings, { deadlineAt, recordRefusal: true })).rejects.toBe(refused);
  expect(fake.rowOf()).toMatchObject({ status: 'failed', sendDeadline: failed.sendDeadline });
});

test('the claim of a live row is refused for as long as its lease lasts', async () => {
  const fake = fakePorts();
  const row = await fake.put(fake.claimed());
  const provision = createProvisioning(fake.ports);
  for (const nowMs of [row.createdAt, row.leaseExpiresAt - 1]) {
    fake.clock.nowMs = nowMs;
    expect(await provision(settings, { deadlineAt: nowMs + 29_000, recordRefusal: false })).toMatchObject({
      outcome: 'in-progress',
    });
  }
  expect(fake.rowOf()).toEqual(row);
});

test('every claim is due when its lease ends, also that of a new generation and of an import that continues', () => {
  const fake = fakePorts();
  const first = fake.claimed();
  const failed = fail(first, 0, refused, fake.clock.nowMs, timing);
  const next = beginGeneration(failed, fake.claimant(), { provisionId: 'next', formers: [] }, timing);
  const again = claim(
    fake.claimant(),
    'again',
    timing,
    activate(first, { instanceId: 7, token: new Uint8Array() }, 1, timing),
  );
  const continued = continueImport(
    { ...first, v: 'import', importedId: 7, importing: {}, leaseExpiresAt: 0, checkAt: undefined },
    fake.claimant(),
    timing,
  );
  for (const { checkAt, leaseExpiresAt } of [first, next, again, continued]) {
    expect(leaseExpiresAt).toBe(fake.clock.nowMs + timing.leaseMs);
    expect(checkAt).toBe(leaseExpiresAt);
  }
});

test('a first insert that takes effect late does not let a later try create an instance that its row cannot find', async () => {
  const creates: (readonly string[])[] = [];
  const fake = fakePorts({
    create: async ({ tags }) => {
      creates.push(tags);
      return { kind: 'unknown', reason: 'no response' };
    },
  });
  const inserts: InstanceRow[] = [];
  const provision = createProvisioning({
    ...fake.ports,
    store: {
      ...fake.store,
      claim: async (next, asRead) => {
        const [late] = inserts;
        inserts.push(next);
        // A rival's row, which is gone when it is read.
        if (!late) return { won: false, current: undefined };
        if (inserts.length === 2) await fake.store.claim(late);
        return fake.store.claim(next, asRead);
      },
    },
  });
  const deadlineAt = fake.clock.nowMs + 29_000;
  expect(await provision(settings, { deadlineAt, recordRefusal: false })).toMatchObject({
    outcome: 'in-progress',
  });
  expect(fake.rowOf()).toEqual(inserts[0]);
  expect(creates).toEqual([]);
});
