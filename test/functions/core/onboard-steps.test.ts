import { describe, expect, test } from 'vitest';
import { createOnboarding } from '../../../functions/core/onboard.ts';
import type { Observation } from '../../../functions/core/ports.ts';
import type { Provision } from '../../../functions/core/provision.ts';
import { OnboardingError, type ErrorCode } from '../../../functions/model/errors.ts';
import { settingsOf, type EventOrigin } from '../../../functions/model/instance.ts';
import { oldestOnboardingMs, queueMaxReceiveCount } from '../../../functions/model/timing.ts';
import { fakePorts } from '../../support/fake-ports.ts';

/** Onboarding events in memory: which are waited for, refused or ignored. `provision` is given. */

const noon = Date.parse('2026-11-26T12:00:00Z');
const key = { tenantId: 'acme', elementKey: 'taxify' };
type Dialect = EventOrigin['dialect'];

function onboarding(provision: Provision) {
  const observed: [Observation, object][] = [];
  const onboard = createOnboarding({
    provision,
    observe: (observation, of) => void observed.push([observation, of]),
    now: () => noon,
  });
  const receive = (
    dialect: Dialect | undefined,
    { deliveries = 1, sentAt = noon }: { deliveries?: number; sentAt?: number } = {},
  ) => {
    const by = dialect && ({ dialect, eventId: 'joining', sentAt } as const);
    return onboard(settingsOf(key, { name: 'Shop' }, by), { deadlineAt: noon + 29_000, deliveries });
  };
  return { receive, observed };
}

const fails = (code: ErrorCode) => () => Promise.reject(new OnboardingError(code, 'Said why.'));

describe('an onboarding event', () => {
  const row = { ...fakePorts().claimed(), provisionId: 'generation' };

  test.each([
    ['created', false],
    ['replayed', false],
    ['outdated', false],
    ['in-progress', true],
  ] as const)('an event whose outcome is %s comes again: %s', async (outcome, retry) => {
    const { receive, observed } = onboarding(async () =>
      outcome === 'in-progress' ? { outcome, row, retryAfterMs: 1 } : { outcome, row },
    );
    expect(await receive('native')).toEqual({ outcome, retry, provisionId: 'generation' });
    expect(observed).toEqual([]);
  });

  test.each([
    [oldestOnboardingMs, 'created', 1, []],
    [
      oldestOnboardingMs + 1,
      'outdated',
      0,
      [
        [
          { kind: 'event-ignored', reason: 'too old' },
          { tenantId: 'acme', provisionId: 'none' },
        ],
      ],
    ],
  ])('an event that is %d ms old is %s', async (ageMs, outcome, calls, observations) => {
    let provisions = 0;
    const { receive, observed } = onboarding(async () => {
      provisions += 1;
      return { outcome: 'created', row };
    });
    expect(await receive('native', { sentAt: noon - ageMs })).toMatchObject({ outcome, retry: false });
    expect(provisions).toBe(calls);
    expect(observed).toMatchObject(observations);
  });

  test('a request without an event is carried out', async () => {
    const { receive } = onboarding(async () => ({ outcome: 'created', row }));
    expect(await receive(undefined)).toMatchObject({ outcome: 'created' });
  });
});

describe('an onboarding event whose secret cannot be used', () => {
  const last = queueMaxReceiveCount;
  const waits = { outcome: 'waiting-for-secret', retry: true };
  const refused = { outcome: 'refused', retry: false };

  test.each<[Dialect, ErrorCode, number, object]>([
    ['native', 'tenant-credentials-unusable', 1, waits],
    ['native', 'tenant-credentials-unusable', last - 1, waits],
    ['native', 'tenant-credentials-unusable', last, refused],
    ['native', 'tenant-credentials-unusable', last + 1, refused],
    ['sbt-0.5', 'missing-configuration', 1, waits],
    ['sbt-0.9', 'missing-configuration', last, refused],
  ])(
    'an event of dialect %s that fails with %s at delivery %d',
    async (dialect, code, deliveries, result) => {
      const { receive, observed } = onboarding(fails(code));
      expect(await receive(dialect, { deliveries })).toEqual(result);
      expect(observed).toMatchObject([
        [
          { kind: 'secret-missing', reason: 'Said why.' },
          { tenantId: 'acme', elementKey: 'taxify', provisionId: 'none' },
        ],
      ]);
    },
  );

  test.each<[Dialect | undefined, ErrorCode]>([
    ['native', 'missing-configuration'],
    [undefined, 'missing-configuration'],
    ['sbt-0.9', 'refused-by-cloud-elements'],
    ['sbt-0.9', 'aws-unavailable'],
  ])('an event of dialect %s that fails with %s waits for no secret', async (dialect, code) => {
    const { receive, observed } = onboarding(fails(code));
    await expect(receive(dialect)).rejects.toMatchObject({ code });
    expect(observed).toEqual([]);
  });

  test('a bug waits for no secret', async () => {
    const { receive } = onboarding(() => Promise.reject(new TypeError('a bug')));
    await expect(receive('sbt-0.9')).rejects.toThrow('a bug');
  });

  test.each<[Dialect, number, ErrorCode[]]>([
    ['native', 1, ['missing-configuration', 'aws-unavailable']],
    ['sbt-0.9', 1, ['aws-unavailable']],
    ['sbt-0.9', last, ['tenant-credentials-unusable', 'missing-configuration', 'aws-unavailable']],
  ])('refusals of dialect %s that a row records at delivery %d', async (dialect, deliveries, codes) => {
    const recorded: ErrorCode[] = [];
    const { receive } = onboarding(async (_settings, { recordRefusal }) => {
      for (const code of [
        'tenant-credentials-unusable',
        'missing-configuration',
        'aws-unavailable',
      ] as const) {
        const error = new OnboardingError(code, 'any');
        if (typeof recordRefusal === 'function' ? recordRefusal(error) : recordRefusal) recorded.push(code);
      }
      return { outcome: 'created', row: fakePorts().claimed() };
    });
    await receive(dialect, { deliveries });
    expect(recorded).toEqual(codes);
  });
});
