import { describe, expect, test } from 'vitest';
import { builtInCatalog, catalogWith } from '../../../functions/model/built-in-catalog.ts';
import { decidesAddress } from '../../../functions/model/address-names.ts';
import { allowedKeys } from '../../../functions/model/catalog.ts';
import {
  assertAllowed,
  configurationFor,
  provenanceOf,
  updatedConfiguration,
} from '../../../functions/model/configuration.ts';
import {
  configurationSchema,
  entryNameSchema,
  judged,
  settingsOf,
  tenantSecretSchema,
  type Configuration,
} from '../../../functions/model/instance.ts';
import { words } from '../../support/words.ts';
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

test.each(
  words(`
    base.url event.notification.callback.url oauth.callback.url subdomain host hostname host.name
    site.address server company.domain endpoint aws.region instanceUrl baseurl redirect_uri
    oauth.token.url login.url auth.endpoint proxy.address account.name accountId base.path sites2
  `),
)('%s decides an address', (name) => {
  expect(decidesAddress(name)).toBe(true);
});

test.each(
  words(`
    api.key server.key server.apikey host.passcode site.user user.name id instance.token security
    pagination.max username
  `),
)('%s decides no address', (name) => {
  expect(decidesAddress(name)).toBe(false);
});

test('no allow-listed entry can change where a key is sent', () => {
  expect(['taxify'].flatMap((key) => allowedKeys(builtInCatalog, key)).filter(decidesAddress)).toEqual([]);
});

describe('a configuration value', () => {
  const unusable = /^expected text that is not blank and no mask such as/;
  const placeholder =
    /^expected a value in place of the placeholder in angle brackets, which was not filled in$/;
  const damaged = /^expected text without damaged characters/;
  const nested = /^expected an object or a list of at most 5 levels and 1000 parts/;
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
