import { instanceView } from './core/instance.ts';
import { openStore } from './runtime/dependencies.ts';
import { httpHandler, jsonAnswer, noBody, tenantPath } from './runtime/http.ts';

/** `GET /tenants/{tenantId}/instances` */
export const handler = httpHandler({
  open: openStore,
  path: tenantPath,
  body: noBody,
  handle: async ({ path: { tenantId }, note }, store) => {
    const { instances, unreadable } = await store.list(tenantId);
    if (unreadable.length > 0) {
      note({ unreadable: unreadable.map(({ elementKey }) => elementKey) });
    }
    return jsonAnswer(
      200,
      instances.map((row) => instanceView(row)),
    );
  },
});
