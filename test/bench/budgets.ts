import type { FunctionName } from '../../functions/triggers.ts';

/** Bytes that a function's bundle may have: what is loaded at every cold start. One that grows is looked at first. */
export const bundleBudgetsBytes: Record<FunctionName, number> = {
  'provision-instance': 1_300_000,
  'list-instances': 450_000,
  'get-instance': 450_000,
  'read-token': 485_000,
  'change-instance': 1_260_000,
  'remove-instance': 1_260_000,
  'onboard-tenants': 1_300_000,
  'offboard-tenants': 1_260_000,
  'reconcile-instances': 1_295_000,
  'audit-instances': 1_285_000,
  'publish-results': 415_000,
};
