import { randomUUID } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { commandLine, UsageError } from '../command-line.ts';
import { accent, bad, bold, dim, plain, print } from '../local/terminal.ts';
import { failedRowsFile, removeFailedRows, writeFailedRows, type FailedRow } from './failed-rows.ts';
import { JournalError, openJournal } from './journal.ts';
import { isBad, isGood, ManifestError, readManifest, type BadRow, type Manifest } from './manifest.ts';
import { help, parseOptions, type Options } from './options.ts';
import { counted, number, showProgress, summaryOf } from './progress.ts';
import { createRun, RunStopped, type Run } from './run.ts';
import { findMissingSecrets } from './secrets.ts';
import { findTarget, findTenantSecrets, reasonOf, TargetError, type Where } from './target.ts';

/** `npm run onboard`: onboards the tenants of a manifest, each of them once. `--help` tells all. */

const goOn = 'The same command goes on from here and asks for nothing twice.';

const asked = commandLine(help, (args) => parseOptions(args, process.env), { changesThings: true });

process.exitCode = await main(asked).catch((error: unknown) => {
  if (error instanceof UsageError || error instanceof ManifestError || error instanceof JournalError)
    return refuse(error.message, 2);
  if (error instanceof TargetError) return refuse(error.message, 3);
  // A full disk, for instance.
  if (error instanceof Error && 'syscall' in error) return refuse(`${error.message}\n${goOn}`, 3);
  throw error;
});

async function main(options: Options): Promise<number> {
  const { manifestFile, check, where, skipBad } = options;
  const manifest = await readManifest(manifestFile);
  const badRows = manifest.rows.filter(isBad);
  printFaults(
    manifestFile,
    badRows.flatMap(({ line, faults }) => faults.map((fault) => ({ line, fault }))),
  );
  print(
    `${plain(manifestFile)}: ${counted(manifest.rows.length, 'row')}, ${number(badRows.length)} of them bad`,
  );
  if (check) {
    const isComplete = where ? await checkSecrets(manifestFile, manifest, where) : true;
    return badRows.length > 0 || !isComplete ? 2 : 0;
  }
  if (!where) throw new UsageError('Expected a target.');
  if (badRows.length > 0 && !skipBad) {
    return refuse('Nothing was sent. Mend the manifest, or send the good rows with --skip-bad.', 2);
  }
  return runAll({ ...options, where }, manifest, badRows);
}

/** @returns whether each row has the secret that it needs */
async function checkSecrets(manifestFile: string, manifest: Manifest, where: Where): Promise<boolean> {
  const secrets = await findTenantSecrets(where);
  if (!secrets) {
    print(dim("The tenants' secrets were not looked at: --stage or --local names them."));
    return true;
  }
  try {
    const missing = await findMissingSecrets(manifest.rows, secrets);
    printFaults(manifestFile, missing);
    print(
      missing.length === 0
        ? "Each tenant's secret is there; its value was not read."
        : `${counted(missing.length, 'row')} without a secret that can be used`,
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
  await assertWritable(dirname(options.journalFile), 'the journal goes there: choose another with --journal');
  await assertWritable(
    dirname(failedRowsFile(options.manifestFile)),
    'the file of failed rows goes there: copy the manifest to another directory',
  );
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

/** Tries it, because permissions say nothing of a file system that is read-only. @throws UsageError */
async function assertWritable(directory: string, why: string): Promise<void> {
  const probe = join(directory, `.onboard-${randomUUID()}`);
  try {
    await writeFile(probe, '', { flag: 'wx' });
    await rm(probe);
  } catch (error) {
    throw new UsageError(`Nothing can be written to ${directory} (${reasonOf(error)}), and ${why}.`);
  }
}

function announce(options: Options, targetName: string, run: Run, manifestChanged: boolean): void {
  const { rows, unsent } = run.counts();
  print(
    `To ${bold(plain(targetName))}, ${options.rate} per second; the journal is ${accent(plain(options.journalFile))}`,
  );
  if (manifestChanged) {
    print(
      'The manifest has changed since it was last run: what asks for the same as then is not asked for again.',
    );
  }
  if (unsent < rows) print(`Taken up again: ${counted(rows - unsent, 'row')} had been sent before.`);
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
  const file = failedRowsFile(manifestFile);
  if (failed.length === 0) {
    await removeFailedRows(file);
    return 0;
  }
  await writeFailedRows(file, manifest, failed);
  const byCode = Map.groupBy(failed, ({ code }) => code);
  print(`\nWhich failed and why is in ${accent(plain(file))}:`);
  for (const [code, { length }] of byCode) print(`${number(length).padStart(7)} ${plain(code)}`);
  print(dim('Rows that are wrong themselves can be mended in that file: it is a manifest, too.'));
  if (byCode.size > (badRows.length > 0 ? 1 : 0)) {
    print(
      dim('Where the reason lay elsewhere and is gone, the same command with --retry-failed asks again.'),
    );
  }
  return 1;
}

function printFaults(file: string, faults: readonly { line: number; fault: string }[]): void {
  for (const { line, fault } of faults) process.stderr.write(`${plain(`${file}:${line}: ${fault}`)}\n`);
}

function refuse(message: string, exitStatus: number): number {
  process.stderr.write(`${bad(plain(message))}\n`);
  return exitStatus;
}
