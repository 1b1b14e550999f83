import { build, stop } from 'esbuild';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { triggers } from '../../../../functions/triggers.ts';
import { bundleOptions, sourceOf } from '../../../../infra/bundle.ts';

const shortTiming = fileURLToPath(new URL('timing.ts', import.meta.url));

/** Bundles the functions as for a deployment, but with the periods of `timing.ts` beside this file. */
export async function bundleWithShortTiming() {
  const outdir = mkdtempSync(join(tmpdir(), 'element-onboarding-chaos-'));
  const bundleFile = (name: string) => join(outdir, `${name}.mjs`);
  let replaced = 0;
  await build({
    ...bundleOptions,
    entryPoints: Object.keys(triggers).map(sourceOf),
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
  return {
    bundle: (name: string, directory: string) => copyFileSync(bundleFile(name), join(directory, 'index.mjs')),
    [Symbol.dispose]: () => rmSync(outdir, { recursive: true, force: true }),
  };
}
