import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type * as z from 'zod/mini';

/** The simulated platform's responses, and how they are sent. */

export type SimulatedResponse = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
};

export function jsonResponse(value: unknown, headers: SimulatedResponse['headers'] = {}): SimulatedResponse {
  return {
    status: 200,
    headers: { 'content-type': 'application/json', 'elements-request-id': newRequestId(), ...headers },
    body: JSON.stringify(value),
  };
}

export function emptyResponse(): SimulatedResponse {
  return { status: 200, headers: { 'elements-request-id': newRequestId() }, body: '' };
}

/** An error in the platform's form. `providerMessage` is present only when the vendor behind the element refused. */
export function refuse(status: number, message: string, providerMessage?: string): SimulatedResponse {
  const requestId = newRequestId();
  const body = { requestId, message, ...(providerMessage !== undefined && { providerMessage }) };
  return { ...jsonResponse(body, { 'elements-request-id': requestId }), status };
}

/** A 400 that names the invalid fields. */
export function refuseInput({ issues }: z.core.$ZodError): SimulatedResponse {
  const fields = issues.map(({ path }) => path.join('.') || 'body');
  return refuse(400, `Bad Request: ${fields.join(', ')}`);
}

export function htmlResponse(
  status: number,
  body: string,
  headers: SimulatedResponse['headers'] = {},
): SimulatedResponse {
  return { status, headers: { 'content-type': 'text/html', ...headers }, body };
}

export function send(response: ServerResponse, result: SimulatedResponse): void {
  writeHead(response, result).end(result.body);
}

export function writeHead(
  response: ServerResponse,
  { status, headers, body }: SimulatedResponse,
): ServerResponse {
  return response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) });
}

function newRequestId(): string {
  return randomBytes(12).toString('hex');
}
