import { tenantIdSchema } from '../../../functions/model/instance.ts';
import { openTooLongMs } from '../../../functions/model/timing.ts';
import { parseOptions as parseArguments, UsageError, wholeNumber } from '../command.ts';
import { portOf } from '../trust/options.ts';

export type Where = { stage: string } | { localPort: number };

export type Options = {
  where: Where;
  /** Undefined: all tenants. */
  tenantId: string | undefined;
  /** Instances that are listed per kind of trouble, at most. */
  limit: number;
  json: boolean;
};

const defaultLimit = 20;

export const help = `Shows how all tenants are doing, or one of them. It changes nothing.

  npm run status -- --stage <stage> [options] [tenant]

All tenants: counts, the oldest open instance, dead letters and the last audit; then the instances that failed, are
unhealthy, unreadable or open, those that have waited longest first, each with the reason and since when.
One tenant: its instances, the query for its last log lines, and what to do next.

Target, one of
  --stage <stage>   a deployed stage, by the outputs of its CloudFormation stack
  --local           the stack of npm start on this machine (PORT, if it was started with another)

Options
  --limit <n>       list at most this many instances of each kind (default ${defaultLimit})
  --json            one JSON object

Exit status: 0 nothing to do · 1 look at it: an instance that failed, is unhealthy, unreadable or open for more than
${openTooLongMs / 60_000} minutes, a dead letter, a finding of the last audit or no audit for two days; of one tenant: the same, or it has no
instance · 2 wrong command line · 3 a call to AWS failed, run the command again.
`;

/** @throws UsageError */
export function parseOptions(args: readonly string[], environment: NodeJS.ProcessEnv): Options {
  const { values, positionals } = parseArguments({
    args: [...args],
    allowPositionals: true,
    options: {
      stage: { type: 'string' },
      local: { type: 'boolean', default: false },
      limit: { type: 'string', default: String(defaultLimit) },
      json: { type: 'boolean', default: false },
    },
  });
  const { stage, local, limit, json } = values;
  const [tenantId, ...more] = positionals;
  if (more.length > 0) throw new UsageError(`Expected at most one tenant, got ${positionals.length}.`);
  if (tenantId !== undefined && !tenantIdSchema.safeParse(tenantId).success) {
    throw new UsageError(`Expected the id of a tenant, got "${tenantId}".`);
  }
  if (local === (stage !== undefined)) throw new UsageError('Expected one of --stage <stage> and --local.');
  return {
    where: stage === undefined ? { localPort: portOf(environment['PORT']) } : { stage },
    tenantId,
    limit: wholeNumber('limit', limit, { from: 1, to: 10_000 }),
    json,
  };
}
