import { parseArgs } from 'node:util';
import { bold, dim, print } from '../../infra/local/terminal.ts';
import { decode } from './choices.ts';
import { exploreAll, exploreAtRandom, type Explored } from './exploring.ts';
import { narrate, replay } from './finding.ts';
import { callers, largeBounds, scenarioOf, smallBounds } from './scenarios.ts';

/**
 * `npm run explore`: schedules at random. With `--all` every schedule of the bounded scenarios (minutes), with
 * `--replay <string>` one schedule that was found. `--only <scenario>`, `--count` and `--seed` as one likes.
 */
const { values: asked } = parseArgs({
  options: {
    all: { type: 'boolean', default: false },
    replay: { type: 'string' },
    only: { type: 'string' },
    count: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
  },
});

const isChosen = ({ name }: { name: string }): boolean => asked.only === undefined || name === asked.only;

if (asked.replay !== undefined) {
  await retell(asked.replay);
} else if (asked.all) {
  for (const scenario of [...smallBounds, callers].filter(isChosen)) {
    await report(scenario.name, 'every schedule', (onProgress) => exploreAll(scenario, { onProgress }));
  }
} else {
  const seed = Number(asked.seed);
  const chosen = largeBounds.filter(isChosen);
  const count = Math.ceil(Number(asked.count) / chosen.length);
  for (const scenario of chosen) {
    await report(scenario.name, `at random, seed ${seed}`, (onProgress) =>
      exploreAtRandom(scenario, { seed, count, onProgress }),
    );
  }
}

async function retell(text: string): Promise<void> {
  const [name = '', choices = ''] = text.split(':');
  const scenario = scenarioOf(name);
  if (!scenario) throw new RangeError(`There is no scenario "${name}".`);
  const { violation = 'Nothing is wrong with it.', steps } = await replay(scenario, decode(choices));
  print(narrate({ replay: text, violation, steps }));
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
