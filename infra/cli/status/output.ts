import { stripVTControlCharacters } from 'node:util';
import { instanceView, wholeTenant } from '../../../functions/model/instance.ts';
import { linesOfTenant } from '../../monitoring/saved-queries.ts';
import { stackNameOf } from '../../outputs.ts';
import { plain } from '../../plain-text.ts';
import { number } from '../onboard/progress.ts';
import { accent, bad, bold, dim, good, terminalWidth } from '../terminal.ts';
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
  return rows.map((cells) => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)));
}

/** Joins words into lines of at most `width`; a longer word has a line of its own. Colors take no width. */
function wrapped(words: readonly string[], width: number, separator = ' '): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const joined = lines.length === 0 ? word : `${lines.at(-1)}${separator}${word}`;
    const isNew = lines.length === 0 || stripVTControlCharacters(joined).length > width;
    if (isNew) lines.push(word);
    else lines[lines.length - 1] = joined;
  }
  return lines;
}

const wordsOf = (text: string): string[] => text.split(/\s+/);

/** A label and words, which stay right of the label on every line. */
function labeled(label: string, words: readonly string[], width: number, separator?: string): string[] {
  const [first = '', ...rest] = wrapped(words, width - labelWidth, separator);
  return [dim(label.padEnd(labelWidth)) + first, ...rest.map((line) => ' '.repeat(labelWidth) + line)];
}
const labelWidth = 14;

/** A reason beside its row needs this; where there is less, it is below. */
const leastReasonWidth = 40;

const elementOf = ({ elementKey }: { elementKey: string }): string =>
  elementKey === wholeTenant ? '(all)' : elementKey;

const red = (text: string, isRed: boolean): string => (isRed ? bad(text) : text);

export function linesOfOverview(
  name: string,
  overview: Overview,
  steps: readonly Step[],
  width = terminalWidth(),
): string[] {
  const { atMs, instances, deadLetters, lastAudit } = overview;
  const queues = Object.entries(deadLetters);
  return [
    bold(`${name}, ${isoOf(atMs)}`),
    '',
    ...labeled('instances', wordsOf(countsOf(instances)), width),
    ...(Object.keys(instances.byHealth).length > 0
      ? labeled('health', wordsOf(countsIn(instances.byHealth)), width)
      : []),
    ...labeled('oldest open', wordsOf(oldestOf(instances.oldestOpen, atMs)), width),
    ...labeled(
      'dead letters',
      queues.map(([queue, count]) => red(`${queue} ${number(count)}`, count > 0)),
      width,
      '  ',
    ),
    ...labeled('last audit', wordsOf(auditOf(overview)), width),
    ...(lastAudit ? labeled('', resultOf(lastAudit.result).map(dim), width, '  ') : []),
    ...linesOfTroubles(instances.troubles, width),
    ...linesOfSteps(steps, width),
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

const resultOf = (result: Readonly<Record<string, number | boolean>>): string[] =>
  Object.entries(result).map(
    ([name, value]) => `${name} ${typeof value === 'number' ? number(value) : value}`,
  );

function linesOfTroubles(troubles: Instances['troubles'], width: number): string[] {
  const all = troubles.flatMap(({ listed }) => listed);
  if (all.length === 0) return [];
  const [header = '', ...rows] = aligned([
    ['', 'tenant', 'element', 'since'],
    ...all.map((each) => [
      each.kind,
      each.tenantId,
      elementOf(each),
      each.since === undefined ? '?' : isoOf(each.since),
    ]),
  ]).map((cells) => cells.join('  '));
  const isBeside = width - header.length - 2 >= leastReasonWidth;
  const kindWidth = Math.max(...all.map(({ kind }) => kind.length));
  const indent = isBeside ? header.length + 2 : kindWidth + 2;
  const more = troubles.filter(({ count, listed }) => count > listed.length);
  return [
    '',
    dim(isBeside ? `${header}  reason` : header.trimEnd()),
    ...all.flatMap(({ kind, reason }, index) => {
      const cells = rows[index] ?? '';
      const row = red(cells.slice(0, kind.length), kind !== 'open') + cells.slice(kind.length);
      const reasons = wrapped(wordsOf(plain(reason)), width - indent);
      const [first = '', ...rest] = isBeside ? reasons : ['', ...reasons];
      const ended = first === '' ? row.trimEnd() : `${row}  ${first}`;
      return [ended, ...rest.map((line) => `${' '.repeat(indent)}${line}`)];
    }),
    ...more.map(({ kind, count, listed }) =>
      dim(`and ${number(count - listed.length)} more ${kind}; --limit lists them`),
    ),
  ];
}

function linesOfSteps(steps: readonly Step[], width: number): string[] {
  if (steps.length === 0) return ['', good('Nothing to do.')];
  const rows = steps.map((step) => [step.text, pageOf(step)] as const);
  const textWidth = Math.max(...rows.map(([text]) => text.length));
  const isBeside = rows.every(([, page]) => 2 + textWidth + 2 + page.length <= width);
  return [
    '',
    bold('To do'),
    ...rows.flatMap(([text, page]) => {
      if (page === '') return [`  ${text}`];
      return isBeside
        ? [`  ${text.padEnd(textWidth)}  ${accent(page)}`]
        : [`  ${text}`, `    ${accent(page)}`];
    }),
  ];
}

export type TenantStatus = {
  tenantId: string;
  instances: readonly Found[];
  steps: readonly (Step & { elementKey?: string })[];
};

export function linesOfTenantStatus(
  where: Where,
  { tenantId, instances, steps }: TenantStatus,
  width = terminalWidth(),
): string[] {
  const { query, commands } = logsOf(where, tenantId);
  return [
    bold(`Tenant ${tenantId}`),
    ...instances.flatMap((found) => ['', ...linesOfView(viewOf(found), width)]),
    '',
    bold('Log lines of the last 7 days'),
    `  ${query}`,
    ...commands.map((line) => `  ${dim(line)}`),
    ...linesOfSteps(
      steps.map(({ elementKey, text, ...step }) => ({
        ...step,
        text: elementKey === undefined ? text : `${elementOf({ elementKey })}: ${text}`,
      })),
      width,
    ),
  ];
}

function linesOfView(
  { tenantId: _tenantId, element, lastError, health, tags = [], ...view }: View,
  width: number,
): string[] {
  const { code, detail, at } = lastError ?? {};
  const fields = {
    element: element.key,
    ...view,
    tags: tags.length > 0 ? tags.join(', ') : undefined,
    health: health && `${health.status} since ${health.since}${health.reason ? `: ${health.reason}` : ''}`,
    lastError: lastError && `${code}: ${detail} (${at})`,
  };
  return Object.entries(fields).flatMap(([name, value]) =>
    value === undefined
      ? []
      : labeled(name, wordsOf(red(plain(String(value)), troubled.has(String(value)))), width),
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
