import { parseArgs, type ParseArgsConfig } from 'node:util';
import { print } from './terminal.ts';
import { plain } from '../plain-text.ts';

/** Command-line handling that all commands of this project share. */

/** The command line is wrong; the message says how, in one line. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/**
 * Reads the command line of a program. `--help` prints `help` and ends the program. Wrong options are one line on
 * stderr and status 2.
 *
 * A closed output (`npm run contract | head`) is not an error. It ends a program whose only work is its output; one that
 * `changesThings` goes on in silence.
 * @param read throws UsageError
 */
export function commandLine<Options>(
  help: string,
  read: (args: string[]) => Options,
  { changesThings = false } = {},
): Options {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error) => {
      if (!('code' in error) || error.code !== 'EPIPE') throw error;
      if (!changesThings) process.exit();
    });
  }
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    print(help.trim());
    process.exit(0);
  }
  try {
    return read(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${plain(error.message)} --help lists the options.\n`);
    process.exit(2);
  }
}

/** `parseArgs` of `node:util`, with messages cut to their first sentence. @throws UsageError */
export function parseOptions<const Config extends ParseArgsConfig>(
  config: Config,
): ReturnType<typeof parseArgs<Config>> {
  try {
    return parseArgs(config);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new UsageError(`${message.replace(/\.\s.*$/s, '')}.`);
  }
}

/** @throws UsageError */
export function wholeNumber(option: string, text: string, { from = 0, to = 999_999_999 } = {}): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= from && value <= to) return value;
  throw new UsageError(`Expected --${option} to be a whole number from ${from} to ${to}, got "${text}".`);
}
