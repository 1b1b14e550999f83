import { describe, expect, test } from 'vitest';
import { keyOf, newTenant, openServers } from '../../support/real-servers.ts';

const servers = await openServers();
const { importInstance, remove, simulator } = servers;

/** An instance that the tenant's team has made by hand. */
function handMade(tags: string[] = ['eu', 'made by hand'], elementKey = 'taxify') {
  return simulator.seed({
    element: { key: elementKey },
    name: 'Shop by hand',
    tags,
    configuration: { 'api.key': 'k' },
  });
}

const upstream = (id: number) => simulator.instances.find((each) => each.id === id);
const operations = () => simulator.requests.map(({ operation }) => operation);

describe('an import', () => {
  test('an import keeps id, token, name and tags, and adds the markers', async () => {
    const tenantId = newTenant();
    const { id, token } = handMade();

    await importInstance(newTenant(), handMade().id);
    servers.reset();

    const { outcome } = await importInstance(tenantId, id);

    expect(outcome).toBe('created');
    expect(servers.awsRequests).toEqual([
      'DynamoDB_20120810.PutItem',
      'DynamoDB_20120810.Query',
      'DynamoDB_20120810.PutItem',
      'TrentService.Encrypt',
      'DynamoDB_20120810.PutItem',
    ]);
    expect(operations()).toEqual(['GET /instances/{id}', 'PATCH /instances/{id}']);
    const row = await servers.expectOneActiveInstance(tenantId);
    expect(row).toMatchObject({
      v: 1,
      instanceId: id,
      importedId: id,
      name: 'Shop by hand',
      tags: ['eu', 'made by hand'],
      allowListed: {},
    });
    expect(row).not.toHaveProperty('source');
    expect(row).not.toHaveProperty('importing');
    expect(row.checkAt).toBeUndefined();
    expect(upstream(id)).toMatchObject({
      token,
      name: 'Shop by hand',
      tags: ['eu', 'made by hand', `tenant:${tenantId}`, `provision:${row.provisionId}`, 'owner:tests'],
    });
  });

  test('the same import again is answered from the row', async () => {
    const tenantId = newTenant();
    const { id } = handMade();
    await importInstance(tenantId, id);
    servers.reset();

    const { outcome } = await importInstance(tenantId, id);

    expect(outcome).toBe('replayed');
    // The embedded DynamoDB does not send the item along, as the real one does.
    expect(servers.awsRequests).toEqual(['DynamoDB_20120810.PutItem', 'DynamoDB_20120810.GetItem']);
    expect(simulator.requests).toEqual([]);
  });

  test('DELETE of an imported instance deletes it at Cloud Elements', async () => {
    const tenantId = newTenant();
    const { id } = handMade();
    await importInstance(tenantId, id);
    expect((await remove(keyOf(tenantId))).outcome).toBe('removed');
    expect(upstream(id)).toBeUndefined();
    expect((await servers.audit()).orphaned).toBe(0);
  });
});
