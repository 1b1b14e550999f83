import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { newTenant } from '../support/real-servers.ts';
import { startService, type Service } from '../support/running-service.ts';
import { notApplied } from '../support/faults.ts';

/** Imports over the deployed functions: routes, events, logs, and many at once. */
let service: Service;
beforeAll(async () => {
  // An event that cannot be read becomes a dead letter soon.
  service = await startService({ queue: { visibilityTimeoutMs: 50 } });
});
afterAll(() => service[Symbol.asyncDispose]());
beforeEach(() => service.simulator.reset());

const pathOf = (tenantId: string) => `/tenants/${tenantId}/instances/taxify`;

const handMade = (over: object = {}) =>
  service.simulator.seed({
    element: { key: 'taxify' },
    name: 'By hand',
    tags: ['by hand'],
    configuration: { 'api.key': 'k' },
    ...over,
  });
const upstream = (id: number) => service.simulator.instances.find((each) => each.id === id);

describe('POST of an import', () => {
  test('POST of an import responds with the instance, and its result is published and logged', async () => {
    const tenantId = newTenant();
    const { id, token } = handMade();

    const response = await service.importInstance(tenantId, id);

    expect(response).toMatchObject({
      status: 201,
      headers: { location: pathOf(tenantId) },
      json: {
        tenantId,
        element: { key: 'taxify' },
        id,
        name: 'By hand',
        tags: ['by hand'],
        status: 'active',
      },
    });
    expect(response.json).not.toHaveProperty('token');
    expect((await service.importInstance(tenantId, id)).status).toBe(200);
    expect(await service.get(`${pathOf(tenantId)}/token`)).toMatchObject({
      status: 200,
      json: { id, token },
    });
    await service.idle();
    const events = (await service.events()).filter(({ detail }) => tenantOf(detail) === tenantId);
    expect(events.map((event) => event['detail-type'])).toEqual(['InstanceProvisioned']);
    const lines = (await service.logs()).filter((line) => line.includes(tenantId));
    expect(lines.some((line) => line.includes('"message":"imported"'))).toBe(true);
    expect(lines.some((line) => line.includes('/import"') && line.includes('"outcome":"created"'))).toBe(
      true,
    );
    expect(lines.join('\n')).not.toContain(token);
  });

  test('POST of an import in progress elsewhere is 202 with where and when to look again', async () => {
    const tenantId = newTenant();
    const { id } = handMade();
    service.simulator.fail({ on: 'PATCH /instances/{id}', times: 5, ...notApplied({ kind: 'reset' }) });
    expect(await service.importInstance(tenantId, id)).toMatchObject({
      status: 202,
      headers: { location: pathOf(tenantId), 'retry-after': '5' },
      json: { status: 'provisioning', tags: [], lastError: { code: 'update-outcome-unknown' } },
    });
    expect((await service.importInstance(tenantId, id)).status).toBe(201);
  });

  test.each([
    ['no id', {}, '#/id'],
    ['text', { id: '1' }, '#/id'],
    ['zero', { id: 0 }, '#/id'],
    ['a fraction', { id: 1.5 }, '#/id'],
    ['more than a safe integer', { id: 2 ** 53 }, '#/id'],
    ['a name', { id: 1, name: 'Shop' }, '#/name'],
    ['a configuration', { id: 1, configuration: {} }, '#/configuration'],
  ])('POST of an import with %s is refused', async (_what, body, pointer) => {
    const response = await service.request({
      method: 'POST',
      path: `${pathOf(newTenant())}/import`,
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    });
    expect(response).toMatchObject({ status: 400, json: { code: 'invalid-request', errors: [{ pointer }] } });
    expect(service.simulator.requests).toEqual([]);
  });

  test('an id in an ordinary POST is refused with the route of the import, and in an event, too', async () => {
    const tenantId = newTenant();
    const { id } = handMade();
    const body = { id, element: { key: 'taxify' }, configuration: { 'api.key': 'k' } };
    const detail =
      'expected no id. To import an instance that exists at Cloud Elements, send its id to POST /tenants/{tenantId}/instances/{elementKey}/import';
    expect(await service.post(tenantId, body)).toMatchObject({
      status: 400,
      json: { code: 'invalid-request', errors: [{ pointer: '#/id', detail }] },
    });
    await service.sendToQueue(
      JSON.stringify({
        id: 'event-with-id',
        source: 'crm.example',
        'detail-type': 'TenantOnboarded',
        time: new Date().toISOString(),
        detail: { tenantId, id },
      }),
    );
    await service.idle();
    expect(await service.get(`/tenants/${tenantId}/instances`)).toMatchObject({ status: 200, json: [] });
    expect(upstream(id)?.tags).toEqual(['by hand']);
    await service.clearDeadLetters();
  });
});

const statusesOf = (responses: { status: number }[]) => [...new Set(responses.map(({ status }) => status))];

describe('many imports', () => {
  test('instances made by hand are imported without a create, and DELETE removes them at Cloud Elements', async () => {
    const made = Array.from({ length: 20 }, () => ({ tenantId: newTenant(), ...handMade() }));
    const importAll = () => Promise.all(made.map(({ tenantId, id }) => service.importInstance(tenantId, id)));

    expect(statusesOf(await importAll())).toEqual([201]);
    expect(statusesOf(await importAll())).toEqual([200]);

    expect(service.simulator.requests.map(({ operation }) => operation)).not.toContain('POST /instances');
    for (const { tenantId, id, token } of made) {
      expect(upstream(id)).toMatchObject({ token, name: 'By hand' });
      expect(upstream(id)?.tags).toEqual(expect.arrayContaining(['by hand', `tenant:${tenantId}`]));
      await service.expectOneActiveInstance(tenantId);
    }
    expect(
      statusesOf(await Promise.all(made.map(({ tenantId }) => service.delete(pathOf(tenantId))))),
    ).toEqual([204]);
    expect(made.filter(({ id }) => upstream(id))).toEqual([]);
  });

  test('one of two tenants that import an instance at once gets it, and the other a refusal', async () => {
    const { id } = handMade();
    const [one, two] = [newTenant(), newTenant()];
    const responses = await Promise.all([one, two].map((tenantId) => service.importInstance(tenantId, id)));
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([201, 409]));
    const refused = responses.find(({ status }) => status === 409);
    expect(refused).toMatchObject({ json: { code: expect.stringMatching(/^(instance-taken|not-ours)$/) } });
    // The response names no other tenant.
    const [loser, winner] = responses[0]?.status === 409 ? [one, two] : [two, one];
    expect(refused?.text).toContain(loser);
    expect(refused?.text).not.toContain(`tenant ${winner}`);
  });
});

const detailSchema = z.object({ tenantId: z.optional(z.string()) });
const tenantOf = (detail: unknown) => detailSchema.safeParse(detail).data?.tenantId;
