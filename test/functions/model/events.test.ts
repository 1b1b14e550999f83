import { describe, expect, test } from 'vitest';
import { OnboardingError } from '../../../functions/model/errors.ts';
import {
  concernsNoTenant,
  offboardingFromEvent,
  settingsFromEvent,
} from '../../../functions/model/events.ts';

const arrivedAt = Date.parse('2026-11-26T12:00:05.678Z');
const sentAt = Date.parse('2026-11-26T12:00:03Z');
const sbtDetail = { tenantId: 'acme', tenantRegistrationId: 'registration-1', email: 'x' };

function eventOf(detailType: string, detail: unknown, fields = {}) {
  return {
    id: 'e-1',
    source: 'any',
    'detail-type': detailType,
    time: '2026-11-26T12:00:03Z',
    detail,
    ...fields,
  };
}

function refusalOf(act: () => unknown): OnboardingError {
  try {
    act();
  } catch (error) {
    if (error instanceof OnboardingError) return error;
  }
  return expect.fail('It was not refused.');
}

const dialects = [
  ['sbt-0.5', 'onboardingRequest', 'offboardingRequest'],
  ['sbt-0.9', 'sbt_aws_onboardingRequest', 'sbt_aws_offboardingRequest'],
] as const;

describe('an onboarding event', () => {
  test('a native event has its own settings, and is remembered with the request', () => {
    const detail = {
      tenantId: 'acme',
      element: { key: 'stripe' },
      name: 'Acme',
      tags: ['eu'],
      configuration: { 'pagination.max': 5 },
      cachingEnabled: true,
    };
    expect(settingsFromEvent(eventOf('TenantOnboarded', detail), arrivedAt)).toEqual({
      tenantId: 'acme',
      elementKey: 'stripe',
      name: 'Acme',
      tags: ['eu'],
      configuration: { 'pagination.max': 5 },
      options: { cachingEnabled: true },
      requestedBy: { dialect: 'native', eventId: 'e-1', sentAt, isCut: undefined },
    });
  });

  test('a native event that names no element means taxify', () => {
    const settings = settingsFromEvent(eventOf('TenantOnboarded', { tenantId: 'acme' }), arrivedAt);
    expect(settings).toMatchObject({ elementKey: 'taxify', name: 'taxify-acme' });
  });

  test.each(dialects)('an event of %s means taxify, and nothing else in it is a setting', (dialect, type) => {
    const detail = { ...sbtDetail, name: 'x', element: { key: 'stripe' } };
    expect(settingsFromEvent(eventOf(type, detail), arrivedAt)).toEqual({
      tenantId: 'acme',
      elementKey: 'taxify',
      name: 'taxify-acme',
      tags: [],
      configuration: {},
      options: undefined,
      requestedBy: { dialect, eventId: 'e-1', registrationId: 'registration-1', sentAt, isCut: undefined },
    });
  });
});

describe('an offboarding event', () => {
  test.each([
    ['the whole tenant', {}, undefined],
    ['one element', { element: { key: 'stripe' } }, 'stripe'],
  ])('a native event removes %s', (_what, fields, elementKey) => {
    const event = eventOf('TenantOffboarded', { tenantId: 'acme', ...fields });
    expect(offboardingFromEvent(event, arrivedAt)).toEqual({
      tenantId: 'acme',
      elementKey,
      removal: {
        times: { event: sentAt },
        by: { dialect: 'native', eventId: 'e-1', sentAt, isCut: undefined },
      },
    });
  });

  test.each(dialects)('an event of %s removes the whole tenant', (dialect, _onboarding, type) => {
    const detail = { ...sbtDetail, element: { key: 'stripe' } };
    expect(offboardingFromEvent(eventOf(type, detail), arrivedAt)).toEqual({
      tenantId: 'acme',
      elementKey: undefined,
      removal: {
        times: { event: sentAt },
        by: { dialect, eventId: 'e-1', registrationId: 'registration-1', sentAt, isCut: undefined },
      },
    });
  });
});

describe('the time of an event', () => {
  const originOf = (fields: object) =>
    settingsFromEvent(eventOf('TenantOnboarded', { tenantId: 'acme' }, fields), arrivedAt).requestedBy;

  test.each<[string, object, object]>([
    ['before the arrival', { time: '2026-11-26T12:00:05Z' }, { sentAt: arrivedAt - 678 }],
    ['the moment of the arrival', { time: '2026-11-26T12:00:05.678Z' }, { sentAt: arrivedAt }],
    ['after the arrival', { time: '2026-11-26T12:00:05.679Z' }, { sentAt: arrivedAt - 678, isCut: true }],
    ['of another time zone', { time: '2026-11-26T13:00:03+01:00' }, { sentAt }],
    ['cut by a redrive', { isTimeCut: true }, { sentAt, isCut: true }],
    ['not cut by a redrive', { isTimeCut: false }, { sentAt }],
  ])('a time %s is that of the event, never later than its arrival', (_what, fields, origin) => {
    expect(originOf(fields)).toEqual({ dialect: 'native', eventId: 'e-1', ...origin });
  });

  test('an event whose time was cut is removed by the queue’s clock', () => {
    const event = eventOf('TenantOffboarded', { tenantId: 'acme' }, { time: '2027-01-01T00:00:00Z' });
    expect(offboardingFromEvent(event, arrivedAt).removal.times).toEqual({ queue: arrivedAt - 678 });
  });
});

const faultsOf = (event: unknown, read: (event: unknown, arrivedAt: number) => unknown = settingsFromEvent) =>
  refusalOf(() => read(event, arrivedAt)).facts.problems;

describe('an event that is refused', () => {
  const detail = { tenantId: 'acme' };

  test.each([
    ['no event', null, [{ pointer: '#', detail: 'expected an object' }]],
    [
      'nothing in it',
      {},
      [
        { pointer: '#/id', detail: 'is missing: expected text' },
        { pointer: '#/source', detail: 'is missing: expected text' },
        { pointer: '#/detail-type', detail: 'is missing: expected text' },
        { pointer: '#/time', detail: 'is missing: expected an ISO 8601 time' },
        { pointer: '#/detail', detail: 'is missing: expected a value' },
      ],
    ],
    [
      'a long id',
      eventOf('TenantOnboarded', detail, { id: 'x'.repeat(129) }),
      [{ pointer: '#/id', detail: 'expected at most 128 characters' }],
    ],
    [
      'no time',
      eventOf('TenantOnboarded', detail, { time: 'now' }),
      [{ pointer: '#/time', detail: 'expected an ISO 8601 time' }],
    ],
    [
      'another detail-type',
      eventOf('TenantOffboarded', detail),
      [
        {
          pointer: '#/detail-type',
          detail: 'expected one of TenantOnboarded, onboardingRequest, sbt_aws_onboardingRequest',
        },
      ],
    ],
  ])('an event with %s is refused with every fault', (_what, event, faults) => {
    expect(faultsOf(event)).toEqual(faults);
  });

  test('an id of 128 characters is accepted', () => {
    const id = 'x'.repeat(128);
    expect(
      settingsFromEvent(eventOf('TenantOnboarded', detail, { id }), arrivedAt).requestedBy?.eventId,
    ).toBe(id);
  });

  test('an offboarding of another detail-type is refused', () => {
    const wrong = () => offboardingFromEvent(eventOf('TenantOnboarded', detail), arrivedAt);
    for (const act of [wrong, () => settingsFromEvent(null, arrivedAt)]) {
      expect(refusalOf(act).message).toMatch(/^One thing is wrong with the event; /);
    }
    expect(faultsOf(eventOf('TenantOnboarded', detail), offboardingFromEvent)).toEqual([
      {
        pointer: '#/detail-type',
        detail: 'expected one of TenantOffboarded, offboardingRequest, sbt_aws_offboardingRequest',
      },
    ]);
  });

  test.each<[string, (event: unknown, arrivedAt: number) => unknown, string]>([
    ['an onboarding', settingsFromEvent, 'TenantOnboarded'],
    ['an offboarding', offboardingFromEvent, 'TenantOffboarded'],
    ['an onboarding of the toolkit', settingsFromEvent, 'onboardingRequest'],
    ['an offboarding of the toolkit', offboardingFromEvent, 'sbt_aws_offboardingRequest'],
  ])('%s without a tenant is refused, and its event is named', (_what, read, type) => {
    const error = refusalOf(() => read(eventOf(type, { tenantRegistrationId: 'r' }), arrivedAt));
    expect(error.facts.problems).toContainEqual({
      pointer: '#/tenantId',
      detail: 'is missing: expected text',
    });
    expect(error.message).toContain(`wrong with the detail of ${type} e-1;`);
  });

  test.each([
    ['of the event', { name: 'x' }, '#/name'],
    ['of its element', { element: { key: 'taxify', id: 1 } }, '#/element/id'],
  ])('an offboarding with an unknown field %s is refused', (_where, fields, pointer) => {
    const event = eventOf('TenantOffboarded', { ...detail, ...fields });
    expect(refusalOf(() => offboardingFromEvent(event, arrivedAt)).facts.problems).toEqual([
      { pointer, detail: 'is not a known field' },
    ]);
  });
});

describe('an event of AWS Marketplace', () => {
  const types = dialects.flatMap(([, ...each]) => each);

  test.each(types)('a request %s without both ids concerns no tenant', (type) => {
    expect(concernsNoTenant(eventOf(type, { customer: 'x' }))).toBe(true);
    expect(concernsNoTenant(eventOf(type, { tenantId: 'acme' }))).toBe(false);
    expect(concernsNoTenant(eventOf(type, { tenantRegistrationId: 1 }))).toBe(false);
    expect(concernsNoTenant(eventOf(type, sbtDetail))).toBe(false);
  });

  test.each([
    eventOf('TenantOnboarded', {}),
    eventOf('xonboardingRequest', {}),
    eventOf('onboardingRequests', {}),
    eventOf('sbt_aws_sbt_aws_onboardingRequest', {}),
    eventOf('boardingRequest', {}),
    eventOf('onboardingRequest', null),
    {},
    null,
  ])('the message %j is no such event', (message) => {
    expect(concernsNoTenant(message)).toBe(false);
  });
});
