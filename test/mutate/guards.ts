import { removalGuards } from './removal-guards.ts';

/** A guard of the protocol, and the code as it would be without it. */
export type Guard = {
  /** Reads on from "Without …". */
  name: string;
  file: string;
  /** Occurs in the file exactly once. */
  guard: string;
  without: string;
  /** Files (parts of their names) of which a test is to fail. */
  tests: readonly string[];
};

const provision = 'functions/core/provision.ts';
const lifecycle = 'functions/core/lifecycle.ts';
const settle = 'functions/core/settle.ts';
const remove = 'functions/core/remove.ts';
const change = 'functions/core/change.ts';
const reconcile = 'functions/core/reconcile.ts';
const configuration = 'functions/core/configuration.ts';
const instance = 'functions/core/instance.ts';
const trust = 'functions/core/trust.ts';
const audit = 'functions/core/audit.ts';
const cloudElements = 'functions/adapters/cloud-elements.ts';
const http = 'functions/adapters/cloud-elements-http.ts';
const store = 'functions/adapters/instance-store.ts';

export const guards: readonly Guard[] = [
  {
    name: 'the condition of the claim',
    file: store,
    guard: "'attribute_not_exists(tenantId)'",
    without: "'attribute_not_exists(tenantId) OR attribute_exists(tenantId)'",
    tests: ['provision.test'],
  },
  {
    name: 'the fence of the commit',
    file: settle,
    guard: `export const heldBy = ({ status, provisionId, attemptId }: InstanceRow): Expected => ({
  status,
  provisionId,
  attemptId,
});`,
    without: `export const heldBy = ({ status, provisionId }: InstanceRow): Expected =>
  ({ status, provisionId }) as Expected;`,
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
    file: provision,
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
    guard: "return row.contested || row.status === 'provisioning';",
    without: 'return row.contested;',
    tests: ['provision.test'],
  },
  {
    name: 'the look-up of what was contested',
    file: lifecycle,
    guard: "return row.contested || row.status === 'provisioning';",
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
    guard: 'reply.status === 404 && Boolean(reply.refusal && reply.requestId);',
    without: 'reply.status === 404;',
    tests: ['provision.test'],
  },
  {
    name: 'comparing tags here',
    file: cloudElements,
    guard: "if (!hasTag(shown, tag)) return { kind: 'unasked' };",
    without: '',
    tests: ['cloud-elements-search.test'],
  },
  {
    name: 'comparing tenant, stage and element of what is found',
    file: cloudElements,
    guard: "if (namesAnother(markedOf(shown), sought)) return { kind: 'none' };",
    without: '',
    tests: ['cloud-elements-search.test'],
  },
  {
    name: 'two equal walks where the filter does not hold',
    file: cloudElements,
    guard: '(before && isSameSet(before.ids, walk.ids))',
    without: 'walk.ids.size >= 0',
    tests: ['cloud-elements-search.test'],
  },
  {
    name: 'reading by id what shows no tags',
    file: cloudElements,
    guard:
      "if (!shown.tags?.length) return { kind: 'unknown', reason: `instance ${listed.id} shows no tags` };",
    without: "if (!shown.tags?.length) return { kind: 'none' };",
    tests: ['cloud-elements-search.test'],
  },
  {
    name: 'reading the recorded instance by its id',
    file: cloudElements,
    guard: "if (search.kind === 'unknown' || instanceId === undefined) return search;",
    without: "if (search.kind === 'unknown' || instanceId !== -1) return search;",
    tests: ['cloud-elements-search.test'],
  },
  {
    name: 'seeing the commit stand before surplus goes',
    file: settle,
    guard: 'if (surplus.length > 0 && (await isStored(row, kept.id))) {',
    without: 'if (surplus.length > 0) {',
    tests: ['provision.test'],
  },
  {
    name: 'leaving to a rival what it may adopt',
    file: settle,
    guard: "if (current.status === 'provisioning' || current.status === 'failed') {",
    without: "if (current.status === 'failed') {",
    tests: ['provision.test'],
  },
  {
    name: 'knowing one’s own write again',
    file: settle,
    guard: 'return write.won || write.current?.attemptId === row.attemptId;',
    without: 'return write.won;',
    tests: ['provision.test'],
  },
  {
    name: 'the origin of a doubtful row',
    file: lifecycle,
    guard: "if (row.origin !== origin) return { kind: 'origin-changed' };",
    without: '',
    tests: ['provision.test'],
  },
  {
    name: 'cleaning a failed row before it is taken over',
    file: lifecycle,
    guard: "const verdict = { kind: 'take-over', earlier: 'to-remove', mayCreate: true } as const;",
    without: "const verdict = { kind: 'take-over', earlier: 'nothing', mayCreate: true } as const;",
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
    guard: 'if (askedBy !== undefined) throw notAllowed(elementKey, outside);',
    without: 'if (askedBy !== undefined) return;',
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
    name: 'the quiescence before a burial',
    file: remove,
    guard: 'if (quietMs > 0) return pause(',
    without: 'if (quietMs > Infinity) return pause(',
    tests: ['remove.test'],
  },
  {
    name: 'the lease before a change',
    file: change,
    guard: 'if (isLeased(row, nowMs)) throw busy(row, nowMs);',
    without: '',
    tests: ['change.test'],
  },
  {
    name: 'marker tags in a change',
    file: change,
    guard: '[...new Set(tags), ...markerTags(row, stage)]',
    without: '[...new Set(tags)]',
    tests: ['change.test'],
  },
  {
    name: 'the reconciler’s own lease',
    file: reconcile,
    guard: 'if (!wonBy(await store.replace(leased, asRead(row)), leased)) return skipped;',
    without: 'await store.replace(leased, asRead(row));',
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
    name: 'seeing the kept instance before surplus goes',
    file: reconcile,
    guard: "if (keptId !== undefined && !(kept?.kind === 'read' && kept.owned !== 'not-ours')) {",
    without: 'if (keptId === -1) {',
    tests: ['reconcile.test'],
  },
  {
    name: 'looking again at what was not certain',
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
    name: 'moving a row that cannot be read',
    file: reconcile,
    guard: 'if (isUnreadable || !isForeseen) await postpone(due);',
    without: '',
    tests: ['reconcile.test'],
  },
  {
    name: 'leaving an instance that shows another’s tags',
    file: settle,
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
    name: 'concluding no loss from what is mostly not visible',
    file: audit,
    guard: 'if (result.notVisible) return;',
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
    name: 'the lease before a repeat is recorded',
    file: provision,
    guard: 'if (isLeased(current, by.nowMs)) break;',
    without: '',
    tests: ['explorer.test'],
  },
  {
    name: 'acknowledging only a repeat that is recorded',
    file: provision,
    guard: "if (write.won) return { outcome: 'replayed', row: asked };",
    without: "return { outcome: 'replayed', row: asked };",
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
    name: 'judging a removal’s look-up by its beginning',
    file: remove,
    guard: 'row.sendDeadline + timing.quiescenceMs - lookedAt : 0;',
    without: 'row.sendDeadline + timing.quiescenceMs - now() : 0;',
    tests: ['explorer.test'],
  },
  {
    name: 'judging the reconciler’s look-up by its beginning',
    file: reconcile,
    guard: 'if (lookedAt < row.sendDeadline',
    without: 'if (now() < row.sendDeadline',
    tests: ['explorer.test'],
  },
  {
    name: 'keeping the secret from what an earlier version has made',
    file: configuration,
    guard: 'throw configurationUnknown(row);',
    without: 'return secretFor(row, await readTenantSecret());',
    tests: ['provenance/sequences'],
  },
  {
    name: 'keeping the secret from what a request has configured',
    file: configuration,
    guard: 'if (outside.length === 0) throw configurationFromRequest(row, remembered);',
    without: 'if (outside.length === 0) return secretFor(row, await readTenantSecret());',
    tests: ['provenance/sequences'],
  },
  {
    name: 'judging remembered names by the allow-list of now',
    file: configuration,
    guard: 'if (remembered.length > 0) throw configurationFromRequest(row, remembered);',
    without: '',
    tests: ['change.test'],
  },
  {
    name: 'changing what a request has configured all at once',
    file: configuration,
    guard: 'const missing = [...wanted].filter((name) => !Object.hasOwn(configuration, name)).toSorted();',
    without: 'const missing: string[] = [];',
    tests: ['change.test'],
  },
  {
    name: 'every required entry in a secret that is sent',
    file: configuration,
    guard: 'if (missing.length === 0 && Object.keys(configuration).length > 0) return configuration;',
    without: 'return configuration;',
    tests: ['change.test'],
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
    guard: 'if (outside.length === 0) return;',
    without: 'return;',
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
    guard: '(decidesAddress(name) ? [name, addressIn(String(configuration[name]))] : [name])',
    without: '[name]',
    tests: ['core/configuration'],
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
    guard: "const isOfOthers = row.status === 'failed' && (row.source === undefined || !sameSettings);",
    without: "const isOfOthers = row.status === 'failed' && row.source === undefined;",
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
    name: 'the memory of a generation that was given up',
    file: lifecycle,
    guard: 'formers.push({ provisionId, name, createdAt });',
    without: '{}',
    tests: ['provenance/provenance'],
  },
  {
    name: 'the recheck of generations that were given up',
    file: lifecycle,
    guard: 'return contested || formers?.length ? nowMs + recheckMs : undefined;',
    without: 'return contested ? nowMs + recheckMs : undefined;',
    tests: ['provenance/provenance'],
  },
  {
    name: 'the toolkit’s discontent with what a request has configured',
    file: lifecycle,
    guard: "askedBy.dialect !== 'native' && row.source !== 'request'",
    without: "askedBy.dialect !== 'native'",
    tests: ['provenance/provenance'],
  },
  {
    name: 'knowing an event again that was answered',
    file: lifecycle,
    guard: '(isAnswered(row, askedBy) || isAnyContent(row, askedBy))',
    without: 'isAnyContent(row, askedBy)',
    tests: ['provenance/provenance'],
  },
  {
    name: 'remembering names before they are sent',
    file: change,
    guard: 'requestEntries: withRequestEntries(row, configuration),',
    without: '',
    tests: ['change.test'],
  },
  {
    name: 'the doubt about an update before it is sent',
    file: change,
    guard: 'updateInDoubtUntil: Math.max(row.updateInDoubtUntil ?? 0, untilMs + timing.quiescenceMs),',
    without: '',
    tests: ['provenance/sequences'],
  },
  {
    name: 'the quiescence in the doubt about an update',
    file: change,
    guard: 'untilMs + timing.quiescenceMs),',
    without: 'untilMs),',
    tests: ['provenance/sequences'],
  },
  {
    name: 'the doubt about an update that is sent again',
    file: change,
    guard: "if (outcome.kind === 'unknown') isCertain = false;",
    without: '',
    tests: ['provenance/sequences'],
  },
  {
    name: 'the doubt about the update before',
    file: change,
    guard: 'outcome.isCertain ? row.updateInDoubtUntil :',
    without: 'outcome.isCertain ? undefined :',
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
    guard: `    attemptId,
    source: 'secret',`,
    without: "    source: 'secret',",
    tests: ['core/trust'],
  },
  {
    name: 'reading whose an instance is before it is changed',
    file: change,
    guard: "if (outcome.owned === 'not-ours') {",
    without: 'if (instanceId === -1) {',
    tests: ['change.test'],
  },
  {
    name: 'leaving the tags alone of what shows no markers',
    file: change,
    guard: 'if (tags) throw markersNotShown(row);',
    without: '',
    tests: ['change.test'],
  },
  {
    name: 'refusing masks',
    file: instance,
    guard: 'z.regex(/[^\\s*•]/, expectedValue),',
    without: 'z.regex(/\\S/, expectedValue),',
    tests: ['core/configuration'],
  },
  {
    name: 'refusing credentials in the place of names',
    file: instance,
    guard: 'isEntryName(name) || isDocumented(name)',
    without: 'true',
    tests: ['core/configuration'],
  },
  ...removalGuards,
];
