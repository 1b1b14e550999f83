import { createHash } from 'node:crypto';
import * as z from 'zod/mini';
import { healthStatuses } from './health.ts';
import { elementKeySchema, instanceView, type InstanceKey, type InstanceSummary } from './instance.ts';
import { parseJson } from './json.ts';
import { invalidRequest } from './validation.ts';

/** Instances of all tenants, a page at a time: the query of a caller, and the cursor from one page to the next. */

/** Statuses that are shown, the row that cannot be read among them. */
export const overviewStatuses = ['provisioning', 'active', 'failed', 'deleting', 'unreadable'] as const;

const limitSchema = z.pipe(
  z.string().check(z.regex(/^([1-9]\d{0,2}|1000)$/, 'an integer from 1 to 1000')),
  z.transform(Number),
);

export const overviewQuerySchema = z.strictObject({
  status: z.optional(z.enum(overviewStatuses, { error: `one of ${overviewStatuses.join(', ')}` })),
  element: z.optional(elementKeySchema),
  health: z.optional(z.enum(healthStatuses, { error: `one of ${healthStatuses.join(', ')}` })),
  /** Rows that one page looks at: it shows as many or, because of filters and tombstones, fewer. */
  limit: z.optional(limitSchema),
  /** `nextCursor` of the page before, with the same filters. */
  cursor: z.optional(z.string().check(z.maxLength(1_000, 'at most 1000 characters'))),
});
export type OverviewQuery = z.infer<typeof overviewQuerySchema>;

/** A row that this version cannot read has nothing but its key. */
export type Listed = { key: InstanceKey; summary: InstanceSummary | undefined };

export function listedView({ key, summary }: Listed) {
  if (summary) return instanceView(summary);
  return { tenantId: key.tenantId, element: { key: key.elementKey }, status: 'unreadable' as const };
}

const keyTextSchema = z.string().check(z.minLength(1));
const cursorSchema = z.object({ t: keyTextSchema, e: keyTextSchema });

/** The key of the last row that was looked at, with a checksum over it and the filters that it belongs to. */
export function cursorOf({ tenantId, elementKey }: InstanceKey, query: OverviewQuery): string {
  const content = JSON.stringify({ t: tenantId, e: elementKey });
  return Buffer.from(checksum(content, query) + content).toString('base64url');
}

/** @throws OnboardingError `invalid-request` for a cursor that no page with these filters has given */
export function keyOf(cursor: string, query: OverviewQuery): InstanceKey {
  const text = Buffer.from(cursor, 'base64url').toString();
  const [sum, content] = [text.slice(0, checksumLength), text.slice(checksumLength)];
  const isOurs = Buffer.from(text).toString('base64url') === cursor && sum === checksum(content, query);
  const read = isOurs ? parseJson(content) : undefined;
  const key = read && 'json' in read ? cursorSchema.safeParse(read.json).data : undefined;
  if (key) return { tenantId: key.t, elementKey: key.e };
  const detail = 'expected the "nextCursor" of a page with the same filters';
  throw invalidRequest('the request', [{ parameter: 'cursor', detail }]);
}

const checksumLength = 16;

/** Finds mistakes. Not a signature: to begin at another row gives nothing that a caller may not read. */
function checksum(content: string, { status, element, health }: OverviewQuery): string {
  const text = JSON.stringify([content, status ?? null, element ?? null, ...(health ? [health] : [])]);
  return createHash('sha256').update(text).digest('base64url').slice(0, checksumLength);
}
