import type { AttributeValue } from 'aws-lambda';
import * as z from 'zod/mini';
import { triggers } from '../../../../functions/triggers.ts';
import { indexWritesOf } from '../../../support/index-writes.ts';
import { scheduledEvent } from '../events.ts';
import type { ExecutionEnvironment } from '../processes.ts';
import { countEach } from '../statistics.ts';
import type { OpenSite, Workshop } from '../workshop.ts';
import type { Clock } from './clock.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const minutesADay = 24 * 60;

/** The cost of the schedules while no request comes. */
export type Rest = {
  minutes: number;
  /** Checks of health in these minutes. */
  checks: number;
  /** Requests to DynamoDB in these minutes. */
  calls: Record<string, number>;
  /** Writes to the index of unsettled rows in these minutes, by its partition. */
  indexWrites: Record<string, number>;
  /** Of an average item that was written. */
  itemBytes: number;
  /** Units of DynamoDB, the daily audit included. */
  perDay: Units;
  perTenantAndDay: Units;
};
type Units = { readUnits: number; writeUnits: number };

const tallySchema = z.object({
  healthy: z.number(),
  unhealthy: z.number(),
  unknown: z.number(),
  skipped: z.number(),
  brokenOff: z.boolean(),
});

/**
 * Runs the reconciler and the checks of health minute after minute of simulated time, and counts. Cloud Elements answers
 * at once.
 */
export async function measureRest(
  workshop: Workshop,
  { site, clock }: { site: OpenSite; clock: Clock },
  { tenants, minutes, audit }: { tenants: number; minutes: number; audit: Record<string, number> },
): Promise<Rest> {
  await using reconciler = await workshop.startWarm(site.ours('reconcile-instances'));
  await using checks = await workshop.startWarm(site.ours('check-instances'));
  site.simulator.latencyMs = 0;
  // Checks that became due while the rows were written and other parts measured are not of these minutes.
  while ((await runChecks(checks, clock)) > 0);
  site.forgetRequests();
  const writes: string[] = [];
  const sizes: number[] = [];
  site.watcher.onChange = (record) => {
    writes.push(...indexWritesOf(record));
    sizes.push(bytesOf({ M: record.dynamodb?.NewImage ?? {} }));
  };
  let checked = 0;
  const startedAt = clock.now();
  for (let minute = 1; minute <= minutes; minute += 1) {
    clock.advanceTo(startedAt + minute * minuteMs);
    const [, done] = await Promise.all([
      reconciler.run([scheduledEvent()], clock.aheadMs()),
      runChecks(checks, clock),
    ]);
    checked += done;
  }
  delete site.watcher.onChange;
  const calls = site.callsSoFar();
  const units = unitsOf({ calls, sizes, indexWrites: writes.length });
  const itemBytes = Math.round(sizes.reduce((sum, size) => sum + size, 0) / Math.max(1, sizes.length));
  const perDay = {
    readUnits: units.readUnits * (minutesADay / minutes) + scanUnits(tenants * itemBytes),
    writeUnits: units.writeUnits * (minutesADay / minutes) + (audit['PutItem'] ?? 0),
  };
  return {
    minutes,
    checks: checked,
    calls,
    indexWrites: countEach(writes),
    itemBytes,
    perDay,
    perTenantAndDay: {
      readUnits: perDay.readUnits / tenants,
      writeUnits: perDay.writeUnits / tenants,
    },
  };
}

/** @returns the number of checks */
async function runChecks(checks: ExecutionEnvironment, clock: Clock): Promise<number> {
  const { responses } = await checks.run([scheduledEvent()], clock.aheadMs());
  const { healthy, unhealthy, unknown } = tallySchema.parse(responses[0]);
  return healthy + unhealthy + unknown;
}

/**
 * A consistent read of an item is one unit per 4 KB, a query of the index, whose entries are small, half a unit; a write
 * is one unit per KB, and one for each write to the index.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
 */
function unitsOf({
  calls,
  sizes,
  indexWrites,
}: {
  calls: Record<string, number>;
  sizes: readonly number[];
  indexWrites: number;
}): Units {
  const written = sizes.reduce((sum, size) => sum + Math.ceil(size / 1_024), 0);
  return {
    readUnits: (calls['GetItem'] ?? 0) + (calls['Query'] ?? 0) / 2,
    writeUnits: written + indexWrites,
  };
}

/** A scan reads all bytes, eventually consistently: half a unit per 4 KB. */
const scanUnits = (bytes: number): number => bytes / 4_096 / 2;

/** As DynamoDB counts it: names and values in UTF-8, numbers at most half a byte per digit and one. */
function bytesOf(value: AttributeValue): number {
  if (value.S !== undefined) return Buffer.byteLength(value.S);
  if (value.N !== undefined) return Math.ceil(value.N.length / 2) + 1;
  if (value.B !== undefined) return Buffer.from(value.B, 'base64').length;
  if (value.L) return value.L.reduce((sum, each) => sum + 1 + bytesOf(each), 3);
  if (value.M) {
    return Object.entries(value.M).reduce((sum, [name, each]) => sum + name.length + bytesOf(each), 0);
  }
  return 1;
}

export type Sweep = {
  runs: number;
  /** Of the longest run. */
  seconds: number;
  checksPerRun: number;
  peakBytes: number;
  calls: Record<string, number>;
  /** One run a minute, all day. */
  checksPerDay: number;
};

const sweepEveryMinutes = triggers['check-instances'].schedule.everyMinutes;

/** Runs of the checks of health after a day without: more are due than a run takes, where there are so many. */
export async function measureSweep(
  workshop: Workshop,
  { site, clock }: { site: OpenSite; clock: Clock },
  { latencyMs, runs }: { latencyMs: number; runs: number },
): Promise<Sweep> {
  clock.advanceTo(clock.now() + 25 * hourMs);
  await using environment = await workshop.startWarm(site.ours('check-instances'));
  site.forgetRequests();
  site.simulator.latencyMs = latencyMs;
  const seconds: number[] = [];
  let checked = 0;
  let peakBytes = 0;
  for (let run = 0; run < runs; run += 1) {
    const startedAt = clock.now();
    const { latenciesMs, responses, ...cost } = await environment.run([scheduledEvent()], clock.aheadMs());
    ({ peakBytes } = cost);
    const { healthy, unhealthy, unknown } = tallySchema.parse(responses[0]);
    checked += healthy + unhealthy + unknown;
    seconds.push((latenciesMs[0] ?? 0) / 1_000);
    clock.advanceTo(startedAt + sweepEveryMinutes * minuteMs);
  }
  return {
    runs,
    seconds: Math.max(...seconds),
    checksPerRun: checked / runs,
    peakBytes,
    calls: site.callsSoFar(),
    checksPerDay: (checked / runs) * (minutesADay / sweepEveryMinutes),
  };
}
