import { healthGuards } from './health-guards.ts';
import { removalGuards } from './removal-guards.ts';

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

const lifecycle = 'functions/core/lifecycle.ts';
const claim = 'functions/core/claim.ts';
const create = 'functions/core/create.ts';
const settle = 'functions/core/settle.ts';
const remove = 'functions/core/remove.ts';
const update = 'functions/core/update.ts';
const reconcile = 'functions/core/reconcile.ts';
const configuration = 'functions/model/configuration.ts';
const instance = 'functions/model/instance.ts';
const trust = 'functions/core/trust.ts';
const audit = 'functions/core/audit.ts';
const cloudElements = 'functions/adapters/cloud-elements.ts';
const http = 'functions/adapters/cloud-elements-http.ts';
const store = 'functions/adapters/instance-store.ts';

export const guards: readonly Guard[] = [
  {
    name: 'the removal that outdates an onboarding',
    file: lifecycle,
    guard: 'if (requestedBy && isRequestOutdated(momentOf(requestedBy), removedTimesOf(row))) {',
    without: 'if (requestedBy && row.claimId === requestedBy.eventId) {',
    tests: ['removal-and-time.test'],
  },
  {
    name: 'the onboarding that outdates a removal',
    file: remove,
    guard: 'if (areRemovalsOutdated(removal.times, requestedTimesOf(row))) {',
    without: 'if (areRemovalsOutdated({}, {}) && row.claimId === key.tenantId) {',
    tests: ['removal-and-time.test'],
  },
  {
    name: 'the removal that was carried out before',
    file: remove,
    guard: 'if (isCarriedOut(row, removal)) {',
    without: 'if (row.claimId === key.tenantId) {',
    tests: ['removal-and-time.test'],
  },
  {
    name: 'the tombstone of a tenant that an event reads after its claim',
    file: claim,
    guard: 'if (!requested || !(await isOutdatedByTenant(claimed, requested))) return claimed;',
    without: 'if (!requested || claimed.row.claimId !== requestedBy?.eventId) return claimed;',
    tests: ['removal-and-time.test'],
  },
  {
    name: 'the condition of the claim',
    file: store,
    guard: "'attribute_not_exists(tenantId)'",
    without: "'attribute_not_exists(tenantId) OR attribute_exists(tenantId)'",
    tests: ['provision.test'],
  },
  {
    name: 'the fence of the commit',
    file: store,
    guard:
      'const fenceOf = ({ status, provisionId, claimId }: InstanceRow) => ({ status, provisionId, claimId });',
    without: 'const fenceOf = ({ status, provisionId }: InstanceRow) => ({ status, provisionId });',
    tests: ['provision.test'],
  },
  {
    name: 'the lease of a claim',
    file: lifecycle,
    guard:
      "if (isLeased(row, nowMs)) return { kind: 'in-progress', retryAfterMs: row.leaseExpiresAt - nowMs };",
    without: '',
    tests: ['provision.test'],
  },
  {
    name: 'the check of the time that is left',
    file: create,
    guard: 'if (now() > lastStartAt) break;',
    without: '',
    tests: ['provision.test'],
  },
  {
    name: 'the send deadline of the claim before',
    file: lifecycle,
    guard: 'sendDeadline: mayCreate ? claimant.sendDeadline : row.sendDeadline,',
    without: 'sendDeadline: claimant.sendDeadline,',
    tests: ['provision.test'],
  },
  {
    name: 'the look-up after a claim that died',
    file: lifecycle,
    guard: "return row.inDoubt || row.status === 'provisioning';",
    without: 'return row.inDoubt;',
    tests: ['provision.test'],
  },
  {
    name: 'the look-up for a row in doubt',
    file: lifecycle,
    guard: "return row.inDoubt || row.status === 'provisioning';",
    without: "return row.status === 'provisioning';",
    tests: ['provision.test', 'remove.test'],
  },
  {
    name: 'the quiescence before another create',
    file: lifecycle,
    guard: "earlier: 'to-adopt', mayCreate: quietMs <= 0 };",
    without: "earlier: 'to-adopt', mayCreate: true };",
    tests: ['provision.test'],
  },
  {
    name: 'taking a 5xx as unknown',
    file: cloudElements,
    guard: 'const isRefusal = status >= 400 && status < 500 && status !== 408 && status !== 409;',
    without: 'const isRefusal = status >= 400 && status !== 408 && status !== 409;',
    tests: ['provision.test'],
  },
  {
    name: 'taking a 409 as unknown',
    file: cloudElements,
    guard: 'status !== 408 && status !== 409;',
    without: 'status !== 408;',
    tests: ['provision.test'],
  },
  {
    name: 'taking a broken connection as unknown',
    file: http,
    guard: "return { kind: 'broken', sent: connected, reason: nameOf(error) };",
    without: "return { kind: 'broken', sent: false, reason: nameOf(error) };",
    tests: ['provision.test'],
  },
  {
    name: 'the platform’s mark on a 404',
    file: http,
    guard: 'result.status === 404 && result.refusal?.isNumbered === true;',
    without: 'result.status === 404;',
    tests: ['provision.test'],
  },
  {
    name: 'comparing tags here',
    file: cloudElements,
    guard: "if (!hasTag(shown, tag)) return { kind: 'unrequested' };",
    without: '',
    tests: ['cloud-elements-search.test'],
  },
  {
    name: 'comparing tenant, stage and element of found instances',
    file: cloudElements,
    guard: "if (namesAnother(markedOf(shown), sought)) return { kind: 'none' };",
    without: '',
    tests: ['cloud-elements-search.test'],
  },
  {
    name: 'two equal walks through a list that ignores the filter',
    file: cloudElements,
    guard: '(before && isSameSet(before.ids, walk.ids))',
    without: 'walk.ids.size >= 0',
    tests: ['cloud-elements-search.test'],
  },
  {
    name: 'reading instances without tags by id',
    file: cloudElements,
    guard: "if (!shown.tags?.length) return { kind: 'unknown', reason: `instance ${id} shows no tags` };",
    without: "if (!shown.tags?.length) return { kind: 'none' };",
    tests: ['cloud-elements-search.test'],
  },
  {
    name: 'reading the recordFailure instance by its id',
    file: cloudElements,
    guard: "if (search.kind === 'unknown' || instanceId === undefined) return search;",
    without: "if (search.kind === 'unknown' || instanceId !== -1) return search;",
    tests: ['cloud-elements-search.test'],
  },
  {
    name: 'reading the commit before duplicates are removed',
    file: settle,
    guard: 'if (duplicates.length > 0 && (await isStored(row, kept.id))) {',
    without: 'if (duplicates.length > 0) {',
    tests: ['provision.test'],
  },
  {
    name: 'leaving an instance that a rival may adopt',
    file: settle,
    guard: "if (current.status === 'provisioning' || current.status === 'failed') {",
    without: "if (current.status === 'failed') {",
    tests: ['provision.test'],
  },
  {
    name: 'recognizing one’s own write',
    file: store,
    guard: 'return current?.claimId === by.claimId ? { won: true } : { won: false, current };',
    without: 'return { won: false, current };',
    tests: ['provision.test'],
  },
  {
    name: 'the origin of a row in doubt',
    file: lifecycle,
    guard: "if (row.origin !== origin) return { kind: 'origin-changed' };",
    without: '',
    tests: ['provision.test'],
  },
  {
    name: 'cleaning a failed row before it is taken over',
    file: lifecycle,
    guard: "const decision = { kind: 'take-over', earlier: 'to-remove', mayCreate: true } as const;",
    without: "const decision = { kind: 'take-over', earlier: 'nothing', mayCreate: true } as const;",
    tests: ['provision.test'],
  },
  {
    name: 'the allow-list beside a tenant’s secret',
    file: configuration,
    guard: 'if (outside.length > 0) throw notAllowed(elementKey, outside);',
    without: 'if (outside.length > 0) return configuration;',
    tests: ['provenance/sequences'],
  },
  {
    name: 'taking no credential from an event',
    file: configuration,
    guard:
      'if (outside.length > 0 && requestedBy !== undefined) return notAllowed(elementKey, outside, faults);',
    without: 'if (outside.length > 0 && requestedBy !== undefined) return undefined;',
    tests: ['provenance/sequences'],
  },
  {
    name: 'the lease before a removal',
    file: remove,
    guard: "if (isLeased(row, nowMs) && row.status !== 'deleting') throw busy(row, nowMs);",
    without: '',
    tests: ['remove.test'],
  },
  {
    name: 'the quiescence before a row is marked removed',
    file: remove,
    guard: 'if (quietMs > 0) return pause(',
    without: 'if (quietMs > Infinity) return pause(',
    tests: ['remove.test'],
  },
  {
    name: 'the lease before an update',
    file: update,
    guard: 'if (isLeased(row, nowMs)) throw refusals.busy(row, nowMs);',
    without: '',
    tests: ['update.test'],
  },
  {
    name: 'marker tags in an update',
    file: update,
    guard: '[...new Set(tags), ...markerTags(row, stage)]',
    without: '[...new Set(tags)]',
    tests: ['update.test'],
  },
  {
    name: 'the reconciler’s own lease',
    file: reconcile,
    guard: 'if (!(await store.claim(leased, row)).won) return skipped;',
    without: 'await store.claim(leased, row);',
    tests: ['reconcile.test'],
  },
  {
    name: 'the quiescence before the reconciler gives up',
    file: reconcile,
    guard: 'if (lookedAt < row.sendDeadline + timing.quiescenceMs) {',
    without: 'if (now() < 0) {',
    tests: ['reconcile.test'],
  },
  {
    name: 'reading the kept instance before duplicates are removed',
    file: reconcile,
    guard: "if (keptId !== undefined && !(kept?.kind === 'read' && kept.owned !== 'not-ours')) {",
    without: 'if (keptId === -1) {',
    tests: ['reconcile.test'],
  },
  {
    name: 'repeating an uncertain look-up',
    file: reconcile,
    guard: 'if (!(found.isCertain && formers.areCertain)) return check(row, now() + timing.recheckMs);',
    without: '',
    tests: ['reconcile.test'],
  },
  {
    name: 'half of a batch for first looks',
    file: reconcile,
    guard: '...first.slice(0, size - chosen.length)',
    without: '...(chosen.length === 0 ? first : [])',
    tests: ['reconcile.test'],
  },
  {
    name: 'moving an unreadable row',
    file: reconcile,
    guard: 'if (isUnreadable || !isExpected) await postpone(due);',
    without: '',
    tests: ['reconcile.test'],
  },
  {
    name: 'leaving an instance that shows another’s tags',
    file: remove,
    guard: "if (found.owned === 'not-ours') {",
    without: 'if (instanceId === -1) {',
    tests: ['remove.test'],
  },
  {
    name: 'an unchanged row before its instance is lost',
    file: audit,
    guard: "outcome = current && isUnchanged(row, current) ? 'denied' : 'changed';",
    without: "outcome = current ? 'denied' : 'changed';",
    tests: ['audit.test'],
  },
  {
    name: 'reporting no loss when most instances are not visible',
    file: audit,
    guard: '    if (isMostlyUnseen()) return;\n',
    without: '',
    tests: ['audit.test'],
  },
  {
    name: 'an instance’s own tags before its token is stored again',
    file: audit,
    guard: "const own = owned === 'ours' && token !== undefined ? token : await readToken(row);",
    without: 'const own = token ?? (await readToken(row));',
    tests: ['audit.test'],
  },
  {
    name: 'the lease before a repeat is recordFailure',
    file: claim,
    guard: 'if (lifecycle.isLeased(current, by.nowMs)) break;',
    without: '',
    tests: ['explorer.test'],
  },
  {
    name: 'acknowledging only a repeat that is recordFailure',
    file: claim,
    guard: "if (write.won) return { outcome: 'replayed', row: requested };",
    without: "return { outcome: 'replayed', row: requested };",
    tests: ['explorer.test'],
  },
  {
    name: 'recording a removal beside another',
    file: remove,
    guard: "if (isLeased(row, nowMs) && row.status !== 'deleting') throw busy(row, nowMs);",
    without: `if (isLeased(row, nowMs)) {
        if (row.status === 'deleting') return { outcome: 'in-progress', retryAfterMs: 1_000 };
        throw busy(row, nowMs);
      }`,
    tests: ['explorer.test'],
  },
  {
    name: 'deciding a removal’s look-up by its beginning',
    file: remove,
    guard: 'row.sendDeadline + timing.quiescenceMs - lookedAt : 0;',
    without: 'row.sendDeadline + timing.quiescenceMs - now() : 0;',
    tests: ['explorer.test'],
  },
  {
    name: 'deciding the reconciler’s look-up by its beginning',
    file: reconcile,
    guard: 'if (lookedAt < row.sendDeadline',
    without: 'if (now() < row.sendDeadline',
    tests: ['explorer.test'],
  },
  {
    name: 'keeping the secret from an instance of an earlier version',
    file: configuration,
    guard: 'throw configurationUnknown(row);',
    without: 'return secretFor(row, await readTenantSecret());',
    tests: ['provenance/sequences'],
  },
  {
    name: 'keeping the secret from an instance that a request has configured',
    file: configuration,
    guard: 'if (outside.length === 0) throw configurationFromRequest(row, remembered);',
    without: 'if (outside.length === 0) return secretFor(row, await readTenantSecret());',
    tests: ['provenance/sequences'],
  },
  {
    name: 'checking remembered names against the current allow-list',
    file: configuration,
    guard: 'if (remembered.length > 0) throw configurationFromRequest(row, remembered);',
    without: '',
    tests: ['update.test'],
  },
  {
    name: 'changing all entries that requests have set together',
    file: configuration,
    guard: 'const missing = [...wanted].filter((name) => !Object.hasOwn(configuration, name)).toSorted();',
    without: 'const missing: string[] = [];',
    tests: ['update.test'],
  },
  {
    name: 'every required entry in a secret that is sent',
    file: configuration,
    guard: 'if (missing.length === 0 && Object.keys(configuration).length > 0) return configuration;',
    without: 'return configuration;',
    tests: ['update.test'],
  },
  {
    name: 'a request’s own configuration, without the secret’s',
    file: configuration,
    guard: "if (settings.source === 'request') return settings.configuration;",
    without: '',
    tests: ['provenance/sequences'],
  },
  {
    name: 'every required entry in a request that sets others',
    file: configuration,
    guard: 'if (outside.length === 0 || missing.length === 0) {',
    without: 'if (faults.length === 0 || missing.length === 0) {',
    tests: ['provenance.test', 'provision.test'],
  },
  {
    name: 'comparing the source of two requests',
    file: lifecycle,
    guard: 'row.source === settings.source && row.requestDigest === settings.requestDigest;',
    without: 'row.source !== null;',
    tests: ['provenance/sequences'],
  },
  {
    name: 'comparing the addresses of two requests',
    file: configuration,
    guard: 'return [name, ...addresses.toSorted()];',
    without: 'return [name, addresses === null];',
    tests: ['model/configuration'],
  },
  {
    name: 'the form of an allowed entry in an update',
    file: configuration,
    guard: '  if (faults.length > 0) {\n    if (outside',
    without: '  if (faults.length > names.length) {\n    if (outside',
    tests: ['update.test'],
  },
  {
    name: 'the doubt about an update’s entries',
    file: 'functions/core/update.ts',
    guard: '...(isOutside && { requestDigest: digestInDoubt }),',
    without: '...(isOutside && {}),',
    tests: ['update.test'],
  },
  {
    name: 'a registration of an instance that was removed',
    file: lifecycle,
    guard: '(isOfRegistration(row, requestedBy) && !isOfFormer)',
    without: 'isOfRegistration(row, requestedBy)',
    tests: ['provenance.test'],
  },
  {
    name: 'the unknown source of a claim that is taken over',
    file: lifecycle,
    guard: "const isUnknown = row.status === 'provisioning' && row.source === undefined;",
    without: 'const isUnknown = false;',
    tests: ['provenance/sequences'],
  },
  {
    name: 'a generation of its own after other settings',
    file: lifecycle,
    guard:
      "const needsNewGeneration = row.status === 'failed' && (row.source === undefined || !sameSettings);",
    without: "const needsNewGeneration = row.status === 'failed' && row.source === undefined;",
    tests: ['provenance/sequences'],
  },
  {
    name: 'a generation of its own after an unknown source',
    file: lifecycle,
    guard: '(row.source === undefined || !sameSettings);',
    without: '!sameSettings;',
    tests: ['provenance/sequences'],
  },
  {
    name: 'remembering an abandoned generation',
    file: lifecycle,
    guard: 'formers.push({ provisionId, name, createdAt, origin });',
    without: '{}',
    tests: ['provenance/provenance'],
  },
  {
    name: 'the recheck of abandoned generations',
    file: lifecycle,
    guard: 'return inDoubt || formers?.length ? nowMs + recheckMs : undefined;',
    without: 'return inDoubt ? nowMs + recheckMs : undefined;',
    tests: ['provenance/provenance'],
  },
  {
    name: 'the conflict of a toolkit request with an instance that a request has configured',
    file: lifecycle,
    guard: "requestedBy.dialect !== 'native' && row.source !== 'request'",
    without: "requestedBy.dialect !== 'native'",
    tests: ['provenance/provenance'],
  },
  {
    name: 'recognizing an event that was answered',
    file: lifecycle,
    guard: '(isAnswered(row, requestedBy) || acceptsAnySettings(row, requestedBy))',
    without: 'acceptsAnySettings(row, requestedBy)',
    tests: ['provenance/provenance'],
  },
  {
    name: 'remembering names before they are sent',
    file: update,
    guard: 'requestEntries: withRequestEntries(row, configuration),',
    without: '',
    tests: ['update.test'],
  },
  {
    name: 'the doubt about an update before it is sent',
    file: update,
    guard: 'updateInDoubtUntil: Math.max(row.updateInDoubtUntil ?? 0, endsAt),',
    without: '',
    tests: ['provenance/sequences'],
  },
  {
    name: 'the quiescence in the doubt about an update',
    file: update,
    guard: 'const endsAt = untilMs + timing.quiescenceMs;',
    without: 'const endsAt = untilMs;',
    tests: ['provenance/sequences'],
  },
  {
    name: 'the doubt about an update that is sent again',
    file: update,
    guard: 'if (isInconclusive) isCertain = false;',
    without: '',
    tests: ['provenance/sequences'],
  },
  {
    name: 'the doubt about the previous update',
    file: update,
    guard: 'requestDigest } = outcome.isCertain ? row :',
    without: 'requestDigest } = outcome.isCertain ? { ...row, updateInDoubtUntil: undefined } :',
    tests: ['provenance/sequences'],
  },
  {
    name: 'the doubt about an update when an operator trusts',
    file: trust,
    guard: 'if (row.updateInDoubtUntil !== undefined && row.updateInDoubtUntil > nowMs) {',
    without: 'if (row.updateInDoubtUntil === 0) {',
    tests: ['provenance/sequences'],
  },
  {
    name: 'the lease when an operator trusts',
    file: trust,
    guard: 'if (isLeased(row, nowMs)) return',
    without: 'if (nowMs === 0) return',
    tests: ['core/trust'],
  },
  {
    name: 'the new fence of a row that is trusted',
    file: trust,
    guard: `    claimId,
    source: 'secret',`,
    without: "    source: 'secret',",
    tests: ['core/trust'],
  },
  {
    name: 'reading an instance’s tags before it is updated',
    file: update,
    guard: "if (outcome.owned === 'not-ours') {",
    without: 'if (instanceId === -1) {',
    tests: ['update.test'],
  },
  {
    name: 'leaving the tags of an instance without markers alone',
    file: update,
    guard: 'if (tags) throw refusals.markersNotShown(row);',
    without: '',
    tests: ['update.test'],
  },
  {
    name: 'refusing masks',
    file: 'functions/model/entry-value.ts',
    guard: 'z.regex(/[^\\s*•\\p{Cf}]/u, expectedValue),',
    without: 'z.regex(/[^\\s\\p{Cf}]/u, expectedValue),',
    tests: ['model/configuration'],
  },
  {
    name: 'refusing credentials in place of names',
    file: instance,
    guard: 'isEntryName(name) || isDocumented(name)',
    without: 'true',
    tests: ['model/configuration'],
  },
  ...removalGuards,
  ...healthGuards,
];
