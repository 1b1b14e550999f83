import { describe, expect, test } from 'vitest';
import type { EventOrigin, InstanceRow } from '../../../functions/model/instance.ts';
import {
  awaitsFirstLook,
  registrationOf,
  removalIdsOf,
  removedByOf,
  removedTimesOf,
  requestedTimesOf,
} from '../../../functions/model/row-history.ts';
import { fakePorts } from '../../support/fake-ports.ts';

const native = (sentAt: number): EventOrigin => ({ dialect: 'native', eventId: `e-${sentAt}`, sentAt });
const row = (): InstanceRow => ({ ...fakePorts().claimed(), requestedTimes: undefined, updatedAt: 100 });

describe('the times of a row of an earlier version', () => {
  test.each<[string, Partial<InstanceRow>, object]>([
    ['the event’s, if it is that of the event', { requestedBy: native(90) }, { event: 90 }],
    ['the event’s up to the row’s writing', { requestedBy: native(100), requestedAt: 100 }, { event: 100 }],
    ['ours, if the sender’s clock was ahead', { requestedBy: native(101), requestedAt: 101 }, { own: 100 }],
    ['ours, if it is not that of the event', { requestedBy: native(80) }, { own: 90 }],
    ['ours, without an event', {}, { own: 90 }],
  ])('the time of the request is %s', (_what, fields, times) => {
    expect(requestedTimesOf({ ...row(), requestedAt: 90, ...fields })).toEqual(times);
  });

  test.each<[string, Partial<InstanceRow>, object]>([
    ['none without a removal', {}, {}],
    ['ours, without an event', { removedAt: 90 }, { own: 90 }],
    ['the event’s, if it is that of the event', { removedAt: 90, requestedBy: native(90) }, { event: 90 }],
  ])('the time of the removal is %s', (_what, fields, times) => {
    expect(removedTimesOf({ ...row(), ...fields })).toStrictEqual(times);
  });

  test('a row of this version has its times by each clock', () => {
    const [requestedTimes, removedTimes] = [{ event: 1, own: 2 }, { queue: 3 }];
    const now = { ...row(), requestedAt: 90, removedAt: 91, requestedTimes, removedTimes };
    expect([requestedTimesOf(now), removedTimesOf(now)]).toEqual([requestedTimes, removedTimes]);
    expect(removedTimesOf({ ...now, removedTimes: {} })).toEqual({});
  });
});

describe('the event that requested a removal', () => {
  const [requestedBy, removedBy] = [native(1), native(2)];

  test.each<[string, Partial<InstanceRow>, EventOrigin | undefined]>([
    ['as the row says', { status: 'removed', removedBy, requestedBy }, removedBy],
    ['as the row says while it is active', { status: 'active', removedBy, requestedBy }, removedBy],
    [
      'in place of the request in an earlier version’s tombstone',
      { status: 'removed', requestedBy },
      requestedBy,
    ],
    [
      'in place of the request in an earlier version’s removal',
      { status: 'deleting', requestedBy },
      requestedBy,
    ],
    ['not known of an active row', { status: 'active', requestedBy }, undefined],
    ['none of a removal over HTTP', { status: 'removed', removedTimes: { own: 1 }, requestedBy }, undefined],
    ['none of an earlier version’s removal over HTTP', { status: 'removed' }, undefined],
  ])('the event is %s', (_what, fields, by) => {
    const removed = { ...row(), requestedBy: undefined, ...fields };
    expect(removedByOf(removed)).toEqual(by);
    expect(removalIdsOf(removed)).toEqual(by === undefined ? [] : [by.eventId]);
    expect(removalIdsOf({ ...removed, removalIds: ['a', 'b'] })).toEqual(['a', 'b']);
  });
});

describe('the toolkit’s request that a tenant came by', () => {
  const registration = { dialect: 'sbt-0.5', registrationId: 'first' } as const;
  const requestedBy: EventOrigin = { dialect: 'sbt-0.9', eventId: 'e', registrationId: 'second', sentAt: 1 };

  test.each([
    ['the first one that is recorded', { registration, requestedBy }, registration],
    ['the one of the request', { requestedBy }, { dialect: 'sbt-0.9', registrationId: 'second' }],
    ['none without an event', {}, undefined],
    ['none with a native event', { requestedBy: { ...requestedBy, dialect: 'native' as const } }, undefined],
    ['none without its id', { requestedBy: { ...requestedBy, registrationId: undefined } }, undefined],
  ])('the registration is %s', (_what, fields, expected) => {
    expect(registrationOf(fields)).toEqual(expected);
  });
});

test.each([
  ['provisioning', undefined, true],
  ['deleting', undefined, true],
  ['provisioning', 1, false],
  ['deleting', 1, false],
  ['active', undefined, false],
  ['failed', undefined, false],
  ['removed', undefined, false],
] as const)('a row that is %s, last looked at %s, awaits its first look: %s', (status, lookedAt, awaits) => {
  expect(awaitsFirstLook({ ...row(), status, lookedAt })).toBe(awaits);
});
