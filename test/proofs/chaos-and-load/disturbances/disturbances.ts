import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import type { InjectedFault, PlatformSecrets } from '../../../../infra/local/cloud-elements/simulator.ts';
import { seededRandom } from '../../../support/seeded-random.ts';
import type { Target } from '../target.ts';
import { createDraw, slowFaults } from './faults.ts';

/** The share of failing calls to Cloud Elements. */
const failingShare = 0.05;

/** The request takes effect, without a response: its function is dead by then. */
const responseLost: InjectedFault = { effect: 'applied', outcome: { kind: 'stall' } };

/** Times of the disturbances, as shares of provisioned tenants. */
const rotatedAt = 0.25;
const revokedAt = 0.5;
const firstKillAt = 0.05;
const lastKillAt = 0.85;
const tenantsPerKill = 100;
const mostKills = 10;

/**
 * Disturbs the service in the middle of a load: the platform secret is rotated, later revoked and replaced, function
 * processes are killed at the moment that Cloud Elements carries out a create of theirs, and Cloud Elements fails some
 * calls.
 */
export function disturb(
  { service, oracle, kill, periods }: Target,
  { tenants, seed }: { tenants: number; seed: number },
) {
  const { simulator } = service;
  const faults = new Map<string, number>(slowFaults.map(([name]) => [name, 0]));
  const draw = createDraw(seededRandom(seed), failingShare, faults);
  const refusing: { what: 'rotated' | 'revoked'; from: number; to: number }[] = [];
  const share = (): number => simulator.instances.length / tenants;
  const killsDue = Math.min(mostKills, Math.max(2, Math.floor(tenants / tenantsPerKill)));
  const killsAt = Array.from(
    { length: killsDue },
    (_, index) => firstKillAt + (index * (lastKillAt - firstKillAt)) / (killsDue - 1),
  );
  const counts = { killsDue, kills: 0, processesKilled: 0 };

  simulator.faultFor = ({ operation }) => {
    oracle.rememberTokens();
    const isRefusing = refusing.at(-1)?.to === 0;
    const [killAt = Infinity] = killsAt;
    if (operation !== 'POST /instances' || isRefusing || share() < killAt) return draw(slowFaults);
    killsAt.shift();
    const killed = kill('onboard-tenants');
    counts.processesKilled += killed;
    if (killed === 0) return undefined;
    counts.kills += 1;
    return responseLost;
  };

  const ended = new AbortController();
  const { signal } = ended;
  const done = operate().catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });

  async function operate(): Promise<void> {
    await untilShare(rotatedAt);
    await refuseAll('rotated', periods.rotationLagMs);
    await untilShare(revokedAt);
    await refuseAll('revoked', periods.revokedMs);
  }

  async function untilShare(wanted: number): Promise<void> {
    while (share() < wanted) await setTimeout(50, undefined, { signal });
  }

  /** Cloud Elements accepts only a new secret, which the operator stores some time later. */
  async function refuseAll(what: 'rotated' | 'revoked', forMs: number): Promise<void> {
    const secret = drawPlatformSecret();
    oracle.plantPlatformSecret(`after it was ${what}`, secret);
    simulator.rotateSecrets(secret);
    const refusal = { what, from: Date.now(), to: 0 };
    refusing.push(refusal);
    try {
      await setTimeout(forMs, undefined, { signal });
    } finally {
      await service.putSecret(service.platformSecretName, secret);
      refusal.to = Date.now();
    }
  }

  return {
    faults,
    counts,
    /** Calls that Cloud Elements refused because of the outdated secret. */
    refusedWhile: (what: 'rotated' | 'revoked'): number =>
      refusing
        .filter((refusal) => refusal.what === what)
        .flatMap(({ from, to }) => simulator.requests.filter(({ at }) => at >= from && at < to)).length,
    /** Ends the disturbances; the operator finishes a started change. */
    async stop(): Promise<void> {
      ended.abort();
      await done;
      simulator.faultFor = () => {
        oracle.rememberTokens();
        return undefined;
      };
    },
  };
}

/** Only random characters, so no part of it occurs in a text by chance. */
export const drawPlatformSecret = (): PlatformSecrets => ({
  userSecret: randomBytes(24).toString('base64url'),
  organizationSecret: randomBytes(24).toString('base64url'),
});
