import { build, type BuildOptions, type Plugin } from 'esbuild';
import { builtinModules } from 'node:module';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

const functionsDirectory = fileURLToPath(new URL('../functions/', import.meta.url));

/**
 * Modules in whose place something smaller goes into the bundle. What is loaded at every cold start is paid for by whoever
 * waits for it. Each can be taken out, and what it stands for is bundled whole again; `npm run bench` tells what it is
 * worth.
 */
export const replacements: { name: string; filter: RegExp; contents: (path: string) => string }[] = [
  {
    // An ES module's import of a built-in one asks for everything that it exports. For `node:http` that loads Node's own
    // undici: 20 ms. https://github.com/nodejs/node/issues/59686
    name: 'built-in modules',
    filter: new RegExp(`^(node:)?(${builtinModules.join('|')})$`),
    contents: (path) => `module.exports = process.getBuiltinModule('${path}');`,
  },
  {
    // Lambda hands its credentials over in the environment. The default chain looks there first, and brings along SSO,
    // STS, profiles and processes.
    name: 'the chain of credential providers',
    filter: /^@aws-sdk\/credential-provider-node$/,
    contents: () => "export { fromEnv as defaultProvider } from '@aws-sdk/credential-provider-env';",
  },
  {
    // None of the services that are called streams events. That it might be imported makes esbuild keep all of the
    // checksums, too, and fill their tables at every start.
    name: 'event streams of the SDK',
    filter: /^@smithy\/core\/event-streams$/,
    contents: () => 'export {};',
  },
  {
    // Its index brings along fetch, pools, proxies, caches, WebSocket and more.
    name: 'undici but for its client',
    filter: /^undici$/,
    contents: () => `
      const Client = require('undici/lib/dispatcher/client.js');
      Client.prototype.request = require('undici/lib/api/api-request.js');
      module.exports = { Client };
    `,
  },
  {
    // Not reached: we turn HTTP/2 off, send text, and run on processors that have the instructions of the fast parser.
    name: 'parts of undici’s client that are not used',
    filter: /^\.\.?\/(client-h2|web\/fetch\/body|llhttp\/llhttp-wasm)\.js$/,
    contents: (path) => `module.exports = () => { throw new Error('${path} is left out of the bundle'); };`,
  },
];

const replacing: Plugin = {
  name: 'replacing',
  setup(bundler) {
    for (const { name, filter, contents } of replacements) {
      bundler.onResolve({ filter }, ({ path }) => ({ path, namespace: name }));
      bundler.onLoad({ filter: /.*/, namespace: name }, ({ path }) => ({
        contents: contents(path),
        resolveDir: functionsDirectory,
      }));
    }
  },
};

/** The AWS SDK is bundled (left to the runtime's copy, a cold start takes almost twice as long), from its ES modules. */
export const bundleOptions = {
  bundle: true,
  minify: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  mainFields: ['module', 'main'],
  // By this undici tells that it is bundled into Node itself, which needs one of its two parsers.
  define: { esbuildDetection: 'true' },
  plugins: [replacing],
  logLevel: 'warning',
} satisfies BuildOptions;

export const sourceOf = (name: string): string => join(functionsDirectory, `${name}.ts`);

/** Bundles one function into `<directory>/index.mjs`, the same bytes for AWS and for the local stack. */
export async function bundleFunction(name: string, directory: string): Promise<void> {
  await build({ ...bundleOptions, entryPoints: [sourceOf(name)], outfile: join(directory, 'index.mjs') });
}
