import { Stage } from 'aws-cdk-lib';
import { Code } from 'aws-cdk-lib/aws-lambda';
import type { Construct, IConstruct } from 'constructs';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** In the package, beside this module; a clone has none. */
const packaged = fileURLToPath(new URL('bundles/', import.meta.url));

/** Of a clone: once per app, below its output directory, so that no files are left behind elsewhere. */
const bundled = new WeakMap<IConstruct, string>();

/** Code of a function by its name: the bundles in the package, or in a clone those of its files as they are now. */
export function bundledCode({ node: { root } }: Construct): (functionName: string) => Code {
  let directory = existsSync(packaged) ? packaged : bundled.get(root);
  if (directory === undefined) {
    if (!Stage.isStage(root)) throw new Error('The construct is in no CDK app.');
    directory = join(root.outdir, 'bundles');
    // In a process of its own: a constructor cannot wait, and esbuild has no plugins without waiting.
    execFileSync(process.execPath, [fileURLToPath(new URL('bundle.ts', import.meta.url)), directory], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    bundled.set(root, directory);
  }
  const from = directory;
  return (functionName) => Code.fromAsset(join(from, functionName));
}
