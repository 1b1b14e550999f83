import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { marshall } from '@aws-sdk/util-dynamodb';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import * as z from 'zod/mini';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import { createEventPublisher } from '../../../functions/adapters/event-publisher.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import {
  judged,
  settingsOf,
  wholeTenant,
  type EventOrigin,
  type InstanceRow,
} from '../../../functions/model/instance.ts';
import {
  activate,
  requestAgain,
  beginRemoval,
  markRemoved,
  claim,
  fail,
  lease,
  leaveInDoubt,
  release,
  restore,
  takeOver,
  tenantTombstone,
  tombstone,
  withNotice,
} from '../../../functions/core/lifecycle.ts';
import { resultOf, sourcesOfResults, type OutgoingEvent } from '../../../functions/model/result-events.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';
import { streamHandler } from '../../../functions/runtime/stream.ts';
import { startAwsEndpoint } from '../../../infra/local/aws/aws-endpoint.ts';
import { toStored } from '../../../functions/model/table.ts';

const key = { tenantId: 'acme', elementKey: 'taxify' };
const origin = 'https://cloud-elements.example';
const registrationId = 'registration-1';

function native(eventId: string): EventOrigin {
  return { dialect: 'native', eventId, sentAt: 0 };
}

/** Steps of a row's life, a second apart, each by the event given. */
let nowMs: number;
beforeEach(() => {
  nowMs = Date.parse('2026-11-23T12:00:00Z');
});

function claimant(requestedBy?: EventOrigin) {
  nowMs += 1_000;
  const requested = settingsOf(
    key,
    { name: 'Acme', tags: ['eu'], configuration: { 'api.key': 'its-key' } },
    requestedBy,
  );
  return {
    settings: judged(builtInCatalog, requested),
    origin,
    claimId: randomUUID(),
    nowMs,
    sendDeadline: nowMs + 1_000,
  };
}

const claimed = (requestedBy?: EventOrigin) => claim(claimant(requestedBy), randomUUID(), timing);
const taken = (row: InstanceRow, requestedBy?: EventOrigin) =>
  takeOver(row, claimant(requestedBy), true, timing);
const leased = (row: InstanceRow) => lease(row, claimant(), timing);

function activated(row: InstanceRow): InstanceRow {
  nowMs += 1_000;
  return activate(row, { instanceId: 4711, token: Buffer.from('ciphertext of the token') }, nowMs, timing);
}

function failed(row: InstanceRow, detail = 'Put the key into the secret.'): InstanceRow {
  nowMs += 1_000;
  const error = new OnboardingError('missing-configuration', detail, { requestId: 'r-1' });
  return fail(row, 0, error, nowMs, timing);
}

function tombstoned(row: InstanceRow, by?: EventOrigin): InstanceRow {
  const removal = { times: { event: nowMs }, by };
  return markRemoved(beginRemoval(row, removal, claimant(), timing), nowMs, timing);
}

function wholeTenantRemoved(by: EventOrigin): InstanceRow {
  const ids = { provisionId: randomUUID(), claimId: randomUUID() };
  const tenant = { tenantId: key.tenantId, elementKey: wholeTenant };
  return tenantTombstone({
    key: tenant,
    removal: { times: { event: nowMs }, by },
    ids,
    origin,
    nowMs,
    timing,
  });
}

function neverWas(by?: EventOrigin): InstanceRow {
  const ids = { provisionId: randomUUID(), claimId: randomUUID() };
  return tombstone({ key, removal: { times: { event: nowMs }, by }, ids, origin, nowMs, timing });
}

/** A write that makes the next row out of the one before. */
type RowWrite = () => [before: InstanceRow | undefined, after: InstanceRow];
const write =
  (rowBefore: () => InstanceRow, next: (row: InstanceRow) => InstanceRow): RowWrite =>
  () => {
    const before = rowBefore();
    return [before, next(before)];
  };

/** A claim that is given back: the row is as before it again. */
const givenBack =
  (rowBefore: () => InstanceRow, claimOver: (row: InstanceRow) => InstanceRow): RowWrite =>
  () => {
    const before = rowBefore();
    const row = claimOver(before);
    return [row, restore(row, before)];
  };

const activeBy = (eventId: string) => activated(claimed(native(eventId)));
const failedBy = (eventId: string) => failed(claimed(native(eventId)));
const tombstonedBy = (eventId: string) => tombstoned(activated(claimed()), native(eventId));
const requestedAgain = (row: InstanceRow, eventId: string) => requestAgain(row, native(eventId), claimant());
const inDoubt = (row: InstanceRow) =>
  leaveInDoubt(row, new OnboardingError('outcome-unknown', 'Unknown.'), nowMs, timing);
const beingRemoved = (row: InstanceRow, by?: EventOrigin) =>
  beginRemoval(row, { times: { event: nowMs }, by }, claimant(), timing);

test.each<[string, string, RowWrite]>([
  ['a row that becomes active is published as provisioned', 'InstanceProvisioned', write(claimed, activated)],
  [
    'an active row that another event requests is published as provisioned again',
    'InstanceProvisioned',
    write(
      () => activeBy('e-1'),
      (row) => requestedAgain(row, 'e-2'),
    ),
  ],
  [
    'an instance made over HTTP that an event requests is published as provisioned again',
    'InstanceProvisioned',
    write(
      () => activated(claimed()),
      (row) => requestedAgain(row, 'e-1'),
    ),
  ],
  [
    'an active row that is changed is published as updated',
    'InstanceUpdated',
    write(
      () => leased(activated(claimed({ ...native('e-1'), dialect: 'sbt-0.9', registrationId }))),
      (row) => ({ ...release(row, undefined), name: 'Other', changedAt: 1 }),
    ),
  ],
  [
    'a row that is changed again is published as updated again',
    'InstanceUpdated',
    write(
      () => ({ ...activeBy('e-1'), changedAt: 1 }),
      (row) => ({ ...row, changedAt: 2 }),
    ),
  ],
  ['a row that fails is published as failed', 'InstanceFailed', write(claimed, (row) => failed(row))],
  [
    'a claim over a failed row that fails again is published as failed',
    'InstanceFailed',
    write(
      () => taken(failed(claimed())),
      (row) => failed(row),
    ),
  ],
  [
    'a failed row that gets another reason is published as failed',
    'InstanceFailed',
    write(
      () => leased(failed(claimed())),
      (row) => failed(row),
    ),
  ],
  [
    'a failed row that another event requests is published as failed again',
    'InstanceFailed',
    write(
      () => failedBy('e-1'),
      (row) => requestedAgain(row, 'e-2'),
    ),
  ],
  [
    'a claim in doubt that has made nothing is published as failed',
    'InstanceFailed',
    write(
      () => leased(inDoubt(claimed())),
      (row) => failed(row),
    ),
  ],
  [
    'a finished removal is published as removed',
    'InstanceRemoved',
    write(
      () => beginRemoval(activated(claimed()), { times: { own: nowMs }, by: undefined }, claimant(), timing),
      (row) => markRemoved(row, nowMs, timing),
    ),
  ],
  [
    'a removal without an instance is published as removed',
    'InstanceRemoved',
    () => [undefined, neverWas(native('e-1'))],
  ],
  [
    'a removed instance that another event removes is published as removed again',
    'InstanceRemoved',
    write(
      () => tombstonedBy('e-1'),
      (row) => ({ ...row, removedBy: native('e-2') }),
    ),
  ],
])('%s', (_how, outcome, writeRow) => {
  const [before, after] = writeRow();
  expect(resultOf({ before, after })).toMatchObject({ ...key, outcome, events: [{ detailType: outcome }] });
});

test.each<[string, RowWrite]>([
  ['a new claim has no result', () => [undefined, claimed(native('e-1'))]],
  ['an active row that is leased has no result', write(() => activeBy('e-1'), leased)],
  [
    'an active row that is released has no result',
    write(
      () => leased(activeBy('e-1')),
      (row) => release(row, undefined),
    ),
  ],
  [
    'a write of an active row that leaves name, tags and configuration has no result',
    write(
      () => ({ ...activeBy('e-1'), changedAt: 1 }),
      (row) => ({ ...leased(row), checkAt: 1, secretInDoubtUntil: 1, updatedAt: row.updatedAt + 1 }),
    ),
  ],
  [
    'a changed row whose removal begins has no result',
    write(
      () => activeBy('e-1'),
      (row) => ({ ...row, changedAt: 1, status: 'deleting' }),
    ),
  ],
  ['a failed row that is leased has no result', write(() => failedBy('e-1'), leased)],
  ['a failed row that is leased and released has no result', givenBack(() => failedBy('e-1'), leased)],
  [
    'a failed row that is taken over has no result',
    write(
      () => failedBy('e-1'),
      (row) => taken(row, native('e-2')),
    ),
  ],
  [
    'a claim over a failed row that is released has no result',
    givenBack(
      () => failedBy('e-1'),
      (row) => taken(row),
    ),
  ],
  [
    'a claim over a failed row by another event that is released has no result',
    givenBack(
      () => failedBy('e-1'),
      (row) => taken(row, native('e-2')),
    ),
  ],
  ['a create in doubt has no result', write(() => claimed(native('e-1')), inDoubt)],
  [
    'a removal that begins has no result',
    write(
      () => activated(claimed()),
      (row) => beingRemoved(row, native('e-1')),
    ),
  ],
  [
    'a tombstone that is claimed for a new instance has no result',
    write(
      () => tombstoned(activated(claimed())),
      () => claimed(native('e-1')),
    ),
  ],
  [
    'a claim over a tombstone that is released has no result',
    givenBack(
      () => tombstoned(activeBy('e-1'), native('e-2')),
      () => claimed(),
    ),
  ],
  [
    'a tombstone that is rechecked has no result',
    write(
      () => leased(tombstonedBy('e-1')),
      (row) => release(row, undefined),
    ),
  ],
  [
    'a removed instance that an HTTP request removes again has no result',
    write(
      () => tombstonedBy('e-1'),
      (row) => ({ ...row, removedAt: nowMs + 5_000 }),
    ),
  ],
])('%s', (_when, writeRow) => {
  const [before, after] = writeRow();
  expect(resultOf({ before, after })).toEqual({ ...key, outcome: 'nothing-due', events: [] });
});

/** The events of a row that reaches a final state. */
function eventsOf(after: InstanceRow, before?: InstanceRow): OutgoingEvent[] {
  // As sent: without undefined fields.
  return JSON.parse(JSON.stringify(resultOf({ before, after }).events));
}

describe('a native event', () => {
  test('a native event names the provisioned instance and the request’s event', () => {
    expect(eventsOf(activated(claimed(native('e-1'))))).toEqual([
      {
        source: 'element-onboarding',
        detailType: 'InstanceProvisioned',
        detail: {
          tenantId: 'acme',
          element: { key: 'taxify' },
          id: 4711,
          name: 'Acme',
          tags: ['eu'],
          status: 'active',
          revision: nowMs,
          request: { eventId: 'e-1' },
        },
        timeMs: nowMs,
      },
    ]);
  });

  test('a native event names no request when no event requested the instance', () => {
    expect(eventsOf(activated(claimed()))[0]?.detail).not.toHaveProperty('request');
  });

  test('a native event of a failure has the reason', () => {
    expect(eventsOf(failed(claimed(native('e-1'))))).toMatchObject([
      {
        detailType: 'InstanceFailed',
        detail: {
          lastError: {
            code: 'missing-configuration',
            detail: 'Put the key into the secret.',
            requestId: 'r-1',
            at: '2026-11-23T12:00:02.000Z',
          },
        },
      },
    ]);
  });

  test('a native event of a removal names the removed instance', () => {
    const row = beginRemoval(
      activated(claimed(native('e-1'))),
      { times: { event: nowMs }, by: native('e-2') },
      claimant(),
      timing,
    );
    expect(eventsOf(markRemoved(row, nowMs, timing), row)).toMatchObject([
      { detailType: 'InstanceRemoved', detail: { id: 4711, name: 'Acme', request: { eventId: 'e-2' } } },
    ]);
  });

  test('a removal without an instance has neither id nor name in its native event', () => {
    expect(eventsOf(neverWas(native('e-1')))[0]?.detail).toEqual({
      tenantId: 'acme',
      element: { key: 'taxify' },
      tags: [],
      status: 'removed',
      revision: nowMs,
      request: { eventId: 'e-1' },
    });
  });

  test('a native event of the removal of a whole tenant names no element', () => {
    const removing = wholeTenantRemoved(native('e-1'));
    expect(eventsOf(markRemoved(removing, nowMs, timing), removing)[0]?.detail).toEqual({
      tenantId: 'acme',
      tags: [],
      status: 'removed',
      revision: nowMs,
      request: { eventId: 'e-1' },
    });
  });
});

/** The event beside the native one. */
function answerOf(events: OutgoingEvent[]): OutgoingEvent | undefined {
  expect(events).toHaveLength(2);
  expect(events[0]?.source).toBe('element-onboarding');
  return events[1];
}

describe.each([
  { dialect: 'sbt-0.5' as const, source: 'applicationPlaneEventSource', prefix: '' },
  { dialect: 'sbt-0.9' as const, source: 'sbt.application.plane', prefix: 'sbt_aws_' },
])('an answer to the toolkit ($dialect)', ({ dialect, source, prefix }) => {
  const requestedBy: EventOrigin = { dialect, eventId: 'e-1', sentAt: 0, registrationId };

  test('provisionSuccess has the instance id as a string', () => {
    expect(answerOf(eventsOf(activated(claimed(requestedBy))))).toEqual({
      source,
      detailType: `${prefix}provisionSuccess`,
      detail: {
        tenantRegistrationId: registrationId,
        jobOutput: {
          tenantData: { taxifyInstanceId: '4711' },
          tenantRegistrationData: { registrationStatus: 'created' },
        },
      },
      timeMs: nowMs,
    });
  });

  test('provisionFailure has the same envelope as provisionSuccess', () => {
    expect(answerOf(eventsOf(failed(claimed(requestedBy))))).toEqual({
      source,
      detailType: `${prefix}provisionFailure`,
      detail: {
        tenantRegistrationId: registrationId,
        jobOutput: { tenantData: {}, tenantRegistrationData: { registrationStatus: 'failed' } },
      },
      timeMs: nowMs,
    });
  });

  test('a toolkit response to a removal comes from the tenant’s tombstone, when that is removed', () => {
    const removing = wholeTenantRemoved(requestedBy);
    expect(resultOf({ before: undefined, after: removing }).events).toEqual([]);
    expect(answerOf(eventsOf(markRemoved(removing, nowMs, timing), removing))).toEqual({
      source,
      detailType: `${prefix}deprovisionSuccess`,
      detail: {
        tenantRegistrationId: registrationId,
        jobOutput: { tenantData: {}, tenantRegistrationData: { registrationStatus: 'deleted' } },
      },
      timeMs: nowMs,
    });
  });

  test.each(['taxify', 'freshdeskv2'])(
    'a toolkit response to a removal does not come from an instance of %s',
    (elementKey) => {
      expect(eventsOf({ ...neverWas(requestedBy), elementKey })).toHaveLength(1);
    },
  );

  test('a removal over HTTP gives no toolkit response', () => {
    const row = activated(claimed(requestedBy));
    expect(eventsOf(tombstoned(row), row)).toHaveLength(1);
  });

  test('provisionSuccess is published again when a request provisions a removed instance again', () => {
    const again = claim(
      claimant(),
      randomUUID(),
      timing,
      tombstoned(activated(claimed(requestedBy)), requestedBy),
    );
    expect(answerOf(eventsOf(activated(again), again))?.detailType).toBe(`${prefix}provisionSuccess`);
  });

  test('a native event that repairs a failed instance gives a toolkit response of success', () => {
    const mended = taken(failed(claimed(requestedBy)), native('e-2'));
    expect(answerOf(eventsOf(activated(mended), mended))?.detail).toMatchObject({
      tenantRegistrationId: registrationId,
    });
  });

  test('a refusal gives a toolkit response although the instance is unchanged', () => {
    const row = activated(claimed());
    const notice = {
      outcome: 'refused' as const,
      eventId: 'e-2',
      code: 'settings-conflict',
      detail: 'Other.',
    };
    const registration = { dialect, registrationId };
    const refused = withNotice(row, { ...notice, registration, at: nowMs + 5 }, 'attempt-2');
    const [own, toolkits] = eventsOf(refused, row);
    expect(own).toMatchObject({
      detailType: 'InstanceFailed',
      detail: { status: 'active', lastError: { code: 'settings-conflict' }, request: { eventId: 'e-2' } },
    });
    expect(toolkits?.detailType).toBe(`${prefix}provisionFailure`);
  });
});

const activeWith = (health: InstanceRow['health']) => ({ ...activeBy('e-1'), health });

describe('the health of an active instance', () => {
  const [well, ill, unknown] = [
    { status: 'healthy', since: 1 },
    { status: 'unhealthy', since: 2, reason: 'gone' },
    { status: 'unknown', since: 3, reason: 'no-ping' },
  ] as const;

  test.each<[string, InstanceRow['health'], InstanceRow['health'], string]>([
    ['a healthy instance that turns unhealthy is published', well, ill, 'InstanceUnhealthy'],
    ['an instance that turns unhealthy at its first check is published', undefined, ill, 'InstanceUnhealthy'],
    ['an unknown instance that turns unhealthy is published', unknown, ill, 'InstanceUnhealthy'],
    ['an unhealthy instance that turns healthy is published', ill, well, 'InstanceRecovered'],
    ['an unhealthy instance that turns unknown is published', ill, unknown, 'InstanceRecovered'],
    ['a first check that succeeds is not published', undefined, well, 'nothing-due'],
    ['a check without a result is not published', well, unknown, 'nothing-due'],
    ['another failure of an unhealthy instance is not published', ill, { ...ill, since: 9 }, 'nothing-due'],
    ['an unhealthy instance whose health is forgotten is not published', ill, undefined, 'nothing-due'],
  ])('%s', (_what, before, after, outcome) => {
    const row = activeWith(before);
    const result = resultOf({ before: row, after: { ...row, health: after } });
    expect([result.outcome, result.events.length]).toEqual([outcome, outcome === 'nothing-due' ? 0 : 1]);
  });

  test('the event of an unhealthy instance has its health, and answers no request', () => {
    const row = {
      ...activeWith(well),
      requestedBy: { ...native('e-1'), dialect: 'sbt-0.9' as const, registrationId },
    };
    expect(eventsOf({ ...row, health: ill }, row)).toEqual([
      {
        source: 'element-onboarding',
        detailType: 'InstanceUnhealthy',
        detail: {
          tenantId: 'acme',
          element: { key: 'taxify' },
          id: 4711,
          name: 'Acme',
          tags: ['eu'],
          status: 'active',
          revision: row.revision,
          health: { status: 'unhealthy', since: '1970-01-01T00:00:00.002Z', reason: 'gone' },
        },
        timeMs: row.revision,
      },
    ]);
  });

  test.each(['provisioning', 'failed', 'deleting', 'removed'] as const)(
    'the health of an instance that is, or was, %s is not published',
    (status) => {
      const [before, after] = [activeWith(well), activeWith(ill)];
      const names = [
        ...eventsOf({ ...after, status }, before),
        ...eventsOf(after, { ...before, status }),
      ].map(({ detailType }) => detailType);
      expect(names).not.toContain('InstanceUnhealthy');
    },
  );
});

const answered = (after: InstanceRow, before: InstanceRow) =>
  eventsOf(after, before).map(({ detailType, detail }) => [detailType, Reflect.get(detail, 'request')]);

describe('a notice', () => {
  const notice = {
    outcome: 'refused',
    eventId: 'n-1',
    code: 'not-found',
    detail: 'None.',
    at: 1_000,
  } as const;
  const row = () => ({ ...activeBy('e-1'), notices: [notice] });

  test('a notice is published once, and again when its event is answered again', () => {
    const before = row();
    expect(answered(before, before)).toEqual([]);
    const twice = { ...before, notices: [notice, { ...notice, at: 2_000 }] };
    expect(answered(twice, before)).toEqual([['InstanceFailed', { eventId: 'n-1' }]]);
    const others = {
      ...before,
      notices: [notice, { ...notice, eventId: 'n-2' }, { ...notice, eventId: 'n-3' }],
    };
    expect(answered(others, before)).toEqual([
      ['InstanceFailed', { eventId: 'n-2' }],
      ['InstanceFailed', { eventId: 'n-3' }],
    ]);
  });

  test('a refusal has its own code, detail and time', () => {
    const before = { ...row(), notices: undefined };
    const errorOf = (fields: object) => {
      const [event] = eventsOf({ ...before, notices: [{ ...notice, ...fields }] }, before);
      return Reflect.get(event?.detail ?? {}, 'lastError');
    };
    const at = '1970-01-01T00:00:01.000Z';
    expect(errorOf({})).toEqual({ code: 'not-found', detail: 'None.', at });
    expect(errorOf({ code: undefined, detail: undefined })).toEqual({ code: 'internal', detail: '', at });
  });

  test('a removal that was carried out before is answered in the dialect of its own request', () => {
    const before = neverWas();
    const registration = { dialect: 'sbt-0.9', registrationId } as const;
    const after = {
      ...before,
      elementKey: wholeTenant,
      notices: [{ outcome: 'removed' as const, eventId: 'n-1', registration, at: 1_000 }],
    };
    expect(eventsOf(after, { ...before, elementKey: wholeTenant })).toMatchObject([
      { detailType: 'InstanceRemoved', detail: { request: { eventId: 'n-1' } } },
      { detailType: 'sbt_aws_deprovisionSuccess', detail: { tenantRegistrationId: registrationId } },
    ]);
  });

  test('a notice and the result of its write are published in this order', () => {
    const after = { ...row(), changedAt: 1, health: { status: 'unhealthy' as const, since: 2 } };
    const before = { ...after, notices: undefined, changedAt: undefined, health: undefined };
    const result = resultOf({ before, after });
    expect(result.events.map(({ detailType }) => detailType)).toEqual([
      'InstanceFailed',
      'InstanceUpdated',
      'InstanceUnhealthy',
    ]);
    expect(result.outcome).toBe('InstanceUnhealthy');
  });
});

const sourcesIn = (events: OutgoingEvent[]) => events.map(({ source }) => source);

describe('an answer to the toolkit that is due, or not', () => {
  const sbt: EventOrigin = { dialect: 'sbt-0.5', eventId: 'e-1', sentAt: 5_000, registrationId };

  test('an instance of another element than the toolkit’s gives none', () => {
    const row = { ...activated(claimed(sbt)), elementKey: 'freshdeskv2' };
    expect(sourcesIn(eventsOf(row))).toEqual(['element-onboarding']);
  });

  test('a provisioned instance without an id gives none to the tenant', () => {
    const row = { ...activated(claimed(sbt)), instanceId: undefined };
    expect(eventsOf(row)[1]?.detail).toHaveProperty('jobOutput.tenantData', {});
  });

  test('a failed instance with an id gives none to the tenant', () => {
    const row = { ...failed(claimed(sbt)), instanceId: 4711 };
    expect(eventsOf(row)[1]?.detail).toHaveProperty('jobOutput.tenantData', {});
  });

  test('a removal that an earlier version began for the toolkit is answered from its instance', () => {
    const earlier = { ...neverWas(), removedTimes: undefined, removedBy: undefined, requestedBy: sbt };
    expect(sourcesIn(eventsOf({ ...earlier, removedAt: 5_000 }))).toEqual([
      'element-onboarding',
      'applicationPlaneEventSource',
    ]);
    expect(sourcesIn(eventsOf({ ...earlier, removedAt: 6_000 }))).toEqual(['element-onboarding']);
    const now = { ...earlier, removedAt: 5_000, removedTimes: { event: 5_000 }, removedBy: sbt };
    expect(sourcesIn(eventsOf(now))).toEqual(['element-onboarding']);
  });

  test.each([
    [undefined, 'applicationPlaneEventSource'],
    ['my.plane', 'my.plane'],
  ])('events of the toolkit whose source is %s go out from %s, and our own from ours', (plane, source) => {
    const sourceOf = sourcesOfResults(plane);
    expect(eventsOf(activated(claimed(sbt))).map(sourceOf)).toEqual(['element-onboarding', source]);
  });
});

test('a row of an earlier version, without a revision, has the time of its writing', () => {
  const row = { ...activeBy('e-1'), revision: undefined, updatedAt: 77 };
  expect(eventsOf(row)).toMatchObject([{ timeMs: 77, detail: { revision: 77 } }]);
});

describe('a failed or removed row that is written again', () => {
  test('a failure that an import gives back is not published again', () => {
    const row = failedBy('e-1');
    const importing: InstanceRow = { ...claimed(), lastError: undefined };
    expect(eventsOf({ ...row, provisionId: 'other' }, importing)).toEqual([]);
    expect(eventsOf({ ...row, provisionId: importing.provisionId }, importing)).toHaveLength(1);
  });

  test('a failed row with the same error and another revision is published unless it was failed before', () => {
    const row = failedBy('e-1');
    const again = { ...row, revision: (row.revision ?? 0) + 1 };
    expect(eventsOf(again, { ...row, status: 'provisioning' })).toHaveLength(1);
    expect(eventsOf(row, { ...row, status: 'provisioning' })).toEqual([]);
    expect(eventsOf(again, row)).toEqual([]);
  });

  test('a new row that failed, or was removed, is published', () => {
    expect(eventsOf({ ...failedBy('e-1'), lastError: undefined, revision: undefined })).toEqual([]);
    expect(eventsOf({ ...failedBy('e-1'), lastError: undefined })).toHaveLength(1);
    expect(eventsOf(neverWas())).toHaveLength(1);
  });
});

describe('images', () => {
  test('a result event contains only named fields of the stream image', () => {
    const row = activated(claimed({ ...native('e-1'), dialect: 'sbt-0.9', registrationId }));
    const text = JSON.stringify(resultOf({ before: undefined, after: row }));
    for (const value of [row.fingerprint, row.provisionId, row.claimId, origin, 'its-key', 'ciphertext']) {
      expect(text).not.toContain(value);
    }
    expect(Object.keys(JSON.parse(text).events[0].detail)).toEqual([
      'tenantId',
      'element',
      'id',
      'name',
      'tags',
      'status',
      'revision',
      'request',
    ]);
  });

  test.each([
    ['no row', undefined],
    ['a later layout', { v: 2 }],
    ['no status', { status: undefined }],
    ['another kind of id', { instanceId: 'secret-4711' }],
  ])('images with %s are refused, without quoting them', (_what, fields) => {
    const after = fields && { ...activated(claimed()), ...fields };
    expect(() => resultOf({ before: undefined, after })).toThrow(OnboardingError);
    expect(() => resultOf({ before: undefined, after })).not.toThrow(/secret/);
    expect(() => resultOf({ before: undefined, after })).toThrow(/wrong with the new image;/);
    expect(() => resultOf({ before: { ...fields }, after: activated(claimed()) })).toThrow(
      /wrong with the old image;/,
    );
  });
});

/** The result of one write: an event of this name. */
const named = (detailType: string, detail = {}, tenantId = detailType) => ({
  tenantId,
  events: [{ source: 'element-onboarding', detailType, detail, timeMs: nowMs }],
});

describe('the publisher', () => {
  const requestSchema = z.object({
    Entries: z.array(z.object({ DetailType: z.string(), Detail: z.string() })),
  });
  /** Names of the entries that the next calls refuse. */
  let refusals: string[][];
  let calls: string[][];
  let endpoint: Awaited<ReturnType<typeof startAwsEndpoint>>;
  let client: EventBridgeClient;

  beforeAll(async () => {
    endpoint = await startAwsEndpoint({
      operations: {
        'AWSEvents.PutEvents': (body) => {
          const names = requestSchema.parse(body).Entries.map(({ DetailType }) => DetailType);
          calls.push(names);
          const refused = refusals.shift() ?? [];
          return {
            FailedEntryCount: refused.length,
            Entries: names.map((name) =>
              refused.includes(name) ? { ErrorCode: 'ThrottlingException' } : { EventId: randomUUID() },
            ),
          };
        },
      },
    });
    const credentials = { accessKeyId: 'tests', secretAccessKey: 'tests' };
    client = new EventBridgeClient({ endpoint: endpoint.url, region: 'us-east-1', credentials });
  });
  afterAll(async () => {
    client.destroy();
    await endpoint.stop();
  });
  beforeEach(() => {
    refusals = [];
    calls = [];
  });

  const delaysMs: number[] = [];
  beforeEach(() => {
    delaysMs.length = 0;
  });
  const publish = (results: ReturnType<typeof named>[]) =>
    createEventPublisher({
      client,
      busName: 'a-bus',
      sleep: async (delayMs) => delaysMs.push(delayMs),
    })(results);

  test('the publisher makes no call without events', async () => {
    await publish([]);
    expect(calls).toEqual([]);
  });

  test('the publisher sends at most ten events per call, in order', async () => {
    const names = Array.from({ length: 23 }, (_, index) => `event-${index}`);
    await publish(names.map((name) => named(name)));
    expect(calls).toEqual([names.slice(0, 10), names.slice(10, 20), names.slice(20)]);
  });

  test('the publisher sends at most 256 KB per call', async () => {
    // Three bytes a character: 150 KB each.
    const large = { text: '€'.repeat(50 * 1_024) };
    await publish([named('a', large), named('b', large), named('c')]);
    expect(calls).toEqual([['a'], ['b', 'c']]);
  });

  test('the publisher sends only failed entries again, after a delay', async () => {
    refusals = [['b', 'd'], ['d']];
    await publish(['a', 'b', 'c', 'd'].map((name) => named(name)));
    expect(calls).toEqual([['a', 'b', 'c', 'd'], ['b', 'd'], ['d']]);
    expect(delaysMs).toEqual([100, 300]);
  });

  test('the publisher puts the results of two writes of a tenant into two calls, in order', async () => {
    await publish([
      named('provisioned', {}, 'acme'),
      named('other', {}, 'globex'),
      named('removed', {}, 'acme'),
      named('again', {}, 'acme'),
    ]);
    expect(calls).toEqual([['provisioned', 'other'], ['removed'], ['again']]);
  });

  test('the publisher sends no later result of a tenant before a failed one is accepted', async () => {
    refusals = [['provisioned'], ['provisioned'], ['provisioned'], ['provisioned']];
    const results = [named('provisioned', {}, 'acme'), named('removed', {}, 'acme')];
    await expect(publish(results)).rejects.toMatchObject({ code: 'aws-unavailable' });
    expect(calls.flat()).not.toContain('removed');
  });

  test('the publisher fails after its last call, and reports count and reason', async () => {
    refusals = [['b'], ['b'], ['b'], ['b'], ['b']];
    await expect(publish([named('a'), named('b')])).rejects.toMatchObject({
      code: 'aws-unavailable',
      message: 'EventBridge did not take 1 of 2 events: ThrottlingException.',
    });
    expect(calls).toHaveLength(4);
  });
});

describe('the handler of a stream', () => {
  beforeAll(() => {
    vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  });
  afterAll(() => {
    vi.restoreAllMocks();
  });

  const context = { awsRequestId: 'request-1', getRemainingTimeInMillis: () => 10_000 };
  const bad = 'not a row';

  function record(name: string) {
    const row: InstanceRow = { ...activated(claimed()), name };
    const item = marshall(toStored(row), { removeUndefinedValues: true });
    return {
      eventID: name,
      dynamodb: { SequenceNumber: `at-${name}`, NewImage: name === bad ? { status: { S: 'active' } } : item },
    };
  }

  /** A handler that records the names of published events, and fails for the given names. */
  function startHandler(...failing: string[]) {
    const published: unknown[] = [];
    const handler = streamHandler({
      open: () => undefined,
      parse: resultOf,
      handle: async (results) => {
        const names = results.flatMap(({ events }) =>
          events.map(({ detail }) => Reflect.get(detail, 'name')),
        );
        if (names.some((name) => failing.includes(name)))
          throw new OnboardingError('aws-unavailable', 'no bus');
        published.push(...names);
      },
    });
    return { published, deliver: (...names: string[]) => handler({ Records: names.map(record) }, context) };
  }

  test('the stream handler passes on all changes of a batch at once and in order', async () => {
    const { published, deliver } = startHandler();
    expect(await deliver('a', 'b', 'c')).toEqual({ batchItemFailures: [] });
    expect(published).toEqual(['a', 'b', 'c']);
  });

  test('the stream handler handles records before an unreadable one, and names that one', async () => {
    const { published, deliver } = startHandler();
    expect(await deliver('a', 'b', bad, 'c')).toEqual({
      batchItemFailures: [{ itemIdentifier: `at-${bad}` }],
    });
    expect(published).toEqual(['a', 'b']);
  });

  test('the stream handler throws when no record could be handled, so that Lambda halves the batch', async () => {
    const { published, deliver } = startHandler('b');
    await expect(deliver('a', 'b')).rejects.toThrow('None of 2 records could be handled');
    await expect(deliver(bad, 'a')).rejects.toThrow('None of 2 records could be handled');
    expect(published).toEqual([]);
  });

  test('the stream handler names the only record of a batch when it fails', async () => {
    const { deliver } = startHandler('a');
    expect(await deliver('a')).toEqual({ batchItemFailures: [{ itemIdentifier: 'at-a' }] });
    expect(await deliver(bad)).toEqual({ batchItemFailures: [{ itemIdentifier: `at-${bad}` }] });
  });
});
