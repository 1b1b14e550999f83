import * as z from 'zod/mini';
import { errorCodes, type ErrorCode, type ErrorFacts, type Problem } from '../../functions/model/errors.ts';
import { elementKeySchema, tenantIdSchema, type instanceView } from '../../functions/model/instance.ts';
import type { resultDetail } from '../../functions/model/result-events.ts';

/**
 * Schemas of the functions' responses and events. The functions build these and do not parse them, so no schema is in
 * their bundles; types keep the two in step, and tests check the rest (whether an optional field is present).
 */

/** The type with every field required. */
type Full<T> = T extends readonly (infer Item)[]
  ? Full<Item>[]
  : T extends object
    ? { [Key in keyof T]-?: Full<Exclude<T[Key], undefined>> }
    : T;

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;

/** Returns the schema unchanged; compiles only while it has exactly the fields of `Shown`. */
const showing =
  <Shown>() =>
  <Schema extends z.ZodMiniType>(
    schema: Schema & (Same<Full<z.infer<Schema>>, Full<Shown>> extends true ? unknown : never),
  ): Schema =>
    schema;

const element = z.object({ key: elementKeySchema });

const lastErrorSchema = z.object({
  code: z.string(),
  detail: z.string(),
  requestId: z.optional(z.string()),
  at: z.iso.datetime(),
});

type InstanceView = ReturnType<typeof instanceView>;

export const instanceSchema = showing<
  // Removed instances are not shown.
  Omit<InstanceView, 'status'> & { status: Exclude<InstanceView['status'], 'removed'> }
>()(
  z.object({
    tenantId: tenantIdSchema,
    element,
    id: z.optional(z.int()),
    name: z.string(),
    tags: z.array(z.string()),
    status: z.enum(['provisioning', 'active', 'failed', 'deleting']),
    createdDate: z.iso.datetime(),
    updatedDate: z.iso.datetime(),
    lastError: z.optional(lastErrorSchema),
  }),
);

export const elementTokenSchema = z.object({
  tenantId: tenantIdSchema,
  element,
  id: z.int(),
  token: z.string(),
});

export const resultDetailSchema = showing<ReturnType<typeof resultDetail>>()(
  z.object({
    tenantId: tenantIdSchema,
    element: z.optional(element),
    id: z.optional(z.int()),
    name: z.optional(z.string()),
    tags: z.array(z.string()),
    status: z.enum(['provisioning', 'active', 'failed', 'deleting', 'removed']),
    revision: z.int(),
    lastError: z.optional(lastErrorSchema),
    request: z.optional(z.object({ eventId: z.string() })),
  }),
);

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

const problemDetail = { detail: z.string() };

const faultSchema = showing<Problem>()(
  z.union([
    z.object({ pointer: z.string(), ...problemDetail }),
    z.object({ parameter: z.string(), ...problemDetail }),
  ]),
);

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
  ...showing<Pick<ErrorFacts, 'missing' | 'requestId'> & { errors?: ErrorFacts['problems'] }>()(
    z.object({
      missing: z.optional(z.array(z.string())),
      errors: z.optional(z.array(faultSchema)),
      requestId: z.optional(z.string()),
    }),
  ).shape,
});

/** The body of API Gateway's own responses. */
export const gatewayMessageSchema = z.object({ message: z.string() });
