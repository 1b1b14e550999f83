import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readToken } from '../functions/core/read.ts';
import { keyOf, startServers, taxify } from './real-servers.ts';

let servers: Awaited<ReturnType<typeof startServers>>;
beforeEach(async () => {
  servers = await startServers();
});
afterEach(() => servers[Symbol.asyncDispose]());

const nothing = { lost: 0, orphaned: 0, invalid: 0, disabled: 0, refilled: 0, unreadable: 0, complete: true };

describe('the audit', () => {
  test('finds nothing to tell where both sides agree, over several pages', async () => {
    for (let i = 0; i < 210; i += 30) {
      await Promise.all(Array.from({ length: 30 }, (_, j) => servers.provision(taxify(`tenant-${i + j}`))));
    }
    await servers.remove(keyOf('tenant-7'));
    expect(await servers.audit()).toEqual({ ...nothing, ours: 209, theirs: 209 });
  });

  test('finds nothing wrong in an empty service', async () => {
    expect(await servers.audit()).toEqual({ ...nothing, ours: 0, theirs: 0 });
  });

  test('counts what is gone, what is nobody’s, and what does not work', async () => {
    const tenants = ['lost', 'orphaned', 'invalid', 'disabled'];
    for (const tenant of tenants) await servers.provision(taxify(tenant));
    const [lost, , invalid, disabled] = tenants.map((tenant) => servers.instancesOf(tenant)[0]);
    await servers.removeAtCloudElements(lost?.id);
    const row = await servers.rowOf('orphaned');
    if (row) await servers.store.remove(row, row);
    if (invalid) invalid.valid = false;
    if (disabled) disabled.disabled = true;

    expect(await servers.audit()).toEqual({
      ...nothing,
      ours: 3,
      theirs: 3,
      lost: 1,
      orphaned: 1,
      invalid: 1,
      disabled: 1,
    });
    expect(servers.observations).toEqual(
      expect.arrayContaining([
        { kind: 'instance-lost', instanceId: lost?.id },
        { kind: 'orphan', instanceId: servers.instancesOf('orphaned')[0]?.id },
      ]),
    );
  });

  test('says nothing of what is still being settled', async () => {
    await servers.killedWhileCreating('acme', 'applied');
    expect(await servers.audit()).toMatchObject({ orphaned: 0, theirs: 1 });
  });

  test('fetches a missing token again', async () => {
    const { row } = await servers.provision(taxify('acme'));
    await servers.store.replace({ ...row, token: undefined }, row);
    expect(await servers.audit()).toMatchObject({ refilled: 1 });
    expect((await readToken(servers, keyOf('acme'))).token).toBe(servers.instancesOf('acme')[0]?.token);
  });

  test('says so when it has not seen everything', async () => {
    await servers.provision(taxify('acme'));
    servers.simulator.faultFor = () => ({ effect: 'none', outcome: { kind: 'status', status: 500 } });
    expect(await servers.audit()).toMatchObject({ complete: false, lost: 0 });
    expect(await servers.audit({ invocationMs: -1 })).toMatchObject({ complete: false });
  });
});
