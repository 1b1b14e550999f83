import { readFile } from 'node:fs/promises';
import { accent, bad, bold, dim, print } from '../local/terminal.ts';
import { failedRowsFile, writeFailedRows, type FailedRow } from './failed-rows.ts';
import { JournalError, openJournal } from './journal.ts';
import { isBad, isGood, ManifestError, readManifest, type BadRow, type Manifest } from './manifest.ts';
import { help, parseOptions, UsageError, type Options } from './options.ts';
import { number, showProgress, summaryOf } from './progress.ts';
import { createRun, RunStopped, type Run } from './run.ts';
import { findTarget, TargetError, type Where } from './target.ts';

/** `npm run onboard`: onboards the tenants of a manifest, each of them once. `--help` tells all. */

const goOn = 'The same command goes on from here and asks for nothing twice.';

process.exitCode = await main().catch((error: unknown) => {
  if (error instanceof UsageError) return refuse(`${error.message}\n\n${help}`, 2);
  if (error instanceof ManifestError || error instanceof JournalError) return refuse(error.message, 2);
  if (error instanceof TargetError) return refuse(error.message, 3);
  // A full disk, for instance.
  if (error instanceof Error && 'syscall' in error) return refuse(`${error.message}\n${goOn}`, 3);
  throw error;
});

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2), process.env);
  if (options === 'help') {
    print(help);
    return 0;
  }
  const { manifestFile, where, skipBad } = options;
  const manifest = await readManifest(manifestFile);
  const badRows = manifest.rows.filter(isBad);
  printBad(manifestFile, badRows);
  print(`${manifestFile}: ${number(manifest.rows.length)} rows, ${badRows.length} of them bad`);
  if (!where) return badRows.length > 0 ? 2 : 0;
  if (badRows.length > 0 && !skipBad) {
    return refuse('Nothing was sent. Mend the manifest, or send the good rows with --skip-bad.', 2);
  }
  return runAll({ ...options, where }, manifest, badRows);
}

async function runAll(
  options: Options & { where: Where },
  manifest: Manifest,
  badRows: readonly BadRow[],
): Promise<number> {
  const target = await findTarget(options.where);
  const manifestText = await readFile(options.manifestFile, 'utf8');
  const journal = await openJournal(options.journalFile, {
    target: `${target.tableId} ${target.busName}`,
    manifestText,
    retryFailed: options.retryFailed,
  });
  const interruption = new AbortController();
  const interrupt = () => interruption.abort();
  // Only once: the second Ctrl-C ends the process at once.
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, interrupt);
  try {
    const asks = manifest.rows.filter(isGood).map(({ ask }) => ask);
    const run = createRun(asks, { ...options, target, journal, signal: interruption.signal });
    announce(options, target.name, run, journal.manifestChanged);

    const progress = showProgress(run.counts);
    let stoppedBy: RunStopped | undefined;
    try {
      await run.work();
    } catch (error) {
      if (!(error instanceof RunStopped)) throw error;
      stoppedBy = error;
    } finally {
      progress.stop();
    }
    print(`\n${summaryOf(run.counts(), badRows.length)}`);
    if (stoppedBy) return refuse(`\n${stoppedBy.message}\n${goOn}`, 3);
    if (interruption.signal.aborted) return refuse(`\nInterrupted; nothing is lost. ${goOn}`, 130);
    await journal.record({ kind: 'finished', at: Date.now() });
    return await finish(options, manifest, badRows, run);
  } finally {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.removeListener(name, interrupt);
    await journal.close();
    target.dynamoDb.destroy();
    target.eventBridge.destroy();
  }
}

function announce(options: Options, targetName: string, run: Run, manifestChanged: boolean): void {
  const { rows, unsent } = run.counts();
  print(`To ${bold(targetName)}, ${options.rate} per second; the journal is ${accent(options.journalFile)}`);
  if (manifestChanged) {
    print(
      'The manifest has changed since it was last run: what asks for the same as then is not asked for again.',
    );
  }
  if (unsent < rows) print(`Taken up again: ${number(rows - unsent)} rows had been sent before.`);
  print();
}

async function finish(
  { manifestFile }: Options,
  manifest: Manifest,
  badRows: readonly BadRow[],
  run: Run,
): Promise<number> {
  const ends = run.ends();
  const failed = manifest.rows.flatMap((row): FailedRow[] => {
    if (isBad(row)) return [{ row, code: 'bad-row', why: row.faults.join('; ') }];
    const end = isGood(row) ? ends.get(row.ask) : undefined;
    return end && end.outcome !== 'active'
      ? [{ row, code: end.code ?? end.outcome, why: end.why ?? '' }]
      : [];
  });
  if (failed.length === 0) return 0;
  const file = failedRowsFile(manifestFile);
  await writeFailedRows(file, manifest, failed);
  const byCode = Map.groupBy(failed, ({ code }) => code);
  print(`\nWhich failed and why is in ${accent(file)}:`);
  for (const [code, { length }] of byCode) print(`${number(length).padStart(7)} ${code}`);
  print(dim('Rows that are wrong themselves can be mended in that file: it is a manifest, too.'));
  if (byCode.size > (badRows.length > 0 ? 1 : 0)) {
    print(
      dim('Where the reason lay elsewhere and is gone, the same command with --retry-failed asks again.'),
    );
  }
  return 1;
}

function printBad(file: string, rows: readonly BadRow[]): void {
  for (const { line, faults } of rows) {
    for (const fault of faults) process.stderr.write(`${file}:${line}: ${fault}\n`);
  }
}

function refuse(message: string, exitStatus: number): number {
  process.stderr.write(`${bad(message)}\n`);
  return exitStatus;
}
