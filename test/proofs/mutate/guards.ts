/** A guard of the protocol, and the code without it. */
export type Guard = {
  /** Completes "Without …". */
  name: string;
  file: string;
  /** Occurs in the file exactly once. */
  guard: string;
  without: string;
  /** Files (ports of their names) in which a test must fail. */
  tests: readonly string[];
};

/** Finds a guard in a file, however the formatter has broken its lines. */
export const patternOf = (guard: string): RegExp =>
  new RegExp(
    guard
      .trim()
      .split(/\s+/)
      .map((word) => word.replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`))
      .join('\\s+'),
  );

/** Guards of one file that the same tests must notice: by name, the guard and the code in its place. */
const guardsIn = (
  file: string,
  tests: readonly string[],
  guards: Record<string, readonly [guard: string, without: string]>,
): Guard[] =>
  Object.entries(guards).map(([name, [guard, without]]) => ({ name, file, guard, without, tests }));

export const guards: readonly Guard[] = [
  ...guardsIn('functions/core/lifecycle.ts', ['removal-and-time.test'], {
    'the removal that outdates an onboarding': [
      'if (requestedBy && isRequestOutdated(momentOf(requestedBy), removedTimesOf(row))) {',
      'if (requestedBy && row.claimId === requestedBy.eventId) {',
    ],
  }),
  ...guardsIn('functions/core/remove.ts', ['removal-and-time.test'], {
    'the onboarding that outdates a removal': [
      'if (areRemovalsOutdated(removal.times, requestedTimesOf(row))) {',
      'if (areRemovalsOutdated({}, {}) && row.claimId === key.tenantId) {',
    ],
    'the removal that was carried out before': [
      'if (isCarriedOut(row, removal)) {',
      'if (row.claimId === key.tenantId) {',
    ],
  }),
  ...guardsIn('functions/core/claim.ts', ['removal-and-time.test'], {
    'the tombstone of a tenant that an event reads after its claim': [
      'if (!requested || !(await isOutdatedByTenant(claimed, requested))) return claimed;',
      'if (!requested || claimed.row.claimId !== requestedBy?.eventId) return claimed;',
    ],
  }),
  ...guardsIn('functions/adapters/instance-store.ts', ['provision.test'], {
    'the condition of the claim': [
      "'attribute_not_exists(tenantId)'",
      "'attribute_not_exists(tenantId) OR attribute_exists(tenantId)'",
    ],
    'the fence of the commit': [
      'const fenceOf = ({ status, provisionId, claimId }: InstanceRow) => ({ status, provisionId, claimId });',
      'const fenceOf = ({ status, provisionId }: InstanceRow) => ({ status, provisionId });',
    ],
    'recognizing one’s own write': [
      'return current?.claimId === by.claimId ? { won: true } : { won: false, current };',
      'return { won: false, current };',
    ],
  }),
  ...guardsIn('functions/core/lifecycle.ts', ['provision.test'], {
    'the lease of a claim': [
      "if (isLeased(row, nowMs)) return { kind: 'in-progress', retryAfterMs: row.leaseExpiresAt - nowMs };",
      '',
    ],
    'the send deadline of the claim before': [
      'sendDeadline: mayCreate ? claimant.sendDeadline : row.sendDeadline,',
      'sendDeadline: claimant.sendDeadline,',
    ],
    'the look-up after a claim that died': [
      "return row.inDoubt || (row.status === 'provisioning' && !row.importing);",
      'return row.inDoubt;',
    ],
    'the quiescence before another create': [
      "earlier: 'to-adopt', mayCreate: quietMs <= 0 };",
      "earlier: 'to-adopt', mayCreate: true };",
    ],
    'the origin of a row in doubt': ["if (row.origin !== origin) return { kind: 'origin-changed' };", ''],
    'cleaning a failed row before it is taken over': [
      "const decision = { kind: 'take-over', earlier: 'to-remove', mayCreate: true } as const;",
      "const decision = { kind: 'take-over', earlier: 'nothing', mayCreate: true } as const;",
    ],
  }),
  ...guardsIn('functions/core/create.ts', ['provision.test'], {
    'the check of the time that is left': ['if (now() > lastStartAt) break;', ''],
  }),
  ...guardsIn('functions/core/lifecycle.ts', ['provision.test', 'remove.test'], {
    'the look-up for a row in doubt': [
      "return row.inDoubt || (row.status === 'provisioning' && !row.importing);",
      "return row.status === 'provisioning' && !row.importing;",
    ],
  }),
  ...guardsIn('functions/adapters/cloud-elements.ts', ['provision.test'], {
    'taking a 5xx as unknown': [
      'const isRefusal = status >= 400 && status < 500 && status !== 408 && status !== 409;',
      'const isRefusal = status >= 400 && status !== 408 && status !== 409;',
    ],
    'taking a 409 as unknown': ['status !== 408 && status !== 409;', 'status !== 408;'],
  }),
  ...guardsIn('functions/adapters/cloud-elements-http.ts', ['provision.test'], {
    'taking a broken connection as unknown': [
      "return { kind: 'broken', sent: connected, reason: nameOf(error) };",
      "return { kind: 'broken', sent: false, reason: nameOf(error) };",
    ],
    'the platform’s mark on a 404': [
      'result.status === 404 && result.refusal?.isNumbered === true;',
      'result.status === 404;',
    ],
  }),
  ...guardsIn('functions/adapters/cloud-elements.ts', ['cloud-elements-search.test'], {
    'comparing tags here': ["if (!hasTag(shown, tag)) return { kind: 'unrequested' };", ''],
    'comparing tenant, stage and element of found instances': [
      "if (namesAnother(markedOf(shown), sought)) return { kind: 'none' };",
      '',
    ],
    'two equal walks through a list that ignores the filter': [
      '(before && isSameSet(before.ids, walk.ids))',
      'walk.ids.size >= 0',
    ],
    'reading instances without tags by id': [
      "if (!shown.tags?.length) return { kind: 'unknown', reason: `instance ${id} shows no tags` };",
      "if (!shown.tags?.length) return { kind: 'none' };",
    ],
    'reading the recordFailure instance by its id': [
      "if (search.kind === 'unknown' || instanceId === undefined) return search;",
      "if (search.kind === 'unknown' || instanceId !== -1) return search;",
    ],
  }),
  ...guardsIn('functions/core/settle.ts', ['core/settle.test', 'provision.test'], {
    'reading the commit before duplicates are removed': [
      'if (duplicates.length > 0 && (await isStored(row, kept.id))) {',
      'if (duplicates.length > 0) {',
    ],
    'leaving an instance that a rival may adopt': [
      "if (current.status === 'provisioning' || current.status === 'failed') {",
      "if (current.status === 'failed') {",
    ],
  }),
  ...guardsIn('functions/model/configuration.ts', ['provenance/sequences'], {
    'the allow-list beside a tenant’s secret': [
      'if (outside.length > 0) throw notAllowed(catalog, elementKey, outside);',
      'if (outside.length > 0) return configuration;',
    ],
    'taking no credential from an event': [
      'if (outside.length > 0 && requestedBy !== undefined) return notAllowed(catalog, elementKey, outside, faults);',
      'if (outside.length > 0 && requestedBy !== undefined) return undefined;',
    ],
    'keeping the secret from an instance of an earlier version': [
      'throw configurationUnknown(catalog, row);',
      'return secretFor(catalog, row, await readTenantSecret());',
    ],
    'keeping the secret from an instance that a request has configured': [
      'if (outside.length === 0) throw configurationFromRequest(catalog, row, remembered);',
      'if (outside.length === 0) return secretFor(catalog, row, await readTenantSecret());',
    ],
    'a request’s own configuration, without the secret’s': [
      "if (settings.source === 'request') return { ...defaults, ...settings.configuration };",
      '',
    ],
    'the list of now for a stored address': [
      '...(Object.hasOwn(allowListed, name) ? [allowListed[name]] : []),',
      '',
    ],
    'the list of now for an address in doubt': ['...doubtedValuesOf(valuesInDoubt, name),\n    ];', '];'],
  }),
  ...guardsIn('functions/model/configuration.ts', ['tightened-list.test'], {
    'naming an unknown value that an operator vouches for': [' || isUnknown(name)', ''],
  }),
  ...guardsIn('functions/model/catalog.ts', ['catalog.test'], {
    'both ends of a DNS label': [
      '/^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/',
      '/^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?/',
    ],
    'a number in place of a host': ['namesHost(name) ? hostLabel : ', ''],
    'the origin of an address': ['url?.origin === origin &&', 'url !== null &&'],
    'a plainly written address': ['(url.href === text || url.href === `${text}/`) &&', ''],
    'the letters of an address': ['/^https:\\/\\/[a-z0-9.:-]+(?:\\/[\\w.~-]+)*\\/?$/i.test(text)', 'true'],
  }),
  ...guardsIn('infra/elements.ts', ['infra/elements.test'], {
    'saying that a request may choose an address': [
      "if (list === 'addresses' || !maySteer(name)) return undefined;",
      'return undefined;',
    ],
    'a credential inside of a default': ['return holdsCredential(value)\n', 'return false\n'],
  }),
  ...guardsIn('functions/core/remove.ts', ['remove.test'], {
    'the lease before a removal': [
      "if (isLeased(row, nowMs) && row.status !== 'deleting') throw busy(row, nowMs);",
      '',
    ],
    'the quiescence before a row is marked removed': [
      'if (quietMs > 0) return pause(',
      'if (quietMs > Infinity) return pause(',
    ],
    'leaving an instance that shows another’s tags': [
      "if (found.owned === 'not-ours') {",
      'if (instanceId === -1) {',
    ],
  }),
  ...guardsIn('functions/core/update.ts', ['update.test'], {
    'the lease before an update': ['if (isLeased(row, nowMs)) throw refusals.busy(row, nowMs);', ''],
    'marker tags in an update': ['[...new Set(tags), ...markerTags(row, stage)]', '[...new Set(tags)]'],
    'the doubt about an update’s entries': [
      '...(isOutside && { requestDigest: digestInDoubt }),',
      '...(isOutside && {}),',
    ],
    'remembering names before they are sent': ['requestEntries: withRequestEntries(row, configuration),', ''],
    'reading an instance’s tags before it is updated': [
      "if (outcome.owned === 'not-ours') {",
      'if (instanceId === -1) {',
    ],
    'leaving the tags of an instance without markers alone': [
      'if (tags) throw refusals.markersNotShown(row);',
      '',
    ],
  }),
  ...guardsIn('functions/core/reconcile.ts', ['reconcile.test'], {
    'the reconciler’s own lease': [
      'if (!(await store.claim(leased, row)).won) return skipped;',
      'await store.claim(leased, row);',
    ],
    'the quiescence before the reconciler gives up': [
      'if (lookedAt < row.sendDeadline + timing.quiescenceMs) {',
      'if (now() < 0) {',
    ],
    'reading the kept instance before duplicates are removed': [
      "if (keptId !== undefined && !(kept?.kind === 'read' && kept.owned !== 'not-ours')) {",
      'if (keptId === -1) {',
    ],
    'repeating an uncertain look-up': [
      'if (!(found.isCertain && formers.areCertain)) return check(row, now() + timing.recheckMs);',
      '',
    ],
    'half of a batch for first looks': [
      '...first.slice(0, size - chosen.length)',
      '...(chosen.length === 0 ? first : [])',
    ],
    'moving an unreadable row': ['if (isUnreadable || !isExpected) await postpone(due);', ''],
  }),
  ...guardsIn('functions/core/audit.ts', ['audit.test'], {
    'an unchanged row before its instance is lost': [
      "outcome = current && isUnchanged(row, current) ? 'denied' : 'changed';",
      "outcome = current ? 'denied' : 'changed';",
    ],
    'reporting no loss when most instances are not visible': ['    if (isMostlyUnseen()) return;\n', ''],
    'an instance’s own tags before its token is stored again': [
      "const own = owned === 'ours' && token !== undefined ? token : await readToken(row);",
      'const own = token ?? (await readToken(row));',
    ],
  }),
  ...guardsIn('functions/core/claim.ts', ['explorer.test'], {
    'the lease before a repeat is recordFailure': ['if (lifecycle.isLeased(current, by.nowMs)) break;', ''],
    'acknowledging only a repeat that is recordFailure': [
      "if (write.won) return { outcome: 'replayed', row: requested };",
      "return { outcome: 'replayed', row: requested };",
    ],
  }),
  ...guardsIn('functions/core/remove.ts', ['explorer.test'], {
    'recording a removal beside another': [
      "if (isLeased(row, nowMs) && row.status !== 'deleting') throw busy(row, nowMs);",
      `if (isLeased(row, nowMs)) {
        if (row.status === 'deleting') return { outcome: 'in-progress', retryAfterMs: 1_000 };
        throw busy(row, nowMs);
      }`,
    ],
    'deciding a removal’s look-up by its beginning': [
      'row.sendDeadline + timing.quiescenceMs - lookedAt : 0;',
      'row.sendDeadline + timing.quiescenceMs - now() : 0;',
    ],
  }),
  ...guardsIn('functions/core/reconcile.ts', ['explorer.test'], {
    'deciding the reconciler’s look-up by its beginning': [
      'if (lookedAt < row.sendDeadline',
      'if (now() < row.sendDeadline',
    ],
  }),
  ...guardsIn('functions/model/configuration.ts', ['update.test'], {
    'checking remembered names against the current allow-list': [
      'if (remembered.length > 0) throw configurationFromRequest(catalog, row, remembered);',
      '',
    ],
    'changing all entries that requests have set together': [
      'const missing = [...new Set([...missingIn(catalog, elementKey, configuration), ...kept])].toSorted();',
      'const missing: string[] = [];',
    ],
    'every required entry in a secret that is sent': [
      'if (missing.length === 0 && Object.keys(configuration).length > 0) return configuration;',
      'return configuration;',
    ],
    'the form of an allowed entry in an update': [
      '  if (faults.length > 0) {\n    if (outside',
      '  if (faults.length > names.length) {\n    if (outside',
    ],
  }),
  ...guardsIn('functions/model/configuration.ts', ['provenance.test', 'provision.test'], {
    'every required entry in a request that sets others': [
      'if (outside.length === 0 || missing.length === 0) {',
      'if (faults.length === 0 || missing.length === 0) {',
    ],
  }),
  ...guardsIn('functions/core/lifecycle.ts', ['provenance/sequences'], {
    'comparing the source of two requests': [
      'row.source === settings.source && row.requestDigest === settings.requestDigest;',
      'row.source !== null;',
    ],
    'the unknown source of a claim that is taken over': [
      "const isUnknown = row.status === 'provisioning' && row.source === undefined;",
      'const isUnknown = false;',
    ],
    'a generation of its own after other settings': [
      'const needsNewGeneration = row.source === undefined || !sameSettings;',
      'const needsNewGeneration = row.source === undefined;',
    ],
    'a generation of its own after an unknown source': [
      'row.source === undefined || !sameSettings;',
      '!sameSettings;',
    ],
  }),
  ...guardsIn('functions/model/configuration.ts', ['model/configuration'], {
    'comparing the addresses of two requests': [
      'return [name, ...addresses.toSorted()];',
      'return [name, addresses === null];',
    ],
  }),
  ...guardsIn('functions/core/lifecycle.ts', ['provenance.test'], {
    'a registration of an instance that was removed': [
      '(isOfRegistration(row, requestedBy) && !isOfFormer)',
      'isOfRegistration(row, requestedBy)',
    ],
  }),
  ...guardsIn('functions/core/lifecycle.ts', ['provenance/provenance'], {
    'remembering an abandoned generation': ['formers.push({ provisionId, name, createdAt, origin });', '{}'],
    'the recheck of abandoned generations': [
      'return inDoubt || formers?.length ? nowMs + recheckMs : undefined;',
      'return inDoubt ? nowMs + recheckMs : undefined;',
    ],
    'the conflict of a toolkit request with an instance that a request has configured': [
      "requestedBy.dialect !== 'native' && row.source !== 'request'",
      "requestedBy.dialect !== 'native'",
    ],
    'recognizing an event that was answered': [
      '(isAnswered(row, requestedBy) || acceptsAnySettings(row, requestedBy))',
      'acceptsAnySettings(row, requestedBy)',
    ],
  }),
  ...guardsIn('functions/core/update.ts', ['provenance/sequences'], {
    'the doubt about an update before it is sent': [
      'updateInDoubtUntil: Math.max(row.updateInDoubtUntil ?? 0, endsAt),',
      '',
    ],
    'the quiescence in the doubt about an update': [
      'const endsAt = untilMs + timing.quiescenceMs;',
      'const endsAt = untilMs;',
    ],
    'the doubt about an update that is sent again': ['if (isInconclusive) isCertain = false;', ''],
    'the doubt about an address that is sent again': [
      '(row.updateInDoubtUntil ?? 0) <= leasedAt && outcome.isCertain;',
      '(row.updateInDoubtUntil ?? 0) <= leasedAt;',
    ],
    'the doubt about the previous update': [
      'valuesInDoubt } = outcome.isCertain\n      ? row',
      'valuesInDoubt } = outcome.isCertain\n      ? { ...row, updateInDoubtUntil: undefined }',
    ],
  }),
  ...guardsIn('functions/core/trust.ts', ['provenance/sequences'], {
    'the doubt about an update when an operator trusts': [
      'if (row.updateInDoubtUntil !== undefined && row.updateInDoubtUntil > nowMs) {',
      'if (row.updateInDoubtUntil === 0) {',
    ],
  }),
  ...guardsIn('functions/core/trust.ts', ['core/trust'], {
    'the lease when an operator trusts': ['if (isLeased(row, nowMs)) return', 'if (nowMs === 0) return'],
    'the new fence of a row that is trusted': [
      `    claimId,
    source: 'secret',`,
      "    source: 'secret',",
    ],
  }),
  ...guardsIn('functions/model/entry-value.ts', ['model/configuration'], {
    'refusing masks': [
      'z.regex(/[^\\s*•\\p{Cf}]/u, expectedValue),',
      'z.regex(/[^\\s\\p{Cf}]/u, expectedValue),',
    ],
  }),
  ...guardsIn('functions/model/instance.ts', ['model/configuration'], {
    'refusing credentials in place of names': ['z.refine(isEntryName, {', 'z.refine(() => true, {'],
  }),

  // Removals, times and results.
  ...guardsIn('functions/core/lifecycle.ts', ['explorer.test'], {
    'the tombstone against late onboardings': [
      'if (requestedBy && isRequestOutdated(momentOf(requestedBy), removedTimesOf(row))) {',
      'if (requestedBy && row.revision === -1) {',
    ],
    'the new fence of a row that is requested again': [
      `    ...requestedAt(row, momentOf(requestedBy)),
    claimId,
    requestedBy,`,
      `    ...requestedAt(row, momentOf(requestedBy)),
    requestedBy,`,
    ],
    'the time of the latest onboarding': [
      `    ...requestedAt(row, momentOf(requestedBy)),
    claimId,`,
      '    claimId,',
    ],
    'the time of the latest removal, in progress': [
      'const removedTimes = latestOfAll(removedTimesOf(row), times);',
      'const removedTimes = row.removedTimes ?? times;',
    ],
    'the times of removal in every later state': [
      '    removedAt: at,\n    removedTimes: removedTimesOf(row),\n    removedBy: removedByOf(row),\n    removalIds',
      '    removalIds',
    ],
    'a claim without the end of the tombstone': [
      '    removalIds: removalIdsOf(row),\n  };',
      '    removalIds: removalIdsOf(row),\n    expiresAt: row.expiresAt,\n  };',
    ],
    'a revision later than the previous one': ['Math.max((row.revision ?? 0) + 1, nowMs);', 'nowMs;'],
  }),
  ...guardsIn('functions/core/remove.ts', ['explorer.test'], {
    'the age of an offboarding': [
      'if (areRemovalsOutdated(removal.times, requestedTimesOf(row))) {',
      'if (row.revision === -1) {',
    ],
    'carrying out a removal once': ['if (isCarriedOut(row, removal)) {', 'if (row.revision === -1) {'],
    'a result for both of two removals': [
      'if (!removal.by || removal.isOfTenant || removal.by.eventId === finished.by)',
      'if (finished.outcome)',
    ],
    'the result of a removal that was carried out': [
      'const isDone = removal.isOfTenant || (await recordAnswer(row, removal.by, claimId));',
      'const isDone = true;',
    ],
    'a result that the table’s stream passes on': [
      "if (isLeased(row, nowMs) || row.status === 'provisioning') throw busy(row, nowMs);",
      'if (isLeased(row, nowMs)) throw busy(row, nowMs);',
    ],
    'the origin of an instance that is removed': [
      'if (row.origin !== origin) throw otherOrigin(row, origin);',
      '',
    ],
  }),
  ...guardsIn('functions/core/remove.ts', ['explorer.test', 'removal-and-time.test'], {
    'the time of the latest removal, done': ['!isLater(removal.times, removedTimesOf(row)) &&', ''],
  }),
  ...guardsIn('functions/model/moments.ts', ['explorer.test'], {
    'five seconds between two clocks': [
      'if (requested.clock !== removal.clock) return requested.at - removal.at > clockSkewMs;',
      'if (requested.clock !== removal.clock) return requested.at > removal.at;',
    ],
    'the latest time by each clock': [
      'return { ...moments, [clock]: Math.max(moments[clock] ?? at, at) };',
      'return { [clock]: Math.max(moments[clock] ?? at, at) };',
    ],
    'times that only move forward': [
      'return { ...moments, [clock]: Math.max(moments[clock] ?? at, at) };',
      'return { ...moments, [clock]: at };',
    ],
  }),
  ...guardsIn('functions/model/moments.ts', ['moments.test'], {
    'the removal within one second': [
      'return Math.floor(requested.at / 1_000) > Math.floor(removal.at / 1_000);',
      'return Math.floor(requested.at / 1_000) >= Math.floor(removal.at / 1_000);',
    ],
  }),
  ...guardsIn('functions/core/remove.ts', ['over-two-requests'], {
    'removals that were carried out, by their events': [
      'const isKnown = by !== undefined && removalIdsOf(row).includes(by.eventId);',
      'const isKnown = by !== undefined && removedByOf(row)?.eventId === by.eventId;',
    ],
  }),
  ...guardsIn('functions/core/claim.ts', ['over-two-requests'], {
    'the tombstone of a tenant before an event is answered': [
      '(await outdatedByTenantRemoval(row, by)) ?? replay(row, by)',
      'replay(row, by)',
    ],
  }),
  ...guardsIn('functions/core/offboard.ts', ['over-two-requests'], {
    'the times of one removal, without those carried out before': [
      'row.removingTimes ?? removedTimesOf(row)',
      'removedTimesOf(row)',
    ],
  }),
  ...guardsIn('functions/model/events.ts', ['over-two-requests'], {
    'the mark of a time that was cut before a redrive': ['isCut: isTimeCut || undefined', 'isCut: undefined'],
  }),
  ...guardsIn('functions/model/events.ts', ['explorer.test'], {
    'cutting stamps at their arrival': ['if (sentAt <= arrivedAt) return', 'if (sentAt) return'],
  }),
  ...guardsIn('functions/model/instance.ts', ['explorer.test'], {
    'the clock of a stamp that was cut': [
      "return { clock: isCut ? 'queue' : 'event', at: sentAt };",
      "return { clock: isCut ? 'own' : 'event', at: sentAt };",
    ],
  }),
  ...guardsIn('functions/core/onboard.ts', ['explorer.test'], {
    'the age of an onboarding': [
      'if (requestedBy && now() - requestedBy.sentAt > timing.oldestOnboardingMs) {',
      'if (requestedBy?.sentAt === -1) {',
    ],
  }),
  ...guardsIn('functions/core/offboard.ts', ['explorer.test'], {
    'the tombstone of a tenant before its instances are listed': [
      `    const row = await remember(tenantId, removal);
    if (row.status === 'removed') return 'already-gone';
    const outcome = await finishTenant(row, deadlineAt);`,
      `    const listed = await store.list(tenantId);
    const row = await remember(tenantId, removal);
    const early = createOffboarding({ ...ports, store: { ...store, list: async () => listed } });
    if (row.status === 'removed') return 'already-gone';
    const outcome = await early.finishTenant(row, deadlineAt);`,
    ],
    'waiting for every instance of a tenant that leaves': ['if (failure || isOpen) {', 'if (failure) {'],
    'the fence of a tenant’s tombstone': [
      "if (!(await store.write(tombstoned, row)).won) return 'in-progress';",
      'await store.write(tombstoned, row);',
    ],
  }),
  ...guardsIn('functions/core/claim.ts', ['explorer.test'], {
    'reading the tombstone of a tenant after the claim': [
      `    const { requestedBy } = by.settings;
    const claimed = retryOf
      ? ((await claimOver(retryOf, by, newId(), deadlineAt)) ?? inProgress(retryOf))
      : await claimRow(by, deadlineAt);
    if ('outcome' in claimed) return claimed;
    const requested = retryOf ? requestedTimesOf(retryOf) : requestedBy && momentsOf(momentOf(requestedBy));
    if (!requested || !(await isOutdatedByTenant(claimed, requested))) return claimed;`,
      `    const { requestedBy } = by.settings;
    const requested = retryOf ? requestedTimesOf(retryOf) : requestedBy && momentsOf(momentOf(requestedBy));
    const isRemoved = requested && (await isTenantRemovedSince(store, by.settings.tenantId, requested));
    const claimed = retryOf
      ? ((await claimOver(retryOf, by, newId(), deadlineAt)) ?? inProgress(retryOf))
      : await claimRow(by, deadlineAt);
    if ('outcome' in claimed || !isRemoved) return claimed;`,
    ],
    'the notice of a conflict': ['if (!requestedBy) return conflict;', 'if (conflict) return conflict;'],
    'acknowledging only a refusal that is recordFailure': [
      'return isRecorded || !mustBeRecorded || error.retryable ? error : refusals.notRecorded(row, error);',
      'return error;',
    ],
  }),
  ...guardsIn('functions/core/reconcile.ts', ['removal-and-time.test'], {
    'the tombstone before the reconciler fails a claim': [
      'row.requestedBy !== undefined && (await isTenantRemovedSince(store, row.tenantId, requestedTimesOf(row)));',
      'false;',
    ],
  }),
  ...guardsIn('functions/core/provision.ts', ['explorer.test'], {
    'never answering with a tombstone': [
      "if (!settled.row || settled.row.status === 'removed') throw wasDeleted(by.settings);",
      'if (!settled.row) throw wasDeleted(by.settings);',
    ],
  }),
  ...guardsIn('functions/core/reconcile.ts', ['explorer.test'], {
    'the origin of a row that the reconciler settles': [
      "if (leased.origin !== origin) return leaveOpen(leased, 'origin-changed');",
      '',
    ],
  }),
  ...guardsIn('functions/core/lifecycle.ts', ['core/lifecycle'], {
    'the revision of a released claim': [
      'leaseExpiresAt: 0, revision: row.revision };',
      'leaseExpiresAt: 0 };',
    ],
  }),
  ...guardsIn('functions/model/result-events.ts', ['core/lifecycle'], {
    'distinguishing a second failure by its revision': [
      '(!isSameStatus && after.revision !== before?.revision) ||',
      '',
    ],
  }),
  ...guardsIn('functions/model/result-events.ts', ['explorer.test'], {
    'the toolkit’s result from the whole tenant alone': [
      'const registration = isOfTenant ? registrationOf({ requestedBy: by }) : undefined;',
      'const registration = registrationOf({ requestedBy: by });',
    ],
    'the toolkit’s result to its own removals alone': [
      'const registration = isOfTenant ? registrationOf({ requestedBy: by }) : undefined;',
      'const registration = registrationOf(row);',
    ],
  }),
  ...guardsIn('functions/adapters/event-publisher.ts', ['explorer.test'], {
    'one call for each write of a tenant': [
      'if (fits && (other === undefined || other === result)) {',
      'if (fits) {',
    ],
    'later results waiting for a refused one': [
      'for (const batch of batchesOf(results, entryOf)) await putAll(batch);',
      'await Promise.allSettled(batchesOf(results, entryOf).map((batch) => putAll(batch)));',
    ],
  }),
  ...guardsIn('functions/model/timing.ts', ['explorer.test'], {
    'a tombstone that outlives every message': [
      'busRetentionMs + queueRetentionMs + deadLetterRetentionMs + 24 * 60 * 60 * 1_000;',
      '24 * 60 * 60 * 1_000;',
    ],
    'clocks that differ': ['export const clockSkewMs = 5_000;', 'export const clockSkewMs = 0;'],
    'a create that takes two minutes, and no less': [
      'export const slowestCreateMs = 120_000;',
      'export const slowestCreateMs = 60_000;',
    ],
  }),
  ...guardsIn('functions/model/timing.ts', ['timing.test'], {
    'a create that takes two minutes, and no longer': [
      'export const slowestCreateMs = 120_000;',
      'export const slowestCreateMs = 3_600_000;',
    ],
  }),

  // Health.
  ...guardsIn('functions/model/health.ts', ['core/check'], {
    'the second failure before an instance is unhealthy': [
      'if (before?.failedAt !== undefined) return',
      'return',
    ],
    'unknown that turns nothing': [
      'if (before && !isDisproved(before, finding)) {',
      'if (before && before.since === -1) {',
    ],
    'recovering without a ping': ['if (before && !isDisproved(before, finding)) {', 'if (before) {'],
  }),
  ...guardsIn('functions/core/check.ts', ['core/check', 'explorer.test'], {
    'the row as it was read when a check is written': [
      'const written = await store.claim(next, row);',
      'const written = await store.claim(next, (await store.get(row)) ?? row);',
    ],
  }),
  ...guardsIn('functions/core/check.ts', ['core/check'], {
    'the new fence of a check': ['      claimId: newId(),\n      health,', '      health,'],
    'the lease when an instance is checked on request': [
      'if (isLeased(row, now())) throw refusals.busy(row, now());',
      '',
    ],
    'the lease when an instance is due for a check': [
      'if (!isDue(row, nowMs) || isLeased(row, nowMs)) return undefined;',
      'if (!isDue(row, nowMs)) return undefined;',
    ],
    'looking for other instances before one is gone': ['isAlone = false;\n      reads += 1;', 'reads += 1;'],
    'only rows that say something of the platform’s user': [
      "if (status !== 'active' || instanceId === undefined || other.origin !== origin) continue;",
      'if (instanceId === undefined) continue;',
    ],
    'moving a row whose check meets a bug': [
      "if (isMovable && (!isExpected || error.code === 'internal')) await postpone(due);",
      "if (isMovable && isExpected && error.code === 'internal') await postpone(due);",
    ],
    'the reconciler’s time of a row whose check meets a bug': [
      "if (isMovable && (!isExpected || error.code === 'internal')) await postpone(due);",
      "if (!isExpected || error.code === 'internal') await postpone(due);",
    ],
    'checks of rows that are not settled': [
      'return isDue(row, now()) && isUnsettled(row);',
      'return isDue(row, 0) && isUnsettled(row);',
    ],
    'moved rows among those that are not settled': [
      'return isDue(row, now()) && isUnsettled(row);',
      'return isDue(row, now());',
    ],
    'ending a run of checks without a response': ['if (tally.brokenOff) break;', ''],
    'the most checks of a run': ['while (seen.size < checksPerRun && ', 'while ('],
  }),
  ...guardsIn('functions/adapters/cloud-elements-ping.ts', ['core/check'], {
    'the vendor’s own words before a key is refused': [
      'if (refusal?.isVendors && refusing.has(status))',
      'if (refusing.has(status))',
    ],
    'statuses by which a vendor refuses a key': [
      'if (refusal?.isVendors && refusing.has(status))',
      'if (refusal?.isVendors)',
    ],
    'the form of a pong': [
      'dateTime !== undefined || endpoint !== undefined || valid !== undefined,',
      'dateTime !== -1,',
    ],
  }),
  ...guardsIn('functions/core/update.ts', ['core/check'], {
    'forgetting a failure before an update': ['health: row.health && unconfirmed(row.health),', ''],
    'forgetting a failure before an update of unknown outcome': [
      'health: ended.health && unconfirmed(ended.health),',
      '',
    ],
    'an update beside a check': [
      'if (taken.won || !taken.current || !isSameButHealth(row, taken.current)) break;',
      'if (taken.won || taken.current?.v !== undefined) break;',
    ],
  }),
  ...guardsIn('functions/core/lifecycle.ts', ['core/check'], {
    'what else has changed beside a check': [
      'return isDeepStrictEqual({ ...row, ...written }, { ...current, ...written });',
      'return isDeepStrictEqual(written, healthIn(current));',
    ],
  }),
  ...guardsIn('functions/core/read.ts', ['core/check'], {
    'the token of an instance that is gone': [
      "if (row.health?.status === 'unhealthy' && row.health.reason === 'gone')",
      "if (row.health?.reason === 'gone' && row.claimId === row.tenantId)",
    ],
  }),
  ...guardsIn('functions/core/cleaning.ts', ['import-steps'], {
    'sparing an instance that an import has named': [
      'return id === row.importedId && !isRecorded;',
      'return false;',
    ],
    'refusing to delete what an import has named': [
      "if (isSpared(row, instanceId)) return { kind: 'refused', error: namedByImport(row) };",
      '',
    ],
    'look-ups without what an import has named': [
      "if (result.kind === 'found') return withoutSpared(row, result);",
      "if (result.kind === 'found') return result;",
    ],
  }),
  ...guardsIn('functions/core/remove.ts', ['core/import.test'], {
    'the removal that leaves an unfinished import its instance': [
      'if (row.importing) return finishImport(row, deadlineAt);',
      '',
    ],
  }),
  ...guardsIn('functions/core/reconcile.ts', ['core/import.test'], {
    'the reconciler that tells an import from a create': [
      'if (leased.importing) return settleImport(leased, deadlineAt);',
      '',
    ],
  }),
  ...guardsIn('functions/core/lifecycle.ts', ['core/import.test'], {
    'the time of an import that continues another': [
      "...requestedAt(row, { clock: 'own', at: by.nowMs }), checkAt: leased.leaseExpiresAt,",
      'checkAt: leased.leaseExpiresAt,',
    ],
    'the layout of an unfinished import': ["v: 'import',", 'v: 1,'],
    'the row that an import has replaced': ['importing: before ? { before } : {},', 'importing: {},'],
  }),
  ...guardsIn('functions/core/lifecycle.ts', ['import-steps'], {
    'the import that is undone before it is begun again': [
      "if (isEnding) return { kind: 'in-progress', retryAfterMs: Math.max(0, (row.checkAt ?? nowMs) - nowMs) };",
      '',
    ],
    'the origin of an unfinished import': ['const isHere = row.origin === origin;', 'const isHere = true;'],
  }),
  ...guardsIn('functions/core/import.ts', ['import-steps'], {
    'the send deadline of an import that is continued': [
      'marked = { ...row, importing, sendDeadline: Math.max(row.sendDeadline, untilMs) };',
      'marked = { ...row, importing };',
    ],
  }),
  ...guardsIn('functions/core/unmark.ts', ['import-steps'], {
    'the deadline of taking markers off': [
      'const sending = { ...row, sendDeadline: Math.max(row.sendDeadline, deadlineAt) };',
      'const sending = row;',
    ],
  }),
  ...guardsIn('functions/core/unmark.ts', ['core/import.test'], {
    'the quiescence before an import is forgotten': ['return quietMs <= 0', 'return quietMs < Infinity'],
    'taking markers off only where tags are shown': [
      'if (!shownTags) return pending(row, timing.reconcileAgainMs, `instance ${instanceId} shows no tags`);',
      'if (!shownTags) return quietMs <= 0 ? { kind: `clean` } : pending(row, quietMs, `no tags`);',
    ],
  }),
  ...guardsIn('functions/core/import.ts', ['core/import.test'], {
    'the markers that an instance had before its import': [
      'return markers.length > 0 ? { ...importing, markers } : importing;',
      'return importing;',
    ],
    'the tags that an import must be shown': [
      'if (!tags) return notYet(refusals.tagsNotShown(row, instanceId));',
      'if (!tags) return { importable: { name, tags: [], token: token ?? name }, isMarked: false };',
    ],
    'the markers of others on an imported instance': [
      'if (namesAnother({ elementKey, tags }, { ...row, owner: stage })) {',
      'if (namesAnother({ elementKey, tags }, { ...row, owner: stage }) && !token) {',
    ],
    'the element of an imported instance': [
      'if (shown.elementKey !== row.elementKey) return never(refusals.otherElement(row, instanceId));',
      '',
    ],
    'the instance that a create has left': [
      'if (isLeftOver(row, generationIn({ elementKey, tags }))) {',
      'if (isLeftOver(row, undefined)) {',
    ],
    'the rows that record an imported instance': [
      "if (other && other.instanceId === instanceId && other.status !== 'removed') return taken;",
      '',
    ],
    'the reservation of an import': [
      'if (instead && (await isHolding(instead, instanceId))) return taken;',
      '',
    ],
    'the unknown outcome of setting markers': ['isSent ||= isInconclusive;', ''],
    'the end of an import that was begun before': [
      'if (progress.isFinal) return end(progress.row, progress.error, deadlineAt);',
      'if (progress.isFinal) await giveBack(progress.row, progress.error.message);',
    ],
  }),
  ...guardsIn('functions/model/instance.ts', ['core/import.test'], {
    'the id in the fingerprint of an import': ['...(importedId === undefined ? [] : [{ importedId }]),', ''],
  }),
  ...guardsIn('functions/adapters/imported-ids.ts', ['core/import.test'], {
    'one reservation for each instance': [
      "'attribute_not_exists(tenantId) OR provisionId = :own'",
      "'attribute_not_exists(tenantId) OR provisionId = :own OR attribute_exists(tenantId)'",
    ],
  }),
  ...guardsIn('functions/adapters/cloud-elements.ts', ['core/import.test'], {
    'credentials in the name and tags of an imported instance': [
      'fault: shown.fault ?? (repeatsSecret ?',
      'fault: shown.fault ?? (!repeatsSecret && false ?',
    ],
  }),
  ...guardsIn('functions/model/result-events.ts', ['import-steps'], {
    'a failure that an import gives back': [
      'if (before && before.provisionId !== after.provisionId) return false;',
      '',
    ],
  }),
];
