import type { Observe } from './collaborators.ts';
import type { InstanceSettings } from './instance.ts';
import type { Provision, Provisioned } from './provision.ts';
import { defaultTiming, type Timing } from './timing.ts';

export type Onboard = (
  settings: InstanceSettings,
  options: { deadlineAt: number },
) => Promise<{ outcome: Provisioned['outcome']; provisionId: string | undefined }>;

/** Carries out onboarding events. No tombstone is older than the oldest event that is accepted, so none is missed. */
export function createOnboarding({
  provision,
  observe,
  timing = defaultTiming,
  now = Date.now,
}: {
  provision: Provision;
  observe: Observe;
  timing?: Pick<Timing, 'oldestOnboardingMs'>;
  now?: () => number;
}): Onboard {
  return async (settings, { deadlineAt }) => {
    const { askedBy } = settings;
    if (askedBy && now() - askedBy.sentAt > timing.oldestOnboardingMs) {
      observe({ kind: 'event-ignored', reason: 'too old' }, { ...settings, provisionId: 'none' });
      return { outcome: 'outdated', provisionId: undefined };
    }
    const { outcome, row } = await provision(settings, { deadlineAt, recordRefusal: true });
    return { outcome, provisionId: row.provisionId };
  };
}
