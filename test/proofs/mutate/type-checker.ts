import { globSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { CheckStatus, type Checker, type CheckResult } from '@stryker-mutator/api/check';
import type { Mutant, Position } from '@stryker-mutator/api/core';
import { declareClassPlugin, PluginKind } from '@stryker-mutator/api/plugin';
import { API, DiagnosticCategory } from 'typescript/unstable/sync';

const project = resolve('test/proofs/mutate/tsconfig.json');

/**
 * Sets mutants aside that do not compile: they need no test. Stryker's own checker needs the JavaScript API of
 * TypeScript 6, which 7 does not have.
 */
class TypeChecker implements Checker {
  static inject = [] as const;
  /** Texts by absolute path, as they were when the run began: the files may be edited while it lasts. */
  readonly #originals = new Map(
    globSync('functions/**/*.ts').map((file) => [resolve(file), readFileSync(file, 'utf8')]),
  );
  #mutated: { path: string; text: string } | undefined;
  readonly #compiler = new API({
    fs: {
      readFile: (path) => (path === this.#mutated?.path ? this.#mutated.text : this.#originals.get(path)),
    },
  });

  async init() {
    const errors = this.#errors([]);
    if (errors.length > 0) throw new Error(`The code does not compile:\n${errors.join('\n')}`);
  }

  async group(mutants: Mutant[]) {
    return mutants.map(({ id }) => [id]);
  }

  async check(mutants: Mutant[]) {
    return Object.fromEntries(mutants.map((mutant) => [mutant.id, this.#checkOne(mutant)]));
  }

  dispose() {
    this.#compiler.close();
  }

  #checkOne(mutant: Mutant): CheckResult {
    const path = resolve(mutant.fileName);
    const before = this.#mutated?.path ?? path;
    this.#mutated = { path, text: withMutant(this.#originals.get(path) ?? '', mutant) };
    const errors = this.#errors([before, path]);
    return errors.length === 0
      ? { status: CheckStatus.Passed }
      : { status: CheckStatus.CompileError, reason: errors.join('\n') };
  }

  #errors(changed: string[]): readonly string[] {
    const snapshot = this.#compiler.updateSnapshot({ openProject: project, fileChanges: { changed } });
    try {
      return snapshot
        .getProjects()
        .flatMap(({ program }) => [...program.getSyntacticDiagnostics(), ...program.getSemanticDiagnostics()])
        .filter(({ category }) => category === DiagnosticCategory.Error)
        .map(({ fileName, text }) => `${fileName}: ${text}`);
    } finally {
      snapshot.dispose();
    }
  }
}

/**
 * A constant condition is checked as a boolean that is not known: the compiler forgets in a branch that is never reached
 * what it knows about variables, so that a guard without which the code compiles would be set aside.
 */
const asChecked = ({ mutatorName, replacement }: Mutant): string =>
  mutatorName === 'ConditionalExpression' && (replacement === 'true' || replacement === 'false')
    ? `(${replacement} as boolean)`
    : replacement;

function withMutant(source: string, mutant: Mutant): string {
  const { location } = mutant;
  const lines = source.split('\n');
  const offset = ({ line, column }: Position) =>
    lines.slice(0, line).reduce((sum, text) => sum + text.length + 1, 0) + column;
  return `${source.slice(0, offset(location.start))}${asChecked(mutant)}${source.slice(offset(location.end))}`;
}

export const strykerPlugins = [declareClassPlugin(PluginKind.Checker, 'types', TypeChecker)];
