import { describe, expect, test } from 'vitest';
import { createCreating } from '../../../functions/core/create.ts';
import type { CloudElements, CreateOutcome } from '../../../functions/core/ports.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';
import { fakePorts } from '../../support/fake-ports.ts';

const error = new OnboardingError('cloud-elements-busy', 'Cloud Elements is rate limiting requests.');
const notDone: CreateOutcome = { kind: 'not-done', error, retryAfterMs: 0 };
const created: CreateOutcome = { kind: 'created', instance: { id: 7, token: 'token-of-7' } };

/** Sends the create of a claim that may still begin one for `leftMs`; Cloud Elements gives these responses in turn. */
async function create(outcomes: CreateOutcome[], { leftMs = 60_000 } = {}) {
  const sent: { at: number; call: Parameters<CloudElements['create']> }[] = [];
  const fake = fakePorts({
    create: async (...call) => {
      sent.push({ at: fake.clock.nowMs - startedAt, call });
      return outcomes[sent.length - 1] ?? notDone;
    },
  });
  const startedAt = fake.clock.nowMs;
  const sendDeadline = startedAt + timing.createTimeoutMs + leftMs;
  const row = { ...fake.claimed(), tags: ['team'], options: { eventsEnabled: true }, sendDeadline };
  const outcome = await createCreating(fake.ports)(row, { 'api.key': 'k' });
  return { row, outcome, calls: sent.map(({ call }) => call), times: sent.map(({ at }) => at), ...fake };
}

test('a create sends the settings of the row, with its tags and markers, and waits as long as a create may take', async () => {
  const { row, outcome, calls } = await create([created]);
  expect(outcome).toBe(created);
  expect(calls).toEqual([
    [
      {
        tenantId: 'acme',
        elementKey: 'taxify',
        name: 'taxify-acme',
        tags: ['team', 'tenant:acme', `provision:${row.provisionId}`, 'owner:tests'],
        configuration: { 'api.key': 'k' },
        options: { eventsEnabled: true },
      },
      { timeoutMs: timing.createTimeoutMs },
    ],
  ]);
});

describe('a create that had no effect', () => {
  test('a create without effect is sent again after growing waits, five times in all', async () => {
    const { outcome, times, observed } = await create([]);
    expect(outcome).toEqual({ kind: 'not-done', error });
    expect(times).toEqual([0, 200, 600, 1_400, 3_000]);
    expect(observed).toEqual(
      Array.from({ length: 4 }, () => ({ kind: 'create-retried', reason: 'cloud-elements-busy' })),
    );
  });

  test('a create without effect is sent again no earlier than Cloud Elements allows', async () => {
    const { outcome, times } = await create([{ kind: 'not-done', error, retryAfterMs: 700 }, created]);
    expect(outcome).toBe(created);
    expect(times).toEqual([0, 700]);
  });

  test.each<[leftMs: number, times: number[]]>([
    [200, [0, 200]],
    [199, [0]],
    [0, [0]],
  ])(
    'a create without effect is sent again only if a whole create fits: with %i ms to begin, after %j ms',
    async (leftMs, expected) => {
      const { outcome, times, clock } = await create([], { leftMs });
      expect(times).toEqual(expected);
      expect(outcome).toEqual({ kind: 'not-done', error });
      // A wait without a create after it would only delay the response.
      expect(clock.nowMs).toBe(Date.parse('2026-11-26T12:00:00Z') + (expected.at(-1) ?? 0));
    },
  );

  test('a create is not sent at all if no whole create fits', async () => {
    const { outcome, calls } = await create([created], { leftMs: -1 });
    expect(calls).toEqual([]);
    expect(outcome).toMatchObject({
      kind: 'not-done',
      error: {
        code: 'out-of-time',
        message:
          'The taxify instance of tenant acme was not created: not enough time was left to send the create. Retry.',
      },
    });
  });
});

test.each<CreateOutcome>([
  { kind: 'unknown', reason: 'no response' },
  { kind: 'refused', error },
  { kind: 'not-done', error },
  { kind: 'unusable', instance: { id: 7, reason: 'without a token' } },
])('a create whose outcome is $kind, without leave to repeat it, is sent once', async (expected) => {
  const { outcome, calls, observed } = await create([expected, created]);
  expect(outcome).toBe(expected);
  expect(calls).toHaveLength(1);
  expect(observed).toEqual([]);
});
