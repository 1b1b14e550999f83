import { listAllInstances } from './core/list-all.ts';
import { overviewQuerySchema } from './model/overview.ts';
import { openStore } from './runtime/ports.ts';
import { httpHandler, jsonResponse, noBody } from './runtime/http.ts';

/** `GET /instances?status=&element=&health=&limit=&cursor=`: instances of all tenants, a page at a time. */
export const handler = httpHandler({
  open: openStore,
  path: overviewQuerySchema,
  readsQuery: true,
  body: noBody,
  handle: async ({ path: query }, store) => jsonResponse(200, await listAllInstances(store, query)),
});
