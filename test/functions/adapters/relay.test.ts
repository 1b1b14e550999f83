import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import { relay, relayRequestId, repeatsAny } from '../../../functions/adapters/relay.ts';
import { relayedWords } from '../../../functions/adapters/relayed-words.ts';
import { allowedKeys, requiredKeys } from '../../../functions/model/catalog.ts';
import { sampleSize } from '../../support/sample-size.ts';

const names = ['taxify', ...requiredKeys(builtInCatalog, 'taxify'), ...allowedKeys(builtInCatalog, 'taxify')];

/** Messages of Cloud Elements, and the relayed text of each. */
const documented: [said: string, relayed: string][] = [
  // Help center and devportal, "Error Codes".
  ['No account found with ID 123456', 'No account found with ID …'],
  ['No users found', 'No users found'],
  [
    "Failed to upload file. File with the same name already exists. Change the name of the file you're uploading or " +
      'set the overwrite query parameter to true.',
    "Failed to upload file. File with the same name already exists. Change the name of the file you're uploading or " +
      'set the overwrite query parameter to true',
  ],
  ['Often due to a missing request parameter.', 'Often due to a missing request parameter'],
  [
    'An invalid element token, user secret and/or org secret provided.',
    'An invalid element token, user secret and/or org secret provided',
  ],
  [
    'Access to the resource by the provider is forbidden.',
    'Access to the resource by the provider is forbidden',
  ],
  ['The requested resource is not found', 'The requested resource is not found'],
  [
    'Incorrect HTTP verb used, e.g., GET used when POST expected.',
    'Incorrect HTTP verb used, … GET used when POST expected',
  ],
  [
    'The response content type does not match the “Accept” header value.',
    'The response content type does not match the … header value',
  ],
  ['A resource being created already exists.', 'A resource being created already exists'],
  [
    'The server cannot handle the requested Content-Type.',
    'The server cannot handle the requested Content-Type',
  ],
  ['Something went wrong on the Cloud Elements server.', 'Something went wrong on the Cloud Elements server'],
  ['Bad Request', 'Bad Request'],
  [
    'Failed to connect to the API URL. Validate that you are using the correct WSDL path.',
    'Failed to connect to the API URL. Validate that you are using the correct WSDL path',
  ],
  // churros issues 274, 374 and 658, pull requests 629 and 1659.
  [
    'Invalid Organization or User secret, or invalid Element token provided.',
    'Invalid Organization or User secret, or invalid Element token provided',
  ],
  [
    "No object definition found for 'customers' so no transformation can be created for that object.  Please define " +
      'that object in your object definitions first.',
    'No object definition found for … so no transformation can be created for that object. Please define that object ' +
      'in your object definitions first',
  ],
  [
    'You must provide an OAuth code in order to create an instance of this element',
    'You must provide an OAuth code in order to create an instance of this element',
  ],
  ['Request failed', 'Request failed'],
  [
    'Bad request: An unexpected error occurred. Error ID: jivuo2ct1r0y09652wdfg,',
    'Bad request: An unexpected error occurred. Error ID: …',
  ],
  // UiPath Integration Service.
  ['Invalid Element Instance Id provided.', 'Invalid Element Instance Id provided'],
  [
    'Connection [5f0c7f5a-4c8e-4c53-a5a2-0b9d5f3f7c11] is invalid or you do not have access to it',
    'Connection … is invalid or you do not have access to it',
  ],
  // Gateways.
  ['no Route matched with those values', 'no Route matched with those values'],
  ['Method Not Allowed', 'Method Not Allowed'],
  ['Not Acceptable', 'Not Acceptable'],
  ['Unsupported Media Type', 'Unsupported Media Type'],
  ['Unprocessable Entity', 'Unprocessable Entity'],
  ['Too Many Requests', 'Too Many Requests'],
  ['Internal Server Error', 'Internal Server Error'],
  ['Service Unavailable', 'Service Unavailable'],
  // Similar messages, about a caller's own request.
  ['No element found with key taxify', 'No element found with key taxify'],
  [
    'You must provide a username, api.key in order to create an instance of this element',
    'You must provide a username, api.key in order to create an instance of this element',
  ],
  [
    'The value of event.notification.callback.url is invalid.',
    'The value of event.notification.callback.url is invalid',
  ],
  ['(refresh_interval) is required!', '(refresh_interval) is required!'],
];

test.each(documented)('the message "%s" is relayed', (said, relayed) => {
  expect(relay(said, { names })).toBe(relayed);
});

const lengthOf = (texts: string[]): number => texts.join('').replaceAll('…', '').length;

test('at least nine tenths of the known messages are relayed', () => {
  const share = lengthOf(documented.map(([, to]) => to)) / lengthOf(documented.map(([said]) => said));
  expect(share).toBeGreaterThan(0.9);
});

describe('relayed messages', () => {
  test.each([
    ['a number', 'Element 320 is disabled', 'Element … is disabled'],
    ['several withheld words in a row', 'Invalid a1 b2 c3 value x9', 'Invalid … value …'],
    ['JSON', 'Invalid request: {"key":"taxify"}', 'Invalid request: …'],
    ['a word in capitals', 'INVALID key', '… key'],
    ['a word in mixed case', 'invalID key', '… key'],
    ['a full-width word', 'invalid ｋｅｙ', 'invalid …'],
    ['a Cyrillic letter', 'invalid kеy', 'invalid …'],
    ['a combining mark', 'invalid ke\u0301y', 'invalid …'],
    ['a zero-width space', 'invalid k\u200Bey', 'invalid …'],
    ['control characters', 'invalid\u0000key\u001B[31m token', '… token'],
    ['line breaks', 'invalid\r\nkey\u2028found', 'invalid key found'],
    ['listed words around another', 'key-x9-value/token found', '… found'],
    ['much punctuation', 'key;;;;value ((((key)))) key found', '… key found'],
    ['three marks after a word', 'invalid key!!! found', 'invalid … found'],
    ['nothing but punctuation', 'invalid - key', 'invalid … key'],
    ['letters spelled out', 'k e y found', '… found'],
    ['another element’s key', 'No element found with key freshdeskv2', 'No element found with key …'],
  ])('a message with %s is relayed in part', (_what, said, relayed) => {
    expect(relay(said, { names })).toBe(relayed);
  });

  test('a message of Cloud Elements without a listed word is not relayed', () => {
    expect(relay('', {})).toBeUndefined();
    expect(relay(' \n', {})).toBeUndefined();
    expect(relay('8f3a 77b1', {})).toBeUndefined();
  });

  test.each([
    ['two opening marks', `(("key" found`, '… found'],
    ['an opening and two closing marks', `("key") found`, `("key") found`],
    ['a full stop at its end', 'invalid key.', 'invalid key'],
    ['a full stop within', 'invalid key. Not found.', 'invalid key. Not found'],
    ['withheld words at its end', 'invalid x1 x2.', 'invalid …'],
    ['withheld words at both ends', 'x1 invalid x2', '… invalid …'],
    ['an apostrophe', "It doesn't exist", "It doesn't exist"],
    ['joined words', 'user/organization:re-send_token', '…'],
    [
      'joined listed words',
      'user/organization secret_key id:token a,b',
      'user/organization secret_key id:token …',
    ],
    ['a listed word beside a name', 'taxify.key taxify-xyz', 'taxify.key …'],
    ['white space around', '  invalid \t key  ', 'invalid key'],
  ])('a message with %s is relayed word by word', (_what, said, relayed) => {
    expect(relay(said, { names })).toBe(relayed === '…' ? undefined : relayed);
  });

  test('a message of 2,000 characters is read whole, one more cuts its last word', () => {
    const filled = `${'x'.repeat(1_996)} key`;
    expect(relay(filled, {})).toBe('… key');
    expect(relay(`${filled}s`, {})).toBeUndefined();
  });

  test('a relayed message has at most 300 characters, of whole words', () => {
    const relayed = relay('keys '.repeat(61), {});
    expect(relayed).toBe(`${'keys '.repeat(60)}…`);
    expect(relay('keys '.repeat(60), {})).toBe('keys '.repeat(60).trim());
  });

  test('a long message is cut, and so is its last word', () => {
    const relayed = relay('invalid key '.repeat(10_000), {});
    expect(relayed?.length).toBeLessThanOrEqual(302);
    expect(relayed).toMatch(/^(invalid key )+…$/);
    expect(relay(`${'x'.repeat(1_995)} keystone`, {})).toBeUndefined();
  });
});

describe('credentials made of listed words', () => {
  test.each([
    ['one word', 'password', 'The password is invalid', 'The … is invalid'],
    ['a short word', 'key', 'The key is invalid', 'The … is invalid'],
    ['one letter', 'a', 'Provide a key', 'Provide … key'],
    ['another letter case', 'PassWord', 'Invalid Password', 'Invalid …'],
    ['a sentence', 'not valid key', 'The key not valid key is not valid', 'The … is …'],
    ['joined words', 'user-token/key', 'user-token/key: user token key found', '… found'],
    ['words without space', 'notvalidkey', 'Found not valid key here', 'Found …'],
    ['words and digits', 'not1valid2key3', 'Found not valid in a key', 'Found … in a …'],
    ['full-width letters', 'ｐａｓｓｗｏｒｄ', 'Invalid password', 'Invalid …'],
    ['backwards', 'drowssap', 'Invalid password', 'Invalid …'],
    ['a number', 1234, 'Error 1234 occurred', 'Error … occurred'],
    ['a value in JSON', '{"login":"welcome token"}', 'Invalid token', 'Invalid …'],
    ['a value in an object', { login: ['welcome', 'token'] }, 'Invalid token', 'Invalid …'],
    ['two lines in an object', { login: 'up\nload' }, 'Invalid upload', 'Invalid …'],
    ['a name in an object that is none', { Xq7RoleZt: { url: 'b' } }, 'Invalid role', 'Invalid …'],
  ])('a credential is withheld: %s', (_what, secret, said, relayed) => {
    expect(relay(said, { names, secrets: [secret] })).toBe(relayed);
  });

  test.each([
    ['three letters of a credential in a row', 'xbad', 'The bad key', 'The bad key'],
    ['four letters of a credential in a row', 'xkeys', 'The keys', 'The …'],
    ['three letters over two words', 'xaon', 'Set a on key', 'Set a on key'],
    ['four letters over two words', 'xisat', 'It is at once', 'It … once'],
    ['five letters over two words', 'xgetat', 'Get at it', '… it'],
    ['letters over a withheld word', 'xgetat', 'Get 7 at it', 'Get … at it'],
    ['letters over a name', 'xgetat', 'Get taxify at it', '… taxify … it'],
    ['a truth value for a credential', true, 'It is true', 'It is …'],
    ['a name that is a credential, joined to a word', 'taxify', 'No taxify.key found', 'No taxify.key found'],
    ['an apostrophe', 'xcantx', "You can't", 'You …'],
    ['one letter that is all of the credential', 'A', 'Provide a key', 'Provide … key'],
    ['one letter among others', 'a-7-x', 'Provide a key', 'Provide a key'],
    ['two letters among others', 'is-7-x', 'It is a key', 'It … a key'],
  ])('a message with %s is relayed word by word', (_what, secret, said, relayed) => {
    expect(relay(said, { names, secrets: [secret] })).toBe(relayed);
  });

  test('names of fields in an object are no credentials', () => {
    const secrets = [{ contacts: { url: 'b', idField: 'c' } }];
    expect(relay('The url field is invalid', { names, secrets })).toBe('The url field is invalid');
  });

  test('the element’s key and the names of its entries are relayed even if a credential equals one', () => {
    const secrets = ['taxify', 'api.key'];
    const said = 'No element found with key taxify: provide api.key';
    expect(relay(said, { names, secrets })).toBe('No element found with … taxify: provide api.key');
  });

  test('a random credential changes no known message', () => {
    const secrets = ['58168435e3b9959a929eb04b6218b9a2', 'sAfK7LJGNz5ZHcNrvdJvLI=f03WbTbH6aRKc0HJ3oOIi'];
    for (const [said, relayed] of documented) expect(relay(said, { names, secrets })).toBe(relayed);
  });
});

const base64 = (text: string) => Buffer.from(text).toString('base64');
const hex = (text: string) => Buffer.from(text).toString('hex');
const inJson = (text: string) => JSON.stringify(text).slice(1, -1);
const percent = (text: string) =>
  text.replaceAll(/[^\w]/g, (c) => `%${hex(c).replaceAll(/(..)(?=.)/g, '$1%')}`);
const numeric = (text: string) => text.replaceAll(/[^\w]/g, (c) => `&#${c.codePointAt(0)};`);
const escaped = (text: string) =>
  text.replaceAll(/[^\w]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** Ways to quote a credential. */
const encodings: Record<string, (secret: string) => string> = {
  'as it is': (secret) => secret,
  trimmed: (secret) => secret.trim(),
  'percent-encoded': encodeURIComponent,
  'percent-encoded in lower case': percent,
  'form-encoded': (secret) => new URLSearchParams({ '': secret }).toString().slice(1),
  'in JSON': inJson,
  'in JSON in JSON': (secret) => inJson(inJson(secret)),
  'with \\u': escaped,
  'with \\/': (secret) => secret.replaceAll('/', '\\/'),
  'with HTML entities': (secret) =>
    secret.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;'),
  'with numeric HTML entities': numeric,
  'in base64': base64,
  'in base64 without padding': (secret) => base64(secret).replaceAll('=', ''),
  'in base64 after a user': (secret) => base64(`user:${secret}`),
  'in base64url': (secret) => Buffer.from(secret).toString('base64url'),
  'in base64 by lines': (secret) => base64(secret).replaceAll(/(.{8})/g, '$1\n'),
  'in hex': hex,
  'in hex in capitals': (secret) => hex(secret).toUpperCase(),
  'in hex by bytes': (secret) => hex(secret).replaceAll(/(..)/g, '$1 '),
  'in capitals': (secret) => secret.toUpperCase(),
  'in small letters': (secret) => secret.toLowerCase(),
  backwards: (secret) => secret.split('').toReversed().join(''),
  'spelled out': (secret) => secret.split('').join(' '),
  'in groups': (secret) => secret.replaceAll(/(.{4})/g, '$1 '),
  'in groups with dashes': (secret) => secret.replaceAll(/(.{4})/g, '$1-'),
  'cut off': (secret) => `${secret.slice(0, Math.ceil(secret.length * 0.7))}...`,
  'without its beginning': (secret) => `...${secret.slice(Math.floor(secret.length * 0.3))}`,
  'in full width': (secret) =>
    secret.replaceAll(/[!-~]/g, (c) => String.fromCharCode(c.charCodeAt(0) + 0xfee0)),
};

const encoding = fc.constantFrom(...Object.values(encodings));
const sentence = fc
  .tuple(fc.constantFrom(...documented.map(([said]) => said)), fc.nat({ max: 20 }))
  .map(([said, at]) => {
    const words = said.split(' ');
    return [words.slice(0, at).join(' '), words.slice(at).join(' ')] as const;
  });
/** Text before and after the quotation. */
const quotes = fc.constantFrom(
  ['', ''],
  ['"', '"'],
  ["'", "'."],
  ['(', ')'],
  ['[', ']:'],
  ['key=', ';'],
  ['{"api.key":"', '"}'],
  ['User ', ', Organization'],
  ['https://', '@tests.invalid/'],
  ['https://tests.invalid/?key=', ''],
  [' ', ' '],
);

const runLength = 4;
/** Only letters, digits and ellipses for withheld text, so that white space and punctuation hide no quotation. */
const bare = (text: string): string => text.replaceAll(/[^\p{L}\p{N}…]/gu, '');
function runsIn(quotation: string): string[] {
  const text = bare(quotation);
  const count = Math.max(0, text.length - runLength + 1);
  return Array.from({ length: count }, (_, at) => text.slice(at, at + runLength));
}

const listed = [...relayedWords];
const isListedWord = (word: string): boolean =>
  relayedWords.has(word.toLowerCase()) || relayedWords.has(word);
const wordsIn = (text: string): Set<string> => new Set(text.split(/[^A-Za-z']+/));

describe('quoted credentials', () => {
  const alphabets = [
    'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=',
    '0123456789abcdef',
    'abcdefghijklmnopqrstuvwxyz',
    'abcdefghijklmnopqrstuvwxyz ,.-_/:',
    'AaBb1!"§$%&/()=?\\{}[]<>|^° äöüé',
  ];
  const secret = fc
    .constantFrom(...alphabets)
    .chain((alphabet) =>
      fc.string({ unit: fc.constantFrom(...Array.from(alphabet)), minLength: runLength, maxLength: 44 }),
    );

  test('no four characters of a random credential come back, in any encoding', () => {
    fc.assert(
      fc.property(secret, encoding, sentence, quotes, (value, encode, [before, after], [open, close]) => {
        const quotation = encode(value);
        const relayed = relay(`${before} ${open}${quotation}${close} ${after}`, { names, secrets: [value] });
        const frame = [before, after, open, close].map(bare).join('…');
        const leaks = [...runsIn(quotation), ...runsIn(value)].filter(
          (run) => !frame.includes(run) && bare(relayed ?? '').includes(run),
        );
        expect(leaks).toEqual([]);
      }),
      { numRuns: sampleSize(1_000, 5_000) },
    );
  });

  test('a credential that the request did not send does not come back, unless it has listed words', () => {
    fc.assert(
      fc.property(secret, encoding, sentence, quotes, (value, encode, [before, after], [open, close]) => {
        const quotation = encode(value);
        fc.pre(!`${quotation} ${value}`.split(/[^A-Za-z]+/).some(isListedWord));
        const relayed = relay(`${before} ${open}${quotation}${close} ${after}`, { names }) ?? '';
        const frame = wordsIn(`${before} ${after} ${open} ${close} `);
        expect([...wordsIn(relayed)].filter((word) => !frame.has(word))).toEqual([]);
      }),
      { numRuns: sampleSize(1_000, 5_000) },
    );
  });

  test('no word of a credential made of listed words comes back', () => {
    const words = fc.array(fc.constantFrom(...listed), { minLength: 1, maxLength: 6 });
    const separator = fc.constantFrom(' ', '-', '_', '.', '/', ', ', '', '7');
    const ways = ['as it is', 'in JSON', 'in small letters', 'backwards', 'form-encoded', 'percent-encoded'];
    const way = fc.constantFrom(...ways.map((name) => encodings[name] ?? String));
    fc.assert(
      fc.property(words, separator, way, quotes, (parts, between, encode, [open, close]) => {
        const value = parts.join(between);
        const said = `${open}${encode(value)}${close} ${parts.join(' ')}`;
        const relayed = relay(said, { names, secrets: [value] })?.toLowerCase() ?? '';
        const seen = new Set(relayed.split(/[^a-z']+/));
        // Single letters, and words of up to three letters without a separator, are not recognized.
        const isTelltale = (part: string) => part.length >= 4 || (between !== '' && part.length > 1);
        expect(parts.filter((part) => isTelltale(part) && seen.has(part.toLowerCase()))).toEqual([]);
      }),
      { numRuns: sampleSize(1_000, 5_000) },
    );
  });
});

describe('request ids', () => {
  test.each([
    ['58b46b1be4b0e5a9b7d19c49', true],
    ['58B46B1BE4B0E5A9B7D19C49', true],
    ['5f0c7f5a-4c8e-4c53-a5a2-0b9d5f3f7c11', true],
    ['58b46b1be4b0e5a9b7d19c4', false],
    ['58b46b1be4b0e5a9b7d19c49a', false],
    ['58b46b1be4b0e5a9b7d19c4g', false],
    ['5f0c7f5a4c8e-4c53-a5a2-0b9d5f3f7c11', false],
    ['request-1', false],
    ['58b46b1be4b0e5a9b7d19c49\n', false],
    ['', false],
  ])('request id %j is relayed: %s', (id, isRelayed) => {
    expect(relayRequestId(id, repeatsAny([]))).toBe(isRelayed ? id : undefined);
  });

  test('a request id that is a credential is withheld', () => {
    const key = '58b46b1be4b0e5a9b7d19c49';
    expect(relayRequestId(key.toUpperCase(), repeatsAny([`key-${key}`]))).toBeUndefined();
    expect(relayRequestId(key, repeatsAny(['other']))).toBe(key);
  });
});

const backwards = (text: string) => text.split('').toReversed().join('');

describe('a text that repeats a credential', () => {
  const secret = 'pX7!Kd-92/value+token';
  const hexKey = '58168435e3b9959a929eb04b6218b9a2';

  test.each<[string, string, unknown, boolean]>([
    ['as it is', secret, secret, true],
    ['backwards', backwards(secret), secret, true],
    ['with text around it', `a ${secret} z`, secret, true],
    ['backwards with text around it', `a ${backwards(secret)} z`, secret, true],
    ['in part, of eight letters and digits', '7Kd92val', secret, true],
    ['in part, backwards', backwards('7Kd92val'), secret, true],
    ['in part, of seven letters and digits', '7Kd92va', secret, false],
    ['in another letter case', secret.toUpperCase(), secret, true],
    ['without punctuation', secret.replaceAll(/[^\w]/g, ''), secret, true],
    ['with other punctuation', secret.replaceAll(/[^\w]/g, ' '), secret, true],
    ['in hexadecimal digits', hex(secret), secret, true],
    [
      'in hexadecimal digits, in capitals and groups',
      hex(secret).toUpperCase().replaceAll(/(..)/g, '$1:'),
      secret,
      true,
    ],
    ['in Base64', base64(secret), secret, true],
    ['in Base64 for URLs', Buffer.from('>>>???~~~key').toString('base64url'), '>>>???~~~key', true],
    [
      'as the bytes of its hexadecimal digits, in Base64',
      Buffer.from(hexKey, 'hex').toString('base64'),
      hexKey,
      true,
    ],
    [
      'as hexadecimal digits of what it has in Base64',
      hexKey,
      Buffer.from(hexKey, 'hex').toString('base64'),
      true,
    ],
    ['in full width', 'ｐＸ７ｖａｌｕｅｔｏｋｅｎ', 'pX7valuetoken', true],
    ['of letters with accents', 'válúétókéñ', 'valuetoken', true],
    ['of another script', 'ключ-доступа', 'ключдоступа', true],
    ['that is short, as it is', 'k-1', 'k-1', true],
    ['that is short, backwards', '1-k', 'k-1', true],
    ['that is short, with text around it', 'a k-1 z', 'k-1', false],
    ['of punctuation alone', '!!!!!!!!', '!!!!!!!!', true],
    ['of other punctuation alone', '????????', '!!!!!!!!', false],
    ['that is a number', '12345678', 12_345_678, true],
    ['that is a truth value', 'true', true, true],
    ['that is null', 'null', null, true],
    ['in an object', `a ${secret}`, { login: ['x', { key: secret }] }, true],
    ['as the name of a field', 'a-name-of-a-field', { 'a-name-of-a-field': 'x' }, false],
    ['that is another', 'something else altogether', secret, false],
    ['that is empty', 'something else altogether', '', false],
  ])('a credential is recognized in a text %s', (_how, text, value, isRepeated) => {
    expect(repeatsAny(['another credential', value])(text)).toBe(isRepeated);
  });

  test('no text repeats a credential where there is none', () => {
    expect(repeatsAny([])('')).toBe(false);
    expect(repeatsAny([])(secret)).toBe(false);
  });

  test('an odd number of hexadecimal digits, and digits among other letters, have no bytes', () => {
    const bytes = Buffer.from(hexKey, 'hex').toString('base64');
    // The bytes would be those of the first digits.
    for (const text of [`${hexKey}1`, `${hexKey}zz`, `${hexKey}zz11`]) {
      expect([text, repeatsAny([text])(bytes)]).toEqual([text, false]);
    }
  });
});

test('the list of relayed words is sorted, unique and letters only', () => {
  expect(listed).toEqual(listed.toSorted((a, b) => a.localeCompare(b, 'en')));
  expect(listed.filter((word) => !/^[A-Za-z]+('[a-z]+)?$/.test(word))).toEqual([]);
  expect(listed.filter((word) => word.length === 1)).toEqual(['a']);
});
