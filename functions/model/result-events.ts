import * as z from 'zod/mini';
import { defaultElementKey } from './default-element.ts';
import {
  instanceRowSchema,
  lastErrorView,
  wholeTenant,
  type InstanceKey,
  type Notice,
  type Registration,
} from './instance.ts';
import type { ResultDetail } from './responses.ts';
import { healthView } from './health.ts';
import { registrationOf, removedByOf } from './row-history.ts';
import { parseOrRefuse } from './validation.ts';

/** The attributes of a row that results are made of, so that nothing else can get into an event: never the token. */
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
  requestedBy: true,
  removedBy: true,
  removedAt: true,
  removedTimes: true,
  registration: true,
  notices: true,
  revision: true,
  updatedAt: true,
  changedAt: true,
  health: true,
});
type Image = z.infer<typeof imageSchema>;

/** A row before and after a write; `before` is undefined for a new row. */
export type RowChange = { before: unknown; after: unknown };

/** `timeMs`: when the write was made, ms since the epoch. */
export type OutgoingEvent = { source: string; detailType: string; detail: object; timeMs: number };

export type ResultName =
  | 'InstanceProvisioned'
  | 'InstanceUpdated'
  | 'InstanceFailed'
  | 'InstanceRemoved'
  | 'InstanceUnhealthy'
  | 'InstanceRecovered';

/** The results that a write to a row brings. */
export type Result = InstanceKey & { outcome: ResultName | 'nothing-due'; events: OutgoingEvent[] };

/** @throws OnboardingError `invalid-request`, naming the faults of the images, but no values */
export function resultOf({ before, after }: RowChange): Result {
  const now = parseOrRefuse(imageSchema, after, 'the new image');
  const earlier = before === undefined ? undefined : parseOrRefuse(imageSchema, before, 'the old image');
  const { tenantId, elementKey } = now;
  const noticeResults = newNotices(earlier, now).map((notice) => noticeResult(notice, now));
  const settled = isDue(earlier, now) ? resultNames[now.status] : undefined;
  const turn = healthTurn(earlier, now);
  const results = [
    ...noticeResults,
    ...(settled ? [stateResult(settled, now)] : []),
    ...(isUpdated(earlier, now) ? [unrequested('InstanceUpdated', now)] : []),
    ...(turn ? [unrequested(turn, now)] : []),
  ];
  return {
    tenantId,
    elementKey,
    outcome: results.at(-1)?.name ?? 'nothing-due',
    events: results.flatMap((result) => [nativeEvent(result, now), ...toolkitEvents(result, now)]),
  };
}

const resultNames: Partial<Record<Image['status'], ResultName>> = {
  active: 'InstanceProvisioned',
  failed: 'InstanceFailed',
  removed: 'InstanceRemoved',
};

type UnrequestedName = 'InstanceUpdated' | 'InstanceUnhealthy' | 'InstanceRecovered';

/** `registration`: the request of the toolkit that it answers, if any. */
type ResultEvent = {
  name: ResultName;
  eventId: string | undefined;
  registration: Registration | undefined;
  lastError: Image['lastError'];
};

function stateResult(name: ResultName, row: Image): ResultEvent {
  const { lastError } = row;
  if (name !== 'InstanceRemoved') {
    return { name, eventId: row.requestedBy?.eventId, registration: registrationOf(row), lastError };
  }
  const by = removedByOf(row);
  // The toolkit removes whole tenants only, and is answered when the last of their instances is gone. An earlier
  // version had no row for that: a removal that it began is answered from its default element.
  const isEarlierVersions = row.removedTimes === undefined && by?.sentAt === row.removedAt;
  const isOfTenant = row.elementKey === wholeTenant || isEarlierVersions;
  const registration = isOfTenant ? registrationOf({ requestedBy: by }) : undefined;
  return { name, eventId: by?.eventId, registration, lastError };
}

/** No event has requested it, and the toolkit knows neither updates nor health. */
const unrequested = (name: UnrequestedName, { lastError }: Image): ResultEvent => ({
  name,
  eventId: undefined,
  registration: undefined,
  lastError,
});

function newNotices(before: Image | undefined, { notices = [] }: Image): Notice[] {
  const known = new Set(before?.notices?.map(({ eventId, at }) => `${at} ${eventId}`));
  return notices.filter(({ eventId, at }) => !known.has(`${at} ${eventId}`));
}

function noticeResult({ outcome, eventId, registration, code, detail, at }: Notice, row: Image): ResultEvent {
  if (outcome === 'removed')
    return { name: 'InstanceRemoved', eventId, registration, lastError: row.lastError };
  const lastError = { code: code ?? 'internal', detail: detail ?? '', at };
  return { name: 'InstanceFailed', eventId, registration, lastError };
}

/**
 * Has the row come to a result, or been requested once more? A row that was claimed or leased and then given back as it
 * was is neither: its request has been answered.
 */
function isDue(before: Image | undefined, after: Image): boolean {
  const isSameStatus = before?.status === after.status;
  const isRequestedAgain =
    isSameStatus &&
    after.requestedBy !== undefined &&
    after.requestedBy.eventId !== before.requestedBy?.eventId;
  switch (after.status) {
    case 'active':
      return !isSameStatus || isRequestedAgain;
    case 'failed':
      // Given back by an import, which has a generation of its own and its own errors.
      if (before && before.provisionId !== after.provisionId) return false;
      // A claim keeps error and revision of the failed row that it takes over, so giving it back brings no new ones.
      return (
        after.lastError?.at !== before?.lastError?.at ||
        (!isSameStatus && after.revision !== before?.revision) ||
        isRequestedAgain
      );
    case 'removed': {
      const by = removedByOf(after)?.eventId;
      // A claim on a tombstone is of a new generation, so giving it back brings the old one.
      if (!isSameStatus) return !before || before.provisionId === after.provisionId;
      return by !== undefined && by !== removedByOf(before)?.eventId;
    }
    case 'provisioning':
    case 'deleting':
      return false;
  }
}

/** Has name, tags or configuration been changed? Everything else that is written of an active row is no update. */
const isUpdated = (before: Image | undefined, after: Image): boolean =>
  before?.status === 'active' && after.status === 'active' && before.changedAt !== after.changedAt;

/** Has the instance stopped working, or is the reason gone? Checks that confirm its health are no result. */
function healthTurn(before: Image | undefined, after: Image): UnrequestedName | undefined {
  if (before?.status !== 'active' || after.status !== 'active') return undefined;
  const [from, to] = [before.health?.status, after.health?.status];
  if (from !== 'unhealthy' && to === 'unhealthy') return 'InstanceUnhealthy';
  return from === 'unhealthy' && (to === 'healthy' || to === 'unknown') ? 'InstanceRecovered' : undefined;
}

export const eventSource = 'element-onboarding';

function nativeEvent(result: ResultEvent, row: Image): OutgoingEvent {
  return {
    source: eventSource,
    detailType: result.name,
    detail: resultDetail(result, row),
    timeMs: timeOf(row),
  };
}

/** Rows of earlier versions have no revision. */
const timeOf = ({ revision, updatedAt }: Image): number => revision ?? updatedAt;

/** The answer to the removal of a whole tenant names no element, as its request does not. */
function resultDetail(
  { eventId, lastError }: Omit<ResultEvent, 'name' | 'registration'>,
  row: Image,
): ResultDetail {
  return {
    tenantId: row.tenantId,
    element: row.elementKey === wholeTenant ? undefined : { key: row.elementKey },
    id: row.instanceId,
    // The tombstone of an instance that never was has none.
    name: row.name || undefined,
    tags: row.tags,
    status: row.status,
    revision: timeOf(row),
    lastError: lastError && lastErrorView(lastError),
    health: row.health && healthView(row.health),
    request: eventId === undefined ? undefined : { eventId },
  };
}

/** How the SaaS Builder Toolkit names results (awslabs/sbt-aws, event-manager.ts). */
export const toolkitDialects: Record<Registration['dialect'], { source: string; prefix: string }> = {
  'sbt-0.5': { source: 'applicationPlaneEventSource', prefix: '' },
  'sbt-0.9': { source: 'sbt.application.plane', prefix: 'sbt_aws_' },
};

/**
 * The source that an event goes out from. The toolkit's control plane listens to one source alone, which its user can
 * set: then the results that it stores have to come from that one.
 */
export function sourcesOfResults(applicationPlane: string | undefined) {
  return ({ source }: OutgoingEvent): string =>
    source === eventSource ? source : (applicationPlane ?? source);
}

/**
 * What the toolkit makes of each. The status is free text that its control plane shows; these are the words of its own
 * examples. A removal that fails is not reported: it is retried until it succeeds.
 */
export const toolkitResults = {
  InstanceProvisioned: { detailType: 'provisionSuccess', registrationStatus: 'created' },
  InstanceFailed: { detailType: 'provisionFailure', registrationStatus: 'failed' },
  InstanceRemoved: { detailType: 'deprovisionSuccess', registrationStatus: 'deleted' },
};

const isToolkitResult = (name: ResultName): name is keyof typeof toolkitResults =>
  Object.hasOwn(toolkitResults, name);

/**
 * The result in the dialect of the toolkit's request, from the element that it requests. A failure has the envelope of
 * a success, because the control plane stores `tenantRegistrationData` of either and drops the shape that the toolkit's
 * own jobs fail with. It writes `tenantData` to the tenant, its keys unquoted in an update expression: they must be
 * identifiers that DynamoDB has not reserved. Empty, it leaves the tenant alone.
 */
function toolkitEvents({ name, registration }: ResultEvent, row: Image): OutgoingEvent[] {
  const { elementKey, instanceId } = row;
  if (!isToolkitResult(name)) return [];
  const dialect = registration && toolkitDialects[registration.dialect];
  if (!dialect || (elementKey !== defaultElementKey && elementKey !== wholeTenant)) return [];
  const { detailType, registrationStatus } = toolkitResults[name];
  const isThere = name === 'InstanceProvisioned' && instanceId !== undefined;
  return [
    {
      source: dialect.source,
      detailType: `${dialect.prefix}${detailType}`,
      detail: {
        tenantRegistrationId: registration.registrationId,
        jobOutput: {
          tenantData: isThere ? { [`${elementKey}InstanceId`]: String(instanceId) } : {},
          tenantRegistrationData: { registrationStatus },
        },
      },
      timeMs: timeOf(row),
    },
  ];
}
