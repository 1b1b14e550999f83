import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { createInstanceStore } from '../../../functions/adapters/instance-store.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import type { InstanceKey } from '../../../functions/model/instance.ts';
import { catalogFor, CdkJsonError } from '../../stage-elements.ts';
import { createTrusting, type Trusted } from '../../../functions/core/trust.ts';
import { commandLine } from '../command.ts';
import { bad, bold, dim, print } from '../terminal.ts';
import { plain } from '../../plain-text.ts';
import { counted, number } from '../onboard/progress.ts';
import {
  onThisMachine,
  outputsOf,
  requestHandler,
  TargetError,
  type ClientSettings,
} from '../onboard/target.ts';
import { followClock } from './clock.ts';
import { help, parseOptions, type Options } from './options.ts';
import { jsonOf, linesOf } from './output.ts';
import { readTenants, TenantsError } from './tenants.ts';

/** `npm run trust`: makes the tenant's secret the source of an instance's configuration. See `--help`. */

const chosen = commandLine(help, (args) => parseOptions(args, process.env), { changesThings: true });

process.exitCode = await main(chosen).catch((error: unknown) => {
  if (error instanceof TenantsError || error instanceof CdkJsonError) return refuse(error.message, 2);
  if (error instanceof TargetError) return refuse(error.message, 3);
  if (error instanceof OnboardingError) {
    const { cause } = error.facts;
    const why = cause ? ` (${cause.name}: ${cause.message})` : '';
    return refuse(`${error.message}${why}\nRun the command again: completed changes are kept.`, 3);
  }
  throw error;
});

async function main(options: Options): Promise<number> {
  const keys = await readTenants(options.file);
  const { tableName, settings } = await tableOf(options.where);
  const client = new DynamoDBClient({ ...settings, requestHandler, maxAttempts: 8 });
  const clock = followClock(client);
  const trust = createTrusting({
    store: createInstanceStore({ client, tableName }),
    catalog: catalogFor(options.where),
    now: clock.now,
  });
  if (!options.json)
    print(`${plain(options.file)}: ${counted(keys.length, 'instance')} in table ${tableName}\n`);
  const done: { key: InstanceKey; trusted: Trusted }[] = [];
  const startedAtMs = Date.now();
  try {
    for (const key of keys) {
      const trusted = await readable(() => trust(key, { lookedAtMs: options.lookedAtMs }));
      done.push({ key, trusted });
      if (options.json) print(jsonOf(key, trusted, clock.now()));
    }
  } finally {
    client.destroy();
    // Also when AWS fails halfway, so that completed changes are listed.
    if (!options.json) for (const line of linesOf(done)) print(line);
  }
  return summarize(
    options,
    done.map(({ trusted }) => trusted),
    clock.now() - (Date.now() - startedAtMs),
  );
}

/** Refuses a row that another version has written, and continues with the rest. */
async function readable(trust: () => Promise<Trusted>): Promise<Trusted> {
  try {
    return await trust();
  } catch (error) {
    if (error instanceof OnboardingError && error.code === 'internal') {
      return { kind: 'refused', reason: error.message };
    }
    throw error;
  }
}

function summarize({ lookedAtMs, json }: Options, all: readonly Trusted[], beganAtMs: number): number {
  const count = (kind: Trusted['kind']) => all.filter((each) => each.kind === kind).length;
  if (!json) {
    const isDone = lookedAtMs !== undefined;
    const trusted = isDone
      ? `${number(count('trusted'))} trusted`
      : `${number(count('would-be-trusted'))} would be trusted`;
    print(bold(`\n${trusted}, ${number(count('unchanged'))} as before, ${number(count('refused'))} refused`));
    if (!isDone && count('would-be-trusted') > 0) {
      print(
        dim(
          "Nothing was changed. The tenant's key will be sent with the configuration at Cloud Elements: check it, then repeat with" +
            ` --yes --looked-at ${new Date(beganAtMs).toISOString()}`,
        ),
      );
    }
  }
  return count('refused') > 0 ? 1 : 0;
}

async function tableOf(where: Options['where']): Promise<{ tableName: string; settings: ClientSettings }> {
  if ('localPort' in where) {
    return { tableName: 'element-onboarding', settings: onThisMachine(where.localPort + 2) };
  }
  if ('tableName' in where) return { tableName: where.tableName, settings: {} };
  return { tableName: (await outputsOf(where.stage))('TableName'), settings: {} };
}

function refuse(message: string, exitStatus: number): number {
  process.stderr.write(`${bad(plain(message))}\n`);
  return exitStatus;
}
