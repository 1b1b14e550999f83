import { randomUUID } from 'node:crypto';
import * as z from 'zod/mini';
import type { EventPattern, QueueTrigger } from '../../../functions/triggers.ts';
import { accountId, operation, region } from './aws-protocol.ts';
import type { Operations } from './aws-protocol.ts';

const entrySchema = z.object({
  Source: z.optional(z.string()),
  DetailType: z.optional(z.string()),
  Detail: z.optional(z.string()),
  EventBusName: z.optional(z.string()),
  Resources: z.optional(z.array(z.string())),
  /** Seconds since 1970. */
  Time: z.optional(z.number()),
});
const putEventsSchema = z.object({ Entries: z.array(entrySchema).check(z.minLength(1), z.maxLength(10)) });
const detailSchema = z.record(z.string(), z.unknown());

/** https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html */
export type EventEnvelope = {
  version: '0';
  id: string;
  'detail-type': string;
  source: string;
  account: string;
  /** ISO 8601, to the second. */
  time: string;
  region: string;
  resources: string[];
  detail: Record<string, unknown>;
};

type Entry = z.infer<typeof entrySchema>;
type Failure = { ErrorCode: string; ErrorMessage: string };

/**
 * EventBridge with one bus: `onEvent` gets its events. As in EventBridge, each entry succeeds or fails alone; an entry
 * for another bus is accepted, but matches no rule.
 */
export function createEventBus({
  name,
  onEvent,
  now = Date.now,
}: {
  name: string;
  onEvent: (event: EventEnvelope) => void;
  now?: () => number;
}) {
  const arn = `arn:aws:events:${region}:${accountId}:event-bus/${name}`;

  function put(entry: Entry): { EventId: string } | Failure {
    const event = envelope(entry, now());
    if ('ErrorCode' in event) return event;
    if (entry.EventBusName === name || entry.EventBusName === arn) onEvent(event);
    return { EventId: event.id };
  }

  const operations: Operations = {
    'AWSEvents.PutEvents': operation(putEventsSchema, (input) => {
      const responses = input.Entries.map(put);
      return {
        FailedEntryCount: responses.filter((response) => 'ErrorCode' in response).length,
        Entries: responses,
      };
    }),
  };

  return { operations, name, arn };
}

/** Whether a rule with this pattern matches: every field of the pattern lists the event's exact value. */
export function matchesPattern(pattern: EventPattern, event: EventEnvelope): boolean {
  return (
    pattern['detail-type'].includes(event['detail-type']) &&
    (pattern.source === undefined || pattern.source.includes(event.source))
  );
}

/** Whether the rule on the default bus matches: the secret is one of the tenants', and the label that of the value in use. */
export function matchesSecretEvent(
  { labelUpdated, ...pattern }: NonNullable<QueueTrigger['secretEvents']>,
  event: EventEnvelope,
  tenantSecretsPrefix: string,
): boolean {
  const { name, labelUpdated: label } = event.detail;
  return (
    matchesPattern(pattern, event) &&
    typeof name === 'string' &&
    name.startsWith(`${tenantSecretsPrefix}/tenants/`) &&
    typeof label === 'string' &&
    labelUpdated.includes(label)
  );
}

/** What Secrets Manager puts on the default bus when the label AWSCURRENT moves to a version. */
export function secretLabelUpdated(
  { name, arn, versionId }: { name: string; arn: string; versionId: string },
  nowMs = Date.now(),
): EventEnvelope {
  return {
    version: '0',
    id: randomUUID(),
    'detail-type': 'Secret Label Updated',
    source: 'aws.secretsmanager',
    account: accountId,
    time: new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z'),
    region,
    resources: [arn],
    detail: { name, labelUpdated: 'AWSCURRENT', versionId },
  };
}

function envelope(entry: Entry, nowMs: number): EventEnvelope | Failure {
  const { Source, DetailType, Detail, Time, Resources = [] } = entry;
  if (!Source) return missing('Source');
  if (!DetailType) return missing('DetailType');
  if (!Detail) return missing('Detail');
  if (Source.startsWith('aws.')) {
    return { ErrorCode: 'NotAuthorizedForSourceException', ErrorMessage: 'Not authorized for the source.' };
  }
  const detail = parseDetail(Detail);
  if (!detail) return { ErrorCode: 'MalformedDetail', ErrorMessage: 'Detail is malformed.' };
  const time = new Date(Time === undefined ? nowMs : Time * 1_000);
  return {
    version: '0',
    id: randomUUID(),
    'detail-type': DetailType,
    source: Source,
    account: accountId,
    time: time.toISOString().replace(/\.\d+Z$/, 'Z'),
    region,
    resources: Resources,
    detail,
  };
}

function missing(field: string): Failure {
  return {
    ErrorCode: 'InvalidArgument',
    ErrorMessage: `Parameter ${field} is not valid. Reason: ${field} is a required argument.`,
  };
}

function parseDetail(detail: string): Record<string, unknown> | undefined {
  try {
    return detailSchema.safeParse(JSON.parse(detail)).data;
  } catch {
    return undefined;
  }
}
