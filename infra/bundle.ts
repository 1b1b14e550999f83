import { build, type BuildOptions, type ImportKind, type Plugin } from 'esbuild';
import { readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

const functionsDirectory = fileURLToPath(new URL('../functions/', import.meta.url));

const builtIn = new RegExp(`^(node:)?(${builtinModules.join('|')})$`);

export type Replacement = {
  name: string;
  filter: RegExp;
  /** Only when it is asked for in this way. */
  kind?: ImportKind;
  /** The exports that the importer asks for, when the contents depend on them. */
  exportsFor?: (path: string, importer: string) => readonly string[];
  contents: (path: string, exports: readonly string[]) => string;
};

/**
 * Modules in whose place something smaller goes into the bundle. What is loaded at every cold start is paid for by whoever
 * waits for it. Each but one can be taken out, and what it stands for is bundled whole again; `npm run bench` tells what
 * it is worth.
 */
export const replacements: readonly Replacement[] = [
  {
    // undici asks nothing of it but whether something holds. Node's own loads all that compares and prints values: 1 ms.
    name: 'assertions',
    filter: /^node:assert$/,
    contents: () => `
      module.exports = (holds, reason) => {
        if (!holds) throw reason instanceof Error ? reason : new Error(reason ?? 'An assertion does not hold.');
      };
    `,
  },
  {
    // An ES module's import of a built-in one asks for everything that it exports. For `node:http` that loads Node's own
    // undici: 20 ms. https://github.com/nodejs/node/issues/59686. Here only what is imported is asked for. A list of all
    // exports would depend on the Node that builds: esbuild picks short names by how often which letter occurs, also in
    // exports that are not used.
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
    // The one that has to stay: an ES module has no `require`, and undici's modules ask by it.
    name: 'built-in modules that are asked for otherwise',
    filter: builtIn,
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
    // The SDK looks for settings in files below the home directory before its first call. Lambda has none, and the local
    // stack is to behave the same whatever a developer has there.
    name: 'files with settings of the SDK',
    filter: /^\.\/readFile$/,
    contents: () => `
      export const fileIntercept = {}, filePromises = {};
      export const readFile = () => Promise.reject(new Error('not read'));
    `,
  },
  {
    // None of the services that are called streams events. That it might be imported makes esbuild keep all of the
    // checksums, too, and fill their tables at every start.
    name: 'event streams of the SDK',
    filter: /^@smithy\/core\/event-streams$/,
    contents: () => 'export {};',
  },
  {
    // Answers come as Node's own streams. To be asked for web streams makes Node load all of those: 1.5 ms.
    name: 'web streams in the SDK',
    filter: /\/stream-type-check$/,
    contents: () => 'export const isReadableStream = () => false, isBlob = () => false;',
  },
  {
    // DynamoDB's client keeps it ready for endpoint discovery, which is off.
    name: 'a cache for discovered endpoints',
    filter: /^@aws-sdk\/endpoint-cache$/,
    contents: () => 'export class EndpointCache {}',
  },
  {
    // Its index brings along fetch, pools, proxies, caches, WebSocket and more.
    name: 'undici but for its client',
    filter: /^undici$/,
    contents: () =>
      "module.exports = { Client: require('undici/lib/dispatcher/client.js'), buildConnector: require('undici/lib/core/connect.js') };",
  },
  {
    // Not reached: we turn HTTP/2 off, send text, and run on processors that have the instructions of the fast parser.
    name: 'parts of undici’s client that are not used',
    filter: /^\.\.?\/(client-h2\.js|web\/fetch\/(body\.js|formdata)|web\/webidl|llhttp\/llhttp-wasm\.js)$/,
    contents: (path) => `module.exports = () => { throw new Error('${path} is left out of the bundle'); };`,
  },
];

export const replacing = (which: readonly Replacement[]): Plugin => ({
  name: 'replacing',
  setup(bundler) {
    for (const { name, filter, kind, exportsFor, contents } of which) {
      bundler.onResolve({ filter }, ({ path, kind: askedAs, importer }) => {
        if (kind !== undefined && kind !== askedAs) return undefined;
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
 * The names that a source file imports of a module, sorted. Only found in the form that TypeScript writes; of another one
 * esbuild says that an export is missing.
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
  // By this undici tells that it is bundled into Node itself, which needs one of its two parsers.
  define: { esbuildDetection: 'true' },
  plugins: [replacing(replacements)],
  logLevel: 'warning',
} satisfies BuildOptions;

export const sourceOf = (name: string): string => join(functionsDirectory, `${name}.ts`);

/** Bundles one function into `<directory>/index.mjs`, the same bytes for AWS and for the local stack. */
export async function bundleFunction(name: string, directory: string): Promise<void> {
  await build({ ...bundleOptions, entryPoints: [sourceOf(name)], outfile: join(directory, 'index.mjs') });
}
