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
    guard: 'if (!hasTag(shown, marker.tag)) return none;',
    without: '',
    tests: ['provision.test'],
  },
  {
    name: 'reading the recorded instance by its id',
    file: cloudElements,
    guard: "if (listed.kind === 'unknown' || instanceId === undefined) return listed;",
    without: "if (listed.kind === 'unknown' || instanceId !== -1) return listed;",
    tests: ['provision.test'],
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
    file: 'functions/core/configuration.ts',
    guard: 'if (outside.length > 0) throw notAllowed(elementKey, outside);',
    without: '',
    tests: ['change.test'],
  },
  {
    name: 'taking no credential from an event',
    file: 'functions/core/configuration.ts',
    guard: 'if (askedBy !== undefined) throw notAllowed(elementKey, outside);',
    without: '',
    tests: ['provision.test'],
  },
  {
    name: 'the tombstone against late onboardings',
    file: lifecycle,
    guard: "if (askedBy && isBefore(askedBy.sentAt, row.removedAt)) return { kind: 'outdated' };",
    without: '',
    tests: ['remove.test'],
  },
  {
    name: 'the age of an off-boarding',
    file: remove,
    guard: "if (removal.askedBy && isBefore(removal.askedAt, row.askedAt)) return { outcome: 'outdated' };",
    without: '',
    tests: ['remove.test'],
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
    guard: 'if (keptId !== undefined && !found.some(({ id }) => id === keptId)) {',
    without: 'if (keptId === -1) {',
    tests: ['reconcile.test'],
  },
  {
    name: 'the new fence of a row that is asked for again',
    file: lifecycle,
    guard: 'return { ...row, attemptId, askedBy, askedAt',
    without: 'return { ...row, askedBy, askedAt',
    tests: ['explorer.test'],
  },
  {
    name: 'the time of the latest onboarding',
    file: lifecycle,
    guard: 'askedAt: Math.max(row.askedAt, askedBy.sentAt) };',
    without: 'askedAt: row.askedAt };',
    tests: ['explorer.test'],
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
    name: 'the time of the latest removal, under way',
    file: lifecycle,
    guard: 'removedAt: Math.max(askedAt, row.removedAt ?? 0),',
    without: 'removedAt: row.removedAt ?? askedAt,',
    tests: ['explorer.test'],
  },
  {
    name: 'the time of the latest removal, done',
    file: remove,
    guard: 'if (!isNews) return true;',
    without: 'return true;',
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
];
