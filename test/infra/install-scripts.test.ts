import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import * as z from 'zod/mini';

const read = (file: string): string => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');

const lockSchema = z.object({
  packages: z.record(z.string(), z.object({ hasInstallScript: z.optional(z.boolean()) })),
});

test('no package runs a script when it is installed', () => {
  expect(read('.npmrc').split('\n')).toContain('ignore-scripts=true');
});

test('packages with install scripts work without them: two include binaries, and one would report the installation', () => {
  const { packages } = lockSchema.parse(JSON.parse(read('package-lock.json')));
  const withScript = Object.entries(packages).flatMap(([path, { hasInstallScript }]) =>
    hasInstallScript ? [path.replace('node_modules/', '')] : [],
  );
  // Before another one is added here, `npm ci && npm run check` has to pass in a fresh clone.
  expect(withScript).toEqual(['@scarf/scarf', 'classic-level', 'esbuild']);
});
