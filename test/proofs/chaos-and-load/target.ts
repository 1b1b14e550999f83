import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { FunctionName } from '../../../functions/triggers.ts';
import { cdk } from '../../service/deployed/cdk.ts';
import { startDeployedStack } from '../../service/deployed/deployed-stack.ts';
import { environment } from '../../service/deployed/endpoint.ts';
import { serviceOf, startService, type Service } from '../../support/running-service.ts';
import { bundleWithShortTiming } from './disturbances/bundles.ts';
import { drawPlatformSecret } from './disturbances/disturbances.ts';
import { killProcesses } from './disturbances/processes.ts';
import { functionTimeoutMs } from './disturbances/timing.ts';
import { createOracle, type Oracle } from './oracle.ts';

/** A service that is disturbed, local or deployed, and the oracle of its promises. */
export type Target = AsyncDisposable & {
  service: Service;
  oracle: Oracle;
  /** @returns the number of processes of the function that were killed */
  kill: (functionName: FunctionName) => number;
  /** True when no message waits or is in flight. */
  areQueuesEmpty: () => Promise<boolean>;
  reconcile: () => Promise<void>;
  periods: {
    /** Between Cloud Elements' new secret and its arrival in Secrets Manager. */
    rotationLagMs: number;
    /** Longer than a failed message is hidden, so that some fail twice. */
    revokedMs: number;
    /** Between two looks at a service that comes to rest. */
    pauseMs: number;
    restLimitMs: number;
  };
};

/** Deployed it is six times the function's timeout. */
const localVisibilityTimeoutMs = 800;

/** A failed message becomes visible again after this time, when its invocation is over. Deployed it is 174 s. */
const visibilityTimeoutMs = 35_000;

/**
 * Fewer than deployed, so that malformed events are dead letters within five minutes, but enough for a claim that was
 * killed before its create was sent: 29 + 125 s.
 */
const maxReceiveCount = 8;

/**
 * The functions are the bundles that are deployed, in processes of their own, behind the gateway, the bus and the queues
 * of a local stack. Only the periods of `functions/model/timing.ts` are shorter, because a lease or the wait for a slow
 * create would take minutes.
 * @param bundles where `bundleWithShortTiming` has written them; by default it does so for this target
 */
export async function startLocalTarget({
  bundles,
  ...queue
}: { bundles?: string | undefined; maxReceiveCount?: number } = {}): Promise<Target> {
  const own = mkdtempSync(join(tmpdir(), 'element-onboarding-chaos-'));
  if (bundles === undefined) await bundleWithShortTiming(own);
  const service = await startService({
    bundle: (name, directory) =>
      symlinkSync(join(bundles ?? own, name, 'index.mjs'), join(directory, 'index.mjs')),
    functionTimeoutMs,
    queue: { visibilityTimeoutMs: localVisibilityTimeoutMs, ...queue },
    stream: { retryDelayMs: 50 },
  });
  const { stack } = service;
  return {
    service,
    oracle: createOracle(service, { withRechecks: true, mayDie: true }),
    kill: (name) => (stack.kill(name) ? 1 : 0),
    areQueuesEmpty: () =>
      Promise.race([stack.idle().then(() => true), setTimeout(500, false, { ref: false })]),
    async reconcile() {
      // It fails when it is killed, and its log says so.
      await stack.runSchedule('reconcile-instances').catch(() => {});
    },
    periods: { rotationLagMs: 100, revokedMs: 1_500, pauseMs: 100, restLimitMs: 60_000 },
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]();
      rmSync(own, { recursive: true });
    },
  };
}

/** Deploys to the emulator, with all periods as deployed. @param directory where to deploy from */
export async function deployTarget(directory: string | undefined): Promise<Target> {
  const platformSecret = drawPlatformSecret();
  // In a directory without an app, so that none is synthesized.
  await cdk(['bootstrap', `aws://000000000000/${environment.AWS_REGION}`], { directory: tmpdir() });
  const stack = await startDeployedStack(
    { queue: { visibilityTimeoutMs, maxReceiveCount }, platformSecret },
    directory === undefined ? {} : { directory },
  );
  stack.simulator.rotateSecrets(platformSecret);
  const service = serviceOf(stack);
  const oracle = createOracle(service, { withRechecks: false, mayDie: false });
  oracle.plantPlatformSecret('at the start', platformSecret);
  return {
    service,
    oracle,
    kill: (name) => killProcesses(stack.stackName, name),
    areQueuesEmpty: stack.areQueuesEmpty,
    // Its schedule runs.
    reconcile: () => Promise.resolve(),
    // Rows of killed claims are settled three to four minutes later.
    periods: { rotationLagMs: 3_000, revokedMs: 45_000, pauseMs: 3_000, restLimitMs: 15 * 60_000 },
    [Symbol.asyncDispose]: stack.stop,
  };
}
