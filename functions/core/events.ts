import * as z from 'zod/mini';
import { defaultElementKey } from './catalogue.ts';
import { settingsOf, tenantIdSchema, tenantOnboardedSchema, type InstanceSettings } from './instance.ts';
import { invalidRequest, parseOrRefuse } from './problems.ts';

/** Ids of others go into the row. */
const boundedText = z.string().check(z.maxLength(128, 'at most 128 characters'));

/** An EventBridge event, as the bus puts it into a message's body. */
const envelopeSchema = z.object({
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
const sbtDetailSchema = z.object({ tenantId: tenantIdSchema, tenantRegistrationId: boundedText });

/** The toolkit's names for a request to onboard, up to version 0.8 and since 0.9 (awslabs/sbt-aws, event-manager.ts). */
const sbtDialects: Readonly<Record<string, 'sbt-0.5' | 'sbt-0.9'>> = {
  onboardingRequest: 'sbt-0.5',
  sbt_aws_onboardingRequest: 'sbt-0.9',
};

/**
 * What an onboarding event asks for.
 * @throws OnboardingError `invalid-request`, naming everything that is wrong with the event
 */
export function settingsFromEvent(message: unknown): InstanceSettings {
  const event = parseOrRefuse(envelopeSchema, message, 'the event');
  const eventId = event.id;
  const sentAt = Date.parse(event.time);
  const type = event['detail-type'];
  const dialect = Object.hasOwn(sbtDialects, type) ? sbtDialects[type] : undefined;
  if (dialect) {
    const { tenantId, tenantRegistrationId } = parseOrRefuse(
      sbtDetailSchema,
      event.detail,
      `the detail of ${type} ${eventId}`,
    );
    return settingsOf(
      { tenantId, elementKey: defaultElementKey },
      {},
      { dialect, eventId, sentAt, registrationId: tenantRegistrationId },
    );
  }
  if (type !== 'TenantOnboarded') {
    throw invalidRequest('the event', [
      {
        pointer: '#/detail-type',
        detail: 'expected TenantOnboarded or a request of the SaaS Builder Toolkit',
      },
    ]);
  }
  const { tenantId, element, ...asked } = parseOrRefuse(
    tenantOnboardedSchema,
    event.detail,
    `the detail of ${type} ${eventId}`,
  );
  return settingsOf({ tenantId, elementKey: element?.key ?? defaultElementKey }, asked, {
    dialect: 'native',
    eventId,
    sentAt,
  });
}
