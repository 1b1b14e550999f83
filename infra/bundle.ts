import { build, type BuildOptions, type ImportKind, type Metafile, type Plugin } from 'esbuild';
import { readFileSync } from 'node:fs';
import { builtinModules, createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { triggers } from '../functions/triggers.ts';

const functionsDirectory = fileURLToPath(new URL('../functions/', import.meta.url));

const require = createRequire(import.meta.url);

const builtIn = new RegExp(`^(node:)?(${builtinModules.join('|')})$`);

export type Replacement = {
  name: string;
  filter: RegExp;
  /** Only for imports of this kind. */
  kind?: ImportKind;
  /** The exports that the importer uses, when the contents depend on them. */
  exportsFor?: (path: string, importer: string) => readonly string[];
  contents: (path: string, exports: readonly string[]) => string;
};

/**
 * Modules that are replaced by smaller ones in the bundle, because callers wait for everything that a cold start loads.
 * Each replacement but one can be deleted, and the original module is bundled again; a test does so with each. One that
 * saves less than 2 ms and 10 KB of a cold start, and less than 3 % of the processor time of a warm read of a token, is not
 * worth its place.
 */
export const replacements: readonly Replacement[] = [
  {
    // An ES module that imports a built-in module reads all of its exports. For `node:http` that loads Node's own undici:
    // 20 ms. https://github.com/nodejs/node/issues/59686. The replacement reads only the names that are imported. A list
    // of all exports would make the bundle depend on the Node that builds it: esbuild picks short names by the frequency
    // of letters, which unused exports change, too.
    name: 'built-in modules that are imported',
    filter: builtIn,
    kind: 'import-statement',
    exportsFor: importedNames,
    contents: (path, names) => `
      const whole = process.getBuiltinModule('${path}');
      export default whole;
      ${names.map((name) => `export const ${name} = /* @__PURE__ */ (() => whole.${name})();`).join('\n')}
    `,
  },
  {
    // This one cannot be deleted: an ES module has no `require`, and undici's modules use it.
    name: 'built-in modules that are required otherwise',
    filter: builtIn,
    contents: (path) => `module.exports = process.getBuiltinModule('${path}');`,
  },
  {
    // Lambda passes credentials in the environment, where they stay the same. The default chain looks there first, but
    // also bundles SSO, STS, profiles and processes. Like the chain it reads them once.
    name: 'the chain of credential providers',
    filter: /^@aws-sdk\/credential-provider-node$/,
    contents: () => `
      import { fromEnv } from '@aws-sdk/credential-provider-env';
      import { memoize } from '@smithy/core/config';
      export const defaultProvider = (settings) => memoize(fromEnv(settings));
    `,
  },
  {
    // Each of a client's dozen settings is looked for in the environment, then in files that Lambda does not have, and has
    // a default; each place without it throws an error. Like the SDK it passes over a value that cannot be read.
    name: 'settings files of the SDK',
    filter: /\/configLoader$/,
    contents: () => `
      import { memoize } from '@smithy/core/config';
      export const loadConfig = ({ environmentVariableSelector: read, default: otherwise }, settings) =>
        memoize(async () =>
          (await Promise.try(read, process.env, settings).catch(() => undefined)) ??
          (typeof otherwise === 'function' ? otherwise() : otherwise)
        );
    `,
  },
  {
    // It lists the features of the SDK that a call uses, in two headers of each request, one of them signed. The same name
    // and versions go into one header, put together once.
    name: 'the user agent of the SDK',
    filter: /\/user-agent-middleware$/,
    contents: () => `
      export const userAgentMiddleware = undefined, getUserAgentMiddlewareOptions = undefined;
      export const getUserAgentPlugin = (client) => ({
        applyToStack: (stack) => {
          let value;
          const setHeader = (next) => async (args) => {
            value ??= (await client.defaultUserAgentProvider(client))
              .map((parts) => parts.join('/').replace(/[^!-~]/g, '-')).join(' ');
            args.request.headers['user-agent'] = value;
            return next(args);
          };
          stack.add(setHeader, { name: 'getUserAgentMiddleware', step: 'build', priority: 'low' });
        },
      });
    `,
  },
  {
    // No service in use streams events. The mere possibility of an import makes esbuild also keep all of the checksums,
    // which fill their tables at every start.
    name: 'event streams of the SDK',
    filter: /^@smithy\/core\/event-streams$/,
    contents: () => 'export {};',
  },
  {
    // Responses are Node streams. A check for web streams makes Node load all of their classes: 1.5 ms.
    name: 'web streams in the SDK',
    filter: /\/stream-type-check$/,
    contents: () => 'export const isReadableStream = () => false, isBlob = () => false;',
  },
  {
    // Without a logger it does nothing, but first copies every request and response without their secrets.
    name: 'logging in the SDK',
    filter: /\/loggerMiddleware$/,
    contents: () => `
      export const loggerMiddleware = undefined, loggerMiddlewareOptions = undefined;
      export const getLoggerPlugin = () => ({ applyToStack: () => {} });
    `,
  },
  {
    // The DynamoDB client creates it for endpoint discovery, which is off.
    name: 'a cache for discovered endpoints',
    filter: /^@aws-sdk\/endpoint-cache$/,
    contents: () => 'export class EndpointCache {}',
  },
  {
    // `functions/adapters/aws-http.ts` takes its place in every client.
    name: 'the HTTP handler of the SDK',
    filter: /^@smithy\/node-http-handler$/,
    contents: () => 'export const NodeHttpHandler = { create: (own) => own }, streamCollector = undefined;',
  },
  {
    // Its index also loads fetch, pools, proxies, caches, WebSocket and more.
    name: 'undici but for its client',
    filter: /^undici$/,
    contents: () =>
      "module.exports = { Client: require('undici/lib/dispatcher/client.js'), buildConnector: require('undici/lib/core/connect.js') };",
  },
  {
    // Never reached: HTTP/2 is off, bodies are text, and Lambda's processors have the instructions of the fast parser.
    name: 'parts of undici’s client that are not used',
    filter: /^\.\.?\/(client-h2\.js|web\/fetch\/(body\.js|formdata)|web\/webidl|llhttp\/llhttp-wasm\.js)$/,
    contents: (path) => `module.exports = () => { throw new Error('${path} is left out of the bundle'); };`,
  },
  {
    // Two of its thirty tables are used; the others are computed at every start.
    name: 'tables of undici’s parser',
    filter: /\/llhttp\/constants\.js$/,
    contents: () => {
      const { ERROR, TYPE } = require('undici/lib/llhttp/constants.js');
      return `module.exports = ${JSON.stringify({ ERROR, TYPE })};`;
    },
  },
];

export const replacing = (which: readonly Replacement[]): Plugin => ({
  name: 'replacing',
  setup(bundler) {
    for (const { name, filter, kind, exportsFor, contents } of which) {
      bundler.onResolve({ filter }, ({ path, kind: importKind, importer }) => {
        if (kind !== undefined && kind !== importKind) return undefined;
        // A module of its own for each list of exports.
        const suffix = exportsFor ? `?${exportsFor(path, importer).join()}` : '';
        return { path, namespace: name, suffix };
      });
      bundler.onLoad({ filter: /.*/, namespace: name }, ({ path, suffix }) => ({
        contents: contents(path, suffix.slice(1).split(',').filter(Boolean)),
        resolveDir: functionsDirectory,
      }));
    }
  },
});

/**
 * Returns the names that a source file imports from a module, sorted. Finds only imports in the form that TypeScript
 * writes; for any other form esbuild reports a missing export.
 */
function importedNames(path: string, importer: string): string[] {
  const source = readFileSync(importer, 'utf8');
  const from = String.raw`\s*from\s*['"]${path}['"]`;
  const named = [...source.matchAll(new RegExp(String.raw`\{([^{}]*)\}${from}`, 'g'))].flatMap(
    ([, list = '']) =>
      list.split(',').map((each) =>
        each
          .trim()
          .replace(/^type\s+/, '')
          .replace(/\s+as\s.*$/s, ''),
      ),
  );
  const namespaces = [...source.matchAll(new RegExp(String.raw`\*\s*as\s+(\w+)${from}`, 'g'))].flatMap(
    ([, whole = '']) => [...source.matchAll(new RegExp(String.raw`\b${whole}\.(\w+)`, 'g'))],
  );
  const names = [...named, ...namespaces.map(([, name = '']) => name)];
  return [...new Set(names)].filter((name) => /^\w+$/.test(name) && name !== 'default').toSorted();
}

/** The AWS SDK is bundled (left to the runtime's copy, a cold start takes almost twice as long), from its ES modules. */
export const bundleOptions = {
  bundle: true,
  minify: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  mainFields: ['module', 'main'],
  // undici takes this for being bundled into Node itself, which needs only one of its two parsers.
  define: { esbuildDetection: 'true' },
  plugins: [replacing(replacements)],
  logLevel: 'warning',
} satisfies BuildOptions;

export const sourceOf = (name: string): string => join(functionsDirectory, `${name}.ts`);

/** Bundles one function into `<directory>/index.mjs`, the same bytes for AWS and for the local stack. */
export async function bundleFunction(name: string, directory: string): Promise<void> {
  await build({ ...bundleOptions, entryPoints: [sourceOf(name)], outfile: join(directory, 'index.mjs') });
}

/** Bundles every function into a directory of its name below this one, the same bytes as one by one in less time. */
export async function bundleFunctions(directory: string): Promise<Metafile> {
  const { metafile } = await build({
    ...bundleOptions,
    entryPoints: Object.keys(triggers).map((name) => ({ in: sourceOf(name), out: `${name}/index` })),
    outdir: directory,
    outExtension: { '.js': '.mjs' },
    metafile: true,
  });
  return metafile;
}

const [, , target] = process.argv;
if (import.meta.main && target !== undefined) await bundleFunctions(target);
