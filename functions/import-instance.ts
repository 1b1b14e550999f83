import { importRequestSchema, instanceView } from './model/instance.ts';
import { openImporting } from './runtime/use-cases.ts';
import { httpHandler, instancePath, jsonResponse, retryAfter } from './runtime/http.ts';

/** `POST /tenants/{tenantId}/instances/{elementKey}/import` */
export const handler = httpHandler({
  open: openImporting,
  path: instancePath,
  body: importRequestSchema,
  handle: async ({ path, body, deadlineAt, note }, { importInstance }) => {
    const imported = await importInstance({ ...path, instanceId: body.id }, { deadlineAt });
    note({ outcome: imported.outcome, provisionId: imported.row.provisionId });
    const view = instanceView(imported.row);
    const location = { location: `/tenants/${path.tenantId}/instances/${path.elementKey}` };
    switch (imported.outcome) {
      case 'created':
        return jsonResponse(201, view, location);
      case 'replayed':
      // Only events are ever outdated.
      case 'outdated':
        return jsonResponse(200, view);
      case 'in-progress':
        return jsonResponse(202, view, { ...location, ...retryAfter(imported.retryAfterMs) });
    }
  },
});
