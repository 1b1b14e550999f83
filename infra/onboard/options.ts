import { parseArgs } from 'node:util';
import { queueMaxReceiveCount, queueVisibilityMs } from '../../functions/core/timing.ts';
import type { Where } from './target.ts';

export type Options = {
  manifestFile: string;
  /** Undefined: the manifest is only checked. */
  where: Where | undefined;
  rate: number;
  timeoutMs: number;
  doubtMs: number;
  skipBad: boolean;
  retryFailed: boolean;
  journalFile: string;
};

/** The command line is wrong; the message says how. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/**
 * The service works fifty tenants at once, a second or two each: at ten per second the queue stays short, so that
 * outcomes show within seconds, and Cloud Elements is not pressed for more than its limits allow.
 */
const defaultRate = 10;
const maxRate = 1_000;

/** After that the queue has given an event up. */
const defaultTimeoutS = (queueMaxReceiveCount * queueVisibilityMs) / 1_000;

/** From PutEvents to the row in the table it takes a second or two; a cold start and a busy minute are on top. */
const defaultDoubtS = 60;

export const help = `Onboards the tenants of a manifest, each of them once.

  npm run onboard -- <manifest.csv | manifest.jsonl> --stage <stage> [options]

Where to; one of
  --local              the stack of npm start on this machine (PORT, if it was started with another)
  --stage <stage>      a deployed stage, by the outputs of its CloudFormation stack
  --bus <name> --table <name>
                       both by name

Options
  --check              only check the manifest; nothing is sent, and no account is needed
  --skip-bad           send the good rows although there are bad ones, which go into the file of failed rows
  --rate <n>           tenants per second (default ${defaultRate})
  --timeout <s>        seconds to wait for a row's outcome (default ${defaultTimeoutS}: the queue's ten deliveries)
  --retry-failed       ask again for the rows that failed before
  --doubt <s>          seconds to look for signs of a row whose sending was cut off, before it is sent again
                       (default ${defaultDoubtS})
  --journal <file>     what has been done so far (default <manifest>.journal)

Exit status: 0 all active · 1 rows failed, are bad or without an outcome · 2 nothing was sent: manifest or command line
wrong · 3 stopped: AWS cannot be worked with · 130 interrupted. After 3 and 130 the same command goes on.
`;

/** @throws UsageError */
export function parseOptions(args: readonly string[], environment: NodeJS.ProcessEnv): Options | 'help' {
  const { values, positionals } = parse(args);
  if (values.help) return 'help';
  const [manifestFile, ...more] = positionals;
  if (manifestFile === undefined || more.length > 0) throw new UsageError('Name one manifest.');
  return {
    manifestFile,
    where: values.check ? undefined : whereOf(values, environment),
    rate: positive('rate', values.rate, maxRate) ?? defaultRate,
    timeoutMs: (positive('timeout', values.timeout) ?? defaultTimeoutS) * 1_000,
    doubtMs: (positive('doubt', values.doubt) ?? defaultDoubtS) * 1_000,
    skipBad: values['skip-bad'],
    retryFailed: values['retry-failed'],
    journalFile: values.journal ?? `${manifestFile}.journal`,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        local: { type: 'boolean', default: false },
        stage: { type: 'string' },
        bus: { type: 'string' },
        table: { type: 'string' },
        rate: { type: 'string' },
        timeout: { type: 'string' },
        doubt: { type: 'string' },
        journal: { type: 'string' },
        check: { type: 'boolean', default: false },
        'skip-bad': { type: 'boolean', default: false },
        'retry-failed': { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function whereOf(
  { local, stage, bus, table }: ReturnType<typeof parse>['values'],
  environment: NodeJS.ProcessEnv,
): Where {
  const ways = [local, stage !== undefined, bus !== undefined || table !== undefined].filter(Boolean).length;
  if (ways === 1) {
    if (local) return { localPort: positive('PORT', environment['PORT'], 65_532) ?? 8_080 };
    if (stage !== undefined) return { stage };
    if (bus !== undefined && table !== undefined) return { busName: bus, tableName: table };
  }
  throw new UsageError('Say where to: --local, --stage <stage>, or --bus <name> and --table <name>.');
}

function positive(name: string, text: string | undefined, max = Number.MAX_SAFE_INTEGER): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value > 0 && value <= max) return value;
  const range = max === Number.MAX_SAFE_INTEGER ? 'above 0' : `above 0 and at most ${max}`;
  throw new UsageError(`${name} is to be a number ${range}, not "${text}".`);
}
