import type { FunctionName } from '../../functions/triggers.ts';

/** Bytes that a function's bundle may have: what is loaded at every cold start. One that grows is looked at first. */
export const bundleBudgetsBytes: Record<FunctionName, number> = {
  'provision-instance': 462_000,
  'list-instances': 223_000,
  'get-instance': 223_000,
  'read-token': 253_000,
  'change-instance': 425_000,
  'remove-instance': 424_000,
  'onboard-tenants': 463_000,
  'offboard-tenants': 426_000,
  'reconcile-instances': 455_000,
  'audit-instances': 447_000,
  'publish-results': 205_000,
};
