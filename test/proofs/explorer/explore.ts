import { commandLine, parseOptions, UsageError, wholeNumber } from '../../../infra/cli/command.ts';
import { bold, dim, print } from '../../../infra/cli/terminal.ts';
import { decode } from './choices.ts';
import { exploreAll, exploreAtRandom, type Explored } from './exploring.ts';
import { narrate, replay } from './finding.ts';
import { callers, largeBounds, scenarioOf, smallBounds } from './scenarios.ts';

const help = `Explores schedules of the provisioning protocol against a model of the outside world.

  npm run explore -- [options]

Options
  --count <n>        schedules at random (default 100000)
  --seed <n>         repeats the random schedules of this seed
  --all              every schedule of the bounded scenarios instead: minutes
  --only <scenario>  only that scenario: ${[...new Set([...smallBounds, callers, ...largeBounds].map(({ name }) => name))].join(', ')}
  --replay <string>  one schedule that was printed

Exit status: 0 no promise is broken · 1 one is · 2 wrong command line.`;

const options = commandLine(help, (args) => {
  const { values } = parseOptions({
    args,
    options: {
      all: { type: 'boolean', default: false },
      replay: { type: 'string' },
      only: { type: 'string' },
      count: { type: 'string', default: '100000' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    },
  });
  const scenarios = values.all ? [...smallBounds, callers] : largeBounds;
  const chosen = scenarios.filter(({ name }) => values.only === undefined || name === values.only);
  if (chosen.length === 0) {
    const names = scenarios.map(({ name }) => name).join(', ');
    throw new UsageError(`Expected --only to be one of ${names}, got "${values.only}".`);
  }
  return {
    chosen,
    all: values.all,
    replay: values.replay === undefined ? undefined : replayOf(values.replay),
    count: wholeNumber('count', values.count, { from: 1 }),
    seed: wholeNumber('seed', values.seed),
  };
});

function replayOf(text: string) {
  const [name = '', choices = ''] = text.split(':');
  const scenario = scenarioOf(name);
  if (!scenario)
    throw new UsageError(`Expected --replay to begin with the name of a scenario, got "${name}".`);
  try {
    return { text, scenario, choices: decode(choices) };
  } catch {
    throw new UsageError(`Expected --replay to be a schedule that was printed, got "${text}".`);
  }
}

if (options.replay) {
  const { text, scenario, choices } = options.replay;
  const { violation = 'No violation.', steps } = await replay(scenario, choices);
  print(narrate({ replay: text, violation, steps }));
} else if (options.all) {
  for (const scenario of options.chosen) {
    await report(scenario.name, 'every schedule', (onProgress) => exploreAll(scenario, { onProgress }));
  }
} else {
  const { seed, chosen } = options;
  const count = Math.ceil(options.count / chosen.length);
  for (const scenario of chosen) {
    await report(scenario.name, `at random, seed ${seed}`, (onProgress) =>
      exploreAtRandom(scenario, { seed, count, onProgress }),
    );
  }
}

async function report(
  name: string,
  how: string,
  explore: (onProgress: (schedules: number) => void) => Promise<Explored>,
): Promise<void> {
  const startedAt = performance.now();
  const rate = (schedules: number) => Math.round((schedules / (performance.now() - startedAt)) * 1_000);
  const { schedules, finding } = await explore((done) => {
    if (process.stdout.isTTY && done % 500 === 0) {
      process.stdout.write(`\r${name}: ${done} schedules, ${rate(done)} a second`);
    }
  });
  if (process.stdout.isTTY) process.stdout.write('\r\u001B[K');
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  const figures = dim(`${how}; ${seconds} s, ${rate(schedules)} a second`);
  print(`${bold(name)}: ${schedules} schedules, ${finding ? 'one violation' : 'no violation'} ${figures}`);
  if (!finding) return;
  print(narrate(finding));
  process.exitCode = 1;
}
