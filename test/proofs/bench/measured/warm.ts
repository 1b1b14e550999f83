/**
 * A warm execution environment: runs the events it gets one after the other, and reports their cost. Its clock can be put
 * forward, so that a run an hour later needs no hour.
 */
import { cpuMs, invoke, loadHandler, peakBytes } from './invocation.ts';

type Message = { events: unknown[]; aheadMs: number };

const realTime = Date.now.bind(Date);
let aheadMs = 0;
// Before the bundle is loaded, which may keep the function.
Date.now = () => realTime() + aheadMs;

const [, , bundleUrl = ''] = process.argv;
const handler = await loadHandler(bundleUrl);

process.once('disconnect', () => process.exit());
process.on('message', ({ events, ...clock }: Message) => {
  ({ aheadMs } = clock);
  void run(events).then((report) => process.send?.(report));
});
process.send?.('ready');

async function run(events: readonly unknown[]) {
  const latenciesMs: number[] = [];
  const responses: unknown[] = [];
  const cpuBefore = process.cpuUsage();
  for (const event of events) {
    const startedAt = performance.now();
    const response = await invoke(handler, event);
    latenciesMs.push(performance.now() - startedAt);
    responses.push(response);
  }
  const took = cpuMs(cpuBefore);
  // Without events, the request is for the heap after a collection.
  if (events.length === 0) globalThis.gc?.();
  const { rss, heapUsed } = process.memoryUsage();
  return { latenciesMs, cpuMs: took, responses, peakBytes: peakBytes(), rssBytes: rss, heapBytes: heapUsed };
}
