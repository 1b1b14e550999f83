import * as z from 'zod/mini';
import { envelopeSchema, sbtDetailSchema, tenantOffboardedSchema } from '../../functions/model/events.ts';
import { tenantOnboardedSchema } from '../../functions/model/instance.ts';
import {
  eventSource,
  toolkitDialects,
  toolkitResults,
  type ResultName,
} from '../../functions/model/result-events.ts';
import { triggers, type EventPattern } from '../../functions/triggers.ts';
import { resultDetailSchema, toolkitDetailSchema } from '../../functions/model/responses.ts';
import { jsonSchemasOf, type NamedSchema, type SchemaNotes } from './json-schema.ts';

const incomingPatterns = [
  ...triggers['onboard-tenants'].queue.events,
  ...triggers['offboard-tenants'].queue.events,
] satisfies EventPattern[];
type IncomingType = (typeof incomingPatterns)[number]['detail-type'][number];

/** Of the toolkit's events. */
const description = 'A stage whose setting `sbtSources` names another source has that one in place of this.';
const onboardingRequest = {
  detail: sbtDetailSchema,
  title: 'Onboarding by the SaaS Builder Toolkit',
  description,
};
const offboardingRequest = {
  detail: sbtDetailSchema,
  title: 'Offboarding by the SaaS Builder Toolkit',
  description,
};

/** By detail-type. Does not compile unless every detail-type of the trigger table has an entry. */
const incomingDetails: Readonly<Record<IncomingType, SchemaNotes & { detail: z.ZodMiniType }>> = {
  TenantOnboarded: {
    detail: tenantOnboardedSchema,
    title: 'Requests an instance for the tenant',
    description: 'The element is Taxify unless `element` names another. Events must not contain credentials.',
  },
  TenantOffboarded: {
    detail: tenantOffboardedSchema,
    title: 'Removes all instances of the tenant, or only that of the named element',
  },
  onboardingRequest,
  sbt_aws_onboardingRequest: onboardingRequest,
  offboardingRequest,
  sbt_aws_offboardingRequest: offboardingRequest,
};

const results: Readonly<Record<ResultName, string>> = {
  InstanceProvisioned: 'An instance is active, or an event has requested it again',
  InstanceUpdated:
    "Name, tags or configuration of an active instance have been changed: by PATCH, or because the tenant's secret has a new value. Id and token stay",
  InstanceFailed:
    'Provisioning has failed, and may succeed when it is retried; or an event was refused, and `status` is that of the instance',
  InstanceUnhealthy: 'Two checks of an active instance in a row have failed; `health` has the reason',
  InstanceRecovered: 'An unhealthy instance works again, or Cloud Elements shows it enabled and valid again',
  InstanceRemoved:
    'An instance is gone, at Cloud Elements and here; without `element`, all instances of the tenant',
};

const isResult = (name: string): name is ResultName => Object.hasOwn(results, name);
const resultNames = Object.keys(results).filter(isResult);
const isToolkitResult = (name: ResultName): name is keyof typeof toolkitResults =>
  Object.hasOwn(toolkitResults, name);
const toolkitResultNames = resultNames.filter(isToolkitResult);

const incoming = Object.fromEntries(
  incomingPatterns.flatMap((pattern) =>
    pattern['detail-type'].map((type): [string, NamedSchema] => {
      const { detail, ...notes } = incomingDetails[type];
      const sources = 'source' in pattern ? pattern.source : undefined;
      return [type, eventOf({ type, sources, detail, notes })];
    }),
  ),
);

const outgoing = Object.fromEntries([
  ...resultNames.map((type): [string, NamedSchema] => [
    type,
    eventOf({
      type,
      sources: [eventSource],
      detail: resultDetailSchema,
      notes: { title: results[type] },
    }),
  ]),
  ...Object.values(toolkitDialects).flatMap(({ source, prefix }) =>
    toolkitResultNames.map((result): [string, NamedSchema] => {
      const type = `${prefix}${toolkitResults[result].detailType}`;
      const title = `${result}, to the SaaS Builder Toolkit`;
      const notes = { title, description };
      return [type, eventOf({ type, sources: [source], detail: toolkitDetailSchema, notes })];
    }),
  ),
]);

function eventOf({
  type,
  sources,
  detail,
  notes,
}: {
  type: string;
  /** Undefined: any source. */
  sources: readonly string[] | undefined;
  detail: z.ZodMiniType;
  notes: SchemaNotes;
}): NamedSchema {
  // Without the mark of `npm run redrive`, which is in no event on a bus.
  const schema = z.extend(z.omit(envelopeSchema, { isTimeCut: true }), {
    ...(sources && { source: z.enum(sources) }),
    'detail-type': z.literal(type),
    detail,
  });
  return { schema, notes };
}

const refOf = (name: string) => `#/$defs/${name}`;
const oneOf = (events: object) => ({ oneOf: Object.keys(events).map((name) => ({ $ref: refOf(name) })) });

/**
 * JSON Schema of the events on the bus: `#/$defs/incoming`, the events that this service takes, `#/$defs/outgoing`, the
 * events that it sends, and each event under its detail-type.
 */
export function eventSchemas() {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Events of element-onboarding, as EventBridge delivers them',
    ...oneOf({ incoming, outgoing }),
    $defs: {
      incoming: oneOf(incoming),
      outgoing: oneOf(outgoing),
      ...jsonSchemasOf({ ...incoming, ...outgoing }, refOf),
    },
  };
}
