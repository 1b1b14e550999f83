import type { InstanceStore, TokenCipher } from './ports.ts';
import { goneAtCloudElements, hasNoToken, notFound } from './refusals.ts';
import { OnboardingError } from '../model/errors.ts';
import type { InstanceKey, InstanceSummary } from '../model/instance.ts';

/** @throws OnboardingError `not-found` */
export async function getInstance(store: InstanceStore, key: InstanceKey): Promise<InstanceSummary> {
  const summary = await store.getSummary(key);
  if (!summary) throw notFound(key);
  return summary;
}

/**
 * The tenant's instances, and the elements whose rows cannot be read.
 * @throws OnboardingError `internal` when none can: an empty list would say that the tenant has nothing
 */
export async function listInstances(
  store: InstanceStore,
  tenantId: string,
): Promise<{ instances: InstanceSummary[]; unreadable: string[] }> {
  const listed = await store.list(tenantId);
  const unreadable = listed.unreadable.map(({ elementKey }) => elementKey);
  if (unreadable.length > 0 && listed.instances.length === 0) {
    throw new OnboardingError(
      'internal',
      `No row of tenant ${tenantId} can be read (${unreadable.join(', ')}).`,
    );
  }
  return { instances: listed.instances, unreadable };
}

/**
 * The element token of an active instance, unless that is gone. Otherwise its health decides nothing.
 * @throws OnboardingError `not-found`, `not-active` or `gone-at-cloud-elements`
 */
export async function readToken(
  { store, cipher }: { store: InstanceStore; cipher: TokenCipher },
  key: InstanceKey,
): Promise<{ instanceId: number; token: string }> {
  const row = await store.get(key);
  if (!row || row.status === 'removed') throw notFound(key);
  if (row.status !== 'active' || !row.token || row.instanceId === undefined) throw hasNoToken(row);
  if (row.health?.status === 'unhealthy' && row.health.reason === 'gone') throw goneAtCloudElements(row);
  return { instanceId: row.instanceId, token: await cipher.decrypt(row.token, key) };
}
