import { describe, expect, test } from 'vitest';
import { maySteer, namesCredential } from '../../../functions/model/address-names.ts';
import { builtInElements } from '../../../functions/model/built-in-elements.ts';
import { builtInCatalog, catalogWith } from '../../../functions/model/built-in-catalog.ts';
import {
  allowedKeys,
  defaultsOf,
  expectedOf,
  hasNoPing,
  isAllowListed,
  isCatalogued,
  requiredKeys,
} from '../../../functions/model/catalog.ts';
import { elementsFrom, elementsSchema, type Elements } from '../../../functions/model/elements.ts';
import { isElementKey, isEntryName } from '../../../functions/model/entry-name.ts';
import { elements as simulated } from '../../../infra/local/cloud-elements/catalog.ts';
import { words } from '../../support/words.ts';

const key = 'shop';
const addresses: NonNullable<Elements[string]['addresses']> = {
  subdomain: 'dns-label',
  'base.url': { origins: ['https://api.one.example', 'https://api.two.example:8443'] },
  region: { oneOf: ['eu', 'us-1'] },
};
const catalog = catalogWith({ [key]: { addresses } });
const isAccepted = (name: string, value: unknown) => expectedOf(catalog, key, name, value) === undefined;

describe('an address that is one DNS label', () => {
  test.each(['a', 'A1', '7', 'acme-eu', 'xn--bcher-kva', 'a'.repeat(63), 42])('%j is accepted', (value) => {
    expect(isAccepted('subdomain', value)).toBe(true);
  });

  test.each([
    ['a fragment after another host', 'elsewhere.example/#'],
    ['two labels', 'elsewhere.example'],
    ['a trailing dot', 'acme.'],
    ['a path', 'acme/x'],
    ['a backslash', 'acme\\x'],
    ['user info', 'acme@elsewhere'],
    ['a port', 'acme:443'],
    ['a query', 'acme?x'],
    ['an escape', 'acme%2e'],
    ['a trailing line break', 'acme\n'],
    ['a line break between labels', 'acme\nelsewhere'],
    ['a null character', 'acme\0'],
    ['white space', ' acme'],
    ['a leading hyphen', '-acme'],
    ['a trailing hyphen', 'acme-'],
    ['an underscore', 'ac_me'],
    ['a full-width letter', 'ａcme'],
    ['a Kelvin sign', '\u212Aey'],
    ['a dotless i', 'ac\u0131'],
    ['a soft hyphen', 'ac\u00ADme'],
    ['an ideographic full stop', 'elsewhere\u3002example'],
    ['64 letters', 'a'.repeat(64)],
    ['nothing', ''],
    ['a list', ['acme']],
    ['an object', { a: 'acme' }],
    ['a fraction', 1.5],
  ])('a value with %s is refused', (_what, value) => {
    expect(isAccepted('subdomain', value)).toBe(false);
  });
});

describe('an address that is the one label of a host', () => {
  const names = words('host serverAddress api.domain proxy.host.name base.url');
  const hosts = catalogWith({
    [key]: { addresses: Object.fromEntries(names.map((name) => [name, 'dns-label' as const])) },
  });
  const isHost = (name: string, value: unknown) => expectedOf(hosts, key, name, value) === undefined;

  test.each(names)('a number is no %s, because parsers read an IP address in it', (name) => {
    for (const value of ['134744072', 134744072, '0x08080808', '0X8080808', '01002004010', '4294967295']) {
      expect([value, isHost(name, value)]).toEqual([value, false]);
    }
    // Beyond 32 bits; some parsers cut it.
    expect(isHost(name, '4429711368')).toBe(false);
    for (const value of ['acme', 'acme-1', '1acme', 'xn--bcher-kva']) {
      expect([value, isHost(name, value)]).toEqual([value, true]);
    }
  });

  test('a number is a subdomain, which has the domain behind it', () => {
    expect(isAccepted('subdomain', '134744072')).toBe(true);
  });

  test('a number is no host under a name that only begins like that of one', () => {
    const shipping = catalogWith({ [key]: { addresses: { shipping: 'dns-label' } } });
    expect(expectedOf(shipping, key, 'shipping', '134744072')).toBeUndefined();
  });
});

describe('an address that is a URL', () => {
  test.each([
    'https://api.one.example',
    'https://api.one.example/',
    'https://api.one.example/v2/Orders',
    'https://api.one.example/api/v2/',
    'https://api.two.example:8443/x',
    `https://api.one.example/${'a'.repeat(276)}`,
  ])('%s at a listed origin is accepted', (value) => {
    expect(isAccepted('base.url', value)).toBe(true);
  });

  test.each([
    ['another host', 'https://elsewhere.example'],
    ['a host below the listed one', 'https://x.api.one.example'],
    ['a host that begins with the listed one', 'https://api.one.example.elsewhere.example'],
    ['the listed one as user info', 'https://api.one.example@elsewhere.example'],
    ['user info', 'https://me:x@api.one.example'],
    ['a backslash, which parsers read differently', 'https://api.one.example\\@elsewhere.example'],
    ['another port', 'https://api.one.example:8443'],
    ['no port where one is listed', 'https://api.two.example'],
    ['http', 'http://api.one.example'],
    ['another scheme', 'ftp://api.one.example'],
    ['no scheme', 'api.one.example'],
    ['a scheme of the reader', '//api.one.example'],
    ['a query', 'https://api.one.example/?to=https://elsewhere.example'],
    ['a fragment', 'https://api.one.example/#x'],
    ['dots in the path', 'https://api.one.example/a/../b'],
    ['an escape in the path', 'https://api.one.example/%2e%2e/b'],
    ['an empty segment', 'https://api.one.example//elsewhere.example'],
    ['capitals in the host', 'https://API.one.example'],
    ['a default port', 'https://api.one.example:443'],
    ['a trailing line break', 'https://api.one.example\n'],
    ['a tab in the host', 'https://api.one\t.example'],
    ['white space', ' https://api.one.example'],
    ['a full-width letter', 'https://ａpi.one.example'],
    ['a trailing dot', 'https://api.one.example./'],
    ['a blank host', 'https://'],
    ['a list', ['https://api.one.example']],
    ['301 characters', `https://api.one.example/${'a'.repeat(277)}`],
  ])('a URL with %s is refused', (_what, value) => {
    expect(isAccepted('base.url', value)).toBe(false);
  });
});

test.each([
  ['eu', true],
  ['us-1', true],
  ['EU', false],
  ['eu\n', false],
  ['us', false],
  ['', false],
])('a value %j of a list of texts is accepted: %s', (value, accepted) => {
  expect(isAccepted('region', value)).toBe(accepted);
});

test.each(['zendesk', 'toString', 'constructor', '__proto__'])(
  '%s is neither an element nor an allowed entry',
  (name) => {
    expect(defaultsOf(catalog, name)).toEqual({});
    expect(expectedOf(catalog, name, 'x', 'y')).toBeUndefined();
    expect(isAllowListed(catalog, name, 'x', 'y')).toBe(false);
    expect([requiredKeys(catalog, name), allowedKeys(catalog, name), hasNoPing(catalog, name)]).toEqual([
      [],
      [],
      false,
    ]);
    expect(expectedOf(catalog, key, name, 'x')).toBeUndefined();
  },
);

describe('the forms of allowed entries', () => {
  const forms = catalogWith({
    [key]: { addresses: { ...addresses, host: 'dns-label' }, allowed: { flag: 'flag', count: 'count' } },
  });

  test.each([
    ['flag', ['true', 'false', true], ['untrue', 'truer', 'falsely', '', 1], 'true or false'],
    [
      'count',
      ['0', '123456', 50],
      ['1234567', '1x', 'x1', '', '-1', 1.5, 'many'],
      'a whole number of at most 6 digits',
    ],
    ['region', ['eu'], ['EU'], 'eu or us-1'],
    [
      'subdomain',
      ['a'],
      ['a.b'],
      'one DNS label: at most 63 letters, digits and hyphens, no hyphen at either end',
    ],
    [
      'host',
      ['a'],
      ['1'],
      "one DNS label: at most 63 letters, digits and hyphens, no hyphen at either end; no number, which a host's name " +
        'cannot be',
    ],
    [
      'base.url',
      ['https://api.one.example'],
      ['https://elsewhere.example'],
      'a URL at https://api.one.example or https://api.two.example:8443, written plainly: without user info, query and ' +
        'fragment, at most 300 characters',
    ],
  ])(
    'a value of another form than that of %s is refused with the form in words',
    (name, right, wrong, expected) => {
      for (const value of right)
        expect([value, expectedOf(forms, key, name, value)]).toEqual([value, undefined]);
      for (const value of wrong)
        expect([value, expectedOf(forms, key, name, value)]).toEqual([value, expected]);
    },
  );

  test('only elements of the catalog are catalogued, and only their allowed entries are stored', () => {
    expect([isCatalogued(forms, key), isCatalogued(forms, 'zendesk')]).toEqual([true, false]);
    expect([isAllowListed(forms, key, 'count', 5), isAllowListed(forms, key, 'other', 5)]).toEqual([
      true,
      false,
    ]);
    expect(requiredKeys(forms, key)).toEqual([]);
  });
});

describe('the deployer’s elements', () => {
  test('a field that the deployer gives replaces that of the built-in element, and the others stay', () => {
    const changed = catalogWith({
      freshservice: { addresses: { subdomain: 'dns-label' }, allowed: {}, ping: false },
    });
    expect(requiredKeys(changed, 'freshservice')).toEqual(requiredKeys(builtInCatalog, 'freshservice'));
    expect(allowedKeys(changed, 'freshservice')).toEqual(['subdomain']);
    expect(hasNoPing(changed, 'freshservice')).toBe(true);
    expect(allowedKeys(changed, 'taxify')).toEqual(allowedKeys(builtInCatalog, 'taxify'));
  });

  test('the environment’s text is read as it was written', () => {
    const elements: Elements = {
      [key]: { required: ['api.key'], addresses, defaults: { 'pagination.max': 5 } },
    };
    expect(elementsFrom(JSON.stringify(elements))).toEqual(elements);
  });

  test.each(['', 'null', '[]', '{"shop":{"reqired":[]}}', '{"shop":{"addresses":{"x":"any"}}}'])(
    'the text %j in the environment ends the start, and is not repeated',
    (text) => {
      expect(() => elementsFrom(text)).toThrow(
        /^Wrong environment: expected ELEMENTS to be JSON of elements\.$/,
      );
    },
  );
});

describe('the built-in elements', () => {
  const builtIn = Object.entries(builtInElements);

  test('Taxify and a dozen others are valid, with names that may be shown', () => {
    expect(elementsSchema.safeParse(builtInElements).success).toBe(true);
    expect(builtIn.length).toBeGreaterThanOrEqual(13);
    for (const [elementKey, { required = [], allowed = {} }] of builtIn) {
      expect([elementKey, isElementKey(elementKey)]).toEqual([elementKey, true]);
      for (const name of [...required, ...Object.keys(allowed)]) {
        expect([name, isEntryName(name)]).toEqual([name, true]);
      }
    }
  });

  test('each stores filter.response.nulls, which every guide has, if it is true or false', () => {
    for (const [elementKey] of builtIn) {
      const isStored = (value: unknown) =>
        isAllowListed(builtInCatalog, elementKey, 'filter.response.nulls', value);
      expect([elementKey, ['true', false, 'no'].map(isStored)]).toEqual([elementKey, [true, true, false]]);
    }
  });

  test('none lets a request set a credential, or decide where one is sent', () => {
    for (const [, { allowed = {}, addresses: listed }] of builtIn) {
      expect(Object.keys(allowed).filter((name) => maySteer(name) || namesCredential(name))).toEqual([]);
      expect(listed).toBeUndefined();
    }
  });

  test.each(
    builtIn.map(([elementKey, { required, allowed, ping }]) => ({ elementKey, required, allowed, ping })),
  )(
    '$elementKey has the entries of its guide, and the ping of the vendor’s tests',
    ({ elementKey, required, allowed = {}, ping }) => {
      const element = simulated.find((each) => each.key === elementKey);
      const documented = element?.entries.filter((entry) => entry.required).map((entry) => entry.key);
      expect(required?.toSorted()).toEqual(documented?.toSorted());
      const keys = new Set(element?.entries.map((entry) => entry.key));
      expect(Object.keys(allowed).filter((name) => !keys.has(name))).toEqual([]);
      expect(ping === true).toBe(element?.ping !== 'absent');
    },
  );
});
