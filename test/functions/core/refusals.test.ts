import { expect, test } from 'vitest';
import * as refusals from '../../../functions/core/refusals.ts';
import { OnboardingError, type ErrorCode, type ErrorFacts } from '../../../functions/model/errors.ts';
import { fakePorts } from '../../support/fake-ports.ts';

const { key, claimed, clock } = fakePorts();
const row = {
  ...claimed(),
  provisionId: 'generation',
  instanceId: 7,
  leaseExpiresAt: clock.nowMs + 3_000,
};
const refused = { requestId: '0123456789abcdef01234567', said: 'No.' };
const failedRow = { ...row, lastError: { code: 'not-created', detail: 'any', at: 1, ...refused } };
const imported = { ...row, importedId: 7 };
const unknown = { kind: 'unknown', reason: 'no response', ...refused } as const;
const unavailable = new OnboardingError('aws-unavailable', 'DynamoDB gave no answer.');
const withCause = new OnboardingError('aws-unavailable', 'DynamoDB gave no answer.', {
  cause: { name: 'TimeoutError', message: 'socket closed' },
});
const cannotImport = 'Instance 7 cannot be imported as the taxify instance of tenant acme:';

/** Messages that users act on: which tenant and element, what happened, and the next step. */
const messages: [OnboardingError, ErrorCode, string, ErrorFacts?][] = [
  [refusals.notFound(key), 'not-found', 'Tenant acme has no taxify instance. Provision it first.'],
  [
    refusals.notActive(row),
    'not-active',
    'The taxify instance of tenant acme is provisioning, not active. Read the instance to see why.',
  ],
  [
    refusals.hasNoToken(row),
    'not-active',
    'The taxify instance of tenant acme has no token: it is provisioning. Read the instance to see why.',
  ],
  [
    refusals.busy(row, clock.nowMs),
    'busy',
    'The taxify instance of tenant acme is held by another request (provisioning). Retry.',
    { retryAfterMs: 3_000 },
  ],
  [
    refusals.changesTooOften(key),
    'busy',
    'The taxify instance of tenant acme changes too often at the moment. Retry later.',
  ],
  [refusals.tenantBusy('acme'), 'busy', 'Tenant acme is being removed by other requests. Retry later.'],
  [
    refusals.claimedTooOften(key),
    'busy-with-other-settings',
    'The taxify instance of tenant acme is being worked on by too many other requests. Retry later.',
  ],
  [
    refusals.busyWithOtherSettings({ ...imported, importing: {} }),
    'busy-with-other-settings',
    'The taxify instance of tenant acme is being imported: it will be instance 7. Retry later.',
  ],
  [
    refusals.busyWithOtherSettings(row),
    'busy-with-other-settings',
    'The taxify instance of tenant acme is being provisioned with another name, other tags or other configuration. Retry later.',
  ],
  [
    refusals.settingsConflict(imported),
    'settings-conflict',
    'The taxify instance of tenant acme is instance 7, which was imported. Import the same one again, change it with PATCH, or delete it first.',
  ],
  [
    refusals.settingsConflict(row),
    'settings-conflict',
    'The taxify instance of tenant acme exists with another name, other tags or other configuration, or with configuration of another source. Request it with the same settings, or delete it first.',
  ],
  [
    refusals.beingDeleted(row),
    'being-deleted',
    'The taxify instance of tenant acme is being deleted. Retry when it is gone.',
  ],
  [
    refusals.wasDeleted(key),
    'being-deleted',
    'The taxify instance of tenant acme was removed while this request ran. Retry.',
  ],
  [
    refusals.begunElsewhere(row, 'https://two.example'),
    'origin-changed',
    'The taxify instance of tenant acme was begun at https://one.example with an unknown outcome, and this stack calls https://two.example: point the stack back there until the instance has been settled.',
  ],
  [
    refusals.otherOrigin(row, 'https://two.example'),
    'origin-changed',
    'The taxify instance of tenant acme is at https://one.example, and this stack calls https://two.example: point the stack back there to change or check it.',
  ],
  [
    refusals.notOurs(key, 7),
    'not-ours',
    'Instance 7 at Cloud Elements shows that it is not the taxify instance of tenant acme: its tags name another tenant or stage, or it is of another element. It is left as it is.',
  ],
  [
    refusals.markersNotShown(row),
    'markers-not-shown',
    'Instance 7 does not show the tags by which this service knows the taxify instance of tenant acme, so its tags are left alone. Name and configuration can be changed.',
  ],
  [
    refusals.goneAtCloudElements(row),
    'gone-at-cloud-elements',
    'Cloud Elements no longer has instance 7: the taxify instance of tenant acme was removed there. Delete it here and provision it again.',
  ],
  [
    refusals.createOutOfTime(row),
    'out-of-time',
    'The taxify instance of tenant acme was not created: not enough time was left to send the create. Retry.',
  ],
  [
    refusals.updateOutOfTime(row),
    'out-of-time',
    'Not enough time was left to change the taxify instance of tenant acme. Retry.',
  ],
  [
    refusals.importOutOfTime(row),
    'out-of-time',
    'Not enough time was left to import the taxify instance of tenant acme. Retry.',
  ],
  [
    refusals.notShown(key, 'no response'),
    'cloud-elements-unreachable',
    'Cloud Elements did not show the taxify instance of tenant acme (no response). Nothing was changed; retry.',
  ],
  [
    refusals.outcomeUnknown(row, unknown),
    'outcome-unknown',
    'The taxify instance of tenant acme may or may not exist (no response). Retry: it is looked up first.',
    refused,
  ],
  [
    refusals.neverSeen(failedRow),
    'outcome-unknown',
    'Cloud Elements does not show the taxify instance of tenant acme yet. Retry: it is looked up first.',
    refused,
  ],
  [
    refusals.updateOutcomeUnknown(row, unknown),
    'update-outcome-unknown',
    'The taxify instance of tenant acme may or may not have been changed (no response). Retry.',
    refused,
  ],
  [
    refusals.notCreated(failedRow),
    'not-created',
    'Cloud Elements did not create the taxify instance of tenant acme. Request it again.',
    refused,
  ],
  [
    refusals.notCreated(row),
    'not-created',
    'Cloud Elements did not create the taxify instance of tenant acme. Request it again.',
    { requestId: undefined, said: undefined },
  ],
  [
    refusals.notSaved(row, 7, unavailable),
    'not-saved',
    'Cloud Elements made instance 7 (taxify) for tenant acme, but it could not be saved. Nothing is lost: a retry finds it.',
    { cause: { name: 'OnboardingError', message: 'DynamoDB gave no answer.' } },
  ],
  [
    refusals.notSaved(row, 7, withCause),
    'not-saved',
    'Cloud Elements made instance 7 (taxify) for tenant acme, but it could not be saved. Nothing is lost: a retry finds it.',
    { cause: { name: 'OnboardingError', message: 'DynamoDB gave no answer. TimeoutError: socket closed' } },
  ],
  [
    refusals.notRecorded(row, new OnboardingError('invalid-request', 'any')),
    'aws-unavailable',
    'The taxify instance of tenant acme was refused (invalid-request), but the refusal could not be recorded. The event is delivered again.',
  ],
  [
    refusals.instanceUnusable(row, { id: 7, reason: 'without a token' }, true),
    'instance-unusable',
    'Cloud Elements made instance 7, without a token, for the taxify instance of tenant acme, which this service cannot keep. Delete it at Cloud Elements (tag provision:generation), then request the instance again.',
  ],
  [
    refusals.instanceUnusable(row, { id: undefined, reason: 'without an id' }, false),
    'instance-unusable',
    'Cloud Elements made an instance without an id, for the taxify instance of tenant acme, which this service cannot keep. It was deleted. Ask the support of Cloud Elements, then request the instance again.',
  ],
  [
    refusals.deletionPending(row),
    'deletion-pending',
    'The taxify instance of tenant acme is not removed yet. The reconciler tries again.',
  ],
  [
    refusals.tenantDeletionPending(row),
    'deletion-pending',
    'Instances of tenant acme are not removed yet. The reconciler continues.',
  ],
  [
    refusals.notAtCloudElements(key, 7),
    'not-at-cloud-elements',
    `${cannotImport} Cloud Elements has no such instance. Check the id, and that the platform's user sees the instance.`,
  ],
  [
    refusals.otherElement(key, 7),
    'other-element',
    `${cannotImport} it is an instance of another element. Import it under the key of its own element.`,
  ],
  [
    refusals.markedForAnother(key, 7),
    'not-ours',
    `${cannotImport} its tags say that it belongs to another tenant or stage. It is left as it is.`,
  ],
  [
    refusals.instanceTaken(key, 7),
    'instance-taken',
    `${cannotImport} it belongs to another tenant of this stage, or is being imported for one.`,
  ],
  [
    refusals.leftOver(key, 7),
    'instance-taken',
    `${cannotImport} it is left over from an earlier request for the same instance, and is going to be removed.`,
  ],
  [
    refusals.tagsNotShown(key, 7),
    'not-fully-shown',
    `${cannotImport} Cloud Elements does not show its tags, which would be lost when this service adds its own. Nothing was changed; retry later.`,
  ],
  [
    refusals.tokenNotShown(key, 7),
    'not-fully-shown',
    `${cannotImport} Cloud Elements does not show its token. Nothing was changed; retry later.`,
  ],
  [
    refusals.importUnusable(key, 7, 'with a credential in its name'),
    'not-importable',
    `${cannotImport} it is an instance with a credential in its name, which this service cannot keep. It is left as it is.`,
  ],
  [
    refusals.notMarked(row, 7, { kind: 'absent' }),
    'not-at-cloud-elements',
    `${cannotImport} Cloud Elements has no such instance. Check the id, and that the platform's user sees the instance.`,
  ],
  [
    refusals.notMarked(row, 7, unknown),
    'update-outcome-unknown',
    'The taxify instance of tenant acme may or may not have been changed (no response). Retry.',
    refused,
  ],
  [
    refusals.notMarked(row, 7, { kind: 'refused', error: unavailable }),
    'aws-unavailable',
    unavailable.message,
  ],
  [
    refusals.importNotSaved(row, 7, unavailable),
    'not-saved',
    'Instance 7 (taxify) has the tags of tenant acme, but it could not be saved. Nothing is lost: a retry finishes the import.',
    { cause: { name: 'OnboardingError', message: 'DynamoDB gave no answer.' } },
  ],
  [
    refusals.namedByImport(imported),
    'deletion-refused',
    'Instance 7 was not created for the taxify instance of tenant acme but named by an import, and no active row records it. It is left as it is.',
  ],
];

test.each(messages.map(([error, code, message, facts = {}]) => [code, message, error, facts] as const))(
  'the refusal %s says: %s',
  (code, message, error, facts) => {
    expect(error).toMatchObject({ code, message });
    expect(error.facts).toEqual(facts);
  },
);
