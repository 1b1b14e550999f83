import type * as z from 'zod/mini';
import type {
  importRequestSchema,
  instanceUpdateSchema,
  instanceRequestSchema,
} from '../../functions/model/instance.ts';
import {
  codes,
  type checkedInstanceSchema,
  type elementTokenSchema,
  type instanceSchema,
  type problemSchema,
} from '../../functions/model/responses.ts';

/** Types and codes of the client. The printed client has the same ones, written out from the OpenAPI document. */
export type InstanceRequest = z.input<typeof instanceRequestSchema>;
export type InstanceUpdate = z.input<typeof instanceUpdateSchema>;
export type ImportRequest = z.input<typeof importRequestSchema>;
export type Instance = z.infer<typeof instanceSchema>;
export type CheckedInstance = z.infer<typeof checkedInstanceSchema>;
export type ElementToken = z.infer<typeof elementTokenSchema>;
export type Problem = z.infer<typeof problemSchema>;

export const problemCodes: readonly Problem['code'][] = codes;
