import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { elementsFrom, type Elements } from '../../functions/model/elements.ts';
import { environmentOfElements } from '../../infra/elements.ts';
import { environmentFor } from '../../infra/environment.ts';
import { parseSettings } from '../../infra/settings.ts';
import { triggers } from '../../functions/triggers.ts';

const settingsWith = (elements: unknown) =>
  parseSettings({ stages: { prod: { baseUrl: 'https://api.cloud-elements.com', elements } }, stage: 'prod' });

const complaintOf = (elements: unknown): string => {
  const parsed = settingsWith(elements);
  return 'complaint' in parsed ? parsed.complaint.replace('Wrong context:\n', '') : 'accepted';
};

const valid = {
  freshdeskv2: { addresses: { subdomain: 'dns-label' } },
  shop: {
    required: ['api.key', 'base.url'],
    allowed: { 'pagination.max': 'count', language: { oneOf: ['de', 'en'] } },
    addresses: { 'base.url': { origins: ['https://api.one.example'] }, region: { oneOf: ['eu'] } },
    defaults: {
      'event.notification.enabled': false,
      'base.url': 'https://one.example/?page=2',
      'event.poller.configuration': { accounts: { url: '/hubs/crm/accounts?where=x', idField: 'id' } },
    },
    ping: false,
  },
} as const;

test('elements of a stage are settings, and reach the functions that judge configuration as text', () => {
  const parsed = settingsWith(valid);
  expect(parsed).toMatchObject({ settings: { elements: valid } });
  if (!('settings' in parsed)) throw new Error(parsed.complaint);
  const resources = {
    tableName: 't',
    busName: 'b',
    platformSecretId: 'p',
    tenantSecretsPrefix: 's',
    tokenKeyId: 'k',
    cloudElementsBaseUrl: 'https://api.cloud-elements.com',
    stage: 'prod',
    elements: parsed.settings.elements,
  };
  const withElements = Object.entries(triggers).flatMap(([name, { uses }]) => {
    const { ELEMENTS } = environmentFor(uses, resources);
    return ELEMENTS === undefined ? [] : [[name, elementsFrom(ELEMENTS)] as const];
  });
  expect(withElements).toEqual(
    [
      'provision-instance',
      'change-instance',
      'check-instance',
      'onboard-tenants',
      'apply-secrets',
      'check-instances',
    ].map((name) => [name, valid]),
  );
});

test.each([[null], [[]], ['api.key'], [5]])(
  'an entry of an element that is %j is refused in words',
  (entry) => {
    expect(complaintOf({ shop: entry })).toBe(
      '  elements.shop: expected an object with required, allowed, addresses, defaults or ping',
    );
  },
);

test.each([undefined, {}])('elements that are %j need no environment variable', (elements) => {
  expect(environmentOfElements(elements)).toBeUndefined();
});

describe('an entry that may steer credentials', () => {
  test.each([
    'base.url',
    'subdomain',
    'event.notification.callback.url',
    'callback',
    'host',
    'site',
    'domain',
    'server',
    'endpoint',
    'instance',
    'proxy.host.name',
    'redirectUri',
    'data.center',
    'country',
    'service.namespace',
    'companyid',
  ])('%s is refused in the allow-list, with the line to write instead', (name) => {
    for (const form of ['flag', 'count', { oneOf: ['x'] }]) {
      expect(complaintOf({ shop: { allowed: { [name]: form } } })).toBe(
        `  elements.shop.allowed.${name}: by its name it may decide where the tenant’s stored credentials are sent. If ` +
          `requests may choose that, say so: move it to "addresses": {"${name}": "dns-label"}, or {"${name}": ` +
          `{"origins": ["https://api.example.com"]}} for a URL, or {"${name}": {"oneOf": ["…"]}}; otherwise leave it out`,
      );
    }
  });

  test.each([
    ['without a form', undefined],
    ['with any text', 'text'],
    ['with a pattern of its own', { pattern: '.*' }],
    ['with null', null],
    ['with origins and texts', { origins: ['https://a.example'], oneOf: ['x'] }],
  ])('an address %s is refused', (_what, form) => {
    expect(complaintOf({ shop: { addresses: { subdomain: form } } })).toMatch(
      /^ {2}elements\.shop\.addresses\.subdomain.*: expected .*"dns-label", \{"origins": \["https:\/\/…"\]\} or \{"oneOf": \["…"\]\}$/,
    );
  });

  test.each([
    'http://api.one.example',
    'https://api.one.example/',
    'https://api.one.example/v1',
    'https://API.one.example',
    'https://me@api.one.example',
    'https://*.one.example',
    'https://api.one.example:443',
    'http://127.0.0.1:8080',
    'api.one.example',
    '*',
    '',
  ])('%j is no origin of a list', (origin) => {
    expect(
      complaintOf({ shop: { addresses: { 'base.url': { origins: ['https://one.example', origin] } } } }),
    ).toMatch(/^ {2}elements\.shop\.addresses\.base\.url\.origins: expected origins such as/);
  });
});

test.each([
  [
    'a credential in the allow-list',
    { allowed: { 'api.key': 'count' } },
    'allowed.api.key: names a credential',
  ],
  [
    'a credential as an address',
    { addresses: { password: 'dns-label' } },
    'addresses.password: names a credential',
  ],
  [
    'a credential among the defaults',
    { defaults: { 'api.key': 'x' } },
    'defaults.api.key: names a credential, and a',
  ],
  [
    'a credential inside of a default',
    { defaults: { 'event.poller.configuration': { accounts: [{ password: 'x' }] } } },
    'defaults.event.poller.configuration: holds a credential by a name in it',
  ],
  [
    'a credential in the JSON of a default',
    { defaults: { 'event.poller.configuration': '{"apiKey": "x"}' } },
    'defaults.event.poller.configuration: holds a credential by a name in it',
  ],
  [
    'user info in a default',
    { defaults: { 'base.url': 'https://me@one.example' } },
    'defaults.base.url: holds a credential by a name in it or as part of a URL',
  ],
  [
    'a credential in the query of a default',
    { defaults: { 'base.url': 'https://one.example/?access_token=x' } },
    'defaults.base.url: holds a credential by a name in it or as part of a URL',
  ],
  [
    'a mask as a default',
    { defaults: { region: '***' } },
    'defaults.region: expected text that is not blank and no',
  ],
  [
    'a placeholder as a default',
    { defaults: { region: '<REGION>' } },
    'defaults.region: expected a value in place',
  ],
  [
    'an entry in both lists',
    { allowed: { language: { oneOf: ['de'] } }, addresses: { language: 'dns-label' } },
    'addresses.language: is in "allowed", too',
  ],
  ['a name that is none', { required: ['api key'] }, 'required: expected names of configuration entries'],
  [
    'a name that no request can send',
    { addresses: { 'qzxwvkjhgfdpmntb.site': 'dns-label' } },
    'expected names of configuration entries',
  ],
  [
    'a misspelled field',
    { reqired: [] },
    'unknown key reqired (known: required, allowed, addresses, defaults, ping)',
  ],
  [
    'a form for a flag',
    { allowed: { 'document.tagging': 'boolean' } },
    'expected "flag", "count" or {"oneOf": ["…"]}',
  ],
  ['text for a ping', { ping: 'no' }, 'ping: expected true or false'],
  ['text in place of a list', { required: 'api.key' }, 'required: expected a list of names'],
])('%s is refused at synth, by its place', (_what, element, message) => {
  expect(complaintOf({ shop: element })).toContain(message);
  expect(complaintOf({ shop: element })).toMatch(/^ {2}elements\.shop/);
});

test.each([
  ['text', 'shop'],
  ['a list', []],
  ['the JSON of elements', JSON.stringify(valid)],
])('%s in place of elements is refused at synth', (_what, elements) => {
  expect(complaintOf(elements)).toMatch(
    /^ {2}elements.*: expected an object with an entry for each element$/,
  );
});

test.each(['Shop', 'my shop', '', 'a1b2c3d4e5f6g7h8'])(
  '%j is refused as the key of an element, unrepeated',
  (key) => {
    const complaint = complaintOf({ [key]: {} });
    expect(complaint).toBe(
      '  elements: expected keys of elements as Cloud Elements writes them, such as "freshdeskv2"',
    );
  },
);

test('every fault is named at once', () => {
  const faulty = {
    shop: { allowed: { site: 'flag' }, defaults: { password: 'x' } },
    other: { allowed: { host: 'flag' } },
    third: { ping: 'no', required: 7 },
  };
  expect(complaintOf(faulty).split('\n')).toHaveLength(5);
});

test('elements that a function’s environment has no room for are refused, with the room that there is', () => {
  const many = Object.fromEntries(
    Array.from({ length: 80 }, (_, index) => [
      `shop${index}`,
      { addresses: { subdomain: 'dns-label', site: 'dns-label' } },
    ]),
  );
  expect(complaintOf(many)).toMatch(
    /^ {2}elements: takes \d{4} bytes as JSON, .* has room for 2900\. Leave out/,
  );
});

test('elements that did not pass the settings end the synth, too', () => {
  const elements = { shop: { allowed: { subdomain: 'flag' as const } } };
  expect(() => environmentOfElements(elements)).toThrow(
    /^Wrong elements:\n {2}elements\.shop\.allowed\.subdomain: by its name/,
  );
});

describe('infra/README.md', () => {
  const readme = readFileSync(new URL('../../infra/README.md', import.meta.url), 'utf8');
  const [, printed = '{}'] = /```json\n([^`]*"elements"[^`]*)```/.exec(readme) ?? [];

  test('the printed elements are accepted as they are', () => {
    const { context } = z.object({ context: z.record(z.string(), z.unknown()) }).parse(JSON.parse(printed));
    const parsed = parseSettings({ ...context, stage: 'prod' });
    if (!('settings' in parsed)) throw new Error(parsed.complaint);
    expect(Object.keys(parsed.settings.elements ?? {})).toEqual(['freshdeskv2', 'woocommerce']);
  });
});

const arn = (rest: string) => `arn:aws-us-gov:service:us-gov-west-1:123456789012:${rest.padEnd(120, 'x')}`;

test('the fullest environment of a function fits into the 4 KB of Lambda', () => {
  const oneOf = Array.from({ length: 400 }, (_, index) => `text-${index}`);
  let elements: Elements = {};
  // As many texts as are accepted.
  for (let count = 1; ; count++) {
    const next: Elements = { shop: { allowed: { language: { oneOf: oneOf.slice(0, count) } } } };
    if (complaintOf(next) !== 'accepted') break;
    elements = next;
  }
  const environment = environmentFor(
    {
      table: ['GetItem'],
      bus: ['PutEvents'],
      secrets: ['platform', 'tenants'],
      tokenKey: ['Encrypt'],
      cloudElements: true,
      elements: true,
    },
    {
      tableName: arn('table'),
      busName: arn('bus'),
      platformSecretId: arn('secret'),
      tenantSecretsPrefix: 'element-onboarding/'.padEnd(40, 'x'),
      tokenKeyId: arn('key'),
      cloudElementsBaseUrl: 'https://api.openconnectors.trial.us10.ext.hana.ondemand.com',
      stage: 'x'.repeat(20),
      elements,
    },
  );
  const bytes = Object.entries(environment).flat().join('').length;
  expect(environment.ELEMENTS?.length).toBeGreaterThan(2_850);
  expect(bytes).toBeLessThan(4_096);
});
