import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { csvRowsOf } from '../../infra/cli/onboard/csv-rows.ts';
import type { Instance } from '../../infra/local/cloud-elements/simulator.ts';
import { createLeakSearch } from '../support/leak-search.ts';
import { startWithOperator } from '../support/operator.ts';
import { blocksOf, pageAt, root } from '../support/pages.ts';
import { sampleSize } from '../support/sample-size.ts';
import { type Command } from '../support/shared-bundle.ts';

/** A team connected its tenants by hand, adopts this service, and leaves it: the commands that it runs. */

const count = sampleSize(25, 60);

let site: Awaited<ReturnType<typeof startWithOperator>>;
let directory: string;
beforeAll(async () => {
  site = await startWithOperator(() => ({}));
  directory = mkdtempSync(join(tmpdir(), 'existing-'));
});
afterAll(async () => {
  await site.stop();
  rmSync(directory, { recursive: true });
});

const outputs: string[] = [];
async function run(command: Command, ...args: string[]) {
  const ended = await site.run(command, ...args, '--local');
  outputs.push(ended.stdout, ended.stderr);
  return ended;
}

/** The commands of a section of the page, in order, for the ports of this stack. */
function commandsOf(heading: string): string {
  const [, section = ''] =
    new RegExp(`^## ${heading}.*?\\n(.*?)^## `, 'ms').exec(pageAt('infra/cli/README.md')) ?? [];
  const commands = blocksOf(section, 'sh').join('');
  return [8_080, 8_083].reduce(
    (text, port) => text.replaceAll(`127.0.0.1:${port}`, `127.0.0.1:${site.port + port - 8_080}`),
    `set -e\n${commands}`,
  );
}

const isThere = (program: string): boolean => spawnSync(program, ['--version']).status === 0;

/** Everything of an instance but its tags. */
const factsOf = ({ tags: _tags, ...facts }: Instance) => structuredClone(facts);
const tagsOf = (index: number) => [['eu'], [], ['eu', 'gold; and more'], ['tag:of:theirs']][index % 4] ?? [];

const isMarker = (tag: string) => /^(tenant|provision|owner):/.test(tag);

test(
  `${count} instances made by hand are discovered, imported in spite of a crash, left alone by a later run, and exported`,
  { timeout: 120_000 },
  async () => {
    const { simulator, stack } = site.service;
    const elements = [
      { key: 'taxify', configuration: { 'api.key': 'key-of-a-tenant' } },
      {
        key: 'freshdeskv2',
        configuration: { subdomain: 'shop', username: 'jane', password: 'key-of-a-tenant' },
      },
    ];
    const byHand = Array.from({ length: count }, (_, index) => {
      const { key = '', configuration } = elements[index % 5 === 4 ? 1 : 0] ?? {};
      return simulator.seed({
        element: { key },
        name: index % 2 ? 'Shop' : `=Shop ${index}`,
        tags: tagsOf(index),
        configuration,
      });
    });
    const other = simulator.seed({
      element: { key: 'taxify' },
      name: 'Shop',
      tags: ['owner:another'],
      configuration: elements[0]?.configuration,
    });
    await site.service.post('own', {
      element: { key: 'taxify' },
      configuration: { 'api.key': 'own-key-for-tests' },
    });
    const before = new Map(
      simulator.instances.map((instance) => [
        instance.id,
        { facts: factsOf(instance), tags: [...instance.tags] },
      ]),
    );

    const found = await run('discover');
    expect(found.stderr).toContain('The list is complete.');
    const [header = [], ...rows] = csvRowsOf(found.stdout).map(({ cells = [] }) => cells);
    expect(rows.map(([, , id]) => Number(id))).toEqual(byHand.map(({ id }) => id));

    const file = join(directory, 'found.csv');
    const untouched = join(directory, 'untouched.csv');
    writeFileSync(untouched, found.stdout);
    const refused = await run('onboard', untouched);
    expect(refused).toMatchObject({ status: 2 });
    expect(refused.stderr).toContain(
      `${untouched}:2: tenantId is missing: fill it in, or delete the row; so do lines 3, 4, 5, 6 and ${count - 5} more\n`,
    );
    // As an operator fills it in: the rest of a row stays as it is.
    const lines = found.stdout.trimEnd().split('\n').slice(1);
    writeFileSync(
      file,
      `${header.join(',')}\n${lines.map((line, index) => `tenant-${index}${line}`).join('\n')}\n`,
    );
    expect((await run('onboard', file, '--check')).status).toBe(0);

    simulator.requests.length = 0;
    const killed = site.start('onboard', file, '--rate', '1000', '--local');
    const areMarked = () => byHand.filter(({ tags }) => tags.some(isMarker)).length > count / 10;
    await expect.poll(areMarked, { timeout: 30_000, interval: 5 }).toBe(true);
    killed.child.kill('SIGKILL');
    await killed.ended;
    expect(byHand.some(({ tags }) => !tags.some(isMarker))).toBe(true);
    const imported = await run('onboard', file, '--rate', '1000');
    expect(imported.stderr).toBe('');
    expect(imported.stdout).toContain(`${count} rows\n${count} active\n`);
    expect(imported.status).toBe(0);

    const created = simulator.requests.filter(
      ({ operation }) => operation === 'POST /instances' || operation === 'DELETE /instances/{id}',
    );
    expect(created).toEqual([]);
    expect(simulator.instances).toHaveLength(count + 2);
    for (const instance of simulator.instances) {
      const { facts, tags = [] } = before.get(instance.id) ?? {};
      expect(factsOf(instance)).toEqual(facts);
      expect(instance.tags.filter((tag) => !isMarker(tag))).toEqual(tags.filter((tag) => !isMarker(tag)));
    }
    expect(other.tags).toEqual(['owner:another']);
    for (const [index, { tags }] of byHand.entries()) expect(tags).toContain(`tenant:tenant-${index}`);
    for (const [index, { id, token, element }] of [...byHand.entries()].slice(0, 5)) {
      const { json } = await site.service.get(`/tenants/tenant-${index}/instances/${element.key}/token`);
      expect(json).toMatchObject({ id, token });
    }

    // Nothing is sent for what is active; a repeated request is a replay.
    simulator.requests.length = 0;
    const again = await run('onboard', file, '--rate', '1000');
    expect(again.stdout).toContain(`Already active: ${count}; to send: 0`);
    expect(again.status).toBe(0);
    const replay = await site.service.request({
      method: 'POST',
      path: '/tenants/tenant-0/instances/taxify/import',
      body: JSON.stringify({ id: byHand[0]?.id }),
      headers: { 'content-type': 'application/json' },
    });
    expect(replay.status).toBe(200);
    expect(simulator.requests).toEqual([]);
    expect((await run('discover')).stdout).toBe(`${header.join(',')}\n`);

    const exported = await run('export', '--json');
    const written = exported.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(written).toHaveLength(count + 1);
    const byId = new Map(written.map((each) => [each.instanceId, each]));
    for (const [index, { id, name, element }] of byHand.entries()) {
      expect(byId.get(id)).toEqual({
        tenantId: `tenant-${index}`,
        element: { key: element.key },
        instanceId: id,
        name,
        tags: tagsOf(index),
        status: 'active',
      });
    }

    const search = createLeakSearch();
    for (const { id, token } of simulator.instances) search.plant(`the token of ${id}`, token, { step: 10 });
    for (const secret of ['key-of-a-tenant', 'local-user-secret', 'local-organization-secret'])
      search.plant('a secret', secret);
    expect(search.leaksIn([...outputs, ...stack.logs])).toEqual([]);
    expect(readFileSync(file, 'utf8')).not.toContain('key-of-a-tenant');
  },
);

test(
  'imports that are refused are in the file of failed rows, and one of unknown outcome is sent again',
  { timeout: 60_000 },
  async () => {
    const { simulator } = site.service;
    const seed = (tags: string[] = ['eu'], name = '=Shop') =>
      simulator.seed({ element: { key: 'taxify' }, name, tags, configuration: { 'api.key': 'any-key' } });
    const [good, slow, taken, foreign, other] = [
      seed(),
      seed(),
      seed(),
      seed(['owner:another', 'tenant:x']),
      seed(),
    ];
    const rows = [
      ['good', good.id],
      ['slow', slow.id],
      ['late', taken.id],
      ['thief', foreign.id],
      ['absent', 999_999_999],
      ['busy-tenant', other.id],
    ];
    const own = seed();
    // Since the list was made.
    for (const [tenantId, id] of [
      ['early', taken.id],
      ['busy-tenant', own.id],
    ] as const) {
      const path = `/tenants/${tenantId}/instances/taxify/import`;
      const headers = { 'content-type': 'application/json' };
      const { status } = await site.service.request({
        method: 'POST',
        path,
        headers,
        body: JSON.stringify({ id }),
      });
      expect(status).toBe(201);
    }
    // Its markers were taken off at the console.
    const marked = taken.tags;
    taken.tags = ['eu'];
    const file = join(directory, 'refused.csv');
    const lines = rows.map(([tenantId, id]) => `${tenantId},taxify,${id},'=Shop,eu,2019-01-01T00:00:00Z`);
    writeFileSync(file, `tenantId,elementKey,instanceId,name,tags,createdDate\n${lines.join('\n')}\n`);
    simulator.faultFor = ({ operation, path }) =>
      operation === 'PATCH /instances/{id}' && path.endsWith(`/${slow.id}`) && ++patches <= 5
        ? { effect: 'none', outcome: { kind: 'reset' } }
        : undefined;
    let patches = 0;

    const { status, stdout } = await run('onboard', file, '--rate', '1000');
    simulator.reset();
    expect(stdout).toMatch(/6 rows\n2 active\n4 failed/);
    expect(status).toBe(1);
    expect(patches).toBeGreaterThan(1);
    const failed = csvRowsOf(readFileSync(join(directory, 'refused.failed.csv'), 'utf8')).map(
      ({ cells = [] }) => cells,
    );
    expect(failed.slice(1).map(([line, code, , tenantId, , , name]) => [line, code, tenantId, name])).toEqual(
      [
        ['4', 'instance-taken', 'late', "''=Shop"],
        ['5', 'not-ours', 'thief', "''=Shop"],
        ['6', 'not-at-cloud-elements', 'absent', "''=Shop"],
        ['7', 'settings-conflict', 'busy-tenant', "''=Shop"],
      ],
    );
    expect(foreign.tags).toEqual(['owner:another', 'tenant:x']);
    expect(other.tags).toEqual(['eu']);
    taken.tags = marked;
    other.tags = ['owner:another'];
    // The file is a manifest.
    const again = await run('onboard', join(directory, 'refused.failed.csv'), '--check');
    expect(again).toMatchObject({ status: 0, stderr: '' });
  },
);

test.skipIf(!isThere('jq') || !isThere('curl'))(
  'the page’s commands import an instance that was connected by hand, export it and take its markers off',
  { timeout: 60_000 },
  async () => {
    const { simulator } = site.service;
    for (const name of ['package.json', 'infra', 'functions', 'node_modules'])
      symlinkSync(join(root, name), join(directory, name));
    const shell = (text: string) =>
      promisify(execFile)('bash', ['-c', text], {
        cwd: directory,
        env: { ...site.environment, HOME: directory },
        timeout: 50_000,
      });
    expect(JSON.parse((await shell(commandsOf('discover'))).stdout.split('\n').at(-1) ?? '')).toMatchObject({
      tenantId: 'initech',
      name: 'Initech',
      tags: ['eu'],
      status: 'active',
    });
    const imported = simulator.instances.at(-1);
    expect(imported?.tags).toEqual([
      'eu',
      'tenant:initech',
      expect.stringMatching(/^provision:/),
      'owner:local',
    ]);
    const removed = simulator.requests.filter(({ method }) => method === 'DELETE');

    // Added at the console.
    if (imported) imported.tags = [...imported.tags, 'gold'];
    const leaving = await shell(commandsOf('export'));
    expect(leaving.stdout).toContain(`${imported?.id} 200\n`);
    expect(imported?.tags).toEqual(['eu', 'gold']);
    expect(simulator.instances.flatMap(({ tags }) => tags).filter((tag) => tag === 'owner:local')).toEqual(
      [],
    );
    expect(simulator.requests.filter(({ method }) => method === 'DELETE')).toEqual(removed);
    expect(readFileSync(join(directory, 'tokens.jsonl'), 'utf8')).toContain(JSON.stringify(imported?.token));
    expect(leaving.stderr).toContain('element tokens in clear text');
    expect(statSync(join(directory, 'tokens.jsonl')).mode & 0o077).toBe(0);
  },
);
