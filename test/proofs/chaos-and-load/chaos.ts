import { commandLine, parseOptions, wholeNumber } from '../../../infra/cli/command.ts';
import { bad, bold, dim, good, print } from '../../../infra/cli/terminal.ts';
import type { Progress } from './trial.ts';

const help = `Onboards, changes and removes tenants while a third of all calls to Cloud Elements fail and functions are killed.

  npm run chaos -- [options]

Options
  --tenants <n>   how many (default 1000)
  --seed <n>      other faults (default 1)

Exit status: 0 nothing is lost, duplicated, stuck, leaked or undocumented · 1 something is · 2 command line wrong.`;

const { tenants, seed } = commandLine(help, (args) => {
  const { values } = parseOptions({
    args,
    options: { tenants: { type: 'string', default: '1000' }, seed: { type: 'string', default: '1' } },
  });
  return {
    tenants: wholeNumber('tenants', values.tenants, { from: 1 }),
    seed: wholeNumber('seed', values.seed, { from: 1 }),
  };
});
// Imported only now: `--help` needs none of it.
const { trialSummary } = await import('./summary.ts');
const { runTrial } = await import('./trial.ts');
const startedAt = performance.now();

const trial = await runTrial({ tenants, seed, ...(process.stdout.isTTY && { onProgress: show }) });
if (process.stdout.isTTY) process.stdout.write('\r\u001b[K');
print(`\n${trialSummary(trial, { tenants, seed })}\n`);
print(
  trial.isRight
    ? good(bold('Nothing lost, duplicated, stuck, leaked or undocumented.'))
    : bad(bold('That is wrong.')),
);
process.exitCode = trial.isRight ? 0 : 1;

function show({ tenantsDone, calls, faults, killed }: Progress): void {
  const seconds = Math.round((performance.now() - startedAt) / 1_000);
  const line = `${tenantsDone}/${tenants} tenants  ${calls} calls  ${faults} faults  ${killed} killed  ${seconds} s`;
  process.stdout.write(`\r\u001b[K${dim(line)}`);
}
