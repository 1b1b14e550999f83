import { elementKeySchema } from '../../../functions/model/instance.ts';
import { parseOptions as parseArguments, UsageError } from '../command.ts';
import { portOf } from '../trust/options.ts';

export type Options = {
  elementKey: string;
  where: { stage: string } | { localPort: number };
};

export const help = `Prints an element's entry for "elements" in cdk.json, from the requirements that Cloud Elements shows.

  npm run -s requirements -- <element key> --stage <stage>

The entry goes to standard output, as JSON. What it leaves open goes to standard error: entries that may decide where a
tenant's credentials are sent are in no list until you add them. Default values are not repeated.

Target, one of
  --stage <stage>   a deployed stage: its platform secret and its base URL
  --local           the stack of npm start on this machine (PORT, if it was started with another)

Exit status: 0 printed · 1 Cloud Elements has no such element · 2 wrong command line · 3 a call to AWS or to Cloud Elements
failed, run the command again.
`;

/** @throws UsageError */
export function parseOptions(args: readonly string[], environment: NodeJS.ProcessEnv): Options {
  const { values, positionals } = parseArguments({
    args: [...args],
    allowPositionals: true,
    options: {
      stage: { type: 'string' },
      local: { type: 'boolean', default: false },
    },
  });
  const { stage, local } = values;
  const [elementKey, ...more] = positionals;
  if (elementKey === undefined || more.length > 0) {
    throw new UsageError(`Expected the key of one element, got ${positionals.length}.`);
  }
  if (!elementKeySchema.safeParse(elementKey).success) {
    throw new UsageError('Expected the key of an element as Cloud Elements writes it, such as freshdeskv2.');
  }
  if (local === (stage !== undefined)) throw new UsageError('Expected one of --stage <stage> and --local.');
  const where = stage === undefined ? { localPort: portOf(environment['PORT']) } : { stage };
  return { elementKey, where };
}
