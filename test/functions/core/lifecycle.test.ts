import { describe, expect, test } from 'vitest';
import { builtInCatalog, catalogWith } from '../../../functions/model/built-in-catalog.ts';
import {
  activate,
  activateImport,
  beginGeneration,
  beginImport,
  beginRemoval,
  claim,
  continueImport,
  decide,
  fail,
  isSameButHealth,
  leaveInDoubt,
  markRemoved,
  nextRevision,
  rememberRemoval,
  requestAgain,
  restore,
  takeOver,
  tenantTombstone,
  tombstone,
  withNotice,
  type Claimant,
  type Decision,
} from '../../../functions/core/lifecycle.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import {
  fingerprintOf,
  judged,
  settingsOf,
  settingsOfImport,
  type EventOrigin,
  type Former,
  type InstanceRow,
  type InstanceSettings,
} from '../../../functions/model/instance.ts';
import { resultOf } from '../../../functions/model/result-events.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';

const nowMs = Date.parse('2026-11-23T12:00:00Z');
const minute = 60_000;
const hour = 60 * minute;
const origin = 'https://one.example';
const key = { tenantId: 'acme', elementKey: 'taxify' };
const refused = new OnboardingError('missing-configuration', 'api.key is missing');

function eventOf(eventId: string, over: Partial<EventOrigin> = {}): EventOrigin {
  return { dialect: 'native', eventId, sentAt: nowMs, ...over };
}

const toolkitEvent = (registrationId: string, over: Partial<EventOrigin> = {}): EventOrigin =>
  eventOf('from-toolkit', { dialect: 'sbt-0.9', registrationId, ...over });

const settingsBy = (
  requested: Parameters<typeof settingsOf>[1],
  requestedBy?: EventOrigin,
): InstanceSettings => judged(builtInCatalog, settingsOf(key, requested, requestedBy));

const withKey = { configuration: { 'api.key': 'k' } };
const sameRequest = settingsBy(withKey);
const otherRequest = settingsBy({ ...withKey, name: 'Other' });
const otherEvent = (requestedBy: EventOrigin) => settingsBy({ name: 'Other' }, requestedBy);

const claimantOf = (settings: InstanceSettings, over: Partial<Claimant> = {}): Claimant => ({
  settings,
  origin,
  claimId: 'later',
  nowMs,
  sendDeadline: nowMs + 20_000,
  ...over,
});

/** A row whose first claim was made an hour ago and has ended. */
function rowOf(over: Partial<InstanceRow> = {}, settings = sameRequest): InstanceRow {
  const createdAt = nowMs - hour;
  const by = { settings, origin, claimId: 'first', nowMs: createdAt, sendDeadline: createdAt + 20_000 };
  return { ...claim(by, 'generation', timing), leaseExpiresAt: 0, checkAt: undefined, ...over };
}

const activeRow = (over: Partial<InstanceRow> = {}, settings?: InstanceSettings) =>
  rowOf({ status: 'active', instanceId: 7, ...over }, settings);
const failedRow = (over: Partial<InstanceRow> = {}) => rowOf({ status: 'failed', ...over });
const removedRow = (over: Partial<InstanceRow> = {}) => rowOf({ status: 'removed', ...over });

const newGeneration = (formers: Former[]): Decision => ({
  kind: 'take-over',
  earlier: 'removed',
  mayCreate: true,
  formers,
});
const isOutdated = (isRepeat: boolean): Decision => ({ kind: 'outdated', isRepeat });

const byListOfNow = (requested: ReturnType<typeof settingsOf>) => judged(builtInCatalog, requested);

const noticeNumber = (index: number) =>
  ({ outcome: 'refused', eventId: `event-${index}`, at: index }) as const;
const removalNumber = (index: number) => ({ times: { event: index }, by: eventOf(`leaving-${index}`) });

const formerOf = (index: number): Former => ({
  provisionId: `former-${index}`,
  name: 'Former',
  createdAt: index,
});
const formersUpTo = (count: number) => Array.from({ length: count }, (_each, index) => formerOf(index));
const asFormer = { provisionId: 'generation', name: 'taxify-acme', createdAt: nowMs - hour, origin };

type DecisionCase = [
  title: string,
  row: InstanceRow,
  settings: InstanceSettings,
  Decision,
  claimantOrigin?: string,
];

/** `name`: the row's, at the beginning of each title. */
function decisionsAre(name: string, cases: DecisionCase[]) {
  test.each(cases)(`${name}: %s`, (_title, row, settings, decision, claimantOrigin = origin) => {
    expect(decide(row, { settings, origin: claimantOrigin, nowMs }, timing)).toEqual(decision);
  });
}

const replay: Decision = { kind: 'replay' };
const conflict: Decision = { kind: 'settings-conflict' };
const busy: Decision = { kind: 'busy-with-other-settings' };

describe('a claim on an active row', () => {
  const bySecret = settingsBy({});
  const withEntry = settingsBy({ configuration: { 'pagination.max': '5' } });
  const notice = { outcome: 'refused', eventId: 'refused-before', at: nowMs } as const;

  decisionsAre('an active row', [
    ['the same request is a repeat', activeRow(), sameRequest, replay],
    [
      'the same request is a repeat while a lease lasts, too',
      activeRow({ leaseExpiresAt: nowMs + 1 }),
      sameRequest,
      replay,
    ],
    ['a request with another name is a conflict', activeRow(), otherRequest, conflict],
    ['a request from another source is a conflict', activeRow(), bySecret, conflict],
    [
      'a request that sets other entries is a conflict',
      activeRow(),
      settingsBy({ configuration: { 'api.key': 'k', 'partner.key': 'p' } }),
      conflict,
    ],
    [
      'a request that brings its credentials is a conflict with an instance from the secret',
      activeRow({ source: 'secret' }),
      sameRequest,
      conflict,
    ],
    [
      'a request is a repeat, although an operator has vouched for its entries since, and the row forgot them',
      activeRow({ allowListed: {} }, withEntry),
      withEntry,
      replay,
    ],
    [
      'a row without a source is repeated by a request of either source',
      activeRow({ source: undefined, requestDigest: undefined }),
      sameRequest,
      replay,
    ],
    [
      'a request with another name is a conflict with a row without a source, too',
      activeRow({ source: undefined, requestDigest: undefined }),
      otherRequest,
      conflict,
    ],
    [
      'a fingerprint of a version that did not normalize names is compared by what it was made of',
      activeRow({ fingerprint: 'of an earlier version' }),
      sameRequest,
      replay,
    ],
    [
      'another name is a conflict with the fingerprint of an earlier version, too',
      activeRow({ fingerprint: 'of an earlier version' }),
      otherRequest,
      conflict,
    ],
    [
      'an event whose result the row has had is a repeat, also with other settings',
      activeRow({ requestedBy: eventOf('known') }, bySecret),
      otherEvent(eventOf('known')),
      replay,
    ],
    [
      'an event whose refusal the row has recorded is a repeat',
      activeRow({ notices: [{ ...notice, eventId: 'another' }, notice] }, bySecret),
      otherEvent(eventOf('refused-before')),
      replay,
    ],
    [
      'another event with other settings is a conflict',
      activeRow({ requestedBy: eventOf('known'), notices: [notice] }, bySecret),
      otherEvent(eventOf('unknown')),
      conflict,
    ],
    [
      'an event of the toolkit accepts an instance from the secret with any settings',
      activeRow({}, bySecret),
      otherEvent(toolkitEvent('r')),
      replay,
    ],
    [
      'an event of the toolkit accepts an instance of unknown source',
      activeRow({ source: undefined }),
      otherEvent(toolkitEvent('r')),
      replay,
    ],
    [
      'an event of the toolkit does not accept an instance that a request has configured',
      activeRow(),
      otherEvent(toolkitEvent('r')),
      conflict,
    ],
    [
      'an event of the toolkit accepts any instance of its own registration',
      activeRow({ registration: { dialect: 'sbt-0.9', registrationId: 'r' } }),
      otherEvent(toolkitEvent('r')),
      replay,
    ],
    [
      'an event of the toolkit does not accept the instance of another registration',
      activeRow({ registration: { dialect: 'sbt-0.9', registrationId: 'another' } }),
      otherEvent(toolkitEvent('r')),
      conflict,
    ],
    [
      'an event of the toolkit does not accept an instance because an earlier one came by its registration',
      activeRow({ registration: { dialect: 'sbt-0.9', registrationId: 'r', isOfFormer: true } }),
      otherEvent(toolkitEvent('r')),
      conflict,
    ],
    [
      'an import of the instance that the row records is a repeat',
      activeRow(),
      settingsOfImport(key, 7),
      replay,
    ],
    ['an import of another instance is a conflict', activeRow(), settingsOfImport(key, 8), conflict],
    [
      'a request is a conflict with an imported instance of the same name and tags',
      activeRow({ importedId: 7 }, { ...settingsOfImport(key, 7), name: sameRequest.name }),
      sameRequest,
      conflict,
    ],
  ]);

  describe('a claim on an active row of a time with a shorter allow-list', () => {
    const then = catalogWith({ taxify: { allowed: {} } });
    const requested = (over: object = {}) =>
      settingsOf(key, { configuration: { 'api.key': 'k', 'pagination.max': '5', ...over } });
    const row = activeRow({}, judged(then, requested()));

    decisionsAre('an active row of a time with a shorter allow-list', [
      ['a repeat of its request is judged by the list of then', row, byListOfNow(requested()), replay],
      [
        'a request with another name is a conflict',
        row,
        byListOfNow({ ...requested(), name: 'Other' }),
        conflict,
      ],
      [
        'a request that sets one entry more is a conflict',
        row,
        byListOfNow(requested({ 'partner.key': 'p' })),
        conflict,
      ],
      [
        'a request for an instance from the secret is a conflict with what a request has set',
        activeRow({}, judged(then, settingsOf(key, { configuration: { 'pagination.max': '5' } }))),
        byListOfNow(settingsOf(key, { configuration: { 'pagination.max': '5' } })),
        conflict,
      ],
      [
        'a request that brings its credentials is a conflict with an instance from the secret',
        activeRow({ source: 'secret' }, judged(then, requested())),
        byListOfNow(requested()),
        conflict,
      ],
    ]);
  });
});

describe('a claim on a row that is being provisioned', () => {
  const quietAt = nowMs - timing.quiescenceMs;
  decisionsAre('a row that is being provisioned', [
    ['a request with other settings is busy, also after the lease', rowOf(), otherRequest, busy],
    [
      'the same request is in progress until the end of the lease',
      rowOf({ leaseExpiresAt: nowMs + 1 }),
      sameRequest,
      { kind: 'in-progress', retryAfterMs: 1 },
    ],
    [
      'a dead claim is taken over as soon as its lease has ended, and may create again after the quiescence',
      rowOf({ leaseExpiresAt: nowMs, sendDeadline: quietAt }),
      sameRequest,
      { kind: 'take-over', earlier: 'to-adopt', mayCreate: true },
    ],
    [
      'a dead claim may not create again before the end of the quiescence',
      rowOf({ sendDeadline: quietAt + 1 }),
      sameRequest,
      { kind: 'take-over', earlier: 'to-adopt', mayCreate: false },
    ],
    [
      'a dead claim of another base URL is not taken over',
      rowOf(),
      sameRequest,
      { kind: 'origin-changed' },
      'https://two.example',
    ],
  ]);
});

describe('a claim on an unfinished import', () => {
  const importing = (over: Partial<InstanceRow> = {}) =>
    rowOf({ v: 'import', importedId: 7, importing: {}, ...over }, settingsOfImport(key, 7));
  const ending = (over: Partial<InstanceRow>) => importing({ importing: { isEnding: true }, ...over });
  const same = settingsOfImport(key, 7);

  decisionsAre('an unfinished import', [
    [
      'the same import continues it, and creates nothing',
      importing(),
      same,
      { kind: 'take-over', earlier: 'to-adopt', mayCreate: false },
    ],
    [
      'the same import waits for its lease',
      importing({ leaseExpiresAt: nowMs + 5 }),
      same,
      { kind: 'in-progress', retryAfterMs: 5 },
    ],
    [
      'the same import of another base URL is refused',
      importing(),
      same,
      { kind: 'origin-changed' },
      'https://two.example',
    ],
    ['an import of another instance is busy', importing(), settingsOfImport(key, 8), busy],
    ['a request is busy', importing(), sameRequest, busy],
    ['an import is busy while an instance is being created', rowOf({ importedId: 7 }), same, busy],
    [
      'an import that is being undone is due when the reconciler checks it',
      ending({ checkAt: nowMs + 7 }),
      same,
      { kind: 'in-progress', retryAfterMs: 7 },
    ],
    [
      'an import that is being undone and overdue is due now',
      ending({ checkAt: nowMs - 7 }),
      same,
      { kind: 'in-progress', retryAfterMs: 0 },
    ],
    [
      'an import that is being undone and has no time is due now',
      ending({ checkAt: undefined }),
      same,
      { kind: 'in-progress', retryAfterMs: 0 },
    ],
  ]);
});

describe('a claim on a failed row', () => {
  const inDoubt = (over: Partial<InstanceRow> = {}) =>
    failedRow({ inDoubt: true, sendDeadline: nowMs - timing.quiescenceMs, ...over });

  decisionsAre('a failed row', [
    [
      'the same request takes it over in its generation',
      failedRow(),
      sameRequest,
      { kind: 'take-over', earlier: 'nothing', mayCreate: true },
    ],
    [
      'a request with other settings begins a generation of its own',
      failedRow(),
      otherRequest,
      { kind: 'take-over', earlier: 'nothing', mayCreate: true, formers: [] },
    ],
    [
      'a request begins a generation of its own where the source of the failed one is not known',
      failedRow({ source: undefined }),
      sameRequest,
      { kind: 'take-over', earlier: 'nothing', mayCreate: true, formers: [] },
    ],
    [
      'a request is in progress during its lease',
      failedRow({ leaseExpiresAt: nowMs + 3 }),
      sameRequest,
      { kind: 'in-progress', retryAfterMs: 3 },
    ],
    [
      'a request waits for the quiescence if it is in doubt',
      inDoubt({ sendDeadline: nowMs - timing.quiescenceMs + 1 }),
      sameRequest,
      { kind: 'in-progress', retryAfterMs: 1 },
    ],
    [
      'the same request takes it over once it is cleaned, if it is in doubt',
      inDoubt(),
      sameRequest,
      { kind: 'take-over', earlier: 'to-remove', mayCreate: true },
    ],
    [
      'a request with other settings remembers it as an earlier generation, if it is in doubt',
      inDoubt(),
      otherRequest,
      { kind: 'take-over', earlier: 'to-remove', mayCreate: true, formers: [asFormer] },
    ],
    [
      'a request does not take over one in doubt of another base URL',
      inDoubt(),
      sameRequest,
      { kind: 'origin-changed' },
      'https://two.example',
    ],
    [
      'an earlier generation is remembered by the name that it was created with',
      inDoubt({ name: 'Now', createdName: 'Then' }),
      otherRequest,
      {
        kind: 'take-over',
        earlier: 'to-remove',
        mayCreate: true,
        formers: [{ ...asFormer, name: 'Then' }],
      },
    ],
    [
      'nine earlier generations leave room for one more',
      inDoubt({ formers: formersUpTo(9) }),
      otherRequest,
      {
        kind: 'take-over',
        earlier: 'to-remove',
        mayCreate: true,
        formers: [...formersUpTo(9), asFormer],
      },
    ],
    [
      'a request waits for the recheck of ten earlier generations',
      inDoubt({ formers: formersUpTo(10), checkAt: nowMs + 11 }),
      otherRequest,
      { kind: 'in-progress', retryAfterMs: 11 },
    ],
    [
      'a request may come at once if the recheck of ten earlier generations is overdue',
      inDoubt({ formers: formersUpTo(10), checkAt: nowMs - 11 }),
      otherRequest,
      { kind: 'in-progress', retryAfterMs: 0 },
    ],
    [
      'a request may come at once if ten earlier generations have no recheck',
      inDoubt({ formers: formersUpTo(10) }),
      otherRequest,
      { kind: 'in-progress', retryAfterMs: 0 },
    ],
  ]);
});

describe('a claim on a row that is being removed, or a tombstone', () => {
  /** The removal came a second after the event was sent. */
  const removedTimes = { event: nowMs + 1_000 };

  decisionsAre('a removal or a tombstone', [
    [
      'the same request waits for the removal',
      rowOf({ status: 'deleting' }),
      sameRequest,
      { kind: 'being-deleted' },
    ],
    ['a request begins a new generation', removedRow(), sameRequest, newGeneration([])],
    [
      'a generation that was removed in doubt is remembered',
      removedRow({ inDoubt: true, checkAt: nowMs + 1 }),
      sameRequest,
      newGeneration([asFormer]),
    ],
    [
      'a generation that was rechecked since is forgotten',
      removedRow({ inDoubt: true, checkAt: undefined }),
      sameRequest,
      newGeneration([]),
    ],
    [
      'a generation that was never in doubt is forgotten, although earlier ones are remembered',
      removedRow({ formers: [formerOf(0)], checkAt: nowMs + 1 }),
      sameRequest,
      newGeneration([formerOf(0)]),
    ],
    [
      'a request waits for the recheck of ten earlier generations, and the tombstone is not its response',
      removedRow({ inDoubt: true, formers: formersUpTo(10), checkAt: nowMs + 1 }),
      sameRequest,
      { kind: 'being-deleted' },
    ],
    [
      'an event from before the removal is outdated',
      removedRow({ removedTimes }),
      otherEvent(eventOf('late')),
      isOutdated(false),
    ],
    [
      'an event from before the removal is outdated on an active row, too',
      rowOf({ status: 'active', removedTimes }),
      settingsBy(withKey, eventOf('late')),
      isOutdated(false),
    ],
    [
      'an event of two seconds after the removal is not outdated',
      removedRow({ removedTimes }),
      otherEvent(eventOf('new', { sentAt: nowMs + 3_000 })),
      newGeneration([]),
    ],
    [
      'a request over HTTP is made after any removal',
      removedRow({ removedTimes }),
      sameRequest,
      newGeneration([]),
    ],
    [
      'an outdated event whose result was published before is a repeat',
      removedRow({ removedTimes, requestedBy: eventOf('known'), revision: nowMs - hour }),
      otherEvent(eventOf('known')),
      isOutdated(true),
    ],
    [
      'an outdated event without a result in this generation is no repeat',
      removedRow({ removedTimes, requestedBy: eventOf('known'), revision: nowMs - hour - 1 }),
      otherEvent(eventOf('known')),
      isOutdated(false),
    ],
    [
      'an outdated event without any result is no repeat',
      removedRow({ removedTimes, requestedBy: eventOf('known') }),
      otherEvent(eventOf('known')),
      isOutdated(false),
    ],
    [
      'an outdated event is a repeat on a row of an earlier version, which does not record its results',
      removedRow({ removedTimes, requestedBy: eventOf('known'), requestedTimes: undefined }),
      otherEvent(eventOf('known')),
      isOutdated(true),
    ],
    [
      'an outdated event of the registration that the instance came by is a repeat',
      removedRow({
        removedTimes,
        registration: { dialect: 'sbt-0.9', registrationId: 'r' },
        revision: nowMs,
      }),
      otherEvent(toolkitEvent('r')),
      isOutdated(true),
    ],
    [
      'an outdated event that the row does not know is no repeat, although the row has had a result',
      removedRow({ removedTimes, requestedBy: eventOf('known'), revision: nowMs }),
      otherEvent(eventOf('unknown')),
      isOutdated(false),
    ],
  ]);
});

test('a claim keeps the settings of its request, and is exclusive until its lease ends', () => {
  const requested = { name: 'Own', tags: ['a', 'b'], eventsEnabled: true };
  const settings = settingsBy({ ...withKey, ...requested }, toolkitEvent('r'));
  const { fingerprint, source, requestEntries, requestDigest } = settings;
  expect(claim(claimantOf(settings), 'generation', timing)).toMatchObject({
    ...key,
    v: 1,
    status: 'provisioning',
    provisionId: 'generation',
    claimId: 'later',
    leaseExpiresAt: nowMs + timing.leaseMs,
    sendDeadline: nowMs + 20_000,
    inDoubt: false,
    origin,
    name: 'Own',
    tags: ['a', 'b'],
    options: { eventsEnabled: true },
    allowListed: {},
    fingerprint,
    source,
    requestEntries,
    requestedBy: toolkitEvent('r'),
    createdAt: nowMs,
    updatedAt: nowMs,
  });
  expect(requestDigest).toBeUndefined();
  const { source: ofRequest, requestDigest: digest } = claim(claimantOf(sameRequest), 'generation', timing);
  expect({ source: ofRequest, digest }).toEqual({ source: 'request', digest: sameRequest.requestDigest });
});

describe('the history that a claim keeps', () => {
  const history = {
    notices: [{ outcome: 'refused', eventId: 'refused-before', at: 1 }],
    revision: 5,
    removedAt: 4,
    removedTimes: { own: 4 },
    removedBy: eventOf('leaving'),
    removalIds: ['leaving'],
  } satisfies Partial<InstanceRow>;

  test('a claim over a tombstone keeps notices, revision and the history of removals', () => {
    expect(
      claim(claimantOf(sameRequest), 'next', timing, rowOf({ status: 'removed', ...history })),
    ).toMatchObject({
      ...history,
      provisionId: 'next',
      status: 'provisioning',
      createdAt: nowMs,
    });
  });

  test.each<[string, EventOrigin | undefined, object, number]>([
    ['over HTTP is by our own clock', undefined, { own: nowMs }, nowMs],
    ['by an event is by the event’s clock', eventOf('new'), { own: nowMs - hour, event: nowMs }, nowMs],
    [
      'by an event that was ahead is by the queue’s clock',
      eventOf('new', { isCut: true }),
      { own: nowMs - hour, queue: nowMs },
      nowMs,
    ],
    [
      'by an older event moves nothing back',
      eventOf('old', { sentAt: 3 }),
      { own: nowMs - hour, event: 3 },
      nowMs - hour,
    ],
  ])('the time of a request %s', (_how, by, requestedTimes, requestedAt) => {
    const claimed = claim(claimantOf(settingsBy(withKey, by)), 'next', timing, rowOf());
    expect(claimed).toMatchObject({ requestedTimes, requestedAt });
  });

  test('a retry keeps the time of the request that it retries', () => {
    const failed = rowOf({ status: 'failed' });
    const { requestedAt, requestedTimes } = failed;
    expect(takeOver(failed, claimantOf(sameRequest, { isRetry: true }), true, timing)).toMatchObject({
      requestedAt,
      requestedTimes,
    });
    expect(takeOver(failed, claimantOf(sameRequest), true, timing)).toMatchObject({
      requestedAt: nowMs,
      requestedTimes: { own: nowMs },
    });
  });

  const registration = { dialect: 'sbt-0.9', registrationId: 'r' } as const;
  test.each<[string, InstanceRow, EventOrigin | undefined, object | undefined]>([
    [
      'is that of its own event',
      rowOf({ registration }),
      toolkitEvent('new'),
      { ...registration, registrationId: 'new' },
    ],
    ['is that of the live row before', rowOf({ status: 'failed', registration }), undefined, registration],
    [
      'is, over a tombstone, that of the former instance',
      rowOf({ status: 'removed', registration }),
      undefined,
      { ...registration, isOfFormer: true },
    ],
    ['is none over a row without one', rowOf({ status: 'removed' }), undefined, undefined],
  ])('the registration of a claim %s', (_whose, before, by, expected) => {
    const claimed = claim(claimantOf(settingsBy(withKey, by)), 'next', timing, before);
    expect(claimed.registration).toEqual(expected);
  });
});

describe('a claim that is taken over', () => {
  const lastError = { code: 'outcome-unknown', detail: 'any', at: 1 };
  const before = rowOf({
    formers: [formerOf(0)],
    instanceId: 7,
    requestedBy: eventOf('first'),
    lastError,
    sendDeadline: 9,
  });

  test('a claim that is taken over keeps generation, creation date, requester, instance and last error', () => {
    expect(takeOver(before, claimantOf(sameRequest), true, timing)).toMatchObject({
      provisionId: 'generation',
      createdAt: nowMs - hour,
      updatedAt: nowMs,
      requestedBy: eventOf('first'),
      instanceId: 7,
      formers: [formerOf(0)],
      lastError,
    });
  });

  test('a claim that is taken over by an event is answered to that event', () => {
    const taken = takeOver(before, claimantOf(settingsBy(withKey, eventOf('second'))), true, timing);
    expect(taken.requestedBy).toEqual(eventOf('second'));
  });

  test.each([
    [true, nowMs + 20_000],
    [false, 9],
  ])('a claim that is taken over moves the send deadline only if it may create (%s)', (mayCreate, at) => {
    expect(takeOver(before, claimantOf(sameRequest), mayCreate, timing).sendDeadline).toBe(at);
  });

  test.each<[string, Partial<InstanceRow>, boolean]>([
    ['a dead claim', {}, true],
    ['a dead claim of an import, which creates nothing,', { importing: {} }, false],
    ['a failed row', { status: 'failed' }, false],
    ['a failed row in doubt', { status: 'failed', inDoubt: true }, true],
  ])('%s is taken over in doubt: %s', (_what, over, inDoubt) => {
    const row = takeOver({ ...before, ...over }, claimantOf(sameRequest), true, timing);
    expect(row.inDoubt).toBe(inDoubt);
  });

  test.each<[string, Partial<InstanceRow>, object]>([
    [
      'a dead claim of unknown source stays unknown, because its instance may be found',
      { source: undefined, requestEntries: ['api.key'], requestDigest: 'earlier' },
      { source: undefined, requestEntries: ['api.key'], requestDigest: undefined },
    ],
    [
      'a dead claim of known source takes the source of the request',
      { source: 'request' },
      { source: 'secret', requestEntries: [], requestDigest: undefined },
    ],
    [
      'a failed row of unknown source takes the source of the request, because it has no instance',
      { status: 'failed', source: undefined, requestEntries: ['api.key'] },
      { source: 'secret', requestEntries: [], requestDigest: undefined },
    ],
  ])('%s', (_title, over, provenance) => {
    const { source, requestEntries, requestDigest } = takeOver(
      { ...before, ...over },
      claimantOf(settingsBy({})),
      true,
      timing,
    );
    expect({ source, requestEntries, requestDigest }).toEqual(provenance);
  });
});

describe('a new generation', () => {
  const lastError = { code: 'outcome-unknown', detail: 'any', at: 1 };
  const generation = { provisionId: 'next', formers: [formerOf(0)] };

  test('a new generation over a failed row keeps its creation date, requester and last error', () => {
    const failed = rowOf({ status: 'failed', requestedBy: eventOf('first'), lastError });
    const begun = beginGeneration(failed, claimantOf(otherRequest), generation, timing);
    expect(begun).toMatchObject({
      ...generation,
      name: 'Other',
      createdAt: nowMs - hour,
      requestedBy: eventOf('first'),
      lastError,
    });
    const byEvent = claimantOf(otherEvent(eventOf('second')));
    expect(beginGeneration(failed, byEvent, generation, timing).requestedBy).toEqual(eventOf('second'));
  });

  test('a new generation over a tombstone begins now, and for its own requester', () => {
    const removed = rowOf({ status: 'removed', requestedBy: eventOf('first'), lastError });
    const begun = beginGeneration(removed, claimantOf(otherRequest), generation, timing);
    expect(begun).toMatchObject({ ...generation, createdAt: nowMs });
    expect(begun.requestedBy).toBeUndefined();
    expect(begun.lastError).toBeUndefined();
  });

  test('a new generation without earlier ones remembers none', () => {
    const begun = beginGeneration(
      rowOf({ status: 'failed' }),
      claimantOf(otherRequest),
      { provisionId: 'next', formers: [] },
      timing,
    );
    expect(begun.formers).toBeUndefined();
  });
});

describe('the row of an import', () => {
  const generation = { provisionId: 'next', formers: [] };
  const importing = claimantOf(settingsOfImport(key, 7));

  test.each<[string, InstanceRow | undefined]>([
    ['no row', undefined],
    ['a failed row in doubt', rowOf({ status: 'failed', inDoubt: true })],
  ])('an import over %s names its instance, keeps that row, and is in no doubt', (_what, before) => {
    expect(beginImport(before, importing, generation, timing)).toMatchObject({
      v: 'import',
      status: 'provisioning',
      provisionId: 'next',
      inDoubt: false,
      importedId: 7,
      importing: before ? { before } : {},
    });
  });

  test('an import that is requested again has been requested now, by our own clock', () => {
    const row = { ...beginImport(undefined, importing, generation, timing), requestedTimes: { event: 5 } };
    expect(continueImport(row, { claimId: 'again', nowMs: nowMs + minute }, timing)).toMatchObject({
      claimId: 'again',
      requestedTimes: { event: 5, own: nowMs + minute },
      requestedAt: nowMs + minute,
    });
  });

  test('a finished import has name and tags of the instance, its fingerprint by them, and the ordinary layout', () => {
    const row = beginImport(rowOf({ status: 'failed' }), importing, generation, timing);
    const shown = { name: 'By hand', tags: ['team'] };
    const instance = { instanceId: 7, token: new Uint8Array([1]) };
    const active = activateImport(row, shown, instance, nowMs, timing);
    expect(active).toMatchObject({ v: 1, status: 'active', importedId: 7, ...shown, ...instance });
    expect(active.importing).toBeUndefined();
    const { elementKey, allowListed } = row;
    expect(active.fingerprint).toBe(
      fingerprintOf({ elementKey, allowListed, ...shown, options: undefined, importedId: 7 }),
    );
  });
});

describe('a claim that has come to an end', () => {
  const instance = { instanceId: 7, token: new Uint8Array([1]) };
  const lastError = { code: 'outcome-unknown', detail: 'any', at: 1 };
  const held = (over: Partial<InstanceRow> = {}) =>
    rowOf({ leaseExpiresAt: nowMs + 1, checkAt: nowMs + 1, lastError, ...over });

  test('an active row has its instance, no lease and no error, and its health is checked at once', () => {
    const active = activate(held({ revision: nowMs + 5 }), instance, nowMs, timing);
    expect(active).toMatchObject({
      ...instance,
      status: 'active',
      leaseExpiresAt: 0,
      healthCheckAt: nowMs,
      revision: nowMs + 6,
      updatedAt: nowMs,
    });
    expect(active.lastError).toBeUndefined();
  });

  test('a failed row has its error, no lease, and the send deadline of the last create', () => {
    const said = { requestId: 'request-1', said: 'missing' };
    const error = new OnboardingError('refused-by-cloud-elements', 'Refused.', said);
    expect(fail(held(), 9, error, nowMs, timing)).toMatchObject({
      status: 'failed',
      leaseExpiresAt: 0,
      sendDeadline: 9,
      revision: nowMs,
      updatedAt: nowMs,
      lastError: { code: 'refused-by-cloud-elements', detail: 'Refused.', ...said, at: nowMs },
    });
  });

  test('a row in doubt stays claimed for the reconciler, which looks after the quiescence', () => {
    expect(leaveInDoubt(held(), refused, nowMs, timing)).toMatchObject({
      status: 'provisioning',
      inDoubt: true,
      leaseExpiresAt: 0,
      checkAt: held().sendDeadline + timing.quiescenceMs,
      lastError: { code: 'missing-configuration', at: nowMs },
    });
  });

  test.each<[string, Partial<InstanceRow>, number | undefined]>([
    ['without doubt is not rechecked', {}, undefined],
    ['without an earlier generation is not rechecked', { formers: [] }, undefined],
    ['in doubt is rechecked after an hour', { inDoubt: true }, nowMs + timing.recheckMs],
    [
      'with an earlier generation is rechecked after an hour',
      { formers: [formerOf(0)] },
      nowMs + timing.recheckMs,
    ],
  ])('a row %s', (_what, over, checkAt) => {
    expect(activate(held(over), instance, nowMs, timing).checkAt).toBe(checkAt);
    expect(fail(held(over), 0, refused, nowMs, timing).checkAt).toBe(checkAt);
    expect(markRemoved(held(over), nowMs, timing).checkAt).toBe(checkAt);
  });

  test.each([
    [undefined, nowMs],
    [nowMs - 1, nowMs],
    [nowMs, nowMs + 1],
  ])('the revision after %s grows', (revision, next) => {
    expect(nextRevision({ revision }, nowMs)).toBe(next);
  });
});

/** A row that failed for one event, and its claim by the same event's redelivery, all within one millisecond. */
function failedAndTaken(): { failed: InstanceRow; taken: InstanceRow } {
  const by = claimantOf(settingsBy({}, eventOf('event-1')));
  const failed = fail(claim({ ...by, claimId: 'a' }, 'p', timing), 0, refused, nowMs, timing);
  return { failed, taken: takeOver(failed, { ...by, claimId: 'b' }, true, timing) };
}

const typesOf = (before: InstanceRow | undefined, after: InstanceRow) =>
  resultOf({ before, after }).events.map(({ detailType }) => detailType);

test('a released claim leaves its row as it was, but for the fencing token and the revision', () => {
  const { failed, taken } = failedAndTaken();
  const leased = { ...failed, leaseExpiresAt: nowMs + 1 };
  const restored = restore({ ...taken, revision: (taken.revision ?? 0) + 1 }, leased);
  expect(restored).toEqual({ ...failed, claimId: 'b', revision: (failed.revision ?? 0) + 1 });
});

test('a second failure in one millisecond publishes InstanceFailed; a restored claim publishes nothing', () => {
  const { failed, taken } = failedAndTaken();
  expect(typesOf(taken, fail(taken, 0, refused, nowMs, timing))).toEqual(['InstanceFailed']);
  expect(typesOf(taken, restore(taken, failed))).toEqual([]);
});

describe('an active row', () => {
  const active = rowOf({ status: 'active', instanceId: 7, requestedTimes: { event: 5 }, revision: 3 });

  test('an instance that an event requests again has that event, its time, a new fencing token and a new revision', () => {
    const again = requestAgain(active, toolkitEvent('r'), { claimId: 'again', nowMs });
    expect(again).toMatchObject({
      status: 'active',
      claimId: 'again',
      requestedBy: toolkitEvent('r'),
      registration: { dialect: 'sbt-0.9', registrationId: 'r' },
      requestedTimes: { event: nowMs },
      requestedAt: nowMs,
      revision: nowMs,
    });
  });

  test('an instance that another event requests again keeps its registration', () => {
    const registration = { dialect: 'sbt-0.9', registrationId: 'r' } as const;
    const again = requestAgain({ ...active, registration }, eventOf('any'), { claimId: 'again', nowMs });
    expect(again.registration).toEqual(registration);
  });

  test('a row keeps its latest ten notices', () => {
    let row = active;
    for (let index = 1; index <= 12; index++) row = withNotice(row, noticeNumber(index), `claim-${index}`);
    expect(row.notices?.map(({ eventId }) => eventId)).toEqual(
      Array.from({ length: 10 }, (_each, index) => `event-${index + 3}`),
    );
    expect(row).toMatchObject({ claimId: 'claim-12', revision: 15 });
  });

  test.each<[string, Partial<InstanceRow>, boolean]>([
    [
      'a check of health',
      { claimId: 'c', health: { status: 'healthy', since: 1 }, healthCheckAt: 2, revision: 3 },
      true,
    ],
    ['an update', { claimId: 'c', name: 'Other' }, false],
    ['a lease', { leaseExpiresAt: 1 }, false],
  ])('a row that %s has written has changed only its health: %s', (_what, over, expected) => {
    expect(isSameButHealth(active, { ...active, ...over })).toBe(expected);
  });
});

describe('a removal', () => {
  const by = { claimId: 'leaving', nowMs };
  const leaving = eventOf('leaving', { sentAt: nowMs - 2_000 });
  const removal = { times: { event: nowMs - 2_000 }, by: leaving };
  const overHttp = { times: { own: nowMs }, by: undefined };

  test('a removal that begins hides the token and forgets health, checks and expiry', () => {
    const active = rowOf({
      status: 'active',
      instanceId: 7,
      token: new Uint8Array([1]),
      health: { status: 'healthy', since: 1 },
      healthCheckAt: 1,
      expiresAt: 1,
      lookedAt: 1,
    });
    const begun = beginRemoval(active, removal, by, timing);
    expect(begun.removingTimes).toEqual(removal.times);
    expect(begun).toMatchObject({
      status: 'deleting',
      instanceId: 7,
      inDoubt: false,
      updatedAt: nowMs,
      removingSince: nowMs,
      removingTimes: removal.times,
      removedTimes: removal.times,
      removedAt: nowMs - 2_000,
      removedBy: leaving,
      removalIds: ['leaving'],
    });
    for (const name of ['token', 'health', 'healthCheckAt', 'expiresAt', 'lookedAt'] as const) {
      expect(begun[name]).toBeUndefined();
    }
  });

  test('a removal of an unfinished claim is in doubt, because its create may take effect', () => {
    expect(beginRemoval(rowOf(), removal, by, timing).inDoubt).toBe(true);
  });

  test('a removal of an instance that was requested after an earlier removal has times of its own', () => {
    const active = rowOf({
      status: 'active',
      removedTimes: { own: 4 },
      removingTimes: { own: 4 },
      removingSince: 4,
    });
    const begun = beginRemoval(active, removal, by, timing);
    expect(begun.removingTimes).toEqual(removal.times);
    expect(begun).toMatchObject({
      removedTimes: { own: 4, ...removal.times },
      removingSince: nowMs,
    });
  });

  test('a removal joins the one under way: its times are added, and it began with the first', () => {
    const deleting = rowOf({
      status: 'deleting',
      removedTimes: { own: 4, event: 1 },
      removingTimes: { own: 4 },
      removingSince: 6,
      removedBy: leaving,
      removalIds: ['leaving'],
    });
    expect(beginRemoval(deleting, overHttp, by, timing)).toMatchObject({
      removingTimes: { own: nowMs },
      removedTimes: { own: nowMs, event: 1 },
      removingSince: 6,
      removedBy: leaving,
      removalIds: ['leaving'],
    });
  });

  test('a removal joins one that an earlier version has begun, which recorded only the latest times', () => {
    const deleting = rowOf({ status: 'deleting', removedTimes: { own: 4 }, updatedAt: 6 });
    expect(beginRemoval(deleting, removal, by, timing)).toMatchObject({
      removingTimes: { own: 4, event: nowMs - 2_000 },
      removingSince: 6,
    });
  });

  test.each<[InstanceRow['status'], EventOrigin | undefined]>([
    ['active', undefined],
    ['failed', undefined],
    ['deleting', leaving],
    ['removed', leaving],
  ])(
    'a removal over HTTP of a row that is %s answers the event of the removal under way alone',
    (status, expected) => {
      const row = rowOf({ status, removedTimes: { event: 1 }, removedBy: leaving });
      expect(beginRemoval(row, overHttp, by, timing).removedBy).toEqual(expected);
    },
  );

  test('a row remembers its latest ten removals, each once', () => {
    const idsAfter = (indexes: number[]) =>
      indexes.reduce(
        (row, index) => beginRemoval(row, removalNumber(index), by, timing),
        rowOf({ status: 'active' }),
      ).removalIds;
    expect(idsAfter([1, 2, 1])).toEqual(['leaving-2', 'leaving-1']);
    expect(idsAfter(Array.from({ length: 12 }, (_each, index) => index))).toEqual(
      Array.from({ length: 10 }, (_each, index) => `leaving-${index + 2}`),
    );
    const known = rowOf({ status: 'removed', removedTimes: {}, removalIds: ['leaving-1'] });
    expect(beginRemoval(known, overHttp, by, timing).removalIds).toEqual(['leaving-1']);
  });

  test('a tombstone has no lease and no error, and expires with the last message that it may have to answer', () => {
    const deleting = rowOf({
      status: 'deleting',
      v: 'import',
      importing: {},
      leaseExpiresAt: nowMs + 1,
      removingTimes: { own: 1 },
      removingSince: 1,
      lastError: { code: 'not-ours', detail: 'any', at: 1 },
      revision: 3,
    });
    const removed = markRemoved(deleting, nowMs + 1, timing);
    expect(removed).toMatchObject({
      v: 1,
      status: 'removed',
      leaseExpiresAt: 0,
      revision: nowMs + 1,
      updatedAt: nowMs + 1,
      // DynamoDB has seconds: it must not be forgotten one too early.
      expiresAt: (nowMs + timing.tombstoneMs) / 1_000 + 1,
    });
    for (const name of ['importing', 'removingTimes', 'removingSince', 'lastError'] as const) {
      expect(removed[name]).toBeUndefined();
    }
  });

  test('a repeated removal extends its tombstone, and answers its own event', () => {
    const removed = rowOf({ status: 'removed', removedTimes: { own: 4 }, removalIds: [], checkAt: 8 });
    expect(rememberRemoval(removed, removal, by, timing)).toMatchObject({
      status: 'removed',
      claimId: 'leaving',
      checkAt: 8,
      removedTimes: { own: 4, event: nowMs - 2_000 },
      removedBy: leaving,
      removalIds: ['leaving'],
      expiresAt: (nowMs + timing.tombstoneMs) / 1_000,
    });
  });

  const newTombstone = { key, removal, ids: { provisionId: 'p', claimId: 'c' }, origin, nowMs, timing };
  const withoutInstance = {
    ...key,
    v: 1,
    provisionId: 'p',
    claimId: 'c',
    origin,
    name: '',
    tags: [],
    fingerprint: '',
    inDoubt: false,
    createdAt: nowMs,
    requestedTimes: {},
    removedTimes: removal.times,
    removedBy: leaving,
  };

  test('a tombstone of an instance that never was shows nothing, and waits for no recheck', () => {
    const removed = tombstone(newTombstone);
    expect(removed).toMatchObject({
      ...withoutInstance,
      status: 'removed',
      leaseExpiresAt: 0,
      sendDeadline: 0,
      expiresAt: (nowMs + timing.tombstoneMs) / 1_000,
    });
    expect(removed.checkAt).toBeUndefined();
  });

  test('a tombstone of a whole tenant is leased and due until every instance is removed', () => {
    expect(tenantTombstone(newTombstone)).toMatchObject({
      ...withoutInstance,
      status: 'deleting',
      leaseExpiresAt: nowMs + timing.leaseMs,
      checkAt: nowMs + timing.leaseMs,
      removingSince: nowMs,
    });
  });
});
