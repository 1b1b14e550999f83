import * as z from 'zod/mini';
import { defaultElementKey } from './default-element.ts';
import {
  elementKeySchema,
  settingsOf,
  tenantIdSchema,
  tenantOnboardedSchema,
  momentOf,
  type EventOrigin,
  type RequestedSettings,
} from './instance.ts';
import { momentsOf, type Moments } from './moments.ts';
import { invalidRequest, parseOrRefuse } from './validation.ts';

/** Ids of others go into the row. */
const boundedText = z.string().check(z.maxLength(128, 'at most 128 characters'));

/** An EventBridge event, as the bus puts it into a message's body. */
export const envelopeSchema = z.object({
  id: boundedText,
  source: z.string(),
  'detail-type': z.string(),
  time: z.iso.datetime({ offset: true, error: 'an ISO 8601 time' }),
  detail: z.unknown(),
  /** Set by `npm run redrive`, never by a sender: `time` is the message's first arrival. */
  isTimeCut: z.optional(z.boolean()),
});

/**
 * SaaS Builder Toolkit: beside the two ids the detail holds the fields that the tenant was registered with, which are
 * untrusted.
 */
export const sbtDetailSchema = z.object({ tenantId: tenantIdSchema, tenantRegistrationId: boundedText });

/** Without an element the whole tenant leaves. */
export const tenantOffboardedSchema = z.strictObject({
  tenantId: tenantIdSchema,
  element: z.optional(z.strictObject({ key: elementKeySchema })),
});

/** A request to remove an instance: when it was made, and the event, if it came by one. */
export type Removal = {
  times: Moments;
  by: EventOrigin | undefined;
  /** All of the tenant's instances are removed, and the tenant's own tombstone answers the event. */
  isOfTenant?: boolean;
};

/** A tenant leaves, or gives up one element: then `elementKey` says which. */
export type Offboarding = { tenantId: string; elementKey: string | undefined; removal: Removal };

/**
 * The settings of an onboarding event: `TenantOnboarded`, or the request of the SaaS Builder Toolkit.
 * @param arrivedAt when the message first arrived in the queue, ms since the epoch
 * @throws OnboardingError `invalid-request`, naming everything that is wrong with the event
 */
export function settingsFromEvent(message: unknown, arrivedAt: number): RequestedSettings {
  const event = parseEvent(message, arrivedAt, 'TenantOnboarded', 'onboardingRequest');
  if (event.dialect !== 'native') {
    const { tenantId, requestedBy } = sbtRequest(event);
    return settingsOf({ tenantId, elementKey: defaultElementKey }, {}, requestedBy);
  }
  const { tenantId, element, ...requested } = parseOrRefuse(tenantOnboardedSchema, event.detail, event.what);
  return settingsOf({ tenantId, elementKey: element?.key ?? defaultElementKey }, requested, originOf(event));
}

/**
 * @param arrivedAt when the message first arrived in the queue, ms since the epoch
 * @throws OnboardingError `invalid-request`, naming everything that is wrong with the event
 */
export function offboardingFromEvent(message: unknown, arrivedAt: number): Offboarding {
  const event = parseEvent(message, arrivedAt, 'TenantOffboarded', 'offboardingRequest');
  if (event.dialect !== 'native') {
    const { tenantId, requestedBy } = sbtRequest(event);
    return { tenantId, elementKey: undefined, removal: removalBy(requestedBy) };
  }
  const { tenantId, element } = parseOrRefuse(tenantOffboardedSchema, event.detail, event.what);
  return { tenantId, elementKey: element?.key, removal: removalBy(originOf(event)) };
}

const removalBy = (by: EventOrigin): Removal => ({ times: momentsOf(momentOf(by)), by });

/**
 * Is it a request of the toolkit that concerns no tenant? Its functions for AWS Marketplace send the same detail-types
 * with neither id, about a customer who has not registered yet (awslabs/sbt-aws): they are not for this service.
 */
export function concernsNoTenant(message: unknown): boolean {
  const { success, data } = toolkitRequestSchema.safeParse(message);
  return success && data.detail.tenantId === undefined && data.detail.tenantRegistrationId === undefined;
}

const toolkitRequestSchema = z.object({
  'detail-type': z.string().check(z.regex(/^(sbt_aws_)?(on|off)boardingRequest$/)),
  detail: z.object({
    tenantId: z.optional(z.unknown()),
    tenantRegistrationId: z.optional(z.unknown()),
  }),
});

type Event = Pick<EventOrigin, 'dialect' | 'eventId' | 'sentAt' | 'isCut'> & {
  detail: unknown;
  /** For messages. */
  what: string;
};

/** The toolkit's detail-types have a prefix since version 0.9 (awslabs/sbt-aws, src/utils/event-manager.ts). */
function parseEvent(message: unknown, arrivedAt: number, nativeType: string, sbtType: string): Event {
  const {
    id: eventId,
    time,
    detail,
    isTimeCut,
    ...envelope
  } = parseOrRefuse(envelopeSchema, message, 'the event');
  const type = envelope['detail-type'];
  const dialects = new Map<string, EventOrigin['dialect']>([
    [nativeType, 'native'],
    [sbtType, 'sbt-0.5'],
    [`sbt_aws_${sbtType}`, 'sbt-0.9'],
  ]);
  const dialect = dialects.get(type);
  if (!dialect) {
    const expected = [...dialects.keys()].join(', ');
    throw invalidRequest('the event', [{ pointer: '#/detail-type', detail: `expected one of ${expected}` }]);
  }
  return {
    dialect,
    eventId,
    ...sendingTime(time, arrivedAt, isTimeCut),
    detail,
    what: `the detail of ${type} ${eventId}`,
  };
}

function sbtRequest(event: Event): { tenantId: string; requestedBy: EventOrigin } {
  const { tenantId, tenantRegistrationId } = parseOrRefuse(sbtDetailSchema, event.detail, event.what);
  return { tenantId, requestedBy: { ...originOf(event), registrationId: tenantRegistrationId } };
}

function originOf({ dialect, eventId, sentAt, isCut }: Event): EventOrigin {
  return { dialect, eventId, sentAt, isCut };
}

/** A sender sets `time` as it likes, but no event is sent after its message has arrived. */
function sendingTime(
  time: string,
  arrivedAt: number,
  isTimeCut = false,
): Pick<EventOrigin, 'sentAt' | 'isCut'> {
  const sentAt = Date.parse(time);
  if (sentAt <= arrivedAt) return { sentAt, isCut: isTimeCut || undefined };
  return { sentAt: Math.floor(arrivedAt / 1_000) * 1_000, isCut: true };
}
