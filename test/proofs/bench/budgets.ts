import type { FunctionName } from '../../../functions/triggers.ts';

/** Maximum bytes of a function's bundle, which every cold start loads. Raise one only after a look at its growth. */
export const bundleBudgetsBytes: Record<FunctionName, number> = {
  'provision-instance': 481_000,
  'list-instances': 225_000,
  'list-all-instances': 227_000,
  'get-instance': 225_000,
  'read-token': 255_000,
  'change-instance': 442_000,
  'remove-instance': 434_000,
  'import-instance': 480_000,
  'check-instance': 434_000,
  'onboard-tenants': 483_000,
  'offboard-tenants': 438_000,
  'apply-secrets': 490_000,
  'reconcile-instances': 492_000,
  'check-instances': 431_000,
  'audit-instances': 458_000,
  'publish-results': 205_000,
};
