import { execFile } from 'node:child_process';
import {
  copyFileSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { triggers } from '../../functions/triggers.ts';
import { blocksOf, pageAt } from '../support/pages.ts';
import { compileCache } from '../support/shared-bundle.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));

const packedSchema = z.tuple([
  z.object({ filename: z.string(), size: z.number(), files: z.array(z.object({ path: z.string() })) }),
]);
const templateSchema = z.object({
  Resources: z.record(z.string(), z.object({ Type: z.string(), Properties: z.any() })),
});

const [inAnApp = '', withSbt = ''] = blocksOf(pageAt('infra/README.md'), 'ts');

/** The page's app, and a second construct in it. TypeScript compiles it to a CommonJS module, as most apps are. */
const app = `
import { Validations } from 'aws-cdk-lib';
import { EventBus } from 'aws-cdk-lib/aws-events';
import { AwsSolutionsChecks } from 'cdk-nag';
import type { ElementOnboardingProps } from 'element-onboarding';
${inAnApp}
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
const eventBus = EventBus.fromEventBusName(stack, 'Shared', 'shared');
const baseUrl = 'https://api.cloud-elements.co.uk';
const partners = new ElementOnboarding(stack, 'Partners', { stage: 'dev', baseUrl, eventBus });
const { table, bus, functions } = partners;
export const names: string[] = [functions['read-token'].functionName, table.tableName, bus.eventBusName];
// @ts-expect-error There is no such function.
functions['read-tokens'];
// @ts-expect-error A stage is required.
export const incomplete: ElementOnboardingProps = { baseUrl };
app.synth();
`;

/** Of the page, too: the toolkit's control plane beside it. Only its types are checked here. */
const sbt = `
import type { Stack } from 'aws-cdk-lib';
import type { ElementOnboarding } from 'element-onboarding';
declare const stack: Stack, onboarding: ElementOnboarding;
${withSbt}
`;

describe('the package', () => {
  const directory = mkdtempSync(join(tmpdir(), 'element-onboarding-package-'));
  let packed: z.infer<typeof packedSchema>[0];
  beforeAll(async () => {
    const options = ['--ignore-scripts=false', '--foreground-scripts=false', '--pack-destination', directory];
    const { stdout } = await run('npm', ['pack', '--json', ...options], { cwd: root });
    [packed] = packedSchema.parse(JSON.parse(stdout));
  }, 120_000);
  afterAll(() => {
    rmSync(directory, { recursive: true });
    rmSync(join(root, 'dist'), { recursive: true });
  });

  test('the package has the construct, its types, the functions, their licenses, and no more', () => {
    expect(packed.files.map(({ path }) => path).toSorted()).toEqual(
      [
        'LICENSE',
        'README.md',
        'package.json',
        'dist/THIRD-PARTY-LICENSES',
        'dist/functions/triggers.d.cts',
        'dist/infra/element-onboarding.d.cts',
        'dist/infra/element-onboarding.cjs',
        ...Object.keys(triggers).map((name) => `dist/infra/bundles/${name}/index.mjs`),
      ].toSorted(),
    );
    expect(packed.size).toBeLessThan(2_500_000);
  });

  test(
    'an app that installs the package gets nothing else, and synthesizes two stages under cdk-nag',
    { timeout: 180_000 },
    async () => {
      const site = join(directory, 'app');
      mkdirSync(site);
      writeFileSync(join(site, 'package.json'), '{"private": true}');
      writeFileSync(join(site, 'app.ts'), app);
      writeFileSync(join(site, 'sbt.ts'), sbt);
      const offline = ['--offline', '--no-audit', '--no-fund', '--ignore-scripts'];
      // The peers are those of this project, without a registry.
      await run('npm', ['install', ...offline, '--legacy-peer-deps', join(directory, packed.filename)], {
        cwd: site,
      });
      const modules = join(site, 'node_modules');
      expect(globSync('*', { cwd: modules })).toEqual(['element-onboarding']);
      for (const scope of ['@types', '@cdklabs']) mkdirSync(join(modules, scope));
      for (const peer of ['aws-cdk-lib', 'constructs', 'cdk-nag', '@types/node', '@cdklabs/sbt-aws']) {
        symlinkSync(join(root, 'node_modules', peer), join(modules, peer));
      }
      const texts = globSync('element-onboarding/**/*.*', { cwd: modules }).map((file) =>
        readFileSync(join(modules, file), 'utf8'),
      );
      expect(texts.filter((text) => /registry\.npmjs|sourceMappingURL/.test(text))).toEqual([]);
      // Built on this machine, and without its paths.
      expect(texts.filter((text) => text.includes(root))).toEqual([]);

      // The package's declarations are checked, too, so they import nothing that the app does not have. Copied to source
      // files, because those of CDK and of Node, which the compiler would check with them, take most of the time.
      const declarations = globSync('element-onboarding/**/*.d.cts', { cwd: modules });
      expect(declarations).toHaveLength(2);
      for (const file of declarations) {
        const copy = join(site, 'declared', file.replace('.d.cts', '.cts'));
        mkdirSync(dirname(copy), { recursive: true });
        copyFileSync(join(modules, file), copy);
      }
      const sources = ['app.ts', 'sbt.ts', ...globSync('declared/**/*.cts', { cwd: site })];
      const strict = ['--strict', '--module', 'nodenext', '--target', 'es2022', '--types', 'node'];
      await run('tsc', [...sources, ...strict, '--skipLibCheck'], { cwd: site });
      const out = join(site, 'cdk.out');
      // As Jest, which `cdk init` sets up, and which cannot `require` an ES module.
      await run('node', ['--no-experimental-require-module', 'app.js'], {
        cwd: site,
        // CDK's own validation has its place in the tests of the construct.
        env: { ...process.env, ...compileCache(), CDK_OUTDIR: out, CDK_VALIDATION: 'false' },
      });
      const names =
        "import { ElementOnboarding } from 'element-onboarding'; console.log(typeof ElementOnboarding)";
      const asModule = await run('node', ['--input-type=module', '--eval', names], { cwd: site });
      expect(asModule.stdout).toBe('function\n');

      const { Resources } = templateSchema.parse(
        JSON.parse(readFileSync(join(out, 'Platform.template.json'), 'utf8')),
      );
      const ofType = (type: string) => Object.values(Resources).filter(({ Type }) => Type === type);
      const functions = ofType('AWS::Lambda::Function');
      expect(functions).toHaveLength(2 * Object.keys(triggers).length);
      expect(ofType('AWS::Events::EventBus')).toHaveLength(1);
      const assets = functions.map(({ Properties }) => Properties.Code.S3Key.replace('.zip', ''));
      for (const asset of assets) {
        expect(readFileSync(join(out, `asset.${asset}`, 'index.mjs'), 'utf8')).toContain('handler');
      }
    },
  );
});
