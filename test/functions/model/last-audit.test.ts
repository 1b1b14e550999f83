import { expect, test } from 'vitest';
import { tenantIdSchema } from '../../../functions/model/instance.ts';
import { lastAuditKey, lastAuditSchema } from '../../../functions/model/last-audit.ts';

test('the result of the last audit is read from an item that is no row', () => {
  const stored = { startedAt: 1, endedAt: 2, result: { orphans: 3, isComplete: true } };
  expect(lastAuditSchema.parse({ ...stored, ...lastAuditKey })).toEqual(stored);
  expect(lastAuditSchema.safeParse({ ...stored, result: { orphans: 'many' } }).success).toBe(false);
  expect(tenantIdSchema.safeParse(lastAuditKey.tenantId).success).toBe(false);
  // As earlier versions have written it.
  expect(lastAuditKey).toEqual({ tenantId: '*audit', elementKey: 'last' });
});
