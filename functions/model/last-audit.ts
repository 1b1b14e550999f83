import * as z from 'zod/mini';
import { auditPartition } from './instance.ts';

/**
 * The item that holds the result of the last audit, beside the rows: the audit writes it, `npm run status` reads it.
 */
export const lastAuditKey = { tenantId: auditPartition, elementKey: 'last' };

export const lastAuditSchema = z.object({
  /** ms since the epoch */
  startedAt: z.number(),
  endedAt: z.number(),
  result: z.record(z.string(), z.union([z.number(), z.boolean()])),
});
export type LastAudit = z.infer<typeof lastAuditSchema>;
