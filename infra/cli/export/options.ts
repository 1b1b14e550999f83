import { parseOptions as parseArguments, UsageError } from '../command.ts';
import { portOf } from '../trust/options.ts';

export type Options = {
  where: { stage: string } | { localPort: number };
  json: boolean;
  withTokens: boolean;
};

export const help = `Writes every instance with its tenant, element, id, name, tags and status, as CSV. It changes nothing.

  npm run -s export -- --stage <stage> [options] > instances.csv

Target, one of
  --stage <stage>   a deployed stage, by the outputs of its CloudFormation stack
  --local           the stack of npm start on this machine (PORT, if it was started with another)

Options
  --json            one JSON object per line, each value unchanged
  --with-tokens     also the element tokens, in clear text. They come from the API's token route: it needs that permission
                    and logs each read. Refused on a terminal

In CSV, a cell that a spreadsheet would take for a formula has a ' before it; a program reads --json.

Leaving: the instances work without this service, with the same ids and tokens. Never send a DELETE, which removes them.
Export the instances and destroy the stack. Then take the markers off: replace the tags of each instance at Cloud
Elements by those that do not begin with tenant:, provision: or owner:

  curl -X PATCH <base URL>/elements/api-v2/instances/<instanceId> -H 'content-type: application/json' \\
    -H @<file with the authorization header> -d '{"tags": [<its other tags>]}'

infra/cli/README.md has the commands for all instances of an export.

Exit status: 0 every instance was written · 1 a row could not be read, or a token; stderr names it · 2 wrong command line
· 3 a call to AWS failed, run the command again.
`;

/** @throws UsageError */
export function parseOptions(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  { isTerminal }: { isTerminal: boolean },
): Options {
  const { values } = parseArguments({
    args: [...args],
    options: {
      stage: { type: 'string' },
      local: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      'with-tokens': { type: 'boolean', default: false },
    },
  });
  const { stage, local, json, 'with-tokens': withTokens } = values;
  if (local === (stage !== undefined)) throw new UsageError('Expected one of --stage <stage> and --local.');
  if (withTokens && isTerminal) {
    throw new UsageError('--with-tokens does not write tokens to a terminal: send the output to a file.');
  }
  return {
    where: stage === undefined ? { localPort: portOf(environment['PORT']) } : { stage },
    json,
    withTokens,
  };
}
