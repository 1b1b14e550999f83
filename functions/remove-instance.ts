import { openRemoving } from './runtime/use-cases.ts';
import { httpHandler, instancePath, noBody, retryAfter } from './runtime/http.ts';

/** `DELETE /tenants/{tenantId}/instances/{elementKey}` */
export const handler = httpHandler({
  open: openRemoving,
  path: instancePath,
  body: noBody,
  handle: async ({ path, deadlineAt, note }, { remove }) => {
    const removal = { times: { own: Date.now() }, by: undefined };
    const removed = await remove(path, removal, { deadlineAt });
    note({ outcome: removed.outcome });
    if (removed.outcome !== 'in-progress') return { statusCode: 204 };
    const location = `/tenants/${path.tenantId}/instances/${path.elementKey}`;
    return { statusCode: 202, headers: { location, ...retryAfter(removed.retryAfterMs) } };
  },
});
