import type { Random } from '../../../support/seeded-random.ts';
import { words } from '../../../support/words.ts';

/** One hostile HTTP request. */
export type HostileInput = {
  kind: string;
  /** In no other input; in the path, unless the path is the hostile part. */
  tenantId: string;
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE' | 'PUT' | 'HEAD' | 'OPTIONS';
  path: string;
  headers: Record<string, string | string[]>;
  body: string | Buffer | undefined;
};

const maxBodyBytes = 64 * 1024;

/** Texts that have broken parsers, databases, shells, templates and logs before. */
export const hostileTexts = [
  '',
  ' ',
  '\u0000',
  'a\u0000b',
  '\u0001\u0008\u001b[31mred\u007f',
  'line\r\nset-cookie: a=b\r\n\r\n<html>',
  '\n{"level":"ERROR","message":"forged"}',
  '\ud800',
  '\udfff\ud800',
  '\u202eevil\u2066',
  '\ufeffbom',
  '\ufffe\uffff',
  'Z\u0351\u0343a\u0334'.repeat(20),
  '💥👩‍👩‍👧‍👦',
  'İıſK',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'toString',
  "' OR '1'='1'; DROP TABLE tenants; --",
  '{"$gt":""}',
  '<script>alert(1)</script>',
  '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>&e;',
  '${jndi:ldap://127.0.0.1:1/a}',
  '{{7*7}}',
  '#{7*7}',
  '${process.env.AWS_SECRET_ACCESS_KEY}',
  '$(touch /tmp/hostile)',
  '`id`',
  '| cat /etc/passwd',
  '../../../../etc/passwd',
  '..\\..\\windows\\win.ini',
  'file:///proc/self/environ',
  'http://169.254.169.254/latest/meta-data/',
  '%00',
  '%2e%2e%2f',
  '%s%n%x%p',
  'NaN',
  '-0',
  'true',
  'null',
  '[object Object]',
  'x'.repeat(256),
  'x'.repeat(10_000),
  'a'.repeat(64) + '!',
  'tenant:other',
  'owner:me',
  ' PROVISION : x',
  '(a+)+$',
  'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!',
] as const;

/** JSON texts, because `JSON.stringify` cannot produce some of them. */
const hostileValues: readonly [string, ...string[]] = [
  '"\\ud800"',
  ...words(`
    null true false 0 -0 -1 1e308 1e400 -1e400 1e-400 9007199254740993 123456789012345678901234567890 ""
    [] {} [[]] [null] {"":{}} {"__proto__":{"isAdmin":true}}
    {"constructor":{"prototype":{"isAdmin":true}}}
  `),
  '"\\u0000"',
];

const brokenJson = [
  '{',
  '}',
  '[',
  '"',
  '{"element"',
  '{"element":',
  "{'element':{'key':'taxify'}}",
  '{"element":{"key":"taxify"},}',
  '{"element":{"key":"taxify"}} {"a":1}',
  '{"element":{"key":NaN}}',
  '{"element":{"key":"taxify"}/* */}',
  '{"a":1e}',
  '{"a":01}',
  '{"a":"\\x41"}',
  '{"a":"\u0007"}',
  'undefined',
  '<xml/>',
  'element.key=taxify',
  '\u0000',
  '\ufeff{"element":{"key":"taxify"}}',
] as const;

const hostilePaths: readonly [string, ...string[]] = [
  "'%20OR%20'1'='1",
  ...words(`
    %00 a%00b %2e%2e .. . ... a..b ..%2f..%2fadmin a%2Fb a%252Fb %c0%af %ff % %zz %ED%A0%80 %F0%9F%92%A5
    %0d%0aset-cookie:%20a=b %3Cscript%3E * {tenantId} __proto__ constructor -a _a a. .a a;b=c a@b a:b
    ~root
  `),
  '$default',
  'a b'.replace(' ', '+'),
  'a'.repeat(65),
  'a'.repeat(1_000),
  'a'.repeat(7_000),
  '%61'.repeat(64),
];

const contentTypes: readonly [string, ...string[]] = [
  'multipart/form-data; boundary=x',
  ...words(`
    text/plain text/html application/x-www-form-urlencoded application/xml application/octet-stream
    application/jsonp APPLICATION/JSON application/vnd.x+json +json / ; */* __proto__
  `),
  'application/json; charset=utf-16',
  'application/json;'.repeat(50),
  'x'.repeat(2_000),
];

const places = [
  'element',
  'element.key',
  'name',
  'tags',
  'tag',
  'configuration',
  'entry',
  'entry key',
  'field',
] as const;

/**
 * The same inputs for the same seed. Each contains a credential, at a right place or at a wrong one.
 * @param plant makes a unique credential
 */
export function hostileInputs(
  count: number,
  { random, runId, plant }: { random: Random; runId: string; plant: () => string },
): HostileInput[] {
  return Array.from({ length: count }, (_, index) => {
    const tenantId = `fuzz-${runId}-${index}`;
    const kind = random.oneOf(kinds);
    const path = `/tenants/${tenantId}/instances`;
    const ordinary = {
      tenantId,
      method: 'POST' as const,
      path,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(instanceOf(plant())),
    };
    return { ...ordinary, kind, ...make[kind]({ random, path, plant }) };
  });
}

const instanceOf = (apiKey: string) => ({
  element: { key: 'taxify' },
  configuration: { 'api.key': apiKey },
});

type Make = (given: { random: Random; path: string; plant: () => string }) => Partial<HostileInput>;

const make = {
  'hostile text': ({ random, plant }) => {
    const text = JSON.stringify(random.oneOf(hostileTexts));
    return { body: bodyWith(random.oneOf(places), text, plant()) };
  },
  'wrong type': ({ random, plant }) => {
    return { body: bodyWith(random.oneOf(places), random.oneOf(hostileValues), plant()) };
  },
  'in a change': ({ random, path, plant }) => {
    const value = random.chance(0.5)
      ? random.oneOf(hostileValues)
      : JSON.stringify(random.oneOf(hostileTexts));
    const place = random.oneOf(places);
    return { method: 'PATCH', path: `${path}/taxify`, body: bodyWith(place, value, plant()) };
  },
  'broken JSON': ({ random, plant }) => {
    const whole = JSON.stringify(instanceOf(plant()));
    const isCut = random.chance(0.5);
    return { body: isCut ? whole.slice(0, random.between(1, whole.length - 1)) : random.oneOf(brokenJson) };
  },
  'random bytes': ({ random, plant }) => {
    const bytes = Array.from({ length: random.between(1, 300) }, () => random.between(0, 255));
    return { body: Buffer.concat([Buffer.from(plant()), Buffer.from(bytes)]) };
  },
  'invalid UTF-8': ({ random, plant }) => {
    const [before = '', after = ''] = JSON.stringify(instanceOf(`${plant()}?`)).split('?');
    const bad = random.oneOf([[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf8, 0x88, 0x80, 0x80, 0x80]]);
    return { body: Buffer.concat([Buffer.from(before), Buffer.from(bad), Buffer.from(after)]) };
  },
  'deep nesting': ({ random, plant }) => {
    const depth = random.oneOf([50, 1_000, 10_000, 15_000]);
    const [open, close] = random.oneOf<[string, string]>([
      ['[', ']'],
      ['{"a":', '}'],
    ]);
    // Brackets are not always closed, and the size stays below the limit of a body.
    const levels = Math.min(depth, Math.floor((maxBodyBytes - 1_000) / (open.length + close.length)));
    const nested = `${open.repeat(levels)}1${random.chance(0.8) ? close.repeat(levels) : ''}`;
    return { body: random.chance(0.5) ? nested : bodyWith(random.oneOf(places), nested, plant()) };
  },
  'many fields': ({ random, plant }) => {
    const fields = Array.from({ length: random.between(500, 3_000) }, (_, index) => [`f${index}`, index]);
    return { body: bodyWith(random.oneOf(places), JSON.stringify(Object.fromEntries(fields)), plant()) };
  },
  'duplicate fields': ({ plant }) => {
    const [key, other] = [plant(), plant()].map((each) => JSON.stringify(each));
    return { body: `{"element":{"key":"x"},"element":{"key":"taxify"},"name":${key},"name":${other}}` };
  },
  'too large': ({ random, plant }) => {
    const size = random.chance(0.02)
      ? random.between(1_000_000, 6 * 1024 * 1024)
      : maxBodyBytes + random.between(1, 5_000);
    return { body: JSON.stringify(instanceOf(plant())).padEnd(size, ' ') };
  },
  'hostile path': ({ random, plant }) => {
    const text = random.oneOf(hostilePaths);
    const tail = random.oneOf(['', '/taxify', '/taxify/token']);
    const method =
      tail === '' ? random.oneOf(['GET', 'POST'] as const) : random.oneOf(['GET', 'DELETE'] as const);
    const body = method === 'POST' ? JSON.stringify(instanceOf(plant())) : undefined;
    return { method, body, path: `/tenants/${text}/instances${tail}` };
  },
  'hostile element in the path': ({ random, path, plant }) => {
    const tail = random.oneOf(['', '/token']);
    const method = tail === '' ? random.oneOf(['GET', 'PATCH', 'DELETE'] as const) : 'GET';
    const body = method === 'PATCH' ? JSON.stringify({ configuration: { 'api.key': plant() } }) : undefined;
    return { method, body, path: `${path}/${random.oneOf(hostilePaths)}${tail}` };
  },
  'no such route': ({ random, path, plant }) => ({
    body: undefined,
    method: random.oneOf(['GET', 'POST', 'DELETE'] as const),
    path: random.oneOf([
      '/',
      '//',
      '/tenants',
      '/tenants/',
      '/admin',
      '/.env',
      '/.git/config',
      `${path}/`,
      `/${path}`,
      `${path}/taxify/token/again`,
      `${path}/taxify/../../x`,
      `/${plant()}`,
      `${path}#${plant()}`,
    ]),
  }),
  'wrong method': ({ random, path }) => {
    const method = random.oneOf(['PUT', 'HEAD', 'OPTIONS', 'DELETE', 'PATCH'] as const);
    return { method, path: random.oneOf([path, `${path}/taxify/token`]) };
  },
  'body where none belongs': ({ random, path }) => ({
    method: random.oneOf(['GET', 'DELETE'] as const),
    path: random.oneOf([`${path}/taxify`, `${path}/taxify/token`]),
  }),
  'wrong content type': ({ random }) => ({ headers: { 'content-type': random.oneOf(contentTypes) } }),
  'no content type': () => ({ headers: {} }),
  'hostile headers': ({ random, plant }) => ({
    headers: {
      'content-type': 'application/json',
      ...random.oneOf<Record<string, string | string[]>>([
        { 'x-api-key': plant(), cookie: `session=${plant()}; session=${plant()}` },
        { 'x-forwarded-for': ["127.0.0.1', DROP TABLE", '::1'], 'x-forwarded-host': 'evil.example' },
        { 'x-http-method-override': 'DELETE', 'x-original-url': '/admin' },
        { accept: ['text/html', 'image/*', 'x'], 'accept-encoding': 'br;q=2, *;q=-1' },
        { 'x-amzn-trace-id': '${jndi:ldap://127.0.0.1:1/a}', 'user-agent': '() { :;}; echo' },
        { constructor: plant(), 'x-long': 'x'.repeat(6_000) },
        Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`x-many-${index}`, plant()])),
        { 'content-encoding': 'gzip' },
        { range: 'bytes=0-0,-1', 'if-none-match': '*', expires: '-1' },
        { 'x-text': '\u00ff\u00fe' },
      ]),
    },
  }),
  'hostile query': ({ random, path, plant }) => ({
    method: 'GET',
    body: undefined,
    path: `${path}?${random.oneOf([
      `apiKey=${plant()}`,
      'tenantId=other&tenantId=another',
      '__proto__[isAdmin]=true',
      'a=b&'.repeat(500),
      '%00=%ff',
      '=&=&&&',
      "q='%20OR%201=1",
    ])}`,
  }),
  'where the key may not go': ({ random, plant }) => ({
    body: JSON.stringify({
      element: { key: 'taxify' },
      configuration: {
        [random.oneOf([
          'base.url',
          'partner.key',
          'event.notification.callback.url',
        ])]: `http://127.0.0.1:1/${plant()}`,
      },
    }),
  }),
} as const satisfies Record<string, Make>;

type Kind = keyof typeof make;
const isKind = (name: string): name is Kind => Object.hasOwn(make, name);
const [firstKind = 'hostile text', ...otherKinds] = Object.keys(make).filter(isKind);
const kinds: readonly [Kind, ...Kind[]] = [firstKind, ...otherKinds];

/** An ordinary body, but for the JSON text given in one place. */
function bodyWith(place: (typeof places)[number], json: string, apiKey: string): string {
  const key = JSON.stringify(apiKey);
  const parts: Record<string, string> = {
    element: '{"key":"taxify"}',
    configuration: `{"api.key":${key}}`,
  };
  switch (place) {
    case 'element.key':
      parts['element'] = `{"key":${json}}`;
      break;
    case 'tag':
      parts['tags'] = `["eu",${json}]`;
      break;
    case 'entry':
      parts['configuration'] = `{"api.key":${key},"base.url":${json}}`;
      break;
    case 'entry key':
      parts['configuration'] = `{"api.key":${key},${fieldOf(json)}:"x"}`;
      break;
    case 'field':
      parts[`${place} of ours`] = json;
      return `{${entriesOf(parts)},${fieldOf(json)}:${key}}`;
    case 'element':
    case 'name':
    case 'tags':
    case 'configuration':
      parts[place] = json;
  }
  return `{${entriesOf(parts)}}`;
}

const fieldOf = (json: string): string => (json.startsWith('"') ? json : JSON.stringify(json.slice(0, 100)));

const entriesOf = (parts: Record<string, string>): string =>
  Object.entries(parts)
    .map(([name, json]) => `${JSON.stringify(name)}:${json}`)
    .join(',');
