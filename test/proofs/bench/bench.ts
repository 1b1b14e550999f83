import { commandLine, parseOptions, UsageError, wholeNumber } from '../../../infra/cli/command.ts';
import { dim, print } from '../../../infra/cli/terminal.ts';
import { efforts, parts, runBenchmark, usualParts, type Effort, type Part } from './benchmark.ts';
import { reportOf } from './report.ts';

const help = `npm run bench -- [options]    our functions, as CDK builds them, beside a peer of the same purpose

  --quick         fewer runs, for rough figures only: a minute instead of two; scale without 100,000 tenants
  --only <parts>  of ${parts.join(', ')}; several with commas between (${usualParts.join(',')})
  --rounds <n>    fresh processes of each contender (21)
  --tenants <n>   tenants of scale; several numbers with commas between (1000,10000,100000)
  --json          the figures as JSON

Exit status: 0 measured · 1 a function failed · 2 command line wrong.`;

const { only, effort, json } = commandLine(help, (args) => {
  const { values } = parseOptions({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: usualParts.join(',') },
      rounds: { type: 'string' },
      tenants: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  const named = values.only.split(',');
  const chosenParts = named.filter(isPart);
  if (chosenParts.length < named.length) {
    throw new UsageError(
      `Expected --only to be ${parts.join(', ')} or several of them with commas between, got "${values.only}".`,
    );
  }
  const chosen: Effort = values.quick ? efforts.quick : efforts.full;
  const rounds =
    values.rounds === undefined
      ? chosen.rounds
      : wholeNumber('rounds', values.rounds, { from: 1, to: 9_999 });
  const tenants = values.tenants
    ?.split(',')
    .map((number) => wholeNumber('tenants', number, { from: 1, to: 1_000_000 }));
  const scale = { ...chosen.scale, ...(tenants && { tenants }) };
  return { only: chosenParts, effort: { ...chosen, rounds, scale }, json: values.json };
});
const startedAt = performance.now();

const figures = await runBenchmark({
  only,
  effort,
  ...(process.stderr.isTTY && { onProgress: show }),
});
if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
const seconds = (performance.now() - startedAt) / 1_000;
print(
  json
    ? JSON.stringify(figures, undefined, 2)
    : `\n${reportOf(figures)}\n\n${dim(`Measured in ${seconds.toFixed(0)} s.`)}\n`,
);

function isPart(name: string): name is Part {
  return parts.some((part) => part === name);
}

/** Written to stderr, so that stdout can be redirected. */
function show(what: string, done: number, of: number): void {
  process.stderr.write(`\r\u001b[K${dim(`${what}  ${done}/${of}`)}`);
}
