import { describe, expect, test } from 'vitest';
import { instanceSummarySchema } from '../../../functions/model/instance.ts';
import { cursorOf, keyOf, listedView, overviewQuerySchema } from '../../../functions/model/overview.ts';
import { problemsOf } from '../../../functions/model/validation.ts';
import { fakePorts } from '../../support/fake-ports.ts';

const key = { tenantId: 'acme', elementKey: 'taxify' };
const refused = expect.objectContaining({
  code: 'invalid-request',
  message: 'One thing is wrong with the request; each is named in "errors".',
  facts: {
    problems: [{ parameter: 'cursor', detail: 'expected the "nextCursor" of a page with the same filters' }],
  },
});

describe('the query of a list', () => {
  test.each(['1', '9', '10', '999', '1000'])('a page of %s is accepted', (limit) => {
    expect(overviewQuerySchema.parse({ limit })).toEqual({ limit: Number(limit) });
  });

  test('every filter may be combined with a limit and a cursor', () => {
    const query = { status: 'unreadable', element: 'taxify', health: 'unknown', cursor: 'x'.repeat(1_000) };
    expect(overviewQuerySchema.parse({ ...query, limit: '5' })).toEqual({ ...query, limit: 5 });
    expect(overviewQuerySchema.parse({})).toEqual({});
  });

  const limit = 'expected an integer from 1 to 1000';

  test.each([
    [{ limit: '0' }, limit],
    [{ limit: '1001' }, limit],
    [{ limit: '10000' }, limit],
    [{ limit: '-1' }, limit],
    [{ limit: '1.5' }, limit],
    [{ limit: '05' }, limit],
    [{ limit: '5 ' }, limit],
    [{ limit: '' }, limit],
    [{ status: 'removed' }, 'expected one of provisioning, active, failed, deleting, unreadable'],
    [{ health: 'sick' }, 'expected one of healthy, unhealthy, unknown'],
    [{ cursor: 'x'.repeat(1_001) }, 'expected at most 1000 characters'],
    [{ page: '1' }, 'is not a known field'],
  ])('the query %j is refused', (query, detail) => {
    const { error } = overviewQuerySchema.safeParse(query);
    expect(error && problemsOf(error, query)).toEqual([{ path: Object.keys(query), detail }]);
  });
});

describe('a cursor', () => {
  const filters = [
    {},
    { status: 'active' as const },
    { status: 'failed' as const },
    { element: 'taxify' },
    { element: 'active' },
    { health: 'healthy' as const },
    { status: 'active' as const, element: 'taxify', health: 'healthy' as const },
  ];

  test('a cursor leads back to its key with its own filters, and with no others', () => {
    for (const [at, query] of filters.entries()) {
      const cursor = cursorOf(key, query);
      expect(keyOf(cursor, { ...query, limit: 5, cursor })).toEqual(key);
      for (const other of filters.toSpliced(at, 1)) expect(() => keyOf(cursor, other)).toThrow(refused);
    }
  });

  test.each([
    ['X1FkV1NFRndlUG80MkUwTHsidCI6ImFjbWUiLCJlIjoidGF4aWZ5In0', {}],
    ['MGw0eEFhT2hsRi1zTTRPcnsidCI6ImFjbWUiLCJlIjoidGF4aWZ5In0', { status: 'active' as const }],
    ['TmNtVEpkMDlNNHJuY1pLNXsidCI6ImFjbWUiLCJlIjoidGF4aWZ5In0', { health: 'healthy' as const }],
  ])('the cursor %s that an earlier version gave is accepted', (cursor, query) => {
    expect(keyOf(cursor, query)).toEqual(key);
  });

  test('a changed cursor is refused', () => {
    const cursor = cursorOf(key, {});
    const content = Buffer.from(cursor, 'base64url').toString();
    const changed = [
      '',
      `${cursor}=`,
      `${cursor} `,
      cursor.slice(0, -4),
      content,
      Buffer.from(content.slice(16)).toString('base64url'),
      Buffer.from(content.replace('acme', 'acmf')).toString('base64url'),
      cursorOf({ ...key, tenantId: '' }, {}),
      cursorOf({ ...key, elementKey: '' }, {}),
    ];
    for (const each of changed) expect(() => keyOf(each, {})).toThrow(refused);
  });
});

test('a row that can be read is listed with its fields, another one with its key', () => {
  const summary = instanceSummarySchema.parse(fakePorts().claimed());
  expect(listedView({ key, summary })).toMatchObject({
    tenantId: 'acme',
    status: 'provisioning',
    name: 'taxify-acme',
  });
  expect(listedView({ key, summary: undefined })).toEqual({
    tenantId: 'acme',
    element: { key: 'taxify' },
    status: 'unreadable',
  });
});
