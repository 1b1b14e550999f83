import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { AwsError, sendResponse, sendError } from './aws-protocol.ts';
import type { Operations } from './aws-protocol.ts';
import { closeServer, listenOnLoopback, withoutForeigners } from '../loopback.ts';

/**
 * One HTTP server for several AWS services: an SDK client reaches it by `AWS_ENDPOINT_URL_<SERVICE>`. Speaks AWS JSON
 * 1.1, where the header `x-amz-target` names service and operation. Signatures are not checked.
 */
export async function startAwsEndpoint({
  operations,
  port = 0,
  guard = (listener) => listener,
}: {
  operations: Operations;
  port?: number;
  /** Wraps the operations, to count, refuse or fail requests. */
  guard?: (listener: RequestListener) => RequestListener;
}) {
  const server = createServer(
    withoutForeigners(
      guard((request, response) => {
        // If the connection breaks while the body arrives, no client is left to answer.
        result(operations, request, response).catch(() => response.destroy());
      }),
    ),
  );
  const url = await listenOnLoopback(server, port);
  return { url, stop: () => closeServer(server) };
}

async function result(
  operations: Operations,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await text(request);
  try {
    const target = String(request.headers['x-amz-target']);
    const run = Object.hasOwn(operations, target) ? operations[target] : undefined;
    if (!run)
      throw new AwsError('UnknownOperationException', 'This operation is not part of the local stack.');
    sendResponse(response, run(parseBody(body)));
  } catch (error) {
    const { type, message, status } =
      error instanceof AwsError ? error : new AwsError('InternalFailure', String(error), 500);
    sendError(response, { type, message, status });
  }
}

function parseBody(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    // Without the parser's own message: it quotes the body.
    throw new AwsError('SerializationException', 'The body is not JSON.');
  }
}
