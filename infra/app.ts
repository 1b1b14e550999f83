import { App, Validations } from 'aws-cdk-lib';
import recommendedFlags from 'aws-cdk-lib/recommended-feature-flags.json' with { type: 'json' };
import { AwsSolutionsChecks } from 'cdk-nag';
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
new OnboardingStack(app, { settings: parsed.settings });
