import type { UnknownOutcome, UnusableInstance, UpdateOutcome } from './ports.ts';
import { OnboardingError } from '../model/errors.ts';
import { loggableId } from '../model/instance-id.ts';
import type { InstanceKey, InstanceRow } from '../model/instance.ts';
import { provisionTag } from '../model/markers.ts';

/**
 * Messages of the use cases' errors: what happened, to which tenant and element, and what the reader can do. Codes and
 * statuses are in `model/errors.ts`.
 */

const nameOf = ({ tenantId, elementKey }: InstanceKey): string =>
  `the ${elementKey} instance of tenant ${tenantId}`;

/** At the beginning of a sentence. */
const nameAtStart = (key: InstanceKey): string => nameOf(key).replace('the', 'The');

/** Keeps Cloud Elements' last message and request id. */
const factsOf = ({ lastError }: InstanceRow) => ({ requestId: lastError?.requestId, said: lastError?.said });

export const notFound = ({ tenantId, elementKey }: InstanceKey): OnboardingError =>
  new OnboardingError('not-found', `Tenant ${tenantId} has no ${elementKey} instance. Provision it first.`);

export const notActive = (row: InstanceRow): OnboardingError =>
  new OnboardingError(
    'not-active',
    `${nameAtStart(row)} is ${row.status}, not active. Read the instance to see why.`,
  );

export const hasNoToken = (row: InstanceRow): OnboardingError =>
  new OnboardingError(
    'not-active',
    `${nameAtStart(row)} has no token: it is ${row.status}. Read the instance to see why.`,
  );

export const busy = (row: InstanceRow, nowMs: number): OnboardingError =>
  new OnboardingError('busy', `${nameAtStart(row)} is held by another request (${row.status}). Retry.`, {
    retryAfterMs: row.leaseExpiresAt - nowMs,
  });

export const changesTooOften = (key: InstanceKey): OnboardingError =>
  new OnboardingError('busy', `${nameAtStart(key)} changes too often at the moment. Retry later.`);

export const tenantBusy = (tenantId: string): OnboardingError =>
  new OnboardingError('busy', `Tenant ${tenantId} is being removed by other requests. Retry later.`);

export const claimedTooOften = (key: InstanceKey): OnboardingError =>
  new OnboardingError(
    'busy-with-other-settings',
    `${nameAtStart(key)} is being worked on by too many other requests. Retry later.`,
  );

export const busyWithOtherSettings = (row: InstanceRow): OnboardingError =>
  new OnboardingError(
    'busy-with-other-settings',
    row.importing
      ? `${nameAtStart(row)} is being imported: it will be instance ${row.importedId}. Retry later.`
      : `${nameAtStart(row)} is being provisioned with another name, other tags or other configuration. Retry later.`,
  );

export const settingsConflict = (row: InstanceRow): OnboardingError =>
  new OnboardingError(
    'settings-conflict',
    row.importedId !== undefined
      ? `${nameAtStart(row)} is instance ${row.importedId}, which was imported. Import the same one again, change it with PATCH, or delete it first.`
      : `${nameAtStart(row)} exists with another name, other tags or other configuration, or with configuration of ` +
          'another source. Request it with the same settings, or delete it first.',
  );

export const beingDeleted = (row: InstanceRow): OnboardingError =>
  new OnboardingError('being-deleted', `${nameAtStart(row)} is being deleted. Retry when it is gone.`);

/** A tombstone must not be returned: it shows the instance that was removed. */
export const wasDeleted = (key: InstanceKey): OnboardingError =>
  new OnboardingError('being-deleted', `${nameAtStart(key)} was removed while this request ran. Retry.`);

export const begunElsewhere = (row: InstanceRow, origin: string): OnboardingError =>
  new OnboardingError(
    'origin-changed',
    `${nameAtStart(row)} was begun at ${row.origin} with an unknown outcome, and this stack calls ${origin}: ` +
      'point the stack back there until the instance has been settled.',
  );

export const otherOrigin = (row: InstanceRow, origin: string): OnboardingError =>
  new OnboardingError(
    'origin-changed',
    `${nameAtStart(row)} is at ${row.origin}, and this stack calls ${origin}: point the stack back there to change or check it.`,
  );

export const notOurs = (key: InstanceKey, instanceId: number): OnboardingError =>
  new OnboardingError(
    'not-ours',
    `Instance ${instanceId} at Cloud Elements shows that it is not ${nameOf(key)}: its tags name another tenant or ` +
      'stage, or it is of another element. It is left as it is.',
  );

export const markersNotShown = (row: InstanceRow): OnboardingError =>
  new OnboardingError(
    'markers-not-shown',
    `Instance ${row.instanceId} does not show the tags by which this service knows ${nameOf(row)}, so its tags are ` +
      'left alone. Name and configuration can be changed.',
  );

export const goneAtCloudElements = (row: InstanceRow): OnboardingError =>
  new OnboardingError(
    'gone-at-cloud-elements',
    `Cloud Elements no longer has instance ${row.instanceId}: ${nameOf(row)} was removed there. Delete it here and ` +
      'provision it again.',
  );

export const createOutOfTime = (row: InstanceRow): OnboardingError =>
  new OnboardingError(
    'out-of-time',
    `${nameAtStart(row)} was not created: not enough time was left to send the create. Retry.`,
  );

export const updateOutOfTime = (row: InstanceRow): OnboardingError =>
  new OnboardingError('out-of-time', `Not enough time was left to change ${nameOf(row)}. Retry.`);

export const notShown = (row: InstanceKey, reason: string): OnboardingError =>
  new OnboardingError(
    'cloud-elements-unreachable',
    `Cloud Elements did not show ${nameOf(row)} (${reason}). Nothing was changed; retry.`,
  );

export const outcomeUnknown = (
  row: InstanceRow,
  { reason, requestId, said }: UnknownOutcome,
): OnboardingError =>
  new OnboardingError(
    'outcome-unknown',
    `${nameAtStart(row)} may or may not exist (${reason}). Retry: it is looked up first.`,
    { requestId, said },
  );

export const neverSeen = (row: InstanceRow): OnboardingError =>
  new OnboardingError(
    'outcome-unknown',
    `Cloud Elements does not show ${nameOf(row)} yet. Retry: it is looked up first.`,
    factsOf(row),
  );

export const updateOutcomeUnknown = (
  row: InstanceRow,
  { reason, requestId, said }: UnknownOutcome,
): OnboardingError =>
  new OnboardingError(
    'update-outcome-unknown',
    `${nameAtStart(row)} may or may not have been changed (${reason}). Retry.`,
    { requestId, said },
  );

export const notCreated = (row: InstanceRow): OnboardingError =>
  new OnboardingError(
    'not-created',
    `Cloud Elements did not create ${nameOf(row)}. Request it again.`,
    factsOf(row),
  );

export const notSaved = (
  row: InstanceRow,
  instanceId: number,
  { name, message, facts: { cause } }: OnboardingError,
): OnboardingError =>
  new OnboardingError(
    'not-saved',
    `Cloud Elements made instance ${instanceId} (${row.elementKey}) for tenant ${row.tenantId}, but it could not be ` +
      'saved. Nothing is lost: a retry finds it.',
    { cause: { name, message: cause ? `${message} ${cause.name}: ${cause.message}` : message } },
  );

export const notRecorded = (row: InstanceRow, { code }: OnboardingError): OnboardingError =>
  new OnboardingError(
    'aws-unavailable',
    `${nameAtStart(row)} was refused (${code}), but the refusal could not be recorded. The event is delivered again.`,
  );

export function instanceUnusable(
  row: InstanceRow,
  { id, reason }: UnusableInstance,
  isLeft: boolean,
): OnboardingError {
  const named = id === undefined ? 'an instance' : `instance ${loggableId(id)},`;
  const next = isLeft
    ? `Delete it at Cloud Elements (tag ${provisionTag(row)}), then request the instance again.`
    : 'It was deleted. Ask the support of Cloud Elements, then request the instance again.';
  return new OnboardingError(
    'instance-unusable',
    `Cloud Elements made ${named} ${reason}, for ${nameOf(row)}, which this service cannot keep. ${next}`,
  );
}

/** Without a reason: rows show the title alone of an error whose status is 500 or more. */
export const deletionPending = (row: InstanceRow): OnboardingError =>
  new OnboardingError(
    'deletion-pending',
    `${nameAtStart(row)} is not removed yet. The reconciler tries again.`,
  );

export const tenantDeletionPending = ({ tenantId }: InstanceRow): OnboardingError =>
  new OnboardingError(
    'deletion-pending',
    `Instances of tenant ${tenantId} are not removed yet. The reconciler continues.`,
  );

const importName = (key: InstanceKey, instanceId: number): string =>
  `Instance ${instanceId} cannot be imported as ${nameOf(key)}`;

export const notAtCloudElements = (key: InstanceKey, instanceId: number): OnboardingError =>
  new OnboardingError(
    'not-at-cloud-elements',
    `${importName(key, instanceId)}: Cloud Elements has no such instance. Check the id, and that the platform's user sees ` +
      'the instance.',
  );

export const otherElement = (key: InstanceKey, instanceId: number): OnboardingError =>
  new OnboardingError(
    'other-element',
    `${importName(key, instanceId)}: it is an instance of another element. Import it under the key of its own element.`,
  );

export const markedForAnother = (key: InstanceKey, instanceId: number): OnboardingError =>
  new OnboardingError(
    'not-ours',
    `${importName(key, instanceId)}: its tags say that it belongs to another tenant or stage. It is left as it is.`,
  );

/** Says nothing of the other tenant: the caller may be limited to its own. */
export const instanceTaken = (key: InstanceKey, instanceId: number): OnboardingError =>
  new OnboardingError(
    'instance-taken',
    `${importName(key, instanceId)}: it belongs to another tenant of this stage, or is being imported for one.`,
  );

export const leftOver = (key: InstanceKey, instanceId: number): OnboardingError =>
  new OnboardingError(
    'instance-taken',
    `${importName(key, instanceId)}: it is left over from an earlier request for the same instance, and is going to be ` +
      'removed.',
  );

const notFullyShown = (key: InstanceKey, instanceId: number, lack: string): OnboardingError =>
  new OnboardingError(
    'not-fully-shown',
    `${importName(key, instanceId)}: Cloud Elements does not show its ${lack}. Nothing was changed; retry later.`,
  );

/** Cloud Elements replaces tags, so unknown ones would be lost. */
export const tagsNotShown = (key: InstanceKey, instanceId: number): OnboardingError =>
  notFullyShown(key, instanceId, 'tags, which would be lost when this service adds its own');

export const tokenNotShown = (key: InstanceKey, instanceId: number): OnboardingError =>
  notFullyShown(key, instanceId, 'token');

export const importUnusable = (key: InstanceKey, instanceId: number, reason: string): OnboardingError =>
  new OnboardingError(
    'not-importable',
    `${importName(key, instanceId)}: it is an instance ${reason}, which this service cannot keep. It is left as it is.`,
  );

export const notMarked = (
  row: InstanceRow,
  instanceId: number,
  outcome: Exclude<UpdateOutcome, { kind: 'updated' }>,
): OnboardingError => {
  if (outcome.kind === 'absent') return notAtCloudElements(row, instanceId);
  return outcome.kind === 'unknown' ? updateOutcomeUnknown(row, outcome) : outcome.error;
};

export const importOutOfTime = (row: InstanceRow): OnboardingError =>
  new OnboardingError('out-of-time', `Not enough time was left to import ${nameOf(row)}. Retry.`);

export const importNotSaved = (
  row: InstanceRow,
  instanceId: number,
  cause: OnboardingError,
): OnboardingError =>
  new OnboardingError(
    'not-saved',
    `Instance ${instanceId} (${row.elementKey}) has the tags of tenant ${row.tenantId}, but it could not be saved. Nothing ` +
      'is lost: a retry finishes the import.',
    { cause: { name: cause.name, message: cause.message } },
  );

export const namedByImport = (row: InstanceRow): OnboardingError =>
  new OnboardingError(
    'deletion-refused',
    `Instance ${row.importedId} was not created for ${nameOf(row)} but named by an import, and no active row records it. ` +
      'It is left as it is.',
  );
