import type { Guard } from './guards.ts';

const claim = 'functions/core/claim.ts';
const events = 'functions/model/events.ts';
const instance = 'functions/model/instance.ts';
const lifecycle = 'functions/core/lifecycle.ts';
const moments = 'functions/model/moments.ts';
const offboard = 'functions/core/offboard.ts';
const onboard = 'functions/core/onboard.ts';
const provision = 'functions/core/provision.ts';
const publisher = 'functions/adapters/event-publisher.ts';
const reconcile = 'functions/core/reconcile.ts';
const remove = 'functions/core/remove.ts';
const results = 'functions/model/result-events.ts';
const timing = 'functions/model/timing.ts';

/** Guards of removals, times and results. */
export const removalGuards: readonly Guard[] = [
  {
    name: 'the tombstone against late onboardings',
    file: lifecycle,
    guard: 'if (requestedBy && isRequestOutdated(momentOf(requestedBy), removedTimesOf(row))) {',
    without: 'if (requestedBy && row.revision === -1) {',
    tests: ['explorer.test'],
  },
  {
    name: 'the age of an offboarding',
    file: remove,
    guard: 'if (areRemovalsOutdated(removal.times, requestedTimesOf(row))) {',
    without: 'if (row.revision === -1) {',
    tests: ['explorer.test'],
  },
  {
    name: 'the new fence of a row that is requested again',
    file: lifecycle,
    guard: `    ...requestedAt(row, momentOf(requestedBy)),
    claimId,
    requestedBy,`,
    without: `    ...requestedAt(row, momentOf(requestedBy)),
    requestedBy,`,
    tests: ['explorer.test'],
  },
  {
    name: 'the time of the latest onboarding',
    file: lifecycle,
    guard: `    ...requestedAt(row, momentOf(requestedBy)),
    claimId,`,
    without: '    claimId,',
    tests: ['explorer.test'],
  },
  {
    name: 'the time of the latest removal, in progress',
    file: lifecycle,
    guard: 'const removedTimes = latestOfAll(removedTimesOf(row), times);',
    without: 'const removedTimes = row.removedTimes ?? times;',
    tests: ['explorer.test'],
  },
  {
    name: 'the time of the latest removal, done',
    file: remove,
    guard: '!isLater(removal.times, removedTimesOf(row)) &&',
    without: '',
    tests: ['explorer.test', 'removal-and-time.test'],
  },
  {
    name: 'the times of removal in every later state',
    file: lifecycle,
    guard:
      '    removedAt: at,\n    removedTimes: removedTimesOf(row),\n    removedBy: removedByOf(row),\n    removalIds',
    without: '    removalIds',
    tests: ['explorer.test'],
  },
  {
    name: 'a claim without the end of the tombstone',
    file: lifecycle,
    guard: '    removalIds: removalIdsOf(row),\n  };',
    without: '    removalIds: removalIdsOf(row),\n    expiresAt: row.expiresAt,\n  };',
    tests: ['explorer.test'],
  },
  {
    name: 'five seconds between two clocks',
    file: moments,
    guard: 'if (requested.clock !== removal.clock) return requested.at - removal.at > clockSkewMs;',
    without: 'if (requested.clock !== removal.clock) return requested.at > removal.at;',
    tests: ['explorer.test'],
  },
  {
    name: 'the removal within one second',
    file: moments,
    guard: 'return Math.floor(requested.at / 1_000) > Math.floor(removal.at / 1_000);',
    without: 'return Math.floor(requested.at / 1_000) >= Math.floor(removal.at / 1_000);',
    tests: ['moments.test'],
  },
  {
    name: 'removals that were carried out, by their events',
    file: 'functions/core/remove.ts',
    guard: 'const isKnown = by !== undefined && removalIdsOf(row).includes(by.eventId);',
    without: 'const isKnown = by !== undefined && removedByOf(row)?.eventId === by.eventId;',
    tests: ['over-two-requests'],
  },
  {
    name: 'the tombstone of a tenant before an event is answered',
    file: claim,
    guard: '(await outdatedByTenantRemoval(row, by)) ?? replay(row, by)',
    without: 'replay(row, by)',
    tests: ['over-two-requests'],
  },
  {
    name: 'the times of one removal, without those carried out before',
    file: offboard,
    guard: 'row.removingTimes ?? removedTimesOf(row)',
    without: 'removedTimesOf(row)',
    tests: ['over-two-requests'],
  },
  {
    name: 'the mark of a time that was cut before a redrive',
    file: events,
    guard: 'isCut: isTimeCut || undefined',
    without: 'isCut: undefined',
    tests: ['over-two-requests'],
  },
  {
    name: 'cutting stamps at their arrival',
    file: events,
    guard: 'if (sentAt <= arrivedAt) return',
    without: 'if (sentAt) return',
    tests: ['explorer.test'],
  },
  {
    name: 'the clock of a stamp that was cut',
    file: instance,
    guard: "return { clock: isCut ? 'queue' : 'event', at: sentAt };",
    without: "return { clock: isCut ? 'own' : 'event', at: sentAt };",
    tests: ['explorer.test'],
  },
  {
    name: 'the latest time by each clock',
    file: moments,
    guard: 'return { ...moments, [clock]: Math.max(moments[clock] ?? at, at) };',
    without: 'return { [clock]: Math.max(moments[clock] ?? at, at) };',
    tests: ['explorer.test'],
  },
  {
    name: 'times that only move forward',
    file: moments,
    guard: 'return { ...moments, [clock]: Math.max(moments[clock] ?? at, at) };',
    without: 'return { ...moments, [clock]: at };',
    tests: ['explorer.test'],
  },
  {
    name: 'carrying out a removal once',
    file: remove,
    guard: 'if (isCarriedOut(row, removal)) {',
    without: 'if (row.revision === -1) {',
    tests: ['explorer.test'],
  },
  {
    name: 'the age of an onboarding',
    file: onboard,
    guard: 'if (requestedBy && now() - requestedBy.sentAt > timing.oldestOnboardingMs) {',
    without: 'if (requestedBy?.sentAt === -1) {',
    tests: ['explorer.test'],
  },
  {
    name: 'the tombstone of a tenant before its instances are listed',
    file: offboard,
    guard: `    const row = await remember(tenantId, removal);
    if (row.status === 'removed') return 'already-gone';
    const outcome = await finishTenant(row, deadlineAt);`,
    without: `    const listed = await store.list(tenantId);
    const row = await remember(tenantId, removal);
    const early = createOffboarding({ ...ports, store: { ...store, list: async () => listed } });
    if (row.status === 'removed') return 'already-gone';
    const outcome = await early.finishTenant(row, deadlineAt);`,
    tests: ['explorer.test'],
  },
  {
    name: 'reading the tombstone of a tenant after the claim',
    file: claim,
    guard: `    const { requestedBy } = by.settings;
    const claimed = retryOf
      ? ((await claimOver(retryOf, by, newId(), deadlineAt)) ?? inProgress(retryOf))
      : await claimRow(by, deadlineAt);
    if ('outcome' in claimed) return claimed;
    const requested = retryOf ? requestedTimesOf(retryOf) : requestedBy && momentsOf(momentOf(requestedBy));
    if (!requested || !(await isOutdatedByTenant(claimed, requested))) return claimed;`,
    without: `    const { requestedBy } = by.settings;
    const requested = retryOf ? requestedTimesOf(retryOf) : requestedBy && momentsOf(momentOf(requestedBy));
    const isRemoved = requested && (await isTenantRemovedSince(store, by.settings.tenantId, requested));
    const claimed = retryOf
      ? ((await claimOver(retryOf, by, newId(), deadlineAt)) ?? inProgress(retryOf))
      : await claimRow(by, deadlineAt);
    if ('outcome' in claimed || !isRemoved) return claimed;`,
    tests: ['explorer.test'],
  },
  {
    name: 'waiting for every instance of a tenant that leaves',
    file: offboard,
    guard: 'if (failure || isOpen) {',
    without: 'if (failure) {',
    tests: ['explorer.test'],
  },
  {
    name: 'the fence of a tenant’s tombstone',
    file: offboard,
    guard: "if (!(await store.write(tombstoned, row)).won) return 'in-progress';",
    without: 'await store.write(tombstoned, row);',
    tests: ['explorer.test'],
  },
  {
    name: 'a result for both of two removals',
    file: remove,
    guard: 'if (!removal.by || removal.isOfTenant || removal.by.eventId === finished.by)',
    without: 'if (finished.outcome)',
    tests: ['explorer.test'],
  },
  {
    name: 'the result of a removal that was carried out',
    file: remove,
    guard: 'const isDone = removal.isOfTenant || (await recordAnswer(row, removal.by, claimId));',
    without: 'const isDone = true;',
    tests: ['explorer.test'],
  },
  {
    name: 'a result that the table’s stream passes on',
    file: remove,
    guard: "if (isLeased(row, nowMs) || row.status === 'provisioning') throw busy(row, nowMs);",
    without: 'if (isLeased(row, nowMs)) throw busy(row, nowMs);',
    tests: ['explorer.test'],
  },
  {
    name: 'the notice of a conflict',
    file: claim,
    guard: 'if (!requestedBy || lifecycle.isAnswered(row, requestedBy)) return conflict;',
    without: 'if (conflict) return conflict;',
    tests: ['explorer.test'],
  },
  {
    name: 'acknowledging only a refusal that is recordFailure',
    file: claim,
    guard:
      'return isRecorded || !mustBeRecorded || error.retryable ? error : refusals.notRecorded(row, error);',
    without: 'return error;',
    tests: ['explorer.test'],
  },
  {
    name: 'the tombstone before the reconciler fails a claim',
    file: reconcile,
    guard:
      'row.requestedBy !== undefined && (await isTenantRemovedSince(store, row.tenantId, requestedTimesOf(row)));',
    without: 'false;',
    tests: ['removal-and-time.test'],
  },
  {
    name: 'never answering with a tombstone',
    file: provision,
    guard: "if (!settled.row || settled.row.status === 'removed') throw wasDeleted(by.settings);",
    without: 'if (!settled.row) throw wasDeleted(by.settings);',
    tests: ['explorer.test'],
  },
  {
    name: 'the origin of an instance that is removed',
    file: remove,
    guard: 'if (row.origin !== origin) throw otherOrigin(row, origin);',
    without: '',
    tests: ['explorer.test'],
  },
  {
    name: 'the origin of a row that the reconciler settles',
    file: reconcile,
    guard: "if (leased.origin !== origin) return leaveOpen(leased, 'origin-changed');",
    without: '',
    tests: ['explorer.test'],
  },
  {
    name: 'a revision later than the previous one',
    file: lifecycle,
    guard: 'Math.max((row.revision ?? 0) + 1, nowMs);',
    without: 'nowMs;',
    tests: ['explorer.test'],
  },
  {
    name: 'the revision of a released claim',
    file: lifecycle,
    guard: 'leaseExpiresAt: 0, revision: row.revision };',
    without: 'leaseExpiresAt: 0 };',
    tests: ['core/lifecycle'],
  },
  {
    name: 'distinguishing a second failure by its revision',
    file: results,
    guard: '(!isSameStatus && after.revision !== before?.revision) ||',
    without: '',
    tests: ['core/lifecycle'],
  },
  {
    name: 'the toolkit’s result from the whole tenant alone',
    file: results,
    guard: 'const registration = isOfTenant ? registrationOf({ requestedBy: by }) : undefined;',
    without: 'const registration = registrationOf({ requestedBy: by });',
    tests: ['explorer.test'],
  },
  {
    name: 'the toolkit’s result to its own removals alone',
    file: results,
    guard: 'const registration = isOfTenant ? registrationOf({ requestedBy: by }) : undefined;',
    without: 'const registration = registrationOf(row);',
    tests: ['explorer.test'],
  },
  {
    name: 'one call for each write of a tenant',
    file: publisher,
    guard: 'if (fits && (other === undefined || other === result)) {',
    without: 'if (fits) {',
    tests: ['explorer.test'],
  },
  {
    name: 'later results waiting for a refused one',
    file: publisher,
    guard: 'for (const batch of batchesOf(results, entryOf)) await putAll(batch);',
    without: 'await Promise.allSettled(batchesOf(results, entryOf).map((batch) => putAll(batch)));',
    tests: ['explorer.test'],
  },
  {
    name: 'a tombstone that outlives every message',
    file: timing,
    guard: 'busRetentionMs + queueRetentionMs + deadLetterRetentionMs + 24 * 60 * 60 * 1_000;',
    without: '24 * 60 * 60 * 1_000;',
    tests: ['explorer.test'],
  },
  {
    name: 'clocks that differ',
    file: timing,
    guard: 'export const clockSkewMs = 5_000;',
    without: 'export const clockSkewMs = 0;',
    tests: ['explorer.test'],
  },
  {
    name: 'a create that takes two minutes, and no longer',
    file: timing,
    guard: 'export const slowestCreateMs = 120_000;',
    without: 'export const slowestCreateMs = 3_600_000;',
    tests: ['timing.test'],
  },
  {
    name: 'a create that takes two minutes, and no less',
    file: timing,
    guard: 'export const slowestCreateMs = 120_000;',
    without: 'export const slowestCreateMs = 60_000;',
    tests: ['explorer.test'],
  },
];
