import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { marshall } from '@aws-sdk/util-dynamodb';
import { createHash, randomUUID } from 'node:crypto';
import type { Instance } from '../../../infra/local/cloud-elements/simulator.ts';
import { newTenant } from '../../support/real-servers.ts';
import type { Service } from '../../support/running-service.ts';

/**
 * Rows as the previous version wrote them, written out by hand so that changes of this version do not affect them. That
 * version kept one time of request and one of removal, stored the event that requested a removal in place of the one
 * that requested the instance, and did not record the source of a configuration.
 */

/** The events of the row, by the row's clock: ms since the epoch, of whole seconds. */
type Moments = {
  /** Ten minutes ago. */
  requestedAt: number;
  /** Five minutes ago. */
  removalRequestedAt: number;
};

/** The attributes of a kind of row beside `rowOf`, and its instances at Cloud Elements. */
type Kind = {
  row: (moments: Moments & { registrationId: string }) => Record<string, unknown>;
  /** Instances of the row's generation, the recorded one first. */
  instances: number;
  /** The first of them is recorded in the row. */
  isRecorded?: boolean;
  hasToken?: boolean;
  /** The settings are those of a request of the SaaS Builder Toolkit, which names none. */
  isOfToolkit?: boolean;
};

export const onboardingId = 'onboarding-of-before';
export const offboardingId = 'offboarding-of-before';

const native = (eventId: string, sentAt: number) => ({ dialect: 'native', eventId, sentAt });
const toolkit = (
  dialect: 'sbt-0.5' | 'sbt-0.9',
  eventId: string,
  { sentAt, registrationId }: { sentAt: number; registrationId: string },
) => ({ dialect, eventId, registrationId, sentAt });

const failure = (code: string, at: number) => ({ code, detail: 'The detail of before.', at });
const active = { instances: 1, isRecorded: true, hasToken: true };
const anHour = 3_600_000;
const leaseEnd = ({ requestedAt }: Moments) => requestedAt + 34_000;
/** No row is due before its test: the previous version would settle it. */
const later = () => Date.now() + anHour;
const forgottenAt = (removedAt: number) => Math.ceil(removedAt / 1_000) + 20 * 24 * 3_600;

export const kinds = {
  'active from a request': {
    ...active,
    // A request's time has milliseconds, an event's has not.
    row: ({ requestedAt }) => ({ askedAt: requestedAt + 123 }),
  },
  'active by an event': {
    ...active,
    row: ({ requestedAt }) => ({ askedBy: native(onboardingId, requestedAt) }),
  },
  'active by a request of the toolkit': {
    ...active,
    isOfToolkit: true,
    row: ({ requestedAt: sentAt, registrationId }) => ({
      askedBy: toolkit('sbt-0.9', onboardingId, { sentAt, registrationId }),
    }),
  },
  'active after a create of unknown outcome': {
    instances: 2,
    isRecorded: true,
    hasToken: true,
    row: ({ requestedAt }) => ({ askedAt: requestedAt + 123, contested: true, checkAt: later() }),
  },
  failed: {
    instances: 0,
    row: ({ requestedAt }) => ({
      askedAt: requestedAt + 123,
      status: 'failed',
      lastError: failure('refused-by-cloud-elements', requestedAt + 1_000),
    }),
  },
  'failed for a request of the toolkit': {
    instances: 0,
    isOfToolkit: true,
    row: ({ requestedAt: sentAt, registrationId }) => ({
      askedBy: toolkit('sbt-0.5', onboardingId, { sentAt, registrationId }),
      status: 'failed',
      sendDeadline: 0,
      lastError: failure('missing-configuration', sentAt + 1_000),
    }),
  },
  'failed after a create of unknown outcome': {
    instances: 1,
    row: ({ requestedAt }) => ({
      askedAt: requestedAt + 123,
      status: 'failed',
      contested: true,
      lastError: failure('not-created', requestedAt + 1_000),
      checkAt: later(),
    }),
  },
  'claimed by a request that died after its create': {
    instances: 1,
    row: (moments) => ({
      askedAt: moments.requestedAt + 123,
      status: 'provisioning',
      leaseExpiresAt: leaseEnd(moments),
      checkAt: later(),
    }),
  },
  'claimed by a request of the toolkit that died before its create': {
    instances: 0,
    isOfToolkit: true,
    row: (moments) => ({
      askedBy: toolkit('sbt-0.9', onboardingId, { sentAt: moments.requestedAt, ...moments }),
      status: 'provisioning',
      leaseExpiresAt: leaseEnd(moments),
      checkAt: later(),
    }),
  },
  'being deleted for a request': {
    instances: 1,
    isRecorded: true,
    isOfToolkit: true,
    row: ({ requestedAt: sentAt, removalRequestedAt, registrationId }) => ({
      // A request is no event: this event had requested the instance.
      askedBy: toolkit('sbt-0.9', onboardingId, { sentAt, registrationId }),
      removedAt: removalRequestedAt + 456,
      status: 'deleting',
      lastError: failure('outcome-unknown', removalRequestedAt + 1_000),
      checkAt: later(),
    }),
  },
  'being deleted for an event': {
    instances: 1,
    isRecorded: true,
    row: ({ removalRequestedAt }) => ({
      askedBy: native(offboardingId, removalRequestedAt),
      removedAt: removalRequestedAt,
      status: 'deleting',
      lastError: failure('outcome-unknown', removalRequestedAt + 1_000),
      checkAt: later(),
    }),
  },
  'being deleted for a request of the toolkit': {
    instances: 1,
    isRecorded: true,
    isOfToolkit: true,
    row: ({ removalRequestedAt: sentAt, registrationId }) => ({
      askedBy: toolkit('sbt-0.9', offboardingId, { sentAt, registrationId }),
      removedAt: sentAt,
      updatedAt: sentAt + 1_000,
      status: 'deleting',
      checkAt: later(),
    }),
  },
  'removed by a request': {
    instances: 0,
    row: ({ requestedAt, removalRequestedAt }) => ({
      askedBy: native(onboardingId, requestedAt),
      removedAt: removalRequestedAt + 456,
      status: 'removed',
      instanceId: 4711,
      expiresAt: forgottenAt(removalRequestedAt),
    }),
  },
  'removed by an event': {
    instances: 0,
    row: ({ removalRequestedAt }) => ({
      askedBy: native(offboardingId, removalRequestedAt),
      removedAt: removalRequestedAt,
      updatedAt: removalRequestedAt + 1_000,
      status: 'removed',
      instanceId: 4711,
      expiresAt: forgottenAt(removalRequestedAt),
    }),
  },
  'removed before it ever was': {
    instances: 0,
    row: ({ removalRequestedAt }) => ({
      name: '',
      tags: [],
      fingerprint: '',
      harmless: {},
      sendDeadline: 0,
      askedAt: removalRequestedAt,
      askedBy: native(offboardingId, removalRequestedAt),
      removedAt: removalRequestedAt,
      createdAt: removalRequestedAt + 1_000,
      updatedAt: removalRequestedAt + 1_000,
      status: 'removed',
      expiresAt: forgottenAt(removalRequestedAt),
    }),
  },
} as const satisfies Record<string, Kind>;

export type KindName = keyof typeof kinds;

/** A tenant with a row of the previous version. */
export type EarlierRow = Moments & {
  kind: KindName;
  tenantId: string;
  registrationId: string;
  provisionId: string;
  /** Of the recorded instance. */
  instanceId: number | undefined;
  /** The settings that the row was made with, as an event may hold them. */
  settings: { name?: string; tags?: string[]; configuration?: { 'pagination.max': number } };
};

/** Writes a row of the kind, for a tenant of its own, with its instances at Cloud Elements. */
export async function writeEarlierRow(service: Service, name: KindName): Promise<EarlierRow> {
  const kind: Kind = kinds[name];
  const tenantId = newTenant();
  const key = { tenantId, elementKey: 'taxify' };
  const nowMs = Math.floor(Date.now() / 1_000) * 1_000;
  const moments = { requestedAt: nowMs - 600_000, removalRequestedAt: nowMs - 300_000 };
  const registrationId = randomUUID();
  const provisionId = randomUUID();
  const settings = kind.isOfToolkit
    ? {}
    : { name: 'Shop', tags: ['shop', 'eu'], configuration: { 'pagination.max': 5 } };
  const made = {
    name: settings.name ?? `taxify-${tenantId}`,
    tags: settings.tags ?? [],
    harmless: settings.configuration ? { 'pagination.max': '5' } : {},
  };

  const instances = Array.from({ length: kind.instances }, () =>
    makeInstance(service, { ...key, ...made, provisionId }),
  );
  const recorded = kind.isRecorded ? instances[0] : undefined;
  const row: Record<string, unknown> = {
    v: 1,
    ...key,
    status: 'active',
    provisionId,
    attemptId: randomUUID(),
    leaseExpiresAt: 0,
    sendDeadline: moments.requestedAt + 25_000,
    contested: false,
    origin: service.simulator.url,
    ...made,
    fingerprint: earlierFingerprint({ ...key, ...made }),
    askedAt: moments.requestedAt,
    instanceId: recorded?.id,
    token: kind.hasToken && recorded ? await service.encryptToken(recorded.token, key) : undefined,
    createdAt: moments.requestedAt,
    updatedAt: moments.requestedAt + 1_000,
    ...kind.row({ ...moments, registrationId }),
  };
  const inIndex = row['checkAt'] === undefined ? {} : { unsettled: 'yes' };
  await service.dynamoDb.send(
    new PutItemCommand({
      TableName: service.tableName,
      Item: marshall({ ...row, ...inIndex }, { removeUndefinedValues: true }),
      ConditionExpression: 'attribute_not_exists(tenantId)',
    }),
  );
  return {
    kind: name,
    tenantId,
    registrationId,
    provisionId,
    instanceId: recorded?.id,
    settings,
    ...moments,
  };
}

/** The fingerprint by name, tags and allow-listed configuration alone. */
function earlierFingerprint({
  elementKey,
  name,
  tags,
  harmless,
}: {
  elementKey: string;
  name: string;
  tags: string[];
  harmless: Record<string, string>;
}): string {
  const settings = JSON.stringify([elementKey, name, tags.toSorted(), Object.entries(harmless)]);
  return createHash('sha256').update(settings).digest('base64url');
}

function makeInstance(
  { simulator, stage }: Service,
  instance: { tenantId: string; provisionId: string; name: string; tags: string[]; elementKey: string },
): Instance {
  const { tenantId, provisionId, name, tags, elementKey } = instance;
  return simulator.seed({
    element: { key: elementKey },
    name,
    tags: [...tags, `tenant:${tenantId}`, `provision:${provisionId}`, `owner:${stage}`],
    configuration: { 'api.key': 'key-of-before', 'pagination.max': 5 },
  });
}

/** Makes the row due for the reconciler, now or at its next run; otherwise that takes up to an hour. */
export async function reconcileNow(service: Service, tenantId: string): Promise<void> {
  await service.changeRow({ tenantId }, { checkAt: 1 }, 'checkAt > :checkAt');
  await service.invoke('reconcile-instances', {});
}
