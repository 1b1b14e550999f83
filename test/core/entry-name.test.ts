import { randomBytes, randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { isEntryName } from '../../functions/core/entry-name.ts';

test.each([
  // Entries of printed `POST /instances` bodies.
  'api.key',
  'base.url',
  'username',
  'subdomain',
  'filter.response.nulls',
  'pagination.max',
  'oauth.api.secret',
  'oauth.user.refresh_interval',
  'event.notification.callback.url',
  'event.notification.signature.key',
  'event.notification.subscription.id',
  'event.poller.refresh_interval',
  'netsuite.accountId',
  'hubspot.authorization.apikey',
  'facebookleadads.pages',
  'zuorav2.sandbox',
  'aws.s3.bucket',
  'oauth2.scope',
  'sap.c4c.host',
  'user.id.tokenId',
  // Fields of requests, misspelt or from elsewhere.
  'tenant_id',
  'elementKey',
  'apiKey',
  'api-key',
  'API.key',
  'baseURL',
  'oAuthToken',
  'providerData',
  'Name',
  'x',
])('%s looks like a name', (name) => {
  expect(isEntryName(name)).toBe(true);
});

test.each([
  '',
  '.',
  'api..key',
  '.key',
  'key.',
  'api key',
  'api/key',
  'ключ',
  'ａｐｉ.key',
  'apikey\u0301',
  'api.key\n',
  '5f2b8c1d9e3a4b6c',
  'abc1def2ghi3',
  'sk_live_4eC39HqLyjWDarjtT1zdp7dc',
  'AKIAIOSFODNN7EXAMPLE',
  'wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY',
  'XX12-YY34-ZZ56',
  'ABCDE12-FGHIJ34',
  'PRIVATE',
  'qWeRtYuIoP',
  'aBCdEFgHIj',
  'abcdefghijklmnopqrstu',
  'one.two.three.four.five.six.seven',
  'x123',
  'qJdJkqDvZuna_xoTwsmNciDQ',
  'aaBbCcDdEe',
  'is.a.key.of.it',
  'c44c',
  'dGVzdDp0ZXN0==',
  `${'abcdefgh.'.repeat(5)}${'a'.repeat(20)}`,
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
