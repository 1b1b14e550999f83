import { build } from 'esbuild';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FunctionName } from '../../../functions/triggers.ts';
import { synthesise } from './assets.ts';
import { bundlePeer, type PeerName } from './peer/build.ts';
import { createProcesses, type Subject } from './processes.ts';
import { startSite } from './site.ts';

export type Workshop = Awaited<ReturnType<typeof openWorkshop>>;

type FileOf = (name: FunctionName) => string;

/**
 * All measured programs, built once below a temporary directory: the peer, the bare handler and our functions.
 * @param buildFunctions writes them into the directory; by default as CDK builds and uploads them
 */
export async function openWorkshop(buildFunctions: (directory: string) => Promise<FileOf> = synthesise) {
  const directory = await mkdtemp(join(tmpdir(), 'element-onboarding-bench-'));
  const remove = () => rm(directory, { recursive: true, force: true });
  try {
    const outfile = (name: string) => join(directory, name, 'index.mjs');
    const bundle = async (source: string): Promise<string> => {
      const built = outfile(source);
      await build({
        entryPoints: [fileURLToPath(new URL(`${source}.ts`, import.meta.url))],
        outfile: built,
        bundle: true,
        platform: 'node',
        target: 'node24',
        format: 'esm',
        logLevel: 'warning',
      });
      return built;
    };
    const [coldFile, warmFile, bareFile, fileOf] = await Promise.all([
      bundle('measured/cold'),
      bundle('measured/warm'),
      bundle('bare/index'),
      buildFunctions(join(directory, 'functions')),
    ]);
    const peerFiles = {
      'provision-instance': bundlePeer('provision-instance', join(directory, 'peer', 'provision-instance')),
      'read-token': bundlePeer('read-token', join(directory, 'peer', 'read-token')),
    };

    return {
      ...createProcesses({ coldFile, warmFile }),
      fileOf,
      directory,
      /** Opens empty servers, with the environments of all measured programs. */
      async openSite() {
        const site = await startSite();
        return Object.assign(site, {
          ours: (name: FunctionName): Subject => ({
            file: fileOf(name),
            environment: site.environmentOf(name),
          }),
          peer: (name: PeerName): Subject => ({
            file: peerFiles[name],
            environment: site.peerEnvironment,
          }),
          bare: { file: bareFile, environment: site.bareEnvironment } satisfies Subject,
        });
      },
      [Symbol.asyncDispose]: remove,
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

export type OpenSite = Awaited<ReturnType<Workshop['openSite']>>;

export const bytesOf = async (file: string): Promise<number> => (await stat(file)).size;
