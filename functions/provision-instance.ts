import { instanceRequestSchema, instanceView, settingsOf } from './model/instance.ts';
import { openProvisioning } from './runtime/use-cases.ts';
import { httpHandler, jsonResponse, retryAfter, tenantPath } from './runtime/http.ts';

/** `POST /tenants/{tenantId}/instances` */
export const handler = httpHandler({
  open: openProvisioning,
  path: tenantPath,
  body: instanceRequestSchema,
  handle: async ({ path: { tenantId }, body: { element, ...requested }, deadlineAt, note }, provision) => {
    note({ elementKey: element.key });
    const settings = settingsOf({ tenantId, elementKey: element.key }, requested);
    const provisioned = await provision(settings, { deadlineAt, recordRefusal: false });
    note({ outcome: provisioned.outcome, provisionId: provisioned.row.provisionId });
    const view = instanceView(provisioned.row);
    // Both ids are of characters that need no encoding in a path.
    const location = { location: `/tenants/${tenantId}/instances/${element.key}` };
    switch (provisioned.outcome) {
      case 'created':
        return jsonResponse(201, view, location);
      case 'replayed':
      // Only events are ever outdated.
      case 'outdated':
        return jsonResponse(200, view);
      case 'in-progress':
        return jsonResponse(202, view, { ...location, ...retryAfter(provisioned.retryAfterMs) });
    }
  },
});
