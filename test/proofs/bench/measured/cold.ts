/**
 * One cold start: from before the import to after the first response, as `<this> <URL of the bundle> <event as JSON>`.
 * Reports on file descriptor 3: a channel of Node's own would load modules whose cost belongs to the bundle.
 */
import { writeSync } from 'node:fs';
import { cpuMs, invoke, loadHandler, peakBytes } from './invocation.ts';

const [, , bundleUrl = '', eventJson = ''] = process.argv;
const event: unknown = JSON.parse(eventJson);

const startedAt = performance.now();
const response = await invoke(await loadHandler(bundleUrl), event);
const ms = performance.now() - startedAt;

writeSync(3, JSON.stringify({ ms, cpuMs: cpuMs(), peakBytes: peakBytes(), response }));
// Connections that are kept alive would keep the process alive.
process.exit();
