import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import {
  createCloudElementsCaller,
  type CloudElementsCall,
} from '../../../functions/adapters/cloud-elements-http.ts';
import { createCloudElements } from '../../../functions/adapters/cloud-elements.ts';
import { startCloudElements, type Fault } from '../../../infra/local/cloud-elements/simulator.ts';

const secrets = { userSecret: 'zR3+8/Q0qVw1==', organizationSecret: '58168435e3b9959a929eb04b6218b9a2' };
const storedKey = 'pX7!Kd-92/value+token';
const requestId = '58b46b1be4b0e5a9b7d19c49';
const options = { timeoutMs: 2_000 };
const key = { tenantId: 'acme', elementKey: 'taxify' };

let simulator: Awaited<ReturnType<typeof startCloudElements>>;
let cloudElements: ReturnType<typeof createCloudElements>;
const calls: CloudElementsCall[] = [];
let instanceId = 0;

const create = (elementKey = 'taxify', tag = 'tenant:acme') =>
  cloudElements.create(
    {
      tenantId: 'acme',
      elementKey,
      name: 'Acme',
      tags: [tag],
      configuration: { 'api.key': storedKey, 'pagination.max': 'valid' },
    },
    options,
  );
const rename = () => cloudElements.update({ ...key, instanceId }, { name: 'Other' }, options);

beforeAll(async () => {
  simulator = await startCloudElements(secrets);
  const credentials = { get: () => Promise.resolve(secrets), renew: () => Promise.resolve(secrets) };
  const call = createCloudElementsCaller({
    baseUrl: simulator.url,
    credentials,
    onCall: (each) => calls.push(each),
  });
  cloudElements = createCloudElements({ call, catalog: builtInCatalog });
  const created = await create();
  if (created.kind !== 'created') throw new Error(`The instance is ${created.kind}.`);
  instanceId = created.instance.id;
});
afterAll(() => simulator.stop());
beforeEach(() => {
  simulator.reset();
  calls.length = 0;
});

type Responded = { status: number; body?: object | string; headers?: Record<string, string> };
function respondNext(on: Fault['on'], response: Responded): void {
  simulator.fail({ on, effect: 'none', outcome: { kind: 'status', ...response } });
}

/** All parts of an outcome that can reach responses, rows, events and logs. */
const toldOf = (outcome: object): string => {
  const error =
    'error' in outcome && outcome.error instanceof Error ? [outcome.error, outcome.error.message] : [];
  return JSON.stringify([outcome, error, calls]);
};

describe('relayed refusals', () => {
  test('a refused rename that quotes the stored key does not reveal it', async () => {
    const message = `The value ${storedKey} of api.key is not valid for taxify`;
    respondNext('PATCH /instances/{id}', { status: 400, body: { requestId, message } });
    const outcome = await rename();
    expect(outcome).toMatchObject({
      kind: 'refused',
      error: { code: 'refused-by-cloud-elements', facts: { requestId } },
    });
    expect(toldOf(outcome)).toContain('(400): The value … of api.key is not valid for taxify. Correct');
    expect(toldOf(outcome)).not.toContain('pX7');
  });

  test('a listed word is withheld if a credential contains it, not if an allow-listed value does', async () => {
    const message = 'The token is not valid';
    respondNext('POST /instances', { status: 400, body: { requestId, message } });
    expect(toldOf(await create())).toContain('(400): The … is not valid. Correct');
  });

  test('a refusal does not quote the user and organization secret', async () => {
    const quoted = Buffer.from(`${secrets.userSecret}:${secrets.organizationSecret}`).toString('base64');
    const message = `Request failed for ${secrets.userSecret} ${secrets.organizationSecret} ${quoted}`;
    respondNext('PATCH /instances/{id}', { status: 400, body: { requestId, message } });
    expect(toldOf(await rename())).toContain('(400): Request failed for …. Correct');
  });

  test('a refusal without any listed word has no reason', async () => {
    respondNext('PATCH /instances/{id}', { status: 400, body: { requestId, message: storedKey } });
    expect(toldOf(await rename())).toContain('tenant acme (400). Correct');
  });
});

describe('unknown outcomes', () => {
  test.each([409, 500])('a create answered %i has the relayed message as reason', async (status) => {
    const message = `The element instance ${storedKey} already exists`;
    respondNext('POST /instances', { status, body: { requestId, message } });
    const reason = `HTTP ${status} from Cloud Elements, request ${requestId}: The element instance … already exists`;
    expect(await create()).toMatchObject({ kind: 'unknown', reason, requestId });
  });

  test('a failed look-up does not repeat names and tags of instances', async () => {
    const tags = ['provision:1', `tenant:${storedKey}`];
    const listed = [{ id: 7, token: 'x', element: { key: storedKey }, tags, name: storedKey }];
    respondNext('GET /instances', { status: 200, body: listed });
    const sought = { ...key, owner: 'tests', provisionId: '1', name: 'Acme', createdAt: 0 };
    expect(toldOf(await cloudElements.lookUp(sought, options))).not.toContain(storedKey);
  });
});

test('a refused deletion has the relayed message as reason', async () => {
  const message = `The taxify instance ${storedKey} is used by formula 17 and cannot be deleted`;
  respondNext('DELETE /instances/{id}', { status: 409, body: { requestId, message } });
  const outcome = await cloudElements.remove({ ...key, instanceId }, options);
  expect(outcome).toMatchObject({ kind: 'refused', error: { code: 'deletion-refused' } });
  expect(toldOf(outcome)).toContain(
    '(409): The taxify instance … is used by formula … and cannot be deleted.',
  );
});

describe('request ids', () => {
  const uuid = '5f0c7f5a-4c8e-4c53-a5a2-0b9d5f3f7c11';

  test.each<[string, Responded, string | undefined]>([
    [
      'a valid request id in the body is relayed',
      { status: 400, body: { requestId, message: 'No' } },
      requestId,
    ],
    [
      'a valid request id in the header is relayed',
      { status: 400, body: { message: 'No' }, headers: { 'elements-request-id': uuid } },
      uuid,
    ],
    [
      'a valid request id in the header replaces an invalid one in the body',
      { status: 400, body: { requestId: 'k-1', message: 'No' }, headers: { 'elements-request-id': uuid } },
      uuid,
    ],
    [
      'an invalid request id is not relayed',
      { status: 400, body: { requestId: 'secret-1', message: 'No' } },
      undefined,
    ],
    [
      'an invalid request id in the header is not relayed',
      { status: 400, body: { message: 'No' }, headers: { 'elements-request-id': 'secret-1' } },
      undefined,
    ],
    [
      'an organization secret in the form of a UUID is not relayed as request id',
      { status: 400, body: { requestId: '58168435-e3b9-959a-929e-b04b6218b9a2', message: 'No' } },
      undefined,
    ],
  ])('%s', async (_what, response, told) => {
    respondNext('PATCH /instances/{id}', response);
    expect(await rename()).toMatchObject({ kind: 'refused' });
    expect(calls.map((call) => call.requestId)).toEqual([told]);
  });
});

test.each([
  ['30', 30_000],
  ['1234567890123', 3_600_000],
  ['9'.repeat(400), 3_600_000],
  ['Fri, 31 Dec 9999 23:59:59 GMT', 3_600_000],
  [storedKey, 0],
  ['Sat, 01 Jan 2000 00:00:00 GMT', 0],
  ['-5', 0],
  ['+30', 0],
  ['30.5', 0],
  ['3e3', 0],
  ['in 30 seconds', 0],
  ['Token 2099', 0],
  ['2099-01-01T00:00:00Z', 0],
])('a retry-after of %s is taken as %i ms', async (value, retryAfterMs) => {
  respondNext('PATCH /instances/{id}', { status: 429, headers: { 'retry-after': value } });
  expect(await rename()).toMatchObject({
    kind: 'not-done',
    retryAfterMs,
    error: { facts: { retryAfterMs } },
  });
});
