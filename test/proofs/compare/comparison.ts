import { readFile } from 'node:fs/promises';
import * as z from 'zod/mini';
import { bad, bold, dim, good } from '../../../infra/cli/terminal.ts';
import { isRight, openTheatre, scenarios, type ContenderName, type Result } from './scenarios.ts';

export type Comparison = Awaited<ReturnType<typeof compare>>;

/** Plays each scenario with both. `isRight`: this service made one instance each time, and its token is stored. */
export async function compare() {
  await using ours = await openTheatre('thisService');
  await using theirs = await openTheatre('ordinaryWay');
  const rows: ({ title: string } & Record<ContenderName, Result>)[] = [];
  for (const scenario of scenarios) {
    const [thisService, ordinaryWay] = await Promise.all([ours.play(scenario), theirs.play(scenario)]);
    rows.push({ title: scenario.title, thisService, ordinaryWay });
  }
  const totals: Record<ContenderName, Total> = {
    thisService: totalOf(rows.map(({ thisService }) => thisService)),
    ordinaryWay: totalOf(rows.map(({ ordinaryWay }) => ordinaryWay)),
  };
  return {
    isRight: rows.every(({ thisService }) => isRight(thisService)),
    versions: await readVersions(),
    scenarios: rows,
    totals,
  };
}

type Total = { instances: number; rightTokens: number };

function totalOf(results: readonly Result[]): Total {
  return {
    instances: results.reduce((sum, { instances }) => sum + instances, 0),
    rightTokens: results.filter(({ token }) => token === 'right').length,
  };
}

const packageSchema = z.object({ name: z.string(), version: z.string() });

async function readVersions(): Promise<Record<ContenderName, string>> {
  const [thisService, ordinaryWay] = await Promise.all([
    versionIn('package.json'),
    versionIn('node_modules/@aws-lambda-powertools/idempotency/package.json'),
  ]);
  return { thisService, ordinaryWay };
}

async function versionIn(file: string): Promise<string> {
  const text = await readFile(new URL(`../../../${file}`, import.meta.url), 'utf8');
  const { name, version } = packageSchema.parse(JSON.parse(text));
  return `${name} ${version}`;
}

const titleWidth = 51;
const sideWidth = 23;

/** Aligned for a terminal, and in color on one. */
export function tableOf({ scenarios: rows, totals }: Comparison): string {
  const result = (each: Result) => ({
    text: side(each.instances, each.token),
    style: isRight(each) ? good : bad,
  });
  const total = ({ instances, rightTokens }: Total) => ({
    text: side(instances, `${rightTokens} right`),
    style: bold,
  });
  const titles = { text: side('instances', 'token'), style: dim };

  return [
    line('', { text: '  this service', style: bold }, { text: '  ordinary way', style: bold }),
    line('', titles, titles),
    ...rows.map(({ title, thisService, ordinaryWay }, index) =>
      line(`${index + 1}  ${title}`, result(thisService), result(ordinaryWay)),
    ),
    line('   total', total(totals.thisService), total(totals.ordinaryWay)),
  ].join('\n');
}

const side = (instances: number | string, token: string): string =>
  `${String(instances).padStart(9)}  ${token}`;

type Cell = { text: string; style: (text: string) => string };

/** Pads before it styles, because style codes have no width. */
const line = (title: string, ours: Cell, theirs: Cell): string =>
  title.padEnd(titleWidth) + ours.style(ours.text.padEnd(sideWidth)) + theirs.style(theirs.text);
