import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as z from 'zod/mini';
import type { FunctionName } from '../../../functions/triggers.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));

const contextSchema = z.object({ context: z.record(z.string(), z.unknown()) });
const artifactsSchema = z.object({
  artifacts: z.record(z.string(), z.object({ type: z.string() })),
});
const assetsSchema = z.object({
  files: z.record(z.string(), z.object({ displayName: z.string(), source: z.object({ path: z.string() }) })),
});

/**
 * Builds the functions as CDK uploads them: runs the app of `cdk.json` like the CDK CLI, with another output directory,
 * and finds each function's asset in the stack's asset manifest.
 * @returns path of a function's `index.mjs`
 */
export async function synthesise(outdir: string): Promise<(name: FunctionName) => string> {
  const { context } = contextSchema.parse(JSON.parse(await readFile(join(root, 'cdk.json'), 'utf8')));
  const run = promisify(execFile)(process.execPath, ['infra/app.ts'], {
    cwd: root,
    env: { ...process.env, CDK_OUTDIR: outdir, CDK_CONTEXT_JSON: JSON.stringify(context) },
  });
  // Without the cause, which quotes whole files of the CDK.
  await run.catch(() => {
    throw new Error('The CDK app ended with an error; run `npm run synth` to see it.');
  });
  const manifest = artifactsSchema.parse(JSON.parse(await readFile(join(outdir, 'manifest.json'), 'utf8')));
  const stack = Object.entries(manifest.artifacts).find(
    ([, { type }]) => type === 'aws:cloudformation:stack',
  );
  if (!stack) throw new Error('The CDK app has no stack.');
  const { files } = assetsSchema.parse(
    JSON.parse(await readFile(join(outdir, `${stack[0]}.assets.json`), 'utf8')),
  );
  return (name) => {
    const asset = Object.values(files).find(({ displayName }) =>
      displayName.endsWith(`/${name}/Function/Code`),
    );
    if (!asset) throw new Error(`The stack has no asset for ${name}.`);
    return join(outdir, asset.source.path, 'index.mjs');
  };
}
