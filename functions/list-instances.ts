import { instanceView } from './model/instance.ts';
import { listInstances } from './core/read.ts';
import { openStore } from './runtime/ports.ts';
import { httpHandler, jsonResponse, noBody, tenantPath } from './runtime/http.ts';

/** `GET /tenants/{tenantId}/instances` */
export const handler = httpHandler({
  open: openStore,
  path: tenantPath,
  body: noBody,
  handle: async ({ path: { tenantId }, note }, store) => {
    const { instances, unreadable } = await listInstances(store, tenantId);
    if (unreadable.length > 0) note({ unreadable });
    return jsonResponse(
      200,
      instances.map((row) => instanceView(row)),
    );
  },
});
