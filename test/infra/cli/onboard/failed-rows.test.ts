import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { builtInCatalog } from '../../../../functions/model/built-in-catalog.ts';
import {
  assertWritable,
  failedRowsFile,
  removeFailedRows,
  writeFailedRows,
} from '../../../../infra/cli/onboard/failed-rows.ts';
import { isBad, isGood, isImport, readManifest } from '../../../../infra/cli/onboard/manifest.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'failed-rows-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Writes every row of a manifest as a failed one. */
async function failedRowsOf(name: string, content: string): Promise<{ file: string; text: string }> {
  const manifestFile = join(directory, name);
  writeFileSync(manifestFile, content);
  const manifest = await readManifest(manifestFile, builtInCatalog);
  const file = failedRowsFile(manifestFile);
  const rows = manifest.rows.map((row) => ({
    row,
    code: isBad(row) ? 'bad-row' : 'no-outcome',
    why: isBad(row) ? row.faults.join('; ') : 'Nothing final',
  }));
  await writeFailedRows(file, manifest, rows);
  return { file, text: readFileSync(file, 'utf8') };
}

const standsFor = async (file: string) => {
  const { rows } = await readManifest(file, builtInCatalog);
  return rows.map((row) => {
    if (!isGood(row)) return 'bad';
    return isImport(row.request) ? row.request : JSON.parse(row.request.detail);
  });
};

test('documented flags of a bad row are kept, and nothing else beside them', async () => {
  const flags = { eventsEnabled: true, cachingEnabled: false, retrieveObjectsAfterInstantiation: true };
  const row = {
    tenantId: 'acme',
    ...flags,
    externalAuthentication: 'hush-hush',
    providerData: { code: 'hush' },
  };
  const { text } = await failedRowsOf('flags.jsonl', JSON.stringify(row));
  expect(JSON.parse(text)).toMatchObject({ tenantId: 'acme', ...flags });
  expect(text).not.toContain('hush');
});

test('good rows in the file of failed rows are read back unchanged, formulas included', async () => {
  const csv =
    'tenantId,name,tags,configuration.pagination.max\n' +
    'acme,=HYPERLINK("x"),+1;@b;-5,5\nglobex,\'=quoted,\'plain,7\numbrella,"a, b",=x,\n';
  const { file, text } = await failedRowsOf(
    'formulas.csv',
    csv.replace('=HYPERLINK("x")', '"=HYPERLINK(""x"")"'),
  );
  expect(
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => line.replace(/^\d,no-outcome,Nothing final,/, '')),
  ).toEqual([
    'line,code,why,tenantId,name,tags,configuration.pagination.max',
    'acme,"\'=HYPERLINK(""x"")",\'+1;@b;-5,5',
    "globex,''=quoted,'plain,7",
    'umbrella,"a, b",\'=x,',
  ]);
  expect(await standsFor(file)).toEqual([
    {
      tenantId: 'acme',
      name: '=HYPERLINK("x")',
      tags: ['+1', '@b', '-5'],
      configuration: { 'pagination.max': '5' },
    },
    { tenantId: 'globex', name: "'=quoted", tags: ["'plain"], configuration: { 'pagination.max': '7' } },
    { tenantId: 'umbrella', name: 'a, b', tags: ['=x'] },
  ]);
  // Twice over, it is still the same.
  const again = await failedRowsOf('again.csv', text);
  expect(await standsFor(again.file)).toEqual(await standsFor(file));
});

test('a quote before a formula in an original manifest is part of the text', async () => {
  const { file } = await failedRowsOf('own.csv', "tenantId,name\nacme,'=x\n");
  expect(await standsFor(file)).toEqual([{ tenantId: 'acme', name: "'=x" }]);
});

const secret = 'k3y-that-is-secret';

test.each([
  ['too-few.csv', `tenantId,name,tags\nacme,${secret}\n`],
  ['too-many.csv', `tenantId,name\nacme,Shop, ${secret}\n`],
  ['unread.csv', `tenantId,name\nacme,"Sh"op ${secret}\n`],
  ['key.csv', `tenantId,name,configuration.api.key\nacme,Shop,${secret}\n`],
  ['of-another-element.csv', `tenantId,elementKey,configuration.pagination.max\nacme,hubspot,${secret}\n`],
  ['escape.csv', 'tenantId,name\nacme,a\u001b[31m\n'],
  ['escape.jsonl', JSON.stringify({ tenantId: 'acme', name: 'a\u009b31m' })],
  ['key.jsonl', JSON.stringify({ tenantId: 'acme', configuration: { 'api.key': secret } })],
  ['misspelt.jsonl', JSON.stringify({ tenantId: 'acme', configuraton: { 'api.key': secret } })],
  ['misplaced.jsonl', JSON.stringify({ tenantId: 'acme', apikey: secret })],
  ['as-name.jsonl', JSON.stringify({ tenantId: 'acme', [secret]: '' })],
  ['as-entry.jsonl', JSON.stringify({ tenantId: 'acme', configuration: { [secret]: '1' } })],
  ['nested.jsonl', JSON.stringify({ tenantId: 'acme', element: { key: 'taxify', apiKey: secret } })],
  ['nested-tags.jsonl', JSON.stringify({ tenantId: 'acme', tags: [{ key: secret }] })],
  ['nested-name.jsonl', JSON.stringify({ tenantId: 'acme', name: { key: secret } })],
  ['nested-tenant.jsonl', JSON.stringify({ tenantId: { id: secret } })],
  ['list.jsonl', JSON.stringify({ tenantId: 'acme', configuration: [secret] })],
  [
    'nested-entry.jsonl',
    JSON.stringify({ tenantId: '-', configuration: { 'pagination.max': { key: secret } } }),
  ],
  ['unread.jsonl', `{"tenantId":"acme","configuration":{"api.key":"${secret}"`],
])(
  'the bad row of %s is copied without possible credentials, and is bad again when read back',
  async (...args) => {
    const { file, text } = await failedRowsOf(...args);
    expect(text).not.toContain(secret);
    expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
    expect(await standsFor(file)).toEqual(['bad']);
  },
);

test('known fields and harmless configuration of a bad row are kept', async () => {
  const csv = await failedRowsOf(
    'kept.csv',
    'tenantId,name,tags,configuration.pagination.max,configuration.api.key\n-acme,<b>,eu;gold,20,\n',
  );
  expect(csv.text).toContain(",'-acme,<b>,eu;gold,20,\n");
  const row = {
    tenantId: '-acme',
    tags: ['eu'],
    element: { key: 'taxify' },
    configuration: { 'pagination.max': 20 },
  };
  const { text } = await failedRowsOf('kept.jsonl', JSON.stringify(row));
  expect(JSON.parse(text)).toMatchObject({ line: 1, code: 'bad-row', ...row });
});

test('only the owner can read the file of failed rows, and no link in its place is followed', async () => {
  const elsewhere = join(directory, 'elsewhere');
  writeFileSync(elsewhere, 'untouched', { mode: 0o644 });
  symlinkSync(elsewhere, join(directory, 'linked.failed.csv'));
  const { file } = await failedRowsOf('linked.csv', 'tenantId\nacme\n');
  expect(readFileSync(elsewhere, 'utf8')).toBe('untouched');
  expect(statSync(file).mode & 0o777).toBe(0o600);
  await removeFailedRows(file);
  expect(existsSync(file)).toBe(false);
  await removeFailedRows(file);
});

test('a directory that is not writable is named, and a writable one is left unchanged', async () => {
  const missing = join(directory, 'missing');
  await expect(assertWritable(join(missing, 'tenants.failed.csv'))).rejects.toThrow(
    `Files cannot be written to ${missing} (`,
  );
  const before = readdirSync(directory);
  await assertWritable(join(directory, 'tenants.failed.csv'));
  expect(readdirSync(directory)).toEqual(before);
});
