import { buildSync } from 'esbuild';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export type PeerName = 'provision-instance' | 'read-token';

/**
 * Bundles one of the peer's functions into `<directory>/index.mjs`, as a careful team does: ES modules for tree shaking,
 * minified, with the AWS SDK bundled, too. Its own options and not those of `infra/bundle.ts`, whose replacements are
 * unusual. Frozen like the functions.
 */
export function bundlePeer(name: PeerName, directory: string): string {
  const outfile = join(directory, 'index.mjs');
  mkdirSync(directory, { recursive: true });
  buildSync({
    entryPoints: [fileURLToPath(new URL(`${name}.ts`, import.meta.url))],
    outfile,
    bundle: true,
    minify: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    mainFields: ['module', 'main'],
    banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
    logLevel: 'warning',
  });
  return outfile;
}
