import { ConditionalCheckFailedException } from '@aws-sdk/client-dynamodb';
import { callAws } from './aws.ts';

/** Undefined when the write was made; otherwise the item that stood against it, if the store sends it along. */
export function conditionally(what: string, write: () => Promise<unknown>) {
  return callAws(what, async () => {
    try {
      await write();
      return undefined;
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException) return { item: error.Item };
      throw error;
    }
  });
}
