import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { commandLine, parseOptions, wholeNumber } from '../../../infra/cli/command.ts';
import { bad, bold, dim, good, print } from '../../../infra/cli/terminal.ts';
import { endpointOrExit } from '../../service/deployed/endpoint.ts';
import type { Found } from './oracle.ts';

const help = `Deploys the service to the emulator at AWS_ENDPOINT_URL and announces tenants on its bus while secrets are rotated and
revoked, processes killed and calls failed; then a burst of HTTP calls, then hostile input.

  npm run load -- [options]

Options
  --events <n>          tenants that are announced (default 10000)
  --requests <n>        HTTP calls of the burst (default 2000)
  --inputs <n>          hostile inputs (default 3000)
  --seed <n>            other inputs (default 1)
  --limit-minutes <n>   after which it ends (default 90)
  --directory <path>    where to deploy from: another version of the service, for example

Exit status: 0 nothing was lost, duplicated, leaked or answered otherwise than documented · 1 something was · 2 command line
wrong, or no emulator.`;

const chosen = commandLine(help, (args) => {
  const { values } = parseOptions({
    args,
    options: {
      events: { type: 'string', default: '10000' },
      requests: { type: 'string', default: '2000' },
      inputs: { type: 'string', default: '3000' },
      seed: { type: 'string', default: '1' },
      'limit-minutes': { type: 'string', default: '90' },
      directory: { type: 'string' },
    },
  });
  return {
    directory: values.directory,
    events: wholeNumber('events', values.events),
    requests: wholeNumber('requests', values.requests),
    inputs: wholeNumber('inputs', values.inputs),
    seed: wholeNumber('seed', values.seed),
    limitMs: wholeNumber('limit-minutes', values['limit-minutes']) * 60_000,
  };
});
const { events, requests, inputs, seed, limitMs } = chosen;

const endpoint = endpointOrExit();

// Imported only now: `--help` needs none of it.
const { burst } = await import('./callers/burst.ts');
const { fuzz } = await import('./callers/fuzz.ts');
const { onboard } = await import('./callers/onboarding.ts');
const { burstSummary, fuzzSummary, leakSummary, onboardingSummary } = await import('./summary.ts');
const { deployTarget } = await import('./target.ts');

const violations: string[] = [];
function report(summary: string, found: Found): void {
  if (process.stdout.isTTY) process.stdout.write('\r\u001b[K');
  print(`\n${summary}`);
  violations.push(...Object.values(found).flat());
}

function show(progress: string): void {
  if (process.stdout.isTTY) process.stdout.write(`\r\u001b[K${dim(progress)}`);
}

print(`\n${bold('Deploying to')} ${endpoint}`);
const limit = new AbortController();
try {
  await using target = await deployTarget(chosen.directory);
  await Promise.race([runAll(target), runOut()]);
} catch (error) {
  violations.push(String(error));
  process.stderr.write(`\n${error instanceof Error ? error.message : String(error)}\n`);
} finally {
  limit.abort();
}
print(
  violations.length === 0
    ? `\n${good(bold('Nothing lost, duplicated or leaked, no crash.'))}`
    : `\n${bad(bold('That is wrong.'))}`,
);
// Requests that have timed out may still be running.
process.exit(violations.length === 0 ? 0 : 1);

async function runOut(): Promise<never> {
  await setTimeout(limitMs, undefined, { signal: limit.signal });
  throw new Error(
    `Not done after ${limitMs / 60_000} minutes (--limit-minutes); the findings so far are above.`,
  );
}

async function runAll(target: Awaited<ReturnType<typeof deployTarget>>): Promise<void> {
  const common = { runId: randomBytes(4).toString('hex'), show };
  if (events > 0) {
    const onboarding = await onboard(target, { ...common, count: events, seed });
    report(onboardingSummary(onboarding), onboarding.found);
  }
  if (requests > 0) {
    const bursting = await burst(target, { ...common, count: requests, seed: seed + 10 });
    report(burstSummary(bursting), bursting.found);
  }
  if (inputs > 0) {
    const fuzzing = await fuzz(target, { ...common, count: inputs, seed: seed + 20 });
    report(fuzzSummary(fuzzing), fuzzing.found);
  }
  show('searching the log');
  const searched = await target.oracle.searchLeaks();
  report(leakSummary(searched), searched.found);
}
