import { bad, bold, dim, good } from '../../../infra/cli/terminal.ts';
import type { BurstReport } from './burst.ts';
import type { FuzzReport } from './fuzz.ts';
import { mostShare, type OnboardingReport } from './onboarding.ts';

export type LeakReport = {
  responses: number;
  lines: number;
  secrets: number;
  found: Record<'leaks', string[]>;
};

type Line = [string, number | string, string?];

const nameWidth = 62;
const valueWidth = 10;

/** Violations, in the order of the phases. */
const findings = {
  duplicates: 'live instances of a tenant beyond one',
  lost: 'tenants without an active row of a live instance',
  wrongTokens: 'tokens that are not those of the live instance',
  orphans: 'live instances without an active row',
  stuck: 'rows that are not settled',
  unexpectedDead: 'good events left among the dead letters',
  missingDead: 'malformed events that did not become dead letters',
  killsNotDone: 'kills not done',
  undocumented: 'undocumented responses',
  neverServed: 'operations that were never served',
  unexpected: 'unexpected 5xx and undocumented responses',
  unanswered: 'inputs without a response',
  crashes: 'crashes of functions',
  rowsOfRefused: 'rows of tenants whose requests were refused',
  hostileRows: 'rows with an invalid tenant id',
  leaks: 'secrets and tokens leaked, in responses and in logs',
};

const textOf = new Map<string, string>(Object.entries(findings));

export function onboardingSummary(report: OnboardingReport): string {
  const { kills, faults } = report;
  const failed = [...faults.values()].reduce((sum, times) => sum + times, 0);
  return [
    group('Onboarding', [
      ['events in', report.events, `${report.repeated} of them repeats, ${report.malformed} malformed`],
      ['tenants', report.tenants],
      ['live instances', report.instances, `${report.creates} creates sent`],
      ['tokens compared', report.sampledTokens],
      ['dead letters', report.deadLetters, `${report.malformed} expected`],
      ['good dead letters sent again', report.redriven],
      ['calls to Cloud Elements', report.calls],
      ['of them failed', failed, percent(failed, report.calls)],
      ...[...faults].map(([name, times]): Line => [`  ${name}`, times]),
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
    ]),
    foundLines(report.found),
  ].join('\n');
}

export function burstSummary(report: BurstReport): string {
  return [
    group('Burst', [
      ['HTTP requests', report.requests, `of ${report.tenants} tenants, 8 at once`],
      ['time', seconds(report.burstMs), perSecond(report.requests, report.burstMs, 'requests')],
      ['slowest response', `${report.largestMs} ms`],
      ...tallied(report.tally),
      ['live instances in the end', report.instances],
    ]),
    foundLines(report.found),
  ].join('\n');
}

export function fuzzSummary(report: FuzzReport): string {
  return [
    group(`Hostile input (seed ${report.seed})`, [
      ['inputs tried', report.inputs, `of ${report.kinds.size} kinds`],
      ['time', seconds(report.fuzzMs), perSecond(report.inputs, report.fuzzMs, 'inputs')],
      ...tallied(report.tally),
    ]),
    foundLines(report.found),
  ].join('\n');
}

export function leakSummary({ responses, lines, secrets, found }: LeakReport): string {
  return [
    group('Secrets', [
      ['secrets and tokens searched for', secrets],
      ['responses searched', responses],
      ['log lines searched', lines],
    ]),
    foundLines(found),
  ].join('\n');
}

const group = (title: string, lines: Line[]): string => [bold(title), ...lines.map(line)].join('\n');

function line([name, value, remark]: Line): string {
  const text = typeof value === 'number' ? value.toLocaleString('en') : value;
  const shown = remark === undefined ? '' : dim(`  ${remark}`);
  return `  ${name.padEnd(nameWidth)}${text.padStart(valueWidth)}${shown}`;
}

function foundLines(found: Record<string, readonly string[]>): string {
  return Object.entries(found)
    .map(([name, all]) => {
      const count = String(all.length).padStart(valueWidth);
      const examples = all.slice(0, 5).map((each) => `\n    ${JSON.stringify(each)}`);
      return `  ${(textOf.get(name) ?? name).padEnd(nameWidth)}${all.length === 0 ? good(count) : bad(count + examples.join(''))}`;
    })
    .join('\n');
}

const tallied = (tally: ReadonlyMap<string, number>): Line[] =>
  [...tally].toSorted(([a], [b]) => a.localeCompare(b)).map(([name, times]): Line => [`  ${name}`, times]);

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
const perSecond = (count: number, ms: number, what: string): string =>
  `${((1_000 * count) / ms).toFixed(1)} ${what} per second`;
const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`;
