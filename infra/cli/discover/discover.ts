import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { createCloudElements } from '../../../functions/adapters/cloud-elements.ts';
import { createCloudElementsCaller } from '../../../functions/adapters/cloud-elements-http.ts';
import { createPlatformCredentials, type PlatformCredentials } from '../../../functions/adapters/secrets.ts';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { plain } from '../../plain-text.ts';
import { commandLine } from '../command.ts';
import { csvOf, tagsCell } from '../csv.ts';
import { counted, number } from '../onboard/progress.ts';
import { requestHandler, TargetError } from '../onboard/target.ts';
import { platformOf } from '../platform.ts';
import { bad } from '../terminal.ts';
import { help, parseOptions, type Options } from './options.ts';
import { discover, type FreeInstance } from './walk.ts';

/** `npm run discover`: lists the instances at Cloud Elements that no stage owns. See `--help`. */

const columns = ['tenantId', 'elementKey', 'instanceId', 'name', 'tags', 'createdDate'];

const chosen = commandLine(help, (args) => parseOptions(args, process.env));

process.exitCode = await main(chosen).catch((error: unknown) => {
  if (error instanceof TargetError) return refuse(error.message);
  if (error instanceof OnboardingError) {
    const { cause } = error.facts;
    return refuse(`${error.message}${cause ? ` (${cause.name}: ${cause.message})` : ''}`);
  }
  throw error;
});

async function main({ where }: Options): Promise<number> {
  const { baseUrl, secretId, settings } = await platformOf(where);
  const client = new SecretsManagerClient({ ...settings, requestHandler, maxAttempts: 8 });
  try {
    const credentials = createPlatformCredentials({ client, secretId });
    const used = await credentials.get();
    let isRefused = false;
    const call = createCloudElementsCaller({
      baseUrl,
      credentials,
      onCall: ({ outcome }) => {
        isRefused = outcome === 'credentials-rejected';
      },
    });
    const { free, total, silent, gaps } = await discover({
      cloudElements: createCloudElements({ call, catalog: builtInCatalog }),
      isFinal: () => isRefused,
      onProgress: showProgress,
    });
    hideProgress();
    if (isRefused && gaps.length > 0) gaps.push(`correct the platform secret ${secretId}`);
    if (total === 0 && gaps.length > 0) {
      return refuse(`The list of instances at ${baseUrl} could not be read: ${gaps.join('; ')}.`);
    }
    write(csvOf([columns, ...free.map((instance) => cellsOf(instance, used))]));
    say(
      `${counted(total, 'instance')} at ${baseUrl}: ${number(free.length)} without an owner, in the output.`,
    );
    if (silent > 0) {
      say(
        `${number(silent)} of these show no tags field, so they may have an owner: an import refuses them.`,
      );
    }
    if (gaps.length === 0) say('The list is complete.');
    else process.stderr.write(`${bad(plain(`The list is not complete: ${gaps.join('; ')}.`))}\n`);
    return gaps.length === 0 ? 0 : 1;
  } finally {
    client.destroy();
  }
}

/** `tenantId` is left to the reader. A name or tag that repeats a credential is cut, however it came there. */
function cellsOf(
  { id, elementKey, name = '', tags, createdDate = '', token }: FreeInstance,
  used: PlatformCredentials,
) {
  const secrets = [token ?? '', used.userSecret, used.organizationSecret].filter(Boolean);
  const shown = (text: string) => secrets.reduce((left, secret) => left.replaceAll(secret, '…'), text);
  return ['', elementKey, String(id), shown(name), tagsCell(tags.map(shown)), createdDate];
}

function write(text: string): void {
  process.stdout.write(process.stdout.isTTY ? plain(text) : text);
}

/** On stderr, so that the output is CSV alone. */
function say(text: string): void {
  process.stderr.write(`${plain(text)}\n`);
}

function showProgress(seen: number, total: number | undefined): void {
  if (!process.stderr.isTTY) return;
  const of = total === undefined ? '' : ` of ${number(total)}`;
  process.stderr.write(`\r\u001b[K${number(seen)}${of} instances read`);
}

function hideProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
}

function refuse(message: string): number {
  process.stderr.write(`${bad(plain(message))}\n`);
  return 3;
}
