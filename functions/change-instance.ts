import { instanceUpdateSchema, instanceView } from './model/instance.ts';
import { openUpdating } from './runtime/use-cases.ts';
import { httpHandler, instancePath, jsonResponse } from './runtime/http.ts';

/** `PATCH /tenants/{tenantId}/instances/{elementKey}` */
export const handler = httpHandler({
  open: openUpdating,
  path: instancePath,
  body: instanceUpdateSchema,
  handle: async ({ path, body, deadlineAt, note }, update) => {
    const row = await update(path, body, { deadlineAt });
    note({ outcome: 'updated', provisionId: row.provisionId });
    return jsonResponse(200, instanceView(row));
  },
});
