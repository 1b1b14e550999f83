import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import {
  createCloudElementsCaller,
  describe,
  isAbsent,
  isSuccess,
} from '../../../functions/adapters/cloud-elements-http.ts';
import { createPlatformCredentials } from '../../../functions/adapters/secrets.ts';
import { builtInElements } from '../../../functions/model/built-in-elements.ts';
import type { Elements } from '../../../functions/model/elements.ts';
import { environmentOfElements } from '../../elements.ts';
import { plain } from '../../plain-text.ts';
import { commandLine } from '../command.ts';
import { requestHandler, TargetError } from '../onboard/target.ts';
import { platformOf } from '../platform.ts';
import { bad } from '../terminal.ts';
import { requirementsIn } from './entry.ts';
import { help, parseOptions, type Options } from './options.ts';

/** `npm run requirements`: prints an element's entry for `cdk.json`. See `--help`. */

const timeoutMs = 20_000;

const chosen = commandLine(help, (args) => parseOptions(args, process.env));

process.exitCode = await main(chosen).catch((error: unknown) => {
  if (error instanceof TargetError) return refuse(error.message, 3);
  throw error;
});

async function main({ elementKey, where }: Options): Promise<number> {
  const { baseUrl, secretId, settings } = await platformOf(where);
  const client = new SecretsManagerClient({ ...settings, requestHandler });
  const call = createCloudElementsCaller({
    baseUrl,
    credentials: createPlatformCredentials({ client, secretId }),
  });
  const result = await call({ method: 'GET', path: `/elements/${elementKey}/configuration` }, { timeoutMs });
  client.destroy();
  if (isAbsent(result)) return refuse(`Cloud Elements at ${baseUrl} has no element ${elementKey}.`, 1);
  const found = isSuccess(result) ? requirementsIn(result.json) : undefined;
  if (!found) return refuse(`Cloud Elements at ${baseUrl} shows no requirements: ${describe(result)}`, 3);
  const elements = { [elementKey]: found.element };
  const fault = faultOf(elements);
  if (fault !== undefined) return refuse(`The requirements of ${elementKey} make no entry. ${fault}`, 3);
  process.stdout.write(`${JSON.stringify(elements, undefined, 2)}\n`);
  const isBuiltIn = Object.hasOwn(builtInElements, elementKey);
  const advice = [
    ...(isBuiltIn
      ? [`${elementKey} comes with this service: an entry in cdk.json replaces only the fields in it.`]
      : []),
    ...found.advice,
  ];
  for (const line of advice) process.stderr.write(`${plain(line)}\n`);
  return 0;
}

/** Checks the entry by the rules for cdk.json, so that it can be pasted. */
function faultOf(elements: Elements): string | undefined {
  try {
    environmentOfElements(elements);
    return undefined;
  } catch (error) {
    if (error instanceof TypeError) return error.message;
    throw error;
  }
}

function refuse(message: string, exitStatus: number): number {
  process.stderr.write(`${bad(plain(message))}\n`);
  return exitStatus;
}
