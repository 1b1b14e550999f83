import { defaultElementKey } from './catalogue.ts';
import type { InstanceStore } from './collaborators.ts';
import type { Offboarding } from './events.ts';
import type { Remove, Removed } from './remove.ts';

/**
 * Removes what an off-boarding event names: one element's instance, or all that the tenant has. A tombstone stays at
 * the default element in any case, for the onboarding event that may come late.
 * @returns `in-progress` as long as one of them is; the event is to come again then
 */
export async function offboard(
  { tenantId, elementKey, removal }: Offboarding,
  { store, remove, deadlineAt }: { store: InstanceStore; remove: Remove; deadlineAt: number },
): Promise<Removed['outcome']> {
  const elementKeys = elementKey
    ? [elementKey]
    : new Set([defaultElementKey, ...(await store.list(tenantId)).map((row) => row.elementKey)]);
  // All come to an end before one's error is thrown: nothing goes on when the function has returned.
  const settled = await Promise.allSettled(
    [...elementKeys].map((each) => remove({ tenantId, elementKey: each }, removal, { deadlineAt })),
  );
  const outcomes = new Set<Removed['outcome']>();
  for (const result of settled) {
    if (result.status === 'rejected') throw result.reason;
    outcomes.add(result.value.outcome);
  }
  const inOrder = ['in-progress', 'removed', 'already-gone', 'outdated'] as const;
  return inOrder.find((outcome) => outcomes.has(outcome)) ?? 'already-gone';
}
