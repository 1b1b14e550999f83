import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import * as z from 'zod/mini';

const responseSchema = z.object({ response: z.object({ headers: z.object({ date: z.string() }) }) });

/**
 * Follows the clock of AWS, which leases and doubt deadlines are written by, because this machine's may be minutes off:
 * time comes from the latest response, to a second.
 */
export function followClock(client: DynamoDBClient) {
  let aheadMs = 0;
  client.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const date = Date.parse(responseSchema.safeParse(result).data?.response.headers.date ?? '');
      if (!Number.isNaN(date)) aheadMs = Date.now() - date;
      return result;
    },
    { step: 'deserialize', name: 'followClock' },
  );
  return { now: () => Date.now() - aheadMs };
}
