import { randomBytes, randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { isElementKey, isEntryName } from '../../../functions/model/entry-name.ts';
import { words } from '../../support/words.ts';

/** Entries of printed `POST /instances` bodies. */
const printed = words(`
    api.key base.url username subdomain filter.response.nulls pagination.max oauth.api.secret
    oauth.user.refresh_interval event.notification.callback.url event.notification.signature.key
    event.notification.subscription.id event.poller.refresh_interval netsuite.accountId
    hubspot.authorization.apikey facebookleadads.pages zuorav2.sandbox aws.s3.bucket oauth2.scope
    sap.c4c.host user.id.tokenId messaging.smtp.sendgrid.username ecwid.store.id
  `);
/** Fields of requests, misspelled or foreign. */
const foreign = words(`
    tenant_id elementKey apiKey api-key API.key baseURL oAuthToken providerData Name x
  `);

const longest = 'internationalization';
/** Names at the limits of what a name may have: six words, three digits, 64 characters. */
const largest = [
  'one.two.three.four.five.six',
  'page12.size3',
  longest,
  `${longest}.${longest}.${longest}.a`,
];

test.each([...printed, ...foreign, ...largest])('%s looks like a name', (name) => {
  expect(isEntryName(name)).toBe(true);
});

test.each([
  '',
  'api key',
  'apikey\u0301',
  'api.key\n',
  `${'abcdefgh.'.repeat(5)}${'a'.repeat(20)}`,
  `${longest}.${longest}.${longest}.ab`,
  'page12.size34',
  `api.${longest}s`,
  ...words(`
    . api..key .key key. api/key ключ ａｐｉ.key 5f2b8c1d9e3a4b6c abc1def2ghi3
    sk_live_4eC39HqLyjWDarjtT1zdp7dc AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY
    XX12-YY34-ZZ56 ABCDE12-FGHIJ34 PRIVATE qWeRtYuIoP aBCdEFgHIj abcdefghijklmnopqrstu
    one.two.three.four.five.six.seven x123 qJdJkqDvZuna_xoTwsmNciDQ aaBbCcDdEe is.a.key.of.it
    qzxwvkjhgfdpmntb qzxwvkjh.gfdpmntb xkqjzvwb c44c dGVzdDp0ZXN0==
  `),
])('%j does not look like a name', (text) => {
  expect(isEntryName(text)).toBe(false);
});

test('random keys do not look like names', () => {
  const keys = Array.from({ length: 2_000 }, () => [
    randomUUID(),
    randomBytes(12).toString('hex'),
    randomBytes(24).toString('base64url'),
    randomBytes(32).toString('base64'),
  ]).flat();
  expect(keys.filter(isEntryName)).toEqual([]);
});

const randomLetters = (length: number) =>
  Array.from({ length }, () => String.fromCharCode(97 + Math.floor(Math.random() * 26))).join('');

test('random lower-case letters rarely look like names', () => {
  const keys = Array.from({ length: 4_000 }, () => randomLetters(16));
  expect(keys.filter(isEntryName).length).toBeLessThan(80);
});

test.each(
  words(`
    taxify freshdeskv2 netsuiteerpv2 sapc4ccloud sage300 amazons3 dynamics365crm quickbooksonline
    facebookleadads hubspotcrm my-company_2018-12 constructor
  `),
)('%s looks like the key of an element', (key) => {
  expect(isElementKey(key)).toBe(true);
});

test.each([
  ['eight digits', 'a12345678', true],
  ['nine digits', 'a123456789', false],
  ['four turns', 'a1b2c', true],
  ['five turns', 'a1b2c3', false],
  ['two pairs of letters that no word has', 'aaa', true],
  ['three pairs of letters that no word has', 'aaaa', false],
  ['digits alone', '365', true],
])('a text with %s, %s, looks like the key of an element: %s', (_what, text, isKey) => {
  expect(isElementKey(text)).toBe(isKey);
});

test('random keys do not look like the key of an element', () => {
  const keys = Array.from({ length: 2_000 }, () => [randomUUID(), randomBytes(16).toString('hex')]).flat();
  expect(keys.filter(isElementKey)).toEqual([]);
  const letters = Array.from({ length: 2_000 }, () => randomLetters(24));
  expect(letters.filter(isElementKey).length).toBeLessThan(40);
});
