import { isOrigin } from '../../../functions/model/origin.ts';
import { elementKeySchema } from '../../../functions/model/instance.ts';
import { parseOptions as parseArguments, UsageError } from '../command.ts';
import { portOf } from '../trust/options.ts';

export type Options = {
  elementKey: string;
  where: { stage: string; baseUrl: string | undefined } | { localPort: number };
};

export const help = `Prints an element's entry for "elements" in cdk.json, from the requirements that Cloud Elements shows.

  npm run -s requirements -- <element key> --stage <stage>

The entry goes to standard output, as JSON. What it leaves open goes to standard error: entries that may decide where a
tenant's credentials are sent are in no list until you add them. Default values are not repeated.

Target, one of
  --stage <stage>   a deployed stage: its platform secret, and the base URL of its entry in cdk.json
  --local           the stack of npm start on this machine (PORT, if it was started with another)

Options
  --base-url <url>  with --stage: another base URL, https://api.cloud-elements.com for example

Exit status: 0 printed · 1 Cloud Elements has no such element · 2 wrong command line or cdk.json · 3 a call to AWS or to Cloud
Elements failed, run the command again.
`;

/** @throws UsageError */
export function parseOptions(args: readonly string[], environment: NodeJS.ProcessEnv): Options {
  const { values, positionals } = parseArguments({
    args: [...args],
    allowPositionals: true,
    options: {
      stage: { type: 'string' },
      local: { type: 'boolean', default: false },
      'base-url': { type: 'string' },
    },
  });
  const { stage, local, 'base-url': baseUrl } = values;
  const [elementKey, ...more] = positionals;
  if (elementKey === undefined || more.length > 0) {
    throw new UsageError(`Expected the key of one element, got ${positionals.length}.`);
  }
  if (!elementKeySchema.safeParse(elementKey).success) {
    throw new UsageError('Expected the key of an element as Cloud Elements writes it, such as freshdeskv2.');
  }
  if (local === (stage !== undefined)) throw new UsageError('Expected one of --stage <stage> and --local.');
  if (baseUrl !== undefined && (local || !isOrigin(baseUrl))) {
    throw new UsageError('Expected --base-url with --stage, and the origin of Cloud Elements in it.');
  }
  const where = stage === undefined ? { localPort: portOf(environment['PORT']) } : { stage, baseUrl };
  return { elementKey, where };
}
