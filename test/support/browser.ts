import { execFile } from 'node:child_process';
import { createReadStream, createWriteStream, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createBrotliDecompress } from 'node:zlib';
import { chromium, type Browser } from 'playwright-core';

/** A real Chromium for tests: on Linux on x64 the one that a package brings, elsewhere the one that is installed. */

export type RunningBrowser = { browser: Browser; stop: () => Promise<void> };

const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Playwright's `launch` takes a new and empty directory for the user's data. */
export async function startBrowser(): Promise<RunningBrowser> {
  const directory = mkdtempSync(join(tmpdir(), 'element-onboarding-browser-'));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  try {
    const { executablePath, env } = await chromiumIn(directory);
    const browser = await chromium.launch({ executablePath, args: flags, env: { ...process.env, ...env } });
    const stop = async (): Promise<void> => {
      await browser.close();
      remove();
    };
    return { browser, stop };
  } catch (error) {
    remove();
    throw error;
  }
}

async function chromiumIn(
  directory: string,
): Promise<{ executablePath: string; env?: Record<string, string> }> {
  if (process.platform === 'linux' && process.arch === 'x64') return packagedChromium(directory);
  const executablePath = [process.env['CHROMIUM_PATH'], ...usualPaths].find(
    (path) => path && existsSync(path),
  );
  if (executablePath) return { executablePath };
  throw new Error(
    'This test needs Chromium: install it (Debian: apt-get install chromium), or name one by CHROMIUM_PATH.',
  );
}

const usualPaths = [
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  String.raw`C:\Program Files\Google\Chrome\Application\chrome.exe`,
];

/**
 * Unpacks the Chromium of `@sparticuz/chromium`, with the three libraries (NSS, NSPR, Expat) and the font that a bare
 * machine lacks. Not by the package's own function, which unpacks to fixed places and leaves it there.
 */
async function packagedChromium(directory: string) {
  const executablePath = join(directory, 'chromium');
  await Promise.all([
    pipeline(packed('chromium.br'), createWriteStream(executablePath, { mode: 0o755 })),
    untar(directory, 'libraries.tar', packed('al2023.tar.br')),
    untar(directory, 'fonts.tar', packed('fonts.tar.br')),
  ]);
  // In place of the one in the archive, whose directories are those of Lambda.
  writeFileSync(
    join(directory, 'fonts.conf'),
    `<fontconfig><dir>${directory}</dir><cachedir>${directory}/cache</cachedir></fontconfig>`,
  );
  const env = { LD_LIBRARY_PATH: join(directory, 'lib'), FONTCONFIG_PATH: directory };
  return { executablePath, env };
}

async function untar(directory: string, name: string, archived: Readable): Promise<void> {
  // By way of a file: tar does not read the padding at an archive's end, which breaks a pipe.
  const archive = join(directory, name);
  await pipeline(archived, createWriteStream(archive));
  await promisify(execFile)('tar', ['-xf', archive, '-C', directory]);
}

function packed(name: string): Readable {
  const file = new URL(`../bin/${name}`, import.meta.resolve('@sparticuz/chromium'));
  return createReadStream(fileURLToPath(file)).pipe(createBrotliDecompress());
}
