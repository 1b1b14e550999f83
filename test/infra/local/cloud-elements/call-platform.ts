import { request } from 'undici';
import { expect } from 'vitest';
import * as z from 'zod/mini';

/** The fields of an instance that clients rely on. */
export const instanceSchema = z.looseObject({ id: z.int(), token: z.string(), name: z.string() });

const errorSchema = z.strictObject({
  requestId: z.string().check(z.regex(/^[0-9a-f]{24}$/)),
  message: z.string(),
  providerMessage: z.optional(z.string()),
});

/** Calls the simulated platform. `path`: without the platform's prefix. A body that is a string is sent as it is. */
export async function callPlatform({
  url,
  method,
  path,
  body,
  headers = {},
  signal = AbortSignal.timeout(2_000),
}: {
  url: string;
  method: string;
  path: string;
  body?: object | string | undefined;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}) {
  const response = await request(`${url}/elements/api-v2${path}`, {
    method,
    headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
    body: typeof body === 'object' ? JSON.stringify(body) : (body ?? null),
    signal,
  });
  const text = await response.body.text();
  return {
    status: response.statusCode,
    headers: response.headers,
    text,
    json: response.headers['content-type'] === 'application/json' ? readable(text) : undefined,
    /** The error in the platform's form; throws if the response is not one. */
    error() {
      const error = errorSchema.parse(JSON.parse(text));
      expect(response.headers['elements-request-id']).toBe(error.requestId);
      return error;
    },
  };
}

function readable(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
