import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { triggers } from '../../../functions/triggers.ts';
import { sharedBundle } from '../../support/shared-bundle.ts';
import { runBenchmark, type Figures } from './benchmark.ts';
import { reportOf } from './report.ts';

/** The memory of a long benchmark: no measured process may report it as its own. */
const ballast = Buffer.alloc(250_000_000, 1);

let figures: Figures;
const progress: string[] = [];
/** A tiny run, which shows only that the benchmark works. */
beforeAll(async () => {
  figures = await runBenchmark({
    only: ['cold', 'warm', 'bulk', 'scheduled', 'scale'],
    effort: {
      rounds: 1,
      warmCalls: 6,
      throughput: [{ latencyMs: 20, batchesEach: 1 }],
      growth: [20, 60],
      audit: { instances: 401, latencyMs: 5 },
      reconciler: { due: 30, latenciesMs: [5] },
      scale: { tenants: [50], latencyMs: 5, due: 40, restMinutes: 30, sweeps: 2, rate: 1_000 },
    },
    // As CDK builds them, `contenders.test.ts` has them.
    buildFunctions: async (directory) => {
      await Promise.all(
        Object.keys(triggers).map(async (name) => {
          await mkdir(join(directory, name), { recursive: true });
          await sharedBundle(name, join(directory, name));
        }),
      );
      return (name) => join(directory, name, 'index.mjs');
    },
    onProgress: (what, done, of) => progress.push(`${what} ${done}/${of}`),
  });
}, 120_000);

test('every function, the peer and a bare handler are cold-started, each measuring itself', () => {
  const { cold = [] } = figures;
  expect(cold.map(({ name }) => name).toSorted()).toEqual(
    ['peer provision-instance', 'peer read-token', 'bare handler', ...Object.keys(triggers)].toSorted(),
  );
  const [peer, , bare] = cold;
  expect(peer?.ofPeer).toEqual({ bundleBytes: 1, firstResponseMs: 1, cpuMs: 1, peakBytes: 1 });
  // Processes that reported the memory of their parent would have equal figures.
  expect(bare?.cost.peakBytes).toBeLessThan(ballast.length);
  expect(bare?.ofPeer.peakBytes).toBeLessThan(0.8);
  for (const { name, cost } of cold) {
    expect(Object.values(cost).every((value) => value > 0)).toBe(true);
    if (name === 'bare handler') continue;
    // Not the time of the first answer, in which others may keep the processor busy.
    expect(cost.cpuMs).toBeGreaterThan(bare?.cost.cpuMs ?? Infinity);
  }
});

test('warm calls of both sides are compared, request by request', () => {
  const { warm = [] } = figures;
  expect(warm.map(({ request }) => request)).toEqual(['fresh provisioning', 'repeat', 'token read']);
  for (const { calls, peer, ours, ofPeer } of warm) {
    expect(calls).toBe(6);
    expect(ours.p99Ms).toBeGreaterThanOrEqual(ours.p50Ms);
    expect(ofPeer.cpuMs).toBeCloseTo(ours.cpuMs / peer.cpuMs);
  }
});

test('the queue’s throughput is measured against the limit that Cloud Elements’ latency sets', () => {
  const [throughput] = figures.bulk?.throughput ?? [];
  expect(throughput).toMatchObject({ latencyMs: 20, tenants: 50, idealPerSecond: 2_500 });
  expect(throughput?.ofIdeal).toBeLessThan(1);
  expect(throughput?.machineShare).toBeGreaterThan(0);
  expect(figures.bulk?.growth.steps.map(({ tenants }) => tenants)).toEqual([20, 60]);
});

test('among many tenants a list is one query, the reconciler queries due rows, and neither scans', () => {
  expect(figures.bulk?.growth.requests).toMatchObject([
    { what: 'list of one tenant', calls: { Query: 1 } },
    { what: 'reconcile, nothing due', calls: { Query: 3 } },
    {
      what: 'reconcile, 20 due',
      calls: { Query: 6, GetItem: 20, PutItem: 40, 'GET /instances': 20, 'GET /instances/{id}': 20 },
    },
  ]);
  for (const { calls } of figures.bulk?.growth.requests ?? []) expect(calls).not.toHaveProperty('Scan');
});

test('a run of the audit is one walk through table and list and one write, and one of the reconciler a read of each row', () => {
  const [reconciler, audit] = figures.scheduled ?? [];
  expect(reconciler).toMatchObject({ calls: { GetItem: 30, PutItem: 60, 'GET /instances': 30 } });
  expect(audit).toMatchObject({ what: 'audit of 401, 5 ms', calls: { 'GET /instances': 3, PutItem: 1 } });
  expect(Object.keys(audit?.calls ?? {}).toSorted()).toEqual([
    'GET /instances',
    'GetSecretValue',
    'PutItem',
    'Scan',
  ]);
  expect(audit?.peakBytes).toBeLessThan(200_000_000);
});

test('what grows with the number of tenants is measured on one table, and all of it is complete', () => {
  const [scale] = figures.scale ?? [];
  expect(scale).toMatchObject({
    tenants: 50,
    audit: { pages: 1, isComplete: true },
    list: { pages: 1, isComplete: true },
    status: { isComplete: true },
    outage: { due: 40, calls: { 'GET /instances': 40 + (scale?.outage.freshClaims ?? 0) } },
  });
  // A new claim is due when its lease has ended, and the reconciler runs every minute.
  expect(scale?.outage.secondsUntilFresh).toBeLessThan(180);
  expect(scale?.outage.secondsUntilFresh).toBeGreaterThan(34);
  for (const calls of [scale?.rest.calls, scale?.sweep.calls, scale?.outage.calls]) {
    expect(calls).not.toHaveProperty('Scan');
  }
});

test('at rest a tenant costs a check of health a day, which is one read, one write and two writes to the index', () => {
  const { rest, sweep } = figures.scale?.[0] ?? {};
  // Half an hour of the checks of fifty tenants.
  expect(rest?.checks).toBeGreaterThanOrEqual(1);
  const checks = rest?.checks ?? 0;
  expect(rest?.calls).toMatchObject({ GetItem: checks, PutItem: checks, 'GET /instances/{id}': checks });
  expect(rest?.indexWrites).toEqual({ health: 2 * checks });
  expect(sweep?.calls['GET /ping']).toBe((sweep?.checksPerRun ?? 0) * (sweep?.runs ?? 0));
});

test('figures are printed as a table and as JSON', () => {
  expect(progress).toContain('tenants 60/60');
  expect(reportOf(figures)).toContain('provision-instance');
  expect(JSON.parse(JSON.stringify(figures))).toEqual(figures);
});
