import type { FunctionName } from '../../../functions/triggers.ts';

/** Maximum bytes of a function's bundle, which every cold start loads. Raise one only after a look at its growth. */
export const bundleBudgetsBytes: Record<FunctionName, number> = {
  'provision-instance': 478_000,
  'list-instances': 228_000,
  'list-all-instances': 230_000,
  'get-instance': 228_000,
  'read-token': 257_000,
  'change-instance': 440_000,
  'remove-instance': 438_000,
  'onboard-tenants': 480_000,
  'offboard-tenants': 443_000,
  'apply-secrets': 500_000,
  'reconcile-instances': 474_000,
  'audit-instances': 463_000,
  'publish-results': 210_000,
};
