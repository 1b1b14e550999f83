import { parseOptions as parseArguments, UsageError } from '../command.ts';
import { isOrigin } from '../../../functions/model/origin.ts';
import { queueMaxReceiveCount, queueVisibilityMs } from '../../../functions/model/timing.ts';
import type { Where } from './target.ts';

export type Options = {
  manifestFile: string;
  /** Nothing is sent: only the manifest is checked and, if `where` names a stage, the tenants' secrets. */
  check: boolean;
  /** Undefined only for a check. */
  where: Where | undefined;
  /** Tenants per second, and imports. */
  rate: number;
  importRate: number;
  timeoutMs: number;
  skipBad: boolean;
};

/**
 * The service processes fifty tenants at once, a second or two each: at ten per second the queue stays short, so that
 * outcomes show within seconds, and Cloud Elements' rate limits are not reached.
 */
const defaultRate = 10;
const maxRate = 1_000;
/** API Gateway's limit for the route: it answers the rest with 429. */
const defaultImportRate = 2;

/** After this time the queue has given an event up. */
const defaultTimeoutS = (queueMaxReceiveCount * queueVisibilityMs) / 1_000;

export const help = `Onboards the tenants of a manifest that are not active yet.

  npm run onboard -- <manifest.csv | manifest.jsonl> --stage <stage> [options]

Target, one of
  --local              the stack of npm start on this machine (PORT, if it was started with another)
  --stage <stage>      a deployed stage, by the outputs of its CloudFormation stack
  --bus <name> --table <name>
                       both by name; for imports also --api <url>

A row with an instanceId is an import: the instance exists at Cloud Elements, and the tenant gets it as it is. Such rows
are sent to the API, whose route for imports is a permission of its own. npm run discover lists instances to import.

Options
  --check              send nothing, only check the manifest (needs no AWS account); with --stage or --local
                       also check that each tenant's secret exists
  --skip-bad           send the good rows; bad ones go into the file of failed rows
  --rate <n>           tenants per second (default ${defaultRate}, and ${defaultImportRate} imports)
  --timeout <s>        seconds to wait for a row's outcome (default ${defaultTimeoutS}: the queue's ten deliveries)

Exit status: 0 all active, or no faults found by --check · 1 rows failed, are bad or without an outcome · 2 nothing was
sent: wrong manifest, secrets or command line · 3 stopped: a call to AWS failed · 130 interrupted. After 3 and 130 run
the same command again: it skips active tenants, and an event that is sent twice creates no second instance.
`;

/** @throws UsageError */
export function parseOptions(args: readonly string[], environment: NodeJS.ProcessEnv): Options {
  const { values, positionals } = parse(args);
  const [manifestFile, ...more] = positionals;
  if (manifestFile === undefined || more.length > 0) {
    throw new UsageError(`Expected the file name of one manifest, got ${positionals.length}.`);
  }
  const where = whereOf(values, environment);
  if (!where && !values.check) {
    throw new UsageError('Expected one of --local, --stage <stage>, or --bus <name> and --table <name>.');
  }
  const rate = positive('--rate', values.rate, maxRate);
  return {
    manifestFile,
    check: values.check,
    where,
    rate: rate ?? defaultRate,
    importRate: rate ?? defaultImportRate,
    timeoutMs: (positive('--timeout', values.timeout) ?? defaultTimeoutS) * 1_000,
    skipBad: values['skip-bad'],
  };
}

function parse(args: readonly string[]) {
  return parseArguments({
    args: [...args],
    allowPositionals: true,
    options: {
      local: { type: 'boolean', default: false },
      stage: { type: 'string' },
      bus: { type: 'string' },
      table: { type: 'string' },
      api: { type: 'string' },
      rate: { type: 'string' },
      timeout: { type: 'string' },
      check: { type: 'boolean', default: false },
      'skip-bad': { type: 'boolean', default: false },
    },
  });
}

function whereOf(
  { local, stage, bus, table, api }: ReturnType<typeof parse>['values'],
  environment: NodeJS.ProcessEnv,
): Where | undefined {
  const ways = [
    ...(local ? ['--local'] : []),
    ...(stage === undefined ? [] : ['--stage']),
    ...(bus === undefined && table === undefined ? [] : ['--bus with --table']),
  ];
  if (ways.length > 1)
    throw new UsageError(`${ways.join(' and ')} name different targets: give one of them.`);
  if (api !== undefined && (bus === undefined || !isOrigin(URL.parse(api)?.origin ?? ''))) {
    throw new UsageError('Expected --api to be an https URL, beside --bus and --table.');
  }
  if (local) return { localPort: positive('PORT', environment['PORT'], 65_531) ?? 8_080 };
  if (stage !== undefined) return { stage };
  if (bus !== undefined && table !== undefined) return { busName: bus, tableName: table, apiUrl: api };
  if (bus !== undefined || table !== undefined)
    throw new UsageError('--bus and --table go together: give both.');
  return undefined;
}

function positive(name: string, text: string | undefined, max = Number.MAX_SAFE_INTEGER): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value > 0 && value <= max) return value;
  const range = max === Number.MAX_SAFE_INTEGER ? 'above 0' : `above 0 and at most ${max}`;
  throw new UsageError(`Expected ${name} to be a number ${range}, got "${text}".`);
}
