import type { Guard } from './guards.ts';

const check = 'functions/core/check.ts';
const health = 'functions/model/health.ts';
const ping = 'functions/adapters/cloud-elements-ping.ts';
const lifecycle = 'functions/core/lifecycle.ts';
const update = 'functions/core/update.ts';

/** Guards of checks of health. */
export const healthGuards: readonly Guard[] = [
  {
    name: 'the second failure before an instance is unhealthy',
    file: health,
    guard: 'if (before?.failedAt !== undefined) return',
    without: 'return',
    tests: ['core/check'],
  },
  {
    name: 'unknown that turns nothing',
    file: health,
    guard: 'if (before && !isDisproved(before, finding)) {',
    without: 'if (before && before.since === -1) {',
    tests: ['core/check'],
  },
  {
    name: 'recovering without a ping',
    file: health,
    guard: 'if (before && !isDisproved(before, finding)) {',
    without: 'if (before) {',
    tests: ['core/check'],
  },
  {
    name: 'the row as it was read when a check is written',
    file: check,
    guard: 'const written = await store.claim(next, row);',
    without: 'const written = await store.claim(next, (await store.get(row)) ?? row);',
    tests: ['core/check', 'explorer.test'],
  },
  {
    name: 'the new fence of a check',
    file: check,
    guard: '      claimId: newId(),\n      health,',
    without: '      health,',
    tests: ['core/check'],
  },
  {
    name: 'the lease when an instance is checked on request',
    file: check,
    guard: 'if (isLeased(row, now())) throw refusals.busy(row, now());',
    without: '',
    tests: ['core/check'],
  },
  {
    name: 'the lease when an instance is due for a check',
    file: check,
    guard: 'if (!isDue || isLeased(row, nowMs)) return undefined;',
    without: 'if (!isDue) return undefined;',
    tests: ['core/check'],
  },
  {
    name: 'looking for other instances before one is gone',
    file: check,
    guard: 'return seen.some(Boolean);',
    without: 'return seen.length > 0;',
    tests: ['core/check'],
  },
  {
    name: 'ending a run of checks without a response',
    file: check,
    guard: 'if (tally.brokenOff) break;',
    without: '',
    tests: ['core/check'],
  },
  {
    name: 'the most checks of a run',
    file: check,
    guard: 'while (seen.size < checksPerRun && ',
    without: 'while (',
    tests: ['core/check'],
  },
  {
    name: 'the vendor’s own words before a key is refused',
    file: ping,
    guard: 'if (refusal?.isVendors && refusing.has(status))',
    without: 'if (refusing.has(status))',
    tests: ['core/check'],
  },
  {
    name: 'statuses by which a vendor refuses a key',
    file: ping,
    guard: 'if (refusal?.isVendors && refusing.has(status))',
    without: 'if (refusal?.isVendors)',
    tests: ['core/check'],
  },
  {
    name: 'the form of a pong',
    file: ping,
    guard: 'dateTime !== undefined || endpoint !== undefined || valid !== undefined,',
    without: 'dateTime !== -1,',
    tests: ['core/check'],
  },
  {
    name: 'forgetting a failure before an update',
    file: update,
    guard: 'health: row.health && unconfirmed(row.health),',
    without: '',
    tests: ['core/check'],
  },
  {
    name: 'an update beside a check',
    file: update,
    guard: 'if (!taken.won && taken.current && isSameButHealth(row, taken.current)) {',
    without: 'if (!taken.won && taken.current?.v === undefined) {',
    tests: ['core/check'],
  },
  {
    name: 'what else has changed beside a check',
    file: lifecycle,
    guard: 'return isDeepStrictEqual({ ...row, ...written }, { ...current, ...written });',
    without: 'return isDeepStrictEqual(written, healthIn(current));',
    tests: ['core/check'],
  },
  {
    name: 'the token of an instance that is gone',
    file: 'functions/core/read.ts',
    guard: "if (row.health?.status === 'unhealthy' && row.health.reason === 'gone')",
    without: "if (row.health?.reason === 'gone' && row.claimId === row.tenantId)",
    tests: ['core/check'],
  },
];
