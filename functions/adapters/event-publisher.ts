import { PutEventsCommand, type PutEventsCommandOutput } from '@aws-sdk/client-eventbridge';
import { setTimeout } from 'node:timers/promises';
import { OnboardingError } from '../model/errors.ts';
import type { OutgoingEvent } from '../model/result-events.ts';
import { callAws } from './aws.ts';

/** EventBridge's limits for one call. */
const maxEntries = 10;
const maxBytes = 256 * 1024;

/** Waits before the entries that EventBridge did not take are sent again. */
const resendDelaysMs = [100, 300, 900];

/** The events of several writes, in the order of the writes. */
export type PublishResults = (results: readonly Result[]) => Promise<void>;

type Result = { tenantId: string; events: readonly OutgoingEvent[] };

/**
 * Puts events on a bus, at least once each, those of one tenant in the order of their writes: EventBridge takes or
 * refuses each entry of a call by itself, so no call has the results of two writes of one tenant, and none is sent
 * before the one before it has been taken whole. When it throws, the first may be there and the rest not.
 * @returns a function that throws `aws-unavailable` if not all of them could be put
 */
export function createEventPublisher({
  client,
  busName,
  sourceOf = ({ source }) => source,
  sleep = (delayMs) => setTimeout(delayMs),
}: {
  client: { send(command: PutEventsCommand): Promise<PutEventsCommandOutput> };
  busName: string;
  /** Where a deployment publishes some of them from another source than their own. */
  sourceOf?: (event: OutgoingEvent) => string;
  sleep?: (delayMs: number) => Promise<unknown>;
}): PublishResults {
  return async (results) => {
    for (const batch of batchesOf(results, entryOf)) await putAll(batch);
  };

  function entryOf(event: OutgoingEvent): Entry {
    const { detailType, detail, timeMs } = event;
    return {
      EventBusName: busName,
      Source: sourceOf(event),
      DetailType: detailType,
      Detail: JSON.stringify(detail),
      Time: new Date(timeMs),
    };
  }

  async function putAll(batch: readonly Entry[]): Promise<void> {
    let refused = await put(batch);
    for (const delayMs of resendDelaysMs) {
      if (refused.length === 0) return;
      await sleep(delayMs);
      refused = await put(refused.map(({ entry }) => entry));
    }
    if (refused.length === 0) return;
    const reasons = new Set(refused.map(({ reason }) => reason));
    throw new OnboardingError(
      'aws-unavailable',
      `EventBridge did not take ${refused.length} of ${batch.length} events: ${[...reasons].join(', ')}.`,
    );
  }

  /** Each entry stands or falls alone, also in an answer of 200: those that fell. */
  async function put(entries: readonly Entry[]): Promise<{ entry: Entry; reason: string }[]> {
    const { Entries: results = [] } = await callAws(`PutEvents for ${entries.length} events`, () =>
      client.send(new PutEventsCommand({ Entries: [...entries] })),
    );
    return entries.flatMap((entry, index) => {
      const result = results[index];
      return result?.EventId ? [] : [{ entry, reason: result?.ErrorCode ?? 'no answer' }];
    });
  }
}

type Entry = { EventBusName: string; Source: string; DetailType: string; Detail: string; Time: Date };

function batchesOf(results: readonly Result[], entryOf: (event: OutgoingEvent) => Entry): Entry[][] {
  const batches: { entries: Entry[]; bytes: number; writes: Map<string, Result> }[] = [];
  for (const result of results) {
    for (const entry of result.events.map(entryOf)) {
      const bytes = bytesOf(entry);
      const batch = batches.at(-1);
      const other = batch?.writes.get(result.tenantId);
      const fits = batch && batch.entries.length < maxEntries && batch.bytes + bytes <= maxBytes;
      if (fits && (other === undefined || other === result)) {
        batch.entries.push(entry);
        batch.bytes += bytes;
        batch.writes.set(result.tenantId, result);
      } else {
        batches.push({ entries: [entry], bytes, writes: new Map([[result.tenantId, result]]) });
      }
    }
  }
  return batches.map(({ entries }) => entries);
}

/** https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html#eb-putevent-size */
function bytesOf({ Source, DetailType, Detail }: Entry): number {
  return Buffer.byteLength(Source) + Buffer.byteLength(DetailType) + Buffer.byteLength(Detail);
}
