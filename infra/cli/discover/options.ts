import { parseOptions as parseArguments, UsageError } from '../command.ts';
import { portOf } from '../trust/options.ts';

export type Options = { where: { stage: string } | { localPort: number } };

export const help = `Lists the instances at Cloud Elements that no stage of this service owns, as CSV, for an import. It changes nothing.

  npm run -s discover -- --stage <stage> > found.csv

Shows every instance that the platform's user sees and that has no owner: tag: its element, id, name, tags and the date
of its creation, and never a token or a configuration. Fill in the column tenantId, delete the rows that you do not want,
and import the rest:

  npm run onboard -- found.csv --stage <stage>

A cell that a spreadsheet would take for a formula has a ' before it. Of columns after tenantId only elementKey and
instanceId are read again.

Target, one of
  --stage <stage>   a deployed stage, by the outputs of its CloudFormation stack
  --local           the stack of npm start on this machine (PORT, if it was started with another)

Exit status: 0 the list is complete · 1 it is not, stderr says why · 2 wrong command line · 3 nothing could be read: a
call to AWS or to Cloud Elements failed.
`;

/** @throws UsageError */
export function parseOptions(args: readonly string[], environment: NodeJS.ProcessEnv): Options {
  const { values } = parseArguments({
    args: [...args],
    options: { stage: { type: 'string' }, local: { type: 'boolean', default: false } },
  });
  const { stage, local } = values;
  if (local === (stage !== undefined)) throw new UsageError('Expected one of --stage <stage> and --local.');
  return { where: stage === undefined ? { localPort: portOf(environment['PORT']) } : { stage } };
}
