import { Sha256 } from '@aws-crypto/sha256-js';
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { SignatureV4 } from '@smithy/signature-v4';
import * as z from 'zod/mini';
import { gatewayTimeoutMs } from '../../functions/model/timing.ts';

/** `code`: the service's own; absent where API Gateway or a proxy responded. `broken`: there was no response. */
export type ApiResponse =
  | { kind: 'success'; status: number; json: unknown }
  | {
      kind: 'refused';
      status: number;
      code: string | undefined;
      detail: string;
      retryAfterMs: number | undefined;
    }
  | { kind: 'broken'; reason: string };

export type Api = {
  call: (
    method: 'GET' | 'POST',
    segments: readonly string[],
    body?: Readonly<Record<string, unknown>>,
  ) => Promise<ApiResponse>;
};

/** Longer than the service takes. */
const timeoutMs = gatewayTimeoutMs + 5_000;

/** API Gateway's own responses have a message alone, which may repeat signed headers. */
const problemSchema = z.object({ code: z.string(), detail: z.string() });

/**
 * Calls the service's HTTP API, signed with SigV4.
 * @param signer a client of AWS, whose credentials and Region are used
 */
export function createApi({
  url,
  signer: { config },
}: {
  url: string;
  signer: Pick<DynamoDBClient, 'config'>;
}): Api {
  const { host, hostname, pathname, origin, protocol } = new URL(url);
  const { region, credentials } = config;
  const signature = new SignatureV4({ service: 'execute-api', region, credentials, sha256: Sha256 });

  return {
    async call(method, segments, body) {
      const path = [pathname.replace(/\/+$/, ''), ...segments.map(encodeURIComponent)].join('/');
      const text = body && JSON.stringify(body);
      try {
        const { headers } = await signature.sign({
          method,
          protocol,
          hostname,
          path,
          headers: { host, ...(text !== undefined && { 'content-type': 'application/json' }) },
          ...(text !== undefined && { body: text }),
        });
        const { host: _setByFetch, ...sent } = headers;
        const response = await fetch(`${origin}${path}`, {
          method,
          headers: sent,
          redirect: 'error',
          signal: AbortSignal.timeout(timeoutMs),
          ...(text !== undefined && { body: text }),
        });
        return responseOf(response.status, response.headers, await response.text());
      } catch (error) {
        return { kind: 'broken', reason: reasonOf(error) };
      }
    },
  };
}

function responseOf(status: number, headers: Headers, text: string): ApiResponse {
  const json = parseJson(text);
  const seconds = headers.get('retry-after') ?? '';
  const retryAfterMs = /^\d{1,4}$/.test(seconds) ? Number(seconds) * 1_000 : undefined;
  if (status === 200 || status === 201) return { kind: 'success', status, json };
  const { code, detail = `HTTP ${status}` } = problemSchema.safeParse(json).data ?? {};
  return { kind: 'refused', status, code, detail, retryAfterMs };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Messages of `fetch` may quote headers. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'no reason was given';
  if (error.cause instanceof Error) return reasonOf(error.cause);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
