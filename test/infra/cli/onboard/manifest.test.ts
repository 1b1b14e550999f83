import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { builtInCatalog, catalogWith } from '../../../../functions/model/built-in-catalog.ts';
import { OnboardingError } from '../../../../functions/model/errors.ts';
import { finalCodes } from '../../../../infra/cli/onboard/following.ts';
import { isBad, isGood, isImport, readManifest } from '../../../../infra/cli/onboard/manifest.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'manifest-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

function read(name: string, content: string | Uint8Array, catalog = builtInCatalog) {
  const file = join(directory, name);
  writeFileSync(file, content);
  return readManifest(file, catalog);
}

async function faultsOf(name: string, content: string) {
  const { rows } = await read(name, content);
  return rows.filter(isBad).flatMap(({ line, faults }) => faults.map((fault) => `${line}: ${fault}`));
}

async function detailsOf(name: string, content: string) {
  const { rows } = await read(name, content);
  return rows
    .filter(isGood)
    .map(({ line, request }) => ({ line, detail: isImport(request) ? request : JSON.parse(request.detail) }));
}

test('a row of CSV becomes the detail of an event, without empty cells', async () => {
  const csv =
    '\uFEFFtenantId, name ,elementKey,tags,configuration.pagination.max\r\n' +
    'acme,"Acme, ""Inc""",taxify,eu; gold,20\r\n\r\n globex ,,,,\r\n';
  expect(await detailsOf('good.csv', csv)).toEqual([
    {
      line: 2,
      detail: {
        tenantId: 'acme',
        name: 'Acme, "Inc"',
        element: { key: 'taxify' },
        tags: ['eu', 'gold'],
        configuration: { 'pagination.max': '20' },
      },
    },
    { line: 4, detail: { tenantId: 'globex' } },
  ]);
});

test('a row of JSON Lines is the detail of the event, without the columns of the file of failed rows', async () => {
  const lines = '{"tenantId":"acme","tags":["eu"]}\n\n{"line":7,"code":"x","why":"y","tenantId":"globex"}\n';
  expect(await detailsOf('good.jsonl', lines)).toEqual([
    { line: 1, detail: { tenantId: 'acme', tags: ['eu'] } },
    { line: 3, detail: { tenantId: 'globex' } },
  ]);
});

test('every fault of every row is named with its line and its column', async () => {
  const csv = [
    'tenantId,elementKey,name,tags,configuration.pagination.max,configuration.base.url',
    'acme,,,,,',
    '-bad,Taxify,<b>,owner:me,,',
    ',,Shop,,,',
    'short',
    'a,b,c,d,e,f,g',
    '"multi',
    'line",,,,,',
    'pied,,,owner:me,,https://elsewhere.invalid',
  ].join('\n');
  const identifier =
    'letters, digits, "_", "-" and single "." between them, beginning with a letter or digit';
  expect(await faultsOf('bad.csv', csv)).toEqual([
    `3: tenantId expected ${identifier}`,
    '3: elementKey expected lower-case letters, digits, "_" and "-", beginning with a letter or digit',
    '3: name expected a value in place of the placeholder in angle brackets, which was not filled in',
    '3: tags expected a tag without the prefixes "tenant:", "provision:" and "owner:", which this service sets itself',
    '4: tenantId is missing: expected text',
    '5: the header has 6 columns, this row 1',
    '6: the header has 6 columns, this row 7',
    `7: tenantId expected ${identifier}`,
    '7: goes on to line 8: if it should not, a quote is not closed',
    '9: tags expected a tag without the prefixes "tenant:", "provision:" and "owner:", which this service sets itself',
    "9: configuration.base.url cannot be set where the tenant's secret supplies the credentials (allowed: filter.response.nulls, pagination.max). A credential belongs in the tenant's secret in Secrets Manager, never in a manifest",
  ]);
  const lines = '{"tenantId":"a","name":7,"size":"L"}\nnot JSON\n[]\n{"tenantId":"b"}\n';
  expect(await faultsOf('bad.jsonl', lines)).toEqual([
    '1: #/name expected text',
    '1: #/size is not a known field',
    '2: is not JSON; it breaks at column 1',
    '3: is not a JSON object',
  ]);
});

test('an address is accepted as the stage’s elements say, and refused where they do not', async () => {
  const csv =
    'tenantId,elementKey,configuration.subdomain\nacme,freshdeskv2,acme-eu\nglobex,freshdeskv2,elsewhere.example/#\n';
  const listed = catalogWith({ freshdeskv2: { addresses: { subdomain: 'dns-label' } } });
  const { rows } = await read('listed.csv', csv, listed);
  expect(rows.filter(isGood)).toMatchObject([{ line: 2, request: { tenantId: 'acme' }, needsSecret: true }]);
  expect(rows.filter(isBad)).toMatchObject([
    {
      line: 3,
      given: { 'configuration.subdomain': '<not copied>' },
      faults: [expect.stringMatching(/^configuration\.subdomain expected one DNS label/)],
    },
  ]);
  expect(await faultsOf('unlisted.csv', csv)).toEqual([
    expect.stringMatching(/^2: configuration\.subdomain cannot be set/),
    expect.stringMatching(/^3: configuration\.subdomain cannot be set/),
  ]);
});

test('rows of only commas are skipped', async () => {
  const csv = 'tenantId,name\nacme,Acme\n,\n"", \n,,,,\nglobex,Globex\n,\n,\n';
  expect((await detailsOf('commas.csv', csv)).map(({ line }) => line)).toEqual([2, 6]);
  expect(await faultsOf('commas.csv', csv)).toEqual([]);
});

test('a row that cannot be read is one bad row, wherever it is', async () => {
  const csv = 'tenantId,name\na,Shop\nb,"Shop\n\nc,Sh"op\nd,"Sh"op\ne,"Shop, Inc"\nf,g"\nh,Shop\ni,"Shop\n';
  expect((await detailsOf('quotes.csv', csv)).map(({ line, detail }) => [line, detail.tenantId])).toEqual([
    [2, 'a'],
    [7, 'e'],
    [9, 'h'],
  ]);
  expect((await faultsOf('quotes.csv', csv)).map((fault) => fault.replace(/ CSV .*/, ''))).toEqual(
    [3, 5, 6, 8, 10].map((line) => `${line}: a quote (") is not where`),
  );
  expect(await faultsOf('bytes.jsonl', '{"tenantId":"a"}\n{"tenantId":\n{"tenantId":"b"}\n')).toEqual([
    '2: is not JSON',
  ]);
});

test('what JSON Lines would change silently is refused at its line', async () => {
  const lines = [
    '{"tenantId":"a","configuration":{"pagination.max":1.10}}',
    '{"tenantId":"b","configuration":{"__proto__":"x"}}',
    '{"tenantId":"c","__proto__":{"name":"x"}}',
    '{"tenantId":"d","name":"one","name":"two"}',
    '{"tenantId":"e","tags":["<TAG>"],"providerData":{"code":"x"}}',
    '{"tenantId":"f",“name”:"x"}',
    '{"tenantId":"g","configuration":{"pagination.max":[50]}}',
    '{"tenantId":"h","configuration":{"pagination.max":50},"eventsEnabled":true,"providerData":{}}',
  ];
  const faults = await faultsOf('changed.jsonl', lines.join('\n'));
  expect(faults.map((fault) => fault.replace(/(.*?expected.{0,30}).*/, '$1'))).toEqual([
    '1: #/configuration/pagination.max expected a number as JSON carries it e',
    '2: #/configuration/__proto__ expected another name than __proto__',
    '3: #/__proto__ expected another name than __proto__',
    '4: #/name expected each name only once',
    '5: #/tags/0 expected a value in place of the place',
    '5: #/providerData expected an empty object: this element',
    '6: is not JSON; it breaks at column 17: use straight quotes (") in place of curly ones',
    '7: #/configuration/pagination.max expected a whole number of at most 6 d',
  ]);
  expect((await detailsOf('changed.jsonl', lines.join('\n'))).map(({ line }) => line)).toEqual([8]);
  await expect(read('proto.csv', 'tenantId,configuration.__proto__\na,x\n')).rejects.toThrow(
    'a column configuration.… does not name an entry',
  );
});

const requestsOf = async (name: string, content: string) =>
  (await read(name, content)).rows
    .filter(isGood)
    .map(({ line, request, needsSecret }) => [line, request, needsSecret]);
const imported = (tenantId: string, instanceId: number, elementKey = 'taxify') => ({
  tenantId,
  elementKey,
  instanceId,
});

describe('rows that import an instance', () => {
  test('a row with an instanceId is an import, and the other columns about the instance are ignored', async () => {
    const csv =
      'tenantId,elementKey,instanceId,name,tags,createdDate\r\n' +
      'acme,freshdeskv2,1000001,<b>Shop</b>,owner:me;<x>,2019-01-01T00:00:00Z\r\n' +
      'globex,,9007199254740991,,,\r\ninitech,,,Initech,,2019-01-01T00:00:00Z\r\n';
    expect(await requestsOf('imports.csv', csv)).toEqual([
      [2, imported('acme', 1_000_001, 'freshdeskv2'), false],
      [3, imported('globex', 9_007_199_254_740_991), false],
      [4, expect.objectContaining({ detail: '{"tenantId":"initech","name":"Initech"}' }), true],
    ]);
    const lines =
      '{"tenantId":"acme","element":{"key":"taxify"},"instanceId":7,"name":"<b>","tags":["owner:x"],"status":"active"}\n';
    expect(await requestsOf('imports.jsonl', lines)).toEqual([[1, imported('acme', 7), false]]);
  });

  test('lines that npm prints before the list are skipped, also with the commas of a spreadsheet', async () => {
    const banner = '\n> element-onboarding@0.1.0 discover,,\n> node infra/cli --stage prod,,\n,,\n\n';
    expect(
      await requestsOf('banner.csv', `${banner}tenantId,elementKey,instanceId\nacme,taxify,7\n`),
    ).toEqual([[7, imported('acme', 7), false]]);
    const ofNpm = '\n> element-onboarding@0.1.0 export\n> node infra/cli --json\n\n';
    const lines = `${ofNpm}{"tenantId":"acme","instanceId":7}\n`;
    expect(await requestsOf('banner.jsonl', lines)).toEqual([[5, imported('acme', 7), false]]);
    expect(await faultsOf('banner.jsonl', lines)).toEqual([]);
    expect(await faultsOf('quoted.jsonl', `${lines}> {}\n`)).toHaveLength(1);
    await expect(read('banner-only.csv', banner)).rejects.toThrow('there is no column tenantId');
  });

  test('an id that is no whole number, a missing tenant and configuration are refused', async () => {
    const csv = [
      'tenantId,elementKey,instanceId,configuration.pagination.max',
      'a,,1.00E+09,',
      'b,,0,',
      'c,,9007199254740993,',
      'd,,"1,000",',
      ',Taxify,7,50',
      'e,,-7,',
    ].join('\n');
    const id = 'instanceId expected the id of an instance, a whole number';
    expect(await faultsOf('bad-imports.csv', csv)).toEqual([
      `2: ${id}; a spreadsheet may have changed it`,
      `3: ${id} above 0`,
      `4: ${id}; a spreadsheet may have changed it`,
      `5: ${id}; a spreadsheet may have changed it`,
      '6: tenantId is missing: fill it in, or delete the row',
      '6: elementKey expected lower-case letters, digits, "_" and "-", beginning with a letter or digit',
      '6: configuration expected none for an import, which leaves it as it is',
      `7: ${id}; a spreadsheet may have changed it`,
    ]);
    const lines =
      '{"tenantId":"a","instanceId":"7"}\n{"tenantId":"a","instanceId":null}\n{"tenantId":"b","instanceId":7,"size":1}\n';
    expect(await faultsOf('bad-imports.jsonl', lines)).toEqual([
      `1: #/${id}; a spreadsheet may have changed it`,
      `2: #/${id}; a spreadsheet may have changed it`,
      '3: #/size is not a known field',
    ]);
  });

  test('an id that may be a credential is not kept', async () => {
    const manifests = [
      await read('id.csv', 'tenantId,instanceId\nacme,not-for-manifests\n'),
      await read('id.jsonl', '{"tenantId":"acme","instanceId":"not-for-manifests"}\n'),
    ];
    for (const { rows } of manifests) {
      expect(rows.map(isBad)).toEqual([true]);
      expect(JSON.stringify(rows)).not.toContain('not-for-manifests');
    }
  });

  test('rows that import the same instance, or for a tenant that another row creates, name each other', async () => {
    const csv =
      'tenantId,elementKey,instanceId\nacme,,7\nglobex,,7\nacme,taxify,\nglobex,freshdeskv2,\ninitech,,8\ninitech,,9\n';
    expect(await faultsOf('import-doubles.csv', csv)).toEqual([
      '2: imports taxify for tenant acme, which is also requested in line 4',
      '2: imports instance 7, and so does line 3',
      '3: imports instance 7, and so does line 2',
      '4: creates taxify for tenant acme, which is also requested in line 2',
      '6: imports taxify for tenant initech, and so does line 7',
      '7: imports taxify for tenant initech, and so does line 6',
    ]);
  });
});

test('a credential is refused, neither quoted nor kept', async () => {
  const manifests = [
    await read('credential.csv', 'tenantId,configuration.api.key\nacme,not-for-manifests\n'),
    await read('credential.jsonl', '{"tenantId":"a","configuration":{"api.key":"not-for-manifests"}}\n'),
    await read('wide.csv', 'tenantId,configuration.api.key\nacme,not-for-manifests,1\n'),
  ];
  for (const { rows } of manifests) {
    expect(rows.map(isBad)).toEqual([true]);
    expect(JSON.stringify(rows)).not.toContain('not-for-manifests');
  }
  expect(JSON.stringify(manifests[0]?.rows)).toContain('Secrets Manager');
});

test('rows for the same tenant and element name each other, and all of them are bad', async () => {
  const csv = 'tenantId,elementKey\nacme,\nglobex,\nacme,taxify\nacme,freshdeskv2\nacme,taxify\n';
  expect(await faultsOf('doubles.csv', csv)).toEqual([
    '2: requests taxify for tenant acme, and so do lines 4, 6',
    '4: requests taxify for tenant acme, and so do lines 2, 6',
    '6: requests taxify for tenant acme, and so do lines 2, 4',
  ]);
});

test('rows for the same tenant take one short line each, however many there are', async () => {
  const faults = await faultsOf('same.csv', `tenantId\n${'acme\n'.repeat(2_000)}`);
  expect(faults).toHaveLength(2_000);
  expect(faults[0]).toBe('2: requests taxify for tenant acme, and so do lines 3, 4, 5 and 1996 more');
  expect(faults[1]).toBe('3: requests taxify for tenant acme, and so do lines 2, 4, 5 and 1996 more');
  expect(faults[1_999]).toBe('2001: requests taxify for tenant acme, and so do lines 2, 3, 4 and 1996 more');
});

test('a wrong header is not quoted where it may be a credential', async () => {
  const message = await read('none.csv', 'acme,sk_live_51HqzT9wQ2\n').then(
    () => '',
    (error: Error) => error.message,
  );
  expect(message).toContain('none.csv:1: "acme" is not a column');
  expect(message).toContain('none.csv:1: the name of column 2 is not a column');
  expect(message).not.toContain('51Hqz');
});

test.each([
  ['header.csv', 'tenant,name\na,b\n', /header\.csv:1: "tenant" is not a column[^]*no column tenantId/],
  [
    'semicolons.csv',
    'tenantId;name\na;b\n',
    /semicolons\.csv:1: the columns are separated by ";", expected ","/,
  ],
  ['quoted.csv', '"name";"tenantId"\na;b\n', /quoted\.csv:1: the columns are separated by ";", expected ","/],
  ['tabs.csv', 'tenantId\tname\na\tb\n', /tabs\.csv:1: the columns are separated by tabs, expected ","/],
  ['twice.csv', 'tenantId,name,name\n', /twice\.csv:1: the column name is there twice/],
  ['quote.csv', 'tenantId,"name\na,b\n', /quote\.csv:1: a quote/],
  ['empty.csv', 'tenantId\n', /has no rows/],
  ['empty.jsonl', '\n', /has no rows/],
  ['commas-only.csv', 'tenantId,name\n,\n', /has no rows/],
  ['latin.csv', Uint8Array.of(0x74, 0xe4, 0x0a), /is not UTF-8/],
  ['tenants.xlsx', '', /ends in \.csv, \.jsonl or \.ndjson/],
])('the manifest %s is refused as a whole', async (name, content, message) => {
  await expect(read(name, content)).rejects.toThrow(message);
});

test('only errors that the queue does not retry count as final', () => {
  const codes = [
    'invalid-request',
    'missing-configuration',
    'refused-by-cloud-elements',
    'cloud-elements-busy',
    'cloud-elements-unreachable',
    'tenant-credentials-unusable',
    'outcome-unknown',
    'not-saved',
  ] as const;
  expect(codes.filter((code) => finalCodes.has(code))).toEqual(
    codes.filter((code) => !new OnboardingError(code, '').retryable),
  );
});

async function cpuMsOf(count: number): Promise<number> {
  const before = process.threadCpuUsage();
  const faults = await faultsOf('one-tenant.csv', `tenantId,name\n${'acme,Shop\n'.repeat(count)}`);
  const { user, system } = process.threadCpuUsage(before);
  expect(faults).toHaveLength(count);
  expect(faults[0]).toContain('and so do lines 3, 4, 5 and ');
  return (user + system) / 1_000;
}

test(
  'one tenant in all rows of a long manifest costs no more per row than in a short one',
  { timeout: 60_000 },
  async () => {
    await cpuMsOf(500);
    // Ten times as many rows: with each compared with all others it would be a hundred times the work.
    expect((await cpuMsOf(30_000)) / (await cpuMsOf(3_000))).toBeLessThan(25);
  },
);
