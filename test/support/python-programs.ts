import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** It depends on the network. */
const timeout = 5 * 60_000;

/**
 * Installs a package from PyPI into an environment of its own below the directory, and returns the folder of its
 * programs. Needs Python 3.
 */
export async function installPythonPackage(requirement: string, directory: string): Promise<string> {
  const environment = join(directory, requirement.replaceAll(/\W+/g, '-'));
  const run = promisify(execFile);
  await run('python3', ['-m', 'venv', environment], { timeout });
  await run(join(environment, 'bin', 'pip'), ['install', '--quiet', requirement], { timeout });
  return join(environment, 'bin');
}
