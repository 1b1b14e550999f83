import { beforeEach, describe, expect, test } from 'vitest';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import {
  createCloudElementsCaller,
  type CloudElementsCall,
} from '../../../functions/adapters/cloud-elements-http.ts';
import { createCloudElements } from '../../../functions/adapters/cloud-elements.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import type { ListWalk, Sought } from '../../../functions/core/ports.ts';
import { startScriptedServer, type ScriptedResponse } from '../../support/scripted-server.ts';

const secrets = { userSecret: 'user-secret-for-tests', organizationSecret: 'organization-secret-for-tests' };
const calls: CloudElementsCall[] = [];
const server = await startScriptedServer();
const clientOf = (
  credentials: () => Promise<typeof secrets>,
  { baseUrl = server.url, now }: { baseUrl?: string; now?: () => number } = {},
) =>
  createCloudElements({
    catalog: builtInCatalog,
    call: createCloudElementsCaller({
      baseUrl,
      credentials: { get: credentials, renew: credentials },
      onCall: (each) => calls.push(each),
    }),
    ...(now && { now }),
  });
const client = clientOf(async () => secrets);
const options = { timeoutMs: 2_000 };

const requestId = '58b46b1be4b0e5a9b7d19c49';
const key = { tenantId: 'acme', elementKey: 'taxify' };
const sought: Sought = { ...key, owner: 'tests', provisionId: 'g1', name: 'Acme', createdAt: 0 };
const markers = ['tenant:acme', 'provision:g1', 'owner:tests'];
const shown = (over: object = {}) => ({
  id: 7,
  element: { key: 'taxify' },
  token: 'token-of-7',
  name: 'Acme',
  tags: markers,
  ...over,
});
const refusal = (message = 'No') => ({ requestId, message });
const absent: ScriptedResponse = { status: 404, body: refusal('No element instances found') };

beforeEach(() => {
  server.requests.length = 0;
  calls.length = 0;
});

/** Responds with each in turn, and with 599 after the last one. */
function respondWith(...responses: ScriptedResponse[]): void {
  server.respond = () => responses.shift() ?? { status: 599 };
}

/** An outcome with the parts of its error that callers and logs are shown. */
function shownOf<T extends object>(outcome: T) {
  if (!('error' in outcome) || !(outcome.error instanceof OnboardingError)) return outcome;
  const { code, message, facts } = outcome.error;
  return { ...outcome, error: { code, message, ...facts } };
}

const create = () =>
  client.create({ ...key, name: 'Acme', tags: markers, configuration: { 'api.key': 'a-key' } }, options);
const update = (changes: Parameters<typeof client.update>[1] = { name: 'Other' }) =>
  client.update({ ...key, instanceId: 7 }, changes, options);
const remove = (instanceId: number | string = 7) => client.remove({ ...key, instanceId }, options);
const read = (over: object = {}) => client.read({ ...key, owner: 'tests', instanceId: 7, ...over }, options);
const list = (over: { owner?: string | undefined; page?: string; walk?: ListWalk } = {}) =>
  client.list({ owner: 'tests', page: undefined, ...over }, options);
const lookUp = (over: Partial<Sought> = {}) => client.lookUp({ ...sought, ...over }, options);

const unknownWith = (reason: string, more: object = {}) => ({ kind: 'unknown', reason, ...more });
/** Outcomes of failed requests: what happened, the response, the outcome. `what`: the purpose. */
const failures = (what: string): [string, ScriptedResponse, object][] => [
  [
    'a rate limit',
    { status: 429, body: refusal(), headers: { 'retry-after': '2' } },
    {
      kind: 'not-done',
      retryAfterMs: 2_000,
      error: {
        code: 'cloud-elements-busy',
        message: `Cloud Elements is rate limiting requests (429) and did not ${what}.`,
        requestId: undefined,
        retryAfterMs: 2_000,
      },
    },
  ],
  [
    'a 401 of the platform',
    { status: 401, body: refusal(), headers: { 'elements-request-id': requestId } },
    {
      kind: 'not-done',
      error: {
        code: 'platform-credentials-refused',
        message:
          `Cloud Elements refuses the platform's user and organization secret (401) and did not ${what}. ` +
          'Put the current ones into the platform secret.',
        requestId,
      },
    },
  ],
  ['a timeout of a proxy', { status: 408 }, unknownWith('HTTP 408 without a readable body')],
  ['a failure', { status: 500, body: {} }, unknownWith('HTTP 500 with an unexpected body')],
  [
    'a failure of the platform',
    { status: 500, body: refusal('Request failed') },
    unknownWith('HTTP 500 from Cloud Elements: Request failed', { said: 'Request failed' }),
  ],
  [
    'a redirection',
    { status: 302, headers: { location: '/' } },
    unknownWith('HTTP 302 without a readable body'),
  ],
  ['no response', 'reset', unknownWith('UND_ERR_SOCKET')],
];
const refused = (what: string): [string, ScriptedResponse, object][] => [
  ...[400, 403, 413, 422, 499].map((status): [string, ScriptedResponse, object] => [
    `a refusal (${status})`,
    { status, body: refusal('The name is invalid'), headers: { 'elements-request-id': requestId } },
    {
      kind: 'refused',
      error: {
        code: 'refused-by-cloud-elements',
        message: `Cloud Elements refused to ${what} (${status}): The name is invalid. Correct the request or the tenant's secret and retry.`,
        requestId,
      },
    },
  ]),
  [
    'a refusal without a message',
    { status: 400, body: { requestId, message: '' } },
    {
      kind: 'refused',
      error: {
        code: 'refused-by-cloud-elements',
        message: `Cloud Elements refused to ${what} (400). Correct the request or the tenant's secret and retry.`,
        requestId: undefined,
      },
    },
  ],
];
const inFront = (what: string): [string, ScriptedResponse, object] => [
  'a 403 of a proxy',
  { status: 403, body: '<html>', headers: { 'elements-request-id': requestId } },
  {
    kind: 'refused',
    error: {
      code: 'cloud-elements-unreadable',
      message: `Something in front of Cloud Elements refused to ${what} (HTTP 403 without a readable body, request ${requestId}). Check the stack's base URL.`,
      requestId,
    },
  },
];

const unusable = (id: unknown, reason: string) => ({ kind: 'unusable', instance: { id, reason } });

describe('a create', () => {
  const what = 'make the taxify instance of tenant acme';
  const noInteger = 'with an id that is no integer below 2^53';

  test.each<[string, ScriptedResponse, object]>([
    ...failures(what),
    ...refused(what),
    inFront(what),
    [
      'a conflict',
      { status: 409, body: refusal('Already exists') },
      unknownWith('HTTP 409 from Cloud Elements: Already exists', { said: 'Already exists' }),
    ],
    [
      'the instance',
      { status: 201, body: { id: 7, token: 'T', createdDate: '2026-11-26T12:00:00Z' } },
      { kind: 'created', instance: { id: 7, token: 'T', createdDate: '2026-11-26T12:00:00Z' } },
    ],
    [
      'an odd date',
      { status: 200, body: { id: 7, token: 'T', createdDate: 1 } },
      { kind: 'created', instance: { id: 7, token: 'T' } },
    ],
    [
      'a negative id as text',
      { status: 200, body: { id: '-7', token: 'T' } },
      { kind: 'created', instance: { id: -7, token: 'T' } },
    ],
    [
      'an id with a zero before it',
      { status: 200, body: { id: '07', token: 'T' } },
      unusable('07', noInteger),
    ],
    [
      'an id of 64 characters',
      { status: 200, body: { id: 'x'.repeat(64), token: 'T' } },
      unusable('x'.repeat(64), noInteger),
    ],
    [
      'an id of 65 characters',
      { status: 200, body: { id: 'x'.repeat(65), token: 'T' } },
      unknownWith('HTTP 200 with an unexpected body'),
    ],
    [
      'an empty id',
      { status: 200, body: { id: '', token: 'T' } },
      unknownWith('HTTP 200 with an unexpected body'),
    ],
    [
      'an id with a slash',
      { status: 200, body: { id: '7/8', token: 'T' } },
      unknownWith('HTTP 200 with an unexpected body'),
    ],
    [
      'an id that is no integer',
      { status: 200, body: { id: 7.5, token: 'T' } },
      unknownWith('HTTP 200 with an unexpected body'),
    ],
    ['no token', { status: 200, body: { id: 7 } }, unknownWith('HTTP 200 with an unexpected body')],
    [
      'an empty token',
      { status: 200, body: { id: 7, token: '' } },
      unknownWith('HTTP 200 with an unexpected body'),
    ],
    [
      'an instance beside a 300',
      { status: 300, body: { id: 7, token: 'T' } },
      unknownWith('HTTP 300 with an unexpected body'),
    ],
    [
      'an instance beside a 299',
      { status: 299, body: { id: 7, token: 'T' } },
      { kind: 'created', instance: { id: 7, token: 'T' } },
    ],
    [
      'a token with a control character',
      { status: 200, body: { id: 7, token: 'a\u0007b' } },
      unusable(7, 'with a token that no Authorization header can carry'),
    ],
    [
      'a token that is too long',
      { status: 200, body: { id: 7, token: 'a'.repeat(4_097) } },
      unusable(7, 'with a token of more than 4,096 bytes'),
    ],
    [
      'a token that is a credential',
      { status: 200, body: { id: 7, token: 'a-key' } },
      unusable(7, 'with a token that repeats a credential'),
    ],
    [
      'a response that is too large',
      { status: 429, body: refusal('Payload too large'), headers: { 'elements-request-id': requestId } },
      unknownWith(`HTTP 429 from Cloud Elements, request ${requestId}: Payload too large`, { requestId }),
    ],
  ])('a create answered with %s has this outcome', async (_how, response, outcome) => {
    respondWith(response);
    expect(shownOf(await create())).toEqual(outcome);
  });

  test('a create whose id is a credential has an instance that must not be named', async () => {
    respondWith({ status: 200, body: { id: 20_261_126, token: 'T' } });
    const configuration = { 'api.key': '20261126' };
    const outcome = await client.create({ ...key, name: 'A', tags: [], configuration }, options);
    expect(outcome).toEqual(unusable(undefined, 'with an id that repeats a credential'));
  });

  test('a create sends element, name, tags, configuration and options, and nothing else', async () => {
    respondWith({ status: 200, body: { id: 7, token: 'T' } });
    const generation = '5f0c7f5a-4c8e-4c53-a5a2-0b9d5f3f7c11';
    const tags = ['eu', `provision:${generation}`];
    const configuration = { 'api.key': 'a-key' };
    await client.create(
      { ...key, name: 'Acme', tags, configuration, options: { cachingEnabled: true } },
      options,
    );
    expect(server.requests).toMatchObject([
      { method: 'POST', path: '/elements/api-v2/instances', query: {} },
    ]);
    expect(server.requests[0]?.body).toEqual({
      element: { key: 'taxify' },
      name: 'Acme',
      tags,
      configuration,
      cachingEnabled: true,
    });
    expect(calls).toMatchObject([
      { operation: 'POST /instances', about: { ...key, provisionId: generation } },
    ]);
  });

  test('an allow-listed entry of the configuration is no credential', async () => {
    const message = 'The name taxify with pagination.max is invalid';
    const configuration = { 'api.key': 'invalid', 'pagination.max': 'name' };
    respondWith({ status: 400, body: refusal(message) });
    const outcome = await client.create({ ...key, name: 'A', tags: [], configuration }, options);
    expect(shownOf(outcome)).toMatchObject({
      error: { message: expect.stringContaining('(400): The name taxify with pagination.max is …. Correct') },
    });
  });

  test('a create without platform secrets is not sent', async () => {
    const error = new OnboardingError('platform-credentials-unusable', 'The secret is empty.');
    const withoutSecrets = clientOf(() => Promise.reject(error));
    expect(await withoutSecrets.create({ ...key, name: 'A', tags: [], configuration: {} }, options)).toEqual({
      kind: 'not-done',
      error,
    });
    expect(await withoutSecrets.list({ owner: 'tests', page: undefined }, options)).toEqual(
      unknownWith('The secret is empty.'),
    );
    expect(server.requests).toEqual([]);
  });

  test('a create that could not be sent may be sent again at once', async () => {
    const unreachable = clientOf(async () => secrets, { baseUrl: 'http://127.0.0.1:1' });
    const outcome = await unreachable.create({ ...key, name: 'A', tags: [], configuration: {} }, options);
    expect(shownOf(outcome)).toEqual({
      kind: 'not-done',
      retryAfterMs: 0,
      error: {
        code: 'cloud-elements-unreachable',
        message:
          'Cloud Elements could not be reached to make the taxify instance of tenant acme (ECONNREFUSED). Nothing was sent; retry.',
      },
    });
  });
});

test.each([
  ['Fri, 27 Nov 2026 12:00:30 GMT', 30_000],
  ['Friday, 27-Nov-26 12:00:30 GMT', 30_000],
  ['xFri, 27 Nov 2026 12:00:30 GMT', 0],
  ['Fri, 27 Nov 2026 12:00:30 GMT!', 0],
  ['Fri Nov 27 2026 12:00:30 GMT', 30_000],
  ['Fri, 27 Nov 2026 11:59:59 GMT', 0],
  ['1x', 0],
  ['x1', 0],
  ['3600', 3_600_000],
  ['3601', 3_600_000],
  ['', 0],
])('the delay of "%s" until then is %d ms', async (value, retryAfterMs) => {
  const atNoon = clientOf(async () => secrets, { now: () => Date.parse('2026-11-27T12:00:00Z') });
  respondWith({ status: 429, headers: { 'retry-after': value } });
  expect(await atNoon.remove({ ...key, instanceId: 7 }, options)).toMatchObject({ retryAfterMs });
});

describe('an update', () => {
  const what = 'change the taxify instance of tenant acme';

  test.each<[string, ScriptedResponse, object]>([
    ...failures(what),
    ...refused(what),
    inFront(what),
    ['the instance', { status: 200, body: shown() }, { kind: 'updated' }],
    ['its id as text', { status: 200, body: { id: '7' } }, { kind: 'updated' }],
    [
      'another instance',
      { status: 200, body: shown({ id: 8 }) },
      unknownWith('HTTP 200 with an unexpected body'),
    ],
    ['no instance', { status: 202, body: {} }, unknownWith('HTTP 202 with an unexpected body')],
    ['tags in another form', { status: 200, body: { id: 7, tags: 'eu' } }, { kind: 'updated' }],
    ['a 404 of the platform', absent, { kind: 'absent' }],
  ])('an update answered with %s has this outcome', async (_how, response, outcome) => {
    respondWith(response);
    expect(shownOf(await update())).toEqual(outcome);
  });

  test.each<[string, unknown, object]>([
    ['without tags', undefined, { kind: 'updated' }],
    ['with null for tags', null, { kind: 'updated' }],
    ['with all tags', ['eu', ...markers], { kind: 'updated' }],
    ['with the markers as objects', markers.map((name) => ({ name })), { kind: 'updated' }],
    ['without a tag that is no marker', markers, { kind: 'updated' }],
    [
      'without a marker',
      ['eu', 'tenant:acme'],
      unknownWith('the response does not show the tag owner:tests'),
    ],
    ['with no tags at all', [], unknownWith('the response does not show the tag tenant:acme')],
  ])('an update of tags whose response comes %s has this outcome', async (_how, tags, outcome) => {
    respondWith({ status: 200, body: { id: 7, tags } });
    expect(await update({ tags: ['eu', 'tenant:acme', 'owner:tests'] })).toEqual(outcome);
  });

  test('an update sends the changes alone, to the instance', async () => {
    respondWith({ status: 200, body: { id: 7 } });
    await update({ name: 'Other', configuration: { 'api.key': 'another' } });
    expect(server.requests).toMatchObject([{ method: 'PATCH', path: '/elements/api-v2/instances/7' }]);
    expect(server.requests[0]?.body).toEqual({ name: 'Other', configuration: { 'api.key': 'another' } });
    expect(calls).toMatchObject([{ operation: 'PATCH /instances/{id}', about: { ...key, instanceId: 7 } }]);
  });

  test('a refused update does not quote the new credential', async () => {
    respondWith({ status: 400, body: refusal('The password is invalid') });
    expect(shownOf(await update({ configuration: { 'api.key': 'password' } }))).toMatchObject({
      error: { message: expect.stringContaining('(400): The … is invalid.') },
    });
  });
});

describe('a deletion', () => {
  const what = 'remove instance 7 (taxify) of tenant acme';
  const kept = (status: number, said = '') => ({
    kind: 'refused',
    error: {
      code: 'deletion-refused',
      message: `Cloud Elements refused to ${what} (${status})${said}.`,
      requestId: undefined,
    },
  });

  test.each<[string, ScriptedResponse, object]>([
    ...failures(what),
    inFront(what),
    ['200', { status: 200 }, { kind: 'removed' }],
    ['200 and JSON', { status: 200, body: {} }, { kind: 'removed' }],
    ['200 and white space', { status: 200, body: ' \n' }, { kind: 'removed' }],
    ['204', { status: 204 }, { kind: 'removed' }],
    ['200 and a page', { status: 200, body: '<html>' }, unknownWith('HTTP 200 without a readable body')],
    ['202', { status: 202 }, unknownWith('HTTP 202 without a readable body')],
    ['a 404 of the platform', absent, { kind: 'removed' }],
    ['a conflict', { status: 409, body: refusal('In use') }, kept(409, ': In use')],
    [
      'a conflict with a request id',
      { status: 409, body: refusal(), headers: { 'elements-request-id': requestId } },
      { kind: 'refused', error: { ...kept(409, ': No').error, requestId } },
    ],
    ['a conflict of a proxy', { status: 409, body: {} }, unknownWith('HTTP 409 with an unexpected body')],
    ['a refusal', { status: 403, body: refusal('Forbidden') }, kept(403, ': Forbidden')],
    ['a refusal without words', { status: 400, body: { requestId } }, kept(400)],
  ])('a deletion answered with %s has this outcome', async (_how, response, outcome) => {
    respondWith(response);
    expect(shownOf(await remove())).toEqual(outcome);
  });

  test('a deletion names its instance, unless the id may be text of any kind', async () => {
    respondWith({ status: 204 }, { status: 409, body: refusal() });
    await remove();
    expect(shownOf(await remove('in-7'))).toMatchObject({
      error: { message: expect.stringContaining('remove instance (not an integer) (taxify) of') },
    });
    expect(server.requests.map(({ method, path }) => [method, path])).toEqual([
      ['DELETE', '/elements/api-v2/instances/7'],
      ['DELETE', '/elements/api-v2/instances/in-7'],
    ]);
    expect(calls).toMatchObject([
      { operation: 'DELETE /instances/{id}', about: { ...key, instanceId: 7 } },
      { about: { ...key, instanceId: '(not an integer)' } },
    ]);
  });
});

describe('a read', () => {
  const facts = {
    kind: 'read',
    owned: 'ours',
    instanceId: 7,
    elementKey: 'taxify',
    token: 'token-of-7',
    valid: true,
    disabled: false,
    name: 'Acme',
    tags: markers,
  };
  const asKeyFails = (what: string): [string, ScriptedResponse, object][] =>
    failures(what).map(([how, response, outcome]) => {
      if (!('error' in outcome)) {
        const { reason } = { reason: '', ...outcome };
        return [how, response, unknownWith(reason)];
      }
      return [how, response, { kind: 'unknown', reason: expect.any(String), error: outcome.error }];
    });

  test.each<[string, ScriptedResponse, object]>([
    ...asKeyFails('show instance 7'),
    [
      'all of the instance',
      { status: 200, body: shown({ createdDate: 'then' }) },
      { ...facts, createdDate: 'then' },
    ],
    [
      'fields of other types',
      {
        status: 200,
        body: shown({ token: 5, name: {}, tags: null, createdDate: 1, valid: 'no', disabled: 1 }),
      },
      { ...facts, token: undefined, name: undefined, tags: undefined, owned: 'unmarked' },
    ],
    ['an empty token', { status: 200, body: shown({ token: '' }) }, { ...facts, token: undefined }],
    [
      'no token and the name "undefined"',
      { status: 200, body: shown({ token: null, name: 'undefined' }) },
      { ...facts, token: undefined, name: 'undefined' },
    ],
    ['tags as objects', { status: 200, body: shown({ tags: markers.map((name) => ({ name })) }) }, facts],
    ['no tags', { status: 200, body: shown({ tags: [] }) }, { ...facts, tags: [], owned: 'unmarked' }],
    [
      'signs that it does not work',
      { status: 200, body: shown({ valid: false, disabled: true }) },
      { ...facts, valid: false, disabled: true },
    ],
    [
      'a token with a space',
      { status: 200, body: shown({ token: 'to ken' }) },
      { ...facts, token: undefined, fault: 'with a token that no Authorization header can carry' },
    ],
    [
      'a credential for a name',
      { status: 200, body: shown({ name: 'user-secret-for-tests' }) },
      { ...facts, name: 'user-secret-for-tests', fault: 'whose name or tags repeat a credential' },
    ],
    [
      'its token in a tag',
      { status: 200, body: shown({ tags: [...markers, 'x token-of-7'] }) },
      { ...facts, tags: [...markers, 'x token-of-7'], fault: 'whose name or tags repeat a credential' },
    ],
    [
      'its token in the name',
      { status: 200, body: shown({ name: 'token-of-7' }) },
      { ...facts, name: 'token-of-7', fault: 'whose name or tags repeat a credential' },
    ],
    [
      'tags in another form',
      { status: 200, body: shown({ tags: 'eu' }) },
      unknownWith('HTTP 200 with an unexpected body'),
    ],
    ['no element', { status: 200, body: { id: 7 } }, unknownWith('HTTP 200 with an unexpected body')],
    [
      'another instance',
      { status: 200, body: shown({ id: 8 }) },
      unknownWith('HTTP 200 with an unexpected body'),
    ],
    [
      'the instance beside a 500',
      { status: 500, body: shown() },
      unknownWith('HTTP 500 with an unexpected body'),
    ],
    ['a 404 of the platform', absent, { kind: 'absent' }],
    [
      'a 404 of a proxy',
      { status: 404 },
      {
        kind: 'unknown',
        reason: 'HTTP 404 without a readable body',
        error: {
          code: 'cloud-elements-unreadable',
          message:
            "Something in front of Cloud Elements refused to show instance 7 (HTTP 404 without a readable body). Check the stack's base URL.",
          requestId: undefined,
        },
      },
    ],
  ])('a read answered with %s has this outcome', async (_how, response, outcome) => {
    respondWith(response);
    expect(shownOf(await read())).toEqual(outcome);
  });

  test('a read asks for the instance by its id', async () => {
    respondWith({ status: 200, body: shown() });
    await read();
    expect(server.requests).toMatchObject([
      { method: 'GET', path: '/elements/api-v2/instances/7', query: {} },
    ]);
    expect(calls).toMatchObject([{ operation: 'GET /instances/{id}', about: { instanceId: 7 } }]);
  });

  test('a read does not outlast its time', async () => {
    server.respond = () => 'silence';
    const startedAt = performance.now();
    expect(await client.read({ ...key, owner: 'tests', instanceId: 7 }, { timeoutMs: 60 })).toEqual(
      unknownWith('TimeoutError'),
    );
    expect(performance.now() - startedAt).toBeLessThan(1_500);
  });
});

const pageOf = (count: number, over: object = {}) =>
  Array.from({ length: count }, (_, index) => shown({ id: 100 + index, tags: ['owner:tests'], ...over }));
const next = (token: string, more: Record<string, string> = {}) => ({
  'elements-next-page-token': token,
  ...more,
});
const total = (count: number | string) => ({ 'elements-total-count': String(count) });
const tooLarge: ScriptedResponse = { status: 429, body: refusal('Payload too large') };
const queries = () => server.requests.map(({ query }) => query);

const later = (over: object) => ({
  page: 'second',
  walk: { seen: 200, total: undefined, isFull: true, ...over },
});

describe('a page of the list', () => {
  test('a page shows each instance with its known fields, and counts unreadable items', async () => {
    const items = [
      shown({ valid: false, createdDate: 'then' }),
      { id: 'in-8', element: { key: 'other' }, disabled: true },
      { id: 9 },
      'text',
    ];
    respondWith({ status: 200, body: items, headers: next('second', total(6)) });
    expect(await list()).toEqual({
      kind: 'listed',
      unreadable: 2,
      nextPage: 'second',
      walk: { seen: 4, total: 6, isFull: false, pageSize: undefined },
      instances: [
        {
          id: 7,
          elementKey: 'taxify',
          name: 'Acme',
          tags: markers,
          token: 'token-of-7',
          createdDate: 'then',
          valid: false,
          disabled: false,
        },
        { id: 'in-8', elementKey: 'other', tags: [], valid: true, disabled: true },
      ],
    });
    expect(queries()).toEqual([{ 'tags[]': 'owner:tests' }]);
    expect(server.requests).toMatchObject([{ method: 'GET', path: '/elements/api-v2/instances' }]);
  });

  test('a later page adds to the count of items seen', async () => {
    const walk = { seen: 200, total: undefined, isFull: true, pageSize: 50 };
    respondWith({ status: 200, body: pageOf(50), headers: { 'elements-next-page-token': '' } });
    expect(await list({ owner: undefined, page: 'second', walk })).toMatchObject({
      nextPage: undefined,
      unreadable: 0,
      walk: { seen: 250, total: undefined, isFull: true, pageSize: 50 },
    });
    expect(queries()).toEqual([{ nextPage: 'second', pageSize: '50' }]);
  });

  test.each([
    [199, undefined, false],
    [200, undefined, true],
    [49, 50, false],
    [50, 50, true],
  ])('a page of %d instances, of at most %s, is full: %s', async (count, pageSize, isFull) => {
    respondWith({ status: 200, body: pageOf(count) });
    const walk = { seen: 0, total: undefined, isFull: false, pageSize };
    expect(await list({ walk })).toMatchObject({ walk: { isFull } });
  });

  test.each([
    ['0', 0],
    ['999999999', 999_999_999],
    ['1000000000', undefined],
    ['7x', undefined],
    ['x7', undefined],
    ['-1', undefined],
  ])('a total of "%s" is %s', async (said, count) => {
    respondWith({ status: 200, body: [], headers: total(said) });
    expect(await list()).toMatchObject({ walk: { total: count } });
  });

  const empty = { kind: 'listed', instances: [], nextPage: undefined };
  const refusedPage = {
    kind: 'refused',
    walk: { seen: 0, total: undefined, isFull: false, pageSize: undefined },
  };

  test.each<[string, object, object]>([
    ['the first page', {}, empty],
    ['a page after a full one', later({}), empty],
    ['a page after one that was not full', later({ isFull: false }), refusedPage],
    ['a page after all items', later({ total: 200, isFull: false }), empty],
    ['a page before the last item', later({ total: 201 }), refusedPage],
    ['a page after more items than there were', later({ seen: 201, total: 200 }), empty],
  ])('a 404 of the platform to %s has this outcome', async (_which, query, outcome) => {
    respondWith(absent);
    expect(await list(query)).toEqual(outcome);
  });

  test.each([
    [400, refusal(), 'refused'],
    [499, refusal(), 'refused'],
    [409, refusal(), 'refused'],
    [401, refusal(), 'unknown'],
    [408, refusal(), 'unknown'],
    [429, refusal(), 'unknown'],
    [500, refusal(), 'unknown'],
    [300, refusal(), 'unknown'],
    [400, {}, 'unknown'],
    [200, {}, 'unknown'],
  ])('a later page answered %d %j is %s, and a first one unknown', async (status, body, kind) => {
    respondWith({ status, body }, { status, body });
    const walk = { seen: 50, total: undefined, isFull: true, pageSize: 50 };
    const refusedWith = { kind, walk: { seen: 0, total: undefined, isFull: false, pageSize: 50 } };
    const outcome = kind === 'refused' ? refusedWith : { kind, reason: `HTTP ${status}` };
    const page = await list({ page: 'second', walk });
    expect(page.kind === 'unknown' ? { ...page, reason: page.reason.slice(0, 8) } : page).toEqual(outcome);
    expect(await list()).toMatchObject({ kind: 'unknown' });
  });

  test('a page that is too large is requested with fewer instances, a later one not', async () => {
    respondWith(tooLarge, tooLarge, { status: 200, body: [] }, tooLarge);
    expect(await list()).toMatchObject({ walk: { pageSize: 10 } });
    expect(queries().map(({ pageSize }) => pageSize)).toEqual([undefined, '50', '10']);
    const walk = { seen: 50, total: undefined, isFull: true, pageSize: 50 };
    expect(await list({ page: 'second', walk })).toEqual({
      kind: 'refused',
      walk: { seen: 0, total: undefined, isFull: false, pageSize: 10 },
    });
  });

  test('a page of ten that is too large is unknown, and a later one refused', async () => {
    respondWith(tooLarge, tooLarge);
    const walk = { seen: 10, total: undefined, isFull: true, pageSize: 10 };
    expect(await list({ walk })).toMatchObject({ kind: 'unknown' });
    expect(await list({ page: 'second', walk })).toMatchObject({ kind: 'unknown' });
    expect(server.requests).toHaveLength(2);
  });

  test('a list does not outlast its time', async () => {
    server.respond = () => 'silence';
    expect(await client.list({ owner: 'tests', page: undefined }, { timeoutMs: 60 })).toEqual(
      unknownWith('TimeoutError'),
    );
  });
});

const found = (instances: object[], isCertain = true, more: object = {}) => ({
  kind: 'found',
  instances,
  isCertain,
  ...more,
});
const listed = (...items: unknown[]): ScriptedResponse => ({ status: 200, body: items });

describe('a look-up', () => {
  const seven = { id: 7, token: 'token-of-7' };
  const other = shown({ id: 8, tags: ['another'] });
  const shownById = (over: object = {}): ScriptedResponse => ({ status: 200, body: shown(over) });
  const fault = 'with a token that no Authorization header can carry';
  const notKept = { unusable: [{ id: 7, reason: fault }] };

  test.each<[string, ScriptedResponse[], object]>([
    ['nothing', [absent], found([])],
    ['an empty list', [listed()], found([])],
    ['the instance', [listed(shown())], found([seven])],
    ['its date', [listed(shown({ createdDate: 'then' }))], found([{ ...seven, createdDate: 'then' }])],
    ['the instance twice', [listed(shown(), shown())], found([seven])],
    ['two instances', [listed(shown(), shown({ id: 9 }))], found([seven, { ...seven, id: 9 }])],
    ['the instance beside another', [listed(shown(), other)], found([seven], false)],
    ['another twice', [listed(other), listed(other)], found([], false)],
    [
      'one that cannot be kept beside another',
      [listed(shown({ token: 'a b' }), other), shownById({ token: 'a b' })],
      found([], false, notKept),
    ],
    [
      'a full page of the instance, and a 404',
      [{ status: 200, body: Array.from({ length: 200 }, () => shown()), headers: next('second') }, absent],
      found([seven], false),
    ],
    [
      'one of another element in any form',
      [listed({ element: { key: 'x' } }, shown())],
      found([seven], false),
    ],
    ['one of another tenant', [listed(shown({ tags: [...markers, 'tenant:x'] }))], found([])],
    [
      'one that cannot be kept',
      [listed(shown({ token: 'a b' })), shownById({ token: 'a b' })],
      found([], true, notKept),
    ],
    ['one without a token', [listed(shown({ token: undefined })), shownById()], found([seven])],
    ['one without tags', [listed(shown({ tags: undefined })), shownById()], found([seven])],
    ['one without tags that is gone', [listed(shown({ tags: [] })), absent], found([])],
    [
      'one without tags that is another by its id',
      [listed(shown({ tags: [] })), shownById({ tags: ['x'] }), absent],
      found([]),
    ],
    [
      'one without tags and with another name',
      [listed(shown({ tags: [], name: 'Globex' })), listed(shown({ tags: [], name: 'Globex' }))],
      found([], false),
    ],
    [
      'one without tags and name',
      [listed(shown({ tags: [], name: undefined })), shownById()],
      found([seven]),
    ],
    [
      'one without tags of another element',
      [
        listed(shown({ tags: [], element: { key: 'x' } })),
        listed(shown({ tags: [], element: { key: 'x' } })),
      ],
      found([], false),
    ],
    [
      'tags neither in the list nor by id',
      [listed(shown({ tags: [] })), shownById({ tags: [] })],
      unknownWith('instance 7 shows no tags'),
    ],
    [
      'one that cannot be read',
      [listed(shown({ tags: [] })), { status: 500 }],
      unknownWith('instance 7 cannot be read'),
    ],
    [
      'one with the tag of the generation alone',
      [listed(shown({ tags: ['provision:g1'] }))],
      unknownWith('instance 7 has our tag, but not tenant, owner and element'),
    ],
    [
      'no token anywhere',
      [listed(shown({ token: undefined })), shownById({ token: undefined })],
      unknownWith('instance 7 shows no token'),
    ],
    [
      'an item that cannot be read',
      [listed({ element: { key: 'taxify' } })],
      unknownWith('the list has an item that cannot be read'),
    ],
    [
      'an item without an element',
      [listed({ id: 7 })],
      unknownWith('the list has an item that cannot be read'),
    ],
    ['no list', [{ status: 200, body: {} }], unknownWith('HTTP 200 with an unexpected body')],
    [
      'a page again and again',
      [
        { status: 200, body: [], headers: next('second') },
        { status: 200, body: [], headers: next('second') },
      ],
      unknownWith('the list repeats a page'),
    ],
    [
      'a second page',
      [
        { status: 200, body: [], headers: next('second') },
        { status: 200, body: [shown()], headers: next('') },
      ],
      found([seven]),
    ],
    [
      'a 404 after a full page, without a total',
      [{ status: 200, body: [...pageOf(199), shown()], headers: next('second') }, absent],
      found([seven], false),
    ],
    [
      'a 404 after all items',
      [{ status: 200, body: [shown()], headers: next('second', total(1)) }, absent],
      found([seven]),
    ],
    [
      'a 404 before the last item',
      [{ status: 200, body: [shown()], headers: next('second', total(2)) }, absent],
      unknownWith('HTTP 404 from Cloud Elements: No element instances found'),
    ],
    ['a page that is too large', [tooLarge, tooLarge, listed(shown())], found([seven])],
    [
      'a page that is too large in any size',
      [tooLarge, tooLarge, tooLarge],
      unknownWith('HTTP 429 from Cloud Elements: Payload too large'),
    ],
  ])('a look-up that is shown %s has this outcome', async (_what, responses, outcome) => {
    const count = responses.length;
    respondWith(...responses);
    expect(await lookUp()).toEqual(outcome);
    expect(server.requests).toHaveLength(count);
  });

  test('a look-up filters by the tag of the generation and names its subject', async () => {
    respondWith({ status: 200, body: [], headers: next('second') }, listed(shown({ tags: [] })), shownById());
    await lookUp();
    expect(server.requests.map(({ path, query }) => [path, query])).toEqual([
      ['/elements/api-v2/instances', { 'tags[]': 'provision:g1' }],
      ['/elements/api-v2/instances', { 'tags[]': 'provision:g1', nextPage: 'second' }],
      ['/elements/api-v2/instances/7', {}],
    ]);
    const about = { ...key, provisionId: 'g1' };
    expect(calls.map((call) => call.about)).toEqual([about, about, { instanceId: 7 }]);
  });

  test('a look-up begins again with smaller pages', async () => {
    respondWith(
      { status: 200, body: [shown()], headers: next('second') },
      tooLarge,
      { status: 200, body: [shown()], headers: next('a') },
      listed(),
    );
    expect(await lookUp()).toEqual(found([seven]));
    expect(queries().map(({ pageSize, nextPage }) => [pageSize, nextPage])).toEqual([
      [undefined, undefined],
      [undefined, 'second'],
      ['50', undefined],
      ['50', 'a'],
    ]);
  });

  test('a look-up compares the items of two walks', async () => {
    const third = shown({ id: 9, tags: ['another'] });
    respondWith(listed(other), listed(other, third), listed(third, other));
    expect(await lookUp()).toEqual(found([], false));
    expect(server.requests).toHaveLength(3);
    respondWith(listed(other), listed(third), listed(third));
    expect(await lookUp()).toEqual(found([], false));
    const fourth = shown({ id: 10, tags: ['another'] });
    respondWith(listed(other, third), listed(other, fourth), listed(fourth, other));
    expect(await lookUp()).toEqual(found([], false));
    expect(server.requests).toHaveLength(9);
  });

  test('a look-up ends at its time while each walk lists other instances', async () => {
    let nowMs = 0;
    const timed = clientOf(async () => secrets, { now: () => nowMs });
    let id = 10;
    server.respond = () => {
      nowMs += 1_000;
      id += 1;
      return listed(shown({ id, tags: ['another'] }));
    };
    expect(await timed.lookUp(sought, options)).toEqual(unknownWith('the list changed while it was read'));
    expect(server.requests).toHaveLength(2);
  });

  test('a look-up reads twenty instances without tags by their ids, and no more', async () => {
    const strangers = Array.from({ length: 21 }, (_, index) => shown({ id: 100 + index, tags: [] }));
    const respond = (count: number) => {
      server.respond = ({ path }) =>
        path.endsWith('/instances') ? listed(...strangers.slice(0, count)) : absent;
    };
    respond(20);
    expect(await lookUp()).toEqual(found([]));
    expect(server.requests).toHaveLength(21);
    respond(21);
    expect(await lookUp()).toEqual(unknownWith('more than 20 instances show no tags'));
    expect(await lookUp({ exceptId: 120 })).toEqual(found([]));
  });

  test.each([
    [10_000, '1970-01-01T00:00:04Z', 'none'],
    [10_000, '1970-01-01T00:00:05Z', 'one'],
    [10_000, undefined, 'one'],
    [10_000, 'some day', 'one'],
  ])(
    'a row made at %d ms may have an instance without tags made at %s: %s',
    async (createdAt, createdDate, count) => {
      const isRead = count === 'one';
      const page = listed(shown({ tags: [], createdDate }));
      respondWith(page, isRead ? shownById() : page);
      expect(await lookUp({ createdAt })).toEqual(isRead ? found([seven]) : found([], false));
    },
  );

  describe('for a recorded instance', () => {
    test.each<[string, ScriptedResponse[], object]>([
      ['in the list', [listed(shown())], found([seven])],
      [
        'in the list, not to be kept',
        [listed(shown({ token: 'a b' })), shownById({ token: 'a b' })],
        found([], true, notKept),
      ],
      ['by its id', [absent, shownById({ createdDate: 'then' })], found([{ ...seven, createdDate: 'then' }])],
      ['by its id, not to be kept', [absent, shownById({ token: 'a b' })], found([], true, notKept)],
      [
        'by its id beside another',
        [listed(shown({ id: 9 })), shownById()],
        found([{ ...seven, id: 9 }, seven]),
      ],
      [
        'by its id beside one that cannot be kept, itself not to be kept',
        [
          listed(shown({ id: 9, token: 'a b' })),
          shownById({ id: 9, token: 'a b' }),
          shownById({ token: 'a b' }),
        ],
        found([], true, { unusable: [{ id: 9, reason: fault }, ...notKept.unusable] }),
      ],
      ['as gone', [absent, absent], found([])],
      ['as another tenant’s', [absent, shownById({ tags: ['tenant:x', 'owner:tests'] })], found([])],
      ['without markers', [absent, shownById({ tags: ['eu'] })], unknownWith('instance 7 shows no markers')],
      [
        'without its token',
        [absent, shownById({ token: undefined })],
        unknownWith('instance 7 shows no token'),
      ],
      [
        'not at all',
        [absent, { status: 500 }],
        unknownWith('instance 7 cannot be read (HTTP 500 without a readable body)'),
      ],
      ['while the list cannot be read', [{ status: 500 }], unknownWith('HTTP 500 without a readable body')],
    ])(
      'a look-up that is shown a recorded instance %s has this outcome',
      async (_how, responses, outcome) => {
        const count = responses.length;
        respondWith(...responses);
        expect(await lookUp({ instanceId: 7 })).toEqual(outcome);
        expect(server.requests).toHaveLength(count);
      },
    );
  });

  test('a look-up with all its reads does not outlast its time', async () => {
    const answered = [listed(shown({ tags: [] }))];
    server.respond = () => answered.shift() ?? 'silence';
    const startedAt = performance.now();
    expect(await client.lookUp(sought, { timeoutMs: 80 })).toEqual(unknownWith('instance 7 cannot be read'));
    server.respond = ({ path }) => (path.endsWith('/instances') ? absent : 'silence');
    expect(await client.lookUp({ ...sought, instanceId: 7 }, { timeoutMs: 80 })).toEqual(
      unknownWith('instance 7 cannot be read (TimeoutError)'),
    );
    server.respond = () => 'silence';
    expect(await client.lookUp(sought, { timeoutMs: 80 })).toEqual(unknownWith('TimeoutError'));
    expect(performance.now() - startedAt).toBeLessThan(1_500);
  });
});
