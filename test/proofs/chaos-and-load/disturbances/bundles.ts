import { build, stop } from 'esbuild';
import { fileURLToPath } from 'node:url';
import { triggers } from '../../../../functions/triggers.ts';
import { bundleOptions, sourceOf } from '../../../../infra/bundle.ts';

const shortTiming = fileURLToPath(new URL('timing.ts', import.meta.url));

/**
 * Bundles the functions as for a deployment, but with the periods of `timing.ts` beside this file, into a directory of
 * its name for each.
 */
export async function bundleWithShortTiming(outdir: string): Promise<void> {
  let replaced = 0;
  await build({
    ...bundleOptions,
    entryPoints: Object.keys(triggers).map((name) => ({ in: sourceOf(name), out: `${name}/index` })),
    outdir,
    outExtension: { '.js': '.mjs' },
    plugins: [
      ...bundleOptions.plugins,
      {
        name: 'short timing',
        setup(bundler) {
          bundler.onResolve({ filter: /\/timing\.ts$/ }, () => {
            replaced += 1;
            return { path: shortTiming };
          });
        },
      },
    ],
  });
  await stop();
  if (replaced === 0) throw new Error('No function imports timing.ts any more.');
}
