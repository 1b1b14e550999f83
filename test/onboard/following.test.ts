import { expect, test } from 'vitest';
import { settingsOf, type Configuration } from '../../functions/core/instance.ts';
import { endAfterAsking, endBeforeAsking } from '../../infra/onboard/following.ts';

const key = { tenantId: 'acme', elementKey: 'taxify' };
const settings = (configuration: Configuration) => settingsOf(key, { configuration });
const { fingerprint } = settings({ 'pagination.max': 5 });
const ask = { ...key, id: 'acme/taxify', detail: '{}', fingerprint };

const own = settings({ 'pagination.max': 5, 'api.key': 'own', 'base.url': 'https://elsewhere.example' });
const named = settingsOf(key, { name: 'Other', configuration: { 'pagination.max': 5 } });

test.each([
  ['from the tenant’s secret is as the row asks for', { source: 'secret', fingerprint }, 'active'],
  ['of an earlier version is as the row asks for', { fingerprint }, 'active'],
  ['of a caller’s own key is another one', { source: 'request', fingerprint: own.fingerprint }, 'failed'],
  ['with another name is another one', { source: 'secret', fingerprint: named.fingerprint }, 'failed'],
] as const)('an active instance %s', (_what, row, outcome) => {
  const state = { ...key, status: 'active' as const, ...row };
  expect(endBeforeAsking(ask, state)).toMatchObject({ outcome, asked: false });
  expect(endAfterAsking(ask, 'event-1', state)).toMatchObject({ outcome, asked: true });
});
