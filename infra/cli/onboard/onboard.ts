import { commandLine, UsageError } from '../command.ts';
import { accent, bad, bold, dim, print } from '../terminal.ts';
import { plain } from '../../plain-text.ts';
import {
  assertWritable,
  failedRowsFile,
  removeFailedRows,
  writeFailedRows,
  type FailedRow,
} from './failed-rows.ts';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import { catalogFor, CdkJsonError } from '../../stage-elements.ts';
import {
  importsIn,
  isBad,
  isGood,
  isImport,
  ManifestError,
  readManifest,
  type BadRow,
  type Manifest,
} from './manifest.ts';
import { help, parseOptions, type Options } from './options.ts';
import { counted, number, showProgress, summaryOf } from './progress.ts';
import { createRun, RunStopped, type Run } from './run.ts';
import { findMissingSecrets } from './secrets.ts';
import { findTarget, findTenantSecrets, TargetError, type Where } from './target.ts';

/** `npm run onboard`: onboards the tenants of a manifest that are not active yet. See `--help`. */

const goOn = 'Run the same command to continue.';

/** A fault of more rows than this takes one line: a list that was not filled in has it in every row. */
const mostOfOneFault = 20;
const linesNamed = 5;

const command = commandLine(help, (args) => parseOptions(args, process.env), { changesThings: true });

process.exitCode = await main(command).catch((error: unknown) => {
  if (error instanceof UsageError || error instanceof ManifestError || error instanceof CdkJsonError)
    return refuse(error.message, 2);
  if (error instanceof TargetError) return refuse(error.message, 3);
  // A full disk, for instance.
  if (error instanceof Error && 'syscall' in error) return refuse(`${error.message}\n${goOn}`, 3);
  throw error;
});

async function main(options: Options): Promise<number> {
  const { manifestFile, check, where, skipBad } = options;
  const manifest = await readManifest(manifestFile, where ? catalogFor(where) : builtInCatalog);
  const badRows = manifest.rows.filter(isBad);
  printFaults(
    manifestFile,
    badRows.flatMap(({ line, faults }) => faults.map((fault) => ({ line, fault }))),
  );
  const imports = importsIn(manifest.rows);
  print(
    `${plain(manifestFile)}: ${counted(manifest.rows.length, 'row')}, ${number(badRows.length)} of them bad` +
      (imports > 0 ? `, ${number(imports)} to import` : ''),
  );
  if (check) {
    const isComplete = where ? await checkSecrets(manifestFile, manifest, where) : true;
    return badRows.length > 0 || !isComplete ? 2 : 0;
  }
  if (!where) throw new UsageError('Expected a target.');
  if (imports > 0 && 'busName' in where && where.apiUrl === undefined) {
    throw new UsageError('The manifest has instances to import: give --api beside --bus and --table.');
  }
  if (badRows.length > 0 && !skipBad) {
    return refuse('Nothing was sent. Correct the manifest, or send the good rows with --skip-bad.', 2);
  }
  return runAll({ ...options, where }, manifest, badRows);
}

/** @returns whether each row has the secret that it needs */
async function checkSecrets(manifestFile: string, manifest: Manifest, where: Where): Promise<boolean> {
  const secrets = await findTenantSecrets(where);
  if (!secrets) {
    print(dim("The tenants' secrets were not checked: that needs --stage or --local."));
    return true;
  }
  try {
    const missing = await findMissingSecrets(manifest.rows, secrets);
    printFaults(manifestFile, missing);
    print(
      missing.length === 0
        ? "Each tenant's secret exists; its value was not read."
        : `${counted(missing.length, 'row')} without a usable secret`,
    );
    return missing.length === 0;
  } finally {
    secrets.secretsManager.destroy();
  }
}

async function runAll(
  options: Options & { where: Where },
  manifest: Manifest,
  badRows: readonly BadRow[],
): Promise<number> {
  await assertWritable(failedRowsFile(options.manifestFile));
  const target = await findTarget(options.where);
  const interruption = new AbortController();
  const interrupt = () => interruption.abort();
  // Only once: the second Ctrl-C ends the process at once.
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, interrupt);
  try {
    const requests = manifest.rows.filter(isGood).map(({ request }) => request);
    const run = createRun(requests, { ...options, target, signal: interruption.signal });
    const isImporting = requests.some(isImport);
    const rates = requests.every(isImport)
      ? `${options.importRate}`
      : `${options.rate}${isImporting ? ` and ${options.importRate} imports` : ''}`;
    print(`To ${bold(plain(target.name))}, ${rates} per second`);
    const stoppedBy = await stopOf(run);
    print(`\n${summaryOf(run.counts(), badRows.length)}`);
    if (stoppedBy) return refuse(`\n${stoppedBy.message}\n${goOn}`, 3);
    if (interruption.signal.aborted) return refuse(`\nInterrupted; nothing is lost. ${goOn}`, 130);
    return await finish(options, manifest, badRows, run);
  } finally {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.removeListener(name, interrupt);
    target.dynamoDb.destroy();
    target.eventBridge.destroy();
  }
}

/** Works through the run, and shows how far it has come. */
async function stopOf(run: Run): Promise<RunStopped | undefined> {
  try {
    await run.compare();
    print(`${describeComparison(run)}\n`);
    const progress = showProgress(run.counts);
    try {
      await run.work();
    } finally {
      progress.stop();
    }
    return undefined;
  } catch (error) {
    if (!(error instanceof RunStopped)) throw error;
    return error;
  }
}

function describeComparison(run: Run): string {
  const { rows, active, failed, unsent } = run.counts();
  if (unsent === rows) return 'None of them is active yet.';
  const conflicts = failed > 0 ? `, ${number(failed)} cannot be sent` : '';
  return `Already active: ${number(active)}${conflicts}; to send: ${number(unsent)}`;
}

async function finish(
  { manifestFile }: Options,
  manifest: Manifest,
  badRows: readonly BadRow[],
  run: Run,
): Promise<number> {
  const failures = run.failures();
  const failed = manifest.rows.flatMap((row): FailedRow[] => {
    if (isBad(row)) return [{ row, code: 'bad-row', why: row.faults.join('; ') }];
    const end = isGood(row) ? failures.get(row.request) : undefined;
    return end ? [{ row, code: end.code ?? end.outcome, why: end.why ?? '' }] : [];
  });
  const file = failedRowsFile(manifestFile);
  if (failed.length === 0) {
    await removeFailedRows(file);
    return 0;
  }
  await writeFailedRows(file, manifest, failed);
  const byCode = Map.groupBy(failed, ({ code }) => code);
  print(`\nFailed rows, with reasons, are in ${accent(plain(file))}:`);
  for (const [code, { length }] of byCode) print(`${number(length).padStart(7)} ${plain(code)}`);
  print(dim('Correct wrong rows in that file and use it as the manifest.'));
  if (byCode.size > (badRows.length > 0 ? 1 : 0)) {
    print(dim('For all other reasons, remove the cause and run the same command again.'));
  }
  return 1;
}

function printFaults(file: string, faults: readonly { line: number; fault: string }[]): void {
  const rows = Map.groupBy(faults, ({ fault }) => fault);
  const crowded = [...rows].filter(([, same]) => same.length > mostOfOneFault);
  const crowdedFaults = new Set(crowded.map(([fault]) => fault));
  for (const { line, fault } of faults.filter((each) => !crowdedFaults.has(each.fault))) {
    process.stderr.write(`${plain(`${file}:${line}: ${fault}`)}\n`);
  }
  for (const [fault, same] of crowded) {
    const [first, ...others] = same.slice(0, linesNamed).map(({ line }) => line);
    const also = `so do lines ${others.join(', ')} and ${number(same.length - linesNamed)} more`;
    process.stderr.write(`${plain(`${file}:${first}: ${fault}; ${also}`)}\n`);
  }
}

function refuse(message: string, exitStatus: number): number {
  process.stderr.write(`${bad(plain(message))}\n`);
  return exitStatus;
}
