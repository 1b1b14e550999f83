import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod/mini';
import { listAllEvent, scheduledEvent } from '../events.ts';
import type { OpenSite, Workshop } from '../workshop.ts';
import { createClock } from './clock.ts';
import { runCommand } from './commands.ts';
import { measureOutage, type Outage } from './outage.ts';
import { measureRest, measureSweep, type Rest, type Sweep } from './rest.ts';
import { createSeeding, tagOfAll, type Item, type Seeding } from './seeding.ts';

export type ScaleEffort = {
  tenants: readonly number[];
  /** Of each page or response of Cloud Elements. */
  latencyMs: number;
  /** Claims that are overdue after six hours without Cloud Elements, at most; not more than there are tenants. */
  due: number;
  /** Simulated minutes of rest that are counted. */
  restMinutes: number;
  /** Runs of the checks of health. */
  sweeps: number;
  /** Tenants per second that the bulk tool sends. */
  rate: number;
};

export type ScaleFigures = {
  tenants: number;
  audit: {
    seconds: number;
    peakBytes: number;
    pages: number;
    isComplete: boolean;
    calls: Record<string, number>;
  };
  list: { pages: number; msPerPage: number; peakBytes: number; isComplete: boolean };
  status: { seconds: number; peakBytes: number; isComplete: boolean };
  rest: Rest;
  sweep: Sweep;
  outage: Outage;
  bulk: Record<'check' | 'send' | 'repeat', { seconds: number; peakBytes: number }>;
};

const dayMs = 24 * 60 * 60 * 1_000;
export const tenantIdOf = (index: number): string => `tenant-${index}-${idTail}`;
/** So that an id is as long as a UUID, which many tenants have. */
const idTail = 'a1b2c3d4e5f6a7b8c9d0';

/** Everything whose cost grows with the number of tenants, on one table with so many of them. */
export async function measureScale(
  workshop: Workshop,
  tenants: number,
  effort: ScaleEffort,
  onProgress: (what: string, done: number, of: number) => void,
): Promise<ScaleFigures> {
  await using site = await workshop.openSite();
  const seeding = createSeeding(site);
  const clock = createClock();
  const step = (what: string) => onProgress(`${tenants.toLocaleString('en')} tenants: ${what}`, 0, 1);

  await seedActive(site, seeding, tenants, (done) => onProgress('rows', done, tenants));
  const { latencyMs } = effort;
  step('audit');
  const audit = await measureAudit(workshop, site, latencyMs);
  step('list');
  const list = await measureList(workshop, site, tenants);
  step('status');
  const status = await measureStatus(site, tenants);
  step('a day at rest');
  const rest = await measureRest(
    workshop,
    { site, clock },
    { tenants, minutes: effort.restMinutes, audit: audit.calls },
  );
  step('checks of health');
  const sweep = await measureSweep(workshop, { site, clock }, { latencyMs, runs: effort.sweeps });
  step('an outage');
  const outage = await measureOutage(
    workshop,
    { site, clock },
    { seeding, due: Math.min(tenants, effort.due), latencyMs, outageMs: 6 * 60 * 60 * 1_000 },
  );
  step('bulk tool');
  const bulk = await measureBulk(workshop, site, seeding, { tenants, rate: effort.rate });
  return { tenants, audit, list, status, rest, sweep, outage, bulk };
}

/** Active rows, whose next checks of health are spread over the coming day. */
async function seedActive(
  site: OpenSite,
  seeding: Seeding,
  tenants: number,
  onRows: (done: number) => void,
): Promise<void> {
  const nowMs = Date.now();
  for (let done = 0; done < tenants; done += 1_000) {
    onRows(done);
    await site.putRows(
      Array.from({ length: Math.min(1_000, tenants - done) }, (_, index): Item =>
        seeding.active(tenantIdOf(done + index), {
          nowMs: nowMs - dayMs,
          healthCheckAt: Math.floor(nowMs + ((done + index) / tenants) * dayMs),
        }),
      ),
    );
  }
}

const auditSchema = z.object({ complete: z.boolean(), ours: z.number() });

async function measureAudit(
  workshop: Workshop,
  site: OpenSite,
  latencyMs: number,
): Promise<ScaleFigures['audit']> {
  await using environment = await workshop.startWarm(site.ours('audit-instances'));
  site.forgetRequests();
  site.simulator.latencyMs = latencyMs;
  const { latenciesMs, peakBytes, responses } = await environment.run([scheduledEvent()]);
  const { complete, ours } = auditSchema.parse(responses[0]);
  const calls = site.callsSoFar();
  return {
    seconds: (latenciesMs[0] ?? 0) / 1_000,
    peakBytes,
    pages: calls['GET /instances'] ?? 0,
    isComplete: complete && ours === site.simulator.instances.length,
    calls,
  };
}

const pageSchema = z.object({ body: z.string() });
const listSchema = z.object({ instances: z.array(z.unknown()), nextCursor: z.optional(z.string()) });

/** All pages, of the largest size. */
async function measureList(
  workshop: Workshop,
  site: OpenSite,
  tenants: number,
): Promise<ScaleFigures['list']> {
  await using environment = await workshop.startWarm(site.ours('list-all-instances'));
  let cursor: string | undefined;
  let instances = 0;
  let pages = 0;
  let ms = 0;
  let peakBytes = 0;
  do {
    const run = await environment.run([listAllEvent({ limit: '1000', ...(cursor && { cursor }) })]);
    const page = listSchema.parse(JSON.parse(pageSchema.parse(run.responses[0]).body));
    ({ peakBytes } = run);
    ms += run.latenciesMs[0] ?? 0;
    pages += 1;
    instances += page.instances.length;
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return { pages, msPerPage: ms / pages, peakBytes, isComplete: instances === tenants };
}

const statusSchema = z.object({ instances: z.object({ total: z.number() }) });

async function measureStatus(site: OpenSite, tenants: number): Promise<ScaleFigures['status']> {
  const { stdout, ...cost } = await runCommand(site, 'status/status.ts', ['--json']);
  return { ...cost, isComplete: statusSchema.parse(JSON.parse(stdout)).instances.total === tenants };
}

/**
 * A manifest with as many new tenants as there are others. In place of the service, whose own speed has a part of this
 * benchmark, a row is written as active soon after its event.
 */
async function measureBulk(
  workshop: Workshop,
  site: OpenSite,
  seeding: Seeding,
  { tenants, rate }: { tenants: number; rate: number },
): Promise<ScaleFigures['bulk']> {
  const newTenants = Array.from({ length: tenants }, (_, index) => `new-${tenantIdOf(index)}`);
  for (const tenantId of newTenants) site.putTenantSecret(tenantId);
  const file = join(workshop.directory, `manifest-${tenants}.csv`);
  await writeFile(
    file,
    `tenantId,tags\n${newTenants.map((tenantId) => `${tenantId},${tagOfAll}\n`).join('')}`,
  );

  const check = await runCommand(site, 'onboard/onboard.ts', [file, '--check']);
  const onboarding = onboardIn(site, seeding);
  const send = await runCommand(site, 'onboard/onboard.ts', [file, '--rate', String(rate)]);
  await onboarding.stop();
  const repeat = await runCommand(site, 'onboard/onboard.ts', [file]);
  const [sent, repeated] = [`${tenants.toLocaleString('en-US')} active`, 'to send: 0'];
  if (!send.stdout.includes(sent) || !repeat.stdout.includes(repeated)) {
    throw new Error(`The bulk tool has not seen all tenants: ${send.stdout}${repeat.stdout}`);
  }
  const costOf = ({ seconds, peakBytes }: typeof check) => ({ seconds, peakBytes });
  return { check: costOf(check), send: costOf(send), repeat: costOf(repeat) };
}

/** Writes the rows of the tenants that events announce. */
function onboardIn(site: OpenSite, seeding: Seeding) {
  const arrived: { tenantId: string; eventId: string }[] = [];
  let lastId = 1;
  const ending = new AbortController();
  site.watcher.onEvent = ({ id: eventId, detail }) => {
    arrived.push({ tenantId: String(detail['tenantId']), eventId });
  };
  const written = (async () => {
    while (!ending.signal.aborted || arrived.length > 0) {
      await site.putRows(
        arrived.splice(0, 500).map(({ tenantId, eventId }) => {
          const nowMs = Date.now();
          const requestedBy = { dialect: 'native', eventId, sentAt: nowMs } as const;
          return seeding.active(tenantId, { instanceId: (lastId += 1), nowMs, requestedBy });
        }),
      );
      await sleep(50);
    }
  })();
  return {
    async stop(): Promise<void> {
      ending.abort();
      await written;
      delete site.watcher.onEvent;
    },
  };
}
