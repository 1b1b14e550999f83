import { findingsOf, isTooLong, type Listed, type Overview } from './overview.ts';

/** What to do, and the heading in `infra/monitoring/README.md` with more about it. */
export type Step = { text: string; anchor?: string };

export const pageOf = ({ anchor }: Step): string =>
  anchor === undefined ? '' : `infra/monitoring/README.md#${anchor}`;

const keyStep: Step = {
  text: "Put a usable key into the tenant's secret, or send a request with one",
  anchor: 'rotate-a-tenants-key',
};
const goneStep: Step = {
  text: 'The instance is gone at Cloud Elements: DELETE and POST it',
  anchor: 'runbook-lost-instances',
};
const notOursStep: Step = {
  text: "The recorded instance is another tenant's or stage's: settle it by hand",
  anchor: 'runbook-instances-not-ours',
};
const unreadableStep: Step = {
  text: 'Deploy the version that wrote the row, or restore it',
  anchor: 'runbook-unreadable-rows',
};
const unhealthyStep: Step = {
  text: 'The instance does not work at Cloud Elements: see why, and mend it there',
  anchor: 'runbook-instances-unhealthy',
};
const waitStep: Step = { text: 'Wait: the instance is settled in the background within minutes' };

export const noInstanceStep: Step = {
  text: 'The tenant has no instance: it was removed, or its event has not arrived or was refused',
  anchor: 'runbook-dead-letters',
};

/** By the reason of an unhealthy instance. */
const ofHealth: Readonly<Record<string, Step>> = { gone: goneStep, 'refused-by-vendor': keyStep };

const aboutTheKey = new Set([
  'missing-configuration',
  'tenant-credentials-unusable',
  'refused-by-cloud-elements',
]);

export function stepFor(trouble: Listed, nowMs: number): Step {
  const { kind, code = '' } = trouble;
  if (kind === 'unreadable') return unreadableStep;
  if (kind === 'unhealthy') return ofHealth[code] ?? unhealthyStep;
  if (code === 'not-ours') return notOursStep;
  if (kind === 'open') {
    if (!isTooLong(trouble, nowMs)) return waitStep;
    return { text: 'The reconciler cannot settle it: find out why', anchor: 'runbook-oldest-unsettled' };
  }
  if (aboutTheKey.has(code)) return keyStep;
  return {
    text: 'Correct the reason, then request the instance again',
    anchor: 'runbook-provisioning-fails',
  };
}

const ofFindings: Readonly<Record<string, Step>> = {
  lost: goneStep,
  notOurs: notOursStep,
  unreadable: unreadableStep,
  orphaned: { text: 'An instance has no row: look at it, then remove it', anchor: 'runbook-orphans' },
  invalid: {
    text: 'Instances do not work at Cloud Elements: see why',
    anchor: 'why-did-it-fail-for-a-tenant',
  },
  disabled: {
    text: 'Instances are disabled at Cloud Elements: see why',
    anchor: 'why-did-it-fail-for-a-tenant',
  },
  notVisible: {
    text: 'The platform secret does not show most instances: delete nothing',
    anchor: 'runbook-instances-not-visible',
  },
  incomplete: { text: 'The last audit did not see everything', anchor: 'runbook-audit-incomplete' },
  overdue: { text: 'No audit has ended for two days', anchor: 'runbook-functions-fail' },
};

/** Each step once; none when all is well. */
export function stepsFor({ atMs, instances, deadLetters, lastAudit }: Overview): Step[] {
  const troubles = instances.troubles.flatMap(({ listed }) => listed);
  const steps = [
    ...(Object.values(deadLetters).some((count) => count > 0)
      ? [{ text: 'Find the cause of the dead letters, then npm run redrive', anchor: 'runbook-dead-letters' }]
      : []),
    ...troubles
      .filter((trouble) => trouble.kind !== 'open' || isTooLong(trouble, atMs))
      .map((trouble) => stepFor(trouble, atMs)),
    ...(lastAudit ? findingsOf(lastAudit, atMs).flatMap((name) => ofFindings[name] ?? []) : []),
  ];
  return [...new Map(steps.map((step) => [step.text, step])).values()];
}
