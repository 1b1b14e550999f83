import { App, Validations } from 'aws-cdk-lib';
import { Code } from 'aws-cdk-lib/aws-lambda';
import recommendedFlags from 'aws-cdk-lib/recommended-feature-flags.json' with { type: 'json' };
import { AwsSolutionsChecks } from 'cdk-nag';
import { join } from 'node:path';
import { triggers } from '../functions/triggers.ts';
import { bundleFunction } from './bundle.ts';
import { parseSettings } from './settings.ts';
import { OnboardingStack } from './stack.ts';

// The feature flags that `cdk init` would write into cdk.json, some ninety lines; they change only with the pinned CDK.
const app = new App({ context: recommendedFlags });
const parsed = parseSettings(app.node.getAllContext());
if ('complaint' in parsed) {
  process.stderr.write(`${parsed.complaint}\n`);
  process.exit(1);
}
// Stops the synth, and so the deployment, of a stack with a finding that is not acknowledged.
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
// Below the output directory, so that no files are left behind elsewhere.
const bundleOf = (name: string): string => join(app.outdir, 'bundles', name);
await Promise.all(Object.keys(triggers).map((name) => bundleFunction(name, bundleOf(name))));
new OnboardingStack(app, { settings: parsed.settings, code: (name) => Code.fromAsset(bundleOf(name)) });
