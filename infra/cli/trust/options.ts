import { parseOptions as parseArguments, UsageError } from '../command.ts';

export type Options = {
  file: string;
  where: { stage: string } | { localPort: number } | { tableName: string };
  /** When the operator checked the instances, ms since the epoch; undefined: nothing is changed. */
  lookedAtMs: number | undefined;
  json: boolean;
};

export const help = `Makes tenants' secrets the source of their instances' configuration, for tenants that you vouch for.

  npm run trust -- <tenants.csv> --stage <stage> [options]

The file is CSV with a header: tenantId and, if it is not taxify, elementKey.

An instance that a request has configured never gets the tenant's secret, because the request may have set the address
that credentials are sent to; nor does one that an earlier version of this service created. Check the configuration of
the instance at Cloud Elements first, above all its addresses: it stays as it is, and the tenant's key is sent to these
addresses from then on. Id and token stay, too. Afterwards, put a new key into the tenant's secret and send it with
PATCH {"configuration":{}}.

Target, one of
  --stage <stage>   a deployed stage, by the outputs of its CloudFormation stack
  --local           the stack of npm start on this machine (PORT, if it was started with another)
  --table <name>    a table by its name

Options
  --yes             make the changes; without it the command only shows them
  --looked-at <t>   with --yes: when you checked the instances, as printed by the run without --yes. An instance that may
                    have been updated since is refused
  --json            one JSON object per tenant, for an audit trail

An instance is refused, and listed with the reason, if it does not exist, is not active, is in use by a request, or if a
request's update of unknown outcome may still take effect. Run the command again for those.

Exit status: 0 all done, or nothing to do · 1 some refused · 2 wrong command line or file, nothing was changed · 3 a call
to AWS failed, run the command again.
`;

/** @throws UsageError */
export function parseOptions(args: readonly string[], environment: NodeJS.ProcessEnv): Options {
  const { values, positionals } = parse(args);
  const [file, ...more] = positionals;
  if (file === undefined || more.length > 0) {
    throw new UsageError(`Expected the name of one file of tenants, got ${positionals.length}.`);
  }
  return { file, where: whereOf(values, environment), lookedAtMs: lookedAtOf(values), json: values.json };
}

function parse(args: readonly string[]) {
  return parseArguments({
    args: [...args],
    allowPositionals: true,
    options: {
      stage: { type: 'string' },
      table: { type: 'string' },
      local: { type: 'boolean', default: false },
      yes: { type: 'boolean', default: false },
      'looked-at': { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
}

function lookedAtOf({ yes, 'looked-at': text }: ReturnType<typeof parse>['values']): number | undefined {
  if (!yes && text === undefined) return undefined;
  const lookedAtMs = text === undefined ? NaN : Date.parse(text);
  if (yes && Number.isFinite(lookedAtMs)) return lookedAtMs;
  throw new UsageError(
    'Expected --yes with --looked-at and the time that the command printed without --yes.',
  );
}

function whereOf(
  { stage, table, local }: ReturnType<typeof parse>['values'],
  environment: NodeJS.ProcessEnv,
): Options['where'] {
  const ways = [
    ...(stage === undefined ? [] : ['--stage']),
    ...(local ? ['--local'] : []),
    ...(table === undefined ? [] : ['--table']),
  ];
  if (ways.length > 1) throw new UsageError(`${ways.join(' and ')} name different tables: give one of them.`);
  if (stage !== undefined) return { stage };
  if (table !== undefined) return { tableName: table };
  if (local) return { localPort: portOf(environment['PORT']) };
  throw new UsageError('Expected one of --stage <stage>, --local and --table <name>.');
}

export function portOf(text = '8080'): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port > 0 && port <= 65_531) return port;
  throw new UsageError(`Expected PORT to be an integer from 1 to 65531, got "${text}".`);
}
