import type { FunctionName } from '../../functions/triggers.ts';

/** Bytes that a function's bundle may have: what is loaded at every cold start. One that grows is looked at first. */
export const bundleBudgetsBytes: Record<FunctionName, number> = {
  'provision-instance': 560_000,
  'list-instances': 283_000,
  'get-instance': 283_000,
  'read-token': 313_000,
  'change-instance': 526_000,
  'remove-instance': 525_000,
  'onboard-tenants': 560_000,
  'offboard-tenants': 527_000,
  'reconcile-instances': 556_000,
  'audit-instances': 548_000,
  'publish-results': 257_000,
};
