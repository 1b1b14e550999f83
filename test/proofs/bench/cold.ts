import {
  changeEvent,
  checkEvent,
  importEvent,
  getEvent,
  listAllEvent,
  listEvent,
  provisionEvent,
  queueEvent,
  secretEvent,
  readTokenEvent,
  removeEvent,
  scheduledEvent,
} from './events.ts';
import type { ColdRun, Subject } from './processes.ts';
import { median } from './statistics.ts';
import { bytesOf, type OpenSite, type Workshop } from './workshop.ts';

type Cost = {
  bundleBytes: number;
  /** From before the import to after the first response. */
  firstResponseMs: number;
  /** Of the whole process, from its start. */
  cpuMs: number;
  peakBytes: number;
};

export type ColdFigures = { name: string; cost: Cost } & Record<
  /** Ratios to the peer's `provision-instance`, and to its `read-token`. */
  'ofPeer' | 'ofPeerRead',
  Cost
>;

const peerProvision = 'peer provision-instance';
const peerRead = 'peer read-token';

type Contender = { name: string; subject: Subject; eventOf: (round: number) => unknown };

/** Medians of fresh processes that take turns, so that other load on the machine affects all of them alike. */
export async function measureCold(
  workshop: Workshop,
  { rounds, onRun }: { rounds: number; onRun: (done: number, of: number) => void },
): Promise<ColdFigures[]> {
  await using site = await workshop.openSite();
  const contenders = await contendersOn(site, workshop, rounds + 1);
  const runs = contenders.map((): ColdRun[] => []);
  // The first round loads the files into memory and does not count, unless a single one is to show that all works.
  const first = rounds === 1 ? 1 : 0;
  for (let round = first; round <= rounds; round += 1) {
    for (const [index, { subject, eventOf }] of contenders.entries()) {
      const run = await workshop.startCold(subject, eventOf(round));
      if (round > 0) runs[index]?.push(run);
      onRun((round - first) * contenders.length + index + 1, (rounds + 1 - first) * contenders.length);
    }
  }
  const costs = await Promise.all(
    contenders.map(async ({ name, subject }, index) => {
      const own = runs[index] ?? [];
      const cost: Cost = {
        bundleBytes: await bytesOf(subject.file),
        firstResponseMs: median(own.map(({ ms }) => ms)),
        cpuMs: median(own.map(({ cpuMs }) => cpuMs)),
        peakBytes: median(own.map(({ peakBytes }) => peakBytes)),
      };
      return { name, cost };
    }),
  );
  const costOf = (wanted: string): Cost => {
    const found = costs.find(({ name }) => name === wanted);
    if (!found) throw new Error(`${wanted} was not measured.`);
    return found.cost;
  };
  return costs.map(({ name, cost }) => ({
    name,
    cost,
    ofPeer: shareOf(cost, costOf(peerProvision)),
    ofPeerRead: shareOf(cost, costOf(peerRead)),
  }));
}

const shareOf = (cost: Cost, whole: Cost): Cost => ({
  bundleBytes: cost.bundleBytes / whole.bundleBytes,
  firstResponseMs: cost.firstResponseMs / whole.firstResponseMs,
  cpuMs: cost.cpuMs / whole.cpuMs,
  peakBytes: cost.peakBytes / whole.peakBytes,
});

const fresh = (round: number) => provisionEvent(`fresh-${round}`);

/** The id of an instance without markers. */
function handMade({ simulator }: OpenSite): number {
  const configuration = { 'api.key': 'any' };
  return simulator.seed({ element: { key: 'taxify' }, name: 'By hand', tags: ['eu'], configuration }).id;
}

/** Each contender with a request that needs its whole work; prepares the rows and secrets for it. */
async function contendersOn(site: OpenSite, workshop: Workshop, rounds: number): Promise<Contender[]> {
  const each = (word: string) => Array.from({ length: rounds }, (_, round) => `${word}-${round}`);
  for (const tenantId of each('onboard')) site.putTenantSecret(tenantId);
  {
    await using ours = await workshop.startWarm(site.ours('provision-instance'));
    await ours.run(['known', ...each('remove'), ...each('offboard')].map(provisionEvent));
    site.putTenantSecret('from-secret');
    await using onboarding = await workshop.startWarm(site.ours('onboard-tenants'));
    await onboarding.run([queueEvent('TenantOnboarded', ['from-secret'])]);
    await using peers = await workshop.startWarm(site.peer('provision-instance'));
    await peers.run([provisionEvent('known')]);
  }
  const streamEvent = { Records: [site.lastResult()] };

  const ours = (name: Parameters<typeof site.ours>[0], eventOf: Contender['eventOf']): Contender => ({
    name,
    subject: site.ours(name),
    eventOf,
  });
  return [
    { name: peerProvision, subject: site.peer('provision-instance'), eventOf: fresh },
    { name: peerRead, subject: site.peer('read-token'), eventOf: () => readTokenEvent('known') },
    { name: 'bare handler', subject: site.bare, eventOf: () => readTokenEvent('known') },
    ours('provision-instance', fresh),
    ours('read-token', () => readTokenEvent('known')),
    ours('get-instance', () => getEvent('known')),
    ours('list-instances', () => listEvent('known')),
    ours('list-all-instances', () => listAllEvent()),
    ours('change-instance', () => changeEvent('known')),
    ours('remove-instance', (round) => removeEvent(`remove-${round}`)),
    ours('import-instance', (round) => importEvent(`import-${round}`, handMade(site))),
    ours('check-instance', () => checkEvent('known')),
    ours('onboard-tenants', (round) => queueEvent('TenantOnboarded', [`onboard-${round}`])),
    ours('offboard-tenants', (round) => queueEvent('TenantOffboarded', [`offboard-${round}`])),
    ours('apply-secrets', () => secretEvent('from-secret')),
    ours('reconcile-instances', scheduledEvent),
    ours('check-instances', scheduledEvent),
    ours('audit-instances', scheduledEvent),
    ours('publish-results', () => streamEvent),
  ];
}
