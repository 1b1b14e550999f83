import type { FunctionName } from '../../functions/triggers.ts';

/** Bytes that a function's bundle may have: what is loaded at every cold start. One that grows is looked at first. */
export const bundleBudgetsBytes: Record<FunctionName, number> = {
  'provision-instance': 470_000,
  'list-instances': 223_000,
  'get-instance': 223_000,
  'read-token': 253_000,
  'change-instance': 434_000,
  'remove-instance': 431_000,
  'onboard-tenants': 472_000,
  'offboard-tenants': 435_000,
  'reconcile-instances': 465_000,
  'audit-instances': 451_000,
  'publish-results': 207_000,
};
