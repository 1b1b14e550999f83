import { expect, test } from 'vitest';
import type { Api, ApiResponse } from '../../../../infra/cli/api.ts';
import { importAll, meaningOf, type ImportRow } from '../../../../infra/cli/onboard/importing.ts';

const rowsOf = (count: number): ImportRow[] =>
  Array.from({ length: count }, (_, index) => ({
    request: { tenantId: `t-${index}`, elementKey: 'taxify', instanceId: index + 1 },
    standing: { phase: 'unsent' },
  }));

const made: ApiResponse = { kind: 'success', status: 201, json: {} };
const refused = (status: number, code?: string, retryAfterMs?: number): ApiResponse => ({
  kind: 'refused',
  status,
  code,
  detail: `detail of ${code}`,
  retryAfterMs,
});

/** An API that answers each request of a row with the next of these responses. */
function answering(responses: readonly ApiResponse[], delayMs = 0) {
  const calls: string[] = [];
  let inFlight = 0;
  const most = { inFlight: 0 };
  const tries = new Map<string, number>();
  const api: Api = {
    async call(method, segments, body) {
      const path = segments.join('/');
      calls.push(`${method} ${path} ${JSON.stringify(body)}`);
      const before = tries.get(path) ?? 0;
      tries.set(path, before + 1);
      most.inFlight = Math.max(most.inFlight, ++inFlight);
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      inFlight -= 1;
      return responses[Math.min(before, responses.length - 1)] ?? made;
    },
  };
  return { api, calls, most };
}

const run = (rows: ImportRow[], api: Api, over: { timeoutMs?: number; stop?: AbortSignal } = {}) =>
  importAll(rows, { api, rate: 10_000, timeoutMs: 60_000, stop: new AbortController().signal, ...over });

test('each row is sent to the import route of its tenant and element, ten at a time at most', async () => {
  const { api, calls, most } = answering([made], 5);
  const rows = rowsOf(40);
  expect(await run(rows, api)).toBeUndefined();
  expect(calls).toHaveLength(40);
  expect(calls[0]).toBe('POST tenants/t-0/instances/taxify/import {"id":1}');
  expect(most.inFlight).toBe(10);
  expect(rows.every(({ standing }) => standing.phase === 'ended' && standing.end.outcome === 'active')).toBe(
    true,
  );
});

test('202, 429 and 503 are sent again after the time that they name', async () => {
  const responses = [
    refused(202, undefined, 20),
    refused(429, undefined, 20),
    refused(503, 'cloud-elements-busy', 20),
  ];
  const { api, calls } = answering([...responses, made]);
  const rows = rowsOf(1);
  const startedAt = Date.now();
  expect(await run(rows, api)).toBeUndefined();
  expect(calls).toHaveLength(4);
  expect(Date.now() - startedAt).toBeGreaterThanOrEqual(60);
  expect(rows[0]?.standing).toMatchObject({ end: { outcome: 'active' } });
});

test('a row without an outcome in time is reported as such, with the last reason', async () => {
  const rows = rowsOf(1);
  await run(rows, answering([refused(202, undefined, 50)]).api, { timeoutMs: 120 });
  expect(rows[0]?.standing).toMatchObject({
    end: {
      outcome: 'unknown',
      code: 'no-outcome',
      why: expect.stringContaining('the import is not finished'),
    },
  });
});

test('a refusal ends the row with its code and detail, and the others go on', async () => {
  const rows = rowsOf(2);
  const { api } = answering([made]);
  const refusing: Api = {
    call: async (method, segments, body) =>
      segments.includes('t-0') ? refused(409, 'not-ours') : api.call(method, segments, body),
  };
  expect(await run(rows, refusing)).toBeUndefined();
  expect(rows.map(({ standing }) => standing)).toMatchObject([
    { end: { outcome: 'failed', code: 'not-ours', why: 'detail of not-ours' } },
    { end: { outcome: 'active' } },
  ]);
});

test('a refusal that concerns every row stops the run after the requests in flight', async () => {
  const rows = rowsOf(100);
  const { api, calls } = answering([refused(403)], 5);
  expect(await run(rows, api)).toContain('execute-api:Invoke');
  expect(calls.length).toBeLessThanOrEqual(10);
  expect(rows.filter(({ standing }) => standing.phase === 'ended')).toEqual([]);
});

test('an interrupted run ends the requests in flight and sends no more', async () => {
  const rows = rowsOf(100);
  const interruption = new AbortController();
  const { api, calls } = answering([made], 20);
  setTimeout(() => interruption.abort(), 30);
  expect(await run(rows, api, { stop: interruption.signal })).toBeUndefined();
  expect(calls.length).toBeLessThan(50);
  expect(rows.filter(({ standing }) => standing.phase === 'ended')).toHaveLength(calls.length);
});

test.each([
  ['a busy row', 'again', refused(409, 'busy'), 0],
  ['a deletion in progress', 'again', refused(409, 'being-deleted'), 0],
  ['an error of the service', 'again', refused(500, 'internal'), 0],
  ['a time-out of API Gateway', 'again', refused(504), 0],
  ['no response', 'again', { kind: 'broken', reason: 'ECONNRESET' } as const, 3],
  ['no response, five times', 'stop', { kind: 'broken', reason: 'ECONNREFUSED' } as const, 4],
  ['a platform secret that is refused', 'stop', refused(503, 'platform-credentials-refused'), 0],
  ['a caller without the permission', 'stop', refused(403), 0],
  ['a service without the route', 'stop', refused(404), 0],
  ['no such instance', 'ended', refused(404, 'not-found'), 0],
  ['an instance of another tenant', 'ended', refused(409, 'not-ours'), 0],
  ['an instance that cannot be kept', 'ended', refused(502, 'instance-unusable'), 0],
  ['a code of a later version', 'ended', refused(409, 'later'), 0],
  ['a request that is not valid', 'ended', refused(400, 'invalid-request'), 0],
])('after %s the next step is "%s"', (_what, kind, response, tries) => {
  expect(meaningOf(response, tries).kind).toBe(kind);
});
