import { buildSync } from 'esbuild';
import type { BuildOptions } from 'esbuild';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

const functionsDirectory = fileURLToPath(new URL('../functions/', import.meta.url));

/** The AWS SDK is bundled (left to the runtime's copy, a cold start takes almost twice as long), from its ES modules. */
export const bundleOptions = {
  bundle: true,
  minify: true,
  keepNames: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  mainFields: ['module', 'main'],
  // CommonJS dependencies call require(), which an ES module has to make for itself.
  banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
  logLevel: 'warning',
} satisfies BuildOptions;

export const sourceOf = (name: string): string => join(functionsDirectory, `${name}.ts`);

/** Bundles one function into `<directory>/index.mjs`, the same bytes for AWS and for the local stack. */
export function bundleFunction(name: string, directory: string): void {
  buildSync({ ...bundleOptions, entryPoints: [sourceOf(name)], outfile: join(directory, 'index.mjs') });
}
