import type { Position, schema } from '@stryker-mutator/api/core';
import { declareClassPlugin, PluginKind } from '@stryker-mutator/api/plugin';
import type { Reporter } from '@stryker-mutator/api/report';
import { bad, dim, good, print } from '../../../infra/cli/terminal.ts';
import { equivalentMutants, type Mutation } from './equivalent-mutants.ts';

/**
 * Prints the mutants that survived, without those that `equivalent-mutants.ts` names. Exit status 1 if there are any, or
 * if tests notice one that it names.
 */
class Survivors implements Reporter {
  static inject = [] as const;

  onMutationTestReportReady({ files }: Readonly<schema.MutationTestResult>) {
    const all = Object.entries(files).flatMap(([file, { source, mutants }]) =>
      mutants.map(({ location, replacement = '', status }) => ({
        status,
        file,
        lineNumber: location.start.line,
        line: source.split('\n')[location.start.line - 1]?.trim() ?? '',
        original: textAt(source, location),
        replacement,
      })),
    );
    const survivors = all.filter(({ status }) => status === 'Survived' || status === 'NoCoverage');
    const unnamed = survivors.filter(
      (survivor) => !equivalentMutants.some((named) => isSame(named, survivor)),
    );
    const noticed = all.filter(({ status }) => status === 'Killed' || status === 'Timeout');
    const stale = equivalentMutants.filter((named) => noticed.some((mutant) => isSame(named, mutant)));
    print(dim(`\nSurvivors named as equivalent: ${survivors.length - unnamed.length}.`));
    for (const { file, lineNumber, original, replacement } of unnamed) {
      print(`${bad('survived')}  ${file}:${lineNumber}\n  - ${original}\n  + ${replacement}`);
    }
    for (const { file, original, replacement } of stale) {
      print(`${bad('named, but noticed')}  ${file}\n  - ${original}\n  + ${replacement}`);
    }
    if (unnamed.length + stale.length > 0) process.exitCode = 1;
    else print(good('Tests notice every other mutant.'));
  }
}

const isSame = (a: Mutation, b: Mutation): boolean =>
  a.file === b.file && a.line === b.line && a.original === b.original && a.replacement === b.replacement;

/** As in a report of Stryker: lines and columns begin with 1. */
function textAt(source: string, { start, end }: { start: Position; end: Position }): string {
  const lines = source.split('\n').slice(start.line - 1, end.line);
  lines[lines.length - 1] = lines.at(-1)?.slice(0, end.column - 1) ?? '';
  lines[0] = lines[0]?.slice(start.column - 1) ?? '';
  return lines.join('\n');
}

export const strykerPlugins = [declareClassPlugin(PluginKind.Reporter, 'survivors', Survivors)];
