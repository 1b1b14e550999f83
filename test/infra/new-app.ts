import { App } from 'aws-cdk-lib';
import recommendedFlags from 'aws-cdk-lib/recommended-feature-flags.json' with { type: 'json' };

/**
 * An app as `cdk init` sets it up, without the parts that only people read: stack traces and the construct tree.
 * @param isValidated by CDK's own rules, which takes half of a synthesis
 */
export const newApp = ({ isValidated = false } = {}): App =>
  new App({
    context: { ...recommendedFlags, 'aws:cdk:disable-creation-stack-traces': true },
    treeMetadata: false,
    builtinCloudFormationValidation: isValidated,
  });
