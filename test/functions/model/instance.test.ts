import { describe, expect, test } from 'vitest';
import type * as z from 'zod/mini';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import {
  configurationSchema,
  elementKeySchema,
  auditPartition,
  exactNumber,
  fingerprintOf,
  importRequestSchema,
  instanceRequestSchema,
  instanceRowSchema,
  instanceUpdateSchema,
  instanceView,
  judged,
  judgedAsThen,
  optionsOf,
  settingsOf,
  settingsOfImport,
  tagSchema,
  tenantIdSchema,
  tenantOnboardedSchema,
  tenantSecretSchema,
  wholeTenant,
  type InstanceRow,
  type RequestedSettings,
} from '../../../functions/model/instance.ts';
import { problemsOf } from '../../../functions/model/validation.ts';
import { words } from '../../support/words.ts';

const key = { tenantId: 'acme', elementKey: 'taxify' };
const taxify = { key: 'taxify' };

/** The faults that a schema finds, in words; none for an accepted input. */
function faultsOf(schema: z.ZodMiniType, input: unknown): string[] {
  const { error } = schema.safeParse(input);
  return error
    ? problemsOf(error, input).map(({ path, detail }) => [...path.map(String), detail].join(' '))
    : [];
}

describe('a tenant’s id', () => {
  test.each(['a', '7', 'Acme', 'acme-eu_2.west', 'a.b.c', 'a.-_', 'x'.repeat(64)])('%s is accepted', (id) => {
    expect(faultsOf(tenantIdSchema, id)).toEqual([]);
  });

  test.each(['', '.', '.a', 'a.', 'a..b', '-a', '_a', 'a/b', 'a:b', 'a b', 'a\n', 'ä', '*', '*audit'])(
    '%j is refused as a tenant’s id',
    (id) => {
      expect(faultsOf(tenantIdSchema, id)).toEqual([
        'expected letters, digits, "_", "-" and single "." between them, beginning with a letter or digit',
      ]);
    },
  );

  test('a tenant’s id has at most 64 characters', () => {
    expect(faultsOf(tenantIdSchema, 'x'.repeat(65))).toEqual(['expected at most 64 characters']);
  });
});

describe('an element’s key', () => {
  test.each(['taxify', '3pl', 'sap_c4c-eu', 'ab'.repeat(32)])('%s is accepted', (elementKey) => {
    expect(faultsOf(elementKeySchema, elementKey)).toEqual([]);
  });

  test.each(['', 'Taxify', '-taxify', '_taxify', 'tax ify', 'taxify\n', 'tax.ify', '*', 'A1b2c3d4e5f6g7h8'])(
    '%j is refused as the key of an element, for its letters alone',
    (elementKey) => {
      expect(faultsOf(elementKeySchema, elementKey)).toEqual([
        'expected lower-case letters, digits, "_" and "-", beginning with a letter or digit',
      ]);
    },
  );

  test('a key that may be a credential is refused, unless it is too long anyway', () => {
    const mayBeCredential = '1a'.repeat(32);
    expect(faultsOf(elementKeySchema, mayBeCredential)).toEqual([
      'expected the key of an element such as "taxify"; this one is not shown because it may be a credential',
    ]);
    expect(faultsOf(elementKeySchema, `${mayBeCredential}1`)).toEqual(['expected at most 64 characters']);
  });
});

/** Faults of a request with this name. */
const ofName = (name: unknown) => faultsOf(instanceRequestSchema, { element: taxify, name });

describe('a name', () => {
  test.each(['Acme', 'x', 'नमस्ते \u200d', 'می\u200cخواهم', 'a & b; c', 'R&D', '&amp', 'é'.repeat(255)])(
    '%j is accepted as a name',
    (name) => {
      expect(ofName(name)).toEqual([]);
    },
  );

  test.each([
    ['nothing', '', 'at least one visible character'],
    ['white space alone', ' \t', 'at least one visible character'],
    ['an invisible character alone', '\u200d', 'at least one visible character'],
    ['256 characters', 'x'.repeat(256), 'at most 255 characters'],
    [
      'a placeholder',
      ' <NAME> ',
      'a value in place of the placeholder in angle brackets, which was not filled in',
    ],
    ['markup', 'a<b', 'no "<", no ">" and no control characters'],
    ['the end of markup', 'a>', 'no "<", no ">" and no control characters'],
    ['a line break', 'a\nb', 'no "<", no ">" and no control characters'],
    ['half of a surrogate pair', 'a\ud800', 'no "<", no ">" and no control characters'],
    ['an entity', 'R&amp;D', 'no HTML entity such as "&amp;"'],
    ['a numbered entity', 'R&#38;D', 'no HTML entity such as "&amp;"'],
    ['an entity after others', 'a & b &lt;', 'no HTML entity such as "&amp;"'],
    ['a character that is invisible', 'a\u200bb', 'no invisible characters'],
    ['a text direction', '\u202eb', 'no invisible characters'],
  ])('a name of %s is refused', (_what, name, expected) => {
    expect(ofName(name)).toContain(`name expected ${expected}`);
  });
});

describe('a tag', () => {
  test.each(['eu', 'region:eu', 'tenants:a', 'my tenant:a', 'ownership', 'tenant', 'pre-owner:a'])(
    '%s is accepted as a tag',
    (tag) => {
      expect(faultsOf(tagSchema, tag)).toEqual([]);
    },
  );

  test.each([
    'tenant:x',
    'provision:x',
    'owner:x',
    'OWNER:x',
    ' tenant :x',
    'ten\u{e0061}ant:x',
    'ow\u034fner:',
    '\nowner:',
  ])('%j is refused as a tag, because this service sets it', (tag) => {
    expect(faultsOf(tagSchema, tag)).toContain(
      'expected a tag without the prefixes "tenant:", "provision:" and "owner:", which this service sets itself',
    );
  });

  test('a tag has no invisible characters, not even those that join letters', () => {
    expect(faultsOf(tagSchema, 'a\u200db')).toEqual(['expected no invisible characters']);
  });

  test('a request has at most 20 tags', () => {
    const tags = Array.from({ length: 21 }, (_, index) => `tag ${index}`);
    expect(faultsOf(instanceRequestSchema, { element: taxify, tags })).toEqual([
      'tags expected at most 20 tags',
    ]);
    expect(faultsOf(instanceRequestSchema, { element: taxify, tags: tags.slice(1) })).toEqual([]);
  });
});

test.each([
  ['api.key', true],
  ['7-key_x.Y', true],
  ['x'.repeat(128), true],
  ['x'.repeat(129), false],
  ['', false],
  ['.key', false],
  ['-key', false],
  ['api key', false],
  ['key\n', false],
  ['api/key', false],
])('a tenant’s secret with the key %j is accepted: %s', (name, isAccepted) => {
  expect(faultsOf(tenantSecretSchema, { [name]: 'k' })).toEqual(
    isAccepted ? [] : ['expected a configuration key such as "api.key"'],
  );
});

const settings = {
  name: 'Acme',
  tags: ['eu'],
  configuration: { 'api.key': 'k' },
  providerData: {},
  eventsEnabled: true,
  cachingEnabled: false,
};
const onlyOnCreate = { retrieveObjectsAfterInstantiation: true, externalAuthentication: 'initial' };

describe('the body of a POST', () => {
  test('a POST has every documented field', () => {
    const body = { element: taxify, ...settings, ...onlyOnCreate };
    expect(instanceRequestSchema.parse(body)).toEqual(body);
  });

  test.each<[string, object, string]>([
    ['no element', { element: undefined }, 'element is missing: expected an object'],
    ['no key of the element', { element: {} }, 'element key is missing: expected text'],
    ['another field of the element', { element: { ...taxify, id: 1 } }, 'element id is not a known field'],
    ['another field', { instance: 1 }, 'instance is not a known field'],
    [
      'the id of an instance',
      { id: 7 },
      'id expected no id. To import an instance that exists at Cloud Elements, send its id to ' +
        'POST /tenants/{tenantId}/instances/{elementKey}/import',
    ],
    [
      'data of an OAuth flow',
      { providerData: { code: 'x' } },
      'providerData expected an empty object: this element needs an OAuth consent in a browser, which this service ' +
        "does not do. Create the instance with Cloud Elements' own OAuth flow, in its console",
    ],
    ['text for a flag', { eventsEnabled: 'true' }, 'eventsEnabled expected true or false'],
    [
      'another kind of authentication',
      { externalAuthentication: 'oauth2' },
      'externalAuthentication expected "none" or "initial"',
    ],
  ])('a POST with %s is refused', (_what, fields, fault) => {
    expect(faultsOf(instanceRequestSchema, { element: taxify, ...fields })).toEqual([fault]);
  });

  test('both kinds of external authentication are accepted', () => {
    for (const externalAuthentication of ['none', 'initial']) {
      expect(faultsOf(instanceRequestSchema, { element: taxify, externalAuthentication })).toEqual([]);
    }
  });
});

describe('the body of a PATCH', () => {
  test('a PATCH has the fields that may change, beside those that it repeats', () => {
    const body = { id: 7, element: taxify, ...settings };
    expect(instanceUpdateSchema.parse(body)).toEqual(body);
  });

  test.each<[string, object]>([
    ['nothing', {}],
    ['only what it repeats', { id: 7, element: taxify, providerData: {} }],
    ['a field without a value', { name: undefined }],
  ])('a PATCH of %s is refused', (_what, body) => {
    expect(faultsOf(instanceUpdateSchema, body)).toEqual([
      'expected at least one of name, tags, configuration, eventsEnabled and cachingEnabled',
    ]);
  });

  test.each(['name', 'tags', 'configuration', 'eventsEnabled', 'cachingEnabled'] as const)(
    'a PATCH of %s alone is accepted',
    (name) => {
      expect(faultsOf(instanceUpdateSchema, { [name]: settings[name] })).toEqual([]);
    },
  );

  test.each<[string, object, string]>([
    ['a field of creates alone', onlyOnCreate, 'is not a known field'],
    ['another kind of id', { id: 'seven' }, 'id expected the id of this instance'],
    ['text for a flag', { cachingEnabled: 1 }, 'cachingEnabled expected true or false'],
  ])('a PATCH with %s is refused', (_what, fields, fault) => {
    expect(faultsOf(instanceUpdateSchema, { ...settings, ...fields }).join()).toContain(fault);
  });
});

test.each<[unknown, string]>([
  [{}, 'id is missing: expected the id of an instance at Cloud Elements, a whole number'],
  [{ id: '7' }, 'id expected the id of an instance at Cloud Elements, a whole number'],
  [{ id: 0 }, 'id expected a positive number'],
  [{ id: 7, element: taxify }, 'element is not a known field'],
])('the import %j is refused', (body, fault) => {
  expect(faultsOf(importRequestSchema, body)).toEqual([fault]);
  expect(importRequestSchema.parse({ id: 1 })).toEqual({ id: 1 });
});

describe('the detail of an onboarding', () => {
  test('an onboarding has the fields of a POST and the tenant, and its element is optional', () => {
    const detail = { tenantId: 'acme', element: taxify, ...settings, ...onlyOnCreate };
    expect(tenantOnboardedSchema.parse(detail)).toEqual(detail);
    expect(tenantOnboardedSchema.parse({ tenantId: 'acme' })).toEqual({ tenantId: 'acme' });
    expect(faultsOf(tenantOnboardedSchema, { id: 7 })).toEqual([
      'tenantId is missing: expected text',
      'id is not a known field',
    ]);
  });
});

describe('the options of a request', () => {
  test.each<[string, object, object | undefined]>([
    ['a request without any', {}, undefined],
    ['fields that are no options', { name: 'x' }, undefined],
    ['one that is false', { eventsEnabled: false }, { eventsEnabled: false }],
    [
      'all of them',
      { ...settings, ...onlyOnCreate },
      { eventsEnabled: true, cachingEnabled: false, ...onlyOnCreate },
    ],
    ['each alone: caching', { cachingEnabled: true }, { cachingEnabled: true }],
    ['each alone: authentication', { externalAuthentication: 'none' }, { externalAuthentication: 'none' }],
    [
      'each alone: retrieval',
      { retrieveObjectsAfterInstantiation: false },
      { retrieveObjectsAfterInstantiation: false },
    ],
  ])('the options of %s are those that it sets', (_what, requested, options) => {
    expect(optionsOf(requested)).toEqual(options);
    expect(Object.keys(optionsOf(requested) ?? {})).toEqual(Object.keys(options ?? {}));
  });
});

describe('settings', () => {
  test('a request without a name, tags and configuration gets a name of its element and tenant', () => {
    expect(settingsOf(key, {})).toEqual({
      ...key,
      name: 'taxify-acme',
      tags: [],
      configuration: {},
      options: undefined,
      requestedBy: undefined,
    });
  });

  test('a request keeps its own name, each tag once, its configuration, options and event', () => {
    const requestedBy = { dialect: 'native', eventId: 'e-1', sentAt: 1 } as const;
    const { name, configuration } = settings;
    const requested = { name, tags: ['b', 'a', 'b'], configuration, cachingEnabled: true };
    expect(settingsOf(key, requested, requestedBy)).toEqual({
      ...key,
      name,
      tags: ['b', 'a'],
      configuration,
      options: { cachingEnabled: true },
      requestedBy,
    });
  });

  test('an import has no known source of its configuration, and is no repeat of a request', () => {
    const imported = settingsOfImport(key, 7);
    expect(imported).toMatchObject({
      ...key,
      configuration: {},
      allowListed: {},
      importedId: 7,
      source: undefined,
      requestEntries: undefined,
      requestDigest: undefined,
    });
    const requested = judged(builtInCatalog, settingsOf(key, {}));
    const prints = [imported, settingsOfImport(key, 8), requested].map(({ fingerprint }) => fingerprint);
    expect(new Set(prints).size).toBe(3);
    expect(settingsOfImport(key, 7).fingerprint).toBe(imported.fingerprint);
  });

  test('only values that the allow-list names are stored, as text', () => {
    const configuration = { 'api.key': 'k', 'pagination.max': 5, 'filter.response.nulls': 'true' };
    const stored = judged(builtInCatalog, settingsOf(key, { configuration }));
    expect(stored.allowListed).toEqual({ 'pagination.max': '5', 'filter.response.nulls': 'true' });
    expect(JSON.stringify({ ...stored, configuration: undefined })).not.toContain('"k"');
  });
});

describe('a fingerprint', () => {
  const one: Parameters<typeof fingerprintOf>[0] = {
    elementKey: 'taxify',
    name: 'Café',
    tags: ['b', 'é', 'a'],
    allowListed: { 'pagination.max': '5', 'filter.response.nulls': 'true' },
    options: { eventsEnabled: true, cachingEnabled: false },
    importedId: undefined,
  };

  test.each<[string, Partial<typeof one>]>([
    ['tags in another order', { tags: ['a', 'b', 'é'] }],
    ['letters and accents apart', { name: 'Cafe\u0301', tags: ['a', 'b', 'e\u0301'] }],
    ['entries in another order', { allowListed: { 'filter.response.nulls': 'true', 'pagination.max': '5' } }],
    ['options in another order', { options: { cachingEnabled: false, eventsEnabled: true } }],
  ])('two requests have one fingerprint with %s', (_what, fields) => {
    expect(fingerprintOf({ ...one, ...fields })).toBe(fingerprintOf(one));
  });

  test.each<[string, Partial<typeof one>]>([
    ['another element', { elementKey: 'stripe' }],
    ['another name', { name: 'Cafe' }],
    ['another tag', { tags: ['b', 'é'] }],
    ['another value', { allowListed: { ...one.allowListed, 'pagination.max': '6' } }],
    ['another option', { options: { eventsEnabled: false, cachingEnabled: false } }],
    ['no options', { options: undefined }],
    ['an imported instance', { importedId: 7 }],
  ])('two requests have two fingerprints with %s', (_what, fields) => {
    expect(fingerprintOf({ ...one, ...fields })).not.toBe(fingerprintOf(one));
  });

  test('the fingerprints of earlier versions stay the same', () => {
    expect([
      fingerprintOf(one),
      fingerprintOf({ ...one, options: undefined, importedId: 7 }),
      fingerprintOf({ ...one, options: undefined }),
    ]).toEqual([
      '0qZ49Nb0KbtuNdW3GK0CxYH7IfQDf5XWlAepiVWcp7w',
      'B7iD6FfS4A_jt-p3tbFIsgOodiJXkuxYBs0w-Xl16og',
      'vuQdhO9LQ9risG7ZB12dMjP-d37WHHq5WbNigD-pUhk',
    ]);
  });
});

const row: InstanceRow = {
  v: 1,
  ...key,
  status: 'active',
  instanceId: 4711,
  name: 'Acme',
  tags: ['eu'],
  createdAt: 1,
  updatedAt: 2,
  lastError: { code: 'internal', detail: 'x', requestId: 'r', said: 's', at: 3 },
  health: { status: 'unhealthy', since: 4, reason: 'gone', failedAt: 5 },
  provisionId: 'p',
  claimId: 'c',
  leaseExpiresAt: 0,
  sendDeadline: 6,
  inDoubt: false,
  origin: 'https://one.example',
  fingerprint: 'f',
  allowListed: { 'pagination.max': '5' },
  options: { eventsEnabled: true },
  requestedAt: 7,
  requestedTimes: { event: 7, queue: 8, own: 9 },
  token: new Uint8Array([1]),
  requestedBy: { dialect: 'sbt-0.9', eventId: 'e', registrationId: 'g', sentAt: 7, isCut: true },
  checkAt: 10,
  lookedAt: 11,
  healthCheckAt: 12,
  removedAt: 13,
  removedTimes: { own: 13 },
  removedBy: { dialect: 'native', eventId: 'r', sentAt: 13 },
  removalIds: ['r'],
  removingTimes: { event: 14 },
  removingSince: 14,
  createdName: 'Before',
  registration: { dialect: 'sbt-0.5', registrationId: 'g', isOfFormer: true },
  notices: [
    {
      outcome: 'refused',
      eventId: 'n',
      registration: { dialect: 'sbt-0.9', registrationId: 'g' },
      code: 'internal',
      detail: 'x',
      at: 15,
    },
    { outcome: 'removed', eventId: 'm', at: 16 },
  ],
  revision: 17,
  source: 'request',
  requestEntries: ['api.key'],
  requestDigest: 'd',
  updateInDoubtUntil: 18,
  valuesInDoubt: { 'pagination.max': ['6'] },
  secretInDoubtUntil: 19,
  changedAt: 20,
  secretReadAt: 21,
  formers: [{ provisionId: 'q', name: 'Former', createdAt: 22, origin: 'https://two.example' }],
  importedId: 4711,
  expiresAt: 23,
};

describe('a stored row', () => {
  test('a row is read as it was written, field by field', () => {
    const { importing: _none, ...before } = row;
    const whole = {
      ...row,
      v: 'import' as const,
      importing: { before, markers: ['owner:x'], isEnding: true },
    };
    expect(instanceRowSchema.parse(row)).toEqual(row);
    expect(instanceRowSchema.parse(whole)).toEqual(whole);
  });

  test.each(words('secret request'))('a row whose configuration comes from a %s is read', (source) => {
    expect(instanceRowSchema.safeParse({ ...row, source }).success).toBe(true);
  });

  test.each(words('native sbt-0.5 sbt-0.9'))('a row that an event of %s has requested is read', (dialect) => {
    const requestedBy = { dialect, eventId: 'e', sentAt: 0 };
    expect(instanceRowSchema.safeParse({ ...row, requestedBy }).success).toBe(true);
  });

  test.each(words('provisioning active failed deleting removed'))('a row that is %s is read', (status) => {
    expect(instanceRowSchema.safeParse({ ...row, status }).success).toBe(true);
  });

  test.each<[string, object]>([
    ['a later layout', { v: 2 }],
    ['another status', { status: 'paused' }],
    ['another source', { source: 'event' }],
    ['another dialect', { requestedBy: { dialect: 'sbt-1', eventId: 'e', sentAt: 0 } }],
    ['another dialect of the toolkit', { registration: { dialect: 'native', registrationId: 'g' } }],
    ['another kind of notice', { notices: [{ outcome: 'provisioned', eventId: 'n', at: 1 }] }],
    ['a time beyond all dates', { createdAt: 8.64e15 + 1 }],
    ['a time before all dates', { createdAt: -8.64e15 - 1 }],
    ['a fraction of a millisecond', { updatedAt: 0.5 }],
    ['text for a token', { token: 'x' }],
    ['a part of an id', { instanceId: 1.5 }],
  ])('a row with %s is not read', (_what, fields) => {
    expect(instanceRowSchema.safeParse({ ...row, ...fields }).success).toBe(false);
  });

  test('a row with the health of a later version is read without it', () => {
    const later = instanceRowSchema.parse({ ...row, health: { status: 'resting', since: 1 } });
    expect(later).toEqual({ ...row, health: undefined });
  });
});

const requested = (configuration: RequestedSettings['configuration']) => settingsOf(key, { configuration });

describe('a repeat of a request, judged by the list of its row', () => {
  const configuration = { 'api.key': 'k', 'base.url': 'https://one.example', 'pagination.max': 5 };
  const then = () => judged(builtInCatalog, requested(configuration));
  const written = () => ({ ...row, ...then(), tags: [] });

  test('a repeat is the same request as its row', () => {
    const { fingerprint, requestDigest } = then();
    expect(judgedAsThen(written(), requested(configuration))).toEqual({ fingerprint, requestDigest });
  });

  test('a repeat is the same request although an entry has been added to the list since', () => {
    const before = { ...written(), allowListed: {} };
    const judgedThen = judgedAsThen(before, requested(configuration));
    expect(judgedThen.fingerprint).toBe(fingerprintOf({ ...then(), allowListed: {} }));
    expect(judgedThen.requestDigest).not.toBe(then().requestDigest);
  });

  test('another stored value or another address is another request', () => {
    expect(
      judgedAsThen(written(), requested({ ...configuration, 'pagination.max': 6 })).fingerprint,
    ).not.toBe(then().fingerprint);
    expect(
      judgedAsThen(written(), requested({ ...configuration, 'base.url': 'https://two.example' }))
        .requestDigest,
    ).not.toBe(then().requestDigest);
  });
});

test('the keys of items beside the rows are those of earlier versions, and no tenant or element has them', () => {
  expect([auditPartition, wholeTenant]).toEqual(['*audit', '*']);
  expect(tenantIdSchema.safeParse(auditPartition).success).toBe(false);
  expect(elementKeySchema.safeParse(wholeTenant).success).toBe(false);
});

test.each([
  ['1.5', 1.5],
  ['9007199254740993', '9007199254740993'],
  ['1e400', '1e400'],
  ['-0', '-0'],
])('the stored number %s is read exactly, or as text', (text, value) => {
  expect(exactNumber(text)).toBe(value);
});

describe('an instance as answers show it', () => {
  test('an instance is shown with its times as text, its last error and its health', () => {
    expect(instanceView({ ...row, createdAt: 0, updatedAt: 1 })).toEqual({
      tenantId: 'acme',
      element: { key: 'taxify' },
      id: 4711,
      name: 'Acme',
      tags: ['eu'],
      status: 'active',
      createdDate: '1970-01-01T00:00:00.000Z',
      updatedDate: '1970-01-01T00:00:00.001Z',
      lastError: { code: 'internal', detail: 'x', requestId: 'r', at: '1970-01-01T00:00:00.003Z' },
      health: { status: 'unhealthy', since: '1970-01-01T00:00:00.004Z', reason: 'gone' },
    });
    const { lastError, health } = instanceView({ ...row, lastError: undefined, health: undefined });
    expect([lastError, health]).toEqual([undefined, undefined]);
  });
});

test('a request’s configuration has only names that look like names of entries', () => {
  expect(faultsOf(configurationSchema, { f3a9c17be2d04f5586aa: 'x' })).toEqual([
    'expected names of configuration entries such as "api.key"; one is not shown because it may be a credential',
  ]);
});
