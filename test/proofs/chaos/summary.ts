import { bad, bold, dim, good } from '../../../infra/cli/terminal.ts';
import { findings } from './audit.ts';
import type { Trial } from './trial.ts';

/** The figures of a trial in columns, and the names of lost, duplicate or stuck instances. */
export function summaryOf(trial: Trial, { tenants, seed }: { tenants: number; seed: number }): string {
  const { plans, tally, observed, faults } = trial;
  const having = (test: (plan: Trial['plans'][number]) => boolean) => plans.filter(test).length;
  const kinds = [...faults]
    .toSorted(([a], [b]) => a.localeCompare(b))
    .map(([name, times]): [string, number] => [`  ${name}`, times]);
  const failed = kinds.reduce((sum, [name, times]) => sum + (isAws(name) ? 0 : times), 0);
  const removed = having(({ course }) => course.startsWith('leaves'));

  const groups: [string, [string, number | string, string?][]][] = [
    [
      `Tenants (seed ${seed})`,
      [
        ['tenants', tenants],
        ['onboarded by HTTP', having(({ arrival }) => arrival === 'by HTTP')],
        ['by event', having(({ arrival }) => arrival === 'by event')],
        ['by both at once', having(({ arrival }) => arrival === 'by both at once')],
        ['offboarded', removed, `${having(({ course }) => course === 'leaves and comes back')} came back`],
        ['HTTP requests', tally.requests, `${tally.repeats.toLocaleString('en')} of them repeats`],
        ['events', tally.events, `${tally.redriven} dead letters sent again`],
      ],
    ],
    [
      'Trouble',
      [
        ['calls to Cloud Elements', trial.calls],
        ['of them failed', failed, `${((100 * failed) / trial.calls).toFixed(1)} %`],
        ...kinds.filter(([name]) => !isAws(name)),
        ['requests to AWS', trial.awsRequests],
        ...kinds.filter(([name]) => isAws(name)),
        ['processes killed', trial.killed],
        ['longest pause of all servers', `${trial.longestPauseMs} ms`],
      ],
    ],
    [
      'Recovered',
      [
        ['outcomes unknown', observed.unknownOutcomes],
        ['claims taken over', observed.takeOvers],
        ['instances adopted', observed.adoptions],
        ['duplicates removed', observed.duplicates.length],
        ['reconciler runs', tally.runs],
        [
          'time',
          `${(trial.totalMs / 1_000).toFixed(1)} s`,
          `${((trial.totalMs - trial.trialMs) / 1_000).toFixed(1)} s of it to come to rest`,
        ],
      ],
    ],
  ];
  const found = Object.entries(trial.found).map(([name, tenantIds]) => {
    const count = String(tenantIds.length).padStart(valueWidth);
    const shown = tenantIds.slice(0, 5).join(', ');
    return `  ${textOf(name).padEnd(nameWidth)}${tenantIds.length === 0 ? good(count) : bad(`${count}  ${shown}`)}`;
  });
  return [
    ...groups.map(([title, lines]) => [bold(title), ...lines.map(line)].join('\n')),
    [bold('In the end'), line(['live instances', trial.instances]), ...found].join('\n'),
  ].join('\n\n');
}

const isAws = (name: string): boolean => name.startsWith('  AWS');

const nameWidth = 62;
const valueWidth = 10;

function line([name, value, remark]: [string, number | string, string?]): string {
  const text = typeof value === 'number' ? value.toLocaleString('en') : value;
  return `  ${name.padEnd(nameWidth)}${text.padStart(valueWidth)}${remark === undefined ? '' : dim(`  ${remark}`)}`;
}

const textOf = (name: string): string => new Map<string, string>(Object.entries(findings)).get(name) ?? name;
