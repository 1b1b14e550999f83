import { readToken } from './core/read.ts';
import { openCipher, openStore } from './runtime/ports.ts';
import { httpHandler, instancePath, jsonResponse, noBody } from './runtime/http.ts';

/** `GET /tenants/{tenantId}/instances/{elementKey}/token`. The request's log line names the caller. */
export const handler = httpHandler({
  open: (environment) => ({ store: openStore(environment), cipher: openCipher(environment) }),
  path: instancePath,
  body: noBody,
  handle: async ({ path }, ports) => {
    const { instanceId, token } = await readToken(ports, path);
    const { tenantId, elementKey } = path;
    return jsonResponse(
      200,
      { tenantId, element: { key: elementKey }, id: instanceId, token },
      { 'cache-control': 'no-store' },
    );
  },
});
