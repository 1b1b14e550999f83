import { parseArgs } from 'node:util';
import { bad, bold, dim, good, print } from '../../infra/local/terminal.ts';
import { summaryOf } from './summary.ts';
import { runTrial, type Progress } from './trial.ts';

/**
 * `npm run chaos`: 1,000 tenants, a third of all calls to Cloud Elements failing, functions killed at random. Exits 0
 * when in the end nothing is lost, doubled or stuck, 1 otherwise. `--tenants`, `--seed`.
 */

const { values } = parseArgs({
  options: { tenants: { type: 'string', default: '1000' }, seed: { type: 'string', default: '1' } },
});
const tenants = wholeNumber('tenants', values.tenants);
const seed = wholeNumber('seed', values.seed);
const startedAt = performance.now();

const trial = await runTrial({ tenants, seed, ...(process.stdout.isTTY && { onProgress: show }) });
if (process.stdout.isTTY) process.stdout.write('\r\u001b[K');
print(`\n${summaryOf(trial, { tenants, seed })}\n`);
print(
  trial.isRight ? good(bold('Nothing lost, nothing doubled, nothing stuck.')) : bad(bold('That is wrong.')),
);
process.exitCode = trial.isRight ? 0 : 1;

function wholeNumber(name: string, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  process.stderr.write(`--${name} is to be a whole number from 1 on, not "${text}".\n`);
  process.exit(2);
}

function show({ tenantsDone, calls, faults, killed }: Progress): void {
  const seconds = Math.round((performance.now() - startedAt) / 1_000);
  const line = `${tenantsDone}/${tenants} tenants  ${calls} calls  ${faults} faults  ${killed} killed  ${seconds} s`;
  process.stdout.write(`\r\u001b[K${dim(line)}`);
}
