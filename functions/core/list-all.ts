import { cursorOf, keyOf, listedView, type OverviewQuery } from '../model/overview.ts';
import type { OverviewStore } from './ports.ts';

const defaultLimit = 100;

/**
 * One page of all tenants' instances, in no order. Following `nextCursor` until it is absent shows every instance that
 * is there all the while exactly once.
 * @throws OnboardingError `invalid-request` for a cursor that no page with these filters has given
 */
export async function listAllInstances(store: OverviewStore, query: OverviewQuery) {
  const after = query.cursor === undefined ? undefined : keyOf(query.cursor, query);
  const { rows, last } = await store.page({ limit: query.limit ?? defaultLimit, after });
  const instances = rows
    .map((row) => listedView(row))
    .filter(({ status }) => query.status === undefined || status === query.status)
    .filter(({ element }) => query.element === undefined || element.key === query.element)
    .filter(
      (view) => query.health === undefined || ('health' in view && view.health?.status === query.health),
    );
  return { instances, ...(last && { nextCursor: cursorOf(last, query) }) };
}
