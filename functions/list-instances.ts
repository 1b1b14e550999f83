import { instanceView } from './core/instance.ts';
import { openStore } from './runtime/dependencies.ts';
import { httpHandler, jsonAnswer, noBody, tenantPath } from './runtime/http.ts';

/** `GET /tenants/{tenantId}/instances` */
export const handler = httpHandler({
  open: openStore,
  path: tenantPath,
  body: noBody,
  handle: async ({ path: { tenantId } }, store) =>
    jsonAnswer(
      200,
      (await store.list(tenantId)).map((row) => instanceView(row)),
    ),
});
