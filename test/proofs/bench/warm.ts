import { provisionEvent, readTokenEvent } from './events.ts';
import type { ExecutionEnvironment } from './processes.ts';
import { quantile } from './statistics.ts';
import type { Workshop } from './workshop.ts';

export type WarmFigures = {
  request: 'fresh provisioning' | 'repeat' | 'token read';
  calls: number;
} & Record<
  /** `ofPeer`: the ratio of ours to the peer's. */
  'peer' | 'ours' | 'ofPeer',
  { p50Ms: number; p99Ms: number; cpuMs: number }
>;

/** The maximum of uncounted calls, after which hot code is compiled. */
const maxWarmUpCalls = 150;
const blocks = 6;

/** Measures one process for each side, in alternating blocks of sequential calls. */
export async function measureWarm(
  workshop: Workshop,
  { calls, onBlock }: { calls: number; onBlock: (done: number, of: number) => void },
): Promise<WarmFigures[]> {
  await using site = await workshop.openSite();
  await using peerProvision = await workshop.startWarm(site.peer('provision-instance'));
  await using ourProvision = await workshop.startWarm(site.ours('provision-instance'));
  await using peerRead = await workshop.startWarm(site.peer('read-token'));
  await using ourRead = await workshop.startWarm(site.ours('read-token'));
  let done = 0;

  async function compare(
    request: WarmFigures['request'],
    { peer, ours }: Record<'peer' | 'ours', ExecutionEnvironment>,
    eventOf: (call: number) => unknown,
  ): Promise<WarmFigures> {
    const perBlock = Math.ceil(calls / blocks);
    const warmUpCalls = Math.min(calls, maxWarmUpCalls);
    let call = 0;
    const run = (environment: ExecutionEnvironment, count: number) =>
      environment.run(Array.from({ length: count }, (_, index) => eventOf(call + index)));
    await run(peer, warmUpCalls);
    await run(ours, warmUpCalls);
    call += warmUpCalls;
    const totals = { peer: newTotal(), ours: newTotal() };
    for (let block = 0; block < blocks; block += 1) {
      addTo(totals.peer, await run(peer, perBlock));
      addTo(totals.ours, await run(ours, perBlock));
      call += perBlock;
      onBlock(++done, 3 * blocks);
    }
    const [peerFigures, ourFigures] = [figuresOf(totals.peer), figuresOf(totals.ours)];
    return {
      request,
      calls: perBlock * blocks,
      peer: peerFigures,
      ours: ourFigures,
      ofPeer: {
        p50Ms: ourFigures.p50Ms / peerFigures.p50Ms,
        p99Ms: ourFigures.p99Ms / peerFigures.p99Ms,
        cpuMs: ourFigures.cpuMs / peerFigures.cpuMs,
      },
    };
  }

  const provisioning = { peer: peerProvision, ours: ourProvision };
  const reading = { peer: peerRead, ours: ourRead };
  const fresh = await compare('fresh provisioning', provisioning, (call) => provisionEvent(`tenant-${call}`));
  const repeat = await compare('repeat', provisioning, () => provisionEvent('tenant-0'));
  const read = await compare('token read', reading, () => readTokenEvent('tenant-0'));
  return [fresh, repeat, read];
}

type Total = { latenciesMs: number[]; cpuMs: number };
const newTotal = (): Total => ({ latenciesMs: [], cpuMs: 0 });

function addTo(total: Total, { latenciesMs, cpuMs }: Total): void {
  total.latenciesMs.push(...latenciesMs);
  total.cpuMs += cpuMs;
}

const figuresOf = ({ latenciesMs, cpuMs }: Total) => ({
  p50Ms: quantile(latenciesMs, 0.5),
  p99Ms: quantile(latenciesMs, 0.99),
  cpuMs: cpuMs / latenciesMs.length,
});
