import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import * as z from 'zod/mini';
import { httpHandler, jsonResponse, noBody } from '../../../functions/runtime/http.ts';

beforeEach(() => void vi.spyOn(process.stdout, 'write').mockReturnValue(true));
afterEach(() => void vi.restoreAllMocks());

const handler = httpHandler({
  open: () => undefined,
  path: z.strictObject({ status: z.optional(z.string()) }),
  readsQuery: true,
  body: noBody,
  handle: async ({ path }) => jsonResponse(200, path),
});
const context = { awsRequestId: 'request-1', getRemainingTimeInMillis: () => 10_000 };
const request = {
  routeKey: 'GET /instances',
  headers: {},
  requestContext: {
    requestId: 'request-1',
    authorizer: { iam: { userArn: 'arn:aws:iam::123456789012:user/tests' } },
  },
};

// AWS omits parameters that a request does not have; emulators send null.
test.each([
  ['absent', {}],
  ['null', { pathParameters: null, queryStringParameters: null }],
])('a request whose path and query parameters are %s is handled', async (_what, parameters) => {
  expect(await handler({ ...request, ...parameters }, context)).toMatchObject({
    statusCode: 200,
    body: '{}',
  });
});

test('query parameters of a request without path parameters are read', async () => {
  const parameters = { pathParameters: null, queryStringParameters: { status: 'active' } };
  expect(await handler({ ...request, ...parameters }, context)).toMatchObject({
    body: '{"status":"active"}',
  });
});
