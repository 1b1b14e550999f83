import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { commandLine, parseOptions, wholeNumber } from '../../../infra/cli/command.ts';
import { bad, bold, good, print } from '../../../infra/cli/terminal.ts';
import type { LocalStack } from '../../../infra/local/stack.ts';
import { installPythonPackage } from '../../support/python-programs.ts';
import { documentOfInvalidRequests, documentOfValidRequests } from './documents.ts';

const help = `Runs Schemathesis over the OpenAPI document against the local service: requests that are valid, in sequences along the
document's links, and requests that are not. Every response has to be as documented, every valid request accepted, every
invalid one refused. Installs it (PyPI) into a temporary directory: that needs Python 3.

  npm run schemathesis -- [options]

Options
  --examples <n>   requests of each operation and phase (20)
  --seed <n>       other requests (1)

Exit status: 0 no finding · 1 some, or fewer requests than usual · 2 command line wrong.`;

const { examples, seed } = commandLine(help, (args) => {
  const { values } = parseOptions({
    args,
    options: { examples: { type: 'string', default: '20' }, seed: { type: 'string', default: '1' } },
  });
  return {
    examples: wholeNumber('examples', values.examples, { from: 1, to: 10_000 }),
    seed: wholeNumber('seed', values.seed),
  };
});

const timeoutMs = 5 * 60_000;

/** Of a run with the usual number of examples, so that one that tests nothing is noticed. */
const fewest = { requests: 200, links: 8 };

/**
 * Warnings are findings: of operations that are never reached, for one. Sequences follow the document's own links alone;
 * those of a 202 need a fault.
 */
const settings = `
[generation]
max-examples = ${examples}

[warnings]
fail-on = true

[checks]
# Not 409: an invalid request is refused before it is compared with the instance that exists.
negative_data_rejection.expected-statuses = [400, 404, 413, 415]

[phases.stateful]
max-steps = 20
link-calibration = false
inference.algorithms = []
generation.max-examples = ${20 * examples}
`;

/** The gateway of the local stack checks no signatures, and like AWS's it answers 404 to other methods, not 405. */
const withoutChecks = ['ignored_auth', 'unsupported_method'];

const directory = mkdtempSync(join(tmpdir(), 'element-onboarding-schemathesis-'));
try {
  writeFileSync(join(directory, 'schemathesis.toml'), settings);
  const binaries = await installPythonPackage('schemathesis==4.32.5', directory);
  const valid = await findsNothing(
    binaries,
    'valid',
    (stack) => documentOfValidRequests({ importable: instancesAt(stack) }),
    {
      options: ['--mode', 'positive'],
      checksOff: withoutChecks,
    },
  );
  const invalid = await findsNothing(binaries, 'invalid', documentOfInvalidRequests, {
    // Also requests that keep to the document, because otherwise the path is always invalid, too. As the document is
    // wider than the service, these may be refused.
    options: ['--mode', 'all', '--phases', 'coverage,fuzzing'],
    checksOff: [...withoutChecks, 'positive_data_acceptance'],
  });
  process.exitCode = valid && invalid ? 0 : 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}

/** Makes instances that no tenant has, and returns their ids. */
function instancesAt({ simulator }: LocalStack): number[] {
  const body = { element: { key: 'taxify' }, name: 'Shop', configuration: { 'api.key': 'any' } };
  return Array.from({ length: 50 }, () => simulator.seed(body).id);
}

async function findsNothing(
  binaries: string,
  kind: 'valid' | 'invalid',
  documentFor: (stack: LocalStack) => unknown,
  { options, checksOff }: { options: string[]; checksOff: string[] },
): Promise<boolean> {
  print(`\n${bold(`Requests that are ${kind}`)}\n`);
  const { startLocalStack } = await import('../../../infra/local/stack.ts');
  await using stack = await startLocalStack();
  const file = join(directory, `${kind}.json`);
  writeFileSync(file, JSON.stringify(documentFor(stack)));
  const schemathesis = spawn(
    join(binaries, 'st'),
    [
      'run',
      file,
      '--url',
      stack.apiUrl,
      '--seed',
      String(seed),
      '--checks',
      'all',
      '--exclude-checks',
      checksOff.join(','),
      '--continue-on-failure',
      '--no-color',
      ...options,
    ],
    { cwd: directory, stdio: ['ignore', 'pipe', 'inherit'], timeout: timeoutMs },
  );
  const [output, [exitCode]] = await Promise.all([text(schemathesis.stdout), once(schemathesis, 'exit')]);
  print(output.trim());
  const count = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? 0);
  const requests = count(/(\d+) generated/);
  const links = count(/API Links: +(\d+) covered/);
  const isEnough =
    examples < 20 || (requests >= fewest.requests && (kind === 'invalid' || links >= fewest.links));
  print();
  if (!isEnough) print(bad(`Only ${requests} requests, along ${links} links: fewer than usual.`));
  else if (exitCode === 0) print(good(`No finding in ${requests} requests.`));
  else print(bad(`Findings, or more than ${timeoutMs / 60_000} minutes.`));
  return exitCode === 0 && isEnough;
}
