import { describe, expect, test } from 'vitest';
import {
  healthAfter,
  healthView,
  storedHealthSchema,
  type Finding,
  type Health,
} from '../../../functions/model/health.ts';

const nowMs = 100;
const healthy: Finding = { status: 'healthy' };
const gone: Finding = { status: 'unhealthy', reason: 'gone' };
const refused: Finding = { status: 'unhealthy', reason: 'refused-by-vendor' };
const unreachable: Finding = { status: 'unknown', reason: 'unreachable' };
const noPing: Finding = { status: 'unknown', reason: 'no-ping' };
const shown: Finding = { ...noPing, isShown: true };

const well: Health = { status: 'healthy', since: 1 };
const wellOnce: Health = { ...well, failedAt: 2 };
const ill: Health = { status: 'unhealthy', since: 1, reason: 'disabled' };
const illByVendor: Health = { ...ill, reason: 'refused-by-vendor' };
const unknown: Health = { status: 'unknown', since: 1, reason: 'no-ping' };
const unconfirmed: Health = { status: 'unknown', since: 1, reason: 'unconfirmed', failedAt: 2 };

const unknownNow = (reason: Health['reason']): Health => ({ status: 'unknown', since: nowMs, reason });

describe('the health of an instance after a check', () => {
  test.each<[string, Health | undefined, Finding, Health]>([
    ['a first check that succeeds makes it healthy', undefined, healthy, { status: 'healthy', since: nowMs }],
    ['another success leaves it healthy since then', well, healthy, well],
    ['a success after one failure forgets it', wellOnce, healthy, well],
    ['a success makes an unhealthy one healthy', ill, healthy, { status: 'healthy', since: nowMs }],
    ['a success makes an unknown one healthy', unconfirmed, healthy, { status: 'healthy', since: nowMs }],

    [
      'a first check that fails leaves it unknown, to be confirmed',
      undefined,
      gone,
      { status: 'unknown', since: nowMs, reason: 'unconfirmed', failedAt: nowMs },
    ],
    [
      'a failure leaves an unknown one unknown since then, to be confirmed',
      unknown,
      gone,
      { status: 'unknown', since: 1, reason: 'unconfirmed', failedAt: nowMs },
    ],
    ['a failure leaves a healthy one healthy, to be confirmed', well, gone, { ...well, failedAt: nowMs }],
    [
      'a second failure makes a healthy one unhealthy since the first',
      wellOnce,
      gone,
      { status: 'unhealthy', since: 2, reason: 'gone' },
    ],
    [
      'a second failure makes an unknown one unhealthy since the first',
      unconfirmed,
      refused,
      { status: 'unhealthy', since: 2, reason: 'refused-by-vendor' },
    ],
    ['a failure of another kind changes the reason alone', ill, refused, illByVendor],

    ['a first check without a result leaves it unknown', undefined, unreachable, unknownNow('unreachable')],
    ['a check without a result leaves a healthy one healthy', well, unreachable, well],
    ['a check without a result does not forget a failure', wellOnce, unreachable, wellOnce],
    [
      'a check without a result does not forget a failure of an unknown one',
      unconfirmed,
      unreachable,
      unconfirmed,
    ],
    ['a check without a result leaves an unhealthy one unhealthy', ill, unreachable, ill],
    [
      'a check without a result gives an unknown one its reason',
      unknown,
      unreachable,
      { ...unknown, reason: 'unreachable' },
    ],

    ['without a ping, a read forgets the failure of a healthy one', wellOnce, noPing, well],
    ['without a ping, a read forgets the failure of an unknown one', unconfirmed, noPing, unknown],
    ['without a ping, one that was disabled is unknown once it is shown', ill, shown, unknownNow('no-ping')],
    ['without a ping, one that was disabled and is not shown stays unhealthy', ill, noPing, ill],
    ['without a ping, one that the vendor refused stays unhealthy', illByVendor, shown, illByVendor],
    ['without a ping, a healthy one that is shown stays healthy', well, shown, well],
  ])('%s', (_what, before, finding, after) => {
    expect(healthAfter(before, finding, nowMs)).toEqual(after);
  });
});

describe('a stored health', () => {
  test.each<Health>([well, wellOnce, ill, unconfirmed])('%j is read as it was written', (health) => {
    expect(storedHealthSchema.parse(health)).toEqual(health);
  });

  test.each([
    { status: 'resting', since: 1 },
    { status: 'unknown', since: 1, reason: 'of a later version' },
    { status: 'healthy' },
    'healthy',
    null,
  ])('%j of a later version is ignored', (health) => {
    expect(storedHealthSchema.parse(health)).toBeUndefined();
  });

  test('a health is shown with its time as text, and without a failure that is not confirmed', () => {
    const view = healthView({ ...ill, since: 1_000, failedAt: 2_000 });
    expect(view).toEqual({ status: 'unhealthy', since: '1970-01-01T00:00:01.000Z', reason: 'disabled' });
  });
});
