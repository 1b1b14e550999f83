/** Runs one delivery in a thread of its own, which the scenario ends in the middle, as Lambda ends a function. */
import { workerData } from 'node:worker_threads';
import { contenders } from './contenders.ts';
import type { Site } from './site.ts';

export type Invocation = { contender: keyof typeof contenders; site: Site; tenantId: string };

const { contender, site, tenantId }: Invocation = workerData;
await contenders[contender].open(site).onboard(tenantId);
