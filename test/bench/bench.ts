import { parseArgs } from 'node:util';
import { dim, print } from '../../infra/local/terminal.ts';
import { efforts, parts, runBenchmark, usualParts, type Effort, type Part } from './benchmark.ts';
import { reportOf } from './report.ts';

const help = `npm run bench -- [options]    our functions, as CDK builds them, beside a peer of the same purpose

  --quick         fewer runs: a minute instead of two, and figures that are good for nothing but a look
  --only <parts>  of ${parts.join(', ')}; several with commas between (${usualParts.join(',')})
  --rounds <n>    fresh processes of each contender (21)
  --json          the figures as JSON`;

const values = parse();
if (values.help) {
  print(help);
  process.exit();
}
const only = values.only.split(',').filter(isPart);
if (only.length === 0 || only.length !== values.only.split(',').length) {
  refuse(`--only takes ${parts.join(', ')} or several of them with commas between, not "${values.only}".`);
}
if (values.rounds !== undefined && !/^[1-9]\d{0,3}$/.test(values.rounds)) {
  refuse(`--rounds takes a whole number from 1 to 9999, not "${values.rounds}".`);
}
const chosen: Effort = values.quick ? efforts.quick : efforts.full;
const rounds = values.rounds === undefined ? chosen.rounds : Number(values.rounds);
const startedAt = performance.now();

const figures = await runBenchmark({
  only,
  effort: { ...chosen, rounds },
  ...(process.stderr.isTTY && { onProgress: show }),
});
if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
const seconds = (performance.now() - startedAt) / 1_000;
print(
  values.json
    ? JSON.stringify(figures, undefined, 2)
    : `\n${reportOf(figures)}\n\n${dim(`Measured in ${seconds.toFixed(0)} s.`)}\n`,
);

function parse() {
  try {
    return parseArgs({
      options: {
        quick: { type: 'boolean', default: false },
        only: { type: 'string', default: usualParts.join(',') },
        rounds: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return refuse(`${error instanceof Error ? error.message : String(error)}\n\n${help}`);
  }
}

function isPart(name: string): name is Part {
  return parts.some((part) => part === name);
}

function refuse(complaint: string): never {
  process.stderr.write(`${complaint}\n`);
  process.exit(2);
}

/** On the stream for messages, so that figures can go into a file meanwhile. */
function show(what: string, done: number, of: number): void {
  process.stderr.write(`\r\u001b[K${dim(`${what}  ${done}/${of}`)}`);
}
