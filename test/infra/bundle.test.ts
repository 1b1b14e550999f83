import { build } from 'esbuild';
import { expect, test, vi } from 'vitest';
import { readFile } from 'node:fs/promises';
import { bundleOptions, replacements, sourceOf } from '../../infra/bundle.ts';

test('every replacement applies, and a bundle imports nothing beside itself', async () => {
  const { metafile, outputFiles } = await build({
    ...bundleOptions,
    entryPoints: [sourceOf('provision-instance')],
    write: false,
    metafile: true,
  });
  const inputs = Object.keys(metafile.inputs);
  for (const { name } of replacements) {
    expect(inputs.filter((input) => input.startsWith(`${name}:`))).not.toEqual([]);
  }
  // One of undici's parsers, and none of the modules that its index loads.
  expect(inputs.filter((input) => /undici\/lib\/(llhttp.*wasm|milo)/.test(input))).toEqual([
    expect.stringMatching(/node_modules\/undici\/lib\/llhttp\/llhttp_simd-wasm\.js$/),
  ]);
  // The replacement of `node:assert` can only be called.
  const texts = await Promise.all(
    inputs.filter((input) => input.includes('/undici/')).map((input) => readFile(input, 'utf8')),
  );
  expect(texts.filter((text) => text.includes('assert('))).not.toEqual([]);
  expect(texts.flatMap((text) => text.match(/\bassert\.\w+/g) ?? [])).toEqual([]);
  expect(inputs.filter((input) => /credential-provider-(sso|ini|process)/.test(input))).toEqual([]);
  expect(Object.values(metafile.outputs).flatMap(({ imports }) => imports)).toEqual([]);
  expect(outputFiles).toHaveLength(1);
});

async function bundle(): Promise<string[]> {
  const entryPoints = [sourceOf('get-instance')];
  const { outputFiles } = await build({ ...bundleOptions, entryPoints, write: false });
  return outputFiles.map(({ hash }) => hash);
}

test('a bundle has the same bytes with any exports of the Node that builds it', async () => {
  const here = await bundle();
  const getBuiltinModule = process.getBuiltinModule.bind(process);
  const another = vi.spyOn(process, 'getBuiltinModule').mockImplementation((id: string) => {
    const names = Object.keys(getBuiltinModule(id) ?? {});
    const onlyThere = Array.from({ length: 50 }, (_, index) => `${'q'.repeat(index + 1)}uux`);
    return Object.fromEntries([...onlyThere, ...names.toReversed()].map((name) => [name, 1]));
  });
  expect(await bundle()).toEqual(here);
  another.mockRestore();
});
