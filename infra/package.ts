/**
 * Builds the content of the npm package into `dist/`: the construct as one CommonJS file, its declarations, and the
 * bundles of the functions, with the licenses of the packages in them. So an app that uses it installs no other package
 * for it. `npm pack` runs this first.
 */
import { build, type Metafile } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleFunctions } from './bundle.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const entry = 'infra/element-onboarding';

rmSync(dist, { recursive: true, force: true });
const [functions, { metafile: construct }] = await Promise.all([
  bundleFunctions(join(dist, 'infra/bundles')),
  build({
    entryPoints: [join(root, `${entry}.ts`)],
    outfile: join(dist, `${entry}.cjs`),
    bundle: true,
    // CommonJS, as CDK itself: an ES module could not be loaded by Jest, which the apps of `cdk init` use.
    format: 'cjs',
    define: { 'import.meta.url': 'moduleUrl' },
    banner: { js: "const moduleUrl = require('node:url').pathToFileURL(__filename).href;" },
    platform: 'node',
    target: 'node20',
    // The app's own: two copies of CDK do not know each other's constructs.
    external: ['aws-cdk-lib', 'constructs'],
    logLevel: 'warning',
    metafile: true,
  }),
]);
writeFileSync(join(dist, 'THIRD-PARTY-LICENSES'), licensesOf(functions, construct));

const declarations = mkdtempSync(join(tmpdir(), 'element-onboarding-declarations-'));
try {
  execFileSync('tsc', ['-p', 'infra/package.tsconfig.json', '--outDir', declarations], {
    cwd: root,
    stdio: 'inherit',
  });
  addDeclaration(`${entry}.d.ts`);
} finally {
  rmSync(declarations, { recursive: true });
}

/** Adds a declaration and those that it imports: the compiler writes one for every file of the program. */
function addDeclaration(file: string): void {
  const text = readFileSync(join(declarations, file), 'utf8');
  mkdirSync(dirname(join(dist, file)), { recursive: true });
  const renamed = join(dist, file.replace('.d.ts', '.d.cts'));
  writeFileSync(renamed, text.replaceAll(/(from '\.[^']*)\.ts'/g, "$1.cjs'"));
  for (const [, imported = ''] of text.matchAll(/from '(\.[^']*)\.ts'/g)) {
    addDeclaration(join(dirname(file), `${imported}.d.ts`));
  }
}

/** The licenses of the packages in the bundles ask that they go with every copy. */
function licensesOf(...metafiles: readonly Metafile[]): string {
  const inputs = metafiles.flatMap((metafile) => Object.keys(metafile.inputs));
  const packages = new Set(
    inputs.flatMap((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []),
  );
  const texts = [...packages].map((directory): [string, string] => {
    const [file] = globSync('{LICENSE,LICENCE,license}*', { cwd: join(root, directory) });
    if (file === undefined) throw new Error(`${directory} has no license.`);
    return [
      readFileSync(join(root, directory, file), 'utf8').trim(),
      directory.replace(/^.*node_modules\//, ''),
    ];
  });
  return [...Map.groupBy(texts, ([text]) => text)]
    .map(
      ([text, of]) =>
        `${of
          .map(([, name]) => name)
          .toSorted()
          .join(', ')}:\n\n${text}\n`,
    )
    .join('\n\n');
}
