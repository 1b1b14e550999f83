import { expect, test } from 'vitest';
import type { Api, ApiResponse } from '../../../../infra/cli/api.ts';
import type { Exported } from '../../../../infra/cli/export/rows.ts';
import { readTokens } from '../../../../infra/cli/export/tokens.ts';

const row = (tenantId: string, status = 'active'): Exported => ({
  tenantId,
  elementKey: 'taxify',
  instanceId: 7,
  name: '',
  tags: [],
  status,
});
const token: ApiResponse = { kind: 'success', status: 200, json: { id: 7, token: 'token-of-7' } };
const refused = (status: number, code?: string): ApiResponse => ({
  kind: 'refused',
  status,
  code,
  detail: `detail of ${status}`,
  retryAfterMs: undefined,
});
async function read(responses: ApiResponse[], rows = [row('acme')]) {
  const paths: string[] = [];
  const api: Api = {
    async call(_method, segments) {
      paths.push(segments.join('/'));
      return responses[paths.length - 1] ?? token;
    },
  };
  const tokens = await readTokens(api, rows, { retryDelaysMs: [0, 0] });
  return { paths, ends: 'reads' in tokens ? [...tokens.reads.values()] : tokens.stoppedBy };
}

test('only active instances are asked for', async () => {
  const { paths, ends } = await read([], [row('acme'), row('globex', 'failed'), row('x', 'unreadable')]);
  expect(paths).toEqual(['tenants/acme/instances/taxify/token']);
  expect(ends).toEqual([{ kind: 'token', token: 'token-of-7' }]);
});

test('a rate limit, an outage and a lost response are retried', async () => {
  const { ends } = await read([refused(429), { kind: 'broken', reason: 'ECONNRESET' }]);
  expect(ends).toEqual([{ kind: 'token', token: 'token-of-7' }]);
  expect((await read([refused(503), refused(503), refused(503)])).ends).toEqual([
    { kind: 'failed', why: 'detail of 503' },
  ]);
});

test('an instance that was replaced since, or is not active any more, has no token', async () => {
  const other: ApiResponse = { kind: 'success', status: 200, json: { id: 8, token: 'token-of-8' } };
  expect((await read([other])).ends).toEqual([{ kind: 'failed', why: 'its instance has changed meanwhile' }]);
  const { paths, ends } = await read([refused(409, 'not-active')]);
  expect(ends).toEqual([{ kind: 'failed', why: 'detail of 409' }]);
  expect(paths).toHaveLength(1);
});

test('a caller without the permission reads no further token', async () => {
  const many = Array.from({ length: 50 }, (_, index) => row(`t-${index}`));
  const { paths, ends } = await read(
    Array.from({ length: 50 }, () => refused(403)),
    many,
  );
  expect(ends).toContain('execute-api:Invoke on the token route');
  expect(paths.length).toBeLessThanOrEqual(10);
});
