import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { commandLine, parseOptions, wholeNumber } from '../../../infra/cli/command.ts';
import { bad, bold, dim, good, print } from '../../../infra/cli/terminal.ts';
import { cdk } from '../../service/deployed/cdk.ts';
import { startDeployedStack } from '../../service/deployed/deployed-stack.ts';
import { endpointOrExit, environment } from '../../service/deployed/endpoint.ts';
import { createLeakSearch } from '../../support/leak-search.ts';
import { serviceOf, type ReceivedResponse } from '../../support/running-service.ts';
import { burst } from './burst.ts';
import { drawPlatformSecret } from './disturbances.ts';
import { fuzz } from './fuzz.ts';
import { maxReceiveCount, onboard, visibilityTimeoutMs } from './onboarding.ts';
import { burstSummary, fuzzSummary, leakSummary, onboardingSummary } from './summary.ts';

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

/** Rows of killed claims are settled three to four minutes later, so this limit after the load is enough. */
const restLimitMs = 15 * 60_000;

const runId = randomBytes(4).toString('hex');
/** Part of every credential that is sent: a text that contains a piece of it contains a secret. */
const marker = randomBytes(12).toString('hex');
let plantedCount = 0;
const plant = () => `${marker}-${++plantedCount}`;

const leaks = createLeakSearch();
leaks.plant('a planted credential', marker);
let secretsCount = 0;
function plantSecret(what: string, secret: string, options?: { step: number }): void {
  leaks.plant(what, secret, options);
  secretsCount += 1;
}

const responses: string[] = [];
function checkResponse({ status, headers, text }: ReceivedResponse, isToken: boolean): void {
  responses.push(`${status} ${JSON.stringify(headers)} ${isToken && status === 200 ? '' : text}`);
}

const found: string[] = [];
function report(summary: string, findings: Record<string, readonly string[]>): void {
  if (process.stdout.isTTY) process.stdout.write('\r\u001b[K');
  print(`\n${summary}`);
  found.push(...Object.values(findings).flat());
}

function show(progress: string): void {
  if (process.stdout.isTTY) process.stdout.write(`\r\u001b[K${dim(progress)}`);
}

const startSecrets = drawPlatformSecret();
for (const [what, secret] of Object.entries(startSecrets)) plantSecret(`the ${what} at the start`, secret);

print(`\n${bold('Deploying to')} ${endpoint}`);
// In a directory without an app, so that none is synthesized.
await cdk(['bootstrap', `aws://000000000000/${environment.AWS_REGION}`], { directory: tmpdir() });
const stack = await startDeployedStack(
  { queue: { visibilityTimeoutMs, maxReceiveCount }, platformSecret: startSecrets },
  { ...(chosen.directory !== undefined && { directory: chosen.directory }) },
);
stack.simulator.rotateSecrets(startSecrets);
const limit = new AbortController();
try {
  await Promise.race([runAll(), runOut()]);
} catch (error) {
  found.push(String(error));
  process.stderr.write(`\n${error instanceof Error ? error.message : String(error)}\n`);
} finally {
  limit.abort();
  await stack.stop();
}
print(
  found.length === 0
    ? `\n${good(bold('Nothing lost, duplicated or leaked, no crash.'))}`
    : `\n${bad(bold('That is wrong.'))}`,
);
// Requests that have timed out may still be running.
process.exit(found.length === 0 ? 0 : 1);

async function runOut(): Promise<never> {
  await setTimeout(limitMs, undefined, { signal: limit.signal });
  throw new Error(
    `Not done after ${limitMs / 60_000} minutes (--limit-minutes); the findings so far are above.`,
  );
}

async function runAll(): Promise<void> {
  const service = serviceOf(stack);
  const target = { stack, service };
  const common = { runId, plant, restLimitMs, show };
  const { simulator } = stack;

  if (events > 0) {
    const onboarding = await onboard(target, {
      ...common,
      events,
      seed,
      plantPlatformSecret: (what, secret) => plantSecret(what, secret),
    });
    report(onboardingSummary(onboarding), onboarding.found);
  }

  // The tokens of removed instances must not be in a log either.
  const tokens = new Map<number, string>();
  function rememberTokens(): void {
    for (const { id, token } of simulator.instances.toReversed()) {
      if (tokens.has(id)) break;
      tokens.set(id, token);
    }
  }
  simulator.faultFor = () => {
    rememberTokens();
    return undefined;
  };
  if (requests > 0) {
    const bursting = await burst(target, { ...common, requests, seed: seed + 10, checkResponse });
    report(burstSummary(bursting), bursting.found);
  }
  if (inputs > 0) {
    const fuzzing = await fuzz(target, { ...common, inputs, seed: seed + 20, checkResponse });
    report(fuzzSummary(fuzzing), fuzzing.found);
  }

  show('searching the log');
  rememberTokens();
  for (const [id, token] of tokens) plantSecret(`the token of instance ${id}`, token, { step: 10 });
  const lines = await stack.logs();
  const leaked = { leaks: [...leaks.leaksIn(responses), ...leaks.leaksIn(lines)] };
  const counts = { responses: responses.length, lines: lines.length, secrets: plantedCount + secretsCount };
  report(leakSummary({ ...counts, found: leaked }), leaked);
}
