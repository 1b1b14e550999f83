import { instanceView } from './model/instance.ts';
import { openChecking } from './runtime/use-cases.ts';
import { httpHandler, instancePath, jsonResponse, noBody } from './runtime/http.ts';

/** `POST /tenants/{tenantId}/instances/{elementKey}/check` */
export const handler = httpHandler({
  open: openChecking,
  path: instancePath,
  body: noBody,
  handle: async ({ path, deadlineAt, note }, { check }) => {
    const { row, finding } = await check(path, { deadlineAt });
    const { status, reason } = finding;
    note({ outcome: status, provisionId: row.provisionId });
    return jsonResponse(200, { ...instanceView(row), check: { status, reason } });
  },
});
