import { PutEventsCommand, type EventBridgeClient } from '@aws-sdk/client-eventbridge';
import * as z from 'zod/mini';
import type { Ask } from './manifest.ts';
import { reasonOf } from './target.ts';

/** EventBridge's limits for one call: entries, and bytes (1 MB since 2026, 256 KB before; more is not needed). */
export const maxEntries = 10;
const maxBytes = 256 * 1_024;

const source = 'bulk-onboarding';
const detailType = 'TenantOnboarded';

/** What became of one entry. `again`: it may be taken when it is sent once more. */
export type Taken = { eventId: string } | { reason: string; again: boolean };

export type Put =
  /** One for each entry, in order. */
  | { kind: 'answered'; entries: Taken[] }
  /** It is certain that nothing was taken. */
  | { kind: 'refused'; reason: string; again: boolean }
  /** No answer, or one that does not tell. */
  | { kind: 'unknown'; reason: string };

/** As many of the first asks as one call takes. */
export function firstBatch(asks: readonly Ask[], limit: number): Ask[] {
  const batch: Ask[] = [];
  let bytes = 0;
  for (const ask of asks.slice(0, Math.min(limit, maxEntries))) {
    bytes += Buffer.byteLength(ask.detail) + source.length + detailType.length;
    if (bytes > maxBytes && batch.length > 0) break;
    batch.push(ask);
  }
  return batch;
}

/** One PutEvents call, never repeated here: each repeat of one whose outcome is unknown might ask twice. */
export async function putOnce(
  { eventBridge, busName }: { eventBridge: EventBridgeClient; busName: string },
  asks: readonly Ask[],
): Promise<Put> {
  const Entries = asks.map(({ detail: Detail }) => ({
    EventBusName: busName,
    Source: source,
    DetailType: detailType,
    Detail,
  }));
  try {
    const { Entries: answers = [] } = await eventBridge.send(new PutEventsCommand({ Entries }));
    if (answers.length !== asks.length) return { kind: 'unknown', reason: 'the answer lacks entries' };
    return {
      kind: 'answered',
      entries: answers.map(({ EventId, ErrorCode = 'no id', ErrorMessage = '' }) =>
        EventId
          ? { eventId: EventId }
          : { reason: `${ErrorCode}: ${ErrorMessage}`, again: isPassing(ErrorCode) },
      ),
    };
  } catch (error) {
    return judged(error);
  }
}

const errorSchema = z.object({
  name: z.string(),
  code: z.optional(z.string()),
  $metadata: z.optional(z.object({ httpStatusCode: z.optional(z.number()) })),
});

function judged(error: unknown): Put {
  const reason = reasonOf(error);
  const { name, code = '', $metadata } = errorSchema.safeParse(error).data ?? { name: '' };
  const status = $metadata?.httpStatusCode ?? 0;
  if (['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN'].includes(code))
    return { kind: 'refused', reason, again: true };
  if (status >= 400 && status < 500)
    return { kind: 'refused', reason, again: status === 429 || isPassing(name) };
  // Thrown before anything was sent.
  if (name === 'CredentialsProviderError' || name === 'TokenProviderError')
    return { kind: 'refused', reason, again: false };
  return { kind: 'unknown', reason };
}

/** https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html */
function isPassing(errorCode: string): boolean {
  return /Throttl|TooManyRequests|Internal|ServiceUnavailable/i.test(errorCode);
}
