import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { plain } from '../../plain-text.ts';
import { createApi } from '../api.ts';
import { commandLine } from '../command.ts';
import { csvOf, guardedIn } from '../csv.ts';
import { counted, number } from '../onboard/progress.ts';
import {
  onThisMachine,
  outputsOf,
  reasonOf,
  requestHandler,
  TargetError,
  type ClientSettings,
} from '../onboard/target.ts';
import { readAll } from '../status/rows.ts';
import { bad } from '../terminal.ts';
import { help, parseOptions, type Options } from './options.ts';
import { cellsOf, faultOf, jsonOf } from './output.ts';
import { instancesIn, type Exported } from './rows.ts';
import { readTokens, type TokenRead } from './tokens.ts';

/** `npm run export`: writes every instance, for a team that leaves or takes stock. See `--help`. */

const chosen = commandLine(help, (args) =>
  parseOptions(args, process.env, { isTerminal: process.stdout.isTTY }),
);

process.exitCode = await main(chosen).catch((error: unknown) => {
  if (error instanceof TargetError) return refuse(error.message);
  if (error instanceof Error && '$metadata' in error) {
    const hint = 'localPort' in chosen.where ? '\nIs npm start running, and with this PORT?' : '';
    return refuse(`A call to AWS failed: ${reasonOf(error)}${hint}`);
  }
  throw error;
});

async function main(options: Options): Promise<number> {
  const { tableName, apiUrl, settings } = await targetOf(options.where);
  const client = new DynamoDBClient({ ...settings, requestHandler, maxAttempts: 8 });
  try {
    const rows = await instancesIn(readAll(client, tableName, showProgress));
    hideProgress();
    if (!options.withTokens) return finish(options, rows, new Map());
    const tokens = await readTokens(createApi({ url: apiUrl(), signer: client }), rows);
    if ('stoppedBy' in tokens) return refuse(`${tokens.stoppedBy}. Nothing was written.`);
    const count = [...tokens.reads.values()].filter(({ kind }) => kind === 'token').length;
    const warning = `The output holds ${counted(count, 'element token')} in clear text. Keep it private, and delete it after use.`;
    process.stderr.write(`${bad(warning)}\n`);
    return finish(options, rows, tokens.reads);
  } finally {
    client.destroy();
  }
}

type Target = { tableName: string; apiUrl: () => string; settings: ClientSettings };

async function targetOf(where: Options['where']): Promise<Target> {
  if ('localPort' in where) {
    return {
      tableName: 'element-onboarding',
      apiUrl: () => `http://127.0.0.1:${where.localPort}`,
      settings: onThisMachine(where.localPort + 2),
    };
  }
  const output = await outputsOf(where.stage);
  return { tableName: output('TableName'), apiUrl: () => output('ApiUrl'), settings: {} };
}

function finish(
  { json, withTokens }: Options,
  rows: readonly Exported[],
  reads: ReadonlyMap<Exported, TokenRead>,
): number {
  if (json) for (const row of rows) write(`${JSON.stringify(jsonOf(row, reads.get(row)))}\n`);
  else {
    const cells = cellsOf(rows, withTokens ? reads : undefined);
    write(csvOf(cells));
    const guarded = guardedIn(cells);
    if (guarded > 0) {
      say(`${counted(guarded, 'cell')} got a ' that keeps spreadsheets from running it; --json has none.`);
    }
  }
  const faults = rows.flatMap((row) => faultOf(row, reads.get(row)) ?? []);
  for (const fault of faults) process.stderr.write(`${bad(plain(fault))}\n`);
  say(`${counted(rows.length, 'instance')}. To leave this service, see --help.`);
  return faults.length > 0 ? 1 : 0;
}

function write(text: string): void {
  process.stdout.write(process.stdout.isTTY ? plain(text) : text);
}

/** On stderr, so that the output has the instances alone. */
function say(text: string): void {
  process.stderr.write(`${plain(text)}\n`);
}

function showProgress(rows: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${number(rows)} rows read`);
}

function hideProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
}

function refuse(message: string): number {
  process.stderr.write(`${bad(plain(message))}\n`);
  return 3;
}
