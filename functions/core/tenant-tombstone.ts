import type { InstanceStore } from './ports.ts';
import { wholeTenant } from '../model/instance.ts';
import { removedTimesOf } from '../model/row-history.ts';
import { areRequestsOutdated, type Moments } from '../model/moments.ts';

/**
 * Has the whole tenant been removed since these requests for one of its instances? Asked for events alone: a request
 * over HTTP is made now, after any removal.
 * @throws OnboardingError `aws-unavailable`
 */
export async function isTenantRemovedSince(
  store: InstanceStore,
  tenantId: string,
  requested: Moments,
): Promise<boolean> {
  const tombstone = await store.get({ tenantId, elementKey: wholeTenant });
  return tombstone !== undefined && areRequestsOutdated(requested, removedTimesOf(tombstone));
}
