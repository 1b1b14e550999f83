import { bold, dim } from '../../../infra/cli/terminal.ts';
import type { Figures } from './benchmark.ts';
import type { Growth, Throughput } from './bulk.ts';
import type { ColdFigures } from './cold.ts';
import type { ScaleFigures } from './scale/scale.ts';
import type { ScheduledRun } from './scheduled.ts';
import type { WarmFigures } from './warm.ts';

/** The figures in columns. */
export function reportOf({ machine, cold, warm, bulk, scheduled, scale }: Figures): string {
  const { node, processor, cores } = machine;
  return [
    dim(`Node ${node}, ${processor}, ${cores} cores. Shares hold elsewhere too, times do not.`),
    ...(cold ? [coldTable(cold)] : []),
    ...(warm ? [warmTable(warm)] : []),
    ...(bulk ? [throughputTable(bulk.throughput), growthTable(bulk.growth), requestTable(bulk.growth)] : []),
    ...(scheduled ? [scheduledTable(scheduled)] : []),
    ...(scale ? [scaleTable(scale), indexTable(scale)] : []),
  ].join('\n\n');
}

const coldTable = (rows: readonly ColdFigures[]): string =>
  table(
    'Cold start: import and first answer in a fresh process, medians',
    ['', 'bundle', 'first answer', 'of peer', "of peer's read", 'CPU', 'of peer', 'memory', 'of peer'],
    rows.map(({ name, cost, ofPeer, ofPeerRead }) => [
      name,
      `${(cost.bundleBytes / 1_000).toFixed(0)} KB`,
      milliseconds(cost.firstResponseMs),
      share(ofPeer.firstResponseMs),
      share(ofPeerRead.firstResponseMs),
      milliseconds(cost.cpuMs),
      share(ofPeer.cpuMs),
      megabytes(cost.peakBytes),
      share(ofPeer.peakBytes),
    ]),
  );

const warmTable = (rows: readonly WarmFigures[]): string =>
  table(
    'Warm: one call after the other',
    ['', 'calls', '', 'p50', 'p99', 'CPU per call'],
    rows.flatMap(({ request, calls, peer, ours, ofPeer }) => [
      [
        request,
        count(calls),
        'peer',
        milliseconds(peer.p50Ms),
        milliseconds(peer.p99Ms),
        milliseconds(peer.cpuMs),
      ],
      ['', '', 'ours', milliseconds(ours.p50Ms), milliseconds(ours.p99Ms), milliseconds(ours.cpuMs)],
      ['', '', 'of peer', share(ofPeer.p50Ms), share(ofPeer.p99Ms), share(ofPeer.cpuMs)],
    ]),
  );

const throughputTable = (rows: readonly Throughput[]): string =>
  table(
    'Queue: tenants onboarded per second, with batches and concurrency as deployed',
    ['Cloud Elements takes', 'tenants', 'per second', 'ideal', 'of ideal', 'CPU per tenant', 'machine busy'],
    rows.map(({ latencyMs, tenants, perSecond, idealPerSecond, ofIdeal, cpuMsPerTenant, machineShare }) => [
      `${latencyMs} ms`,
      count(tenants),
      perSecond.toFixed(1),
      idealPerSecond.toFixed(1),
      share(ofIdeal),
      milliseconds(cpuMsPerTenant),
      share(machineShare),
    ]),
  );

const growthTable = ({ steps }: Growth): string =>
  table(
    'Queue: one execution environment and more and more tenants, Cloud Elements at once',
    ['tenants', 'time per tenant', 'CPU per tenant', 'memory', 'heap in use'],
    steps.map(({ tenants, msPerTenant, cpuMsPerTenant, rssBytes, heapBytes }) => [
      count(tenants),
      milliseconds(msPerTenant),
      milliseconds(cpuMsPerTenant),
      megabytes(rssBytes),
      megabytes(heapBytes),
    ]),
  );

const requestTable = ({ steps, requests }: Growth): string =>
  table(
    `One request among ${count(steps.at(-1)?.tenants ?? 0)} tenants`,
    ['', 'time', '  calls'],
    requests.map(({ what, ms, calls }) => [what, milliseconds(ms), `  ${callsIn(calls)}`]),
  );

const scheduledTable = (runs: readonly ScheduledRun[]): string =>
  table(
    'One run of what a schedule starts',
    ['', 'time', 'memory', '  calls'],
    runs.map(({ what, seconds, peakBytes, calls }) => [
      what,
      `${seconds.toFixed(1)} s`,
      megabytes(peakBytes),
      `  ${callsIn(calls)}`,
    ]),
  );

/** One column for each number of tenants. */
function scaleTable(of: readonly ScaleFigures[]): string {
  const lines: [string, (figures: ScaleFigures) => string][] = [
    ['audit', ({ audit }) => `${seconds(audit.seconds)}, ${megabytes(audit.peakBytes)}`],
    ['  pages of Cloud Elements', ({ audit }) => count(audit.pages)],
    ['  complete', ({ audit }) => yesOrNo(audit.isComplete)],
    ['list, a page of 1,000', ({ list }) => `${milliseconds(list.msPerPage)}, ${megabytes(list.peakBytes)}`],
    ['  complete', ({ list }) => `${yesOrNo(list.isComplete)}, ${count(list.pages)} pages`],
    ['npm run status', ({ status }) => `${seconds(status.seconds)}, ${megabytes(status.peakBytes)}`],
    ['  complete', ({ status }) => yesOrNo(status.isComplete)],
    [
      'checks of health, a run',
      ({ sweep }) =>
        `${sweep.checksPerRun.toFixed(0)} in ${seconds(sweep.seconds)}, ${megabytes(sweep.peakBytes)}`,
    ],
    [
      '  tenants of the most in a day',
      ({ sweep, tenants }) => `${count(tenants)} of ${count(sweep.checksPerDay)}`,
    ],
    ['after six hours of outage, overdue', ({ outage }) => count(outage.due)],
    [
      '  none overdue after',
      ({ outage }) => `${seconds(outage.secondsUntilNone)}, ${megabytes(outage.peakBytes)}`,
    ],
    ['  a fresh claim settled after', ({ outage }) => seconds(outage.secondsUntilFresh)],
    ...(['check', 'send', 'repeat'] as const).map((part): [string, (figures: ScaleFigures) => string] => [
      `npm run onboard, ${onboardings[part]}`,
      ({ bulk }) => `${seconds(bulk[part].seconds)}, ${megabytes(bulk[part].peakBytes)}`,
    ]),
    ['read units per tenant and day', ({ rest }) => rest.perTenantAndDay.readUnits.toFixed(2)],
    ['write units per tenant and day', ({ rest }) => rest.perTenantAndDay.writeUnits.toFixed(2)],
  ];
  return table(
    'With more and more tenants',
    ['', ...of.map(({ tenants }) => count(tenants))],
    lines.map(([what, show]) => [what, ...of.map((figures) => show(figures))]),
  );
}

const onboardings = { check: '--check', send: 'all sent and followed', repeat: 'all active' };

const indexTable = (of: readonly ScaleFigures[]): string =>
  table(
    'DynamoDB: counted at rest, and writes to the index in the fullest second after the outage',
    ['tenants', 'minutes', 'checks', 'item', '  calls, index writes; after the outage'],
    of.map(({ tenants, rest, outage }) => [
      count(tenants),
      count(rest.minutes),
      count(rest.checks),
      `${count(rest.itemBytes)} B`,
      `  ${callsIn(rest.calls)}; ${callsIn(rest.indexWrites)}; ${callsIn(outage.indexWritesPerSecond)}`,
    ]),
  );

const yesOrNo = (is: boolean): string => (is ? 'yes' : 'no');
const seconds = (of: number): string => `${of.toFixed(of < 10 ? 1 : 0)} s`;

const callsIn = (calls: Record<string, number>): string =>
  Object.entries(calls)
    .map(([name, times]) => `${name} ${times}`)
    .join(', ');

const milliseconds = (ms: number): string => `${ms.toFixed(ms < 10 ? 2 : 1)} ms`;
const megabytes = (bytes: number): string => `${(bytes / 1_000_000).toFixed(1)} MB`;
const share = (of: number): string => of.toFixed(2);
const count = (of: number): string => of.toLocaleString('en');

/** Aligns the first column left and the others right, except the last one, which may be text. */
function table(title: string, head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((text, column) =>
    Math.max(text.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 0 || cell.startsWith(' ') ? cell.padEnd(width) : cell.padStart(width);
      })
      .join('  ')
      .trimEnd();
  return [bold(title), dim(`  ${line(head)}`), ...rows.map((row) => `  ${line(row)}`)].join('\n');
}
