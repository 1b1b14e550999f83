/**
 * `node infra/with-node.js <command> [arguments]` runs a command on a Node that is new enough: its own, or else the one
 * that is installed as a package. Every npm script and `cdk.json` use it.
 *
 * Plain JavaScript without dependencies, because it must start on the Node that it replaces (18 or newer). npm alone is
 * not enough: below 11.7 it does not link `node_modules/.bin/node` when two packages bring one.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { isatty } from 'node:tty';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Not `engines`, which is for apps that install the package. @type {string} */
const required = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).devEngines.runtime.version;
const minimum = required.replace('>=', '');
const packaged = join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');

const [command, ...args] = process.argv.slice(2);
if (command === undefined) fail('Usage: node infra/with-node.js <command or .ts file> [arguments]');

const node = [process.execPath, packaged].find((file) => isNewEnough(versionOf(file)));
if (node === undefined) {
  fail(
    existsSync(packaged)
      ? `This needs Node ${minimum} or newer: this is ${process.version}, and ${packaged} does not run on this system. Install Node from https://nodejs.org.`
      : `This needs Node ${minimum} or newer: this is ${process.version}. Install Node from https://nodejs.org; on Linux with glibc, \`npm ci\` brings it.`,
  );
}

// Found by the shebangs of vitest, cdk and the like, and by processes that the command starts.
const binaries = [dirname(node), join(root, 'node_modules', '.bin')];
process.env['PATH'] = [...binaries, process.env['PATH']].join(delimiter);

/**
 * Without these, the memory of a command grows with that of the machine: Node lets the young generation of its heap have
 * 128 MB and more, and the old one several times what is in use before it collects. A manifest of 100,000 tenants took
 * 460 MB, and takes 260; the time is the same. The programs of `test/` keep Node's own settings.
 */
const flags = command.startsWith('infra/cli/')
  ? ['--max-semi-space-size=8', '--heap-growing-percent=50']
  : [];

const child = command.endsWith('.ts')
  ? spawn(node, [...flags, command, ...args], { stdio: 'inherit' })
  : spawn(command, args, { stdio: 'inherit' });

// A terminal sends Ctrl-C to both processes, and a second SIGINT ends many a command at once.
const hasTerminal = [0, 1, 2].some((descriptor) => isatty(descriptor));
process.on('SIGINT', () => hasTerminal || child.kill('SIGINT'));
for (const signal of /** @type {const} */ (['SIGTERM', 'SIGHUP']))
  process.on(signal, () => child.kill(signal));

child.once('error', ({ message }) =>
  fail(`${command} cannot be started (${message}). Has \`npm ci\` been run?`),
);
child.once('exit', (code, signal) => {
  if (signal === null) process.exit(code ?? 1);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});

/** @param {string} file */
function versionOf(file) {
  if (file === process.execPath) return process.version;
  const { status, stdout } = spawnSync(file, ['--version'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : 'v0';
}

/** @param {string} version */
function isNewEnough(version) {
  return version.localeCompare(`v${minimum}`, 'en', { numeric: true }) >= 0;
}

/** @type {(sentence: string) => never} */
function fail(sentence) {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}
