import { expect, test } from 'vitest';
import { concernsNoTenantSecret, secretChangeFromEvent } from '../../../functions/model/secret-events.ts';

const name = 'stage/tenants/acme/taxify';
const detail = { name, labelUpdated: 'AWSCURRENT' };
const event = (fields: object = {}, type = 'Secret Label Updated') => ({
  id: 'e-1',
  'detail-type': type,
  detail: { ...detail, ...fields },
});

test('a changed secret names its tenant and element', () => {
  expect(secretChangeFromEvent(event(), 5)).toEqual({
    tenantId: 'acme',
    elementKey: 'taxify',
    secretName: name,
    arrivedAt: 5,
  });
  expect(concernsNoTenantSecret(event())).toBe(false);
});

test.each([
  'stage/platform',
  'stage/tenants/acme',
  'stage/tenants/acme/taxify/old',
  'tenants/acme/taxify',
  'stage/tenants/acme/Taxify',
  'stage/tenants/.acme/taxify',
  'stage/tenants//taxify',
])('the secret %s is no tenant’s', (other) => {
  expect(() => secretChangeFromEvent(event({ name: other }), 5)).toThrow(/wrong with the secret's name;/);
  expect(concernsNoTenantSecret(event({ name: other }))).toBe(true);
});

test.each(['AWSPENDING', 'AWSPREVIOUS', ''])(
  'the label %s of a tenant’s secret concerns no tenant',
  (labelUpdated) => {
    expect(concernsNoTenantSecret(event({ labelUpdated }))).toBe(true);
  },
);

test.each<[string, unknown]>([
  ['no event', null],
  ['no id', { ...event(), id: undefined }],
  ['another detail-type', event({}, 'Secret Deleted')],
  ['no name', event({ name: undefined })],
  ['no label', event({ labelUpdated: undefined })],
  ['no detail', { ...event(), detail: undefined }],
])('a message with %s is refused, and not passed over', (_what, message) => {
  expect(() => secretChangeFromEvent(message, 5)).toThrow(/wrong with the event;/);
  expect(concernsNoTenantSecret(message)).toBe(false);
});
