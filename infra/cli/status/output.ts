import { instanceView, wholeTenant } from '../../../functions/model/instance.ts';
import { linesOfTenant } from '../../monitoring/saved-queries.ts';
import { stackNameOf } from '../../outputs.ts';
import { plain } from '../../plain-text.ts';
import { number } from '../onboard/progress.ts';
import { accent, bad, bold, dim, good } from '../terminal.ts';
import { pageOf, type Step } from './next-steps.ts';
import type { Where } from './options.ts';
import { findingsOf, type Instances, type Listed, type Overview } from './overview.ts';
import type { Found } from './rows.ts';

const isoOf = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

/** `45 s`, `3 min`, `5 h`, `2 d`. */
export function ageOf(ms: number): string {
  const units = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
  ] as const;
  const [unitMs, unit] = units.find(([each]) => ms >= 2 * each) ?? ([1_000, 's'] as const);
  return `${number(Math.max(0, Math.floor(ms / unitMs)))} ${unit}`;
}

/** Columns as wide as their widest cell; cells are padded before they are colored. */
function aligned(rows: readonly (readonly string[])[]): string[][] {
  const widths = rows.reduce<number[]>(
    (widest, cells) => cells.map((cell, column) => Math.max(widest[column] ?? 0, cell.length)),
    [],
  );
  return rows.map((cells) =>
    cells.map((cell, column) => (column === cells.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))),
  );
}

const elementOf = ({ elementKey }: { elementKey: string }): string =>
  elementKey === wholeTenant ? '(all)' : elementKey;

const red = (text: string, isRed: boolean): string => (isRed ? bad(text) : text);

export function linesOfOverview(name: string, overview: Overview, steps: readonly Step[]): string[] {
  const { atMs, instances, deadLetters, lastAudit } = overview;
  const summary: [string, string][] = [
    ['instances', countsOf(instances)],
    ['oldest open', oldestOf(instances.oldestOpen, atMs)],
    [
      'dead letters',
      Object.entries(deadLetters)
        .map(([queue, count]) => red(`${queue} ${number(count)}`, count > 0))
        .join('  '),
    ],
    ['last audit', auditOf(overview)],
  ];
  if (Object.keys(instances.byHealth).length > 0)
    summary.splice(1, 0, ['health', countsIn(instances.byHealth)]);
  return [
    bold(`${name}, ${isoOf(atMs)}`),
    '',
    ...summary.map(([label, value]) => `${dim(label.padEnd(14))}${value}`),
    ...(lastAudit ? [`${' '.repeat(14)}${dim(resultOf(lastAudit.result))}`] : []),
    ...linesOfTroubles(instances.troubles),
    ...linesOfSteps(steps),
  ];
}

const countsOf = ({ total, byStatus }: Instances): string =>
  total === 0 ? '0' : `${number(total)}: ${countsIn(byStatus)}`;

const troubled = new Set(['failed', 'unreadable', 'unhealthy']);
const countsIn = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .toSorted(([, a], [, b]) => b - a)
    .map(([name, count]) => red(`${number(count)} ${name}`, troubled.has(name)))
    .join(', ');

function oldestOf(oldest: Listed | undefined, atMs: number): string {
  if (oldest?.since === undefined) return 'none';
  return `${ageOf(atMs - oldest.since)}: ${oldest.tenantId} ${elementOf(oldest)}, ${oldest.status}`;
}

function auditOf({ lastAudit, atMs }: Overview): string {
  if (!lastAudit) return 'none yet';
  const found = findingsOf(lastAudit, atMs);
  const when = `${isoOf(lastAudit.startedAt)}, ${ageOf(atMs - lastAudit.startedAt)} ago: `;
  return when + (found.length === 0 ? good('nothing found') : bad(found.join(', ')));
}

const resultOf = (result: Readonly<Record<string, number | boolean>>): string =>
  Object.entries(result)
    .map(([name, value]) => `${name} ${typeof value === 'number' ? number(value) : value}`)
    .join('  ');

function linesOfTroubles(troubles: Instances['troubles']): string[] {
  const all = troubles.flatMap(({ listed }) => listed);
  if (all.length === 0) return [];
  const [header = [], ...rows] = aligned([
    ['', 'tenant', 'element', 'since', 'reason'],
    ...all.map((each) => [
      each.kind,
      each.tenantId,
      elementOf(each),
      each.since === undefined ? '?' : isoOf(each.since),
      plain(each.reason).replaceAll(/\s+/g, ' '),
    ]),
  ]);
  const more = troubles.filter(({ count, listed }) => count > listed.length);
  return [
    '',
    dim(header.join('  ')),
    ...rows.map(([kind = '', ...cells]) => [red(kind, kind.trim() !== 'open'), ...cells].join('  ')),
    ...more.map(({ kind, count, listed }) =>
      dim(`and ${number(count - listed.length)} more ${kind}; --limit lists them`),
    ),
  ];
}

function linesOfSteps(steps: readonly Step[]): string[] {
  if (steps.length === 0) return ['', good('Nothing to do.')];
  const rows = aligned(steps.map((step) => [step.text, accent(pageOf(step))]));
  return ['', bold('To do'), ...rows.map((cells) => `  ${cells.join('  ').trimEnd()}`)];
}

export type TenantStatus = {
  tenantId: string;
  instances: readonly Found[];
  steps: readonly (Step & { elementKey?: string })[];
};

export function linesOfTenantStatus(where: Where, { tenantId, instances, steps }: TenantStatus): string[] {
  const { query, commands } = logsOf(where, tenantId);
  return [
    bold(`Tenant ${tenantId}`),
    ...instances.flatMap((found) => ['', ...linesOfView(viewOf(found))]),
    '',
    bold('Log lines of the last 7 days'),
    `  ${query}`,
    ...commands.map((line) => `  ${dim(line)}`),
    ...linesOfSteps(
      steps.map(({ elementKey, text, ...step }) => ({
        ...step,
        text: elementKey === undefined ? text : `${elementOf({ elementKey })}: ${text}`,
      })),
    ),
  ];
}

function linesOfView({ tenantId: _tenantId, element, lastError, health, tags, ...view }: View): string[] {
  const { code, detail, at } = lastError ?? {};
  const fields = {
    element: element.key,
    ...view,
    tags: tags?.join(', '),
    health: health && `${health.status} since ${health.since}${health.reason ? `: ${health.reason}` : ''}`,
    lastError: lastError && `${code}: ${detail} (${at})`,
  };
  return Object.entries(fields).flatMap(([name, value]) =>
    value === undefined
      ? []
      : [dim(name.padEnd(14)) + red(plain(String(value)), troubled.has(String(value)))],
  );
}

type View = Partial<Omit<ReturnType<typeof instanceView>, 'status' | 'element' | 'health'>> & {
  element: { key: string };
  status: string;
  health?: { status: string; since: string; reason?: string | undefined } | undefined;
  provisionId?: string;
  nextTryDate?: string | undefined;
};

/** As the API shows it, with the generation, the reconciler's next try and the health. Never the token. */
function viewOf({ key, row }: Found): View {
  if (!row) return { tenantId: key.tenantId, element: { key: elementOf(key) }, status: 'unreadable' };
  const { health, checkAt, provisionId, ...summary } = row;
  return {
    ...instanceView(summary),
    element: { key: elementOf(key) },
    health: health && { ...health, since: isoOf(health.since) },
    provisionId,
    nextTryDate: checkAt === undefined ? undefined : isoOf(checkAt),
  };
}

const lookBackS = 7 * 24 * 60 * 60;

/** The query in Logs Insights, and commands for bash or zsh that run it over every log group of the stack. */
function logsOf(where: Where, tenantId: string): { query: string; commands: string[] } {
  const query = linesOfTenant(tenantId);
  if ('localPort' in where) return { query, commands: ['npm start prints them in its terminal'] };
  const groups =
    `aws cloudformation list-stack-resources --stack-name ${stackNameOf(where.stage)} ` +
    `--query "StackResourceSummaries[?ResourceType=='AWS::Logs::LogGroup'].PhysicalResourceId" --output text`;
  return {
    query,
    commands: [
      `query=$(aws logs start-query --log-group-names $(${groups}) --start-time $(($(date +%s) - ${lookBackS})) ` +
        `--end-time $(date +%s) --query-string '${query}' --query queryId --output text)`,
      'sleep 5; aws logs get-query-results --query-id "$query" --query "results[*].[join(\'  \', [?field!=\'@ptr\'].value)]" --output text',
    ],
  };
}

const dateOf = (ms: number): string => new Date(ms).toISOString();

export function jsonOfOverview(name: string, overview: Overview, steps: readonly Step[]) {
  const { atMs, instances, deadLetters, lastAudit } = overview;
  const { total, byStatus, byHealth, oldestOpen, troubles } = instances;
  const listedOf = ({ since, code: _code, ...each }: Listed) => ({
    ...each,
    since: since === undefined ? undefined : dateOf(since),
  });
  return {
    target: name,
    at: dateOf(atMs),
    instances: { total, byStatus, byHealth },
    oldestOpen: oldestOpen && {
      ...listedOf(oldestOpen),
      ageS: Math.floor((atMs - (oldestOpen.since ?? atMs)) / 1_000),
    },
    deadLetters,
    lastAudit: lastAudit && {
      startedAt: dateOf(lastAudit.startedAt),
      endedAt: dateOf(lastAudit.endedAt),
      findings: findingsOf(lastAudit, atMs),
      result: lastAudit.result,
    },
    troubles: Object.fromEntries(
      troubles.map(({ kind, count, listed }) => [kind, { count, listed: listed.map(listedOf) }]),
    ),
    todo: steps.map(jsonOfStep),
  };
}

export function jsonOfTenantStatus(where: Where, { tenantId, instances, steps }: TenantStatus) {
  return {
    tenantId,
    instances: instances.map(viewOf),
    logs: logsOf(where, tenantId),
    todo: steps.map((step) => ({ elementKey: step.elementKey, ...jsonOfStep(step) })),
  };
}

const jsonOfStep = (step: Step) => ({ text: step.text, page: pageOf(step) || undefined });
