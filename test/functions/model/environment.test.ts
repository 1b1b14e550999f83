import { expect, test } from 'vitest';
import * as z from 'zod/mini';
import { environmentSchema, parseEnvironment } from '../../../functions/model/environment.ts';

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
