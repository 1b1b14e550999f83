import { setTimeout } from 'node:timers/promises';
import pMap from 'p-map';
import * as z from 'zod/mini';
import type { Api } from '../api.ts';
import type { Exported } from './rows.ts';

/** `stop`: it concerns every token. */
export type TokenRead =
  | { kind: 'token'; token: string }
  | { kind: 'failed'; why: string }
  | { kind: 'stop'; why: string };

const readsAtOnce = 10;
/** API Gateway permits 100, and the application reads tokens, too. */
const readsPerSecond = 50;
const defaultRetryDelaysMs = [500, 2_000, 8_000];

const tokenSchema = z.object({ id: z.int(), token: z.string() });

/**
 * Reads the tokens of active instances by the API's token route, each once.
 * @returns by row; or why none can be read
 */
export async function readTokens(
  api: Api,
  rows: readonly Exported[],
  { retryDelaysMs = defaultRetryDelaysMs }: { retryDelaysMs?: readonly number[] } = {},
): Promise<{ reads: Map<Exported, TokenRead> } | { stoppedBy: string }> {
  let stoppedBy: string | undefined;
  let nextAt = Date.now();
  const reads = new Map<Exported, TokenRead>();
  const active = rows.filter(({ status }) => status === 'active');
  await pMap(
    active,
    async (row) => {
      nextAt = Math.max(nextAt, Date.now()) + 1_000 / readsPerSecond;
      await setTimeout(nextAt - Date.now());
      if (stoppedBy !== undefined) return;
      const read = await readToken(row);
      if (read.kind === 'stop') stoppedBy ??= read.why;
      else reads.set(row, read);
    },
    { concurrency: readsAtOnce },
  );
  return stoppedBy === undefined ? { reads } : { stoppedBy };

  async function readToken({ tenantId, elementKey, instanceId }: Exported): Promise<TokenRead> {
    for (let tries = 0; ; tries++) {
      const response = await api.call('GET', ['tenants', tenantId, 'instances', elementKey, 'token']);
      if (response.kind === 'success') {
        const { id, token } = tokenSchema.safeParse(response.json).data ?? {};
        if (token !== undefined && id === instanceId) return { kind: 'token', token };
        return { kind: 'failed', why: 'its instance has changed meanwhile' };
      }
      const isBroken = response.kind === 'broken';
      if (!isBroken && response.code === undefined && [401, 403].includes(response.status)) {
        const why = `API Gateway refuses to read tokens (${response.status}): the credentials need execute-api:Invoke on the token route`;
        return { kind: 'stop', why };
      }
      const delayMs = retryDelaysMs[tries];
      const mayPass = isBroken || response.status === 429 || response.status >= 500;
      if (!mayPass || delayMs === undefined) {
        if (isBroken) return { kind: 'stop', why: `The API does not respond: ${response.reason}` };
        return { kind: 'failed', why: response.detail };
      }
      await setTimeout(Math.max(delayMs, isBroken ? 0 : (response.retryAfterMs ?? 0)));
    }
  }
}
