import * as z from 'zod/mini';
import type { Ping } from '../core/ports.ts';
import type { Finding } from '../model/health.ts';
import { successOf, type CallCloudElements, type CallResult } from './cloud-elements-http.ts';

/** `{dateTime, endpoint}`, with `valid` for some elements. Other JSON may be of anything in front of Cloud Elements. */
const pongSchema = z
  .object({
    dateTime: z.optional(z.unknown()),
    endpoint: z.optional(z.unknown()),
    valid: z.catch(z.optional(z.boolean()), undefined),
  })
  .check(
    z.refine(
      ({ dateTime, endpoint, valid }) =>
        dateTime !== undefined || endpoint !== undefined || valid !== undefined,
    ),
  );

/** In a file of its own: only functions that check an instance have it in their bundles. */
export function createPing({ call }: { call: CallCloudElements }): Ping {
  return async ({ tenantId, elementKey, instanceId, token }, { timeoutMs }) =>
    findingOf(
      await call(
        { method: 'GET', path: '/ping', elementToken: token, about: { tenantId, elementKey, instanceId } },
        { timeoutMs },
      ),
    );
}

/** Statuses by which a vendor refuses a key, and those of an element without a ping. */
const refusing = new Set([400, 401, 402, 403]);
const withoutPing = new Set([404, 405, 406, 501]);

function findingOf(result: CallResult): Finding {
  if (result.kind !== 'response') return unknown('unreachable');
  const { status, refusal } = result;
  const pong = successOf(result, pongSchema);
  if (pong)
    return pong.valid === false
      ? { status: 'unhealthy', reason: 'refused-by-vendor' }
      : { status: 'healthy' };
  if (refusal?.isVendors && refusing.has(status)) return { status: 'unhealthy', reason: 'refused-by-vendor' };
  if (refusal === undefined) return unknown('unreachable');
  if (withoutPing.has(status)) return unknown('no-ping');
  // Not a sign of the tenant's key: all tenants would turn when the platform's user loses a right.
  return unknown(refusing.has(status) ? 'refused-by-cloud-elements' : 'unreachable');
}

const unknown = (reason: Extract<Finding, { status: 'unknown' }>['reason']): Finding => ({
  status: 'unknown',
  reason,
});
