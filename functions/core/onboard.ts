import type { Observe } from './ports.ts';
import { OnboardingError } from '../model/errors.ts';
import type { RequestedSettings } from '../model/instance.ts';
import type { Provisioned } from './claim.ts';
import type { Provision } from './provision.ts';
import { defaultTiming, queueMaxReceiveCount, type Timing } from '../model/timing.ts';

export type Onboarded = {
  /**
   * `waiting-for-secret`: the tenant's secret may still come, or be mended. `refused`: it did not, and the row says so.
   */
  outcome: Provisioned['outcome'] | 'waiting-for-secret' | 'refused';
  /** The message has to come again. */
  retry: boolean;
  provisionId?: string | undefined;
};

export type Onboard = (
  settings: RequestedSettings,
  options: {
    deadlineAt: number;
    /** How often the message has been delivered, this time included. */
    deliveries: number;
  },
) => Promise<Onboarded>;

/**
 * Carries out onboarding events. No tombstone is older than the oldest event that is accepted, so none is missed. A
 * secret that cannot be used, and for the SaaS Builder Toolkit one that does not exist, is waited for as long as the
 * queue delivers the message: the toolkit mints the tenant's id in the call that sends the request, so nothing named
 * after the tenant can exist before.
 */
export function createOnboarding({
  provision,
  observe,
  timing = defaultTiming,
  maxDeliveries = queueMaxReceiveCount,
  now = Date.now,
}: {
  provision: Provision;
  observe: Observe;
  timing?: Pick<Timing, 'oldestOnboardingMs'>;
  maxDeliveries?: number;
  now?: () => number;
}): Onboard {
  return async (settings, { deadlineAt, deliveries }) => {
    const { requestedBy } = settings;
    if (requestedBy && now() - requestedBy.sentAt > timing.oldestOnboardingMs) {
      observe({ kind: 'event-ignored', reason: 'too old' }, { ...settings, provisionId: 'none' });
      return { outcome: 'outdated', retry: false };
    }
    const isToolkits = requestedBy !== undefined && requestedBy.dialect !== 'native';
    const lacksSecret = ({ code }: OnboardingError): boolean =>
      code === 'tenant-credentials-unusable' || (isToolkits && code === 'missing-configuration');
    const isLast = deliveries >= maxDeliveries;
    try {
      const recordRefusal = (error: OnboardingError) => isLast || !lacksSecret(error);
      const { outcome, row } = await provision(settings, { deadlineAt, recordRefusal });
      return { outcome, retry: outcome === 'in-progress', provisionId: row.provisionId };
    } catch (error) {
      if (!(error instanceof OnboardingError) || !lacksSecret(error)) throw error;
      observe({ kind: 'secret-missing', reason: error.message }, { ...settings, provisionId: 'none' });
      return isLast ? { outcome: 'refused', retry: false } : { outcome: 'waiting-for-secret', retry: true };
    }
  };
}
