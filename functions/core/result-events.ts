import * as z from 'zod/mini';
import { defaultElementKey } from './catalogue.ts';
import { instanceRowSchema, type EventOrigin, type InstanceKey } from './instance.ts';
import { parseOrRefuse } from './problems.ts';

/** What is used of a row's images, so that nothing else can get into an event: never the token. */
const imageSchema = z.pick(instanceRowSchema, {
  v: true,
  tenantId: true,
  elementKey: true,
  status: true,
  provisionId: true,
  instanceId: true,
  name: true,
  tags: true,
  lastError: true,
  askedBy: true,
});
type Image = z.infer<typeof imageSchema>;

/** A row before and after a write; `before` is undefined for a new row. */
export type RowChange = { before: unknown; after: unknown };

export type OutgoingEvent = { source: string; detailType: string; detail: object };

export type ResultName = 'InstanceProvisioned' | 'InstanceFailed' | 'InstanceRemoved';

/** What a write to a row means for those who wait for it. */
export type Result = InstanceKey & { outcome: ResultName | 'nothing-due'; events: OutgoingEvent[] };

/** @throws OnboardingError `invalid-request`, naming what cannot be understood of the images, but not their values */
export function resultOf({ before, after }: RowChange): Result {
  const now = parseOrRefuse(imageSchema, after, 'the new image');
  const earlier = before === undefined ? undefined : parseOrRefuse(imageSchema, before, 'the old image');
  const { tenantId, elementKey } = now;
  const outcome = isDue(earlier, now) ? resultNames[now.status] : undefined;
  if (!outcome) return { tenantId, elementKey, outcome: 'nothing-due', events: [] };
  return {
    tenantId,
    elementKey,
    outcome,
    events: [nativeEvent(outcome, now), ...toolkitEvents(outcome, now)],
  };
}

const resultNames: Partial<Record<Image['status'], ResultName>> = {
  active: 'InstanceProvisioned',
  failed: 'InstanceFailed',
  removed: 'InstanceRemoved',
};

/**
 * Has the row come to a result, or been asked for one once more? A row that was claimed or leased and then given back
 * as it was is neither: whoever asked has been told.
 */
function isDue(before: Image | undefined, after: Image): boolean {
  const isSameStatus = before?.status === after.status;
  const isAskedAgain =
    isSameStatus && after.askedBy !== undefined && after.askedBy.eventId !== before.askedBy?.eventId;
  switch (after.status) {
    case 'active':
      return !isSameStatus || isAskedAgain;
    case 'failed':
      // A claim keeps the error of the failed row that it takes over, so giving it back brings no new one.
      return after.lastError?.at !== before?.lastError?.at || isAskedAgain;
    case 'removed':
      // A claim on a tombstone is of a new generation, so giving it back brings the old one.
      return isSameStatus ? isAskedAgain : !before || before.provisionId === after.provisionId;
    case 'provisioning':
    case 'deleting':
      return false;
  }
}

export const eventSource = 'element-onboarding';

function nativeEvent(detailType: ResultName, row: Image): OutgoingEvent {
  return { source: eventSource, detailType, detail: resultDetail(row) };
}

export function resultDetail({ tenantId, elementKey, instanceId, name, tags, lastError, askedBy }: Image) {
  return {
    tenantId,
    element: { key: elementKey },
    id: instanceId,
    // The tombstone of what never was has none.
    name: name || undefined,
    tags,
    lastError: lastError && { ...lastError, at: new Date(lastError.at).toISOString() },
    request: askedBy && { eventId: askedBy.eventId },
  };
}

/** How the SaaS Builder Toolkit names results (awslabs/sbt-aws, event-manager.ts). */
export const toolkitDialects: Partial<Record<EventOrigin['dialect'], { source: string; prefix: string }>> = {
  'sbt-0.5': { source: 'applicationPlaneEventSource', prefix: '' },
  'sbt-0.9': { source: 'sbt.application.plane', prefix: 'sbt_aws_' },
};

/**
 * What the toolkit makes of each. The status is free text that its control plane shows; these are the words of its own
 * examples. A removal that fails is not told: it is tried until it succeeds.
 */
export const toolkitResults = {
  InstanceProvisioned: { detailType: 'provisionSuccess', registrationStatus: 'created' },
  InstanceFailed: { detailType: 'provisionFailure', registrationStatus: 'failed' },
  InstanceRemoved: { detailType: 'deprovisionSuccess', registrationStatus: 'deleted' },
};

/**
 * The result in the dialect of the toolkit's request, which is answered once: by the element that it asked for, not by
 * others that were removed with it. A failure has the envelope of a success, because the control plane stores
 * `tenantRegistrationData` of either and drops the shape that the toolkit's own jobs fail with. It writes `tenantData`
 * to the tenant, its keys unquoted in an update expression: they must be identifiers that DynamoDB has not reserved.
 * Empty, it leaves the tenant alone.
 */
function toolkitEvents(result: ResultName, { elementKey, instanceId, askedBy }: Image): OutgoingEvent[] {
  const dialect = askedBy && toolkitDialects[askedBy.dialect];
  if (!dialect || askedBy.registrationId === undefined || elementKey !== defaultElementKey) return [];
  const { detailType, registrationStatus } = toolkitResults[result];
  const isThere = result === 'InstanceProvisioned' && instanceId !== undefined;
  return [
    {
      source: dialect.source,
      detailType: `${dialect.prefix}${detailType}`,
      detail: {
        tenantRegistrationId: askedBy.registrationId,
        jobOutput: {
          tenantData: isThere ? { [`${elementKey}InstanceId`]: String(instanceId) } : {},
          tenantRegistrationData: { registrationStatus },
        },
      },
    },
  ];
}
