import * as z from 'zod/mini';
import { defaultElementKey } from './catalogue.ts';
import {
  elementKeySchema,
  settingsOf,
  tenantIdSchema,
  tenantOnboardedSchema,
  type EventOrigin,
  type InstanceSettings,
} from './instance.ts';
import type { Removal } from './lifecycle.ts';
import { invalidRequest, parseOrRefuse } from './problems.ts';

/** Ids of others go into the row. */
const boundedText = z.string().check(z.maxLength(128, 'at most 128 characters'));

/** An EventBridge event, as the bus puts it into a message's body. */
export const envelopeSchema = z.object({
  id: boundedText,
  source: z.string(),
  'detail-type': z.string(),
  time: z.iso.datetime({ offset: true, error: 'an ISO 8601 time' }),
  detail: z.unknown(),
});

/**
 * SaaS Builder Toolkit: beside the two ids the detail holds whatever the tenant was registered with, which is not
 * for us to trust.
 */
export const sbtDetailSchema = z.object({ tenantId: tenantIdSchema, tenantRegistrationId: boundedText });

/** Without an element the whole tenant leaves. */
export const tenantOffboardedSchema = z.strictObject({
  tenantId: tenantIdSchema,
  element: z.optional(z.strictObject({ key: elementKeySchema })),
});

/** A tenant leaves, or gives up one element: then `elementKey` says which. */
export type Offboarding = { tenantId: string; elementKey: string | undefined; removal: Removal };

/**
 * What an onboarding event asks for: `TenantOnboarded`, or the request of the SaaS Builder Toolkit.
 * @throws OnboardingError `invalid-request`, naming everything that is wrong with the event
 */
export function settingsFromEvent(message: unknown): InstanceSettings {
  const event = parseEvent(message, 'TenantOnboarded', 'onboardingRequest');
  if (event.dialect !== 'native') {
    const { tenantId, askedBy } = sbtRequest(event);
    return settingsOf({ tenantId, elementKey: defaultElementKey }, {}, askedBy);
  }
  const { tenantId, element, ...asked } = parseOrRefuse(tenantOnboardedSchema, event.detail, event.what);
  return settingsOf({ tenantId, elementKey: element?.key ?? defaultElementKey }, asked, originOf(event));
}

/** @throws OnboardingError `invalid-request`, naming everything that is wrong with the event */
export function offboardingFromEvent(message: unknown): Offboarding {
  const event = parseEvent(message, 'TenantOffboarded', 'offboardingRequest');
  if (event.dialect !== 'native') {
    const { tenantId, askedBy } = sbtRequest(event);
    return { tenantId, elementKey: undefined, removal: { askedAt: event.sentAt, askedBy } };
  }
  const { tenantId, element } = parseOrRefuse(tenantOffboardedSchema, event.detail, event.what);
  return {
    tenantId,
    elementKey: element?.key,
    removal: { askedAt: event.sentAt, askedBy: originOf(event) },
  };
}

type Event = {
  dialect: EventOrigin['dialect'];
  eventId: string;
  sentAt: number;
  detail: unknown;
  /** For messages. */
  what: string;
};

/** The toolkit's detail-types have a prefix since version 0.9 (awslabs/sbt-aws, src/utils/event-manager.ts). */
function parseEvent(message: unknown, nativeType: string, sbtType: string): Event {
  const { id: eventId, time, detail, ...envelope } = parseOrRefuse(envelopeSchema, message, 'the event');
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
  return { dialect, eventId, sentAt: Date.parse(time), detail, what: `the detail of ${type} ${eventId}` };
}

function sbtRequest(event: Event): { tenantId: string; askedBy: EventOrigin } {
  const { tenantId, tenantRegistrationId } = parseOrRefuse(sbtDetailSchema, event.detail, event.what);
  return { tenantId, askedBy: { ...originOf(event), registrationId: tenantRegistrationId } };
}

function originOf({ dialect, eventId, sentAt }: Event): EventOrigin {
  return { dialect, eventId, sentAt };
}
