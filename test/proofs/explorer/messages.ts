import { readDeadLetter, type QueueName } from '../../../infra/cli/redrive/dead-letter.ts';
import { beginning } from './world.ts';

/** An event, in seconds since the beginning, by the true time. */
export type SentEvent = {
  id: string;
  requestsFor: 'onboarding' | 'offboarding';
  tenantId?: string;
  /** Absent in the offboarding of a whole tenant. */
  elementKey?: string;
  /** A request of the SaaS Builder Toolkit, under this id; it names no element. */
  registration?: string;
  sentAtS: number;
  /** How far its sender's clock is ahead. */
  aheadS?: number;
  /** When it arrives in the queue, if not at once. */
  arrivesAtS?: number;
};

/** A function's input. `stamp`: the accepted time of sending. */
export type Message = { event: SentEvent; body: unknown; arrivedAt: number; stamp: Stamp };

/** A time with its clock: that of an event's sender, of the queue, or of one of our hosts. */
export type Stamp = { clock: 'sender' | 'queue' | 'host'; at: number };

/** The delay of AWS between bus and queue. */
const onTheWayMs = 200;

export function messageOf(event: SentEvent): Message {
  const { id, requestsFor, tenantId = 'acme', elementKey, registration, sentAtS, aheadS = 0 } = event;
  const arrivedAt = arrivalOf(event);
  const sentAt = toTheSecond(beginning + (sentAtS + aheadS) * 1_000);
  const element = elementKey === undefined ? {} : { element: { key: elementKey } };
  const body = {
    id,
    source: 'control-plane',
    'detail-type': detailTypeOf(event),
    time: new Date(sentAt).toISOString(),
    detail:
      registration === undefined
        ? { tenantId, ...element, ...(requestsFor === 'onboarding' && { name: 'Shop' }) }
        : { tenantId, tenantRegistrationId: registration },
  };
  // A sender may claim any time, but not one after the arrival.
  const isCut = sentAt > arrivedAt;
  const stamp: Stamp = isCut
    ? { clock: 'queue', at: toTheSecond(arrivedAt) }
    : { clock: 'sender', at: sentAt };
  return { event, body, arrivedAt, stamp };
}

/** When the message arrives in its queue: ms since the epoch. */
export const arrivalOf = ({ sentAtS, arrivesAtS = sentAtS }: SentEvent): number =>
  beginning + arrivesAtS * 1_000 + onTheWayMs;

/** The message as `npm run redrive` puts it back from the dead letters, or undefined if it is refused. */
export function redriven({ event, body, arrivedAt, stamp }: Message, nowMs: number): Message | undefined {
  const queue: QueueName = event.requestsFor === 'onboarding' ? 'onboard-tenants' : 'offboard-tenants';
  const letter = { messageId: event.id, arrivedAtMs: arrivedAt, body: JSON.stringify(body) };
  const read = readDeadLetter(queue, letter, nowMs);
  if (read.fault !== undefined) return undefined;
  return {
    event,
    body: JSON.parse(read.body),
    arrivedAt: nowMs,
    // The body now contains the time, which from then on counts as the sender's.
    stamp: { clock: 'sender', at: stamp.at },
  };
}

function detailTypeOf({ requestsFor, registration }: SentEvent): string {
  if (registration !== undefined) return `sbt_aws_${requestsFor}Request`;
  return requestsFor === 'onboarding' ? 'TenantOnboarded' : 'TenantOffboarded';
}

const toTheSecond = (ms: number): number => Math.floor(ms / 1_000) * 1_000;
