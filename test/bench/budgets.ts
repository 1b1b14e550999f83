import type { FunctionName } from '../../functions/triggers.ts';

/** Bytes that a function's bundle may have: what is loaded at every cold start. One that grows is looked at first. */
export const bundleBudgetsBytes: Record<FunctionName, number> = {
  'provision-instance': 512_000,
  'list-instances': 231_000,
  'get-instance': 232_000,
  'read-token': 261_000,
  'change-instance': 475_000,
  'remove-instance': 474_000,
  'onboard-tenants': 513_000,
  'offboard-tenants': 476_000,
  'reconcile-instances': 505_000,
  'audit-instances': 497_000,
  'publish-results': 205_000,
};
