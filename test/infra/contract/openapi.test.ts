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
      // In this configuration, warnings are errors.
      config: await createConfig({ extends: ['recommended-strict'] }),
    })
  ).map(({ ruleId, message }) => `${ruleId}: ${message}`);

test('the OpenAPI document passes the linter without a warning', async () => {
  expect(await lint(openApiDocument())).toEqual([]);
  // Proof that the linter works: this fault is enough.
  expect(await lint({ ...openApiDocument(), security: [] })).not.toEqual([]);
});

/** Errors that a function only writes into a row or a log line; its response has another code. */
const notAnswered: Partial<Record<string, readonly string[]>> = {
  // Only events are refused because of a leased row.
  'provision-instance': ['busy', 'outcome-unknown', 'deletion-refused'],
  'change-instance': ['deletion-refused'],
  // Only events are refused because of a leased row, nothing is deleted, and the response to an unknown outcome is 202.
  'import-instance': ['busy', 'deletion-refused', 'update-outcome-unknown'],
  // An obstacle to a check is a result: unknown.
  'check-instance': [
    'deletion-refused',
    'refused-by-cloud-elements',
    'cloud-elements-unreachable',
    'cloud-elements-unreadable',
    'cloud-elements-busy',
    'platform-credentials-refused',
    'platform-credentials-unusable',
  ],
  // The response to obstacles is 202; the reconciler retries.
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

/** The codes of all errors in the function's bundle, from which unreachable code is removed. */
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

/** Shapes that make openapi-typescript, @hey-api/openapi-ts or openapi-python-client warn, drop a part or invent a name. */
function hardToGenerate(part: unknown, at = '#'): string[] {
  if (typeof part !== 'object' || part === null) return [];
  return [
    ...('allOf' in part ? [`${at}: intersection`] : []),
    ...('title' in part && at !== '#/info' && !at.endsWith('/properties') && !/\/examples\//.test(at)
      ? typeof part.title === 'string' && !/^[A-Za-z]\w{0,30}$/.test(part.title)
        ? [`${at}: title ${part.title}`]
        : []
      : []),
    ...Object.entries(part).flatMap(([key, value]) => hardToGenerate(value, `${at}/${key}`)),
  ];
}

test('the document has no shape that code generators cannot translate, and every operation has a tag', () => {
  const document = openApiDocument();
  expect(hardToGenerate(document)).toEqual([]);
  const known = document.tags.map(({ name }) => name);
  const operations = Object.values(document.paths).flatMap((path) => Object.values(path));
  expect(operations.length).toBe(routes.length);
  for (const { tags } of operations) expect(known).toContain(tags[0]);
  // Proof that the search works.
  expect(hardToGenerate({ title: 'A page of instances', allOf: [] }, '#/x')).toHaveLength(2);
});
