import { PutEventsCommand, type EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { setTimeout } from 'node:timers/promises';
import { OnboardingError } from '../core/errors.ts';
import type { OutgoingEvent } from '../core/result-events.ts';
import { callAws } from './aws.ts';

/** EventBridge's limits for one call. */
const maxEntries = 10;
const maxBytes = 256 * 1024;

/** Waits before the entries that EventBridge did not take are sent again. */
const resendDelaysMs = [100, 300, 900];

export type PublishEvents = (events: readonly OutgoingEvent[]) => Promise<void>;

/**
 * Puts events on a bus, at least once each. When it throws, some may be there and others not.
 * @returns a function that throws `aws-unavailable` if not all of them could be put
 */
export function createEventPublisher({
  client,
  busName,
  sleep = (delayMs) => setTimeout(delayMs),
}: {
  client: EventBridgeClient;
  busName: string;
  sleep?: (delayMs: number) => Promise<unknown>;
}): PublishEvents {
  return async (events) => {
    const entries = events.map(({ source, detailType, detail }) => ({
      EventBusName: busName,
      Source: source,
      DetailType: detailType,
      Detail: JSON.stringify(detail),
    }));
    for (const batch of batchesOf(entries)) await putAll(batch);
  };

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
    const { Entries: answers = [] } = await callAws(`PutEvents for ${entries.length} events`, () =>
      client.send(new PutEventsCommand({ Entries: [...entries] })),
    );
    return entries.flatMap((entry, index) => {
      const answer = answers[index];
      return answer?.EventId ? [] : [{ entry, reason: answer?.ErrorCode ?? 'no answer' }];
    });
  }
}

type Entry = { EventBusName: string; Source: string; DetailType: string; Detail: string };

function batchesOf(entries: readonly Entry[]): Entry[][] {
  const batches: { entries: Entry[]; bytes: number }[] = [];
  for (const entry of entries) {
    const bytes = bytesOf(entry);
    const batch = batches.at(-1);
    if (batch && batch.entries.length < maxEntries && batch.bytes + bytes <= maxBytes) {
      batch.entries.push(entry);
      batch.bytes += bytes;
    } else {
      batches.push({ entries: [entry], bytes });
    }
  }
  return batches.map((batch) => batch.entries);
}

/** https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html#eb-putevent-size */
function bytesOf({ Source, DetailType, Detail }: Entry): number {
  return Buffer.byteLength(Source) + Buffer.byteLength(DetailType) + Buffer.byteLength(Detail);
}
