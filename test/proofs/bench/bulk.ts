import { availableParallelism } from 'node:os';
import { triggers } from '../../../functions/triggers.ts';
import { listEvent, queueEvent, scheduledEvent } from './events.ts';
import { countEach, median } from './statistics.ts';
import type { OpenSite, Workshop } from './workshop.ts';

/** As deployed: the number of execution environments at once, and of messages at once in each. */
const { batchSize, maxConcurrency } = triggers['onboard-tenants'].queue;
const concurrency = batchSize * maxConcurrency;

export type Throughput = {
  latencyMs: number;
  tenants: number;
  perSecond: number;
  /** Concurrency ÷ latency: the rate if only Cloud Elements took time. */
  idealPerSecond: number;
  ofIdeal: number;
  /** Processor time of the functions alone. */
  cpuMsPerTenant: number;
  /** The share of this machine's processors in use: near 1, the figures measure the machine. */
  machineShare: number;
};

/** Tenants per second through the queue function, with Cloud Elements taking this long for each create. */
export async function measureThroughput(
  workshop: Workshop,
  { latencyMs, batchesEach }: { latencyMs: number; batchesEach: number },
): Promise<Throughput> {
  await using site = await workshop.openSite();
  await using environments = new AsyncDisposableStack();
  const pool = await Promise.all(
    Array.from({ length: maxConcurrency }, async () =>
      environments.use(await workshop.startWarm(site.ours('onboard-tenants'))),
    ),
  );
  const tenants = tenantsFor(site);
  // Warm-up: cold starts and compilation are measured elsewhere.
  for (const environment of pool) await environment.run([tenants.batch(), tenants.batch(), tenants.batch()]);

  site.simulator.latencyMs = latencyMs;
  const batches = Array.from({ length: maxConcurrency * batchesEach }, () => tenants.batch());
  const count = batches.length * batchSize;
  let cpuMs = 0;
  const serversBefore = process.cpuUsage();
  const startedAt = performance.now();
  await Promise.all(
    pool.map(async (environment) => {
      for (let batch = batches.pop(); batch; batch = batches.pop()) {
        const run = await environment.run([batch]);
        cpuMs += run.cpuMs;
      }
    }),
  );
  const seconds = (performance.now() - startedAt) / 1_000;
  const servers = process.cpuUsage(serversBefore);
  const busyMs = cpuMs + (servers.user + servers.system) / 1_000;
  const idealPerSecond = concurrency / (latencyMs / 1_000);
  return {
    latencyMs,
    tenants: count,
    perSecond: count / seconds,
    idealPerSecond,
    ofIdeal: count / seconds / idealPerSecond,
    cpuMsPerTenant: cpuMs / count,
    machineShare: busyMs / (seconds * 1_000 * availableParallelism()),
  };
}

export type GrowthStep = {
  /** Onboarded so far by this one execution environment. */
  tenants: number;
  /** For the tenants since the previous step. */
  msPerTenant: number;
  cpuMsPerTenant: number;
  rssBytes: number;
  /** In use after a full collection. */
  heapBytes: number;
};

export type Growth = {
  steps: GrowthStep[];
  /** What one request costs among all these tenants. */
  requests: { what: string; ms: number; calls: Record<string, number> }[];
};

/** One execution environment onboards more and more tenants, then a few of them are listed and reconciled. */
export async function measureGrowth(
  workshop: Workshop,
  { steps, onTenants }: { steps: readonly number[]; onTenants: (done: number, of: number) => void },
): Promise<Growth> {
  await using site = await workshop.openSite();
  const tenants = tenantsFor(site);
  const measured: GrowthStep[] = [];
  {
    await using environment = await workshop.startWarm(site.ours('onboard-tenants'));
    let done = 0;
    for (const step of steps) {
      let ms = 0;
      let cpuMs = 0;
      let rssBytes = 0;
      const from = done;
      while (done < step) {
        const events = Array.from({ length: Math.min(10, (step - done) / batchSize) }, () => tenants.batch());
        const run = await environment.run(events);
        ms += run.latenciesMs.reduce((sum, each) => sum + each, 0);
        cpuMs += run.cpuMs;
        ({ rssBytes } = run);
        done += events.length * batchSize;
        site.forgetRequests();
        onTenants(done, steps.at(-1) ?? 0);
      }
      const { heapBytes } = await environment.run([]);
      const count = done - from;
      measured.push({
        tenants: done,
        msPerTenant: ms / count,
        cpuMsPerTenant: cpuMs / count,
        rssBytes,
        heapBytes,
      });
    }
  }
  return { steps: measured, requests: await measureAmongAll(workshop, site, tenants.made) };
}

const dueRows = 20;
const lists = 20;

async function measureAmongAll(workshop: Workshop, site: OpenSite, tenantIds: readonly string[]) {
  const requests: Growth['requests'] = [];
  const counted = async (what: string, times: number, run: () => Promise<{ latenciesMs: number[] }>) => {
    site.forgetRequests();
    const { latenciesMs } = await run();
    const all = [
      ...site.requests.map((target) => target.replace(/^.*\./, '')),
      ...site.simulator.requests.map(({ operation }) => operation ?? 'unknown'),
    ];
    const calls = Object.entries(countEach(all)).map(([name, count]) => [name, count / times]);
    requests.push({ what, ms: median(latenciesMs), calls: Object.fromEntries(calls) });
  };

  await using list = await workshop.startWarm(site.ours('list-instances'));
  const listed = tenantIds.slice(-lists).map(listEvent);
  await list.run(listed);
  await counted('list of one tenant', lists, () => list.run(listed));

  await using reconciler = await workshop.startWarm(site.ours('reconcile-instances'));
  await reconciler.run([scheduledEvent()]);
  await counted('reconcile, nothing due', 1, () => reconciler.run([scheduledEvent()]));
  for (const tenantId of tenantIds.slice(-dueRows)) await site.makeDue(tenantId);
  await counted(`reconcile, ${dueRows} due`, 1, () => reconciler.run([scheduledEvent()]));
  return requests;
}

function tenantsFor(site: OpenSite) {
  const made: string[] = [];
  return {
    made,
    /** New tenants, with their secrets in place. */
    batch: () => {
      const tenantIds = Array.from({ length: batchSize }, (_, index) => `bulk-${made.length + index}`);
      for (const tenantId of tenantIds) site.putTenantSecret(tenantId);
      made.push(...tenantIds);
      return queueEvent('TenantOnboarded', tenantIds);
    },
  };
}
