import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { text } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import type { OpenSite } from '../workshop.ts';

export type CommandRun = { seconds: number; peakBytes: number; stdout: string };

/** As `infra/with-node.js` has them. */
const flags = ['--max-semi-space-size=8', '--heap-growing-percent=50'];

const meter = new URL('../measured/command.ts', import.meta.url).href;

/**
 * Runs a command as `npm run` does, on the servers of the site.
 * @param program below `infra/cli/`
 */
export async function runCommand(
  site: OpenSite,
  program: string,
  args: readonly string[],
): Promise<CommandRun> {
  const file = fileURLToPath(new URL(`../../../../infra/cli/${program}`, import.meta.url));
  const startedAt = performance.now();
  const child = spawn(process.execPath, [...flags, '--import', meter, file, ...args, '--local'], {
    env: { PATH: process.env['PATH'], PORT: String(site.port) },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const closed = once(child, 'close');
  const [stdout = '', stderr = '', peak = ''] = await Promise.all(
    [child.stdout, child.stderr, child.stdio[3]].map(async (stream) =>
      stream instanceof Readable ? text(stream) : '',
    ),
  );
  await closed;
  if (child.exitCode !== 0) throw new Error(`${program} ended with ${child.exitCode}: ${stdout}${stderr}`);
  return { seconds: (performance.now() - startedAt) / 1_000, peakBytes: Number(peak), stdout };
}
