import { instanceView } from './model/instance.ts';
import { getInstance } from './core/read.ts';
import { openStore } from './runtime/ports.ts';
import { httpHandler, instancePath, jsonResponse, noBody } from './runtime/http.ts';

/** `GET /tenants/{tenantId}/instances/{elementKey}` */
export const handler = httpHandler({
  open: openStore,
  path: instancePath,
  body: noBody,
  handle: async ({ path }, store) => jsonResponse(200, instanceView(await getInstance(store, path))),
});
