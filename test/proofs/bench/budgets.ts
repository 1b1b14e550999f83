import type { FunctionName } from '../../../functions/triggers.ts';

/** Maximum bytes of a function's bundle, which every cold start loads. Raise one only after a look at its growth. */
export const bundleBudgetsBytes: Record<FunctionName, number> = {
  'provision-instance': 491_000,
  'list-instances': 226_000,
  'list-all-instances': 227_000,
  'get-instance': 226_000,
  'read-token': 255_000,
  'change-instance': 452_000,
  'remove-instance': 445_000,
  'import-instance': 491_000,
  'check-instance': 445_000,
  'onboard-tenants': 493_000,
  'offboard-tenants': 449_000,
  'apply-secrets': 500_000,
  'reconcile-instances': 502_000,
  'check-instances': 441_000,
  'audit-instances': 469_000,
  'publish-results': 205_000,
};
