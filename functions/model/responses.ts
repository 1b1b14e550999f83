import * as z from 'zod/mini';
import { errorCodes, type ErrorCode } from './errors.ts';
import { healthReasons, healthStatuses } from './health.ts';
import { elementKeySchema, tenantIdSchema } from './instance.ts';

/**
 * Schemas of the functions' responses and events, for the contract and the tests. The functions build these and do not
 * parse them: they import the types alone, so no schema is in their bundles.
 */

const element = z.object({ key: elementKeySchema });

const lastErrorSchema = z.object({
  code: z.string(),
  detail: z.string(),
  requestId: z.optional(z.string()),
  at: z.iso.datetime(),
});

const healthStatus = z.enum(healthStatuses);
const healthReason = z.optional(z.enum(healthReasons));
const healthSchema = z.object({ status: healthStatus, since: z.iso.datetime(), reason: healthReason });

/** Removed instances are not shown. */
export const instanceSchema = z.object({
  tenantId: tenantIdSchema,
  element,
  id: z.optional(z.int()),
  name: z.string(),
  tags: z.array(z.string()),
  status: z.enum(['provisioning', 'active', 'failed', 'deleting']),
  createdDate: z.iso.datetime(),
  updatedDate: z.iso.datetime(),
  lastError: z.optional(lastErrorSchema),
  health: z.optional(healthSchema),
});
export type Instance = z.infer<typeof instanceSchema>;

export const checkedInstanceSchema = z.extend(instanceSchema, {
  check: z.object({ status: healthStatus, reason: healthReason }),
});

export const elementTokenSchema = z.object({
  tenantId: tenantIdSchema,
  element,
  id: z.int(),
  token: z.string(),
});

export const resultDetailSchema = z.object({
  tenantId: tenantIdSchema,
  element: z.optional(element),
  id: z.optional(z.int()),
  name: z.optional(z.string()),
  tags: z.array(z.string()),
  status: z.enum(['provisioning', 'active', 'failed', 'deleting', 'removed']),
  revision: z.int(),
  lastError: z.optional(lastErrorSchema),
  health: z.optional(healthSchema),
  request: z.optional(z.object({ eventId: z.string() })),
});
export type ResultDetail = z.infer<typeof resultDetailSchema>;

/** A row that this version cannot read has only its key. */
const unreadableSchema = z.object({
  tenantId: z.string(),
  element: z.object({ key: z.string() }),
  status: z.literal('unreadable'),
});

export const overviewSchema = z.object({
  instances: z.array(z.union([instanceSchema, unreadableSchema])),
  nextCursor: z.optional(z.string()),
});

/** Of the SaaS Builder Toolkit. */
export const toolkitDetailSchema = z.object({
  tenantRegistrationId: z.string(),
  jobOutput: z.object({
    tenantData: z.record(z.string(), z.string()),
    tenantRegistrationData: z.object({ registrationStatus: z.string() }),
  }),
});

/** One thing wrong with a request: in its body (`pointer`, a JSON Pointer fragment) or in its path (`parameter`). */
const faultSchema = z.union([
  z.object({ pointer: z.string(), detail: z.string() }),
  z.object({ parameter: z.string(), detail: z.string() }),
]);
export type Problem = z.infer<typeof faultSchema>;

export const codes = Object.keys(errorCodes).filter((code): code is ErrorCode =>
  Object.hasOwn(errorCodes, code),
);

/** RFC 9457. */
export const problemSchema = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.enum(codes),
  missing: z.optional(z.array(z.string())),
  errors: z.optional(z.array(faultSchema)),
  requestId: z.optional(z.string()),
});

/** The body of API Gateway's own responses. */
export const gatewayMessageSchema = z.object({ message: z.string() });
