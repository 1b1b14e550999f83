import { PutEventsCommand, type EventBridgeClient } from '@aws-sdk/client-eventbridge';
import type { EventRequest } from './manifest.ts';

/** EventBridge's limits for one call: entries, and bytes (1 MB since 2026, 256 KB before; more is not needed). */
export const maxEntries = 10;
const maxBytes = 256 * 1_024;

const source = 'bulk-onboarding';
const detailType = 'TenantOnboarded';

/** The answer to one entry. `isPassing`: the entry may be taken when it is sent again. */
export type EntryResult = { eventId: string } | { reason: string; isPassing: boolean };

/** The first requests, as many as fit into one call. */
export function firstBatch(requests: readonly EventRequest[], limit: number): EventRequest[] {
  const batch: EventRequest[] = [];
  let bytes = 0;
  for (const request of requests.slice(0, Math.min(limit, maxEntries))) {
    bytes += Buffer.byteLength(request.detail) + source.length + detailType.length;
    if (bytes > maxBytes && batch.length > 0) break;
    batch.push(request);
  }
  return batch;
}

/**
 * Sends one event for each request. The SDK retries a call that fails or gets no response: if both attempts arrive, the
 * service handles the second event as a repeat of the same request.
 * @returns an answer for each, in order
 */
export async function putEvents(
  { eventBridge, busName }: { eventBridge: EventBridgeClient; busName: string },
  requests: readonly EventRequest[],
): Promise<EntryResult[]> {
  const { Entries: responses = [] } = await eventBridge.send(
    new PutEventsCommand({
      Entries: requests.map(({ detail }) => ({
        EventBusName: busName,
        Source: source,
        DetailType: detailType,
        Detail: detail,
      })),
    }),
  );
  return requests.map((_request, index) => {
    const { EventId, ErrorCode = 'no id', ErrorMessage = '' } = responses[index] ?? {};
    return EventId
      ? { eventId: EventId }
      : { reason: `${ErrorCode}: ${ErrorMessage}`, isPassing: isPassing(ErrorCode) };
  });
}

/** https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html */
function isPassing(errorCode: string): boolean {
  return /Throttl|TooManyRequests|Internal|ServiceUnavailable|no id/i.test(errorCode);
}
