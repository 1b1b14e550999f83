import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import type { InjectedFault, PlatformSecrets } from '../../../infra/local/cloud-elements/simulator.ts';
import type { DeployedStack } from '../../service/deployed/deployed-stack.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { killProcesses } from './processes.ts';

/** The share of failing calls to Cloud Elements. */
const failingShare = 0.05;

/** A look-up after each `502` takes seconds and holds up its batch, so there are fewer of these. */
const kindsOfFault: readonly [KindOfFault, ...KindOfFault[]] = [
  { name: 'done, then reset', share: 0.5, injected: { effect: 'applied', outcome: { kind: 'reset' } } },
  {
    name: '429, not done',
    share: 0.35,
    injected: { effect: 'none', outcome: { kind: 'status', status: 429 } },
  },
  {
    name: '502, not done',
    share: 0.15,
    injected: { effect: 'none', outcome: { kind: 'status', status: 502 } },
  },
];
type KindOfFault = { name: string; share: number; injected: InjectedFault };

/** Between Cloud Elements' new secret and its arrival in Secrets Manager. */
const rotationLagMs = 3_000;

/** Longer than a failed message is hidden, so that some fail twice. */
const revokedMs = 45_000;

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
 * @param plant gets every platform secret
 */
export function disturb(
  stack: DeployedStack,
  { tenants, seed, plant }: { tenants: number; seed: number; plant: (what: string, secret: string) => void },
) {
  const { simulator } = stack;
  const random = seededRandom(seed);
  const faults = new Map(kindsOfFault.map(({ name }) => [name, 0]));
  const refusing: { what: 'rotated' | 'revoked'; from: number; to: number }[] = [];
  const share = (): number => simulator.instances.length / tenants;
  const kills = Math.min(mostKills, Math.max(2, Math.floor(tenants / tenantsPerKill)));
  const killsAt = Array.from(
    { length: kills },
    (_, index) => firstKillAt + (index * (lastKillAt - firstKillAt)) / (kills - 1),
  );
  const counts = { killsDue: kills, kills: 0, processesKilled: 0 };
  let nextKill = 0;

  simulator.faultFor = ({ operation }) => {
    const isRefusing = refusing.at(-1)?.to === 0;
    const killAt = killsAt[nextKill];
    if (operation === 'POST /instances' && !isRefusing && killAt !== undefined && share() >= killAt) {
      nextKill += 1;
      const killed = killProcesses(stack.stackName, 'onboard-tenants');
      counts.processesKilled += killed;
      if (killed === 0) return undefined;
      counts.kills += 1;
      return responseLost;
    }
    if (!random.chance(failingShare)) return undefined;
    const drawn = random.fraction();
    let sum = 0;
    const fault = kindsOfFault.find((each) => (sum += each.share) > drawn) ?? kindsOfFault[0];
    faults.set(fault.name, (faults.get(fault.name) ?? 0) + 1);
    return fault.injected;
  };

  const ended = new AbortController();
  const { signal } = ended;
  const done = operate().catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });

  async function operate(): Promise<void> {
    await untilShare(rotatedAt);
    await refuseAll('rotated', rotationLagMs);
    await untilShare(revokedAt);
    await refuseAll('revoked', revokedMs);
  }

  async function untilShare(wanted: number): Promise<void> {
    while (share() < wanted) await setTimeout(50, undefined, { signal });
  }

  /** Cloud Elements accepts only a new secret, which the operator stores some time later. */
  async function refuseAll(what: 'rotated' | 'revoked', forMs: number): Promise<void> {
    const secret = drawPlatformSecret();
    plant(`the user secret after it was ${what}`, secret.userSecret);
    plant(`the organization secret after it was ${what}`, secret.organizationSecret);
    simulator.rotateSecrets(secret);
    const refusal = { what, from: Date.now(), to: 0 };
    refusing.push(refusal);
    try {
      await setTimeout(forMs, undefined, { signal });
    } finally {
      await stack.putSecret(stack.platformSecretName, secret);
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
        .reduce(
          (sum, { from, to }) => sum + simulator.requests.filter(({ at }) => at >= from && at < to).length,
          0,
        ),
    /** Ends the disturbances; the operator finishes a started change. */
    async stop(): Promise<void> {
      ended.abort();
      await done;
      simulator.faultFor = () => undefined;
    },
  };
}

/** Only random characters, so no part of it occurs in a text by chance. */
export const drawPlatformSecret = (): PlatformSecrets => ({
  userSecret: randomBytes(24).toString('base64url'),
  organizationSecret: randomBytes(24).toString('base64url'),
});
