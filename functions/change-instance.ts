import { instanceChangesSchema, instanceView } from './model/instance.ts';
import { openChanging } from './runtime/use-cases.ts';
import { httpHandler, instancePath, jsonAnswer } from './runtime/http.ts';

/** `PATCH /tenants/{tenantId}/instances/{elementKey}` */
export const handler = httpHandler({
  open: openChanging,
  path: instancePath,
  body: instanceChangesSchema,
  handle: async ({ path, body, deadlineAt, note }, change) => {
    const row = await change(path, body, { deadlineAt });
    note({ outcome: 'changed', provisionId: row.provisionId });
    return jsonAnswer(200, instanceView(row));
  },
});
