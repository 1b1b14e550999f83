import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import * as z from 'zod/mini';

const answerSchema = z.object({ response: z.object({ headers: z.object({ date: z.string() }) }) });

/**
 * Leases and doubts are told by clocks of AWS, and this machine's may be minutes away: time is taken from the latest
 * answer, to a second.
 */
export function followClock(client: DynamoDBClient) {
  let aheadMs = 0;
  client.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const date = Date.parse(answerSchema.safeParse(result).data?.response.headers.date ?? '');
      if (!Number.isNaN(date)) aheadMs = Date.now() - date;
      return result;
    },
    { step: 'deserialize', name: 'followClock' },
  );
  return { now: () => Date.now() - aheadMs };
}
