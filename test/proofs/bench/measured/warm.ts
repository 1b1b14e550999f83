/** A warm execution environment: runs the events it gets one after the other, and reports their cost. */
import { cpuMs, invoke, loadHandler, peakBytes } from './invocation.ts';

const [, , bundleUrl = ''] = process.argv;
const handler = await loadHandler(bundleUrl);

process.once('disconnect', () => process.exit());
process.on('message', (events: unknown[]) => {
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
