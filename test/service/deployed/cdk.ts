import { execFile } from 'node:child_process';
import { glob, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as z from 'zod/mini';
import { environment } from './endpoint.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../../', import.meta.url));

/** A deployment takes seconds; one that hangs must not hang the tests forever. */
const timeoutMs = 180_000;

const outputsSchema = z.record(z.string(), z.record(z.string(), z.string()));

/** Runs the CLI. @throws Error with its whole output, when it fails */
export async function cdk(args: readonly string[], { directory = root } = {}): Promise<string> {
  try {
    const { stdout, stderr } = await run('cdk', args, {
      cwd: directory,
      env: environment,
      timeout: timeoutMs,
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout + stderr;
  } catch (error) {
    const { stdout = '', stderr = '' } = Object(error);
    throw new Error(`cdk ${args.join(' ')} failed:\n${stdout}${stderr}`, { cause: error });
  }
}

export type Deployed = {
  stackName: string;
  outputs: Record<string, string>;
  /** The CLI's output. */
  printed: string;
  destroy: () => Promise<void>;
};

/**
 * Deploys a stage as it is in `directory`, by default here. A stage `dev-…` leaves nothing behind when it is destroyed.
 */
export async function deploy(
  settings: { stage: string; baseUrl: string; eventBusArn?: string },
  { directory = root }: { directory?: string | undefined } = {},
): Promise<Deployed> {
  const context = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return inTemporaryDirectory(async (output) => {
    const outputsFile = join(output, 'outputs.json');
    const assembly = join(output, 'cdk.out');
    await cdk(['synth', '--quiet', '--output', assembly, ...context], { directory });
    await leaveOutUnsupported(assembly);
    const options = ['--require-approval', 'never', '--outputs-file', outputsFile, '--app', assembly];
    const printed = await cdk(['deploy', ...options], { directory });
    const [deployed] = Object.entries(outputsSchema.parse(JSON.parse(await readFile(outputsFile, 'utf8'))));
    if (!deployed) throw new Error(`cdk deploy named no stack:\n${printed}`);
    const [stackName, outputs] = deployed;
    return {
      stackName,
      outputs,
      printed,
      destroy: () =>
        inTemporaryDirectory(async (another) => {
          await cdk(['destroy', '--force', ...assemblyIn(another), ...context, stackName], { directory });
        }),
    };
  });
}

/** MiniStack cannot deploy the saved queries of Logs Insights, on which nothing else depends. */
async function leaveOutUnsupported(assembly: string): Promise<void> {
  for await (const name of glob('*.template.json', { cwd: assembly })) {
    const file = join(assembly, name);
    const { Resources, ...others } = templateSchema.parse(JSON.parse(await readFile(file, 'utf8')));
    const supported = Object.entries(Resources).filter(
      ([, { Type }]) => Type !== 'AWS::Logs::QueryDefinition',
    );
    await writeFile(file, JSON.stringify({ ...others, Resources: Object.fromEntries(supported) }));
  }
}
const templateSchema = z.looseObject({
  Resources: z.record(z.string(), z.looseObject({ Type: z.string() })),
});

/** Not `cdk.out`, which concurrent commands would lock. */
const assemblyIn = (directory: string) => ['--output', join(directory, 'cdk.out')];

async function inTemporaryDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'element-onboarding-deploy-'));
  try {
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
