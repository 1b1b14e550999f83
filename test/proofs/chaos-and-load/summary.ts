import { bad, bold, dim, good } from '../../../infra/cli/terminal.ts';
import type { BurstReport } from './callers/burst.ts';
import type { FuzzReport } from './callers/fuzz.ts';
import { mostShare, type OnboardingReport } from './callers/onboarding.ts';
import type { Found, Oracle } from './oracle.ts';
import { sumOf, type Trial } from './trial.ts';

type Line = [name: string, value: number | string, remark?: string];

const nameWidth = 62;
const valueWidth = 10;

/** Violations, by name. */
const violations = {
  duplicates: 'live instances of a tenant beyond one',
  orphans: 'live instances without an active row',
  lost: 'tenants without an active row of a live instance',
  wrongTokens: 'tokens that are not those of the live instance',
  stuck: 'rows that are not settled',
  unpublished: 'rows without a result event for their final state',
  doubled: 'duplicate instances without a late create as the reason',
  broken: 'tenants whose state differs from their last response, or without one',
  unexpectedDead: 'good events left among the dead letters',
  missingDead: 'malformed events that did not become dead letters',
  killsNotDone: 'kills not done',
  undocumented: 'undocumented responses',
  neverServed: 'operations that were never served',
  unanswered: 'inputs without a response',
  crashes: 'crashes of functions',
  rowsOfRefused: 'rows of tenants whose requests were refused',
  hostileRows: 'rows with an invalid tenant id',
  leaks: 'secrets and tokens leaked, in responses and in logs',
};
const textOf = new Map<string, string>(Object.entries(violations));

/** The figures of a trial in columns, and the names of lost, duplicate or stuck instances. */
export function trialSummary(trial: Trial, { tenants, seed }: { tenants: number; seed: number }): string {
  const { plans, tally, observed, faults } = trial;
  const having = (test: (plan: Trial['plans'][number]) => boolean) => plans.filter(test).length;
  const [atAws, atCloudElements] = [true, false].map((isAws) =>
    [...faults].filter(([name]) => name.startsWith('AWS') === isAws),
  );
  const failed = sumOf((atCloudElements ?? []).map(([, times]) => times));
  return [
    group(`Tenants (seed ${seed})`, [
      ['tenants', tenants],
      ['onboarded by HTTP', having(({ arrival }) => arrival === 'by HTTP')],
      ['by event', having(({ arrival }) => arrival === 'by event')],
      ['by both at once', having(({ arrival }) => arrival === 'by both at once')],
      [
        'offboarded',
        having(({ course }) => course.startsWith('leaves')),
        `${having(({ course }) => course === 'leaves and comes back')} came back`,
      ],
      ['HTTP requests', tally.requests, `${tally.repeats.toLocaleString('en')} of them repeats`],
      ['events', tally.events, `${tally.redriven} dead letters sent again`],
    ]),
    group('Trouble', [
      ['calls to Cloud Elements', trial.calls],
      ['of them failed', failed, percent(failed, trial.calls)],
      ...tallied(atCloudElements ?? []),
      ['requests to AWS', trial.awsRequests],
      ...tallied(atAws ?? []),
      ['processes killed', trial.killed],
      ['longest pause of all servers', `${trial.longestPauseMs} ms`],
    ]),
    group('Recovered', [
      ['outcomes unknown', observed.unknownOutcomes],
      ['claims taken over', observed.takeOvers],
      ['instances adopted', observed.adoptions],
      ['duplicates removed', observed.duplicates.length],
      ['reconciler runs', tally.runs],
      ['time', seconds(trial.totalMs), `${seconds(trial.totalMs - trial.trialMs)} of it to come to rest`],
    ]),
    group('In the end', [['live instances', trial.instances]], trial.found),
  ].join('\n\n');
}

export function onboardingSummary(report: OnboardingReport): string {
  const { kills, faults } = report;
  const failed = sumOf(faults.values());
  return group(
    'Onboarding',
    [
      ['events in', report.events, `${report.repeated} of them repeats, ${report.malformed} malformed`],
      ['tenants', report.tenants],
      ['live instances', report.instances, `${report.creates} creates sent`],
      ['tokens compared', report.sampledTokens],
      ['dead letters', report.deadLetters, `${report.malformed} expected`],
      ['good dead letters sent again', report.redriven],
      ['calls to Cloud Elements', report.calls],
      ['of them failed', failed, percent(failed, report.calls)],
      ...tallied(faults),
      ['of them refused while the secret was rotated', report.refusedWhileRotated],
      ['of them refused while the secret was revoked', report.refusedWhileRevoked],
      ['kills in the middle of a create', kills.kills, `${kills.processesKilled} processes`],
      ['all events sent after', seconds(report.sentMs)],
      [
        `${100 * mostShare} % of the instances made after`,
        seconds(report.mostMadeMs),
        perSecond(mostShare * report.instances, report.mostMadeMs, 'tenants'),
      ],
      ['all of them after', seconds(report.allMadeMs)],
      ['at rest after', seconds(report.totalMs)],
    ],
    report.found,
  );
}

export const burstSummary = (report: BurstReport): string =>
  group(
    'Burst',
    [
      ['HTTP requests', report.requests, `of ${report.tenants} tenants, 8 at once`],
      ['time', seconds(report.burstMs), perSecond(report.requests, report.burstMs, 'requests')],
      ['slowest response', `${report.largestMs} ms`],
      ...tallied(report.tally),
      ['live instances in the end', report.instances],
    ],
    report.found,
  );

export const fuzzSummary = (report: FuzzReport): string =>
  group(
    `Hostile input (seed ${report.seed})`,
    [
      ['inputs tried', report.inputs, `of ${report.kinds.size} kinds`],
      ['time', seconds(report.fuzzMs), perSecond(report.inputs, report.fuzzMs, 'inputs')],
      ...tallied(report.tally),
    ],
    report.found,
  );

export const leakSummary = (report: Awaited<ReturnType<Oracle['searchLeaks']>>): string =>
  group(
    'Secrets',
    [
      ['secrets and tokens searched for', report.secrets],
      ['responses searched', report.responses],
      ['log lines searched', report.lines],
    ],
    report.found,
  );

/** Figures and violations under a title. */
const group = (title: string, lines: Line[], found: Found = {}): string =>
  [bold(title), ...lines.map(line), ...Object.entries(found).map(foundLine)].join('\n');

function line([name, value, remark]: Line): string {
  const text = typeof value === 'number' ? value.toLocaleString('en') : value;
  const shown = remark === undefined ? '' : dim(`  ${remark}`);
  return `  ${name.padEnd(nameWidth)}${text.padStart(valueWidth)}${shown}`;
}

function foundLine([name, all]: [string, readonly string[]]): string {
  const count = String(all.length).padStart(valueWidth);
  const examples = all.slice(0, 5).map((each) => `\n    ${JSON.stringify(each)}`);
  const text = (textOf.get(name) ?? name).padEnd(nameWidth);
  return `  ${text}${all.length === 0 ? good(count) : bad(count + examples.join(''))}`;
}

const tallied = (tally: Iterable<[string, number]>): Line[] =>
  [...tally].toSorted(([a], [b]) => a.localeCompare(b)).map(([name, times]): Line => [`  ${name}`, times]);

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
const perSecond = (count: number, ms: number, what: string): string =>
  `${((1_000 * count) / ms).toFixed(1)} ${what} per second`;
const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`;
