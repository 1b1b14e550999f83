import { build } from 'esbuild';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import * as z from 'zod/mini';
import { bundleOptions, replacements, replacing, sourceOf } from '../../infra/bundle.ts';
import { closeServer, listenOnLoopback } from '../../infra/local/loopback.ts';

test('every replacement applies, and a bundle imports nothing beside itself', async () => {
  const { metafile, outputFiles } = await build({
    ...bundleOptions,
    entryPoints: [sourceOf('provision-instance')],
    write: false,
    metafile: true,
  });
  const inputs = Object.keys(metafile.inputs);
  for (const { name } of replacements) {
    expect(inputs.filter((input) => input.startsWith(`${name}:`))).not.toEqual([]);
  }
  // One of undici's parsers, and none of the modules that its index loads.
  expect(inputs.filter((input) => /undici\/lib\/(llhttp.*wasm|milo)/.test(input))).toEqual([
    expect.stringMatching(/node_modules\/undici\/lib\/llhttp\/llhttp_simd-wasm\.js$/),
  ]);
  // The replacement of the parser's tables has these two.
  const texts = await Promise.all(
    inputs.filter((input) => input.includes('/undici/')).map((input) => readFile(input, 'utf8')),
  );
  const tables = texts.flatMap((text) =>
    [...text.matchAll(/\bconstants\.([A-Z]+)/g)].map(([, name]) => name),
  );
  expect(new Set(tables)).toEqual(new Set(['ERROR', 'TYPE']));
  expect(inputs.filter((input) => /credential-provider-(sso|ini|process)/.test(input))).toEqual([]);
  expect(Object.values(metafile.outputs).flatMap(({ imports }) => imports)).toEqual([]);
  expect(outputFiles).toHaveLength(1);
});

async function bundle(): Promise<string[]> {
  const entryPoints = [sourceOf('get-instance')];
  const { outputFiles } = await build({ ...bundleOptions, entryPoints, write: false });
  return outputFiles.map(({ hash }) => hash);
}

test('a bundle has the same bytes with any exports of the Node that builds it', async () => {
  const here = await bundle();
  const getBuiltinModule = process.getBuiltinModule.bind(process);
  const another = vi.spyOn(process, 'getBuiltinModule').mockImplementation((id: string) => {
    const names = Object.keys(getBuiltinModule(id) ?? {});
    const onlyThere = Array.from({ length: 50 }, (_, index) => `${'q'.repeat(index + 1)}uux`);
    return Object.fromEntries([...onlyThere, ...names.toReversed()].map((name) => [name, 1]));
  });
  expect(await bundle()).toEqual(here);
  another.mockRestore();
});

const callSchema = z.object({ call: z.custom<() => Promise<void>>((value) => typeof value === 'function') });

/** `call` sends one request by a bundled client; `headers` collects those of the requests. */
async function bundledClient() {
  const headers: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    headers.push(request.headers);
    request.resume();
    response.end('{"TableNames":[]}');
  });
  vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', await listenOnLoopback(server, 0));
  vi.stubEnv('AWS_REGION', 'us-east-1');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'first');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'tests');
  vi.stubEnv('AWS_EXECUTION_ENV', 'AWS_Lambda_nodejs24.x');
  // Powertools sets it on import, in the tests of the ordinary way.
  vi.stubEnv('AWS_SDK_UA_APP_ID', undefined);
  const directory = await mkdtemp(join(tmpdir(), 'bundle-'));
  onTestFinished(async () => {
    vi.unstubAllEnvs();
    await closeServer(server);
    await rm(directory, { recursive: true });
  });
  const outfile = join(directory, 'index.mjs');
  const contents = `
    import { DynamoDBClient, ListTablesCommand } from '@aws-sdk/client-dynamodb';
    import { clientOptions } from './adapters/aws.ts';
    const client = new DynamoDBClient(clientOptions);
    export const call = () => client.send(new ListTablesCommand({}));
  `;
  const stdin = { contents, resolveDir: dirname(sourceOf('get-instance')), loader: 'ts' } as const;
  await build({ ...bundleOptions, stdin, outfile });
  return { headers, ...callSchema.parse(await import(outfile)) };
}

test('a bundled client names the SDK, its version and Lambda in one header', async () => {
  const { call, headers } = await bundledClient();
  await call();
  expect(headers[0]?.['user-agent']).toMatch(
    /^aws-sdk-js\/3\.\d+\.\d+ ua\/2\.1 os\/\S+ lang\/js md\/nodejs\/\S+ .*exec-env\/AWS_Lambda_nodejs24\.x$/,
  );
  expect(headers[0]).not.toHaveProperty('x-amz-user-agent');
});

test('a bundled client takes endpoint, region and credentials from the environment, once', async () => {
  const { call, headers } = await bundledClient();
  await call();
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'second');
  vi.stubEnv('AWS_REGION', 'eu-central-1');
  await call();
  expect(headers.map(({ authorization }) => authorization?.match(/Credential=\S+/)?.[0])).toEqual([
    expect.stringMatching(/^Credential=first\/\d+\/us-east-1\/dynamodb\/aws4_request,$/),
    expect.stringMatching(/^Credential=first\/\d+\/us-east-1\/dynamodb\/aws4_request,$/),
  ]);
});

test('a bundled client without a region says so', async () => {
  const { call } = await bundledClient();
  vi.stubEnv('AWS_REGION', undefined);
  vi.stubEnv('AWS_DEFAULT_REGION', undefined);
  await expect(call()).rejects.toThrow('Region is missing');
});

const outcomeSchema = z.object({
  outcome: z.custom<() => Promise<unknown>>((value) => typeof value === 'function'),
});

/** Bundles a client, with all replacements or without one. The result returns its settings and the request that it sends. */
async function clientWithout(name?: string): Promise<() => Promise<unknown>> {
  const directory = await mkdtemp(join(tmpdir(), 'bundle-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  const contents = `
    import { DynamoDBClient, ListTablesCommand } from '@aws-sdk/client-dynamodb';
    export async function outcome() {
      const sent = [];
      const handle = async ({ protocol, hostname, headers }) => {
        sent.push([protocol, hostname, headers['user-agent']]);
        throw new Error('not sent');
      };
      const client = new DynamoDBClient({ requestHandler: { handle } });
      const failed = (error) => String(error);
      return {
        error: await client.send(new ListTablesCommand({})).catch(failed),
        settings: await Promise.all(
          ['maxAttempts', 'retryMode', 'endpointDiscoveryEnabledProvider', 'accountIdEndpointMode'].map(
            async (name) => [name, await client.config[name]().catch(failed)]
          ),
        ),
        sent,
      };
    }
  `;
  const stdin = { contents, resolveDir: dirname(sourceOf('get-instance')), loader: 'js' } as const;
  const outfile = join(directory, 'index.mjs');
  const plugins = [replacing(replacements.filter((each) => each.name !== name))];
  await build({ ...bundleOptions, plugins, stdin, outfile });
  return outcomeSchema.parse(await import(outfile)).outcome;
}

test('a bundled client reads every setting as the SDK does, also an empty or unreadable one', async () => {
  const bundled = await clientWithout();
  const plain = await clientWithout('settings files of the SDK');
  const environment = {
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'any',
    AWS_SECRET_ACCESS_KEY: 'tests',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  };
  onTestFinished(() => void vi.unstubAllEnvs());
  for (const [setting, value] of Object.entries({
    AWS_ACCOUNT_ID_ENDPOINT_MODE: 'required',
    AWS_AUTH_SCHEME_PREFERENCE: 'sigv4',
    AWS_DEFAULTS_MODE: 'standard',
    AWS_DISABLE_CLOCK_SKEW_CORRECTION: 'true',
    AWS_ENABLE_ENDPOINT_DISCOVERY: 'true',
    AWS_ENDPOINT_DISCOVERY_ENABLED: 'true',
    AWS_ENDPOINT_URL: 'http://any.example',
    AWS_ENDPOINT_URL_DYNAMODB: 'http://any.example',
    AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true',
    AWS_MAX_ATTEMPTS: '7',
    AWS_REGION: 'eu-central-1',
    AWS_RETRY_MODE: 'adaptive',
    AWS_SDK_UA_APP_ID: 'any-app',
    AWS_USE_DUALSTACK_ENDPOINT: 'true',
    AWS_USE_FIPS_ENDPOINT: 'true',
  })) {
    for (const given of [value, '', 'no such value']) {
      vi.unstubAllEnvs();
      for (const [name, each] of Object.entries({ ...environment, [setting]: given })) vi.stubEnv(name, each);
      expect([setting, given, await bundled()]).toEqual([setting, given, await plain()]);
    }
  }
});
