import { describe, expect, test } from 'vitest';
import { builtInCatalog, catalogWith } from '../../../functions/model/built-in-catalog.ts';
import { decidesAddress } from '../../../functions/model/address-names.ts';
import { allowedKeys } from '../../../functions/model/catalog.ts';
import {
  assertAllowed,
  assertAllowedFor,
  configurationFor,
  digestOf,
  notAllowedNow,
  outsideAllowList,
  provenanceOf,
  requestEntriesOf,
  tenantSecretName,
  toVouchFor,
  updatedConfiguration,
  updatedDigest,
  withoutValuesInDoubt,
  withRequestEntries,
  withValuesInDoubt,
  type TenantSecret,
} from '../../../functions/model/configuration.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import {
  configurationSchema,
  entryNameSchema,
  judged,
  settingsOf,
  tenantSecretSchema,
  type Configuration,
} from '../../../functions/model/instance.ts';
import { problemsOf } from '../../../functions/model/validation.ts';

const requestedBy = { dialect: 'native', eventId: 'event-1', sentAt: 0 } as const;
const settings = (configuration: Configuration, elementKey = 'taxify') =>
  judged(builtInCatalog, settingsOf({ tenantId: 'acme', elementKey }, { configuration }));
/** The values by which two requests are compared. */
function compared(configuration: Configuration, elementKey?: string) {
  const { fingerprint, source, requestDigest } = settings(configuration, elementKey);
  return { fingerprint, source, requestDigest };
}

function problemsWith(schema: typeof configurationSchema, input: Configuration) {
  const { error } = schema.safeParse(input);
  return error ? problemsOf(error, input) : [];
}

describe('the source of a configuration', () => {
  test.each<[string, string, Configuration, string]>([
    ['nothing', 'taxify', {}, 'secret'],
    ['entries of the allow-list', 'taxify', { 'pagination.max': 5 }, 'secret'],
    ['a key', 'taxify', { 'api.key': 'k' }, 'request'],
    ['an address', 'taxify', { 'base.url': 'x', 'pagination.max': 5 }, 'request'],
    ['nothing for an element outside the catalogue', 'zendesk', {}, 'secret'],
    ['any entry for an element outside the catalogue', 'zendesk', { 'pagination.max': 5 }, 'request'],
    ['an inherited name', 'constructor', { toString: 'x' }, 'request'],
  ])('the source of a request that sets %s is known', (_what, elementKey, configuration, source) => {
    expect(provenanceOf(builtInCatalog, { elementKey, configuration })).toMatchObject({
      source,
      requestEntries: Object.keys(configuration).toSorted(),
    });
  });

  test('an event’s configuration source is the secret; its allow-listed entries are not recorded as request entries', () => {
    const configuration = { 'api.key': 'k', 'pagination.max': 5 };
    expect(provenanceOf(builtInCatalog, { elementKey: 'taxify', configuration, requestedBy })).toEqual({
      source: 'secret',
      requestEntries: ['pagination.max'],
    });
  });
});

function configurationWithoutSecret(more: object) {
  const requested = {
    tenantId: 'acme',
    elementKey: 'taxify',
    configuration: {},
    source: 'secret',
    ...more,
  } as const;
  return configurationFor(builtInCatalog, requested, async () => ({
    name: 'the-secret',
    configuration: undefined,
  }));
}

describe('a missing entry', () => {
  test('a request without an entry is offered both ways to supply it', async () => {
    await expect(configurationWithoutSecret({})).rejects.toThrow(
      /without api\.key: send it in the request's configuration, or put it into the secret the-secret/,
    );
  });

  test('the error for an event that lacks an entry names the tenant’s secret', async () => {
    await expect(configurationWithoutSecret({ requestedBy })).rejects.toThrow(
      /without api\.key: put it into the secret the-secret \(/,
    );
  });
});

describe('a default of the deployer', () => {
  const catalog = catalogWith({
    shop: {
      required: ['api.key', 'base.url'],
      defaults: { 'base.url': 'https://one.example', 'page.size': 5 },
    },
  });
  const defaults = { 'base.url': 'https://one.example', 'page.size': 5 };
  const sent = (configuration: Configuration, stored: Configuration | undefined) =>
    configurationFor(
      catalog,
      judged(catalog, settingsOf({ tenantId: 'acme', elementKey: 'shop' }, { configuration })),
      async () => ({ name: 'the-secret', configuration: stored }),
    );

  test.each<[string, Configuration, Configuration | undefined, Configuration]>([
    [
      'gives way to a value of the secret',
      {},
      { 'api.key': 'k', 'page.size': 7 },
      { ...defaults, 'api.key': 'k', 'page.size': 7 },
    ],
    ['stands in for a required entry of the secret', {}, { 'api.key': 'k' }, { ...defaults, 'api.key': 'k' }],
    [
      'stands in for a required entry of a request',
      { 'api.key': 'own' },
      undefined,
      { ...defaults, 'api.key': 'own' },
    ],
    [
      'gives way to a value of a request',
      { 'api.key': 'own', 'base.url': 'https://two.example' },
      { 'api.key': 'k' },
      { ...defaults, 'api.key': 'own', 'base.url': 'https://two.example' },
    ],
  ])('a default %s', async (_what, configuration, stored, expected) => {
    expect(await sent(configuration, stored)).toEqual(expected);
  });

  test('a default may be left out of a PATCH that replaces everything else of a request', async () => {
    const row = { tenantId: 'acme', elementKey: 'shop', source: 'request', allowListed: {} } as const;
    const patched = (requestEntries: string[], configuration: Configuration) =>
      updatedConfiguration(catalog, { ...row, requestEntries }, configuration, () =>
        Promise.reject(new Error('read')),
      );
    const configuration = { 'api.key': 'own-2' };
    expect(await patched(['api.key'], configuration)).toEqual(configuration);
    await expect(patched(['api.key', 'base.url'], configuration)).rejects.toMatchObject({
      facts: { missing: ['configuration.base.url'] },
    });
    await expect(patched(['api.key'], { 'base.url': 'https://two.example' })).rejects.toMatchObject({
      facts: { missing: ['configuration.api.key'] },
    });
  });

  test('a credential is still missing, and alone', async () => {
    await expect(sent({}, {})).rejects.toMatchObject({ facts: { missing: ['configuration.api.key'] } });
  });
});

describe('an allowed entry whose value may be a credential', () => {
  const misplaced = { 'pagination.max': 'qzxwvkjhgfdpmntb', 'filter.response.nulls': 5 };

  test.each([
    ['a request', undefined],
    ['an event', requestedBy],
  ])(
    'an allowed entry whose value may be a credential is refused in %s, named, and not repeated',
    async (_what, by) => {
      const refusal = configurationWithoutSecret({ configuration: misplaced, requestedBy: by });
      await expect(refusal).rejects.toThrow(
        'The configuration is not valid: pagination.max expected a whole number of at most 6 digits; ' +
          'filter.response.nulls expected true or false.',
      );
    },
  );

  test('an allowed entry whose value may be a credential is not stored', () => {
    expect(settings(misplaced).allowListed).toEqual({});
  });

  test.each([
    { 'pagination.max': '100', 'filter.response.nulls': 'true' },
    { 'pagination.max': 100, 'filter.response.nulls': false },
  ])('documented values are accepted: %j', (configuration) => {
    expect(Object.keys(settings(configuration).allowListed)).toHaveLength(2);
  });
});

describe('a comparison of two requests', () => {
  const one = { 'api.key': 'one', 'base.url': 'https://one.example/path' };

  test.each<[string, Configuration]>([
    ['another credential', { ...one, 'api.key': 'two' }],
    ['user info in the address', { ...one, 'base.url': 'https://me:secret@one.example/path' }],
    ['a query in the address', { ...one, 'base.url': 'https://one.example/path?key=secret' }],
    ['a fragment in the address', { ...one, 'base.url': ' https://one.example/path#secret ' }],
    ['the default port', { ...one, 'base.url': 'HTTPS://One.Example:443/path' }],
  ])('two requests are the same with %s', (_what, configuration) => {
    expect(compared(configuration)).toEqual(compared(one));
  });

  test.each<[string, Configuration]>([
    ['another host', { ...one, 'base.url': 'https://two.example/path' }],
    ['another path', { ...one, 'base.url': 'https://one.example/other' }],
    ['another port', { ...one, 'base.url': 'https://one.example:8443/path' }],
    ['another scheme', { ...one, 'base.url': 'http://one.example/path' }],
    ['one entry more', { ...one, 'partner.key': 'p' }],
    ['one entry less', { 'api.key': 'one' }],
    ['an address under another name', { ...one, 'partner.link': 'https://one.example' }],
    ['the secret as its source', {}],
  ])('two requests are not the same with %s', (_what, configuration) => {
    expect(compared(configuration)).not.toEqual(compared(one));
  });

  test('the request digest compares addresses inside an object, in any order, and nothing else in it', () => {
    const [first, same, other] = [
      { a: { url: 'https://me:x@one.example/b?c', id: 'id' }, b: { host: 'two.example' } },
      { b: { host: 'two.example' }, a: { url: 'https://one.example/b', id: 'no' } },
      { a: { url: 'https://one.example/b' }, b: { host: 'three.example' } },
    ].map((poller) => compared({ ...one, 'event.poller.configuration': { ...poller } }));
    expect(same).toEqual(first);
    expect(other).not.toEqual(first);
    const [a, b] = ['/hubs/crm/a', '/hubs/crm/b'].map((path) =>
      compared({ ...one, 'event.poller.urls': { contacts: [path] } }),
    );
    expect(a).not.toEqual(b);
  });

  test('the request digest compares a URL’s origin under any name, and nothing that may be a credential', () => {
    const [first, same, other] = [
      'https://me:a@one.example/b?c',
      'https://one.example/d#e',
      'https://two.example/b?c',
    ].map((link) => compared({ ...one, 'partner.link': link }));
    expect(first).toEqual(same);
    expect(first).not.toEqual(other);
    expect(compared({ 'server.apikey': 'one' })).toEqual(compared({ 'server.apikey': 'two' }));
  });

  test('the fingerprint is that of earlier versions, which have neither source nor address', () => {
    expect(settings(one).fingerprint).toBe(settings({}).fingerprint);
    // The value that version wrote.
    expect(settings({}).fingerprint).toBe('E7-so_Jn_lunbw-Wixgtyrt5AY2bbkKecQAATxH-kHU');
  });

  test.each([
    ['me:secret@one.example/path?key', 'you:other@one.example/path'],
    ['shop', ' shop'],
    ['not a host?secret', 'not a host'],
  ])('%s and %s are the same address', (a, b) => {
    const [first, same, other] = [a, b, 'elsewhere.example'].map((site) => compared({ site }, 'freshdeskv2'));
    expect(first).toEqual(same);
    expect(first).not.toEqual(other);
  });
});

test('no allow-listed entry can change where a key is sent', () => {
  expect(['taxify'].flatMap((key) => allowedKeys(builtInCatalog, key)).filter(decidesAddress)).toEqual([]);
});

describe('a configuration value', () => {
  const unusable = /^expected text that is not blank and no mask such as/;
  const placeholder =
    /^expected a value in place of the placeholder in angle brackets, which was not filled in$/;
  const damaged = /^expected text without damaged characters/;
  const nested =
    /^expected an object or a list of at most 5 levels and 1000 parts, without masks such as "\*{3}", placeholders in angle brackets and damaged characters in it$/;
  const listOf = (depth: number): unknown[] => (depth === 1 ? ['x'] : [listOf(depth - 1)]);

  test.each<[unknown, RegExp]>([
    ...['********', '*', ' ** ', '••••', '*•*', '', ' ', '\u200b', null].map((value): [unknown, RegExp] => [
      value,
      unusable,
    ]),
    ...['<key>', ' <YOUR API KEY> ', '<>', '<<token>>', '\t<<<your\nkey>>>\n'].map(
      (value): [unknown, RegExp] => [value, placeholder],
    ),
    ['half \ud800', damaged],
    ['lost \ufffd', damaged],
    [{ contacts: { url: ' <URL> ' } }, placeholder],
    [[{ a: ['<<token>>'] }], placeholder],
    [{ '<OBJECT>': {} }, placeholder],
    [{ login: { password: '********' } }, /^expected no mask such as/],
    [{ login: ['lost \ufffd'] }, damaged],
    [{ 'half \ud800': 1 }, damaged],
    [listOf(6), nested],
    [Array.from({ length: 1_000 }, () => 0), nested],
  ])('%j is refused, in a request and in a secret', (value, detail) => {
    for (const schema of [configurationSchema, tenantSecretSchema]) {
      const input = { 'api.key': value };
      const { error } = schema.safeParse(input);
      expect(error && problemsOf(error, input)).toEqual([
        { path: ['api.key'], detail: expect.stringMatching(detail) },
      ]);
    }
  });

  test.each([
    {
      contacts: { url: "/contacts?where=updated>'${date}'", idField: 'id', fields: ['*', '', null, true, 5] },
    },
    ['a', 'b'],
    {},
    listOf(5),
    Array.from({ length: 999 }, () => 0),
  ])('an object or a list is accepted as it is, in a request and in a secret: %j', (value) => {
    for (const schema of [configurationSchema, tenantSecretSchema]) {
      expect(schema.parse({ 'event.poller.configuration': value })).toEqual({
        'event.poller.configuration': value,
      });
    }
  });

  test('a list is refused as the value of an allow-listed entry', () => {
    expect(settings({ 'pagination.max': [50] }).allowListed).toEqual({});
    expect(() =>
      assertAllowed(builtInCatalog, { elementKey: 'taxify', configuration: { 'pagination.max': [50] } }),
    ).toThrow('pagination.max expected a whole number');
  });

  test.each(['k', '*k*', 'a*', '<a', 'b>', '<a>b', '<a><b>', '<key>k</key>', '5 < 6 > 4', '<\n', 0, false])(
    'the value %j is accepted',
    (value) => {
      expect(configurationSchema.safeParse({ 'api.key': value }).success).toBe(true);
    },
  );
});

describe('an entry’s name', () => {
  test.each(['api.key', 'filter.response.nulls', 'pagination.max', 'refresh_interval', 'apiKey'])(
    'the entry’s name %s is accepted',
    (name) => {
      expect(entryNameSchema.safeParse(name).success).toBe(true);
    },
  );

  test('a name that may be a credential is refused without being repeated', () => {
    const misplaced = ['Zk9qT2xR7wPb4Ls0Yd', '2f1e0d9c8b7a69584736251403f2e1d0', 'a b', ''];
    const names = Object.fromEntries(misplaced.map((name) => [name, 'x']));
    expect(problemsWith(configurationSchema, names)).toEqual([
      { path: [], detail: expect.stringContaining('one is not shown because it may be a credential') },
    ]);
  });
});

/** The parts of a refusal that its reader has. */
async function refusalOf(act: () => unknown) {
  try {
    await act();
  } catch (error) {
    if (error instanceof OnboardingError) {
      const { code, message, facts } = error;
      return { code, message, problems: facts.problems, missing: facts.missing };
    }
    throw error;
  }
  return expect.fail('It was not refused.');
}

const taxifyOf = (configuration: Configuration) => ({ elementKey: 'taxify', configuration });
const rule =
  "cannot be set where the tenant's secret supplies the credentials (allowed: filter.response.nulls, pagination.max)";
const wrongCount = 'expected a whole number of at most 6 digits';
const pointerTo = (name: string) => `#/configuration/${name}`;

const refusedRequest = (configuration: Configuration) =>
  refusalOf(() => assertAllowed(builtInCatalog, taxifyOf(configuration)));
const refusedEvent = (configuration: Configuration, elementKey = 'taxify') =>
  refusalOf(() => assertAllowed(builtInCatalog, { elementKey, configuration, requestedBy }));
const notRead = (): Promise<TenantSecret> => Promise.reject(new Error('read'));

describe('a request that may not set an entry', () => {
  test('a request with entries of the allow-list, or with every required one, is allowed', () => {
    for (const configuration of [{}, { 'pagination.max': 5 }, { 'api.key': 'k', 'base.url': 'x' }]) {
      expect(() => assertAllowed(builtInCatalog, taxifyOf(configuration))).not.toThrow();
    }
    expect(() =>
      assertAllowed(builtInCatalog, { ...taxifyOf({ 'pagination.max': 5 }), requestedBy }),
    ).not.toThrow();
  });

  test('an event that sets other entries is refused, with what it may set', async () => {
    expect(await refusedEvent({ 'api.key': 'k', 'base.url': 'x' })).toEqual({
      code: 'invalid-request',
      message: `The configuration api.key, base.url ${rule}.`,
      problems: [
        { pointer: pointerTo('api.key'), detail: rule },
        { pointer: pointerTo('base.url'), detail: rule },
      ],
      missing: undefined,
    });
    expect(await refusedEvent({ 'api.key': 'k', 'pagination.max': 'x' })).toMatchObject({
      message: `The configuration api.key ${rule}. The configuration is not valid: pagination.max ${wrongCount}.`,
      problems: [
        { pointer: pointerTo('pagination.max'), detail: wrongCount },
        { pointer: pointerTo('api.key'), detail: rule },
      ],
    });
    expect((await refusedEvent({ 'api.key': 'k' }, 'zendesk')).message).toBe(
      "The configuration api.key cannot be set where the tenant's secret supplies the credentials (allowed: none).",
    );
  });

  test('a request that sets an address and no key is refused, with both ways out', async () => {
    const message =
      "The request sets base.url, partner.key, so the tenant's secret is not used and api.key is missing. Send api.key in " +
      "the same configuration; or leave out base.url, partner.key and put api.key into the tenant's secret, beside which " +
      'a request may set only filter.response.nulls, pagination.max.';
    const outside = { 'base.url': 'x', 'partner.key': 'y' };
    const ruled = [pointerTo('base.url'), pointerTo('partner.key')].map((pointer) => ({
      pointer,
      detail: rule,
    }));
    expect(await refusedRequest(outside)).toEqual({
      code: 'missing-configuration',
      message,
      problems: ruled,
      missing: ['configuration.api.key'],
    });
    expect(await refusedRequest({ ...outside, 'pagination.max': 'x' })).toEqual({
      code: 'invalid-request',
      message: `The configuration is not valid: pagination.max ${wrongCount}. ${message}`,
      problems: [{ pointer: pointerTo('pagination.max'), detail: wrongCount }, ...ruled],
      missing: ['configuration.api.key'],
    });
  });

  test('a request is refused with everything that it lacks', async () => {
    const { message, missing } = await refusalOf(() =>
      assertAllowed(builtInCatalog, { elementKey: 'bamboohr', configuration: { 'base.url': 'x' } }),
    );
    expect(message).toContain(
      'and username, company.name is missing. Send username, company.name in the same',
    );
    expect(missing).toEqual(['configuration.username', 'configuration.company.name']);
  });

  test('a request that is complete but for the form of a value is refused for that alone', async () => {
    for (const configuration of [{ 'pagination.max': 'x' }, { 'pagination.max': 'x', 'api.key': 'k' }]) {
      expect(await refusalOf(() => assertAllowed(builtInCatalog, taxifyOf(configuration)))).toEqual({
        code: 'invalid-request',
        message: `The configuration is not valid: pagination.max ${wrongCount}.`,
        problems: [{ pointer: pointerTo('pagination.max'), detail: wrongCount }],
        missing: undefined,
      });
    }
  });
});

const settingsFrom = (configuration: Configuration, source: 'secret' | 'request', by?: object) => ({
  ...taxifyOf(configuration),
  tenantId: 'acme',
  source,
  requestedBy: by,
});
const holding = (configuration?: Configuration, absence?: string) => {
  const secret: TenantSecret = { name: 'the-secret', configuration, ...(absence && { absence }) };
  return async () => secret;
};

describe('a refusal for a reader of the tenant’s secret', () => {
  const wrong = { 'pagination.max': 'x' };
  const refused = `The configuration is not valid: pagination.max ${wrongCount}.`;

  test('the refusal of a request also names the entries that the secret lacks', async () => {
    const lack =
      "Tenant acme cannot get its taxify instance without api.key: send it in the request's configuration, or put it into " +
      'the secret the-secret (which lacks it) and retry.';
    expect(
      await refusalOf(() => assertAllowedFor(builtInCatalog, settingsFrom(wrong, 'secret'), holding({}))),
    ).toEqual({
      code: 'invalid-request',
      message: `${refused} ${lack}`,
      problems: [{ pointer: pointerTo('pagination.max'), detail: wrongCount }],
      missing: ['configuration.api.key'],
    });
  });

  test.each<[string, 'secret' | 'request', () => Promise<TenantSecret>]>([
    ['it has what is needed', 'secret', holding({ 'api.key': 'k' })],
    ['it cannot be read', 'secret', () => Promise.reject(new Error('unreadable'))],
    ['it is not the source', 'request', holding({})],
  ])('the refusal of a request does not mention the secret if %s', async (_when, source, read) => {
    const refusal = await refusalOf(() =>
      assertAllowedFor(builtInCatalog, settingsFrom(wrong, source), read),
    );
    expect([refusal.message, refusal.missing]).toEqual([refused, undefined]);
  });

  test('an allowed request does not read the secret', async () => {
    const allowed = settingsFrom({ 'api.key': 'k' }, 'request');
    await expect(assertAllowedFor(builtInCatalog, allowed, notRead)).resolves.toBeUndefined();
    expect(await configurationFor(builtInCatalog, allowed, notRead)).toEqual({ 'api.key': 'k' });
  });

  test('the refusal of an event says why there is no secret, and names every missing entry', async () => {
    const read = holding(undefined, 'does not exist');
    const event = { ...settingsFrom({}, 'secret', requestedBy), elementKey: 'bamboohr' };
    expect(await refusalOf(() => configurationFor(builtInCatalog, event, read))).toEqual({
      code: 'missing-configuration',
      message:
        'Tenant acme cannot get its bamboohr instance without username, company.name: put it into the secret the-secret ' +
        '(which does not exist) and retry.',
      problems: undefined,
      missing: ['configuration.username', 'configuration.company.name'],
    });
  });

  test('a create from the secret has the entries of the request, too', async () => {
    const read = holding({ 'api.key': 'k', 'pagination.max': 7 });
    expect(
      await configurationFor(builtInCatalog, settingsFrom({ 'pagination.max': 5 }, 'secret'), read),
    ).toEqual({
      'api.key': 'k',
      'pagination.max': 5,
    });
  });
});

test('a tenant’s secret has a name of its own for each element', () => {
  expect(tenantSecretName('stage', { tenantId: 'acme', elementKey: 'taxify' })).toBe(
    'stage/tenants/acme/taxify',
  );
});

/** An instance of Taxify whose configuration comes from the tenant's secret. */
const row = { tenantId: 'acme', elementKey: 'taxify', source: 'secret', allowListed: {} } as const;

describe('the entries that requests have set', () => {
  test('rows of earlier versions have only those that were stored', () => {
    expect(requestEntriesOf({ allowListed: { a: '1' } })).toEqual(['a']);
    expect(requestEntriesOf({ allowListed: { a: '1', b: '2' }, requestEntries: ['c', 'a'] })).toEqual([
      'c',
      'a',
      'b',
    ]);
    expect(requestEntriesOf({ allowListed: {} })).toEqual([]);
  });

  test('entries outside the allow-list are those that it does not name', () => {
    const names = ['api.key', 'pagination.max', 'toString'];
    expect(outsideAllowList(builtInCatalog, 'taxify', names)).toEqual(['api.key', 'toString']);
    expect(outsideAllowList(builtInCatalog, 'zendesk', names)).toEqual(names);
  });

  test.each<[string, Partial<Parameters<typeof notAllowedNow>[1]>, string[]]>([
    ['nothing', {}, []],
    ['an allowed value', { allowListed: { 'pagination.max': '5' } }, []],
    ['an allowed name whose value was not stored', { requestEntries: ['pagination.max'] }, []],
    ['a name that is gone from the list', { requestEntries: ['pagination.max', 'base.url'] }, ['base.url']],
    [
      'a stored value that is no longer of its form',
      { allowListed: { 'pagination.max': 'many' } },
      ['pagination.max'],
    ],
    [
      'one value in doubt that is no longer of its form',
      { allowListed: { 'pagination.max': '5' }, valuesInDoubt: { 'pagination.max': ['6', 'many'] } },
      ['pagination.max'],
    ],
    [
      'a value in doubt that is of its form',
      {
        allowListed: { 'pagination.max': '5' },
        valuesInDoubt: { 'pagination.max': ['6'], 'base.url': ['x'] },
      },
      [],
    ],
    ['an inherited name', { requestEntries: ['constructor'], valuesInDoubt: {} }, ['constructor']],
  ])('entries of an instance with %s are judged by the allow-list of today', (_what, fields, names) => {
    expect(notAllowedNow(builtInCatalog, { ...row, ...fields })).toEqual(names);
  });

  test('an operator vouches for entries that may not be set now and, after a request, for values that are not known', () => {
    const requestEntries = ['base.url', 'filter.response.nulls', 'pagination.max'];
    const instance = { ...row, requestEntries, allowListed: { 'pagination.max': '5' } };
    expect(toVouchFor(builtInCatalog, instance)).toEqual(['base.url']);
    const ofRequest = ['base.url', 'filter.response.nulls'];
    expect(toVouchFor(builtInCatalog, { ...instance, source: 'request' })).toEqual(ofRequest);
    expect(toVouchFor(builtInCatalog, { ...instance, source: undefined })).toEqual(ofRequest);
  });

  test('an update adds its entries to those that are remembered, each once and in order', () => {
    expect(withRequestEntries({ requestEntries: ['b', 'a'] }, { c: 1, a: 2 })).toEqual(['a', 'b', 'c']);
    expect(withRequestEntries({ requestEntries: undefined }, { b: 1, a: 2 })).toEqual(['a', 'b']);
  });

  test('values in doubt are added while an update is under way, each once', () => {
    const valuesInDoubt = { a: ['1'], b: ['1'] };
    expect(withValuesInDoubt({ valuesInDoubt }, { a: '2', c: '3' })).toEqual({
      a: ['1', '2'],
      b: ['1'],
      c: ['3'],
    });
    expect(withValuesInDoubt({ valuesInDoubt }, { a: '1' })).toEqual(valuesInDoubt);
    expect(withValuesInDoubt({ valuesInDoubt: undefined }, { constructor: '1' })).toEqual({
      constructor: ['1'],
    });
  });

  test('values in doubt end once an update has surely set their entries', () => {
    const valuesInDoubt = { a: ['1'], b: ['1'] };
    expect(withoutValuesInDoubt({ valuesInDoubt }, { a: 2 })).toEqual({ b: ['1'] });
    expect(withoutValuesInDoubt({ valuesInDoubt }, {})).toEqual(valuesInDoubt);
    expect(withoutValuesInDoubt({ valuesInDoubt }, { a: 2, b: 2 })).toBeUndefined();
    expect(withoutValuesInDoubt({ valuesInDoubt: undefined }, { a: 2 })).toBeUndefined();
  });

  test('an update of entries outside the allow-list has a digest of its own, and one of others keeps the last', () => {
    const before = { elementKey: 'taxify', requestDigest: 'before' };
    expect(updatedDigest(builtInCatalog, before, { 'pagination.max': 5 })).toBe('before');
    const configuration = { 'api.key': 'k', 'base.url': 'https://one.example', 'pagination.max': 5 };
    expect(updatedDigest(builtInCatalog, before, configuration)).toBe(
      digestOf(['api.key', 'base.url'], configuration),
    );
  });
});

const digest = (configuration: Configuration) => digestOf(Object.keys(configuration), configuration);

describe('the digest of a request', () => {
  test('the digests that earlier versions stored stay the same', () => {
    expect([
      digest({ 'api.key': 'k' }),
      digest({ 'base.url': 'https://me:x@one.example/path?key=x', 'api.key': 'k', site: 'shop' }),
      digest({ 'event.poller.configuration': { url: ['https://b.example', 'https://a.example'], id: 1 } }),
    ]).toEqual([
      'SC6PMBJ-A2y_UOuWZSQMKzczIc6RDUC_Vg2Nb4MQVAY',
      'k82Dr_zqFVHZqK_52VQ_uKv5Hpq6HocRm1RQb3BYHec',
      'LeWO4oX79z4zfW-37W333nCkPRqeuTnVvNAm-PHxA4c',
    ]);
  });

  test.each<[string, Configuration, Configuration]>([
    ['the key', { 'api.key': 'a' }, { 'api.key': 'b' }],
    ['text behind a fragment', { site: 'not a host#x' }, { site: 'not a host#y' }],
    ['text behind a query, of two lines', { site: 'not a host?x\ny' }, { site: 'not a host?x\nz' }],
    ['text before the last at-sign, of two lines', { site: 'me@a\nb@not a host' }, { site: 'not a host' }],
    ['the order of the entries', { 'api.key': 'k', site: 's' }, { site: 's', 'api.key': 'k' }],
    [
      'the order of the addresses in an entry',
      { urls: ['a.example', 'b.example'] },
      { urls: ['b.example', 'a.example'] },
    ],
  ])('the digest does not depend on %s', (_what, one, two) => {
    expect(digest(one)).toBe(digest(two));
  });

  test.each<[string, Configuration, Configuration]>([
    ['an address that is no host', { site: 'not a host' }, { site: 'not another host' }],
    ['the place of an at-sign', { site: 'a b' }, { site: '@' }],
    ['one character of an address', { site: 'a b' }, { site: 'a c' }],
    ['a URL without a host', { 'partner.link': 'https://a.example' }, { 'partner.link': 'mailto:a.example' }],
    ['an address of an inner name', { poller: { host: 'a.example' } }, { poller: { host: 'b.example' } }],
    ['an empty list of addresses', { urls: [] }, { urls: ['a.example'] }],
  ])('the digest depends on %s', (_what, one, two) => {
    expect(digest(one)).not.toBe(digest(two));
  });
});

const fromRequests = (names: string) =>
  `The taxify instance of tenant acme got configuration from requests (${names}), so the tenant's secret is never sent ` +
  'to it. ';

describe('the configuration of an update', () => {
  const stored: Configuration = { 'api.key': 'k', 'pagination.max': 7 };
  const secret = async (): Promise<TenantSecret> => ({ name: 'the-secret', configuration: stored });
  type Row = Parameters<typeof updatedConfiguration>[1];
  const sent = (fields: Partial<Row>, configuration: Configuration, read = notRead) =>
    updatedConfiguration(builtInCatalog, { ...row, ...fields }, configuration, read);
  const refused = (fields: Partial<Row>, configuration: Configuration, read?: () => Promise<TenantSecret>) =>
    refusalOf(() =>
      updatedConfiguration(builtInCatalog, { ...row, ...fields }, configuration, read ?? notRead),
    );

  test.each(['secret', 'request', undefined] as const)(
    'allowed entries are sent alone where the source of the others is %s',
    async (source) => {
      const configuration = { 'pagination.max': 5 };
      const requestEntries = ['base.url'];
      expect(await sent({ source, requestEntries }, configuration)).toEqual(configuration);
    },
  );

  test('without a configuration the secret is sent, but for entries that requests have set', async () => {
    expect(await sent({}, {}, secret)).toEqual(stored);
    expect(await sent({ allowListed: { 'pagination.max': '5' } }, {}, secret)).toEqual({ 'api.key': 'k' });
    const otherCatalog = catalogWith({
      shop: { required: ['page.size'], allowed: { 'page.size': 'count' } },
    });
    const ofShop = { ...row, elementKey: 'shop', allowListed: { 'page.size': '5' } };
    expect(await updatedConfiguration(otherCatalog, ofShop, {}, secret)).toEqual(stored);
  });

  test.each<[string, TenantSecret, Partial<Row>, string, string[]]>([
    [
      'lacks the key',
      { name: 's', configuration: { 'pagination.max': 5 } },
      {},
      'lacks api.key',
      ['api.key'],
    ],
    [
      'does not exist',
      { name: 's', configuration: undefined, absence: 'does not exist' },
      {},
      'does not exist',
      ['api.key'],
    ],
    [
      'lacks two entries',
      { name: 's', configuration: {} },
      { elementKey: 'bamboohr' },
      'lacks username, company.name',
      ['username', 'company.name'],
    ],
    [
      'has only what requests have set',
      { name: 's', configuration: { 'pagination.max': 5 } },
      { elementKey: 'zendesk', allowListed: { 'pagination.max': '5' }, requestEntries: [] },
      '',
      [],
    ],
  ])('a secret that %s is not sent', async (_what, read, fields, lack, missing) => {
    const catalog = catalogWith({ zendesk: { allowed: { 'pagination.max': 'count' } } });
    const instance = { ...row, ...fields };
    expect(await refusalOf(() => updatedConfiguration(catalog, instance, {}, async () => read))).toEqual({
      code: 'missing-configuration',
      message:
        `The secret s ${lack || 'holds nothing to send'}. Put the configuration of the tenant's ` +
        `${instance.elementKey} instance into it and retry.`,
      problems: undefined,
      missing: missing.map((name) => `configuration.${name}`),
    });
  });

  test('an entry outside the allow-list is refused where the secret supplies the credentials', async () => {
    expect(await refused({}, { 'api.key': 'k' })).toMatchObject({
      code: 'invalid-request',
      message: `The configuration api.key ${rule}.`,
    });
    expect(await refused({}, { 'api.key': 'k', 'pagination.max': 'x' })).toMatchObject({
      message: `The configuration api.key ${rule}. The configuration is not valid: pagination.max ${wrongCount}.`,
    });
  });

  test.each(['secret', 'request', undefined] as const)(
    'a value of another form is refused, with %s as the source',
    async (source) => {
      const wrong = { 'pagination.max': 'x', ...(source !== 'secret' && { 'api.key': 'k' }) };
      expect(await refused({ source }, wrong)).toEqual({
        code: 'invalid-request',
        message: `The configuration is not valid: pagination.max ${wrongCount}.`,
        problems: [{ pointer: pointerTo('pagination.max'), detail: wrongCount }],
        missing: undefined,
      });
    },
  );

  const ways =
    "To move it to the tenant's secret, DELETE it and POST it again without configuration, which makes another token, or " +
    'have the operator vouch for it with "npm run trust", which keeps id and token.';

  test('the secret is not sent to an instance whose source is not known', async () => {
    for (const configuration of [{}, { 'api.key': 'k' }]) {
      expect(await refused({ source: undefined }, configuration, secret)).toMatchObject({
        code: 'configuration-unknown',
        message:
          "The taxify instance of tenant acme got its configuration from a source that is not known, so the tenant's " +
          'secret is never sent to it, and a change may set only filter.response.nulls, pagination.max. ' +
          ways,
      });
    }
    expect((await refused({ source: undefined, elementKey: 'zendesk' }, {})).message).toContain(
      'a change may set no configuration. ',
    );
  });

  test('the secret is not sent beside an address that a request has set', async () => {
    const code = 'configuration-from-request';
    const message = `${fromRequests('api.key, base.url')}${ways}`;
    const requestEntries = ['api.key', 'base.url', 'filter.response.nulls'];
    expect(await refused({ requestEntries }, {}, secret)).toMatchObject({ code, message });
    expect(await refused({ requestEntries, source: 'request' }, {}, secret)).toMatchObject({ code, message });
  });

  test('the secret is not sent beside a value that is no longer accepted, until that is changed', async () => {
    const allowListed = { 'filter.response.nulls': 'perhaps', 'pagination.max': 'many' };
    expect((await refused({ allowListed }, {}, secret)).message).toBe(
      `${fromRequests('filter.response.nulls, pagination.max')}Its list of accepted values has changed: set ` +
        'filter.response.nulls, pagination.max to a value that is accepted now with PATCH.',
    );
    const requestEntries = ['base.url'];
    expect((await refused({ allowListed, requestEntries }, {}, secret)).message).toContain(ways);
  });

  test('an instance that is configured by requests gets everything outside the allow-list at once', async () => {
    const requestEntries = ['api.key', 'base.url', 'pagination.max', 'site'];
    const instance = { source: 'request' as const, requestEntries };
    const whole = { 'api.key': 'k', 'base.url': 'x', site: 's' };
    expect(await sent(instance, whole)).toEqual(whole);
    expect(await refused(instance, { 'partner.key': 'p', 'partner.id': 'i' })).toEqual({
      code: 'missing-configuration',
      message:
        'The taxify instance of tenant acme got its configuration from requests, and partner.key, partner.id can only be ' +
        'changed together with everything else that they have set: api.key, base.url, site is missing.',
      problems: undefined,
      missing: ['configuration.api.key', 'configuration.base.url', 'configuration.site'],
    });
  });
});
