import { plain } from '../../plain-text.ts';
import { commandLine } from '../command.ts';
import { reasonOf, TargetError } from '../onboard/target.ts';
import { number } from '../onboard/progress.ts';
import { bad, print } from '../terminal.ts';
import { noInstanceStep, stepFor, stepsFor } from './next-steps.ts';
import { help, parseOptions, type Options } from './options.ts';
import { jsonOfOverview, jsonOfTenantStatus, linesOfOverview, linesOfTenantStatus } from './output.ts';
import { countInstances, isTooLong, troubleOf, type Overview } from './overview.ts';
import { readAll, readLastAudit, readTenant } from './rows.ts';
import { findTarget, type Target } from './target.ts';

/** `npm run status`: how all tenants are doing, or one. See `--help`. */

const chosen = commandLine(help, (args) => parseOptions(args, process.env));

process.exitCode = await main(chosen).catch((error: unknown) => {
  const isOfAws = error instanceof Error && '$metadata' in error;
  if (!(error instanceof TargetError) && !isOfAws) throw error;
  const hint = 'localPort' in chosen.where ? '\nIs npm start running, and with this PORT?' : '';
  const message =
    error instanceof TargetError ? error.message : `A call to AWS failed: ${reasonOf(error)}${hint}`;
  process.stderr.write(`${bad(plain(message))}\n`);
  return 3;
});

async function main(options: Options): Promise<number> {
  const target = await findTarget(options.where);
  try {
    const { tenantId } = options;
    return await (tenantId === undefined ? showAll(target, options) : showTenant(target, tenantId, options));
  } finally {
    target.close();
  }
}

async function showAll(target: Target, { where, limit, json }: Options): Promise<number> {
  const { dynamoDb: client, tableName } = target;
  const [deadLetters, lastAudit] = await Promise.all([
    target.countDeadLetters(),
    readLastAudit(client, tableName),
  ]);
  const instances = await countInstances(readAll(client, tableName, showProgress), limit);
  hideProgress();
  const overview: Overview = { atMs: Date.now(), instances, deadLetters, lastAudit };
  const steps = stepsFor(overview);
  const name = 'stage' in where ? `stage ${where.stage}` : `the local stack on port ${where.localPort}`;
  if (json) print(JSON.stringify(jsonOfOverview(name, overview, steps)));
  else for (const line of linesOfOverview(name, overview, steps)) print(line);
  return steps.length > 0 ? 1 : 0;
}

async function showTenant(target: Target, tenantId: string, { where, json }: Options): Promise<number> {
  const instances = await readTenant(target.dynamoDb, target.tableName, tenantId);
  const nowMs = Date.now();
  const troubles = instances.flatMap((found) => troubleOf(found) ?? []);
  const steps =
    instances.length === 0
      ? [noInstanceStep]
      : troubles.map((trouble) => ({ elementKey: trouble.elementKey, ...stepFor(trouble, nowMs) }));
  const status = { tenantId, instances, steps };
  if (json) print(JSON.stringify(jsonOfTenantStatus(where, status)));
  else for (const line of linesOfTenantStatus(where, status)) print(line);
  const isWell = (trouble: (typeof troubles)[number]) =>
    trouble.kind === 'open' && !isTooLong(trouble, nowMs);
  return instances.length > 0 && troubles.every(isWell) ? 0 : 1;
}

/** On a terminal only; on stderr, so that the output can be piped. */
function showProgress(rows: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${number(rows)} rows read`);
}

function hideProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
}
