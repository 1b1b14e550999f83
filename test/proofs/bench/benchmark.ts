import { availableParallelism, cpus } from 'node:os';
import { measureGrowth, measureThroughput, type Growth, type Throughput } from './bulk.ts';
import { measureAudit, measureReconciler, type ScheduledRun } from './scheduled.ts';
import { measureScale, type ScaleEffort, type ScaleFigures } from './scale/scale.ts';
import { measureCold, type ColdFigures } from './cold.ts';
import { measureWarm, type WarmFigures } from './warm.ts';
import { openWorkshop } from './workshop.ts';

export const parts = ['cold', 'warm', 'bulk', 'scheduled', 'scale'] as const;

/** The others take minutes: they are measured only when asked for. */
export const usualParts: readonly Part[] = ['cold', 'warm', 'bulk'];
export type Part = (typeof parts)[number];

export type Effort = {
  /** Fresh processes of each contender. */
  rounds: number;
  /** Calls of each kind in a warm process. */
  warmCalls: number;
  throughput: readonly { latencyMs: number; batchesEach: number }[];
  growth: readonly number[];
  audit: { instances: number; latencyMs: number };
  /** One run of the reconciler; undefined means no response. */
  reconciler: { due: number; latenciesMs: readonly (number | undefined)[] };
  scale: ScaleEffort;
};

const scale = { latencyMs: 300, due: 10_000, restMinutes: 30, sweeps: 2, rate: 1_000 };

/** On two idle cores a full run takes some two minutes, a quick one less than one. */
export const efforts = {
  full: {
    rounds: 21,
    warmCalls: 1_200,
    throughput: [
      { latencyMs: 200, batchesEach: 50 },
      { latencyMs: 2_000, batchesEach: 8 },
    ],
    growth: [100, 1_000, 5_000, 10_000],
    audit: { instances: 100_000, latencyMs: 300 },
    reconciler: { due: 2_000, latenciesMs: [300, undefined] },
    scale: { ...scale, tenants: [1_000, 10_000, 100_000] },
  },
  quick: {
    rounds: 3,
    warmCalls: 120,
    throughput: [
      { latencyMs: 200, batchesEach: 10 },
      { latencyMs: 2_000, batchesEach: 1 },
    ],
    growth: [100, 1_000],
    audit: { instances: 2_000, latencyMs: 300 },
    reconciler: { due: 200, latenciesMs: [300] },
    scale: { ...scale, tenants: [1_000, 10_000] },
  },
} satisfies Record<string, Effort>;

export type Figures = {
  machine: { node: string; processor: string; cores: number };
  cold?: ColdFigures[];
  warm?: WarmFigures[];
  bulk?: { throughput: Throughput[]; growth: Growth };
  scheduled?: ScheduledRun[];
  scale?: ScaleFigures[];
};

/** Measures the given parts, one after the other, on servers of its own. */
export async function runBenchmark({
  only,
  effort,
  buildFunctions,
  onProgress = () => {},
}: {
  only: readonly Part[];
  effort: Effort;
  buildFunctions?: Parameters<typeof openWorkshop>[0];
  onProgress?: (what: string, done: number, of: number) => void;
}): Promise<Figures> {
  onProgress('synthesising', 0, 1);
  await using workshop = await openWorkshop(buildFunctions);
  const figures: Figures = {
    machine: {
      node: process.version,
      processor: cpus()[0]?.model ?? 'unknown',
      cores: availableParallelism(),
    },
  };
  if (only.includes('cold')) {
    const { rounds } = effort;
    figures.cold = await measureCold(workshop, {
      rounds,
      onRun: (...at) => onProgress('cold starts', ...at),
    });
  }
  if (only.includes('warm')) {
    const { warmCalls: calls } = effort;
    figures.warm = await measureWarm(workshop, {
      calls,
      onBlock: (...at) => onProgress('warm calls', ...at),
    });
  }
  if (only.includes('bulk')) {
    const throughput: Throughput[] = [];
    for (const settings of effort.throughput) {
      onProgress(`queue, ${settings.latencyMs} ms`, throughput.length, effort.throughput.length);
      throughput.push(await measureThroughput(workshop, settings));
    }
    const growth = await measureGrowth(workshop, {
      steps: effort.growth,
      onTenants: (...at) => onProgress('tenants', ...at),
    });
    figures.bulk = { throughput, growth };
  }
  if (only.includes('scheduled')) {
    const { audit, reconciler } = effort;
    const runs: ScheduledRun[] = [];
    for (const latencyMs of reconciler.latenciesMs) {
      onProgress('reconciler', runs.length, reconciler.latenciesMs.length);
      runs.push(await measureReconciler(workshop, { due: reconciler.due, latencyMs }));
    }
    const onSeeded = (done: number, of: number) => onProgress('instances', done, of);
    runs.push(await measureAudit(workshop, { ...audit, onSeeded }));
    figures.scheduled = runs;
  }
  if (only.includes('scale')) {
    figures.scale = [];
    for (const tenants of effort.scale.tenants) {
      figures.scale.push(await measureScale(workshop, tenants, effort.scale, onProgress));
    }
  }
  return figures;
}
