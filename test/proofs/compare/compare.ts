import { createTimeoutMs as deployedCreateTimeoutMs } from '../../../functions/model/timing.ts';
import { commandLine, parseOptions } from '../../../infra/cli/command.ts';
import { bold, dim, print } from '../../../infra/cli/terminal.ts';

const help = `Plays scenarios against this service and against the ordinary way to write it, and counts instances and tokens.

  npm run compare -- [options]

Options
  --json   the figures as JSON

Exit status: 0 this service is right in every scenario · 1 it is not · 2 command line wrong.`;

const { json } = commandLine(
  help,
  (args) => parseOptions({ args, options: { json: { type: 'boolean', default: false } } }).values,
);
// Imported only now: `--help` needs none of it.
const { compare, tableOf } = await import('./comparison.ts');
const { createTimeoutMs } = await import('./site.ts');
const startedAt = performance.now();
const comparison = await compare();
const { versions, isRight } = comparison;

if (json) {
  print(JSON.stringify(comparison, undefined, 2));
} else {
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  print(`
this service   ${bold(versions.thisService)}
ordinary way   ${bold(versions.ordinaryWay)} around the call

${tableOf(comparison)}

${dim(`Each scenario should leave one instance and its token; "one of 2": the application has the token of one of two live
instances, and nobody knows of the other. Played in ${seconds} s: the answer to a create is waited for ${createTimeoutMs / 1_000} s instead
of ${deployedCreateTimeoutMs / 1_000} s, and time that only has to pass is skipped; all other periods are as deployed.`)}
`);
}
process.exitCode = isRight ? 0 : 1;
