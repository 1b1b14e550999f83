import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import { judged, settingsOf, type InstanceRow } from '../../../functions/model/instance.ts';
import { activate, claim } from '../../../functions/core/lifecycle.ts';
import { markerTags } from '../../../functions/model/markers.ts';
import { defaultTiming } from '../../../functions/model/timing.ts';
import { scheduledEvent } from './events.ts';
import type { OpenSite, Workshop } from './workshop.ts';

/** One run of a scheduled function, with the amount of work. */
export type ScheduledRun = {
  what: string;
  seconds: number;
  peakBytes: number;
  calls: Record<string, number>;
};

const key = (index: number) => ({ tenantId: `bulk-${index}`, elementKey: 'taxify' });

/** An expired claim. */
function claimed(site: OpenSite, index: number): InstanceRow {
  const nowMs = Date.now() - 3_600_000;
  const requested = settingsOf(key(index), { tags: ['eu'], configuration: { 'api.key': 'any' } });
  const settings = judged(builtInCatalog, requested);
  const claimant = { settings, origin: site.simulator.url, claimId: crypto.randomUUID(), nowMs };
  return {
    ...claim({ ...claimant, sendDeadline: nowMs }, crypto.randomUUID(), defaultTiming),
    leaseExpiresAt: 0,
  };
}

function made(site: OpenSite, row: InstanceRow): number {
  const { name, tags, elementKey } = row;
  const { id } = site.simulator.seed({
    element: { key: elementKey },
    name,
    tags: [...tags, ...markerTags(row, 'bench')],
    configuration: { 'api.key': 'any' },
  });
  return id;
}

/** Measures an audit, with the given number of instances and latency per page of 200. */
export async function measureAudit(
  workshop: Workshop,
  {
    instances,
    latencyMs,
    onSeeded,
  }: { instances: number; latencyMs: number; onSeeded: (done: number, of: number) => void },
): Promise<ScheduledRun> {
  await using site = await workshop.openSite();
  const token = crypto.getRandomValues(new Uint8Array(200));
  for (let done = 0; done < instances; done += 1_000) {
    onSeeded(done, instances);
    const rows = Array.from({ length: Math.min(1_000, instances - done) }, (_, index) => {
      const row = claimed(site, done + index);
      return activate(row, { instanceId: made(site, row), token }, Date.now(), defaultTiming);
    });
    await site.putRows(rows);
  }
  await using environment = await workshop.startWarm(site.ours('audit-instances'));
  // Awaited here, because returning disposes of the execution environment.
  return await measured(
    site,
    environment,
    `audit of ${instances.toLocaleString('en')}, ${latencyMs} ms`,
    latencyMs,
  );
}

/** One run of the reconciler among more claims than it can settle. `latencyMs`: undefined for no response. */
export async function measureReconciler(
  workshop: Workshop,
  { due, latencyMs }: { due: number; latencyMs: number | undefined },
): Promise<ScheduledRun> {
  await using site = await workshop.openSite();
  const rows = Array.from({ length: due }, (_, index) => {
    const row = claimed(site, index);
    made(site, row);
    return { ...row, checkAt: 1 + index, unsettled: index % 2 === 0 ? 'first' : 'later' };
  });
  await site.putRows(rows);
  await using environment = await workshop.startWarm(site.ours('reconcile-instances'));
  if (latencyMs === undefined) {
    site.simulator.faultFor = () => ({ effect: 'none', outcome: { kind: 'stall' } });
  }
  const how = latencyMs === undefined ? 'no answer' : `${latencyMs} ms`;
  // Awaited here, because returning disposes of the execution environment.
  return await measured(site, environment, `reconciler, ${how}`, latencyMs ?? 0);
}

async function measured(
  site: OpenSite,
  environment: Awaited<ReturnType<Workshop['startWarm']>>,
  what: string,
  latencyMs: number,
): Promise<ScheduledRun> {
  site.requests.length = 0;
  site.simulator.latencyMs = latencyMs;
  const { latenciesMs, peakBytes } = await environment.run([scheduledEvent()]);
  return { what, seconds: (latenciesMs[0] ?? 0) / 1_000, peakBytes, calls: site.callsSoFar() };
}
