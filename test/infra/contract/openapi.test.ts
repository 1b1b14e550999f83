import { createConfig, lintFromString } from '@redocly/openapi-core';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import { bundleOptions, sourceOf } from '../../../infra/bundle.ts';
import { errorsOfEveryRoute, routes } from '../../../infra/contract/operations.ts';
import { openApiDocument } from '../../../infra/contract/openapi.ts';

const lint = async (document: object) =>
  (
    await lintFromString({
      source: JSON.stringify(document),
      // Warnings are errors in it.
      config: await createConfig({ extends: ['recommended-strict'] }),
    })
  ).map(({ ruleId, message }) => `${ruleId}: ${message}`);

test('the OpenAPI document passes the linter without a warning', async () => {
  expect(await lint(openApiDocument())).toEqual([]);
  // It does look: this much would have been enough.
  expect(await lint({ ...openApiDocument(), security: [] })).not.toEqual([]);
});

/** Errors that a function makes only to put them into a row or a log line; its answer is another. */
const notAnswered: Partial<Record<string, readonly string[]>> = {
  // Events alone are refused by a row that others hold.
  'provision-instance': ['busy', 'outcome-unknown', 'deletion-refused'],
  'change-instance': ['deletion-refused'],
  // What keeps it from removing is told by 202; the reconciler tries again.
  'remove-instance': [
    'deletion-refused',
    'deletion-pending',
    'not-ours',
    'refused-by-cloud-elements',
    'cloud-elements-unreachable',
    'cloud-elements-unreadable',
    'cloud-elements-busy',
    'platform-credentials-refused',
    'platform-credentials-unusable',
  ],
};

test('the document gives each route exactly the errors that its function can cause', async () => {
  const made = await Promise.all(routes.map(async ({ name }) => [name, await errorsMadeBy(name)]));
  const described = routes.map(({ name, operation }) => [
    name,
    [...errorsOfEveryRoute, ...operation.errors, ...(notAnswered[name] ?? [])].toSorted(),
  ]);
  expect(made).toEqual(described);
});

/** The codes of all errors that are left in the function's bundle, where nothing is that it cannot come to. */
async function errorsMadeBy(name: string): Promise<string[]> {
  const { outputFiles } = await build({
    ...bundleOptions,
    minify: false,
    write: false,
    packages: 'external',
    entryPoints: [sourceOf(name)],
  });
  const code = outputFiles.map(({ text }) => text).join('');
  const codes = [...code.matchAll(/new OnboardingError\(\s*"([\w-]+)"/g)].map(([, each = '']) => each);
  return [...new Set(codes)].toSorted();
}
