import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import * as z from 'zod/mini';

export const region = 'us-east-1';
export const accountId = '000000000000';

/** An error response to the client: `type` is the name of the exception in the service's API reference. */
export class AwsError extends Error {
  readonly type: string;
  readonly status: number;

  constructor(type: string, message: string, status = 400) {
    super(message);
    this.type = type;
    this.status = status;
  }
}

/** By `x-amz-target`, for example `secretsmanager.GetSecretValue`: from the parsed JSON body to the JSON response. */
export type Operations = Record<string, (body: unknown) => unknown>;

/** One operation with its input checked. The error names the fields, not their values, which may be secret. */
export function operation<Schema extends z.ZodMiniType>(
  schema: Schema,
  run: (input: z.output<Schema>) => unknown,
): (body: unknown) => unknown {
  return (body) => {
    const input = schema.safeParse(body);
    if (input.success) return run(input.data);
    const fields = input.error.issues.map((issue) => issue.path.join('.') || 'the body').join(', ');
    throw new AwsError('ValidationException', `Missing or not valid: ${fields}.`);
  };
}

/** The access key that a request is signed with. */
export function signerOf(headers: IncomingHttpHeaders): string | undefined {
  return /Credential=([^/]+)\//.exec(headers.authorization ?? '')?.[1];
}

/** https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html */
export function sendResponse(response: ServerResponse, result: unknown): void {
  response.writeHead(200, responseHeaders()).end(JSON.stringify(result));
}

export function sendError(
  response: ServerResponse,
  { status, type, message }: { status: number; type: string; message: string },
): void {
  const headers = { ...responseHeaders(), 'x-amzn-errortype': type };
  response.writeHead(status, headers).end(JSON.stringify({ __type: type, message }));
}

function responseHeaders() {
  return { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-requestid': randomUUID() };
}
