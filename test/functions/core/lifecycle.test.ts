import { expect, test } from 'vitest';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import { claim, fail, restore, takeOver, type Claimant } from '../../../functions/core/lifecycle.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { judged, settingsOf, type EventOrigin, type InstanceRow } from '../../../functions/model/instance.ts';
import { resultOf } from '../../../functions/model/result-events.ts';
import { defaultTiming as timing } from '../../../functions/model/timing.ts';

const nowMs = Date.parse('2026-11-23T12:00:00Z');
const key = { tenantId: 'acme', elementKey: 'taxify' };
const refused = new OnboardingError('missing-configuration', 'api.key is missing');

function claimant(claimId: string, eventId: string): Claimant {
  const requestedBy: EventOrigin = { dialect: 'native', eventId, sentAt: nowMs };
  const settings = judged(builtInCatalog, settingsOf(key, {}, requestedBy));
  return { settings, origin: 'https://one.example', claimId, nowMs, sendDeadline: nowMs + 1_000 };
}

/** A row that failed for one event, and its claim by the same event's redelivery, all within one millisecond. */
function failedAndTaken(): { failed: InstanceRow; taken: InstanceRow } {
  const failed = fail(claim(claimant('a', 'event-1'), 'p', timing), 0, refused, nowMs, timing);
  return { failed, taken: takeOver(failed, claimant('b', 'event-1'), true, timing) };
}

const typesOf = (before: InstanceRow | undefined, after: InstanceRow) =>
  resultOf({ before, after }).events.map(({ detailType }) => detailType);

test('a released claim leaves its row as it was, but for the fencing token and the revision', () => {
  const { failed, taken } = failedAndTaken();
  const restored = restore({ ...taken, revision: (taken.revision ?? 0) + 1 }, failed);
  expect(restored).toEqual({ ...failed, claimId: 'b', revision: (failed.revision ?? 0) + 1 });
});

test('a second failure in one millisecond publishes InstanceFailed; a restored claim publishes nothing', () => {
  const { failed, taken } = failedAndTaken();
  expect(typesOf(taken, fail(taken, 0, refused, nowMs, timing))).toEqual(['InstanceFailed']);
  expect(typesOf(taken, restore(taken, failed))).toEqual([]);
});
