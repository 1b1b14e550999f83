import type { FunctionName } from '../../../functions/triggers.ts';

/** Maximum bytes of a function's bundle, which every cold start loads. Raise one only after a look at its growth. */
export const bundleBudgetsBytes: Record<FunctionName, number> = {
  'provision-instance': 504_000,
  'list-instances': 238_000,
  'list-all-instances': 240_000,
  'get-instance': 237_000,
  'read-token': 267_000,
  'change-instance': 465_000,
  'remove-instance': 458_000,
  'import-instance': 504_000,
  'check-instance': 460_000,
  'onboard-tenants': 506_000,
  'offboard-tenants': 461_000,
  'apply-secrets': 514_000,
  'reconcile-instances': 516_000,
  'check-instances': 460_000,
  'audit-instances': 481_000,
  'publish-results': 218_000,
};
