import { expect, test } from 'vitest';
import * as z from 'zod/mini';
import { environmentSchema, parseEnvironment } from '../../../functions/model/environment.ts';
import { isOrigin } from '../../../functions/model/origin.ts';

const environment = {
  TABLE_NAME: 'table',
  EVENT_BUS_NAME: 'bus',
  SBT_APPLICATION_PLANE_SOURCE: 'plane',
  PLATFORM_SECRET_ID: 'platform',
  TENANT_SECRETS_PREFIX: 'prefix',
  TOKEN_KEY_ID: 'key',
  CLOUD_ELEMENTS_BASE_URL: 'https://api.one.example',
  STAGE: 'prod',
  ELEMENTS: '{}',
};

test('the environment of a function is read, without variables of others', () => {
  expect(parseEnvironment(environmentSchema, { ...environment, PATH: '/bin' })).toEqual(environment);
  const { SBT_APPLICATION_PLANE_SOURCE: _plane, ELEMENTS: _elements, ...required } = environment;
  expect(parseEnvironment(environmentSchema, required)).toEqual(required);
});

test('every missing or empty variable is named, and nothing is quoted', () => {
  const names = z.pick(environmentSchema, { TABLE_NAME: true, STAGE: true, CLOUD_ELEMENTS_BASE_URL: true });
  const wrong = { STAGE: '', CLOUD_ELEMENTS_BASE_URL: 'hush' };
  expect(() => parseEnvironment(names, wrong)).toThrow(
    new TypeError(
      'Wrong environment: TABLE_NAME is missing: expected text; STAGE expected some text; ' +
        'CLOUD_ELEMENTS_BASE_URL expected an origin such as https://api.cloud-elements.com',
    ),
  );
});

test.each([
  'https://api.one.example',
  'https://api.one.example/',
  'https://api.one.example:8443',
  'https://10.0.0.1',
  'http://localhost:8080',
  'http://127.0.0.1:1',
  'http://127.255.10.1',
  'http://[::1]:80',
  'https://localhost',
])('%s is an origin that may be called', (text) => {
  expect(isOrigin(text)).toBe(true);
});

test.each([
  '',
  'api.one.example',
  'http://api.one.example',
  'http://10.127.0.0.1.example',
  'http://128.0.0.1',
  'http://x127.0.0.1.example',
  'http://127.0.0.1.example',
  'http://localhost.example',
  'ftp://localhost',
  'https://api.one.example/v2',
  'https://api.one.example?x',
  'https://api.one.example/#x',
  'https://me@api.one.example',
  'file:///x',
])('%j is no origin that may be called', (text) => {
  expect(isOrigin(text)).toBe(false);
});
