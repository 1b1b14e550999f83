import { describe, expect, test } from 'vitest';
import type * as z from 'zod/mini';
import { healthReasons } from '../../../functions/model/health.ts';
import {
  checkedInstanceSchema,
  elementTokenSchema,
  gatewayMessageSchema,
  instanceSchema,
  overviewSchema,
  problemSchema,
  resultDetailSchema,
  toolkitDetailSchema,
} from '../../../functions/model/responses.ts';

const date = '2026-11-26T12:00:00.000Z';
const element = { key: 'taxify' };
const lastError = { code: 'internal', detail: 'x', requestId: 'r', at: date };
const health = { status: 'unhealthy', since: date, reason: 'gone' };
const instance = {
  tenantId: 'acme',
  element,
  id: 7,
  name: 'Acme',
  tags: ['eu'],
  status: 'active',
  createdDate: date,
  updatedDate: date,
  lastError,
  health,
};
const unreadable = { tenantId: '*', element: { key: '*' }, status: 'unreadable' };
const result = {
  tenantId: 'acme',
  element,
  id: 7,
  name: 'Acme',
  tags: [],
  status: 'removed',
  revision: 1,
  lastError,
  health,
  request: { eventId: 'e' },
};
const problem = {
  type: 'about:blank',
  title: 'x',
  status: 400,
  detail: 'x',
  code: 'invalid-request',
  missing: ['configuration.a'],
  errors: [
    { pointer: '#', detail: 'x' },
    { parameter: 'cursor', detail: 'x' },
  ],
  requestId: 'r',
};
const toolkit = {
  tenantRegistrationId: 'r',
  jobOutput: { tenantData: { a: '1' }, tenantRegistrationData: { registrationStatus: 'created' } },
};

const documented: [string, z.ZodMiniType, object][] = [
  ['an instance', instanceSchema, instance],
  [
    'a checked instance',
    checkedInstanceSchema,
    { ...instance, check: { status: 'unknown', reason: 'no-ping' } },
  ],
  ['a token', elementTokenSchema, { tenantId: 'acme', element, id: 7, token: 'x' }],
  ['a list', overviewSchema, { instances: [instance, unreadable], nextCursor: 'x' }],
  ['a result', resultDetailSchema, result],
  ['a problem', problemSchema, problem],
  ['a result of the toolkit', toolkitDetailSchema, toolkit],
  ['a message of the gateway', gatewayMessageSchema, { message: 'x' }],
];

describe.each(documented)('%s, as it is documented', (_what, schema, whole) => {
  test('a documented response has every field, of its own kind', () => {
    expect(schema.parse(whole)).toEqual(whole);
    expect(schema.safeParse({}).success).toBe(false);
    for (const name of Object.keys(whole)) {
      for (const value of [Symbol(name), { another: 'kind' }]) {
        expect([name, schema.safeParse({ ...whole, [name]: value }).success]).toEqual([name, false]);
      }
    }
  });
});

test('a response without the fields that may be absent is as documented', () => {
  const { id: _id, lastError: _error, health: _health, ...least } = instance;
  expect(instanceSchema.safeParse(least).success).toBe(true);
  expect(
    resultDetailSchema.safeParse({ tenantId: 'a', tags: [], status: 'failed', revision: 1 }).success,
  ).toBe(true);
  const { missing: _missing, errors: _errors, requestId: _requestId, ...bare } = problem;
  expect(problemSchema.safeParse(bare).success).toBe(true);
  expect(overviewSchema.safeParse({ instances: [] }).success).toBe(true);
});

test.each(['provisioning', 'active', 'failed', 'deleting'])(
  'an instance may be %s, and its result, too',
  (status) => {
    expect(instanceSchema.safeParse({ ...instance, status }).success).toBe(true);
    expect(resultDetailSchema.safeParse({ ...result, status }).success).toBe(true);
  },
);

test('a removed instance is shown by its result alone', () => {
  expect(instanceSchema.safeParse({ ...instance, status: 'removed' }).success).toBe(false);
});

test('every reason of a health is documented, and no other', () => {
  for (const reason of [...healthReasons, undefined]) {
    expect(instanceSchema.safeParse({ ...instance, health: { ...health, reason } }).success).toBe(true);
  }
  expect(instanceSchema.safeParse({ ...instance, health: { ...health, reason: 'odd' } }).success).toBe(false);
});
